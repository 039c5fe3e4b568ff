"""Work on arrays a cache-sized block at a time, so that a chain of NumPy calls reads and writes main memory once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..array.manipulation import inverse_permutation
from ..device.parallel import num_threads, parallel_for
from . import aligned

BLOCK = 1 << 20  # bytes: of a quarter, no two threads would be faster than one, which wait for each other between calls
CALM = 1 << 17  # bytes of a block of many calls, whose arrays are four or five
BUSY = 5 << 17  # and with more threads: those that begin calls often wait for each other
SMALL = 1 << 16  # bytes: below, it does not pay to tell NumPy how to go about it
ROW = 256  # elements of a row from which on a loop of its own takes less time than a copy in NumPy's buffer
APART = (
    1 << 10
)  # bytes, at a multiple of which rows have the lines of a cache of 32 KiB to themselves in eights: 64 do not fit
LINE = 16  # elements by which such rows are moved apart
FEW = 64  # elements of that buffer, where it is to be left alone
DOT = 1 << 13  # elements: OpenBLAS splits longer dot products between its threads; the result depends on how many
CPU_FLOATS = (
    np.dtype(np.float32),
    np.dtype(np.float64),
)  # that NumPy and BLAS compute in: halves they convert one by one


def blockwise(kernel: Callable, outputs: int, *inputs: Any, scratch: int = 0) -> list:
    """Fresh arrays like the first input, which `kernel(*inputs, *outputs)` fills element by element.

    The kernel sees flat blocks of all arrays, in the memory order of the first, or the arrays themselves where they fit
    in one block; behind them, arrays to work in, if it asks for `scratch`.
    """
    x = inputs[0]
    if not x.ndim:  # NumPy's functions would return scalars, which no kernel can write to
        found = blockwise(kernel, outputs, *[a.reshape(1) for a in inputs], scratch=scratch)
        return [a.reshape(()) for a in found]
    block = BLOCK if not scratch else CALM if num_threads() == 1 else BUSY
    if x.nbytes <= block:
        outs = [np.empty_like(x) for _ in range(outputs + scratch)]
        kernel(*inputs, *outs)
        return outs[:outputs]
    order = sorted(range(x.ndim), key=lambda i: -abs(x.strides[i]))
    shape = tuple(x.shape[i] for i in order)
    flat = [a.transpose(order).reshape(-1) for a in inputs]  # views, where the memory has no gaps
    flat += [aligned.empty((x.size,), x.dtype) for _ in range(outputs)]
    step = block // x.itemsize

    def run(start: int, stop: int) -> None:
        if isinstance(kernel, np.ufunc):  # alone it reads nothing twice
            kernel(*[a[start * step : stop * step] for a in flat])
            return
        own = [aligned.empty((step,), x.dtype) for _ in range(scratch)]
        for i in range(start * step, min(stop * step, x.size), step):
            kernel(*[a[i : i + step] for a in flat], *[a[: x.size - i] for a in own])

    parallel_for(run, -(-x.size // step))
    back = inverse_permutation(order)
    return [a.reshape(shape).transpose(back) for a in flat[len(inputs) :]]


def product(g: Any, slope: Any) -> Any:
    """g · slope, what an activation's backward comes to."""
    return blockwise(np.multiply, 1, g, slope)[0]


def unbuffered(row: int, work: Callable, *args: Any) -> None:
    """`work(*args)`, in which NumPy reads what is broadcast against rows of so many elements where it is.

    Left to itself it copies that, as often as it is repeated, into a buffer of 8192 elements: as much time as the product
    takes, and less than that of short loops over short rows.
    """
    if row < ROW:
        work(*args)
        return
    with np.errstate():  # which also ends the scope of the buffer's size
        np.setbufsize(FEW)
        work(*args)


def over_rows(kernel: Callable, rows: int, row_bytes: int) -> None:
    """Call `kernel(start, stop)` on blocks of rows whose bounds do not depend on the number of threads."""
    step = max(1, BLOCK // max(row_bytes, 1))
    if rows <= step:
        unbuffered(row_bytes // 4 if rows * row_bytes > SMALL else 0, kernel, 0, rows)
        return

    def run(start: int, stop: int) -> None:
        for i in range(start * step, min(stop * step, rows), step):
            kernel(i, min(i + step, rows))

    unbuffered(row_bytes // 4, parallel_for, run, -(-rows // step))


def transpose(x: Any, out: Any) -> None:
    """Write xᵀ, of the last two axes, to `out`.

    A transpose reads 64 rows or so at once. Where they lie a multiple of 1024 bytes apart, they displace each other in a
    first-level cache, and it takes two to six times as long: such rows are copied to where they do not.
    """
    if x.strides[-2] % APART == 0:
        rows = aligned.empty((*x.shape[:-1], x.shape[-1] + LINE), x.dtype)[..., : x.shape[-1]]
        rows[...] = x
        x = rows
    out[...] = x.swapaxes(-1, -2)


@functools.lru_cache(maxsize=64)
def ones(shape: Any, dtype: Any) -> Any:
    """The same array each time, to multiply by; nobody writes to it."""
    return np.ones(shape, dtype)


def row_sums(a: Any) -> Any:
    """Σⱼ aᵢⱼ, shaped (rows, 1); of more axes, over the last."""
    n = a.shape[-1]
    if a.size <= 1 << 12:  # too small for BLAS to split over its threads
        return a.dot(ones((n, 1), a.dtype))
    if n < 128:
        return np.einsum("...j->...", a)[..., None]
    return row_dots(a, ones((n,), a.dtype))  # 2.5 times as fast as `sum`, and as accurate


def row_dots(a: Any, b: Any) -> Any:
    """Σⱼ aᵢⱼ bᵢⱼ, shaped (rows, 1); of more axes, over the last."""
    if a.shape[-1] <= DOT:
        return np.vecdot(a, b)[..., None]
    total = np.vecdot(a[..., :DOT], b[..., :DOT])
    for i in range(DOT, a.shape[-1], DOT):
        total += np.vecdot(a[..., i : i + DOT], b[..., i : i + DOT])
    return total[..., None]


def exp_rows(a: Any, out: Any) -> Any:
    """Write exp(a − shift) and return the shift: None (that is, 0) where every |a| < 30, else the rows' maxima."""
    if a.size <= 1 << 12:  # Σ a² bounds the largest at a third of the cost of `max`
        bounded = np.vdot(a, a) < 30**2
    else:
        bounded = a.max() < 30 and a.min() > -30
    if bounded:
        np.exp(a, out)
        return None
    shift = np.maximum.reduce(a, axis=1, keepdims=True)
    np.subtract(a, shift, out)
    np.exp(out, out)
    return shift
