"""An ONNX graph as it grows: values, initialisers, and lengths that depend on the dynamic axes.

The model has run twice, at two sizes of every dynamic axis: a length that has changed is a function of the axes, and
anything else that has changed cannot be written down.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...backend.tape.tensor import Tensor

__all__ = ["Axis", "ExportError", "Graph", "Step"]


class ExportError(ValueError):
    """What a model does that its ONNX graph would not."""

    operation: Any = None  # of the trace


class Axis(NamedTuple):
    """A dynamic axis: its length in both runs, and the input that it is read from."""

    lengths: tuple[int, int]
    source: str
    axis: int


class Step(NamedTuple):
    """One operation of the first run, and what differs in the second."""

    name: str
    path: str
    inputs: tuple[Any, ...]
    names: tuple[str, ...]
    static: dict[str, Any]
    outputs: tuple[Any, ...]
    results: tuple[str, ...]
    again: Any

    @property
    def where(self) -> str:
        """The operation with its module, for messages."""
        return f"`{self.name}` in module `{self.path}`" if self.path else f"`{self.name}`"


class Graph:
    """Nodes and initialisers of a model, by the values' names."""

    def __init__(self, axes: Sequence[Axis], opset: int):
        self.nodes: list[Any] = []
        self.initializers: dict[str, np.ndarray] = {}
        self.axes, self.opset, self.prefix = axes, opset, ""
        self.constants: set[str] = set()  # initialisers that are no weights
        self.uniform: dict[str, Any] = {}  # constants of one number
        self.arrays: dict[int, str] = {}  # values by the `id` of the array that they were in the first run
        self.taken: set[str] = set()
        self.node_names: set[str] = set()

    def fresh(self, stem: str, taken: set[str] | None = None) -> str:
        """A name that nothing else has."""
        taken = self.taken if taken is None else taken
        name, i = stem, 0
        while name in taken:
            i += 1
            name = f"{stem}_{i}"
        taken.add(name)
        return name

    def node(self, kind: str, inputs: Sequence[str], out: str | Sequence[str] = "", **attributes: Any) -> str:
        """Add a node; its first output's name, a new one unless `out` names it."""
        from onnx import helper

        name = self.fresh(f"{self.prefix}{kind}", self.node_names)
        outs = [out] if isinstance(out, str) else list(out)
        outs[0] = outs[0] or self.fresh(f"{name}.output")
        given = list(inputs)
        while given and not given[-1]:
            given.pop()
        self.nodes.append(helper.make_node(kind, given, outs, name=name, **attributes))
        return outs[0]

    def constant(self, value: Any, dtype: Any = np.int64) -> str:
        """The name of a constant of this value."""
        name = self.weight(value, dtype, "constant")
        self.constants.add(name)
        return name

    def weight(self, value: Any, dtype: Any, stem: str) -> str:
        """The name of an initialiser of this value, made of weights."""
        name = self.fresh(f"{self.prefix}{stem}")
        self.initializers[name] = np.asarray(value, dtype=dtype)
        return name

    def length(self, first: int, second: int, where: str) -> str:
        """A length as a value of shape (1,): c · Πaxes or c + axis, whichever explains both runs."""
        if first == second:
            return self.constant([first])
        products: list[tuple[tuple[int, ...], int, int]] = [((), 1, 1)]
        for i, axis in enumerate(self.axes):
            products += [((*at, i), n * axis.lengths[0], m * axis.lengths[1]) for at, n, m in products]
        for at, n, m in products[1:]:
            if first % n == 0 and first // n * m == second:
                return self._times([self._axis(i) for i in at], first // n)
        for at, n, m in products[1:]:
            if first - n == second - m:
                return self.node("Add", [self._times([self._axis(i) for i in at], 1), self.constant([first - n])])
        raise ExportError(
            f"{where} needs a length that follows from the dynamic axes, got {first} and then {second}; keep that axis fixed"
        )

    def _axis(self, i: int) -> str:
        axis = self.axes[i]
        return self.node("Shape", [axis.source], start=axis.axis, end=axis.axis + 1)

    def _times(self, values: list[str], factor: int) -> str:
        value = values[0]
        for other in values[1:]:
            value = self.node("Mul", [value, other])
        return value if factor == 1 else self.node("Mul", [value, self.constant([factor])])

    def shape(self, first: Sequence[int], second: Sequence[int], where: str) -> str:
        """A shape as a value: an initialiser where it is the same in both runs."""
        if tuple(first) == tuple(second):
            return self.constant(first)
        return self.node("Concat", [self.length(n, m, where) for n, m in zip(first, second, strict=True)], axis=0)

    def cast(self, name: str, value: Any, dtype: Any) -> str:
        """A Tensor's value in another dtype, or a number's constant."""
        from onnx import helper

        if not isinstance(value, Tensor):
            return self.constant(value, dtype)
        if value.dtype == dtype:
            return name
        return self.node("Cast", [name], to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def varying(self, first: np.ndarray, second: np.ndarray, where: str) -> str:
        """A constant whose shape follows the dynamic axes: all of one value, or evenly spaced."""
        if first.ndim == second.ndim and first.size and second.size:
            if (first == first.flat[0]).all() and (second == first.flat[0]).all():
                shape = self.shape(first.shape, second.shape, where)
                return self.node("Expand", [self.constant(first.flat[0], first.dtype), shape])
            if first.ndim == 1 and first.dtype.kind in "iu" and min(first.size, second.size) > 1:
                start, step = first[0], first[1] - first[0]
                if all((x == start + step * np.arange(x.size)).all() for x in (first, second)):
                    count = self.node("Squeeze", [self.length(first.size, second.size, where)])
                    end = self.node("Add", [self.node("Mul", [count, self.constant(step)]), self.constant(start)])
                    found = self.node("Range", [self.constant(start), end, self.constant(step)])
                    return self.cast(found, Tensor(np.zeros(1, np.int64)), first.dtype)
        raise ExportError(
            f"{where} needs constants that follow from the dynamic axes, got shapes {first.shape} and {second.shape} with"
            " values of their own; keep that axis fixed"
        )
