"""Against NumPy's own indexing and sorting; derivatives by central differences."""

import harness
import numpy as np
import pytest
from harness import Case

import weft
from weft.backend.array import indexing

rng = np.random.default_rng(0)
SIZES = (1, 31, 32, 33, 1025)


def a(*shape):
    return np.asarray(rng.standard_normal(shape))


def ints(high, *shape):
    return rng.integers(0, high, shape)


def scattered(values, indices, size, axis):
    rows = np.moveaxis(values, axis, 0)
    out = np.zeros((size, *rows.shape[1:]))
    for i, row in zip(indices, rows):
        out[i] += row
    return np.moveaxis(out, 0, axis)


def put(x, value, key):
    x = x.copy()
    x[key] = value
    return x


def descending(f):
    def reference(x, axis=-1, descending=False, stable=True):
        if not descending:
            return f(x, axis=axis, kind="stable")
        order = np.argsort(-x, axis=axis, kind="stable")
        return order if f is np.argsort else np.take_along_axis(x, order, axis=axis)

    return reference


BASIC = [
    2,
    -1,
    slice(None),
    slice(1, 3),
    slice(None, None, 2),
    slice(None, None, -1),
    slice(3, 0, -2),
    slice(0, 0),
    ...,
    (..., 0),
    (slice(None), 1),
    (1, 2),
    (1, ..., 0),
    (None, 2),
    (slice(None), None),
    (..., None),
    (None, ..., 1, None),
    (slice(1, 3), slice(None, None, -2)),
    (),
    None,
]
# array_api_strict has neither these combinations nor NumPy arrays as keys: `TestKeys` runs what it has
ADVANCED = [
    np.array([0, 2, 2]),
    np.array([-1, 0]),
    np.array([[0, 1], [3, 3]]),
    (np.array([0, 1]), np.array([2, 2])),
    (slice(None), np.array([0, 0, 3])),
    (np.array([0, 1]), None),
    (np.array([0, 1]), slice(1, 3)),
    (np.array([[0], [1]]), np.array([0, 1, 1])),
    np.array([], dtype=int),
    (..., np.array([1, 1])),
    np.array(2),
]
matrix, mask = a(4, 5), np.array([True, False, True, True])
masks = [mask, (mask, 1), (slice(None), np.array([True, False, True, False, True])), matrix > 0, matrix > 9]


def largest(values, places, *, size):
    return np.array([values[places == k].max() if (places == k).any() else 0.0 for k in range(size)])


