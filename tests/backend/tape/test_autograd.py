"""The tape: graphs of every shape against derivatives worked out by hand; what is kept, freed, refused, replaced."""

import gc
import inspect
import threading
import warnings
import weakref

import harness  # noqa: F401  (registers the device "strict")
import numpy as np
import pytest

import weft
from weft.backend.tape import autograd
from weft.backend.tape.autograd import PRIMITIVES, primitive


@pytest.fixture
def toys():
    """Primitives defined in a test: off the list of the library's own afterwards."""
    before = dict(PRIMITIVES)
    yield primitive
    PRIMITIVES.clear()
    PRIMITIVES.update(before)


def leaf(*values):
    return weft.asarray(np.array(values if len(values) != 1 else values[0], dtype=float)).requires_grad_()


class TestGraphs:
    def test_shared_subexpression(self):
        x = leaf(3)
        y = x * x
        (y * y + y).backward()  # x⁴ + x²
        assert x.grad.item() == 4 * 27 + 6

    def test_diamond_of_unequal_arms(self):
        x = leaf(2)
        long = ((x * 3) ** 2) * 5
        short = x * 7
        (long * short).backward()  # 315 x³
        assert x.grad.item() == 945 * 4

    def test_leaf_used_many_times(self):
        x = leaf(1.5)
        sum([x * k for k in range(10)], x * 0).backward()
        assert x.grad.item() == 45

    def test_one_tensor_as_both_arguments(self):
        for f, slope in ((weft.multiply, 6), (weft.add, 2), (weft.subtract, 0), (weft.divide, 0), (weft.matmul, 6)):
            x = leaf([3.0])
            f(x, x).sum().backward()
            assert x.grad.tolist() == [slope]

    def test_a_leaf_is_its_own_root(self):
        x = leaf(2)
        x.backward()
        x.backward(weft.tensor(3.0))
        assert x.grad.item() == 4

    def test_branches_that_nothing_uses_cost_nothing(self, toys):
        @toys
        def broken(xp, x, /):
            def pull(g):
                raise AssertionError("visited")

            return x, (pull,)

        x = leaf(1)
        y = x * 2
        broken(y)
        y.backward()
        assert x.grad.item() == 2

    def test_deep_graph_does_not_recurse(self):
        x = leaf(1)
        y = x
        for _ in range(10_000):
            y = y + x
        y.backward()
        assert x.grad.item() == 10_001
        del y  # nor does its destruction

    def test_wide_graph(self):
        x = leaf(1)
        weft.stack([x * k for k in range(2000)]).sum().backward()
        assert x.grad.item() == 1999 * 1000

    def test_several_roots_share_a_trunk(self):
        x = leaf(2)
        trunk = x * x
        a, b = trunk * 3, trunk * 5
        a.backward(retain_graph=True)
        b.backward()
        assert x.grad.item() == 8 * 4


class TestAccumulation:
    def test_over_backwards(self):
        x = leaf(1, 2)
        for _ in range(3):
            (x * x).sum().backward()
        assert x.grad.tolist() == [6, 12]
        x.grad = None
        (x * x).sum().backward()
        assert x.grad.tolist() == [2, 4]

    def test_grad_is_not_an_alias(self):
        """of the gradient given, of another leaf's gradient, or of anything that later accumulation would change."""
        x, y, g = leaf(1, 2), leaf(3, 4), np.ones(2)
        (x + y).backward(g)
        (x + y).backward(g)
        assert x.grad.tolist() == y.grad.tolist() == [2, 2]
        assert g.tolist() == [1, 1]
        assert not np.shares_memory(x.grad.data, y.grad.data)

    def test_grad_of_joint_outputs_is_kept_where_it_is_nobody_else_s(self):
        kept = []

        @weft.primitive(returns=tuple)
        def pair(xp, x, y, /):
            def vjp(g, need, into):
                kept.append(g[0] * 2)
                return kept[-1], g[1]  # fresh, and passed through

            return (x * 2, y), vjp

        x, y, g = leaf(1, 2), leaf(3, 4), np.ones(2)
        first, second = pair(x, y)
        (first + second).backward(g)
        assert x.grad.tolist() == [2, 2]
        assert y.grad.tolist() == [1, 1]
        assert np.shares_memory(x.grad.data, kept[0])
        assert not np.shares_memory(y.grad.data, g)
        y.grad.data[...] = 5
        assert g.tolist() == [1, 1]

    def test_grad_has_the_leaf_s_dtype_and_shape(self):
        x = weft.ones((3, 1), requires_grad=True)
        (x * weft.asarray(np.ones((2, 1, 4)))).sum().backward()
        assert (x.grad.dtype, x.grad.shape, x.grad.requires_grad) == (weft.float32, (3, 1), False)
        assert x.grad.tolist() == [[8]] * 3

    def test_only_leaves_that_require_it(self):
        x, y = leaf(1), weft.asarray(np.array(2.0))
        z = x * y
        z.backward()
        assert y.grad is None
        assert z.grad is None


