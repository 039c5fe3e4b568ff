"""What the headers of kernels say that they cost, against the bytes that the emulator counts and the record's instructions."""

import json
import re

import ml_dtypes
import numpy as np
import pytest

import weft
from weft.bench.kernels import RECORD
from weft.kernels import dropout, normalization, optimizers, pooling
from weft.kernels.emulator import counters
from weft.kernels.toolchain.sources import FOLDER

pytestmark = pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")

MEANS = "pooling_means.cu", "pooling_means_backward.cu"
ROWS, COLUMNS = 64, 512
SIZE = ROWS * COLUMNS
dtypes = pytest.mark.parametrize("dtype", [np.dtype(np.float32), np.dtype(ml_dtypes.bfloat16)], ids=str)


def header(source):
    """The comment that a source begins with, as one line."""
    text = (FOLDER / source).read_text(encoding="utf-8").partition("#include")[0]
    return " ".join(line.removeprefix("//").strip() for line in text.splitlines())


def claim(source, pattern):
    """The numbers that the header has at the groups of the pattern, which is there once."""
    (found,) = re.finditer(pattern, header(source))
    return [float(number) for number in found.groups()]


def per_element(run):
    """Bytes that the first launch of `run` moves, for each of SIZE elements."""
    with counters.counting() as launches:
        run()
    return (launches[0].read + launches[0].written) / SIZE


def arrays(count, dtype):
    return [np.ones((ROWS, COLUMNS), dtype) for _ in range(count)]


@dtypes
def test_dropout(dtype):
    plain, residual = claim("dropout.cu", r"Cost: (\d)·sizeof\(T\) bytes per element, (\d)·sizeof\(T\) with a residual")
    x, r = arrays(2, dtype)
    for other, times in ((None, plain), (r, residual)):
        run = lambda other=other: dropout.dropout(x, other, threshold=1 << 31, scale=2.0, stream=(1, 0, None))
        assert per_element(run) == times * dtype.itemsize


@dtypes
def test_normalization(dtype):
    (forward,), (backward,) = (
        claim(f"{source}.cu", r"elements: (\d) n, times sizeof")
        for source in ("normalization", "normalization_backward")
    )
    x, g = arrays(2, dtype)
    rstd = np.ones(ROWS, np.float32)
    found = per_element(lambda: normalization.norm_forward(x, None, None, eps=1e-5, centred=False))
    assert found == pytest.approx(forward * dtype.itemsize, rel=0.01)  # and a float a row
    found = per_element(
        lambda: normalization.norm_backward(g, x, None, None, rstd, (True, False, False), (None, None, None))
    )
    assert found == pytest.approx(backward * dtype.itemsize, rel=0.01)


@dtypes
def test_optimizers(dtype):
    whole, half, state, *_ = claim(
        "optimizers.cu", r"per parameter: (\d+) for float, (\d+) for half precision with master weights; (\d+) more"
    )
    p, g = (a.reshape(-1) for a in arrays(2, dtype))
    m, v, master = (np.ones(SIZE, np.float32) for _ in range(3))
    numbers = np.full(8, 0.5, np.float32)
    is_float = dtype == np.float32
    found = per_element(lambda: optimizers.update("Adam", p, g, (m, v), numbers, master=None if is_float else master))
    assert found == pytest.approx((whole if is_float else half) + 2 * state, rel=0.01)  # and the coefficients


