"""How long OpenBLAS's threads look for more work before they sleep: a tenth of a second, on the cores that weft's own threads want.

It asks the environment when NumPy loads it. Where weft is there first, it says: 2¹⁶ ticks of the clock, about 25 µs, which
costs products that follow each other nothing. Else weft spreads large products itself, see `backend/device/products.py`.
"""

import os
import sys

__all__ = ["sleeps_soon"]

NAME, TICKS = "OPENBLAS_THREAD_TIMEOUT", "16"  # the binary logarithm

_told = os.environ.get(NAME, "")
if not _told and "numpy" not in sys.modules:
    os.environ[NAME] = _told = TICKS
    import numpy  # noqa: F401

    del os.environ[NAME]  # which is nobody else's business

sleeps_soon = _told.isdecimal() and 0 < int(_told) <= int(TICKS)
