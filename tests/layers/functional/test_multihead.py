"""multi_head_attention_forward against float64 NumPy that goes sample by sample and head by head."""

import itertools

import numpy as np
import pytest
from transformer_reference import attention

import weft
from weft import layers as nn
from weft.layers import functional as F

N, H, E, L, S = 2, 2, 4, 3, 5


def weights(rng, kdim=E, vdim=E, bias=True, bias_kv=False):
    state = {"out_proj.weight": (E, E)}
    if kdim == vdim == E:
        state["in_proj_weight"] = (3 * E, E)
    else:
        state |= {"q_proj_weight": (E, E), "k_proj_weight": (E, kdim), "v_proj_weight": (E, vdim)}
    state |= {"in_proj_bias": (3 * E,), "out_proj.bias": (E,)} if bias else {}
    state |= {"bias_k": (1, 1, E), "bias_v": (1, 1, E)} if bias_kv else {}
    return {name: rng.standard_normal(shape) for name, shape in state.items()}


def call(state, q, k, v, zero=False, **options):
    """With arrays (N, L, E), or Tensors in the layout that `options` say."""
    t = {name: weft.tensor(a) for name, a in state.items()}
    q, k, v = (x if isinstance(x, weft.Tensor) else weft.tensor(x) for x in (q, k, v))
    options = {name: weft.asarray(a) if isinstance(a, np.ndarray) else a for name, a in options.items()}
    options = {"batch_first": True, "use_separate_proj_weight": "q_proj_weight" in t, **options}
    names = ["in_proj_weight", "in_proj_bias", "bias_k", "bias_v"]
    separate = {f"{x}_proj_weight": t.get(f"{x}_proj_weight") for x in "qkv"}
    joined = t["out_proj.weight"], t.get("out_proj.bias")
    return F.multi_head_attention_forward(q, k, v, E, H, *map(t.get, names), zero, 0.0, *joined, **separate, **options)


def inputs(rng, kdim=E, vdim=E):
    return [rng.standard_normal(s) for s in ((N, L, E), (N, S, kdim), (N, S, vdim))]


MASKS = {
    "none": lambda rng: None,
    "boolean": lambda rng: rng.random((L, S)) < 0.4,
    "numbers": lambda rng: rng.standard_normal((L, S)),
    "boolean for each head": lambda rng: rng.random((N * H, L, S)) < 0.4,
    "numbers for each head": lambda rng: rng.standard_normal((N * H, L, S)),
}
PADDINGS = {
    "none": lambda rng: None,
    "boolean": lambda rng: rng.random((N, S)) < 0.4,
    "numbers": lambda rng: rng.standard_normal((N, S)),
}


def with_a_key(mask):
    if mask is not None and mask.dtype == bool:
        mask[..., 0] = False
    return mask


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize(("mask", "padding"), list(itertools.product(MASKS, PADDINGS)))
@pytest.mark.parametrize("extra", [False, True])
def test_masks(rng, mask, padding, need_weights, extra):
    """Masks of one kind and of two; keys appended by the layer take part for every query."""
    state, arrays = weights(rng, bias_kv=extra), inputs(rng)
    mask, padding = with_a_key(MASKS[mask](rng)), with_a_key(PADDINGS[padding](rng))
    y, attn = call(state, *arrays, extra, attn_mask=mask, key_padding_mask=padding, need_weights=need_weights)
    expected, each = attention(state, H, *arrays, mask, padding, extra)
    np.testing.assert_allclose(y.numpy(), expected, atol=1e-12)
    assert (attn is not None) == need_weights
    if need_weights:
        assert attn.shape == (N, L, S + 2 * extra)
        np.testing.assert_allclose(attn.numpy(), each.mean(1), atol=1e-12)
        y, attn = call(state, *arrays, extra, attn_mask=mask, key_padding_mask=padding, average_attn_weights=False)
        np.testing.assert_allclose(attn.numpy(), each, atol=1e-12)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("kdim", "vdim"), [(E, E), (3, E), (E, 7), (3, 7)])
