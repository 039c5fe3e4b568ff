"""What follows a prompt: against probabilities computed here, and the same with a cache, in a batch, as a stream."""

import collections

import numpy as np
import pytest

import weft
from weft.layers import models
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
        ([0.5, 1], TypeError, "`prompts` must hold integers, got dtype float64"),
        ([np.float32(1)], TypeError, "`prompts` must hold integers, got dtype float32"),
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
