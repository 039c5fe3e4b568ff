"""Reading pickles without running them: an interpreter of the instructions that data need, for names that data need.

`pickle` calls what a file names, and so runs whatever its author likes. Here a name stands for a function of our own, out of
one table; nothing is imported, looked up or called besides. https://docs.python.org/3/library/pickletools.html
"""

from __future__ import annotations

import pickletools
import warnings
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["MOST_BITS", "Refused", "Restored", "hashable", "read_pickle"]

_LITERALS = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8",
}  # fmt: skip
_VALUES = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple, "EMPTY_SET": set}
_KEYS = (str, int, float, bool, bytes, complex, type(None))
MOST_BITS = 32_000  # of an integer: the longest that data have any use for
MOST_MADE = 1 << 25  # bytes and elements that the calls of a pickle make


_Function = type(lambda: None)


class Refused(ValueError):
    """A pickle that holds more than data, or is damaged: the message says what."""


class Restored:
    """What a table has for a name whose instances get their state later: `restore` is called with it."""

    def restore(self, state: Any) -> None:
        """Take the state over."""
        raise Refused(f"the state of a {type(self).__name__}")


class _Machine:
    """The stack, and what was put aside."""

    def __init__(self, names: Mapping[str, Any], persistent: Callable[[Any], Any], means: tuple[type, ...]):
        self.names, self.persistent, self.means = names, persistent, means
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # what lies under each mark
        self.memo: dict[int, Any] = {}
        self.made = 0  # bytes and elements, by calls

    def step(self, name: str, argument: Any) -> None:
        """One instruction."""
        if name in _LITERALS:
            if isinstance(argument, int) and argument.bit_length() > MOST_BITS:
                raise Refused("an integer of more digits than data have")
            self.stack.append(argument)
        elif name in _VALUES:
            self.stack.append(_VALUES[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.top()
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self.top()
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name not in ("PROTO", "FRAME"):
            method = getattr(self, f"do_{name.lower()}", None)
            if method is None:
                raise Refused(f"the instruction {name}, which data have no use for")
            method(argument)

    def top(self) -> Any:
        """What lies on the stack, left there."""
        if not self.stack:
            raise Refused("an instruction without its operand")
        return self.stack[-1]

    def pop(self) -> Any:
        """What lies on the stack."""
        self.top()
        return self.stack.pop()

    def above_mark(self) -> list[Any]:
        """All above the last mark, which goes with them."""
        found, self.stack = self.stack, self.below.pop()
        return found

    def of_type(self, kind: type) -> Any:
        """The container on the stack."""
        if type(self.top()) is not kind and not (kind is dict and isinstance(self.top(), dict)):
            raise Refused(f"a {type(self.top()).__name__} where a {kind.__name__} belongs")
        return self.top()

    def put(self, pairs: list[Any]) -> None:
        """Keys and values, in turn, into the dict on the stack."""
        found = self.of_type(dict)
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            found[hashable(key)] = self.data(value)

    def data(self, value: Any) -> Any:
        """A value, which is none of the table's own means of making values."""
        parts = value if isinstance(value, tuple) else (value,)
        if any(isinstance(part, self.means) or (callable(part) and type(part) is _Function) for part in parts):
            raise Refused("a storage, a type or a function as a value")
        return value

    # --- instructions -------------------------------------------------------------------------------------------------
    def do_mark(self, _: Any) -> None:
        self.below.append(self.stack)
        self.stack = []

    def do_pop(self, _: Any) -> None:
        self.pop()

    def do_pop_mark(self, _: Any) -> None:
        self.above_mark()

    def do_append(self, _: Any) -> None:
        value = self.data(self.pop())
        self.of_type(list).append(value)

    def do_appends(self, _: Any) -> None:
        values = self.above_mark()
        self.of_type(list).extend(map(self.data, values))

    def do_list(self, _: Any) -> None:
        found = self.above_mark()
        self.stack.append(found)

    def do_additems(self, _: Any) -> None:
        values = self.above_mark()
        self.of_type(set).update(map(hashable, values))

    def do_frozenset(self, _: Any) -> None:
        found = frozenset(map(hashable, self.above_mark()))
        self.stack.append(found)

    def do_tuple(self, _: Any) -> None:
        found = tuple(self.above_mark())
        self.stack.append(found)

    def do_tuple1(self, _: Any) -> None:
        self.stack.append((self.pop(),))

    def do_tuple2(self, _: Any) -> None:
        last = self.pop()
        self.stack.append((self.pop(), last))

    def do_tuple3(self, _: Any) -> None:
        last, middle = self.pop(), self.pop()
        self.stack.append((self.pop(), middle, last))

    def do_dict(self, _: Any) -> None:
        pairs = self.above_mark()
        self.stack.append({})
        self.put(pairs)

    def do_setitem(self, _: Any) -> None:
        value = self.pop()
        key = self.pop()
        self.put([key, value])

    def do_setitems(self, _: Any) -> None:
        self.put(self.above_mark())

    def do_global(self, name: str) -> None:
        name = name.replace(" ", ".", 1)
        if name not in self.names:
            raise Refused(f"the name {name}, which is none that data need")
        self.stack.append(self.names[name])

    def do_stack_global(self, _: Any) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise Refused("a name that is no string")
        self.do_global(f"{module} {name}")

    def do_reduce(self, _: Any) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(arguments, tuple) or not any(function is known for known in self.names.values()):
            raise Refused("a call of something that is not in the table")
        made = function(*arguments)
        self.made += len(made) if isinstance(made, bytes | set | dict) else 0
        if self.made > MOST_MADE:
            raise Refused(f"calls that make more than {MOST_MADE} bytes or elements")
        self.stack.append(made)

    do_newobj = do_reduce

    def do_build(self, _: Any) -> None:
        state, found = self.pop(), self.top()
        if not isinstance(found, Restored):
            raise Refused(f"a state for a {type(found).__name__}")
        found.restore(state)

    def do_binpersid(self, _: Any) -> None:
        self.stack.append(self.persistent(self.pop()))


def hashable(key: Any) -> Any:
    """A key that is cheap to hash: a tuple of tuples of the same tuple takes exponential time."""
    if isinstance(key, _KEYS) or (isinstance(key, tuple) and all(isinstance(part, _KEYS) for part in key)):
        return key
    raise Refused(f"a {type(key).__name__} as a key")


def read_pickle(
    content: bytes, names: Mapping[str, Any], persistent: Callable[[Any], Any], means: tuple[type, ...] = ()
) -> Any:
    """What a pickle holds, where it holds data alone.

    Parameters
    ----------
    content : bytes
        The pickle, of any protocol.
    names : dict
        Full names ↦ what stands in their places: values, or functions of our own that a call in the pickle reaches.
    persistent : callable
        Gives the object to an identifier that is kept outside of the pickle.
    means : tuple of type, default ()
        Of what may be given to functions, but is no value of its own.

    Returns
    -------
    object
        Containers, numbers, strings, and what `names` and `persistent` gave.

    Raises
    ------
    Refused
        If it names anything else, or is damaged.

    Examples
    --------
    >>> import pickle
    >>> from weft.compat.pickled import read_pickle
    >>> read_pickle(pickle.dumps({"a": [1, 2.5, None]}), {}, None)
    {'a': [1, 2.5, None]}
    >>> read_pickle(pickle.dumps(print), {}, None)
    Traceback (most recent call last):
        ...
    weft.compat.pickled.Refused: the name builtins.print, which is none that data need
    """
    machine = _Machine(names, persistent, means)
    try:
        return _run(machine, content)
    except Refused:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, MemoryError) as error:
        raise Refused(f"a damaged pickle ({type(error).__name__}: {str(error)[:99]})") from None


def _run(machine: _Machine, content: bytes) -> Any:
    """The object at the pickle's end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of backslashes in strings that are refused anyway
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name == "STOP":
                return machine.data(machine.pop())
            machine.step(opcode.name, argument)
    raise Refused("a pickle without an end")
