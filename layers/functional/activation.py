"""Activations, with PyTorch's names and signatures; the formulas stand with the primitives in `backend/nn/activation.py`.

With `inplace=True` x has the result from then on, for all who use it, as in PyTorch; gradients are those of the usual call.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

from ...backend.array.elementwise import clip, negative
from ...backend.array.elementwise import tanh as _tanh
from ...backend.array.manipulation import reshape
from ...backend.device.options import number
from ...backend.nn import activation as primitives
from ...backend.tape.tensor import DType, Tensor
from . import _check as check
from ._writing import into

__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "heaviside",
    "leaky_relu",
    "log_softmax",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softsign",
    "swiglu",
    "tanh",
    "threshold",
]


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """Rectified linear unit: max(x, 0).

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real dtype.
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    Returns
    -------
    Tensor
        In the shape and dtype of x.

    Raises
    ------
    RuntimeError
        If `inplace`, and x is a leaf that requires grad while gradients are recorded.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> x = weft.tensor([-1.0, 0.0, 2.0])
    >>> F.relu(x)
    tensor([0., 0., 2.])
    >>> x + F.relu(x, inplace=True)  # the sum sees what has been written
    tensor([0., 0., 4.])
    """
    y = primitives.relu(input)
    return into(input, y) if inplace else y


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """Rectified linear unit that ends at 6: min(max(x, 0), 6).

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real dtype.
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    Returns
    -------
    Tensor
        In the shape and dtype of x.

    Raises
    ------
    RuntimeError
        If `inplace`, and x is a leaf that requires grad while gradients are recorded.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.relu6(weft.tensor([-1.0, 2.0, 7.0]))
    tensor([0., 2., 6.])
    """
    y = clip(input, 0, 6) if check.is_integral(input) else primitives.relu6(input)
    return into(input, y) if inplace else y


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """Leaky rectified linear unit: x where x > 0, negative_slope · x elsewhere.

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.
    negative_slope : float, default 0.01
        Slope where x ≤ 0.
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    Returns
    -------
    Tensor
        In the shape and dtype of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    RuntimeError
        If `inplace`, and x is a leaf that requires grad while gradients are recorded.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.leaky_relu(weft.tensor([-1.0, 0.0, 2.0]), 0.5)
    tensor([-0.5,  0. ,  2. ])
    """
    check.floating("input", input)
    if negative_slope != 0.01:
        check.numbers(negative_slope=negative_slope)
    y = primitives.leaky_relu(input, negative_slope=negative_slope)
    return into(input, y) if inplace else y


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """Leaky rectified linear unit with a given slope: x where x > 0, w · x elsewhere.

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.
    weight : Tensor
        w, one number, or (C,) for the channels on axis 1 of x.

    Returns
    -------
    Tensor
        In the shape and dtype of x.

    Raises
    ------
    TypeError
        If one is not a Tensor, or dtypes differ.
    ValueError
        If `weight` has another shape.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.prelu(weft.tensor([-1.0, 0.0, 2.0]), weft.tensor([0.5]))
    tensor([-0.5,  0. ,  2. ])
    """
    check.floating("input", input)
    check.same_dtype("input", input, "weight", check.tensor("weight", weight))
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.ndim > 1 or weight.size not in (1, channels):
        raise ValueError(
            f"`weight` must have shape (1,) or ({channels},), one for each channel of `input`, got {weight.shape}"
        )
    return primitives.prelu(input, weight if weight.ndim else weight.reshape(1))


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """The number in [min_val, max_val] that is nearest to x.

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real dtype.
    min_val : float, default -1.0
        Lower limit.
    max_val : float, default 1.0
        Upper limit.
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    Returns
    -------
    Tensor
        In the shape and dtype of x.

    Raises
    ------
    ValueError
        If `min_val` exceeds `max_val`.
    RuntimeError
        If `inplace`, and x is a leaf that requires grad while gradients are recorded.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.hardtanh(weft.tensor([-2.0, 0.5, 3.0]))
    tensor([-1. ,  0.5,  1. ])
    """
    if (min_val, max_val) != (-1.0, 1.0):
        number("min_val", min_val, infinite=True)
        number("max_val", max_val, infinite=True)
    if min_val > max_val:
        raise ValueError(f"`min_val` must not exceed `max_val`, got {min_val} and {max_val}")
    if check.is_integral(input):  # the limits in its dtype, as in PyTorch
        y = clip(input, int(min_val), int(max_val))
    else:
        y = primitives.hardtanh(input, min_val=min_val, max_val=max_val)
    return into(input, y) if inplace else y


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """The input where it exceeds a threshold: x where x > threshold, `value` elsewhere.

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real dtype.
    threshold : float
        What x must exceed to pass.
    value : float
        What takes its place otherwise.
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    Returns
    -------
    Tensor
        In the shape and dtype of x.

    Raises
    ------
    RuntimeError
        If `inplace`, and x is a leaf that requires grad while gradients are recorded.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.threshold(weft.tensor([-1.0, 0.0, 2.0]), 1.0, -5.0)
    tensor([-5., -5.,  2.])
    """
    if threshold != 0 or value != 0:
        number("threshold", threshold, infinite=True)
        number("value", value, infinite=True)
    y = primitives.threshold(input, threshold=threshold, value=value)
    return into(input, y) if inplace else y


def heaviside(input: Tensor, value: float = 1.0) -> Tensor:
    """The unit step: 0 where x < 0, 1 where x > 0, `value` at 0.

    Its gradient is 0. (Not in PyTorch's `functional`.)

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.
    value : float, default 1.0
        The result at x = 0.

    Returns
    -------
    Tensor
        In the shape and dtype of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.heaviside(weft.tensor([-1.0, 0.0, 2.0]), 0.5)
    tensor([0. , 0.5, 1. ])
    """
    check.floating("input", input)
    if value != 1.0:
        check.numbers(value=value)
    return primitives.heaviside(input, value=value)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """A sigmoid of three straight lines: min(max(x + 3, 0), 6) / 6.

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    Returns
    -------
    Tensor
        In the shape and dtype of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    RuntimeError
        If `inplace`, and x is a leaf that requires grad while gradients are recorded.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.hardsigmoid(weft.tensor([-4.0, 0.0, 1.5]))
    tensor([0.  , 0.5 , 0.75])
    """
    check.floating("input", input)
    y = primitives.hardsigmoid(input)
    return into(input, y) if inplace else y


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """SiLU with `hardsigmoid` for the sigmoid: x · min(max(x + 3, 0), 6) / 6.

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    Returns
    -------
    Tensor
        In the shape and dtype of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    RuntimeError
        If `inplace`, and x is a leaf that requires grad while gradients are recorded.

    References
    ----------
    Howard et al., "Searching for MobileNetV3" (2019).

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.hardswish(weft.tensor([-4.0, 0.0, 1.5]))
    tensor([-0.   ,  0.   ,  1.125])
    """
    check.floating("input", input)
    y = primitives.hardswish(input)
    return into(input, y) if inplace else y


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Exponential linear unit: x where x > 0, α (eˣ − 1) elsewhere.

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.
    alpha : float, default 1.0
        α: the limit at −∞ is −α.
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    Returns
    -------
    Tensor
        In the shape and dtype of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    RuntimeError
        If `inplace`, and x is a leaf that requires grad while gradients are recorded.

    References
    ----------
    Clevert et al., "Fast and Accurate Deep Network Learning by Exponential Linear Units" (2016).

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.elu(weft.tensor([-1.0, 0.0, 2.0])).numpy().round(3)
    array([-0.632,  0.   ,  2.   ], dtype=float32)
    """
    check.floating("input", input)
    if alpha != 1.0:
        check.numbers(alpha=alpha)
    y = primitives.elu(input, alpha=alpha)
    return into(input, y) if inplace else y


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """Scaled exponential linear unit: λ x where x > 0, λ α (eˣ − 1) elsewhere.

    With λ = 1.0507… and α = 1.6733… it keeps mean 0 and variance 1.

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    Returns
    -------
    Tensor
        In the shape and dtype of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    RuntimeError
        If `inplace`, and x is a leaf that requires grad while gradients are recorded.

    References
    ----------
    Klambauer et al., "Self-Normalizing Neural Networks" (2017).

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.selu(weft.tensor([-1.0, 0.0, 2.0])).numpy().round(3)
    array([-1.111,  0.   ,  2.101], dtype=float32)
    """
    check.floating("input", input)
    y = primitives.selu(input)
    return into(input, y) if inplace else y


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Exponential linear unit with slope 1 at 0: max(x, 0) + min(0, α (e^(x/α) − 1)).

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.
    alpha : float, default 1.0
        α: the limit at −∞ is −α.
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    Returns
    -------
    Tensor
        In the shape and dtype of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If `alpha` is 0.
    RuntimeError
        If `inplace`, and x is a leaf that requires grad while gradients are recorded.

    References
    ----------
    Barron, "Continuously Differentiable Exponential Linear Units" (2017).

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.celu(weft.tensor([-1.0, 0.0, 2.0]), 2.0).numpy().round(3)
    array([-0.787,  0.   ,  2.   ], dtype=float32)
    """
    check.floating("input", input)
    if alpha != 1.0:
        check.numbers(alpha=alpha)
    if not alpha:
        raise ValueError(f"`alpha` must not be 0, got {alpha}")
    y = primitives.celu(input, alpha=alpha)
    return into(input, y) if inplace else y


def sigmoid(input: Tensor) -> Tensor:
    """The logistic function: 1 / (1 + e⁻ˣ).

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real dtype; integers are taken in the default dtype.

    Returns
    -------
    Tensor
        In the shape of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real dtype.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.sigmoid(weft.tensor([-1.0, 0.0, 2.0])).numpy().round(3)
    array([0.269, 0.5  , 0.881], dtype=float32)
    """
    return primitives.sigmoid(check.as_floating("input", input))


def logsigmoid(input: Tensor) -> Tensor:
    """Logarithm of the logistic function: ln(1 / (1 + e⁻ˣ)).

    Computed so that it neither overflows nor loses digits.

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.

    Returns
    -------
    Tensor
        In the shape and dtype of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.logsigmoid(weft.tensor([-100.0, 0.0])).numpy().round(3)
    array([-100.   ,   -0.693], dtype=float32)
    """
    check.floating("input", input)
    return primitives.log_sigmoid(input)


def tanh(input: Tensor) -> Tensor:
    """Hyperbolic tangent: (eˣ − e⁻ˣ) / (eˣ + e⁻ˣ).

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.

    Returns
    -------
    Tensor
        In the shape and dtype of x.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.tanh(weft.tensor([-1.0, 0.0, 2.0])).numpy().round(3)
    array([-0.762,  0.   ,  0.964], dtype=float32)
    """
    return _tanh(input)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """Sigmoid-weighted linear unit, also called Swish: x / (1 + e⁻ˣ).

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    Returns
    -------
    Tensor
        In the shape and dtype of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    RuntimeError
        If `inplace`, and x is a leaf that requires grad while gradients are recorded.

    References
    ----------
    Elfwing et al., "Sigmoid-Weighted Linear Units" (2017); Ramachandran et al., "Searching for Activation Functions"
    (2017).

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.silu(weft.tensor([-1.0, 0.0, 2.0])).numpy().round(3)
    array([-0.269,  0.   ,  1.762], dtype=float32)
    """
    check.floating("input", input)
    y = primitives.silu(input)
    return into(input, y) if inplace else y


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """Gaussian error linear unit: x Φ(x), Φ being the normal distribution function.

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.
    approximate : {"none", "tanh"}, default "none"
        "tanh" is faster and nearly the same: ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))).

    Returns
    -------
    Tensor
        In the shape and dtype of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If `approximate` is another word.

    References
    ----------
    Hendrycks & Gimpel, "Gaussian Error Linear Units" (2016).

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.gelu(weft.tensor([-1.0, 0.0, 2.0])).numpy().round(3)
    array([-0.159,  0.   ,  1.954], dtype=float32)
    """
    check.floating("input", input)
    check.one_of("approximate", approximate, ("none", "tanh"))
    return primitives.gelu(input, approximate=approximate)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """Self-regularised unit: x tanh(ln(1 + eˣ)).

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    Returns
    -------
    Tensor
        In the shape and dtype of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    RuntimeError
        If `inplace`, and x is a leaf that requires grad while gradients are recorded.

    References
    ----------
    Misra, "Mish: A Self Regularized Non-Monotonic Activation Function" (2019).

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.mish(weft.tensor([-1.0, 0.0, 2.0])).numpy().round(3)
    array([-0.303,  0.   ,  1.944], dtype=float32)
    """
    check.floating("input", input)
    y = primitives.mish(input)
    return into(input, y) if inplace else y


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """A smooth max(x, 0): ln(1 + e^(βx)) / β.

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.
    beta : float, default 1.0
        β: the larger, the nearer to max(x, 0).
    threshold : float, default 20.0
        Where βx exceeds it, the result is x itself.

    Returns
    -------
    Tensor
        In the shape and dtype of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.softplus(weft.tensor([-1.0, 0.0, 2.0])).numpy().round(3)
    array([0.313, 0.693, 2.127], dtype=float32)
    """
    check.floating("input", input)
    if (beta, threshold) != (1.0, 20.0):
        check.numbers(beta=beta, threshold=threshold)
        if not beta:
            raise ValueError(f"`beta` must not be 0, got {beta}")
    return primitives.softplus(input, beta=beta, threshold=threshold)


def softsign(input: Tensor) -> Tensor:
    """A sigmoid that approaches ±1 slowly: x / (1 + |x|).

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real dtype; integers are taken in the default dtype.

    Returns
    -------
    Tensor
        In the shape of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real dtype.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.softsign(weft.tensor([-1.0, 0.0, 2.0])).numpy().round(3)
    array([-0.5  ,  0.   ,  0.667], dtype=float32)
    """
    return primitives.softsign(check.as_floating("input", input))


def _softmax_axis(name: str, input: Tensor, dim: int | None, stacklevel: int) -> int:
    check.floating("input", input)
    if dim is None:  # PyTorch's old rule, with PyTorch's warning
        dim = 0 if input.ndim in (0, 1, 3) else 1
        warnings.warn(
            f"`{name}` without `dim` takes axis {dim} for {input.ndim} axes, as PyTorch does; say dim=…",
            stacklevel=stacklevel,
        )
    return dim if not input.ndim and dim in (0, -1) else check.axis("dim", dim, input)


def _along(f: Callable[..., Tensor], input: Tensor, axis: int) -> Tensor:
    """A number is a vector of one."""
    return f(input, axis=axis) if input.ndim else reshape(f(reshape(input, (1,)), axis=0), ())


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType = None) -> Tensor:
    """Numbers as probabilities: exp(xᵢ) / Σⱼ exp(xⱼ) along `dim`.

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.
    dim : int, optional
        The axis that sums to 1; without it PyTorch's old rule decides, with a warning.
    _stacklevel : int, default 3
        PyTorch's argument: whose line the warning names.
    dtype : data-type, optional
        x is converted to it first.

    Returns
    -------
    Tensor
        In the shape of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    IndexError
        If x has no axis `dim`.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.softmax(weft.tensor([[0.0, 0.0]]), dim=1)
    tensor([[0.5, 0.5]])
    """
    input = input if dtype is None else input.to(dtype)
    axis = _softmax_axis("softmax", input, dim, _stacklevel)
    return _along(primitives.softmax, input, axis)


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType = None) -> Tensor:
    """Numbers as log-probabilities: xᵢ − ln Σⱼ exp(xⱼ) along `dim`.

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.
    dim : int, optional
        The axis whose exponentials sum to 1; without it PyTorch's old rule decides, with a warning.
    _stacklevel : int, default 3
        PyTorch's argument: whose line the warning names.
    dtype : data-type, optional
        x is converted to it first.

    Returns
    -------
    Tensor
        In the shape of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    IndexError
        If x has no axis `dim`.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.log_softmax(weft.tensor([[0.0, 0.0]]), dim=1).numpy().round(3)
    array([[-0.693, -0.693]], dtype=float32)
    """
    input = input if dtype is None else input.to(dtype)
    axis = _softmax_axis("log_softmax", input, dim, _stacklevel)
    return _along(primitives.log_softmax, input, axis)


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType = None) -> Tensor:
    """Numbers as probabilities, the least number as the largest: exp(−xᵢ) / Σⱼ exp(−xⱼ) along `dim`.

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.
    dim : int, optional
        The axis that sums to 1; without it PyTorch's old rule decides, with a warning.
    _stacklevel : int, default 3
        PyTorch's argument: whose line the warning names.
    dtype : data-type, optional
        x is converted to it first.

    Returns
    -------
    Tensor
        In the shape of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    IndexError
        If x has no axis `dim`.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.softmin(weft.tensor([[0.0, 1e4]]), dim=1)
    tensor([[1., 0.]])
    """
    input = input if dtype is None else input.to(dtype)
    axis = _softmax_axis("softmin", input, dim, _stacklevel)
    return _along(primitives.softmax, negative(input), axis)


def half_length(input: Tensor, dim: int) -> int:
    """Half the length of `input` along `dim`, which must be even."""
    n = input.shape[check.axis("dim", dim, input)]
    if n % 2:
        raise ValueError(f"`input` must have an even length along `dim` = {dim}, to be halved, got shape {input.shape}")
    return n // 2


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """Gated linear unit: a σ(b), where a and b are the halves of x along `dim`.

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.
    dim : int, default -1
        The axis that is halved; its length must be even.

    Returns
    -------
    Tensor
        In the shape of x, with `dim` half as long.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    IndexError
        If x has no axis `dim`.
    ValueError
        If that axis has an odd length.

    References
    ----------
    Dauphin et al., "Language Modeling with Gated Convolutional Networks" (2017).

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.glu(weft.tensor([3.0, 5.0, 0.0, 0.0]))
    tensor([1.5, 2.5])
    """
    check.floating("input", input)
    half_length(input, dim)
    return primitives.glu(input, axis=dim)


def swiglu(input: Tensor, gate: Tensor) -> Tensor:
    """Gated linear unit with SiLU: x · silu(gate).

    (Not in PyTorch.)

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.
    gate : Tensor
        In the shape and dtype of x.

    Returns
    -------
    Tensor
        In the shape and dtype of x.

    Raises
    ------
    TypeError
        If one is not a Tensor of a real floating-point dtype, or dtypes differ.
    ValueError
        If the shapes differ.

    References
    ----------
    Shazeer, "GLU Variants Improve Transformer" (2020).

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.swiglu(weft.tensor([2.0, 3.0]), weft.tensor([0.0, 100.0]))
    tensor([  0., 300.])
    """
    check.floating("input", input)
    check.shape("gate", gate, input.shape)
    check.same_dtype("gate", gate, "input", input)
    return primitives.swiglu(input, gate)
