"""`python -m weft.bench.steps [MODEL …]`: what a training step of each model of the zoo is predicted to take on an H200.

It writes `results/steps.json`, and `results/steps.md`, a table of it. All of it comes from the emulator's counters and the
machine code, as `weft info --model NAME --step` shows it. Nothing is measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..backend.device.options import did_you_mean
from ..kernels.toolchain.machine_code import MACHINES
from ..training.cli.progress import Progress
from ..training.cli.step_profile import DTYPES, Step

__all__ = ["MODELS", "RECORD", "TABLE", "Model", "main", "record", "table"]

RESULTS = Path(__file__).with_name("results")
RECORD, TABLE = RESULTS / "steps.json", RESULTS / "steps.md"
SHOWN = 3  # kernels of each model that the table names


class Model(NamedTuple):
    """What `weft info --model NAME --step` is given: `sizes` are those of a language model."""

    name: str
    input_shape: tuple[int, ...]
    classes: int
    batch: int
    sizes: dict[str, int] = {}

    @property
    def options(self) -> str:
        """As they are typed."""
        shape = " ".join(map(str, self.input_shape))
        own = "".join(f" --{size} {n}" for size, n in self.sizes.items())
        return f"--model {self.name} --input-shape {shape} --classes {self.classes} --batch {self.batch}{own}"


MODELS = {
    "mlp": Model("mlp", (1, 28, 28), 10, 1024),
    "cnn": Model("cnn", (3, 32, 32), 10, 128),
    "resnet18": Model("resnet18", (3, 224, 224), 1000, 64),
    "lstm": Model("lstm", (64,), 65, 64),
    "gru": Model("gru", (64,), 65, 64),
    "llama": Model("llama", (64,), 65, 64),
    "gpt2": Model("gpt2", (64,), 65, 64),
    "gpt2-small": Model("gpt2", (1024,), 50257, 16, {"layers": 12, "width": 768, "heads": 12}),
}

Record = dict[str, dict[str, list[dict[str, Any]]]]  # by model and precision, the parts of a step


def record(names: Sequence[str]) -> Record:
    """The parts of a step of these models in each precision, the longest first."""
    found: Record = {}
    for name in names:
        m = MODELS[name]
        with Progress(name, 1) as progress:
            tell = lambda doing, steps, progress=progress: progress.advance(doing, steps=steps)
            step = Step(m.name, m.input_shape, m.classes, MACHINES["H200"], m.sizes, tell)
            step.prepare(DTYPES, progress.expect)
            found[name] = {
                dtype: [dataclasses.asdict(part) for part in step.predict(m.batch, dtype)] for dtype in DTYPES
            }
    return found


def table(found: Record) -> str:
    """A row for each model and precision, in Markdown."""
    head = [
        "# Training steps on an H200: predicted, not measured\n",
        "The least that a recorded step (forward, loss, backward, Adam) needs by `weft info --model NAME --step`: each launch at "
        "the limit that it meets first and 2 µs at least, products of matrices at three quarters of the peak; gaps between "
        "launches, and what the array library does by itself, are left out. No machine has confirmed any of it.\n",
        "| model | options | precision | steps a second, predicted | launches and products | most of the time |",
        "|---|---|---|--:|--:|---|",
    ]
    rows = [_row(name, dtype, parts) for name, by_dtype in found.items() for dtype, parts in by_dtype.items()]
    return "\n".join([*head, *rows]) + "\n"


def _row(name: str, dtype: str, parts: list[dict[str, Any]]) -> str:
    total = sum(part["seconds"] for part in parts)
    most = ", ".join(f"{part['seconds'] / total:.0%} {_code(part['name'])}" for part in parts[:SHOWN])
    count = sum(part["count"] for part in parts)
    return f"| {name} | `{MODELS[name].options}` | {dtype} | {1 / total:,.0f} | {count:,} | {most} |"


def _code(name: str) -> str:
    return name if " of " in name else f"`{name}`"


def main(argv: Sequence[str] | None = None) -> None:
    """Record these models anew (none: all), each as it is done, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m weft.bench.steps", description=(__doc__ or "").partition(": ")[2])
    parser.add_argument("models", metavar="MODEL", nargs="*", help=f"record this anew, of {', '.join(MODELS)} (all)")
    names = parser.parse_args(argv).models or list(MODELS)
    if unknown := [name for name in names if name not in MODELS]:
        parser.error(f"unknown model {unknown[0]!r}; choose from {', '.join(MODELS)}{did_you_mean(unknown[0], MODELS)}")
    for name in names:
        found = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
        found |= record([name])
        found = {known: found[known] for known in MODELS if known in found}
        RECORD.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        TABLE.write_text(table(found), encoding="utf-8")


if __name__ == "__main__":
    main()
