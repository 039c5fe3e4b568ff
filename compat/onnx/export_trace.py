"""The two runs of a model that is exported: its inputs at two sizes of the dynamic axes, and what it does with them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np

from ...backend.device.devices import namespace_of
from ...backend.modes.trace import Trace
from ...backend.tape import autograd
from ...backend.tape import watching as watching_module
from ...backend.tape.tensor import Tensor, innermost
from ...backend.tape.watching import Operation, watching
from .export_graph import Axis

__all__ = ["axes_and_runs", "axes_of_shapes", "can_be_taken_apart", "trace"]

PACKAGE = __name__.split(".")[0]


def axes_and_runs(
    given: tuple, names: list[str], dynamic: Mapping, more: int
) -> tuple[list[Axis], tuple, dict[tuple[str, int], str]]:
    """The axes, the second run's inputs (longer by `more` or, of other axes, above; the first's values over again), and names."""
    axes: dict[str, Axis] = {}
    symbols: dict[tuple[str, int], str] = {}
    larger = [x.detach().numpy() for x in given]
    for name, wanted in dynamic.items():
        if name not in names:
            raise ValueError(f"`dynamic_axes` must name inputs out of {names}, got {name!r}")
        i = names.index(name)
        of = wanted if isinstance(wanted, Mapping) else {a: f"{name}_axis_{a}" for a in wanted}
        for a, symbol in of.items():
            if not -given[i].ndim <= a < given[i].ndim:
                raise ValueError(f"`dynamic_axes` must name axes of {name!r} with shape {given[i].shape}, got {a}")
            axis, n = a % given[i].ndim, given[i].shape[a]
            found = axes.setdefault(symbol, Axis((n, n + more + len(axes)), name, axis))
            if found.lengths[0] != n:
                raise ValueError(f"`dynamic_axes` {symbol!r} must be one length, got {found.lengths[0]} and {n}")
            larger[i] = np.take(larger[i], np.arange(found.lengths[1]) % n, axis=axis)
            symbols[name, axis] = symbol
    return list(axes.values()), tuple(Tensor(x.copy()) for x in larger), symbols


def axes_of_shapes(shapes: Any, names: list[str]) -> dict[str, dict[int, str]]:
    """`dynamic_axes` of what `torch.export` calls dynamic shapes."""
    if not isinstance(shapes, Mapping):
        if len(shapes) != len(names):
            raise ValueError(f"`dynamic_shapes` must have an entry for each of {len(names)} inputs, got {len(shapes)}")
        shapes = dict(zip(names, shapes))
    found: dict[str, dict[int, str]] = {}
    for name, lengths in shapes.items():
        lengths = dict(enumerate(lengths)) if isinstance(lengths, list | tuple) else lengths or {}
        for axis, length in lengths.items():
            label = length if isinstance(length, str) else getattr(length, "__name__", None)
            if length is not None and not isinstance(label, str):
                raise ValueError(
                    f"`dynamic_shapes` must give an axis a name, a Dim or None, got {length!r} for {name!r}"
                )
            if label is not None:
                found.setdefault(name, {})[axis] = label
    return found


class Run(NamedTuple):
    """One run: its operations, the path of the module in which each ran, and the arrays of Tensors by their names."""

    trace: Trace
    paths: list[str]
    arrays: dict[str, Any]


def trace(model: Any, inputs: tuple, apart: Collection[str]) -> Run:
    """Run a model, operations in `apart` as the array operations that they are made of. Nothing is written in place."""
    found, stack = Trace(list(inputs), {}), [""]
    paths: list[str] = []
    arrays = {found.name_of(x): innermost(x) for x in inputs}  # a Tensor may be bound to another later

    def watcher(operation: Operation) -> Any:
        end = found._add(operation)
        for x in operation.inputs:
            if isinstance(x, Tensor):
                arrays.setdefault(found.name_of(x), innermost(x))

        def done(result: Any) -> None:
            end(result)
            paths.extend(stack[-1:] * (len(found) - len(paths)))
            for op in found.operations[-1:]:
                arrays.update({n: innermost(x) for n, x in zip(op.output_names, op.outputs) if isinstance(x, Tensor)})

        return done

    def leave(*_: Any) -> None:
        stack.pop()

    with ExitStack() as hooks:
        for path, module in model.named_modules():
            before = module.register_forward_pre_hook(lambda *_, path=path: stack.append(path))
            after = module.register_forward_hook(leave)
            hooks.callback(before.remove)
            hooks.callback(after.remove)
        with watching(watcher, found._written):
            autograd.watch, autograd.rebinds = taking_apart(autograd.watch, apart), True
            hooks.callback(setattr, autograd, "rebinds", False)
            found.result = model(*inputs)
    return Run(found, paths, arrays)


def taking_apart(told: Any, apart: Collection[str]) -> Any:
    """What is told of every operation, in the place of `told`: some are run in their generic form, on Tensors."""

    def look(call: Any, name: str, args: tuple, static: dict[str, Any]) -> Any:
        tensors = [a for a in args if isinstance(a, Tensor)]
        if name.lstrip("_") not in apart or not tensors or watching_module._inside.an_operation:
            return told(call, name, args, static)
        return call.generic(_Cleared(namespace_of(tensors[0])), *args, **static)[0]

    return look


class _Cleared:
    """A namespace where memory is never empty, so that both runs begin with the same numbers."""

    def __init__(self, xp: Any):
        self._xp = xp

    def __getattr__(self, name: str) -> Any:
        return getattr(self._xp, "zeros" if name == "empty" else name)


def can_be_taken_apart(primitive: Any) -> bool:
    """Whether its generic form is made of the array API's operations, of which it is none, and of no random numbers."""
    if primitive is None or primitive.__name__ == "dropout":
        return False
    is_array = primitive.generic.__module__.startswith(f"{PACKAGE}.backend.array.")
    return not is_array or primitive.__name__ == "_largest"
