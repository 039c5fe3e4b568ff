"""The docstrings of what tables make say what each function takes, gives and does."""

import inspect
import re
from operator import attrgetter

import pytest

import weft
from weft.backend.array import documentation, elementwise, fft


@pytest.mark.parametrize("name", documentation.EXAMPLES)
def test_docstring(name):
    function = attrgetter(name)(weft)
    text = function.__doc__
    names = re.findall(r"^(\w[\w, ]*) : ", text, re.M)
    assert [n for group in names for n in group.split(", ")] == list(inspect.signature(function).parameters)
    assert text.index("Parameters\n---") < text.index("Returns\n---") < text.index(f">>> weft.{name}(")
    assert not re.search(r"\{\w*\}", text), "a field that was not filled in"


def test_every_row_has_an_example():
    made = {n for n in elementwise.__all__ if "Returns\n" in getattr(weft, n).__doc__} - {"sign", "pow", "clip"}
    transforms = {f"fft.{n}" for n in fft.__all__} - {"fft.fftfreq", "fft.rfftfreq"}
    assert made | transforms == documentation.EXAMPLES.keys()


def test_notes_and_kinds_are_of_functions_that_exist():
    others = {name for names in documentation.OTHERS.values() for name in names.split()}
    assert documentation.NOTES.keys() | others <= documentation.EXAMPLES.keys()
    assert documentation.OTHERS.keys() <= documentation.KINDS.keys()


def test_run_of():
    assert documentation.run_of("f", "[1, 2], 3 → [4]") == ">>> weft.f(weft.tensor([1, 2]), 3)\ntensor([4])"
    assert documentation.run_of("fft.g", "weft.ones(2) → [1.]") == ">>> weft.fft.g(weft.ones(2))\ntensor([1.])"


def test_publish():
    double = documentation.publish(lambda xp, x, /: (2 * x, (lambda g: 2 * g,)), "double", "Twice x.", moves=True)
    assert (double.__name__, double.__doc__) == ("double", "Twice x.")
    assert weft.grad(double)(weft.tensor(3.0)).item() == 2
