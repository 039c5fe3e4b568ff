"""Regions of images: which boxes are kept, and what is under them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import weft

from .elementwise import Attributes
from .shapes import ints

__all__ = ["HOST", "OPERATORS"]


def _corners(boxes: np.ndarray, is_centre: bool) -> np.ndarray:
    """(y₁, x₁, y₂, x₂), in order, of boxes (…, 4)."""
    if is_centre:
        x, y, w, h = np.moveaxis(boxes, -1, 0)
        return np.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], axis=-1)
    a, b = boxes[..., :2], boxes[..., 2:]
    return np.concatenate([np.minimum(a, b), np.maximum(a, b)], axis=-1)


def _overlap(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    both = np.prod(np.maximum(high - low, 0), axis=1)
    area = np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - both
    return np.divide(both, area, out=np.zeros_like(both), where=area > 0)


def non_max_suppression(
    attributes: Attributes, boxes: Any, scores: Any, most: Any = None, overlap: Any = None, least: Any = None
) -> Any:
    """(count, 3): image, class and box, the best of each class first; what overlaps a better one too much is left out."""
    first = lambda x, default: default if x is None else float(np.asarray(x).reshape(-1)[0])
    limit, most_overlap = int(first(most, 0)), first(overlap, 0.0)
    corners, found = _corners(np.asarray(boxes, float), bool(attributes.get("center_point_box", 0))), []
    for image, classes in enumerate(np.asarray(scores)):
        for c, of in enumerate(classes):
            left = np.argsort(-of, kind="stable")
            left = left if least is None else left[of[left] > first(least, 0.0)]
            for _ in range(limit):
                if not left.size:
                    break
                best, left = left[0], left[1:]
                found.append((image, c, best))
                left = left[_overlap(corners[image, best], corners[image, left]) <= most_overlap]
    return np.array(found, np.int64).reshape(-1, 3)


def roi_align(attributes: Attributes, x: Any, rois: Any, images: Any) -> Any:
    """x (N, C, H, W) under boxes (R, 4) as (R, C, Ho, Wo): the mean, or the maximum, of points between pixels."""
    out = attributes.get("output_height", 1), attributes.get("output_width", 1)
    scale, ratio = attributes.get("spatial_scale", 1.0), attributes.get("sampling_ratio", 0)
    is_half = (
        attributes.get("coordinate_transformation_mode", b"half_pixel") == b"half_pixel" and attributes["opset"] >= 16
    )
    shift, mode = 0.5 if is_half else 0.0, attributes.get("mode", b"avg")
    found = []
    for box, image in zip(np.asarray(rois, float), ints(images)):
        x1, y1, x2, y2 = box * scale - shift
        sides = np.array([y2 - y1, x2 - x1])
        sides = sides if is_half else np.maximum(sides, 1.0)
        counts = [ratio or int(np.ceil(side / n)) for side, n in zip(sides, out)]
        points = [
            start + side / n * (np.arange(n)[:, None] + (np.arange(k) + 0.5) / k)
            for start, side, n, k in zip((y1, x1), sides, out, counts)
        ]
        rows, columns = (p.reshape(-1) for p in points)
        values = _between(x[image], rows, columns, mode == b"max")
        cells = weft.reshape(values, (x.shape[1], out[0], counts[0], out[1], counts[1]))
        found.append(weft.max(cells, axis=(2, 4)) if mode == b"max" else weft.mean(cells, axis=(2, 4)))
    return weft.stack(found, axis=0) if found else weft.zeros((0, x.shape[1], *out), dtype=x.dtype, device=x.device)


def _between(image: Any, ys: np.ndarray, xs: np.ndarray, is_max: bool) -> Any:
    """Bilinear in image (C, H, W) at a grid of points; beyond the pixels around its edge, 0. With `is_max`, the largest term."""
    axes = []
    for at, n in ((ys, image.shape[1]), (xs, image.shape[2])):
        inside = (at >= -1) & (at <= n)
        at = np.clip(at, 0, n - 1)
        low = np.minimum(at.astype(int), max(n - 2, 0))
        part = at - low
        axes.append([(low, (1 - part) * inside), (np.minimum(low + 1, n - 1), part * inside)])
    terms = []
    for rows, by_row in axes[0]:
        for columns, by_column in axes[1]:
            taken = weft.take(weft.take(image, weft.asarray(rows, device=image.device), axis=1),
                              weft.asarray(columns, device=image.device), axis=2)  # fmt: skip
            terms.append(taken * weft.asarray(np.outer(by_row, by_column), dtype=image.dtype, device=image.device))
    if is_max:
        return weft.maximum(weft.maximum(terms[0], terms[1]), weft.maximum(terms[2], terms[3]))
    return terms[0] + terms[1] + terms[2] + terms[3]


OPERATORS: dict[str, Callable[..., Any]] = {"NonMaxSuppression": non_max_suppression, "RoiAlign": roi_align}
HOST: dict[str, tuple[int, ...]] = {"NonMaxSuppression": (0, 1, 2, 3, 4), "RoiAlign": (1, 2)}
