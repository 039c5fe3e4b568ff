"""`python -m weft.bench.gpu`: every kernel against the device's limits and against PyTorch, in one process.

The limits are measured in the same run: a copy within the device's memory (bytes read and written), and products of
matrices. Then each bench: whether what weft (and PyTorch) computes is right, against float64; then the median time. A wrong
result is reported and not timed. Nothing stops the run: what fails leaves its traceback in the results, which are written
after each bench; what torch.compile has to prepare comes last.

Times of kernels are the device's alone, by CUDA events, with a cold L2 cache; of training steps and of launches, the host's.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import json
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..backend import autograd, devices
from ..training.atomic import write_atomically
from . import gpu_kernels, gpu_layers, gpu_models
from .compare import _commit, _ms
from .gpu_case import LATE, Bench, Case
from .gpu_machine import Cuda, Machine

__all__ = ["BENCHES", "ceilings", "main", "measure", "run", "table"]

BENCHES = [*gpu_kernels.CEILINGS, *gpu_kernels.BENCHES, *gpu_layers.BENCHES, *gpu_models.BENCHES]
OF_DTYPE = {f"product-{name}": name for name in ("bfloat16", "float32", "tf32")}


# --- one bench ----------------------------------------------------------------------------------------------------------
def measure(
    bench: Bench, machine: Machine, *, tiny: bool = False, seconds: float = 0.3, most: int = 100, limit: float = 60.0,
    late: bool = False, entry: dict[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The entry of a bench in the results; with `late`, what torch.compile makes of it added to `entry`.

    `seconds` and `most` samples for each contender, `limit` seconds for all. "status" is "ok", or "wrong" or "failed" if
    a contender other than PyTorch is.
    """
    entry = {"name": bench.name, "about": bench.name, "runs": {}} if entry is None else entry
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
                row["error"] = _error(machine, case.compare(*map(machine.raw, outputs)))
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


class DeviceLost(RuntimeError):
    """After an error in a kernel, nothing else runs in this process."""


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


@contextlib.contextmanager
def _watched(seconds: float, on_hang: Callable[[], None] | None) -> Iterator[None]:
    """Call `on_hang`, from another thread, if what is inside takes longer: a kernel that never ends hears no alarm."""
    if on_hang is None:
        yield
        return
    timer = threading.Timer(seconds, on_hang)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


# --- all of them --------------------------------------------------------------------------------------------------------
def run(
    machine: Machine, benches: Sequence[Bench], *, total: float = 300.0, save: Callable[[dict], None] = lambda results: None,
    say: Callable[[str], None] = print, data: str | None = None, before: dict[str, Any] | None = None, limit: float = 60.0,
    on_hang: Callable[[], None] | None = None, **options: Any,
) -> dict[str, Any]:  # fmt: skip
    """The results of all benches within `total` seconds, given to `save` after each of them.

    `before`: results to go on from. `on_hang` is called, in a thread, where a bench does not even stop when its time is up.
    Raises DeviceLost, after saving, where the rest must be done by another process.
    """
    deadline = time.monotonic() + total
    results = {"kind": "gpu", **_described(machine), "ceilings": {}, "benches": []} if before is None else before
    entries = {entry["name"]: entry for entry in results["benches"]}

    def keep() -> None:
        results.update(benches=list(entries.values()), ceilings=ceilings(entries.values()))
        save(results)

    reports, autograd.report_fallbacks = autograd.report_fallbacks, True
    try:
        for passes in (1, 2) if machine.torch is not None else (1,):
            for bench in benches:
                entry, left = entries.get(bench.name), deadline - time.monotonic()
                if left < 2:
                    skipped = {"name": bench.name, "about": bench.name, "runs": {}, "passes": 0, "status": "skipped"}
                    entries.setdefault(bench.name, skipped)
                elif entry is None or (0 < entry["passes"] < passes and entry.get("is_late")):
                    known = set(entry["runs"]) if entry else set()
                    nothing = {"name": bench.name, "about": bench.name, "runs": {}, "status": "failed"}
                    entries[bench.name] = {**(entry or nothing), "passes": passes, "problem": "the process ended in it"}
                    keep()  # so that who goes on after a crash goes on behind it
                    with _watched(limit + 20, on_hang):
                        entry = measure(
                            bench, machine, late=passes == 2, entry=entry, limit=min(limit, left), **options
                        )
                    entries[bench.name] = entry
                    keep()
                    if entry["runs"].keys() - known or "problem" in entry:
                        say("\n".join(_lines(entry, results["ceilings"], entry["runs"].keys() - known)))
                    if "problem" in json.dumps(entry):
                        _check_alive(machine)
            if data is not None and "mnist" not in results and deadline - time.monotonic() > 10:
                limit = min(limit, deadline - time.monotonic())
                results["mnist"] = _guarded(lambda: gpu_models.mnist(machine, data), limit)
                say(f"MNIST: {json.dumps(results['mnist'])}")
                keep()
                _check_alive(machine)
        keep()
    finally:
        autograd.report_fallbacks = reports
    return results


