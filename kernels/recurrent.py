"""Launchers of `recurrent.cu`: what a step of a recurrent layer does behind its product of matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .toolchain.launch import FLOATS, Kernel, contiguous
from .windows import reciprocal

__all__ = [
    "MOST",
    "gru_backward",
    "gru_forward",
    "gru_original_candidate",
    "gru_original_candidate_backward",
    "gru_original_gates",
    "gru_original_gates_backward",
    "lstm_backward",
    "lstm_forward",
    "rnn_backward",
    "rnn_forward",
]

THREADS = 256
MOST = (1 << 31) - THREADS  # units of all sequences together, for arithmetic of 32 bits

_OPTIONS = ("-ftz=true", "-prec-div=false")  # as in `activation.cu`
_rnn_forward = Kernel("recurrent.cu", "rnn_forward", FLOATS, (False, True), options=_OPTIONS)
_rnn_backward = Kernel("recurrent.cu", "rnn_backward", FLOATS, (False, True), options=_OPTIONS)
_lstm_forward = Kernel("recurrent.cu", "lstm_forward", FLOATS, options=_OPTIONS)
_lstm_backward = Kernel("recurrent.cu", "lstm_backward", FLOATS, options=_OPTIONS)
_gru_forward = Kernel("recurrent.cu", "gru_forward", FLOATS, options=_OPTIONS)
_gru_backward = Kernel("recurrent.cu", "gru_backward", FLOATS, options=_OPTIONS)
_original_gates = Kernel("recurrent.cu", "gru_original_gates", FLOATS, options=_OPTIONS)
_original_candidate = Kernel("recurrent.cu", "gru_original_candidate", FLOATS, options=_OPTIONS)
_original_candidate_backward = Kernel("recurrent.cu", "gru_original_candidate_backward", FLOATS, options=_OPTIONS)
_original_gates_backward = Kernel("recurrent.cu", "gru_original_gates_backward", FLOATS, options=_OPTIONS)


def _grid(units: Any) -> int:
    return math.ceil(units.size / THREADS)


def _sizes(units: Any) -> tuple[np.int32, np.int32, np.uint64]:
    """Of (n, width): how many units there are in all, and in a sequence, and how to divide by that."""
    return np.int32(units.size), np.int32(units.shape[1]), reciprocal(units.shape[1])


def rnn_forward(z: Any, bias_ih: Any, bias_hh: Any, y: Any, *, relu: bool = False) -> None:
    """y (n, width) = f(z + b_ih + b_hh), z float32; all contiguous, as for what follows."""
    _rnn_forward[y.dtype, relu](_grid(y), THREADS, z, contiguous(bias_ih), contiguous(bias_hh), y, *_sizes(y))


def rnn_backward(y: Any, d_y: Any, d_h: Any, d_z: Any, *, relu: bool = False) -> None:
    """d_z = (d_y + d_h) f', d_h float32."""
    _rnn_backward[y.dtype, relu](_grid(y), THREADS, y, d_y, d_h, d_z, np.int32(y.size))


def lstm_forward(gates: Any, bias_ih: Any, bias_hh: Any, cell: Any, cell_after: Any, squashed: Any, y: Any) -> None:
    """Gates (n, 4 width) in place; c', tanh(c') and y (n, width). All float32 but the biases and y."""
    biases = contiguous(bias_ih), contiguous(bias_hh)
    _lstm_forward[y.dtype](_grid(y), THREADS, gates, *biases, cell, cell_after, squashed, y, *_sizes(y))


def lstm_backward(
    gates: Any, squashed: Any, cell: Any, d_y: Any, d_h: Any, d_cell: Any, d_cell_before: Any, d_z: Any
) -> None:
    """d_z (n, 4 width) and d_cell_before (n, width). All float32 but d_y, which may be None, and d_z."""
    _lstm_backward[d_z.dtype](
        _grid(cell), THREADS, gates, squashed, cell, d_y, d_h, d_cell, d_cell_before, d_z, *_sizes(cell)
    )


def gru_forward(
    gates: Any, products: Any, bias_ih: Any, bias_hh: Any, state: Any, state_after: Any, candidate: Any, y: Any
) -> None:
    """Gates (n, 3 width) in place; n_h and y (n, width), and y in float32 unless that is None. The rest float32 but the biases."""
    biases = contiguous(bias_ih), contiguous(bias_hh)
    _gru_forward[y.dtype](_grid(y), THREADS, gates, products, *biases, state, state_after, candidate, y, *_sizes(y))


def gru_backward(
    gates: Any, candidate: Any, state: Any, d_y: Any, d_h: Any, d_h_before: Any, d_x: Any, d_products: Any
) -> None:
    """d_x and d_products (n, 3 width), d_h_before (n, width). All float32 but d_y, d_x and d_products."""
    _gru_backward[d_x.dtype](
        _grid(state), THREADS, gates, candidate, state, d_y, d_h, d_h_before, d_x, d_products, *_sizes(state)
    )


def gru_original_gates(gates: Any, bias_ih: Any, bias_hh: Any, state: Any, reset: Any) -> None:
    """Gates r and z of (n, 3 width) in place, float32; reset (n, width) = σ(r) h, of the biases' dtype. h float32."""
    biases = contiguous(bias_ih), contiguous(bias_hh)
    _original_gates[reset.dtype](_grid(reset), THREADS, gates, *biases, state, reset, *_sizes(reset))


def gru_original_candidate(gates: Any, bias_ih: Any, bias_hh: Any, state: Any, state_after: Any, y: Any) -> None:
    """Gate n of (n, 3 width) in place; y (n, width), and y in float32 unless that is None. The rest float32 but the biases."""
    biases = contiguous(bias_ih), contiguous(bias_hh)
    _original_candidate[y.dtype](_grid(y), THREADS, gates, *biases, state, state_after, y, *_sizes(y))


def gru_original_candidate_backward(gates: Any, state: Any, d_y: Any, d_h: Any, d_h_before: Any, d_z: Any) -> None:
    """Gates z and n of d_z (n, 3 width), and d_h_before (n, width). All float32 but d_y and d_z."""
    _original_candidate_backward[d_z.dtype](
        _grid(state), THREADS, gates, state, d_y, d_h, d_h_before, d_z, *_sizes(state)
    )


def gru_original_gates_backward(gates: Any, state: Any, d_reset: Any, d_h_before: Any, d_z: Any) -> None:
    """Gate r of d_z (n, 3 width); d_h_before (n, width) is added to. All float32 but d_z."""
    _original_gates_backward[d_z.dtype](_grid(state), THREADS, gates, state, d_reset, d_h_before, d_z, *_sizes(state))