class TestBackward:
    def test_freed_record(self):
        x = leaf(1)
        y = x * x
        y.backward()
        with pytest.raises(
            RuntimeError,
            match=r"the record of `multiply` was freed by an earlier backward; call backward\(retain_graph=True\)",
        ):
            y.backward()

    def test_retain_graph(self):
        x = leaf(3)
        y = x * x
        y.backward(retain_graph=True)
        y.backward()
        assert x.grad.item() == 12

    def test_not_tracked(self):
        with pytest.raises(RuntimeError, match="`backward` needs a tensor computed from one with requires_grad=True"):
            weft.ones(()).backward()

    def test_needs_a_gradient_unless_scalar(self):
        x = leaf(1, 2)
        with pytest.raises(
            RuntimeError, match=r"`backward` without `grad` needs a tensor with one element, got shape \(2,\)"
        ):
            (x * 2).backward()
        (x * 2).backward(weft.asarray(np.array([1.0, 10.0])))
        assert x.grad.tolist() == [2, 20]
        (x[:1] * 3).backward()
        assert x.grad.tolist() == [5, 20]

    def test_shape_of_the_gradient(self):
        x = leaf(1, 2)
        with pytest.raises(ValueError, match=r"`grad` must have the tensor's shape \(2,\), got \(3,\)"):
            (x * 2).backward(weft.ones(3))

    def test_gradient_takes_the_tensor_s_dtype(self):
        x = leaf(1, 2)
        (x * 2).backward([1, 0.5])
        assert (x.grad.tolist(), x.grad.dtype) == ([2, 1], weft.float64)

    def test_under_no_grad(self):
        x = leaf(2)
        y = x * x
        with weft.no_grad():
            y.backward()
        assert x.grad.item() == 4


