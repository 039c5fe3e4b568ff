"""Launcher of `optimizers.cu`: one step of an update rule over flat vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .toolchain.launch import FLOATS, Kernel

__all__ = ["RULES", "update"]

THREADS = 256
ELEMENTS = 4  # that each thread takes: 16 bytes of a state

RULES = (
    "SGD",
    "Adagrad",
    "RMSprop",
    "Adadelta",
    "Adam",
    "NAdam",
    "RAdam",
    "Adamax",
    "AdaBound",
    "ASGD",
    "Rprop",
    "Lion",
)

_step = Kernel("optimizers.cu", "step", FLOATS, RULES, (THREADS,))


def update(
    rule: str,
    p: Any,
    g: Any,
    states: Sequence[Any],
    coefficients: Any,
    *,
    master: Any = None,
    multiplier: Any = None,
    skip: Any = None,
) -> None:
    """Change parameters p and state in place, by a rule and its coefficients (float32, in the rule's order).

    p and g have one of FLOATS; `states`, up to three vectors or None each, and `master` are float32, all of one length
    and beginning on 16 bytes; `multiplier` (float32) and `skip` (bool) have one element.
    """
    _step[p.dtype, rule, THREADS](
        math.ceil(p.size / (ELEMENTS * THREADS)),
        THREADS,
        p,
        master,
        g,
        *states,
        *(None,) * (3 - len(states)),
        np.int64(p.size),
        coefficients,
        multiplier,
        skip,
    )
