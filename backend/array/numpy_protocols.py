"""NumPy's functions on Tensors. What weft has too is done by weft, gradients included; all else NumPy does on values.

A tensor that requires grad is never taken for mere values: there is an error that says what to write instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..tape.tensor import Tensor
from . import elementwise, products
from .creation import asarray
from .methods import _operand, method

__all__: list[str] = []

SAME = {
    ufunc: getattr(module, name)
    for module in (elementwise, products)
    for name in module.__all__
    if isinstance(ufunc := getattr(np, name, None), np.ufunc)
}


def _array_ufunc(self: Tensor, ufunc: np.ufunc, kind: str, *inputs: Any, **options: Any) -> Any:
    if kind == "__call__" and not options and ufunc in SAME:
        operands = [_operand(self, x) for x in inputs]
        if not any(x is NotImplemented for x in operands):
            return SAME[ufunc](*operands)
    written = options.get("out") or inputs[:1] * (kind == "at")
    if any(isinstance(x, Tensor) for x in written):
        raise TypeError(
            f"`np.{ufunc.__name__}` writes to arrays of NumPy, got a Tensor to write to; write x[...] = {_ours(ufunc)}(…)"
        )
    values = [_values(x, ufunc) if isinstance(x, Tensor) else x for x in inputs]
    function = ufunc if kind == "__call__" else getattr(ufunc, kind)
    results = function(*values, **options)
    if written:
        return results
    if isinstance(results, tuple):
        return tuple(asarray(r, device=self.device) for r in results)
    return asarray(results, device=self.device)


def _ours(ufunc: np.ufunc) -> str:
    return f"weft.{SAME[ufunc].__name__}" if ufunc in SAME else "a function of weft"


def _values(x: Tensor, ufunc: np.ufunc) -> np.ndarray:
    if x.requires_grad:
        raise RuntimeError(
            f"`np.{ufunc.__name__}`, called so, would lose the gradient of a tensor that requires grad: use {_ours(ufunc)} "
            "or an operator, on Tensors alone, or .detach()"
        )
    return x.numpy()


# These take an error of `__array__` for an answer. To compare values loses no gradient.
_COMPARISONS = (np.array_equal, np.array_equiv)


def _array_function(self: Tensor, function: Callable, types: Any, args: tuple, options: dict[str, Any]) -> Any:
    if function in _COMPARISONS:
        args = tuple(x.detach() if isinstance(x, Tensor) else x for x in args)
    return function._implementation(*args, **options)  # type: ignore[attr-defined]


method(_array_ufunc, "__array_ufunc__")
method(_array_function, "__array_function__")
