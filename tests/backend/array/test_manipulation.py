"""Against NumPy's functions of the same name in float64; derivatives by central differences."""

import harness
import numpy as np
import pytest
from harness import Case

import weft
from weft.backend.array import manipulation

rng = np.random.default_rng(0)
SIZES = (0, 1, 31, 32, 33, 1025)


def a(*shape):
    return np.asarray(rng.standard_normal(shape))


def case(name, *args, reference=None, label=None, **static):
    reference = reference or getattr(np, name)
    shown = " ".join(str(v) for v in (*(v for v in args if not isinstance(v, np.ndarray)), *static.values())).replace(
        " ", ""
    )
    return Case(getattr(manipulation, name), args, reference, static, label=f" {shown}")


def joined(f):
    return lambda *arrays, axis: f(arrays, axis=axis)


CASES = [
    *[case("reshape", a(3, 4), shape) for shape in [(12,), (4, 3), (2, -1), (1, 3, 2, 2), (-1,)]],
    *[case("reshape", a(n), (-1, 1)) for n in SIZES[1:]],
    case("reshape", a(), (1, 1)),
    case("reshape", a(1), ()),
    case("reshape", a(0, 3), (3, 0)),
    *[
        case("permute_dims", a(2, 3, 4), axes, reference=np.transpose)
        for axes in [(0, 1, 2), (2, 0, 1), (1, 2, 0), (-1, 0, 1)]
    ],
    case("permute_dims", a(), (), reference=np.transpose),
    *[case("matrix_transpose", a(*s)) for s in [(3, 4), (2, 3, 4), (0, 3), (33, 1)]],
    *[
        case("moveaxis", a(2, 3, 4), source, to)
        for source, to in [(0, 2), (-1, 0), (1, 1), ((0, 1), (2, 0)), ((2, 0, 1), (0, 1, 2))]
    ],
    *[
        case("expand_dims", a(*s), axis=axis)
        for s, axis in [((3, 4), 0), ((3, 4), 1), ((3, 4), -1), ((), 0), ((0,), 1)]
    ],
    *[
        case("squeeze", a(*s), axis)
        for s, axis in [((1, 3, 1), 0), ((1, 3, 1), -1), ((1, 3, 1), (0, 2)), ((1,), 0), ((1, 0), 0), ((2, 3), ())]
    ],
    *[case("flip", a(2, 3, 4), axis=axis) for axis in (None, 0, -1, (0, 2), ())],
    case("flip", a()),
    *[case("flip", a(n)) for n in SIZES],
    *[
        case("roll", a(3, 4), shift, axis=axis)
        for shift, axis in [(1, None), (-2, 1), (5, 0), ((1, -1), (0, 1)), (0, 0), (7, None)]
    ],
    case("roll", a(0), 1, axis=0),
    *[
        case("broadcast_to", a(*s), t)
        for s, t in [
            ((3,), (2, 3)),
            ((3, 1), (3, 4)),
            ((1, 1), (2, 3)),
            ((), (2,)),
            ((2, 3), (2, 3)),
            ((1,), (0,)),
            ((0,), (2, 0)),
        ]
    ],
    *[
        case("_concat", *[a(*s) for s in shapes], axis=axis, reference=joined(np.concatenate))
        for shapes, axis in [
            ([(2, 3), (1, 3)], 0),
            ([(2, 3), (2, 1), (2, 2)], -1),
            ([(3,)], 0),
            ([(0, 3), (2, 3)], 0),
            ([(2, 2, 2), (2, 2, 2)], 1),
        ]
    ],
    *[
        case("_stack", *[a(*s) for _ in range(n)], axis=axis, reference=joined(np.stack))
        for s, n, axis in [
            ((2, 3), 2, 0),
            ((2, 3), 3, -1),
            ((2, 3), 2, 1),
            ((), 3, 0),
            ((0,), 2, 1),
            ((33,), 1, 0),
            ((2, 3), 2, -2),
        ]
    ],
    *[
        case("tile", a(*s), reps)
        for s, reps in [
            ((3,), (2,)),
            ((2, 3), (2, 2)),
            ((3,), (2, 2)),
            ((2, 3), (2,)),
            ((), (3,)),
            ((2, 3), (1, 1)),
            ((2,), (0,)),
        ]
    ],
    *[
        case("repeat", a(*s), n, axis=axis)
        for s, n, axis in [
            ((3,), 2, None),
            ((2, 3), 2, None),
            ((2, 3), 3, 0),
            ((2, 3), 2, -1),
            ((3,), 0, 0),
            ((33,), 2, 0),
        ]
    ],
    *[
        Case(manipulation.repeat, (a(*s), np.array(n)), np.repeat, {"axis": axis}, label=f" each {axis}")
        for s, n, axis in [
            ((3,), [2, 0, 1], 0),
            ((2, 3), [1, 3], 0),
            ((2, 3), [1, 0, 2], 1),
            ((2, 2), [1, 2, 0, 1], None),
        ]
    ],
    Case(
        manipulation._astype,
        (rng.integers(-3, 3, 5),),
        lambda x, dtype, copy: x != 0,
        {"dtype": weft.bool, "copy": True},
        label=" bool",
    ),
]
test_primitive = harness.over(CASES)


