"""Cases of single instantiations: convolutions, pooling and recurrent layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.nn.convolution import Geometry
from ...backend.nn.pooling import Axis
from ...kernels import channel_last, convolution, implicit_gemm, pooling, recurrent
from ...kernels.toolchain.settings import multiprocessors
from .case_makers import FLOAT32, numbers, of

__all__: list[str] = []


def _where(size: int, kernel: int, stride: int = 1) -> Geometry:
    """Of square images, padded so that every pixel has its window."""
    image, output, taps = (size, size), (size // stride, size // stride), (kernel, kernel)
    return Geometry(image, output, taps, (stride, stride), (kernel // 2, kernel // 2), (1, 1), 1)


@of("im2col")
def _(dtype: Any) -> None:
    convolution.im2col(numbers(dtype, 4, 16, 32, 32), _where(32, 3), 0, 4096)


@of("col2im")
def _(dtype: Any) -> None:
    columns = numbers(FLOAT32, 144, convolution.pitch_of(4096))
    convolution.col2im(columns, _where(32, 3), np.empty((4, 16, 32, 32), dtype), 0, 4096, 0)


@of("channel_sums")
def _(dtype: Any, wide: bool) -> None:
    convolution.sum_channels(numbers(dtype, 16, 16, *((32, 32) if wide else (31, 31))))


@of("sum_partials")
def _(dtype: Any) -> None:
    convolution.sum_channels(numbers(dtype, 16, 16, 32, 32))


@of("channel_last")
def _(dtype: Any) -> None:
    channel_last.channel_last(numbers(dtype, 4, 64, 32, 32))


@of("few_channels_last")
def _(dtype: Any) -> None:
    channel_last.channel_last(numbers(dtype, 4, 3, 64, 64))


@of("pixel_pairs")
def _(dtype: Any) -> None:
    channel_last.pixel_pairs(numbers(dtype, 4, 3, 64, 64))


@of("few_pixels_last")
def _(dtype: Any) -> None:
    channel_last.channel_last(numbers(dtype, 128, 128, 3, 3))


@of("correlate")
def _(dtype: Any, rows: int, columns: int, near: bool) -> None:
    is_small = columns == implicit_gemm.SMALL_TILE[1]
    where, channels = (_where(8, 3), 64) if near or is_small else (_where(8, 1), 64)
    weight = numbers(dtype, 64 if is_small else rows, channels, *where.kernel)
    image = numbers(dtype, 1 if is_small else 8, 8, 8, channels)
    with multiprocessors(132 if is_small else 1):  # that tile is for few positions on many of them
        implicit_gemm.correlate(image, weight, None, where)


@of("weight_parts")
def _(dtype: Any, rows: int, columns: int) -> None:
    out = np.empty((rows, 64, 3, 3), dtype)
    implicit_gemm.weight_gradient(numbers(dtype, 8, 16, 16, 64), numbers(dtype, 8, 8, 8, rows), _where(16, 3, 2), out)


@of("near_weight_parts")
def _(dtype: Any) -> None:
    out = np.empty((64, 64, 3, 3), dtype)
    implicit_gemm.weight_gradient(numbers(dtype, 8, 8, 8, 64), numbers(dtype, 8, 8, 8, 64), _where(8, 3), out)


@of("pointwise_parts")
def _(dtype: Any, rows: int, columns: int) -> None:
    out = np.empty((rows, columns, 1, 1), dtype)
    implicit_gemm.pointwise_weight_gradient(numbers(dtype, 4, columns, 16, 16), numbers(dtype, 4, rows, 16, 16), out)


@of("add_parts")
def _(dtype: Any) -> None:
    half = np.dtype(np.float16)
    out = np.empty((64, 64, 3, 3), dtype)
    implicit_gemm.weight_gradient(numbers(half, 8, 8, 8, 64), numbers(half, 8, 8, 8, 64), _where(8, 3), out)


def _max_pool(dtype: Any, size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> None:
    reach = dilation * (kernel - 1) + 1
    axis = Axis(size, (size + 2 * padding - reach) // stride + 1, kernel, stride, padding, dilation)
    y, taps, _ = pooling.max_pool(numbers(dtype, 4, 8, size, size), axis, axis)
    # taps of equal pixels, the first of each window that is there, as the forward may not be run
    first = np.maximum(0, padding - stride * np.arange(axis.output))
    taps[...] = (first[:, None] * kernel + first).astype(taps.dtype)
    pooling.max_pool_gradient(y, taps, axis, axis)


def _avg_pool(dtype: Any, size: int, kernel: int, stride: int) -> None:
    axis = Axis(size, (size - kernel) // stride + 1, kernel, stride, 0, 1)
    y = pooling.avg_pool(numbers(dtype, 4, 8, size, size), axis, axis)
    pooling.avg_pool_gradient(y, axis, axis)


@of("max_pool", "max_pool_gradient")
def _(dtype: Any, taps: Any) -> None:
    _max_pool(dtype, 32, *((3, 1, 0, 2) if taps.itemsize == 1 else (17, 1, 8)))


@of("window_maxima", "window_maxima_gradient")
def _(dtype: Any, vector: int) -> None:
    _max_pool(dtype, 32 + vector, 5, 1, 2)  # no multiple of 4


@of("running_maxima", "narrow_maxima_gradient")
def _(dtype: Any, kernel: int) -> None:
    _max_pool(dtype, 32, kernel, 1, kernel // 2)


@of("strided_maxima_gradient")
def _(dtype: Any, vector: int) -> None:
    _max_pool(dtype, 34 - vector, 7, 2, 3)  # 33 is odd


def _small(kernel: int, stride: int, height: int) -> tuple[Axis, Axis]:
    down, across = (Axis(size, (size - kernel) // stride + 1, kernel, stride, 0, 1) for size in (height, 33))
    return down, across


@of("max_pool_small")
def _(dtype: Any, kernel: int, stride: int, rows: int) -> None:
    axes = _small(kernel, stride, (rows - 1) * stride + kernel)
    pooling.max_pool(numbers(dtype, 4, 8, axes[0].size, 33), *axes)


@of("max_pool_small_gradient")
def _(dtype: Any, kernel: int, stride: int, rows: int) -> None:
    down, across = _small(kernel, stride, rows * stride)
    g = numbers(dtype, 4, 8, down.output, across.output)
    pooling.max_pool_gradient(g, np.zeros(g.shape, np.uint8), down, across)


@of("avg_pool_small")
def _(dtype: Any, kernel: int, stride: int, rows: int) -> None:
    axes = _small(kernel, stride, (rows - 1) * stride + kernel)
    pooling.avg_pool(numbers(dtype, 4, 8, axes[0].size, 33), *axes)


@of("avg_pool_small_gradient")
def _(dtype: Any, kernel: int, stride: int, rows: int) -> None:
    down, across = _small(kernel, stride, rows * stride)
    pooling.avg_pool_gradient(numbers(dtype, 4, 8, down.output, across.output), down, across)


@of("window_means", "window_means_gradient")
def _(dtype: Any, vector: int, flat: bool) -> None:
    if flat:
        size = 1024 if vector > 1 else 1021
        one, long = Axis(1, 1, 1, 1, 0, 1), Axis(size, (size - 5) // 2 + 1, 5, 2, 0, 1)
        y = pooling.avg_pool(numbers(dtype, 4, 8, 1, size), one, long)
        pooling.avg_pool_gradient(y, one, long)
    else:
        _avg_pool(dtype, 32 if vector > 1 else 33, 4, 4)


@of("window_mean", "window_mean_gradient")
def _(dtype: Any) -> None:
    pooling.adaptive_avg_pool(numbers(dtype, 1, 2, 1, 4096), (1, 7))
    pooling.adaptive_avg_pool_gradient(numbers(dtype, 1, 2, 1, 4096), (1, 7))


@of("max_pool_same_gradient")
def _(dtype: Any, vector: int) -> None:
    _max_pool(dtype, 32 + vector % 8, 3, 1, 1)  # 36 is no multiple of 8


@of("avg_pool_same")
def _(dtype: Any, vector: int, backward: bool, divided: bool) -> None:
    size = 32 + vector % 8
    x, axis = numbers(dtype, 4, 8, size, size), Axis(size, size, 3, 1, 1, 1)
    pool = pooling.avg_pool_gradient if backward else pooling.avg_pool
    pool(x, axis, axis, divided)


@of("global_avg_pool_of_few")
def _(dtype: Any) -> None:
    pooling.adaptive_avg_pool(numbers(dtype, 4, 512, 7, 7), (1, 1))


@of("global_avg_pool_gradient")
def _(dtype: Any) -> None:
    pooling.adaptive_avg_pool_gradient(numbers(dtype, 16, 32, 1, 1), (32, 32))


@of("max_pool_2x2", "max_pool_2x2_gradient")
def _(dtype: Any, vector: int) -> None:
    _max_pool(dtype, 32 + vector % 8, 2, 2, 0)  # 36 is no multiple of 8


@of("avg_pool_2x2", "avg_pool_2x2_gradient")
def _(dtype: Any, vector: int) -> None:
    _avg_pool(dtype, 32 + vector % 8, 2, 2)


@of("max_pool_3x3", "max_pool_3x3_gradient")
def _(dtype: Any, vector: int) -> None:
    _max_pool(dtype, 56 + vector % 8, 3, 2, 1)


# --- recurrent layers -------------------------------------------------------------------------------------------------
class _Units:
    """Arrays of so many sequences and units, in the layers' dtype and in float32."""

    def __init__(self, dtype: Any, gates: int):
        self.dtype, self.gates = dtype, gates
        self.bias = numbers(dtype, gates * 128)

    def own(self, gates: int = 1) -> Any:
        return numbers(self.dtype, 64, gates * 128)

    def wide(self, gates: int = 1) -> Any:
        return numbers(FLOAT32, 64, gates * 128)


