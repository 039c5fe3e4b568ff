"""The loss in a plane through the weights of a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..backend.array.creation import asarray
from ..backend.device.devices import waiting_is_meant
from ..backend.device.options import integer, number
from ..backend.tape.autograd import no_grad
from ..backend.tape.sharing import changed
from ..backend.tape.tensor import Tensor
from ..layers.module import Module
from .checkpoint import FilePath
from .pictures import picture
from .plots import of_type
from .shown import Picture

__all__ = ["LossLandscape", "loss_landscape", "plot_landscape"]


class LossLandscape(NamedTuple):
    """What `loss_landscape` returns.

    Parameters
    ----------
    steps : ndarray
        (S,) how far along each direction, from −span to span.
    losses : ndarray
        (S, S) losses[i, j] at w + steps[j] · d₁ + steps[i] · d₂.

    Examples
    --------
    >>> LossLandscape(np.array([0.0]), np.array([[0.5]])).losses[0, 0].item()
    0.5
    """

    steps: np.ndarray
    losses: np.ndarray


def loss_landscape(
    model: Module, loss: Callable[[], Tensor], *, span: float = 1.0, steps: int = 21, seed: int = 0
) -> LossLandscape:
    """Look at the loss along two random directions, which are as long as the weights, filter by filter.

        L(a, b) = loss(w + a d₁ + b d₂),   dₖ ← dₖ / ‖dₖ‖ · ‖wₖ‖   for each filter (row of a matrix) k

    So models whose weights have different lengths but compute the same can be compared. Biases and the weights of
    normalisation (parameters of less than two axes) stay where they are.

    Parameters
    ----------
    model : Module
        In evaluation mode meanwhile, and left as it was.
    loss : callable
        Gives the loss, a scalar Tensor: `lambda: F.cross_entropy(model(x), y)`.
    span : float, default 1.0
        How far from the weights, in their own length.
    steps : int, default 21
        Points along each axis, an odd number, so that the weights themselves are in the middle.
    seed : int, default 0
        Of the directions, which are the same on every device.

    Returns
    -------
    LossLandscape
        Steps and losses.

    Raises
    ------
    ValueError
        If `span` is not positive, `steps` not odd and at least 3, or the model has no parameter of two axes or more.

    References
    ----------
    Li, Xu, Taylor, Studer and Goldstein, "Visualizing the loss landscape of neural nets", 2018.

    Examples
    --------
    >>> model = nn.Linear(1, 1, bias=False)
    >>> model.weight.data[...] = 2.0  # d = ±2, whatever is drawn
    >>> loss_landscape(model, lambda: (model(weft.ones((1, 1))) - 2).square().sum(), steps=3).losses[1].tolist()
    [4.0, 0.0, 4.0]
    """
    number("span", span, above=0)
    integer("steps", steps, 3)
    if not steps % 2:
        raise ValueError(f"`steps` must be odd, so that the weights are in the middle, got {steps}; try {steps + 1}")
    moved = [p for p in model.parameters() if p.ndim > 1]
    if not moved:
        raise ValueError("`model` must have parameters of two axes or more, got none")
    rng = np.random.default_rng(seed)
    start = [p.data + 0 for p in moved]
    first, second = ([_direction(rng, p) for p in moved] for _ in range(2))
    at = np.linspace(-span, span, steps)
    at[steps // 2] = 0
    losses = np.empty((steps, steps))
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with no_grad(), waiting_is_meant():
            for i, b in enumerate(at.tolist()):
                for j, a in enumerate(at.tolist()):
                    for p, w, d, e in zip(moved, start, first, second):
                        _write(p, w + a * d + b * e)
                    losses[i, j] = float(loss().item())
    finally:
        for p, w in zip(moved, start):
            _write(p, w)
        for module, mode in modes:
            module.training = mode
    return LossLandscape(at, losses)


def _write(p: Tensor, raw: Any) -> None:
    p.data[...] = raw
    changed(p.data)


def _direction(rng: np.random.Generator, p: Tensor) -> Any:
    """A normal random direction whose part in each filter is as long as the filter."""
    w = p.detach().cpu().numpy().astype(np.float64)
    d = rng.standard_normal(w.shape)
    axes = tuple(range(1, w.ndim))
    lengths = np.sqrt([np.sum(a * a, axis=axes, keepdims=True) for a in (w, d)])
    return asarray(d * (lengths[0] / lengths[1]), dtype=p.dtype, device=p.device).data


def plot_landscape(landscape: LossLandscape, path: FilePath, *, title: str = "") -> Picture:
    """Write a loss landscape to a PNG file: lines of equal loss, at equal distances of its logarithm if it spans much.

    Parameters
    ----------
    landscape : LossLandscape
        From `loss_landscape`.
    path : str or path
        The file.
    title : str, default ""
        Stands above the map.

    Returns
    -------
    Picture
        The file.

    Raises
    ------
    ValueError
        If no loss is finite.
    ImportError
        If matplotlib is missing.
    WriteError
        If the file cannot be written.

    Examples
    --------
    >>> plot_landscape(LossLandscape(np.arange(3.0), np.full((3, 3), np.nan)), "landscape.png")
    Traceback (most recent call last):
        ...
    ValueError: `landscape` must have finite losses, got none; a smaller `span` may help
    """
    of_type("landscape", landscape, LossLandscape)
    losses = np.asarray(landscape.losses, dtype=float)
    finite = losses[np.isfinite(losses)]
    if not finite.size:
        raise ValueError("`landscape` must have finite losses, got none; a smaller `span` may help")
    low, high = float(finite.min()), float(finite.max())
    is_wide = low > 0 and high > 8 * low
    levels = np.geomspace(low, high, 21) if is_wide else np.linspace(low, high or 1.0, 21)
    with picture(path, 1, size=(5.2, 4.2), title=title) as (axis,):
        from matplotlib.colors import LogNorm, Normalize

        norm = LogNorm(low, high) if is_wide else Normalize(low, high)
        shown = np.ma.masked_invalid(losses)
        if high > low:
            filled = axis.contourf(landscape.steps, landscape.steps, shown, levels, cmap="viridis", norm=norm)
            axis.contour(landscape.steps, landscape.steps, shown, levels, colors="white", linewidths=0.4)
        else:
            filled = axis.pcolormesh(landscape.steps, landscape.steps, shown, cmap="viridis")
        ticks = levels[::4]
        bar = axis.figure.colorbar(filled, ax=axis, label="loss", ticks=ticks)
        bar.ax.set_yticklabels([f"{v:.2g}" for v in ticks])
        middle = losses[len(losses) // 2, len(losses) // 2]
        axis.plot(0, 0, "P", color="white", markeredgecolor="black", markersize=8, label=f"the model: {middle:.3g}")
        axis.set(xlabel="first direction (lengths of the weights)", ylabel="second direction", aspect="equal")
        axis.grid(False)
        axis.legend(fontsize=7, loc="upper right")
    return Picture(path)
