"""Losses of each element as ONNX nodes: likelihoods, divergences, robust distances and margins."""

from __future__ import annotations

import numpy as np

from .export_graph import Graph, Step
from .export_operators import Handler, number

__all__ = ["CRITERIA", "reduced"]


def reduced(g: Graph, op: Step, value: str) -> None:
    """The mean, the sum, the sum over the first axis' length, or all of what each element has lost."""
    if op.static.get("reduction") == "batchmean":
        rows = g.node("Squeeze", [g.node("Shape", [value], start=0, end=1)])
        rows = g.node("CastLike", [rows, value])
        g.node("Div", [g.node("ReduceSum", [value], keepdims=0), rows], op.results)
        return
    kind = {"mean": "ReduceMean", "sum": "ReduceSum", "none": "Identity"}[op.static.get("reduction", "mean")]
    g.node(kind, [value], op.results, **({} if kind == "Identity" else {"keepdims": 0}))


def operands(g: Graph, op: Step, count: int) -> list[str]:
    """The inputs in the output's dtype, "" for those that are not there."""
    given = [g.cast(n, x, op.outputs[0].dtype) if n else "" for n, x in zip(op.names, op.inputs)]
    return [*given, *[""] * count][:count]


def binary_cross_entropy(g: Graph, op: Step) -> None:
    """−w (y ln x + (1 − y) ln(1 − x)), with logarithms no less than −100."""
    x, y, weight = operands(g, op, 3)
    one, floor = number(g, op, 1), number(g, op, -100)
    logs = [g.node("Max", [g.node("Log", [p]), floor]) for p in (x, g.node("Sub", [one, x]))]
    terms = [g.node("Mul", [p, log]) for p, log in zip((y, g.node("Sub", [one, y])), logs)]
    loss = g.node("Neg", [g.node("Add", terms)])
    reduced(g, op, g.node("Mul", [loss, weight]) if weight else loss)


def huber(g: Graph, op: Step) -> None:
    """m (|d| − m/2) with m = min(|d|, δ); smooth_l1_loss is that over its β."""
    delta = op.static.get("delta" if op.name == "huber_loss" else "beta", 1.0)
    size = g.node("Abs", [g.node("Sub", operands(g, op, 2))])
    if not delta:  # smooth_l1_loss alone may have it
        reduced(g, op, size)
        return
    inner = g.node("Min", [size, number(g, op, delta)])
    loss = g.node("Mul", [inner, g.node("Sub", [size, g.node("Mul", [inner, number(g, op, 0.5)])])])
    reduced(g, op, loss if op.name == "huber_loss" else g.node("Div", [loss, number(g, op, delta)]))


def kl_div(g: Graph, op: Step) -> None:
    """y (ln y − x), 0 where y = 0; NaN where y < 0, whose logarithm is."""
    x, y = operands(g, op, 2)
    if op.static.get("log_target"):
        y, log = g.node("Exp", [y]), y
    else:
        nothing = g.node("Equal", [y, number(g, op, 0)])
        log = g.node("Log", [g.node("Where", [nothing, number(g, op, 1), y])])
    reduced(g, op, g.node("Mul", [y, g.node("Sub", [log, x])]))


def hinge_embedding(g: Graph, op: Step) -> None:
    """x where y = 1, max(0, margin − x) where y = −1: both elsewhere, added."""
    x, y = operands(g, op, 2)
    zero = number(g, op, 0)
    far = g.node("Relu", [g.node("Sub", [number(g, op, op.static.get("margin", 1.0)), x])])
    parts = [
        g.node("Where", [g.node("Equal", [y, number(g, op, label)]), zero, part]) for label, part in ((-1, x), (1, far))
    ]
    reduced(g, op, g.node("Add", parts))


def hinge(g: Graph, op: Step) -> None:
    """max(0, 1 − y x)."""
    reduced(g, op, g.node("Relu", [g.node("Sub", [number(g, op, 1), g.node("Mul", operands(g, op, 2))])]))


def soft_margin(g: Graph, op: Step) -> None:
    """ln(1 + exp(z)), z = −y x, as max(z, 0) + ln(1 + exp(−|z|))."""
    z = g.node("Neg", [g.node("Mul", operands(g, op, 2))])
    small = g.node("Exp", [g.node("Neg", [g.node("Abs", [z])])])
    reduced(g, op, g.node("Add", [g.node("Relu", [z]), g.node("Log", [g.node("Add", [small, number(g, op, 1)])])]))


