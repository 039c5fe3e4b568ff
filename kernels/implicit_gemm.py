"""Launchers of `implicit_gemm.cu` and `implicit_gemm_backward.cu`: convolutions of half precision on tensor cores.

There is one group, and columns are not in memory. `where` is that of `convolution`'s launchers. Images come channel-last,
(N, H, W, C) with a multiple of 8 channels, zeros where there are no more: what `channel_last` makes of them. Results have
the usual order.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .channel_last import channel_last, padded
from .toolchain.launch import FLOATS, HALVES, Kernel, contiguous, empty
from .toolchain.settings import settings
from .windows import reciprocal, steps

__all__ = ["adjoint", "correlate", "pointwise_weight_gradient", "suits", "weight_gradient"]

ADDERS = 128  # threads of `add_parts`
MOST_TURNED = 48 << 10  # bytes of shared memory in which they turn a weight round; larger kernels go without
DEPTH, STAGES = 32, 4  # terms of a sum that are in shared memory: so many at a time, so many times
WORKSPACE = 128 << 20  # bytes, at most, of sums over parts of the positions
THREADS = 256  # that a multiprocessor runs at a time: registers are what limits them
SHORTEST = 256  # positions that are worth a sum of their own, or more
LIMIT = 1 << 30  # pixels and positions of a batch: the kernels count them in 31 bits
OFFSETS = 8 << 32  # values of an image or a gradient: the kernels count them by eight, in 32 bits

Pair = tuple[int, int]
TILES = ((128, 128), (64, 256))  # features × positions; the second for an odd number of 64 features
NEAR_TILES = ((128, 256), (64, 256))  # where neighbouring taps read neighbouring pixels
SMALL_TILE = (64, 64)  # where others would be too few
WEIGHT_TILES = ((128, 256), (64, 256))  # features × columns
POINTWISE_TILES = ((64, 64), (64, 128), (128, 128), *WEIGHT_TILES)  # of features and channels, the fewer × the more
NEAR_WEIGHT_TILE = (64, 9 * DEPTH)  # where the taps of a kernel of 3 × 3 read neighbouring pixels
MOST_SHARED = 162 << 10  # bytes that a block takes at most, or two blocks: an A100 has 1 KiB more for each
ZEROS = 8  # rows that stand for all that is outside an image


def _is(*tiles: Pair) -> Callable[..., bool]:
    return lambda dtype, rows, columns: (rows, columns) in tiles


_correlate = Kernel(
    "implicit_gemm.cu", "correlate", HALVES, (64, 128), (64, 128, 256), (False, True),
    only=lambda dtype, rows, columns, near: (rows, columns) in (NEAR_TILES if near else (*TILES, SMALL_TILE)),
)  # fmt: skip
_weight_parts = Kernel("implicit_gemm_backward.cu", "weight_parts", HALVES, (64, 128), (256,), only=_is(*WEIGHT_TILES))
_near_weight_parts = Kernel("implicit_gemm_backward.cu", "near_weight_parts", HALVES)
_pointwise_parts = Kernel(
    "implicit_gemm_backward.cu", "pointwise_parts", HALVES, (64, 128), (64, 128, 256), only=_is(*POINTWISE_TILES)
)
_add_parts = Kernel("implicit_gemm_backward.cu", "add_parts", FLOATS)


def suits(x: Any, weight: Any, where: Any) -> bool:
    """Whether this is for N = len(x) images and weight (O, C, KH, KW): half precision, one group, not nothing nor too much."""
    features, channels = map(padded, weight.shape[:2])
    pixels, positions = (len(x) * math.prod(size) for size in (where.image, where.output))
    counted = max(pixels, positions) <= LIMIT and max(pixels * channels, positions * features) <= OFFSETS
    sums = weight.shape[0] * channels * math.prod(where.kernel)
    is_half = x.dtype in HALVES and where.groups == 1
    return (
        is_half
        and counted
        and 0 < sums <= WORKSPACE // 4
        and pixels > 0
        and _most_blocks(channels, len(x), where) < 1 << 31
    )


def _most_blocks(channels: int, batch: int, where: Any) -> int:
    """Of the adjoint, which has each phase computed by blocks of its own: strides beyond the image have many that are empty."""
    of_phase = math.ceil(batch * math.prod(_plane(where)) / SMALL_TILE[1])
    return math.prod(where.stride) * of_phase * math.ceil(channels / SMALL_TILE[0])


def correlate(image: Any, weight: Any, bias: Any, where: Any) -> Any:
    """y (N, O, Ho, Wo) of an image (N, H, W, C), channel-last, with weight (O, C, KH, KW), plus bias (O) or None."""
    return _run(image, channel_last(weight), bias, weight.shape[0], where, False)


def adjoint(gradient: Any, weight: Any, bias: Any, where: Any) -> Any:
    """The gradient (N, C, H, W) of the image for that of the output, (N, Ho, Wo, O) channel-last; plus bias (C) or None."""
    o, c, kh, kw = weight.shape
    return _run(gradient, channel_last(weight.reshape(1, o, c, kh * kw)), bias, c, where, True)


def weight_gradient(image: Any, gradient: Any, where: Any, out: Any) -> Any:
    """The gradient of the weight (O, C, KH, KW), written to `out`, contiguous, of the images' dtype or float32.

    `image` and `gradient` are channel-last. Sums are in float, over ranges of positions and then over these ranges. Taps of
    `out` may be several to one of `where`, whose channels they share.
    """
    positions, taps = math.prod(gradient.shape[:3]), math.prod(out.shape[2:])
    channels = image.shape[3] * math.prod(where.kernel) // taps
    rows, sizes = _ring(where), _sizes(where)[:12]
    tile = NEAR_WEIGHT_TILE if rows else _of(WEIGHT_TILES, len(out))
    size, shared = (threads(tile), ring_bytes(rows)) if rows else (direct_threads(tile), direct_bytes(tile))
    parts, blocks, each = _sums(out, channels, positions, _tiles((len(out), channels * taps), tile), size)
    kernel = _near_weight_parts[image.dtype] if rows else _weight_parts[image.dtype, *tile]
    kernel(
        blocks,
        size,
        image,
        gradient,
        parts,
        np.int32(image.shape[3]),
        np.int32(gradient.shape[3]),
        np.int32(len(out)),
        *(sizes[:4] + sizes[8:] if rows else sizes),
        reciprocal(math.prod(where.output)),
        reciprocal(where.output[1]),
        np.int32(positions),
        each,
        *((np.int32(math.prod(image.shape[:3])), np.int32(rows)) if rows else ()),
        shared=shared,
    )
    return _add(parts, out, channels)


def pointwise_weight_gradient(image: Any, gradient: Any, out: Any) -> Any:
    """The same for a kernel of 1 × 1 at every pixel, of images (N, C, H, W) and (N, O, H, W), H·W a multiple of 8.

    All arrays are contiguous, and the images begin at multiples of 16 bytes.
    """
    channels, pixels = image.shape[1], math.prod(image.shape[2:])
    positions, is_turned = len(image) * pixels, len(out) > channels
    few, many = (image, gradient) if is_turned else (gradient, image)
    sizes = few.shape[1], many.shape[1]
    tile = _pointwise_tile(*sizes)
    parts, blocks, each = _sums(out, padded(channels), positions, _tiles(sizes, tile), direct_threads(tile))
    _pointwise_parts[image.dtype, *tile](
        blocks,
        direct_threads(tile),
        few,
        many,
        parts,
        *map(np.int32, (*sizes, padded(channels), pixels)),
        reciprocal(pixels // 8),
        np.int32(positions),
        each,
        np.bool_(is_turned),
        shared=direct_bytes(tile),
    )
    return _add(parts, out, padded(channels))


def _tiles(sizes: Pair, tile: Pair) -> int:
    """How many of these it takes."""
    return math.prod(math.ceil(size / side) for size, side in zip(sizes, tile))


def _sums(out: Any, channels: int, positions: int, tiles: int, threads: int) -> tuple[Any, int, np.int32]:
    """For the gradient `out` of a weight: memory for sums over ranges of positions, how many blocks, the range.

    `tiles` are made of it, by blocks of so many `threads`.
    """
    features, columns = len(out), math.prod(out.shape[2:]) * channels
    most = min(positions // SHORTEST, WORKSPACE // (features * columns * 4))
    each = math.ceil(positions / _parts(tiles, most, threads) / DEPTH) * DEPTH
    count = math.ceil(positions / each)
    return empty((count, features, columns), np.float32, like=out), count * tiles, np.int32(each)


def _add(parts: Any, out: Any, channels: int) -> Any:
    (count, features, _), taps = parts.shape, math.prod(out.shape[2:])
    block = channels if channels % DEPTH else DEPTH  # `block_of` in the source
    shared = 4 * block * taps if taps > 1 else 0
    is_turned = 0 < shared <= MOST_TURNED
    sizes = map(np.int32, (count, features, taps, channels, out.shape[1]))
    _add_parts[out.dtype](
        features * channels // block, ADDERS, parts, out, *sizes, np.bool_(is_turned), shared=shared if is_turned else 0
    )
    return out


def _run(image: Any, weight: Any, bias: Any, features: int, where: Any, is_adjoint: bool) -> Any:
    """The correlation of `where`, or its adjoint, with a weight whose terms lie in order for each feature."""
    batch, channels = image.shape[0], image.shape[3]
    size, plane = (where.image, _plane(where)) if is_adjoint else (where.output, where.output)
    phases = math.prod(where.stride) if is_adjoint else 1
    y = empty((batch, features, *size), image.dtype, like=image)
    positions = batch * math.prod(plane)
    band = _band(where, plane, channels, is_adjoint)
    rows, columns = tile = _tile(features, positions, phases, band)
    is_near = band > 0 and tile != SMALL_TILE
    grid = math.ceil(features / rows) * math.ceil(positions / columns) * phases
    _correlate[image.dtype, rows, columns, is_near](
        grid,
        threads(tile),
        image,
        weight,
        contiguous(bias),
        y,
        np.int32(channels),
        np.int32(features),
        np.int32(batch),
        *_sizes(where, is_adjoint),
        *map(reciprocal, (math.prod(plane), plane[1])),
        _vector(size, phases),
        np.int32(band),
        np.bool_(is_adjoint),
        shared=near_bytes(tile, band) if is_near else shared_bytes(tile),
    )
    return y


def _band(where: Any, plane: Pair, channels: int, is_adjoint: bool) -> int:
    """How many neighbouring pixels 256 positions read at most with all taps, to a multiple of ZEROS; 0: too many, or with gaps."""
    is_near = channels % DEPTH == 0 and math.prod(where.kernel) >= STAGES - 1
    read = _reach(where, plane, NEAR_TILES[0][1], is_adjoint) if is_near else 0
    band = math.ceil(read / ZEROS) * ZEROS
    return band if near_bytes(NEAR_TILES[0], band) <= MOST_SHARED else 0


def _ring(where: Any) -> int:
    """Neighbouring pixels, a power of two, that STAGES stages of positions read at most; 0: too many, with gaps, not of 3 × 3."""
    read = _reach(where, where.output, STAGES * DEPTH) if where.kernel == (3, 3) else 0
    rows = 1 << (read - 1).bit_length() if read else 0
    return rows if ring_bytes(rows) <= MOST_SHARED // 2 else 0


def _reach(where: Any, plane: Pair, positions: int, is_adjoint: bool = False) -> int:
    """How many neighbouring pixels so many positions read at most with all taps; 0: with gaps."""
    (h, w), (rows, columns), last = where.output if is_adjoint else where.image, plane, positions - 1
    if where.stride != (1, 1) or h < rows or w < columns:
        return 0
    down, across = (d * (k - 1) for d, k in zip(where.dilation, where.kernel))
    ends = math.ceil(last / columns) * (w - columns) + math.ceil(last / (rows * columns)) * (h - rows) * w
    return int(positions + ends + down * w + across)


def _of(tiles: tuple[Pair, ...], features: int) -> Pair:
    """The one that does not compute 64 features too many."""
    return tiles[-(-features // 64) % 2]


def _tile(features: int, positions: int, phases: int, band: int = 0) -> Pair:
    """The largest that leaves no multiprocessor idle."""
    rows, columns = tile = _of(NEAR_TILES if band else TILES, features)
    tiles = math.ceil(features / rows) * math.ceil(positions / columns) * phases
    return SMALL_TILE if tiles * threads(tile) < settings.multiprocessors * THREADS // 2 else tile


def _pointwise_tile(few: int, many: int) -> Pair:
    """The one with all columns, or 256, and that does not compute 64 rows too many."""
    columns = next((n for n in (64, 128) if many <= n), 256)
    return (64 if -(-few // 64) % 2 else 128), columns


def _parts(tiles: int, most: int, threads: int) -> int:
    """Into how many ranges of positions to cut the sums, that all threads are busy for the greatest part of the time."""
    slots = settings.multiprocessors * THREADS // threads

    def used(parts: int) -> float:
        return parts * tiles / (math.ceil(parts * tiles / slots) * slots)

    least = math.ceil(tiles / slots)
    return max((max(1, min(most, slots * waves // tiles)) for waves in range(least, least + 4)), key=used)


def threads(tile: Pair) -> int:
    """Of a block: warps have 64 × 64 of a tile, 32 × 32 of the small one, or 64 × 72."""
    return 128 if tile in (SMALL_TILE, NEAR_WEIGHT_TILE) else math.prod(tile) // (64 * 64) * 32


def direct_threads(tile: Pair) -> int:
    """Of a block whose warps have 64 × 64 of the tile; with fewer than 256 columns, several share the terms of these."""
    return 2 * tile[0]


def direct_bytes(tile: Pair) -> int:
    """Of shared memory: the stages of the tile's rows, for all that share terms."""
    return STAGES * tile[0] * (256 // tile[1]) * DEPTH * 2


def shared_bytes(tile: Pair) -> int:
    return STAGES * sum(tile) * DEPTH * 2


def near_bytes(tile: Pair, band: int) -> int:
    """Of shared memory: the stages of the weights and two bands, or what a finished tile takes."""
    rows, columns = tile
    return 2 * max(DEPTH * (STAGES * rows + ZEROS + 2 * band), rows * (columns + 8))


def ring_bytes(rows: int) -> int:
    """Of shared memory: the stages of the gradient, the ring and zeros."""
    return 2 * DEPTH * (STAGES * NEAR_WEIGHT_TILE[0] + rows + ZEROS + 2)


def _plane(where: Any) -> Pair:
    """How many pixels, down and across, agree in their remainders by the stride: with the first, where these are most."""
    h, w = (-(-n // s) for n, s in zip(where.image, where.stride))
    return h, w


def _vector(size: Pair, phases: int) -> np.int32:
    """How many neighbours one access may write: the kernel does 8 or 4, and else one by one."""
    return np.int32(1 if phases > 1 else math.gcd(math.prod(size), 8))


@functools.lru_cache(maxsize=1024)
def _sizes(where: Any, is_adjoint: bool = False) -> tuple[np.int32, ...]:
    planes = (where.output, where.image) if is_adjoint else (where.image, where.output)
    apart, skip = zip(*map(steps, where.stride, where.dilation))
    pairs = (*planes, where.kernel, where.stride, where.before, where.dilation, apart, skip)
    return tuple(np.int32(n) for pair in pairs for n in pair)
