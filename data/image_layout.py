"""Where the channels of images are: recognised by their number, or told; never guessed."""

from __future__ import annotations

import numpy as np

from .files import FilePath, fault

__all__: list[str] = []

LAYOUTS = ("NCHW", "NHWC", "NHW")
CHANNELS = (1, 3, 4)  # grey, red-green-blue, and with transparency


def channels_first(x: np.ndarray, layout: str | None, source: FilePath) -> np.ndarray:
    """Images as (N, C, H, W): turned where the layout, or one axis of 1, 3 or 4 channels, tells that they are (N, H, W, C).

    Bytes (N, H, W) are grey images. What else has no four axes stays, unless a layout is named.
    """
    if layout is None:
        layout = _recognised(x, source)
    if layout is None:
        return x
    if layout not in LAYOUTS:
        raise ValueError(f"`layout` must be one of {', '.join(LAYOUTS)}, got {layout!r}")
    if x.ndim != len(layout):
        raise fault(source, f"images {_axes(layout)}", f"shape {x.shape}", "name another layout, or none")
    if layout == "NHW":
        return x[:, None]
    return np.ascontiguousarray(np.moveaxis(x, -1, 1)) if layout == "NHWC" else x


def _recognised(x: np.ndarray, source: FilePath) -> str | None:
    if x.ndim == 3 and x.dtype == np.uint8:
        return "NHW"
    if x.ndim != 4:
        return None
    first, last = x.shape[1] in CHANNELS, x.shape[3] in CHANNELS
    if first == last:
        expected = "images with 1, 3 or 4 channels either in the second or in the last axis"
        fix = "say which it is: layout='NCHW' or 'NHWC' (weft train --layout NCHW)"
        raise fault(source, expected, f"shape {x.shape}", fix)
    return "NCHW" if first else "NHWC"


def _axes(layout: str) -> str:
    return f"({', '.join(layout)})"
