"""The Transformer's layers and stacks against float64 NumPy, with all masks; and where PyTorch surprises."""

import itertools

import numpy as np
import pytest
from transformer_reference import layer, part, stack

import weft
from weft import layers as nn
from weft.layers import functional as F

N, S, T, E, H = 2, 5, 4, 4, 2
OPTIONS = [
    {"activation": activation, "norm_first": norm_first, "batch_first": batch_first, "bias": bias}
    for activation, norm_first, batch_first, bias in itertools.product(["relu", "gelu"], [0, 1], [0, 1], [0, 1])
]
each = pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(map(str, o.values())))
TANH = {"activation": weft.tanh}


def masks(rng, length, keys):
    """A mask for each head and one for each sample, which leave the first key."""
    mask, padding = rng.random((N * H, length, keys)) < 0.3, rng.random((N, keys)) < 0.3
    mask[..., 0] = padding[:, 0] = False
    return mask, padding


def tensors(options, *arrays):
    """Sequences in the layout of the layer."""
    return [weft.tensor(x if options["batch_first"] else x.swapaxes(0, 1)) for x in arrays]


def compare(got, expected, options):
    got = got.detach().numpy()
    np.testing.assert_allclose(got if options["batch_first"] else got.swapaxes(0, 1), expected, atol=1e-12)


def state(module):
    rng = np.random.default_rng(5)
    for p in module.parameters():
        p.data[...] = rng.standard_normal(p.shape) / 2
    return {name: a.numpy() for name, a in module.state_dict().items()}


def also(options):
    """What the reference takes."""
    return {name: options[name] for name in ("activation", "norm_first")}


@each
def test_encoder_layer(rng, options):
    module = nn.TransformerEncoderLayer(E, H, 7, layer_norm_eps=1e-3, **options).double().eval()
    x, (mask, padding) = rng.standard_normal((N, S, E)), masks(rng, S, S)
    expected = layer(state(module), H, x, mask, padding, eps=1e-3, **also(options))
    compare(module(*tensors(options, x), *map(weft.tensor, (mask, padding))), expected, options)
    assert len(module.state_dict()) == (12 if options["bias"] else 6)  # no biases of normalisations either


@each
def test_decoder_layer(rng, options):
    module = nn.TransformerDecoderLayer(E, H, 7, **options).double().eval()
    x, memory = rng.standard_normal((N, T, E)), rng.standard_normal((N, S, E))
    (mask, padding), others = masks(rng, T, T), masks(rng, T, S)
    expected = layer(state(module), H, x, mask, padding, (memory, *others), **also(options))
    given = mask, others[0], padding, others[1]
    compare(module(*tensors(options, x, memory), *map(weft.tensor, given)), expected, options)


@each
@pytest.mark.parametrize("norm", [False, True])
def test_stacks(rng, options, norm):
    """Without `norm` there is none at the end, with `norm_first` either."""
    x, memory = rng.standard_normal((N, T, E)), rng.standard_normal((N, S, E))
    (mask, padding), others = masks(rng, T, T), masks(rng, T, S)
    make = lambda: nn.LayerNorm(E) if norm else None
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(E, H, 7, **options), 2, make()).double().eval()
    expected = stack(state(encoder), H, x, mask, padding, **also(options))
    compare(encoder(*tensors(options, x), weft.tensor(mask), weft.tensor(padding)), expected, options)
    decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(E, H, 7, **options), 2, make()).double().eval()
    expected = stack(state(decoder), H, x, mask, padding, (memory, *others), **also(options))
    given = {
        "tgt_mask": mask,
        "memory_mask": others[0],
        "tgt_key_padding_mask": padding,
        "memory_key_padding_mask": others[1],
    }
    given = {name: weft.tensor(a) for name, a in given.items()}
    compare(decoder(*tensors(options, x, memory), **given), expected, options)


@each
def test_transformer(rng, options):
    model = nn.Transformer(E, H, 2, 1, 7, **options).double().eval()
    weights = state(model)
    src, tgt = rng.standard_normal((N, S, E)), rng.standard_normal((N, T, E))
    later = np.triu(np.ones((T, T), bool), 1)
    _, padding = masks(rng, S, S)
    memory = stack(part(weights, "encoder."), H, src, None, padding, **also(options))
    expected = stack(part(weights, "decoder."), H, tgt, later, None, (memory, None, padding), **also(options))
    given = {"tgt_mask": nn.Transformer.generate_square_subsequent_mask(T, dtype=weft.float64)}
    given |= {"src_key_padding_mask": weft.tensor(padding), "memory_key_padding_mask": weft.tensor(padding)}
    compare(model(*tensors(options, src, tgt), **given), expected, options)


def test_without_a_batch(rng):
    model = nn.Transformer(E, H, 1, 1, 7).double().eval()
    src, tgt = weft.tensor(rng.standard_normal((S, E))), weft.tensor(rng.standard_normal((T, E)))
    whole = model(src.unsqueeze(1), tgt.unsqueeze(1))
    np.testing.assert_allclose(model(src, tgt).detach().numpy(), whole[:, 0].detach().numpy(), atol=1e-12)


