"""What is told of a fault; `test_emulator.py` has those that kernels really commit."""

from types import SimpleNamespace

import numpy as np
import pytest

from weft.kernels.emulator.faults import _KINDS, Fault, explain

INSTANCE = SimpleNamespace(expression="f<float>", source="f.cu")
X = np.zeros((33, 31), np.float32)
PLACE = {"file": b"/somewhere/f.cu", "line": 9, "block": (3, 0, 0), "thread": (255, 0, 0), "bytes": 4}
FIRST = "argument 0 (float32 33×31) at element 0"
OTHER = {"has_other": 1, "other_block": (1, 0, 0), "other_thread": (2, 0, 0)}

FAULTS = [
    ("out-of-bounds read", {"offset": 4092}, "it reads 4 bytes of argument 0 (float32 33×31) at element 1023"),
    ("out-of-bounds write", {"wrote": 1, "argument": -1}, "it writes 4 bytes of memory that no argument points to"),
    ("uninitialised read", {"what": b"tile", "size": 256, "offset": 252},
     "it reads 4 bytes of shared memory `tile` (256 bytes) at byte 252"),
    ("misaligned access", {}, f"4 bytes at once from an address that they do not divide, {FIRST}"),
    ("race", {"wrote": 1, **OTHER},
     f"it writes {FIRST}, which thread (2, 0, 0) of block (1, 0, 0) read, with no barrier in between"),
    ("missing wait", OTHER,
     f"it reads {FIRST}, to which an asynchronous copy of thread (2, 0, 0) of block (1, 0, 0) is still under way"),
    ("divergent barrier", {}, "not all threads come here"),
    ("divergent barrier", OTHER, "thread (2, 0, 0) of block (1, 0, 0) has returned and never comes here"),
    ("divergent barrier", {**OTHER, "other_file": b"/somewhere/g.cuh", "other_line": 5},
     "thread (2, 0, 0) of block (1, 0, 0) waits at g.cuh:5 instead"),
    ("misuse", {"what": b"shuffle", "other_file": b"lane 5"}, "shuffle: lane 5"),
    ("stack overflow", {}, "its local variables take more than 128 KiB"),
    ("hang", {"what": b"mbarrier", "other_file": b"phase 1"},
     "nobody can go on, and what it waits for never comes: mbarrier, phase 1"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "fields", "detail"), FAULTS)
def test_what_is_told(kind, fields, detail):
    error = explain(INSTANCE, None, Fault(kind=_KINDS.index(kind), **{**PLACE, **fields}), [X])
    assert error.kind == kind
    assert str(error) == f"{kind} in `f<float>` at f.cu:9, block (3, 0, 0), thread (255, 0, 0): {detail}"
