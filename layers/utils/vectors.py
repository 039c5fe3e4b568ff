"""All parameters of a model as one vector, and other whole-model tools of `torch.nn.utils`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from ...backend.array import random
from ...backend.array.manipulation import concat, reshape
from ...backend.tape.tensor import Tensor
from ..functional import _check as check
from ..module import Module
from .parametrize import store

__all__ = [
    "convert_conv2d_weight_memory_format",
    "convert_conv3d_weight_memory_format",
    "parameters_to_vector",
    "skip_init",
    "vector_to_parameters",
]

M = TypeVar("M", bound=Module)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The elements of all parameters in one vector; gradients flow back to them.

    Parameters
    ----------
    parameters : iterable of Tensor
        In the order in which they are wanted; on one device.

    Returns
    -------
    Tensor
        (Σ sizes,).

    Raises
    ------
    ValueError
        If there is none, or they are on several devices.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.utils.parameters_to_vector(nn.Linear(3, 2).parameters()).shape
    (8,)
    """
    listed = [check.tensor("parameters", p) for p in parameters]
    devices = {p.device for p in listed}
    if len(devices) != 1:
        raise ValueError(
            f"`parameters` must be at least one, all on one device, got {len(listed)} on {sorted(devices)}"
        )
    return concat([reshape(p, (-1,)) for p in listed])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy a vector into parameters, piece by piece: the inverse of `parameters_to_vector`.

    PyTorch makes the parameters views of the vector; weft copies into their memory, which may be an optimizer's.

    Parameters
    ----------
    vec : Tensor
        (Σ sizes,).
    parameters : iterable of Tensor
        What is written to, in this order.

    Raises
    ------
    TypeError
        If `vec` is not a Tensor.
    ValueError
        If it has not as many elements as the parameters.

    Examples
    --------
    >>> from weft import layers as nn
    >>> layer = nn.Linear(1, 2)
    >>> nn.utils.vector_to_parameters(weft.tensor([1.0, 2.0, 3.0, 4.0]), layer.parameters())
    >>> layer.bias.tolist()
    [3.0, 4.0]
    """
    check.tensor("vec", vec)
    listed = [check.tensor("parameters", p) for p in parameters]
    if tuple(vec.shape) != (total := sum(p.size for p in listed),):
        raise ValueError(f"`vec` must have the shape ({total},) of all parameters together, got {tuple(vec.shape)}")
    start = 0
    for p in listed:
        store(p, vec.detach()[start : start + p.size].to(device=p.device, dtype=p.dtype).reshape(p.shape))
        start += p.size


def skip_init(module_cls: type[M], *args: Any, **kwargs: Any) -> M:
    """A module whose initial values do not matter: the default generator is left as it was.

    Weft has no memory without values, as PyTorch does: the module has its usual ones, from a stream of their own.

    Parameters
    ----------
    module_cls : type
        A subclass of Module.
    *args, **kwargs : Any
        What its constructor takes.

    Returns
    -------
    Module
        What the constructor makes.

    Raises
    ------
    TypeError
        If `module_cls` is no Module.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.utils.skip_init(nn.Linear, 5, 1).weight.shape
    (1, 5)
    """
    if not (isinstance(module_cls, type) and issubclass(module_cls, Module)):
        raise TypeError(f"`module_cls` must be a subclass of Module, got {module_cls!r}")
    state = random.default_generator.get_state()
    try:
        return module_cls(*args, **kwargs)
    finally:
        random.default_generator.set_state(state)


def convert_conv2d_weight_memory_format(module: M, memory_format: Any) -> M:
    """Nothing: PyTorch's hint of a memory layout, which weft's convolutions choose by themselves.

    Parameters
    ----------
    module : Module
        Stays as it is.
    memory_format : Any
        Not looked at.

    Returns
    -------
    Module
        `module` itself.

    Examples
    --------
    >>> from weft import layers as nn
    >>> layer = nn.Conv2d(1, 1, 3)
    >>> nn.utils.convert_conv2d_weight_memory_format(layer, "channels_last") is layer
    True
    """
    return module


def convert_conv3d_weight_memory_format(module: M, memory_format: Any) -> M:
    """Nothing: PyTorch's hint of a memory layout, which weft's convolutions choose by themselves.

    Parameters
    ----------
    module : Module
        Stays as it is.
    memory_format : Any
        Not looked at.

    Returns
    -------
    Module
        `module` itself.

    Examples
    --------
    >>> from weft import layers as nn
    >>> layer = nn.Identity()
    >>> nn.utils.convert_conv3d_weight_memory_format(layer, "channels_last_3d") is layer
    True
    """
    return module
