"""KeyValueCache: what goes in comes out, in the same memory; every attention layer gives with it what it gives without."""

import copy
import itertools
import pickle

import numpy as np
import pytest

import weft
from weft import layers as nn


def keys(rng, *shape):
    return weft.tensor(rng.standard_normal(shape))


class TestLayerCache:
    def test_append(self, rng):
        part, given = nn.LayerCache(6), [keys(rng, 2, 3, n, 4) for n in (3, 1, 2)]
        memory = None
        for k in given:
            found = part.append(k, k * 2)
            memory = memory or found[0].data.__array_interface__["data"]
            assert found[0].data.__array_interface__["data"] == memory
        whole = np.concatenate([k.numpy() for k in given], 2)
        np.testing.assert_array_equal(found[0].numpy(), whole)
        np.testing.assert_array_equal(found[1].numpy(), 2 * whole)
        assert part.length == 6

    def test_values_of_another_width(self, rng):
        assert nn.LayerCache(3).append(keys(rng, 1, 1, 2, 4), keys(rng, 1, 1, 2, 5))[1].shape == (1, 1, 2, 5)

    def test_reorder(self, rng):
        cache, k = nn.KeyValueCache(2, 4), keys(rng, 2, 1, 3, 4)
        for part in cache:
            part.append(k, k)
        cache.reorder(weft.tensor([1, 1, 0]))
        assert cache.length == 3
        np.testing.assert_array_equal(cache[1].contents()[0].numpy(), k.numpy()[[1, 1, 0]])
        assert cache[0].append(keys(rng, 3, 1, 1, 4), keys(rng, 3, 1, 1, 4))[0].shape == (3, 1, 4, 4)

    @pytest.mark.parametrize("other", [copy.copy, copy.deepcopy, lambda part: pickle.loads(pickle.dumps(part))])
    def test_what_needs_the_memory_as_it_was_raises_when_more_is_put_in(self, rng, other):
        part, k, w = nn.LayerCache(4), keys(rng, 1, 1, 1, 2), weft.ones(2).double().requires_grad_()
        part.append(k, k)
        for cache in (part, other(part)):
            y = (cache.contents()[0] * w).sum()
            z = (cache.contents()[1] * w).sum()
            cache.append(k, k)
            for loss in (y, z):
                with pytest.raises(RuntimeError, match="has been changed in place since"):
                    loss.backward()

    def test_reset(self, rng):
        cache = nn.KeyValueCache(1, 4)
        cache[0].append(keys(rng, 1, 1, 4, 4), keys(rng, 1, 1, 4, 4))
        cache.reset()
        assert cache.length == 0
        assert cache[0].append(keys(rng, 3, 2, 1, 5), keys(rng, 3, 2, 1, 5))[0].shape == (3, 2, 1, 5)


