"""Initial values, in place, as `torch.nn.init`: each function fills a tensor and returns it.

Numbers come from weft's default generator (`weft.manual_seed`) or from `generator=`; the same seed gives the same
weights on every device. Nothing is recorded on the tape. The fans of a weight (out, in, *kernel) are fan_in = in · Π
kernel and fan_out = out · Π kernel.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backend.array import random
from ..backend.array.creation import asarray
from ..backend.device import dtypes
from ..backend.device.options import UnknownName, integer, number
from ..backend.tape.sharing import changed
from ..backend.tape.tensor import Tensor

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "lecun_normal_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]


def _fill(tensor: Tensor, values: Any) -> Tensor:
    return _write(tensor, asarray(values, dtype=dtypes.of(tensor.data), device=tensor.device).data)


def _write(tensor: Tensor, values: Any) -> Tensor:
    flags = getattr(tensor.data, "flags", None)
    if not getattr(flags, "writeable", True):
        raise RuntimeError(
            f"`tensor` of shape {tensor.shape} is read-only (it was broadcast, or belongs to somebody who forbids it); use .clone()"
        )
    tensor.data[...] = values
    changed(tensor.data)
    return tensor


def _working_dtype(tensor: Tensor) -> np.dtype:
    """Numbers for half precision are drawn and scaled in float32."""
    if not isinstance(tensor, Tensor) or not dtypes.is_real_floating(tensor.dtype):
        found = tensor.dtype if isinstance(tensor, Tensor) else f"a {type(tensor).__name__}"
        raise TypeError(f"`tensor` must be a Tensor of a real floating-point dtype, got {found}")
    return dtypes.float64 if tensor.dtype == dtypes.float64 else dtypes.float32


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Every element the same number.

    Parameters
    ----------
    tensor : Tensor
        What is filled, in place; of any shape and a floating-point dtype.
    val : float
        That number.

    Returns
    -------
    Tensor
        `tensor` itself.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.init.constant_(weft.zeros(2), 3.0).tolist()
    [3.0, 3.0]
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"`tensor` must be a Tensor, got {type(tensor).__name__}")
    if not isinstance(val, complex | float | int):
        number("val", val, infinite=True)
    return _write(tensor, val)


def zeros_(tensor: Tensor) -> Tensor:
    """Every element 0.

    Parameters
    ----------
    tensor : Tensor
        What is filled, in place; of any shape and a floating-point dtype.

    Returns
    -------
    Tensor
        `tensor` itself.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.init.zeros_(weft.ones(2)).tolist()
    [0.0, 0.0]
    """
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Every element 1.

    Parameters
    ----------
    tensor : Tensor
        What is filled, in place; of any shape and a floating-point dtype.

    Returns
    -------
    Tensor
        `tensor` itself.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.init.ones_(weft.zeros(2)).tolist()
    [1.0, 1.0]
    """
    return constant_(tensor, 1.0)


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: random.Generator | None = None) -> Tensor:
    """Uniform distribution U(a, b): mean (a + b)/2, variance (b − a)²/12.

    Parameters
    ----------
    tensor : Tensor
        What is filled, in place; of any shape and a floating-point dtype.
    a : float, default 0.0
        Lower limit, included.
    b : float, default 1.0
        Upper limit.
    generator : Generator, optional
        Where the random numbers come from; weft's default generator unless given.

    Returns
    -------
    Tensor
        `tensor` itself.

    Examples
    --------
    >>> from weft import layers as nn
    >>> x = nn.init.uniform_(weft.zeros(1000), -2.0, 2.0)
    >>> -2 <= x.min().item() < -1.9 < 1.9 < x.max().item() <= 2
    True
    """
    number("a", a)
    number("b", b)
    if a > b:
        raise ValueError(f"`a` must not be greater than `b`, got a={a} and b={b}")
    u = random.generator_of(generator).uniform(tensor.shape, _working_dtype(tensor), tensor.device)
    u *= b - a
    u += a
    return _fill(tensor, u)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: random.Generator | None = None) -> Tensor:
    """Normal distribution N(mean, std²).

    Parameters
    ----------
    tensor : Tensor
        What is filled, in place; of any shape and a floating-point dtype.
    mean : float, default 0.0
        Its centre.
    std : float, default 1.0
        Its standard deviation.
    generator : Generator, optional
        Where the random numbers come from; weft's default generator unless given.

    Returns
    -------
    Tensor
        `tensor` itself.

    Examples
    --------
    >>> from weft import layers as nn
    >>> x = nn.init.normal_(weft.zeros(10000), std=3.0)
    >>> round(x.std().item())
    3
    """
    number("mean", mean)
    number("std", std, 0)
    z = random.generator_of(generator).normal(tensor.shape, _working_dtype(tensor), tensor.device)
    z *= std
    z += mean
    return _fill(tensor, z)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: random.Generator | None = None,
) -> Tensor:
    """Normal distribution N(mean, std²), given that the value lies in [a, b].

    x = mean + std · Φ⁻¹(u), u uniform between Φ((a − mean)/std) and Φ((b − mean)/std).

    Parameters
    ----------
    tensor : Tensor
        What is filled, in place; of any shape and a floating-point dtype.
    mean : float, default 0.0
        Centre of the whole distribution.
    std : float, default 1.0
        Standard deviation of the whole distribution, positive.
    a : float, default -2.0
        Lower limit: absolute, as in PyTorch, not a multiple of std.
    b : float, default 2.0
        Upper limit, likewise.
    generator : Generator, optional
        Where the random numbers come from; weft's default generator unless given.

    Returns
    -------
    Tensor
        `tensor` itself.

    Raises
    ------
    ValueError
        If `a` is not less than `b`, `std` not positive, or [a, b] without probability.

    Examples
    --------
    >>> from weft import layers as nn
    >>> x = nn.init.trunc_normal_(weft.zeros(1000), a=-1.0, b=1.0)
    >>> -1 <= x.min().item() < -0.9 < 0.9 < x.max().item() <= 1
    True
    """
    if not a < b or not std > 0:
        raise ValueError(f"`a` must be less than `b`, and `std` positive, got a={a}, b={b}, std={std}")
    # Φ keeps its digits where it is small: an interval above the mean is that of −x, below −mean.
    sign = -1 if a + b > 2 * mean else 1
    limits = sorted((sign * (a - mean), sign * (b - mean)))
    low, high = (math.erfc(-limit / std / math.sqrt(2)) / 2 for limit in limits)
    if not low < high:
        raise ValueError(f"[a, b] must have some probability under N({mean}, {std}²), got a={a}, b={b}")
    u = low + (high - low) * random.generator_of(generator).uniform((tensor.size,), np.float64)
    z = sign * random.normal_quantile(np.clip(u, np.finfo(np.float64).tiny, 1 - 2.0**-53))  # Φ⁻¹ is infinite at 0 and 1
    return _fill(tensor, np.clip(mean + std * z, a, b).reshape(tensor.shape))


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance constant through a nonlinearity, as PyTorch gives it.

    1 for linear, conv and sigmoid, 5/3 for tanh, √2 for relu, √(2/(1 + slope²)) for leaky_relu, 3/4 for selu.

    Parameters
    ----------
    nonlinearity : str
        "linear", "conv1d" … "conv_transpose3d", "sigmoid", "tanh", "relu", "leaky_relu" or "selu".
    param : float, optional
        The slope of leaky_relu, 0.01 unless given.

    Returns
    -------
    float
        The gain.

    Raises
    ------
    ValueError
        If `nonlinearity` is another word.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.init.calculate_gain("leaky_relu", 1.0)
    1.0
    """
    gains = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2.0), "selu": 0.75}
    gains |= {f"{kind}{n}d": 1.0 for kind in ("conv", "conv_transpose") for n in (1, 2, 3)}
    if nonlinearity == "leaky_relu":
        if param is not None:
            number("param", param)
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in gains:
        raise ValueError(f"`nonlinearity` must be one of {sorted([*gains, 'leaky_relu'])}, got {nonlinearity!r}")
    return gains[nonlinearity]


def _fans(tensor: Tensor) -> tuple[int, int]:
    if tensor.ndim < 2:
        raise ValueError(
            f"`tensor` must have at least 2 axes (out, in, …) to have a fan-in and a fan-out, got shape {tensor.shape}"
        )
    area = math.prod(tensor.shape[2:])
    return tensor.shape[1] * area, tensor.shape[0] * area


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: random.Generator | None = None) -> Tensor:
    """Uniform distribution U(−b, b) with b = gain √(6 / (fan_in + fan_out)).

    Parameters
    ----------
    tensor : Tensor
        What is filled, in place: a weight (out, in, *kernel).
    gain : float, default 1.0
        As from `calculate_gain`.
    generator : Generator, optional
        Where the random numbers come from; weft's default generator unless given.

    Returns
    -------
    Tensor
        `tensor` itself.

    Raises
    ------
    ValueError
        If `tensor` has fewer than 2 axes.

    References
    ----------
    Glorot & Bengio, "Understanding the Difficulty of Training Deep Feedforward Neural Networks" (2010).

    Examples
    --------
    >>> from weft import layers as nn
    >>> x = nn.init.xavier_uniform_(weft.zeros((20, 30)))
    >>> round(x.max().item(), 2), round((6 / 50) ** 0.5, 2)
    (0.35, 0.35)
    """
    number("gain", gain)
    bound = gain * math.sqrt(6 / max(1, sum(_fans(tensor))))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: random.Generator | None = None) -> Tensor:
    """Normal distribution N(0, gain² · 2 / (fan_in + fan_out)).

    Parameters
    ----------
    tensor : Tensor
        What is filled, in place: a weight (out, in, *kernel).
    gain : float, default 1.0
        As from `calculate_gain`.
    generator : Generator, optional
        Where the random numbers come from; weft's default generator unless given.

    Returns
    -------
    Tensor
        `tensor` itself.

    Raises
    ------
    ValueError
        If `tensor` has fewer than 2 axes.

    References
    ----------
    Glorot & Bengio, "Understanding the Difficulty of Training Deep Feedforward Neural Networks" (2010).

    Examples
    --------
    >>> from weft import layers as nn
    >>> x = nn.init.xavier_normal_(weft.zeros((100, 100)))
    >>> round(x.std().item(), 2)
    0.1
    """
    number("gain", gain)
    return normal_(tensor, 0.0, gain * math.sqrt(2 / max(1, sum(_fans(tensor)))), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"`mode` must be 'fan_in' or 'fan_out', got {mode!r}")
    fan = _fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(1, fan))


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: random.Generator | None = None,
) -> Tensor:
    """Uniform distribution U(−b, b) with b = gain √(3 / fan).

    Parameters
    ----------
    tensor : Tensor
        What is filled, in place: a weight (out, in, *kernel).
    a : float, default 0
        Slope of a leaky_relu.
    mode : {"fan_in", "fan_out"}, default "fan_in"
        Whether the variance stays forward or backward.
    nonlinearity : str, default "leaky_relu"
        What follows, as for `calculate_gain`.
    generator : Generator, optional
        Where the random numbers come from; weft's default generator unless given.

    Returns
    -------
    Tensor
        `tensor` itself.

    Raises
    ------
    ValueError
        If `tensor` has fewer than 2 axes, or `mode` or `nonlinearity` are other words.

    References
    ----------
    He et al., "Delving Deep into Rectifiers: Surpassing Human-Level Performance on ImageNet Classification" (2015).

    Examples
    --------
    >>> from weft import layers as nn
    >>> x = nn.init.kaiming_uniform_(weft.zeros((20, 60)), nonlinearity="linear")
    >>> round(x.max().item(), 2), round((3 / 60) ** 0.5, 2)
    (0.22, 0.22)
    """
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: random.Generator | None = None,
) -> Tensor:
    """Normal distribution N(0, gain² / fan).

    Parameters
    ----------
    tensor : Tensor
        What is filled, in place: a weight (out, in, *kernel).
    a : float, default 0
        Slope of a leaky_relu.
    mode : {"fan_in", "fan_out"}, default "fan_in"
        Whether the variance stays forward or backward.
    nonlinearity : str, default "leaky_relu"
        What follows, as for `calculate_gain`.
    generator : Generator, optional
        Where the random numbers come from; weft's default generator unless given.

    Returns
    -------
    Tensor
        `tensor` itself.

    Raises
    ------
    ValueError
        If `tensor` has fewer than 2 axes, or `mode` or `nonlinearity` are other words.

    References
    ----------
    He et al., "Delving Deep into Rectifiers: Surpassing Human-Level Performance on ImageNet Classification" (2015).

    Examples
    --------
    >>> from weft import layers as nn
    >>> x = nn.init.kaiming_normal_(weft.zeros((100, 200)), nonlinearity="relu")
    >>> round(x.std().item(), 2)
    0.1
    """
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def default_(weight: Tensor, bias: Tensor | None) -> None:
    """PyTorch's initial values of weight (out, in, *kernel) and bias: U(−1/√fan_in, 1/√fan_in) for both; a bias alone is 0."""
    kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        fan_in = math.prod(weight.shape[1:])
        bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
        uniform_(bias, -bound, bound)


