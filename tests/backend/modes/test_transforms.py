"""grad, value_and_grad and checkpoint against derivatives worked out by hand, nested in every way."""

import functools
import gc
import itertools
import weakref
from collections import namedtuple

import harness  # noqa: F401  (registers the device "strict")
import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.layers import functional as F


def scalar(x):
    return weft.asarray(np.array(float(x)))


def vector(*xs):
    return weft.asarray(np.array(xs, dtype=float))


def tracked(*xs):
    return vector(*xs).requires_grad_() if len(xs) > 1 else scalar(xs[0]).requires_grad_()


class TestGrad:
    def test_value_and_slope(self):
        value, slope = weft.value_and_grad(lambda x: x**3)(scalar(2))
        assert (value.item(), slope.item()) == (8, 12)
        assert not value.requires_grad
        assert not slope.requires_grad

    def test_argnums(self):
        f = lambda a, b, *, c: a * b * b * c
        assert weft.grad(f)(scalar(2), scalar(3), c=5).item() == 45
        assert weft.grad(f, 1)(scalar(2), scalar(3), c=5).item() == 60
        assert weft.grad(f, -1)(scalar(2), scalar(3), c=5).item() == 60
        assert [g.item() for g in weft.grad(f, (1, 0))(scalar(2), scalar(3), c=5)] == [60, 45]
        assert [g.item() for g in weft.grad(f, [0])(scalar(2), scalar(3), c=5)] == [45]

    def test_other_arguments_may_be_anything(self):
        assert weft.grad(lambda x, name, n: x * n if name == "x" else None)(scalar(2), "x", 3).item() == 3

    def test_trees(self):
        Pair = namedtuple("Pair", "left right")
        tree = {"w": [vector(1, 2), vector(3, 4)], "p": Pair(scalar(5), (scalar(6),))}

        def f(t):
            return (t["w"][0] * t["w"][1]).sum() + t["p"].left * t["p"].right[0]

        got = weft.grad(f)(tree)
        assert [g.tolist() for g in got["w"]] == [[3, 4], [1, 2]]
        assert type(got["p"]) is Pair
        assert (got["p"].left.item(), got["p"].right[0].item()) == (6, 5)
        assert weft.grad(lambda t: scalar(0))([]) == []

    def test_one_tensor_in_two_places_has_two_gradients(self):
        x = scalar(3)
        a, b = weft.grad(lambda p, q: p * p * q, (0, 1))(x, x)
        assert (a.item(), b.item()) == (18, 9)

    def test_what_the_result_does_not_depend_on_has_gradient_zero(self):
        a, b = weft.grad(lambda x, y: x * 2, (0, 1))(scalar(1), vector(1, 2))
        assert (a.item(), b.tolist()) == (2, [0, 0])
        assert weft.grad(lambda x: scalar(7))(vector(1, 2)).tolist() == [0, 0]
        assert weft.grad(lambda x: (x > 0).sum() * 1.0)(vector(1, 2)).tolist() == [0, 0]

    def test_grad_attributes_are_not_touched(self):
        x, w = tracked(2), tracked(3)
        weft.grad(lambda x: x * w)(x)
        assert x.grad is None
        assert w.grad is None

    def test_under_no_grad(self):
        with weft.no_grad():
            value, slope = weft.value_and_grad(lambda x: x * x)(tracked(3))
        assert (slope.item(), value.requires_grad, slope.requires_grad) == (6, False, False)

    def test_inside_no_grad_of_its_own(self):
        def f(x):
            with weft.no_grad():
                c = x * 10
            return x * c

        assert weft.grad(f)(scalar(2)).item() == 20
        assert weft.grad(weft.grad(f))(scalar(2)).item() == 0

    def test_detach_inside(self):
        f = lambda x: x * x.detach()
        assert weft.grad(f)(scalar(3)).item() == 3
        assert weft.grad(weft.grad(f))(scalar(3)).item() == 0

    def test_names_and_devices(self):
        def loss(x):
            """The loss."""
            return (x * x).sum()

        assert weft.grad(loss).__name__ == weft.value_and_grad(loss).__name__ == "loss"
        assert weft.grad(loss).__doc__ == "The loss."
        assert weft.grad(loss)(weft.ones(2, device="strict")).device == "strict"

    def test_dtypes(self):
        assert weft.grad(lambda x: x * scalar(2))(weft.tensor(1.0)).dtype == weft.float32

    def test_errors(self):
        with pytest.raises(
            TypeError, match=r"`grad` needs a function that returns a Tensor with one element, got shape \(2,\)"
        ):
            weft.grad(lambda x: x)(vector(1, 2))
        with pytest.raises(TypeError, match="with one element, got float"):
            weft.grad(lambda x: 1.0)(scalar(1))
        with pytest.raises(
            TypeError, match="`grad` differentiates Tensors and lists, tuples and dicts of them, got float"
        ):
            weft.grad(lambda x: x)(1.0)
        with pytest.raises(TypeError, match="`requires_grad` needs a real floating-point dtype, got int64"):
            weft.grad(lambda x: x)(weft.tensor(1))
        with pytest.raises(ValueError, match="`argnums` must name positional arguments, got 1 and 1 arguments"):
            weft.grad(lambda x: x, 1)(scalar(1))

    def test_after_an_error_everything_is_as_before(self):
        with pytest.raises(ZeroDivisionError):
            weft.grad(lambda x: 1 / 0)(scalar(1))
        x = tracked(2)
        (x * x).backward()
        assert x.grad.item() == 4
        assert weft.grad(lambda x: x * x)(scalar(1)).item() == 2


