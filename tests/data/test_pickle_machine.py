"""The machine against the interpreter's own unpickler, on data; and each thing that it refuses."""

import pickle
import struct

import numpy as np
import pytest

from weft.data import DataError
from weft.data.pickle_machine import Machine, Refused
from weft.data.pickles import read_pickle

DATA = {
    "text": ["", "é😀\n\\", "x" * 300, "y" * 70_000],
    b"bytes": [b"\n\\'\"\xff", b"a" * 300, b"b" * 70_000],
    "integers": [0, 1, 255, 256, 65535, 65536, -1, 2**31 - 1, -(2**31), 2**63, -(2**100), 2**3000],
    "floats": [0.5, -1e300, float("inf")],
    "rest": [None, True, False, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], {}, {"a": {b"b": [[], ()]}}],
    "runs": list(range(256)) * 9 + [[7] * 3],
}


def plain(value):
    """With bytes in the place of memoryviews."""
    if isinstance(value, list | tuple):
        return type(value)(map(plain, value))
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return bytes(value) if isinstance(value, memoryview) else value


@pytest.mark.parametrize("protocol", range(5))
def test_as_the_interpreter(tmp_path, protocol):
    shared = [1, 2]
    (tmp_path / "a").write_bytes(pickle.dumps([DATA, shared, shared], protocol))
    data, first, second = read_pickle(tmp_path / "a")
    assert plain(data) == DATA
    assert first is second
    assert first == shared


@pytest.mark.parametrize(
    ("program", "value"),
    [
        (b"I01\nI00\nI-5\nL7L\nF1.5\n(tl.", None),
        (b"(I01\nI00\nI-5\nL7L\nF1.5\nt.", (True, False, -5, 7, 1.5)),
        (rb"(S'a\n\'\\\x41'" + b'\nS"b"\nl.', [b"a\n'\\A", b"b"]),
        (b"(U\x01aK\x01U\x01bK\x02d.", {b"a": 1, b"b": 2}),
        (b"]p7\n0g7\n.", []),
        (b"K\x01K\x020.", 1),
        (b"K\x01(K\x02K\x031.", 1),
        (b"K\x012\x86.", (1, 1)),
        (b"]q\x000h\x00K\x05a.", [5]),
    ],
)
def test_opcodes_of_old(program, value):
    if value is None:  # nothing lies below the mark
        with pytest.raises(IndexError):
            Machine(program, {}).run()
        return
    assert Machine(program, {}).run() == value
    assert pickle.loads(program, encoding="bytes") == value


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x.", r"cut short, \d{13} bytes are missing"),
        (b"X\xff\xff\xff\xffabc.", r"cut short, 4294967\d{3} bytes are missing"),
        (b"\x8b\xff\xff\xff\x7fabc.", r"cut short"),
        (b"\x96" + struct.pack("<Q", 2**40) + b"x.", r"the opcode b'\\x96', which is none of those"),
        (b"}" + b")" + b"\x85" * 3 + b"Ns.", "a dictionary with a key of type tuple"),
        (b"}K\x01Ns.", "a dictionary with a key of type int"),
        (b"]K\x01Ns.", "2 keys and values for a list"),
        (b"]" * 50 + b".", "a program of more than 40 steps"),
        (b"](" + b"K\x01" * 50 + b"e.", "a program of more than 40 steps"),
        (b"]}b.", "a list with a state"),
        (b"](ti0\n.", r"the opcode b'i'"),
        (b"N)R.", "a call of NoneType"),
        (b"I" + b"9" * 5000 + b"\n.", "Exceeds the limit"),
        (b"h\x05.", "KeyError: 5"),
        (b"q\x05.", "IndexError"),
        (rb"S'\q'" + b"\n.", "KeyError"),
        (b"Sa\n.", "a string that is not quoted"),
        (b"cnumpy\ndtype\n(J\xff\xff\xff\x7ftR.", "a dtype named by int"),
        (b"cnumpy\ndtype\n}b.", "a function with a state"),
        (b"X\xc8\0\0\0" + b"x" * 200 + b"q\x00" + b"c_codecs\nencode\nh\x00U\x06latin1\x86R" * 20 + b".",
         "text that is encoded again and"),
    ],
)  # fmt: skip
def test_refused(tmp_path, monkeypatch, program, message):
    monkeypatch.setattr("weft.data.pickle_machine.MOST_OPERATIONS", 40 if program.count(b"encode") < 2 else 200)
    (tmp_path / "a").write_bytes(program)
    with pytest.raises(DataError, match=f"a`: expected a .*({message})"):
        read_pickle(tmp_path / "a")


def test_nothing_changes_a_function():
    """A state for a function would be its `__dict__`, and so last."""
    with pytest.raises(Refused, match="a builtin_function_or_method with a state"):
        Machine(b"ca\nb\n}b.", {("a", "b"): len}).run()


def test_any_number_in_the_memo_costs_one_entry():
    machine = Machine(b"Nr\xff\xff\xff\x7fj\xff\xff\xff\x7f\x86.", {})
    assert machine.run() == (None, None)
    assert len(machine.memo) == 1


def test_long_strings_are_not_copied():
    content = pickle.dumps(bytes(1000), protocol=4)
    assert Machine(content, {}).run().obj is content
    assert np.frombuffer(Machine(content, {}).run(), np.uint8).sum() == 0
