"""Activations as modules, as in `torch.nn`; formulas are in the functions of the same names.

`inplace` is accepted and changes nothing: results are always new memory.
"""

from __future__ import annotations

from numpy.typing import DTypeLike

from ..backend.array.creation import full
from ..backend.tape.tensor import Parameter, Tensor
from . import functional as F
from . import init
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
    """max(x, 0).

    >>> from weft import layers as nn
    >>> nn.ReLU()(weft.tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(input)


class ReLU6(_InPlace):
    """min(max(x, 0), 6)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.relu6(input)


class LeakyReLU(_InPlace):
    """x where x > 0, negative_slope · x elsewhere."""

    _options = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False):
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.leaky_relu(input, self.negative_slope)


class PReLU(Layer):
    """x where x > 0, w · x elsewhere, with a learned `weight` w: one, or one for each of the channels on axis 1.

    He et al., "Delving Deep into Rectifiers" (2015).
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, *, device: str | None = None, dtype: DTypeLike | None = None
    ):
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
    """x limited to [min_val, max_val]. (`min_value` and `max_value` are PyTorch's deprecated names of the limits.)"""

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
        return F.hardtanh(input, self.min_val, self.max_val)


class Threshold(_InPlace):
    """x where x > threshold, `value` elsewhere."""

    _options = ("threshold", "value")

    def __init__(self, threshold: float, value: float, inplace: bool = False):
        self.threshold = threshold
        self.value = value
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.threshold(input, self.threshold, self.value)


class Heaviside(Layer):
    """The unit step: 0 where x < 0, 1 where x > 0, `value` at 0. Its gradient is 0: `Perceptron` learns without one.

    >>> from weft import layers as nn
    >>> nn.Heaviside()(weft.tensor([-1.0, 0.0, 2.0])).tolist()
    [0.0, 1.0, 1.0]
    """

    def __init__(self, value: float = 1.0):
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.heaviside(input, self.value)

    def extra_repr(self) -> str:
        return f"value={self.value}"


class Hardsigmoid(_InPlace):
    """min(max(x + 3, 0), 6) / 6."""

    def forward(self, input: Tensor) -> Tensor:
        return F.hardsigmoid(input)


class Hardswish(_InPlace):
    """x · hardsigmoid(x). Howard et al., "Searching for MobileNetV3" (2019)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.hardswish(input)


# --- exponential ------------------------------------------------------------------------------------------------------
class _Alpha(_InPlace):
    _options = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False):
        self.alpha = alpha
        self.inplace = inplace


class ELU(_Alpha):
    """x where x > 0, α (eˣ − 1) elsewhere. Clevert et al. (2016)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.elu(input, self.alpha)


class SELU(_InPlace):
    """λ (x where x > 0, α (eˣ − 1) elsewhere), which keeps mean 0 and variance 1. Klambauer et al. (2017)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.selu(input)


class CELU(_Alpha):
    """max(x, 0) + min(0, α (e^(x/α) − 1)). Barron (2017)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.celu(input, self.alpha)


class Sigmoid(Layer):
    """1 / (1 + e⁻ˣ)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.sigmoid(input)


class LogSigmoid(Layer):
    """ln(1 / (1 + e⁻ˣ))."""

    def forward(self, input: Tensor) -> Tensor:
        return F.logsigmoid(input)


class Tanh(Layer):
    """(eˣ − e⁻ˣ) / (eˣ + e⁻ˣ)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.tanh(input)


class SiLU(_InPlace):
    """x / (1 + e⁻ˣ), also called Swish. Elfwing et al. (2017), Ramachandran et al. (2017)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.silu(input)


Swish = SiLU


class GELU(Layer):
    """x Φ(x), Φ being the normal distribution function, or nearly ("tanh"). Hendrycks & Gimpel (2016)."""

    def __init__(self, approximate: str = "none"):
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        return F.gelu(input, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Mish(_InPlace):
    """x tanh(ln(1 + eˣ)). Misra (2019)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.mish(input)


class Softplus(Layer):
    """ln(1 + e^(βx)) / β, and x itself where βx > threshold."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class Softsign(Layer):
    """x / (1 + |x|)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.softsign(input)


# --- along an axis ----------------------------------------------------------------------------------------------------
class Softmax(Layer):
    """exp(xᵢ) / Σⱼ exp(xⱼ) along `dim`.

    >>> from weft import layers as nn
    >>> nn.Softmax(dim=-1)(weft.zeros(4)).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """

    def __init__(self, dim: int | None = None):
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return F.softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    """xᵢ − ln Σⱼ exp(xⱼ) along `dim`."""

    def forward(self, input: Tensor) -> Tensor:
        return F.log_softmax(input, self.dim)


class GLU(Layer):
    """a σ(b), where a and b are the halves of x along `dim`. Dauphin et al. (2017)."""

    def __init__(self, dim: int = -1):
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class SwiGLU(GLU):
    """a silu(b), where a and b are the halves of x along `dim`. Shazeer, "GLU Variants Improve Transformer" (2020).

    (Not in PyTorch. Laid out as `GLU` is: a linear layer of twice the width goes before it.)

    >>> from weft import layers as nn
    >>> nn.SwiGLU()(weft.ones((2, 6))).shape
    (2, 3)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.swiglu(*input.split(half_length(input, self.dim), self.dim))
