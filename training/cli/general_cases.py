"""Cases of single instantiations, but for those of convolutions, pooling and recurrent layers (window_cases.py)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import optimizers, tensor, use_deterministic_algorithms
from ...kernels import (
    activation,
    attention,
    attention_step,
    cross_entropy,
    dropout,
    embedding,
    indices,
    normalization,
    random,
    reductions,
    rotary,
    swiglu,
)
from ...kernels import batch_normalization as norms
from ...layers import Parameter
from .case_makers import FLOAT32, STREAM, numbers, of

__all__: list[str] = []


# --- elementwise, and sums --------------------------------------------------------------------------------------------
@of("activation_forward")
def _(dtype: Any, function: str) -> None:
    activation.forward(numbers(dtype, 1 << 17), function)


@of("activation_backward")
def _(dtype: Any, function: str) -> None:
    x = numbers(dtype, 1 << 17)
    activation.backward(x, x, function)


@of("column_totals")
def _(dtype: Any) -> None:
    activation.column_sums(numbers(dtype, 512, 256))


@of("dropout")
def _(dtype: Any, shared: bool, has_residual: bool) -> None:
    x = numbers(dtype, 1 << 15)
    many: Any = {"threshold": 9 << 28, "scale": 1.1, "shared": 64 if shared else 1}
    dropout.dropout(x, x.copy() if has_residual else None, stream=STREAM, **many)


@of("swiglu")
def _(dtype: Any, is_backward: bool) -> None:
    x, gate, g = (numbers(dtype, 32, 1024) for _ in range(3))
    swiglu.backward(g, x, gate) if is_backward else swiglu.forward(x, gate)


@of("rotary")
def _(dtype: Any, interleaved: bool) -> None:
    rotary.rotary(numbers(dtype, 4, 64, 128), *(numbers(FLOAT32, 64, 64) for _ in range(2)), interleaved=interleaved)


@of("draw")
def _(dtype: Any, what: str) -> None:
    random.draw(what, np.empty(1 << 14, dtype), STREAM, bound=1000)


@of("first_outside")
def _(dtype: Any) -> None:
    indices.note("indices", (np.arange(1 << 15) % 100).astype(dtype), 100)


@of("power_sum")
def _(dtype: Any, what: str) -> None:
    reductions.norm([numbers(dtype, 1 << 15)], {"Square": 2.0, "Absolute": 1.0, "Power": 3.0, "Largest": np.inf}[what])


@of("finish_norm")
def _() -> None:
    reductions.norm([numbers(FLOAT32, 1 << 15)])


@of("scale")
def _(dtype: Any) -> None:
    reductions.scale(numbers(dtype, 1 << 15), np.full((), 0.5, np.float32))


@of("clip")
def _(dtype: Any) -> None:
    reductions.clip(numbers(dtype, 1 << 15), np.full((), 2.0, np.float32), 1.0)


@of("step")
def _(dtype: Any, rule: str, threads: int) -> None:
    p = Parameter(tensor(numbers(FLOAT32, 1 << 14), device="emulator").to(dtype))
    optimizer = getattr(optimizers, rule)([p], lr=0.1)
    p.grad = p.detach().clone()
    optimizer.step()


# --- attention --------------------------------------------------------------------------------------------------------
def _attention(dtype: Any, width: int, plain: bool) -> tuple[Any, ...]:
    """Query, key, value, a mask unless it is the plain case, and options."""
    length = 128 if width == 256 else 256
    mask = None if plain else np.ones((length, length), np.bool_)
    return *(numbers(dtype, 1, 1, length, width) for _ in range(3)), mask, attention.Options(width**-0.5)


@of("attention_forward")
def _(dtype: Any, width: int, plain: bool) -> None:
    attention.forward(*_attention(dtype, width, plain))


@of("attention_delta")
def _(dtype: Any) -> None:
    out = numbers(dtype, 1, 4, 256, 64)
    attention.row_products(out, out, 256)


def _attention_backward(dtype: Any, width: int, plain: bool, need: tuple[bool, ...], in_order: bool) -> None:
    query, key, value, mask, options = _attention(dtype, width, plain)
    statistics = np.zeros((1, 1, query.shape[2], 2), np.float32)
    attention.backward(query, query, key, value, mask, query, statistics, options, need=need, deterministic=in_order)


@of("attention_backward_query")
def _(dtype: Any, width: int, plain: bool) -> None:
    _attention_backward(dtype, width, plain, (True, False, False), True)


@of("attention_backward_key")
def _(dtype: Any, width: int, plain: bool, with_query: bool) -> None:
    _attention_backward(dtype, width, plain, (with_query, True, True), False)


@of("attention_round")
def _(dtype: Any) -> None:
    attention.round_sums(numbers(FLOAT32, 1, 256, 2, 64), np.empty((1, 256, 2, 64), dtype))


@of("attention_split", "attention_join")
def _(dtype: Any) -> None:
    key, value = (numbers(dtype, 1, 4, 1024, 64) for _ in range(2))
    attention_step.forward(numbers(dtype, 1, 4, 1, 64), key, value, None, 0.125)


# --- norms ------------------------------------------------------------------------------------------------------------
def _images(dtype: Any, vector: int, last: bool) -> Any:
    """x (N, C, H, W): the channels last in memory, or rows of pixels that `vector` divides."""
    size = 32 if vector > 1 else 31
    x = numbers(dtype, 16, 16, 16, 64) if last else numbers(dtype, 16, 4, size, size)
    return np.moveaxis(x, -1, 1) if last else x


def _batch_norm(dtype: Any, of_channels: Any, vector: int, last: bool) -> None:
    x = _images(dtype, vector, last)
    weight, bias = (numbers(of_channels, x.shape[1]) for _ in range(2))
    norms.batch_forward(x, weight, bias, eps=1e-5)
    mean, rstd, g = np.zeros(len(weight), np.float32), np.ones(len(weight), np.float32), (x, bias, bias)
    norms.batch_backward(g, x, weight, mean, rstd, (True, True, True), (None, None, None))


@of("normalise", "normalise_backward")
def _(dtype: Any, of_channels: Any, vector: int, last: bool) -> None:
    _batch_norm(dtype, of_channels, vector, last)


@of("channel_moments", "gradient_sums")
def _(dtype: Any, vector: int, last: bool) -> None:
    _batch_norm(dtype, dtype, vector, last)


@of("channel_statistics", "gradient_means")
def _(dtype: Any) -> None:
    _batch_norm(dtype, dtype, 8, False)


@of("running_statistics")
def _(dtype: Any) -> None:
    ones = np.ones(64, dtype)
    norms.inference_forward(_images(dtype, 8, True), ones, ones, ones, ones, eps=1e-5)


def _rows(dtype: Any, vector: int) -> Any:
    return numbers(dtype, 32, 4096 if vector > 1 else 1023)


@of("norm_forward")
def _(dtype: Any, centred: bool, vector: int) -> None:
    x = _rows(dtype, vector)
    normalization.norm_forward(x, x[0], x[1] if centred else None, eps=1e-5, centred=centred)


@of("norm_backward")
def _(dtype: Any, centred: bool, vector: int) -> None:
    x, ones = _rows(dtype, vector), np.ones(32, np.float32)
    need = (True, True, centred)
    normalization.norm_backward(x, x, x[0], ones if centred else None, ones, need, (None, None, None))


@of("add_partials")
def _(dtype: Any) -> None:
    normalization.add_partials(numbers(FLOAT32, 2, 128, 1024), dtype, (True, True), (None, None))


# --- tables and classes -----------------------------------------------------------------------------------------------
def _table(dtype: Any, vector: int) -> tuple[Any, Any]:
    """Rows for 256 indices, and these: the first half all different, the others alike, so that parts of sums are to be joined."""
    which = np.where(np.arange(256) < 128, np.arange(256), 128) * 37 % 256
    return numbers(dtype, 256, 256 if vector > 1 else 255), which


@of("embedding_forward")
def _(dtype: Any, vector: int) -> None:
    rows, which = _table(dtype, vector)
    embedding.forward(which, rows)


@of("embedding_chunks", "embedding_join")
def _(dtype: Any, vector: int) -> None:
    embedding.backward(*_table(dtype, vector), 256)


@of("embedding_scatter")
def _(dtype: Any) -> None:
    use_deterministic_algorithms(False)
    try:
        embedding.backward(*_table(dtype, 8), 256)
    finally:
        use_deterministic_algorithms(True)


def _classes(dtype: Any, rows: int, classes: int) -> None:
    cross_entropy.cross_entropy(numbers(dtype, rows, classes), np.arange(rows) * 37 % classes)


@of("cross_entropy_rows")
def _(dtype: Any, threads: int) -> None:
    rows, size = {32: (128, 2048), 256: (8, 16384), 512: (2, 200000)}[threads]  # bytes of a row
    _classes(dtype, rows, size // dtype.itemsize)


@of("cross_entropy_few")
def _(dtype: Any, padded: bool) -> None:
    _classes(dtype, 4096, 16 if padded else 10)


@of("cross_entropy_columns")
def _(dtype: Any) -> None:
    cross_entropy.cross_entropy(numbers(dtype, 4, 10, 1024), np.arange(4096).reshape(4, 1024) % 10)


@of("sum_of_values")
def _(dtype: Any) -> None:
    _classes(dtype, 4096, 10)


@of("sum_of_weights")
def _() -> None:
    _classes(FLOAT32, 4096, 10)
