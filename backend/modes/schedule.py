"""Comparisons made as soon as they can be: what they say takes a quarter of the memory, or less, of what they look at.

Backward passes look at activations once more, for where they are 0, or which of a window is the greatest. Done in the forward
pass already, activations need not be kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .log import Call, Decision, Fork, Region, Root
from .plan import extent, touched, written_by

__all__ = ["early"]

COMPARISONS = {np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal, np.isnan, np.isfinite}
FEW = 16  # entries that it is not worth to go ahead of


def early(entries: list[Any], kept: set[int]) -> list[Any]:
    """The same entries in another order; `kept` are the identities of roots whose memory somebody else looks at."""
    entries = _renamed(entries, kept)
    written: dict[int, list[tuple[int, int, int]]] = {}  # by root: (entry, first byte, last)
    begun: set[int] = set()
    ahead: dict[int, list[Any]] = {}
    rest: list[tuple[int, Any]] = []
    for i, entry in enumerate(entries):
        place = _place(entry, i, written, begun)
        if place is None:
            rest.append((i, entry))
        else:
            ahead.setdefault(place, []).append(entry)
        for region in written_by(entry):
            written.setdefault(id(region.root), []).append((i if place is None else place, *extent(region)))
        begun.update(id(r.root) for r in touched(entry))
    found = [*ahead.get(0, ())]
    for i, entry in rest:
        found.append(entry)
        found += ahead.get(i + 1, ())
    moved = sum(map(len, ahead.values()))
    return found if len(found) == len(rest) + moved else entries  # where one would come behind what was moved itself


def _place(entry: Any, i: int, written: dict[int, list[tuple[int, int, int]]], begun: set[int]) -> int | None:
    """Behind which entry's place a comparison may come, if that is well before its own."""
    if not isinstance(entry, Call) or entry.function not in COMPARISONS:
        return None
    out = next((r for r in (*entry.results, *entry.writes) if r is not None), None)
    if (
        out is None
        or out.dtype != bool
        or not out.is_whole
        or not out.shape
        or id(out.root) in begun
        or not out.root.is_made
    ):
        return None
    last = -1
    for region in entry.reads:
        start, end = extent(region)
        last = max([last, *(j for j, a, b in written.get(id(region.root), ()) if a < end and start < b)])
        if region.root.is_made and id(region.root) not in begun and region.root.content is None:
            return None
    return last + 1 if i - last > FEW else None


def _renamed(entries: list[Any], kept: set[int]) -> list[Any]:
    """The same, in which memory that is written to anew, all of it, is another root each time."""
    forked = {id(r.root) for e in entries if isinstance(e, Fork) for r in touched(e)}
    now: dict[int, Root] = {}
    seen: set[int] = set()

    def current(region: Region) -> Region:
        root = now.get(id(region.root))
        return region if root is None else region._replace(root=root)

    found: list[Any] = []
    for entry in entries:
        if isinstance(entry, Fork):
            found.append(entry)
            continue
        if isinstance(entry, Decision):
            found.append(Decision(current(entry.region), entry.outcome))
            continue
        reads = tuple(current(r) for r in entry.reads)
        args, before = entry.args, dict(now)
        for region in (*entry.writes, *(r for r in entry.results if r is not None)):
            root = region.root
            is_anew = region.is_whole and all(r.root is not root for r in entry.reads)
            if is_anew and id(root) in seen and id(root) not in kept | forked and root.is_made and root.content is None:
                now[id(root)] = root.copy()
            seen.add(id(root))
        if not now:
            found.append(entry)
            continue
        outs = {id(r.root) for r in entry.writes}

        def place(region: Region, outs: set[int] = outs, before: dict[int, Root] = before) -> Region:
            root = (now if id(region.root) in outs else before).get(id(region.root))
            return region if root is None else region._replace(root=root)

        results = tuple(None if r is None else current(r) for r in entry.results)
        writes = tuple(current(r) for r in entry.writes)
        found.append(
            entry._replace(
                args=_mapped(place, args),
                options=_mapped(place, entry.options),
                results=results,
                writes=writes,
                reads=reads,
            )
        )
    return found


def _mapped(f: Callable[[Region], Region], x: Any) -> Any:
    if isinstance(x, Region):
        return f(x)
    if type(x) is dict:
        return {name: _mapped(f, value) for name, value in x.items()} if x else x
    if type(x) is slice:
        return slice(_mapped(f, x.start), _mapped(f, x.stop), _mapped(f, x.step))
    if type(x) in (tuple, list):
        return type(x)(_mapped(f, value) for value in x)
    return x
