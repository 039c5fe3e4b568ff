"""`inplace=True` of modules and functions: x has the result, uses of x from then on see it, and gradients are right.

The numbers are PyTorch 2.13's, float64:

    leaf = torch.tensor(VALUES, dtype=torch.float64, requires_grad=True)
    x = leaf * 1
    y = module(x)
    out = x * 3 + y
    out.sum().backward()
    out.tolist(), leaf.grad.tolist()
"""

import operator

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.layers import functional as F

VALUES = [-4.0, -1.5, -0.25, 0.5, 2.0, 7.0]
TABLE = [
    (nn.ReLU(True), [0.0, 0.0, 0.0, 2.0, 8.0, 28.0], [0.0, 0.0, 0.0, 4.0, 4.0, 4.0]),
    (nn.ReLU6(True), [0.0, 0.0, 0.0, 2.0, 8.0, 24.0], [0.0, 0.0, 0.0, 4.0, 4.0, 0.0]),
    (nn.LeakyReLU(0.25, True), [-4.0, -1.5, -0.25, 2.0, 8.0, 28.0], [1.0, 1.0, 1.0, 4.0, 4.0, 4.0]),
    (nn.Hardtanh(-0.5, 0.75, True), [-2.0, -2.0, -1.0, 2.0, 3.0, 3.0], [0.0, 0.0, 4.0, 4.0, 0.0, 0.0]),
    (nn.Threshold(0.75, -3.0, True), [-12.0, -12.0, -12.0, -12.0, 8.0, 28.0], [0.0, 0.0, 0.0, 0.0, 4.0, 4.0]),
    (
        nn.Hardsigmoid(True),
        [0.0, 1.0, 1.833333, 2.333333, 3.333333, 4.0],
        [0.0, 0.666667, 0.666667, 0.666667, 0.666667, 0.0],
    ),
    (
        nn.Hardswish(True),
        [-0.0, -1.5, -0.458333, 1.166667, 6.666667, 28.0],
        [0.0, 0.0, 1.666667, 2.666667, 4.666667, 4.0],
    ),
    (
        nn.ELU(1.5, True),
        [-5.890106, -4.661219, -1.327195, 2.0, 8.0, 28.0],
        [0.109894, 1.338781, 4.672805, 4.0, 4.0, 4.0],
    ),
    (
        nn.SELU(True),
        [-6.903595, -5.463257, -1.555561, 2.101402, 8.405608, 29.419628],
        [0.128803, 1.56914, 5.476837, 4.202804, 4.202804, 4.202804],
    ),
    (
        nn.CELU(1.5, True),
        [-5.583099, -3.792723, -0.92111, 2.0, 8.0, 28.0],
        [0.277934, 1.471518, 3.385927, 4.0, 4.0, 4.0],
    ),
    (
        nn.SiLU(True),
        [-0.287779, -1.094553, -0.437823, 1.244919, 7.046377, 27.974491],
        [-0.210658, -0.165177, 1.50516, 2.959845, 4.363137, 4.021842],
    ),
    (
        nn.Mish(True),
        [-0.290367, -1.192399, -0.519708, 1.500981, 7.775836, 27.999954],
        [-0.215093, -0.256391, 1.759262, 3.545698, 4.277272, 4.000086],
    ),
    (nn.RReLU(0.25, 0.75, True).eval(), [-8.0, -3.0, -0.5, 2.0, 8.0, 28.0], [2.0, 2.0, 2.0, 4.0, 4.0, 4.0]),
    (nn.Dropout(1.0, True), [0.0] * 6, [0.0] * 6),
]
RANDOM = [
    (nn.RReLU(inplace=True), (40,)), (nn.Dropout(inplace=True), (40,)), (nn.Dropout1d(inplace=True), (20, 3)),
    (nn.Dropout1d(inplace=True), (2, 20, 3)), (nn.Dropout2d(inplace=True), (2, 20, 2, 2)),
    (nn.Dropout3d(inplace=True), (20, 1, 2, 2)),
]  # fmt: skip
FUNCTIONS = [
    (F.relu, ()), (F.relu6, ()), (F.leaky_relu, (0.3,)), (F.hardtanh, (-1.0, 2.0)), (F.threshold, (0.5, -2.0)),
    (F.hardsigmoid, ()), (F.hardswish, ()), (F.elu, (1.5,)), (F.selu, ()), (F.celu, (1.5,)), (F.silu, ()), (F.mish, ()),
    (F.rrelu, (0.1, 0.3, True)), (F.dropout, (0.5, True)), (F.dropout1d, (0.5, True)), (F.dropout2d, (0.5, True)),
    (F.dropout3d, (0.5, True)), (F.alpha_dropout, (0.5, True)), (F.feature_alpha_dropout, (0.5, True)),
]  # fmt: skip
modules = pytest.mark.parametrize(("module", "out", "grad"), TABLE, ids=lambda m: type(m).__name__)
functions = pytest.mark.parametrize(("function", "options"), FUNCTIONS, ids=lambda f: getattr(f, "__name__", ""))


