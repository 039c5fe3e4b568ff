"""`torch.vmap`: a function for each slice, one after the other, so that whatever a program does there is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...backend.array import manipulation
from ...backend.array.random import default_generator
from ...backend.tape.tensor import Tensor

__all__ = ["vmap"]


def vmap(func: Callable, in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error", **_options: Any) -> Callable:
    """A function for each slice of its arguments, one after the other, and the results stacked.

    Parameters
    ----------
    func : callable
        Of one slice: returns a Tensor, or a tuple of them.
    in_dims : int, None or tuple, default 0
        Along which axis each argument is sliced; None: it is given whole.
    out_dims : int or tuple, default 0
        Where the new axis is.
    randomness : {"error", "different", "same"}, default "error"
        What random numbers the slices draw: none, those that follow, or all the same.
    **_options : object
        PyTorch's, which change nothing.

    Returns
    -------
    callable
        Of whole arguments. Of an axis without a slice, what `func` makes of zeros, cut to none.

    Raises
    ------
    ValueError
        If arguments differ in length.
    RuntimeError
        If `randomness` is none of these; if random numbers were drawn and it is "error".
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(f"`randomness` must be 'error', 'different' or 'same', got {randomness!r}")

    def whole(*args: Any, **options: Any) -> Any:
        dims = in_dims if isinstance(in_dims, tuple) else (in_dims,) * len(args)
        parts = [_slices(a, d) for a, d in zip(args, dims, strict=True)]
        counts = {len(p) for p in parts if p is not None}
        if len(counts) != 1:
            raise ValueError(f"`vmap` needs arguments of one length along `in_dims`, got {sorted(counts)}")
        count, start, found = counts.pop(), default_generator.get_state(), []
        if not count:
            parts = [p if p is None else _slices(_of_zeros(a, d), d) for a, d, p in zip(args, dims, parts)]
        for i in range(max(count, 1)):
            if randomness == "same":
                default_generator.set_state(start)
            found.append(func(*(a if p is None else p[i] for a, p in zip(args, parts)), **options))
        if randomness == "error" and default_generator.get_state() != start:
            raise RuntimeError(
                "`randomness` must be 'different' or 'same' for a function that draws random numbers, got 'error'; say which as "
                "an argument of vmap"
            )
        return _stacked(found, out_dims, count)

    return whole


def _of_zeros(x: Any, dim: Any) -> Any:
    """What has no slice, with one of zeros."""
    if dim is None:
        return x
    if isinstance(x, dict):
        return {k: _of_zeros(v, dim[k] if isinstance(dim, dict) else dim) for k, v in x.items()}
    if isinstance(x, tuple | list):
        dims = dim if isinstance(dim, tuple | list) else (dim,) * len(x)
        return type(x)(_of_zeros(v, d) for v, d in zip(x, dims))
    return x.new_zeros(*(1 if axis == dim % x.ndim else n for axis, n in enumerate(x.shape)))


def _slices(x: Any, dim: Any) -> list[Any] | None:
    if dim is None:
        return None
    if isinstance(x, dict):
        parts = {k: _slices(v, dim[k] if isinstance(dim, dict) else dim) for k, v in x.items()}
        count = next(len(p) for p in parts.values() if p is not None)
        return [{k: x[k] if p is None else p[i] for k, p in parts.items()} for i in range(count)]
    if isinstance(x, tuple | list):
        dims = dim if isinstance(dim, tuple | list) else (dim,) * len(x)
        return [type(x)(row) for row in zip(*(_slices(v, d) for v, d in zip(x, dims)))]  # type: ignore[arg-type]
    return list(x.unbind(dim))


def _stacked(found: list[Any], out_dims: Any, count: int) -> Any:
    first = found[0]
    if isinstance(first, dict):
        return {k: _stacked([f[k] for f in found], out_dims, count) for k in first}
    if isinstance(first, tuple | list):
        dims = out_dims if isinstance(out_dims, tuple) else (out_dims,) * len(first)
        return type(first)(_stacked([f[i] for f in found], d, count) for i, d in enumerate(dims))
    if not isinstance(first, Tensor):
        raise ValueError(f"`func` must return Tensors, got {type(first).__name__}")
    made = manipulation.stack(found, axis=out_dims)
    return made if count else made.narrow(out_dims, 0, 0)
