"""Pictures of layers: their statistics over depth, the filters of a convolution, what it makes of an image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend.device.options import integer
from ..backend.tape.autograd import no_grad
from ..backend.tape.tensor import Tensor
from ..layers.module import Module
from .checkpoint import FilePath
from .layer_statistics import LayerStatistics
from .pictures import picture
from .plots import numbers, of_type
from .shown import Picture

__all__ = ["plot_feature_maps", "plot_filters", "plot_layers"]

MOMENTS, NAMES = 5, 24  # at most: curves in a panel, names below it


def plot_layers(statistics: LayerStatistics, path: FilePath, *, title: str = "") -> Picture:
    """Write statistics over the depth of a model to a PNG file, at up to five moments from the first to the last.

    Standard deviations of the outputs, dead units of the layers without weights, and gradients √(mean g²) on a
    logarithmic scale, where one of 0 is left out. Below stands `LayerStatistics.reading`.

    Parameters
    ----------
    statistics : LayerStatistics
        After training with this callback.
    path : str or path
        The file.
    title : str, default ""
        Stands above the curves.

    Returns
    -------
    Picture
        The file.

    Raises
    ------
    ValueError
        If nothing was recorded.
    ImportError
        If matplotlib is missing.
    WriteError
        If the file cannot be written.

    Examples
    --------
    >>> plot_layers(LayerStatistics(), "layers.png")
    Traceback (most recent call last):
        ...
    ValueError: `statistics` must have at least one record, got none: train with this callback first
    """
    of_type("statistics", statistics, LayerStatistics)
    if not statistics.records:
        raise ValueError("`statistics` must have at least one record, got none: train with this callback first")
    values = np.array(statistics.records)  # (moments, layers, fields)
    moments = np.unique(np.linspace(0, len(values) - 1, min(MOMENTS, len(values))).astype(int))
    everywhere = np.ones(len(statistics.names), dtype=bool)
    weighted = np.isfinite(values[-1, :, 4])
    gradients = np.where(values[:, :, 3] > 0, values[:, :, 3], np.nan)
    panels = [
        ("outputs: standard deviation", values[:, :, 1], everywhere, "linear"),
        ("dead units (%)", 100 * values[:, :, 2], everywhere if weighted.all() else ~weighted, "linear"),
        ("gradients of the weights: √(mean g²)", gradients, weighted, "log"),
    ]
    with picture(path, 3, size=(11, 4.4), title=title) as axes:
        for axis, (label, data, shown, scale) in zip(axes, panels):
            _draw_depth(axis, data[moments][:, shown], [statistics.steps[i] for i in moments])
            axis.set_title(label, loc="left", fontsize=9)
            axis.set(xlabel="layer, from input to output", yscale=scale)
            names = [name for name, is_shown in zip(statistics.names, shown) if is_shown]
            every = max(1, -(-len(names) // NAMES))
            axis.set_xticks(range(0, len(names), every), names[::every], rotation=90, fontsize=7)
        axes[1].set_ylim(bottom=0)
        axes[0].figure.supxlabel(statistics.reading(), x=0.012, ha="left", fontsize=8)
        axes[0].legend(title="updates before", frameon=False, fontsize=7, title_fontsize=7)
    return Picture(path)


def _draw_depth(axis: Any, curves: np.ndarray, steps: list[int]) -> None:
    from matplotlib import colormaps

    for i, (curve, step) in enumerate(zip(curves, steps)):
        colour = colormaps["viridis_r"](0.15 + 0.85 * (i + 1) / len(steps))
        axis.plot(curve, "o-", color=colour, markersize=3.5, label=f"{step:,}")


def plot_filters(weight: Any, path: FilePath, *, limit: int = 64, title: str = "") -> Picture:
    """Write the filters of a convolution to a PNG file.

    Those of three input channels are shown in colours, each from its least to its largest weight. Otherwise every kernel
    (o, c) is an image of its own, on one scale for all: blue below 0, white at 0, red above.

    Parameters
    ----------
    weight : array_like or Module
        (O, C, H, W), or a layer whose `weight` it is.
    path : str or path
        The file.
    limit : int, default 64
        How many images at most; the title tells how many there are.
    title : str, default ""
        Stands above the images.

    Returns
    -------
    Picture
        The file.

    Raises
    ------
    ValueError
        If the weight has another number of axes.
    ImportError
        If matplotlib is missing.
    WriteError
        If the file cannot be written.

    Examples
    --------
    >>> plot_filters(nn.Linear(2, 3), "filters.png")
    Traceback (most recent call last):
        ...
    ValueError: `weight` must be (O, C, H, W), as that of a Conv2d, got shape (3, 2)
    >>> plot_filters(nn.Conv2d(1, 8, 5), "filters.png")  # doctest: +SKIP
    """
    values = numbers("weight", getattr(weight, "weight", weight) if isinstance(weight, Module) else weight)
    if values.ndim != 4:
        raise ValueError(f"`weight` must be (O, C, H, W), as that of a Conv2d, got shape {values.shape}")
    if values.shape[1] == 3:
        low, high = values.min(axis=(1, 2, 3), keepdims=True), values.max(axis=(1, 2, 3), keepdims=True)
        images = ((values - low) / np.maximum(high - low, np.finfo(values.dtype).tiny)).transpose(0, 2, 3, 1)
        _draw_images(images, path, limit, title, None)
    else:
        bound = float(np.abs(values).max(initial=0)) or 1.0
        _draw_images(values.reshape(-1, *values.shape[2:]), path, limit, title, ("weight", "RdBu_r", -bound, bound))
    return Picture(path)


def plot_feature_maps(
    model: Module, x: Any, path: FilePath, *, layer: str, limit: int = 64, title: str = ""
) -> Picture:
    """Write what a layer makes of one image to a PNG file: an image for each channel, on one scale.

    Parameters
    ----------
    model : Module
        Run once in evaluation mode, and left as it was.
    x : array_like
        (C, H, W) or (1, C, H, W), the image as the model takes it.
    path : str or path
        The file.
    layer : str
        Name of the layer, as `named_modules` gives it.
    limit : int, default 64
        How many images at most; the title tells how many there are.
    title : str, default ""
        Stands above the images.

    Returns
    -------
    Picture
        The file.

    Raises
    ------
    ValueError
        If there is no such layer, it does not run, or its output has no channels of images.
    ImportError
        If matplotlib is missing.
    WriteError
        If the file cannot be written.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
    >>> plot_feature_maps(model, weft.ones((1, 8, 8)), "maps.png", layer="2")
    Traceback (most recent call last):
        ...
    ValueError: `layer` must be one of the model's, '0', '1', got '2'
    >>> plot_feature_maps(model, weft.ones((1, 8, 8)), "maps.png", layer="1")  # doctest: +SKIP
    """
    of_type("model", model, Module)
    layers = dict(model.named_modules())
    if layer not in layers:
        raise ValueError(
            f"`layer` must be one of the model's, {', '.join(map(repr, filter(None, layers)))}, got {layer!r}"
        )
    found: list[Any] = []
    first = next(model.parameters(), None)
    images = numbers("x", x)
    given = Tensor(images[None] if images.ndim == 3 else images)
    if first is not None:
        given = given.to(first.device, first.dtype)
    modes = [(module, module.training) for module in model.modules()]
    with layers[layer].register_forward_hook(lambda module, args, output: found.append(output)), no_grad():
        model.eval()
        try:
            model(given)
        finally:
            for module, mode in modes:
                module.training = mode
    maps = numbers("x", found[-1]) if found and isinstance(found[-1], Tensor) else None
    if maps is None or maps.ndim != 4 or len(maps) != 1:
        got = "and it did not run" if maps is None else f"got shape {maps.shape}"
        raise ValueError(f"the output of `layer` {layer!r} must be (1, C, H, W), {got}")
    low, high = float(maps.min(initial=0)), float(maps.max(initial=0))
    bound = max(-low, high) or 1.0
    scale = ("activation", "RdBu_r", -bound, bound) if low < 0 else ("activation", "viridis", 0.0, bound)
    _draw_images(maps[0], path, limit, title, scale)
    return Picture(path)


def _draw_images(
    images: np.ndarray, path: FilePath, limit: int, title: str, scale: tuple[str, str, float, float] | None
) -> None:
    """A grid, numbered in the order of the channels; with a bar that says what the colours mean, if there is a scale."""
    integer("limit", limit, 1)
    shown = images[:limit]
    columns = max(1, min(len(shown), math.ceil(math.sqrt(1.6 * len(shown)))))
    rows = max(1, -(-len(shown) // columns))
    if len(shown) < len(images):
        title = f"{title} (the first {len(shown)} of {len(images)})".strip()
    with picture(path, 1, size=(max(3.0, 0.62 * columns + 1.2), 0.62 * rows + 0.7), title=title) as (axis,):
        axis.set_axis_off()
        drawn: Any = None
        for i, image in enumerate(shown):
            box = axis.inset_axes((i % columns / columns, 1 - (i // columns + 1) / rows, 0.94 / columns, 0.94 / rows))
            options = {} if scale is None else {"cmap": scale[1], "vmin": scale[2], "vmax": scale[3]}
            drawn = box.imshow(image, **options)
            box.set(xticks=[], yticks=[])
            box.grid(False)
            box.spines[:].set_visible(False)
        if scale is not None and drawn is not None:
            axis.figure.colorbar(drawn, ax=axis, label=scale[0], shrink=0.9, fraction=0.05)
