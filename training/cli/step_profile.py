"""`weft info --model NAME --step`: what a training step is predicted to take on a GPU, without one.

The step (forward, cross-entropy, backward, Adam; language models as `weft train --task text` makes them) runs twice in the
emulator, with FEW samples (TOKENS at most, of a language model) and with twice as many, by grids for one multiprocessor, so
that kernels are those of large batches; launches that are alike run once, of large grids a part, products of matrices not at
all (kernels/emulator/counters.py).
What each launch keeps busy (kernels/emulator/roofline.py) grows linearly with the batch from the one to the other; products of
matrices are taken at PART of the machine's peak or at its bandwidth, and nothing at less than LEAST, as of a recorded step.
It is a prediction, and what the array library does by itself (a few casts and sums) is not in it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ... import autocast, tensor
from ...backend.device.devices import canonical
from ...kernels.emulator import counters
from ...kernels.emulator.cublas_numpy import Product, products
from ...kernels.emulator.roofline import LIMITS, prepare, roofline
from ...kernels.emulator.sample import TRUSTED
from ...kernels.toolchain.machine_code import Machine, tool
from ...kernels.toolchain.settings import multiprocessors
from ...layers import functional as F
from ...layers.models import LANGUAGE_MODELS
from ...optimizers import Adam
from ..recipe import architecture
from ..saved_model import build_model
from ..text import DEFAULTS, TextRecipe
from .parser import UsageError
from .progress import Progress

__all__ = ["SIZES", "Part", "predict", "run"]

FEW = 4  # samples
TOKENS = 256  # unless one sample has more: each has a logit for every class
PART = 0.75  # of the peak that products of matrices reach
LEAST = 2e-6  # seconds of anything in a CUDA graph: assumed
DTYPES = ("float32", "bfloat16")
STAGES = 4
MOST = 65536  # tokens of a sample: 1,024 take minutes already, and each sees all before it
SIZES = ("layers", "width", "heads")  # of language models, where they are to be other than `weft train` makes them


@dataclasses.dataclass(frozen=True)
class Part:
    """All launches of one kernel in a step, or all products, and the seconds that they take."""

    name: str
    count: int
    seconds: float


def predict(
    name: str,
    input_shape: Sequence[int],
    classes: int,
    batch: int,
    machine: Machine,
    dtype: str,
    sizes: dict[str, int] | None = None,
    tell: Callable[[str], None] = lambda doing: None,
) -> list[Part]:
    """The parts of a training step of a model of the zoo, the longest first; `sizes`: those of SIZES that a language model has.

    `tell` is called with what is being done, STAGES times.

    Raises DeviceError without the emulator's C++ compiler, ToolkitError without NVRTC or the disassembler.
    """
    tool()
    canonical("emulator")
    few = max(1, min(FEW, TOKENS // input_shape[0])) if name in LANGUAGE_MODELS else FEW
    tell("listing the kernels")
    step = _step(name, input_shape, classes, dtype, sizes or {})
    with counters.listing() as instances, products(computed=False), _silence():
        step(few)  # what is made once, in the first step alone
    tell(f"compiling {len(set(instances))} kernels")
    for _ in prepare(instances, machine.arch):
        pass
    runs = []
    for samples in (few, 2 * few):
        tell(f"running a step of {samples} sample{'s' * (samples > 1)}")
        runs.append(_launched(step, samples, machine))
    less, more = runs
    if [name for name, _ in less] != [name for name, _ in more]:  # other kernels for other sizes
        less = [(name, [0.0] * len(of)) for name, of in more]
        first = 0
    else:
        first = few
    share = (batch - first) / (2 * few - first)
    found: defaultdict[str, list[float]] = defaultdict(list)
    for (name, before), (_, after) in zip(less, more):
        found[name].append(max(LEAST, *(a + share * (b - a) for a, b in zip(before, after))))
    parts = [Part(name, len(times), sum(times)) for name, times in found.items()]
    return sorted(parts, key=lambda part: -part.seconds)


def _step(
    name: str, input_shape: Sequence[int], classes: int, dtype: str, sizes: dict[str, int]
) -> Callable[[int], None]:
    make = functools.partial(_text, sizes=sizes) if name in LANGUAGE_MODELS else _classifier
    model, batch, loss_of = make(name, input_shape, classes, np.random.default_rng(0))
    optimizer = Adam(model.to("emulator").parameters())

    def step(samples: int) -> None:
        x, y = (tensor(array, device="emulator") for array in batch(samples))
        optimizer.zero_grad()
        with autocast(dtype) if dtype != "float32" else contextlib.nullcontext():
            loss = loss_of(x, y)
        loss.backward()
        optimizer.step()

    return step


def _classifier(name: str, input_shape: Sequence[int], classes: int, rng: np.random.Generator) -> tuple[Any, ...]:
    """A model, batches of so many samples, and the loss."""
    model = build_model(architecture(name, input_shape, classes))

    def batch(samples: int) -> tuple[Any, Any]:
        return rng.standard_normal((samples, *input_shape)).astype(np.float32), rng.integers(0, classes, samples)

    return model, batch, lambda x, y: F.cross_entropy(model(x), y)


def _text(
    name: str, input_shape: Sequence[int], classes: int, rng: np.random.Generator, *, sizes: dict[str, int]
) -> tuple[Any, ...]:
    """The same of a language model: samples of `input_shape` tokens, of which there are `classes`."""
    (context,) = input_shape
    recipe = TextRecipe("", model=name, **{**DEFAULTS.get(name, {}), **sizes, "context": context})
    try:
        model: Any = build_model(recipe.architecture(classes))
    except (ValueError, MemoryError, OverflowError) as error:
        given = "".join(f" --{size} {value}" for size, value in sizes.items())
        raise UsageError(f"--model {name}{given}: {error}") from error
    return model, lambda samples: rng.integers(0, classes, (2, samples, context)), model.loss


def _launched(step: Callable[[int], None], samples: int, machine: Machine) -> list[tuple[str, list[float]]]:
    """Each launch's kernel with the seconds of its limits, then each product with those of its own."""
    with multiprocessors(1), counters.sampling() as launches, products(computed=False) as multiplied, _silence():
        step(samples)
    times = {id(launch): roofline(launch, machine).seconds for launch in {id(each): each for each in launches}.values()}
    return [
        *((each.instance.expression, [times[id(each)][limit] for limit in LIMITS]) for each in launches),
        *(("products of matrices", list(_seconds(p, machine))) for p in multiplied),
    ]


