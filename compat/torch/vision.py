"""What PyTorch's programs take from torchvision, and grids of images."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.tape.tensor import Tensor, wrap
from . import datasets, transforms, transforms_functional
from .models import MODELS

__all__ = ["SUBMODULES", "make_grid", "save_image"]


def make_grid(
    tensor: Any,
    nrow: int = 8,
    padding: int = 2,
    normalize: bool = False,
    value_range: tuple[float, float] | None = None,
    scale_each: bool = False,
    pad_value: float = 0.0,
) -> Tensor:
    """Images (N, C, H, W) beside and below each other, as torchvision's."""
    images = tensor if not isinstance(tensor, Tensor) else tensor if tensor.ndim == 4 else tensor[None]
    raw = np.stack([t.detach().cpu().numpy().reshape(-1, *t.shape[-2:]) for t in images])
    raw = np.repeat(raw, 3, axis=1) if raw.shape[1] == 1 else raw
    if normalize:
        parts = raw if scale_each else [raw]
        limits = value_range or (None, None)
        scaled = [_scaled(part, *limits) for part in parts]
        raw = np.stack(scaled) if scale_each else scaled[0]
    n, c, h, w = raw.shape
    if n == 1:
        return wrap(raw[0], "cpu")
    across = min(nrow, n)
    down = -(-n // across)
    grid = np.full((c, (h + padding) * down + padding, (w + padding) * across + padding), pad_value, raw.dtype)
    for k, image in enumerate(raw):
        y, x = (k // across) * (h + padding) + padding, (k % across) * (w + padding) + padding
        grid[:, y : y + h, x : x + w] = image
    return wrap(grid, "cpu")


def _scaled(raw: np.ndarray, low: float | None, high: float | None) -> np.ndarray:
    bottom, top = (raw.min() if low is None else low), (raw.max() if high is None else high)
    return (np.clip(raw, bottom, top) - bottom) / max(top - bottom, 1e-5)


def save_image(tensor: Any, fp: Any, format: str | None = None, **options: Any) -> None:
    """A grid of images as a file."""
    from PIL import Image

    pixels = np.clip(make_grid(tensor, **options).numpy() * 255 + 0.5, 0, 255).astype(np.uint8).transpose(1, 2, 0)
    Image.fromarray(pixels).save(fp, format=format)


SUBMODULES: dict[str, Any] = {
    "": {},
    "datasets": {"__from__": datasets},
    **{name: {"__from__": transforms} for name in ("transforms", "transforms.transforms", "transforms.v2")},
    "utils": {"make_grid": make_grid, "save_image": save_image},
    "models": MODELS,
    "models.resnet": MODELS,
    "models.vgg": MODELS,
    "transforms.functional": {"__from__": transforms_functional},
}
