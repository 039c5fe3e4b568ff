"""An ONNX graph as a Module that trains."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from ... import Tensor, asarray, isdtype
from ...layers import Module, Parameter
from .control import CONTROL, Inner
from .operators import HOST, OPERATORS
from .operators.elementwise import DTYPES

__all__ = ["load", "supported_operators"]

OLDEST = 7  # the version from which operators broadcast as NumPy does
_STATISTICS = (3, 4)  # of BatchNormalization: its running mean and variance


class _Node(NamedTuple):
    """One operator at work."""

    operator: str
    attributes: dict[str, Any]
    inputs: list[str]
    outputs: list[str]
    name: str


class _Graph(NamedTuple):
    """Nodes in the order of their work, what comes in and goes out, and what the host knows."""

    nodes: list[_Node]
    inputs: list[str]
    outputs: list[str]
    places: dict[str, tuple[Module, str]]
    constants: dict[str, np.ndarray]


class GraphModule(Module):
    """The nodes of a graph, run in order; float initialisers are its parameters."""

    def __init__(self, graph: Any, opset: int) -> None:
        from onnx import numpy_helper

        super().__init__()
        nodes = [_node(n, opset) for n in graph.node]
        inputs = [i.name for i in graph.input]
        self._graph = _Graph(nodes, inputs, [o.name for o in graph.output], {}, {})
        uses = _uses(nodes)
        for initialiser in graph.initializer:
            name, value = initialiser.name, numpy_helper.to_array(initialiser)
            if name in inputs:
                inputs.remove(name)
            if not isdtype(value.dtype, "real floating") or uses.get(name) == {"host"}:
                self._graph.constants[name] = value
            else:
                self._place(name, value, is_parameter="statistics" not in uses.get(name, ()))

    def _place(self, name: str, value: np.ndarray, is_parameter: bool) -> None:
        *path, leaf = name.split(".")
        owner: Module = self
        for part in path:
            if not hasattr(owner, part):
                setattr(owner, part, Module())
            owner = self._within(getattr(owner, part), name)
        if not leaf or hasattr(owner, leaf):
            raise ValueError(f"an initialiser's name must be free in a Module, got `{name}`; rename it")
        if is_parameter:
            owner.register_parameter(leaf, Parameter(asarray(value.copy())))
        else:
            owner.register_buffer(leaf, asarray(value.copy()))
        self._graph.places[name] = (owner, leaf)

    @staticmethod
    def _within(owner: Any, name: str) -> Module:
        if not isinstance(owner, Module):
            raise ValueError(f"an initialiser's name must be free in a Module, got `{name}`; rename it")
        return owner

    def forward(self, *args: Any, **named: Any) -> Any:
        """The outputs for inputs in order or by name."""
        graph = self._graph
        given = [*graph.inputs[: len(args)], *named]
        if len(args) > len(graph.inputs) or sorted(given) != sorted(graph.inputs):
            raise TypeError(f"the graph must be called with the inputs {graph.inputs}, got {given}")
        values: dict[str, Any] = {**graph.constants, **dict(zip(graph.inputs, args)), **named}
        values |= {name: getattr(owner, leaf) for name, (owner, leaf) in graph.places.items()}
        device = next((p.device for p in self.parameters()), None)
        for name in graph.inputs:
            if not isinstance(values[name], Tensor):
                values[name] = asarray(values[name], device=device)
        _run_all(graph.nodes, values, device)
        outputs = tuple(
            asarray(v, device=device) if isinstance(v, np.ndarray) else v for v in map(values.get, graph.outputs)
        )
        return outputs[0] if len(outputs) == 1 else outputs


def _run_all(nodes: list[_Node], values: dict[str, Any], device: Any) -> None:
    """Add the results of each node to the values."""
    for node in nodes:
        inputs = [values[i] if i else None for i in node.inputs]
        if node.operator in CONTROL:
            run = lambda nodes, values: _run_all(nodes, values, device)
            found = tuple(CONTROL[node.operator](node.attributes, inputs, values, run))
        else:
            found = _run(node, inputs, device)
        values.update(zip(node.outputs, found))


def _node(node: Any, opset: int) -> _Node:
    from onnx import GraphProto, helper

    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    for name, value in attributes.items():
        if isinstance(value, GraphProto):
            attributes[name] = _inner(value, opset)
    attributes |= {"opset": opset, "outputs": len(node.output)}
    return _Node(node.op_type, attributes, list(node.input), list(node.output), node.name)


def _inner(graph: Any, opset: int) -> Inner:
    from onnx import numpy_helper

    constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    inputs = [i.name for i in graph.input if i.name not in constants]
    return Inner([_node(n, opset) for n in graph.node], inputs, [o.name for o in graph.output], constants)


def _all_nodes(graph: Any) -> Iterator[Any]:
    """The nodes, and those of the graphs within them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _all_nodes(attribute.g)


