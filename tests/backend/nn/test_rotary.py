"""Against complex numbers: a pair (a, b) is a + ib, and its turn a product with e^(iφ)."""

import harness
import numpy as np
from harness import Case

from weft.backend.nn import rotary
from weft.layers import functional as F

rng = np.random.default_rng(0)


def reference(x, cos, sin, interleaved=False):
    n = cos.shape[-1]
    turned = x[..., : 2 * n]
    z = turned[..., ::2] + 1j * turned[..., 1::2] if interleaved else turned[..., :n] + 1j * turned[..., n:]
    z = z * (cos + 1j * sin)
    both = np.stack([z.real, z.imag], -1).reshape(turned.shape) if interleaved else np.concatenate([z.real, z.imag], -1)
    return np.concatenate([both, x[..., 2 * n :]], -1)


def case(shape, table, interleaved, **options):
    arrays = [np.asarray(rng.standard_normal(s)) for s in (shape, table, table)]
    return Case(
        rotary.rotary_embedding,
        tuple(arrays),
        reference,
        {"interleaved": interleaved},
        functional=F.rotary_embedding,
        **options,
    )


CASES = [
    *[case((2, 3, 5, 8), (5, 4), interleaved) for interleaved in (False, True)],
    *[case((2, 3, 5, 7), (2, 1, 5, 2), interleaved, label=" in part") for interleaved in (False, True)],
    *[case((n, 2), (n, 1), False) for n in (0, 1, 31, 32, 33, 1025)],
    case((1, 1, 3, 64), (3, 32), True),
]
test_primitive = harness.over(CASES)
