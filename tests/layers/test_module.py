"""Module against what PyTorch's documentation promises of torch.nn.Module."""

import copy
import pickle

import harness  # noqa: F401  (registers the device "strict")
import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim


class Inner(nn.Module):
    def __init__(self):
        self.child = nn.Linear(2, 2, bias=False)
        self.register_buffer("count", weft.tensor(0))
        self.register_buffer("cache", weft.zeros(2), persistent=False)
        self.scale = weft.Parameter([1.0, 2.0])

    def forward(self, x, *, shift=0.0):
        return self.child(x) * self.scale + shift


class Outer(nn.Module):
    """The child is assigned before the parameters: state_dict order must not be that of assignment."""

    def __init__(self):
        super().__init__()
        self.inner = Inner()
        self.bias = weft.Parameter([0.5])
        self.missing = None
        self.plain = weft.zeros(3)

    def forward(self, x):
        return self.inner(x) + self.bias


class TestModule:
    def test_forward_must_be_defined(self):
        class Empty(nn.Module):
            pass

        with pytest.raises(NotImplementedError, match="`Empty` must define forward"):
            Empty()(1)

    def test_state_dict_has_parameters_then_buffers_then_children(self):
        assert list(Outer().state_dict()) == ["bias", "inner.scale", "inner.count", "inner.child.weight"]

    def test_named_parameters_and_buffers(self):
        net = Outer()
        assert [name for name, _ in net.named_parameters()] == ["bias", "inner.scale", "inner.child.weight"]
        assert [name for name, _ in net.named_parameters(prefix="net", recurse=False)] == ["net.bias"]
        assert [name for name, _ in net.named_buffers()] == ["inner.count", "inner.cache"]
        assert [p is q for p, q in zip(net.parameters(), [net.bias, net.inner.scale])] == [True, True]
        assert len(list(net.buffers())) == 2

    def test_named_modules_and_children(self):
        net = Outer()
        assert [name for name, _ in net.named_modules()] == ["", "inner", "inner.child"]
        assert list(net.modules()) == [net, net.inner, net.inner.child]
        assert dict(net.named_children()) == {"inner": net.inner}
        assert list(net.children()) == [net.inner]
        assert net.get_submodule("inner.child") is net.inner.child
        assert net.get_submodule("") is net

    def test_get_submodule_says_what_there_is(self):
        with pytest.raises(AttributeError, match=r"'inner.chld': Inner has no module 'chld', only \['child'\]"):
            Outer().get_submodule("inner.chld")

    def test_tied_parameters_come_once_but_are_saved_under_both_names(self):
        net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        net[1].weight = net[0].weight
        assert [name for name, _ in net.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
        assert len(list(net.named_parameters(remove_duplicate=False))) == 4
        assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
        again = copy.deepcopy(net)
        assert again[1].weight is again[0].weight
        assert again[0].weight is not net[0].weight

    def test_tied_parameters_collect_both_gradients(self, rng):
        net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
        net[1].weight = net[0].weight
        x, w = rng.standard_normal((2, 3)), net[0].weight.detach().numpy().astype(float)
        net(weft.tensor(x.astype(np.float32))).sum().backward()
        g = np.ones((2, 3))
        np.testing.assert_allclose(net[0].weight.grad.numpy(), g.T @ (x @ w.T) + (g @ w).T @ x, rtol=1e-5)

    def test_a_shared_module_comes_once(self):
        relu = nn.ReLU()
        net = nn.Sequential(relu, nn.Linear(1, 1), relu)
        assert [name for name, _ in net.named_modules()] == ["", "0", "1"]
        assert len(list(net.children())) == 2
        assert len(list(net.named_modules(remove_duplicate=False))) == 4

    def test_registration_checks_its_arguments(self):
        net = Outer()
        net.register_parameter("extra", None)
        assert net.extra is None
        net.register_parameter("extra", weft.Parameter([1.0]))
        assert "extra" in net.state_dict()
        net.add_module("0", nn.ReLU())
        assert isinstance(net.get_submodule("0"), nn.ReLU)
        with pytest.raises(TypeError, match=r"`param` must be a weft.Parameter or None, got Tensor"):
            net.register_parameter("w", weft.zeros(2))
        with pytest.raises(TypeError, match=r"`tensor` must be a weft.Tensor or None, got ndarray"):
            net.register_buffer("b", np.zeros(2))
        with pytest.raises(TypeError, match="`module` must be a Module or None, got int"):
            net.add_module("m", 3)
        with pytest.raises(ValueError, match=r"`name` must be a string without dots, and not empty, got 'a.b'"):
            net.register_buffer("a.b", None)
        with pytest.raises(
            ValueError, match="`name` must not be that of a method or class attribute of Outer, got 'forward'"
        ):
            net.add_module("forward", nn.ReLU())

    def test_a_buffer_can_be_assigned(self):
        net = Outer()
        net.mean, net.inner.last = nn.Buffer([1.0, 2.0]), nn.Buffer(np.int64(3), persistent=False)
        assert [name for name, _ in net.named_buffers()] == ["mean", "inner.count", "inner.cache", "inner.last"]
        assert list(net.state_dict()) == ["bias", "mean", "inner.scale", "inner.count", "inner.child.weight"]
        assert "mean" not in dict(net.named_parameters())
        assert isinstance(net.mean, weft.Tensor)
        assert net.mean.dtype == weft.float32
        assert not net.mean.requires_grad
        assert nn.Buffer().shape == (0,)
        net.mean = 0.5 * net.mean  # a buffer still
        assert net.state_dict()["mean"].tolist() == [0.5, 1.0]
        net.mean = nn.Buffer([3.0], persistent=False)
        assert "mean" not in net.state_dict()

    @pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
    def test_an_assigned_buffer_is_copied(self, copied):
        net = nn.Sequential(nn.ReLU())
        net.mean, net.last = nn.Buffer([1.0]), nn.Buffer([2.0], persistent=False)
        other = copied(net)
        other.mean[...] = 5.0
        assert net.mean.item() == 1.0
        assert [name for name, _ in other.named_buffers()] == ["mean", "last"]
        assert isinstance(other.last, nn.Buffer)
        assert not other.last.persistent
        assert list(other.state_dict()) == ["mean"]

    def test_an_assigned_buffer_moves_and_is_loaded(self):
        net = nn.ReLU()
        net.mean = mean = nn.Buffer(weft.ones(2))
        assert net.to("strict").mean.device == "strict"
        net.to(device="cpu", dtype=weft.float64).load_state_dict({"mean": np.array([3.0, 4.0])})
        assert net.mean is mean
        assert mean.dtype == weft.float64
        assert mean.tolist() == [3.0, 4.0]

    def test_a_buffer_takes_no_name_that_is_taken(self):
        with pytest.raises(ValueError, match=r"`name` must not be that of a method .* of ReLU, got 'forward'"):
            nn.ReLU().forward = nn.Buffer([1.0])

    def test_a_buffer_stays_one_when_it_is_assigned_anew(self):
        net = Inner()
        net.count = weft.tensor(5)
        assert net.state_dict()["count"].item() == 5

    def test_train_and_eval(self):
        net = Outer()
        assert net.training
        assert net.eval() is net
        assert not any(m.training for m in net.modules())
        assert all(m.training for m in net.train().modules())
        with pytest.raises(ValueError, match="`mode` must be True or False, got 1"):
            net.train(1)

    def test_requires_grad_and_zero_grad(self):
        net = Outer()
        net(weft.ones((1, 2))).sum().backward()
        before = net.bias.grad
        net.zero_grad(set_to_none=False)
        assert net.bias.grad is before
        assert before.tolist() == [0.0]
        net.zero_grad()
        assert all(p.grad is None for p in net.parameters())
        assert net.requires_grad_(False) is net
        assert not net(weft.ones((1, 2))).requires_grad

    def test_apply_goes_from_the_inside_out(self):
        seen = []
        net = Outer()
        assert net.apply(lambda m: seen.append(type(m).__name__)) is net
        assert seen == ["Linear", "Inner", "Outer"]

    def test_pickle(self):
        net = pickle.loads(pickle.dumps(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).eval()))
        assert not net[1].training
        assert list(net.state_dict())[2:4] == ["1.weight", "1.bias"]