class TestDefaults:
    def test_of_a_layer(self):
        module = nn.TransformerEncoderLayer(E, H)
        assert module.linear1.weight.shape == (2048, E)
        assert [module.dropout.p, module.dropout1.p, module.dropout2.p, module.self_attn.dropout] == [0.1] * 4
        assert module.activation is F.relu
        assert module.norm1.eps == 1e-5
        assert not module.norm_first
        assert not module.self_attn.batch_first

    def test_of_a_transformer(self):
        """Normalised at both ends, always."""
        model = nn.Transformer(E, H, dim_feedforward=7, norm_first=True)
        assert model.encoder.num_layers == model.decoder.num_layers == 6
        assert isinstance(model.encoder.norm, nn.LayerNorm)
        assert isinstance(model.decoder.norm, nn.LayerNorm)

    def test_layers_are_copies(self):
        first, second = nn.TransformerEncoder(nn.TransformerEncoderLayer(E, H, 7), 2).layers
        for a, b in zip(first.parameters(), second.parameters()):
            assert a is not b
            np.testing.assert_array_equal(a.data, b.data)

    def test_initial_values(self):
        """Every matrix anew, those of `out_proj` and the linear layers too; biases stay."""
        model = nn.Transformer(96, H, 1, 1, 96)
        own = model.encoder.layers[0]
        for weight in (own.self_attn.out_proj.weight, own.linear1.weight, own.linear2.weight):
            assert np.abs(weight.data).max() == pytest.approx((6 / 192) ** 0.5, rel=0.01)
        assert np.abs(own.self_attn.in_proj_weight.data).max() == pytest.approx((6 / 384) ** 0.5, rel=0.01)
        assert np.abs(own.linear1.bias.data).max() == pytest.approx(96**-0.5, rel=0.1)


class TestCausal:
    def mask(self, kind):
        later = np.triu(np.ones((T, T), bool), 1)
        return weft.tensor(later if kind == "boolean" else np.where(later, -np.inf, 0.0))

    def encoder(self):
        return nn.TransformerEncoder(nn.TransformerEncoderLayer(E, H, 7, batch_first=True), 1).double().eval()

    @pytest.mark.parametrize("kind", ["boolean", "numbers"])
    def test_the_mask_is_recognised(self, rng, kind, monkeypatch):
        seen = []
        original = F.multihead.scaled_dot_product_attention
        spy = lambda *args: seen.append(args[-1]) or original(*args)
        monkeypatch.setattr(F.multihead, "scaled_dot_product_attention", spy)
        encoder, x = self.encoder(), weft.tensor(rng.standard_normal((N, T, E)))
        found = [encoder(x, self.mask(kind), is_causal=hint).detach().numpy() for hint in (None, True, False)]
        assert seen == [True, True, False]
        np.testing.assert_allclose(found[0], found[2], atol=1e-12)
        np.testing.assert_array_equal(found[0], found[1])
        wrong = self.mask("boolean")
        wrong.data[0, 1] = False
        encoder(x, wrong)
        assert seen[-1] is False

    def test_a_hint_wants_a_mask(self, rng):
        x = weft.tensor(rng.standard_normal((N, T, E)))
        with pytest.raises(ValueError, match="`attn_mask` must be given with is_causal=True"):
            self.encoder()(x, is_causal=True)

    def test_a_decoder_without_a_mask_is_not(self, rng):
        module = nn.TransformerDecoderLayer(E, H, 7, batch_first=True).double().eval()
        x, memory = rng.standard_normal((1, T, E)), weft.tensor(rng.standard_normal((1, S, E)))
        first = module(weft.tensor(x), memory)[:, 0].detach().numpy()
        x[:, -1] += 1
        assert (module(weft.tensor(x), memory)[:, 0].detach().numpy() != first).any()


class TestPadding:
    @pytest.mark.parametrize("recorded", [False, True])
    def test_numbers_whether_recorded_or_not(self, rng, recorded):
        """At padded positions too, where PyTorch's fast path writes zeros; a sample of nothing else is finite."""
        module = nn.TransformerEncoderLayer(E, H, 7, batch_first=True).double().eval()
        encoder = nn.TransformerEncoder(module, 2)
        x, padding = rng.standard_normal((N, S, E)), np.array([[False] * 3 + [True] * 2, [True] * S])
        expected = encoder(weft.tensor(x), src_key_padding_mask=weft.tensor(padding)).detach().numpy()
        context = weft.enable_grad() if recorded else weft.no_grad()
        with context:
            y = encoder(weft.tensor(x), src_key_padding_mask=weft.tensor(padding)).detach().numpy()
        np.testing.assert_array_equal(y, expected)
        assert np.isfinite(y).all()
        assert y[0, 3:].all()