class TestAstype:
    def test_values_and_gradient(self):
        x = weft.asarray(a(3).astype(np.float32)).requires_grad_()
        y = weft.astype(x, weft.float64)
        assert y.dtype == weft.float64
        (y * weft.asarray(np.array([1.0, 2, 3]))).sum().backward()
        assert x.grad.dtype == weft.float32
        assert x.grad.tolist() == [1, 2, 3]
        assert weft.astype(x, weft.int32).tolist() == [int(v) for v in x.tolist()]
        assert not weft.astype(x, weft.int32).requires_grad

    def test_copy(self):
        x = weft.ones(3)
        assert weft.astype(x, weft.float32, copy=False) is x
        assert weft.astype(x, weft.float32).data is not x.data
        assert weft.astype(x, weft.float64, copy=False).dtype == weft.float64

    def test_second_derivative(self):
        f = lambda x: (weft.astype(x, weft.float64) ** 3).sum()
        assert weft.grad(lambda x: weft.grad(f)(x).sum())(weft.tensor([2.0])).tolist() == [12.0]


class TestConcat:
    def test_flattens_without_an_axis(self):
        x, y = (weft.asarray(v).requires_grad_() for v in (a(2, 3), a(2)))
        z = weft.concat([x, y], axis=None)
        np.testing.assert_array_equal(
            z.detach().numpy(), np.concatenate([x.detach().numpy(), y.detach().numpy()], axis=None)
        )
        (z * weft.arange(8.0)).sum().backward()
        assert y.grad.tolist() == [6, 7]

    def test_mixed_dtypes(self):
        x, y = weft.ones(2, requires_grad=True), weft.ones(1, dtype=weft.float64, requires_grad=True)
        z = weft.concat([x, y])
        assert z.dtype == weft.float64
        z.sum().backward()
        assert (x.grad.dtype, y.grad.dtype) == (weft.float32, weft.float64)

    def test_one_tensor_twice(self):
        x = weft.ones(2, requires_grad=True)
        weft.stack([x, x, x]).sum().backward()
        assert x.grad.tolist() == [3, 3]

    def test_errors(self):
        with pytest.raises(ValueError, match="`concat` needs at least one array, got none"):
            weft.concat([])
        with pytest.raises(ValueError, match="`stack` needs at least one array, got none"):
            weft.stack([])
        with pytest.raises(ValueError, match=r"`stack` needs arrays of one shape, got \[\(2,\), \(3,\)\]"):
            weft.stack([weft.ones(2), weft.ones(3)])
        with pytest.raises(ValueError, match="dimension"):
            weft.concat([weft.ones((2, 2)), weft.ones((3, 3))])


class TestBroadcast:
    def test_arrays(self):
        x, y, z = weft.broadcast_arrays(weft.ones((3, 1)), weft.ones(4), weft.ones(()))
        assert x.shape == y.shape == z.shape == (3, 4)
        assert weft.broadcast_arrays() == ()

    def test_gradient_sums_over_what_was_repeated(self):
        x = weft.ones((3, 1), requires_grad=True)
        weft.broadcast_arrays(x, weft.ones((2, 1, 4)))[0].sum().backward()
        assert x.grad.tolist() == [[8]] * 3

    def test_shapes(self):
        assert weft.broadcast_shapes((3, 1), (2, 1, 4), ()) == (2, 3, 4)
        assert weft.broadcast_shapes((0,), (1,)) == (0,)
        assert weft.broadcast_shapes() == ()

    def test_errors(self):
        with pytest.raises(ValueError, match=r"got shapes \(2, 3\) and \(2,\)"):
            weft.broadcast_arrays(weft.ones((2, 3)), weft.ones(2))


class TestUnstack:
    def test_slices(self):
        x = weft.asarray(a(2, 3)).requires_grad_()
        first, _, last = weft.unstack(x, axis=1)
        assert first.shape == (2,)
        (first * 2 + last * 3).sum().backward()
        assert x.grad.tolist() == [[2, 0, 3]] * 2
        assert weft.unstack(weft.ones((0, 3))) == ()

    def test_errors(self):
        with pytest.raises(IndexError, match=r"`axis` must be in \[-2, 2\), got 2"):
            weft.unstack(weft.ones((2, 3)), axis=2)


def test_views_share_memory():
    """Reshaping, transposing and broadcasting move no data."""
    x = weft.ones((3, 4))
    for y in (
        x.reshape((4, 3)),
        x.T,
        weft.expand_dims(x, axis=0),
        weft.flip(x),
        weft.broadcast_to(x, (2, 3, 4)),
        x[1:],
        weft.moveaxis(x, 0, 1),
    ):
        assert np.shares_memory(x.data, y.data)


def test_squeeze_of_a_longer_axis():
    with pytest.raises(ValueError, match="squeeze"):
        weft.squeeze(weft.ones((2, 1)), 0)
