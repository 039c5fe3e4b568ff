"""A graph as ONNX's model, and that as a file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ...backend.tape.tensor import Tensor
from .export_graph import Graph

__all__ = ["model_of", "write"]


def model_of(g: Graph, given: tuple, names: list[str], outputs: list, symbols: dict) -> Any:
    """The graph with its inputs and outputs; initialisers are its weights, constants nodes."""
    from onnx import helper, numpy_helper

    def info(name: str, x: Tensor, shape: list) -> Any:
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(x.dtype)), shape)

    inputs = [info(n, x, [symbols.get((n, a), size) for a, size in enumerate(x.shape)]) for n, x in zip(names, given)]
    results = [info(n, x, [a if a == b else None for a, b in zip(x.shape, y.shape)]) for n, x, y in outputs]
    used = {name for name, _, _ in outputs}
    nodes: list[Any] = []
    for node in reversed(g.nodes):  # what nothing reads is left out
        if used.intersection(node.output):
            used.update(node.input)
            nodes.insert(0, node)
    arrays = [numpy_helper.from_array(np.array(x, order="C"), n) for n, x in g.initializers.items() if n in used]
    weights = [x for x in arrays if x.name not in g.constants]
    fixed = [helper.make_node("Constant", [], [x.name], value=x) for x in arrays if x.name in g.constants]
    graph = helper.make_graph([*fixed, *nodes], "weft", inputs, results, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", g.opset)], producer_name="weft")


def write(model: Any, path: Path, external_above: int) -> None:
    """Both files whole, in a folder beside the path, before they get their names."""
    import onnx

    size = sum(len(x.raw_data) for x in model.graph.initializer)
    with tempfile.TemporaryDirectory(dir=path.absolute().parent, prefix=".export-") as folder:
        new, data = Path(folder, path.name), path.name + ".data"
        beside = size > external_above
        onnx.save(
            model,
            new,
            save_as_external_data=beside,
            location=data if beside else None,
            size_threshold=1024 if beside else 0,
        )
        onnx.checker.check_model(str(new), full_check=True)
        if beside:
            os.replace(Path(folder, data), path.absolute().parent / data)
        os.replace(new, path)