def test_widths(rng, kdim, vdim, bias):
    state, arrays = weights(rng, kdim, vdim, bias), inputs(rng, kdim, vdim)
    expected, _ = attention(state, H, *arrays)
    np.testing.assert_allclose(call(state, *arrays)[0].numpy(), expected, atol=1e-12)
    y, attn = call(state, *(x.swapaxes(0, 1) for x in arrays), batch_first=False)
    np.testing.assert_allclose(y.numpy().swapaxes(0, 1), expected, atol=1e-12)
    assert attn.shape == (N, L, S)


@pytest.mark.parametrize("same", ["all", "key and value", "none"])
def test_one_product_where_inputs_are_one(rng, same):
    """Values, and gradients by central differences along a direction."""
    state, x = weights(rng), rng.standard_normal((N, L, E))
    g, d = rng.standard_normal((2, N, L, E))

    def run(x):
        t = weft.tensor(x, requires_grad=True)
        others = {"all": (t, t), "key and value": (t * 1,) * 2, "none": (t * 1, t * 1)}[same]
        return t, call(state, t, *others, need_weights=False)[0]

    t, y = run(x)
    np.testing.assert_allclose(y.detach().numpy(), attention(state, H, x, x, x)[0], atol=1e-12)
    (y * weft.tensor(g)).sum().backward()
    at = [(attention(state, H, *[x + step * d] * 3)[0] * g).sum() for step in (1e-6, -1e-6)]
    assert (t.grad.numpy() * d).sum() == pytest.approx((at[0] - at[1]) / 2e-6, rel=1e-6)


@pytest.mark.parametrize("need_weights", [False, True])
def test_without_a_batch(rng, need_weights):
    """(L, E), whatever `batch_first`; weights (L, S) or (H, L, S)."""
    state, arrays = weights(rng), [x[0] for x in inputs(rng)]
    padding = with_a_key(rng.random(S) < 0.4)
    expected, each = attention(state, H, *(x[None] for x in arrays), None, padding[None])
    for batch_first in (False, True):
        options = {"batch_first": batch_first, "key_padding_mask": padding, "need_weights": need_weights}
        y, attn = call(state, *arrays, **options)
        np.testing.assert_allclose(y.numpy(), expected[0], atol=1e-12)
        if need_weights:
            np.testing.assert_allclose(attn.numpy(), each[0].mean(0), atol=1e-12)
            attn = call(state, *arrays, **options, average_attn_weights=False)[1]
            np.testing.assert_allclose(attn.numpy(), each[0], atol=1e-12)


class TestHints:
    """`is_causal` says what the mask is."""

    def test_needs_a_mask(self, rng):
        x = rng.standard_normal((N, L, E))
        with pytest.raises(ValueError, match=r"`attn_mask` must be given with is_causal=True.*got None; make it by"):
            call(weights(rng), x, x, x, is_causal=True)

    @pytest.mark.parametrize(("padding", "need_weights"), [(True, False), (False, True)])
    def test_numbers_are_read(self, rng, padding, need_weights):
        """A wrong hint: with padding or weights wanted, it is the mask that counts."""
        state, x = weights(rng), rng.standard_normal((N, L, E))
        mask, pad = rng.standard_normal((L, L)), rng.standard_normal((N, L)) if padding else None
        y, _ = call(state, x, x, x, attn_mask=mask, key_padding_mask=pad, need_weights=need_weights, is_causal=True)
        np.testing.assert_allclose(y.numpy(), attention(state, H, x, x, x, mask, pad)[0], atol=1e-12)

    def test_numbers_are_not_read(self, rng):
        state, x = weights(rng), rng.standard_normal((N, L, E))
        y, _ = call(state, x, x, x, attn_mask=np.zeros((L, L)), need_weights=False, is_causal=True)
        later = np.triu(np.ones((L, L), bool), 1)
        np.testing.assert_allclose(y.numpy(), attention(state, H, x, x, x, later)[0], atol=1e-12)


