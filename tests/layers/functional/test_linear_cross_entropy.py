"""`linear_cross_entropy` as PyTorch has it: numbers from PyTorch 2.13, each with the call that made it; errors."""

import numpy as np
import pytest

import weft
from weft.layers import functional as F


def wave(f, *shape, start=0):
    return weft.asarray(f(start + np.arange(float(np.prod(shape)))).reshape(shape))


def soft(*shape):
    e = np.exp(np.sin(np.arange(float(np.prod(shape)))).reshape(shape))
    return weft.asarray(e / e.sum(axis=-1, keepdims=True))


X, W, B = wave(np.sin, 4, 3), wave(np.cos, 5, 2, 3), wave(np.sin, 5, 2, start=1)
Y, CLASS = weft.tensor([[0, 1], [4, 2], [3, 3], [1, 0]]), weft.asarray(np.arange(1.0, 6.0))

# options → torch.nn.functional.linear_cross_entropy(x, …) with x = sin(arange(12)) in float64, and W = cos(arange(30))
TABLE = [
    ((X, W, Y), {"linear_bias": B, "weight": CLASS, "ignore_index": 3, "label_smoothing": 0.1}, 2.2769022248495663),
    (
        (X, W, Y),
        {"linear_bias": B, "weight": CLASS, "reduction": "sum", "ignore_index": 3, "label_smoothing": 0.1},
        31.876631147893928,
    ),
    (
        (X, W, Y),
        {"reduction": "none"},
        [
            [2.4604898612251964, 1.4348718183661893],
            [2.4100598648310103, 1.645558254308221],
            [1.3347963491563233, 2.135197453123677],
            [1.367133475626579, 2.5243312168612304],
        ],
    ),
    ((X, W[:, 0], soft(4, 5)), {"weight": CLASS, "label_smoothing": 0.1}, 5.479998651768591),
    ((X[0], W[:, 0], weft.tensor(2)), {"reduction": "none"}, 1.6488123894687357),
    ((X[0], W[:, 0], soft(4, 5)[0]), {}, 1.796077305987684),
]


@pytest.mark.parametrize(("args", "options", "expected"), TABLE)
def test_pytorchs_numbers(args, options, expected):
    loss = F.linear_cross_entropy(*args, **options)
    assert loss.shape == np.shape(expected)
    np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("args", "options", "error", "message"),
    [
        ((X, W, Y), {"linear_bias": B[0]}, ValueError, r"`linear_bias` must have shape \(5, 2\), got \(2,\)"),
        ((X[0], W, Y), {}, ValueError, r"`input` must have shape \(N, in\) with .* got \(3,\)"),
        ((X[None], W, Y), {}, ValueError, r"`input` must have shape \(in,\) or \(N, in\), got \(1, 4, 3\)"),
        ((X, W[..., :2], Y), {}, ValueError, r"`linear_weight` must have shape \(C, 3\) .* got \(5, 2, 2\)"),
        ((X, W[:, 0], Y), {}, ValueError, r"`target` must hold class indices of shape \(4,\) .* got \(4, 2\)"),
        (
            (X, W[:, 0], X[:, 0]),
            {},
            TypeError,
            "`target` must have an integer dtype to hold class indices, got float64",
        ),
        ((X, W[:, 0], Y[:, 0] + 4), {}, IndexError, r"`target` must hold classes in \[0, 5\), .* got 8"),
        ((X, W[:, 0], soft(4, 5)), {"ignore_index": 1}, ValueError, "`ignore_index` must be None .* got 1"),
        ((X, W[:, 0], Y[:, 0]), {"reduction": "max"}, ValueError, "`reduction` must be one of .* got 'max'"),
        ((X, W[:, 0], Y[:, 0]), {"label_smoothing": 2}, ValueError, "`label_smoothing` must be a probability .* got 2"),
        ((X, W[:, 0], Y[:, 0]), {"weight": CLASS[:2]}, ValueError, r"`weight` must have shape \(5,\), got \(2,\)"),
        ((X, W[:, 0].float(), Y[:, 0]), {}, TypeError, "`linear_weight` must have the dtype of `input`, float64, got"),
        ((X.numpy(), W[:, 0], Y[:, 0]), {}, TypeError, "`input` must be a weft.Tensor, got ndarray"),
    ],
)
def test_errors(args, options, error, message):
    with pytest.raises(error, match=message):
        F.linear_cross_entropy(*args, **options)


def test_class_weights_under_autocast():
    """They are not rounded: the loss is composed there."""
    x, W, y = X.float(), W0.float(), Y[:, 0]
    weight = weft.asarray(np.array([1.0, 1.001, 1.002, 1.003, 1.004], np.float32))
    with weft.autocast("bfloat16"):
        loss = F.linear_cross_entropy(x, W, y, weight=weight)
    rounded = [t.to(weft.bfloat16).float() for t in (x, W)]
    assert loss.dtype == weft.float32
    expected = F.cross_entropy(F.linear(*rounded), y, weight).item()
    assert loss.item() == pytest.approx(expected, abs=4e-3)


W0 = W[:, 0]
