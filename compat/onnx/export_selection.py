"""Order, repetition, contraction and rounding of arrays as ONNX nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.tape.tensor import Tensor
from .export_graph import ExportError, Graph, Step
from .export_operators import Handler, axes_of, logical, number, operands

__all__ = ["SELECTION"]


def option(op: Step, name: str, place: int) -> Any:
    """An option that may stand at a place among the inputs."""
    return op.inputs[place] if len(op.inputs) > place else op.static.get(name)


def trunc(g: Graph, op: Step) -> None:
    """sign(x) ⌊|x|⌋; integers are whole."""
    (x,) = operands(g, op)
    if np.dtype(op.inputs[0].dtype).kind in "iub":
        g.node("Identity", [x], op.results)
        return
    g.node("Mul", [g.node("Sign", [x]), g.node("Floor", [g.node("Abs", [x])])], op.results)


def isfinite(g: Graph, op: Step) -> None:
    if np.dtype(op.inputs[0].dtype).kind != "f":
        raise ExportError(f"{op.where} needs floats, got {op.inputs[0].dtype}, which are finite; leave it out")
    bad = [g.node(kind, op.names) for kind in ("IsNaN", "IsInf")]
    g.node("Not", [g.node("Or", bad)], op.results)


def logaddexp(g: Graph, op: Step) -> None:
    """max(x, y) + ln(1 + exp(−|x − y|)); of equal infinities, themselves."""
    x, y = operands(g, op)
    far = g.node("Abs", [g.node("Sub", [x, y])])
    tail = g.node("Log", [g.node("Add", [g.node("Exp", [g.node("Neg", [far])]), number(g, op, 1)])])
    same = g.node("And", [g.node("Equal", [x, y]), g.node("IsInf", [x])])
    highest = g.node("Max", [x, y])
    g.node("Where", [same, x, g.node("Add", [highest, tail])], op.results)


def hypot(g: Graph, op: Step) -> None:
    """m √(1 + (n/m)²) with m the larger of |x| and |y|, n the other: nothing overflows."""
    x, y = (g.node("Abs", [v]) for v in operands(g, op))
    high, low = g.node("Max", [x, y]), g.node("Min", [x, y])
    safe = g.node("Where", [g.node("Equal", [high, number(g, op, 0)]), number(g, op, 1), high])
    ratio = g.node("Div", [low, safe])
    ratio = g.node("Where", [g.node("IsInf", [high]), number(g, op, 0), ratio])
    root = g.node("Sqrt", [g.node("Add", [g.node("Mul", [ratio, ratio]), number(g, op, 1)])])
    g.node("Mul", [high, root], op.results)


def atan2(g: Graph, op: Step) -> None:
    """a = atan(|y| / |x|), π − a where x < 0 or is −0, with the sign of y."""
    y, x = operands(g, op)
    zero = number(g, op, 0)

    def negative(v: str) -> str:
        sides = [g.node("Less", [u, zero]) for u in (v, g.node("Reciprocal", [v]))]
        return g.node("Or", sides)

    sizes = [g.node("Abs", [v]) for v in (y, x)]
    equal = g.node("Equal", sizes)  # zeros and infinities have no quotient
    a = g.node("Atan", [g.node("Where", [equal, g.node("Sign", sizes[:1]), g.node("Div", sizes)])])
    a = g.node("Where", [negative(x), g.node("Sub", [number(g, op, np.pi), a]), a])
    g.node("Where", [negative(y), g.node("Neg", [a]), a], op.results)


def remainder(g: Graph, op: Step) -> None:
    """x − y ⌊x/y⌋, with the sign of y: of floats, what fmod leaves, y further where the signs differ."""
    x, y = operands(g, op)
    if np.dtype(op.outputs[0].dtype).kind != "f":
        g.node("Mod", [x, y], op.results)
        return
    zero, rest = number(g, op, 0), g.node("Mod", [x, y], fmod=1)
    signs = g.node("Xor", [g.node("Less", [v, zero]) for v in (rest, y)])
    nothing = g.node("Equal", [rest, zero])
    differ = g.node("And", [signs, g.node("Not", [nothing])])
    g.node("Where", [differ, g.node("Add", [rest, y]), rest], op.results)


def heaviside(g: Graph, op: Step) -> None:
    x, zero = op.names[0], number(g, op, 0)
    at_zero = number(g, op, op.static.get("value", 1.0))
    above = g.node("Where", [g.node("Greater", [x, zero]), number(g, op, 1), zero])
    g.node("Where", [g.node("Equal", [x, zero]), at_zero, above], op.results)


def fixed(op: Step, axis: int) -> int:
    """The length of an axis of the first input, which must be one."""
    n, m = op.inputs[0].shape[axis], op.again.inputs[0].shape[axis]
    if n != m:
        raise ExportError(f"{op.where} needs axis {axis} of fixed length, got {n} and {m}")
    return n


def order(g: Graph, op: Step) -> None:
    """TopK of all elements. Of equal ones the lower index comes first."""
    axis = op.static.get("axis", -1)
    k = g.constant([fixed(op, axis)])
    first, second = g.fresh(f"{g.prefix}values"), g.fresh(f"{g.prefix}indices")
    outs = (op.results[0], second) if op.name == "sort" else (first, op.results[0])
    g.node("TopK", [op.names[0], k], outs, axis=axis, largest=int(op.static.get("descending", False)), sorted=1)


def roll(g: Graph, op: Step) -> None:
    """Gather in the order that the places have after it."""
    shift, axis = option(op, "shift", 1), op.static.get("axis")
    value, flat = op.names[0], axis is None
    shape = op.inputs[0].shape
    if flat:
        [fixed(op, a) for a in range(len(shape))]
        value, shape, axis = g.node("Reshape", [value, g.constant([-1])]), (op.inputs[0].size,), 0
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    shifts = shift if isinstance(shift, tuple | list) else (shift,) * len(axes)
    for a, by in zip(axes, shifts, strict=True):
        n = shape[a] if flat else fixed(op, a)
        value = g.node("Gather", [value, g.constant(np.roll(np.arange(n), by))], axis=a)
    g.node("Reshape" if flat else "Identity", [value, *([g.constant(op.inputs[0].shape)] * flat)], op.results)


def repeat(g: Graph, op: Step) -> None:
    """Gather of each place as often as it is repeated."""
    counts, axis, value = option(op, "repeats", 1), op.static.get("axis"), op.names[0]
    if isinstance(counts, Tensor):
        raise ExportError(f"{op.where} needs `repeats` that is an integer, got a Tensor")
    if axis is None:
        [fixed(op, a) for a in range(op.inputs[0].ndim)]
        value, n, axis = g.node("Reshape", [value, g.constant([-1])]), op.inputs[0].size, 0
    else:
        n = fixed(op, axis)
    g.node("Gather", [value, g.constant(np.repeat(np.arange(n), counts))], op.results, axis=axis)


LETTERS = "abcdefghijklmnopqrstuvwxyz"


def tensordot(g: Graph, op: Step) -> None:
    axes, (n, m) = op.static.get("axes", 2), [x.ndim for x in op.inputs]
    pairs = (range(n - axes, n), range(axes)) if isinstance(axes, int) else axes
    first, second = list(LETTERS[:n]), list(LETTERS[n : n + m])
    for a, b in zip(*pairs):
        second[b] = first[a]
    out = [x for x in first if x not in second] + [x for x in second if x not in first]
    equation = f"{''.join(first)},{''.join(second)}->{''.join(out)}"
    g.node("Einsum", operands(g, op), op.results, equation=equation)


def vecdot(g: Graph, op: Step) -> None:
    axis = op.static.get("axis", -1)
    axis = axis if axis < 0 else axis - op.inputs[0].ndim
    g.node("ReduceSum", [g.node("Mul", operands(g, op)), g.constant([axis])], op.results, keepdims=0)


def count_nonzero(g: Graph, op: Step) -> None:
    ones = g.node("Cast", [g.cast(op.names[0], op.inputs[0], np.bool_)], to=7)
    keep = int(op.static.get("keepdims", False))
    g.node("ReduceSum", [ones, g.constant(axes_of(op))], op.results, keepdims=keep, noop_with_empty_axes=1)


def bits(kind: str) -> Handler:
    """Of integers bit by bit; bools have one."""

    def handler(g: Graph, op: Step) -> None:
        if op.outputs[0].dtype == np.bool_:
            logical(kind)(g, op)
        else:
            g.node(f"Bitwise{kind}", operands(g, op), op.results)

    return handler


SELECTION: dict[str, Handler] = {
    "trunc": trunc,
    "isfinite": isfinite,
    "logaddexp": logaddexp,
    "hypot": hypot,
    "atan2": atan2,
    "remainder": remainder,
    "heaviside": heaviside,
    "sort": order,
    "argsort": order,
    "roll": roll,
    "repeat": repeat,
    "tensordot": tensordot,
    "vecdot": vecdot,
    "count_nonzero": count_nonzero,
    "bitwise_and": bits("And"),
    "bitwise_or": bits("Or"),
    "bitwise_xor": bits("Xor"),
    "bitwise_invert": bits("Not"),
}
