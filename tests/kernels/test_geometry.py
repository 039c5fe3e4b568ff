"""Numbers that a launcher and its source both have (threads of a block, tiles, what a thread does) are the same on both sides."""

import ctypes

import pytest

from weft.kernels import (
    activation,
    attention,
    attention_step,
    batch_normalization,
    channel_last,
    columns,
    convolution,
    cross_entropy,
    dropout,
    embedding,
    implicit_gemm,
    normalization,
    pooling,
    pooling_2x2,
    pooling_maxima,
    pooling_means,
    pooling_narrow,
    pooling_running,
    pooling_strided,
    random,
    recurrent,
    reductions,
    rotary,
    strip,
    swiglu,
)  # fmt: skip
from weft.kernels.emulator import build
from weft.kernels.toolchain.launch import cpp

SOURCES = {  # by namespace
    "activation": "activation.cu", "attention": "attention.cu", "attention_backward": "attention_backward.cu",
    "batch_normalization": "batch_normalization.cu", "batch_normalization_backward": "batch_normalization_backward.cu",
    "channel_last": "channel_last.cu", "convolution": "convolution.cu",
    "cross_entropy": "cross_entropy.cu", "dropout": "dropout.cu", "embedding": "embedding.cu",
    "implicit_gemm": "implicit_gemm.cu", "implicit_gemm_backward": "implicit_gemm_backward.cu",
    "normalization": "normalization.cu", "normalization_backward": "normalization_backward.cu",
    "pooling": "pooling.cu", "pooling_side_by_side": "pooling_2x2.cu",
    "pooling_3x3": "pooling_3x3.cu", "pooling_same": "pooling_same.cu", "pooling_small": "pooling_small.cu",
    "pooling_maxima": "pooling_maxima.cu", "pooling_maxima_backward": "pooling_maxima_backward.cu",
    "pooling_means": "pooling_means.cu", "pooling_means_backward": "pooling_means_backward.cu",
    "pooling_running": "pooling_running.cu",
    "pooling_narrow_backward": "pooling_narrow_backward.cu", "pooling_strided_backward": "pooling_strided_backward.cu",
    "random_numbers": "random.cu", "recurrent": "recurrent.cu",
    "reductions": "reductions.cu", "attention_step": "attention_step.cu", "indices": "indices.cu",
    "rotary_embedding": "rotary.cu", "swiglu_unit": "swiglu.cu",
}  # fmt: skip
HEADERS = (
    "neighbours.cuh",
    "philox.cuh",
    "windows.cuh",
    "attention.cuh",
    "implicit_gemm_band.cuh",
    "implicit_gemm_direct.cuh",
    "implicit_gemm_ring.cuh",
    "strip.cuh",
    "columns.cuh",
    "pooling_places.cuh",
    "pooling_tiles.cuh",
    "pooling_running.cuh",
    "normalization.cuh",
    "batch_normalization.cuh",
    "pooling_means.cuh",
    "pooling_sums.cuh",
)  # with those they include

BOTH = {
    "activation::THREADS": activation.THREADS, "activation::BATCH": activation.BATCH,
    "PAD": attention.PAD, "attention_backward::BLOCK": attention.BLOCK,
    "WARPS": batch_normalization.WARPS,
    "channel_last::THREADS": channel_last.THREADS, "channel_last::ROWS": channel_last.ROWS,
    "convolution::THREADS": convolution.THREADS, "convolution::EACH": convolution.EACH,
    "cross_entropy::BLOCK": cross_entropy.BLOCK,
    "dropout::THREADS": dropout.THREADS, "dropout::N * dropout::BATCH": dropout.ELEMENTS,
    "embedding::THREADS": embedding.THREADS, "embedding::WARPS": embedding.WARPS, "embedding::CHUNK": embedding.CHUNK,
    "DEPTH": implicit_gemm.DEPTH, "STAGES": implicit_gemm.STAGES, "ZEROS": implicit_gemm.ZEROS,
    "implicit_gemm_backward::ADDERS": implicit_gemm.ADDERS,
    "normalization_backward::ADDERS": normalization.ADDERS,
    "THREADS": strip.THREADS, "ROWS": strip.ROWS,
    "pooling_side_by_side::THREADS": pooling_2x2.THREADS, "pooling::THREADS": pooling.THREADS, "pooling::PLANES": pooling.PLANES,
    "BLOCK": columns.BLOCK,
    "pooling_maxima::THREADS": pooling_maxima.THREADS, "PITCH": pooling_maxima.PITCH,
    "SUMMING": pooling_maxima.THREADS, "pooling_maxima_backward::LINE": pooling_maxima.LINE,
    "pooling_means::THREADS": pooling_means.THREADS, "pooling_means_backward::THREADS": pooling_means.THREADS,
    "LINES": pooling_means.LINES, "EACH": pooling_means.EACH,
    "pooling_narrow_backward::LINE": pooling_narrow.LINE, "pooling_narrow_backward::PAD": pooling_narrow.PAD,
    "pooling_strided_backward::LINE": pooling_strided.LINE,
    "pooling_running::THREADS": pooling_running.THREADS, "V": pooling_running.V, "TURN": pooling_running.TURN,
    "random_numbers::THREADS": random.THREADS,
    "recurrent::THREADS": recurrent.THREADS,
    "attention_step::THREADS": attention_step.THREADS, "attention_step::CHUNK": attention_step.CHUNK,
    "attention_step::WIDEST": attention_step.WIDEST, "rotary_embedding::THREADS": rotary.THREADS,
    "rotary_embedding::HEADS": rotary.HEADS, "rotary_embedding::N": rotary.N,
    "swiglu_unit::THREADS": swiglu.THREADS,
    "reductions::THREADS": reductions.THREADS, "reductions::BLOCK": reductions.BLOCK,
}  # fmt: skip