class TestNested:
    def test_orders(self):
        f, x = lambda x: x**5, scalar(2)
        for expected in (32, 80, 160, 240, 240, 120, 0):
            assert f(x).item() == expected
            f = weft.grad(f)

    def test_third_derivative_of_many_functions(self):
        x = scalar(0.3)
        third = lambda f: weft.grad(weft.grad(weft.grad(f)))(x).item()
        assert third(weft.exp) == pytest.approx(np.exp(0.3))
        assert third(weft.sin) == pytest.approx(-np.cos(0.3))
        assert third(weft.log) == pytest.approx(2 / 0.3**3)
        t = np.tanh(0.3)
        assert third(weft.tanh) == pytest.approx((1 - t**2) * (6 * t**2 - 2))
        assert third(lambda x: 1 / x) == pytest.approx(-6 / 0.3**4)
        assert third(lambda x: x.reshape((1, 1)).sum() * weft.stack([x, x])[0] * x) == pytest.approx(6)

    def test_hessian_vector_product_both_ways(self):
        rng = np.random.default_rng(0)
        a, x, v = (weft.asarray(rng.standard_normal(s)) for s in ((4, 4), 4, 4))
        f = lambda x: weft.exp(a @ x * 0.3).sum()
        e = np.exp(a.numpy() @ x.numpy() * 0.3) * 0.09
        expected = a.numpy().T @ (e[:, None] * a.numpy()) @ v.numpy()
        got = weft.grad(lambda x: (weft.grad(f)(x) * v).sum())(x)
        np.testing.assert_allclose(got.numpy(), expected)
        x.requires_grad_()
        (weft.grad(f)(x) * v).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), expected)

    def test_inner_function_uses_the_outer_argument(self):
        """d/dx of (d/dy x² y³ at y = 2) = 2x · 3y²: neither derivative may take the other's variable for its own."""
        y = scalar(2)
        assert weft.grad(lambda x: weft.grad(lambda y: x * x * y**3)(y))(scalar(5)).item() == 120
        assert weft.grad(lambda x: x * weft.grad(lambda y: x + y)(y))(scalar(5)).item() == 1
        assert weft.grad(lambda x: x * weft.grad(lambda y: x * y)(x))(scalar(5)).item() == 10

    def test_three_levels_use_each_other(self):
        """∂³/∂x∂y∂z of x²y²z² = 8xyz, each variable seen by the functions inside."""
        point = scalar(2)
        inner = lambda x, y: weft.grad(lambda z: (x * y * z) ** 2)(point)
        got = weft.grad(lambda x: weft.grad(lambda y: inner(x, y))(point))(scalar(3))
        assert got.item() == 8 * 3 * 2 * 2

    def test_mixed_derivative_matrix(self):
        w, x = vector(1, 2, 3), vector(0.1, -0.2, 0.3)
        f = lambda w, x: weft.tanh((w * x).sum())
        got = weft.grad(lambda w: (weft.grad(f, 1)(w, x) * vector(1, 0, 2)).sum())(w).numpy()
        s = float((w.numpy() * x.numpy()).sum())
        t = np.tanh(s)
        d1, d2 = 1 - t * t, -2 * t * (1 - t * t)
        v = np.array([1, 0, 2])
        np.testing.assert_allclose(got, d1 * v + d2 * x.numpy() * (w.numpy() @ v))

    def test_in_place_inside(self):
        def f(x):
            acc = weft.zeros(2, dtype=weft.float64)
            acc[0] = x
            acc += x * x
            acc[1] *= x
            return acc.sum()  # x + x² + x³

        assert weft.grad(f)(scalar(3)).item() == 1 + 6 + 27
        assert weft.grad(weft.grad(f))(scalar(3)).item() == 2 + 18
        assert weft.grad(weft.grad(weft.grad(f)))(scalar(3)).item() == 6

    def test_values_pass_through(self):
        def outer(x):
            value, slope = weft.value_and_grad(lambda y: x * y * y)(scalar(3))
            return value * slope  # 9x · 6x

        assert weft.value_and_grad(outer)(scalar(2))[0].item() == 216
        assert weft.grad(outer)(scalar(2)).item() == 216