def _silence() -> Any:
    """Zeros in the place of results divide zeros."""
    return np.errstate(all="ignore")


def _seconds(product: Product, machine: Machine) -> Iterator[float]:
    peak = machine.single if product.itemsize == 4 else machine.peak  # operations per cycle
    yield product.operations / (PART * peak * machine.multiprocessors * machine.clock)
    yield product.bytes / machine.bandwidth


def run(given: dict[str, Any], machine: Machine) -> int:
    """Print the prediction for both precisions; returns the exit status."""
    name, batch = given["model"], given.get("batch", 64)
    is_text = name in LANGUAGE_MODELS
    shape = given.get("input_shape", [64] if is_text else [1, 28, 28])
    classes = given.get("classes", 65 if is_text else 10)
    if is_text and shape[0] > MOST:
        raise UsageError(f"--input-shape of {name} must be at most {MOST} tokens with --step, got {shape[0]}")
    sizes = {size: given[size] for size in SIZES if size in given}
    found = {}
    with Progress("predicting", STAGES * len(DTYPES)) as progress:
        for dtype in DTYPES:
            tell = lambda doing, dtype=dtype: progress.advance(f"{dtype}: {doing}")
            found[dtype] = parts = predict(name, shape, classes, batch, machine, dtype, sizes, tell)
            if "json" not in given:
                with progress.aside():
                    _show(f"{name}, {batch} samples, {dtype} on {machine.name}", parts)
    if "json" in given:
        of = {dtype: [dataclasses.asdict(part) for part in parts] for dtype, parts in found.items()}
        print(json.dumps({"predicted": of, "machine": machine.name, "model": name, "batch": batch}, indent=1))
        return 0
    print(
        f"\nThe sum over all launches, each at the limit that it meets first and {LEAST * 1e6:.0f} µs at least; products at"
    )
    print(
        f"{PART:.0%} of the peak; what the array library does by itself is left out. Of large grids so many blocks are run"
    )
    print(f"that what all cost is known to {TRUSTED:.0%} (standard error), or all. No machine has confirmed it.")
    return 0


def _show(what: str, parts: Sequence[Part]) -> None:
    total = sum(part.seconds for part in parts)
    lines = [f"{what}: {1 / total:,.0f} steps a second PREDICTED, not measured"]
    lines += [f"  {p.seconds / total:5.0%}  {p.seconds * 1e6:8.1f} µs  {p.count:>4} × {p.name}" for p in parts[:8]]
    print("\n".join(lines), flush=True)
