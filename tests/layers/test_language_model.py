"""What a cache and padding must not change."""

import contextlib

import numpy as np
import pytest

import weft
from weft.layers import models

MODELS = {
    "gpt2": lambda: models.gpt2(vocab_size=11, context=12, width=16, layers=2, heads=2),
    "llama": lambda: models.llama(vocab_size=11, context=12, width=16, layers=2, heads=4, kv_heads=2),
    "lstm": lambda: models.lstm(vocab_size=11, width=16, layers=2),
    "gru": lambda: models.gru(vocab_size=11, width=16, layers=1),
}
each = pytest.mark.parametrize("name", MODELS)


@each
def test_cache(name, rng):
    """In pieces of any length: the logits of the whole."""
    model = MODELS[name]().double().eval()
    x = weft.asarray(rng.integers(0, 11, (3, 12)))
    with weft.no_grad():
        whole = model(x).numpy()
        for cuts in ([1] * 12, [5, 1, 6], [11, 1]):
            cache, found = model.new_cache(), []
            for n in cuts:
                found.append(model(x[:, cache.length : cache.length + n], cache=cache).numpy())
            np.testing.assert_allclose(np.concatenate(found, axis=1), whole, atol=1e-12)


@each
def test_left_padding(name, rng):
    """With a mask, alone and in pieces, each row has the logits that it has alone."""
    model = MODELS[name]().double().eval()
    rows = [rng.integers(0, 11, n) for n in (4, 9, 1)]
    x, mask = np.zeros((3, 9), int), np.zeros((3, 9), bool)
    for i, row in enumerate(rows):
        x[i, 9 - len(row) :], mask[i, 9 - len(row) :] = row, True
    with weft.no_grad():
        alone = [model(weft.asarray(row[None])).numpy()[0] for row in rows]
        whole = model(weft.asarray(x), weft.asarray(mask)).numpy()
        cache = model.new_cache()
        pieces = [
            model(weft.asarray(x[:, a:b]), weft.asarray(mask[:, :b].astype(int)), cache).numpy()
            for a, b in ((0, 6), (6, 9))
        ]
    for found in (whole, np.concatenate(pieces, axis=1)):
        for i, row in enumerate(rows):
            np.testing.assert_allclose(found[i, 9 - len(row) :], alone[i], atol=1e-12)


@each
def test_a_mask_of_floats(name):
    """As it is added to scores elsewhere, 0 and −∞, it would be read the wrong way round."""
    tokens, mask = weft.tensor([[1, 2, 3]]), weft.tensor([[-weft.inf, 0.0, 0.0]])
    with pytest.raises(TypeError, match=r"`attention_mask` must be boolean or of integers, .* got float32; convert it"):
        MODELS[name]()(tokens, mask)


@each
def test_captured_without_a_cache(name, accelerator, rng):
    """Bit for bit what it gives as usual."""
    model = MODELS[name]().to(accelerator).eval()
    step = weft.capture(model, strict=True)
    with weft.no_grad():
        for _ in range(4):
            x = weft.asarray(rng.integers(0, 11, (2, 5)), device=accelerator)
            assert step(x).numpy().tobytes() == model(x).numpy().tobytes()


@each
def test_a_cache_is_not_captured(name, accelerator, rng):
    """The host counts what is in it, and results grow with it: the step runs as usual, and says so."""
    model, tokens = MODELS[name]().to(accelerator).eval(), rng.integers(0, 11, (8, 2, 1))
    caches, reason = [model.new_cache(), model.new_cache()], "it changes the length of a cache on the host"
    step = weft.capture(lambda x, cache: model(x, cache=cache))
    with weft.no_grad():
        for i, token in enumerate(tokens):
            x = weft.asarray(token, device=accelerator)
            with pytest.warns(RuntimeWarning, match=reason) if i == 2 else contextlib.nullcontext():
                found = step(x, caches[0])
            assert found.numpy().tobytes() == model(x, cache=caches[1]).numpy().tobytes()
        strict = weft.capture(lambda x: model(x, cache=caches[0]), strict=True, warmup=1)
        strict(x)
        with pytest.raises(RuntimeError, match=reason):
            strict(x)


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_states_are_captured(name, accelerator, rng):
    """A step of generation that takes and returns them is one launch, bit for bit as usual."""
    model = MODELS[name]().to(accelerator).eval()

    def step(x, state):
        y, state = model.rnn(model.embedding(x), state)
        return model.head(y), state

    def decode(step):
        with weft.no_grad():
            _, state = model.rnn(model.embedding(weft.asarray(tokens[0], device=accelerator)))
            for token in tokens[1:]:
                y, state = step(weft.asarray(token, device=accelerator), state)
                yield y.numpy().tobytes()

    tokens = rng.integers(0, 11, (8, 2, 1))
    assert list(decode(weft.capture(step, strict=True))) == list(decode(step))


@each
@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (-1, ValueError), (1.5, ValueError), ("2", TypeError)])
def test_sizes(name, size, error):
    """All of them are counts: none may be 0, which would make a model of nothing."""
    make = getattr(models, name)
    small = {"vocab_size": 11, "width": 16, "layers": 2}
    small |= {} if name in ("lstm", "gru") else {"context": 12, "heads": 2}
    for option in small:
        with pytest.raises(error, match=f"`{option}` must be an integer ≥ 1, got {size!r}"):
            make(**small | {option: size})
