"""ONNX operators as functions of tensors: operator ↦ f(attributes, *inputs)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .... import abs as absolute
from .... import exp, log, matmul, reshape, sqrt, tanh
from ....layers import functional as F

__all__ = ["OPERATORS"]

Attributes = Mapping[str, Any]


def gemm(attributes: Attributes, a: Any, b: Any, c: Any = None) -> Any:
    """alpha · A B + beta · C, A and B transposed where asked."""
    a = a.T if attributes.get("transA", 0) else a
    b = b.T if attributes.get("transB", 0) else b
    alpha, beta = attributes.get("alpha", 1.0), attributes.get("beta", 1.0)
    out = matmul(a, b) if alpha == 1 else matmul(a, b) * alpha
    if c is None:
        return out
    return out + (c if beta == 1 else c * beta)


def flatten(attributes: Attributes, x: Any) -> Any:
    """Two axes: all before `axis`, and the rest."""
    axis = attributes.get("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    rows = int(np.prod(x.shape[:axis], dtype=np.int64))
    return reshape(x, (rows, int(np.prod(x.shape[axis:], dtype=np.int64))))


def transpose(attributes: Attributes, x: Any) -> Any:
    """Axes in the order `perm`, reversed by default."""
    return x.permute(*attributes.get("perm", range(x.ndim)[::-1]))


OPERATORS: dict[str, Callable[..., Any]] = {
    "Abs": lambda _, x: absolute(x),
    "Add": lambda _, a, b: a + b,
    "Exp": lambda _, x: exp(x),
    "Flatten": flatten,
    "Gemm": gemm,
    "Identity": lambda _, x: x,
    "Log": lambda _, x: log(x),
    "MatMul": lambda _, a, b: matmul(a, b),
    "Mul": lambda _, a, b: a * b,
    "Neg": lambda _, x: -x,
    "Relu": lambda _, x: F.relu(x),
    "Sigmoid": lambda _, x: F.sigmoid(x),
    "Sqrt": lambda _, x: sqrt(x),
    "Sub": lambda _, a, b: a - b,
    "Tanh": lambda _, x: tanh(x),
    "Transpose": transpose,
}
