"""How PyTorch shows a tensor: four digits, one format for all numbers, dtypes by its names."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...backend.device import devices, dtypes
from ...backend.tape.tensor import Parameter, Tensor, innermost
from .dtypes import named

__all__ = ["set_printoptions", "shown"]

DEFAULT = {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80, "sci_mode": None}
PROFILES: dict[str, dict[str, Any]] = {
    "default": DEFAULT,
    "short": DEFAULT | {"precision": 2, "edgeitems": 2},
    "full": DEFAULT | {"threshold": math.inf},
}
_options: dict[str, Any] = dict(DEFAULT)
OPERATIONS = {
    "multiply": "Mul",
    "subtract": "Sub",
    "divide": "Div",
    "linear": "Addmm",
    "matmul": "Mm",
    "negative": "Neg",
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """How tensors are shown from now on.

    Parameters
    ----------
    precision : int, optional
        Digits behind the point.
    threshold : int, optional
        From how many numbers on not all are shown.
    edgeitems : int, optional
        How many at each end are shown then.
    linewidth : int, optional
        How long a line may be.
    profile : {"default", "short", "full"}, optional
        Where all others begin.
    sci_mode : bool, optional
        Whether numbers have exponents; as it fits them if None.
    """
    if profile is not None:
        _options.update(PROFILES[profile])
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    _options.update({k: v for k, v in given.items() if v is not None}, sci_mode=sci_mode)


def _format(values: np.ndarray) -> tuple[Any, int]:
    """What writes each number, and how wide they are."""
    if values.dtype.kind in "biu":
        return str, max((len(str(v)) for v in values.tolist()), default=1)
    if values.dtype.kind == "c":
        real, imaginary = _format(values.real.copy())[0], _format(values.imag.copy())[0]

        def pair(z: complex) -> str:
            sign = "-" if math.copysign(1, z.imag) < 0 else "+"
            return f"{real(z.real)}{sign}{imaginary(abs(z.imag))}j"

        return pair, max((len(pair(v)) for v in values.tolist()), default=1)
    digits = _options["precision"]
    sizes = np.abs(values.astype(np.float64))
    sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
    if not sizes.size:
        return _with_infinities("{:.0f}.".format), 1
    low, high = float(sizes.min()), float(sizes.max())
    whole = bool((sizes == np.ceil(sizes)).all())
    exponents = high / low > 1000 or high > 1e8 or (low < 1e-4 and not whole)
    exponents = exponents if _options["sci_mode"] is None else _options["sci_mode"]
    write = f"{{:.{digits}e}}".format if exponents else "{:.0f}.".format if whole else f"{{:.{digits}f}}".format
    finite = values[np.isfinite(values.astype(np.float64)) & (values != 0)]
    return _with_infinities(write), max(1, *(len(write(v)) for v in finite.tolist()))


def _special(v: float) -> str:
    return "" if math.isfinite(v) else str(v)


def _with_infinities(write: Any) -> Any:
    return lambda v: write(v) if math.isfinite(v) else str(v)


def _row(row: np.ndarray, write: Any, width: int, indent: int) -> str:
    edge = _options["edgeitems"]
    texts = [write(v).rjust(width) for v in row.tolist()]
    if _summarised and len(texts) > 2 * edge:
        texts = [*texts[:edge], " ...", *texts[-edge:]]
    each = max(1, (_options["linewidth"] - indent) // (width + 2))
    lines = [", ".join(texts[i : i + each]) for i in range(0, len(texts), each)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


_summarised = False


def _body(array: np.ndarray, write: Any, width: int, indent: int) -> str:
    if not array.ndim:
        return write(array.item())
    if array.ndim == 1:
        return _row(array, write, width, indent)
    edge, parts = _options["edgeitems"], list(array)
    cut = _summarised and len(parts) > 2 * edge
    texts = [_body(p, write, width, indent + 1) for p in (parts[:edge] + parts[-edge:] if cut else parts)]
    if cut:
        texts.insert(edge, "...")
    return "[" + ("," + "\n" * (array.ndim - 1) + " " * (indent + 1)).join(texts) + "]"


def _ends(array: np.ndarray) -> np.ndarray:
    """The part that is shown of an array with too many numbers."""
    edge = _options["edgeitems"]
    for axis, n in enumerate(array.shape):
        if n > 2 * edge:
            array = np.take(array, [*range(edge), *range(n - edge, n)], axis)
    return array


def shown(x: Tensor) -> str:
    """PyTorch's `repr` of a tensor.

    Parameters
    ----------
    x : Tensor
        Which.

    Returns
    -------
    str
        As `tensor([1.0000, 2.5000], requires_grad=True)`.
    """
    global _summarised
    array = np.asarray(devices.to_numpy(innermost(x)))
    kind = named(array.dtype)
    if array.dtype.kind == "V" or (array.dtype.itemsize < 4 and kind.is_floating_point):
        array = array.astype(np.float32)
    _summarised = array.size > _options["threshold"]
    write, width = _format((_ends(array) if _summarised else array).reshape(-1))
    notes = [] if array.size else [f"size={tuple(x.shape)}"] if x.ndim != 1 else []
    notes += [f"device='{x.device}{':0' if x.device == 'cuda' else ''}'"] if x.device != "cpu" else []
    usual = {str(dtypes.get_default_dtype()), "int64", "bool", str(dtypes.default_complex())}
    notes += [] if str(kind.dtype) in usual and array.size else [f"dtype={kind}"] * (str(kind.dtype) != "float32")
    if x._node is not None:
        notes.append(f"grad_fn=<{operation(x._node)}>")
    elif x.requires_grad:
        notes.append("requires_grad=True")
    body = _body(array, write, width, len("tensor(")) if array.size else "[]"
    text = f"tensor({', '.join([body, *notes])})"
    return f"Parameter containing:\n{text}" if isinstance(x, Parameter) else text


def operation(node: Any) -> str:
    """PyTorch's way of naming what computed a tensor.

    Parameters
    ----------
    node : Node
        What computed it.

    Returns
    -------
    str
        As "MulBackward0".
    """
    name = node.name.strip("_")
    return f"{OPERATIONS.get(name) or ''.join(w.capitalize() for w in name.split('_'))}Backward0"
