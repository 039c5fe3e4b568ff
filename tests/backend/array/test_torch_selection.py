"""Order, and gradients where several elements name one place; the values of all methods are in `test_torch_methods.py`."""

import math

import numpy as np

import weft

X = np.random.default_rng(0).normal(size=(3, 4))


class TestOrder:
    def test_values_and_indices(self):
        for largest in (True, False):
            values, indices = weft.asarray(X).topk(2, 1, largest=largest)
            order = np.argsort(-X if largest else X, 1)[:, :2]
            assert indices.tolist() == order.tolist()
            np.testing.assert_array_equal(values.numpy(), np.take_along_axis(X, order, 1))
        values, indices = weft.asarray(X).kthvalue(2, 0)
        np.testing.assert_array_equal(values.numpy(), np.sort(X, 0)[1])
        assert indices.tolist() == np.argsort(X, 0)[1].tolist()

    def test_median_is_the_lower_and_nan_where_there_is_one(self):
        values, indices = weft.tensor([[4.0, 1.0, 3.0, 2.0], [1.0, math.nan, 2.0, math.nan]]).median(1)
        assert values.tolist()[0] == 2
        assert math.isnan(values.tolist()[1])
        assert indices.tolist() == [3, 1]

    def test_unique(self):
        x = weft.tensor([[3, 1], [1, 3]])
        values, inverse, counts = x.unique(return_inverse=True, return_counts=True)
        assert (values.tolist(), inverse.tolist(), counts.tolist()) == ([1, 3], [[1, 0], [0, 1]], [2, 2])
        assert x.unique().tolist() == [1, 3]


def test_several_for_one_place_keep_their_gradient():
    x = weft.zeros((1, 3)).requires_grad_()
    src = weft.ones((1, 2)).requires_grad_()
    (x.scatter_add(1, weft.tensor([[1, 1]]), src) * weft.tensor([[1.0, 5.0, 7.0]])).sum().backward()
    assert src.grad.tolist() == [[5, 5]]


def test_equal_largest_share_their_gradient():
    """As in PyTorch; a place that is not named keeps its value."""
    x, i = weft.zeros((1, 3)).requires_grad_(), weft.tensor([[1, 1, 1]])
    src = weft.tensor([[2.0, 2.0, 1.0]]).requires_grad_()
    y = x.scatter_reduce(1, i, src, "amax")
    (y * weft.tensor([[1.0, 5.0, 7.0]])).sum().backward()
    assert (y.tolist(), src.grad.tolist(), x.grad.tolist()) == ([[0, 2, 0]], [[2.5, 2.5, 0]], [[1, 0, 7]])
    nan = src.detach() * weft.tensor([[1.0, math.nan, 1.0]])
    assert math.isnan(x.detach().scatter_reduce(1, i, nan, "amin")[0, 1].item())
    whole = weft.tensor([[1, 2, 3]])
    assert whole.scatter_reduce(1, i, weft.tensor([[5, 8, 6]]), "mean").tolist() == [[1, 5, 3]]


def test_what_is_overwritten_gets_no_gradient():
    """PyTorch gives both the gradient of the place."""
    x, i = weft.zeros((2, 3)), weft.tensor([[1, 1], [0, 2]])
    src = weft.ones((2, 2)).requires_grad_()
    (x.scatter(1, i, src) * 5).sum().backward()
    assert src.grad.tolist() == [[0, 5], [5, 5]]
    rows = weft.ones((2, 3)).requires_grad_()
    x.index_copy(0, weft.tensor([1, 1]), rows).sum().backward()
    assert rows.grad.tolist() == [[0, 0, 0], [1, 1, 1]]


def test_gradients_of_gradients():
    """Of a sum of cubes, along one direction, against differences of gradients."""
    i, x = weft.tensor([[0, 1], [2, 2], [3, 0]]), weft.asarray(X)
    for f in (
        lambda x: (x.gather(1, i) ** 3).sum(),
        lambda x: (x.scatter_add(1, i, x[:, :2] ** 2) ** 2).sum(),
        lambda x: (x.clone().scatter_(1, i, x[:, :2]) ** 3).sum(),
        lambda x: (x.topk(2).values ** 3).sum(),
    ):
        got = weft.grad(lambda z, f=f: weft.grad(f)(z).sum())(x).numpy()
        h = 1e-5
        expected = (weft.grad(f)(x + h) - weft.grad(f)(x - h)).numpy() / (2 * h)
        np.testing.assert_allclose(got, expected, atol=1e-4)
