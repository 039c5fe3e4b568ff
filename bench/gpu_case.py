"""What one bench of `bench.gpu` is made of, and the runs of weft's primitives and of PyTorch that most of them share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .gpu_machine import Machine

__all__ = ["LATE", "Bench", "Case", "compiled", "gradients", "once", "torch_gradients"]

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
    """`make(machine, **sizes)` gives a Case; `tiny` replaces `sizes` in tests."""

    name: str
    make: Callable[..., Case]
    sizes: dict[str, Any] = field(default_factory=dict)
    tiny: dict[str, Any] = field(default_factory=dict)


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
    """torch.compile(f), whose gradients can be asked for more than once."""
    import torch._functorch.config as config

    config.donated_buffer = False
    return machine.torch.compile(f, dynamic=False)
