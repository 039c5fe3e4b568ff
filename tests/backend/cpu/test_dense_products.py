"""Products in pieces, against NumPy's in float64."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.backend.cpu import dense_products


@pytest.fixture(autouse=True)
def in_pieces(monkeypatch):
    """Also where BLAS has no kernel for them; and fewer rows will do."""
    monkeypatch.setattr(dense_products, "has_small_products", lambda: True)
    monkeypatch.setattr(dense_products, "MANY", 64)


def data(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("is_transposed", [False, True])
@pytest.mark.parametrize(
    ("rows", "depth", "width"),
    [
        (64, 64, 64),
        (256, 256, 128),  # a band
        (257, 257, 64),  # and a row more; a depth more than that of the largest pieces
        (300, 768, 64),
        (513, 769, 192),  # two parts, of 385 and 384
        (70, 1700, 64),  # three
    ],
)
def test_product(rows, depth, width, is_transposed, has_bias):
    rng = np.random.default_rng(0)
    x, bias = data(rng, rows, depth), data(rng, width) if has_bias else None
    weight = data(rng, width, depth).T if is_transposed else data(rng, depth, width)
    found = dense_products.product(x, weight, bias)
    expected = x.astype(np.float64) @ weight + (0 if bias is None else bias)
    bound = np.abs(x).astype(np.float64) @ np.abs(weight) + 1
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert (np.abs(found - expected) <= 8 * np.finfo(np.float32).eps * bound).all()


def test_threads():
    rng = np.random.default_rng(0)
    x, weight = data(rng, 1000, 1000), data(rng, 1000, 64)
    threads = weft.num_threads()
    found = []
    try:
        for n in (1, 2, 3):
            weft.set_num_threads(n)
            found.append(dense_products.product(x, weight))
    finally:
        weft.set_num_threads(threads)
    for y in found[1:]:
        np.testing.assert_array_equal(y, found[0])


@pytest.mark.parametrize(
    ("rows", "depth", "width", "dtype"),
    [(63, 64, 64, "f4"), (64, 63, 64, "f4"), (64, 64, 65, "f4"), (64, 64, 0, "f4"), (64, 64, 64, "f8")],
)
def test_others(rows, depth, width, dtype, monkeypatch):
    """What does not fit is BLAS's as it is."""
    monkeypatch.setattr(dense_products, "dot", lambda a, b: np.full((len(a), b.shape[1]), 2.0))
    assert (
        dense_products.product(np.ones((rows, depth), dtype), np.ones((depth, width), dtype), np.ones(width)) == 3
    ).all()


def test_captured():
    """The bits of eager steps, with products in pieces forward and backward."""
    found = []
    for capture in (False, True):
        weft.manual_seed(0)
        model = nn.Sequential(nn.Linear(800, 64), nn.Linear(64, 64))
        optimizer = optim.SGD(model.parameters(), lr=0.01)

        def step(x, model=model, optimizer=optimizer):
            optimizer.zero_grad()
            loss = (model(x) ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss

        run = weft.capture(step, strict=True) if capture else step
        rng = np.random.default_rng(0)
        losses = [run(weft.asarray(data(rng, 300, 800))).item() for _ in range(5)]
        found.append((losses, [p.detach().numpy() for p in model.parameters()]))
    assert found[0][0] == found[1][0]
    for a, b in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_array_equal(a, b)