CASES = [
    *[
        Case(
            indexing._getitem, (matrix,), lambda x, key: x[key], {"key": key}, strict="..." in str(key), label=f" {key}"
        )
        for key in BASIC
    ],
    *[
        Case(indexing._getitem, (matrix,), lambda x, key: x[key], {"key": key}, strict=False, label=f" advanced {i}")
        for i, key in enumerate(ADVANCED)
    ],
    *[
        Case(indexing._getitem, (matrix,), lambda x, key: x[key], {"key": key}, strict=False, label=f" mask {i}")
        for i, key in enumerate(masks)
    ],
    *[
        Case(indexing._getitem, (a(n),), lambda x, key: x[key], {"key": slice(None, None, -1)}, label=f" {n}")
        for n in SIZES
    ],
    Case(indexing._getitem, (a(),), lambda x, key: x[key], {"key": ()}),
    Case(indexing._getitem, (a(),), lambda x, key: x[key], {"key": None}),
    *[
        Case(
            indexing._setitem,
            (matrix, np.asarray(a(*matrix[key].shape))),
            put,
            {"key": key},
            strict="..." in str(key),
            label=f" {key}",
        )
        for key in BASIC
    ],
    *[
        Case(
            indexing._setitem,
            (matrix, np.asarray(a(*matrix[key].shape))),
            put,
            {"key": key},
            strict=False,
            label=f" advanced {i}",
        )
        for i, key in enumerate(ADVANCED)
        if i not in (0, 2, 4, 7, 9)
    ],  # where an index repeats, the last value wins and all would get its gradient
    *[
        Case(
            indexing._setitem,
            (matrix, np.asarray(a(*matrix[key].shape))),
            put,
            {"key": key},
            strict=False,
            label=f" mask {i}",
        )
        for i, key in enumerate(masks)
    ],
    *[
        Case(indexing._setitem, (matrix, value), put, {"key": (slice(1, 3), ...)}, label=" broadcast")
        for value in (a(5), a(), a(2, 1), a(1, 5), a(1, 2, 5), 3.0)
    ],
    *[
        Case(
            indexing.take,
            (matrix, np.array(i)),
            lambda x, i, axis: np.take(x, i, axis=axis),
            {"axis": axis},
            label=f" axis={axis}",
        )
        for i in ([0, 2, 2], [-1, 1, -4], [3])
        for axis in (0, 1, -1)
    ],
    *[Case(indexing.take, (a(n), ints(n, n)), np.take) for n in SIZES],
    Case(indexing.take, (a(3, 2), np.array([], dtype=int)), np.take, {"axis": 0}),
    *[
        Case(
            indexing.take_along_axis,
            (matrix, ints(n, *shape)),
            np.take_along_axis,
            {"axis": axis},
            label=f" axis={axis}",
        )
        for n, shape, axis in [(4, (3, 5), 0), (5, (4, 7), 1), (5, (4, 2), -1)]
    ],
    Case(
        indexing.take_along_axis,
        (matrix, np.array([[-1, -1, 0]] * 4)),
        np.take_along_axis,
        {"axis": 1},
        label=" negative",
    ),
    Case(indexing.take_along_axis, (a(2, 3, 4), ints(3, 2, 1, 4)), np.take_along_axis, {"axis": 1}),
    Case(indexing.take_along_axis, (a(1, 4), ints(4, 3, 2)), np.take_along_axis, {"axis": 1}, label=" broadcast"),
    Case(indexing.take_along_axis, (a(3, 4), ints(4, 1, 2)), np.take_along_axis, {"axis": 1}, label=" broadcast"),
    *[
        Case(indexing._scatter_add, (a(4, 3), np.array(i)), scattered, {"size": 5, "axis": axis}, label=f" axis={axis}")
        for i, axis in [([0, 4, 4, 1], 0), ([2, 2, 2], 1), ([0, 1, 3], -1)]
    ],
    *[
        Case(indexing._largest, (a(n), ints(size, n)), largest, {"size": size}, label=f" of {size}")
        for n, size in [(0, 2), (1, 1), (33, 4), (7, 20)]
    ],
    *[
        Case(indexing.where, (np.asarray(rng.random(c) > 0.5), a(*s), a(*t)), np.where)
        for c, s, t in [
            ((33,), (33,), (33,)),
            ((3, 1), (4,), ()),
            ((4,), (3, 4), (3, 1)),
            ((0,), (1,), (0,)),
            ((), (2,), (2,)),
        ]
    ],
    Case(indexing.where, (mask, a(4), 0.0), np.where),
    Case(indexing.where, (mask, 1.5, a(4)), np.where),
    # sorting: with ties, in either direction
    *[
        Case(
            f,
            (x,),
            descending(reference),
            {"axis": axis, "descending": down},
            label=f" axis={axis} {down}",
            grad=() if x.dtype.kind == "i" or f is indexing.argsort else None,
        )
        for f, reference in ((indexing.sort, np.sort), (indexing.argsort, np.argsort))
        for x in (matrix, ints(3, 4, 6))
        for axis in (0, -1)
        for down in (False, True)
    ],
    *[Case(indexing.sort, (a(n),), lambda x: np.sort(x)) for n in (0, *SIZES)],
    *[
        Case(
            indexing.searchsorted, (np.sort(a(9)), a(4, 3)), np.searchsorted, {"side": side}, grad=(), label=f" {side}"
        )
        for side in ("left", "right")
    ],
    Case(indexing.isin, (ints(9, 4, 5), np.array([1, 3])), np.isin),
    Case(
        indexing.isin, (ints(9, 4, 5), np.array([1, 3])), np.isin, {"invert": True}, strict=False, label=" invert"
    ),  # strict forgets to
    Case(indexing._nonzero, (matrix * (matrix > 0),), np.nonzero, grad=()),
    Case(indexing._nonzero, (mask,), np.nonzero),
]
test_primitive = harness.over(CASES)