class TestModes:
    def test_no_grad(self):
        x = leaf(1)
        with weft.no_grad():
            assert not weft.is_grad_enabled()
            assert not (x * 2).requires_grad
            with weft.enable_grad():
                assert (x * 2).requires_grad
            assert not (x * 2).requires_grad
        assert (x * 2).requires_grad

    def test_generator_functions(self):
        @weft.no_grad()
        def steps():
            given = yield weft.is_grad_enabled()
            try:
                yield given, weft.is_grad_enabled()
            except KeyError:
                return weft.is_grad_enabled()

        started = steps()
        assert next(started) is False
        assert weft.is_grad_enabled()
        assert started.send(5) == (5, False)
        with pytest.raises(StopIteration) as end:
            started.throw(KeyError())
        assert end.value.value is False
        assert weft.is_grad_enabled()

    @pytest.mark.parametrize("decorate", [weft.no_grad, weft.no_grad()])
    def test_decorator(self, decorate):
        @decorate
        def f(x, *, k):
            """Twice."""
            return x * k

        assert not f(leaf(1), k=2).requires_grad
        assert not f(leaf(1), k=2).requires_grad
        assert f.__doc__ == "Twice."
        assert weft.is_grad_enabled()

    def test_enable_grad_as_decorator(self):
        with weft.no_grad():
            assert weft.enable_grad(lambda x: x * 2)(leaf(1)).requires_grad

    def test_one_context_entered_twice(self):
        mode = weft.no_grad()
        with mode, mode:
            pass
        assert weft.is_grad_enabled()

    def test_ends_with_an_exception(self):
        with pytest.raises(KeyError), weft.no_grad():
            raise KeyError
        assert weft.is_grad_enabled()

    def test_threads_have_their_own(self):
        found, inside, leave = [], threading.Event(), threading.Event()

        def other():
            with weft.no_grad():
                inside.set()
                leave.wait()
                found.append(weft.is_grad_enabled())

        thread = threading.Thread(target=other)
        thread.start()
        inside.wait()
        assert weft.is_grad_enabled()
        with weft.no_grad():
            fresh = threading.Thread(target=lambda: found.append(weft.is_grad_enabled()))
            fresh.start()
            fresh.join()
        leave.set()
        thread.join()
        assert found == [True, False]

    def test_nobody_looks_while_nothing_is_special(self):
        """The count of open blocks is 0 again after each of them, however it ends: then a thread's modes are not looked at."""

        def fail():
            assert autograd.special == 1
            raise KeyError

        for block in (weft.no_grad(), weft.enable_grad(), weft.autocast(), weft.autocast(enabled=False)):
            with pytest.raises(KeyError), block:
                fail()
            assert autograd.special == 0
        weft.grad(lambda x: weft.checkpoint(weft.exp, x))(leaf(1.0))
        with pytest.raises(TypeError):
            weft.grad(lambda x: weft.exp(x, 3))(leaf(1.0))
        assert autograd.special == 0

    def test_backward_in_threads(self):
        """Graphs of several threads at once, of one shared leaf each."""
        results = {}

        def work(k):
            x = leaf(k)
            y = x
            for _ in range(200):
                y = y + x * x
            y.backward()
            results[k] = x.grad.item()

        threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert results == {k: 1 + 400 * k for k in range(4)}


class TestDetach:
    def test_cuts_the_tape_and_shares_memory(self):
        x = leaf(1, 2)
        y = x * 3
        d = y.detach()
        assert d.data is y.data
        assert not d.requires_grad
        assert d.is_leaf
        (x * d).sum().backward()
        assert x.grad.tolist() == [3, 6]

    def test_writing_to_it_does_not_change_what_the_tape_kept(self):
        x = leaf(1, 2)
        y = weft.exp(x)
        expected = y.tolist()
        d = y.detach()
        d[0] = 100.0
        d *= 2
        assert d.tolist()[0] == 200
        y.sum().backward()
        assert x.grad.tolist() == expected

    def test_of_a_leaf_is_its_memory(self):
        p = weft.Parameter(weft.ones(2))
        p.detach()[:] = 5.0
        assert p.tolist() == [5, 5]


class TestMemory:
    def test_intermediates_go_while_backward_is_under_way(self, toys):
        alive = []

        class Kept:
            pass

        @toys
        def step(xp, x, /, *, k):
            kept = Kept()
            alive.append(weakref.ref(kept))

            def pull(g):
                assert kept is not None
                later = [
                    ref() is not None for ref in alive[k + 2 :]
                ]  # the one just before may still be in a local variable
                assert not any(later)
                return g

            return x, (pull,)

        y = leaf(1)
        for k in range(20):
            y = step(y, k=k)
        y.backward()
        del y
        assert not any(ref() for ref in alive)

    def test_graph_goes_with_its_result_without_the_collector(self):
        gc.disable()
        try:
            x = leaf(1, 2)
            y = weft.exp(x * 2)
            kept = weakref.ref(y)
            z = weft.checkpoint(lambda t: t * t, y).sum()
            value, slope = weft.value_and_grad(lambda t: (t * x).sum())(y)
            del y, z, value, slope
            assert kept() is None
        finally:
            gc.enable()

    def test_nothing_is_recorded_that_nobody_wants(self):
        y = weft.ones(2) * 2
        assert y._node is None
        with weft.no_grad():
            assert (leaf(1) * 2)._node is None


