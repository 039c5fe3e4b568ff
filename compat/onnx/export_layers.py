"""Each primitive of layers as ONNX nodes: convolutions, pooling, activations; the table of all handlers."""

from __future__ import annotations

from typing import Any

import numpy as np

from .export_graph import ExportError, Graph, Step
from .export_losses import OTHERS
from .export_norms import NORMS
from .export_operators import ARRAYS, Handler, number, unary
from .export_rest import REST
from .export_selection import SELECTION
from .export_sequences import SEQUENCES
from .export_shapes import SHAPES

__all__ = ["HANDLERS"]


def option(kind: str, **names: str) -> Handler:
    """One node whose attributes are keyword arguments under other names; given as (name here, default)."""

    def handler(g: Graph, op: Step) -> None:
        values = {k: op.static.get(v, DEFAULTS[v]) for k, v in names.items()}
        g.node(kind, op.names, op.results, **values)

    return handler


DEFAULTS: dict[str, Any] = {"alpha": 1.0, "negative_slope": 0.01, "axis": -1, "approximate": "none", "eps": 1e-5}


def pads(padding: Any, n: int) -> list[int]:
    """All beginnings, then all ends."""
    pairs = [
        (p, p) if isinstance(p, int | np.integer) else p
        for p in ([padding] * n if isinstance(padding, int) else padding)
    ]
    return [int(p[0]) for p in pairs] + [int(p[1]) for p in pairs]


def each(value: Any, n: int) -> list[int]:
    return [int(value)] * n if isinstance(value, int | np.integer) else [int(v) for v in value]


def conv(g: Graph, op: Step) -> None:
    n, s = op.inputs[0].ndim - 2, op.static
    shared = {
        "strides": each(s.get("stride", 1), n),
        "dilations": each(s.get("dilation", 1), n),
        "group": s.get("groups", 1),
    }
    extra = {} if op.name == "conv" else {"output_padding": each(s.get("output_padding", 0), n)}
    kind = "Conv" if op.name == "conv" else "ConvTranspose"
    g.node(kind, op.names, op.results, pads=pads(s.get("padding", 0), n), **shared, **extra)


def pool(g: Graph, op: Step) -> None:
    n, s = op.inputs[0].ndim - 2, op.static
    attributes = {
        "kernel_shape": each(s["kernel_size"], n),
        "strides": each(s["stride"], n),
        "pads": pads(s.get("padding", 0), n),
        "ceil_mode": int(s.get("ceil_mode", False)),
    }
    if op.name == "avg_pool":
        if s.get("divisor_override"):
            raise ExportError(
                f"{op.where} needs divisor_override=None, got {s['divisor_override']}: ONNX has no such option"
            )
        g.node(
            "AveragePool", op.names, op.results, count_include_pad=int(s.get("count_include_pad", True)), **attributes
        )
        return
    if s.get("return_indices"):
        raise ExportError(
            f"{op.where} needs return_indices=False, got True: ONNX numbers windows' places through the whole batch"
        )
    g.node("MaxPool", op.names, op.results, dilations=each(s.get("dilation", 1), n), **attributes)


def adaptive_avg_pool(g: Graph, op: Step) -> None:
    """Global, or axis by axis the product with the means of windows [⌊i·H/n⌋, ⌈(i + 1)·H/n⌉)."""
    sizes, again, wanted = op.inputs[0].shape[2:], op.again.inputs[0].shape[2:], op.outputs[0].shape[2:]
    if all(n == 1 for n in wanted):
        g.node("GlobalAveragePool", op.names, op.results)
        return
    if sizes != again:
        raise ExportError(f"{op.where} needs axes of fixed length, got {sizes} and {again}")
    value, last = op.names[0], op.inputs[0].ndim - 1
    for axis, (h, n) in enumerate(zip(sizes, wanted), 2):
        if h == n:
            continue
        means = np.zeros((h, n))
        for i in range(n):
            start, stop = i * h // n, -(-(i + 1) * h // n)
            means[start:stop, i] = 1 / (stop - start)
        order = [*range(last + 1)]
        order[axis], order[last] = last, axis
        value = g.node("MatMul", [g.node("Transpose", [value], perm=order), g.constant(means, op.inputs[0].dtype)])
        value = g.node("Transpose", [value], perm=order)
    g.node("Identity", [value], op.results)


