"""That every public function of `functional` and of `init` is offered, and exercised by a row or by the tests beside this one."""

import importlib
import pkgutil
import re
from pathlib import Path

import harness
import pytest

from weft.layers import functional as F
from weft.layers import init

HERE = Path(__file__).parent
TESTS = "\n".join(p.read_text() for p in HERE.glob("test_*.py") if p != Path(__file__))
INIT_TESTS = (HERE.parent / "test_init.py").read_text()


def test_all_is_what_the_modules_offer():
    modules = [importlib.import_module(f"{F.__name__}.{m.name}") for m in pkgutil.iter_modules(F.__path__)]
    assert sorted(F.__all__) == sorted(name for module in modules for name in module.__all__)
    assert all(callable(getattr(F, name)) for name in F.__all__)


@pytest.mark.parametrize("name", F.__all__)
def test_every_function_is_tested(name):
    assert name in harness.public("functional") or re.search(rf'\bF\.{name}\b|^    "{name}": \[', TESTS, re.M)


@pytest.mark.parametrize("name", init.__all__)
def test_every_initialisation_is_tested(name):
    assert re.search(rf"\binit\.{name}\b", INIT_TESTS)
