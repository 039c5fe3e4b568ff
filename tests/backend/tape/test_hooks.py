"""Hooks of gradients against what PyTorch's documentation says of them, with gradients worked out by hand."""

import gc

import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.backend.tape import autograd


def leaf(*values):
    return weft.tensor(list(values), requires_grad=True)


class TestRegisterHook:
    def test_of_a_leaf_sees_the_sum_once_and_replaces_it(self):
        x, seen = leaf(1.0, 2.0), []
        x.register_hook(lambda g: seen.append(g.tolist()))
        x.register_hook(lambda g: g * 10)
        (x * x + x * 3).sum().backward()
        assert seen == [[5.0, 7.0]]
        assert x.grad.tolist() == [50.0, 70.0]
        x.sum().backward()
        assert x.grad.tolist() == [60.0, 80.0]

    def test_of_a_result_whenever_it_was_registered(self):
        x = leaf(1.0, 2.0)
        y = x * 3
        z = y * y + y  # recorded before the hook was there
        handle = y.register_hook(lambda g: g * 2)
        z.sum().backward(retain_graph=True)
        assert x.grad.tolist() == [3 * 2 * 7.0, 3 * 2 * 13.0]
        handle.remove()
        handle.remove()
        x.grad = None
        z.sum().backward()
        assert x.grad.tolist() == [21.0, 39.0]

    def test_of_one_output_among_several_and_of_a_view(self):
        x = leaf(1.0, 2.0)
        a, b = x.split(1)
        a.register_hook(lambda g: g * 10)
        view = x[1:]
        view.register_hook(lambda g: g * 100)
        (a * a + b + view).sum().backward()
        assert x.grad.tolist() == [20.0, 101.0]

    def test_in_order_and_as_a_context(self):
        x, order = leaf(1.0), []
        with x.register_hook(lambda g: order.append("first")), x.register_hook(lambda g: order.append("second")):
            x.sum().backward()
        x.sum().backward()
        assert order == ["first", "second"]
        assert autograd.collect is None  # nobody pays for hooks that are gone

    def test_what_it_gets_is_its_own(self):
        x, kept = leaf(1.0, 2.0), []
        x.register_hook(kept.append)
        y = x * 1
        y.register_hook(kept.append)
        y.sum().backward()
        y = x * 2
        y.sum().backward()
        assert [g.tolist() for g in kept] == [[1.0, 1.0], [1.0, 1.0], [2.0, 2.0]]
        assert x.grad.tolist() == [3.0, 3.0]

    def test_parameters_in_an_arena(self):
        layer = nn.Linear(2, 1, bias=False)
        optimizer = optim.SGD(layer.parameters(), lr=1.0)
        nn.init.zeros_(layer.weight)
        layer.weight.register_hook(lambda g: g.clip(-1, 1))
        for _ in range(2):
            optimizer.zero_grad()
            x = weft.tensor([[3.0, 0.25]])
            (layer(x) + layer(x)).sum().backward()  # both write to where the optimizer wants it
            optimizer.step()
        assert layer.weight.tolist() == [[-2.0, -1.0]]

    def test_a_leaf_that_is_gone(self):
        x = leaf(1.0)
        x.register_hook(print)
        del x
        gc.collect()
        assert autograd.collect is None

    def test_within_weft_grad(self):
        def f(x):
            y = x * 3
            y.register_hook(lambda g: g * 2)
            return (y * y).sum()

        assert weft.grad(f)(weft.tensor([1.0])).tolist() == [36.0]
        assert weft.grad(lambda x: weft.grad(f)(x).sum())(weft.tensor([1.0])).tolist() == [36.0]

    def test_errors(self):
        x = leaf(1.0, 2.0)
        with pytest.raises(RuntimeError, match="hooks need a tensor that requires grad"):
            weft.ones(2).register_hook(print)
        with pytest.raises(TypeError, match="`hook` must be a function of the gradient, got 3"):
            x.register_hook(3)
        with x.register_hook(lambda g: 3), pytest.raises(TypeError, match="must return a Tensor or None, got int"):
            x.sum().backward()
        with x.register_hook(lambda g: g.sum()), pytest.raises(RuntimeError, match=r"of shape \(2,\).*got \(\)"):
            x.sum().backward()
        y = x * 2
        y.sum().backward()
        with pytest.raises(RuntimeError, match="record of `multiply` was freed"):
            y.register_hook(print)

    def test_a_captured_step_runs_as_usual(self):
        x = weft.tensor([1.0], device="emulator", requires_grad=True)
        x.register_hook(lambda g: g * 2)

        @weft.capture
        def step(scale):
            x.grad = None
            (x * scale).sum().backward()
            return x.grad * 1

        with pytest.warns(RuntimeWarning, match="it calls hooks, which a replay would not"):
            found = [step(weft.tensor([float(i)], device="emulator")).item() for i in range(5)]
        assert found == [0.0, 2.0, 4.0, 6.0, 8.0]


class TestRetainGrad:
    def test_a_result_keeps_what_the_hooks_make_of_it(self):
        x = leaf(1.0, 2.0)
        y = x * 3
        y.retain_grad()
        y.retain_grad()
        y.register_hook(lambda g: g * 2)
        (y * y).sum().backward(retain_graph=True)
        assert y.grad.tolist() == [12.0, 24.0]
        x.retain_grad()  # a leaf has its gradient anyway
        with pytest.raises(RuntimeError, match="`retain_grad` needs a tensor that requires grad"):
            weft.ones(2).retain_grad()


class TestPostAccumulateGradHook:
    def test_sees_the_leaf_with_its_gradient(self):
        x, seen = leaf(1.0, 2.0), []
        handle = x.register_post_accumulate_grad_hook(lambda x: seen.append(x.grad.tolist()))
        (x * x).sum().backward()
        x.sum().backward()
        handle.remove()
        x.sum().backward()
        assert seen == [[2.0, 4.0], [3.0, 5.0]]
        with pytest.raises(RuntimeError, match="needs a leaf, got a result"):
            (x * 2).register_post_accumulate_grad_hook(print)
        with pytest.raises(TypeError, match="`hook` must be a function of the tensor, got 3"):
            x.register_post_accumulate_grad_hook(3)
