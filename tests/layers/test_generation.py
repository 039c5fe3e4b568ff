"""What follows a prompt: against probabilities computed here, and the same with a cache, in a batch, as a stream."""

import collections

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.layers import generation, models
from weft.layers.generation import _choose

PROMPTS = [[1, 2, 3, 4, 5], [7, 8], [9]]
OPTIONS = [{"temperature": 0}, {}, {"temperature": 0.7, "top_k": 5}, {"top_p": 0.8, "repetition_penalty": 1.3}]


def make(name="gpt2"):
    sizes = {"vocab_size": 11, "width": 16, "layers": 2}
    sizes |= {} if name in ("lstm", "gru") else {"context": 16, "heads": 2}
    model = getattr(models, name)(**sizes).double()
    for p in model.parameters():
        p.data *= 5  # so that probabilities differ
    return model


@pytest.mark.parametrize("name", ["gpt2", "llama", "lstm", "gru"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_with_and_without_cache_alone_and_in_a_batch(name, options):
    """Also beyond the context, of 16."""
    model = make(name)
    found = model.generate(PROMPTS, 20, seed=3, **options)
    assert [len(row) for row in found] == [20] * 3
    assert found == model.generate(PROMPTS, 20, seed=3, use_cache=False, **options)
    assert found[0] == model.generate(PROMPTS[0], 20, seed=3, **options)
    steps = list(model.generate_steps(PROMPTS, 20, seed=3, **options))
    assert np.array(steps).T.tolist() == found
    assert found == model.generate(PROMPTS, 20, seed=3, **options)
    if options.get("temperature") != 0:
        assert found != model.generate(PROMPTS, 20, seed=4, **options)


def test_greedy_takes_the_likeliest():
    model, tokens = make(), [1, 2]
    found = model.generate(tokens, 10, temperature=0)
    with weft.no_grad():
        for token in found:
            assert token == model(weft.tensor([tokens]))[0, -1].argmax().item()
            tokens = [*tokens, token]


def test_the_default_generator_decides_unless_there_is_a_seed():
    model = make()
    weft.manual_seed(5)
    first, second = model.generate([1], 10), model.generate([1], 10)
    weft.manual_seed(5)
    assert first == model.generate([1], 10)
    assert first != second


def test_stop():
    model = make()
    plain = model.generate(PROMPTS, 12, seed=0)
    stop = plain[0][3]
    found = model.generate(PROMPTS, 12, seed=0, stop=stop)
    for row, whole in zip(found, plain):
        end = whole.index(stop) + 1 if stop in whole else 12
        assert row == whole[:end]
    steps = list(model.generate_steps(PROMPTS, 12, seed=0, stop=[stop]))
    assert len(steps) == max(map(len, found))
    assert [int((np.array(steps)[:, i] >= 0).sum()) for i in range(3)] == [len(row) for row in found]


def test_modes_are_left_as_they_are():
    model = make()
    model.h[0].eval()
    model.generate([1], 2)
    assert model.training
    assert not model.h[0].training
    assert model.h[1].training


def test_kinds_of_prompts():
    model = make()
    expected = model.generate([[1, 2], [3, 4]], 4, seed=1)
    assert model.generate(np.array([[1, 2], [3, 4]], np.int32), 4, seed=1) == expected
    assert model.generate(weft.tensor([[1, 2], [3, 4]]), 4, seed=1) == expected
    assert model.generate(weft.tensor([1, 2]), 4, seed=1) == expected[0]
    assert model.generate([[1, 2], [3]], 0) == [[], []]


@pytest.mark.parametrize(
    ("options", "reference"),
    [
        ({}, lambda z, there: np.exp(z)),
        ({"temperature": 0.5}, lambda z, there: np.exp(z / 0.5)),
        ({"top_k": 2}, lambda z, there: np.exp(z) * (z >= np.sort(z)[-2])),
        ({"top_p": 0.6}, lambda z, there: np.exp(z) * (z >= 1)),  # 0.55 and 0.20 of the whole
        ({"top_p": 0.01}, lambda z, there: np.exp(z) * (z >= 2)),
        ({"repetition_penalty": 2.0}, lambda z, there: np.exp(np.where(there, np.where(z > 0, z / 2, z * 2), z))),
    ],
)
def test_frequencies(options, reference):
    """5,000 draws from logits that are known."""
    z = np.array([0.0, 2.0, -1.0, 1.0, 0.5])
    before = np.array([1, 2, 2])
    p = reference(z, np.isin(np.arange(5), before))
    random = np.random.default_rng(0)
    options = {"temperature": 1.0, "top_k": None, "top_p": None, "repetition_penalty": 1.0} | options
    counts = collections.Counter(_choose(z.copy(), before, random=random, **options) for _ in range(5_000))
    found = np.array([counts[i] for i in range(5)]) / 5_000
    np.testing.assert_allclose(found, p / p.sum(), atol=0.025)
    assert (found[p == 0] == 0).all()


@pytest.mark.parametrize(
    ("prompts", "error", "message"),
    [
        (
            [],
            ValueError,
            r"`prompts` must have 1 to 16 tokens each, .* got 0 in prompt 0; give it a token to start from",
        ),
        ([[1], []], ValueError, r"`prompts` must have 1 to 16 tokens each, the model's context, got 0 in prompt 1"),
        ([1] * 17, ValueError, r"`prompts` must have 1 to 16 tokens each, .* got 17 in prompt 0; keep the end of it"),
        ([[1], [11]], IndexError, r"`prompts` must hold tokens in \[0, 11\), the vocabulary, got 11 in prompt 1"),
        ([-1], IndexError, r"`prompts` must hold tokens in \[0, 11\), the vocabulary, got -1 in prompt 0"),
        ([[0.5]], TypeError, "`prompts` must hold integers, got dtype float64"),
        (np.zeros((0, 3), int), ValueError, "`prompts` must hold at least one prompt, got none"),
        (np.zeros((2, 2, 2), int), ValueError, r"`prompts` must have shape \(L,\) or \(N, L\), got \(2, 2, 2\)"),
        (np.zeros((), int), ValueError, r"`prompts` must have shape \(L,\) or \(N, L\), got \(\)"),
        (weft.zeros((1, 2, 2), dtype=weft.int64), ValueError, r"`prompts` must have shape .*, got \(1, 2, 2\)"),
        ([[[1, 2], [3, 4]]], ValueError, "`prompts` must hold lists of integers, got a list of lists"),
        ([1, [2, 3]], ValueError, "`prompts` must hold lists of integers, got a list of lists"),
        ([[1], 2], ValueError, "`prompts` must hold lists of integers, got .*no list, as one of them: 2"),
        (3, TypeError, r"`prompts` must be lists of integers, or an array \(L,\) or \(N, L\) of them, got 3"),
        ("1 2", TypeError, "`prompts` must be lists of integers, .* got '1 2'"),
        ([True, False], TypeError, "`prompts` must hold integers, got dtype bool"),
    ],
)
def test_prompts_that_cannot_be(prompts, error, message):
    with pytest.raises(error, match=message):
        make().generate(prompts, 3)
    with pytest.raises(error, match=message):
        make().generate_steps(prompts, 3)  # at once, not at the first step


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_new_tokens": -1}, "`max_new_tokens` must be at least 0, got -1"),
        ({"temperature": -0.5}, "`temperature` must be at least 0 and finite, got -0.5"),
        ({"top_k": 0}, "`top_k` must be at least 1, or None, got 0"),
        ({"top_p": 0.0}, r"`top_p` must be in \(0, 1\], or None, got 0.0"),
        ({"repetition_penalty": 0.0}, "`repetition_penalty` must be above 0 and finite, got 0.0"),
        ({"stop": 11}, r"`stop` must be tokens in \[0, 11\), the vocabulary, got \[11\]"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        make().generate([1], **{"max_new_tokens": 3} | options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_new_tokens": 1.5}, ValueError, "`max_new_tokens` must be an integer, got 1.5"),
        ({"max_new_tokens": "3"}, TypeError, "`max_new_tokens` must be an integer, got '3'"),
        ({"temperature": "a"}, TypeError, "`temperature` must be a number, got 'a'"),
        ({"temperature": np.nan}, ValueError, "`temperature` must be a number, got nan"),
        ({"temperature": np.inf}, ValueError, "`temperature` must be at least 0 and finite, got inf"),
        ({"top_k": 1.5}, ValueError, "`top_k` must be an integer, got 1.5"),
        ({"top_p": "x"}, TypeError, "`top_p` must be a number, got 'x'"),
        ({"repetition_penalty": None}, TypeError, "`repetition_penalty` must be a number, got None"),
        ({"stop": [1.5]}, ValueError, "`stop` must be an integer, got 1.5"),
        ({"stop": "a"}, TypeError, "`stop` must be an integer, got 'a'"),
        ({"stop": None}, TypeError, "`stop` must be an integer, got None"),
        ({"seed": -1}, ValueError, "`seed` must be an integer ≥ 0, got -1"),
        ({"seed": 1.5}, ValueError, "`seed` must be an integer ≥ 0, got 1.5"),
    ],
)
def test_options_of_another_kind(options, error, message):
    with pytest.raises(error, match=message):
        make().generate_steps([1], **{"max_new_tokens": 3} | options)  # at once


def test_options_at_the_edge_of_numbers():
    """No warning, no NaN: as little as can be divided by is as good as 0."""
    model = make()
    expected = model.generate([1, 2], 5, temperature=0)
    assert model.generate([1, 2], 5, temperature=1e-320, seed=0) == expected
    assert model.generate(np.array([1, 2]), 5, temperature=0, stop=np.array([], int)) == expected
    often = model.generate([1, 2], 5, repetition_penalty=1e-320, seed=0)
    assert all(0 <= token < 11 for token in often)


def test_tokens_of_no_length():
    for name in ("gpt2", "llama", "lstm", "gru"):
        with pytest.raises(ValueError, match=r"`tokens` must be at least 1 in each row, got shape \(2, 0\)"):
            make(name)(weft.zeros((2, 0), dtype=weft.int64))


@pytest.mark.parametrize(("value", "word"), [(np.inf, "infinite"), (-np.inf, "infinite"), (np.nan, "NaN")])
def test_logits_that_are_not_finite(value, word):
    with pytest.raises(ValueError, match=f"the model's logits are {word}"):
        _choose(np.full(3, value), np.array([1]), 1.0, None, None, 1.0, np.random.default_rng(0))


def test_weights_that_are_not_finite():
    model = make()
    model.wte.weight.data[...] = np.nan
    with pytest.raises(ValueError, match="the model's logits are NaN"):
        model.generate([1], 2)


def test_on_an_accelerator(accelerator):
    """The tokens of a CPU."""
    model = make().float()
    expected = model.generate(PROMPTS, 6, seed=1)
    assert model.to(accelerator).generate(PROMPTS, 6, seed=1) == expected


class TestRecorded:
    """Long generation on a CPU replays a recorded step: what comes of it is what comes of steps as usual."""

    @pytest.fixture
    def replayed(self, monkeypatch):
        """How often a step that is recorded was called, and the last one; recording is worth it from 8 tokens on."""
        made = []

        class Noted(generation.capture):
            def __init__(self, step, **options):
                super().__init__(step, **options)
                made.append(self)

        monkeypatch.setattr(generation, "capture", Noted)
        monkeypatch.setattr(generation, "MANY", 8)
        return made

    @staticmethod
    def graphs(captured):
        return [step.graph for step in captured._steps.values() if step.graph is not None]

    @pytest.mark.parametrize("name", ["gpt2", "llama"])
    @pytest.mark.parametrize("dtype", [weft.float32, weft.float64], ids=str)
    @pytest.mark.parametrize("prompts", [PROMPTS, PROMPTS[1:2], [[1, 2], [3, 4]]], ids=str)
    def test_tokens_are_those_of_steps_as_usual(self, name, dtype, prompts, replayed, monkeypatch):
        """Also beyond the context, of 16."""
        model = make(name).to(dtype)
        found = model.generate(prompts, 20, seed=3)
        assert len(replayed) == 1
        assert len(self.graphs(replayed[0])) == 1
        assert found == model.generate(prompts, 20, seed=3, use_cache=False)
        monkeypatch.setattr(generation, "MANY", 21)
        assert found == model.generate(prompts, 20, seed=3)
        assert len(replayed) == 1

    @pytest.mark.parametrize("padding", [0, 2])
    def test_logits_have_the_bits_of_steps_as_usual(self, padding, replayed):
        model, tokens = make().float(), np.arange(10)[None] % 7
        counts = np.arange(12)[None] >= padding
        mask = None if not padding else weft.tensor(counts)
        with weft.no_grad():
            caches = [nn.KeyValueCache(2, 12) for _ in range(2)]
            for cache in caches:
                generation._last(model, weft.tensor(tokens[:, :3]), mask if mask is None else mask[:, :3], cache)
            recorded = generation._Recorded(model, caches[0], counts if padding else None)
            for end in range(4, 11):
                given = tokens[:, end - 1 : end]
                there = None if mask is None else mask[:, :end]
                expected = generation._last(model, weft.tensor(given), there, caches[1]).numpy()
                assert recorded.logits(given, end - 1).astype(np.float32).tobytes() == expected.tobytes()
        (graph,) = self.graphs(replayed[0])
        assert "_of_one_up_to" in graph.source
        assert "s1[...]" not in graph.source  # the cache is not copied in each step

    def test_what_changes_between_two_tokens_is_seen(self, replayed, monkeypatch):
        rows = []
        for many in (8, 100):
            monkeypatch.setattr(generation, "MANY", many)
            weft.manual_seed(0)
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
        weft.manual_seed(0)
        assert rows[0][:7] == (as_made := make().generate([1, 2], 13, seed=1))[:7]
        assert rows[0] != as_made

    def test_layers_that_count_on_the_host_run_as_usual(self, replayed):
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
        assert not self.graphs(replayed[0])
        assert found == model.generate([1, 2], 12, seed=1, use_cache=False)

    @pytest.mark.parametrize("name", ["lstm", "half", "own"])
    def test_models_that_are_not_recorded(self, name, replayed):
        class Own(models.GPT2):
            def features(self, tokens, attention_mask=None, cache=None):
                return super().features(tokens, attention_mask, cache)

        if name == "own":
            model = Own(11, 16, 16, 2, 2)
        else:
            model = make("lstm") if name == "lstm" else make().half()
        model.generate([1, 2], 12, seed=1)
        assert not replayed

    def test_two_streams_at_once(self, replayed):
        model = make()
        streams = [model.generate_steps([1, 2], 12, seed=seed) for seed in (1, 2)]
        rows = np.array([[step.item() for step in steps] for steps in zip(*streams)]).T.tolist()
        assert rows == [model.generate([1, 2], 12, seed=seed, use_cache=False) for seed in (1, 2)]
