"""vmap against a loop over the lanes: rows of every primitive's table, and derivatives through it."""

import functools
import threading

import harness
import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.backend.modes import batching, batching_rules
from weft.backend.tape.autograd import PRIMITIVES
from weft.layers import functional as F
from weft.layers.utils.stateless import functional_call

X = np.random.default_rng(0).normal(size=(4, 3))
PER_PRIMITIVE = 2  # rows of each table, of the smallest: all 2,000 take half a minute


@functools.cache
def cases(most):
    """A few rows of each primitive, the smallest first: (what it is called, row)."""
    found = {}
    for case in (case for cases in harness.tables().values() for case in cases):
        found.setdefault(case.name, []).append(case)
    return {name: sorted(rows, key=lambda c: sum(a.size for a in c.arrays))[:most] for name, rows in found.items()}


def second(a):
    """What another lane has: floating-point numbers a little smaller, masks and indices in reverse."""
    return np.asarray(a * 0.875) if a.dtype.kind in "fc" else a[::-1].copy() if a.ndim else a


def as_tensor(a):
    return weft.asarray(a) if isinstance(a, np.ndarray) else a


def check_values(case, places):
    """Two lanes that differ in the arguments at `places`."""
    lanes = [case.args, tuple(second(a) if i in places else a for i, a in enumerate(case.args))]
    try:
        wanted = [harness._tuple(case.primitive(*map(as_tensor, args), **case.static)) for args in lanes]
    except (ValueError, IndexError, RuntimeError):  # the other lane's numbers are none that it takes
        return
    given = [weft.asarray(np.stack([lanes[0][i], lanes[1][i]])) for i in places]

    def f(*xs):
        values = [as_tensor(a) for a in case.args]
        for i, x in zip(places, xs):
            values[i] = x
        return case.primitive(*values, **case.static)

    for g, *each in zip(harness._tuple(weft.vmap(f, randomness="same")(*given)), *wanted):
        expected = np.stack([e.numpy() for e in each])
        assert (g.dtype, g.shape) == (expected.dtype, expected.shape)
        np.testing.assert_allclose(g.numpy(), expected, rtol=1e-9, atol=1e-9)


