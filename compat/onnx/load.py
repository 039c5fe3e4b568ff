"""An ONNX graph as a Module that trains."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from ...layers import Module
from .control import CONTROL
from .graph import GraphModule
from .old import BEFORE
from .operators import OPERATORS
from .operators.elementwise import DTYPES

__all__ = ["load", "supported_operators"]

OUT_OF_REACH = {
    "text is no array of numbers": "RegexFullMatch StringConcat StringNormalizer StringSplit TfIdfVectorizer",
    "files of pictures are read by `weft.data`": "ImageDecoder",
    "gradients are those of the module: `weft.grad`": "Gradient",
}
DOMAINS = ("", "ai.onnx", "ai.onnx.preview", "ai.onnx.preview.training")


def _all_nodes(graph: Any) -> Iterator[Any]:
    """The nodes, and those of the graphs within them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _all_nodes(attribute.g)


def _is_of_numbers(kind: Any) -> bool:
    """Whether a type, as far as the file tells it, is one of tensors of numbers, or of sequences of them."""
    name = kind.WhichOneof("value")
    if name in ("sequence_type", "optional_type"):
        return _is_of_numbers(getattr(kind, name).elem_type)
    return name is None or (name == "tensor_type" and kind.tensor_type.elem_type in (0, *DTYPES))


def _check_names(graph: Any) -> None:
    """Of a damaged file names may be no text."""
    words = [graph.name, *(v.name for v in (*graph.input, *graph.output, *graph.initializer))]
    for node in _all_nodes(graph):
        words += [node.name, node.op_type, node.domain, *node.input, *node.output, *(a.name for a in node.attribute)]
    for word in words:
        if not isinstance(word, str):
            raise ValueError(f"the graph must have names that are text, got {word!r}: the file is damaged")


def _check_wiring(graph: Any, around: frozenset[str] = frozenset()) -> None:
    """Whatever a node takes, or the graph gives, must have been made before, here or `around` the graph."""
    if not graph.output:
        raise ValueError("the graph must have outputs, got none: the file is empty, or damaged")
    made = {*around, *(v.name for v in (*graph.input, *graph.initializer)), ""}
    made |= {v.values.name for v in graph.sparse_initializer}
    for node in graph.node:
        for name in node.input:
            if name not in made:
                raise ValueError(
                    f'{node.op_type} (node "{node.name}") must take what was made before it, got `{name}`, which nothing makes'
                )
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _check_wiring(attribute.g, frozenset(made))
        made.update(node.output)
    for value in graph.output:
        if value.name not in made:
            raise ValueError(f"the graph's output `{value.name}` must be made by a node, got none that does")


def supported_operators() -> list[str]:
    """Names of the ONNX operators that `load` covers.

    Returns
    -------
    list of str

    Examples
    --------
    >>> from weft.compat.onnx import supported_operators
    >>> "Gemm" in supported_operators()
    True
    """
    return sorted(OPERATORS.keys() | CONTROL.keys())


def load(source: Any) -> Module:
    """Read an ONNX graph as a Module y = f(x; θ), θ its float initialisers.

    Parameters
    ----------
    source : str, Path or onnx.ModelProto
        Weights that lie beside the file are read with it.

    Returns
    -------
    Module
        Called with the graph's inputs in order or by name; initialisers keep their names in `state_dict`.

    Raises
    ------
    ValueError
        If the file is no ONNX model, or a node takes what nothing makes.
    NotImplementedError
        If an operator, or its old version, is not covered, or an input or output is no tensor of numbers, nor a sequence of
        them.
    ImportError
        If onnx is missing.

    Examples
    --------
    >>> import numpy as np, onnx
    >>> from weft.compat.onnx import load
    >>> text = '<ir_version: 8, opset_import: ["" : 17]> g (float[2] x) => (float[2] y) { y = Relu(x) }'
    >>> load(onnx.parser.parse_model(text))(np.asarray([-1.0, 2.0], np.float32)).numpy().tolist()
    [0.0, 2.0]
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise ImportError(f'`load` needs onnx ({error}): pip install "weft[onnx]"') from None

    try:
        model = onnx.load(source) if isinstance(source, (str, os.PathLike)) else source
    except (DecodeError, onnx.checker.ValidationError, RuntimeError) as error:
        raise ValueError(f"`{source}` must be an ONNX model, got bytes that are none: {error}") from error
    _check_names(model.graph)
    if model.functions:
        from onnx import inliner

        model = inliner.inline_local_functions(model)
    known = OPERATORS.keys() | CONTROL.keys()
    unknown = {n.op_type for n in _all_nodes(model.graph) if n.domain in DOMAINS} - known
    if unknown:  # ONNX itself defines some operators by others
        from onnx import inliner

        with suppress(RuntimeError):  # not where it would have to know a type
            model = inliner.inline_selected_functions(model, [("", name) for name in sorted(unknown)], False, True)
    for node in _all_nodes(model.graph):
        if node.domain not in DOMAINS or node.op_type not in known:
            why = next((f", {why}" for why, names in OUT_OF_REACH.items() if node.op_type in names.split()), "")
            where = f" of {node.domain}" if node.domain not in DOMAINS else ""
            raise NotImplementedError(
                f'operator {node.op_type}{where} (node "{node.name}") is not covered{why}; `supported_operators()` lists'
                " those that are"
            )
    _check_wiring(model.graph)
    for value in (*model.graph.input, *model.graph.output):
        if not _is_of_numbers(value.type):
            kind = value.type.WhichOneof("value")
            dtype = onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type)
            found = f"dtype {dtype}" if kind == "tensor_type" else kind
            raise NotImplementedError(
                f"inputs and outputs must be tensors of numbers, or of sequences of these, got {found} for `{value.name}`"
            )
    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    opset = versions[0] if versions else onnx.defs.onnx_opset_version()
    for node in _all_nodes(model.graph):
        if opset < BEFORE.get(node.op_type, 0):
            raise NotImplementedError(
                f'{node.op_type} (node "{node.name}") must be of opset {BEFORE[node.op_type]} at least, got {opset};'
                " convert the model by onnx.version_converter"
            )
    return GraphModule(model.graph, opset)
