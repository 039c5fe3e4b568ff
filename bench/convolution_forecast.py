"""`python -m weft.bench.convolution_forecast`: what convolutions are predicted to reach on an H200, and how busy it is.

Nothing is measured. Grids are made for one multiprocessor, so that a block does as much for these few images as it does for many
on a GPU; what a last wave of blocks leaves idle is left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from ..backend.device.devices import canonical
from ..backend.nn.convolution import Geometry
from ..kernels import implicit_gemm
from ..kernels.emulator import counters
from ..kernels.emulator.roofline import LIMITS, roofline
from ..kernels.toolchain.machine_code import MACHINES, Machine
from ..kernels.toolchain.settings import multiprocessors

__all__ = ["WAYS", "Way", "forecast", "main"]

SIZES = {64: (56, 4), 128: (28, 8), 256: (14, 16)}  # by channels, as many features: rows and columns, images
POINTWISE_SIZES = {64: (56, 4), 128: (28, 8), 256: (16, 16), 512: (16, 16)}  # whose area 8 divides
COLUMNS = ("TFLOP/s", *LIMITS)


class Way(NamedTuple):
    """Which products, of what: `run(image, gradient, weight, where)`, of images with their channels last."""

    run: Callable[[Any, Any, Any, Geometry], Any]
    kernel: int = 3
    stride: int = 1
    sizes: dict[int, tuple[int, int]] = SIZES


def _weight(image: Any, gradient: Any, weight: Any, where: Geometry) -> Any:
    return implicit_gemm.weight_gradient(image, gradient, where, weight)


def _pointwise(image: Any, gradient: Any, weight: Any, where: Geometry) -> Any:
    images = (np.ascontiguousarray(np.moveaxis(array, 3, 1)) for array in (image, gradient))
    return implicit_gemm.pointwise_weight_gradient(*images, weight)


WAYS = {
    "forward": Way(lambda image, gradient, weight, where: implicit_gemm.correlate(image, weight, None, where)),
    "image": Way(lambda image, gradient, weight, where: implicit_gemm.adjoint(gradient, weight, None, where)),
    "weight": Way(_weight),
    "strided-weight": Way(_weight, stride=2),
    "pointwise-weight": Way(_pointwise, kernel=1, sizes=POINTWISE_SIZES),
}


def forecast(way: str, channels: int, machine: Machine = MACHINES["H200"]) -> dict[str, float]:
    """Operations per second of the products of a way, in bfloat16, and each limit's share of tensor cores' time.

    Others than the products, which turn weights round or add parts up, are left out.
    """
    run, kernel, stride, sizes = WAYS[way]
    rng, (size, images), dtype = np.random.default_rng(0), sizes[channels], np.dtype(ml_dtypes.bfloat16)
    output, padding = size // stride, kernel // 2
    where = Geometry((size,) * 2, (output,) * 2, (kernel,) * 2, (stride,) * 2, (padding,) * 2, (1, 1), 1)
    shapes = (images, size, size, channels), (images, output, output, channels), (channels, channels, kernel, kernel)
    image, gradient, weight = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    with multiprocessors(1), counters.counting() as launches:
        run(image, gradient, weight, where)
    found = max((roofline(launch, machine) for launch in launches), key=lambda each: each.tensor_operations)
    work = 2 * images * output**2 * (channels * kernel) ** 2
    return {"TFLOP/s": work / found.time / 1e12} | {n: found.seconds[n] / found.seconds["tensor"] for n in LIMITS}


def main(argv: Sequence[str] | None = None) -> None:
    """Print a line for each way and number of channels."""
    parser = argparse.ArgumentParser(
        prog="python -m weft.bench.convolution_forecast", description=(__doc__ or "").partition(": ")[2]
    )
    parser.add_argument("ways", metavar="WAY", nargs="*", help=f"of {', '.join(WAYS)} (all)")
    ways = parser.parse_args(argv).ways
    if unknown := [way for way in ways if way not in WAYS]:
        parser.error(f"unknown way {unknown[0]!r}; choose from {', '.join(WAYS)}")
    canonical("emulator")
    print(f"{'on an H200, predicted; shares of tensor cores’ time':76}" + "".join(f"{n:>9}" for n in COLUMNS))
    for way in ways or WAYS:
        _, kernel, stride, sizes = WAYS[way]
        for channels, (size, _) in sizes.items():
            found = forecast(way, channels)
            taps = f"{kernel} × {kernel}" + (f", {stride} apart" if stride > 1 else "")
            name = f"{way}, {channels} channels of {size} × {size}, {channels} features, {taps}"
            print(f"{name:76}{found['TFLOP/s']:9.0f}" + "".join(f"{found[n]:9.2f}" for n in LIMITS), flush=True)


if __name__ == "__main__":
    main()
