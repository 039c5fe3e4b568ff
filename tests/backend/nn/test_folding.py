"""Against loops over windows in NumPy; derivatives by differences, twice."""

import harness
import numpy as np
from harness import Case

from weft.backend.nn import folding


def places(n, k, d, p, s):
    """For each window along an axis, where it looks in the padded image."""
    return [[o * s + i * d for i in range(k)] for o in range((n + 2 * p - d * (k - 1) - 1) // s + 1)]


def unfold(x, kernel, dilation, padding, stride):
    padded = np.pad(x, [(0, 0), (0, 0), *[(p, p) for p in padding]])
    rows, columns = (places(*of) for of in zip(x.shape[2:], kernel, dilation, padding, stride))
    seen = [padded[:, :, r][..., c].reshape(len(x), x.shape[1] * kernel[0] * kernel[1]) for r in rows for c in columns]
    return np.stack(seen, -1)


def fold(columns, size, kernel, dilation, padding, stride):
    n, taps = len(columns), kernel[0] * kernel[1]
    padded = np.zeros((n, columns.shape[1] // taps, *[s + 2 * p for s, p in zip(size, padding)]))
    rows, across = (places(*of) for of in zip(size, kernel, dilation, padding, stride))
    for place, (r, c) in enumerate((r, c) for r in rows for c in across):
        padded[np.ix_(range(n), range(padded.shape[1]), r, c)] += columns[..., place].reshape(n, -1, *kernel)
    return padded[:, :, padding[0] : padding[0] + size[0], padding[1] : padding[1] + size[1]]


def a(*shape):
    return np.random.default_rng([8, *shape]).standard_normal(shape)


OPTIONS = [
    {"kernel": k, "dilation": d, "padding": p, "stride": s}
    for k, d, p, s in [
        ((1, 1), (1, 1), (0, 0), (1, 1)), ((2, 3), (1, 1), (1, 0), (1, 1)), ((2, 2), (2, 1), (0, 1), (1, 2)),
        ((3, 2), (1, 2), (2, 2), (3, 2)), ((2, 2), (1, 1), (0, 0), (3, 3)),
    ]
]  # fmt: skip
CASES = [
    *[Case(folding.unfold, (a(2, 3, 5, 6),), unfold, options) for options in OPTIONS],
    Case(folding.unfold, (a(0, 3, 5, 6),), unfold, OPTIONS[1]),
    Case(folding.fold, (np.zeros((0, 18, 24)),), lambda columns, **o: np.zeros((0, 3, 5, 6)), {"size": (5, 6), **OPTIONS[1]}),
    *[
        Case(folding.fold, (unfold(a(2, 3, 5, 6), **options),), fold, {"size": (5, 6), **options})
        for options in OPTIONS
    ],
]  # fmt: skip

test_primitive = harness.over(CASES)