@of("rnn_forward", "rnn_backward")
def _(dtype: Any, relu: bool) -> None:
    u = _Units(dtype, 1)
    recurrent.rnn_forward(u.wide(), u.bias, u.bias, u.own(), relu=relu)
    recurrent.rnn_backward(u.own(), u.own(), u.wide(), u.own(), relu=relu)


@of("lstm_forward", "lstm_backward")
def _(dtype: Any) -> None:
    u = _Units(dtype, 4)
    recurrent.lstm_forward(u.wide(4), u.bias, u.bias, u.wide(), u.wide(), u.wide(), u.own())
    recurrent.lstm_backward(u.wide(4), u.wide(), u.wide(), u.own(), u.wide(), u.wide(), u.wide(), u.own(4))


@of("gru_forward", "gru_backward")
def _(dtype: Any) -> None:
    u = _Units(dtype, 3)
    recurrent.gru_forward(u.wide(3), u.wide(3), u.bias, u.bias, u.wide(), u.wide(), u.wide(), u.own())
    recurrent.gru_backward(u.wide(3), u.wide(), u.wide(), u.own(), u.wide(), u.wide(), u.own(3), u.own(3))


@of(*(f"gru_original_{part}" for part in ("gates", "candidate", "candidate_backward", "gates_backward")))
def _(dtype: Any) -> None:
    u = _Units(dtype, 3)
    gates, d_z = u.wide(3), u.own(3)
    recurrent.gru_original_gates(gates, u.bias, u.bias, u.wide(), u.own())
    recurrent.gru_original_candidate(gates, u.bias, u.bias, u.wide(), u.wide(), u.own())
    recurrent.gru_original_candidate_backward(gates, u.wide(), u.own(), u.wide(), u.wide(), d_z)
    recurrent.gru_original_gates_backward(gates, u.wide(), u.wide(), u.wide(), d_z)