class TestTo:
    def test_dtype(self):
        net = Outer()
        parameters = list(net.parameters())
        net(weft.ones((1, 2))).sum().backward()
        assert net.double() is net
        assert all(p is q for p, q in zip(net.parameters(), parameters))
        assert {str(p.dtype) for p in net.parameters()} == {"float64"}
        assert net.bias.grad.dtype == weft.float64
        assert net.inner.count.dtype == weft.int64
        assert net.inner.cache.dtype == weft.float64
        assert net(weft.ones((1, 2), dtype=weft.float64)).dtype == weft.float64
        assert net.half().bias.dtype == weft.float16
        assert net.bfloat16().bias.dtype == weft.bfloat16
        assert net.to("float32").bias.dtype == weft.float32
        assert net.double().float().bias.dtype == weft.float32

    def test_device(self):
        net = Outer()
        bias = net.bias
        assert net.to("strict") is net
        assert net.bias is bias
        assert {t.device for t in [*net.parameters(), *net.buffers()]} == {"strict"}
        assert net(weft.ones((1, 2), device="strict")).device == "strict"
        assert net.cpu().bias.device == "cpu"
        assert net.to(weft.zeros(1, device="strict", dtype=weft.float64)).bias.dtype == weft.float64
        assert net.to(device="cpu", dtype=weft.float32).bias.device == "cpu"

    def test_integer_dtypes_are_refused(self):
        with pytest.raises(TypeError, match="`dtype` must be a real floating-point dtype, got int64"):
            Outer().to(weft.int64)

    def test_a_device_that_is_not_there(self):
        with pytest.raises(weft.DeviceError, match=r"`device` must be one of .*, got 'tpu'"):
            Outer().to("tpu")


