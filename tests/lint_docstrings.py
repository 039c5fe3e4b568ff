"""numpydoc's validator on everything public: `python tests/lint_docstrings.py [module …]`.

Prints each fault and a table of how many names are clean, and exits with 1 if there is a fault. Public are the functions and
classes that a module shows, and what such a class defines first: not what it inherits, overrides, or has for operators.
"""

import functools
import inspect
import sys
from collections.abc import Iterator
from operator import attrgetter
from typing import Any

from numpydoc.docscrape import get_doc_object
from numpydoc.validate import Validator, validate

import weft

MODULES = (
    "weft",
    "weft.linalg",
    "weft.fft",
    "weft.nvtx",
    "weft.layers",
    "weft.layers.functional",
    "weft.layers.init",
    "weft.layers.models",
    "weft.layers.utils",
    "weft.layers.utils.parametrizations",
    "weft.layers.utils.parametrize",
    "weft.layers.utils.prune",
    "weft.layers.utils.rnn",
    "weft.layers.utils.stateless",
    "weft.optimizers",
    "weft.optimizers.schedulers",
    "weft.optimizers.swa_utils",
    "weft.data",
    "weft.data.augment",
    "weft.training",
    "weft.distributed",
)
# A docstring; its summary a sentence; each parameter by name, in order, with type and meaning; what comes back or is yielded; …
CODES = {"GL08", "SS02", "SS03", "PR01", "PR02", "PR03", "PR04", "PR07", "PR10", "RT01", "RT03", "YD01"}
EXAMPLE = "EX01"  # … and an example, but of methods, which the example of their class uses
PROPERTIES, WRAPPED = (property, functools.cached_property), (staticmethod, classmethod)


class Docstring(Validator):
    """That of an object, without the line of its `def`: numpydoc fails on what a lambda defines."""

    source_file_def_line = None

    def __init__(self, obj_name: Any):
        super().__init__(get_doc_object(obj_name))


def shown(name: str) -> Iterator[tuple[str, Any]]:
    """The functions and classes that a module shows, with their names."""
    module = attrgetter(name.partition(".")[2])(weft) if "." in name else weft
    for key in getattr(module, "__all__", [key for key in dir(module) if not key.startswith("_")]):
        value = getattr(module, key)
        is_ours = getattr(value, "__module__", "").partition(".")[0] == "weft"
        if is_ours and (inspect.isroutine(value) or inspect.isclass(value)):
            yield f"{name}.{key}", value


def methods(cls: type) -> Iterator[tuple[str, Any]]:
    """What a class is the first to define."""
    for key, value in vars(cls).items():
        is_new = not key.startswith("_") and not any(key in vars(base) for base in cls.__mro__[1:])
        if is_new and (inspect.isfunction(value) or isinstance(value, PROPERTIES + WRAPPED)):
            yield key, value.__func__ if isinstance(value, WRAPPED) else value


def faults(name: str, value: Any, codes: set[str]) -> list[str]:
    """One line for each rule that an object's docstring breaks."""
    found = validate(value, Docstring)["errors"]
    return [f"{name}: {code} {text}" for code, text in found if code in codes]


def check(module: str, seen: set[int]) -> Iterator[list[str]]:
    """The faults of each public object of a module, but for those that were `seen`: functions may be methods, too."""
    public = dict(shown(module))
    inner = {f"{name}.{key}": m for name, cls in public.items() if inspect.isclass(cls) for key, m in methods(cls)}
    for name, value in (public | inner).items():
        if id(value) in seen:
            continue
        seen.add(id(value))
        if inspect.isclass(value) and issubclass(value, BaseException):
            yield faults(name, value, {"GL08", "SS02", "SS03"})  # raised for the user, not called
        else:
            yield faults(name, value, CODES if name in inner else {*CODES, EXAMPLE})


def main(modules: list[str]) -> int:
    """Check these modules, or all; the exit status."""
    seen: set[int] = set()
    found = {module: list(check(module, seen)) for module in modules or MODULES}
    for lines in (lines for results in found.values() for lines in results if lines):
        print(*lines, sep="\n")
    for module, results in found.items():
        print(f"{module:28}{sum(not lines for lines in results):5} of {len(results):4} clean", file=sys.stderr)
    return int(any(lines for results in found.values() for lines in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
