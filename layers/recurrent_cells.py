"""Single steps of recurrent layers, for loops of one's own."""

from __future__ import annotations

import math
from typing import Any

from ..backend.array.creation import empty, zeros
from ..backend.nn import recurrent as primitives
from ..backend.tape.tensor import DType, Parameter, Tensor
from . import init
from .functional import _check as check
from .module import Module

__all__ = ["GRUCell", "LSTMCell", "RNNCell", "RNNCellBase"]


class RNNCellBase(Module):
    """What `RNNCell`, `LSTMCell` and `GRUCell` share, as `torch.nn.RNNCellBase`: parameters and checks.

    Parameters
    ----------
    input_size : int
        Length of the last axis of the input.
    hidden_size : int
        Length of the state.
    bias : bool
        Whether there are biases.
    num_chunks : int
        How many gates there are.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Examples
    --------
    >>> from weft import layers as nn
    >>> isinstance(nn.GRUCell(3, 4), nn.RNNCellBase)
    True
    """

    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        *,
        device: str | None = None,
        dtype: DType = None,
    ):
        check.sizes(input_size=input_size, hidden_size=hidden_size)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(empty((rows, input_size), device=device, dtype=dtype))
        self.weight_hh = Parameter(empty((rows, hidden_size), device=device, dtype=dtype))
        self.bias_ih = Parameter(empty(rows, device=device, dtype=dtype)) if bias else None
        self.bias_hh = Parameter(empty(rows, device=device, dtype=dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values, U(−1/√hidden_size, 1/√hidden_size) for all."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size else 0.0
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _run(self, operation: Any, input: Tensor, states: dict[str, Tensor | None], **static: Any) -> list[Tensor]:
        """The states after one step, with N if the input has it."""
        is_batched = _is_batched(type(self).__name__, "input", input)
        x = input if is_batched else input.unsqueeze(0)
        if x.shape[1] != self.input_size:
            raise RuntimeError(
                f"`input` must have a last axis of input_size={self.input_size}, got {tuple(input.shape)}"
            )
        _check_dtype("input", x, self.weight_ih)
        before = []
        for name, s in states.items():
            if s is None:
                s = zeros((len(x), self.hidden_size), dtype=x.dtype, device=x.device)
            elif _is_batched(type(self).__name__, name, s) < is_batched:
                raise RuntimeError(f"`{name}` must have the axis N of `input`, got shapes {s.shape} and {input.shape}")
            else:
                s = s if is_batched else s.unsqueeze(0)
            if s.shape != (len(x), self.hidden_size):
                wanted = (len(x), self.hidden_size) if is_batched else (self.hidden_size,)
                raise RuntimeError(f"`{name}` must have shape {wanted}, got {tuple(s.shape)[not is_batched :]}")
            _check_dtype(name, s, self.weight_ih)
            before.append(s)
        _, *after = operation(
            x, *before, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh, batch_sizes=(len(x),), **static
        )
        return after if is_batched else [s.squeeze(0) for s in after]

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


def _is_batched(of: str, name: str, x: Any) -> bool:
    if check.tensor(name, x).ndim not in (1, 2):
        raise ValueError(f"`{name}` of {of} must be 1-D or 2-D, got shape {tuple(x.shape)}")
    return x.ndim == 2


def pair(of: str, hx: Any, error: type[Exception]) -> tuple[Any, Any]:
    """The two states of an LSTM, or the error, which PyTorch has another of for cells."""
    if isinstance(hx, tuple | list) and len(hx) == 2:
        return hx[0], hx[1]
    got = f"one of shape {tuple(hx.shape)}" if isinstance(hx, Tensor) else type(hx).__name__
    got = f"{len(hx)} of them" if isinstance(hx, tuple | list) else got
    raise error(f"`hx` of {of} must be a pair of tensors, (h, c), got {got}")


def _check_dtype(name: str, x: Tensor, weight: Tensor) -> None:
    try:
        check.same_dtype(name, x, "weight_ih", weight)
    except TypeError as error:
        raise RuntimeError(*error.args) from None  # as PyTorch


class RNNCell(RNNCellBase):
    """One step of a simple recurrent layer, as `torch.nn.RNNCell`: h' = f(W_ih x + b_ih + W_hh h + b_hh), f tanh or ReLU.

    Shapes: x (N, input_size) or (input_size), h (N, hidden_size) or (hidden_size), `weight_ih` (hidden_size, input_size),
    `weight_hh` (hidden_size, hidden_size), `bias_ih` and `bias_hh` (hidden_size). All start as U(−1/√hidden_size,
    1/√hidden_size).

    Parameters
    ----------
    input_size : int
        Length of the last axis of the input.
    hidden_size : int
        Length of the state.
    bias : bool, default True
        Whether there are biases.
    nonlinearity : {"tanh", "relu"}, default "tanh"
        The f of the formula.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.RNNCell(3, 4)(weft.ones((2, 3))).shape
    (2, 4)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        *,
        device: str | None = None,
        dtype: DType = None,
    ):
        self.nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size, bias, 1, device=device, dtype=dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The next state.

        Parameters
        ----------
        input : Tensor
            x.
        hx : Tensor, optional
            h; zeros unless given.

        Returns
        -------
        Tensor
            h', as h.
        """
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"`nonlinearity` must be 'tanh' or 'relu', got {self.nonlinearity!r}")
        return self._run(primitives.rnn, input, {"hx": hx}, nonlinearity=self.nonlinearity)[0]

    def extra_repr(self) -> str:
        told = "" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}"
        return super().extra_repr() + told


