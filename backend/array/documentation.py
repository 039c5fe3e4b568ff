"""Docstrings of the functions that tables make (`elementwise`, `fft`): what their rows say, in a form that all share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ..tape.autograd import primitive

__all__ = ["document", "publish", "run_of"]

# What a function takes, and the dtype of what it gives for one argument and for two.
PROMOTED = "its dtype", "the dtype that they promote to"
KINDS = {
    "floating": ("Of any dtype; integers become the default floating-point one", *2 * ("a floating-point dtype",)),
    "numeric": ("Of a numeric dtype", *PROMOTED),
    "real": ("Of a real dtype", *PROMOTED),
    "parts": ("Of a numeric dtype", "its dtype, that of its parts where x is complex", ""),
    "bits": ("Of an integer dtype or bool", *PROMOTED),
    "test": ("Of any dtype", *2 * ("dtype bool",)),
}
OTHERS = {  # which are not of the kind that their table says
    "real": "floor ceil trunc round nextafter maximum minimum floor_divide remainder",
    "parts": "abs real imag",
    "bits": "bitwise_and bitwise_or bitwise_xor bitwise_invert bitwise_left_shift bitwise_right_shift",
}

DOC = """{meaning}.

Parameters
----------
{parameters}

Returns
-------
Tensor
    {returns}
{notes}
Examples
--------
{example}
"""
ONE = "x : Tensor\n    {}."
TWO = "x1, x2 : Tensor or number\n    Broadcast against each other. {}; a number takes the other's dtype if it can."

# By name, "arguments → result"; and what else there is to know.
EXAMPLES = {
    "exp": "[0.0, 1.0] → [1.       , 2.718...]",
    "expm1": "[0.0, 1e-8] → [0.e+00, 1.e-08]",
    "log": "[1.0, 2.0] → [0.        , 0.693...]",
    "log1p": "[0.0, 1e-8] → [0.e+00, 1.e-08]",
    "log2": "[1.0, 3.0] → [0.       , 1.584...]",
    "log10": "[1.0, 2.0] → [0.     , 0.301...]",
    "sqrt": "[4.0, 9.0] → [2., 3.]",
    "square": "[-2, 3] → [4, 9]",
    "reciprocal": "[2.0, 4.0] → [0.5 , 0.25]",
    "negative": "[1.0, -2.0] → [-1.,  2.]",
    "positive": "[1.0, -2.0] → [ 1., -2.]",
    "abs": "[-2.0, 3.0] → [2., 3.]",
    "sin": "[0.0, 1.0] → [0.       , 0.841...]",
    "cos": "[0.0, 1.0] → [1.       , 0.540...]",
    "tan": "[0.0, 1.0] → [0.       , 1.557...]",
    "asin": "[0.0, 1.0] → [0.       , 1.570...]",
    "acos": "[1.0, 0.0] → [0.       , 1.570...]",
    "atan": "[0.0, 1.0] → [0.       , 0.785...]",
    "sinh": "[0.0, 1.0] → [0.       , 1.175...]",
    "cosh": "[0.0, 1.0] → [1.       , 1.543...]",
    "tanh": "[0.0, 1.0] → [0.       , 0.761...]",
    "asinh": "[0.0, 1.0] → [0.       , 0.881...]",
    "acosh": "[1.0, 2.0] → [0.       , 1.316...]",
    "atanh": "[0.0, 0.5] → [0.       , 0.549...]",
    "floor": "[-1.5, 1.5] → [-2.,  1.]",
    "ceil": "[-1.5, 1.5] → [-1.,  2.]",
    "trunc": "[-1.5, 1.5] → [-1.,  1.]",
    "round": "[0.5, 1.5] → [0., 2.]",
    "conj": "[1 + 2j] → [1.-2.j], dtype=complex64",
    "real": "[1 + 2j] → [1.]",
    "imag": "[1 + 2j] → [2.]",
    "isfinite": "[1.0, weft.inf] → [ True, False]",
    "isinf": "[1.0, -weft.inf] → [False,  True]",
    "isnan": "[1.0, weft.nan] → [False,  True]",
    "signbit": "[1.0, -0.0] → [False,  True]",
    "logical_not": "[True, False] → [False,  True]",
    "bitwise_invert": "[0, 5] → [-1, -6]",
    "add": "[1.0, 2.0], [3.0, 4.0] → [4., 6.]",
    "subtract": "[1.0, 2.0], [3.0, 5.0] → [-2., -3.]",
    "multiply": "[1.0, 2.0], [3.0, 4.0] → [3., 8.]",
    "divide": "[1, 3], [2, 4] → [0.5 , 0.75]",
    "floor_divide": "[7, -7], 2 → [ 3, -4]",
    "remainder": "[7, -7], 2 → [1, 1]",
    "atan2": "[0.0, 1.0], [1.0, 1.0] → [0.       , 0.785...]",
    "hypot": "[3.0, 5.0], [4.0, 12.0] → [ 5., 13.]",
    "logaddexp": "[0.0, 1000.0], [0.0, -1000.0] → [6.931...e-01, 1.000...e+03]",
    "copysign": "[1.0, -2.0], [-1.0, 1.0] → [-1.,  2.]",
    "maximum": "[1.0, 4.0], [2.0, 3.0] → [2., 4.]",
    "minimum": "[1.0, 4.0], [2.0, 3.0] → [1., 3.]",
    "nextafter": "[1.0], [2.0] → [1.0000001]",
    "equal": "[1, 2], [1, 3] → [ True, False]",
    "not_equal": "[1, 2], [1, 3] → [False,  True]",
    "less": "[1, 2], [1, 3] → [False,  True]",
    "less_equal": "[1, 4], [1, 3] → [ True, False]",
    "greater": "[1, 4], [1, 3] → [False,  True]",
    "greater_equal": "[1, 2], [1, 3] → [ True, False]",
    "logical_and": "[True, True], [True, False] → [ True, False]",
    "logical_or": "[False, True], [False, False] → [False,  True]",
    "logical_xor": "[True, True], [True, False] → [False,  True]",
    "bitwise_and": "[6, 5], [3, 8] → [2, 0]",
    "bitwise_or": "[6, 5], [3, 8] → [ 7, 13]",
    "bitwise_xor": "[6, 5], [3, 8] → [ 5, 13]",
    "bitwise_left_shift": "[1, 3], 2 → [ 4, 12]",
    "bitwise_right_shift": "[4, 13], 2 → [1, 3]",
    "fft.fft": "[1.0, 0.0, 0.0] → [1.+0.j, 1.+0.j, 1.+0.j], dtype=complex64",
    "fft.ifft": "[4.0, 0.0, 0.0, 0.0] → [1.+0.j, 1.+0.j, 1.+0.j, 1.+0.j], dtype=complex64",
    "fft.rfft": "[1.0, 0.0, 0.0, 0.0] → [1.+0.j, 1.+0.j, 1.+0.j], dtype=complex64",
    "fft.irfft": "[1.0, 1.0, 1.0] → [1., 0., 0., 0.]",
    "fft.hfft": "[1.0, 1.0, 1.0] → [4., 0., 0., 0.]",
    "fft.ihfft": "[4.0, 0.0, 0.0, 0.0] → [1.-0.j, 1.-0.j, 1.-0.j], dtype=complex64",
    "fft.fftn": "weft.ones((2, 2)) → [[4.+0.j, 0.+0.j],\n        [0.+0.j, 0.+0.j]], dtype=complex64",
    "fft.ifftn": "weft.ones((2, 2)) → [[1.+0.j, 0.+0.j],\n        [0.+0.j, 0.+0.j]], dtype=complex64",
    "fft.rfftn": "weft.ones((2, 2)) → [[4.+0.j, 0.+0.j],\n        [0.+0.j, 0.+0.j]], dtype=complex64",
    "fft.irfftn": "weft.ones((2, 2)) → [[1., 0.],\n        [0., 0.]]",
    "fft.fftshift": "[0, 1, 2, -2, -1] → [-2, -1,  0,  1,  2]",
    "fft.ifftshift": "[-2, -1, 0, 1, 2] → [ 0,  1,  2, -2, -1]",
}
NOTES = {
    "expm1": "Exact for small x, where eˣ rounds to 1.",
    "log1p": "Exact for small x, where 1 + x rounds to 1.",
    "sqrt": "The derivative is infinite at 0.",
    "abs": "The gradient at 0 is 0.",
    "asin": "In [−π/2, π/2]; NaN where |x| > 1. The derivative is infinite at ±1.",
    "acos": "In [0, π]; NaN where |x| > 1. The derivative is infinite at ±1.",
    "atan": "In [−π/2, π/2].",
    "acosh": "NaN where x < 1. The derivative is infinite at 1.",
    "atanh": "Infinite at ±1, NaN beyond.",
    "floor": "The gradient is 0 everywhere.",
    "ceil": "The gradient is 0 everywhere.",
    "trunc": "The gradient is 0 everywhere.",
    "round": "The gradient is 0 everywhere.",
    "floor_divide": "The gradients are 0 everywhere.",
    "atan2": "In [−π, π]. The gradients at the origin are 0.",
    "hypot": "The squares do not overflow. At the origin, where there is no derivative, gradients are NaN.",
    "logaddexp": "The exponentials do not overflow.",
    "copysign": "The gradient with respect to x₂ is 0.",
    "maximum": "NaN where either is. Equal arguments share the gradient, as in PyTorch.",
    "minimum": "NaN where either is. Equal arguments share the gradient, as in PyTorch.",
}

_LIST = re.compile(r"\[.*?\]")


def document(name: str, meaning: str, kind: str, operands: str) -> str:
    """The docstring of an elementwise function of ONE argument or TWO."""
    kind = next((other for other, names in OTHERS.items() if name in names.split()), kind)
    takes, one, two = KINDS[kind]
    returns = f"Of the shape of x and {one}." if operands is ONE else f"Of the shape that they broadcast to and {two}."
    notes = f"\nNotes\n-----\n{NOTES[name]}\n" if name in NOTES else ""
    return DOC.format(
        meaning=f"{meaning}, elementwise",
        parameters=operands.format(takes),
        returns=returns,
        notes=notes,
        example=run_of(name, EXAMPLES[name]),
    )


def run_of(name: str, example: str) -> str:
    """The doctest that an example "arguments → result" stands for, where lists are Tensors.

    >>> print(run_of("exp", "[0.0] → [1.]").partition("(")[2])
    weft.tensor([0.0]))
    tensor([1.])
    """
    arguments, _, result = example.partition(" → ")
    tensors = _LIST.sub(r"weft.tensor(\g<0>)", arguments)
    return f">>> weft.{name}({tensors})\ntensor({result})"


def publish(function: Callable, name: str, doc: str, **policy: Any) -> Any:
    """The primitive of this name and docstring, whose generic form is `function`."""
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return primitive(**policy)(function)
