"""The cases of `weft info --kernels --profile`: what users have, small enough for the emulator; every kernel, if not in every
instantiation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ... import ones, rand, tensor, use_deterministic_algorithms, zeros
from ...kernels.indices import note
from ...layers import GRU, LSTM, RNN, Parameter
from ...layers import functional as F
from ...optimizers import Adam, clip_grad_norm_

__all__ = ["CASES", "REQUESTS"]

Make = Callable[[Any], Callable[[], Any]]  # for a dtype, prepares and returns what is profiled


def _inputs(shapes: Iterable[Sequence[int]], dtype: Any) -> list[Any]:
    rng = np.random.default_rng(0)  # where maxima are decides which banks of shared memory their gradients meet in
    numbers = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
    return [tensor(n, device="emulator").to(dtype).detach().requires_grad_() for n in numbers]


def _through(f: Callable[..., Any], *shapes: Sequence[int]) -> Make:
    """Forward and backward of f."""

    def make(dtype: Any) -> Callable[[], Any]:
        inputs = _inputs(shapes, dtype)

        def run() -> None:
            y = f(*inputs)
            y.backward(y.detach())

        return run

    return make


def _classes(rows: int, classes: int, *pixels: int) -> Make:
    def make(dtype: Any) -> Callable[[], Any]:
        (x,) = _inputs([(rows, classes, *pixels)], dtype)
        target = tensor(np.arange(rows * math.prod(pixels)).reshape(rows, *pixels) * 37 % classes, device="emulator")
        return lambda: F.cross_entropy(x, target).backward()

    return make


def _lookup(count: int, rows: int, columns: int, alike: int = 0) -> Make:
    """So many indices, all different, and so many more that are alike: more than are summed at a time are to be joined."""

    def make(dtype: Any) -> Callable[[], Any]:
        (weight,) = _inputs([(rows, columns)], dtype)
        indices = tensor([i * 37 % rows for i in range(count)] + [count * 37 % rows] * alike, device="emulator")

        def run() -> None:
            y = F.embedding(indices, weight)
            y.backward(y.detach())

        return run

    return make


def _update(size: int) -> Make:
    def make(dtype: Any) -> Callable[[], Any]:
        (p,) = _inputs([(size,)], dtype)
        p = Parameter(p.detach())
        optimizer = Adam([p])
        p.grad = p.detach().clone()
        return optimizer.step

    return make


def _decoded(*shapes: Sequence[int]) -> Make:
    """Attention of one query, as decoding has it."""

    def make(dtype: Any) -> Callable[[], Any]:
        inputs = [x.detach() for x in _inputs(shapes, dtype)]
        return lambda: F.scaled_dot_product_attention(*inputs)

    return make


def _causal(query: Any, key: Any, value: Any) -> Any:
    return F.scaled_dot_product_attention(query, key, value, is_causal=True)


def _clipped(size: int) -> Make:
    def make(dtype: Any) -> Callable[[], Any]:
        (p,) = _inputs([(size,)], dtype)
        p = Parameter(p.detach())
        p.grad = p.detach().clone()
        return lambda: clip_grad_norm_([p], 1.0)

    return make


def _recurrent(kind: Any, time: int, batch: int, features: int, **options: Any) -> Make:
    def make(dtype: Any) -> Callable[[], Any]:
        layer = kind(features, features, device="emulator", **options).to(dtype)
        (x,) = _inputs([(time, batch, features)], dtype)

        def run() -> None:
            y = layer(x)[0]
            y.backward(y.detach())

        return run

    return make


def _in_any_order(make: Make) -> Make:
    """The same where sums need not be the same each time."""

    def any_order(dtype: Any) -> Callable[[], Any]:
        run = make(dtype)

        def unordered() -> None:
            use_deterministic_algorithms(False)
            try:
                run()
            finally:
                use_deterministic_algorithms(True)

        return unordered

    return any_order


def _by_running_statistics(x: Any, weight: Any, bias: Any) -> Any:
    channels = x.shape[1]
    mean, var = zeros(channels, device="emulator"), ones(channels, device="emulator")
    return F.batch_norm(x, mean, var, weight, bias)


def _looked_at(count: int) -> Make:
    """Indices, for the first that is out of range."""
    indices = np.arange(count) % 1000
    return lambda dtype: lambda: note("indices", indices, 1000)


CASES: dict[str, Make] = {
    "adam": _update(1 << 14),
    "attention": _through(F.scaled_dot_product_attention, *[(1, 2, 256, 64)] * 3),
    "attention_128": _through(F.scaled_dot_product_attention, *[(1, 1, 512, 128)] * 3),
    "attention_128_causal": _through(_causal, *[(1, 1, 512, 128)] * 3),
    "attention_step": _decoded((1, 4, 1, 64), *[(1, 4, 1024, 64)] * 2),
    "adaptive_avg_pool2d": _through(lambda x: F.adaptive_avg_pool2d(x, 7), (4, 8, 32, 32)),
    "adaptive_avg_pool1d": _through(lambda x: F.adaptive_avg_pool1d(x, 7), (2, 4, 4096)),
    "adaptive_avg_pool1d_up": _through(lambda x: F.adaptive_avg_pool1d(x, 4096), (2, 4, 7)),
    "adaptive_avg_pool2d_1_large": _through(lambda x: F.adaptive_avg_pool2d(x, 1), (4, 16, 56, 56)),
    "adaptive_avg_pool2d_up": _through(lambda x: F.adaptive_avg_pool2d(x, 10), (16, 64, 7, 7)),
    "adaptive_avg_pool2d_1": _through(lambda x: F.adaptive_avg_pool2d(x, 1), (4, 512, 7, 7)),
    "attention_in_any_order": _in_any_order(_through(F.scaled_dot_product_attention, *[(1, 2, 256, 64)] * 3)),
    "avg_pool1d": _through(lambda x: F.avg_pool1d(x, 5, 2), (2, 16, 4096)),
    "avg_pool2d_3": _through(lambda x: F.avg_pool2d(x, 3, 1, 1), (4, 8, 32, 32)),
    "avg_pool2d_5": _through(lambda x: F.avg_pool2d(x, 5, 3), (4, 8, 32, 32)),
    "avg_pool2d_odd": _through(lambda x: F.avg_pool2d(x, 2), (2, 2, 113, 113)),
    "avg_pool2d_4": _through(lambda x: F.avg_pool2d(x, 4), (4, 8, 32, 32)),
    "avg_pool2d": _through(lambda x: F.avg_pool2d(x, 2), (4, 8, 32, 32)),
    "batch_norm": _through(
        lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True), (24, 4, 64, 64), (4,), (4,)
    ),
    "batch_norm_inference": _through(_by_running_statistics, (24, 4, 64, 64), (4,), (4,)),
    "clip_grad_norm": _clipped(1 << 15),
    "conv2d": _through(lambda x, w: F.conv2d(x, w, padding=1), (4, 16, 32, 32), (32, 16, 3, 3)),
    "conv2d_128": _through(lambda x, w: F.conv2d(x, w, padding=1), (4, 128, 8, 8), (128, 128, 3, 3)),
    "conv2d_1x1": _through(F.conv2d, (4, 256, 16, 16), (128, 256, 1, 1)),
    "conv2d_groups": _through(
        lambda x, w, b: F.conv2d(x, w, b, padding=1, groups=4), (8, 16, 32, 32), (16, 4, 3, 3), (16,)
    ),
    "conv2d_rgb": _through(lambda x, w: F.conv2d(x, w, stride=2, padding=3), (8, 3, 32, 32), (64, 3, 7, 7)),
    "conv2d_rgb_small": _through(lambda x, w: F.conv2d(x, w, padding=1), (4, 3, 32, 32), (64, 3, 3, 3)),
    "cross_entropy": _classes(2, 50257),
    "cross_entropy_10": _classes(4096, 10),
    "cross_entropy_pixels": _classes(2, 21, 32, 64),
    "dropout": _through(lambda x: F.dropout(x, 0.1), (1 << 15,)),
    "embedding": _lookup(256, 512, 256, alike=80),
    "embedding_in_any_order": _in_any_order(_lookup(128, 256, 256)),
    "gelu": _through(lambda x: F.gelu(x, approximate="tanh"), (1 << 17,)),
    "group_norm": _through(lambda x, w, b: F.group_norm(x, 4, w, b), (4, 16, 64, 64), (16,), (16,)),
    "gru": _recurrent(GRU, 2, 64, 128),
    "gru_original": _recurrent(GRU, 2, 64, 128, reset_after=False),
    "indices": _looked_at(1 << 15),
    "layer_norm": _through(lambda x, w, b: F.layer_norm(x, (4096,), w, b), (32, 4096), (4096,), (4096,)),
    "linear": _through(lambda x, w, b: F.linear(x, w, b, activation="relu"), (512, 256), (256, 256), (256,)),
    "lstm": _recurrent(LSTM, 2, 64, 128),
    "max_pool2d": _through(lambda x: F.max_pool2d(x, 2), (4, 8, 32, 32)),
    "max_pool2d_odd": _through(lambda x: F.max_pool2d(x, 2), (2, 2, 113, 113)),
    "max_pool2d_3_odd": _through(lambda x: F.max_pool2d(x, 3, 2), (4, 4, 55, 55)),
    "max_pool2d_3_padded": _through(lambda x: F.max_pool2d(x, 3, 2, 1), (4, 4, 57, 57)),
    "max_pool2d_3": _through(lambda x: F.max_pool2d(x, 3, 2, 1), (4, 8, 56, 56)),
    "max_pool2d_3_1": _through(lambda x: F.max_pool2d(x, 3, 1, 1), (4, 8, 32, 32)),
    "max_pool2d_5": _through(lambda x: F.max_pool2d(x, 5, 1, 2), (4, 8, 32, 32)),
    "max_pool2d_7": _through(lambda x: F.max_pool2d(x, 7, 1, 3), (4, 8, 32, 32)),
    "max_pool2d_7_by_5": _through(lambda x: F.max_pool2d(x, (7, 5), 1, (3, 2)), (4, 8, 32, 32)),
    "max_pool2d_7_by_9": _through(lambda x: F.max_pool2d(x, (7, 9), 1, (3, 4)), (4, 8, 32, 32)),
    "max_pool2d_7_2": _through(lambda x: F.max_pool2d(x, 7, 2, 3), (4, 8, 32, 32)),
    "max_pool2d_dilated": _through(lambda x: F.max_pool2d(x, 3, 1, 1, 2), (4, 8, 32, 32)),
    "max_pool2d_13": _through(lambda x: F.max_pool2d(x, 13, 1, 6), (4, 14, 20, 20)),
    "rand": lambda dtype: lambda: rand(1 << 15, device="emulator", dtype=dtype),
    "rms_norm": _through(lambda x, w: F.rms_norm(x, (4096,), w, eps=1e-6), (32, 4096), (4096,)),
    "rnn": _recurrent(RNN, 2, 64, 128),
    "rotary": _through(F.rotary_embedding, (4, 64, 128), (64, 64), (64, 64)),
    "swiglu": _through(F.swiglu, (32, 1024), (32, 1024)),
}

# What is launched instead where requests alone are counted: the same kernels. Attention of fewer positions, which takes the
# emulator a quarter of the time.
REQUESTS: dict[str, Make] = {
    "attention": _through(F.scaled_dot_product_attention, *[(1, 2, 128, 64)] * 3),
    "attention_128": _through(F.scaled_dot_product_attention, *[(1, 1, 256, 128)] * 3),
    "attention_128_causal": _through(_causal, *[(1, 1, 256, 128)] * 3),
    "attention_in_any_order": _in_any_order(_through(F.scaled_dot_product_attention, *[(1, 2, 128, 64)] * 3)),
}
