"""The way that control goes through the copies of one access, which unrolling made, where it is known how many are done each time.

Compilers do as many turns of the largest copy as may be, then what is left with smaller ones. So of all ways through the blocks
that make so many requests, it is the one with the most turns of the largest copy, of these the one with the most of the next, …
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

__all__ = ["Node", "way"]

_MOST = 1 << 14  # numbers of requests, over all nodes, that are looked at


class Node(NamedTuple):
    """A block, or a loop as one: where control comes from, and what is asked for when it is passed, or by each turn.

    `optional`: what else may be asked for, by instructions that are conditional. `is_end`: control may go no further.
    """

    before: Sequence[int]
    size: Fraction
    optional: Sequence[Fraction]
    is_loop: bool
    is_end: bool


class _Best(NamedTuple):
    """Of ways that made the same number of requests: those of the largest copies, of the next, …; how often nodes were passed."""

    done: tuple[int, ...]
    ways: int
    usage: dict[int, float]


def way(nodes: Mapping[int, Node], first: int, requests: float) -> dict[int, float] | None:
    """How often nodes with copies run, from the first of `nodes`, in whose order each follows what leads to it.

    Where requests are no whole number, warps differ: some make the next smaller one, some the next larger. None where there is no
    such way.
    """
    parts = [part for node in nodes.values() for part in (node.size, *node.optional) if part]
    denominator = math.lcm(*(part.denominator for part in parts))
    unit = Fraction(math.gcd(*(int(part * denominator) for part in parts)), denominator)
    low = math.floor(requests / unit + 1e-6)
    share = requests / unit - low
    ways = [(1 - share, low), (share, low + 1)] if share > 1e-6 else [(1.0, low)]
    found: dict[int, float] = {n: 0.0 for n, node in nodes.items() if node.size or node.optional}
    for part, whole in ways:
        usage = _whole(nodes, first, whole, unit)
        if usage is None:
            return None
        for n, times in usage.items():
            found[n] += part * times
    return found


def _whole(nodes: Mapping[int, Node], first: int, requests: int, unit: Fraction) -> dict[int, float] | None:
    sizes = {n: int(node.size / unit) for n, node in nodes.items()}
    optional = {n: [int(part / unit) for part in node.optional] for n, node in nodes.items()}
    rank = sorted({sizes[n] + sum(optional[n]) for n in nodes}, reverse=True)
    largest = max((sizes[n] for n, node in nodes.items() if node.is_loop), default=0)
    more = 0  # turns of the largest loop that are not looked at one by one
    if largest:
        more = max(0, requests - 2 * largest - sum(sizes.values()) - sum(map(sum, optional.values()))) // largest
        requests -= more * largest
    if requests * len(nodes) > _MOST:
        return None
    at: dict[int, dict[int, _Best]] = {}
    for n, node in nodes.items():
        come: dict[int, _Best] = {0: _Best((0,) * len(rank), 1, {})} if n == first else {}
        for previous in node.before:
            for made, best in at.get(previous, {}).items():
                come[made] = _better(come.get(made), best)
        at[n] = come if not sizes[n] and not optional[n] else {}
        if at[n]:
            continue
        place = rank.index(sizes[n] + sum(optional[n]))
        for made, best in come.items():
            for turns, asked in _passed(sizes[n], optional[n], node.is_loop, requests - made):
                vector = (*best.done[:place], best.done[place] + asked, *best.done[place + 1 :])
                new = _Best(vector, best.ways, best.usage | {n: float(turns)})
                at[n][made + asked] = _better(at[n].get(made + asked), new)
    found: _Best | None = None
    for n, node in nodes.items():
        if node.is_end and requests in at[n]:
            found = _better(found, at[n][requests])
    if found is None:
        return None
    loops = [n for n in found.usage if nodes[n].is_loop and sizes[n] == largest and found.usage[n]]
    if more and not loops:
        return None
    return {n: times + (more / len(loops) if n in loops else 0) for n, times in found.usage.items()}


def _passed(size: int, optional: Sequence[int], is_loop: bool, most: int) -> list[tuple[int, int]]:
    """How often a node may run, and what it asks for then."""
    if is_loop:
        return [(turns, turns * size) for turns in range(1, most // size + 1)] if size else []
    sums = {size}
    for part in optional:
        sums |= {asked + part for asked in sums}
    return [(1, asked) for asked in sums if asked <= most]


def _better(one: _Best | None, other: _Best) -> _Best:
    """Of two ways, the one with more of the larger copies; of equals, each as often."""
    if one is None or other.done > one.done:
        return other
    if one.done > other.done or one.usage == other.usage:
        return one
    ways = one.ways + other.ways
    numbers = one.usage.keys() | other.usage.keys()
    mean = {n: (one.ways * one.usage.get(n, 0.0) + other.ways * other.usage.get(n, 0.0)) / ways for n in numbers}
    return _Best(one.done, ways, mean)
