"""`clip` and `sign` of "cuda" against a CPU's, on the stand-in for CuPy."""

import array_api_compat.numpy
import numpy as np
import pytest

import weft
from weft.backend.device.cupy_namespace import CupyNamespace


@pytest.mark.parametrize("dtype", ["int8", "float16", "float32", "complex64"])
def test_the_numbers_of_a_cpu_in_a_captured_step(cupy, dtype):
    """array_api_compat's own would wait, and could not be captured."""
    values = np.array([-3, -1, 0, 1, 2], dtype)
    functions = [weft.sign]
    if dtype.startswith("float"):
        values = np.append(values, np.array([-np.inf, -1.5, -0.0, 0.5, np.inf, np.nan], dtype))
    if dtype != "complex64":
        bound = weft.full(values.shape, 1, dtype="int64" if dtype == "int8" else "float64")
        bounds = {device: bound.to(device) for device in ("cpu", "cuda:0")}
        functions += [
            lambda x: weft.clip(x, -1, 1),
            lambda x: weft.clip(x, min=0),
            lambda x: weft.clip(x, None, bounds[x.device]),
            weft.clip,
        ]
    for f in functions:
        expected, run = f(weft.tensor(values)), weft.capture(f, strict=True)
        for _ in range(4):
            found = run(weft.tensor(values, device="cuda"))
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found.numpy(), expected.numpy())


@pytest.mark.parametrize("count", [1, 8, 9, 17, 100])
def test_no_more_are_joined_than_can_be_recorded(count):
    """CuPy sends the addresses of more than eight to the GPU."""

    class Compat:
        expand_dims = staticmethod(np.expand_dims)

        @staticmethod
        def concat(arrays, *, axis):
            assert len(arrays) <= 8
            return np.concatenate(arrays, axis=axis)

    xp = CupyNamespace(Compat)
    parts = [np.arange(6.0).reshape(2, 3) + k for k in range(count)]
    for axis in (0, 1, -1, None):
        np.testing.assert_array_equal(xp.concat(parts, axis=axis), np.concatenate(parts, axis=axis))
    for axis in (0, 1, 2, -1):
        np.testing.assert_array_equal(xp.stack(parts, axis=axis), np.stack(parts, axis=axis))


def test_the_rest_is_array_api_compats():
    xp = CupyNamespace(array_api_compat.numpy)
    assert xp.exp is array_api_compat.numpy.exp
    assert xp.linalg is array_api_compat.numpy.linalg
    with pytest.raises(AttributeError, match="no_such_function"):
        assert xp.no_such_function
