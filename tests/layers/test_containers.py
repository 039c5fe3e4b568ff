"""Containers against what PyTorch's documentation says of them."""

from collections import OrderedDict

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.backend.tape.autograd import Node


def names(module):
    return [name for name, _ in module.named_children()]


def operations(y):
    """The names of those that led to y, one after the other."""
    found, node = [], y._node
    while node is not None:
        found.insert(0, node.name)
        node = next((p for p in node.parents if isinstance(p, Node)), None)
    return found


class TestSequential:
    def test_applies_in_order(self):
        net = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Tanh())
        x = np.array([[[-1.0, 2.0]]], np.float32)
        np.testing.assert_allclose(net(weft.tensor(x)).numpy(), np.tanh([[0, 2.0]]), rtol=1e-6)
        assert nn.Sequential()(x) is x

    @pytest.mark.parametrize("bias", [False, True])
    @pytest.mark.parametrize("activation", [nn.ReLU(), nn.GELU("tanh"), nn.GELU()], ids=repr)
    def test_dense_layers_with_their_activations_are_one_operation(self, activation, bias):
        net = nn.Sequential(nn.Linear(4, 8, bias=bias), activation, nn.Linear(8, 3), nn.Linear(3, 5), activation)
        x = weft.randn(6, 4, requires_grad=True)
        y = net(x)
        fused = "none" not in repr(activation)
        assert operations(y) == (["linear"] * 3 if fused else ["linear", "gelu", "linear", "linear", "gelu"])
        y.sum().backward()
        found = [y, x.grad, *(p.grad for p in net.parameters())]
        net.zero_grad()
        x.grad, z = None, x
        for module in net:
            z = module(z)
        z.sum().backward()
        for a, b in zip(found, [z, x.grad, *(p.grad for p in net.parameters())], strict=True):
            assert a.detach().numpy().tobytes() == b.detach().numpy().tobytes()

    @pytest.mark.parametrize("which", [0, 1])
    def test_hooks_see_every_layer(self, which):
        net = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
        seen = []
        handle = net[which].register_forward_hook(lambda module, args, output: seen.append((args[0], output)))
        y = net(weft.randn(6, 4))
        assert operations(y) == ["linear", "relu"]
        ((given, output),) = seen
        assert given.shape == ((6, 8) if which else (6, 4))
        assert (output is y) == bool(which)
        handle.remove()
        assert operations(net(weft.randn(6, 4))) == ["linear"]

    @pytest.mark.parametrize("which", [0, 1])
    def test_a_forward_of_its_own_is_called(self, which):
        class Doubled(type(nn.Sequential(nn.Linear(4, 8), nn.ReLU())[which])):
            def forward(self, input):
                return super().forward(input) * 2

        net = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
        x = weft.randn(6, 4)
        twice = net(x).detach().numpy() * 2
        plain = net[which]
        plain.forward = lambda input: type(plain).forward(plain, input) * 2
        np.testing.assert_array_equal(net(x).detach().numpy(), twice)
        net[which] = special = Doubled(4, 8) if which == 0 else Doubled()
        if which == 0:
            special.load_state_dict(plain.state_dict())
        np.testing.assert_array_equal(net(x).detach().numpy(), twice)

    def test_gradient_of_the_gradient(self):
        net = nn.Sequential(nn.Linear(3, 8), nn.GELU("tanh"), nn.Linear(8, 1)).double()
        slope = weft.grad(lambda x: net(x).sum())
        x, d = weft.randn(3, dtype=weft.float64), weft.randn(3, dtype=weft.float64)
        found = (weft.grad(lambda x: (slope(x) * d).sum())(x) * d).sum().item()
        steps = [(slope(x + e * d) * d).sum().item() for e in (1e-5, -1e-5)]
        assert found == pytest.approx((steps[0] - steps[1]) / 2e-5, rel=1e-6)

    def test_names(self):
        net = nn.Sequential(OrderedDict([("first", nn.Linear(1, 2)), ("second", nn.ReLU())]))
        assert names(net) == ["first", "second"]
        assert net.first is net[0]
        assert list(net.state_dict()) == ["first.weight", "first.bias"]

    def test_is_a_list(self):
        a, b, c, d = nn.ReLU(), nn.Tanh(), nn.Sigmoid(), nn.ELU()
        net = nn.Sequential(a, b, c)
        assert len(net) == 3
        assert list(net) == [a, b, c]
        assert net[0] is a
        assert net[-1] is c
        assert list(net[1:]) == [b, c]
        assert isinstance(net[1:], nn.Sequential)
        assert list(net.append(d)) == [a, b, c, d]
        assert list(net.insert(1, d)) == [a, d, b, c, d]
        assert net.pop(1) is d
        net[0] = d
        assert list(net) == [d, b, c, d]
        del net[0]
        assert list(net) == [b, c, d]
        assert names(net) == ["0", "1", "2"]
        del net[:2]
        assert list(net) == [d]
        assert list(net.extend([a, b])) == [d, a, b]
        assert list(net + nn.Sequential(c)) == [d, a, b, c]

    def test_deleting_keeps_other_names(self):
        net = nn.Sequential({"a": nn.ReLU(), "b": nn.Tanh()})
        del net[0]
        assert names(net) == ["b"]

    def test_errors(self):
        with pytest.raises(TypeError, match="`Sequential` must be made of Modules, got function at '1'"):
            nn.Sequential(nn.ReLU(), nn.functional.relu)
        with pytest.raises(IndexError, match=r"`index` must be in \[-1, 1\), got 1"):
            nn.Sequential(nn.ReLU())[1]


