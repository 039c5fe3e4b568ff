"""The steps of recurrent layers on NumPy, of several sequences at a time: those of one length shared out to threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..device.parallel import num_threads, parallel_for
from ..nn.recurrent import unroll

__all__ = ["walk"]

SEQUENCES = 16  # sequences: products with fewer rows take longer for each
WORK = 1 << 22  # multiply-adds of a step and a thread: calls of less time are what threads wait for


def walk(
    step: Callable, states: Sequence[Any], batch_sizes: Sequence[int], reverse: bool = False, work: int = 0
) -> Sequence[Any]:
    """`unroll` of step(rows, some, *states), `rows` being those of the step in what is packed, and `some` those of the states.

    `work` multiply-adds for each row of a step, 0 if a row does not come out alike however many there are.
    """
    count = batch_sizes[0]
    parts = min(num_threads(), count // SEQUENCES, work * count // WORK)
    if parts < 2 or count != batch_sizes[-1]:
        return unroll(np, lambda rows, *now: step(rows, slice(0, len(now[0])), *now), states, batch_sizes, reverse)
    found = [np.empty_like(state) for state in states]

    def run(start: int, stop: int) -> None:
        some = slice(count * start // parts, count * stop // parts)
        n = some.stop - some.start

        def of_some(rows: slice, *now: Any) -> tuple:
            first = rows.start // n * count
            return step(slice(first + some.start, first + some.stop), some, *now)

        last = unroll(np, of_some, [state[some] for state in states], (n,) * len(batch_sizes), reverse)
        for to, state in zip(found, last):
            to[some] = state

    parallel_for(run, parts)
    return found
