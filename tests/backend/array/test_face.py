"""The types that `tape/tensor.py` states for what `methods.py` attaches are those of what is attached."""

import ast
import inspect
from pathlib import Path

import pytest

import weft
from weft.backend.array import methods
from weft.backend.tape import tensor

TREE = ast.parse(Path(tensor.__file__).read_text(encoding="utf-8"))
STATED = {
    item.name: item
    for node in ast.walk(TREE)
    if isinstance(node, ast.ClassDef) and node.name in ("_Casts", "_Attached")
    for item in node.body
    if isinstance(item, ast.FunctionDef)
}


def attached():
    """What Tensor has that the text of its class has not."""
    cls = next(node for node in TREE.body if isinstance(node, ast.ClassDef) and node.name == "Tensor")
    written = {item.name for item in cls.body if isinstance(item, ast.FunctionDef)}
    written.add("__getattr__")  # stated, it would make every name known to type checkers
    return {name for name, value in vars(weft.Tensor).items() if inspect.isfunction(value)} - written


def test_everything_attached_is_stated():
    assert attached() == STATED.keys()
    assert isinstance(weft.Tensor.T, property)
    assert isinstance(weft.Tensor.mT, property)


@pytest.mark.parametrize("name", sorted(STATED))
def test_parameters(name):
    """Names, kinds and defaults, but for the first (`self`, or `x`) and the other operand's name."""
    found = list(inspect.signature(getattr(weft.Tensor, name)).parameters.values())[1:]
    stated = STATED[name].args
    positional = [*stated.posonlyargs, *stated.args]
    defaults = [inspect.Parameter.empty] * (len(positional) - len(stated.defaults)) + [
        ast.literal_eval(d) for d in stated.defaults
    ]
    expected = [
        (arg.arg, "positional only" if i < len(stated.posonlyargs) else "positional or keyword", default)
        for i, (arg, default) in enumerate(zip(positional, defaults))
    ][1:]
    expected += [(stated.vararg.arg, "variadic positional", inspect.Parameter.empty)] if stated.vararg else []
    expected += [
        (arg.arg, "keyword only", ast.literal_eval(default))
        for arg, default in zip(stated.kwonlyargs, stated.kw_defaults)
    ]
    expected += [(stated.kwarg.arg, "variadic keyword", inspect.Parameter.empty)] if stated.kwarg else []
    is_only = [p.kind == p.POSITIONAL_ONLY for p in found]
    assert [(p.kind.description.replace("-", " "), p.default) for p in found] == [
        (kind, default) for _, kind, default in expected
    ]
    assert [p.name for p, only in zip(found, is_only) if not only] == [
        n for (n, _, _), only in zip(expected, is_only) if not only
    ]


def test_operators_have_names():
    """A traceback or a profile shows `__add__`, not `operator`."""
    for name in (*methods.ARITHMETIC, *methods.COMPARISONS, *methods.SIGNS):
        assert getattr(weft.Tensor, f"__{name}__").__name__ == f"__{name}__"
