"""Against NumPy's own matmul, vecdot and tensordot in float64."""

import harness
import numpy as np
from harness import Case

import weft

rng = np.random.default_rng(0)


def a(*shape):
    return rng.standard_normal(shape)


CASES = [
    *[Case(weft.matmul, (a(*s), a(*t)), np.matmul) for s, t in [
        ((3, 4), (4, 5)), ((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 5)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)),
        ((1, 3, 4), (7, 4, 2)), ((0, 4), (4, 5)), ((3, 0), (0, 5)), ((6, 1, 3, 4), (2, 4, 5)), ((4,), (2, 4, 3)), ((2, 3, 4), (4,)),
    ]],
    Case(weft.vecdot, (a(3, 5), a(3, 5)), np.vecdot),
    Case(weft.vecdot, (a(5), a(3, 5)), np.vecdot),
    Case(weft.tensordot, (a(3, 4, 5), a(4, 5, 2)), np.tensordot, {"axes": 2}),
    Case(weft.tensordot, (a(3, 4, 5), a(5, 2, 4)), np.tensordot, {"axes": ([1, 2], [2, 0])}),
    Case(weft.tensordot, (a(3, 4), a(2, 5)), np.tensordot, {"axes": 0}),
]  # fmt: skip
test_primitive = harness.over(CASES)