class TestNoKeys:
    def test_all_are_padding(self, rng):
        """Weights are NaN, as in PyTorch; without them the output is the projection's bias."""
        state, arrays = weights(rng), inputs(rng)
        padding = np.array([[True] * S, [False] * S])
        with np.errstate(invalid="ignore"):
            y, attn = call(state, *arrays, key_padding_mask=padding)
        expected, _ = attention(state, H, *(x[1:] for x in arrays))
        assert np.isnan(attn.numpy()[0]).all()
        assert np.isnan(y.numpy()[0]).all()
        np.testing.assert_allclose(y.numpy()[1], expected[0], atol=1e-12)
        y, _ = call(state, *arrays, key_padding_mask=padding, need_weights=False)
        np.testing.assert_array_equal(y.numpy()[0], np.broadcast_to(state["out_proj.bias"], (L, E)))
        np.testing.assert_allclose(y.numpy()[1], expected[0], atol=1e-12)

    @pytest.mark.parametrize("need_weights", [False, True])
    def test_there_are_none(self, rng, need_weights):
        state, (q, k, v) = weights(rng), inputs(rng)
        y, _ = call(state, q, k[:, :0], v[:, :0], need_weights=need_weights)
        np.testing.assert_array_equal(y.numpy(), np.broadcast_to(state["out_proj.bias"], (N, L, E)))