def same(device):
    """The numbers of the CPU, from the same seed."""
    weft.manual_seed(3)
    return weft.device(device)


def values(rng, function):
    return rng.standard_normal((2, 3, 4, 2) if function is not F.dropout1d else (2, 6, 4))


@modules
class TestModules:
    def test_a_residual_use_sees_the_result(self, module, out, grad):
        leaf = weft.tensor(VALUES, dtype=weft.float64, requires_grad=True)
        x = leaf * 1
        y = module(x)
        found = x * 3 + y
        found.sum().backward()
        assert y is x
        np.testing.assert_allclose(found.detach().numpy(), out, atol=1e-6)
        np.testing.assert_allclose(leaf.grad.numpy(), grad, atol=1e-6)

    def test_what_was_recorded_before_keeps_its_value(self, module, out, grad):
        leaf = weft.tensor(VALUES, dtype=weft.float64, requires_grad=True)
        x = leaf * 1
        (x * x + 0 * module(x)).sum().backward()
        np.testing.assert_allclose(leaf.grad.numpy(), 2 * np.array(VALUES))

    def test_memory_and_views_have_the_result(self, module, out, grad):
        x = weft.tensor(VALUES, dtype=weft.float64)
        memory, view = x.data, x[1:3]
        module(x)
        assert x.data is memory
        np.testing.assert_allclose(x.numpy(), np.array(out) / 4, atol=1e-6)
        np.testing.assert_array_equal(view.numpy(), x.numpy()[1:3])

    def test_a_view_writes_to_its_base(self, module, out, grad):
        leaf = weft.tensor([VALUES, VALUES], dtype=weft.float64, requires_grad=True)
        x = leaf * 1
        module(x[1])
        x.sum().backward()
        np.testing.assert_allclose(x.detach().numpy(), [VALUES, np.array(out) / 4], atol=1e-6)
        np.testing.assert_allclose(leaf.grad.numpy(), [np.ones(6), np.array(grad) / 4], atol=1e-6)

    def test_refusals(self, module, out, grad):
        leaf = weft.tensor(VALUES, requires_grad=True)
        with pytest.raises(RuntimeError, match="a leaf that requires grad cannot be changed in place"):
            module(leaf)
        assert leaf.tolist() == VALUES
        with pytest.raises(RuntimeError, match=r"of shape \(2, 6\) share one place in memory"):
            module(weft.broadcast_to(weft.tensor(VALUES), (2, 6)))
        with pytest.raises(TypeError, match=r"`input` must be a weft\.Tensor, got list"):
            module(VALUES)

    def test_captured_steps_have_the_same_bits(self, module, out, grad):
        def step(x):
            x *= 2.0
            y = module(x + 1.0)
            return x + module(x) + y

        found = []
        for f in (step, weft.capture(step)):
            with same("emulator"):
                inputs = [weft.tensor(np.float32(VALUES) * k) for k in range(5)]
                found.append([np.stack([f(x).numpy(), x.numpy()]) for x in inputs])
        np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(("module", "shape"), RANDOM, ids=lambda m: getattr(m, "__class__", m).__name__)
def test_random_modules_write_what_they_return(module, shape, rng):
    numbers, found = rng.standard_normal(shape), {}
    for inplace in (False, True):
        module.inplace = inplace
        leaf = weft.tensor(numbers, requires_grad=True)
        x = leaf * 1
        weft.manual_seed(5)
        y = module(x)
        ((x if inplace else y) * 3 + y).sum().backward()
        assert (y is x) == inplace
        found[inplace] = y.detach().numpy(), leaf.grad.numpy()
    assert (found[True][0] != numbers).any()
    np.testing.assert_array_equal(found[True], found[False])


@functions
class TestFunctions:
    def test_the_input_has_the_result(self, function, options, rng):
        numbers = values(rng, function)
        weft.manual_seed(5)
        expected = function(weft.tensor(numbers), *options).numpy()
        x = weft.tensor(numbers)
        memory = x.data
        weft.manual_seed(5)
        assert function(x, *options, inplace=True) is x
        assert x.data is memory
        np.testing.assert_array_equal(memory, expected)
        assert (memory != numbers).any()

    def test_without_it_the_input_stays(self, function, options, rng):
        numbers = values(rng, function)
        x = weft.tensor(numbers)
        function(x, *options)
        np.testing.assert_array_equal(x.numpy(), numbers)

    def test_half_precision_on_the_emulator(self, function, options, rng):
        numbers, found = values(rng, function), []
        for inplace in (False, True):
            with same("emulator"):
                x = weft.tensor(numbers, dtype=weft.float16)
                y = function(x, *options, inplace=inplace)
                found.append((x if inplace else y).numpy())
        np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("function", [F.relu, F.relu6, F.hardtanh])
