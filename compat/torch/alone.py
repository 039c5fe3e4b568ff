"""`torch.distributed` and data parallelism of one process on one device."""

from __future__ import annotations

import contextlib
import os
import types
from typing import Any

from ... import layers
from .runtime import nothing

__all__ = ["DISTRIBUTED", "DataParallel", "data_parallel"]


class DataParallel(layers.Module):
    """A module on one device: `module`, called as it is. Its names in a state dict begin with "module."."""

    def __init__(self, module: Any, *_devices: Any, **_options: Any):
        super().__init__()
        self.module = module

    def forward(self, *args: Any, **options: Any) -> Any:
        return self.module(*args, **options)

    def no_sync(self) -> Any:
        """Nothing is synchronised anyway."""
        return contextlib.nullcontext()


def _init_process_group(*_args: Any, world_size: int = -1, **_options: Any) -> None:
    """One process is a group of its own."""
    size = int(os.environ.get("WORLD_SIZE", 1)) if world_size in (-1, None) else world_size
    if size > 1:
        raise NotImplementedError(f"`world_size` must be 1, got {size}; weft.distributed trains on several processes")


def _reduced(tensor: Any, *_args: Any, **_options: Any) -> None:
    """Over a group of one."""


def _gathered(into: Any, tensor: Any, *_args: Any, **_options: Any) -> None:
    """The one tensor there is, into the one place."""
    if into is not None:
        into[0].copy_(tensor)


def _scattered(tensor: Any, parts: Any = None, *_args: Any, **_options: Any) -> None:
    """The one part there is."""
    if parts is not None:
        tensor.copy_(parts[0])


def _gathered_objects(into: list, value: Any, *_args: Any, **_options: Any) -> None:
    into[0] = value


def data_parallel(module: Any, inputs: Any, *_devices: Any, module_kwargs: Any = None, **_options: Any) -> Any:
    """A module, called on its one device.

    Parameters
    ----------
    module : callable
        Which.
    inputs : object
        Its argument, or a tuple of them.
    *_devices : object
        PyTorch's, which change nothing.
    module_kwargs : dict, optional
        Its keyword arguments.
    **_options : object
        PyTorch's, which change nothing.

    Returns
    -------
    object
        What it returns.
    """
    return module(*inputs if isinstance(inputs, tuple) else (inputs,), **(module_kwargs or {}))


DISTRIBUTED: dict[str, Any] = {
    "is_available": lambda: False,
    "is_initialized": lambda: False,
    "is_nccl_available": lambda: False,
    "is_torchelastic_launched": lambda: False,
    "get_rank": lambda *_: 0,
    "get_world_size": lambda *_: 1,
    "get_backend": lambda *_: "gloo",
    "init_process_group": _init_process_group,
    "destroy_process_group": nothing,
    "barrier": nothing,
    "all_reduce": _reduced,
    **dict.fromkeys(("broadcast", "reduce", "broadcast_object_list"), _reduced),
    **dict.fromkeys(("all_gather", "all_to_all"), _gathered),
    "gather": lambda tensor, gather_list=None, *args, **options: _gathered(gather_list, tensor),
    **dict.fromkeys(("scatter", "reduce_scatter", "all_gather_into_tensor", "reduce_scatter_tensor"), _scattered),
    "all_gather_object": _gathered_objects,
    "new_group": nothing,
    **{f"is_{name}_available": lambda: False for name in ("gloo", "mpi", "ucc")},
    "get_process_group_ranks": lambda *_: [0],
    "ReduceOp": types.SimpleNamespace(SUM="sum", AVG="avg", MAX="max", MIN="min", PRODUCT="prod"),
}
