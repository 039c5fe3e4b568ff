"""Launcher of `attention_step.cu`: attention of one query for each head, its keys split over blocks."""

from __future__ import annotations

from typing import Any

import numpy as np

from .attention import _forwards, _loadable, _mask_arrays, _mask_strides, _strides
from .toolchain.launch import FLOATS, Kernel, empty

__all__ = ["CHUNK", "WIDEST", "forward"]

THREADS, CHUNK, WIDEST = 128, 256, 256

_split = Kernel("attention_step.cu", "attention_split", FLOATS, options=("-ftz=true",))
_join = Kernel("attention_step.cu", "attention_join", FLOATS, options=("-ftz=true",))


def forward(query: Any, key: Any, value: Any, mask: Any, scale: float) -> Any:
    """O (B, H, 1, Eᵥ) of query (B, H, 1, E), key (B, G, S, E) and value (B, G, S, Eᵥ), G a divisor of H, E and Eᵥ ≤ WIDEST.

    `mask` is None or broadcasts to (B, H, 1, S), boolean or of the query's dtype.
    """
    inputs, mask = [_loadable(x) for x in (query, key, value)], _forwards(mask)
    (b, h, _, width), (_, g, keys, _), (*_, value_width) = (x.shape for x in inputs)
    splits = -(-keys // CHUNK)
    totals = empty((b * h * splits, 2), np.float32, like=query)
    sums = empty((b * h * splits, value_width), np.float32, like=query)
    out = empty((b, h, 1, value_width), query.dtype, like=query)
    q_b, q_h, _, *others = _strides(inputs)
    m_b, m_h, _, m_s = _mask_strides(mask, query, key)
    sizes = g, h // g, keys, splits, width, value_width
    _split[query.dtype](
        b * g * splits,
        THREADS,
        *inputs,
        *_mask_arrays(mask),
        totals,
        sums,
        q_b,
        q_h,
        *others,
        m_b,
        m_h,
        m_s,
        *(np.int32(n) for n in sizes),
        np.float32(scale),
    )
    _join[query.dtype](b * h, THREADS, totals, sums, out, np.int32(splits), np.int32(value_width))
    return out[..., : value.shape[-1]]
