"""Reading pickled arrays without running anything: CIFAR's Python version is published as pickles.

A pickle is a program for a stack machine, and can run any code; even an unpickler that admits no names can be made to
take gigabytes (lengths and indices of the memo that lie) or to overflow its stack (deep tuples that are hashed). So the
machine here is our own. It has the opcodes that dictionaries, lists, numbers, strings and arrays of bytes are made of
(https://github.com/python/cpython/blob/main/Lib/pickletools.py says what each does), and runs a limited number of them. It
believes no length, calls nothing by name, and recurses nowhere. `PickledArray` keeps an array's raw bytes, and
`to_numpy` checks them.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .files import FilePath, fault, read_bytes

__all__: list[str] = []

MOST_OPERATIONS = 1 << 20  # CIFAR-100 takes a quarter of a million
_SHORT = 255  # bytes; longer strings stay where they lie, as memoryviews


class Refused(Exception):
    """What is asked for is none of what arrays and lists are made of."""


class PickledArray:
    """Stands for a numpy.ndarray: keeps the state, interprets nothing."""

    state: Any = None

    def to_numpy(self, columns: int) -> np.ndarray | None:
        """The array, if it is one of bytes with this many columns in C order, (N, columns); else None."""
        match self.state:
            case (_, (int(rows), int(found)), _Dtype(name="u1"), False | 0, bytes() | memoryview() as content):
                if found == columns and rows >= 0 and len(content) == rows * columns:
                    return np.frombuffer(content, np.uint8).reshape(rows, columns)
        return None


@dataclass(frozen=True)
class _Dtype:
    """Stands for a numpy.dtype. Its state, byte order and the like, says nothing about bytes."""

    name: str


# --- what may be asked for by name --------------------------------------------------------------------------------------
def _make_array(machine: _Machine, *_: Any) -> PickledArray:
    return PickledArray()


def _make_dtype(machine: _Machine, name: Any = None, *_: Any) -> _Dtype:
    if not isinstance(name, str | bytes):
        raise Refused(f"a dtype named by {type(name).__name__}")
    return _Dtype(name if isinstance(name, str) else name.decode("latin-1"))


def _encode(machine: _Machine, text: Any = None, encoding: Any = None, *_: Any) -> bytes:
    # How Python 3 writes bytes in a pickle that Python 2 can read.
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
        raise Refused(f"text in the encoding {encoding!r:.40}")
    machine.encoded += len(text)
    if machine.encoded > len(machine.content):
        raise Refused("text that is encoded again and again")
    return text.encode("latin-1")


_ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _make_array,
    ("numpy._core.multiarray", "_reconstruct"): _make_array,
    ("numpy", "ndarray"): _make_array,
    ("numpy", "dtype"): _make_dtype,
    ("_codecs", "encode"): _encode,
}


class _Machine:
    """A stack, the marks on it, and the memo: what has been put aside under a number."""

    def __init__(self, content: bytes):
        self.content, self.at = content, 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.encoded = 0

    def run(self) -> Any:
        """What lies on top of the stack at the end. What labels and file names are made of is done here."""
        content, stack, memo, at, left = self.content, self.stack, self.memo, 0, MOST_OPERATIONS
        while left > 0:
            code = content[at]
            left -= 1
            if code == 0x55 or code == 0x43:  # U, C: a string of up to 255 bytes
                end = at + 2 + content[at + 1]
                stack.append(content[at + 2 : end])
                at = end
            elif code == 0x72:  # r: keep it under a number of four bytes
                memo[int.from_bytes(content[at + 1 : at + 5], "little")] = stack[-1]
                at += 5
            elif code == 0x94:  # keep it under the next number
                memo[len(memo)] = stack[-1]
                at += 1
            elif code == 0x4B:  # K: a number of one byte, and more of them
                run = _INTEGERS.match(content, at)
                end = run.end() if run else len(content)
                stack += content[at + 1 : end : 2]
                left -= (end - at) // 2
                at = end
            elif code == 0x2E:  # .: the end
                return stack[-1]
            else:
                self.at = at + 1
                operation = _OPERATIONS.get(code)
                if operation is None:
                    raise Refused(f"the opcode {bytes([code])!r}, which is none of those")
                operation(self)
                at = self.at
        raise Refused(f"a program of more than {MOST_OPERATIONS} steps")

    def take(self, n: int) -> bytes:
        """The next `n` bytes."""
        end = self.at + n
        if end > len(self.content):
            raise EOFError(f"cut short, {end - len(self.content)} bytes are missing")
        piece, self.at = self.content[self.at : end], end
        return piece

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> bytes:
        end = self.content.index(b"\n", self.at)
        line, self.at = self.content[self.at : end], end + 1
        return line

    def string(self, form: str) -> bytes | memoryview:
        """A string whose length comes before it."""
        n = self.number(form)
        if n <= _SHORT:
            return self.take(n)
        start, self.at = self.at, self.at + n
        if self.at > len(self.content):
            raise EOFError(f"cut short, {self.at - len(self.content)} bytes are missing")
        return memoryview(self.content)[start : self.at]

    def name(self, module: Any, name: Any) -> Callable[..., Any]:
        if not isinstance(module, str) or not isinstance(name, str) or (module, name) not in _ADMITTED:
            raise Refused(f"the name `{module!s:.99}.{name!s:.99}`, which is refused")
        return _ADMITTED[module, name]

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise IndexError("too little on the stack")
        return self.stack.pop()

    def since_mark(self) -> list[Any]:
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items

    def extend(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise TypeError(f"items for a {type(self.stack[-1]).__name__}")
        self.stack[-1].extend(items)

    def update(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict) or len(items) % 2:
            raise TypeError(f"{len(items)} keys and values for a {type(self.stack[-1]).__name__}")
        for key, value in zip(items[::2], items[1::2]):
            if not isinstance(key, str | bytes):  # others can be hashed slowly, or not at all
                raise Refused(f"a dictionary with a key of type {type(key).__name__}")
            self.stack[-1][key] = value

    def pops(self, n: int) -> list[Any]:
        return [self.pop() for _ in range(n)][::-1]


# --- the opcodes --------------------------------------------------------------------------------------------------------
def _integer(line: bytes) -> int | bool:
    return line == b"01" if line in (b"00", b"01") else int(line.removesuffix(b"L"))


_ESCAPED = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|(.?))", re.DOTALL)
_LETTERS = {b"\\": b"\\", b"'": b"'", b'"': b'"', b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def _quoted(line: bytes) -> bytes:
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise ValueError("a string that is not quoted")
    return _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()) if found[1] else _LETTERS[found[2]], line[1:-1])


def _dict(items: list[Any], machine: _Machine) -> dict[Any, Any]:
    machine.stack.append({})
    machine.update(items)
    return machine.stack.pop()


def _call(machine: _Machine) -> Any:
    function, arguments = machine.pops(2)
    if not any(function is admitted for admitted in _ADMITTED.values()) or not isinstance(arguments, tuple):
        raise Refused(f"a call of {type(function).__name__}")
    return function(machine, *arguments[:3])


def _build(machine: _Machine) -> None:
    state, made = machine.pop(), machine.stack[-1]
    if isinstance(made, PickledArray):
        made.state = state
    elif not isinstance(made, _Dtype):
        raise Refused(f"a {type(made).__name__} with a state")


def _keep(machine: _Machine, number: int) -> None:
    machine.memo[number] = machine.stack[-1]


def _number(form: str) -> Callable[[_Machine], Any]:
    return lambda m: m.number(form)


def _string(form: str) -> Callable[[_Machine], Any]:
    return lambda m: m.string(form)


def _text(form: str) -> Callable[[_Machine], Any]:
    return lambda m: str(m.string(form), "utf-8", "surrogatepass")


def _long(form: str) -> Callable[[_Machine], Any]:
    return lambda m: int.from_bytes(m.string(form), "little", signed=True)


def _pushes(value: Callable[[_Machine], Any]) -> Callable[[_Machine], Any]:
    return lambda m: m.stack.append(value(m))


# What puts a value on the stack, by opcode, and what does something else.
_VALUES: dict[bytes, Callable[[_Machine], Any]] = {
    b"N": lambda m: None,
    b"\x88": lambda m: True,
    b"\x89": lambda m: False,
    b"M": _number("<H"),
    b"J": _number("<i"),
    b"G": _number(">d"),
    b"\x8a": _long("<B"),
    b"\x8b": _long("<I"),
    b"T": _string("<I"),
    b"B": _string("<I"),
    b"\x8e": _string("<Q"),
    b"\x8c": _text("<B"),
    b"X": _text("<I"),
    b"\x8d": _text("<Q"),
    b"I": lambda m: _integer(m.line()),
    b"L": lambda m: _integer(m.line()),
    b"F": lambda m: float(m.line()),
    b"S": lambda m: _quoted(m.line()),
    b"V": lambda m: m.line().decode("raw-unicode-escape"),
    b"]": lambda m: [],
    b"}": lambda m: {},
    b")": lambda m: (),
    b"l": _Machine.since_mark,
    b"t": lambda m: tuple(m.since_mark()),
    b"d": lambda m: _dict(m.since_mark(), m),
    b"\x85": lambda m: tuple(m.pops(1)),
    b"\x86": lambda m: tuple(m.pops(2)),
    b"\x87": lambda m: tuple(m.pops(3)),
    b"2": lambda m: m.stack[-1],
    b"h": lambda m: m.memo[m.number("<B")],
    b"j": lambda m: m.memo[m.number("<I")],
    b"g": lambda m: m.memo[int(m.line())],
    b"c": lambda m: m.name(m.line().decode(), m.line().decode()),
    b"\x93": lambda m: m.name(*m.pops(2)),
    b"R": _call,
}
_ACTIONS: dict[bytes, Callable[[_Machine], Any]] = {
    b"\x80": lambda m: m.take(1),  # the protocol
    b"\x95": lambda m: m.take(8),  # a frame
    b"(": lambda m: m.marks.append(len(m.stack)),
    b"0": _Machine.pop,
    b"1": _Machine.since_mark,
    b"a": lambda m: m.extend(m.pops(1)),
    b"e": lambda m: m.extend(m.since_mark()),
    b"s": lambda m: m.update(m.pops(2)),
    b"u": lambda m: m.update(m.since_mark()),
    b"q": lambda m: _keep(m, m.number("<B")),
    b"r": lambda m: _keep(m, m.number("<I")),
    b"p": lambda m: _keep(m, int(m.line())),
    b"b": _build,
}
_OPERATIONS = {ord(code): _pushes(value) for code, value in _VALUES.items()}
_OPERATIONS |= {ord(code): action for code, action in _ACTIONS.items()}
_INTEGERS = re.compile(rb"(?:K.){1,1000}", re.DOTALL)


def read_pickle(path: FilePath) -> Any:
    """What is pickled in the file: numbers, strings, lists, dictionaries, and a `PickledArray` for each array.

    Strings of Python 2 are bytes; long ones, memoryviews. Raises DataError if the file is damaged, or asks for anything
    else.
    """
    machine = _Machine(read_bytes(path))
    try:
        return machine.run()
    except Refused as error:
        fix = "it is damaged or not what it claims to be: download it again"
        raise fault(path, "a pickle of arrays and lists", str(error), fix) from None
    except (EOFError, ValueError, TypeError, LookupError, MemoryError, OverflowError, struct.error) as error:
        found = f"a damaged one ({type(error).__name__}: {error})"
        raise fault(path, "a complete pickle", found, "download it again") from None