def lecun_normal_(tensor: Tensor, generator: random.Generator | None = None) -> Tensor:
    """Normal distribution N(0, 1 / fan_in), for SELU networks.

    (Not in PyTorch.)

    Parameters
    ----------
    tensor : Tensor
        What is filled, in place: a weight (out, in, *kernel).
    generator : Generator, optional
        Where the random numbers come from; weft's default generator unless given.

    Returns
    -------
    Tensor
        `tensor` itself.

    Raises
    ------
    ValueError
        If `tensor` has fewer than 2 axes.

    References
    ----------
    LeCun et al., "Efficient BackProp" (1998).

    Examples
    --------
    >>> from weft import layers as nn
    >>> x = nn.init.lecun_normal_(weft.zeros((100, 100)))
    >>> round(x.std().item(), 2)
    0.1
    """
    return normal_(tensor, 0.0, 1 / math.sqrt(max(1, _fans(tensor)[0])), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: random.Generator | None = None) -> Tensor:
    """Orthonormal rows, or columns where these are fewer, times the gain.

    A sample of the uniform distribution over such matrices (out, Π rest).

    Parameters
    ----------
    tensor : Tensor
        What is filled, in place: (out, …), read as the matrix (out, Π rest).
    gain : float, default 1
        Length of the rows or columns.
    generator : Generator, optional
        Where the random numbers come from; weft's default generator unless given.

    Returns
    -------
    Tensor
        `tensor` itself.

    Raises
    ------
    ValueError
        If `tensor` has fewer than 2 axes.

    References
    ----------
    Saxe et al., "Exact Solutions to the Nonlinear Dynamics of Learning in Deep Linear Neural Networks" (2014).

    Examples
    --------
    >>> from weft import layers as nn
    >>> q = nn.init.orthogonal_(weft.zeros((2, 3)))
    >>> np.allclose((q @ q.T).numpy(), np.eye(2), atol=1e-6)
    True
    """
    if tensor.ndim < 2:
        raise ValueError(f"`tensor` must have at least 2 axes, got shape {tensor.shape}")
    number("gain", gain)
    if not tensor.size:
        return tensor
    rows = tensor.shape[0]
    columns = tensor.size // rows
    z = random.generator_of(generator).normal((max(rows, columns), min(rows, columns)), np.float64)
    q, r = np.linalg.qr(z)
    q *= np.where(
        np.diagonal(r) < 0, -1.0, 1.0
    )  # QR leaves the signs to the algorithm: this makes Q unique, hence uniform
    return _fill(tensor, gain * (q.T if rows < columns else q).reshape(tensor.shape))


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: random.Generator | None = None) -> Tensor:
    """A matrix of N(0, std²), in each column of which a share of the numbers is zero.

    Parameters
    ----------
    tensor : Tensor
        What is filled, in place: (rows, columns).
    sparsity : float
        The share of zeros in a column, in [0, 1]; ⌈sparsity · rows⌉ of them.
    std : float, default 0.01
        Standard deviation of the others.
    generator : Generator, optional
        Where the random numbers come from; weft's default generator unless given.

    Returns
    -------
    Tensor
        `tensor` itself.

    Raises
    ------
    ValueError
        If `tensor` is no matrix, or `sparsity` no share.

    References
    ----------
    Martens, "Deep learning via Hessian-free optimization" (2010).

    Examples
    --------
    >>> from weft import layers as nn
    >>> x = nn.init.sparse_(weft.empty((10, 3)), sparsity=0.25)
    >>> (x == 0).sum(0).tolist()
    [3, 3, 3]
    """
    if tensor.ndim != 2:
        raise ValueError(f"`tensor` must have 2 axes, got shape {tensor.shape}")
    number("sparsity", sparsity, 0, 1)
    normal_(tensor, 0.0, std, generator)
    rows, columns = tensor.shape
    order = np.argsort(random.generator_of(generator).uniform((rows, columns), np.float64), axis=0)
    return _fill(tensor, np.where(order < math.ceil(sparsity * rows), 0.0, tensor.detach().cpu().numpy()))


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix.

    Parameters
    ----------
    tensor : Tensor
        What is filled, in place: (rows, columns), with ones on the diagonal.

    Returns
    -------
    Tensor
        `tensor` itself.

    Raises
    ------
    ValueError
        If `tensor` does not have 2 axes.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.init.eye_(weft.zeros((2, 3))).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    if tensor.ndim != 2:
        raise ValueError(f"`tensor` must have 2 axes, got shape {tensor.shape}")
    return _fill(tensor, np.eye(tensor.shape[0], tensor.shape[1]))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution kernel that passes as many input channels through as it can.

    Parameters
    ----------
    tensor : Tensor
        What is filled, in place: (out, in, *kernel), with a one in the middle of a kernel.
    groups : int, default 1
        As of the convolution; each group passes its own channels.

    Returns
    -------
    Tensor
        `tensor` itself.

    Raises
    ------
    ValueError
        If `tensor` does not have 3, 4 or 5 axes, or `groups` does not divide `out`.

    Examples
    --------
    >>> from weft import layers as nn
    >>> x = weft.tensor([[1.0, 2.0, 3.0]])
    >>> kernel = nn.init.dirac_(weft.zeros((1, 1, 3)))
    >>> nn.functional.conv1d(x, kernel, padding=1).tolist()
    [[1.0, 2.0, 3.0]]
    """
    if tensor.ndim not in (3, 4, 5):
        raise ValueError(f"`tensor` must have 3, 4 or 5 axes, got shape {tensor.shape}")
    integer("groups", groups, 1)
    if tensor.shape[0] % groups:
        raise ValueError(f"`groups` must divide the output channels {tensor.shape[0]}, got {groups}")
    values = np.zeros(tensor.shape)
    per_group = tensor.shape[0] // groups
    centre = tuple(k // 2 for k in tensor.shape[2:])
    for g in range(groups):
        for i in range(min(per_group, tensor.shape[1])):
            values[(g * per_group + i, i, *centre)] = 1
    return _fill(tensor, values)


if not TYPE_CHECKING:

    def __getattr__(name):
        raise UnknownName(__name__, name, __all__)
