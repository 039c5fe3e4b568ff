"""`weft export`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...backend.tape.tensor import Tensor
from ...compat.onnx.exporting import ExportError, export
from ...data.files import named
from ...layers import Module
from ...layers.models import LanguageModel
from ..checkpoint import CheckpointError
from ..saved_model import SavedModel, load_model
from .folder import model_in
from .parser import Parser, UsageError, number, report

__all__ = ["main"]

DESCRIPTION = """Write a trained model as an ONNX file. Inputs are raw, as in the data set (as float32): normalisation is part of
the graph. The batch may have any size; a text, any length that the model has room for.
"""
EPILOG = """examples:
  weft export runs/digits-mlp model.onnx
  weft export runs/tinyshakespeare-gpt2/model.safetensors model.onnx --opset 24
"""


class _Normalized(Module):
    """The model of normalised inputs."""

    def __init__(self, saved: SavedModel):
        super().__init__()
        self.model, self.normalizer = saved.model, saved.normalizer

    def forward(self, x: Tensor) -> Any:
        return self.model(x if self.normalizer is None else self.normalizer(x))


def _parser() -> Parser:
    parser = Parser(prog="weft export", description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    add("checkpoint", metavar="CHECKPOINT", help="folder of a run, or a file of it")
    add("onnx", metavar="ONNX", help="the file to write")
    add(
        "--opset", type=number(int, 24), metavar="N", help="version of the operators (the newest of the installed onnx)"
    )
    add("--debug", action="store_true", help="show the traceback of errors")
    return parser


def main(argv: Sequence[str]) -> int:
    """Export as the arguments say.

    Parameters
    ----------
    argv : sequence of str
        Arguments of `weft export`.

    Returns
    -------
    int
        The exit status, see `report`.

    Examples
    --------
    >>> main(["nowhere", "model.onnx"])
    2
    """
    given = vars(_parser().parse_args(argv))
    return report("weft export", lambda: _export(given), debug=given.pop("debug", False))


def _export(given: dict[str, Any]) -> int:
    path, out = named(given["checkpoint"]), Path(given["onnx"])
    if not out.absolute().parent.is_dir():
        raise UsageError(f"ONNX must be a file in a folder that exists, got {out}")
    saved = load_model(model_in(path), device="cpu")
    shape = (saved.architecture or {}).get("input_shape")
    if isinstance(saved.model, LanguageModel):
        model: Any = saved.model
        x, axes = Tensor(np.zeros((1, 2), np.int64)), {0: "batch", 1: "time"}
    elif shape is not None:
        model = _Normalized(saved)
        x, axes = Tensor(np.zeros((1, *shape), np.float32)), {0: "batch"}
    else:
        raise CheckpointError(f"`{path}`: expected a language model or one with an `input_shape`, found another")
    try:
        export(
            model,
            x,
            out,
            input_names=["input"],
            output_names=["output"],
            dynamic_axes={"input": axes},
            opset=given.get("opset"),
        )
    except (ExportError, ValueError) as error:
        raise UsageError(str(error)) from error
    print(f"{out}: {type(saved.model).__name__}")
    if saved.class_names:
        print(f"outputs, in this order: {', '.join(saved.class_names)}")
    return 0
