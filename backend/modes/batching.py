"""`vmap`: a function of one example, run on many at once.

The function sees tensors without the axis that is mapped over (`lanes.py`), and each operation that meets one runs on all
lanes in one go. The array API's have rules for that (`batching_rules.py`); an operation of neural networks, or one of
your own, is its generic form, which is written against the array API. What is left runs lane by lane. A lane is a depth of
the tape (`tape/autograd.py`), so that `vmap` and `grad` nest in each other, in any order.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..array.indexing import _getitem, raw_key, take
from ..array.manipulation import broadcast_to, expand_dims, moveaxis, reshape, stack
from ..device.devices import namespace_of
from ..device.dtypes import is_integral
from ..device.options import integer
from ..tape import autograd
from ..tape.autograd import _is_half, _mode, _retuple, in_float32
from ..tape.tensor import Tensor, wrap
from .batching_lookups import RULES
from .batching_rules import Call, options_by_place
from .lanes import Lanes
from .transforms import _map, _tape

__all__ = ["vmap"]

PACKAGE = __name__.split(".")[0]


def vmap(
    f: Callable[..., Any],
    in_axes: int | Sequence[Any] | None = 0,
    out_axes: int | Sequence[int] = 0,
    *,
    randomness: str = "error",
) -> Callable[..., Any]:
    """A function of one example as a function of many: what a loop over an axis would give, stacked.

    `weft.vmap(weft.grad(loss), in_axes=(None, 0, 0))(parameters, x, y)` are the gradients of each sample. It nests, in itself
    and in derivatives, and is differentiable.

    Parameters
    ----------
    f : Callable
        Of Tensors, or lists, tuples and dicts of them; returns a Tensor, or a list, tuple or dict of them.
    in_axes : int, None or sequence of them, default 0
        Which axis of its arguments is mapped over: one for all, or one for each. None hands an argument on as it is, as are
        keyword arguments. Within a list, tuple or dict it is the same axis of each Tensor.
    out_axes : int or sequence of int, default 0
        Where that axis is in the results: one for all, or one for each of a tuple.
    randomness : {"error", "same"}, default "error"
        What becomes of random numbers that are drawn within `f`: an error, or the same in all lanes. Different ones are drawn
        outside, and mapped over. (PyTorch has "different", too.)

    Returns
    -------
    Callable
        Of the arguments of `f`.

    Raises
    ------
    TypeError
        If `f` is no function, or gives what is no Tensor.
    ValueError
        In a call, if no argument is mapped over, the axes differ in length, or there are no lanes at all; if `in_axes` or
        `out_axes` do not fit.
    RuntimeError
        In a call, where `f` asks for a number (`if x > 0`, `x.item()`), which every lane has its own of, or draws random numbers.

    Notes
    -----
    Operations without a rule of their own run in their generic form, hence slower than on a batch that `f` itself would take. What
    `f` writes to an argument in place, only `f` sees.

    Examples
    --------
    >>> dot = lambda a, b: (a * b).sum()
    >>> weft.vmap(dot, in_axes=(0, None))(weft.tensor([[1.0, 2.0], [3.0, 4.0]]), weft.tensor([1.0, 10.0]))
    tensor([21., 43.])
    """
    if not callable(f):
        raise TypeError(f"`f` must be a function of Tensors, got {f!r:.80}")
    if randomness not in ("error", "same"):
        raise ValueError(
            f"`randomness` must be 'error' or 'same', got {randomness!r}; for different numbers, draw them outside and "
            "map over them"
        )

    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        axes = _axes_of(in_axes, args)
        sizes: list[int] = []
        level = _mode.level + 1
        given = [_entered(a, axis, level, sizes) for a, axis in zip(args, axes)]
        if not sizes:
            raise ValueError(f"`in_axes` must name an axis of some Tensor, got {in_axes!r} for {len(args)} arguments")
        if not sizes[0]:
            raise ValueError("`vmap` needs at least one lane, got an axis of length 0")
        with _at_work(), _tape(level, nested=True, lanes=randomness):
            found = f(*given, **kwargs)
        return _left(found, out_axes, level, sizes[0])

    return call


def _axes_of(in_axes: Any, args: tuple) -> list[Any]:
    """The axis to map over, or None, for each argument."""
    if in_axes is None or isinstance(in_axes, int):
        return [in_axes] * len(args)
    if not isinstance(in_axes, list | tuple):
        raise TypeError(f"`in_axes` must be an integer, None or a sequence of them, got {in_axes!r:.80}")
    if len(in_axes) != len(args):
        raise ValueError(f"`in_axes` must have an entry for each of {len(args)} arguments, got {len(in_axes)}")
    for axis in in_axes:
        if axis is not None:
            integer("in_axes", axis)
    return list(in_axes)


def _entered(tree: Any, axis: int | None, level: int, sizes: list[int]) -> Any:
    """An argument as `f` sees it; the number of lanes is noted in `sizes`."""
    if axis is None:
        return tree

    def enter(x: Tensor) -> Tensor:
        if not -x.ndim <= axis < x.ndim:
            raise ValueError(
                f"`in_axes` must name an axis of each Tensor, got {axis} for shape {x.shape}; None maps over none"
            )
        n = x.shape[axis]
        if sizes and sizes[0] != n:
            raise ValueError(f"the axes that `vmap` maps over must be equally long, got {sizes[0]} and {n}")
        sizes.append(n)
        return _in_lanes(moveaxis(x, axis, 0) if axis else x, level)

    return _map(enter, tree, "`vmap` maps over")


def _in_lanes(full: Tensor, level: int) -> Tensor:
    return wrap(Lanes(full, level), full.device, level)


def _left(found: Any, out_axes: Any, level: int, n: int) -> Any:
    """What `f` has returned, with the axis of the lanes at its place."""

    def leave(x: Tensor, axis: int) -> Tensor:
        full = _full(x, level, n)
        return moveaxis(full, 0, axis) if axis else full

    if isinstance(out_axes, int):
        return _map(lambda x: leave(x, out_axes), found, "the function of `vmap` returns")
    if not isinstance(found, tuple) or len(out_axes) != len(found):
        got = f"{len(found)} results" if isinstance(found, tuple) else type(found).__name__
        raise ValueError(f"`out_axes` must have an entry for each of a tuple's results, got {out_axes!r} for {got}")
    return _retuple(found, [_left(part, axis, level, n) for part, axis in zip(found, out_axes)])


def _full(x: Tensor, level: int, n: int) -> Tensor:
    """A tensor with the lanes in front, whether it differs in them or not."""
    return x.data.full if _is_here(x, level) else broadcast_to(expand_dims(x, axis=0), (n, *x.shape))


def _is_here(x: Any, level: int) -> bool:
    """Whether a tensor differs from lane to lane of this very `vmap`."""
    return isinstance(x, Tensor) and x._depth == level and type(x.data) is Lanes


# --- one operation ----------------------------------------------------------------------------------------------------
_count = [0]  # how many are at work, in all threads
_counting = threading.Lock()


def _counted(by: int) -> None:
    with _counting:
        _count[0] += by
        autograd.mapped = _mapped if _count[0] else None


@contextmanager
def _at_work() -> Iterator[None]:
    """Have every operation looked at, within the block."""
    _counted(1)
    try:
        yield
    finally:
        _counted(-1)


def _mapped(call: Any, args: tuple, static: dict[str, Any]) -> Any:
    """What `autograd.mapped` is: the results of an operation on lanes, NotImplemented for all others."""
    keys = [k for k in _parts(static.get("key")) if type(k) is Lanes]
    level = max([*(a._depth for a in args if isinstance(a, Tensor)), *(k.level for k in keys)], default=0)
    is_mapped = tuple(_is_here(a, level) for a in args)
    keys = [k for k in keys if k.level == level]
    if not any(is_mapped) and not keys:
        return NotImplemented
    full = tuple(a.data.full if here else a for a, here in zip(args, is_mapped))
    n = (keys[0].full if keys else full[is_mapped.index(True)]).shape[0]
    arrays, names = options_by_place(call.generic)
    if any(is_mapped[arrays:]):  # bounds of `clip`
        arrays = len(args)
    found = Call(call, full[:arrays], is_mapped[:arrays], {**dict(zip(names, full[arrays:])), **static}, n)
    out = _looked_up(found, level) if keys else _in_one_go(found, level)
    if out is NotImplemented:
        out = _one_by_one(found, level)
    return _retuple(out, [_in_lanes(o, level) for o in out]) if isinstance(out, tuple) else _in_lanes(out, level)


def _parts(key: Any) -> tuple:
    return key if isinstance(key, tuple) else (key,)


def _in_one_go(call: Call, level: int) -> Any:
    """All lanes at once, by the operation's rule or in its generic form; the array API's have no other than themselves."""
    place, _, module = call.f.generic.__module__.rpartition(".")
    is_ours = place.startswith(f"{PACKAGE}.backend.")
    rule = is_ours and (RULES.get(f"{module}.{call.f.__name__}") or RULES.get(f"{module}.*"))
    if rule and (out := rule(call)) is not NotImplemented:
        return out
    return NotImplemented if is_ours and place.endswith(".array") else _in_generic_form(call, level)


def _in_generic_form(call: Call, level: int) -> Any:
    args = [_in_lanes(a, level) if here else a for a, here in zip(call.args, call.is_mapped)]
    device = next(a.device for a in args if isinstance(a, Tensor))
    args = [wrap(a, device) if isinstance(a, np.ndarray) else a for a in args]
    xp = namespace_of(next(a for a in args if isinstance(a, Tensor)))
    if _is_half(args):
        out, _ = in_float32(call.f.generic, xp, args, call.options)
    else:
        out, _ = call.f.generic(xp, *args, **call.options)
    return (
        _retuple(out, [_full(o, level, call.n) for o in out]) if isinstance(out, tuple) else _full(out, level, call.n)
    )


def _looked_up(call: Call, level: int) -> Any:
    """x[i], where i are other integers in each lane."""
    key, x = call.options["key"], call.args[0]
    if (
        call.f.__name__ != "_getitem"
        or type(key) is not Lanes
        or not is_integral(key.dtype)
        or str(key.dtype) == "bool"
    ):
        return NotImplemented
    places = _in_lanes(key.full, level)
    x = _in_lanes(x, level) if call.is_mapped[0] else x
    found = take(x, reshape(places, (-1,)), axis=0)
    return reshape(found, (*places.shape, *x.shape[1:])).data.full


def _one_by_one(call: Call, level: int) -> Any:
    """Lane by lane, stacked."""
    outs = []
    for i in range(call.n):
        args = [_getitem(a, key=(i, ...)) if here else a for a, here in zip(call.args, call.is_mapped)]
        options = dict(call.options)
        if "key" in options:
            here = [
                _getitem(k.full, key=(i, ...)) if type(k) is Lanes and k.level == level else k
                for k in _parts(options["key"])
            ]
            options["key"] = raw_key(tuple(here), args[0])
        outs.append(call.f(*args, **options))
    tuples = [out if isinstance(out, tuple) else (out,) for out in outs]
    if len({tuple(o.shape for o in out) for out in tuples}) > 1:
        raise ValueError(
            f"`{call.f.__name__.lstrip('_')}` gives results of different shapes in the lanes of a `vmap`, which cannot be stacked"
        )
    stacked = [stack(parts) for parts in zip(*tuples)]
    return _retuple(outs[0], stacked) if isinstance(outs[0], tuple) else stacked[0]
