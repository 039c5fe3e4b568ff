"""What fits best, where a few of many statements may be far off: the least sum of absolute deviations."""

from __future__ import annotations

import numpy as np

__all__ = ["least_deviations"]

_ENOUGH = 1e-10  # how much more than the least a sum may be
_STEPS = 60
_NEARLY = 0.9995  # of the way to where a number would be zero

Array = np.ndarray


def least_deviations(g: Array, c: Array, less: Array, more: Array) -> Array:
    """The z for which g z is nearest to c: the least Σ of moreᵢ (g z − c)ᵢ where that is positive, of lessᵢ (c − g z)ᵢ elsewhere.

    A linear program, whose dual, the greatest Σ c a of −more ≤ a ≤ less in balance, gᵀa = 0, is solved beside it by steps of
    Newton's through the inside: S. Portnoy and R. Koenker, "The Gaussian hare and the Laplacian tortoise" (1997). Where many are as
    good it ends amid them.

    Parameters
    ----------
    g : (N, K)
    c : (N,)
    less, more : (N,)
        Positive costs of each deviation.

    Returns
    -------
    z : (K,)
    """
    x, s = more.copy(), less.copy()  # how far a = 0 is from either bound
    y = np.linalg.lstsq(g, c, rcond=None)[0]
    r = g @ y - c
    z, w = np.maximum(r, 0) + 1e-3, np.maximum(-r, 0) + 1e-3  # multipliers of the bounds: the deviations
    for _ in range(_STEPS):
        gap = float(z @ x + w @ s)
        if gap < _ENOUGH:
            break
        q = 1 / (z / x + w / s)
        lost = g @ y - c - z + w
        scaled = g.T * q
        normal = scaled @ g
        normal[np.diag_indices_from(normal)] *= 1 + 1e-14
        still = np.zeros_like(x)
        unbalanced = g.T @ (x - more)  # what rounding leaves
        dx, _, dz, dw = _newton(g, scaled, normal, q, lost, unbalanced, (x, z, still), (s, w, still))
        p, d = min(_room(x, dx), _room(s, -dx)), min(_room(z, dz), _room(w, dw))
        left = float((z + d * dz) @ (x + p * dx) + (w + d * dw) @ (s - p * dx))
        aim = gap * (left / gap) ** 3 / (2 * len(x))  # the more, the less a step without it would reach
        dx, dy, dz, dw = _newton(g, scaled, normal, q, lost, unbalanced, (x, z, aim - dx * dz), (s, w, aim + dx * dw))
        p, d = min(_room(x, dx), _room(s, -dx)), min(_room(z, dz), _room(w, dw))
        x, s, y, z, w = x + p * dx, s - p * dx, y + d * dy, z + d * dz, w + d * dw
    return y


def _newton(
    g: Array,
    scaled: Array,
    normal: Array,
    q: Array,
    lost: Array,
    unbalanced: Array,
    lower: tuple[Array, ...],
    upper: tuple[Array, ...],
) -> tuple[Array, Array, Array, Array]:
    """A step towards x z = the third of `lower`, s w = that of `upper`, and balance: of x (−s), y, z and w."""
    (x, z, to_x), (s, w, to_s) = lower, upper
    h = lost - (to_x / x - z) + (to_s / s - w)
    dy = np.linalg.solve(normal, unbalanced - scaled @ h)
    dx = -q * (g @ dy + h)
    return dx, dy, to_x / x - z - z / x * dx, to_s / s - w + w / s * dx


def _room(value: Array, change: Array) -> float:
    """How much of a step leaves all above zero."""
    down = change < 0
    return min(1.0, _NEARLY * float(np.min(-value[down] / change[down], initial=np.inf)))
