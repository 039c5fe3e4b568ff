"""Negative log-likelihoods of Gaussian and Poisson distributions, with PyTorch's names and signatures."""

from __future__ import annotations

from ...backend.array.creation import full as full_of
from ...backend.array.manipulation import expand_dims
from ...backend.device.options import number
from ...backend.nn import likelihood_loss as primitives
from ...backend.tape.tensor import Tensor
from . import _check as check
from .loss import _prepare, legacy_reduction

__all__ = ["gaussian_nll_loss", "poisson_nll_loss"]


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Negative log-likelihood of counts y under Poisson distributions: eˣ − y x of logarithms x of rates.

    Parameters
    ----------
    input : Tensor
        x, of any shape.
    target : Tensor
        y, in a shape that broadcasts with that of x; a warning says so where it differs.
    log_input : bool, default True
        False takes the rates themselves: x − y ln(x + eps).
    full : bool, default False
        Whether to add Stirling's y ln y − y + ½ ln 2πy ≈ ln y! where y > 1.
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    eps : float, default 1e-8
        Keeps the logarithm from −∞.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over all elements, or the loss of each.

    Returns
    -------
    Tensor
        0-d; with `reduction="none"`, in the broadcast shape.

    Raises
    ------
    TypeError
        If one is not a Tensor of a fitting dtype.
    ValueError
        If the shapes do not fit, or an option is out of range.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.poisson_nll_loss(weft.tensor([0.0]), weft.tensor([2.0])).item()
    1.0
    """
    number("eps", eps)
    reduction = legacy_reduction(size_average, reduce, reduction)
    target = _prepare(input, target, reduction, same_shape=False)
    return primitives.poisson_nll_loss(input, target, log_input=log_input, full=full, eps=eps, reduction=reduction)


def gaussian_nll_loss(
    input: Tensor, target: Tensor, var: Tensor | float, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """Negative log-likelihood of y under Gaussians of means x and variances v: ½ (ln v + (y − x)²/v).

    Parameters
    ----------
    input : Tensor
        x, (N, …).
    target : Tensor
        y, in a shape that broadcasts with that of x; a warning says so where it differs.
    var : Tensor or float
        Variances, none negative: one for all, or in the shape of x, without its last axis, or with one axis of length 1.
    full : bool, default False
        Whether to add ½ ln 2π.
    eps : float, default 1e-6
        v = max(var, eps); the gradient of `var` passes through.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over all elements, or the loss of each.

    Returns
    -------
    Tensor
        0-d; with `reduction="none"`, in the broadcast shape.

    Raises
    ------
    TypeError
        If one is not a Tensor of a fitting dtype.
    ValueError
        If the shapes do not fit, a variance is negative, or an option is out of range.

    References
    ----------
    Nix & Weigend, "Estimating the Mean and Variance of the Target Probability Distribution" (1994).

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.gaussian_nll_loss(weft.tensor([1.0]), weft.tensor([3.0]), weft.tensor([1.0])).item()
    2.0
    """
    number("eps", eps, 0)
    target = _prepare(input, target, reduction, same_shape=False)
    if isinstance(var, int | float):
        number("var", var, 0)
        var = full_of(input.shape, float(var), dtype=input.dtype, device=input.device)
    check.floating("var", var)
    primitives.check_variances(var.data)
    if var.shape != input.shape:
        odd = [v for v, n in zip(var.shape, input.shape) if v != n]
        if var.shape == input.shape[:-1]:
            var = expand_dims(var, axis=-1)
        elif var.ndim != input.ndim or odd != [1]:
            shapes = f"{tuple(input.shape)}, that without its last axis, or that with one axis of length 1"
            raise ValueError(f"`var` must have the shape of `input`, {shapes}, got {tuple(var.shape)}")
    return primitives.gaussian_nll_loss(input, target, var, full=full, eps=eps, reduction=reduction)
