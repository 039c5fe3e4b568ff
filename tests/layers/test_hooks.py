"""Hooks against what PyTorch's documentation says of forward hooks and pre-hooks."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.layers.hooks import RemovableHandle


class Shifted(nn.Module):
    def forward(self, x, *, shift=0.0):
        return x + shift


class TestHooks:
    def test_forward_hook_sees_and_replaces(self):
        net, seen = nn.Linear(2, 1), []
        first = net.register_forward_hook(lambda module, args, output: seen.append((module, args, output)))
        x = weft.ones((1, 2))
        y = net(x)
        assert seen[0][0] is net
        assert seen[0][1] == (x,)
        assert seen[0][2] is y
        second = net.register_forward_hook(lambda module, args, output: output * 2)
        np.testing.assert_allclose(net(x).detach().numpy(), 2 * y.detach().numpy())
        second.remove()
        second.remove()
        np.testing.assert_array_equal(net(x).detach().numpy(), y.detach().numpy())
        first.remove()
        assert net._hooks is None

    def test_pre_hook_replaces_arguments(self):
        net = nn.Identity()
        with net.register_forward_pre_hook(lambda module, args: args[0] + 1):
            assert net(weft.tensor([1.0])).tolist() == [2.0]
        assert net(weft.tensor([1.0])).tolist() == [1.0]
        net.register_forward_pre_hook(lambda module, args: (args[0] * 3,))
        assert net(weft.tensor([1.0])).tolist() == [3.0]

    def test_order_and_prepend(self):
        net, order = nn.Identity(), []
        net.register_forward_hook(lambda *_: order.append("second"))
        net.register_forward_hook(lambda *_: order.append("first"), prepend=True)
        net.register_forward_pre_hook(lambda *_: order.append("before"))
        net(1)
        assert order == ["before", "first", "second"]

    def test_with_kwargs(self):
        net, seen = Shifted(), []
        net.register_forward_pre_hook(lambda m, args, kwargs: (args, {"shift": kwargs["shift"] + 1}), with_kwargs=True)
        net.register_forward_hook(lambda m, args, kwargs, output: seen.append(kwargs), with_kwargs=True)
        net(weft.ones((1, 2)), shift=1.0)
        assert seen == [{"shift": 2.0}]
        net.register_forward_pre_hook(lambda m, args, kwargs: args, with_kwargs=True)
        with pytest.raises(RuntimeError, match=r"must return None or \(args, kwargs\)"):
            net(weft.ones((1, 2)), shift=1.0)

    def test_the_handle(self):
        assert isinstance(nn.ReLU().register_forward_hook(print), RemovableHandle)


class Two(nn.Module):
    """Several inputs, one of them no Tensor, and several outputs."""

    def forward(self, x, factor, y):
        return {"a": x * factor, "b": x * y, "c": None}


class TestBackwardHooks:
    def test_sees_and_replaces_the_gradients_of_inputs(self):
        net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
        x = weft.asarray(np.array([[0.5, -1.0]], np.float32)).requires_grad_()
        net(x).sum().backward()
        plain, seen = [p.grad.numpy().copy() for p in (x, *net.parameters())], []
        for p in (x, *net.parameters()):
            p.grad = None
        net[1].register_full_backward_hook(lambda m, gi, go: seen.append((m, gi, go)) or tuple(2 * g for g in gi))
        net(x).sum().backward()
        doubled = [x.grad, net[0].weight.grad, net[0].bias.grad]
        for g, p in zip(doubled, plain[:3]):
            np.testing.assert_allclose(g.numpy(), 2 * p, rtol=1e-6)
        np.testing.assert_allclose(net[2].weight.grad.numpy(), plain[3], rtol=1e-6)
        (module, (grad_input,), (grad_output,)) = seen[0]
        assert module is net[1]
        np.testing.assert_allclose(grad_output.numpy(), net[2].weight.detach().numpy(), rtol=1e-6)
        np.testing.assert_allclose((grad_input @ net[0].weight.detach()).numpy(), plain[0], rtol=1e-6)

    def test_several_inputs_and_outputs(self):
        x, y, seen = weft.tensor([2.0], requires_grad=True), weft.tensor([3.0]), []
        net = Two()
        net.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go)))
        out = net(x, 5.0, y)
        assert out["c"] is None
        (out["a"] + 10 * out["b"]).sum().backward()
        (grad_input, grad_output) = seen[0]
        assert [g if g is None else g.tolist() for g in grad_input] == [[35.0], None, None]
        assert [g if g is None else g.tolist() for g in grad_output] == [[1.0], [10.0], None]

    def test_inputs_without_gradients(self):
        net, seen = nn.Linear(2, 1), []
        net.register_full_backward_hook(lambda m, gi, go: seen.append((gi, [g.tolist() for g in go])))
        net(weft.ones((1, 2))).sum().backward()
        assert seen == [((None,), [[[1.0]]])]

    def test_pre_hook_replaces_the_gradients_of_outputs(self):
        x, order = weft.tensor([2.0], requires_grad=True), []
        net = nn.Identity()
        net.register_full_backward_hook(lambda m, gi, go: order.append(("after", go[0].item())))
        net.register_full_backward_pre_hook(lambda m, go: order.append("second"))
        handle = net.register_full_backward_pre_hook(lambda m, go: (go[0] * 4,), prepend=True)
        net(x).sum().backward()
        assert x.grad.tolist() == [4.0]
        handle.remove()
        net(x).sum().backward()
        assert x.grad.tolist() == [5.0]
        assert order == ["second", ("after", 4.0), "second", ("after", 1.0)]
        with weft.no_grad():
            net(x)

    def test_a_wrong_replacement(self):
        net, x = nn.Identity(), weft.ones(2, requires_grad=True)
        net.register_full_backward_hook(lambda m, gi, go: (gi[0].sum(),))
        with pytest.raises(RuntimeError, match=r"like `grad_input`, of shapes \[\(2,\)\], got \[\(\)\]"):
            net(x).sum().backward()
