"""What a Tensor holds inside `vmap`: its numbers for every lane at once.

A function given to `vmap` sees tensors without the axis that is mapped over: their `data` is a `Lanes`, which has that shape
and, in `full`, a Tensor of lesser depth with the lanes as its first axis. No array library computes on it: every operation
that meets one comes to `autograd.mapped` (see `batching.py`), and whoever wants to see a number is refused.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn

from ..device import devices
from ..tape.tensor import Tensor, innermost

__all__ = ["Lanes"]


class Lanes:
    """The values that a tensor has in the lanes of one `vmap`, stacked along the first axis of `full`."""

    __slots__ = ("full", "level")
    is_lanes = True  # asked by who must not know of this file
    __array_ufunc__ = None  # NumPy's numbers leave operators to what is on the other side

    def __init__(self, full: Tensor, level: int):
        self.full, self.level = full, level

    @property
    def shape(self) -> tuple[int, ...]:
        return self.full.shape[1:]

    @property
    def ndim(self) -> int:
        return self.full.ndim - 1

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def dtype(self) -> Any:
        return self.full.dtype

    @property
    def device(self) -> str:
        return self.full.device

    @property
    def _array(self) -> Any:
        """The array below, whose memory it is."""
        raw = innermost(self.full)
        return getattr(raw, "_array", raw)

    def detach(self) -> Lanes:
        """The same memory, off every tape below."""
        return Lanes(self.full.detach(), self.level)

    def _refuse(self, what: str) -> NoReturn:
        raise RuntimeError(
            f"{what} would need one number, and inside `vmap` a tensor has {self.full.shape[0]} of each, one for every lane: "
            "write `weft.where` for a decision, and look at values outside"
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        self._refuse("reading values")

    def __dlpack__(self, **options: Any) -> NoReturn:
        self._refuse("`__dlpack__`")

    def __repr__(self) -> str:
        return f"<{self.full.shape[0]} lanes of {self.dtype}{list(self.shape)}>"


class _NoNamespace:
    """Where functions of arrays are looked for: those that have no form for many lanes say so."""

    def __getattr__(self, name: str) -> Any:
        return lambda lanes, *_, **__: lanes._refuse(f"`{name}`")


def _refused(name: str) -> Any:
    def refuse(self: Lanes, *_: Any) -> NoReturn:
        self._refuse(f"`{name}` of arrays below tensors")

    return refuse


devices._namespace_of_type[Lanes] = _NoNamespace()
for name in ("add", "sub", "mul", "truediv", "pow", "matmul"):
    for dunder in (f"__{name}__", f"__r{name}__", f"__i{name}__"):
        setattr(Lanes, dunder, _refused(dunder))
for dunder in ("__getitem__", "__setitem__", "__lt__", "__gt__", "__le__", "__ge__", "__bool__", "__float__"):
    setattr(Lanes, dunder, _refused(dunder))
