"""scaled_dot_product_attention against float64 NumPy that writes everything out; and what it says of wrong arguments."""

import numpy as np
import pytest

import weft
from weft.backend.nn import attention as primitives
from weft.layers import functional as F


def reference(q, k, v, mask=None, is_causal=False, scale=None):
    scores = np.matmul(q, k.swapaxes(-1, -2)) * (1 / np.sqrt(q.shape[-1]) if scale is None else scale)
    if is_causal:
        mask = np.tril(np.ones(scores.shape[-2:], bool))
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    p = np.exp(scores - scores.max(-1, keepdims=True))
    return np.matmul(p / p.sum(-1, keepdims=True), v)


def arrays(rng, *shapes):
    return [rng.standard_normal(s) for s in shapes]


def run(arrays, mask=None, **options):
    tensors = [weft.tensor(a, requires_grad=True) for a in arrays]
    y = F.scaled_dot_product_attention(*tensors, None if mask is None else weft.asarray(mask), **options)
    y.sum().backward()
    assert all(t.grad.shape == t.shape for t in tensors)
    return y.detach().numpy(), [t.grad.numpy() for t in tensors]


class TestShapes:
    @pytest.mark.parametrize(("query", "key", "value"), [
        ((3, 4), (5, 4), (5, 6)), ((3, 4), (1, 5, 4), (1, 5, 6)), ((2, 3, 4), (2, 5, 4), (2, 5, 4)),
        ((2, 3, 4), (1, 5, 4), (2, 5, 4)), ((2, 3, 4), (7, 2, 5, 4), (7, 2, 5, 4)), ((7, 2, 3, 4), (7, 2, 5, 4), (7, 2, 5, 1)),
        ((7, 2, 3, 4), (7, 1, 5, 4), (7, 1, 5, 4)), ((7, 2, 3, 4), (1, 1, 5, 4), (7, 2, 5, 4)),
        ((7, 1, 3, 4), (7, 2, 5, 4), (1, 2, 5, 4)), ((2, 1, 2, 3, 4), (2, 7, 2, 5, 4), (7, 2, 5, 4)),
    ])  # fmt: skip
    def test_leading_axes_broadcast(self, rng, query, key, value):
        q, k, v = arrays(rng, query, key, value)
        y, _ = run((q, k, v))
        np.testing.assert_allclose(y, reference(q, k, v), atol=1e-12)

    @pytest.mark.parametrize(("query", "key", "value"), [
        ((6, 3, 4), (2, 5, 4), (2, 5, 4)), ((7, 6, 3, 4), (7, 3, 5, 4), (7, 3, 5, 2)), ((7, 6, 3, 4), (7, 2, 5, 4), (7, 3, 5, 4)),
        ((7, 6, 3, 4), (1, 2, 5, 4), (7, 1, 5, 4)), ((7, 6, 3, 4), (7, 6, 5, 4), (7, 6, 5, 4)),
        ((2, 7, 6, 3, 4), (2, 7, 3, 5, 4), (1, 3, 5, 4)),
    ])  # fmt: skip
    def test_heads_that_share_keys(self, rng, query, key, value):
        q, k, v = arrays(rng, query, key, value)
        y, grads = run((q, k, v), enable_gqa=True)
        whole = [np.repeat(x, 6 // x.shape[-3], axis=-3) for x in (k, v)]
        np.testing.assert_allclose(y, reference(q, *whole), atol=1e-12)
        _, expected = run((q, *whole))
        for x, grad, e in zip((k, v), grads[1:], expected[1:]):
            grouped = e.reshape(*x.shape[:-3], x.shape[-3], -1, *x.shape[-2:]).sum(-3)
            np.testing.assert_allclose(grad, grouped, atol=1e-12)

    @pytest.mark.parametrize("shape", [(0, 2, 3, 4), (7, 0, 3, 4), (7, 2, 0, 4)])
    def test_nothing(self, rng, shape):
        y, _ = run(arrays(rng, shape, shape, shape))
        assert y.shape == shape

    def test_no_keys(self, rng):
        y, grads = run(arrays(rng, (2, 3, 4), (2, 0, 4), (2, 0, 5)))
        np.testing.assert_array_equal(y, np.zeros((2, 3, 5)))
        assert not grads[0].any()


class TestMasks:
    @pytest.mark.parametrize("shape", [(3, 5), (1, 5), (3, 1), (2, 3, 5), (7, 1, 1, 5), (7, 2, 3, 5), (5,)])
    @pytest.mark.parametrize("boolean", [True, False])
    def test_values(self, rng, shape, boolean):
        q, k, v = arrays(rng, (7, 2, 3, 4), (7, 2, 5, 4), (7, 2, 5, 4))
        mask = rng.random(shape) < 0.8 if boolean else rng.standard_normal(shape)
        if boolean:
            mask[..., 0] = True
        y, _ = run((q, k, v), mask)
        np.testing.assert_allclose(y, reference(q, k, v, mask), atol=1e-12)

    @pytest.mark.parametrize("shape", [(3, 5), (2, 3, 5), (1, 2, 1, 5), (7, 1, 1, 5), (2, 7, 1, 3, 5)])
    def test_with_more_leading_axes(self, rng, shape):
        q, k, v = arrays(rng, (2, 7, 2, 3, 4), (2, 7, 2, 5, 4), (2, 7, 2, 5, 4))
        mask = rng.standard_normal(shape)
        y, _ = run((q, k, v), mask)
        np.testing.assert_allclose(y, reference(q, k, v, mask), atol=1e-12)

    @pytest.mark.parametrize("lengths", [(4, 4), (3, 6), (6, 3)])
    def test_causal_is_aligned_at_the_first_key(self, rng, lengths):
        q, k, v = arrays(rng, (2, lengths[0], 4), (2, lengths[1], 4), (2, lengths[1], 4))
        y, _ = run((q, k, v), is_causal=True)
        np.testing.assert_allclose(y, reference(q, k, v, is_causal=True), atol=1e-12)
        np.testing.assert_allclose(y[:, 0], v[:, 0], atol=1e-12)

    @pytest.mark.parametrize("boolean", [True, False])
    def test_with_causal(self, rng, boolean):
        """Both take effect, for four axes; for others it is an error, as in PyTorch (see TestErrors)."""
        q, k, v = arrays(rng, (7, 2, 5, 4), (7, 2, 5, 4), (7, 2, 5, 4))
        mask = rng.random((7, 1, 5, 5)) < 0.5 if boolean else rng.standard_normal((5, 5))
        if boolean:
            mask[..., 0] = True
        y, _ = run((q, k, v), mask, is_causal=True)
        both = mask & np.tri(5, dtype=bool) if boolean else np.where(np.tri(5, dtype=bool), mask, -np.inf)
        np.testing.assert_allclose(y, reference(q, k, v, both), atol=1e-12)

    def test_a_query_without_keys_is_zero(self, rng):
        mask = np.ones((3, 5), bool)
        mask[1] = False
        q, k, v = arrays(rng, (3, 4), (5, 4), (5, 4))
        for m in (mask, np.where(mask, 0.0, -np.inf)):
            y, grads = run((q, k, v), m)
            assert not y[1].any()
            assert not grads[0][1].any()
            assert all(np.isfinite(g).all() for g in grads)

    def test_a_mask_of_numbers_has_a_gradient(self, rng):
        q, k, v = (weft.tensor(a) for a in arrays(rng, (2, 3, 4), (2, 5, 4), (2, 5, 4)))
        mask = weft.zeros((3, 5), dtype=weft.float64, requires_grad=True)
        F.scaled_dot_product_attention(q, k, v, mask).sum().backward()
        assert mask.grad.shape == (3, 5)
        np.testing.assert_allclose(mask.grad.numpy().sum(-1), 0, atol=1e-12)

    def test_a_float32_mask_for_other_dtypes(self, rng):
        for dtype in (weft.float16, weft.float64):
            q, k, v = (weft.tensor(a).to(dtype) for a in arrays(rng, (3, 4), (5, 4), (5, 4)))
            assert F.scaled_dot_product_attention(q, k, v, weft.zeros((3, 5))).dtype == dtype


@pytest.mark.parametrize("scale", [None, 0.25, 0.0, -1.0])
def test_scale(rng, scale):
    q, k, v = arrays(rng, (3, 4), (3, 4), (3, 4))
    y, _ = run((q, k, v), scale=scale, is_causal=True)
    np.testing.assert_allclose(y, reference(q, k, v, scale=scale, is_causal=True), atol=1e-12)


def test_no_features(rng):
    """Scores of nothing are 0: every key weighs the same."""
    v = rng.standard_normal((2, 5, 3))
    y = F.scaled_dot_product_attention(weft.ones((2, 4, 0)), weft.ones((2, 5, 0)), weft.tensor(v.astype("f")))
    np.testing.assert_allclose(y.numpy(), np.broadcast_to(v.mean(1, keepdims=True), (2, 4, 3)), atol=1e-6)


class TestDropout:
    def test_probabilities_are_dropped(self):
        """With the identity for values, the output is what is left of the probabilities: 1/64 each."""
        q, v = weft.zeros((4, 50, 8)), weft.eye(64).reshape(1, 64, 64)
        p = F.scaled_dot_product_attention(q, weft.zeros((4, 64, 8)), v, dropout_p=0.25).numpy() * 64
        np.testing.assert_allclose(np.unique(p), [0, 1 / 0.75], rtol=1e-6)
        assert (p == 0).mean() == pytest.approx(0.25, abs=0.02)

    def test_the_stream_moves_on(self, rng):
        q, k, v = (weft.tensor(a) for a in arrays(rng, (2, 3, 4), (2, 5, 4), (2, 5, 4)))
        before = weft.default_generator.counter
        first = F.scaled_dot_product_attention(q, k, v, dropout_p=0.5)
        assert weft.default_generator.counter == before + primitives.block_count((1, 2, 3, 5))
        assert (first.numpy() != F.scaled_dot_product_attention(q, k, v, dropout_p=0.5).numpy()).any()
        weft.manual_seed(0)
        again = F.scaled_dot_product_attention(q, k, v, dropout_p=0.5)
        np.testing.assert_array_equal(again.numpy(), first.numpy())

    def test_all(self, rng):
        y, _ = run(arrays(rng, (3, 4), (5, 4), (5, 4)), dropout_p=1.0)
        assert not y.any()


class TestErrors:
    def check(self, error, match, shapes, *args, **options):
        tensors = [weft.ones(s) if isinstance(s, tuple) else s for s in shapes]
        with pytest.raises(error, match=match):
            F.scaled_dot_product_attention(*tensors, *args, **options)

    def test_shapes(self):
        self.check(ValueError, r"`query` must have shape \(…, length, width\), got \(4,\)", [(4,), (5, 4), (5, 4)])
        self.check(
            ValueError, r"`key` must have the last axis of `query`, 4, got shape \(5, 6\)", [(3, 4), (5, 6), (5, 4)]
        )
        self.check(
            ValueError, r"`value` must have the length of `key`, 5, got shape \(6, 4\)", [(3, 4), (5, 4), (6, 4)]
        )
        four = [(7, 4, 3, 4), (7, 2, 5, 4), (7, 2, 5, 4)]
        self.check(ValueError, r"axes that broadcast \(or heads .* enable_gqa=True\), got \(7, 4, 3, 4\), \(7, 2", four)
        self.check(ValueError, r"axes that broadcast, got \(7, 4", [four[0], (6, 2, 5, 4), four[2]], enable_gqa=True)

    def test_heads(self):
        match = (
            r"`key` must have heads \(…, heads, length, width\) that divide .* got \(7, 3, 5, 4\) and \(7, 4, 3, 4\)"
        )
        self.check(ValueError, match, [(7, 4, 3, 4), (7, 3, 5, 4), (7, 3, 5, 4)], enable_gqa=True)
        self.check(
            ValueError,
            r"`value` must have heads .*, got \(7, 3",
            [(7, 4, 3, 4), (7, 2, 5, 4), (7, 3, 5, 4)],
            enable_gqa=True,
        )
        self.check(ValueError, r"`key` must have heads .* got \(5, 4\) and", [(3, 4), (5, 4), (5, 4)], enable_gqa=True)

    def test_dtypes(self):
        three = [(3, 4), (5, 4), (5, 4)]
        self.check(
            TypeError, "`query` must have a real floating-point dtype, got int64", [weft.tensor([[1]]), *three[1:]]
        )
        double = weft.ones((5, 4), dtype=weft.float64)
        self.check(
            TypeError, "`key` must have the dtype of `query`, float32, got float64", [three[0], double, three[2]]
        )
        self.check(TypeError, "`value` must be a weft.Tensor, got list", [*three[:2], [1]])
        for dtype in (weft.int64, weft.float64):
            mask = weft.ones((3, 5), dtype=dtype)
            match = f"`attn_mask` must be boolean, float32 or of the dtype of `query`, float32, got {dtype}; convert it"
            self.check(TypeError, match, three, mask)

    def test_masks(self):
        three = [(2, 3, 4), (2, 5, 4), (2, 5, 4)]
        for shape in [(3, 4), (3, 3, 5), (1, 1, 3, 5)]:
            got = ", ".join(map(str, shape))
            match = rf"`attn_mask` must broadcast to \(…, L, S\) = \(2, 3, 5\), got \({got}\)"
            self.check(ValueError, match, three, weft.ones(shape))
        match = r"`attn_mask` must be None with is_causal=True, got shape \(3, 5\); combine the two"
        self.check(ValueError, match, three, weft.ones((3, 5)), is_causal=True)

    def test_probability(self):
        three = [(3, 4), (5, 4), (5, 4)]
        self.check(ValueError, r"`dropout_p` must be a probability in \[0, 1\], got 1.5", three, dropout_p=1.5)