def tracked(*shape):
    return weft.asarray(a(*shape)).requires_grad_()


class TestKeys:
    """What may stand between the brackets of a Tensor."""

    def test_tensors_lists_and_numbers(self):
        x = weft.asarray(matrix)
        for key, raw in [
            (weft.tensor([0, 2]), [0, 2]),
            ([0, 2], [0, 2]),
            (weft.tensor(1), 1),
            (np.int64(2), 2),
            (weft.tensor([True, False, True, False]), [0, 2]),
            ((weft.tensor([0, 1]), weft.tensor([3, 3])), ([0, 1], [3, 3])),
            ((slice(1, 3), [0, 4]), (slice(1, 3), [0, 4])),
            (x > 0, matrix > 0),
            ((None, weft.tensor([1])), (None, [1])),
        ]:
            np.testing.assert_array_equal(x[key].numpy(), matrix[raw])

    def test_masks_and_integers_on_strict(self):
        x = weft.asarray(matrix, device="strict").requires_grad_()
        y = x[x > 0]
        (y * y).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), np.where(matrix > 0, 2 * matrix, 0))
        z = x[weft.asarray(np.array([1, 1]), device="strict"), weft.asarray(np.array([2, 2]), device="strict")]
        np.testing.assert_array_equal(z.detach().numpy(), matrix[[1, 1], [2, 2]])

    def test_repeated_indices_add_up(self):
        x = tracked(3)
        x[weft.tensor([0, 0, 2, 0])].sum().backward()
        assert x.grad.tolist() == [3, 0, 1]

    def test_key_of_a_tracked_tensor_inside_grad(self):
        """Positions computed from what is being differentiated, at any depth."""
        f = lambda x: (x[weft.argsort(x)][:2] ** 3).sum()
        x = weft.tensor([3.0, 1.0, 2.0])
        assert weft.grad(f)(x).tolist() == [0, 3, 12]
        assert weft.grad(lambda x: weft.grad(f)(x).sum())(x).tolist() == [0, 6, 12]
        assert weft.grad(lambda x: (x[x > 1.5] ** 2).sum())(x).tolist() == [6, 0, 4]

    def test_errors(self):
        with pytest.raises(IndexError, match="out of bounds"):
            weft.ones(3)[3]
        with pytest.raises(IndexError, match="too many indices"):
            weft.ones(3)[0, 0]
        with pytest.raises(IndexError, match="boolean index did not match"):
            weft.ones(3)[weft.tensor([True, False])]