def test_repr_is_nested():
    assert repr(nn.Sequential(nn.Linear(2, 3), nn.Residual(nn.Sequential(nn.ReLU())))) == (
        "Sequential(\n"
        "  (0): Linear(in_features=2, out_features=3, bias=True)\n"
        "  (1): Residual(\n"
        "    (module): Sequential(\n"
        "      (0): ReLU()\n"
        "    )\n"
        "  )\n"
        ")"
    )


def test_repr_of_several_lines():
    class Long(nn.Module):
        def extra_repr(self):
            return "a=1\nb=2"

    assert repr(Long()) == "Long(\n  a=1\n  b=2\n)"


class TestLoadStateDictAssign:
    def test_memory_and_dtype_are_the_values(self):
        net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        state = {name: value.clone() for name, value in net.double().state_dict().items()}
        net.float()
        weight = net[0].weight
        net.load_state_dict(state, assign=True)
        assert net[0].weight is weight
        assert weight.dtype == weft.float64
        assert weight.data is state["0.weight"].data
        assert net[1].running_mean.data is state["1.running_mean"].data
        assert weight.requires_grad

    def test_an_optimizer_goes_on(self):
        net = nn.Linear(1, 1, bias=False)
        optimizer = optim.SGD(net.parameters(), lr=1.0)
        net.load_state_dict({"weight": weft.tensor([[5.0]])}, assign=True)
        net(weft.ones((1, 1))).sum().backward()
        optimizer.step()
        assert net.weight.tolist() == [[4.0]]

    def test_nothing_is_assigned_if_anything_is_wrong(self):
        net = nn.Linear(1, 1)
        before = net.weight.data
        with pytest.raises(RuntimeError, match="shape: bias must have"):
            net.load_state_dict({"weight": weft.ones((1, 1)), "bias": weft.ones(2)}, assign=True)
        assert net.weight.data is before
