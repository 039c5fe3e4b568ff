"""Estimates that contradict control flow or what was counted, of graphs whose numbers are worked out by hand."""

import dataclasses

import pytest

from weft.kernels.emulator.balance import Estimate, balanced
from weft.kernels.emulator.control_flow import Flow, callers_first
from weft.kernels.emulator.counts import Counts, Launch
from weft.kernels.emulator.requests import asked_of
from weft.kernels.toolchain.machine_code import Instruction

WARPS = 8
LAUNCH = Launch(None, (1,), (32 * WARPS,), 0, (), {}, frozenset(), 0, 0, 0, 0)


def stores(line, requests):
    return Counts("a.cu", line, "global", "write", 4, requests, 32 * requests, 128 * requests)


def run(estimates, counts, *blocks):
    """How often blocks run that have stores of these lines: (lines, opcode, target, whether some threads go on)."""
    code = []
    for n, (lines, opcode, target, some) in enumerate(blocks):
        code += [Instruction("STG.E", (("a.cu", line),), n) for line in lines]
        code.append(Instruction(opcode, (), n, target, some))
    every = callers_first(code)
    launch = dataclasses.replace(LAUNCH, counts=counts)
    found = balanced(every, {0: Flow.of(every, 0)}, launch, asked_of(every, launch), estimates, WARPS)
    return [found[n] for n in range(len(blocks))]


def test_two_versions_of_which_one_stores_what_nobody_asked_for():
    """Both are estimated at half of the stores of line 1; line 2 was asked for nothing, so the first version did not run."""
    blocks = [((), "BRA", 2, True), ((1, 2), "BRA", 3, False), ((1,), "FADD", None, False), ((), "EXIT", None, False)]
    estimates = {n: Estimate(times, 1.0) for n, times in enumerate((8, 4, 4, 8))}
    assert run(estimates, (stores(1, 8),), *blocks) == pytest.approx([8, 0, 8, 8])


def test_the_head_of_an_outer_loop_by_the_line_of_an_inner_one():
    """Three turns, each with a store before and two turns of two stores; the head was taken to turn as often as the inner loop."""
    blocks = [
        ((), "MOV", None, False),
        ((), "MOV", None, False),
        ((2, 2), "BRA", 2, True),
        ((1,), "BRA", 1, True),
        ((), "EXIT", None, False),
    ]
    estimates = {
        0: Estimate(8, 0.01), 1: Estimate(48, 0.3, 8), 2: Estimate(48, 1.0, 48), 3: Estimate(24, 1.0), 4: Estimate(8, 0.01),
    }  # fmt: skip
    assert run(estimates, (stores(1, 24), stores(2, 96)), *blocks) == pytest.approx([8, 24, 48, 24, 8])


def test_lanes_that_part():
    """A warp takes both ways where its lanes do: what lines tell of both is more than came."""
    blocks = [((), "BRA", 2, True), ((), "BRA", 3, False), ((), "FADD", None, False), ((1,), "EXIT", None, False)]
    estimates = {n: Estimate(8, 0.3) for n in range(4)}
    assert run(estimates, (stores(1, 8),), *blocks) == pytest.approx([8, 8, 8, 8])


def test_no_loop_turns_that_is_not_entered():
    """What a loop's line asks for is not done by a loop that nobody comes to, but as far as can be where they do."""
    blocks = [
        ((2,), "BRA", 3, True),
        ((3,), "MOV", None, False),  # asked for nothing
        ((1,), "BRA", 2, True),
        ((), "MOV", None, False),
        ((1,), "BRA", 4, True),
        ((), "EXIT", None, False),
    ]
    estimates = {
        0: Estimate(8, 1.0), 1: Estimate(4, 0.3), 2: Estimate(40, 1.0, 4), 3: Estimate(8, 0.01), 4: Estimate(40, 1.0, 8),
        5: Estimate(8, 0.01),
    }  # fmt: skip
    assert run(estimates, (stores(1, 80), stores(2, 8)), *blocks) == pytest.approx([8, 0, 0, 8, 80, 8])