class TestWithBackward:
    """`backward` through what `grad` returned: penalties on gradients, meta-learning."""

    def test_tensor_that_the_function_uses(self):
        w = tracked(3)
        slope = weft.grad(lambda x: w * w * x**3)(scalar(2))
        assert slope.item() == 108
        assert slope.requires_grad
        (slope * 2).backward()
        assert w.grad.item() == 2 * 2 * 3 * 12

    def test_argument_that_requires_grad(self):
        x = tracked(2)
        value, slope = weft.value_and_grad(lambda x: x**3)(x)
        (value + 10 * slope).backward()
        assert x.grad.item() == 12 + 10 * 12

    def test_result_of_an_operation(self):
        """Gradients go on from there; what lies below is not computed twice, nor freed too early."""
        w = tracked(3)
        z = w * 2
        slope = weft.grad(lambda x: z * x * x)(scalar(5))
        (slope + z).backward()
        assert w.grad.item() == 20 + 2

    def test_operations_on_such_tensors_inside(self):
        w, v = tracked(3), tracked(2)
        slope = weft.grad(lambda x: (w * v) * x * (w * w))(scalar(5))
        slope.backward()
        assert (w.grad.item(), v.grad.item()) == (3 * 9 * 2, 27)

    def test_value_alone_depends_on_it(self):
        w = tracked(3)
        value, slope = weft.value_and_grad(lambda x: w * w + x)(scalar(1))
        value.backward()
        assert (w.grad.item(), slope.item()) == (6, 1)

    def test_function_that_ignores_its_argument(self):
        w = tracked(3)
        value, slope = weft.value_and_grad(lambda x: w)(scalar(1))
        assert slope.item() == 0
        (value * 2).backward()
        assert w.grad.item() == 2

    def test_gradient_penalty(self):
        """(|∇ₓ D(x)| − 1)² for D(x) = tanh(w·x), against its derivative written out."""
        w = weft.Parameter(np.array([0.5, -1.0, 0.25]))
        x = vector(1, 2, 3)
        g = weft.grad(lambda x: weft.tanh((w * x).sum()))(x)
        loss = (weft.sqrt((g * g).sum()) - 1) ** 2
        loss.backward()
        wn, xn = w.detach().numpy(), x.numpy()
        t = np.tanh(wn @ xn)
        d1, d2, norm = 1 - t * t, -2 * t * (1 - t * t), np.linalg.norm(wn)
        expected = 2 * (d1 * norm - 1) * (d2 * norm * xn + d1 * wn / norm)
        np.testing.assert_allclose(w.grad.numpy(), expected)

    def test_twice_with_retain_graph(self):
        w = tracked(3)
        slope = weft.grad(lambda x: w * x)(scalar(1))
        slope.backward(retain_graph=True)
        slope.backward()
        assert w.grad.item() == 2
        with pytest.raises(RuntimeError, match="freed"):
            slope.backward()

    def test_function_is_called_again_only_if_asked(self):
        calls = []
        w = tracked(3)

        def f(x):
            calls.append(weft.rand(2).tolist())
            return w * x * weft.rand(1).sum()

        state = weft.default_generator.get_state()
        slope = weft.grad(f)(scalar(1))
        assert len(calls) == 1
        after = weft.default_generator.get_state()
        slope.backward()
        assert len(calls) == 2
        assert calls[0] == calls[1]  # the random numbers are replayed,
        assert weft.default_generator.get_state() == after != state  # and the stream goes on where it was
        assert w.grad.item() == pytest.approx(slope.item() / 3)

    def test_plain_arrays_do_the_work(self):
        """The outermost `grad` does not nest: the replacements for this device run."""
        calls = []
        own = weft.sum.impls["cpu"]
        weft.sum.impls["cpu"] = lambda x, **kw: (calls.append(type(x)), own(x, **kw))[1]
        try:
            weft.value_and_grad(lambda x, w: (x * w).sum())(vector(1, 2), tracked(3, 4))
        finally:
            weft.sum.impls["cpu"] = own
        assert calls == [np.ndarray]

    def test_inside_an_outer_grad(self):
        w = tracked(3)
        outer = weft.grad(lambda y: weft.grad(lambda x: w * x * x * y)(y))  # d/dy 2wy² = 4wy
        got = outer(scalar(5))
        assert got.item() == 60
        got.backward()
        assert w.grad.item() == 20