def test_integers_stay_integers(function):
    x = weft.tensor([-9, 0, 1, 9])
    expected = function(x).tolist()
    assert function(x, inplace=True) is x
    assert (x.dtype, x.tolist()) == (weft.int64, expected)


@pytest.mark.parametrize("module", [nn.Dropout(0.0, True), nn.Dropout(0.5, True).eval()])
def test_dropout_of_nothing_writes_nothing(module):
    leaf = weft.ones(3, requires_grad=True)  # as in PyTorch, not refused
    assert module(leaf) is leaf


@pytest.mark.parametrize("layer", [nn.AlphaDropout, nn.FeatureAlphaDropout])
def test_alpha_dropout_modules_do_not_write_as_in_pytorch(layer):
    x = weft.ones((4, 5))
    assert layer(inplace=True)(x) is not x
    assert (x.numpy() == 1).all()


class TestModels:
    def test_a_fused_pair_has_the_values_of_two_calls(self, rng):
        net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(True), nn.Linear(4, 2))
        x = weft.tensor(rng.standard_normal((5, 3)), dtype=weft.float32)
        hidden = net[0](x)
        net[1](hidden)
        np.testing.assert_array_equal(net(x).detach().numpy(), net[2](hidden).detach().numpy())

    def test_a_hook_s_tensor_has_the_result(self):
        net, seen = nn.Sequential(nn.Linear(3, 4), nn.ReLU(True)), []
        net[0].register_forward_hook(lambda module, args, output: seen.append(output))
        y = net(weft.ones((2, 3)))
        assert seen[0] is y
        assert (y.detach().numpy() >= 0).all()

    def test_a_first_module_writes_to_the_caller_s_tensor(self):
        x = weft.tensor([-1.0, 2.0])
        y = nn.Sequential(nn.ReLU(True), nn.Linear(2, 2))(x)
        assert y.shape == (2,)
        assert x.tolist() == [0.0, 2.0]

    @pytest.mark.parametrize("device", ["cpu", "emulator"])
    def test_training_captured_and_eager(self, device, rng):
        batches, weights = rng.standard_normal((5, 8, 6)), []
        for capture in (False, True):
            with same(device):
                net = Block()
                optimizer = weft.optimizers.SGD(net.parameters(), lr=0.1)

                def step(x, net=net, optimizer=optimizer):
                    optimizer.zero_grad()
                    loss = (net(x) ** 2).mean()
                    loss.backward()
                    optimizer.step()
                    return loss

                run = weft.capture(step) if capture else step
                for batch in batches:
                    run(weft.tensor(batch, dtype=weft.float32))
                weights.append(net.linear.weight.detach().numpy())
        np.testing.assert_array_equal(*weights)

    def test_checkpoint_is_right_or_refused(self):
        leaf = weft.tensor([-1.0, 0.5, 2.0], requires_grad=True)
        x = leaf * 1
        y = weft.checkpoint(lambda x: nn.SiLU(True)(x * 2) * x, x)
        y.sum().backward()
        plain = weft.tensor([-1.0, 0.5, 2.0], requires_grad=True)
        (F.silu(plain * 2) * plain).sum().backward()
        np.testing.assert_array_equal(leaf.grad.numpy(), plain.grad.numpy())

    @pytest.mark.parametrize("write", [nn.SiLU(True), lambda x: operator.imul(x, 2), lambda x: F.relu_(x[:2])])
    def test_what_a_checkpoint_was_given_is_not_written_to(self, write):
        x = weft.tensor([-1.0, 0.5, 2.0], requires_grad=True) * 1
        with pytest.raises(RuntimeError, match=r"given to `checkpoint` or `grad` cannot be changed in place"):
            weft.checkpoint(lambda x: write(x) * 2, x)
        with pytest.raises(RuntimeError, match=r"given to `checkpoint` or `grad` cannot be changed in place"):
            weft.grad(lambda y: write(x).sum() * y)(weft.tensor(1.0))
        assert x.tolist() == [-1.0, 0.5, 2.0]
        assert x.requires_grad


class Block(nn.Module):
    """A residual branch whose skip begins after an activation in place."""

    def __init__(self):
        self.linear = nn.Linear(6, 6)
        self.relu = nn.LeakyReLU(0.1, inplace=True)
        self.dropout = nn.Dropout(0.3, inplace=True)

    def forward(self, x):
        h = self.linear(x)
        return h + self.dropout(self.linear(self.relu(h)))
