"""Ways through copies of unrolled loops, which are seen at a glance."""

from fractions import Fraction

import pytest

from weft.kernels.emulator.ways import Node, way


def node(before, size=0, optional=(), *, is_loop=False, is_end=False):
    return Node(before, Fraction(size), [Fraction(part) for part in optional], is_loop, is_end)


FIRST = {  # 0 → (1: turns of 16) → (2: 8) → (3: turns of 4) → (4: one by one) → 5
    0: node([]),
    1: node([0], 16, is_loop=True),
    2: node([0, 1], 8),
    3: node([0, 1, 2], 4, is_loop=True),
    4: node([0, 1, 2, 3], 1, is_loop=True),
    5: node([0, 1, 2, 3, 4], is_end=True),
}
REST = {  # what is left over comes first; the last four are predicated
    0: node([]),
    1: node([0], 1, is_loop=True),
    2: node([0, 1], 16, is_loop=True),
    3: node([0, 1, 2], 0, [1, 1, 1, 1], is_end=True),
}
ARMS = {0: node([]), 1: node([0], 1), 2: node([0], 1), 3: node([1, 2], is_end=True)}


@pytest.mark.parametrize(
    ("requests", "expected"),
    [(0, (0, 0, 0, 0)), (3, (0, 0, 0, 3)), (4, (0, 0, 1, 0)), (31, (1, 1, 1, 3)), (16 * 1000 + 15, (1000, 1, 1, 3))],
)
def test_the_largest_first(requests, expected):
    assert way(FIRST, 0, requests) == dict(zip((1, 2, 3, 4), expected))


@pytest.mark.parametrize(
    ("requests", "expected"), [(4, (0, 0, 1)), (6, (2, 0, 1)), (21, (1, 1, 1)), (16, (0, 1, 1)), (0, (0, 0, 1))]
)
def test_instructions_that_are_predicated(requests, expected):
    """Warps pass them, whether they ask for anything or not; so many as are asked for there are no turns of others."""
    assert way(REST, 0, requests) == dict(zip((1, 2, 3), expected))


def test_warps_that_differ():
    """Three of four have 4 turns, one has 5."""
    assert way(FIRST, 0, 4.25) == {1: 0, 2: 0, 3: 1, 4: 0.25}


def test_arms_that_are_alike():
    assert way(ARMS, 0, 1) == {1: 0.5, 2: 0.5}


def test_no_way():
    assert way(ARMS, 0, 2) is None
    assert way(ARMS, 0, 0.5) is None


def test_parts_of_an_access():
    """Two instructions of 8 bytes for each access of 16."""
    nodes = {0: node([]), 1: node([0], Fraction(1, 2), is_loop=True), 2: node([1], Fraction(1, 2), is_end=True)}
    assert way(nodes, 0, 2) == {1: 3, 2: 1}
