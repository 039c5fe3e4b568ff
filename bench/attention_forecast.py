"""`python -m weft.bench.attention_forecast`: what attention is predicted to reach on an H200 with long sequences.

Nothing is measured. The emulator takes minutes for a sequence of 4096. But all that a launch asks for is a polynomial of
degree two in the number of tiles of a sequence, causal or not; so three short ones determine it: each limit of the roofline
is extrapolated by itself, and so is each pipe.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from ..backend.device.devices import canonical
from ..kernels import attention
from ..kernels.attention import Options
from ..kernels.emulator import counters
from ..kernels.emulator.roofline import LIMITS, roofline
from ..kernels.toolchain.machine_code import MACHINES, Machine
from . import attention_hopper

__all__ = ["KINDS", "forecast", "main"]

TILE = 128
SHORT = (3, 4, 5)  # tiles of the sequences that the emulator runs: the first are unlike the others, as loops are short

Inputs = tuple[Any, Any, Any, Any]  # query, key, value, the gradient of the output


def _mma(inputs: Inputs, scale: float, causal: bool, back: bool) -> None:
    *qkv, g = inputs
    out, statistics = attention.forward(*qkv, None, Options(scale, causal))
    if back:
        attention.backward(g, *qkv, None, out, statistics, Options(scale, causal), need=(True,) * 3)


def _wgmma(inputs: Inputs, scale: float, causal: bool, back: bool) -> None:
    *qkv, g = inputs
    out, lse = attention_hopper.forward(*qkv, scale=scale, is_causal=causal)
    if back:
        attention_hopper.backward(g, *qkv, out, lse, scale=scale, is_causal=causal)


COLUMNS = ("predicted", "in turn", *LIMITS)
KINDS: dict[str, Callable[[Inputs, float, bool, bool], None]] = {"mma.sync": _mma, "wgmma": _wgmma}


def forecast(
    kind: str, *, back: bool, causal: bool, length: int = 4096, width: int = 128, machine: Machine = MACHINES["H200"]
) -> dict[str, float]:
    """Operations per second of one head in bfloat16, as if each limit were the only one; "predicted", by the greatest of them.

    "in turn": if instructions (or the lanes that do them) and tensor cores waited for each other, and nothing overlapped.
    4 L² D operations forward, 10 L² D backward, half of them if causal. Launches come one after the other.
    """
    runs = [_parts(kind, back, causal, tiles, width, machine) for tiles in SHORT]
    launches = [
        _limits({name: _at(length / TILE, [run[i][name] for run in runs]) for name in runs[0][i]})
        for i in range(len(runs[0]))
    ]
    work = (10 if back else 4) * length**2 * width * (0.5 if causal else 1)
    found = {name: work / sum(each[name] for each in launches) for name in LIMITS}
    in_turn = sum(each["tensor"] + max(each["issue"], each["lanes"]) for each in launches)
    return {**found, "predicted": work / sum(max(each.values()) for each in launches), "in turn": work / in_turn}


def _limits(parts: dict[str, float]) -> dict[str, float]:
    """The limits, of which lanes are the busiest pipe's: for long sequences perhaps another than for short ones."""
    lanes = max(seconds for name, seconds in parts.items() if name not in LIMITS)
    return {name: lanes if name == "lanes" else parts[name] for name in LIMITS}


def _parts(kind: str, back: bool, causal: bool, tiles: int, width: int, machine: Machine) -> list[dict[str, float]]:
    """The seconds of each limit and pipe, of the launches of one pass."""
    rng = np.random.default_rng(0)
    shape, dtype = (1, 1, tiles * TILE, width), np.dtype(ml_dtypes.bfloat16)
    inputs = tuple(rng.standard_normal(shape).astype(dtype) for _ in range(4))
    with counters.counting() as launches:
        KINDS[kind](inputs, width**-0.5, causal, back)  # type: ignore[arg-type]
    return [roofline(launch, machine).parts for launch in (launches[1:] if back else launches)]


def _at(tiles: float, seconds: Sequence[float]) -> float:
    """The parabola through the values at SHORT."""
    return float(sum(s * np.prod([(tiles - b) / (a - b) for b in SHORT if b != a]) for a, s in zip(SHORT, seconds)))


def main(argv: Sequence[str] | None = None) -> None:
    """Print a line for each kind, pass and mask."""
    parser = argparse.ArgumentParser(
        prog="python -m weft.bench.attention_forecast", description=(__doc__ or "").partition(": ")[2]
    )
    parser.add_argument("kinds", metavar="KIND", nargs="*", help=f"of {', '.join(KINDS)} (all)")
    kinds = parser.parse_args(argv).kinds
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        parser.error(f"unknown kind {unknown[0]!r}; choose from {', '.join(KINDS)}")
    canonical("emulator")
    print(
        f"{'TFLOP/s on an H200, predicted, L = S = 4096, D = 128, bfloat16':64}" + "".join(f"{n:>11}" for n in COLUMNS)
    )
    for kind in kinds or KINDS:
        for back in (False, True):
            for causal in (False, True):
                found = forecast(kind, back=back, causal=causal)
                name = f"{kind}, {'backward' if back else 'forward'}, {'causal' if causal else 'full'}"
                print(f"{name:64}" + "".join(f"{found[n] / 1e12:11.0f}" for n in COLUMNS), flush=True)


if __name__ == "__main__":
    main()