class TestPrimitive:
    def test_keyword_arguments_and_signature(self):
        assert (
            str(inspect.signature(weft.sum))
            == "(x: 'Any', /, *, axis: 'Axes' = None, dtype: 'DType' = None, keepdims: 'bool' = False) -> 'Tensor'"
        )
        assert '@primitive(precision="full")\ndef sum(xp: Any, x: Any, /' in inspect.getsource(weft.sum)
        assert weft.sum.__name__ == "sum"
        assert weft.sum.__doc__.startswith("Σ x over `axis`.")

    def test_raw_first_arguments_become_tensors(self):
        assert weft.exp(np.zeros(2)).tolist() == [1, 1]
        assert weft.exp(0.0).item() == 1
        assert isinstance(weft.add(1.0, weft.ones(2)), weft.Tensor)

    @pytest.mark.parametrize("bad", ["text", None, object()])
    def test_what_is_no_array(self, bad):
        with pytest.raises(
            TypeError, match=rf"`exp` needs a weft.Tensor \(weft.asarray makes one\), got {type(bad).__name__}"
        ):
            weft.exp(bad)
        with pytest.raises(TypeError, match=r"got nothing|positional argument"):
            weft.exp()

    def test_device_mismatch(self):
        with pytest.raises(
            ValueError, match=r"`matmul` needs tensors on one device, got strict and cpu; move one with .to\(\)"
        ):
            weft.ones((2, 2), device="strict") @ weft.ones((2, 2))

    def test_is_on_the_list(self, toys):
        @toys
        def my_own(xp, x, /):
            return x, None

        assert PRIMITIVES[f"{my_own.generic.__module__}.{my_own.generic.__qualname__}"] is my_own

    def test_joint_pullback_is_told_what_is_needed(self, toys):
        asked = []

        @toys
        def weigh(xp, x, w=None, b=None, /):
            def vjp(g, need, into):
                asked.append((list(need), [v is not None for v in into]))
                return g * w, g * x, None

            return x * w, vjp

        x, w = leaf(2), leaf(3)
        weigh(x, w.detach(), None).backward()
        weigh(x.detach(), w).backward()
        weigh(x, w, weft.asarray(1.0)).backward()
        assert asked == [
            ([True, False, False], [False] * 3),
            ([False, True], [False] * 2),
            ([True, True, False], [False] * 3),
        ]
        assert (x.grad.item(), w.grad.item()) == (6, 4)

    def test_pullbacks_of_unwanted_arguments_are_not_called(self, toys):
        def never(g):
            raise AssertionError("called")

        @toys
        def first(xp, x, y, /):
            return x + y, (lambda g: g, never)

        x = leaf(1)
        first(x, weft.asarray(np.array(2.0))).backward()
        assert x.grad.item() == 1

    def test_a_gradient_of_none_is_no_gradient(self, toys):
        @toys
        def stop(xp, x, /):
            return x, (lambda g: None,)

        x = leaf(1)
        (stop(x) + x * 2).backward()
        assert x.grad.item() == 2


