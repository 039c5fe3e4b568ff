"""What a loaded graph is: a Module that runs its nodes in order, and knows on the host what they read there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np

from ... import Tensor, asarray, isdtype
from ...backend.tape.watching import unwatched
from ...layers import Module, Parameter
from .control import CONTROL, Inner
from .old import as_new
from .operators import HOST, OPERATORS
from .operators.elementwise import DTYPES
from .operators.random import seeded

__all__ = ["GraphModule"]

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
    """The nodes of a graph, run in order; float initialisers are its parameters, unless the file says that they are not."""

    def __init__(self, graph: Any, opset: int) -> None:
        from onnx import numpy_helper

        super().__init__()
        nodes = [_node(n, opset) for n in graph.node]
        inputs = [i.name for i in graph.input]
        self._graph = _Graph(nodes, inputs, [o.name for o in graph.output], {}, {})
        uses, kinds = _uses(nodes), _kinds(graph)
        for initialiser in graph.initializer:
            name, value = initialiser.name, numpy_helper.to_array(initialiser)
            if name in inputs:
                inputs.remove(name)
            if not isdtype(value.dtype, "real floating") or uses.get(name) == {"host"}:
                self._graph.constants[name] = value
            else:
                told = kinds[name] == "PARAMETER" if name in kinds else not kinds or value.size > 1
                self._place(name, value, is_parameter=told and "statistics" not in uses.get(name, ()))

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
            values[name] = _each(lambda x: x if isinstance(x, Tensor) else asarray(x, device=device), values[name])
        _run_all(graph.nodes, values, device)
        outputs = tuple(_on_device(values.get(name), device) for name in graph.outputs)
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
    return _Node(node.op_type, seeded(attributes), list(node.input), list(node.output), node.name)


def _inner(graph: Any, opset: int) -> Inner:
    from onnx import numpy_helper

    constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    inputs = [i.name for i in graph.input if i.name not in constants]
    nodes, outputs = [_node(n, opset) for n in graph.node], [o.name for o in graph.output]
    return Inner(nodes, inputs, outputs, constants, [_nothing(o.type.tensor_type) for o in graph.output])


def _nothing(kind: Any) -> np.ndarray | None:
    """No tensor of a type, below the other: (0, …)."""
    lengths = [d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim]
    is_known = kind.HasField("shape") and min(lengths, default=0) >= 0 and kind.elem_type in DTYPES
    return np.zeros((0, *lengths), DTYPES[kind.elem_type]) if is_known else None


def _kinds(graph: Any) -> dict[str, str]:
    """PARAMETER, BUFFER and so on, where PyTorch's exporter tells. What it made of weights has no kind, as numbers have none."""
    key = "pkg.torch.export.graph_signature.InputSpec.kind"
    return {v.name: p.value for v in graph.value_info for p in v.metadata_props if p.key == key}


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
        with unwatched() if is_known else nullcontext():
            found = OPERATORS[node.operator](node.attributes, *as_new(node.operator, node.attributes, arguments))
    except NotImplementedError as error:
        raise NotImplementedError(f'{node.operator} (node "{node.name}"): {error}') from None
    found = found if isinstance(found, tuple) else (found,)
    return tuple(map(_on_host, found)) if is_known else found


def _each(function: Callable[[Any], Any], value: Any) -> Any:
    """Of a tensor, of each in a sequence, or None where there is none."""
    if isinstance(value, list):
        return [_each(function, x) for x in value]
    return value if value is None else function(value)


def _on_host(value: Any) -> Any:
    return _each(lambda x: x.detach().cpu().numpy() if isinstance(x, Tensor) else x, value)


def _on_device(value: Any, device: Any) -> Any:
    return _each(lambda x: asarray(x, device=device) if isinstance(x, np.ndarray) else x, value)
