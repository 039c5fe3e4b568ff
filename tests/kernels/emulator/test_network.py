"""Control flow as linear functions, of graphs that are seen at a glance: whatever is chosen, what comes to a block leaves it."""

import numpy as np
import pytest

from weft.kernels.emulator.control_flow import Flow, callers_first
from weft.kernels.emulator.network import END, Network
from weft.kernels.toolchain.machine_code import Instruction


def network_of(*blocks, functions=()):
    """Of (opcode, target, whether some threads go on): block 0, 1, …; `functions`: the first blocks of others than the kernel."""
    names = [max((f"$f{first}" for first in functions if first <= n), default="") for n in range(len(blocks))]
    code = [Instruction(opcode, (), n, target, some, names[n]) for n, (opcode, target, some) in enumerate(blocks)]
    every = callers_first(code)
    return Network(every, {first: Flow.of(every, first) for first in (0, *functions)})


def values(network, seed=0):
    """How often blocks run and edges are taken, of some choice."""
    chosen = np.concatenate([[1.0], np.random.default_rng(seed).normal(size=network.size)])
    return ({n: row @ chosen for n, row in rows.items()} for rows in (network.block, network.edge, network.parted))


DIAMOND = (("BRA", 2, True), ("BRA", 3, False), ("FADD", None, False), ("EXIT", None, False))
NESTED = (
    ("MOV", None, False),
    ("MOV", None, False),  # the head of the outer loop
    ("BRA", 2, True),  # the inner loop
    ("BRA", 1, True),
    ("EXIT", None, False),
)


def test_a_diamond_has_two_choices():
    """Which way, and how many warps take both."""
    network = network_of(*DIAMOND)
    block, edge, parted = values(network)
    assert network.size == 2
    assert (block[0], block[3]) == (1, pytest.approx(1))
    assert block[1] + block[2] == pytest.approx(1 + parted[0])
    assert edge[3, END] == pytest.approx(1)


def test_loops_are_left_as_often_as_they_are_entered():
    network = network_of(*NESTED)
    block, edge, parted = values(network)
    assert network.size == 2  # the turns of either loop
    assert not parted
    assert block[4] == pytest.approx(1)
    assert block[1] == pytest.approx(1 + edge[3, 1])
    assert block[2] == pytest.approx(block[1] + edge[2, 2])
    assert edge[2, 3] == pytest.approx(block[1])


def test_a_function_begins_as_often_as_it_is_called():
    """By two blocks, one of which half of the ways pass."""
    network = network_of(
        ("CALL", 4, False),
        ("BRA", 3, True),
        ("CALL", 4, False),
        ("EXIT", None, False),
        ("RET", None, False),
        functions=(4,),
    )
    block, _, _ = values(network)
    assert block[4] == pytest.approx(block[0] + block[2])


def test_a_loop_that_has_no_other_end():
    """Its last block goes back, whatever comes: one choice less."""
    network = network_of(("BRA", 2, True), ("BRA", 0, False), ("EXIT", None, False))
    block, edge, _ = values(network)
    assert network.size == 1
    assert block[2] == pytest.approx(1)
    assert edge[1, 0] == pytest.approx(block[1])
