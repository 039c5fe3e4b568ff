"""Recurrent layers: simple, LSTM and GRU, over whole sequences. Their cells are in `recurrent_cells.py`."""

from __future__ import annotations

import math
import warnings
from typing import Any

from ..backend.array.creation import empty, zeros
from ..backend.array.indexing import take
from ..backend.array.manipulation import concat, reshape, stack
from ..backend.nn import recurrent as primitives
from ..backend.tape.tensor import DType, Parameter, Tensor
from . import functional as F
from . import init
from .functional import _check as check
from .module import Module
from .packed_sequence import PackedSequence, sizes_of
from .recurrent_cells import pair

__all__ = ["GRU", "LSTM", "RNN", "RNNBase"]

GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


class RNNBase(Module):
    """What `RNN`, `LSTM` and `GRU` share, as `torch.nn.RNNBase`: parameters, checks, layers and directions.

    Parameters
    ----------
    mode : {"RNN_TANH", "RNN_RELU", "LSTM", "GRU"}
        What becomes of a state in a step.
    input_size : int
        Length of the last axis of the input.
    hidden_size : int
        Length of the states.
    num_layers : int, default 1
        How many layers, each on the output of the one before.
    bias : bool, default True
        Whether there are biases.
    batch_first : bool, default False
        Whether input and output are (N, T, …); states are (…, N, H) all the same.
    dropout : float, default 0.0
        Probability that an element of the output of a layer is dropped, in training, but for the last layer.
    bidirectional : bool, default False
        Whether there is a second direction, which goes back in time.
    proj_size : int, default 0
        Length of an LSTM's output, if it is projected.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    TypeError
        If a size is no int, or a choice no bool.
    ValueError
        If a size is not positive, `proj_size` not less than `hidden_size`, or `dropout` outside [0, 1].

    Examples
    --------
    >>> from weft import layers as nn
    >>> isinstance(nn.GRU(3, 4), nn.RNNBase)
    True
    """

    _states: tuple[str, ...] = ("hx",)

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        device: str | None = None,
        dtype: DType = None,
    ):
        check.one_of("mode", mode, list(GATES))
        _check_sizes(input_size, hidden_size, num_layers, proj_size)
        _check_choices(bias=bias, batch_first=batch_first)
        _check_dropout(dropout, num_layers)
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._names: list[list[str | None]] = []
        width, gates = proj_size or hidden_size, GATES[mode] * hidden_size
        for layer in range(num_layers):
            features = width * (1 + bidirectional) if layer else input_size
            for suffix in ("", "_reverse")[: 1 + bidirectional]:
                shapes: dict[str, tuple[int, ...]] = {"weight_ih": (gates, features), "weight_hh": (gates, width)}
                if bias:
                    shapes |= {"bias_ih": (gates,), "bias_hh": (gates,)}
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                for name, shape in shapes.items():
                    setattr(self, f"{name}_l{layer}{suffix}", Parameter(empty(shape, device=device, dtype=dtype)))
                every = "weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"
                self._names.append([f"{name}_l{layer}{suffix}" if name in shapes else None for name in every])
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values, U(−1/√hidden_size, 1/√hidden_size) for all."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for name in names if name is not None] for names in self._names]

    def flatten_parameters(self) -> None:
        """Do nothing, for PyTorch's sake: optimizers lay parameters out in one piece of memory."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Outputs of the last layer, and the last states of all.

        Parameters
        ----------
        input : Tensor or PackedSequence
            (T, N, input_size), (N, T, input_size) with `batch_first`, (T, input_size) for a single sequence, or packed.
        hx : Tensor, optional
            The first states, (num_layers · directions, N, hidden_size); without N for a single sequence. Zeros unless given.
            For an LSTM a pair: outputs, and cell states.

        Returns
        -------
        output : Tensor or PackedSequence
            As the input, its last axis directions · (proj_size or hidden_size): forwards, then backwards.
        h_n : Tensor
            As `hx`: the states after the end of each sequence, that of direction d of layer k at place k · directions + d.
        """
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        self._check_input(input, (2, 3))
        is_batched, axis = input.ndim == 3, 0 if self.batch_first else 1
        x = input if is_batched else input.unsqueeze(axis)
        states = self._given(hx, x.shape[axis], "batched 3-D" if is_batched else "unbatched 2-D", input.ndim)
        if self.batch_first:
            x = x.swapaxes(0, 1)
        steps, count = x.shape[:2]
        if not steps:
            raise RuntimeError(f"`input` must have at least one step, got shape {tuple(input.shape)}")
        rows, last = self._run(reshape(x, (steps * count, self.input_size)), states, (count,) * steps)
        y = reshape(rows, (steps, count, rows.shape[1]))
        y = y.swapaxes(0, 1) if self.batch_first else y
        if not is_batched:
            y, last = y.squeeze(axis), [s.squeeze(1) for s in last]
        return y, self._returned(last)

    def _forward_packed(self, input: PackedSequence, hx: Any) -> tuple:
        data, batch_sizes, order, back = input
        self._check_input(data, (2,))
        sizes = sizes_of(input)
        states = self._given(hx, sizes[0], "packed", 3)
        if order is not None and states is not None:
            states = [take(s, order, axis=1) for s in states]
        rows, last = self._run(data, states, sizes)
        if back is not None:
            last = [take(s, back, axis=1) for s in last]
        return PackedSequence(rows, batch_sizes, order, back), self._returned(last)

    def _run(self, x: Tensor, states: list[Tensor] | None, sizes: tuple[int, ...]) -> tuple[Tensor, list[Tensor]]:
        """Packed outputs of packed rows, and the last states, stacked."""
        widths = [self.proj_size or self.hidden_size, self.hidden_size][: len(self._states)]
        first = [zeros((sizes[0], n), dtype=x.dtype, device=x.device) for n in widths] if states is None else []
        directions, last = 1 + self.bidirectional, []
        for layer in range(self.num_layers):
            outputs = []
            for k in range(layer * directions, (layer + 1) * directions):
                weights = [None if name is None else getattr(self, name) for name in self._names[k]]
                begin = first if states is None else [s[k] for s in states]
                y, *end = self._operation(x, begin, weights, batch_sizes=sizes, reverse=k % directions == 1)
                outputs.append(y)
                last.append(end)
            x = concat(outputs, axis=1) if self.bidirectional else outputs[0]
            if self.dropout and self.training and layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout)
        return x, [stack(s, axis=0) if len(s) > 1 else s[0].unsqueeze(0) for s in zip(*last)]

    def _operation(self, x: Tensor, states: list[Tensor], weights: list, **static: Any) -> Any:
        nonlinearity = "tanh" if self.mode == "RNN_TANH" else "relu"
        return primitives.rnn(x, *states, *weights[:4], nonlinearity=nonlinearity, **static)

    # --- what is asked of the arguments -------------------------------------------------------------------------------
    def _check_input(self, x: Tensor, ndims: tuple[int, ...]) -> None:
        if check.tensor("input", x).ndim not in ndims:
            wanted = " or ".join(f"{n}-D" for n in ndims)
            raise ValueError(f"`input` of {type(self).__name__} must be {wanted}, got shape {tuple(x.shape)}")
        weight = getattr(self, "weight_ih_l0")  # noqa: B009 (set by name, which type checkers do not see)
        _check_dtype("input", x, weight)
        if x.shape[-1] != self.input_size:
            raise RuntimeError(f"`input` must have a last axis of input_size={self.input_size}, got {tuple(x.shape)}")

    def _given(self, hx: Any, count: int, kind: str, ndim: int) -> list[Tensor] | None:
        """The first states (layers · directions, N, ·) that are given, with N."""
        if hx is None:
            return None
        given = pair("LSTM", hx, IndexError) if len(self._states) == 2 else (hx,)
        found = []
        for name, s, width in zip(self._states, given, (self.proj_size or self.hidden_size, self.hidden_size)):
            if check.tensor(name, s).ndim != ndim:
                raise RuntimeError(f"`{name}` must be {ndim}-D for {kind} input, got shape {tuple(s.shape)}")
            s = s if ndim == 3 else s.unsqueeze(1)
            shape = self.num_layers * (1 + self.bidirectional), count, width
            if s.shape != shape:
                raise RuntimeError(f"`{name}` must have shape {shape}, got {tuple(s.shape)}")
            _check_dtype(name, s, getattr(self, "weight_ih_l0"))  # noqa: B009
            found.append(s)
        return found

    def _returned(self, last: list[Tensor]) -> Any:
        return last[0] if len(last) == 1 else tuple(last)

    def extra_repr(self) -> str:
        defaults = {
            "proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False,
        }  # fmt: skip
        told = [f"{name}={getattr(self, name)}" for name, value in defaults.items() if getattr(self, name) != value]
        return ", ".join([str(self.input_size), str(self.hidden_size), *told])