def test_hooks_and_replaced_parts_run(rng):
    """Sublayers that are fused otherwise."""
    module = nn.TransformerEncoderLayer(E, H, 7, 0.0, batch_first=True).double()
    x = weft.tensor(rng.standard_normal((N, S, E)))
    plain, seen = module(x).detach().numpy(), []
    for name in ("dropout1", "linear1", "dropout2"):
        getattr(module, name).register_forward_hook(lambda m, a, y, name=name: seen.append(name))
    np.testing.assert_allclose(module(x).detach().numpy(), plain, atol=1e-12)
    assert seen == ["dropout1", "linear1", "dropout2"]
    module.dropout1 = nn.Identity()
    np.testing.assert_allclose(module(x).detach().numpy(), plain, atol=1e-12)


def test_dropout_in_training(rng):
    module = nn.TransformerEncoderLayer(E, H, 7, 0.5, batch_first=True)
    x = weft.tensor(rng.standard_normal((N, S, E)).astype("f"))
    assert (module(x).detach().numpy() != module(x).detach().numpy()).any()
    module.eval()
    np.testing.assert_array_equal(module(x).detach().numpy(), module(x).detach().numpy())


def test_other_activations(rng):
    """Any function of a Tensor, or a module, which is then part of the layer."""
    x = rng.standard_normal((N, S, E))
    for f in (weft.tanh, nn.Tanh()):
        module = nn.TransformerEncoderLayer(E, H, 7, activation=f, batch_first=True).double().eval()
        expected = layer(state(module), H, x, None, None, activation="tanh")
        np.testing.assert_allclose(module(weft.tensor(x)).detach().numpy(), expected, atol=1e-12)
    with_slope = nn.TransformerEncoder(nn.TransformerEncoderLayer(E, H, 7, activation=nn.PReLU()), 1)
    assert "layers.0.activation.weight" in with_slope.state_dict()


def test_swiglu_block(rng):
    block = nn.SwiGLUBlock(3, 5, 2, bias=True).double()
    x, w = rng.standard_normal((4, 3)), {name: a.numpy() for name, a in block.state_dict().items()}
    gate, up = (x @ w[f"{n}_proj.weight"].T + w[f"{n}_proj.bias"] for n in ("gate", "up"))
    expected = (up * gate / (1 + np.exp(-gate))) @ w["down_proj.weight"].T + w["down_proj.bias"]
    np.testing.assert_allclose(block(weft.tensor(x)).detach().numpy(), expected, atol=1e-12)
    assert nn.SwiGLUBlock(12).gate_proj.weight.shape == (32, 12)


@pytest.mark.parametrize("steps", [1, 3])
def test_tied_embeddings(rng, steps, accelerator):
    """One matrix to read tokens with and to score them with: its gradient is the sum of both."""
    tokens = rng.integers(0, 6, (2, 5))
    results = []
    for device in ("cpu", accelerator):
        weft.manual_seed(0)
        table = nn.Embedding(6, E)
        head = nn.Linear(E, 6, bias=False)
        head.weight = table.weight
        model = nn.Sequential(table, nn.TransformerEncoderLayer(E, H, 7, 0.0), head).to(device)
        assert len(list(model.parameters())) == 13
        assert model[0].weight is model[2].weight
        optimizer = weft.optimizers.Adam(model.parameters(), lr=0.01)
        for _ in range(steps):
            optimizer.zero_grad()
            scores = model(weft.asarray(tokens, device=device))
            loss = F.cross_entropy(
                scores.reshape(-1, 6), weft.asarray(tokens[:, ::-1].reshape(-1).copy(), device=device)
            )
            loss.backward()
            optimizer.step()
        assert model[0].weight is model[2].weight
        results.append(model[0].weight.detach().cpu().numpy())
    np.testing.assert_allclose(results[0], results[1], atol=1e-5)


class TestErrors:
    def test_activation(self):
        with pytest.raises(ValueError, match="`activation` must be one of 'relu', 'gelu', got 'silu'"):
            nn.TransformerEncoderLayer(E, H, activation="silu")

    @pytest.mark.parametrize("kind", ["Encoder", "Decoder"])
    def test_layers(self, kind):
        inner = getattr(nn, f"Transformer{kind}Layer")(E, H, 7)
        with pytest.raises(ValueError, match="`num_layers` must be at least 1, got 0"):
            getattr(nn, f"Transformer{kind}")(inner, 0)

    def test_inputs(self):
        model = nn.Transformer(E, H, 1, 1, 7)
        with pytest.raises(
            ValueError, match=r"`src` and `tgt` must have the same batch, got \(5, 2, 4\) and \(4, 3, 4\)"
        ):
            model(weft.ones((5, 2, 4)), weft.ones((4, 3, 4)))
        with pytest.raises(ValueError, match=r"`src` and `tgt` must have the width d_model = 4, got \(5, 2, 5\)"):
            model(weft.ones((5, 2, 5)), weft.ones((4, 2, 4)))