class TestErrors:
    def test_sizes(self):
        with pytest.raises(ValueError, match="`layers` must be an integer ≥ 1, got 0"):
            nn.KeyValueCache(0, 3)
        with pytest.raises(ValueError, match="`max_length` must be an integer ≥ 1, got 0"):
            nn.KeyValueCache(1, 0)
        for length, error in ((-1, ValueError), (0, ValueError), (2.5, ValueError), ("3", TypeError)):
            with pytest.raises(error, match=f"`max_length` must be an integer ≥ 1, got {length!r}"):
                nn.LayerCache(length)

    def test_of_another_kind(self, rng):
        """A part where all are wanted, all where a part is, and the states of recurrent layers for neither."""
        x, tokens = weft.randn(1, 3, 4), weft.tensor([[1, 2]])
        layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True).eval()
        decoder = nn.TransformerDecoderLayer(4, 2, 8, batch_first=True).eval()
        gpt2 = nn.models.gpt2(vocab_size=11, context=8, width=16, layers=2, heads=2)
        part, whole = nn.LayerCache(9), nn.KeyValueCache(3, 8)
        for call, message in (
            (lambda: nn.TransformerEncoder(layer, 2)(x, cache=part), "a KeyValueCache, got LayerCache; make one"),
            (lambda: nn.TransformerDecoder(decoder, 2)(x, x, cache=part), "a KeyValueCache, got LayerCache"),
            (lambda: layer(x, cache=whole), r"a LayerCache, got KeyValueCache; give a layer its part: cache\[i\]"),
            (lambda: decoder(x, x, cache=whole), "a LayerCache, got KeyValueCache"),
            (lambda: nn.MultiheadAttention(4, 2)(x, x, x, cache=whole), "a LayerCache, got KeyValueCache"),
            (lambda: gpt2(tokens, cache=part), r"a KeyValueCache, got LayerCache; .* KeyValueCache\(2, max_length\)"),
            (lambda: gpt2(tokens, cache=nn.StateCache()), "a KeyValueCache, got StateCache"),
            (lambda: nn.models.lstm(vocab_size=11, width=16)(tokens, cache=whole), "a StateCache, got KeyValueCache"),
        ):
            with weft.no_grad(), pytest.raises(TypeError, match=f"`cache` must be {message}"):
                call()
        for n in (1, 3):
            with pytest.raises(ValueError, match=f"`cache` must have a part for each of the 2 layers, got {n}"):
                gpt2(tokens, cache=nn.KeyValueCache(n, 8))

    def test_full(self, rng):
        with pytest.raises(ValueError, match="`cache` must have room for 4 positions, got max_length=3"):
            nn.LayerCache(3).append(keys(rng, 1, 1, 4, 2), keys(rng, 1, 1, 4, 2))

    def test_gradients_would_end(self, rng):
        part, k = nn.LayerCache(3), keys(rng, 1, 1, 1, 2).requires_grad_()
        with pytest.raises(RuntimeError, match=r"`cache` is for use without gradients.*weft.no_grad\(\)"):
            part.append(k, k)
        with weft.no_grad():
            assert part.append(k, k)[0].shape == (1, 1, 1, 2)

    def test_others(self, rng):
        part, k = nn.LayerCache(5), keys(rng, 2, 1, 1, 2)
        with pytest.raises(RuntimeError, match="the cache is empty: call `append` first"):
            part.contents()
        part.append(k, k)
        match = r"`key` must be like what the cache holds, \(2, 1, 1, 2\), float64, on cpu, got \(1, 1, 1, 2\), float64"
        with pytest.raises(ValueError, match=match):
            part.append(k[:1], k[:1])
        with pytest.raises(ValueError, match=r"got .* float32, on cpu; call reset"):
            part.append(k.float(), k.float())


def in_steps(run, x, sizes, axis):
    """The outputs of `run` on pieces of x, one after the other."""
    edges = np.cumsum([0, *sizes])
    pieces = [x[(slice(None),) * axis + (slice(i, j),)] for i, j in itertools.pairwise(edges)]
    with weft.no_grad():
        return np.concatenate([run(piece).numpy() for piece in pieces], axis)


