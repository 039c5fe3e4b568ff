"""Recurrent language models: against steps in NumPy and float64; the state as a cache; padding; the errors."""

import numpy as np
import pytest

import weft
from weft.layers import models


def weights(model):
    return {name: p.detach().numpy() for name, p in model.named_parameters()}


def logistic(z):
    return 1 / (1 + np.exp(-z))


def lstm_step(x, state, w, i):
    h, c = (np.zeros(w["embedding.weight"].shape[1]),) * 2 if state is None else state
    z = w[f"rnn.weight_ih_l{i}"] @ x + w[f"rnn.bias_ih_l{i}"] + w[f"rnn.weight_hh_l{i}"] @ h + w[f"rnn.bias_hh_l{i}"]
    a, f, g, o = np.split(z, 4)
    c = logistic(f) * c + logistic(a) * np.tanh(g)
    h = logistic(o) * np.tanh(c)
    return h, (h, c)


def gru_step(x, h, w, i):
    h = np.zeros(len(x)) if h is None else h
    a = np.split(w[f"rnn.weight_ih_l{i}"] @ x + w[f"rnn.bias_ih_l{i}"], 3)
    b = np.split(w[f"rnn.weight_hh_l{i}"] @ h + w[f"rnn.bias_hh_l{i}"], 3)
    r, z = logistic(a[0] + b[0]), logistic(a[1] + b[1])
    h = (1 - z) * np.tanh(a[2] + r * b[2]) + z * h
    return h, h


def logits(step, w, tokens, layers):
    """(L, vocab) of one sequence."""
    states, rows = [None] * layers, []
    for token in tokens:
        x = w["embedding.weight"][token]
        for i in range(layers):
            x, states[i] = step(x, states[i], w, i)
        rows.append(w["head.weight"] @ x)
    return np.array(rows)


def make(cell="lstm", layers=2, **more):
    return models.RecurrentLM(cell, 11, 16, layers, **more).double().eval()


@pytest.mark.parametrize(("cell", "step"), [("lstm", lstm_step), ("gru", gru_step)])
@pytest.mark.parametrize("layers", [1, 3])
def test_against_steps(cell, step, layers, rng):
    model, tokens = make(cell, layers), rng.integers(0, 11, (2, 9))
    with weft.no_grad():
        found = model(weft.asarray(tokens)).numpy()
    expected = [logits(step, weights(model), row, layers) for row in tokens]
    np.testing.assert_allclose(found, expected, atol=1e-13)
    z = np.array(expected)[:, :-1]
    log_p = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    loss = -np.take_along_axis(log_p, tokens[:, 1:, None], axis=-1).mean()
    assert model.loss(weft.asarray(tokens[:, :-1]), weft.asarray(tokens[:, 1:])).item() == pytest.approx(loss, 1e-12)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_truncated_backpropagation(cell, rng):
    """Gradients end where a piece begins: those of the pieces, each from the states before it, taken as given."""
    model, tokens = make(cell), weft.asarray(rng.integers(0, 11, (2, 9)))
    cache = model.new_cache()
    for i in range(0, 9, 3):
        model(tokens[:, i : i + 3], cache=cache).sum().backward()
    found = [p.grad.numpy().copy() for p in model.parameters()]
    model.zero_grad()
    for i in range(0, 9, 3):
        with weft.no_grad():
            before = model.rnn(model.embedding(tokens[:, :i]))[1] if i else None
        y, _ = model.rnn(model.embedding(tokens[:, i : i + 3]), before)
        model.head(y).sum().backward()
    for g, p in zip(found, model.parameters()):
        np.testing.assert_allclose(g, p.grad.numpy(), atol=1e-12)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_state_as_a_cache(cell, rng):
    model, tokens = make(cell), rng.integers(0, 11, (2, 4))
    assert isinstance(model.new_cache(5), weft.layers.StateCache)
    with weft.no_grad():
        cache = model.new_cache()
        model(weft.asarray(tokens), cache=cache)
        cache.reorder(weft.tensor([1, 1, 0]))
        assert cache.length == 4
        found = model(weft.tensor([[3], [4], [5]]), cache=cache).numpy()[:, 0]
        longer = np.concatenate([tokens[[1, 1, 0]], [[3], [4], [5]]], axis=1)
        np.testing.assert_allclose(found, model(weft.asarray(longer)).numpy()[:, -1], atol=1e-13)
        cache.reset()
        assert (cache.length, cache.state) == (0, None)
        cache.reorder(weft.tensor([0]))
        model(weft.asarray(tokens), cache=cache)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("cuts", [(5,), (2, 3), (1, 1, 3)])
def test_a_row_that_has_not_begun(cell, cuts, rng):
    """Its states stay 0, its features are 0, and gradients are those of the tokens that count."""
    model, tokens = make(cell), rng.integers(0, 11, (3, 5))
    mask, cache, seen, found = np.tri(3, 5, 1, dtype=bool)[:, ::-1].copy(), model.new_cache(), 0, []
    for n in cuts:
        x, m = tokens[:, seen : seen + n], mask[:, : seen + n]
        with weft.no_grad():
            found.append(model(weft.asarray(x), weft.asarray(m), cache).numpy())
        seen += n
    found = np.concatenate(found, axis=1)
    assert (found[~mask] == 0).all()
    for row, counts, got in zip(tokens, mask, found):
        with weft.no_grad():
            np.testing.assert_allclose(got[counts], model(weft.asarray(row[None, counts])).numpy()[0], atol=1e-13)


def test_dropout():
    model = make(dropout=0.5).train()
    assert model.rnn.dropout == 0.5
    assert make(layers=1, dropout=0.5).rnn.dropout == 0  # which acts between layers
    x = weft.tensor([[1, 2, 3]])
    assert (model(x) != model(x)).any()
    model.eval()
    assert (model(x) == model(x)).all()


def test_no_greatest_length():
    model = make()
    assert len(model.generate([1] * 600, 3, seed=0)) == 3
    with pytest.raises(
        ValueError, match="`prompts` must have at least 1 token each, got 0 in prompt 1; give it a token"
    ):
        model.generate([[1], []], 3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: make("rnn"), ValueError, "`cell` must be .*'lstm'.*'gru'.*, got 'rnn'"),
        (lambda: models.lstm(vocab_size=3, width=0), ValueError, "`width` must be an integer ≥ 1, got 0"),
        (
            lambda: make()(weft.tensor([1, 2])),
            ValueError,
            r"`tokens` must be integers of shape \(N, L\), got int64 of shape",
        ),
        (lambda: make()(weft.tensor([[0.5]])), ValueError, r"`tokens` must be integers of shape \(N, L\), got float32"),
        (
            lambda: make()(weft.tensor([[1, 2]]), weft.tensor([[True]])),
            ValueError,
            r"`attention_mask` must have shape \(N, S\) = \(1, 2\), got \(1, 1\)",
        ),
        (
            lambda: make()(weft.tensor([[1, 2]]), weft.tensor([[True, False]])),
            ValueError,
            "`attention_mask` must be False to the left of a row's tokens alone, got it behind a token",
        ),
        (lambda: make()(weft.tensor([[11]])), IndexError, "11"),
    ],
)
def test_what_cannot_be(call, error, message):
    with pytest.raises(error, match=message):
        call()
