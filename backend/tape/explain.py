"""What NumPy, CuPy and Python say of a call that cannot be, with the call itself: the operation, and what it was given."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["REFUSALS", "checked", "explained"]

REFUSALS = (TypeError, ValueError, IndexError, ZeroDivisionError, OverflowError, MemoryError)

_KINDS = (np.exceptions.AxisError, np.linalg.LinAlgError, *REFUSALS)

# What is required, by what the library says where it is missing.
_REQUIRED = (
    ("positional argument", "its options by name, as in axis=1 (or, PyTorch's call, dim=1)"),
    ("core dimension", "inner axes of the same length"),
    ("enough dimensions", "arrays with axes to multiply along"),
    ("shape-mismatch for sum", "axes of the same length to sum over"),
    ("broadcast", "shapes that broadcast"),
    ("out of bounds for axis", "indices within the axis"),
    ("out of bounds for array", "axes that are there"),
    ("interpreted as an integer", "integers for axes and sizes"),
    ("integer argument expected", "integers for axes and sizes"),
    ("sequence of integers", "integers for axes and sizes"),
    ("negative dimensions", "sizes ≥ 0"),
    ("cannot reshape", "a shape of as many elements"),
    ("same number of dimensions", "arrays with as many axes"),
    ("concatenation axis", "arrays alike but for the axis they are joined along"),
    ("size not equal to one", "an axis of length 1"),
    ("no identity", "at least one element"),
    ("empty sequence", "at least one element"),
    ("cannot convert float", "numbers that the dtype holds"),
    ("out of bounds for", "numbers that the dtype holds"),
    ("too large to convert", "numbers that the dtype holds"),
    ("Unable to allocate", "more memory than there is for its result"),
    ("array is too big", "more memory than there is for its result"),
    ("not understood", "a dtype of weft's"),
    ("as a data type", "a dtype of weft's"),
)


def explained(name: str, args: Sequence[Any], options: Mapping[str, Any], error: Exception) -> Exception:
    """The error to raise in its place: of its kind, naming the operation and what came; itself, where it is weft's own."""
    is_librarys = type(error) in REFUSALS or type(error).__module__.startswith(("numpy", "cupy"))
    if isinstance(error, MemoryError) and type(error).__module__.startswith("cupy"):  # which `memory` explains
        return error
    if ("`" in str(error) and "(`:`)" not in str(error)) or not is_librarys:
        return error
    kind = next(kind for kind in _KINDS if isinstance(error, kind))
    shown = [_shown(a) for a in args if a is not None]
    shown += [f"{key}={_shown(value)}" for key, value in options.items() if value is not None]
    required = next((f"needs {required}, got" for words, required in _REQUIRED if words in str(error)), "got")
    return kind(f"`{name.lstrip('_')}` {required} {', '.join(shown) or 'nothing'}: {str(error).strip()}")


def _shown(value: Any) -> str:
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is not None and dtype is not None:
        return f"{tuple(shape)} {dtype}"
    if isinstance(value, np.dtype | type):
        return getattr(value, "__name__", str(value))
    if isinstance(value, list | tuple) and any(hasattr(v, "shape") for v in value):
        return f"[{', '.join(map(_shown, value[:8]))}{', …' if len(value) > 8 else ''}]"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


# --- primitives of users' own -----------------------------------------------------------------------------------------
def checked(form: Callable) -> Callable:
    """The generic form of a primitive that is not the library's, whose result and gradients are looked at.

    TypeError where it returns no (output, pullback); ValueError where there is not a gradient for each argument, of its shape.
    """
    name = form.__name__

    @functools.wraps(form)
    def run(xp: Any, *arrays: Any, **static: Any) -> tuple[Any, Any]:
        result = form(xp, *arrays, **static)
        if type(result) is not tuple or len(result) != 2:
            raise TypeError(f"`{name}` must return (output, pullback), got {_shown(result)}")
        out, pullback = result
        shapes = [getattr(a, "shape", None) for a in arrays]

        def fits(grad: Any, i: int) -> Any:
            shape = shapes[i] if i < len(shapes) else None
            if grad is not None and shape is not None and tuple(grad.shape) != tuple(shape):
                raise ValueError(
                    f"the pullback of `{name}` must give argument {i} a gradient of its shape {tuple(shape)}, got "
                    f"{tuple(grad.shape)}; sum over what was broadcast"
                )
            return grad

        if isinstance(pullback, tuple):
            _count(name, len(pullback), len(shapes), "functions")
            return out, tuple(f and (lambda g, f=f, i=i: fits(f(g), i)) for i, f in enumerate(pullback))

        def vjp(g: Any, need: Any, into: Any) -> list:
            grads = pullback(g, need, into)
            _count(name, len(grads), len(shapes), "gradients")
            return [fits(grad, i) if n else None for i, (grad, n) in enumerate(zip(grads, need))]

        return out, pullback and vjp

    return run


def _count(name: str, got: int, needed: int, what: str) -> None:
    if got < needed:  # there may be one for an optional argument, too, that was left out
        raise ValueError(
            f"the pullback of `{name}` must have {needed} {what}, one for each argument by place, got {got}"
        )
