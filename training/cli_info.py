"""`weft info`."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from .. import __version__
from ..backend.devices import devices, get_default_device
from ..backend.info import memory_summary
from ..backend.parallel import num_threads
from ..layers import summary
from ..layers.models import MODELS
from .cli import Parser, UsageError, number, report
from .recipe import architecture
from .saved_model import build_model

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
    """Print what there is to know of this machine and installation, or a model's summary."""
    parser = Parser(
        prog="weft info", description="Show versions, devices, threads and memory; or what a model is made of."
    )
    parser.add_argument("--model", choices=MODELS, help="show the layers of this model instead")
    shape = number(int, 1)
    parser.add_argument("--input-shape", type=shape, nargs="+", metavar="N", help="one input's shape (1 28 28)")
    parser.add_argument("--classes", type=shape, metavar="N", help="number of classes (10)")
    given = vars(parser.parse_args(argv))
    return report("weft info", lambda: _summary(given) if "model" in given else _information())


def _summary(given: dict[str, Any]) -> int:
    input_shape = given.get("input_shape", [1, 28, 28])
    try:
        model = build_model(architecture(given["model"], input_shape, given.get("classes", 10)))
        table = summary(model, input_shape)
    except (ValueError, IndexError) as error:
        raise UsageError(f"--input-shape {' '.join(map(str, input_shape))}: {error}") from error
    print(table)
    return 0


def _information() -> int:
    rows = [
        ("weft", __version__),
        ("Python", f"{platform.python_version()} on {platform.platform()}"),
        *((name, _version(name)) for name in PACKAGES),
        ("CuPy", _version("cupy-cuda13x", "cupy")),
        ("devices", ", ".join(f"{name} (default)" if name == get_default_device() else name for name in devices())),
        ("threads", f"{num_threads()} of {os.cpu_count()} cores"),
        *(("BLAS", blas) for blas in _blas()),
        ("memory", memory_summary("cpu")),
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
