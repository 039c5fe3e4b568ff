"""`weft info --model NAME --step`: what a training step is predicted to take on a GPU, without one.

The step (forward, cross-entropy, backward, Adam; language models as `weft train --task text` makes them) runs twice in the
emulator, with FEW samples (TOKENS at most, of a language model) and with twice as many, by grids for one multiprocessor, so
that kernels are those of large batches; launches that are alike run once, whichever step and precision they are of, of large grids
a part, products of matrices not at all (kernels/emulator/counters.py).
What each launch keeps busy (kernels/emulator/roofline.py) grows linearly with the batch from the one to the other; products of
matrices are taken at PART of the machine's peak or at its bandwidth, and nothing at less than LEAST, as of a recorded step.
It is a prediction, and what the array library does by itself (a few casts and sums) is not in it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ... import autocast, tensor
from ...backend.device.devices import canonical
from ...kernels.emulator import counters
from ...kernels.emulator.counts import Launch
from ...kernels.emulator.cublas_numpy import Product, products
from ...kernels.emulator.roofline import prepare, roofline
from ...kernels.emulator.sample import TRUSTED
from ...kernels.toolchain.launch import Instance
from ...kernels.toolchain.machine_code import Machine, tool
from ...kernels.toolchain.settings import multiprocessors
from ...layers import functional as F
from ...layers.models import LANGUAGE_MODELS
from ...optimizers import Adam
from ..recipe import architecture
from ..saved_model import build_model
from ..signals import PutOff
from ..text import DEFAULTS, TextRecipe
from .parser import UsageError
from .progress import Progress

__all__ = ["SIZES", "Part", "Step", "run"]

FEW = 4  # samples
TOKENS = 256  # unless one sample has more: each has a logit for every class
PART = 0.75  # of the peak that products of matrices reach
LEAST = 2e-6  # seconds of anything in a CUDA graph: assumed
DTYPES = ("float32", "bfloat16")
MOST = 65536  # tokens of a sample: 1,024 take minutes already, and each sees all before it
SIZES = ("layers", "width", "heads")  # of language models, where they are to be other than `weft train` makes them


Costs = list[
    tuple[str, list[float]]
]  # of launches or products, in order: the name, and the seconds of each limit and pipe


@dataclasses.dataclass(frozen=True)
class Part:
    """All launches of one kernel in a step, or all products, and the seconds that they take."""

    name: str
    count: int
    seconds: float


@dataclasses.dataclass
class Run:
    """What a step of so many samples was seen to launch and to multiply."""

    samples: int
    launches: Costs = dataclasses.field(default_factory=list)
    products: Costs = dataclasses.field(default_factory=list)

    @property
    def costs(self) -> Costs:
        """Of all of it."""
        return [*self.launches, *self.products]

    def first(self, run: Run) -> Run:
        """As much of this one as there is of another."""
        return Run(self.samples, self.launches[: len(run.launches)], self.products[: len(run.products)])


class Step:
    """A training step of a model of the zoo, and what is known of its launches; `sizes`: those of SIZES that a language model has.

    `tell` is called with what is being done, and how much is done with it: of launches twice as many in all as `prepare` lists.

    Raises DeviceError without the emulator's C++ compiler, ToolkitError without NVRTC or the disassembler.
    """

    def __init__(
        self,
        name: str,
        input_shape: Sequence[int],
        classes: int,
        machine: Machine,
        sizes: dict[str, int] | None = None,
        tell: Callable[[str, int], None] = lambda doing, steps: None,
    ):
        tool()
        canonical("emulator")
        self.machine, self.tell = machine, tell
        self.few = max(1, min(FEW, TOKENS // input_shape[0])) if name in LANGUAGE_MODELS else FEW
        self.listed: dict[str, list[Instance]] = {}
        self.dtype, self.runs = "", list[Run]()  # of the precision that was asked for last
        self._step = _step(name, input_shape, classes, sizes or {})
        self._known: dict[Any, Launch] = {}
        self._seconds: dict[int, list[float]] = {}  # of each limit and pipe, by the identities of these

    def prepare(self, dtypes: Sequence[str] = DTYPES, expect: Callable[[int], None] = lambda total: None) -> None:
        """Compile all kernels; `expect` is called before it with how much there is to do, launches included."""
        for dtype in dtypes:
            with multiprocessors(1), counters.listing() as instances, products(computed=False), _silence():
                self._step(self.few, dtype)  # what is made once, in the first step alone
            self.listed[dtype] = instances
        every = dict.fromkeys(instance for instances in self.listed.values() for instance in instances)
        expect(len(every) + 2 * sum(map(len, self.listed.values())))
        self.tell(f"compiling {len(every)} kernels", 0)
        for _ in prepare(every, self.machine.arch):
            self.tell(f"compiling {len(every)} kernels", 1)

    def predict(self, batch: int, dtype: str) -> list[Part]:
        """The parts of a step of so many samples, the longest first."""
        self.runs, self.dtype = [], dtype
        for samples in (self.few, 2 * self.few):
            self._run(samples, dtype)
        less, more = self.runs
        return _parts(less, more, batch)

    def known(self, dtype: str, batch: int) -> tuple[int, int, list[Part]]:
        """What is known where `predict` is broken off: of how many samples, the first of how many launches, and the parts.

        Of few samples, unless the step of more was begun.
        """
        less, *others = self.runs if dtype == self.dtype and self.runs else [Run(self.few)]
        if others and others[0].costs:
            return batch, len(others[0].launches), _parts(less.first(others[0]), others[0], batch)
        return self.few, len(less.launches), _parts(less, less, self.few)

    def _run(self, samples: int, dtype: str) -> None:
        run = Run(samples)
        self.runs.append(run)
        of = f"{dtype}, {samples} sample{'s' * (samples > 1)}"
        doing = [f"{of}: {instance.expression}" for instance in self.listed[dtype]]

        def done(launch: Launch) -> None:
            if id(launch) not in self._seconds:
                self._seconds[id(launch)] = list(roofline(launch, self.machine).parts.values())
            run.launches.append((launch.instance.expression, self._seconds[id(launch)]))
            self.tell("".join(doing[len(run.launches) :][:1]), 1)

        self.tell("".join(doing[:1]), 0)
        with (
            multiprocessors(1),
            counters.sampling(self._known, done),
            products(computed=False) as multiplied,
            _silence(),
        ):
            try:
                self._step(samples, dtype)
            finally:
                run.products += [("products of matrices", list(_seconds(each, self.machine))) for each in multiplied]


def _parts(less: Run, more: Run, batch: int) -> list[Part]:
    """Each limit of each launch grows linearly from the one run to the other, and on to the batch.

    A kernel that the runs launch a different number of times grows in proportion: large batches take more pieces, or other kernels.
    """
    before, after = _by_name(less), _by_name(more)
    parts = []
    for name, costs in after.items():
        first, of_less = less.samples, before.get(name, [])
        if len(of_less) != len(costs):
            first, of_less = 0, [[0.0] * len(of) for of in costs]
        share = (batch - first) / max(1, more.samples - first)
        times = [max(LEAST, *(a + share * (b - a) for a, b in zip(*both))) for both in zip(of_less, costs)]
        parts.append(Part(name, len(times), sum(times)))
    return sorted(parts, key=lambda part: -part.seconds)


def _by_name(run: Run) -> dict[str, list[list[float]]]:
    found: dict[str, list[list[float]]] = {}
    for name, cost in run.costs:
        found.setdefault(name, []).append(cost)
    return found


def _step(name: str, input_shape: Sequence[int], classes: int, sizes: dict[str, int]) -> Callable[[int, str], None]:
    make = functools.partial(_text, sizes=sizes) if name in LANGUAGE_MODELS else _classifier
    model, batch, loss_of = make(name, input_shape, classes, np.random.default_rng(0))
    optimizer = Adam(model.to("emulator").parameters())

    def step(samples: int, dtype: str) -> None:
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


def _silence() -> Any:
    """Zeros in the place of results divide zeros."""
    return np.errstate(all="ignore")


def _seconds(product: Product, machine: Machine) -> Iterator[float]:
    peak = machine.single if product.itemsize == 4 else machine.peak  # operations per cycle
    yield product.operations / (PART * peak * machine.multiprocessors * machine.clock)
    yield product.bytes / machine.bandwidth


def run(given: dict[str, Any], machine: Machine) -> int:
    """Print the prediction for both precisions; returns the exit status. An interrupt leaves what is known."""
    name, batch = given["model"], given.get("batch", 64)
    is_text = name in LANGUAGE_MODELS
    shape = given.get("input_shape", [64] if is_text else [1, 28, 28])
    classes = given.get("classes", 65 if is_text else 10)
    if is_text and shape[0] > MOST:
        raise UsageError(f"--input-shape of {name} must be at most {MOST} tokens with --step, got {shape[0]}")
    sizes = {size: given[size] for size in SIZES if size in given}
    found: dict[str, list[Part]] = {}
    step, dtype, signals = None, "", PutOff()
    signals.begin()
    try:
        with Progress("predicting", 1) as progress:
            with signals.raised():  # else they are put off: what is known is printed as a whole
                tell = lambda doing, steps: progress.advance(doing, steps=steps)
                tell("listing the kernels", 0)
                step = Step(name, shape, classes, machine, sizes, tell)
                step.prepare(DTYPES, progress.expect)
            for dtype in DTYPES:
                with signals.raised():
                    parts = step.predict(batch, dtype)
                found[dtype] = parts
                if "json" not in given:
                    with progress.aside():
                        _show(f"{name}, {batch} samples, {dtype} on {machine.name}", parts)
    finally:
        try:
            rest = _rest(step, dtype, batch) if step and dtype not in found else {}
            if found or rest:
                _finish(given, machine, batch, found, rest)
        finally:
            signals.end()
    return 0


def _rest(step: Step, dtype: str, batch: int) -> dict[str, Any]:
    """What is known of the precision at which an interrupt came; nothing if that is nothing."""
    samples, done, parts = step.known(dtype, batch)
    if not parts:
        return {}
    return {"dtype": dtype, "samples": samples, "launches": done, "of": len(step.listed[dtype]), "parts": parts}


def _finish(
    given: dict[str, Any], machine: Machine, batch: int, found: dict[str, list[Part]], rest: dict[str, Any]
) -> None:
    """Print all that is known, or what it means."""
    if "json" in given:
        flat = lambda parts: [dataclasses.asdict(part) for part in parts]
        predicted: dict[str, Any] = {"predicted": {dtype: flat(parts) for dtype, parts in found.items()}}
        predicted |= {"machine": machine.name, "model": given["model"], "batch": batch}
        if rest:
            predicted["interrupted"] = rest | {"parts": flat(rest["parts"])}
        print(json.dumps(predicted, indent=1), flush=True)
        return
    if rest:
        what = f"{given['model']}, {rest['samples']} samples, {rest['dtype']} on {machine.name}, interrupted"
        print(f"{what}: the first {rest['launches']} of {rest['of']} launches, PREDICTED, not measured")
        _list(rest["parts"])
    print(
        f"\nThe sum over all launches, each at the limit that it meets first and {LEAST * 1e6:.0f} µs at least; products at\n"
        f"{PART:.0%} of the peak; what the array library does by itself is left out. Of large grids so many blocks are run\n"
        f"that what all cost is known to {TRUSTED:.0%} (standard error), or all. No machine has confirmed it.",
        flush=True,
    )


def _show(what: str, parts: Sequence[Part]) -> None:
    total = sum(part.seconds for part in parts)
    print(f"{what}: {1 / total:,.0f} steps a second PREDICTED, not measured")
    _list(parts)


def _list(parts: Sequence[Part]) -> None:
    total = sum(part.seconds for part in parts)
    lines = [f"  {p.seconds / total:5.0%}  {p.seconds * 1e6:8.1f} µs  {p.count:>4} × {p.name}" for p in parts[:8]]
    print("\n".join(lines), flush=True)
