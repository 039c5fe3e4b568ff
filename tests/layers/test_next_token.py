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
        recorded = next_token.RecordedStep(model, caches[0], counts if padding else None)
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


def test_layers_that_count_on_the_host_run_as_usual(replayed):
    class Own(nn.Module):
        def __init__(self, inner):
            self.inner = inner

        def forward(self, x, mask, cache):
            q, k, v = (x.reshape(*x.shape[:2], 2, 8).permute(0, 2, 1, 3) for _ in range(3))
            if cache is not None:
                k, v = cache.append(k, v)
            length = x.shape[1]
            y = nn.functional.scaled_dot_product_attention(q, k, v, mask, is_causal=mask is None and length > 1)
            return self.inner.c_proj(y.permute(0, 2, 1, 3).reshape(*x.shape))

    model = make()
    model.h[1].attn = Own(model.h[1].attn)
    found = model.generate([1, 2], 12, seed=1)
    assert len(replayed) == 1
    assert not graphs(replayed[0])
    assert found == model.generate([1, 2], 12, seed=1, use_cache=False)


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