def check_gradients(case):
    f, places = harness._function(case, case.primitive), range(len(case.positions))
    at = [np.asarray(case.args[i], dtype=float) for i in case.positions]
    lanes = [at, [a * 0.875 for a in at]]
    wanted = [weft.grad(f, places)(*map(weft.asarray, lane)) for lane in lanes]
    found = weft.vmap(weft.grad(f, places), randomness="same")(*[weft.asarray(np.stack(pair)) for pair in zip(*lanes)])
    for g, *each in zip(found, *wanted):
        np.testing.assert_allclose(g.numpy(), np.stack([e.numpy() for e in each]), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("most", [PER_PRIMITIVE, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", sorted(cases(1)))
def test_lanes_are_what_a_loop_gives(name, most):
    for case in cases(most)[name]:
        arrays = [i for i, a in enumerate(case.args) if isinstance(a, np.ndarray)]
        for places in {tuple(arrays), *((i,) for i in arrays)}:
            if places:
                check_values(case, places)
        if case.positions:
            check_gradients(case)


def test_rules_are_of_primitives():
    there = {".".join(name.split(".")[-2:]) for name in PRIMITIVES}
    assert not {name for name in batching_rules.RULES if not name.endswith("*")} - there


class TestAxes:
    def test_in_and_out(self):
        x, w = weft.asarray(X), weft.asarray(X[:, 0])
        scaled = lambda a, b: (a * b, a.sum())
        first, sums = weft.vmap(scaled, in_axes=(-1, None), out_axes=(1, 0))(x, w)
        np.testing.assert_array_equal(first.numpy(), X * X[:, :1])
        np.testing.assert_allclose(sums.numpy(), X.sum(axis=0), rtol=1e-15)

    def test_trees(self):
        given = {"a": weft.asarray(X), "b": [weft.asarray(X + 1)]}
        found = weft.vmap(lambda t: {"sum": t["a"] + t["b"][0], "same": weft.ones(2)})(given)
        np.testing.assert_allclose(found["sum"].numpy(), 2 * X + 1, rtol=1e-14)
        assert found["same"].shape == (4, 2)

    def test_keyword_arguments_are_handed_on(self):
        found = weft.vmap(lambda a, *, b: a @ b)(weft.asarray(X), b=weft.asarray(X.T))
        np.testing.assert_allclose(found.numpy(), X @ X.T, rtol=1e-14)

    def test_nested(self):
        a, b = weft.asarray(X[:, 0]), weft.asarray(X[0])
        outer = weft.vmap(weft.vmap(lambda a, b: a - b * b, in_axes=(None, 0)), in_axes=(0, None))
        np.testing.assert_array_equal(outer(a, b).numpy(), X[:, :1] - X[:1] ** 2)

    def test_what_does_not_fit(self):
        x = weft.asarray(X)
        add = lambda a, b: a + b
        for call, message in (
            (lambda: weft.vmap(add, in_axes=(0,))(x, x), "must have an entry for each of 2 arguments, got 1"),
            (lambda: weft.vmap(add, in_axes=(None, None))(x, x), "must name an axis of some Tensor"),
            (lambda: weft.vmap(add, in_axes=(0, 1))(x, x), "must be equally long, got 4 and 3"),
            (lambda: weft.vmap(add, in_axes=2)(x, x), r"must name an axis of each Tensor, got 2 for shape \(4, 3\)"),
            (lambda: weft.vmap(add)(x[:0], x[:0]), "at least one lane, got an axis of length 0"),
            (lambda: weft.vmap(add, out_axes=(0, 0))(x, x), "must have an entry for each of a tuple's results"),
            (lambda: weft.vmap(add, in_axes=(0.5, 0))(x, x), "`in_axes` must be an integer, got 0.5"),
            (lambda: weft.vmap(add, randomness="different"), "`randomness` must be 'error' or 'same', got 'different'"),
        ):
            with pytest.raises(ValueError, match=message):
                call()
        for call, message in (
            (lambda: weft.vmap(x), "`f` must be a function of Tensors, got"),
            (lambda: weft.vmap(add, in_axes="01")(x, x), "`in_axes` must be an integer, None or a sequence"),
            (lambda: weft.vmap(lambda a: 3.0)(x), "the function of `vmap` returns Tensors and .* got float"),
            (lambda: weft.vmap(add)(x, 3.0), "`vmap` maps over Tensors and .* got float"),
        ):
            with pytest.raises(TypeError, match=message):
                call()


class TestWithDerivatives:
    def test_gradients_of_each_sample(self):
        """Through a convolutional network, embedding and all."""
        weft.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.LayerNorm(18), nn.Linear(18, 3)
        )
        parameters = {name: p.detach().double() for name, p in model.named_parameters()}
        x, y = weft.randn(5, 1, 8, 8).double(), weft.asarray([0, 2, 1, 1, 0])
        loss = lambda p, x, y: F.cross_entropy(functional_call(model, p, (x[None],)), y[None])
        found = weft.vmap(weft.grad(loss), in_axes=(None, 0, 0))(parameters, x, y)
        for i in range(5):
            for name, g in weft.grad(loss)(parameters, x[i], y[i]).items():
                np.testing.assert_allclose(found[name][i].numpy(), g.numpy(), rtol=1e-9, atol=1e-12)

    def test_an_ensemble(self):
        x, weights = weft.asarray(X), weft.asarray(np.random.default_rng(1).normal(size=(6, 2, 3)))
        found = weft.vmap(F.linear, in_axes=(None, 0))(x, weights)
        np.testing.assert_allclose(found.numpy(), np.einsum("ni,eoi->eno", X, weights.numpy()), rtol=1e-12)

    def test_it_is_differentiable(self):
        x = weft.asarray(X).requires_grad_()
        weft.vmap(lambda v: (v**3).sum())(x).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), 3 * X**2, rtol=1e-14)
        second = weft.grad(lambda x: weft.vmap(weft.grad(lambda v: (v**3).sum()))(x).sum())(x.detach())
        np.testing.assert_allclose(second.numpy(), 6 * X, rtol=1e-14)

    def test_jvp_and_vjp(self):
        x, t = weft.asarray(X), weft.asarray(X[::-1].copy())
        along = weft.vmap(lambda x, t: weft.jvp(weft.sin, (x,), (t,))[1])(x, t)
        np.testing.assert_allclose(along.numpy(), np.cos(X) * X[::-1], rtol=1e-14)
        _, pullback = weft.vjp(weft.vmap(weft.sin), x)
        np.testing.assert_allclose(pullback(t)[0].numpy(), np.cos(X) * X[::-1], rtol=1e-14)

    def test_under_no_grad(self):
        w = weft.Parameter(X[0].copy())
        with weft.no_grad():
            found = weft.vmap(weft.grad(lambda v: (w * v * v).sum()))(weft.asarray(X))
        assert not found.requires_grad
        np.testing.assert_allclose(found.numpy(), 2 * X[:1] * X, rtol=1e-14)

    def test_what_is_detached_gets_nothing(self):
        x = weft.asarray(X).requires_grad_()
        weft.vmap(lambda v: (v * v.detach()).sum())(x).sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), X)

    def test_half_precision_is_rounded_once(self):
        x = weft.asarray(X).to(weft.bfloat16)
        found = weft.vmap(lambda v: F.layer_norm(v, (3,)))(x)
        assert found.dtype == weft.bfloat16
        np.testing.assert_array_equal(found.numpy(), F.layer_norm(x, (3,)).numpy())

    def test_an_operation_of_one_s_own(self):
        @weft.primitive
        def cube(xp, x, /):
            return x**3, (lambda g: g * 3 * x**2,)

        x = weft.asarray(X)
        np.testing.assert_allclose(weft.vmap(weft.grad(lambda v: cube(v).sum()))(x).numpy(), 3 * X**2, rtol=1e-14)
        PRIMITIVES.pop(f"{cube.generic.__module__}.{cube.generic.__qualname__}")