class TestSetitem:
    """x[key] = value where something is recorded: x becomes a new value."""

    def test_both_sides_get_their_gradient(self):
        x, v = tracked(4), tracked(2)
        y = x * 1
        y[1:3] = v * 2
        (y * weft.asarray(np.array([1.0, 2, 3, 4]))).sum().backward()
        assert x.grad.tolist() == [1, 0, 0, 4]
        assert v.grad.tolist() == [4, 6]

    def test_into_an_untracked_tensor(self):
        x, v = weft.zeros((2, 2)), weft.ones((), requires_grad=True)
        x[0, 1] = v
        assert x.requires_grad
        (x * 3).sum().backward()
        assert v.grad.item() == 3

    def test_second_derivative(self):
        def f(x):
            y = weft.zeros(3)
            y[1] = x * x
            return (y**2).sum()

        assert weft.grad(weft.grad(f))(weft.tensor(2.0)).item() == 48

    def test_value_with_leading_axes(self):
        x, v = weft.zeros((2, 3)), weft.ones((1, 3), requires_grad=True)
        x[0] = v
        x.sum().backward()
        assert v.grad.tolist() == [[1, 1, 1]]

    def test_into_integers_the_gradient_ends(self):
        x, v = weft.zeros(2, dtype=weft.int64), weft.tensor(1.5, requires_grad=True)
        x[0] = v
        assert x.tolist() == [1, 0]
        assert not x.requires_grad

    def test_masks_and_numbers(self):
        x = tracked(4)
        y = x + 0
        y[y > -9] = 0.0
        assert y.tolist() == [0] * 4
        y.sum().backward()
        assert x.grad.tolist() == [0] * 4


class TestTake:
    def test_needs_an_axis(self):
        with pytest.raises(ValueError, match="`take` needs `axis` for an array with 2 axes"):
            weft.take(weft.ones((2, 2)), weft.tensor([0]))

    def test_needs_one_dimensional_indices(self):
        with pytest.raises(ValueError, match=r"`take` needs 1-d `indices`, got shape \(1, 1\)"):
            weft.take(weft.ones(2), weft.tensor([[0]]))


class TestSorting:
    def test_stable_both_ways(self):
        x = weft.tensor([1, 0, 1, 0])
        assert weft.argsort(x).tolist() == [1, 3, 0, 2]
        assert weft.argsort(x, descending=True).tolist() == [0, 2, 1, 3]

    def test_nan_is_last(self):
        assert np.isnan(weft.sort(weft.tensor([np.nan, 1.0])).tolist()[1])

    def test_searchsorted_with_sorter(self):
        x = weft.tensor([3.0, 1.0, 2.0])
        assert weft.searchsorted(x, weft.tensor([2.5]), sorter=weft.argsort(x)).tolist() == [2]

    def test_nonzero_of_a_scalar(self):
        with pytest.raises(ValueError, match="`nonzero` needs at least one axis, got a 0-d tensor"):
            weft.nonzero(weft.tensor(1.0))


class TestSets:
    @pytest.mark.parametrize("device", ["cpu", "strict"])
    def test_unique(self, device):
        x = np.array([[3, 1, 1], [2, 3, 3]])
        t = weft.asarray(x, device=device)
        found = weft.unique_all(t)
        assert [f.device for f in found] == [device] * 4
        values, indices, inverse, counts = (f.numpy() for f in found)
        order = np.argsort(values)
        assert values[order].tolist() == [1, 2, 3]
        assert counts[order].tolist() == [2, 1, 3]
        np.testing.assert_array_equal(x.reshape(-1)[indices], values)
        np.testing.assert_array_equal(values[inverse], x)
        assert sorted(weft.unique_values(t).tolist()) == [1, 2, 3]
        assert sorted(weft.unique_counts(t).counts.tolist()) == [1, 2, 3]
        values, inverse = weft.unique_inverse(t)
        np.testing.assert_array_equal(values.numpy()[inverse.numpy()], x)


def test_where_keeps_bfloat16():
    x = weft.ones(3, dtype=weft.bfloat16)
    for y in (weft.where(x > 0, x, 0.0), weft.where(x > 0, 0.0, x), weft.where(x > 0, x, x)):
        assert y.dtype == weft.bfloat16
    assert weft.where(x > 0, x, weft.ones(3)).dtype == weft.float32


@pytest.mark.parametrize("device", ["cpu", "emulator"])
def test_memory_that_was_broadcast(device):
    h = weft.zeros((2, 2), device=device)
    with pytest.raises(RuntimeError, match=r"shape \(2, 2\) is read-only .*use \.clone\(\)"):
        h.expand(3, 2, 2)[0].fill_(7.0)


