"""Graphs whose dominators, loops and ways are seen at a glance."""

import pytest

from weft.kernels.emulator.control_flow import Flow, callers_first, calls, reached
from weft.kernels.toolchain.machine_code import Instruction


def program(*blocks):
    """Of (opcode, target, whether some threads go on, function): block 0, 1, …"""
    return [
        Instruction(opcode, (), n, target, some, function) for n, (opcode, target, some, function) in enumerate(blocks)
    ]


DIAMOND = program(("BRA", 2, True, ""), ("BRA", 3, False, ""), ("FADD", None, False, ""), ("EXIT", None, False, ""))
NESTED = program(
    ("MOV", None, False, ""),
    ("MOV", None, False, ""),  # the head of the outer loop
    ("BRA", 2, True, ""),  # the inner loop
    ("BRA", 1, True, ""),
    ("EXIT", None, False, ""),
)


def flow_of(code):
    return Flow.of(callers_first(code), 0)


def test_what_branches_meets_again():
    flow = flow_of(DIAMOND)
    assert flow.before == {0: set(), 1: {0}, 2: {0}, 3: {1, 2}}
    assert flow.dominator == {1: 0, 2: 0, 3: 0}
    assert flow.order.index(0) == 0
    assert flow.order[-1] == 3
    assert flow.dominates(0, 3)
    assert not flow.dominates(1, 3)


def test_loops():
    flow = flow_of(NESTED)
    assert flow.loops == {1: {1, 2, 3}, 2: {2}}
    assert [flow.around(n) for n in range(5)] == [[], [1], [2, 1], [1], []]


def test_what_every_way_passes():
    flow = flow_of(DIAMOND)
    assert [flow.passes(n, 0) for n in range(4)] == [True, False, False, True]
    assert flow.common_dominator(1, 2) == 0
    nested = flow_of(NESTED)  # each turn of the outer loop passes the inner one
    assert nested.passes(2, 1)
    assert nested.passes(4, 0)
    assert nested.common_dominator(3, 2) == 2


def test_a_call_within_a_function_is_a_jump():
    """A loop that is left by a call of the end, which has no other way to be reached."""
    code = program(("MOV", None, False, ""), ("CALL", 3, True, ""), ("BRA", 1, False, ""), ("EXIT", None, False, ""))
    blocks = callers_first(code)
    assert Flow.of(blocks, 0).loops == {1: {1, 2}}
    assert reached(blocks) == {0, 1, 2, 3}


class TestReached:
    def test_a_way_around(self):
        blocks = callers_first(DIAMOND)
        assert reached(blocks, {1}) == {0, 2, 3}
        assert reached(blocks, {1, 2}) == set()

    @pytest.mark.parametrize("end", ["RET", "BRA"])
    def test_a_function_that_does_not_end_is_no_way(self, end):
        """Block 1 calls it; block 2 does not."""
        code = program(("BRA", 2, True, ""), ("CALL", 3, False, ""), ("EXIT", None, False, ""), (end, 3, False, "$f"))
        assert reached(callers_first(code)) == ({0, 1, 2, 3} if end == "RET" else {0, 2})

    def test_what_is_called_comes_after_those_that_call(self):
        code = program(("CALL", 3, False, ""), ("EXIT", None, False, ""), ("RET", None, False, "$g"),
                       ("CALL", 2, False, "$f"), ("RET", None, False, "$f"))  # fmt: skip
        blocks = callers_first(code)
        assert list(blocks) == [0, 1, 3, 4, 2]
        assert [calls(block) for block in blocks.values()] == [3, -1, 2, -1, -1]
        assert reached(blocks) == {0, 1, 2, 3, 4}