@pytest.mark.parametrize("sizes", [(1,) * 7, (4, 1, 1, 1), (2, 3, 2), (7,)])
@pytest.mark.parametrize("batch_first", [False, True])
class TestAttention:
    """A sequence in pieces, with a cache, against all of it with a causal mask."""

    def causal(self):
        return nn.Transformer.generate_square_subsequent_mask(7, dtype=weft.float64)

    @pytest.mark.parametrize("need_weights", [False, True])
    @pytest.mark.parametrize("options", [{}, {"add_bias_kv": True, "add_zero_attn": True}], ids=["", "extra"])
    def test_multi_head(self, rng, sizes, batch_first, need_weights, options):
        layer = nn.MultiheadAttention(8, 2, batch_first=batch_first, **options).double()
        x = keys(rng, 7, 3, 8) if not batch_first else keys(rng, 3, 7, 8)
        expected = layer(x, x, x, attn_mask=self.causal())[0].detach().numpy()
        cache = nn.KeyValueCache(1, 7)
        run = lambda part: layer(part, part, part, None, need_weights, is_causal=True, cache=cache[0])[0]
        np.testing.assert_allclose(in_steps(run, x, sizes, int(batch_first)), expected, atol=1e-12)

    @pytest.mark.parametrize("norm_first", [False, True])
    def test_encoder(self, rng, sizes, batch_first, norm_first):
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=batch_first, norm_first=norm_first)
        stack = nn.TransformerEncoder(layer, 2, nn.LayerNorm(8)).double().eval()
        x = keys(rng, 7, 3, 8) if not batch_first else keys(rng, 3, 7, 8)
        expected = stack(x, self.causal()).detach().numpy()
        cache = nn.KeyValueCache(2, 9)
        run = lambda part: stack(part, is_causal=True, cache=cache)
        np.testing.assert_allclose(in_steps(run, x, sizes, int(batch_first)), expected, atol=1e-12)

    def test_decoder(self, rng, sizes, batch_first):
        """The memory is projected in the first step alone, and padding in it is left out in every step."""
        stack = nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16, batch_first=batch_first), 2).double().eval()
        x, memory = ((keys(rng, n, 3, 8) if not batch_first else keys(rng, 3, n, 8)) for n in (7, 5))
        padding = weft.tensor(np.arange(5) >= np.array([[5], [3], [1]]))
        expected = stack(x, memory, self.causal(), memory_key_padding_mask=padding).detach().numpy()
        cache = nn.KeyValueCache(2, 7)
        run = lambda part: stack(part, memory, memory_key_padding_mask=padding, tgt_is_causal=True, cache=cache)
        np.testing.assert_allclose(in_steps(run, x, sizes, int(batch_first)), expected, atol=1e-12)
        assert cache[1].memory(5).is_complete

    def test_left_padding(self, rng, sizes, batch_first):
        """Rows of different lengths, padding in front: each is what it is alone."""
        stack = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2).double().eval()
        x, lengths = keys(rng, 3, 7, 8), (7, 4, 2)
        padded = weft.tensor(np.arange(7) < 7 - np.array(lengths)[:, None])
        cache, seen = nn.KeyValueCache(2, 7), 0

        def run(part):
            nonlocal seen
            seen += part.shape[1]
            return stack(part, src_key_padding_mask=padded[:, :seen], is_causal=True, cache=cache)

        got = in_steps(run, x, sizes, 1)
        for row, n in enumerate(lengths):
            mask = nn.Transformer.generate_square_subsequent_mask(n, dtype=weft.float64)
            np.testing.assert_allclose(got[row, 7 - n :], stack(x[row, 7 - n :], mask).detach().numpy(), atol=1e-12)


def test_wrong_memory_and_number_of_layers(rng):
    stack = nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16), 2).double().eval()
    x, cache = keys(rng, 1, 3, 8), nn.KeyValueCache(2, 7)
    with weft.no_grad():
        stack(x, keys(rng, 5, 3, 8), cache=cache)
        with pytest.raises(
            ValueError, match="`memory` must stay the same while there is a cache, of length 5, got length 4"
        ):
            stack(x, keys(rng, 4, 3, 8), cache=cache)
        with pytest.raises(ValueError, match="`cache` must have a part for each of the 2 layers, got 3"):
            stack(x, keys(rng, 5, 3, 8), cache=nn.KeyValueCache(3, 7))
        with pytest.raises(ValueError, match="`attn_mask` must be given with is_causal=True"):
            stack(x, keys(rng, 5, 3, 8), memory_is_causal=True, cache=nn.KeyValueCache(2, 7))