def max_unpool(g: Graph, op: Step) -> None:
    """Values written into images of zeros that are flat; where a place comes twice, it is one maximum."""
    shapes = [run.outputs[0].shape for run in (op, op.again)]
    size = [(*shape[:2], int(np.prod(shape[2:]))) for shape in shapes]
    zeros = g.node("Expand", [number(g, op, 0), g.shape(size[0], size[1], op.where)])
    x, places = (g.node("Reshape", [name, g.constant([0, 0, -1])]) for name in op.names)
    y = g.node("ScatterElements", [zeros, g.node("Cast", [places], to=7), x], axis=2)
    g.node("Reshape", [y, g.shape(shapes[0], shapes[1], op.where)], op.results)


def linear(g: Graph, op: Step) -> None:
    """Gemm of matrices, else MatMul with the transposed weight."""
    kinds = {None: "", "relu": "Relu", "gelu": "Gelu", "tanh": "Tanh", "sigmoid": "Sigmoid"}
    activation = op.static.get("activation")
    if activation not in kinds:
        raise ExportError(f"{op.where} needs an activation out of {sorted(filter(None, kinds))}, got {activation!r}")
    out = "" if activation else op.results
    x, weight, bias = [*op.names, ""][:3]
    if op.inputs[0].ndim == 2:
        y = g.node("Gemm", [x, weight, bias], out, transB=1)
    else:
        y = g.node("MatMul", [x, g.node("Transpose", [weight], perm=[1, 0])], "" if bias else out)
        y = g.node("Add", [y, bias], out) if bias else y
    if activation:
        g.node(kinds[activation], [y], op.results)


def embedding(g: Graph, op: Step) -> None:
    g.node("Gather", [op.names[1], op.names[0]], op.results, axis=0)


def glu(g: Graph, op: Step) -> None:
    axis = op.static.get("axis", -1)
    a, b = g.fresh(f"{g.prefix}glu.a"), g.fresh(f"{g.prefix}glu.b")
    g.node("Split", [op.names[0]], [a, b], axis=axis, num_outputs=2)
    g.node("Mul", [a, g.node("Sigmoid", [b])], op.results)


def swiglu(g: Graph, op: Step) -> None:
    x, gate = op.names
    g.node("Mul", [g.node("Mul", [gate, g.node("Sigmoid", [gate])]), x], op.results)


def silu(g: Graph, op: Step) -> None:
    g.node("Mul", [op.names[0], g.node("Sigmoid", op.names)], op.results)


def hardtanh(g: Graph, op: Step) -> None:
    low, high = (0.0, 6.0) if op.name == "relu6" else (op.static.get("min_val", -1.0), op.static.get("max_val", 1.0))
    g.node("Clip", [op.names[0], number(g, op, low), number(g, op, high)], op.results)


def prelu(g: Graph, op: Step) -> None:
    """The slope of each channel, the second axis, as (C, 1, …)."""
    slope, n = op.names[1], op.inputs[0].ndim
    if n > 2 and op.inputs[1].size > 1:
        slope = g.node("Reshape", [slope, g.constant([-1] + [1] * (n - 2))])
    g.node("PRelu", [op.names[0], slope], op.results)


def log_sigmoid(g: Graph, op: Step) -> None:
    g.node("Neg", [g.node("Softplus", [g.node("Neg", op.names)])], op.results)


HANDLERS: dict[str, Handler] = {
    **ARRAYS,
    **NORMS,
    **OTHERS,
    **REST,
    **SELECTION,
    **SEQUENCES,
    **SHAPES,
    "conv": conv,
    "conv_transpose": conv,
    "max_pool": pool,
    "avg_pool": pool,
    "adaptive_avg_pool": adaptive_avg_pool,
    "max_unpool": max_unpool,
    "linear": linear,
    "embedding": embedding,
    "relu": unary("Relu"),
    "sigmoid": unary("Sigmoid"),
    "erf": unary("Erf"),
    "mish": unary("Mish"),
    "selu": unary("Selu"),
    "softsign": unary("Softsign"),
    "hardswish": unary("HardSwish"),
    "hardsigmoid": unary("HardSigmoid", alpha=1 / 6, beta=0.5),
    "silu": silu,
    "log_sigmoid": log_sigmoid,
    "glu": glu,
    "swiglu": swiglu,
    "prelu": prelu,
    "elu": option("Elu", alpha="alpha"),
    "celu": option("Celu", alpha="alpha"),
    "leaky_relu": option("LeakyRelu", alpha="negative_slope"),
    "gelu": option("Gelu", approximate="approximate"),
    "softmax": option("Softmax", axis="axis"),
    "log_softmax": option("LogSoftmax", axis="axis"),
    "hardtanh": hardtanh,
    "relu6": hardtanh,
}