@pytest.mark.parametrize("key", [[2, 2, 1], (slice(None), [0, 0, 1]), ([[0, 1, 0]], [[1, 1, 1]])], ids=str)
def test_a_value_that_a_later_one_overwrites_gets_no_gradient(key):
    x = np.zeros((4, 3))
    places = np.zeros_like(x[key])
    value = weft.tensor(np.arange(1.0, 1 + places.size).reshape(places.shape), requires_grad=True)
    filled = weft.tensor(x)
    filled[key] = value
    (filled * filled).sum().backward()
    x[key] = value.detach().numpy()
    expected = np.where(x[key] == value.detach().numpy(), 2 * x[key], 0)
    np.testing.assert_array_equal(value.grad.numpy(), expected)
    assert (expected == 0).any()


class TestSlicesOfOneArray:
    """Their gradients are added to one array of zeros."""

    KEYS = (0, slice(1, 3), (slice(None, None, 2), None, slice(1, 4)), (..., 2), (-1, 5), slice(None, None, -1))

    @staticmethod
    def loss(x, y, weights):
        return sum(((y[key] * w).sum() for key, w in zip(TestSlicesOfOneArray.KEYS, weights)), (y * x).sum())

    def weights(self, values):
        generator = np.random.default_rng(1)
        return [generator.standard_normal(values[key].shape) for key in self.KEYS]

    def expected(self, values, weights):
        grad = 2 * 2 * values  # of Σ y x, y = 2 x
        for key, w in zip(self.KEYS, weights):
            grad[key] += 2 * w
        return grad

    def test_values_also_twice_and_where_the_record_stays(self):
        values = a(4, 6)
        weights = self.weights(values)
        x = weft.tensor(values, requires_grad=True)
        loss = self.loss(x, x * 2, weights)
        loss.backward(retain_graph=True)
        np.testing.assert_allclose(x.grad.numpy(), self.expected(values, weights), rtol=1e-12, atol=1e-12)
        loss.backward()
        np.testing.assert_allclose(x.grad.numpy(), 2 * self.expected(values, weights), rtol=1e-12, atol=1e-12)

    def test_a_gradient_that_came_by_another_way_is_left_alone(self):
        seen = []

        @weft.primitive
        def passed_on(xp, x, /):
            def back(g):
                seen.append((g, g.copy()))
                return g

            return xp.asarray(x, copy=True), (back,)

        x = weft.tensor(a(4, 6), requires_grad=True)
        y = x * 2
        (y[0].sum() * 3 + y[1].sum() + passed_on(y).sum()).backward()
        (g, before), expected = seen[0], np.full((4, 6), 2.0)
        np.testing.assert_array_equal(g, before)
        expected[0], expected[1] = 8, 4
        np.testing.assert_array_equal(x.grad.numpy(), expected)

    def test_second_derivative(self):
        values = a(3, 4)
        f = weft.grad(lambda x: ((y := x * x)[0] * y[1]).sum() + (y[2] * y[0]).sum())
        x = weft.asarray(values)
        found = weft.grad(lambda x: f(x)[0].sum())(x).numpy()
        a0, a1, a2 = values
        expected = np.stack([2 * (a1**2 + a2**2), 4 * a0 * a1, 4 * a0 * a2])
        np.testing.assert_allclose(found, expected, rtol=1e-12)

    def test_zeros_are_made_once(self, monkeypatch):
        made = []
        zeros_like = np.zeros_like
        x = weft.tensor(a(4, 6), requires_grad=True)
        y = x * 2
        loss = sum(y[i].sum() for i in range(4))
        monkeypatch.setattr(np, "zeros_like", lambda *args, **options: made.append(0) or zeros_like(*args, **options))
        loss.backward()
        assert len(made) == 1
        np.testing.assert_array_equal(x.grad.numpy(), np.full((4, 6), 2.0))
