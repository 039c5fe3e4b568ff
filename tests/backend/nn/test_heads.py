"""Heads of a product, against NumPy's slices."""

import harness
import numpy as np
from harness import Case

from weft.backend.nn.heads import split_heads

rng = np.random.default_rng(0)


def reference(x, parts, heads):
    n, length, width = x.shape
    each = np.split(x, parts, axis=2)
    return tuple(part.reshape(n, length, heads, width // parts // heads).swapaxes(1, 2) for part in each)


CASES = [
    Case(split_heads, (rng.standard_normal((n, length, width)),), reference, {"parts": parts, "heads": heads})
    for n, length, width, parts, heads in (
        (2, 5, 24, 3, 2),
        (1, 1, 6, 3, 1),
        (3, 2, 8, 1, 4),
        (0, 4, 6, 3, 2),
        (2, 0, 6, 3, 2),
    )
]
test_primitive = harness.over(CASES)
