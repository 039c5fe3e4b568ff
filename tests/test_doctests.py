"""Every example in a docstring runs; everything public has a docstring.

`pytest --doctest-modules` would import the package a second time, under the name of the checkout's folder.
"""

import doctest
import importlib
import inspect
import pkgutil

import numpy as np
import pytest

import weft

MODULES = [
    "weft",
    *(
        m.name
        for m in pkgutil.walk_packages(weft.__path__, "weft.")
        if m.name.split(".")[1] in weft._LAZY + ("backend",)
    ),
]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
NAMES = {"weft": weft, "np": np, "nn": weft.layers, "F": weft.layers.functional, "optim": weft.optimizers}


def documented(module):
    """(name, object) for the module and all functions, classes and methods defined in it.

    Not doctest's own search: to that, a primitive belongs to the module of the decorator that wraps it.
    """
    yield module.__name__, module
    for name, value in vars(module).items():
        if (inspect.isclass(value) or callable(value)) and getattr(value, "__module__", None) == module.__name__:
            yield f"{module.__name__}.{name}", value
            if inspect.isclass(value):
                for key, member in vars(value).items():
                    member = member.__func__ if isinstance(member, staticmethod | classmethod) else member
                    if inspect.isfunction(member) or isinstance(member, property):
                        yield f"{module.__name__}.{name}.{key}", member


def examples(module):
    finder = doctest.DocTestFinder(recurse=False)
    seen = set()
    for name, value in documented(module):
        if id(value) not in seen and isinstance(getattr(value, "__doc__", None), str):
            seen.add(id(value))
            globs = {**vars(module), **NAMES}
            yield from (t for t in finder.find(value, name, module=False, globs=globs) if t.examples)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    report = []
    for test in examples(importlib.import_module(name)):
        weft.manual_seed(0)
        runner.run(test, out=report.append)
    assert not runner.failures, "".join(report)


def test_examples_are_found():
    """Those of a plain function, a primitive and a class."""
    names = {
        test.name
        for module in ("device.parallel", "array.reductions", "tape.tensor")
        for test in examples(importlib.import_module(f"weft.backend.{module}"))
    }
    assert {
        "weft.backend.device.parallel.parallel_for",
        "weft.backend.array.reductions.sum",
        "weft.backend.tape.tensor.Tensor",
    } <= names


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_is_documented(name):
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} has no docstring"
    public = {n: getattr(module, n) for n in getattr(module, "__all__", [])}
    bare = [
        n
        for n, v in public.items()
        if (inspect.isclass(v) and not v.__dict__.get("__doc__")) or (inspect.isroutine(v) and not v.__doc__)
    ]
    assert not bare, f"{name}: {bare}"
