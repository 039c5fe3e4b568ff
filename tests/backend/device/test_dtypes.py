"""dtypes are NumPy's own objects, whichever library holds the array."""

import subprocess
import sys

import array_api_strict
import numpy as np
import pytest

import weft
from weft.backend.device import dtypes

NAMES = (
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
)


def test_are_numpy_s():
    for name in NAMES:
        assert getattr(weft, name) is np.dtype(name) or getattr(weft, name) == np.dtype(name)
        assert isinstance(getattr(weft, name), np.dtype)
    assert weft.bfloat16.name == "bfloat16"
    assert weft.bfloat16.itemsize == 2
    assert set(dtypes.__all__) >= {*NAMES, "bfloat16"}


def test_bfloat16_is_imported_when_asked_for():
    code = "import sys, weft; assert 'ml_dtypes' not in sys.modules; weft.bfloat16; assert 'ml_dtypes' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_name():
    with pytest.raises(AttributeError, match="float8"):
        _ = dtypes.float8
    with pytest.raises(AttributeError, match="module 'weft' has no attribute 'float8'"):
        _ = weft.float8


@pytest.mark.parametrize("name", NAMES)
def test_kinds(name):
    for dtype in (
        np.dtype(name),
        getattr(np, name) if name != "bool" else np.bool_,
        *([getattr(array_api_strict, name)] if name != "float16" else []),
    ):
        floating, integral = name.startswith("float"), name.startswith(("bool", "int", "uint"))
        assert dtypes.is_real_floating(np.dtype(dtype) if isinstance(dtype, type) else dtype) == floating
        assert dtypes.is_integral(np.dtype(dtype) if isinstance(dtype, type) else dtype) == integral


def test_kind_of_bfloat16():
    assert dtypes.is_real_floating(weft.bfloat16)
    assert not dtypes.is_integral(weft.bfloat16)


def test_of_and_native():
    x = array_api_strict.ones(2, dtype=array_api_strict.float32)
    assert dtypes.of(x) == np.float32
    assert dtypes.of(np.ones(2)) == np.float64
    assert dtypes.native(array_api_strict, np.dtype("float32")) is array_api_strict.float32
    assert dtypes.native(array_api_strict, np.float64) is array_api_strict.float64
    assert dtypes.native(np, np.dtype("int8")) == np.int8
    assert dtypes.native(np, None) is dtypes.native(array_api_strict, None) is None


class TestDefault:
    @pytest.fixture(autouse=True)
    def restored(self):
        yield
        weft.set_default_dtype(weft.float32)

    def test_set(self):
        for dtype in (weft.float64, "float16", np.float32, weft.bfloat16):
            weft.set_default_dtype(dtype)
            assert weft.get_default_dtype() == np.dtype(dtype)
            assert weft.ones(2).dtype == np.dtype(dtype)
        weft.set_default_dtype(weft.float64)
        assert dtypes.default_complex() == weft.complex128

    @pytest.mark.parametrize("dtype", ["int32", "complex64", "bool"])
    def test_must_be_a_real_float(self, dtype):
        with pytest.raises(
            TypeError, match=f"`dtype` must be a real floating-point dtype such as float32, got {dtype}"
        ):
            weft.set_default_dtype(dtype)