class Moves(nn.Module):
    """Changes what it reads: a buffer in place, or for another; a number."""

    def __init__(self, how):
        super().__init__()
        self.how, self.k = how, 1
        self.register_buffer("n", weft.ones(()))

    def forward(self, x, w):
        with weft.no_grad():
            if self.how == "in place":
                self.n += 1
            elif self.how == "rebound":
                self.n = self.n + 1
            elif self.how == "counter":
                self.k += 1
        return w * x * self.n * self.k


@pytest.mark.parametrize("device", ["cpu", "emulator"])
@pytest.mark.parametrize("how", ["in place", "rebound", "counter", "not"])
def test_what_checkpoint_cannot_compute_again(how, device):
    with weft.device(device):
        x, w, f = tracked(2.0, 3.0), tracked(1.0, 1.0), Moves(how)
        y = weft.checkpoint(f, x, w)
        if how == "not":
            y.sum().backward()
            assert (x.grad.tolist(), w.grad.tolist()) == ([1, 1], [2, 3])
        elif device == "cpu":
            with pytest.raises(RuntimeError, match="`checkpoint` gave something else when it was called again"):
                y.sum().backward()
        else:
            y.sum().backward()
            assert weft.isnan(x.grad).all()
            assert weft.isnan(w.grad).all()
        y = weft.checkpoint(Moves("not"), x, w)
        with weft.no_grad():
            y.fill_(7)  # nothing needs it
        y.sum().backward()


