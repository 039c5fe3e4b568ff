"""Against the formulas in float64 NumPy; derivatives by differences; kinks and NaN as PyTorch has them."""

import harness
import numpy as np
import pytest
from harness import Case

import weft
from weft import layers as nn
from weft.backend.nn import shrinkage as S
from weft.layers import functional as F


def a(*shape):
    x = np.random.default_rng([3, *shape]).uniform(-4, 4, shape)
    return np.where(np.abs(np.abs(x) - 0.5) < 0.01, x + 0.03, x)  # differences should meet no kink


def hardshrink(x, lambd=0.5):
    return np.where((x > lambd) | (x < -lambd), x, 0)


def softshrink(x, lambd=0.5):
    return np.sign(x) * np.maximum(np.abs(x) - lambd, 0)


CASES = [
    *[Case(p, (a(*shape),), f, options, functional=function, layer=layer)
      for p, f, function, layer in [
          (S.hardshrink, hardshrink, F.hardshrink, nn.Hardshrink),
          (S.softshrink, softshrink, F.softshrink, nn.Softshrink),
      ] for shape in [(33,), (2, 3, 5), (0,)] for options in [{}, {"lambd": 1.25}, {"lambd": 0.0}]],
    *[Case(S.tanhshrink, (a(*shape),), lambda x: x - np.tanh(x), functional=F.tanhshrink, layer=nn.Tanhshrink)
      for shape in [(33,), (2, 3, 5)]],
]  # fmt: skip
test_primitive = harness.over(CASES)


@pytest.mark.parametrize("f", [F.hardshrink, F.softshrink])
def test_kinks_as_in_pytorch(f):
    """torch 2.13: `F.hardshrink(x, 1.0)` and `F.softshrink(x, 1.0)` of ±1 are 0, with gradient 0; NaN stays."""
    x = weft.tensor([-1.0, 1.0, float("nan")], requires_grad=True)
    y = f(x, 1.0)
    y.backward(weft.ones(3))
    assert y.tolist()[:2] == x.grad.tolist()[:2] == [0, 0]
    assert np.isnan(y.tolist()[2])
    assert x.grad.tolist()[2] == 1


def test_softshrink_refuses_a_negative_lambda():
    for call in (lambda: F.softshrink(weft.ones(2), -1), lambda: nn.Softshrink(-1)):
        with pytest.raises(ValueError, match=r"`lambd` must be .*, got -1"):
            call()
