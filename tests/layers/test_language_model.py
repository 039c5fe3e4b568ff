"""What a cache and padding must not change."""

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