class TestCheckpoint:
    @staticmethod
    def block(x, w):
        return weft.tanh(weft.tanh(x * w) * w + x)

    def gradients(self, run):
        x, w = tracked(0.3, -0.2), tracked(1.5, 0.5)
        run(x, w).sum().backward()
        return x.grad.tolist(), w.grad.tolist()

    def test_same_gradients(self):
        plain = self.gradients(self.block)
        assert self.gradients(functools.partial(weft.checkpoint, self.block)) == plain
        assert self.gradients(lambda x, w: weft.checkpoint(lambda x: self.block(x, w), x)) == plain  # w only used
        assert self.gradients(lambda x, w: weft.checkpoint(lambda: self.block(x, w))) == plain  # no argument at all

    def test_of_results(self):
        """Arguments and captured tensors that are not leaves."""
        run = lambda keep: lambda x, w: keep(lambda t: self.block(t, w * 2) + (w * 3), x * x)
        expected = self.gradients(run(lambda f, t: f(t)))
        assert self.gradients(run(weft.checkpoint)) == expected

        def captured(keep):
            def f(x, w):
                z = w * 2
                return keep(lambda t: t * z, x) + z

            return f

        assert self.gradients(captured(weft.checkpoint)) == self.gradients(captured(lambda f, t: f(t)))

    def test_in_a_chain_and_in_one_another(self):
        def chain(keep):
            def run(x, w):
                for _ in range(4):
                    x = keep(lambda x: keep(self.block, x, w) * w, x)
                return x

            return run

        np.testing.assert_allclose(
            self.gradients(chain(weft.checkpoint)), self.gradients(chain(lambda f, *args: f(*args))), rtol=1e-14
        )

    def test_randomness_is_replayed(self):
        def dropped(x):
            return x * (weft.rand(1000) < 0.5)

        x = weft.ones(1000, requires_grad=True)
        y = weft.checkpoint(dropped, x)
        after = weft.rand(3).tolist()
        y.sum().backward()
        assert x.grad.tolist() == y.tolist()
        weft.manual_seed(0)
        assert dropped(weft.ones(1000)).tolist() == y.tolist()
        assert weft.rand(3).tolist() == after

    def test_parameters_inside(self):
        p = weft.Parameter(np.array([2.0, 3.0], np.float32))
        p._grad_view = np.full(2, np.nan, np.float32)
        for _ in range(2):
            weft.checkpoint(lambda x: (x * p).sum(), weft.tensor([5.0, 7.0])).backward()
        assert p.grad.data is p._grad_view
        assert p.grad.tolist() == [10, 14]

    def test_memory_is_not_kept(self):
        made = []

        def f(x):
            for _ in range(5):
                x = weft.exp(x * 0.5)
                made.append(weakref.ref(x.data))
            return x

        x = tracked(0.1, 0.2)
        y = weft.checkpoint(f, x)
        gc.collect()
        assert [ref() is not None for ref in made] == [False] * 4 + [True]
        assert len(made) == 5
        y.sum().backward()
        assert len(made) == 10
        plain = f(tracked(0.1, 0.2))
        assert all(ref() is not None for ref in made[10:])
        del plain

    def test_several_outputs(self):
        x = tracked(1, 2)
        head, (rest, count) = (lambda out: (out[0], out[1:]))(
            weft.checkpoint(lambda x: (x * 2, x * x, weft.argmax(x)), x)
        )
        assert count.item() == 1
        assert not count.requires_grad
        (head * rest).sum().backward()
        assert x.grad.tolist() == [6, 24]

    def test_untracked(self):
        y = weft.checkpoint(lambda x: x * 2, vector(1, 2))
        assert not y.requires_grad
        with weft.no_grad():
            assert not weft.checkpoint(lambda x: x * 2, tracked(1, 2)).requires_grad

    def test_that_returns_its_argument(self):
        x = tracked(3)
        (weft.checkpoint(lambda x: x, x) * 2).backward()
        assert x.grad.item() == 2

    def test_inside_grad(self):
        w = scalar(3)
        f = lambda w: (
            weft.checkpoint(lambda x: x * w * w, scalar(5)) + weft.checkpoint(lambda x, w: x * w, scalar(7), w)
        )
        assert weft.grad(f)(w).item() == 30 + 7
        assert weft.grad(weft.grad(f))(w).item() == 10

    def test_inside_grad_with_parameters(self):
        """A gradient penalty through a checkpointed network."""
        p = tracked(3)
        slope = weft.grad(lambda x: weft.checkpoint(lambda x: p * p * x**3, x))(scalar(2))
        assert slope.item() == 108
        slope.backward()
        assert p.grad.item() == 72

    def test_grad_inside(self):
        x = tracked(2)
        weft.checkpoint(lambda x: weft.grad(lambda y: y**3 * x)(x), x).backward()  # 3x²·x
        assert x.grad.item() == 36

    def test_grad_inside_inside_grad(self):
        f = lambda x: weft.checkpoint(lambda x: weft.grad(lambda y: y**3 * x)(x), x)
        assert weft.grad(f)(scalar(2)).item() == 36
        assert weft.grad(weft.grad(f))(scalar(2)).item() == 36

    def test_freed(self):
        x = tracked(2)
        y = weft.checkpoint(lambda x: x * x, x)
        y.backward(retain_graph=True)
        y.backward()
        assert x.grad.item() == 8
        with pytest.raises(RuntimeError, match="freed by an earlier backward"):
            y.backward()

    def test_long_chain_keeps_little(self):
        """√n checkpoints of √n steps: the peak of live arrays stays near 2√n instead of n."""
        live = itertools.count()
        peak, alive = 0, weakref.WeakSet()

        def step(x):
            nonlocal peak
            y = weft.sin(x)
            alive.add(y)
            peak = max(peak, len(alive))
            next(live)
            return y

        def ten(x):
            for _ in range(10):
                x = step(x)
            return x

        y = tracked(0.1, 0.2)
        for _ in range(10):
            y = weft.checkpoint(ten, y)
        y.sum().backward()
        assert next(live) == 200
        assert peak < 40


@pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")
@pytest.mark.parametrize(
    "f",
    [
        lambda x: F.conv2d(x, x[:2], padding=1),
        lambda x: F.conv_transpose2d(x, x, stride=2),
        lambda x: F.max_pool2d(x, 2),
        lambda x: F.avg_pool2d(x, 2, padding=1),
        lambda x: F.adaptive_avg_pool2d(x, 3),
        lambda x: F.layer_norm(x, x.shape[-1:]),
        lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True),
    ],
)
def test_second_derivatives_stay_on_the_device(f, rng):
    """What a derivative's derivative creates belongs where the tensors are, whatever the default device is."""
    x = rng.standard_normal((3, 3, 4, 4)).astype(np.float32)

    def twice(device):
        slope = weft.grad(lambda x: weft.sum(f(x) ** 3))
        return weft.grad(lambda x: weft.sum(slope(x) ** 2))(weft.asarray(x, device=device)).numpy()

    expected = twice("cpu")
    np.testing.assert_allclose(twice("emulator"), expected, atol=1e-5 * np.abs(expected).max())
    with weft.device("emulator"):
        np.testing.assert_array_equal(twice("cpu"), expected)


@pytest.mark.parametrize("device", [d for d in weft.devices() if d in ("cpu", "emulator")])
class TestEffectsOfComputingAgain:
    @pytest.mark.parametrize("momentum", [0.1, None])
    @pytest.mark.parametrize("layer", [nn.BatchNorm1d, nn.InstanceNorm1d])
    @pytest.mark.parametrize("how", ["checkpoint", "twice inside one another", "grad"])
    def test_running_statistics_move_once(self, device, layer, momentum, how):
        x = np.random.default_rng(0).standard_normal((4, 3, 5)).astype(np.float32)

        def run(wrap):
            norm = layer(3, momentum=0.1 if layer is nn.InstanceNorm1d else momentum, track_running_stats=True).to(
                device
            )
            for _ in range(2):
                y = wrap(norm)(weft.tensor(x, device=device, requires_grad=True))
                (y * y).sum().backward()
            return {name: t.tolist() for name, t in norm.state_dict().items()}

        wraps = {
            "checkpoint": lambda f: lambda x: weft.checkpoint(f, x),
            "twice inside one another": lambda f: lambda x: weft.checkpoint(lambda x: weft.checkpoint(f, x), x),
            "grad": lambda f: weft.grad(lambda x: (f(x) ** 3).sum()),
        }
        assert run(wraps[how]) == run(lambda f: f)