def _uses(nodes: list[_Node]) -> dict[str, set[str]]:
    """What each value is used for: on the host, as running statistics, or otherwise."""
    found: dict[str, set[str]] = {}
    for node in nodes:
        for i, name in enumerate(node.inputs):
            is_statistic = node.operator == "BatchNormalization" and i in _STATISTICS
            use = "host" if i in HOST.get(node.operator, ()) else "statistics" if is_statistic else "device"
            found.setdefault(name, set()).add(use)
    return found


def _run(node: _Node, inputs: list[Any], device: Any) -> tuple[Any, ...]:
    """The outputs of one node; where the host knows all inputs, it knows the outputs."""
    host = HOST.get(node.operator, ())
    arguments = [_on_host(v) if i in host else _on_device(v, device) for i, v in enumerate(inputs)]
    is_known = bool(inputs) and all(v is None or isinstance(v, np.ndarray) for v in inputs)
    try:
        found = OPERATORS[node.operator](node.attributes, *arguments)
    except NotImplementedError as error:
        raise NotImplementedError(f'{node.operator} (node "{node.name}"): {error}') from None
    found = found if isinstance(found, tuple) else (found,)
    return tuple(map(_on_host, found)) if is_known else found


def _on_host(value: Any) -> Any:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else value


def _on_device(value: Any, device: Any) -> Any:
    return asarray(value, device=device) if isinstance(value, np.ndarray) else value


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
        If the file is no ONNX model, or its operators are older than version 7.
    NotImplementedError
        If an operator, or an input or output that is no tensor of numbers, is not covered.
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
    if model.functions:
        from onnx import inliner

        model = inliner.inline_local_functions(model)
    known = OPERATORS.keys() | CONTROL.keys()
    unknown = {n.op_type for n in _all_nodes(model.graph) if n.domain in ("", "ai.onnx")} - known
    if unknown:  # ONNX itself defines some operators by others
        from onnx import inliner

        with suppress(RuntimeError):  # not where it would have to know a type
            model = inliner.inline_selected_functions(model, [("", name) for name in sorted(unknown)], False, True)
    for node in _all_nodes(model.graph):
        if node.domain not in ("", "ai.onnx") or node.op_type not in known:
            raise NotImplementedError(
                f'operator {node.op_type} (node "{node.name}") is not covered; `supported_operators()` lists those that are'
            )
    for value in (*model.graph.input, *model.graph.output):
        kind, dtype = value.type.WhichOneof("value"), value.type.tensor_type.elem_type
        if kind not in (None, "tensor_type") or dtype not in (
            0,
            *DTYPES,
        ):  # None: a file may leave types to be inferred
            found = kind if kind != "tensor_type" else f"dtype {onnx.TensorProto.DataType.Name(dtype)}"
            raise NotImplementedError(f"inputs and outputs must be tensors of numbers, got {found} for `{value.name}`")
    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    if not versions or versions[0] < OLDEST:
        raise ValueError(
            f"the opset must be at least {OLDEST}, got {versions}; convert the model by onnx.version_converter"
        )
    return GraphModule(model.graph, versions[0])
