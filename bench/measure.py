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

__all__ = ["blank", "guarded", "measure"]


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
            for name in case.makers:
                if name.startswith(LATE) == late:
                    entry["runs"][name] = {}
                    _contend(case, name, machine, seconds, most, entry["runs"][name])
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


def _contend(case: Case, name: str, machine: Machine, seconds: float, most: int, row: dict[str, Any]) -> None:
    """Check, then time one contender; what goes wrong is noted in its row, but for the time that is up."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run = case.makers[name]()
            outputs = run()
            machine.synchronize()
            if outputs and case.compare is not None:
                row["error"] = _compare(case, machine, outputs)
                # of others only that they do the same is asked, with sums in half precision if they like
                row["is_wrong"] = not row["error"] <= case.tolerance * (10 if name.startswith("torch") else 1)
            del outputs
            if not row.get("is_wrong"):
                sample = machine.wall_samples if case.wall else machine.device_samples
                samples = sorted(sample(run, seconds, most))
                row |= {"seconds": statistics.median(samples) / case.units, "samples": len(samples)}
                row |= {"least": samples[0] / case.units, "greatest": samples[-1] / case.units}
        if caught:
            row["warnings"] = sorted({str(w.message)[:300] for w in caught})[:5]
    except _TimeIsUp:
        row["problem"] = "the time for this bench was up"
        raise
    except Exception:
        row["problem"] = traceback.format_exc(limit=-8)


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
