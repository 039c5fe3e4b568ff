"""The standard's inspection functions, against NumPy's and ml_dtypes' figures."""

import harness  # noqa: F401  (registers the device "strict")
import ml_dtypes
import numpy as np
import pytest

import weft


@pytest.mark.parametrize("name", ["float16", "float32", "float64", "bfloat16"])
def test_finfo(name):
    dtype = getattr(weft, name)
    got = weft.finfo(dtype)
    expected = ml_dtypes.finfo(dtype)
    for field in ("bits", "eps", "max", "min", "smallest_normal"):
        assert getattr(got, field) == float(getattr(expected, field))
    assert weft.finfo(weft.ones(1, dtype=dtype)).eps == got.eps


def test_iinfo():
    assert (weft.iinfo(weft.int8).min, weft.iinfo(weft.tensor([1])).max, weft.iinfo("uint16").bits) == (
        -128,
        2**63 - 1,
        16,
    )


class TestIsdtype:
    KINDS = {
        "bool": ["bool"],
        "signed integer": ["int8", "int64"],
        "unsigned integer": ["uint8"],
        "integral": ["int8", "int64", "uint8"],
        "real floating": ["float32", "float64", "bfloat16"],
        "complex floating": ["complex64"],
        "numeric": ["int8", "int64", "uint8", "float32", "float64", "bfloat16", "complex64"],
    }

    @pytest.mark.parametrize("name", ["bool", "int8", "int64", "uint8", "float32", "float64", "bfloat16", "complex64"])
    def test_kinds(self, name):
        dtype = getattr(weft, name)
        for kind, members in self.KINDS.items():
            assert weft.isdtype(dtype, kind) == (name in members), kind
        assert weft.isdtype(dtype, dtype)
        assert weft.isdtype(dtype, ("complex floating", dtype))
        assert not weft.isdtype(dtype, weft.uint32)

    def test_unknown(self):
        with pytest.raises((TypeError, ValueError), match="kind"):
            weft.isdtype(weft.float32, "floaty")


def test_promotion():
    assert weft.can_cast(weft.float32, weft.float64)
    assert not weft.can_cast(weft.float64, weft.float32)
    assert weft.can_cast(weft.tensor([1], dtype=weft.int8), weft.int16)
    assert weft.result_type(weft.float32, weft.float64) == weft.float64
    assert weft.result_type(weft.ones(1), 2.0) == weft.float32
    assert weft.result_type(weft.ones(1), weft.tensor([1], dtype=weft.int8), True) == weft.float32
    assert weft.result_type(weft.int8, weft.uint8) == weft.int16


class TestNamespaceInfo:
    info = weft.__array_namespace_info__()

    def test_defaults(self):
        assert self.info.default_device() == "cpu"
        assert "strict" in self.info.devices()
        assert self.info.default_dtypes()["real floating"] == weft.float32
        assert self.info.default_dtypes()["complex floating"] == weft.complex64
        assert self.info.default_dtypes()["integral"] == self.info.default_dtypes()["indexing"] == weft.int64

    def test_dtypes(self):
        assert self.info.dtypes(kind="real floating").keys() == {"float32", "float64"}
        assert self.info.dtypes(kind=("bool", "complex floating")).keys() == {"bool", "complex64", "complex128"}
        assert len(self.info.dtypes()) == 13
        assert all(np.dtype(name) == dtype for name, dtype in self.info.dtypes().items())

    def test_capabilities(self):
        assert self.info.capabilities()["boolean indexing"] is True
        assert self.info.capabilities()["data-dependent shapes"] is True
        assert self.info.capabilities()["max dimensions"] == 64
