"""MultiheadAttention: its parameters, initial values and options; what it computes is in functional/test_multihead.py."""

import numpy as np
import pytest
from transformer_reference import attention

import weft
from weft import layers as nn


def names(layer):
    return {name: tuple(a.shape) for name, a in layer.state_dict().items()}


class TestState:
    def test_packed(self):
        joined = {"out_proj.weight": (8, 8), "out_proj.bias": (8,)}
        packed = {"in_proj_weight": (24, 8), "in_proj_bias": (24,)}
        assert names(nn.MultiheadAttention(8, 2)) == packed | joined
        assert names(nn.MultiheadAttention(8, 2, kdim=8, vdim=8)) == packed | joined
        assert names(nn.MultiheadAttention(8, 2, bias=False)) == {"in_proj_weight": (24, 8), "out_proj.weight": (8, 8)}
        extra = {"bias_k": (1, 1, 8), "bias_v": (1, 1, 8)}
        assert list(names(nn.MultiheadAttention(8, 2, add_bias_kv=True))) == list(packed | extra | joined)

    def test_separate(self):
        """Three weights and still one bias, also if only one width is another."""
        expected = {"q_proj_weight": (8, 8), "k_proj_weight": (8, 5), "v_proj_weight": (8, 8), "in_proj_bias": (24,)}
        expected |= {"out_proj.weight": (8, 8), "out_proj.bias": (8,)}
        assert names(nn.MultiheadAttention(8, 2, kdim=5)) == expected


class TestInitialValues:
    def bound(self, weight):
        return np.abs(weight.data).max()

    def test_weights(self):
        """Xavier over the packed (3E, E), a Linear's own for the output."""
        layer = nn.MultiheadAttention(96, 2, add_bias_kv=True)
        assert self.bound(layer.in_proj_weight) == pytest.approx((6 / (4 * 96)) ** 0.5, rel=0.01)
        assert self.bound(layer.out_proj.weight) == pytest.approx(96**-0.5, rel=0.01)
        assert layer.bias_k.data.std() == pytest.approx((2 / 192) ** 0.5, rel=0.3)
        assert not layer.in_proj_bias.data.any()
        assert not layer.out_proj.bias.data.any()

    def test_separate_weights(self):
        layer = nn.MultiheadAttention(96, 2, kdim=64, vdim=32)
        for weight, width in ((layer.q_proj_weight, 96), (layer.k_proj_weight, 64), (layer.v_proj_weight, 32)):
            assert self.bound(weight) == pytest.approx((6 / (96 + width)) ** 0.5, rel=0.01)


@pytest.mark.parametrize(
    "options", [{}, {"kdim": 5, "vdim": 3}, {"bias": False}, {"add_bias_kv": True, "add_zero_attn": True}], ids=str
)
@pytest.mark.parametrize("batch_first", [False, True])
def test_values(rng, options, batch_first):
    layer = nn.MultiheadAttention(4, 2, batch_first=batch_first, **options).double()
    state = {name: a.numpy() for name, a in layer.state_dict().items()}
    q, k, v = (rng.standard_normal((3, n, w)) for n, w in ((2, 4), (5, layer.kdim), (5, layer.vdim)))
    y, weights = layer(*(weft.tensor(x if batch_first else x.swapaxes(0, 1)) for x in (q, k, v)))
    expected, each = attention(state, 2, q, k, v, zero=layer.add_zero_attn)
    y = y.detach().numpy()
    np.testing.assert_allclose(y if batch_first else y.swapaxes(0, 1), expected, atol=1e-12)
    np.testing.assert_allclose(weights.detach().numpy(), each.mean(1), atol=1e-12)


def test_dropout_is_in_training_alone(rng):
    layer = nn.MultiheadAttention(4, 2, dropout=0.5).double()
    x = weft.tensor(rng.standard_normal((9, 2, 4)))
    weights = layer(x, x, x, average_attn_weights=False)[1]
    assert (weights.detach().numpy() == 0).mean() == pytest.approx(0.5, abs=0.15)
    first, second = (layer.eval()(x, x, x)[0].detach().numpy() for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("dtype", [weft.float16, weft.bfloat16], ids=str)
def test_autocast(rng, dtype, need_weights):
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    x = weft.tensor(rng.standard_normal((2, 5, 8)).astype("f"))
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    expected = layer(x, x, x, attn_mask=mask)[0].detach().numpy()
    with weft.autocast(dtype):
        y, _ = layer(x, x, x, need_weights=need_weights, attn_mask=mask)
    assert y.dtype == dtype
    np.testing.assert_allclose(y.detach().numpy().astype("f"), expected, atol=0.02)
    y.sum().backward()
    assert {p.grad.dtype for p in layer.parameters()} == {np.dtype("f")}


@pytest.mark.parametrize("need_weights", [False, True])
def test_captured(rng, accelerator, need_weights):
    """Replayed, a training step has the bits of an eager one."""
    x = weft.asarray(rng.standard_normal((2, 5, 8)).astype("f"), device=accelerator)

    def losses(wrap):
        weft.manual_seed(3)
        layer = nn.MultiheadAttention(8, 2, 0.2, batch_first=True, device=accelerator)
        optimizer = weft.optimizers.SGD(layer.parameters(), lr=0.1)

        def step(x):
            optimizer.zero_grad()
            loss = (layer(x, x, x, need_weights=need_weights)[0] ** 2).sum()
            loss.backward()
            optimizer.step()
            return loss

        step = wrap(step)
        return [step(x).item() for _ in range(5)]

    assert losses(weft.capture) == losses(lambda step: step)


def test_errors():
    with pytest.raises(ValueError, match="`num_heads` must divide `embed_dim`, both at least 1, got 3 and 8"):
        nn.MultiheadAttention(8, 3)
    with pytest.raises(ValueError, match=r"`dropout` must be a probability in \[0, 1\], got 2"):
        nn.MultiheadAttention(8, 2, dropout=2)
