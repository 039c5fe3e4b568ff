"""`torch.save` and `torch.load`, by the restricted reader and writer of `.pt` files."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["load", "save"]


def _checkpoint() -> Any:
    try:
        return importlib.import_module("weft.compat.checkpoint")
    except ModuleNotFoundError as error:
        raise NotImplementedError(
            "`torch.save` and `torch.load` need `weft.compat.checkpoint`, which this weft has not got; "
            "use weft.training's checkpoints"
        ) from error


def save(obj: Any, f: Any, **_options: Any) -> None:
    """Write tensors, containers, numbers and strings as PyTorch does.

    Parameters
    ----------
    obj : object
        What is to be written.
    f : str, Path or file
        Where to.
    **_options : object
        PyTorch's, which change nothing.
    """
    _checkpoint().save(obj, f)


def load(f: Any, map_location: Any = None, **_options: Any) -> Any:
    """Read what PyTorch or `save` has written.

    Parameters
    ----------
    f : str, Path or file
        The file.
    map_location : str, optional
        Where the tensors go; they are on the CPU otherwise.
    **_options : object
        PyTorch's, which change nothing: nothing but data is ever read.

    Returns
    -------
    object
        As it was written.
    """
    found = _checkpoint().load(f)
    return found if map_location is None else _moved(found, map_location)


def _moved(x: Any, device: Any) -> Any:
    if isinstance(x, dict):
        return type(x)((k, _moved(v, device)) for k, v in x.items())
    if isinstance(x, list | tuple):
        return type(x)(_moved(v, device) for v in x)
    return x.to(device) if hasattr(x, "detach") else x
