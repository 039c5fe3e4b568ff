"""Maps onto orthogonal matrices, which `parametrizations.orthogonal` registers."""

from __future__ import annotations

import math

import numpy as np

from ...backend.array import random
from ...backend.array.creation import asarray, eye, tril, triu, zeros
from ...backend.array.elementwise import multiply, sign
from ...backend.array.linalg import diagonal, solve
from ...backend.array.manipulation import concat, expand_dims
from ...backend.array.products import matmul
from ...backend.device import devices
from ...backend.modes.autocast import autocast
from ...backend.tape.tensor import Tensor
from ..module import Module

__all__ = ["MAPS", "Orthogonal", "householder_product", "matrix_exp"]

# Padé's approximant of degree 13 to the exponential, and the norm up to which it is exact in float64: Higham, "The Scaling and
# Squaring Method for the Matrix Exponential Revisited" (2005)
PADE = [math.comb(13, k) * math.factorial(26 - k) / math.factorial(26) for k in range(14)]
NORM = 5.371920351148152


def matrix_exp(a: Tensor) -> Tensor:
    """exp A of matrices (…, n, n): of A/2ˢ by Padé's approximant, squared s times; the norm is read on the host."""
    norm = abs(a.detach()).sum(axis=-2).max().item() if a.size else 0.0
    if not math.isfinite(norm):
        raise ValueError(f"`a` must be finite to have an exponential, got norm {norm}")
    squarings = max(0, math.ceil(math.log2(norm / NORM))) if norm else 0
    a = a / 2.0**squarings
    one = eye(a.shape[-1], dtype=a.dtype, device=a.device)
    a2 = matmul(a, a)
    a4 = matmul(a2, a2)
    a6 = matmul(a4, a2)
    b = PADE
    odd = matmul(a6, b[13] * a6 + b[11] * a4 + b[9] * a2) + b[7] * a6 + b[5] * a4 + b[3] * a2 + b[1] * one
    even = matmul(a6, b[12] * a6 + b[10] * a4 + b[8] * a2) + b[6] * a6 + b[4] * a4 + b[2] * a2 + b[0] * one
    u = matmul(a, odd)
    y = solve(even - u, even + u)
    for _ in range(squarings):
        y = matmul(y, y)
    return y


def cayley(a: Tensor) -> Tensor:
    """(1 − A/2)⁻¹ (1 + A/2)."""
    one = eye(a.shape[-1], dtype=a.dtype, device=a.device)
    return solve(one - 0.5 * a, one + 0.5 * a)


def householder_product(v: Tensor) -> Tensor:
    """The first k columns of H₁ … H_k, Hᵢ = 1 − 2 vᵢ vᵢᵀ/‖vᵢ‖², v (…, n, k), n ≥ k: 1 − V T Vᵀ with T⁻¹ = triu(VᵀV, 1) + ½ diag.

    Puglisi, "Modification of the Householder Method Based on the Compact WY Representation" (1992).
    """
    n, k = v.shape[-2:]
    one = eye(n, k, dtype=v.dtype, device=v.device)
    gram = matmul(v.mT, v)
    inverse = triu(gram, k=1) + 0.5 * multiply(gram, eye(k, dtype=v.dtype, device=v.device))
    return one - matmul(v, solve(inverse, v[..., :k, :].mT))


MAPS = {"matrix_exp": matrix_exp, "cayley": cayley, "householder": householder_product}


class Orthogonal(Module):
    """Q of a matrix X, of which the part on and below the diagonal is read."""

    def __init__(self, weight: Tensor, orthogonal_map: str, use_trivialization: bool = True):
        self.shape = tuple(weight.shape)
        self.orthogonal_map = orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, x: Tensor) -> Tensor:
        with autocast(enabled=False):  # in half precision it would not be orthogonal
            is_wide = x.shape[-2] < x.shape[-1]
            x = x.mT if is_wide else x
            n, k = x.shape[-2:]
            if self.orthogonal_map == "householder":
                one = eye(n, k, dtype=x.dtype, device=x.device)
                q = householder_product(tril(x, k=-1) + one)
                q = multiply(q, expand_dims(sign(diagonal(x.detach())), axis=-2))
            else:
                x = tril(x)
                if n != k:
                    x = concat((x, zeros((*x.shape[:-1], n - k), dtype=x.dtype, device=x.device)), axis=-1)
                q = MAPS[self.orthogonal_map](x - x.mT)[..., :k]
            base = vars(self).get("base")
            if base is not None:
                q = matmul(base, q)
            return q.mT if is_wide else q

    def right_inverse(self, q: Tensor) -> Tensor:
        """X that gives Q (made orthogonal, if it is not), by a new base or by Householder's reflections."""
        if tuple(q.shape) != self.shape:
            raise ValueError(f"`weight` must have shape {self.shape}, got {tuple(q.shape)}")
        is_wide = q.shape[-2] < q.shape[-1]
        given = devices.to_numpy((q.mT if is_wide else q).detach().data)
        matrix = given.astype(np.float64)
        if "base" in self._buffers:
            self.base = asarray(_completed(matrix).astype(given.dtype), device=q.device)
            minus = -np.broadcast_to(np.eye(self.shape[-2], self.shape[-1]), self.shape)
            return asarray(minus.astype(given.dtype), device=q.device)
        if self.orthogonal_map != "householder":
            raise NotImplementedError(f"`{self.orthogonal_map}` cannot be assigned to with use_trivialization=False")
        x = _reflections(matrix).astype(given.dtype)
        return asarray(x.swapaxes(-1, -2) if is_wide else x, device=q.device)


def _completed(matrix: np.ndarray) -> np.ndarray:
    """(…, n, k) made square by random columns, and orthogonal: Q of QR with a positive diagonal of R."""
    n, k = matrix.shape[-2:]
    if n != k:
        more = devices.to_numpy(random.default_generator.normal((*matrix.shape[:-1], n - k), np.float64, "cpu"))
        matrix = np.concatenate((matrix, more), axis=-1)
    q, r = np.linalg.qr(matrix)
    return q * np.where(np.diagonal(r, axis1=-2, axis2=-1) < 0, -1.0, 1.0)[..., None, :]


def _reflections(matrix: np.ndarray) -> np.ndarray:
    """Householder's vectors below the diagonal, and on it the signs that make their product Q."""
    packed, tau = np.linalg.qr(matrix, mode="raw")
    x = packed.swapaxes(-1, -2).copy()
    k = range(x.shape[-1])
    signs = np.sign(x[..., k, k])
    x[..., k, k] = np.where(tau == 0, -signs, signs)
    return x