def margin_ranking(g: Graph, op: Step) -> None:
    """max(0, margin − y (x₁ − x₂))."""
    x1, x2, y = operands(g, op, 3)
    gap = g.node("Mul", [y, g.node("Sub", [x1, x2])])
    reduced(g, op, g.node("Relu", [g.node("Sub", [number(g, op, op.static.get("margin", 0.0)), gap])]))


def gaussian_nll(g: Graph, op: Step) -> None:
    """½ (ln v + (y − x)²/v), v = max(var, eps); `full` adds ½ ln 2π."""
    x, y, var = operands(g, op, 3)
    v = g.node("Max", [var, number(g, op, op.static.get("eps", 1e-6))])
    d = g.node("Sub", [x, y])
    total = g.node("Add", [g.node("Log", [v]), g.node("Div", [g.node("Mul", [d, d]), v])])
    loss = g.node("Mul", [total, number(g, op, 0.5)])
    full = op.static.get("full")
    reduced(g, op, g.node("Add", [loss, number(g, op, 0.5 * np.log(2 * np.pi))]) if full else loss)


def poisson_nll(g: Graph, op: Step) -> None:
    """exp(x) − y x, or x − y ln(x + eps) of a rate itself; `full` adds y ln y − y + ½ ln 2πy where y > 1."""
    x, y = operands(g, op, 2)
    if op.static.get("log_input", True):
        rate, log = g.node("Exp", [x]), x
    else:
        rate, log = x, g.node("Log", [g.node("Add", [x, number(g, op, op.static.get("eps", 1e-8))])])
    loss = g.node("Sub", [rate, g.node("Mul", [y, log])])
    if op.static.get("full"):
        above = g.node("Max", [y, number(g, op, 1)])  # of which the logarithm is taken everywhere
        half = g.node("Mul", [g.node("Log", [g.node("Mul", [above, number(g, op, 2 * np.pi)])]), number(g, op, 0.5)])
        terms = g.node("Sub", [g.node("Mul", [above, g.node("Log", [above])]), above])
        many = g.node("Greater", [y, number(g, op, 1)])
        loss = g.node("Add", [loss, g.node("Where", [many, g.node("Add", [terms, half]), number(g, op, 0)])])
    reduced(g, op, loss)


def multi_margin(g: Graph, op: Step) -> None:
    """w[y] Σ_{j ≠ y} max(0, margin − x[y] + x[j])ᵖ / C."""
    x, target = op.names[0], op.names[1]
    weight = [*op.names, ""][2]
    last, s = g.constant([-1]), op.static
    margin, p = float(s.get("margin", 1.0)), s.get("p", 1)
    index = g.node("Unsqueeze", [g.cast(target, op.inputs[1], np.int64), last])
    own = g.node("GatherElements", [x, index], axis=-1)
    gaps = g.node("Relu", [g.node("Add", [g.node("Sub", [x, own]), number(g, op, margin)])])
    gaps = g.node("Mul", [gaps, gaps]) if p == 2 else gaps
    classes = op.inputs[0].shape[-1]
    others = g.node("Not", [g.node("Equal", [g.constant(np.arange(classes)), index])])
    gaps = g.node("Where", [others, gaps, number(g, op, 0)])
    loss = g.node("Div", [g.node("ReduceSum", [gaps, last], keepdims=0), number(g, op, classes)])
    if weight:
        loss = g.node("Mul", [loss, g.node("Gather", [weight, g.cast(target, op.inputs[1], np.int64)], axis=0)])
    reduced(g, op, loss)


CRITERIA: dict[str, Handler] = {
    "binary_cross_entropy": binary_cross_entropy,
    "huber_loss": huber,
    "smooth_l1_loss": huber,
    "kl_div": kl_div,
    "hinge_embedding_loss": hinge_embedding,
    "hinge_loss": hinge,
    "soft_margin_loss": soft_margin,
    "margin_ranking_loss": margin_ranking,
    "gaussian_nll_loss": gaussian_nll,
    "poisson_nll_loss": poisson_nll,
    "multi_margin_loss": multi_margin,
}
