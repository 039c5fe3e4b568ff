"""Slow paths by hand: blocks of three lines, of which no warp came to one."""

from types import SimpleNamespace

import pytest

from weft.kernels.emulator.control_flow import callers_first
from weft.kernels.emulator.counts import Counts, Launch
from weft.kernels.emulator.reachable import reachable
from weft.kernels.toolchain.machine_code import Instruction

HEAD, FIRST, SECOND, END = (("a.cu", line) for line in range(1, 5))


def kernel(first, second, end="EXIT"):
    """A branch with two arms, of which each is one instruction and what ends it, and the end."""
    return callers_first(
        [
            Instruction("BRA", (HEAD,), 0, 2, True, ""),
            Instruction(first, (FIRST,), 1, None, False, ""),
            Instruction("BRA", (FIRST,), 1, 3, False, ""),
            Instruction(second, (SECOND,), 2, None, False, ""),
            Instruction(end, (END,), 3, None, False, ""),
        ]
    )


def launch(never=(), counts=()):
    instance = SimpleNamespace(expression="f")
    return Launch(instance, (1, 1, 1), (32, 1, 1), 0, tuple(counts), {}, frozenset(never), 0, 0, 0, 0)


def read(place):
    return Counts(*place, "global", "read", 4, 1, 32, 128, sectors=4, ideal=4, lines=1)


def test_all_where_warps_came_to_each_line():
    assert reachable(kernel("FADD", "FMUL"), launch()) == {0, 1, 2, 3}


@pytest.mark.parametrize(("never", "left"), [(FIRST, {0, 2, 3}), (SECOND, {0, 1, 3})])
def test_an_arm_that_no_warp_came_to(never, left):
    assert reachable(kernel("FADD", "FMUL"), launch([never])) == left


def test_a_way_to_the_end_stays():
    """Though the only one is by lines that no warp came to."""
    assert reachable(kernel("FADD", "FMUL"), launch([HEAD, END])) == {0, 1, 2, 3}
    assert reachable(kernel("FADD", "FMUL"), launch([FIRST, SECOND])) in ({0, 1, 3}, {0, 2, 3})


def test_what_was_asked_for_stays():
    """A load that the counters have is not on a slow path, whatever line the compiler gave to the code around it."""
    assert reachable(kernel("LDG", "FMUL"), launch([FIRST], [read(FIRST)])) == {0, 1, 2, 3}


def test_threads_that_diverged_before_a_shuffle_are_a_slow_path():
    assert reachable(kernel("WARPSYNC.COLLECTIVE", "FMUL"), launch()) == {0, 2, 3}
