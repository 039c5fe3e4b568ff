"""Eigenvalues and eigenvectors of matrices that are not symmetric; results that have no gradient, and say so."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...backend.device import devices
from ...backend.tape.autograd import primitive
from ...backend.tape.tensor import Tensor

__all__ = ["Eig", "eig", "frexp", "refusing"]


class Eig(NamedTuple):
    """What `eig` finds.

    Parameters
    ----------
    eigenvalues : Tensor
        w (…, M), complex.
    eigenvectors : Tensor
        V (…, M, M), complex; columns of length 1.
    """

    eigenvalues: Tensor
    eigenvectors: Tensor


@primitive(returns=Eig)
def _eig(xp: Any, x: Any, /) -> Any:
    r"""x V = V diag(w), in NumPy.

    With M = V⁻¹ dx V, dw = diag M and dV = V W − V Re diag(VᴴV W), W_ij = M_ij / (w_j − w_i), as columns keep their length. So
    grad_x = V⁻ᵀ B Vᵀ with B_ij = (G − H d)_ij / (w_j − w_i) and diag B = ∂L/∂w, where G = Vᵀ ∂L/∂V, d = Re diag G and
    (H d)_ij = (VᴴV)_ji d_j. A gradient is ∂L/∂a − i ∂L/∂b.
    """
    if isinstance(x, Tensor):
        found = _eig(x)
    else:
        kind = np.complex64 if x.dtype in (np.float32, np.complex64) else np.complex128
        raw = np.linalg.eig(devices.to_numpy(x))
        found = Eig(*(xp.asarray(a.astype(kind), device=x.device) for a in raw))
    w, v = found
    like_x = x

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        vt = xp.matrix_transpose(v)
        inner = vt @ g[1]
        turned = xp.linalg.diagonal(inner)
        if not isinstance(x, Tensor) and np.abs(devices.to_numpy(xp.imag(turned))).max(initial=0) > 1e-2:
            raise RuntimeError(
                "`eig` has no gradient of what depends on the phases of eigenvectors, which are not defined, got such a loss; "
                "take their magnitudes"
            )
        held = (
            xp.matrix_transpose(xp.matrix_transpose(xp.conj(v)) @ v) * xp.astype(xp.real(turned), w.dtype)[..., None, :]
        )
        gaps = w[..., None, :] - w[..., :, None]
        is_diagonal = xp.eye(w.shape[-1], dtype=xp.bool, device=like_x.device)
        b = xp.where(is_diagonal, g[0][..., None, :], (inner - held) / xp.where(is_diagonal, xp.ones_like(gaps), gaps))
        grad = xp.linalg.inv(vt) @ b @ vt
        return (grad if like_x.dtype.kind == "c" else xp.real(grad),)

    return found, vjp


def eig(input: Tensor) -> Eig:
    """Eigenvalues and eigenvectors of square matrices.

    Parameters
    ----------
    input : Tensor
        (…, M, M), real or complex.

    Returns
    -------
    Eig
        Complex `eigenvalues` (…, M) and `eigenvectors` (…, M, M).

    Raises
    ------
    RuntimeError
        In the backward pass, if the loss depends on the phases of eigenvectors.
    """
    return _eig(input)


@primitive
def frexp(xp: Any, x: Any, /) -> Any:
    """x = mantissa · 2ᵉ with 0.5 ≤ |mantissa| < 1; the gradient is g · 2⁻ᵉ."""
    if isinstance(x, Tensor):
        e = frexp(x.detach())[1]
        return (x * 2.0 ** -e.to(x.dtype), e), (lambda g: g[0] * 2.0 ** -e.to(x.dtype),)
    mantissa, e = np.frexp(devices.to_numpy(x))
    mantissa, e = (xp.asarray(a, device=x.device) for a in (mantissa, e.astype(np.int32)))
    return (mantissa, e), (
        lambda g: xp.astype(xp.asarray(2.0, dtype=g[0].dtype) ** -xp.astype(e, g[0].dtype) * g[0], x.dtype),
    )


def refusing(name: str, found: Any, *inputs: Any) -> Any:
    """What has been found off the tape, with a `backward` that says that there is no gradient.

    Parameters
    ----------
    name : str
        Of what.
    found : Tensor or tuple of Tensor
        The result, whose first is meant.
    *inputs : object
        What it was found from.

    Returns
    -------
    Tensor or tuple of Tensor
        It; as it is where no input requires grad.
    """
    if isinstance(found, tuple):
        return (refusing(name, found[0], *inputs), *found[1:])
    sources = [x for x in inputs if isinstance(x, Tensor) and x.requires_grad]

    def form(xp: Any, y: Any, /, *_: Any) -> Any:
        def vjp(g: Any, need: Any, into: Any) -> Any:
            raise NotImplementedError(
                f"`{name}` has no gradient, as in PyTorch; detach() what it is given, if none is needed"
            )

        return y, vjp

    form.__name__ = name
    return primitive(form)(found, *sources) if sources else found
