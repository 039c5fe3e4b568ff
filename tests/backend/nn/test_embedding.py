"""Against NumPy's indexing, the gradient against a loop; derivatives by central differences."""

import harness
import numpy as np
import pytest
from harness import Case

import weft
from weft.backend.nn import embedding as E

rng = np.random.default_rng(0)


def rows(indices, weight, padding_idx=None):
    return weight[indices]


def a(*shape):
    return rng.standard_normal(shape)


CASES = [
    *[
        Case(E.embedding, (rng.integers(0, 7, shape), a(7, 4)), rows)
        for shape in [(), (1,), (31,), (32,), (33,), (2, 3), (0,)]
    ],
    Case(E.embedding, (rng.integers(0, 3, 1025), a(3, 2)), rows, tolerance=10),
    Case(E.embedding, (np.array([5, 5, 0]).astype(np.int32), a(6, 1)), rows),
]
test_primitive = harness.over(CASES)


def summed(indices, g, count, padding_idx=None):
    out = np.zeros((count, g.shape[-1]))
    for i, row in zip(indices.reshape(-1), g.reshape(-1, g.shape[-1])):
        if i != padding_idx:
            out[i] += row
    return out


@pytest.mark.parametrize("form", ["generic", "cpu"])
@pytest.mark.parametrize("padding_idx", [None, 0, 3])
@pytest.mark.parametrize("draw", ["uniform", "skewed", "one"])
def test_gradient(form, padding_idx, draw):
    """Indices used once, by the dozen, and by the hundred."""
    n = 40
    indices = {
        "uniform": rng.integers(0, n, (20, 30)),
        "skewed": np.minimum(rng.geometric(0.2, (20, 30)), n) - 1,
        "one": np.full((5, 40), 3),
    }[draw]
    weight = weft.asarray(a(n, 8)).requires_grad_()
    call = harness.generic_only(E.embedding) if form == "generic" else E.embedding
    y = call(weft.asarray(indices), weight, padding_idx=padding_idx)
    g = a(*indices.shape, 8)
    y.backward(weft.asarray(g))
    np.testing.assert_allclose(weight.grad.numpy(), summed(indices, g, n, padding_idx), atol=1e-12)


def test_gradient_into_given_memory():
    indices, weight, g = np.array([1, 1, 4]), a(6, 3).astype(np.float32), a(3, 3).astype(np.float32)
    memory = np.full((6, 3), np.nan, np.float32)
    _, vjp = E.embedding.impls["cpu"](indices, weight)
    none, grad = vjp(g, [False, True], [None, memory])
    assert none is None
    assert grad is memory
    np.testing.assert_allclose(memory, summed(indices, g, 6), atol=1e-6)


def test_gradient_is_the_same_every_time():
    indices = weft.asarray(rng.integers(0, 9, 3000))
    g = weft.asarray(a(3000, 5).astype(np.float32))
    grads = []
    for _ in range(2):
        weight = weft.ones((9, 5), requires_grad=True)
        E.embedding(indices, weight).backward(g)
        grads.append(weight.grad.numpy())
    np.testing.assert_array_equal(*grads)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("width", [1, 2, 7, 8, 9, 40])
def test_sums_of_rows_of_any_width(width, dtype):
    """Narrow rows and wide ones are added up in two ways."""
    indices, g = rng.integers(0, 9, 100), rng.integers(-8, 9, (100, width)).astype(float)  # exact in every dtype
    x = weft.zeros((9, width)).to(getattr(weft, dtype)).requires_grad_()
    weft.take(x, weft.asarray(indices), axis=0).backward(weft.asarray(g).to(getattr(weft, dtype)))
    assert str(x.grad.dtype) == dtype
    np.testing.assert_array_equal(x.grad.numpy().astype(float), summed(indices, g, 9))


class TestCheckIndices:
    def test_accepts(self):
        for indices in (
            np.array([0, 4]),
            np.array([[4]], np.int32),
            np.zeros(0, int),
            np.array(2, np.uint8),
            np.arange(8)[::2] // 2,
        ):
            E.check_indices(indices, 5)

    @pytest.mark.parametrize("bad", [5, -1, 1 << 40])
    def test_rejects(self, bad):
        with pytest.raises(IndexError, match=rf"`indices` must be in \[0, 5\), .*, got {bad}$"):
            E.check_indices(np.array([[0, 1], [bad, 2]]), 5)


@pytest.mark.parametrize("device", [d for d in weft.devices() if d in ("cpu", "emulator")])
def test_the_first_index_that_is_none(device):
    from weft.layers import functional as F

    table = weft.zeros((4, 2), device=device)
    for bad in ([0, 4, 9], [0, -1, 9]):
        indices = weft.asarray(np.array(bad), device=device)
        with pytest.raises(IndexError, match=f"rows of the table; at position 1, got {bad[1]}$"):
            F.embedding(indices, table)
        with pytest.raises(IndexError, match=r"`tensor` must hold indices in \[0, 4\), got"):
            F.one_hot(indices, 4)
    with pytest.raises(IndexError, match=r"at position 2, got 5$"):
        F.cross_entropy(table, weft.asarray(np.array([0, 1, 5, -3]), device=device))
