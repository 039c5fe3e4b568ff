"""An ONNX graph as a Module that trains."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ... import Tensor, asarray
from ...layers import Module, Parameter
from .operators import OPERATORS

__all__ = ["load", "supported_operators"]

OLDEST = 13  # the version from which the covered operators have kept one meaning


class GraphModule(Module):
    """The nodes of a graph, run in order; float initialisers are its parameters."""

    def __init__(self, graph: Any) -> None:
        from onnx import helper, numpy_helper

        super().__init__()
        self.nodes = [(n, {a.name: helper.get_attribute_value(a) for a in n.attribute}) for n in graph.node]
        self.places: dict[str, tuple[Module, str]] = {}
        for initialiser in graph.initializer:
            self._place(initialiser.name, numpy_helper.to_array(initialiser))
        self.inputs = [i.name for i in graph.input if i.name not in self.places]
        self.outputs = [o.name for o in graph.output]

    def _place(self, name: str, value: np.ndarray) -> None:
        *path, leaf = name.split(".")
        owner: Module = self
        for part in path:
            if not hasattr(owner, part):
                setattr(owner, part, Module())
            owner = self._within(getattr(owner, part), name)
        if not leaf or hasattr(owner, leaf):
            raise ValueError(f"an initialiser's name should be free in a Module; received `{name}`: rename it")
        if np.issubdtype(value.dtype, np.floating):
            owner.register_parameter(leaf, Parameter(asarray(value.copy())))
        else:
            owner.register_buffer(leaf, asarray(value.copy()))
        self.places[name] = (owner, leaf)

    @staticmethod
    def _within(owner: Any, name: str) -> Module:
        if not isinstance(owner, Module):
            raise ValueError(f"an initialiser's name should be free in a Module; received `{name}`: rename it")
        return owner

    def forward(self, *args: Any, **named: Any) -> Any:
        """The outputs for inputs in order or by name."""
        given = [*self.inputs[: len(args)], *named]
        if len(args) > len(self.inputs) or sorted(given) != sorted(self.inputs):
            raise TypeError(f"the graph requires the inputs `{self.inputs}`; received `{given}`")
        values: dict[str, Any] = {k: v if isinstance(v, Tensor) else asarray(v) for k, v in named.items()}
        values |= {k: v if isinstance(v, Tensor) else asarray(v) for k, v in zip(self.inputs, args, strict=False)}
        values |= {name: getattr(owner, leaf) for name, (owner, leaf) in self.places.items()}
        for node, attributes in self.nodes:
            values[node.output[0]] = OPERATORS[node.op_type](
                attributes, *(values[i] if i else None for i in node.input)
            )
        outputs = tuple(values[name] for name in self.outputs)
        return outputs[0] if len(outputs) == 1 else outputs


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
    return sorted(OPERATORS)


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
        If the file is no ONNX model, or its operators are older than version 13.
    NotImplementedError
        If an operator, or an input that is no tensor, is not covered.

    Examples
    --------
    >>> import numpy as np, onnx
    >>> from weft.compat.onnx import load
    >>> text = '<ir_version: 8, opset_import: ["" : 17]> g (float[2] x) => (float[2] y) { y = Relu(x) }'
    >>> load(onnx.parser.parse_model(text))(np.asarray([-1.0, 2.0], np.float32)).numpy().tolist()
    [0.0, 2.0]
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(source) if isinstance(source, (str, os.PathLike)) else source
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise ValueError(f"`{source}` should be an ONNX model; received bytes that are none: {error}") from error
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS:
            raise NotImplementedError(
                f'operator {node.op_type} (node "{node.name}") is not covered; `supported_operators()` lists those that are'
            )
    for value in model.graph.input:
        if (kind := value.type.WhichOneof("value")) != "tensor_type":
            raise NotImplementedError(
                f"inputs should be tensors; received `{kind}` for `{value.name}`, which is not covered"
            )
    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    if not versions or versions[0] < OLDEST:
        raise ValueError(
            f"`opset` should be at least {OLDEST}; received `{versions}`: convert by onnx.version_converter"
        )
    return GraphModule(model.graph)
