"""Control flow as linear functions: how often each way between blocks is taken, of the few numbers that can be chosen.

What comes to a block leaves it, so of the ways from a block all but one can be chosen, and of each loop how often it is begun
anew. Where lanes of a warp part, it takes both ways: so often more leaves the block, and less comes to that in which they meet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from .control_flow import Blocks, Flow, calls

__all__ = ["END", "Network"]

END = -1  # where control goes from the end of a function

Edge = tuple[int, int]


class Network:
    """How often each `block` runs and each `edge` between blocks is taken: rows of a constant and factors of what can be chosen.

    `flows`: of each function, by its first block, callers first. The kernel is begun once; a function as often as it is called.
    `parted`: how often warps take more ways than one from a block. `size`: how many numbers can be chosen.
    """

    def __init__(self, blocks: Blocks, flows: Mapping[int, Flow]):
        numbers = [n for flow in flows.values() for n in flow.order]
        edges = [edge for flow in flows.values() for edge in _edges(flow)]
        joins = {n: join for flow in flows.values() for n, join in _joins(flow).items()}
        rows = np.zeros((len(numbers) + len(edges) + len(joins), 1 + len(edges) + len(joins)))
        self.block: dict[int, np.ndarray] = dict(zip(numbers, rows))
        self.edge: dict[Edge, np.ndarray] = dict(zip(edges, rows[len(numbers) :]))
        self.parted: dict[int, np.ndarray] = dict(zip(joins, rows[len(numbers) + len(edges) :]))
        self._free = 0
        kernel = next(iter(flows))
        zero = []
        for first, flow in flows.items():
            self.block[first][0] += first == kernel
            for caller in (n for n in numbers if calls(blocks[n]) == first):
                self.block[first] += self.block[caller]
            zero += self._through(flow, joins)
        _eliminate(rows, zero)
        used = rows[:, 1:].any(axis=0)
        self.size = int(used.sum())
        rows[:, 1 : 1 + self.size] = rows[:, 1:][:, used]
        self.block = {n: row[: 1 + self.size] for n, row in self.block.items()}
        self.edge = {edge: row[: 1 + self.size] for edge, row in self.edge.items()}
        self.parted = {n: row[: 1 + self.size] for n, row in self.parted.items()}

    def _through(self, flow: Flow, joins: Mapping[int, int]) -> list[np.ndarray]:
        """Fill in the rows of a function; returns those that must be zero."""
        ways: dict[int, list[Edge]] = {n: [] for n in flow.order}
        for edge in _edges(flow):
            ways[edge[0]].append(edge)
        zero, known = [], set()
        for n in flow.order:
            for edge in [(m, n) for m in flow.before[n]]:
                if edge not in known:  # the end of a turn
                    self._choose(self.edge[edge])
                    known.add(edge)
                self.block[n] += self.edge[edge]
            self.block[n] -= sum(self.parted[m] for m in flow.order if joins.get(m) == n)
            new = [edge for edge in ways[n] if edge not in known]
            for edge in new[:-1]:
                self._choose(self.edge[edge])
            rest = self.block[n] - sum(self.edge[edge] for edge in ways[n] if edge not in new[-1:])
            if n in joins:
                self._choose(self.parted[n])
                rest = rest + self.parted[n]
            if new:
                self.edge[new[-1]][:] = rest
            elif ways[n]:
                zero.append(rest)
            known.update(new)
        return zero

    def _choose(self, row: np.ndarray) -> None:
        self._free += 1
        row[self._free] = 1


def _joins(flow: Flow) -> dict[int, int]:
    """Where lanes meet again that part at a block: the first that all ways from there pass, of those in the same loop."""
    found, around = {}, {n: flow.around(n) for n in flow.order}
    after = Counter(m for n in flow.order for m in flow.before[n] if not flow.dominates(n, m))
    for at, n in enumerate(flow.order):
        if after[n] > 1:
            behind = (m for m in flow.order[at + 1 :] if len(flow.before[m]) > 1 and around[m] == around[n])
            join = next((m for m in behind if flow.passes(m, n)), None)
            if join is not None:
                found[n] = join
    return found


def _edges(flow: Flow) -> list[Edge]:
    ends = [(n, END) for n in flow.order if n in flow.ends]
    return [(n, m) for m in flow.order for n in sorted(flow.before[m])] + ends


def _eliminate(rows: np.ndarray, zero: list[np.ndarray]) -> None:
    """Leave out of all rows one number for each that is zero, being a function of the others."""
    for i, row in enumerate(zero):
        pivot = 1 + int(np.argmax(np.abs(row[1:])))
        if abs(row[pivot]) > 1e-9:
            for other in (rows, *zero[i + 1 :]):
                other -= np.multiply.outer(other[..., pivot], row / row[pivot])