@pytest.mark.parametrize("dtype", [weft.float32, weft.bfloat16], ids=str)
def test_on_a_device(rng, accelerator, dtype):
    """One token after the other gives the same there, but for rounding."""
    weft.manual_seed(1)
    layer = nn.MultiheadAttention(8, 2, batch_first=True).to(dtype)
    x = keys(rng, 2, 4, 8).to(dtype)
    results = []
    for device in ("cpu", accelerator):
        layer.to(device)
        cache = nn.KeyValueCache(1, 4)
        with weft.no_grad():
            parts = [x[:, i : i + 1].to(device) for i in range(4)]
            found = [layer(p, p, p, need_weights=False, is_causal=True, cache=cache[0])[0] for p in parts]
        results.append(np.concatenate([y.cpu().numpy().astype("d") for y in found], 1))
    np.testing.assert_allclose(results[1], results[0], atol=2e-6 if dtype == weft.float32 else 0.02)


class TestFailedCalls:
    """What failed may be called again: the cache has not seen it."""

    def again(self, cache, call, wrong):
        """`call` after a failure gives what it gives without one; both before anything else and after a step."""
        with weft.no_grad():
            expected = [call().numpy() for _ in range(2)]
            cache.reset()
            for y in expected:
                with pytest.raises((ValueError, KeyboardInterrupt)):
                    wrong()
                np.testing.assert_array_equal(call().numpy(), y)

    @pytest.mark.parametrize("option", ["attn_mask", "key_padding_mask"])
    def test_attention(self, option):
        attention, x, part = nn.MultiheadAttention(4, 2, batch_first=True), weft.randn(1, 3, 4), nn.LayerCache(9)
        wrong = {option: weft.zeros((7, 7))}
        self.again(part, lambda: attention(x, x, x, cache=part)[0], lambda: attention(x, x, x, cache=part, **wrong))

    @pytest.mark.parametrize("is_stack", [False, True])
    @pytest.mark.parametrize("option", ["tgt_mask", "memory_mask", "memory_key_padding_mask"])
    def test_decoder(self, option, is_stack):
        """The second attention fails when the first has put its keys away."""
        layer = nn.TransformerDecoderLayer(4, 2, 8, batch_first=True).eval()
        model = nn.TransformerDecoder(layer, 2) if is_stack else layer
        cache = nn.KeyValueCache(2, 9) if is_stack else nn.LayerCache(9)
        x, memory, wrong = weft.randn(1, 3, 4), weft.randn(1, 5, 4), {option: weft.zeros((7, 7))}
        self.again(cache, lambda: model(x, memory, cache=cache), lambda: model(x, memory, cache=cache, **wrong))

    @pytest.mark.parametrize("name", ["gpt2", "llama", "encoder"])
    def test_interrupted(self, name, monkeypatch):
        """Between two layers, of which the first has seen the positions."""
        small = {"vocab_size": 11, "context": 8, "width": 16, "layers": 2, "heads": 2}
        if name == "encoder":
            model = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 2).eval()
            cache, x, last = nn.KeyValueCache(2, 8), weft.randn(1, 3, 4), model.layers[1]
        else:
            model = getattr(nn.models, name)(**small).eval()
            cache, x = model.new_cache(), weft.tensor([[1, 2, 3]])
            last = (model.h if name == "gpt2" else model.layers)[1]

        def interrupted():
            def stop(*_, **__):
                raise KeyboardInterrupt

            with monkeypatch.context() as patch:
                patch.setattr(last, "forward", stop)
                model(x, cache=cache)

        self.again(cache, lambda: model(x, cache=cache), interrupted)


def test_memory_without_positions():
    """An encoder's output of no length is one that was seen, too."""
    layer = nn.TransformerDecoderLayer(4, 2, 8, batch_first=True).eval()
    x, memory, part = weft.randn(1, 2, 4), weft.zeros((1, 0, 4)), nn.LayerCache(4)
    with weft.no_grad():
        np.testing.assert_allclose(layer(x, memory, cache=part).numpy(), layer(x, memory).numpy(), atol=1e-6)
        assert layer(x, memory, cache=part).shape == (1, 2, 4)
