"""Launchers of `attention.cu` and `attention_backward.cu`: attention in memory linear in the length of the sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .random import stream_arguments
from .toolchain.launch import FLOATS, HALVES, Kernel, empty, library_of

__all__ = ["WIDEST", "Options", "backward", "forward", "round_sums", "row_products"]

WIDTHS = (64, 128, 256)  # of tiles: head sizes are filled up with zeros to the next of these
WIDEST = WIDTHS[-1]
PAD = 128  # statistics of rows have a multiple of so many
BLOCK = 256  # threads of the kernels that multiply no matrices
KEY_WARPS = 8
OPTIONS = ("-ftz=true",)  # exp2f is then a single instruction; probabilities below 2⁻¹²⁶ become 0


def _exists(dtype: Any, width: int, plain: bool, query: bool = False) -> bool:
    return (dtype in HALVES and width < WIDEST) if plain else not query


_forward = Kernel("attention.cu", "attention_forward", FLOATS, WIDTHS, (True, False), options=OPTIONS)
_delta = Kernel("attention_backward.cu", "attention_delta", FLOATS, options=OPTIONS)
_query = Kernel(
    "attention_backward.cu", "attention_backward_query", FLOATS, WIDTHS, (True, False), only=_exists, options=OPTIONS
)
_key = Kernel(
    "attention_backward.cu",
    "attention_backward_key",
    FLOATS,
    WIDTHS,
    (True, False),
    (True, False),
    only=_exists,
    options=OPTIONS,
)
_round = Kernel("attention_backward.cu", "attention_round", HALVES, options=OPTIONS)


class Options(NamedTuple):
    """The scale of the scores, the mask j ≤ i, and dropout with the `stream` of `random.draw`.

    A probability stays if its 16 bits of the stream are less than `threshold` (2¹⁶: all stay), and is multiplied by
    `rescale`.
    """

    scale: float
    is_causal: bool = False
    threshold: int = 1 << 16
    rescale: float = 1.0
    stream: tuple[int, int, Any] = (0, 0, None)

    def plain(self, mask: Any) -> bool:
        """Whether the kernels for the plain case will do: no mask but the causal one, no dropout, a positive scale."""
        return mask is None and self.scale > 0 and self.threshold == 1 << 16

    def arguments(self) -> tuple:
        key0, key1, counter, advance = stream_arguments(self.stream)
        return (
            np.float32(self.scale),
            np.bool_(self.is_causal),
            np.int32(self.threshold),
            np.float32(self.rescale),
            key0,
            key1,
            counter,
            advance,
        )


def forward(query: Any, key: Any, value: Any, mask: Any, options: Options) -> tuple[Any, Any]:
    """(out, statistics) of query (B, H, L, E), key (B, G, S, E) and value (B, G, S, Eᵥ), G a divisor of H, E and Eᵥ ≤ WIDEST.

    `mask` is None or broadcasts to (B, H, L, S), boolean or of the query's dtype. out (B, H, L, Eᵥ) is a view of
    (B, L, H, Eᵥ). statistics (B, H, L and some, 2) are m = maxⱼ sⱼ and log₂ Σⱼ exp(f (sⱼ − m)), where the score is f sⱼ: f = 1
    if numbers are added or the scale is not positive, else f = scale. In rows in which no key takes part they are 0 and +∞.
    """
    inputs, mask = [_loadable(x) for x in (query, key, value)], _forwards(mask)
    b, h, length, _ = query.shape
    out = _rows_of_heads(b, h, length, inputs[2].shape[-1], like=query)
    statistics = empty((b, h, -(-length // PAD) * PAD, 2), np.float32, like=query)
    width = _tile_width(inputs)
    plain = options.plain(mask)
    warps, rows, columns = forward_tile(width, query.dtype.itemsize, plain)
    _forward[query.dtype, width, plain](
        b * h * -(-length // rows),
        32 * warps,
        *inputs,
        *_mask_arrays(mask),
        out,
        statistics,
        *_strides(inputs),
        *_mask_strides(mask, query, key),
        *_sizes(inputs),
        *options.arguments(),
        shared=(rows + 2 * columns) * width * query.dtype.itemsize,
    )
    return out[..., : value.shape[-1]], statistics


def backward(
    grad_out: Any,
    query: Any,
    key: Any,
    value: Any,
    mask: Any,
    out: Any,
    statistics: Any,
    options: Options,
    *,
    need: Sequence[bool],
    deterministic: bool = True,
) -> tuple[Any, Any, Any]:
    """The gradients of query, key and value, shaped like them, for `out` and `statistics` of `forward`.

    `need` says whether that of the query is wanted, and whether those of key and value are; None for those that are not.
    Without `deterministic`, that of the query may be summed in any order, if all are wanted: five products, not seven.
    """
    inputs, mask = [_loadable(x) for x in (query, key, value)], _forwards(mask)
    out, grad_out = _loadable(out), _loadable(grad_out)
    (b, h, length, _), (_, g, keys, _) = query.shape, key.shape
    widths = [x.shape[-1] for x in inputs]
    dtype, width = query.dtype, _tile_width(inputs)
    delta = row_products(out, grad_out, statistics.shape[2])
    plain = options.plain(mask) and _exists(dtype, width, True)
    arrays = (*inputs, *_mask_arrays(mask), grad_out, statistics, delta)
    strides = *_strides(inputs), *_mask_strides(mask, query, key), *_strides([grad_out])
    numbers = *strides, *_sizes(inputs), *options.arguments()
    grad_query = grad_key = grad_value = sums = None
    if need[0]:
        grad_query = _rows_of_heads(b, h, length, widths[0], like=query)
        if plain and not deterministic and any(need[1:]):
            sums = library_of(query).zeros((b, length, h, widths[0]), np.float32)
        else:
            warps, rows, passing = query_tiles(width, dtype.itemsize, plain)
            _query[dtype, width, plain](
                b * h * -(-length // rows),
                32 * warps,
                *arrays,
                grad_query,
                *numbers,
                shared=(2 * rows + 4 * passing) * width * dtype.itemsize,
            )
    if any(need[1:]):
        grad_key = _rows_of_heads(b, g, keys, widths[1], like=query)
        grad_value = _rows_of_heads(b, g, keys, widths[2], like=query)
        rows, passing, stages = key_tiles(width, dtype.itemsize, plain)
        _key[dtype, width, plain, sums is not None](
            b * g * -(-keys // rows),
            32 * KEY_WARPS,
            *arrays,
            sums,
            grad_key,
            grad_value,
            *numbers,
            shared=2 * (rows * width + passing * rows + stages * passing * width) * dtype.itemsize,
        )
    if sums is not None:
        round_sums(sums, grad_query)
    return _like(grad_query, query), _like(grad_key, key), _like(grad_value, value)


def row_products(out: Any, grad_out: Any, rows: int) -> Any:
    """delta (B, H, rows), Σ out · grad_out of each row of loadable (B, H, L, Eᵥ); `rows` is L to a multiple of PAD, filled by 0."""
    b, h, length, width = out.shape
    delta = empty((b, h, rows), np.float32, like=out)
    sizes = (np.int32(n) for n in (h, length, width))
    _delta[out.dtype](delta.size // PAD, BLOCK, out, grad_out, delta, *_strides([out, grad_out]), *sizes)
    return delta


def round_sums(sums: Any, grad_query: Any) -> None:
    """Write grad_query, in half precision, from its sums (B, L, H, E) in float32."""
    _round[grad_query.dtype](-(-sums.size // (4 * BLOCK)), BLOCK, sums, grad_query, np.int64(sums.size))


# --- tiles, as the sources have them: a test compares -----------------------------------------------------------------
def _tile_width(inputs: Sequence[Any]) -> int:
    return next(w for w in WIDTHS if w >= max(x.shape[-1] for x in inputs))


def forward_tile(width: int, itemsize: int, plain: bool) -> tuple[int, int, int]:
    """Warps, queries and keys of a tile: `Forward` in the source."""
    single = itemsize == 4
    columns = {
        64: 64 if plain else 32,
        128: (32 if single else 64) if plain else 16,
        256: 64 if plain and not single else 16,
    }
    return 8 if width > 128 else 4, 128, columns[width]


def query_tiles(width: int, itemsize: int, plain: bool) -> tuple[int, int, int]:
    """Warps, queries that stay and keys that pass by: `QueryTiles` in the source."""
    if plain:
        return 4, 128, 8192 // (width * itemsize)
    warps = 4 if width * itemsize > 512 else 8
    return warps, 16 * warps, 64 if width == 128 and itemsize == 2 else 8192 // (width * itemsize)


def key_tiles(width: int, itemsize: int, plain: bool) -> tuple[int, int, int]:
    """Keys that stay, queries that pass by and how many tiles of these there are: `KeyTiles` in the source."""
    half, widest = itemsize == 2, width == WIDEST
    queries = 64 if width == 64 or (half and (plain or widest)) else 32
    return (64 if half else 32) if widest else (128 if half else 64), queries, 1 if widest else 2


# --- memory -----------------------------------------------------------------------------------------------------------
def _loadable(x: Any) -> Any:
    """x, or a copy, with rows that tiles can be loaded from: of neighbours, a multiple of 8 by zeros, on 16 bytes."""
    xp, width = library_of(x), x.shape[-1]
    if width % 8:
        wide = xp.zeros((*x.shape[:-1], -(-width // 8) * 8), x.dtype)
        wide[..., :width] = x
        return wide
    *outer, last = x.strides
    address = x.ctypes.data if isinstance(x, np.ndarray) else x.data.ptr
    in_rows = last == x.itemsize and all(s >= 0 and s % 16 == 0 for s in (address, *outer))
    return x if in_rows or not x.size else xp.array(x, order="C")


def _like(grad: Any, x: Any) -> Any:
    """A gradient without the columns that x was filled up with."""
    return None if grad is None else grad[..., : x.shape[-1]]


def _forwards(mask: Any) -> Any:
    """The mask, or a copy if it runs backwards along an axis: a launch is given the first of its bytes."""
    return mask if mask is None or min(mask.strides, default=0) >= 0 else mask.copy()


def _rows_of_heads(b: int, h: int, rows: int, width: int, like: Any) -> Any:
    """(B, H, rows, width) as a view of (B, rows, H, width), which what surrounds attention reads without a copy."""
    return empty((b, rows, h, width), like.dtype, like=like).swapaxes(1, 2)


def _strides(arrays: Sequence[Any]) -> tuple:
    return tuple(np.int64(s // x.itemsize) for x in arrays for s in x.strides[:3])


def _sizes(inputs: Sequence[Any]) -> tuple:
    (_, h, length, width), (_, g, keys, _), (*_, value_width) = (x.shape for x in inputs)
    return tuple(np.int32(n) for n in (h, h // g, length, keys, width, value_width))


def _mask_arrays(mask: Any) -> tuple[Any, Any]:
    """(allowed, bias), at most one of which is there."""
    if mask is None:
        return None, None
    return (mask, None) if mask.dtype == np.bool_ else (None, mask)


def _mask_strides(mask: Any, query: Any, key: Any) -> tuple:
    """In elements, 0 along axes that are broadcast."""
    if mask is None:
        return (np.int64(0),) * 4
    full = library_of(mask).broadcast_to(mask, (*query.shape[:3], key.shape[2]))
    return tuple(np.int64(s // mask.itemsize) for s in full.strides)
