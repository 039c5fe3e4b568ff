"""Representation; numbers are in the rows of the primitives."""

from weft import layers as nn


def test_repr():
    assert repr(nn.Hardshrink()) == "Hardshrink(0.5)"
    assert repr(nn.Softshrink(0.25)) == "Softshrink(0.25)"
    assert repr(nn.Tanhshrink()) == "Tanhshrink()"