class TestSeveralOutputs:
    @pytest.fixture
    def split(self, toys):
        @toys
        def split(xp, x, /):
            """Head, tail and an integer."""

            def vjp(g, need, into):
                assert g[2] is None
                return (xp.concat([g[0], g[1]]),)

            return (x[:1], x[1:], xp.argmax(x)), vjp

        return split

    def test_all_used(self, split):
        x = leaf(1, 2, 3)
        head, tail, position = split(x)
        assert not position.requires_grad
        (head.sum() * 5 + (tail * tail).sum()).backward()
        assert x.grad.tolist() == [5, 4, 6]

    def test_unused_ones_have_gradient_zero(self, split):
        x = leaf(1, 2, 3)
        split(x)[1].sum().backward()
        assert x.grad.tolist() == [0, 1, 1]

    def test_as_roots(self, split):
        x = leaf(1, 2, 3)
        head, tail, _ = split(x)
        head.backward(retain_graph=True)
        tail.backward(weft.ones(2, dtype=weft.float64))
        assert x.grad.tolist() == [1, 1, 1]
        with pytest.raises(RuntimeError, match="the record of `split` was freed"):
            head.backward()

    def test_tuple_pullbacks_get_the_tuple(self, toys):
        @toys
        def both(xp, x, y, /):
            return (x * y, x + y), (lambda g: g[0] * y + g[1], lambda g: g[0] * x + g[1])

        x, y = leaf(2), leaf(3)
        p, s = both(x, y)
        (p * 10 + s).backward()
        assert (x.grad.item(), y.grad.item()) == (31, 21)

    def test_named_tuples_and_second_derivative(self, toys):
        from collections import namedtuple

        Powers = namedtuple("Powers", "square cube")

        @toys
        def powers(xp, x, /):
            return Powers(x * x, x * x * x), (lambda g: g[0] * 2 * x + g[1] * 3 * x * x,)

        got = powers(leaf(2))
        assert type(got) is Powers
        assert got.cube.item() == 8
        f = lambda x: powers(x).square * powers(x).cube
        assert weft.grad(f)(weft.asarray(np.array(2.0))).item() == 5 * 16
        assert weft.grad(weft.grad(f))(weft.asarray(np.array(2.0))).item() == 20 * 8


class TestReplacements:
    @pytest.fixture
    def double(self, toys):
        @toys
        def double(xp, x, /):
            return x * 2, (lambda g: g * 2,)

        return double

    def test_runs_where_it_is_registered(self, double):
        @double.on("cpu")
        def _(x, /):
            return x + x, (lambda g: g * 100,)

        x = leaf(1)
        double(x).backward()
        assert x.grad.item() == 100
        y = weft.ones((), device="strict", requires_grad=True)
        double(y).backward()
        assert y.grad.item() == 2

    def test_by_kind_of_device(self, double, monkeypatch):
        from weft.backend.device import devices

        monkeypatch.setitem(devices._openers, "toy", lambda: np)
        monkeypatch.setitem(devices._opened, "toy:1", np)

        @double.on("toy")
        def _(x, /):
            return x * 7, None

        x = weft.ones(1)
        x.device = "toy:1"
        assert double(x).tolist() == [7]

    def test_not_implemented_falls_back_and_says_so(self, double, monkeypatch):
        @double.on("cpu")
        def _(x, /):
            return NotImplemented

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert double(weft.ones(2)).tolist() == [2, 2]
        monkeypatch.setattr(autograd, "report_fallbacks", True)
        with pytest.warns(UserWarning, match=r"`double` on cpu fell back to the generic form for \(float32\[2\]\)"):
            double(weft.ones(2))

    def test_derivatives_of_derivatives_use_the_generic_form(self, toys):
        @toys
        def cube(xp, x, /):
            return x * x * x, (lambda g: g * 3 * x * x,)

        calls = []

        @cube.on("cpu")
        def _(x, /):
            calls.append(type(x))
            return x**3, (lambda g: g * 3 * x**2,)

        assert weft.grad(cube)(leaf(2).detach()).item() == 12
        assert weft.grad(weft.grad(cube))(leaf(2).detach()).item() == 12
        assert calls == [np.ndarray]


