"""Operators that move elements, and make them of shapes. What says how is read on the host."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import weft

from ....layers import functional as F
from .elementwise import DTYPES, Attributes

__all__ = ["HOST", "OPERATORS"]


def ints(x: Any) -> list[int]:
    """A list of integers."""
    return [int(n) for n in np.asarray(x).reshape(-1)]


def axes_of(attributes: Attributes, given: Any, ndim: int) -> list[int]:
    """Axes, which are an attribute in old versions and an input in new ones, counted from the front; all if none are given."""
    found = attributes.get("axes", given)
    return list(range(ndim)) if found is None else [a % ndim if ndim else a for a in ints(found)]


def reshape(attributes: Attributes, x: Any, shape: Any = None) -> Any:
    """0 keeps a length, unless `allowzero`; −1 is what is left."""
    wanted = ints(attributes.get("shape", shape))
    if not attributes.get("allowzero", 0):
        wanted = [x.shape[i] if n == 0 else n for i, n in enumerate(wanted)]
    return weft.reshape(x, tuple(wanted))


def flatten(attributes: Attributes, x: Any) -> Any:
    """Two axes: all before `axis`, and the rest."""
    axis = attributes.get("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return weft.reshape(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


def transpose(attributes: Attributes, x: Any) -> Any:
    """Axes in the order `perm`, reversed by default."""
    return weft.permute_dims(x, tuple(attributes.get("perm", range(x.ndim)[::-1])))


def squeeze(attributes: Attributes, x: Any, axes: Any = None) -> Any:
    """Without axes of length 1: those named, or all."""
    given = attributes.get("axes", axes)
    gone = [i for i, n in enumerate(x.shape) if n == 1] if given is None else [a % x.ndim for a in ints(given)]
    return weft.reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in gone))


def unsqueeze(attributes: Attributes, x: Any, axes: Any = None) -> Any:
    """With axes of length 1 at those places of the result."""
    given = ints(attributes.get("axes", axes))
    ndim = x.ndim + len(given)
    places, lengths = {a % ndim for a in given}, iter(x.shape)
    return weft.reshape(x, tuple(1 if i in places else next(lengths) for i in range(ndim)))


def expand(_: Attributes, x: Any, shape: Any) -> Any:
    """Broadcast both ways."""
    return weft.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(ints(shape))))


def split(attributes: Attributes, x: Any, lengths: Any = None) -> Any:
    """Parts of given lengths, or as many as there are outputs, of which the last may be shorter."""
    axis, given = attributes.get("axis", 0) % x.ndim, attributes.get("split", lengths)
    if given is None:
        count = attributes.get("num_outputs", attributes["outputs"])
        each, total = -(-x.shape[axis] // count), x.shape[axis]
        given = [max(min(each, total - i * each), 0) for i in range(count)]
    ends = np.cumsum(ints(given))
    front = (slice(None),) * axis
    return tuple(x[(*front, slice(int(end - n), int(end)))] for n, end in zip(ints(given), ends))


def cut(attributes: Attributes, x: Any, *given: Any) -> Any:
    """From `starts` to `ends`, in `steps`, along `axes`."""
    starts, ends, axes, steps = (*given, None, None, None, None)[:4] if given else (None,) * 4
    starts, ends = ints(attributes.get("starts", starts)), ints(attributes.get("ends", ends))
    axes = attributes.get("axes", axes)
    places = range(len(starts)) if axes is None else ints(axes)
    parts = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, places, [1] * len(starts) if steps is None else ints(steps)):
        length = x.shape[axis]
        if step < 0:  # a start before the first is the first; an end there is left out, which −length − 1 says
            start, end = max(min(start, length - 1), -length), max(end, -length - 1)
            parts[axis] = slice(start, None if end < -length else end, step)
        else:
            parts[axis] = slice(start, end, step)
    return x[tuple(parts)]


def pad(attributes: Attributes, x: Any, pads: Any = None, value: Any = None, axes: Any = None) -> Any:
    """`pads` are all starts, then all ends; negative ones cut."""
    widths = ints(attributes.get("pads", attributes.get("paddings", pads)))
    along = axes_of({}, axes, x.ndim)
    starts, ends = [0] * x.ndim, [0] * x.ndim
    for i, axis in enumerate(along):
        starts[axis], ends[axis] = widths[i], widths[i + len(along)]
    cuts = tuple(slice(max(-s, 0), n - max(-e, 0)) for s, e, n in zip(starts, ends, x.shape))
    x = x[cuts] if any(n < 0 for n in (*starts, *ends)) else x
    starts, ends = [max(n, 0) for n in starts], [max(n, 0) for n in ends]
    mode = attributes.get("mode", b"constant").decode()
    if mode == "constant":
        filling = attributes.get("value", 0.0) if value is None else np.asarray(value).reshape(()).item()
        flat = [n for s, e in zip(starts[::-1], ends[::-1]) for n in (s, e)]
        return F.pad(x, flat, value=filling)
    for axis, (before, after) in enumerate(zip(starts, ends)):
        if before or after:
            numpy_mode = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}[mode]
            places = np.pad(np.arange(x.shape[axis]), (before, after), mode=numpy_mode)  # type: ignore[call-overload]
            x = weft.take(x, weft.asarray(places, device=x.device), axis=axis)
    return x


def depth_to_space(attributes: Attributes, x: Any) -> Any:
    """Channels become blocks: the first of them (DCR) or the last (CRD)."""
    b, (n, c, h, w) = attributes["blocksize"], x.shape
    if attributes.get("mode", b"DCR") == b"DCR":
        apart = weft.permute_dims(weft.reshape(x, (n, b, b, c // b**2, h, w)), (0, 3, 4, 1, 5, 2))
    else:
        apart = weft.permute_dims(weft.reshape(x, (n, c // b**2, b, b, h, w)), (0, 1, 4, 2, 5, 3))
    return weft.reshape(apart, (n, c // b**2, h * b, w * b))


def space_to_depth(attributes: Attributes, x: Any) -> Any:
    """Blocks become channels, the first of them."""
    b, (n, c, h, w) = attributes["blocksize"], x.shape
    if attributes.get("mode", b"DCR") != b"DCR":
        apart = weft.permute_dims(weft.reshape(x, (n, c, h // b, b, w // b, b)), (0, 1, 3, 5, 2, 4))
    else:
        apart = weft.permute_dims(weft.reshape(x, (n, c, h // b, b, w // b, b)), (0, 3, 5, 1, 2, 4))
    return weft.reshape(apart, (n, c * b**2, h // b, w // b))


def triangle(attributes: Attributes, x: Any, k: Any = None) -> Any:
    """What is on and above the diagonal k, or on and below it."""
    keep = weft.triu if attributes.get("upper", 1) else weft.tril
    return keep(x, k=0 if k is None else ints(k)[0]) if x.size else x


def shape(attributes: Attributes, x: Any) -> Any:
    """Of `start` to `end`, on the host."""
    return np.array(x.shape[attributes.get("start", 0) : attributes.get("end", x.ndim)], np.int64)


def constant(attributes: Attributes) -> Any:
    """On the host."""
    from onnx import numpy_helper

    for name in ("value_float", "value_floats"):
        if name in attributes:
            return np.array(attributes[name], np.float32)
    for name in ("value_int", "value_ints"):
        if name in attributes:
            return np.array(attributes[name], np.int64)
    if "value" not in attributes:
        raise NotImplementedError(f"a Constant must be of numbers, got {', '.join(attributes)}")
    return numpy_helper.to_array(attributes["value"])


def constant_of_shape(attributes: Attributes, lengths: Any) -> Any:
    """On the host."""
    from onnx import numpy_helper

    value = numpy_helper.to_array(attributes["value"]) if "value" in attributes else np.zeros(1, np.float32)
    return np.full(ints(lengths), value.reshape(()), value.dtype)


def eye_like(attributes: Attributes, x: Any) -> Any:
    """Ones on the diagonal k."""
    dtype = DTYPES[attributes["dtype"]] if "dtype" in attributes else x.dtype
    rows, columns = x.shape
    return np.eye(rows, columns, k=attributes.get("k", 0), dtype=np.dtype(dtype))


def arange(_: Attributes, start: Any, limit: Any, delta: Any) -> Any:
    """On the host."""
    first, last, step = (np.asarray(x).reshape(()).item() for x in (start, limit, delta))
    return np.arange(first, last, step, dtype=np.asarray(start).dtype)


def center_crop_pad(attributes: Attributes, x: Any, lengths: Any) -> Any:
    """Cut or padded by zeros around the middle to the given lengths."""
    axes = axes_of(attributes, None, x.ndim)
    for axis, wanted in zip(axes, ints(lengths)):
        extra = wanted - x.shape[axis]
        before = extra // 2 if extra > 0 else -((-extra) // 2)
        pads = [0] * (2 * x.ndim)
        pads[axis], pads[axis + x.ndim] = before, extra - before
        x = pad({}, x, pads)
    return x


OPERATORS: dict[str, Callable[..., Any]] = {
    "CenterCropPad": center_crop_pad, "Concat": lambda a, *x: weft.concat(x, axis=a.get("axis", 1)), "Constant": constant,
    "ConstantOfShape": constant_of_shape, "DepthToSpace": depth_to_space, "Expand": expand, "EyeLike": eye_like,
    "Flatten": flatten, "Pad": pad, "Range": arange, "Reshape": reshape, "Shape": shape,
    "Size": lambda _, x: np.array(math.prod(x.shape), np.int64), "Slice": cut, "SpaceToDepth": space_to_depth, "Split": split,
    "Squeeze": squeeze, "Tile": lambda _, x, n: weft.tile(x, tuple(ints(n))), "Transpose": transpose, "Trilu": triangle,
    "Unsqueeze": unsqueeze,
}  # fmt: skip
# Which inputs say how, and are read on the host.
HOST: dict[str, tuple[int, ...]] = {
    "CenterCropPad": (1,), "ConstantOfShape": (0,), "Expand": (1,), "Pad": (1, 2, 3), "Range": (0, 1, 2), "Reshape": (1,),
    "Slice": (1, 2, 3, 4), "Split": (1,), "Squeeze": (1,), "Tile": (1,), "Trilu": (1,), "Unsqueeze": (1,),
}  # fmt: skip