def _check_dtype(name: str, x: Tensor, weight: Tensor) -> None:
    try:
        check.same_dtype(name, x, "weight", weight)
    except TypeError as error:
        raise ValueError(*error.args) from None  # as PyTorch


def _check_sizes(input_size: int, hidden_size: int, num_layers: int, proj_size: int) -> None:
    sizes = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers, "proj_size": proj_size}
    for name, size in sizes.items():
        if not isinstance(size, int):
            raise TypeError(f"`{name}` must be an int, got {size!r}")
        if size < (name != "proj_size"):
            raise ValueError(f"`{name}` must be {'at least 0' if name == 'proj_size' else 'positive'}, got {size}")
    if proj_size >= hidden_size:
        raise ValueError(f"`proj_size` must be smaller than hidden_size={hidden_size}, got {proj_size}")


def _check_unprojected(proj_size: int) -> None:
    if proj_size:
        raise ValueError(f"`proj_size` must be 0 but for an LSTM, got {proj_size}")


def _check_choices(**choices: Any) -> None:
    for name, value in choices.items():
        if not isinstance(value, bool):
            raise TypeError(f"`{name}` must be True or False, got {value!r}")


def _check_dropout(dropout: Any, num_layers: int) -> None:
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout <= 1:
        raise ValueError(f"`dropout` must be a probability in [0, 1], got {dropout!r}")
    if dropout > 0 and num_layers == 1:
        warnings.warn(
            f"`dropout` acts between layers, so it needs num_layers > 1 to have an effect, got {dropout} with 1 layer",
            stacklevel=4,
        )


