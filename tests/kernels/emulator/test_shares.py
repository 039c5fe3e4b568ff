"""Requests of a loop that was unrolled by four, and what is left one by one: known at a glance."""

from types import SimpleNamespace
from typing import Any

import pytest

from weft.kernels.emulator.control_flow import Flow, callers_first
from weft.kernels.emulator.requests import Copy, Part
from weft.kernels.emulator.shares import Shares
from weft.kernels.toolchain.machine_code import Instruction

LINE = (("x.cu", 1),)
CODE = [
    Instruction(opcode, LINE, n, target, some)
    for n, (opcode, target, some) in enumerate(
        [("BRA", 2, True), ("BRA", 1, True), ("BRA", 4, True), ("BRA", 3, True), ("EXIT", None, False)]
    )
]
LOAD = Instruction("LDG.E", LINE, 1)
WARPS = 8


def shares_of(requests):
    """Of the loop by four, which is block 1, and of the other, which is block 3."""
    blocks = callers_first(CODE)
    launch: Any = SimpleNamespace(trips={})
    shares = Shares(blocks, launch, {}, Flow.of(blocks, 0), dict.fromkeys(blocks, 0.0) | {0: float(WARPS)})
    part = Part(requests, [*[Copy(1, LOAD, 1.0)] * 4, Copy(3, LOAD, 1.0)])
    found = []
    for number in (1, 3):
        shares.now, shares.come = number, float(WARPS)
        found.append(shares.share(part, number))
    return found


@pytest.mark.parametrize(("turns", "four", "one"), [(0, 0, 0), (3, 0, 3), (4, 1, 0), (19, 4, 3), (40000, 10000, 0)])
def test_the_same_turns_for_all_warps(turns, four, one):
    assert shares_of(turns * WARPS) == [four * WARPS, one * WARPS]


def test_all_requests_are_somebodys():
    four, one = shares_of(77.0)
    assert 4 * four + one == pytest.approx(77)
