"""Long generation on a CPU replays a recorded step: what comes of it is what comes of steps as usual."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.layers import models, next_token

PROMPTS = [[1, 2, 3, 4, 5], [7, 8], [9]]


def make(name="gpt2"):
    weft.manual_seed(0)
    sizes = {} if name == "lstm" else {"context": 16, "heads": 2}
    model = getattr(models, name)(vocab_size=11, width=16, layers=2, **sizes).double()
    for p in model.parameters():
        p.data *= 5  # so that probabilities differ
    return model


@pytest.fixture
def replayed(monkeypatch):
    """The steps that were recorded, or tried; from 8 tokens on."""
    made = []

    class Noted(next_token.capture):
        def __init__(self, step, **options):
            super().__init__(step, **options)
            made.append(self)

    monkeypatch.setattr(next_token, "capture", Noted)
    monkeypatch.setattr(next_token, "MANY", 8)
    return made


def graphs(captured):
    return [step.graph for step in captured._steps.values() if step.graph is not None]


@pytest.mark.parametrize("name", ["gpt2", "llama"])
@pytest.mark.parametrize("dtype", [weft.float32, weft.float64], ids=str)
@pytest.mark.parametrize("prompts", [PROMPTS, PROMPTS[1:2], [[1, 2], [3, 4]]], ids=str)
def test_tokens_are_those_of_steps_as_usual(name, dtype, prompts, replayed, monkeypatch):
    """Also beyond the context, of 16."""
    model = make(name).to(dtype)
    found = model.generate(prompts, 20, seed=3)
    assert len(replayed) == 1
    assert len(graphs(replayed[0])) == 1
    assert found == model.generate(prompts, 20, seed=3, use_cache=False)
    monkeypatch.setattr(next_token, "MANY", 21)
    assert found == model.generate(prompts, 20, seed=3)
    assert len(replayed) == 1


@pytest.mark.parametrize("padding", [0, 2])
def test_logits_have_the_bits_of_steps_as_usual(padding, replayed):
    model, tokens = make().float(), np.arange(10)[None] % 7
    counts = np.arange(12)[None] >= padding
    mask = None if not padding else weft.tensor(counts)
    with weft.no_grad():
        caches = [nn.KeyValueCache(2, 12) for _ in range(2)]
        for cache in caches:
            next_token._last(model, weft.tensor(tokens[:, :3]), mask if mask is None else mask[:, :3], cache)
        recorded = next_token.RecordedToken(model, caches[0], counts if padding else None)
        for end in range(4, 11):
            given = tokens[:, end - 1 : end]
            there = None if mask is None else mask[:, :end]
            expected = next_token._last(model, weft.tensor(given), there, caches[1]).numpy()
            assert recorded.logits(given, end - 1).astype(np.float32).tobytes() == expected.tobytes()
    (graph,) = graphs(replayed[0])
    assert "_of_one_up_to" in graph.source
    assert "s1[...]" not in graph.source  # the cache is not copied in each step


def test_what_changes_between_two_tokens_is_seen(replayed, monkeypatch):
    rows = []
    for many in (8, 100):
        monkeypatch.setattr(next_token, "MANY", many)
        model, found = make(), []
        for i, step in enumerate(model.generate_steps([1, 2], 13, seed=1)):
            found.append(step.item())
            if i == 6:
                with weft.no_grad():
                    model.wte.weight *= -1.5
            if i == 8:
                model.ln_f.weight = weft.Parameter(model.ln_f.weight.detach() * 3)
            if i == 10:
                model.h[0].register_forward_hook(lambda module, args, output: output * 2)
        rows.append(found)
    assert rows[0] == rows[1]
    assert rows[0][:7] == (as_made := make().generate([1, 2], 13, seed=1))[:7]
    assert rows[0] != as_made


class Counting(nn.Module):
    """Attention of a user's own around a GPT-2's, which counts what the cache has on the host."""

    def __init__(self, inner, kind):
        self.inner, self.kind = inner, kind

    def forward(self, x, mask, cache):
        q, k, v = (x.reshape(*x.shape[:2], 2, 8).permute(0, 2, 1, 3) for _ in range(3))
        length, seen = x.shape[1], 0 if cache is None else cache.length
        places = weft.arange(seen + length, dtype=weft.int64)
        if self.kind == "scale":  # with the place
            q = q * (places[seen:, None].astype(x.dtype) + 1) ** 0.5
        elif self.kind == "window":
            apart = places[seen:, None] - places
            near = ((apart >= 0) & (apart < 4))[None, None]
            mask = near if mask is None else near & mask
        if cache is not None and self.kind != "append":
            y = cache.attend(q, k, v, mask)
        else:
            k, v = (k, v) if cache is None else cache.append(k, v)
            y = nn.functional.scaled_dot_product_attention(q, k, v, mask, is_causal=mask is None and length > 1)
        return self.inner.c_proj(y.permute(0, 2, 1, 3).reshape(*x.shape))


@pytest.mark.parametrize("kind", ["append", "scale", "window"])
@pytest.mark.parametrize("prompts", [PROMPTS, [1, 2]], ids=str)
def test_layers_that_count_on_the_host_run_as_usual(kind, prompts, replayed):
    model = make()
    model.h[0].attn = Counting(model.h[0].attn, kind)
    found = model.generate(prompts, 10, seed=1)
    assert not replayed
    assert found == model.generate(prompts, 10, seed=1, use_cache=False)


@pytest.mark.parametrize("kind", ["append", "scale", "window"])
def test_layers_that_come_to_count_on_the_host_run_as_usual(kind, replayed, monkeypatch):
    rows = []
    for many in (8, 100):
        monkeypatch.setattr(next_token, "MANY", many)
        model, found = make(), []
        for i, step in enumerate(model.generate_steps([1, 2], 13, seed=1)):
            found.append(step.item())
            if i == 6:
                model.h[0].attn = Counting(model.h[0].attn, kind)
        rows.append(found)
    assert len(replayed) == 1
    assert rows[0] == rows[1]


def test_a_hook_that_sees_the_mask_and_the_cache(replayed):
    model = make()
    model.h[0].attn.register_forward_pre_hook(lambda module, args: (args[0] * (args[1].shape[3] + 1), *args[1:]))
    found = model.generate(PROMPTS, 10, seed=1)
    assert not replayed
    assert found[0]


@pytest.mark.parametrize("length", [6, 40])
def test_a_cache_of_another_length(length, replayed):
    class Own(models.GPT2):
        def new_cache(self, max_length=None):
            return super().new_cache(length)

    weft.manual_seed(0)
    model = Own(11, 16, 16, 2, 2)
    if length == 6:
        with pytest.raises(ValueError, match="`cache` must have room for 7 positions, got max_length=6"):
            model.generate([1, 2], 10, seed=1)
    else:
        assert model.generate(PROMPTS, 10, seed=1) == model.generate(PROMPTS, 10, seed=1, use_cache=False)
    assert not replayed


@pytest.mark.parametrize("name", ["lstm", "half", "own"])
def test_models_that_are_not_recorded(name, replayed):
    class Own(models.GPT2):
        def features(self, tokens, attention_mask=None, cache=None):
            return super().features(tokens, attention_mask, cache)

    if name == "own":
        model = Own(11, 16, 16, 2, 2)
    else:
        model = make("lstm") if name == "lstm" else make().half()
    model.generate([1, 2], 12, seed=1)
    assert not replayed


def test_two_streams_at_once(replayed):
    model = make()
    streams = [model.generate_steps([1, 2], 12, seed=seed) for seed in (1, 2)]
    rows = np.array([[step.item() for step in steps] for steps in zip(*streams)]).T.tolist()
    assert rows == [model.generate([1, 2], 12, seed=seed, use_cache=False) for seed in (1, 2)]


def test_keys_of_another_dtype_are_refused_where_a_tensor_says_the_place():
    part, x = nn.LayerCache(4), weft.zeros((1, 2, 1, 8))
    part.attend(x, x, x)
    part.place = weft.tensor([1])
    assert part.attend(x, x, x).shape == (1, 2, 1, 8)
    with pytest.raises(
        ValueError, match=r"`key` must be like what the cache holds, \(1, 2, 1, 8\), float32, .* float64"
    ):
        part.attend(x.double(), x.double(), x.double())


def test_length_where_a_tensor_says_the_place():
    part, x, place = nn.LayerCache(8), weft.randn(1, 2, 1, 8), weft.tensor([3])
    part.attend(*[weft.randn(1, 2, 3, 8)] * 3)
    part.place = place
    assert part.length == 3
    part.attend(x, x, x)
    assert part.length == 4
    shorter = weft.ones((1, 1, 1, 4), dtype=bool)
    assert part.attend(x, x, x, shorter).numpy() == pytest.approx(part.attend(x, x, x).numpy())
    place.data[0] = 4
    assert part.length == 4