class LSTMCell(RNNCellBase):
    """One step of an LSTM, as `torch.nn.LSTMCell`.

    i, f, g, o = W_ih x + b_ih + W_hh h + b_hh, c' = σ(f) c + σ(i) tanh(g), h' = σ(o) tanh(c').

    Shapes: x (N, input_size) or (input_size), h and c (N, hidden_size) or (hidden_size), `weight_ih` (4 hidden_size,
    input_size), `weight_hh` (4 hidden_size, hidden_size), `bias_ih` and `bias_hh` (4 hidden_size). All start as
    U(−1/√hidden_size, 1/√hidden_size).

    Parameters
    ----------
    input_size : int
        Length of the last axis of the input.
    hidden_size : int
        Length of the states.
    bias : bool, default True
        Whether there are biases.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Examples
    --------
    >>> from weft import layers as nn
    >>> h, c = nn.LSTMCell(3, 4)(weft.ones((2, 3)))
    >>> h.shape, c.shape
    ((2, 4), (2, 4))
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, *, device: str | None = None, dtype: DType = None
    ):
        super().__init__(input_size, hidden_size, bias, 4, device=device, dtype=dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """The next states.

        Parameters
        ----------
        input : Tensor
            x.
        hx : tuple of Tensor, optional
            (h, c); zeros unless given.

        Returns
        -------
        tuple of Tensor
            (h', c').
        """
        h, c = (None, None) if hx is None else pair("LSTMCell", hx, TypeError)
        after = self._run(primitives.lstm, input, {"hx[0]": h, "hx[1]": c})
        return after[0], after[1]


class GRUCell(RNNCellBase):
    """One step of a gated recurrent unit, as `torch.nn.GRUCell`.

    r, z = σ(W_ih x + b_ih + W_hh h + b_hh), n = tanh(W_in x + b_in + r (W_hn h + b_hn)), h' = (1 − z) n + z h.

    Shapes: x (N, input_size) or (input_size), h (N, hidden_size) or (hidden_size), `weight_ih` (3 hidden_size, input_size),
    `weight_hh` (3 hidden_size, hidden_size), `bias_ih` and `bias_hh` (3 hidden_size). All start as U(−1/√hidden_size,
    1/√hidden_size).

    Parameters
    ----------
    input_size : int
        Length of the last axis of the input.
    hidden_size : int
        Length of the state.
    bias : bool, default True
        Whether there are biases.
    reset_after : bool, default True
        Whether r multiplies the product, as above. False is the original form, n = tanh(W_in x + b_in + W_hn (r h) + b_hn),
        which PyTorch does not have.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.GRUCell(3, 4)(weft.ones((2, 3))).shape
    (2, 4)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        reset_after: bool = True,
        device: str | None = None,
        dtype: DType = None,
    ):
        self.reset_after = reset_after
        super().__init__(input_size, hidden_size, bias, 3, device=device, dtype=dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The next state.

        Parameters
        ----------
        input : Tensor
            x.
        hx : Tensor, optional
            h; zeros unless given.

        Returns
        -------
        Tensor
            h', as h.
        """
        return self._run(primitives.gru, input, {"hx": hx}, reset_after=self.reset_after)[0]

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.reset_after else ", reset_after=False")
