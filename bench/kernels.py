"""`python -m weft.bench.kernels [CASE …]`: what each kernel is predicted to take on an H200; the record is a test's limit.

It writes `results/kernels.json`, and `results/kernels.md`, a table of it beside `results/kernels_before.json`: the same cases
before the kernels were changed. All of it comes from the emulator and the machine code. Nothing is measured. Last it writes
`results/kernel_requests.json`, counts alone, by which a test guards every kernel in seconds (kernel_requests.py).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..backend.device.options import did_you_mean
from ..kernels.emulator.roofline import Roofline
from ..kernels.toolchain.machine_code import MACHINES
from ..training.cli.kernel_profile import CASES, measure
from . import kernel_exceptions, kernel_requests

__all__ = ["EXCESS", "RECORD", "limits", "main", "record", "table"]

RESULTS = Path(__file__).with_name("results")
RECORD, BEFORE, TABLE = (RESULTS / name for name in ("kernels.json", "kernels_before.json", "kernels.md"))
EXCESS = (
    1.1  # sectors over the fewest possible, cycles over phases: more is recorded, and no more than recorded is let pass
)
LITTLE = 0.02  # of all sectors or cycles: no line that asks for less is the worst

FORMER = (
    {  # what cases launched before they had these
        f"{pool}_2x2{way}<{dtype}, {vector}>": f"{pool}{way}<{dtype}{taps}>"
        for pool, taps in (("max_pool", ", unsigned char"), ("avg_pool", ""))
        for way in ("", "_gradient")
        for dtype, vector in (("float", 4), ("__nv_bfloat16", 8))
    }
    | {
        f"max_pool_3x3{way}<{dtype}, {vector}>": f"max_pool{way}<{dtype}, unsigned char>"
        for way in ("", "_gradient")
        for dtype, vector in (("float", 4), ("__nv_bfloat16", 8))
    }
    | {
        f"{now}>": f"max_pool{way}<{dtype}, unsigned char>"
        for dtype, vector in (("float", 4), ("__nv_bfloat16", 8))
        for way, now in (("", f"running_maxima<{dtype}, 3"), ("_gradient", f"max_pool_same_gradient<{dtype}, {vector}"))
    }
    | {
        f"strided_maxima_gradient<{dtype}, 2>": f"max_pool_gradient<{dtype}, unsigned char>"
        for dtype in ("float", "__nv_bfloat16")
    }
    | {
        f"avg_pool_same<{dtype}, {vector}, {adjoint}, true>": f"avg_pool{way}<{dtype}>"
        for adjoint, way in (("false", ""), ("true", "_gradient"))
        for dtype, vector in (("float", 4), ("__nv_bfloat16", 8))
    }
    | {
        f"{now}<{dtype}, {choice}>": f"{then}<{dtype}>"
        for now, then, choice in (
            ("cross_entropy_few", "cross_entropy_columns", "false"),
            ("channel_sums", "channel_sums", "true"),
        )
        for dtype in ("float", "__nv_bfloat16")
    }
    | {f"dropout<{dtype}, false, false>": f"dropout<{dtype}, false>" for dtype in ("float", "__nv_bfloat16")}
    | {"few_pixels_last<__nv_bfloat16>": "channel_last<__nv_bfloat16>"}
    | {"near_weight_parts<__nv_bfloat16>": "weight_parts<__nv_bfloat16, 64, 256>"}
)

Record = dict[str, dict[str, float]]


def limits(found: Roofline) -> dict[str, float]:
    """What is recorded of a launch.

    `instructions` of threads per byte that it moves; `sectors` over the fewest and `cycles` of shared memory over the phases,
    of the worst of its lines but those that ask for LITTLE of all; `issue` and `lanes`: the time of its instructions, and that
    of its busiest pipe, over that of its bytes; `share`: the time of its bytes over that predicted, 1 where it is as fast as a
    copy of them.
    """
    total = {part: sum(getattr(cost, part) for cost in found.lines) for part in ("sectors", "cycles")}
    lines = {part: [c for c in found.lines if LITTLE * total[part] < getattr(c, part)] for part in total}
    return {
        "instructions": round(32 * found.instructions / found.bytes, 2),
        "sectors": round(max((c.sectors / c.ideal for c in lines["sectors"]), default=1.0), 2),
        "cycles": round(max((c.cycles / c.phases for c in lines["cycles"]), default=1.0), 2),
        "issue": round(found.seconds["issue"] / found.seconds["DRAM"], 2),
        "lanes": round(found.seconds["lanes"] / found.seconds["DRAM"], 2),
        "share": round(found.seconds["DRAM"] / found.time, 2),
        "spills": found.spills,
    }


def record(names: Iterable[str] = tuple(CASES)) -> Record:
    """The limits of all launches of these cases, by "case: kernel"; of several with one name, the worst of each."""
    found: Record = {}
    for row in measure(list(names), MACHINES["H200"]):
        entry, name = limits(row["roofline"]), f"{row['case']}: {row['roofline'].kernel}"
        worst = found.setdefault(name, entry)
        for key, value in entry.items():
            worst[key] = min(worst[key], value) if key == "share" else max(worst[key], value)
    return found


def table(before: Record, after: Record) -> str:
    """Both records, in Markdown, and what is beyond the limits."""
    head = [
        "# Kernels on an H200: predicted, not measured\n",
        "From the emulator's counters and the machine code, of the small cases of `weft info --kernels --profile`, with grids made "
        "for one multiprocessor, so that a block does as much as in large ones. Instructions are those of threads per byte moved; "
        "sectors: over the fewest that the bytes could fill, and cycles of shared memory per phase, of the worst line; issue: the "
        "time of the instructions over that of the bytes; lanes: that of the busiest pipe, which does some kinds of instructions "
        "with fewer lanes than are issued; share: of the speed of a copy of these bytes. `a → b`: before and after "
        "a kernel was changed. Kernels of matrix products have other limits than bytes.\n",
        "| case: kernel | instructions/byte | sectors | cycles | issue | lanes | share |",
        "|---|---|---|---|---|---|---|",
    ]
    lines = [*head, *(_line(name, before.get(_former(name)), now) for name, now in after.items())]
    return "\n".join(lines) + "\n\n" + kernel_exceptions.table(after)


def _former(name: str) -> str:
    case, _, kernel = name.partition(": ")
    return f"{case}: {FORMER.get(kernel, kernel)}"


def _line(name: str, before: dict[str, float] | None, now: dict[str, float]) -> str:
    def cell(key: str) -> str:
        form = "{:.0%}" if key in ("issue", "lanes", "share") else "{:.3g}"
        texts = [form.format(entry[key]) for entry in (before, now) if entry and key in entry]
        return " → ".join(dict.fromkeys(texts))

    columns = ("instructions", "sectors", "cycles", "issue", "lanes", "share")
    return f"| `{name}` | " + " | ".join(map(cell, columns)) + " |"


def main(argv: Sequence[str] | None = None) -> None:
    """Record these cases anew (none: all), and write the table."""
    parser = argparse.ArgumentParser(
        prog="python -m weft.bench.kernels", description=(__doc__ or "").partition(": ")[2]
    )
    parser.add_argument("cases", metavar="CASE", nargs="*", help=f"record this anew, of {', '.join(CASES)} (all)")
    names = tuple(parser.parse_args(argv).cases)
    if unknown := [name for name in names if name not in CASES]:
        parser.error(f"unknown case {unknown[0]!r}; choose from {', '.join(CASES)}{did_you_mean(unknown[0], CASES)}")
    before, found = (json.loads(path.read_text(encoding="utf-8")) for path in (BEFORE, RECORD))
    names = names or tuple(CASES)
    found = _renewed(found, record(names), names)
    RECORD.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    TABLE.write_text(table(before, found), encoding="utf-8")
    asked = _renewed(kernel_requests.read(), kernel_requests.record(names), names)
    kernel_requests.RECORD.write_text(kernel_requests.text(asked), encoding="utf-8")


def _renewed(former: dict[str, Any], new: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Both, in the order of the cases; of these cases, what is new alone."""
    found = {name: entry for name, entry in former.items() if name.partition(":")[0] not in names} | new
    order = {case: i for i, case in enumerate(CASES)}
    return {name: found[name] for name in sorted(found, key=lambda name: order[name.partition(":")[0]])}


if __name__ == "__main__":
    main()
