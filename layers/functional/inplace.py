"""Activations that write their result to where the input was, with PyTorch's names and signatures.

Where something has been recorded of the input, it becomes a new value of the tape, as with every other write: gradients
are those of the functions without the underscore.
"""

from __future__ import annotations

from ...backend.tape.tensor import Tensor
from . import activation, stochastic

__all__ = ["celu_", "elu_", "hardtanh_", "leaky_relu_", "relu_", "rrelu_", "selu_", "threshold_"]


def relu_(input: Tensor) -> Tensor:
    """In place: max(x, 0). See `relu`.

    Parameters
    ----------
    input : Tensor
        x, of a real floating-point dtype, which is overwritten.

    Returns
    -------
    Tensor
        `input` itself.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    RuntimeError
        If it is a leaf that requires grad, while gradients are recorded.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> x = weft.tensor([-1.0, 0.0, 2.0])
    >>> F.relu_(x) is x
    True
    >>> x
    tensor([0., 0., 2.])
    """
    return activation.relu(input, inplace=True)


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """In place: x where x > threshold, `value` elsewhere. See `threshold`.

    Parameters
    ----------
    input : Tensor
        x, of a real floating-point dtype, which is overwritten.
    threshold : float
        What x must exceed to stay.
    value : float
        What takes its place otherwise.

    Returns
    -------
    Tensor
        `input` itself.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    RuntimeError
        If it is a leaf that requires grad, while gradients are recorded.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> x = weft.tensor([-1.0, 0.0, 2.0])
    >>> F.threshold_(x, 1.0, -5.0) is x
    True
    >>> x
    tensor([-5., -5.,  2.])
    """
    return activation.threshold(input, threshold, value, inplace=True)


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """In place: x where x > 0, negative_slope · x elsewhere. See `leaky_relu`.

    Parameters
    ----------
    input : Tensor
        x, of a real floating-point dtype, which is overwritten.
    negative_slope : float, default 0.01
        Slope where x ≤ 0.

    Returns
    -------
    Tensor
        `input` itself.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    RuntimeError
        If it is a leaf that requires grad, while gradients are recorded.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> x = weft.tensor([-1.0, 0.0, 2.0])
    >>> F.leaky_relu_(x, 0.5) is x
    True
    >>> x
    tensor([-0.5,  0. ,  2. ])
    """
    return activation.leaky_relu(input, negative_slope, inplace=True)


def rrelu_(input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False) -> Tensor:
    """In place: x where x > 0, a · x elsewhere, with a from U(lower, upper). See `rrelu`.

    Parameters
    ----------
    input : Tensor
        x, of a real floating-point dtype, which is overwritten.
    lower : float, default 1/8
        Least slope.
    upper : float, default 1/3
        Largest slope.
    training : bool, default False
        Whether slopes are drawn; otherwise all are the mean.

    Returns
    -------
    Tensor
        `input` itself.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    RuntimeError
        If it is a leaf that requires grad, while gradients are recorded.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> x = weft.tensor([-1.0, 0.0, 2.0])
    >>> F.rrelu_(x, 0.25, 0.75) is x
    True
    >>> x
    tensor([-0.5,  0. ,  2. ])
    """
    return stochastic.rrelu(input, lower, upper, training, inplace=True)


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """In place: the number in [min_val, max_val] that is nearest to x. See `hardtanh`.

    Parameters
    ----------
    input : Tensor
        x, of a real floating-point dtype, which is overwritten.
    min_val : float, default -1.0
        Lower limit.
    max_val : float, default 1.0
        Upper limit.

    Returns
    -------
    Tensor
        `input` itself.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    RuntimeError
        If it is a leaf that requires grad, while gradients are recorded.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> x = weft.tensor([-1.0, 0.0, 2.0])
    >>> F.hardtanh_(x) is x
    True
    >>> x
    tensor([-1.,  0.,  1.])
    """
    return activation.hardtanh(input, min_val, max_val, inplace=True)


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """In place: x where x > 0, α (eˣ − 1) elsewhere. See `elu`.

    Parameters
    ----------
    input : Tensor
        x, of a real floating-point dtype, which is overwritten.
    alpha : float, default 1.0
        α: the limit at −∞ is −α.

    Returns
    -------
    Tensor
        `input` itself.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    RuntimeError
        If it is a leaf that requires grad, while gradients are recorded.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> x = weft.tensor([-1.0, 0.0, 2.0])
    >>> F.elu_(x) is x
    True
    """
    return activation.elu(input, alpha, inplace=True)


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """In place: max(x, 0) + min(0, α (e^(x/α) − 1)). See `celu`.

    Parameters
    ----------
    input : Tensor
        x, of a real floating-point dtype, which is overwritten.
    alpha : float, default 1.0
        α: the limit at −∞ is −α.

    Returns
    -------
    Tensor
        `input` itself.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    RuntimeError
        If it is a leaf that requires grad, while gradients are recorded.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> x = weft.tensor([-1.0, 0.0, 2.0])
    >>> F.celu_(x) is x
    True
    """
    return activation.celu(input, alpha, inplace=True)


def selu_(input: Tensor) -> Tensor:
    """In place: λ x where x > 0, λ α (eˣ − 1) elsewhere. See `selu`.

    Parameters
    ----------
    input : Tensor
        x, of a real floating-point dtype, which is overwritten.

    Returns
    -------
    Tensor
        `input` itself.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    RuntimeError
        If it is a leaf that requires grad, while gradients are recorded.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> x = weft.tensor([-1.0, 0.0, 2.0])
    >>> F.selu_(x) is x
    True
    """
    return activation.selu(input, inplace=True)
