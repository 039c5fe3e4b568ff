"""One bench, measured: whether what each contender computes is right, against float64; then its median time.

A wrong result is reported and not timed. What fails leaves its traceback in the entry, and stops nothing.
"""

from __future__ import annotations

import contextlib
import signal
import statistics
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..backend.tape import autograd
from .case import LATE, Bench, Case
from .machine import Machine
from .turns import SAMPLE, Sampler, alternate

__all__ = ["blank", "guarded", "measure", "noted", "prepared"]


def blank(bench: Bench, device: str, status: str) -> dict[str, Any]:
    """The entry of a bench of which nothing is known yet."""
    return {
        "part": bench.part,
        "device": device,
        "name": bench.name,
        "about": bench.name,
        "runs": {},
        "passes": 0,
        "status": status,
    }


def measure(
    bench: Bench,
    machine: Machine,
    *,
    tiny: bool = False,
    seconds: float = 0.3,
    most: int = 100,
    limit: float = 60.0,
    late: bool = False,
    entry: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The entry of a bench in the results; with `late`, what torch.compile makes of it, added to `entry`.

    `seconds` and `most` samples for each contender, `limit` seconds for all. "status" is "ok", or "wrong" or "failed" if
    a contender other than PyTorch is.
    """
    entry = blank(bench, machine.kind, "failed") if entry is None else entry
    case = None
    try:
        with _alarm(limit), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            case = bench.make(machine, **(bench.tiny if tiny else bench.sizes))
            entry |= {"about": case.about, "work": case.work, "ceiling": case.ceiling, "tolerance": case.tolerance}
            entry |= {"units": case.units, "unit": case.unit, "is_late": any(n.startswith(LATE) for n in case.makers)}
            names = [name for name in case.makers if name.startswith(LATE) == late]
            if machine.kind == "cpu":
                _take_turns(bench, case, names, machine, tiny, seconds, most, entry["runs"])
                names = []
            for name in names:
                row = entry["runs"][name] = {}
                run = prepared(case, name, machine, row)
                if run is not None:
                    with noted(row):
                        sample = machine.wall_samples if case.wall else machine.device_samples
                        _note_times(row, case, sample(run, seconds, most))
                del run
                if case.wall:  # a model's memory, which another library's allocator cannot have otherwise
                    machine.release()
    except (Exception, _TimeIsUp):
        entry["problem"] = traceback.format_exc(limit=-8)
    finally:
        del case
        with contextlib.suppress(Exception):
            machine.release()
    entry["passes"] = 2 if late else 1
    ours = [r for name, r in entry["runs"].items() if not name.startswith("torch")]
    if not late:
        failed = any("problem" in r for r in ours) or ("problem" in entry and not ours)
        entry["status"] = "failed" if failed else "wrong" if any(r.get("is_wrong") for r in ours) else "ok"
    return entry


def prepared(case: Case, name: str, machine: Machine, row: dict[str, Any]) -> Callable[[], Any] | None:
    """What is to be timed of a contender, checked; None if it is wrong or fails, which is noted in its row."""
    with noted(row):
        run = case.makers[name]()
        outputs = run()
        machine.synchronize()
        if outputs and case.compare is not None:
            row["error"] = _compare(case, machine, outputs)
            # of others only that they do the same is asked, with sums in half precision if they like
            row["is_wrong"] = not row["error"] <= case.tolerance * (10 if name.startswith("torch") else 1)
        return None if row.get("is_wrong") else run
    return None


def _note_times(row: dict[str, Any], case: Case, samples: list[float]) -> None:
    samples = sorted(samples)
    row |= {"seconds": statistics.median(samples) / case.units, "samples": len(samples)}
    row |= {"least": samples[0] / case.units, "greatest": samples[-1] / case.units}


@contextlib.contextmanager
def noted(row: dict[str, Any]) -> Iterator[None]:
    """What goes wrong is noted in the row, and so are warnings; but the time that is up ends all."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        if caught:
            told = {str(w.message)[:300] for w in caught} | set(row.get("warnings", ()))
            row["warnings"] = sorted(told)[:5]
    except _TimeIsUp:
        row["problem"] = "the time for this bench was up"
        raise
    except Exception:
        row["problem"] = traceback.format_exc(limit=-8)


def _take_turns(
    bench: Bench,
    case: Case,
    names: list[str],
    machine: Machine,
    tiny: bool,
    seconds: float,
    most: int,
    rows: dict[str, dict[str, Any]],
) -> None:
    """All contenders in turn, PyTorch in its own process."""
    samplers: dict[str, Callable[[], float]] = {}
    for name in names:
        row = rows[name] = {}
        run = prepared(case, name, machine, row)
        if run is not None:
            with noted(row):
                samplers[name] = Sampler(run, 0.0 if tiny else SAMPLE)
    if machine.rival is not None and "torch" not in rows:
        rows["torch"] = machine.rival.prepare(bench.part, bench.name, tiny=tiny)
        if not (rows["torch"].get("problem") or rows["torch"].get("is_wrong")):
            samplers["torch"] = machine.rival.sample
    for name, samples in alternate(samplers, seconds, min(5, most)).items():
        _note_times(rows[name], case, samples)


def _compare(case: Case, machine: Machine, outputs: Sequence[Any]) -> float:
    """The error of what a contender computed. Fallbacks of the reference itself are nobody's business."""
    reports, autograd.report_fallbacks = autograd.report_fallbacks, False
    try:
        return _error(machine, case.compare(*map(machine.raw, outputs)))  # type: ignore[misc]
    finally:
        autograd.report_fallbacks = reports


def _error(machine: Machine, pairs: Sequence[tuple[Any, Any]]) -> float:
    """The largest ‖found − exact‖ / ‖exact‖; NaN if there is one."""
    errors = []
    for found, exact in pairs:
        norm = float((exact * exact).sum()) ** 0.5
        difference = machine.wide(found) - exact
        errors.append(float((difference * difference).sum()) ** 0.5 / (norm or 1.0))
    return max(errors, key=lambda e: (e != e, e))


class _TimeIsUp(BaseException):
    """No Exception: what is interrupted might catch it, and go on."""


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise _TimeIsUp in what takes longer, where the system has alarms."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def ring(*_: Any) -> None:
        raise _TimeIsUp(f"more than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def guarded(f: Callable[[], dict], limit: float) -> dict[str, Any]:
    """f() within `limit` seconds, or what went wrong."""
    try:
        with _alarm(limit):
            return f()
    except (Exception, _TimeIsUp):
        return {"problem": traceback.format_exc(limit=-8)}