for _, v, flat in pooling_means._forward.instances:
    BOTH[f"ACCESSES<{v}, {cpp(flat)}> * {v}"] = pooling_means._wide(v, flat)
    BOTH[f"pooling_means_backward::COLUMNS<{cpp(flat)}>"] = pooling_means._columns(flat)
for dtype, _ in random._draw.instances:
    BOTH[f"random_numbers::PER_BLOCK<{cpp(dtype)}>"] = random.per_block(dtype)
for draw, batch in random.BATCH.items():
    BOTH[f"random_numbers::{draw}::BATCH"] = batch
for vector in (1, 4, 8):
    BOTH[f"normalization::FORWARD_CHUNKS<{vector}>"] = normalization.forward_chunks(vector)
    BOTH[f"normalization_backward::BACKWARD_CHUNKS<{vector}>"] = normalization.backward_chunks(vector)
    for last in (False, True)[: 1 if vector == 1 else 2]:
        at_once = f"UNITS<{vector}, {cpp(last)}>"
        BOTH[at_once] = batch_normalization.units_in_flight(vector, last)
for side in pooling_running.SIDES:
    BOTH[f"joined({side})"] = side
BOTH["MOST"] = normalization.MOST
for tile in (*implicit_gemm.TILES, implicit_gemm.SMALL_TILE):
    BOTH[f"Tile<{tile[0]}, {tile[1]}, false>::THREADS"] = implicit_gemm.threads(tile)
    BOTH[f"Staged<__half, {tile[0]}, {tile[1]}>::STAGE * STAGES * 2"] = implicit_gemm.shared_bytes(tile)
for terms, tiles in (("Pixels", implicit_gemm.POINTWISE_TILES), ("Positions", implicit_gemm.WEIGHT_TILES)):
    for tile in tiles:
        BOTH[f"Direct<{tile[0]}, {tile[1]}>::THREADS"] = implicit_gemm.direct_threads(tile)
        name = f"implicit_gemm_backward::{terms}<__half, {tile[0]}, {tile[1]}>"
        BOTH[f"{name}::STAGE * STAGES * 2"] = implicit_gemm.direct_bytes(tile)
for tile in implicit_gemm.NEAR_TILES:  # with 2 bands of 1000 rows, which is more than a finished tile takes
    name = f"Band<__half, {tile[0]}, {tile[1]}>"
    BOTH[f"({name}::STAGE * STAGES + (ZEROS + 2 * 1000) * DEPTH) * 2"] = implicit_gemm.near_bytes(tile, 1000)
BOTH["Ring<__half>::THREADS"] = implicit_gemm.threads(implicit_gemm.NEAR_WEIGHT_TILE)
ring = "Ring<__half>::STAGE * STAGES + DEPTH / 8 * Ring<__half>::plane_size(1024)"
BOTH[f"({ring}) * 2"] = implicit_gemm.ring_bytes(1024)
for dtype, width, plain in attention._forward.instances:
    tile = f"attention::Forward<{cpp(dtype)}, {width}, {cpp(plain)}>"
    found = attention.forward_tile(width, dtype.itemsize, plain)
    BOTH.update(zip([f"{tile}::{name}" for name in ("WARPS", "ROWS", "COLUMNS")], found))
for dtype, width, plain in attention._query.instances:
    tile = f"attention_backward::QueryTiles<{cpp(dtype)}, {width}, {cpp(plain)}>"
    found = attention.query_tiles(width, dtype.itemsize, plain)
    BOTH.update(zip([f"{tile}::{name}" for name in ("WARPS", "ROWS", "KEYS")], found))
for dtype, width, plain, _ in attention._key.instances:
    tile = f"attention_backward::KeyTiles<{cpp(dtype)}, {width}, {cpp(plain)}>"
    found = (*attention.key_tiles(width, dtype.itemsize, plain), attention.KEY_WARPS)
    BOTH.update(zip([f"{tile}::{name}" for name in ("KEYS", "QUERIES", "STAGES", "WARPS")], found))


@pytest.fixture(scope="module")
def in_sources(tmp_path_factory):
    """What the compiler makes of the expressions, all sources being one program, each in a namespace of its own."""
    folder = tmp_path_factory.mktemp("geometry")
    lines = [f'#include "{name}"' for name in HEADERS]
    for space, source in SOURCES.items():
        lines += [f"namespace {space} {{", f'#include "{source}"', "}"]
    lines += [f'extern "C" {{ int numbers[] = {{{", ".join(BOTH)}}}; }}', "__global__ void nothing() {}"]
    (folder / "geometry.cu").write_text("\n".join(lines))
    code = build.library("geometry.cu", ("nothing",), folder)
    return dict(zip(BOTH, (ctypes.c_int * len(BOTH)).in_dll(code.handle, "numbers")))


@pytest.mark.parametrize("expression", BOTH)
def test_launcher_and_source_agree(expression, in_sources):
    assert in_sources[expression] == BOTH[expression]


def test_no_source_is_left_out():
    """But for the optimizers', which test_optimizers.py runs at every size."""
    assert {path.name for path in build.FOLDER.glob("*.cu")} - {"optimizers.cu"} == set(SOURCES.values())
