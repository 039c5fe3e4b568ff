"""eˣ as the power that NumPy computes fastest: with AVX-512 that is 2ˣ, in half the time of eˣ, and with half its error.

Whoever takes a power of what is multiplied by a constant anyway calls `power` and multiplies by `UNIT` times as much:
power(UNIT x) = eˣ.
"""

from __future__ import annotations

import math
import sys

import numpy as np

__all__ = ["UNIT", "power"]


def _has_vectors() -> bool:
    """Whether 2ˣ has a vector loop: one from Intel's library, which only NumPy for Linux and AVX-512 is built with.

    Else it is computed number by number, in twice the time of eˣ with AVX2.
    """
    from numpy.lib import introspect

    target = introspect.opt_func_info(func_name="^exp2$").get("exp2", {}).get("ff", {}).get("current", "")
    return sys.platform == "linux" and ("AVX512" in target or "V4" in target)


power, UNIT = (np.exp2, math.log2(math.e)) if _has_vectors() else (np.exp, 1.0)
