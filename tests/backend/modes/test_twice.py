"""Gradients with a graph of their own, against `weft.grad` of `weft.grad` and derivatives worked out by hand."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.backend.modes.twice import gradients, keep_operations
from weft.backend.tape.sharing import changed


@pytest.fixture(autouse=True)
def kept():
    keep_operations()
    yield
    keep_operations(False)


def slope(y, x, **options):
    seed = weft.ones(y.shape, dtype=y.dtype)
    return gradients([y], [x], [seed], **{"create_graph": True} | options)[id(x)][1]


def test_powers_to_the_third_derivative():
    x = weft.tensor([1.0, 2.0], requires_grad=True)
    first = slope((x**4).sum(), x)
    second = slope(first, x)
    third = slope(second, x)
    assert [first.tolist(), second.tolist(), third.tolist()] == [[4, 32], [12, 48], [24, 48]]
    third.sum().backward()
    assert x.grad.tolist() == [24.0, 24.0]


def test_penalty_on_gradients():
    """As WGAN-GP has it: parameters' gradients of a norm of the input's gradients."""
    weft.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.LeakyReLU(0.2), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 5),
        nn.LayerNorm(5), nn.Sigmoid(), nn.Linear(5, 1),
    )  # fmt: skip
    x = weft.randn(3, 1, 4, 4)

    def penalty(g):
        return ((weft.sqrt((g.reshape(3, -1) ** 2).sum(axis=1)) - 1) ** 2).mean()

    y = x.clone().requires_grad_()
    penalty(slope(net(y), y)).backward()
    found = [None if p.grad is None else p.grad.numpy().copy() for p in net.parameters()]
    net.zero_grad()
    penalty(weft.grad(lambda x: net(x).sum())(x)).backward()
    for got, p in zip(found, net.parameters()):
        np.testing.assert_allclose(0 if got is None else got, p.grad.numpy(), atol=5e-6)


def test_with_respect_to_results_and_to_what_is_not_reached():
    x, other = (weft.tensor([v], requires_grad=True) for v in (3.0, 1.0))
    y = x * 2
    found = gradients([y * y], [y, other], [weft.ones(1)], create_graph=False)
    assert found[id(y)][1].tolist() == [12.0]
    assert id(other) not in found
    assert (x.grad, y.grad) == (None, None)


def test_only_what_leads_to_the_inputs_is_freed():
    x, w = (weft.tensor([v], requires_grad=True) for v in (3.0, 2.0))
    inner = w * w
    y = inner * x
    assert slope(y, x, create_graph=False).tolist() == [4.0]
    inner.sum().backward()
    assert w.grad.tolist() == [4.0]
    with pytest.raises(RuntimeError, match="record of `multiply` was freed"):
        slope(y, x, create_graph=False)


def test_hooks_and_several_outputs():
    x = weft.tensor([1.0, 2.0], requires_grad=True)
    a, b = (x**3).split(1)
    a.register_hook(lambda g: g * 10)
    layer = nn.Tanh()
    layer.register_full_backward_hook(lambda m, gi, go: (gi[0] * 2,))
    g = slope((a + b).sum(), x)
    assert g.tolist() == [30.0, 12.0]
    assert slope(g.sum(), x).tolist() == [60.0, 12.0]
    t = np.tanh(0.5)
    z = weft.tensor([0.5], requires_grad=True)
    first = slope(layer(z), z)
    np.testing.assert_allclose(first.tolist(), [2 * (1 - t * t)], rtol=1e-6)
    np.testing.assert_allclose(slope(first, z).tolist(), [2 * -4 * t * (1 - t * t)], rtol=1e-5)  # doubled once more


def test_hooks_of_what_is_asked_for():
    """A leaf's before it is given its gradient, a result's after that, as PyTorch 2.13 does."""
    x = weft.tensor([1.0, 2.0], requires_grad=True)
    y = x * 3
    y.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: g + 1)
    found = gradients([(y * y).sum()], [x, y], [weft.tensor(1.0)], create_graph=False)
    assert found[id(y)][1].tolist() == [6.0, 12.0]
    assert found[id(x)][1].tolist() == [181.0, 361.0]
    assert slope((y * y).sum(), x).tolist() == [181.0, 361.0]
    assert x.grad is None


def test_errors():
    x = weft.tensor([1.0], requires_grad=True)
    keep_operations(False)
    y = x * x
    keep_operations()
    with pytest.raises(RuntimeError, match="how `multiply` was computed, which was not kept"):
        slope(y, x)
    c = weft.tensor([2.0])
    y = x * x * c
    c.data[...] = 3
    changed(c.data)
    with pytest.raises(RuntimeError, match="`multiply` needs for its gradient what has been changed in place"):
        slope(y, x)