@dtypes
def test_pooling(dtype):
    (times,) = claim("pooling_2x2.cu", r"Cost: bytes, ([\d.]+)·sizeof\(T\) a pixel, and ¼ for maxima")

    class Axis:
        size, output, kernel, stride, before, dilation = 64, 32, 2, 2, 0, 1

    x = np.ones((1, SIZE // 64**2, 64, 64), dtype)
    found = per_element(lambda: pooling.max_pool(x, Axis, Axis))
    assert found == times * dtype.itemsize + 0.25
    y, taps, _ = pooling.max_pool(x, Axis, Axis)
    assert per_element(lambda: pooling.max_pool_gradient(y, taps, Axis, Axis)) == times * dtype.itemsize + 0.25


@dtypes
def test_means(dtype):
    for source in MEANS:
        assert "Cost: bytes, sizeof(T)·(H W + Ho Wo) a plane;" in header(source)

    class Axis:
        size, output, kernel, stride, before, dilation = 64, 16, 4, 4, 0, 1

    x = np.ones((1, SIZE // 64**2, 64, 64), dtype)
    for run in (
        lambda: pooling.avg_pool(x, Axis, Axis),
        lambda: pooling.avg_pool_gradient(x[..., ::4, ::4].copy(), Axis, Axis),
    ):
        assert per_element(run) == (1 + 1 / 16) * dtype.itemsize


@dtypes
@pytest.mark.parametrize(
    "source", ["pooling_maxima.cu", "pooling_maxima_backward.cu", "pooling_narrow_backward.cu", "pooling_running.cu"]
)
def test_maxima(source, dtype):
    times, more = claim(source, r"Cost: bytes, (\d)·sizeof\(T\) \+ (\d) a pixel")

    class Axis:
        size, output, kernel, stride, before, dilation = 64, 64, 5, 1, 2, 1

    class Longer(Axis):
        kernel, before = 9, 4

    x = np.ones((1, SIZE // 64**2, 64, 64), dtype)
    y, taps, _ = pooling.max_pool(x, Axis, Axis)
    runs = {
        "pooling_maxima.cu": lambda: pooling.max_pool(x, Axis, Longer),
        "pooling_running.cu": lambda: pooling.max_pool(x, Axis, Axis),
    }
    found = per_element(runs.get(source, lambda: pooling.max_pool_gradient(y, taps, Axis, Axis)))
    assert found == pytest.approx(times * dtype.itemsize + more, rel=0.1)  # rows of two tiles are read twice


def recorded(kernel, bytes_of_element):
    """Instructions of threads for each element, from the record: of `kernel`, or "case: kernel"."""
    found = json.loads(RECORD.read_text(encoding="utf-8")).items()
    (entry,) = (e for name, e in found if f": {name}".endswith(f": {kernel}"))
    return entry["instructions"] * bytes_of_element


def test_instructions():
    (most,) = claim("dropout.cu", r"Besides, (\d+) instructions")
    assert recorded("dropout<__nv_bfloat16, false, false>", 4) <= 1.05 * most
    (most,) = claim("pooling_2x2.cu", r"at most (\d) instructions a pixel")
    for name, size in (("max_pool_2x2", 2.75), ("max_pool_2x2_gradient", 2.75), ("avg_pool_2x2", 2.5)):
        assert recorded(f"{name}<__nv_bfloat16, 8>", size) <= most
        assert recorded(f"{name}<float, 4>", size + 2.5) <= most
    (most_backward,) = claim("pooling_maxima_backward.cu", r"and (\d+) instructions")
    (most_narrow,) = claim("pooling_narrow_backward.cu", r"by 5 columns (\d+) instructions")
    assert recorded("max_pool2d_5: narrow_maxima_gradient<__nv_bfloat16, 5>", 5) <= most_narrow
    most = claim("pooling_maxima.cu", r"(\d+) instructions a pixel in float, (\d+) in half")
    most_running = claim("pooling_running.cu", r"windows (\d+) instructions a pixel in half precision, (\d+) in float")
    for (dtype, size), at_most, running in zip((("float", 9), ("__nv_bfloat16", 5)), most, most_running[::-1]):
        assert recorded(f"max_pool2d_7_by_5: window_maxima<{dtype}, 2>", size) <= at_most
        assert recorded(f"max_pool2d_5: running_maxima<{dtype}, 5>", size) <= running
        assert recorded(f"max_pool2d_7_by_9: window_maxima_gradient<{dtype}, 2>", size) <= most_backward


def test_instructions_of_strided_maxima():
    most = claim("pooling_strided_backward.cu", r"2 apart they are ([\d.]+) a byte in float, ([\d.]+) in bfloat16")
    for dtype, at_most in zip(("float", "__nv_bfloat16"), most):
        assert round(recorded(f"max_pool2d_7_2: strided_maxima_gradient<{dtype}, 2>", 1), 1) == at_most


def test_instructions_of_means():
    found = json.loads(RECORD.read_text(encoding="utf-8"))
    most = [claim(source, r"at most (\d+) instructions a pixel .* side by side, (\d+) for") for source in MEANS]
    cases = (("avg_pool2d_4", 1 + 1 / 16, "false"), ("avg_pool1d", 1.5, "true"))
    for (case, share, flat), limits in zip(cases, zip(*most)):
        for dtype, size in (("float", 4), ("__nv_bfloat16", 2)):
            for kernel, limit in zip(("window_means", "window_means_gradient"), limits):
                assert found[f"{case}: {kernel}<{dtype}, 4, {flat}>"]["instructions"] * share * size <= limit
