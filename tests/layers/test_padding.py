"""Padding layers against np.pad."""

import numpy as np
import pytest

import weft
from weft import layers as nn

SIDES = (1, 2, 2, 0, 0, 1)  # left, right, top, bottom, front, back
MODES = {"Circular": "wrap", "Reflection": "reflect", "Replication": "edge", "Zero": "constant", "Constant": "constant"}


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("kind", MODES)
def test_values(rng, kind, n):
    value = [1.5] if kind == "Constant" else []
    x, sides = rng.standard_normal((2, 3, 4, 3, 5)[: n + 2]), SIDES[: 2 * n]
    both = [(0, 0), (0, 0), *zip(sides[::2], sides[1::2])][: n + 2]
    expected = np.pad(x, both[:2] + both[:1:-1], mode=MODES[kind], **({"constant_values": 1.5} if value else {}))
    layer = getattr(nn, f"{kind}Pad{n}d")
    np.testing.assert_array_equal(layer(sides, *value)(weft.tensor(x)).numpy(), expected)
    np.testing.assert_array_equal(layer(sides, *value)(weft.tensor(x[0])).numpy(), expected[0])
    assert layer(1, *value)(weft.tensor(x)).shape == (2, 3, *(k + 2 for k in x.shape[2:]))


def test_state_and_repr():
    assert list(nn.ReflectionPad2d(1).state_dict()) == []
    assert repr(nn.ReflectionPad3d(1)) == "ReflectionPad3d((1, 1, 1, 1, 1, 1))"
    assert repr(nn.ZeroPad1d((1, 2))) == "ZeroPad1d((1, 2))"
    assert repr(nn.ConstantPad1d(2, 3.5)) == "ConstantPad1d(padding=(2, 2), value=3.5)"


def test_errors():
    with pytest.raises(ValueError, match=r"`padding` must be an int or 4 ints, got \(1, 2\)"):
        nn.ZeroPad2d((1, 2))
    with pytest.raises(ValueError, match=r"`input` must have shape \(N, C, H, W\) or \(C, H, W\), got \(3, 3\)"):
        nn.CircularPad2d(1)(weft.ones((3, 3)))
    with pytest.raises(ValueError, match="`pad` must be at most 2 for mode='reflect' along an axis of 3"):
        nn.ReflectionPad1d(3)(weft.ones((1, 1, 3)))
    with pytest.raises(ValueError, match="`padding` must be an integer"):
        nn.ZeroPad1d(1.5)
