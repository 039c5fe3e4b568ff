"""Against the definition in float64 NumPy, heads repeated and masks written out; derivatives by central differences."""

import harness
import numpy as np
import pytest
from harness import Case

import weft
from weft.backend.nn import attention as A

rng = np.random.default_rng(0)
SEED, COUNTER = 5, 3


def probabilities(scores, mask, is_causal):
    length, keys = scores.shape[-2:]
    if is_causal:
        scores = np.where(np.tril(np.ones((length, keys), bool)), scores, -np.inf)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    e = np.exp(scores - np.maximum(scores.max(-1, keepdims=True, initial=-np.inf), -1e300))
    total = e.sum(-1, keepdims=True)
    return e / np.where(total > 0, total, 1)


def drawn(shape):
    """16 bits for every element: blocks of Philox words, each of 16 keys of one query, rows starting with a new one."""
    blocks = -(-shape[-1] // 16)
    words = np.random.Philox(key=SEED, counter=COUNTER).random_raw(int(np.prod(shape[:-1])) * blocks * 4)
    draws = np.stack([words >> np.uint64(16 * k) & np.uint64(0xFFFF) for k in range(4)], -1)
    return draws.reshape(*shape[:-1], 16 * blocks)[..., : shape[-1]]


def reference(q, k, v, mask=None, dropout_p=0.0, is_causal=False, scale=None, blocks=None):
    k, v = (np.repeat(x, q.shape[1] // x.shape[1], axis=1) for x in (k, v))
    scale = 1 / np.sqrt(q.shape[-1]) if scale is None else scale
    p = probabilities(scale * np.einsum("bhle,bhse->bhls", q, k), mask, is_causal)
    if dropout_p:
        p = p * (drawn(p.shape) < round((1 - dropout_p) * 65536)) / (1 - dropout_p)
    return np.einsum("bhls,bhsv->bhlv", p, v)


def a(*shape):
    return np.asarray(rng.standard_normal(shape))


def qkv(b, h, g, length, keys, width, value_width):
    return a(b, h, length, width), a(b, g, keys, width), a(b, g, keys, value_width)


def blocks():
    generator = weft.Generator(SEED)
    generator.set_state({"seed": SEED, "counter": COUNTER})
    return generator.reserve(1, weft.uint64)


def some(*shape):
    """A boolean mask, with a row in which no key takes part."""
    mask = rng.random(shape) < 0.6
    mask[..., 1, :] = False
    return mask


def split(x, parts, heads, batch_first=True):
    n, length = x.shape[:2] if batch_first else x.shape[1::-1]
    found = np.empty((parts, n, heads, length, x.shape[2] // (parts * heads)))
    for i, j in np.ndindex(n, length):
        found[:, i, :, j] = (x[i, j] if batch_first else x[j, i]).reshape(parts, heads, -1)
    return tuple(found)


def up_to(query, key, value, mask, place, scale=None):
    keys = slice(None, int(place[0]) + 1)
    mask = None if mask is None else mask[..., keys]
    return reference(query, key[:, :, keys], value[:, :, keys], mask, scale=scale)


CASES = [
    *[Case(A.scaled_dot_product_attention, qkv(1, 2, 2, n, n, 2, 3), reference, {"is_causal": True}, label=" causal")
      for n in (0, 1, 31, 32, 33)],
    Case(A.scaled_dot_product_attention, qkv(1, 1, 1, 0, 3, 2, 2), reference),
    Case(A.scaled_dot_product_attention, qkv(1, 1, 1, 3, 0, 2, 2), reference, label=" no keys"),
    Case(A.scaled_dot_product_attention, qkv(2, 6, 3, 4, 5, 3, 2), reference, {"scale": 0.7}, label=" grouped"),
    Case(A.scaled_dot_product_attention, qkv(2, 2, 1, 5, 3, 4, 4), reference, {"scale": -0.5, "is_causal": True}),
    Case(A.scaled_dot_product_attention, qkv(1, 2, 1, 3, 6, 4, 4), reference, {"is_causal": True}, label=" wide"),
    *[Case(A.scaled_dot_product_attention, (*qkv(2, 2, 1, 4, 5, 3, 3), some(*shape)), reference, label=" boolean")
      for shape in [(2, 2, 4, 5), (2, 1, 4, 5), (4, 5), (1, 1, 4, 1)]],
    Case(A.scaled_dot_product_attention, (*qkv(2, 2, 1, 4, 5, 3, 3), rng.random((2, 1, 1, 5)) < 0.7), reference),
    *[Case(A.scaled_dot_product_attention, (*qkv(2, 2, 1, 4, 5, 3, 3), a(*shape)), reference, label=" additive")
      for shape in [(2, 2, 4, 5), (2, 1, 1, 5), (4, 1), (1, 2, 4, 5)]],
    Case(A.scaled_dot_product_attention, (*qkv(2, 2, 1, 3, 17, 3, 3), some(3, 17)), reference,
         {"dropout_p": 0.3, "blocks": blocks()}, label=" dropout"),
    Case(A.scaled_dot_product_attention, (*qkv(1, 2, 2, 5, 4, 3, 2), a(5, 4)), reference,
         {"dropout_p": 0.5, "blocks": blocks()}, label=" dropout, additive"),
    Case(A.scaled_dot_product_attention, qkv(2, 4, 2, 1, 5, 3, 2), reference, {"scale": -0.3}, label=" one query"),
    Case(A.scaled_dot_product_attention, (*qkv(2, 4, 2, 1, 5, 3, 2), a(2, 1, 1, 5)), reference, label=" one, additive"),
    Case(A.scaled_dot_product_attention, (*qkv(2, 2, 1, 1, 5, 3, 2), rng.random((2, 1, 1, 5)) < 0.6), reference,
         label=" one, boolean"),
    *[Case(A.attention_up_to, (*qkv(2, 4, 2, 1, 7, 3, 2), mask, np.array([4])), up_to, {"scale": 0.4}, label=" up to")
      for mask in (None, rng.random((2, 1, 1, 7)) < 0.6)],
    Case(A.split_heads, (a(2, 5, 24),), split, {"parts": 3, "heads": 4}),
    *[Case(A.split_heads, (a(*shape),), split, {"parts": 3, "heads": 2}) for shape in ((0, 4, 6), (2, 0, 6), (1, 1, 6))],
    Case(A.split_heads, (a(5, 2, 8),), split, {"parts": 1, "heads": 2, "batch_first": False}),
]  # fmt: skip
test_primitive = harness.over(CASES)


def test_infinite_scores_are_masks_too():
    q, k, v = qkv(1, 1, 1, 3, 4, 2, 2)
    mask = some(3, 4)
    x, y, z = (weft.tensor(t, requires_grad=True) for t in (q, k, v))
    out = A.scaled_dot_product_attention(x, y, z, weft.tensor(np.where(mask, 0.0, -np.inf)))
    out.sum().backward()
    np.testing.assert_allclose(out.detach().numpy(), reference(q, k, v, mask), atol=1e-12)
    assert out[0, 0, 1].tolist() == x.grad[0, 0, 1].tolist() == [0, 0]
    assert all(np.isfinite(t.grad.numpy()).all() for t in (x, y, z))


def test_everything_may_be_dropped():
    x = weft.tensor(a(1, 1, 2, 3), requires_grad=True)
    out = A.scaled_dot_product_attention(x, x, x, dropout_p=1.0, blocks=blocks())
    out.sum().backward()
    assert not out.detach().numpy().any()
    assert not x.grad.numpy().any()


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_rate_of_dropout(p):
    keep = A.kept(blocks(), (2, 3, 100, 333), p)
    n = keep.size
    assert keep.shape == (2, 3, 100, 333)
    assert abs(keep.mean() - (1 - p)) < 5 * np.sqrt(p * (1 - p) / n)
    for axis in (2, 3):  # neighbours have nothing to do with each other
        both = np.delete(keep, 0, axis) & np.delete(keep, -1, axis)
        assert abs(both.mean() - (1 - p) ** 2) < 5 * np.sqrt((1 - p) ** 2 / n)


def test_draws_do_not_overlap():
    generator = weft.Generator(1)
    shape = (2, 3, 4, 17)
    first = A.reserve(generator, shape)
    assert A.block_count(shape) == 2 * 3 * 4 * 2
    assert A.reserve(generator, shape).counter == first.counter + A.block_count(shape)


def test_widths_of_nothing():
    out = A.scaled_dot_product_attention(weft.ones((1, 1, 2, 0)), weft.ones((1, 1, 4, 0)), weft.tensor(a(1, 1, 4, 3)))
    assert out.shape == (1, 1, 2, 3)
    assert A.default_scale(0) == 1


@pytest.mark.parametrize("dtype", [weft.float16, weft.bfloat16], ids=str)
def test_half_precision_stays_half(dtype):
    arrays = qkv(2, 4, 2, 5, 20, 8, 8)
    tensors = [weft.tensor(x).to(dtype).requires_grad_() for x in arrays]
    out = A.scaled_dot_product_attention(*tensors, dropout_p=0.5, is_causal=True, blocks=blocks())
    out.sum().backward()
    assert {out.dtype, *(t.grad.dtype for t in tensors)} == {dtype}
    expected = reference(*arrays, dropout_p=0.5, is_causal=True)
    np.testing.assert_allclose(out.detach().numpy().astype(float), expected, atol=0.1)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("low", [-1e4, -1e9, float(np.finfo(np.float32).min)])
def test_left_padding_on_cupys_arrays(cupy, dtype, low):
    """A float32 mask, also of half precision: what is finite stays finite. The first row has a low number for every key."""
    arrays = [x.astype("f").astype(getattr(weft, dtype)) for x in qkv(1, 2, 2, 4, 40, 8, 8)]
    mask = np.zeros((4, 40), np.float32)
    mask[:, :20], mask[0] = low, low
    results = []
    for device in ("cpu", "cuda"):
        tensors = [weft.asarray(x, device=device).requires_grad_() for x in arrays]
        out = A.scaled_dot_product_attention(*tensors, weft.asarray(mask, device=device))
        out.sum().backward()
        results.append([x.numpy().astype("d") for x in (out.detach(), *(t.grad for t in tensors))])
    for ours, theirs in zip(*results):
        np.testing.assert_allclose(theirs, ours, atol={"float32": 2e-6, "float16": 0.01, "bfloat16": 0.06}[dtype])
