"""Complex numbers made of real ones, and views of the one as the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.tape.autograd import primitive
from ...backend.tape.tensor import Tensor
from .strided import laid_out, unwritable

__all__ = ["complex_of", "turned", "view_as_complex", "view_as_real"]


def turned(g: Any) -> Any:
    """What PyTorch calls the gradient with respect to complex numbers, ∂L/∂a + i ∂L/∂b, from the tape's, or the tape's from it.

    Parameters
    ----------
    g : Tensor or object
        A gradient; all but complex Tensors stay what they are.

    Returns
    -------
    Tensor or object
        The conjugate.
    """
    return g.conj() if isinstance(g, Tensor) and g.dtype.kind == "c" else g


@primitive
def complex_of(xp: Any, a: Any, b: Any, /) -> Any:
    """a + bi; of a gradient ∂L/∂a − i ∂L/∂b (see `unbroadcast`), the parts."""
    pullbacks = (lambda g: xp.real(g), lambda g: -xp.imag(g))
    if isinstance(a, Tensor):
        return complex_of(a, b), pullbacks
    made = xp.empty(a.shape, dtype=np.complex64 if a.dtype == np.float32 else np.complex128)
    made.real, made.imag = a, b  # not a + 1j b, which is NaN where b is infinite
    return made, pullbacks


@primitive(moves=True)
def pairs(xp: Any, x: Any, /) -> Any:
    """The real and the imaginary part of complex numbers along a new last axis; of a gradient ∂L/∂a − i ∂L/∂b."""
    parts = xp.real(x), xp.imag(x)
    like_x = x

    def grad_x(g: Any) -> Any:
        return xp.astype(g[..., 0], like_x.dtype) - 1j * xp.astype(g[..., 1], like_x.dtype)

    if hasattr(x, "strides"):
        return laid_out(xp, parts[0], (*x.shape, 2), (*x.strides, x.dtype.itemsize // 2)), (grad_x,)
    return xp.stack(parts, axis=-1), (grad_x,)


@primitive(moves=True)
def of_pairs(xp: Any, x: Any, /) -> Any:
    """Complex numbers from their parts along the last axis, which lie side by side."""

    def grad_x(g: Any) -> Any:
        return xp.stack([xp.real(g), -xp.imag(g)], axis=-1)

    if isinstance(x, Tensor):
        return complex_of(x[..., 0], x[..., 1]), (grad_x,)
    made = x.view(np.complex64 if x.dtype == np.float32 else np.complex128)[..., 0]
    return made, (grad_x,)


def view_as_real(input: Tensor) -> Tensor:
    """Complex numbers as pairs of real ones.

    Parameters
    ----------
    input : Tensor
        Complex.

    Returns
    -------
    Tensor
        A view with one more axis, of 2.

    Raises
    ------
    RuntimeError
        If the numbers are real.
    """
    if input.dtype.kind != "c":
        raise RuntimeError(f"`view_as_real` needs complex numbers, got {input.dtype}; use torch.complex")
    return pairs(input)


def view_as_complex(input: Tensor) -> Tensor:
    """Pairs of real numbers as complex ones.

    Parameters
    ----------
    input : Tensor
        float32 or float64, with a last axis of 2.

    Returns
    -------
    Tensor
        A view without that axis; where pairs do not lie side by side, a copy that cannot be written to.

    Raises
    ------
    RuntimeError
        If there are no pairs.
    """
    if input.ndim == 0 or input.shape[-1] != 2:
        raise RuntimeError(f"`view_as_complex` needs a last axis of 2, got the shape {tuple(input.shape)}")
    if input.dtype not in (np.float32, np.float64):
        raise RuntimeError(f"`view_as_complex` needs float32 or float64, got {input.dtype}; convert it first")
    if input.stride()[-1] != 1:
        return unwritable(complex_of(input[..., 0], input[..., 1]))
    return of_pairs(input)
