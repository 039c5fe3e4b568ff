"""Numbers of executions that fit together: as control flow allows, with the requests that were counted, and near to estimates.

What is known of a launch are statements about linear functions of the ways that control takes (network.py): those that are nearest
to all of it, each deviation at its cost (deviations.py), are found. The costs, for being off by all of what is said:

    a way that is taken less than never              not to be had
    lanes of a warp that part                        PARTED
    stores that nobody asked for, or that are left   WRITE, of all together 10 times as much
    stores under predicates beyond what was asked    a five-hundredth of that, of each line
    loads that nobody asked for                      READ, of all together 10 times as much
    loads that are left                              READ, of all together 3 times: compilers merge some
    accesses of a line that asked for none           ORPHAN
    more than twice the turns of a loop              30 TURNS
    other turns of a loop than estimated             TURNS
    other executions than estimated                  1, or less where that estimate follows from others
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .control_flow import Blocks, Flow
from .counters import Launch
from .deviations import least_deviations
from .network import Network
from .requests import Part, is_sure, key_of, kinds_of, width_of

__all__ = ["Estimate", "balanced"]

_NEVER, _WRITE, _READ, _ORPHAN, _TURNS, _PARTED = 1e5, 1000.0, 100.0, 3.0, 0.3, 0.1
_ONE_SIDED = 1e-6  # of the cost on the other side
_PREDICATED = 0.002  # the same of stores that may ask for nothing, as their predicate decides
_SELDOM = 0.03  # of what begins: deviations of less are not dearer
_DIGITS = 7


class Estimate(NamedTuple):
    """How often a block runs, and how much that is to be trusted; of the head of a loop how often the loop is begun."""

    times: float
    trust: float
    begun: float | None = None


class _Statements:
    """What is said of linear functions, and what deviations cost."""

    def __init__(self) -> None:
        self.rows: list[np.ndarray] = []
        self.said: list[float] = []
        self.costs: list[tuple[float, float]] = []

    def add(self, row: np.ndarray, value: float, less: float, more: float) -> None:
        """That it is `value`; costs of one less and one more."""
        self.rows.append(row[1:])
        self.said.append(value - float(row[0]))
        self.costs.append((less, more))

    def add_sum(
        self,
        sure: np.ndarray,
        all_of_them: np.ndarray,
        value: float,
        less: float,
        more: float,
        most: float = _ONE_SIDED,
    ) -> None:
        """Of a sum in which some may be left out: the others are no more, and all no less; `most`: of `less`, the cost of more."""
        if np.array_equal(sure, all_of_them):
            self.add(sure, value, less, more)
        else:
            self.add(sure, value, _ONE_SIDED * more, more)
            self.add(all_of_them, value, less, most * less)

    def best(self) -> np.ndarray:
        less, more = np.array(self.costs).T
        return least_deviations(np.array(self.rows), np.array(self.said), less, more)


def balanced(
    blocks: Blocks,
    flows: Mapping[int, Flow],
    launch: Launch,
    asked: Sequence[Part],
    estimates: Mapping[int, Estimate],
    begun: float,
) -> dict[int, float]:
    """How often each block runs of a kernel that is begun so often. `asked`: what was counted, of all copies of each access."""
    network = Network(blocks, flows)
    known = _Statements()
    for (n, _), row in network.edge.items():
        known.add(row, 0.0, _NEVER, 1e-4)
        if n in network.parted:
            known.add(row - network.block[n], 0.0, 1e-4, _NEVER)
    for n, row in network.parted.items():
        known.add(row, 0.0, _NEVER, _PARTED / max(1.0, estimates[n].times / begun))
    _add_requests(known, network, blocks, launch, asked, begun)
    _add_estimates(known, network, flows, estimates, begun)
    z = known.best() if network.size else np.zeros(0)
    found = {n: max(0.0, float(row[0] + row[1:] @ z)) for n, row in network.block.items()}
    return {n: float(f"{times * begun:.{_DIGITS}g}") if times > 1e-6 else 0.0 for n, times in found.items()}


def _add_requests(
    known: _Statements, network: Network, blocks: Blocks, launch: Launch, asked: Sequence[Part], begun: float
) -> None:
    def total(blocks_and_parts: Iterable[tuple[int, float]]) -> np.ndarray:
        return sum((part * network.block[n] for n, part in blocks_and_parts), np.zeros(1 + network.size))

    theirs = set()
    for part in asked:
        every = [(copy.block, copy.part) for copy in part.copies]
        sure = [(copy.block, copy.part) for copy in part.copies if is_sure(copy.instruction, part.kind)]
        theirs |= {(copy.block, id(copy.instruction)) for copy in part.copies}
        requests = part.requests / begun
        cost = (_READ if part.kind is not None and part.kind[1] == "read" else _WRITE) / max(requests, _SELDOM)
        most = _PREDICATED if part.kind is not None and part.kind[1] == "write" else _ONE_SIDED
        known.add_sum(total(sure), total(every), requests, cost, cost, most)
    own = [(n, i) for n in network.block for i in blocks[n] if key_of(i)[1]]
    for kind in {(c.space, c.how) for c in launch.counts if c.space in ("global", "shared")}:
        them = [(n, i, width_of(i)) for n, i in own if kind in kinds_of(i)]
        counts = [c for c in launch.counts if (c.space, c.how) == kind]
        if not them or len({width > 0 for *_, width in them}) > 1:
            continue  # none, or some of which the opcode does not say how wide they are
        every = [(n, width or 1.0) for n, _, width in them]  # bytes of a thread, or requests
        sure = [(n, width or 1.0) for n, i, width in them if is_sure(i, kind)]
        value = sum(c.requests * (c.requested / max(1, c.threads) if them[0][2] else 1.0) for c in counts) / begun
        less, more = (3 * _READ, 10 * _READ) if kind[1] == "read" else (10 * _WRITE, 10 * _WRITE)
        known.add_sum(total(sure), total(every), value, less / max(value, 1e-6), more / max(value, 1e-6))
    for n, i in own:
        if not i.is_conditional and (n, id(i)) not in theirs:
            cost = _ORPHAN / max(1.0, launch.trips.get(i.place, 0) / begun)
            known.add(network.block[n], 0.0, _ONE_SIDED * cost, cost)


def _add_estimates(
    known: _Statements, network: Network, flows: Mapping[int, Flow], estimates: Mapping[int, Estimate], begun: float
) -> None:
    for n, estimate in estimates.items():
        times = estimate.times / begun
        cost = estimate.trust / max(times, 1.0)
        known.add(network.block[n], times, cost, cost)
    for flow in flows.values():
        for head, body in flow.loops.items():
            entered = sum(network.edge[n, head] for n in flow.before[head] if n not in body)
            times, come = estimates[head].times, estimates[head].begun
            turns = max(1.0, times / come if come else 1.0)
            cost = _TURNS / max(times / begun, 1.0)
            known.add(network.block[head] - turns * entered, 0.0, cost, cost)
            known.add(network.block[head] - 2 * turns * entered, 0.0, 1e-3 * cost, 30 * cost)
