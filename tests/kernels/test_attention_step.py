"""One query for each head, against the definition in float64; half precision also against the same in that precision."""

import numpy as np
import pytest
from kernel_harness import close, dtypes, every_schedule, no_worse, rounded

import weft
from weft.kernels import attention_step as kernels
from weft.layers import functional as F


def plain(query, key, value, mask, scale, rounding=lambda x: x):
    r, h = rounding, query.shape[1]
    key, value = (np.repeat(x.astype("d"), h // x.shape[1], axis=1) for x in (key, value))
    scores = r(query.astype("d") @ key.swapaxes(-1, -2) * scale)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else r(scores + mask.astype("d"))
    top = np.maximum(scores.max(-1, keepdims=True), -1e30)
    e = r(np.exp(scores - top))
    total = r(e.sum(-1, keepdims=True))
    return r(r(e / np.where(total > 0, total, 1)) @ value)


def check(rng, dtype, b, h, g, keys, width, value_width, mask=None, scale=0.3):
    shapes = (b, h, 1, width), (b, g, keys, width), (b, g, keys, value_width)
    low, high = zip(*(rounded(rng.standard_normal(s), dtype) for s in shapes))
    exact_mask = mask
    if mask is not None and mask.dtype != bool:
        mask, exact_mask = rounded(mask, dtype)
    out = every_schedule(lambda: kernels.forward(*low, mask, scale))
    exact = plain(*high, exact_mask, scale)
    if dtype == np.float32:
        close(out, exact, 2)
    else:
        half = plain(*low, mask, scale, lambda x: np.asarray(x, "f").astype(dtype).astype("d"))
        no_worse(out, half.astype(dtype), exact)


@dtypes
@pytest.mark.parametrize("keys", [1, 31, 32, 33, 255, 256, 257, 1025])
def test_lengths(rng, dtype, keys):
    check(rng, dtype, 1, 1, 1, keys, 16, 8)


@dtypes
@pytest.mark.parametrize(("width", "value_width"), [(8, 8), (64, 64), (128, 40), (5, 7), (256, 256), (24, 200)])
def test_widths(rng, dtype, width, value_width):
    check(rng, dtype, 1, 2, 1, 40, width, value_width)


@dtypes
def test_heads(rng, dtype):
    check(rng, dtype, 2, 6, 3, 300, 16, 16)


@dtypes
@pytest.mark.parametrize("shape", [(2, 1, 1, 300), (2, 4, 1, 300), (1, 1, 1, 1), (300,)], ids=str)
@pytest.mark.parametrize("boolean", [False, True])
def test_masks(rng, dtype, shape, boolean):
    mask = rng.random(shape) < 0.7 if boolean else rng.standard_normal(shape)
    check(rng, dtype, 2, 4, 2, 300, 16, 16, mask)


def test_no_key(rng):
    """0 for a sample without keys, and for one that has none in the first part."""
    mask = np.zeros((3, 1, 1, 300), bool)
    mask[1:, ..., 280:] = True
    mask[2] = True
    check(rng, np.dtype("f"), 3, 2, 1, 300, 16, 16, mask)


def test_low_numbers_and_large_scores(rng):
    check(rng, np.dtype("f"), 1, 2, 1, 300, 16, 16, np.full((1, 300), -1e9), scale=0.0)
    check(rng, np.dtype("f"), 1, 2, 1, 300, 16, 16, scale=-30.0)


def test_a_part_of_a_cache(rng):
    """Views of longer memory, and heads as a projection leaves them, are read where they are."""
    memory = [rng.standard_normal((2, 2, 400, 16)).astype("f") for _ in range(2)]
    query = rng.standard_normal((2, 1, 4, 16)).astype("f").swapaxes(1, 2)
    key, value = (m[:, :, :300] for m in memory)
    out = every_schedule(lambda: kernels.forward(query, key, value, None, 0.25))
    close(out, plain(query, key, value, None, 0.25), 2)


def test_gradients_and_public_face(rng, accelerator):
    q, k, v = (rng.standard_normal(s).astype("f") for s in [(1, 4, 1, 8), (1, 2, 40, 8), (1, 2, 40, 8)])
    results = []
    for device in ("cpu", accelerator):
        tensors = [weft.asarray(x, device=device).requires_grad_() for x in (q, k, v)]
        y = F.scaled_dot_product_attention(*tensors, enable_gqa=True)
        (y * y).sum().backward()
        results.append([x.cpu().numpy() for x in (y.detach(), *(t.grad for t in tensors))])
    for here, there in zip(*results):
        np.testing.assert_allclose(there, here, atol=1e-5)
