"""The cases of `weft info --kernels --profile`: what users have, small enough for the emulator; every family of kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ... import rand, randn, tensor
from ...layers import LSTM, Parameter
from ...layers import functional as F
from ...optimizers import Adam, clip_grad_norm_

__all__ = ["CASES"]

Make = Callable[[Any], Callable[[], Any]]  # for a dtype, prepares and returns what is profiled


def _inputs(shapes: Iterable[Sequence[int]], dtype: Any) -> list[Any]:
    return [randn(*shape, device="emulator").to(dtype).detach().requires_grad_() for shape in shapes]


def _through(f: Callable[..., Any], *shapes: Sequence[int]) -> Make:
    """Forward and backward of f."""

    def make(dtype: Any) -> Callable[[], Any]:
        inputs = _inputs(shapes, dtype)

        def run() -> None:
            y = f(*inputs)
            y.backward(y.detach())

        return run

    return make


def _classes(rows: int, classes: int) -> Make:
    def make(dtype: Any) -> Callable[[], Any]:
        (x,) = _inputs([(rows, classes)], dtype)
        target = tensor([i * 37 % classes for i in range(rows)], device="emulator")
        return lambda: F.cross_entropy(x, target).backward()

    return make


def _lookup(count: int, rows: int, columns: int) -> Make:
    def make(dtype: Any) -> Callable[[], Any]:
        (weight,) = _inputs([(rows, columns)], dtype)
        indices = tensor([i * 37 % rows for i in range(count)], device="emulator")

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


def _causal(*qkv: Any) -> Any:
    return F.scaled_dot_product_attention(*qkv, is_causal=True)


def _clipped(size: int) -> Make:
    def make(dtype: Any) -> Callable[[], Any]:
        (p,) = _inputs([(size,)], dtype)
        p = Parameter(p.detach())
        p.grad = p.detach().clone()
        return lambda: clip_grad_norm_([p], 1.0)

    return make


def _lstm(time: int, batch: int, features: int) -> Make:
    def make(dtype: Any) -> Callable[[], Any]:
        layer = LSTM(features, features, device="emulator").to(dtype)
        (x,) = _inputs([(time, batch, features)], dtype)

        def run() -> None:
            y = layer(x)[0]
            y.backward(y.detach())

        return run

    return make


CASES: dict[str, Make] = {
    "adam": _update(1 << 14),
    "attention": _through(F.scaled_dot_product_attention, *[(1, 2, 256, 64)] * 3),
    "attention_128": _through(F.scaled_dot_product_attention, *[(1, 1, 512, 128)] * 3),
    "attention_128_causal": _through(_causal, *[(1, 1, 512, 128)] * 3),
    "attention_step": _decoded((1, 4, 1, 64), *[(1, 4, 1024, 64)] * 2),
    "avg_pool2d": _through(lambda x: F.avg_pool2d(x, 2), (4, 8, 32, 32)),
    "batch_norm": _through(
        lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True), (24, 4, 64, 64), (4,), (4,)
    ),
    "clip_grad_norm": _clipped(1 << 15),
    "conv2d": _through(lambda x, w: F.conv2d(x, w, padding=1), (4, 16, 32, 32), (32, 16, 3, 3)),
    "cross_entropy": _classes(2, 50257),
    "dropout": _through(lambda x: F.dropout(x, 0.1), (1 << 15,)),
    "embedding": _lookup(128, 256, 256),
    "gelu": _through(lambda x: F.gelu(x, approximate="tanh"), (1 << 17,)),
    "group_norm": _through(lambda x, w, b: F.group_norm(x, 4, w, b), (4, 16, 64, 64), (16,), (16,)),
    "layer_norm": _through(lambda x, w, b: F.layer_norm(x, (4096,), w, b), (32, 4096), (4096,), (4096,)),
    "linear": _through(lambda x, w, b: F.linear(x, w, b, activation="relu"), (512, 256), (256, 256), (256,)),
    "lstm": _lstm(2, 64, 128),
    "max_pool2d": _through(lambda x: F.max_pool2d(x, 2), (4, 8, 32, 32)),
    "max_pool2d_3": _through(lambda x: F.max_pool2d(x, 3, 2, 1), (4, 8, 56, 56)),
    "rand": lambda dtype: lambda: rand(1 << 15, device="emulator", dtype=dtype),
    "rms_norm": _through(lambda x, w: F.rms_norm(x, (4096,), w, eps=1e-6), (32, 4096), (4096,)),
    "rotary": _through(F.rotary_embedding, (4, 64, 128), (64, 64), (64, 64)),
    "swiglu": _through(F.swiglu, (32, 1024), (32, 1024)),
}