class TestBfloat16:
    """Generic forms compute in float32 and round once."""

    @pytest.mark.parametrize("name", ["add", "subtract", "multiply", "negative", "divide"])
    def test_same_bits_as_float32_rounded(self, name, rng):
        raw = [rng.standard_normal((5, 3)).astype("f") for _ in range(3)]
        low = [weft.asarray(a).to(weft.bfloat16).requires_grad_() for a in raw]
        high = [t.detach().to(weft.float32).requires_grad_() for t in low]
        n = 1 if name == "negative" else 2
        results = [getattr(weft, name)(*t[:n]) for t in (low, high)]
        for y, t in zip(results, (low, high)):
            y.backward(t[2].detach())
        for a, b in zip((results[0], *(t.grad for t in low[:n])), (results[1], *(t.grad for t in high[:n]))):
            assert a.dtype == weft.bfloat16
            np.testing.assert_array_equal(a.detach().numpy(), b.detach().to(weft.bfloat16).numpy())

    def test_one_operation_where_that_is_all_the_same(self):
        if "emulator" not in weft.devices():
            pytest.skip("the emulator needs a C++ compiler")
        from weft.kernels import emulator

        x = weft.ones((3, 4), dtype=weft.bfloat16, device="emulator")
        for f, is_one in ((lambda: x + x, True), (lambda: -x, True), (lambda: x * x[0], False), (lambda: x * 2, False)):
            with emulator.capture() as graph:
                f()
            assert (len(graph.operations) == 1) == is_one


class TestArena:
    """Gradients that go straight to an optimizer's memory."""

    def parameter(self, *values):
        p = weft.Parameter(np.array(values, dtype=np.float32))
        p._grad_view = np.full(len(values), np.nan, np.float32)
        return p

    @pytest.fixture
    def scale(self, toys):
        """x w, which writes grad_w to where it is told; remembers what that was."""

        @toys
        def scale(xp, x, w, v=None, /):
            def vjp(g, need, into):
                scale.told.append(list(into))
                grad_w = np.multiply(g, x, out=into[1]) if need[1] else None
                grad_v = np.multiply(g, x, out=into[2]) if len(need) > 2 and need[2] else None
                return g * w, grad_w, grad_v

            return x * w if v is None else x * w + x * v, vjp

        scale.told = []
        return scale

    def test_written_to(self, scale):
        p, x = self.parameter(1, 2), weft.tensor([3.0, 4.0])
        scale(x, p).sum().backward()
        assert scale.told[0][1] is p._grad_view
        assert p.grad.data is p._grad_view
        assert p.grad.tolist() == [3, 4]

    def test_added_to_by_the_second_backward(self, scale):
        p, x = self.parameter(1, 2), weft.tensor([3.0, 4.0])
        for _ in range(3):
            scale(x, p).sum().backward()
        assert [t[1] is None for t in scale.told] == [False, True, True]
        assert p.grad.data is p._grad_view
        assert p.grad.tolist() == [9, 12]

    def test_tied_parameter(self, scale):
        p, x = self.parameter(1, 2), weft.tensor([3.0, 4.0])
        (scale(x, p) + scale(x * 2, p)).sum().backward()
        assert [t[1] is None for t in scale.told] == [False, True]
        assert p.grad.tolist() == [9, 12]

    def test_twice_in_one_operation(self, scale):
        p, x = self.parameter(1, 2), weft.tensor([3.0, 4.0])
        scale(x, p, p).sum().backward()
        assert scale.told[0][1] is p._grad_view
        assert scale.told[0][2] is None
        assert p.grad.data is p._grad_view
        assert p.grad.tolist() == [6, 8]

    def test_copied_where_the_pullback_does_not_write(self):
        p = self.parameter(1, 2)
        (p * p).sum().backward()
        assert p.grad.data is p._grad_view
        assert p.grad.tolist() == [2, 4]
        (p * 3).sum().backward()
        assert p.grad.tolist() == [5, 7]

    def test_a_new_step_overwrites(self, scale):
        p, x = self.parameter(1, 2), weft.tensor([3.0, 4.0])
        for _ in range(2):
            p.grad = None
            scale(x, p).sum().backward()
        assert p.grad.tolist() == [3, 4]
        assert all(t[1] is p._grad_view for t in scale.told)

    def test_weft_grad_leaves_it_alone(self, scale):
        p, x = self.parameter(1, 2), weft.tensor([3.0, 4.0])
        got = weft.grad(lambda p: scale(x, p).sum())(p)
        assert got.tolist() == [3, 4]
        assert p.grad is None
        assert np.isnan(p._grad_view).all()
        assert scale.told[0] == [None, None]
