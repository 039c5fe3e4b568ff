"""A dense layer's products and what comes after them, against NumPy in float64: by cublasLt's epilogues, which NumPy plays,
and by kernels, where cublasLt has no algorithm."""

import kernel_harness
import ml_dtypes
import numpy as np
import pytest
from kernel_harness import dtypes

import weft
from weft.kernels import emulator, linear
from weft.kernels.emulator import cublas_numpy

pytestmark = pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")
rng = np.random.default_rng(0)
TOLERANCE = {"float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}
SHAPES = [(5, 7, 16), (33, 31, 24), (5, 7, 3), (1, 1, 1), (0, 7, 16), (5, 0, 16), (5, 7, 0)]  # rows, in, out
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)


@pytest.fixture(params=["fused", "apart"])
def way(request, monkeypatch):
    """What cublasLt is asked for: (epilogue) of each product that it did."""
    done, fused = [], cublas_numpy.Numpy.fused

    def watched(self, *args):
        done.append(args[5])
        return fused(self, *args)

    monkeypatch.setattr(cublas_numpy.Numpy, "fused", watched if request.param == "fused" else lambda self, *args: False)
    return done


def device(a):
    return emulator.namespace.asarray(a)


def wide(a):
    return a.get().astype(np.float64)


def close(got, expected, dtype):
    scale = max(1.0, np.abs(expected).max(initial=0))
    np.testing.assert_allclose(wide(got), expected, rtol=0, atol=TOLERANCE[np.dtype(dtype).name] * scale)


def gelu(z):
    return z * 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)))


FUNCTIONS = {"Identity": lambda z: z, "Relu": lambda z: np.maximum(z, 0), "GeluTanh": gelu}


@shapes
@dtypes
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("keep", [False, True])
def test_forward(shape, dtype, has_bias, function, keep, way):
    rows, fan_in, fan_out = shape
    x, w, b = (device(rng.standard_normal(s).astype(dtype)) for s in ((rows, fan_in), (fan_out, fan_in), fan_out))
    z = wide(x) @ wide(w).T + (wide(b) if has_bias else 0)
    y, saved = linear.forward(x, w, b if has_bias else None, function, keep=keep)
    assert y.dtype == dtype
    close(y, FUNCTIONS[function](z), dtype)
    if function != "GeluTanh":
        assert saved is y
    elif keep:
        close(saved, z, dtype)


@pytest.mark.parametrize("way", ["fused"], indirect=True)
def test_epilogues(way):
    """Numbers of cublasLt.h: RELU 2, BIAS 4, GELU 32, with the input of GELU 128 more, BGRADB 512."""
    x, w, b, odd = (device(np.ones(s, "f")) for s in ((2, 3), (8, 3), 8, (7, 3)))
    for given in ((w, None), (w, b), (w, None, "Relu"), (w, b, "Relu"), (w, None, "GeluTanh"), (w, b, "GeluTanh")):
        linear.forward(x, *given)
    assert way == [4, 2, 6, 160, 164]
    way.clear()
    linear.forward(x, w, b, "GeluTanh", keep=False)
    linear.forward(x, odd, None, "GeluTanh", keep=False)
    assert way == [36, 32]
    way.clear()
    linear.forward(x, odd, None, "GeluTanh")  # seven columns cannot be kept
    assert not way
    linear.gradients(device(np.ones((2, 8), "f")), x, summed=True)
    assert way == [512]


def test_bias_with_gaps(way):
    x, w = device(np.ones((2, 3), "f")), device(np.ones((4, 3), "f"))
    b = device(np.arange(8, dtype="f"))[::2]
    assert linear.forward(x, w, b)[0].get().tolist() == [[3, 5, 7, 9]] * 2


@shapes
@dtypes
@pytest.mark.parametrize("to", ["new", "own", "float32"])
def test_gradients(shape, dtype, to, way):
    rows, fan_in, fan_out = shape
    g, x = (device(rng.standard_normal(s).astype(dtype)) for s in ((rows, fan_out), (rows, fan_in)))
    weight, bias, summed = None, None, True
    if to != "new":
        weight, bias = (
            emulator.poisoned(s, dtype if to == "own" else "f").view(emulator.Array)
            for s in ((fan_out, fan_in), fan_out)
        )
        summed = bias
    got_weight, got_bias = linear.gradients(g, x, out=weight, summed=summed)
    assert weight is None or got_weight is weight
    assert bias is None or got_bias is bias
    precision = np.float32 if to == "float32" else dtype
    assert got_weight.dtype == got_bias.dtype == precision
    close(got_weight, wide(g).T @ wide(x), precision)
    close(got_bias, wide(g).sum(axis=0), precision)


@pytest.mark.parametrize("weight", ["of another dtype", "with gaps"])
def test_gradients_where_no_epilogue_writes_them(weight, way):
    g, x = (device(rng.standard_normal(s).astype(ml_dtypes.bfloat16)) for s in ((5, 8), (5, 3)))
    own, bias = device(np.zeros((8, 3), ml_dtypes.bfloat16)), device(np.zeros(8, "f"))
    out = own if weight == "of another dtype" else device(np.zeros((8, 6), "f"))[:, ::2]
    linear.gradients(g, x, out=out, summed=bias)
    close(out, wide(g).T @ wide(x), "bfloat16")
    close(bias, wide(g).sum(axis=0), "float32")
    assert not way


def test_no_sum(way):
    g, x = device(np.ones((2, 3), "f")), device(np.ones((2, 4), "f"))
    weight, bias = linear.gradients(g, x)
    assert weight.get().tolist() == [[2] * 4] * 3
    assert bias is None
    assert not way


@pytest.mark.parametrize("way", ["apart"], indirect=True)
def test_schedules(way):
    """By kernels: the same bits whatever the order of threads."""
    x, w, b = (device(rng.standard_normal(s).astype("f")) for s in ((33, 9), (40, 9), 40))
    kernel_harness.every_schedule(lambda: [a.get() for a in linear.forward(x, w, b, "GeluTanh")])
    kernel_harness.every_schedule(lambda: [a.get() for a in linear.gradients(w, w, summed=True)])
