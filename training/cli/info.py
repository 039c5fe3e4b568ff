"""`weft info`."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from ... import __version__
from ...backend.device.devices import devices, get_default_device, kind
from ...backend.device.memory import memory_summary
from ...backend.device.parallel import num_threads
from ...kernels.toolchain import cache, compiler
from ...kernels.toolchain.machine_code import MACHINES
from ...kernels.toolchain.report import compile_all, table
from ...kernels.toolchain.spills import spills
from ...layers import summary
from ...layers.models import LANGUAGE_MODELS, MODELS
from ..recipe import architecture
from ..saved_model import build_model
from ..text import OWN
from .parser import Parser, UsageError, number, report
from .progress import Progress

__all__ = ["main"]

PACKAGES = (
    "numpy",
    "array-api-compat",
    "ml_dtypes",
    "safetensors",
    "threadpoolctl",
    "rich",
    "matplotlib",
    "scikit-learn",
)


def main(argv: Sequence[str]) -> int:
    """Print what there is to know of this machine and installation, of a model, or of the CUDA kernels.

    Parameters
    ----------
    argv : sequence of str
        Arguments of `weft info`.

    Returns
    -------
    int
        The exit status, see `report`.

    Examples
    --------
    >>> status = main(["--model", "mlp", "--input-shape", "4", "--classes", "3"])
    layer    output  parameters  mult-adds  ...
    >>> status
    0
    """
    parser = Parser(
        prog="weft info",
        description="Show versions, devices, threads and memory; or what a model is made of; or what each CUDA kernel "
        "takes of a GPU, which none is needed for.",
    )
    parser.add_argument("--model", choices=[*MODELS, *LANGUAGE_MODELS], help="show the layers of this model instead; "
                        "with --step, language models too")  # fmt: skip
    shape = number(int, 1)
    parser.add_argument("--input-shape", type=shape, nargs="+", metavar="N", help="one input's shape (1 28 28), or how "
                        "many tokens it has (64)")  # fmt: skip
    parser.add_argument(
        "--classes", type=shape, metavar="N", help="number of classes (10), or of different tokens (65)"
    )
    parser.add_argument("--step", action="store_true", help="with --model: predict a training step on a GPU, which none is "
                        "needed for; it is made in the emulator, of a few samples, and takes a minute or two; an interrupt "
                        "leaves what is known")  # fmt: skip
    parser.add_argument("--batch", type=shape, metavar="N", help="with --step: samples of a step (64)")
    for size in ("layers", "width", "heads"):
        parser.add_argument(
            f"--{size}", type=shape, metavar="N", help="with --step: of a language model, as for weft train"
        )
    parser.add_argument("--kernels", action="store_true", help="compile the CUDA kernels; registers, memory, spills")
    known = " ".join(compiler.ARCHITECTURES)
    parser.add_argument("--arch", nargs="+", metavar="SM", help=f"with --kernels: compile for these ({known})")
    parser.add_argument("--json", action="store_true", help="with --kernels or --step: print JSON instead of a table")
    parser.add_argument("--profile", nargs="?", const="", metavar="NAME", help="with --kernels: predict what limits "
                        "each on a GPU, and show the lines that cost most; of the cases that begin so, or of all")  # fmt: skip
    parser.add_argument("--machine", choices=MACHINES, help="with --profile or --step: on which GPU (H200)")
    parser.add_argument("--save", metavar="FOLDER", help="with --profile: write profile.json and profile.png there")
    parser.add_argument(
        "--check", action="store_true", help="try what is installed: CPU, emulator, GPU; a list of ticks"
    )
    given = vars(parser.parse_args(argv))
    if "check" in given:
        if len(given) > 1:
            parser.error("--check goes alone")
        from .info_check import check

        return report("weft info", check)
    if "kernels" not in given and ("arch" in given or ("json" in given and "step" not in given)):
        parser.error("--arch and --json go with --kernels, and --json with --step")
    if "profile" not in given and ("save" in given or ("machine" in given and "step" not in given)):
        parser.error("--machine and --save go with --profile, and --machine with --step")
    if "save" in given:  # before the minutes that a profile takes
        try:
            Path(given["save"]).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            parser.error(f"--save needs a folder that can be written to, got {given['save']}: {error.strerror}")
    if "batch" in given and "step" not in given:
        parser.error("--batch goes with --step")
    if "step" in given and "model" not in given:
        parser.error("--step goes with --model")
    if given.keys() & {"layers", "width", "heads"} and given.get("model") not in LANGUAGE_MODELS:
        parser.error(f"--layers, --width and --heads go with --step and a language model: {', '.join(LANGUAGE_MODELS)}")
    if given.get("model") in LANGUAGE_MODELS and "step" not in given:
        parser.error(f"--model {given['model']} goes with --step")
    if "heads" in given and "heads" not in OWN[given["model"]]:
        those = " and ".join(model for model, own in OWN.items() if "heads" in own)
        parser.error(f"--heads is for --model {those}, got {given['model']}")
    if given.get("model") in LANGUAGE_MODELS and len(given.get("input_shape", [1])) > 1:
        parser.error(f"--input-shape of {given['model']} is one number, how many tokens")
    if "profile" in given and ("kernels" not in given or "arch" in given):
        parser.error("--profile goes with --kernels, and --machine in the place of --arch")
    if "model" not in given and given.keys() & {"input_shape", "classes"}:
        parser.error("--input-shape and --classes go with --model")
    if {"kernels", "model"} <= given.keys():
        parser.error("--kernels and --model are two tables: choose one")
    run = _kernels if "kernels" in given else _summary if "model" in given else _information
    run = _profile if "profile" in given else _step if "step" in given else run
    return report("weft info", lambda: run(given))


def _summary(given: dict[str, Any]) -> int:
    input_shape = given.get("input_shape", [1, 28, 28])
    with _sizes(given):
        table = summary(_built(given), input_shape)
    print(table)
    return 0


def _built(given: dict[str, Any]) -> Any:
    return build_model(architecture(given["model"], given.get("input_shape", [1, 28, 28]), given.get("classes", 10)))


@contextlib.contextmanager
def _sizes(given: dict[str, Any]) -> Iterator[None]:
    """What a model says of its sizes is about the options that gave them."""
    try:
        yield
    except (ValueError, IndexError, MemoryError, OverflowError) as error:
        raise UsageError(_too_much(given, error)) from error


def _too_much(given: dict[str, Any], error: Exception) -> str:
    """What is wrong with the sizes: weft's own words are about the shape, all others about the memory."""
    shape = f"--input-shape {' '.join(map(str, given.get('input_shape', [1, 28, 28])))}"
    if "`input_shape`" in str(error):
        return f"{shape}: {error}"
    classes = f"--classes {given['classes']}" if "classes" in given else ""
    blamed = " ".join(filter(None, (shape if "input_shape" in given or not classes else "", classes)))
    how = str(error) if isinstance(error, MemoryError) else "no array can be as large as this model's weights"
    return f"{blamed}: {how}; choose smaller sizes"