class TestModuleList:
    def test_is_a_list_of_parts(self):
        layers = nn.ModuleList([nn.Linear(1, 1), nn.ReLU()])
        assert list(layers.state_dict()) == ["0.weight", "0.bias"]
        assert isinstance(layers[:1], nn.ModuleList)
        assert len(layers + [nn.ReLU()]) == 3
        assert len(nn.ModuleList()) == 0
        with pytest.raises(NotImplementedError, match="`ModuleList` must define forward"):
            layers(1)

    def test_repr_shows_equal_neighbours_once(self):
        text = repr(nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Tanh()]))
        assert text == "ModuleList(\n  (0-1): 2 x ReLU()\n  (2): Tanh()\n)"
        assert repr(nn.ModuleList()) == "ModuleList()"


class TestModuleDict:
    def test_is_a_dict_of_parts(self):
        relu, linear = nn.ReLU(), nn.Linear(1, 1)
        table = nn.ModuleDict({"relu": relu})
        table["linear"] = linear
        assert list(table) == ["relu", "linear"] == table.keys()
        assert table.values() == [relu, linear]
        assert table.items() == [("relu", relu), ("linear", linear)]
        assert "relu" in table
        assert "tanh" not in table
        assert len(table) == 2
        assert list(table.state_dict()) == ["linear.weight", "linear.bias"]
        assert table.pop("relu") is relu
        del table["linear"]
        table.update([("a", relu)])
        assert table["a"] is relu
        table.clear()
        assert len(table) == 0
        with pytest.raises(KeyError, match=r"`key` must be one of \[\], got 'a'"):
            table["a"]


class TestResidual:
    def test_adds_the_input_or_the_shortcut(self):
        x = weft.tensor([[-1.0, 2.0]])
        assert nn.Residual(nn.ReLU())(x).tolist() == [[-1.0, 4.0]]
        assert nn.Residual(nn.ReLU(), nn.Tanh())(weft.tensor([[0.0]])).tolist() == [[0.0]]

    def test_shapes_must_agree(self):
        with pytest.raises(
            ValueError, match=r"must give the shape of the module's output \(2, 1\), got \(2, 3\); pass one"
        ):
            nn.Residual(nn.Linear(3, 1))(weft.ones((2, 3)))


class TestFlatten:
    @pytest.mark.parametrize(
        ("args", "shape"), [((), (2, 60)), ((0,), (120,)), ((0, 1), (6, 4, 5)), ((-2, -1), (2, 3, 20))]
    )
    def test_shapes(self, args, shape):
        assert nn.Flatten(*args)(weft.ones((2, 3, 4, 5))).shape == shape

    def test_a_tensor_of_no_axes_has_no_axis_1(self):
        assert nn.Flatten(0)(weft.tensor(3.0)).shape == (1,)
        with pytest.raises(ValueError, match=r"`start_dim` must be an integer .*-1.*0.*, got 1"):
            nn.Flatten()(weft.tensor(3.0))


class TestUnflatten:
    @pytest.mark.parametrize(("dim", "size", "shape"), [(1, (3, 4), (2, 3, 4)), (-1, [2, -1, 2], (2, 2, 3, 2))])
    def test_shapes(self, dim, size, shape):
        assert nn.Unflatten(dim, size)(weft.ones((2, 12))).shape == shape

    @pytest.mark.parametrize("size", [(5, 2), (5, -1), (-1, -1)])
    def test_must_multiply_to_the_length(self, size):
        with pytest.raises(ValueError, match="`unflattened_size` must multiply to 12, the length of axis 1, got"):
            nn.Unflatten(1, size)(weft.ones((2, 12)))


def test_identity_takes_anything():
    x = object()
    assert nn.Identity(3, unused=True)(x) is x
