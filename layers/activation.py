"""Activations as modules, as in `torch.nn`; formulas are in the functions of the same names.

With `inplace=True` x has the result from then on, for all who use it, as in PyTorch.
"""

from __future__ import annotations

from ..backend.array.creation import full
from ..backend.device.options import integer, number
from ..backend.tape.tensor import DType, Parameter, Tensor
from . import functional as F
from . import init
from .functional import _check as check
from .functional.activation import half_length
from .module import Layer

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "Heaviside",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "ReLU",
    "ReLU6",
    "SELU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softsign",
    "SwiGLU",
    "Swish",
    "Tanh",
    "Threshold",
]


class _InPlace(Layer):
    """An activation that takes PyTorch's `inplace`, as its only argument unless it says otherwise."""

    _options: tuple[str, ...] = ()  # names of the other arguments

    def __init__(self, inplace: bool = False):
        self.inplace = inplace

    def extra_repr(self) -> str:
        shown = [f"{name}={getattr(self, name)}" for name in self._options]
        return ", ".join([*shown, *["inplace=True"] * self.inplace])


# --- piecewise linear -------------------------------------------------------------------------------------------------
class ReLU(_InPlace):
    """Rectified linear unit: max(x, 0).

    Parameters
    ----------
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.ReLU()(weft.tensor([-1.0, 0.0, 2.0]))
    tensor([0., 0., 2.])
    >>> x = weft.tensor([-1.0, 0.0, 2.0])
    >>> nn.ReLU(inplace=True)(x) is x
    True
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(input, self.inplace)

    def _name_in_fusion(self) -> str | None:
        return "relu" if type(self) is ReLU and self._hooks is None and "forward" not in self.__dict__ else None


class ReLU6(_InPlace):
    """Rectified linear unit that ends at 6: min(max(x, 0), 6).

    Parameters
    ----------
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.ReLU6()(weft.tensor([-1.0, 2.0, 7.0]))
    tensor([0., 2., 6.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.relu6(input, self.inplace)


class LeakyReLU(_InPlace):
    """Leaky rectified linear unit: x where x > 0, negative_slope · x elsewhere.

    Parameters
    ----------
    negative_slope : float, default 0.01
        Slope where x ≤ 0.
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    References
    ----------
    Maas et al., "Rectifier Nonlinearities Improve Neural Network Acoustic Models" (2013).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.LeakyReLU(0.5)(weft.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.5,  0. ,  2. ])
    """

    _options = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False):
        number("negative_slope", negative_slope)
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.leaky_relu(input, self.negative_slope, self.inplace)


class PReLU(Layer):
    """Leaky rectified linear unit with a learned slope: x where x > 0, w · x elsewhere.

    Parameters
    ----------
    num_parameters : int, default 1
        How many slopes `weight` w holds: one, or one for each of the channels on axis 1.
    init : float, default 0.25
        Their initial value.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    ValueError
        In a call, if x has another number of channels.

    References
    ----------
    He et al., "Delving Deep into Rectifiers" (2015).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.PReLU()(weft.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.25,  0.  ,  2.  ], grad_fn=prelu)
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, *, device: str | None = None, dtype: DType = None):
        integer("num_parameters", num_parameters, 1)
        number("init", init)
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(full(num_parameters, float(init), device=device, dtype=dtype))

    def reset_parameters(self) -> None:
        """The initial slope again."""
        init.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class Hardtanh(_InPlace):
    """The number in [min_val, max_val] that is nearest to x.

    Parameters
    ----------
    min_val : float, default -1.0
        Lower limit.
    max_val : float, default 1.0
        Upper limit.
    inplace : bool, default False
        Whether the result is written to x, which is returned.
    min_value : float, optional
        PyTorch's deprecated name of `min_val`.
    max_value : float, optional
        PyTorch's deprecated name of `max_val`.

    Raises
    ------
    ValueError
        If `min_val` is not less than `max_val`.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.Hardtanh()(weft.tensor([-2.0, 0.5, 3.0]))
    tensor([-1. ,  0.5,  1. ])
    """

    _options = ("min_val", "max_val")

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ):
        self.min_val = min_val if min_value is None else min_value
        self.max_val = max_val if max_value is None else max_value
        self.inplace = inplace
        if not self.min_val < self.max_val:
            raise ValueError(f"`min_val` must be less than `max_val`, got {self.min_val} and {self.max_val}")

    def forward(self, input: Tensor) -> Tensor:
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)


class Threshold(_InPlace):
    """The input where it exceeds a threshold: x where x > threshold, `value` elsewhere.

    Parameters
    ----------
    threshold : float
        What x must exceed to pass.
    value : float
        What takes its place otherwise.
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.Threshold(1.0, -5.0)(weft.tensor([-1.0, 0.0, 2.0]))
    tensor([-5., -5.,  2.])
    """

    _options = ("threshold", "value")

    def __init__(self, threshold: float, value: float, inplace: bool = False):
        check.numbers(threshold=threshold, value=value)
        self.threshold = threshold
        self.value = value
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.threshold(input, self.threshold, self.value, self.inplace)


class Heaviside(Layer):
    """The unit step: 0 where x < 0, 1 where x > 0, `value` at 0.

    Its gradient is 0: `Perceptron` learns without one. (Not in PyTorch's `nn`.)

    Parameters
    ----------
    value : float, default 1.0
        The result at x = 0.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.Heaviside()(weft.tensor([-1.0, 0.0, 2.0])).tolist()
    [0.0, 1.0, 1.0]
    """

    def __init__(self, value: float = 1.0):
        number("value", value)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.heaviside(input, self.value)

    def extra_repr(self) -> str:
        return f"value={self.value}"


class Hardsigmoid(_InPlace):
    """A sigmoid of three straight lines: min(max(x + 3, 0), 6) / 6.

    Parameters
    ----------
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.Hardsigmoid()(weft.tensor([-4.0, 0.0, 1.5]))
    tensor([0.  , 0.5 , 0.75])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.hardsigmoid(input, self.inplace)


class Hardswish(_InPlace):
    """SiLU with `Hardsigmoid` for the sigmoid: x · min(max(x + 3, 0), 6) / 6.

    Parameters
    ----------
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    References
    ----------
    Howard et al., "Searching for MobileNetV3" (2019).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.Hardswish()(weft.tensor([-4.0, 0.0, 1.5]))
    tensor([-0.   ,  0.   ,  1.125])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.hardswish(input, self.inplace)


# --- exponential ------------------------------------------------------------------------------------------------------
class _Alpha(_InPlace):
    _options = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False):
        number("alpha", alpha)
        self.alpha = alpha
        self.inplace = inplace


class ELU(_Alpha):
    """Exponential linear unit: x where x > 0, α (eˣ − 1) elsewhere.

    Parameters
    ----------
    alpha : float, default 1.0
        α: the limit at −∞ is −α.
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    References
    ----------
    Clevert et al., "Fast and Accurate Deep Network Learning by Exponential Linear Units" (2016).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.ELU()(weft.tensor([-1.0, 0.0, 2.0])).numpy().round(3)
    array([-0.632,  0.   ,  2.   ], dtype=float32)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.elu(input, self.alpha, self.inplace)


class SELU(_InPlace):
    """Scaled exponential linear unit: λ x where x > 0, λ α (eˣ − 1) elsewhere.

    With λ = 1.0507… and α = 1.6733… it keeps mean 0 and variance 1.

    Parameters
    ----------
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    References
    ----------
    Klambauer et al., "Self-Normalizing Neural Networks" (2017).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.SELU()(weft.tensor([-1.0, 0.0, 2.0])).numpy().round(3)
    array([-1.111,  0.   ,  2.101], dtype=float32)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.selu(input, self.inplace)


class CELU(_Alpha):
    """Exponential linear unit with slope 1 at 0: max(x, 0) + min(0, α (e^(x/α) − 1)).

    Parameters
    ----------
    alpha : float, default 1.0
        α: the limit at −∞ is −α.
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    Raises
    ------
    ValueError
        In a call, if `alpha` is 0.

    References
    ----------
    Barron, "Continuously Differentiable Exponential Linear Units" (2017).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.CELU(2.0)(weft.tensor([-1.0, 0.0, 2.0])).numpy().round(3)
    array([-0.787,  0.   ,  2.   ], dtype=float32)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.celu(input, self.alpha, self.inplace)


class Sigmoid(Layer):
    """The logistic function: 1 / (1 + e⁻ˣ).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.Sigmoid()(weft.tensor([-1.0, 0.0, 2.0])).numpy().round(3)
    array([0.269, 0.5  , 0.881], dtype=float32)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.sigmoid(input)


class LogSigmoid(Layer):
    """Logarithm of the logistic function: ln(1 / (1 + e⁻ˣ)).

    Computed so that it neither overflows nor loses digits.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.LogSigmoid()(weft.tensor([-100.0, 0.0])).numpy().round(3)
    array([-100.   ,   -0.693], dtype=float32)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.logsigmoid(input)


class Tanh(Layer):
    """Hyperbolic tangent: (eˣ − e⁻ˣ) / (eˣ + e⁻ˣ).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.Tanh()(weft.tensor([-1.0, 0.0, 2.0])).numpy().round(3)
    array([-0.762,  0.   ,  0.964], dtype=float32)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.tanh(input)


class SiLU(_InPlace):
    """Sigmoid-weighted linear unit, also called Swish: x / (1 + e⁻ˣ).

    Parameters
    ----------
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    References
    ----------
    Elfwing et al., "Sigmoid-Weighted Linear Units" (2017); Ramachandran et al., "Searching for Activation Functions"
    (2017).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.SiLU()(weft.tensor([-1.0, 0.0, 2.0])).numpy().round(3)
    array([-0.269,  0.   ,  1.762], dtype=float32)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.silu(input, self.inplace)


Swish = SiLU


class GELU(Layer):
    """Gaussian error linear unit: x Φ(x), Φ being the normal distribution function.

    Parameters
    ----------
    approximate : {"none", "tanh"}, default "none"
        "tanh" is faster and nearly the same: ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))).

    Raises
    ------
    ValueError
        In a call, if `approximate` is another word.

    References
    ----------
    Hendrycks & Gimpel, "Gaussian Error Linear Units" (2016).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.GELU()(weft.tensor([-1.0, 0.0, 2.0])).numpy().round(3)
    array([-0.159,  0.   ,  1.954], dtype=float32)
    """

    def __init__(self, approximate: str = "none"):
        check.one_of("approximate", approximate, ("none", "tanh"))
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        return F.gelu(input, self.approximate)

    def _name_in_fusion(self) -> str | None:
        plain = type(self) is GELU and self._hooks is None and "forward" not in self.__dict__
        return "gelu" if plain and self.approximate == "tanh" else None

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Mish(_InPlace):
    """Self-regularised unit: x tanh(ln(1 + eˣ)).

    Parameters
    ----------
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    References
    ----------
    Misra, "Mish: A Self Regularized Non-Monotonic Activation Function" (2019).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.Mish()(weft.tensor([-1.0, 0.0, 2.0])).numpy().round(3)
    array([-0.303,  0.   ,  1.944], dtype=float32)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.mish(input, self.inplace)


class Softplus(Layer):
    """A smooth max(x, 0): ln(1 + e^(βx)) / β.

    Parameters
    ----------
    beta : float, default 1.0
        β: the larger, the nearer to max(x, 0).
    threshold : float, default 20.0
        Where βx exceeds it, the result is x itself.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.Softplus()(weft.tensor([-1.0, 0.0, 2.0])).numpy().round(3)
    array([0.313, 0.693, 2.127], dtype=float32)
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        check.numbers(beta=beta, threshold=threshold)
        if not beta:
            raise ValueError(f"`beta` must not be 0, got {beta}")
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class Softsign(Layer):
    """A sigmoid that approaches ±1 slowly: x / (1 + |x|).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.Softsign()(weft.tensor([-1.0, 0.0, 2.0])).numpy().round(3)
    array([-0.5  ,  0.   ,  0.667], dtype=float32)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.softsign(input)


# --- along an axis ----------------------------------------------------------------------------------------------------
class Softmax(Layer):
    """Numbers as probabilities: exp(xᵢ) / Σⱼ exp(xⱼ) along `dim`.

    Parameters
    ----------
    dim : int, optional
        The axis that sums to 1; without it PyTorch's old rule decides, with a warning.

    Raises
    ------
    IndexError
        In a call, if x has no axis `dim`.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.Softmax(dim=-1)(weft.zeros(4)).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """

    def __init__(self, dim: int | None = None):
        if dim is not None:
            integer("dim", dim)
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return F.softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    """Numbers as log-probabilities: xᵢ − ln Σⱼ exp(xⱼ) along `dim`.

    Parameters
    ----------
    dim : int, optional
        The axis whose exponentials sum to 1; without it PyTorch's old rule decides, with a warning.

    Raises
    ------
    IndexError
        In a call, if x has no axis `dim`.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.LogSoftmax(dim=-1)(weft.zeros(2)).numpy().round(3)
    array([-0.693, -0.693], dtype=float32)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.log_softmax(input, self.dim)


class Softmin(Softmax):
    """Numbers as probabilities, the least number as the largest: exp(−xᵢ) / Σⱼ exp(−xⱼ) along `dim`.

    Parameters
    ----------
    dim : int, optional
        The axis that sums to 1; without it PyTorch's old rule decides, with a warning.

    Raises
    ------
    IndexError
        In a call, if x has no axis `dim`.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.Softmin(dim=-1)(weft.tensor([0.0, 1e4])).tolist()
    [1.0, 0.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.softmin(input, self.dim)


class Softmax2d(Layer):
    """Probabilities over the channels, for each place of images (N, C, H, W) or (C, H, W).

    Raises
    ------
    ValueError
        In a call, if x has neither 3 nor 4 axes.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.Softmax2d()(weft.zeros((2, 1, 1))).tolist()
    [[[0.5]], [[0.5]]]
    """

    def forward(self, input: Tensor) -> Tensor:
        if check.tensor("input", input).ndim not in (3, 4):
            raise ValueError(f"`input` must have shape (N, C, H, W) or (C, H, W), got {tuple(input.shape)}")
        return F.softmax(input, -3)


class GLU(Layer):
    """Gated linear unit: a σ(b), where a and b are the halves of x along `dim`.

    Parameters
    ----------
    dim : int, default -1
        The axis that is halved; its length must be even.

    Raises
    ------
    IndexError
        In a call, if x has no axis `dim`.
    ValueError
        In a call, if that axis has an odd length.

    References
    ----------
    Dauphin et al., "Language Modeling with Gated Convolutional Networks" (2017).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.GLU()(weft.tensor([3.0, 5.0, 0.0, 0.0]))
    tensor([1.5, 2.5])
    """

    def __init__(self, dim: int = -1):
        integer("dim", dim)
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class SwiGLU(GLU):
    """Gated linear unit with SiLU: a silu(b), where a and b are the halves of x along `dim`.

    Laid out as `GLU` is: a linear layer of twice the width goes before it. (Not in PyTorch.)

    Parameters
    ----------
    dim : int, default -1
        The axis that is halved; its length must be even.

    Raises
    ------
    IndexError
        In a call, if x has no axis `dim`.
    ValueError
        In a call, if that axis has an odd length.

    References
    ----------
    Shazeer, "GLU Variants Improve Transformer" (2020).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.SwiGLU()(weft.ones((2, 6))).shape
    (2, 3)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.swiglu(*input.split(half_length(input, self.dim), self.dim))
