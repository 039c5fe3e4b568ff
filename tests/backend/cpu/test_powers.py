"""Powers against NumPy's own in longer floats."""

import math

import numpy as np
import pytest

from weft.backend.cpu import powers


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_power(dtype):
    """A few roundings, of which the product with UNIT is one: it counts as often as the exponent is large."""
    x = np.linspace(-20, 20, 4001).astype(dtype)
    found = powers.power(x * dtype(powers.UNIT))
    error = np.abs(found / np.exp(x.astype(np.longdouble)) - 1) / np.finfo(dtype).eps
    assert (error <= 2 + np.abs(x)).all()


@pytest.mark.parametrize(
    ("platform", "target", "has_vectors"),
    [
        ("linux", "X86_V4", True),
        ("linux", "AVX512_SKX", True),
        ("linux", "baseline(X86_V2)", False),
        ("win32", "X86_V4", False),  # NumPy is built without Intel's library there
        ("darwin", "NEON", False),
    ],
)
def test_choice(platform, target, has_vectors, monkeypatch):
    monkeypatch.setattr("sys.platform", platform)
    known = {"exp2": {"ff": {"current": target}}}
    monkeypatch.setattr("numpy.lib.introspect.opt_func_info", lambda func_name: known)
    assert powers._has_vectors() == has_vectors


def test_unit():
    """The two halves of a choice go together."""
    assert math.isclose(powers.power(powers.UNIT), math.e)
