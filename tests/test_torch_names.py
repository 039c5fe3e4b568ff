"""Every public name of PyTorch's `nn`, `optim` and what is in them is here, with its signature; exceptions have a reason.

`torch_names.json` has the names of PyTorch, as `torch_names.py` wrote them.
"""

import ast
import importlib
import inspect
import json
from pathlib import Path

import pytest
from torch_departures import DIFFERENT, HERE, LEFT_OUT
from torch_names import shown

DATA = json.loads(Path(__file__).with_name("torch_names.json").read_text(encoding="utf-8"))
NAMES = DATA["names"]


def space(name):
    try:
        return importlib.import_module(HERE[name])
    except ModuleNotFoundError:
        return None


def missing(name):
    return {n for n in NAMES[name] if not hasattr(space(name), n)}


@pytest.mark.parametrize("name", HERE)
def test_what_is_missing_is_said(name):
    assert missing(name) - LEFT_OUT.get(name, {}).keys() == set()


def test_tables_name_what_pytorch_has():
    for name, names in LEFT_OUT.items():
        assert names.keys() <= NAMES[name].keys(), name
    assert all(name in NAMES[module] for module, name in DIFFERENT)
    assert HERE.keys() == NAMES.keys()


def test_nothing_is_left_out_that_is_there():
    assert {n: sorted(names.keys() - missing(n)) for n, names in LEFT_OUT.items() if names.keys() - missing(n)} == {}


def value(text):
    """A default, so that 0 and 0.0 are one."""
    numerator, divided, denominator = text.partition(" / ")
    if divided:
        return float(numerator) / float(denominator)
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text.rpartition(".")[2]


def signature(rows, without=()):
    return [
        (n, kind, None if d is None else (value(d),)) for n, kind, d in rows if n not in {"device", "dtype", *without}
    ]


def ours(function):
    rows = inspect.signature(function).parameters.values()
    return [(p.name, p.kind.name, None if p.default is p.empty else shown(p.default)) for p in rows]


COMPARED = [
    (s, n) for s, names in NAMES.items() for n, rows in names.items() if rows is not None and hasattr(space(s), n)
]


@pytest.mark.parametrize(("module", "name"), COMPARED, ids=[".".join(row) for row in COMPARED])
def test_signature(module, name):
    """PyTorch's parameters, in order, of the same kinds and defaults; more of ours follow, by keyword alone."""
    without, _ = DIFFERENT.get((module, name), ((), ""))
    theirs = signature(NAMES[module][name], without)
    found = signature(ours(getattr(space(module), name)), without)
    assert found[: len(theirs)] == theirs
    assert all(kind in ("KEYWORD_ONLY", "VAR_KEYWORD") for _, kind, _ in found[len(theirs) :])
