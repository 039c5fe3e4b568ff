"""Forecasters: a window of the last values of a series → the next ones, all at once."""

from __future__ import annotations

from typing import Any

from ..backend.array.manipulation import concat
from ..backend.device.options import integer
from ..backend.tape.tensor import DType, Tensor
from . import init
from .dropout import Dropout
from .functional import _check as check
from .linear import Linear
from .module import Module
from .recurrent import GRU, LSTM

__all__ = ["Forecaster", "forecaster_shapes"]

KINDS = ("gru", "linear", "lstm")
DIFFERENCES = ("last", "none", "season")


class Forecaster(Module):
    r"""Direct forecast of the next H values from the last W: ŷ_h = b_h + (V f(z, p_W) + c)_h for h = 1 … H.

    Of the window x_1 … x_W the network sees differences z, and the forecast is added to what they are differences from:

    - "none": z_t = x_t and b_h = 0, for a series that comes back to its mean;
    - "last": z_t = x_t − x_W and b_h = x_W, the naive forecast, for a series that wanders;
    - "season": z_t = x_t − x_{t−m} and b_h = x_{W+h−m⌈h/m⌉}, the seasonal naive forecast, for a season of m values.

    f(z, p_W) is the last state of an LSTM or a GRU that reads (z_t, p_t), p being what else is known of each time; for "linear" z
    as it is. p_W stands beside it. V is 0 at first: training begins at b, and learns what to add to it.

    Parameters
    ----------
    window : int
        W; more than `season` where differences are seasonal.
    horizon : int
        H.
    kind : {"gru", "lstm", "linear"}, default "gru"
        What f is.
    difference : {"last", "none", "season"}, default "last"
        What z and b are.
    season : int, default 1
        m, for "season".
    features : int, default 0
        Length of p.
    hidden_size, num_layers : int, default 32, 1
        Of the recurrent layers.
    dropout : float, default 0.0
        Probability that an element of f is dropped, in training.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    ValueError
        If an option is none of these, or the window is no longer than the season.

    Notes
    -----
    Input (N, W, 1 + features), the values first; output (N, H). "linear" after "last" is NLinear.

    References
    ----------
    Zeng et al., "Are Transformers Effective for Time Series Forecasting?" (2023).

    Examples
    --------
    >>> from weft.layers import models
    >>> model = models.Forecaster(4, 3, difference="season", season=2)
    >>> model(weft.tensor([[[5.0], [6.0], [7.0], [8.0]]])).detach()  # untrained: the last season, again and again
    tensor([[7., 8., 7.]])
    """

    def __init__(
        self,
        window: int,
        horizon: int,
        kind: str = "gru",
        difference: str = "last",
        season: int = 1,
        features: int = 0,
        hidden_size: int = 32,
        num_layers: int = 1,
        dropout: float = 0.0,
        *,
        device: str | None = None,
        dtype: DType = None,
    ):
        check.one_of("kind", kind, KINDS)
        check.one_of("difference", difference, DIFFERENCES)
        sizes = {"window": window, "horizon": horizon, "season": season, "hidden_size": hidden_size}
        for name, size in (sizes | {"num_layers": num_layers}).items():
            integer(name, size, 1)
        integer("features", features, 0)
        if difference == "season" and window <= season:
            raise ValueError(f"`window` must be longer than `season`, {season}, for seasonal differences, got {window}")
        self.window, self.horizon, self.kind, self.difference = window, horizon, kind, difference
        self.season, self.features = season, features
        seen = window - season if difference == "season" else window
        self.recurrent: Module | None = None
        if kind != "linear":
            layer = LSTM if kind == "lstm" else GRU
            self.recurrent = layer(1 + features, hidden_size, num_layers, batch_first=True, device=device, dtype=dtype)
        self.dropout = Dropout(dropout)
        self.head = Linear((seen if kind == "linear" else hidden_size) + features, horizon, device=device, dtype=dtype)
        for parameter in self.head.parameters():
            init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 3 or x.shape[1:] != (self.window, 1 + self.features):
            wanted = (self.window, 1 + self.features)
            raise ValueError(
                f"`x` must have shape (N, window, 1 + features) = (N, {wanted[0]}, {wanted[1]}), got {tuple(x.shape)}"
            )
        values, known = x[:, :, 0], x[:, -1, 1:]
        if self.difference == "season":
            last = values[:, -self.season :]
            base: Any = concat([last] * -(-self.horizon // self.season), axis=1)[:, : self.horizon]
            seen, times = values[:, self.season :] - values[:, : -self.season], x[:, self.season :, 1:]
        else:
            base = values[:, -1:] if self.difference == "last" else 0.0
            seen, times = values - base, x[:, :, 1:]
        if self.recurrent is not None:
            states, _ = self.recurrent(concat([seen[:, :, None], times], axis=2))
            seen = states[:, -1]
        return base + self.head(concat([self.dropout(seen), known], axis=1))

    def extra_repr(self) -> str:
        """The options."""
        return f"window={self.window}, horizon={self.horizon}, kind={self.kind!r}, difference={self.difference!r}"


def forecaster_shapes(
    window: int,
    horizon: int,
    kind: str = "gru",
    difference: str = "last",
    season: int = 1,
    features: int = 0,
    hidden_size: int = 32,
    num_layers: int = 1,
    dropout: float = 0.0,
    *,
    dtype: Any = None,
) -> dict[str, tuple[int, ...]]:
    """The shapes of a `Forecaster`'s weights that its arguments decide, by parameter."""
    gates = {"gru": 3, "lstm": 4}.get(kind)
    if gates is None:
        seen = window - season if difference == "season" else window
        return {"head.weight": (horizon, seen + features)}
    layers = range(min(num_layers, 1000)), [num_layers - 1]
    recurrent: dict[str, tuple[int, ...]] = {}
    recurrent |= {f"recurrent.weight_hh_l{i}": (gates * hidden_size, hidden_size) for part in layers for i in part}
    first = {"recurrent.weight_ih_l0": (gates * hidden_size, 1 + features)}
    return recurrent | first | {"head.weight": (horizon, hidden_size + features)}
