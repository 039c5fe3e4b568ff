"""SGD against the formulas of PyTorch's documentation, per parameter in float64."""

import pytest

from weft import optimizers as optim

OPTIONS = [
    {},
    {"lr": 0.1, "maximize": True},
    {"lr": 0.1, "weight_decay": 0.1},
    {"lr": 0.1, "momentum": 0.9},
    {"lr": 0.1, "momentum": 0.9, "dampening": 0.9, "weight_decay": 0.01},
    {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01, "maximize": True},
]


def sgd(p, g, s, t, o):
    g = g + o.weight_decay * p
    if o.momentum:
        s["b"] = g if t == 1 else o.momentum * s["b"] + (1 - o.dampening) * g
        g = g + o.momentum * s["b"] if o.nesterov else s["b"]
    return p - o.lr * g


class TestSGD:
    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    def test_follows_the_formulas(self, follows, options):
        follows(optim.SGD, sgd, options)

    def test_defaults_are_pytorchs(self, tools, rng):
        assert optim.SGD(tools.parameters(rng)).defaults == {
            "lr": 1e-3,
            "momentum": 0,
            "dampening": 0,
            "weight_decay": 0,
            "nesterov": False,
            "maximize": False,
        }

    def test_momentum_can_be_switched_on_later(self, tools, rng):
        (p,) = tools.parameters(rng, shapes=[(3,)])
        optimizer = optim.SGD([p], lr=1.0)
        start = tools.numbers(p)
        for momentum in (0.0, 0.5, 0.5):
            optimizer.param_groups[0]["momentum"] = momentum
            tools.give_gradient(p, [1.0, 1.0, 1.0])
            optimizer.step()
        assert (start - tools.numbers(p)).tolist() == pytest.approx([1 + 1 + 1.5] * 3)

    @pytest.mark.parametrize(("momentum", "dampening"), [(0, 0), (0.9, 0.1)])
    def test_nesterov_needs_momentum(self, tools, rng, momentum, dampening):
        with pytest.raises(ValueError, match=f"`nesterov` needs .* got momentum {momentum} and dampening {dampening}"):
            optim.SGD(tools.parameters(rng), momentum=momentum, dampening=dampening, nesterov=True)
