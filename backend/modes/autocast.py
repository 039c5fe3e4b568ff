"""Mixed precision: inside `autocast`, matrix products run in half precision, what is sensitive to it in float32.

Which primitives run in which precision stands at each of them (`@primitive(precision=…)`) and follows `torch.autocast`: products,
whose operations grow faster than their data and whose sums tensor cores form in float32 anyway, in half precision; sums of many
terms, exponentials and powers in float32. Whatever says nothing runs in the dtype that its arguments promote to.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import numpy as np

from ..array.manipulation import astype
from ..device import dtypes
from ..device.devices import namespace_of
from ..device.numeric import as_dtype
from ..tape import autograd
from ..tape.autograd import _mode
from ..tape.sharing import changed, last_change
from ..tape.tensor import DType, Parameter, Tensor

__all__ = ["autocast", "is_autocast_enabled"]

F = TypeVar("F", bound=Callable[..., Any])
FLOAT32 = np.dtype(np.float32)


class autocast:
    """Run products in half precision inside the block (or function), and what needs it in float32.

    Parameters
    ----------
    dtype : {"bfloat16", "float16"} or dtype, default "bfloat16"
        Bfloat16 has the range of float32 and needs nothing else; float16 has three more bits of precision, and a range
        from 6e-8 to 65504: scale the loss with a `GradScaler`.
    enabled : bool, default True
        False makes it do nothing and, inside another autocast, switches that off.

    Raises
    ------
    ValueError
        If the dtype is another.

    Notes
    -----
    Parameters stay float32, and so do their gradients, which are not rounded on their way. Each parameter is rounded when
    a product first uses it in the block, those of one optimizer all at once, and what came of it is used until the block
    ends or an optimizer steps in it; do not update between forward and backward. float64 and integers are left as they
    are. Call `backward` outside the block: an operation's gradient is computed in the operation's own dtype.
    As in PyTorch on a GPU, batch norm returns half precision if it is given that, other norms float32.
    Where `torch.autocast` takes a device first, this takes the dtype: the device is that of the tensors, and a CPU runs
    the same code.

    References
    ----------
    .. [1] Micikevicius et al., "Mixed precision training" (2018).

    Examples
    --------
    >>> w = weft.ones((2, 2), requires_grad=True)
    >>> with weft.autocast("bfloat16"):
    ...     y = weft.ones((1, 2)) @ w
    >>> y.dtype, w.dtype
    (dtype(bfloat16), dtype('float32'))
    """

    def __init__(self, dtype: DType = "bfloat16", *, enabled: bool = True):
        self.dtype = as_dtype(dtypes.bfloat16 if dtype == "bfloat16" else dtype)
        if self.dtype.name not in ("bfloat16", "float16"):
            raise ValueError(f"`dtype` must be bfloat16 or float16, got {self.dtype}")
        self.enabled = enabled
        self._outer: list[Any] = []

    def __enter__(self) -> autocast:
        autograd.count_special(1)
        self._outer.append(_mode.cast)
        _mode.cast = _Cast(self.dtype) if self.enabled else None
        return self

    def __exit__(self, *error: object) -> None:
        _mode.cast = self._outer.pop()
        autograd.count_special(-1)

    def __call__(self, function: F) -> F:
        @functools.wraps(function)
        def inside(*args: Any, **options: Any) -> Any:
            with autocast(self.dtype, enabled=self.enabled):
                return function(*args, **options)

        return cast(F, inside)


def is_autocast_enabled() -> bool:
    """Whether products run in half precision here.

    Returns
    -------
    bool
        True inside an `autocast` that is enabled, in this thread.

    Examples
    --------
    >>> with weft.autocast():
    ...     weft.is_autocast_enabled()
    True
    """
    return _mode.cast is not None


def forget_rounded() -> None:
    """Have parameters rounded again, should the block go on: they are about to change."""
    if autograd.special and _mode.cast is not None:
        _mode.cast.forget()


class Rounding:
    """Parameters that lie in one flat vector, rounded to half precision by one operation.

    `values` is the vector and `parts` the parameters' views of it, in the shape of each, which begin at `offsets`.
    `arena` refers to whose they are.
    """

    def __init__(self, values: Any, parts: Sequence[Any], offsets: Sequence[int], arena: Callable[[], Any]):
        self.values, self.parts, self.offsets, self.arena = values, parts, offsets, arena
        self._halves: dict[np.dtype, tuple[Any, list[Any]]] = {}
        self._seen: dict[np.dtype, int] = {}  # the last change of the values that each has

    def to(self, dtype: np.dtype) -> list[Any]:
        """The parts in another dtype, as they are now: in the same memory each time, which captured steps rely on."""
        if dtype not in self._halves:
            xp = namespace_of(self.values)
            vector = xp.empty_like(self.values, dtype=dtype)
            rounded = [xp.reshape(vector[i : i + p.size], p.shape) for i, p in zip(self.offsets, self.parts)]
            self._halves[dtype] = vector, rounded
        vector, rounded = self._halves[dtype]
        vector[...] = self.values
        if (time := last_change(self.values)) != self._seen.setdefault(dtype, time):
            self._seen[dtype] = time
            changed(vector)
        return rounded


@functools.cache
def _targets(dtype: np.dtype) -> dict[str, tuple[np.dtype, tuple[np.dtype, ...]]]:
    """By the precision that a primitive states: the dtype that it runs in, and those that are converted to it."""
    floats = FLOAT32, dtypes.float16, dtypes.bfloat16
    low, full = ((to, tuple(d for d in floats if d != to)) for to in (dtype, FLOAT32))
    return {"low": low, "full": full}


class _Cast:
    """What `primitive` does to arguments inside the block; remembers the rounded parameters."""

    def __init__(self, dtype: np.dtype, rounded: dict[Any, tuple[Any, Any]] | None = None):
        self.dtype, self.targets = dtype, _targets(dtype)
        # By identity, (parameter, its raw array in half precision) and (Rounding, all of its parts); by identity and by the
        # tape that recorded the conversion, (parameter, converted). The first is kept so that its identity stays its own.
        self.rounded: dict[int, tuple[Any, Any]] = {} if rounded is None else rounded
        self.copies: dict[tuple, tuple[Tensor, Tensor]] = {}

    def anew(self) -> _Cast:
        """The same for another tape, without what this one has recorded."""
        return _Cast(self.dtype, self.rounded)

    def forget(self) -> None:
        self.rounded, self.copies = {}, {}

    def __call__(self, primitive: Any, args: tuple) -> tuple[tuple, Sequence[tuple[int, Any]]]:
        target, others = self.targets[primitive.precision]
        converted, rounded = list(args), []
        spared = 0 if primitive.reads_halves is not None and primitive.reads_halves(*args) else None
        for i, a in enumerate(args):
            if not isinstance(a, Tensor) or (dtype := dtypes.of(a.data)) not in others or i == spared:
                continue
            if not isinstance(a, Parameter):
                converted[i] = astype(a, target)
            elif _mode.level or dtype != FLOAT32:
                converted[i] = self._copy(a, target)
            else:
                rounded.append((i, self._rounded(a)))
        return tuple(converted), rounded

    def _copy(self, p: Parameter, target: np.dtype) -> Tensor:
        """The parameter converted on the tape, which others than the outermost may differentiate."""
        key = id(p), _mode.enabled, _mode.level, _mode.base
        if key not in self.copies:
            self.copies[key] = p, astype(p, target)
        return self.copies[key][1]

    def _rounded(self, p: Parameter) -> Any:
        """The parameter's raw array in half precision; with it all that are in an arena with it."""
        if id(p) not in self.rounded:
            self.rounded[id(p)] = p, self._part(p)
        return self.rounded[id(p)][1]

    def _part(self, p: Parameter) -> Any:
        if p._place is not None:
            rounding, i = p._place
            if p.data is rounding.parts[i]:  # else somebody has re-pointed it
                if id(rounding) not in self.rounded:
                    self.rounded[id(rounding)] = rounding, rounding.to(self.dtype)
                return self.rounded[id(rounding)][1][i]
        xp = namespace_of(p.data)
        return xp.astype(p.data, dtypes.native(xp, self.dtype))
