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
