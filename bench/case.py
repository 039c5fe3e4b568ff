"""What one bench is made of, and the runs of weft's primitives and of PyTorch that most of them share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .machine import Machine

__all__ = [
    "LATE",
    "TOLERANCE",
    "Bench",
    "Case",
    "Make",
    "both_ways",
    "compiled",
    "contenders",
    "gradients",
    "once",
    "some_of",
    "through",
    "torch_gradients",
]

LATE = "torch.compile"  # contenders that take long to prepare are measured when all others have been
TOLERANCE = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 1e-2}  # ‖got − exact‖ / ‖exact‖

Make = Callable[[], Callable[[], Any]]


@dataclass
class Case:
    """Contenders over the same inputs, what is exact, and what cannot be avoided.

    `makers`: for each contender a function that prepares it and returns what is timed, which returns its outputs.
    `compare(*outputs)`: pairs (found, exact in float64) of arrays, parts of them where all would be too much.
    `work`: bytes to be moved or operations to be done at least, in one run; `ceiling` what they are held against:
    "copy" or a product of matrices ("bfloat16", "float32", …).
    `wall`: time as the host sees it, not of the device alone. One run does `units` of what is called `unit`.
    """

    about: str
    makers: dict[str, Make]
    compare: Callable[..., Sequence[tuple[Any, Any]]] | None = None
    tolerance: float = 1e-5
    work: float = 0.0
    ceiling: str | None = None
    wall: bool = False
    units: int = 1
    unit: str = "runs"


@dataclass(frozen=True)
class Bench:
    """`make(machine, **sizes)` gives a Case; `tiny` replaces `sizes` in a rehearsal. `part`: "models" or "kernels"."""

    name: str
    make: Callable[..., Case]
    sizes: dict[str, Any] = field(default_factory=dict)
    tiny: dict[str, Any] = field(default_factory=dict)
    part: str = "kernels"


# --- weft -------------------------------------------------------------------------------------------------------------
def once(machine: Machine, primitive: Any, raw: Sequence[Any], **static: Any) -> tuple[Any, Any]:
    """(output, pullback) of the kernels that stand in for a primitive: what the tape calls, and nothing besides."""
    result = primitive.impls[machine.kind](*raw, **static)
    if result is NotImplemented:
        raise NotImplementedError(f"no kernel takes these arguments of `{primitive.__name__}`")
    return result


def gradients(pullback: Any, g: Any, need: Sequence[bool]) -> tuple:
    """Those that are needed, in order."""
    if isinstance(pullback, tuple):
        found = [f(g) if wanted else None for f, wanted in zip(pullback, need)]
    else:
        found = pullback(g, list(need), [None] * len(need))
    return tuple(v for v, wanted in zip(found, need) if wanted)


# --- PyTorch ----------------------------------------------------------------------------------------------------------
def torch_gradients(machine: Machine, f: Callable, inputs: Sequence[Any], above: Any, *, part: str) -> Make:
    """`part` of f(*inputs): "forward", "backward" or "both"; gradients go to the inputs that require them."""
    torch = machine.torch
    wanted = [t for t in inputs if t.requires_grad]

    def forward() -> Any:
        with torch.no_grad():
            return (f(*inputs),)

    def both() -> Any:
        y = f(*inputs)
        return (y, *torch.autograd.grad(y, wanted, above if y.ndim else None))

    def make() -> Callable:
        if part == "forward":
            return forward
        if part == "both":
            return both
        y = f(*inputs)
        return lambda: torch.autograd.grad(y, wanted, above, retain_graph=True)

    return make


def compiled(machine: Machine, f: Callable) -> Callable:
    """torch.compile(f), whose gradients can be asked for more than once; an error if it would run as usual after all."""
    import torch._functorch.config as config

    config.donated_buffer = False
    machine.torch.compiler.reset()  # after eight functions through the same wrapper, it would compile no more
    return machine.torch.compile(f, dynamic=False, fullgraph=True)


# --- what most benches do ---------------------------------------------------------------------------------------------
def contenders(
    machine: Machine, weft: Make, f: Callable, inputs: Sequence[Any], above: Any, part: str
) -> dict[str, Make]:
    """weft, PyTorch eager and compiled; `f(functional, *inputs)` with (array, requires_grad) as inputs."""
    makers = {"weft": weft}
    if machine.torch is not None:
        call = functools.partial(f, machine.torch.nn.functional)
        tensors = [machine.to_torch(a, needs) for a, needs in inputs]
        g = None if above is None else machine.to_torch(above)
        makers["torch"] = torch_gradients(machine, call, tensors, g, part=part)
        makers[LATE] = lambda: torch_gradients(machine, compiled(machine, call), tensors, g, part=part)()
    return makers


def through(
    machine: Machine, primitive: Any, raw: Sequence[Any], above: Any, need: Sequence[bool], part: str, **static: Any
) -> Make:
    """`part` of a primitive by its kernels."""

    def first(y: Any) -> Any:
        return y[0] if isinstance(y, tuple) else y

    def make() -> Callable:
        if part == "forward":
            return lambda: (first(once(machine, primitive, raw, **static)[0]),)
        if part == "backward":
            _, pullback = once(machine, primitive, raw, **static)
            return lambda: gradients(pullback, above, need)

        def both() -> tuple:
            y, pullback = once(machine, primitive, raw, **static)
            return (first(y), *gradients(pullback, above, need))

        return both

    return make


def some_of(n: int, most: int = 64) -> list[int]:
    """Up to `most` of n positions, the first and the last among them."""
    return sorted({round(i) for i in np.linspace(0, n - 1, min(n, most))})


def both_ways(name: str, make: Callable[..., Case], sizes: dict, tiny: dict) -> list[Bench]:
    """Forward and backward of one Case."""
    return [
        Bench(f"{name}-{part}", make, {**sizes, "part": part}, {**tiny, "part": part})
        for part in ("forward", "backward")
    ]
