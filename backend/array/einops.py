"""einops on Tensors: `einops.rearrange(x, "b h w -> b (h w)")` and the rest of it, gradients included.

einops asks subclasses of a class of its own, which exist once it is imported. This library does not import it, but sees
when somebody does.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

import numpy as np

from ..device import dtypes
from ..tape.tensor import Tensor
from . import creation, einsum, manipulation, reductions

__all__ = ["register"]

BACKENDS = "einops._backends"


def register() -> None:
    """Have einops take Tensors, now or when it is imported."""
    if BACKENDS in sys.modules:
        _define(sys.modules[BACKENDS])
    else:
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds einops as Python would, and defines the backend once it has run."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != BACKENDS:
            return None
        sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder) is not _Finder]
        spec = PathFinder.find_spec(name, path, target)
        if spec and spec.loader:
            run = spec.loader.exec_module

            def run_and_define(module: Any) -> None:
                run(module)
                _define(module)

            spec.loader.exec_module = run_and_define  # type: ignore[method-assign]
        return spec


def _define(backends: Any) -> None:
    base: Any = getattr(backends, "AbstractBackend", None)
    if base is None:  # another einops than this is written for, which will say that it does not know Tensors
        return

    class Backend(base):
        framework_name = __name__.partition(".")[0]

        def is_appropriate_type(self, tensor: Any) -> bool:
            return isinstance(tensor, Tensor)

        def from_numpy(self, x: np.ndarray) -> Tensor:
            return creation.asarray(x)

        def to_numpy(self, x: Tensor) -> np.ndarray:
            return x.detach().numpy()

        def arange(self, start: int, stop: int) -> Tensor:
            return creation.arange(start, stop)

        def is_float_type(self, x: Tensor) -> bool:
            return dtypes.is_real_floating(x.dtype)

        def transpose(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
            return manipulation.permute_dims(x, tuple(axes))

        def reduce(self, x: Tensor, operation: str, axes: tuple[int, ...]) -> Tensor:
            return getattr(reductions, operation)(x, axis=axes)

        def stack_on_zeroth_dimension(self, tensors: list[Tensor]) -> Tensor:
            return manipulation.stack(tensors)

        def concat(self, tensors: list[Tensor], axis: int) -> Tensor:
            return manipulation.concat(tensors, axis=axis)

        def add_axis(self, x: Tensor, new_position: int) -> Tensor:
            return manipulation.expand_dims(x, axis=new_position)

        def tile(self, x: Tensor, repeats: tuple[int, ...]) -> Tensor:
            return manipulation.tile(x, tuple(repeats))

        def einsum(self, pattern: str, *x: Tensor) -> Tensor:
            return einsum.einsum(pattern, *x)

    backends._weft = Backend  # subclasses are held weakly