def _check_alive(machine: Machine) -> None:
    try:
        machine.synchronize()
    except Exception as error:
        raise DeviceLost(str(error)) from error


def _guarded(f: Callable[[], dict], limit: float) -> dict[str, Any]:
    try:
        with _alarm(limit):
            return f()
    except (Exception, _TimeIsUp):
        return {"problem": traceback.format_exc(limit=-8)}


def ceilings(entries: Any) -> dict[str, float]:
    """The best rates of the copy (bytes per second) and of the square products (operations per second), by dtype."""
    found = {}
    for entry in entries:
        name = "copy" if entry["name"] == "copy" else OF_DTYPE.get(entry["name"])
        rates = [entry["work"] / r["seconds"] for r in entry["runs"].values() if "seconds" in r]
        if name and rates:
            found[name] = max(rates)
    return found


def _described(machine: Machine) -> dict[str, Any]:
    versions = {"python": sys.version.split()[0]}
    for name in ("numpy", "cupy", "torch", "triton"):
        if name in sys.modules:
            versions[name] = str(getattr(sys.modules[name], "__version__", "unknown"))
    try:
        described = machine.describe()
    except Exception as error:
        described = {"device": machine.device, "driver": f"unknown: {error}"}
    try:
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        described["driver"] = subprocess.run(query, capture_output=True, text=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        pass
    try:
        commit = os.environ.get("WEFT_COMMIT") or _commit()
    except OSError:
        commit = None
    return {**described, "versions": versions, "commit": commit, "date": time.strftime("%Y-%m-%d")}


# --- showing ------------------------------------------------------------------------------------------------------------
def _lines(entry: dict, limits: dict[str, float], names: Any = None) -> Iterator[str]:
    """What is printed of an entry: one line for each contender (in `names`, if given)."""
    yield f"{entry['about']}{'' if entry['status'] == 'ok' else '   — ' + entry['status'].upper()}"
    for problem in [entry["problem"]] if "problem" in entry else []:
        yield f"    {problem.strip().splitlines()[-1]}"
    for name, r in entry["runs"].items():
        if names is not None and name not in names:
            continue
        error = f"error {r['error']:.1e}" if "error" in r else ""
        if "problem" in r:
            yield f"    {name:<22} failed: {r['problem'].strip().splitlines()[-1][:150]}"
        elif r.get("is_wrong"):
            yield f"    {name:<22} WRONG, {error}, tolerance {entry['tolerance']:.0e}"
        else:
            yield f"    {name:<22}{_time(r['seconds']):>12}{_rate(entry, r):>20}{_share(entry, r, limits):>8}   {error}"


def _time(seconds: float) -> str:
    return f"{seconds * 1e6:.2f} µs" if seconds < 1e-5 else _ms(seconds) if seconds > 0.1 else f"{seconds * 1e3:.3f} ms"


def _rate(entry: dict, row: dict) -> str:
    if not entry["ceiling"]:
        return f"{1 / row['seconds']:,.0f} {entry['unit']}/s"
    rate = entry["work"] / row["seconds"] / 1e12
    return f"{rate:.2f} TB/s" if entry["ceiling"] == "copy" else f"{rate:.1f} TFLOP/s"


def _share(entry: dict, row: dict, limits: dict[str, float]) -> str:
    limit = limits.get(entry.get("ceiling") or "")
    return f"{entry['work'] / row['seconds'] / limit:.0%}" if limit else ""


def table(results: dict) -> str:
    """All results as text."""
    limits = results["ceilings"]
    shown = ", ".join(
        f"{name} {rate / 1e12:.2f} T{'B' if name == 'copy' else 'FLOP'}/s" for name, rate in limits.items()
    )
    lines = [
        f"{results['device']}, driver {results['driver']}, commit {results['commit']}, {results['date']}",
        f"limits: {shown}",
    ]
    for entry in results["benches"]:
        lines += _lines(entry, limits)
    if "mnist" in results:
        lines.append(f"MNIST: {json.dumps(results['mnist'])}")
    return "\n".join(lines) + "\n"


def plot(results: dict, path: Path) -> None:
    """The share of the limit that weft and PyTorch reach, as bars."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    limits, rows = results["ceilings"], []
    for entry in results["benches"]:
        limit = limits.get(entry.get("ceiling") or "")
        shares = {
            name: entry["work"] / r["seconds"] / limit for name, r in entry["runs"].items() if limit and "seconds" in r
        }
        theirs = max((share for name, share in shares.items() if name.startswith("torch")), default=0.0)
        if "weft" in shares:
            rows.append((entry["about"], shares["weft"], theirs))
    if not rows:
        return
    names, ours, theirs = zip(*rows[::-1])
    figure, axes = plt.subplots(figsize=(11, 1 + 0.32 * len(rows)), layout="constrained")
    at = range(len(rows))
    axes.barh([i + 0.2 for i in at], ours, 0.4, label="weft")
    axes.barh([i - 0.2 for i in at], theirs, 0.4, label="PyTorch, the best way")
    axes.set(
        yticks=list(at),
        yticklabels=names,
        xlabel="share of the limit measured in the same run",
        title=results["device"],
    )
    axes.axvline(1.0, color="black", linewidth=0.5)
    axes.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


# --- the command line ---------------------------------------------------------------------------------------------------
def _build(source: str, expression: str, options: tuple[str, ...], arch: str) -> str | None:
    """In a process of its own: compile one kernel; what went wrong."""
    from ..kernels import compiler

    try:
        compiler.build(source, (expression,), options, arch=arch)
        return None
    except Exception as error:
        return f"{expression} of {source}: {type(error).__name__}: {error}"


def compile_all(arch: str, processes: int | None = None) -> list[str]:
    """Fill the cache with every instantiation, on all cores; returns what failed."""
    from ..kernels import compiler

    jobs = [(s, e, options, arch) for s, (expressions, options) in compiler.families().items() for e in expressions]
    jobs.sort(key=lambda job: "attention" not in job[0])  # they take longest
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(processes or os.cpu_count(), mp_context=context) as pool:
        return [problem for problem in pool.map(_build, *zip(*jobs)) if problem]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure on the GPU; returns the exit status: 1 if anything of weft is wrong or failed."""
    parser = argparse.ArgumentParser(prog="python -m weft.bench.gpu", description=__doc__.split("\n\n")[1])
    parser.add_argument("benches", nargs="*", metavar="BENCH", help="those whose names begin so (default: all)")
    parser.add_argument("--out", default=".", metavar="DIR", help="for gpu.json, gpu.txt and gpu.png")
    parser.add_argument("--seconds", type=float, default=300.0, help="for everything (300)")
    parser.add_argument("--sample-seconds", type=float, default=0.25, help="for each contender of each bench (0.25)")
    parser.add_argument("--limit", type=float, default=40.0, help="seconds for each bench (40)")
    parser.add_argument("--data", metavar="DIR", help="MNIST's folder, to train on")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, weft alone: for compute-sanitizer")
    parser.add_argument("--no-torch", action="store_true", help="without PyTorch")
    parser.add_argument("--resume", action="store_true", help="go on from the gpu.json in DIR")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parser.add_argument(
        "--compile", action="store_true", help="compile every kernel into the cache, on all cores, and stop"
    )
    options = parser.parse_args(argv)
    chosen = [b for b in BENCHES if not options.benches or b.name.startswith(tuple(options.benches))]
    if options.list:
        print("\n".join(b.name for b in chosen))
        return 0
    try:
        devices.canonical("cuda")
    except devices.DeviceError as error:
        print(f"python -m weft.bench.gpu: {error}", file=sys.stderr)
        return 2
    if options.compile:
        from ..kernels import compiler

        problems = compile_all(compiler.architecture())
        print("\n".join(problems) or "all kernels compile")
        return bool(problems)
    return _measure_all(options, chosen, sys.argv[1:] if argv is None else argv)


def _measure_all(options: argparse.Namespace, chosen: Sequence[Bench], arguments: Sequence[str]) -> int:
    end = time.monotonic() + options.seconds
    if options.tiny:
        import cupy

        cupy.cuda.set_allocator(None)  # no pool: compute-sanitizer is to see where each array ends
    machine = Cuda(None if options.no_torch or options.tiny else _torch())
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    saved = out / "gpu.json"
    before = json.loads(saved.read_text()) if options.resume and saved.is_file() else None

    def save(results: dict) -> None:
        write_atomically(saved, (json.dumps(results, indent=1) + "\n").encode())
        write_atomically(out / "gpu.txt", table(results).encode())

    def go_on() -> None:
        """In a new process in the place of this one: a device that has had an error answers no more."""
        print("the device was lost: going on in a new process", flush=True)
        seconds = f"{max(0.0, end - time.monotonic()):.0f}"
        command = [sys.executable, "-m", f"{__package__}.gpu", *arguments, "--resume", "--seconds", seconds]
        os.execv(sys.executable, command)

    try:
        results = run(
            machine, chosen, total=end - time.monotonic(), save=save, say=lambda text: print(text, flush=True), data=options.data,
            before=before, seconds=0.0 if options.tiny else options.sample_seconds, limit=options.limit, tiny=options.tiny,
            on_hang=go_on,
        )  # fmt: skip
    except DeviceLost:
        go_on()
    print(f"\n{'═' * 100}\n{table(results)}", flush=True)
    try:
        plot(results, out / "gpu.png")
    except Exception as error:
        print(f"no plot: {error}")
    return int(any(entry["status"] in ("failed", "wrong") for entry in results["benches"]))


def _torch() -> Any:
    """PyTorch in the precision that it is asked for, or None."""
    try:
        import torch
    except ImportError as error:
        print(f"without PyTorch: {error}")
        return None
    if not torch.cuda.is_available():
        print("without PyTorch, which finds no GPU")
        return None
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    return torch


if __name__ == "__main__":
    sys.exit(main())