class TestLookingUp:
    @pytest.mark.parametrize(
        "key",
        [
            0,
            slice(1, None),
            None,
            (..., 1),
            (slice(None), [1, 0]),
            ([0, 1], slice(None), [1, 0]),
            (0, slice(None), [2, 1]),
        ],
    )
    def test_the_same_in_all_lanes(self, key):
        x = np.arange(48.0).reshape(2, 2, 3, 4)
        found = weft.vmap(lambda v: v[key])(weft.asarray(x)).numpy()
        keyed = tuple(np.asarray(k) if isinstance(k, list) else k for k in key) if isinstance(key, tuple) else key
        np.testing.assert_array_equal(found, np.stack([v[keyed] for v in x]))

    def test_others_in_each_lane(self):
        i = np.array([[2, 0], [-1, 1], [0, 0], [1, 2]])
        x, places = weft.asarray(X), weft.asarray(i)
        expected = np.take_along_axis(X, i, axis=1)
        np.testing.assert_array_equal(weft.vmap(lambda v, i: v[i])(x, places).numpy(), expected)
        np.testing.assert_array_equal(weft.vmap(lambda v, i: v[0, i])(x[:, None], places).numpy(), expected)
        np.testing.assert_array_equal(weft.vmap(lambda i: x[i])(places).numpy(), X[i])
        picked = weft.vmap(lambda v, i: v[i])(x, places[:, 0])
        np.testing.assert_array_equal(picked.numpy(), expected[:, 0])

    def test_masks_of_several_sizes_cannot_be_stacked(self):
        with pytest.raises(ValueError, match="gives results of different shapes in the lanes of a `vmap`"):
            weft.vmap(lambda v: v[v > 0])(weft.asarray(X))


class TestInPlace:
    def test_what_is_written_stays_inside(self):
        x = weft.asarray(X.copy())

        def f(v):
            part = v[1:]
            part *= 2.0
            v[0] = 7.0
            return v.sum() + part.sum()

        found = weft.vmap(f)(x)
        np.testing.assert_allclose(found.numpy(), 7 + 4 * X[:, 1:].sum(axis=1), rtol=1e-14)
        np.testing.assert_array_equal(x.numpy(), X)

    def test_lanes_are_written_into_what_is_new(self):
        def f(v):
            out = weft.zeros(3, dtype=v.dtype)
            out[:2] = v[1:]
            return out

        found = weft.vmap(f)(weft.asarray(X)).numpy()
        np.testing.assert_array_equal(found, np.pad(X[:, 1:], ((0, 0), (0, 1))))


class TestRefused:
    @pytest.mark.parametrize(
        "read",
        [
            lambda v: v if v.sum() > 0 else -v,
            lambda v: v * v.sum().item(),
            lambda v: v * float(v[0]),
            lambda v: weft.asarray(v.numpy()),
        ],
    )
    def test_numbers_are_not_shown(self, read):
        with pytest.raises(RuntimeError, match="inside `vmap` a tensor has 4 of each, one for every lane"):
            weft.vmap(read)(weft.asarray(X))
        assert batching.autograd.mapped is None

    def test_functions_without_a_form_for_lanes(self):
        with pytest.raises(RuntimeError, match=r"`unique_.*` would need one number"):
            weft.vmap(weft.unique_values)(weft.asarray(X))

    def test_axes_that_there_are_not(self):
        for f in (lambda v: v.sum(axis=1), lambda v: weft.flip(v, axis=-2), lambda v: weft.stack([v, v], axis=3)):
            with pytest.raises(ValueError, match="out of bounds"):
                weft.vmap(f)(weft.asarray(X))

    def test_random_numbers(self):
        x = weft.ones((3, 50))
        for draw in (lambda v: F.dropout(v, 0.5), lambda v: v + weft.rand(50)):
            with pytest.raises(RuntimeError, match="random numbers are drawn inside `vmap`: draw them outside"):
                weft.vmap(draw)(x)
            found = weft.vmap(draw, randomness="same")(x).numpy()
            assert (found == found[0]).all()
            assert found[0].std() > 0

    def test_running_statistics(self):
        model = nn.BatchNorm1d(3, dtype="float64")
        with pytest.raises(RuntimeError, match="inside `vmap`"):
            weft.vmap(model)(weft.asarray(np.stack([X, X])))


def test_other_threads_are_left_alone():
    found = []

    def f(v):
        thread = threading.Thread(target=lambda: found.append((weft.ones(3) * 2).sum().item()))
        thread.start()
        thread.join()
        return v.sum()

    weft.vmap(f)(weft.asarray(X))
    assert found == [6.0]


def test_operations_are_told_once():
    with weft.profile() as p:
        weft.vmap(lambda v: F.softmax(v, 0))(weft.asarray(X))
    assert "softmax" in str(p)
