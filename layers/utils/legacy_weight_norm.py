"""Weight normalisation under PyTorch's older name, `torch.nn.utils.weight_norm`: state `weight_g`, `weight_v`.

PyTorch computes the weight before each call, weft whenever it is looked at; hence such modules can be copied.
"""

from __future__ import annotations

import warnings

from ...backend.array.elementwise import divide, multiply, sqrt
from ...backend.array.reductions import sum
from ...backend.tape.autograd import no_grad
from ...backend.tape.tensor import Parameter, Tensor
from ..module import Module
from .computed import compute, is_computed, settle
from .parametrize import store

__all__ = ["remove_weight_norm", "weight_norm"]


def norm_but(x: Tensor, dim: int | None) -> Tensor:
    """‖x‖₂ over all axes but `dim`, kept as 1; over all, as a number, for −1 or None (as in PyTorch)."""
    if dim is None or dim == -1:
        return sqrt(sum(multiply(x, x)))
    axes = tuple(i for i in range(x.ndim) if i != dim % x.ndim)
    return sqrt(sum(multiply(x, x), axis=axes, keepdims=True)) if axes else abs(x)


def normed(g: Tensor, v: Tensor, dim: int | None) -> Tensor:
    """g v / ‖v‖."""
    return multiply(v, divide(g, norm_but(v, dim)))


def _get(module: Module, name: str) -> Tensor:
    g, v = (getattr(module, f"{name}_{part}") for part in "gv")
    return normed(g, v, module._weight_norm[name])  # type: ignore[attr-defined]


def _set(module: Module, name: str, value: Tensor) -> None:
    with no_grad():
        store(getattr(module, f"{name}_g"), norm_but(value, module._weight_norm[name]))  # type: ignore[attr-defined]
        store(getattr(module, f"{name}_v"), value)


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Weight normalisation: w = g v / ‖v‖. Deprecated as in PyTorch: `parametrizations.weight_norm` is the newer form.

    Parameters
    ----------
    module : Module
        What has the weight; it becomes the parameters `weight_g` and `weight_v`.
    name : str, default "weight"
        Its name.
    dim : int or None, default 0
        The axis that is not summed over: a norm for each output. None is one norm for all.

    Returns
    -------
    Module
        `module` itself.

    Raises
    ------
    ValueError
        If there is no such parameter.
    RuntimeError
        If it is normalised already.

    References
    ----------
    Salimans & Kingma, "Weight Normalization: A Simple Reparameterization to Accelerate Training of Deep Neural Networks"
    (2016).

    Examples
    --------
    >>> import warnings
    >>> from weft import layers as nn
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     layer = nn.utils.weight_norm(nn.Linear(2, 3))
    >>> list(layer.state_dict())
    ['bias', 'weight_g', 'weight_v']
    """
    warnings.warn("`weight_norm` is deprecated: say utils.parametrizations.weight_norm", FutureWarning, stacklevel=2)
    if is_computed(module, name):
        raise RuntimeError(
            f"`name`: {name!r} of {type(module).__name__} must not be normalised twice; remove_weight_norm first"
        )
    weight = parameter_of(module, name)
    delattr(module, name)
    setattr(module, f"{name}_g", Parameter(norm_but(weight.detach(), dim), weight.requires_grad))
    setattr(module, f"{name}_v", weight)
    module._weight_norm = {**vars(module).get("_weight_norm", {}), name: dim}  # type: ignore[attr-defined]
    compute(module, name, _get, _set)
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Make what `weight_norm` split one parameter again.

    Parameters
    ----------
    module : Module
        What has it.
    name : str, default "weight"
        Its name.

    Returns
    -------
    Module
        `module` itself.

    Raises
    ------
    ValueError
        If it is not split.

    Examples
    --------
    >>> import warnings
    >>> from weft import layers as nn
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     layer = nn.utils.weight_norm(nn.Linear(2, 3))
    >>> list(nn.utils.remove_weight_norm(layer).state_dict())
    ['bias', 'weight']
    """
    if name not in vars(module).get("_weight_norm", {}):
        raise ValueError(f"`name` must be that of a weight with weight_norm in {type(module).__name__}, got {name!r}")
    v = getattr(module, f"{name}_v")
    with no_grad():
        store(v, getattr(module, name))
    settle(module, name)
    del module._weight_norm[name]  # type: ignore[attr-defined]
    delattr(module, f"{name}_g")
    delattr(module, f"{name}_v")
    setattr(module, name, v)
    return module


def parameter_of(module: Module, name: str) -> Parameter:
    """The module's parameter of that name, or ValueError."""
    found = vars(module).get(name)
    if not isinstance(found, Parameter):
        raise ValueError(f"`name` must be that of a parameter of {type(module).__name__}, got {name!r}")
    return found
