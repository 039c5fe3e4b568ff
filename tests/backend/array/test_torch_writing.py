"""In place: memory, views and gradients, against the methods that make new tensors; random numbers; what a tensor is."""

import numpy as np
import pytest

import weft

rng = np.random.default_rng(0)
Y, V, MASK = rng.uniform(0.5, 2, (3, 4)), rng.normal(size=4), rng.random((3, 4)) < 0.5
INDEX, ROWS = rng.integers(0, 4, (2, 3)), np.array([2, 0, 2])


def tensors(args):
    return [weft.asarray(a.copy()) if isinstance(a, np.ndarray) else a for a in args]


IN_PLACE = [
    ("add_", (Y,), {"alpha": 0.5}), ("sub_", (V,), {}), ("mul_", (Y,), {}), ("div_", (Y,), {}), ("clamp_", (0.6, 1.0), {}),
    ("neg_", (), {}), ("sqrt_", (), {}), ("exp_", (), {}), ("log_", (), {}), ("pow_", (2,), {}), ("relu_", (), {}),
    ("sigmoid_", (), {}), ("lerp_", (Y, 0.5), {}), ("addcmul_", (Y, Y), {}), ("masked_fill_", (MASK, 0.5), {}),
    ("scatter_", (1, INDEX, 2.0), {}), ("scatter_add_", (1, INDEX, Y), {}), ("index_add_", (0, ROWS, Y), {}),
    ("index_fill_", (0, ROWS, 2.0), {}), ("tril_", (), {}),
]  # fmt: skip


@pytest.mark.parametrize("case", IN_PLACE, ids=lambda case: case[0])
class TestInPlace:
    def test_memory_and_views(self, case):
        name, args, kwargs = case
        raw = Y.copy()
        x = weft.asarray(raw)
        row = x[1]
        expected = getattr(weft.asarray(Y.copy()), name[:-1])(*tensors(args), **kwargs).numpy()
        assert getattr(x, name)(*tensors(args), **kwargs) is x
        assert x.data is raw
        np.testing.assert_array_equal(raw, expected)
        np.testing.assert_array_equal(row.numpy(), expected[1])

    def test_recorded(self, case):
        """The gradient is that of the method that makes a new tensor; what was computed before keeps its own."""
        name, args, kwargs = case
        leaf, other = (weft.asarray(Y.copy()).requires_grad_() for _ in "ab")
        x, z = leaf * 1.0, other * 1.0
        before = x * x
        getattr(x, name)(*tensors(args), **kwargs)
        (x * before).sum().backward()
        (getattr(z, name[:-1])(*tensors(args), **kwargs) * (z * z)).sum().backward()
        np.testing.assert_allclose(leaf.grad.numpy(), other.grad.numpy(), rtol=1e-12)

    def test_leaf(self, case):
        name, args, kwargs = case
        leaf = weft.asarray(Y.copy()).requires_grad_()
        with pytest.raises(RuntimeError, match="a leaf that requires grad cannot be changed in place"):
            getattr(leaf, name)(*tensors(args), **kwargs)


def test_operand_in_place_that_requires_grad():
    x, w = weft.ones(2), weft.tensor([2.0, 3.0], requires_grad=True)
    x.addcmul_(weft.tensor([1.0, 10.0]), w, value=2.0)
    x.sum().backward()
    assert w.grad.tolist() == [2, 20]


class TestRandom:
    def test_bounds_and_moments(self):
        g = weft.Generator(0)
        x = weft.empty(10_000)
        assert x.uniform_(2.0, 3.0, generator=g) is x
        assert 2 <= x.min().item() <= x.max().item() <= 3
        assert x.normal_(5.0, 2.0, generator=g).mean().item() == pytest.approx(5, abs=0.1)
        assert x.std().item() == pytest.approx(2, abs=0.1)
        assert x.bernoulli_(0.25, generator=g).mean().item() == pytest.approx(0.25, abs=0.02)
        assert set(x.tolist()) == {0, 1}
        n = weft.empty(1000, dtype=weft.int8)
        assert set(n.random_(3, generator=g).tolist()) == {0, 1, 2}
        assert set(n.random_(-1, 1, generator=g).tolist()) == {-1, 0}
        assert n.random_(generator=g).max().item() > 100

    def test_gradient_is_none_of_what_was(self):
        leaf = weft.ones(3).requires_grad_()
        x = leaf * 2
        x.normal_()
        (x + leaf).sum().backward()
        assert leaf.grad.tolist() == [1, 1, 1]


class TestWhatATensorIs:
    def test_memory(self):
        x = weft.ones((2, 3), dtype=weft.float64)
        assert (x.stride(), x.mT.stride(), x.stride(0)) == ((3, 1), (1, 3), 3)
        assert (x.is_contiguous(), x.mT.is_contiguous()) == (True, False)
        assert (x.element_size(), x.nbytes, x.nelement()) == (8, 48, 6)
        assert x[1].data_ptr() - x.data_ptr() == 24
        assert (x.is_cuda, x.is_floating_point(), x.is_complex()) == (False, True, False)
        assert (x.type(weft.int32).dtype, x.type()) == (weft.int32, "float64")
        assert x.bfloat16().dtype == weft.bfloat16

    def test_new(self):
        x = weft.ones(2, dtype=weft.float64)
        for made, expected in (
            (x.new_zeros(2, 3), np.zeros((2, 3))), (x.new_ones((2,)), np.ones(2)), (x.new_full((2,), 7), np.full(2, 7.0)),
            (x.new_tensor([1, 2]), np.array([1.0, 2.0])),
        ):  # fmt: skip
            assert made.dtype == weft.float64
            np.testing.assert_array_equal(made.numpy(), expected)
        assert x.new_empty(3).shape == (3,)
        assert x.new_zeros(1, dtype=weft.int64, requires_grad=False).dtype == weft.int64

    def test_detach_(self):
        x = weft.ones(2).requires_grad_() * 2
        assert x.detach_() is x
        assert (x.is_leaf, x.requires_grad) == (True, False)
        y = weft.ones(2).requires_grad_() * 2
        with pytest.raises(RuntimeError, match="`detach_` needs a tensor that is no view"):
            y[0].detach_()

    def test_fill_diagonal_(self):
        x = weft.zeros((2, 3)).fill_diagonal_(4.0)
        assert x.tolist() == [[4, 0, 0], [0, 4, 0]]
