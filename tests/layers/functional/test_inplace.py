"""Each against the function without the underscore: values, where they are written, gradients."""

import numpy as np
import pytest

import weft
from weft.layers import functional as F

CALLS = [
    (F.relu_, F.relu, ()), (F.threshold_, F.threshold, (0.5, -3.0)), (F.leaky_relu_, F.leaky_relu, (0.25,)),
    (F.rrelu_, F.rrelu, (0.25, 0.5)), (F.hardtanh_, F.hardtanh, (-0.5, 0.75)), (F.elu_, F.elu, (1.5,)),
    (F.celu_, F.celu, (1.5,)), (F.selu_, F.selu, ()),
]  # fmt: skip
each = pytest.mark.parametrize(("inplace", "function", "options"), CALLS, ids=lambda c: getattr(c, "__name__", ""))


@each
def test_writes_to_the_input(inplace, function, options, rng):
    x = weft.tensor(rng.standard_normal((3, 5)))
    memory, expected = x.data, function(x, *options).numpy()
    assert inplace(x, *options) is x
    assert x.data is memory
    np.testing.assert_array_equal(memory, expected)


@each
def test_gradients_are_the_function_s(inplace, function, options, rng):
    values, gradients = rng.standard_normal((3, 5)), []
    for f in (inplace, function):
        leaf = weft.tensor(values, requires_grad=True)
        (f(leaf * 2, *options) ** 2).sum().backward()
        gradients.append(leaf.grad.numpy())
    np.testing.assert_array_equal(*gradients)


@each
def test_leaves_are_refused(inplace, function, options):
    x = weft.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf"):
        inplace(x, *options)
    with pytest.raises(TypeError, match=r"`input` must be a weft\.Tensor, got list"):
        inplace([1.0], *options)
