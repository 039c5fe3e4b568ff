"""The stack machine that a pickle is a program for, with the opcodes that data are made of, and no others.

(https://github.com/python/cpython/blob/main/Lib/pickletools.py says what each does.) It believes no length, runs a limited
number of opcodes, calls what it is given to call, and recurses nowhere.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from typing import Any

__all__: list[str] = []

MOST_OPERATIONS = 1 << 20  # CIFAR-100 takes a quarter of a million
_SHORT = 255  # bytes; longer strings stay where they lie, as memoryviews


class Refused(Exception):
    """What is asked for is none of what dictionaries, lists, numbers, strings and the admitted instances are made of."""


class Instance:
    """What an admitted function has made; a pickle may give it a state."""

    state: Any = None


class Machine:
    """A stack, the marks on it, and the memo: what has been put aside under a number."""

    def __init__(self, content: bytes, admitted: Mapping[tuple[str, str], Callable[..., Any]]):
        self.content, self.admitted, self.at = content, admitted, 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.made = 0  # bytes, by admitted functions, which must not make more than there are in the file

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
        if not isinstance(module, str) or not isinstance(name, str) or (module, name) not in self.admitted:
            raise Refused(f"the name `{module!s:.99}.{name!s:.99}`, which is refused")
        return self.admitted[module, name]

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


def _dict(items: list[Any], machine: Machine) -> dict[Any, Any]:
    machine.stack.append({})
    machine.update(items)
    return machine.stack.pop()


def _call(machine: Machine) -> Any:
    function, arguments = machine.pops(2)
    if not any(function is admitted for admitted in machine.admitted.values()) or not isinstance(arguments, tuple):
        raise Refused(f"a call of {type(function).__name__}")
    return function(machine, *arguments[:3])


def _build(machine: Machine) -> None:
    state, instance = machine.pop(), machine.stack[-1]
    if not isinstance(instance, Instance):
        raise Refused(f"a {type(instance).__name__} with a state")
    instance.state = state


def _keep(machine: Machine, number: int) -> None:
    machine.memo[number] = machine.stack[-1]


def _number(form: str) -> Callable[[Machine], Any]:
    return lambda m: m.number(form)


def _string(form: str) -> Callable[[Machine], Any]:
    return lambda m: m.string(form)


def _text(form: str) -> Callable[[Machine], Any]:
    return lambda m: str(m.string(form), "utf-8", "surrogatepass")


def _long(form: str) -> Callable[[Machine], Any]:
    return lambda m: int.from_bytes(m.string(form), "little", signed=True)


def _pushes(value: Callable[[Machine], Any]) -> Callable[[Machine], Any]:
    return lambda m: m.stack.append(value(m))


# What puts a value on the stack, by opcode, and what does something else.
_VALUES: dict[bytes, Callable[[Machine], Any]] = {
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
    b"l": Machine.since_mark,
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
_ACTIONS: dict[bytes, Callable[[Machine], Any]] = {
    b"\x80": lambda m: m.take(1),  # the protocol
    b"\x95": lambda m: m.take(8),  # a frame
    b"(": lambda m: m.marks.append(len(m.stack)),
    b"0": Machine.pop,
    b"1": Machine.since_mark,
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