def test_static_keys(rng):
    """Heads that are given take the place of the projections."""
    state, arrays = weights(rng), inputs(rng)
    heads = rng.standard_normal((2, N, H, 6, E // H))
    flat = heads.reshape(2, N * H, 6, E // H)
    y, attn = call(state, *arrays, static_k=flat[0], static_v=flat[1])
    q = (arrays[0] @ state["in_proj_weight"][:E].T + state["in_proj_bias"][:E]).reshape(N, L, H, -1)
    scores = np.einsum("nlhd,nhsd->nhls", q, heads[0]) / np.sqrt(E // H)
    p = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    out = np.einsum("nhls,nhsd->nlhd", p, heads[1]).reshape(N, L, E)
    np.testing.assert_allclose(y.numpy(), out @ state["out_proj.weight"].T + state["out_proj.bias"], atol=1e-12)
    np.testing.assert_allclose(attn.numpy(), p.mean(1), atol=1e-12)


def test_dropout_is_in_the_weights(rng):
    """Each weight 0 or 1/(1 − p) of what it was, and none in evaluation."""
    t = {name: weft.tensor(a) for name, a in weights(rng).items()}
    q, k, v = map(weft.tensor, inputs(rng))
    names = ["in_proj_weight", "in_proj_bias", "bias_k", "bias_v"]

    def run(training):
        joined = t["out_proj.weight"], t["out_proj.bias"]
        return F.multi_head_attention_forward(
            q,
            k,
            v,
            E,
            H,
            *map(t.get, names),
            False,
            0.5,
            *joined,
            training,
            batch_first=True,
            average_attn_weights=False,
        )[1].numpy()

    kept = np.round(run(True) / run(False), 9)
    assert set(np.unique(kept)) == {0, 2}


class TestErrors:
    def check(self, error, match, shapes=((N, L, E), (N, S, E), (N, S, E)), state=None, **options):
        rng = np.random.default_rng(0)
        with pytest.raises(error, match=match):
            call(weights(rng) if state is None else state, *map(rng.standard_normal, shapes), **options)

    def test_shapes(self):
        self.check(ValueError, r"must have shape \(length, batch, width\) or.*got \(2, 3, 4\), \(5, 4\)",
                   [(N, L, E), (S, E), (S, E)])  # fmt: skip
        self.check(ValueError, r"`query` must have the width embed_dim = 4, a multiple of num_heads = 2, got shape \(2, 3, 5\)",
                   [(N, L, 5), (N, S, E), (N, S, E)])  # fmt: skip
        self.check(ValueError, r"`value` must have the shape of `key`, with the width 4, got \(2, 6, 4\) and \(2, 5, 4\)",
                   [(N, L, E), (N, S, E), (N, 6, E)])  # fmt: skip
        rng = np.random.default_rng(0)
        self.check(ValueError, r"`value` must have the length and batch of `key`, got \(2, 6, 7\) and \(2, 5, 3\)",
                   [(N, L, E), (N, S, 3), (N, 6, 7)], weights(rng, 3, 7))  # fmt: skip
        self.check(ValueError, r"`static_k` must have shape \(N·H, S, E/H\) = \(4, S, 2\), got \(3, 5, 2\)",
                   static_k=np.ones((3, 5, 2)))  # fmt: skip

    def test_masks(self):
        for shape in [(N, L, S), (1, S), (S, L)]:
            got = ", ".join(map(str, shape))
            match = rf"`attn_mask` must have shape \(L, S\) = \(3, 5\) or \(N·H, L, S\) = \(4, 3, 5\), got \({got}\)"
            self.check(ValueError, match, attn_mask=np.zeros(shape, bool))
        match = r"`key_padding_mask` must have shape \(N, S\) = \(2, 5\), got \(5, 2\)"
        self.check(ValueError, match, key_padding_mask=np.zeros((S, N), bool))

    @pytest.mark.parametrize("dtype", ["uint8", "int64"])
    def test_dtypes_of_masks(self, dtype):
        match = "must be boolean or of a floating-point dtype, got " + dtype
        self.check(TypeError, "`attn_mask` " + match, attn_mask=np.zeros((L, S), dtype))
        self.check(TypeError, "`key_padding_mask` " + match, key_padding_mask=np.zeros((N, S), dtype))

    @pytest.mark.parametrize("need_weights", [False, True])
    @pytest.mark.parametrize("name", ["attn_mask", "key_padding_mask"])
    def test_numbers_of_another_dtype(self, name, need_weights):
        """Whether weights are wanted or not, a mask of numbers is in float32 or in the dtype of the query."""
        shape = (L, S) if name == "attn_mask" else (N, S)
        layer, q, k = nn.MultiheadAttention(E, H, batch_first=True), weft.randn(N, L, E), weft.randn(N, S, E)
        for dtype, other in (("float32", "float64"), ("float32", "float16"), ("float64", "float16")):
            mask, layer = weft.zeros(shape, dtype=other), layer.to(dtype)
            match = f"`{name}` must be boolean, float32 or of the dtype of `query`, {dtype}, got {other}; convert it"
            with pytest.raises(TypeError, match=match):
                layer(q.to(dtype), k.to(dtype), k.to(dtype), need_weights=need_weights, **{name: mask})
        mask = weft.randn(*shape)
        expected, attn = layer(q.double(), k.double(), k.double(), **{name: mask})
        for dtype, atol in (("float64", 0), ("float16", 5e-3), ("bfloat16", 5e-2)):
            layer, (a, b) = layer.to(dtype), (x.to(dtype) for x in (q, k))
            y, weights = layer(a, b, b, need_weights=need_weights, **{name: mask})
            assert y.dtype == a.dtype
            np.testing.assert_allclose(y.detach().double().numpy(), expected.detach().numpy(), atol=atol, rtol=1e-12)
            if need_weights:
                assert weights.dtype == a.dtype
                np.testing.assert_allclose(
                    weights.detach().double().numpy(), attn.detach().numpy(), atol=atol, rtol=1e-12
                )

    def test_other_batches(self):
        for batch_first, axis in ((True, 0), (False, 1)):
            layer = nn.MultiheadAttention(4, 2, batch_first=batch_first)
            q, k = (weft.ones((n, 3, 4) if batch_first else (3, n, 4)) for n in (2, 1))
            with pytest.raises(ValueError, match=f"`key` must have the batch of `query`, 2, as axis {axis}, got shape"):
                layer(q, k, k)

    def test_other_dtypes(self):
        q = weft.ones((N, L, E))
        with pytest.raises(TypeError, match="`key` must have the dtype of `query`, float32, got float64"):
            F.multi_head_attention_forward(
                q, q.double(), q, E, H, weft.ones((3 * E, E)), None, None, None, False, 0.0, weft.ones((E, E)), None
            )


def test_a_bias_of_another_length_is_refused():
    x, w, out = weft.randn(5, 2, 4), weft.randn(12, 4), weft.eye(4)
    given = (x, x, x, 4, 2, w, None)
    row = weft.randn(4)
    found = F.multi_head_attention_forward(*given, row, row, False, 0.0, out, None)[0]
    full = row.reshape(1, 1, 4)
    expected = F.multi_head_attention_forward(*given, full, full, False, 0.0, out, None)[0]
    assert found.tolist() == expected.tolist()
    with pytest.raises(ValueError, match=r"`bias_k` must have shape \(1, 1, E\) or \(E,\) with E = 4, got \(3,\)"):
        F.multi_head_attention_forward(*given, row[:3], row, False, 0.0, out, None)