def _kernels(given: dict[str, Any]) -> int:
    families, architectures = compiler.families(), given.get("arch", compiler.ARCHITECTURES)
    total = len(families) * len(architectures)
    try:
        found = sorted(_with_progress_bar(compile_all(families, architectures), total), key=lambda done: done[:2])
    except compiler.CompileError as error:
        print(f"weft info: {error}", file=sys.stderr)
        return 1
    rows = [(source, arch, taken) for source, arch, program in found for taken in program.resources]
    if "json" in given:
        print(json.dumps([{"source": s, "arch": a, **dataclasses.asdict(taken)} for s, a, taken in rows], indent=1))
    else:
        print(table(rows))
        print("\nregs: a thread's registers (255 at most); smem: a block's static shared memory, in bytes;")
        print("stack: a thread's local memory, in bytes; spill: what it stores there and loads for want of registers")
        for _, arch, program in found:
            for text in spills(program):
                print(f"{arch}: {text}")
    return 0


def _profile(given: dict[str, Any]) -> int:
    from . import kernel_profile  # with the emulator, which nothing else here needs

    machine = MACHINES[given.get("machine", "H200")]
    return kernel_profile.run(given["profile"], machine, as_json="json" in given, folder=given.get("save"))


def _step(given: dict[str, Any]) -> int:
    from . import step_profile  # likewise

    if given["model"] not in LANGUAGE_MODELS:
        with _sizes(given):
            _built(given)
    return step_profile.run(given, MACHINES[given.get("machine", "H200")])


def _with_progress_bar(programs: Iterable[tuple[str, str, compiler.Program]], total: int) -> Iterator[Any]:
    with Progress("compiling", total) as progress:
        for source, arch, program in programs:
            progress.advance(f"{source} {arch}")
            yield source, arch, program


def _information(given: dict[str, Any]) -> int:
    rows = [
        ("weft", __version__),
        ("Python", f"{platform.python_version()} on {platform.platform()}"),
        *((name, _version(name)) for name in PACKAGES),
        ("CuPy", _version("cupy-cuda13x", "cupy")),
        ("NVRTC", _version("nvidia-cuda-nvrtc")),
        ("kernel cache", cache.folder()),
        ("devices", ", ".join(f"{name} (default)" if name == get_default_device() else name for name in devices())),
        ("threads", f"{num_threads()} of {os.cpu_count()} cores"),
        *(("BLAS", blas) for blas in _blas()),
        *(("memory", memory_summary(name)) for name in devices() if kind(name) in ("cpu", "cuda")),
    ]
    for name, value in rows:
        print(f"{name:<18}{value}")
    return 0


def _version(*names: str) -> str:
    for name in names:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "not installed"


def _blas() -> list[str]:
    from threadpoolctl import threadpool_info

    return [
        f"{blas['internal_api']} {blas['version']}, {blas['num_threads']} threads, {blas.get('architecture', '')}"
        for blas in threadpool_info()
        if blas["user_api"] == "blas"
    ]