class RNN(RNNBase):
    """Simple recurrent layers, as `torch.nn.RNN`: h_t = f(W_ih x_t + b_ih + W_hh h_{t−1} + b_hh), f tanh or ReLU.

    Parameters are `weight_ih_l0` (hidden_size, input_size), `weight_hh_l0` (hidden_size, hidden_size), `bias_ih_l0` and
    `bias_hh_l0` (hidden_size), `…_l1` for the second layer, `…_l0_reverse` for the direction back in time. All
    start as U(−1/√hidden_size, 1/√hidden_size). Inputs and outputs: see `forward`.

    Parameters
    ----------
    input_size : int
        Length of the last axis of the input.
    hidden_size : int
        Length of the states.
    num_layers : int, default 1
        How many layers, each on the output of the one before.
    nonlinearity : {"tanh", "relu"}, default "tanh"
        The f of the formula.
    bias : bool, default True
        Whether there are biases.
    batch_first : bool, default False
        Whether input and output are (N, T, …); states are (…, N, hidden_size) all the same.
    dropout : float, default 0.0
        Probability that an element of the output of a layer is dropped, in training, but for the last layer.
    bidirectional : bool, default False
        Whether there is a second direction, which goes back in time.
    proj_size : int, default 0
        An LSTM's alone: anything but 0 is an error.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    TypeError
        If a size is no int, or a choice no bool.
    ValueError
        If a size is not positive, `dropout` outside [0, 1], `nonlinearity` another word, or there is a `proj_size`.

    Examples
    --------
    >>> from weft import layers as nn
    >>> output, h_n = nn.RNN(3, 4)(weft.ones((5, 2, 3)))
    >>> output.shape, h_n.shape
    ((5, 2, 4), (1, 2, 4))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        proj_size: int = 0,
        device: str | None = None,
        dtype: DType = None,
    ):
        check.one_of("nonlinearity", nonlinearity, ("tanh", "relu"))
        _check_unprojected(proj_size)
        self.nonlinearity = nonlinearity
        super().__init__(
            f"RNN_{nonlinearity.upper()}", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            device=device, dtype=dtype,
        )  # fmt: skip


class LSTM(RNNBase):
    """Long short-term memory, as `torch.nn.LSTM`.

    i, f, g, o = W_ih x_t + b_ih + W_hh h_{t−1} + b_hh, c_t = σ(f) c_{t−1} + σ(i) tanh(g), h_t = σ(o) tanh(c_t).

    Parameters are `weight_ih_l0` (4 hidden_size, input_size), `weight_hh_l0` (4 hidden_size, hidden_size), `bias_ih_l0` and
    `bias_hh_l0` (4 hidden_size), `…_l1` for the second layer, `…_l0_reverse` for the direction back in time. All start as
    U(−1/√hidden_size, 1/√hidden_size), with no bias towards remembering. With `proj_size` P, h_t = W_hr (σ(o) tanh(c_t)) with
    `weight_hr_l0` (P, hidden_size), and the h that comes back, and goes to the next layer, has length P. Inputs and
    outputs: see `forward`; `hx` and what is returned are pairs, (h, c).

    Parameters
    ----------
    input_size : int
        Length of the last axis of the input.
    hidden_size : int
        Length of the cell states.
    num_layers : int, default 1
        How many layers, each on the output of the one before.
    bias : bool, default True
        Whether there are biases.
    batch_first : bool, default False
        Whether input and output are (N, T, …); states are (…, N, hidden_size) all the same.
    dropout : float, default 0.0
        Probability that an element of the output of a layer is dropped, in training, but for the last layer.
    bidirectional : bool, default False
        Whether there is a second direction, which goes back in time.
    proj_size : int, default 0
        P, less than hidden_size; 0 projects nothing.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    TypeError
        If a size is no int, or a choice no bool.
    ValueError
        If a size is not positive, `proj_size` not less than `hidden_size`, or `dropout` outside [0, 1].

    References
    ----------
    .. [1] Hochreiter & Schmidhuber, "Long Short-Term Memory" (1997).
    .. [2] Gers et al., "Learning to Forget" (2000).
    .. [3] Sak et al., "Long Short-Term Memory Recurrent Neural Network Architectures" (2014): the projection.

    Examples
    --------
    >>> from weft import layers as nn
    >>> lstm = nn.LSTM(3, 4, num_layers=2, bidirectional=True)
    >>> output, (h_n, c_n) = lstm(weft.ones((5, 2, 3)))
    >>> output.shape, h_n.shape, c_n.shape
    ((5, 2, 8), (4, 2, 4), (4, 2, 4))

    A long sequence in pieces, with gradients that end where a piece begins:

    >>> state = None
    >>> for piece in weft.ones((6, 2, 3)).reshape(2, 3, 2, 3):
    ...     output, state = lstm(piece, state)
    ...     output.sum().backward()
    ...     state = tuple(s.detach() for s in state)
    """

    _states = ("hx[0]", "hx[1]")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        device: str | None = None,
        dtype: DType = None,
    ):
        super().__init__(
            "LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size,
            device=device, dtype=dtype,
        )  # fmt: skip

    def _operation(self, x: Tensor, states: list[Tensor], weights: list, **static: Any) -> Any:
        return primitives.lstm(x, *states, *weights, **static)


class GRU(RNNBase):
    """Gated recurrent units, as `torch.nn.GRU`.

    r, z = σ(W_ih x_t + b_ih + W_hh h_{t−1} + b_hh), n = tanh(W_in x_t + b_in + r (W_hn h_{t−1} + b_hn)),
    h_t = (1 − z) n + z h_{t−1}.

    Parameters are `weight_ih_l0` (3 hidden_size, input_size), `weight_hh_l0` (3 hidden_size, hidden_size), `bias_ih_l0` and
    `bias_hh_l0` (3 hidden_size), in the order r, z, n; `…_l1` for the second layer, `…_l0_reverse` for the direction back
    in time. All start as U(−1/√hidden_size, 1/√hidden_size). Inputs and outputs: see `forward`.

    Parameters
    ----------
    input_size : int
        Length of the last axis of the input.
    hidden_size : int
        Length of the states.
    num_layers : int, default 1
        How many layers, each on the output of the one before.
    bias : bool, default True
        Whether there are biases.
    batch_first : bool, default False
        Whether input and output are (N, T, …); states are (…, N, hidden_size) all the same.
    dropout : float, default 0.0
        Probability that an element of the output of a layer is dropped, in training, but for the last layer.
    bidirectional : bool, default False
        Whether there is a second direction, which goes back in time.
    proj_size : int, default 0
        An LSTM's alone: anything but 0 is an error.
    reset_after : bool, default True
        Whether r multiplies the product, as above. False is the original form, n = tanh(W_in x_t + b_in + W_hn (r h_{t−1}) +
        b_hn), which PyTorch does not have.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    TypeError
        If a size is no int, or a choice no bool.
    ValueError
        If a size is not positive, `dropout` outside [0, 1], or there is a `proj_size`.

    References
    ----------
    .. [1] Cho et al., "Learning Phrase Representations using RNN Encoder–Decoder" (2014).

    Examples
    --------
    >>> from weft import layers as nn
    >>> output, h_n = nn.GRU(3, 4, batch_first=True)(weft.ones((2, 5, 3)))
    >>> output.shape, h_n.shape
    ((2, 5, 4), (1, 2, 4))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        proj_size: int = 0,
        reset_after: bool = True,
        device: str | None = None,
        dtype: DType = None,
    ):
        _check_choices(reset_after=reset_after)
        _check_unprojected(proj_size)
        self.reset_after = reset_after
        super().__init__(
            "GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            device=device, dtype=dtype,
        )  # fmt: skip

    def _operation(self, x: Tensor, states: list[Tensor], weights: list, **static: Any) -> Any:
        return primitives.gru(x, *states, *weights[:4], reset_after=self.reset_after, **static)

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.reset_after else ", reset_after=False")
