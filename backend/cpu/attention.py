"""Attention on NumPy, a tile of scores at a time: memory grows with the lengths of the sequences, not with their product.

Scores are made in blocks of some queries and some keys. Forward, a tile is all blocks of the same queries, and backward, all of
the same keys: what a query gets is then one sum, and so are the gradients of a key and its value; the gradient of a query
is added up. Blocks that a causal mask empties are left out. Sequences are filled up to whole blocks with keys that take no part
and queries that weigh nothing. Heads share a tile where several fit into it; threads take heads.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np

from ..array.elementwise import unbroadcast
from ..array.random import BlockRange, Generator
from ..device.dtypes import is_real_floating
from ..device.parallel import num_threads, parallel_for
from ..nn import attention as primitives
from ..nn.dropout import rescale
from ..tape.autograd import in_float32
from ..tape.recording import as_one
from . import aligned
from .blocks import CPU_FLOATS, DOT, ones, transpose

TILE = 1 << 18  # scores that are worked on at a time: 1 MiB of float32, and backward has two such tiles
LIGHT = 1 << 15  # scores of a thread's share: fewer are not worth a thread
EDGE = 64  # blocks of 64 × 64 scores: products of such matrices have a kernel in OpenBLAS that packs nothing
LEAST = {dtype: np.finfo(dtype).min for dtype in CPU_FLOATS}
GEMV = 1 << 13  # elements: OpenBLAS splits larger matrices between its threads, even for a product with a vector
LONG = 1 << 10  # queries that backward takes at once, so that long sequences need little memory
SAFE = 30.0  # scores within ±30 need no maximum taken off before exp


@primitives.scaled_dot_product_attention.on("cpu")
def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    /,
    *,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    blocks: BlockRange | None = None,
) -> Any:
    if not query.dtype == key.dtype == value.dtype or not (query.size and key.size and value.size):
        return NotImplemented
    mask = attn_mask
    if mask is not None and mask.dtype != np.bool_:
        mask = primitives.bounded(np, mask, query.dtype)
    options: dict[str, Any] = {"dropout_p": dropout_p, "is_causal": is_causal, "scale": scale, "blocks": blocks}
    if query.dtype.itemsize == 2 and is_real_floating(query.dtype):
        form = lambda xp, *raw, **static: scaled_dot_product_attention(*raw, **static)
        return in_float32(form, np, (query, key, value, mask), options)
    if query.dtype not in CPU_FLOATS:
        return NotImplemented
    one = query.shape[2] == 1 and blocks is None and not is_causal
    task = None if one else _Attention(query, key, value, mask, **options)
    out = _of_one(query, key, value, mask, scale) if task is None else task.forward()

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        nonlocal task
        if task is None:
            task = _Attention(query, key, value, mask, **options)
            task.forward()
        grad_mask = np.zeros(mask.shape, query.dtype) if any(need[3:]) else None
        grads = task.backward(g, out, grad_mask)
        return *(x if wanted else None for x, wanted in zip(grads, need)), grad_mask

    return out, vjp


@primitives.attention_up_to.on("cpu")
def attention_up_to(
    query: Any, key: Any, value: Any, attn_mask: Any, place: Any, /, *, scale: float | None = None
) -> Any:
    if query.dtype not in CPU_FLOATS or not query.dtype == key.dtype == value.dtype or not query.size:
        return NotImplemented

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        pull = primitives.attention_up_to.generic(np, query, key, value, attn_mask, place, scale=scale)[1]
        return pull(g, need, into)

    return _of_one_up_to(query, key, value, attn_mask, place, scale=scale), vjp


@as_one(may_fail=False)
def _of_one_up_to(query: Any, key: Any, value: Any, mask: Any, place: Any, *, scale: float | None) -> Any:
    n = int(place[0]) + 1
    return _of_one(query, key[:, :, :n], value[:, :, :n], None if mask is None else mask[..., :n], scale)


def _of_one(query: Any, key: Any, value: Any, mask: Any, scale: float | None) -> Any:
    """The attention of one query, as generation wants it at each step: keys and values are read where they are.

    BLAS gets products too small for it to split between its threads: `head` keys in blocks, and the rest.
    """
    (b, h, _, width), (_, g, keys, _), dtype, wide = query.shape, key.shape, query.dtype, value.shape[-1]
    factor = dtype.type(primitives.default_scale(width) if scale is None else scale)
    q = (query * factor).reshape(b, g, -1, width)
    edge = max(1, GEMV // max(width, wide))
    head = keys - keys % edge if keys > edge else 0
    scores = np.empty((*q.shape[:3], keys), dtype)
    if head:
        blocks = scores[..., :head].reshape(b, g, -1, head // edge, edge).swapaxes(2, 3)  # a view
        np.matmul(q[:, :, None], key[:, :, :head].reshape(b, g, -1, edge, width).swapaxes(3, 4), blocks)
    np.matmul(q, key[:, :, head:].swapaxes(2, 3), scores[..., head:])
    if mask is not None:
        if mask.dtype == np.bool_:
            mask = np.where(mask, dtype.type(0), dtype.type(-math.inf))
        whole = (1,) * (4 - mask.ndim) + mask.shape
        mask = mask.reshape(whole)[:, :, 0]
        scores += mask.reshape(-1, g, h // g, whole[-1]) if whole[1] == h else mask[:, :, None]
    # of scores of −∞ alone the least number is taken: −∞ − top is −∞, not NaN
    scores -= np.maximum.reduce(scores, -1, None, None, True, LEAST[dtype])  # type: ignore[call-overload]
    p = np.exp(scores, scores)
    total = p.dot(ones((DOT, 1), dtype)[:keys]) if keys <= DOT else np.add.reduce(p, axis=-1, keepdims=True)
    y = np.matmul(p[..., head:], value[:, :, head:])
    if head:
        y += np.matmul(blocks, value[:, :, :head].reshape(b, g, -1, edge, wide)).sum(axis=2)
    y /= np.maximum(total, 1, out=total)  # 1 at least, from the largest score; or 0 where no key takes part
    return y.reshape(b, h, 1, -1)


class _Heads(NamedTuple):
    """What a tile is for: some samples, some heads of keys, and one of the queries' heads that share a head of keys."""

    samples: slice
    groups: slice
    member: int

    def part(self, x: Any, rows: slice = slice(None), columns: slice = slice(None)) -> Any:
        """That of an array (B, G, H/G, L, S), any of whose axes may be 1, as (b, g, l, s): a view."""
        wanted = (*self, rows, columns)
        whole = (slice(None), slice(None), 0, slice(None), slice(None))
        return x[tuple(all_ if n == 1 else some for n, some, all_ in zip(x.shape, wanted, whole))]


class _Attention:
    """Heads (B, H) are seen as (B, G, H/G): those that share keys are next to each other."""

    def __init__(
        self, query: Any, key: Any, value: Any, mask: Any, *, dropout_p: float, is_causal: bool, scale: Any, blocks: Any
    ):
        (self.b, self.h, self.length, width), (_, self.g, self.keys, _) = query.shape, key.shape
        self.members, self.dtype, self.causal = self.h // self.g, query.dtype, is_causal
        self.scale = self.dtype.type(primitives.default_scale(width) if scale is None else scale)
        self.query, self.key, self.value = self.grouped(query), key, value
        self.mask = None if mask is None else self.grouped(mask)
        self.additive = mask is not None and mask.dtype != np.bool_
        self.p, self.blocks = dropout_p if blocks is not None else 0.0, blocks
        # Probabilities are exp(s − top) · inverse; top is 0 where no maximum needs to be taken off
        self.inverse = np.empty((self.b, self.g, self.members, self.length, 1), self.dtype)
        self.top = np.empty_like(self.inverse)
        n, c = _cut(self.keys, EDGE)
        self.transposed = aligned.empty((self.b, self.g, n, width, c), self.dtype)  # scale · Kᵀ, in blocks

    def grouped(self, x: Any) -> Any:
        """(B, H, …) as (B, G, H/G, …), and (B, 1, …) as (B, 1, 1, …), missing axes included: a view."""
        b, h, *rest = (1,) * (4 - x.ndim) + x.shape
        return x.reshape(b, *((self.g, self.members) if h == self.h else (1, 1)), *rest)

    def each(self, work: Callable[[_Heads], None], alone: bool = False) -> None:
        """`work` for all heads, as many at once as TILE has room for, and each thread its share: what a head gets is the same.

        `alone`, where heads add to the same, in an order that no number of threads changes.
        """
        count, size = self.b * self.g, EDGE * max(self.length, self.keys)
        shares = -(-count // max(1, TILE // size))
        if not alone and count * size >= (n := num_threads()) * LIGHT:
            shares = -(-shares // n) * n
        most = -(-count // min(shares, count))
        groups = min(self.g, most)
        samples = most // groups if groups == self.g else 1
        parts = [
            (slice(i, min(i + samples, self.b)), slice(j, min(j + groups, self.g)))
            for i in range(0, self.b, samples)
            for j in range(0, self.g, groups)
        ]

        def run(start: int, stop: int) -> None:
            for part in parts[start:stop]:
                for member in range(self.members):
                    work(_Heads(*part, member))

        if alone:
            run(0, len(parts))
        else:
            parallel_for(run, len(parts))

    # --- masks --------------------------------------------------------------------------------------------------------
    def cover(self, tile: Any, heads: _Heads, row: int, column: int, down: bool) -> None:
        """−∞ where a key takes no part, in blocks (…, n, r, c) from there on, `down` or to the right.

        A mask of the caller's is added, also a boolean one: NaN stays NaN then.
        """
        n, r, c = tile.shape[-3:]
        if self.mask is not None:
            rows, columns = (
                _within(row, n * r if down else r, self.length),
                _within(column, c if down else n * c, self.keys),
            )
            mask = heads.part(self.mask, rows, columns)
            if not self.additive:
                mask = np.where(mask, self.dtype.type(0), self.dtype.type(-math.inf))
            tile += _in_blocks(mask, n, r, c, down)
        for i in range(n) if down else range(n - 1, -1, -1):
            first, last = (row + i * r, column) if down else (row, column + i * c)
            if last + c > self.keys:
                tile[..., i, :, self.keys - last :] = -math.inf
            if self.causal and last + c - 1 > first:
                np.fmin(tile[..., i, :, :], _bounds(r, c, first - last, self.dtype), out=tile[..., i, :, :])
            elif not down or last + c <= self.keys:
                break

    def kept(self, heads: _Heads, rows: slice) -> Any:
        """Which probabilities of these queries are not dropped, (b, g, l, S)."""
        samples, groups = (range(s.start, s.stop) for s in heads[:2])
        each, n = -(-self.keys // primitives.DRAWS), rows.stop - rows.start
        out, blocks = np.empty((len(samples), len(groups), n, self.keys), bool), cast(BlockRange, self.blocks)
        generator = Generator(blocks.seed)  # its own: others draw in other threads
        for (i, b), (j, g) in itertools.product(enumerate(samples), enumerate(groups)):
            row = (b * self.h + g * self.members + heads.member) * self.length + rows.start
            here = BlockRange(generator, blocks.seed, blocks.counter + row * each, blocks.advance)
            out[i, j] = primitives.kept(here, (n, self.keys), self.p)
        return out

    def packed(self, heads: _Heads) -> Any:
        """`kept` for all queries, eight to a byte."""
        rows = (_within(i, EDGE, self.length) for i in range(0, self.length, EDGE))
        return np.concatenate([np.packbits(self.kept(heads, part), axis=-1) for part in rows], axis=-2)

    # --- the two passes -----------------------------------------------------------------------------------------------
    def forward(self) -> Any:
        out = np.empty_like(self.query[:, :, 0], shape=(self.b, self.h, self.length, self.value.shape[-1]))
        grouped, (n, c) = self.grouped(out), _cut(self.keys, EDGE)
        _, r = _cut(self.length, min(EDGE, max(16, TILE // self.keys)))

        def work(heads: _Heads) -> None:
            q, k, kt = heads.part(self.query), self.key[heads[:2]], self.transposed[heads[:2]]
            if not heads.member:
                _transpose(k, self.scale, kt)
            vs, tiles = _blocks(self.value[heads[:2]], n, c), _Memory(self.dtype)
            bounds = _longest(q) * _longest(k) * abs(self.scale)
            y, inverse, top = (heads.part(x) for x in (grouped, self.inverse, self.top))
            for i in range(0, self.length, r):
                rows = _within(i, r, self.length)
                last = min(n, (rows.stop - 1) // c + 1) if self.causal else n
                tile = tiles.product(q[..., None, rows, :], kt[..., :last, :, :])
                self.cover(tile, heads, i, 0, down=False)
                _least_taken_off(top[..., rows, :], tile, bounds, self.additive)
                tile -= top[..., None, rows, :]
                np.exp(tile, out=tile)
                total = np.vecdot(tile, ones((c,), self.dtype)).sum(axis=-2)[..., None]
                total[total == 0] = math.inf  # no key: 0 comes of it
                if self.p:
                    tile *= _in_blocks(self.kept(heads, rows)[..., : last * c], last, rows.stop - i, c, down=False)
                weighted = np.matmul(tile, vs[..., :last, :, :]).sum(axis=-3)
                np.multiply(weighted, self.dtype.type(rescale(self.p)) / total, out=y[..., rows, :])
                inverse[..., rows, :] = 1 / total

        self.each(work)
        return out

    def backward(self, g: Any, out: Any, grad_mask: Any) -> list[Any]:
        """The gradients of query, key and value; that of a mask of numbers is added to `grad_mask`."""
        query = self.query.reshape(self.b, self.h, *self.query.shape[3:])
        grads = [np.empty_like(x) for x in (query, self.key, self.value)]
        arrays = [self.grouped(x) for x in (g, out, grads[0])]
        of_mask = None if grad_mask is None else self.grouped(grad_mask)

        def work(heads: _Heads) -> None:
            keys = (x[heads[:2]] for x in (self.key, self.value, *grads[1:]))
            self.backward_heads(heads, tuple(heads.part(x) for x in arrays), tuple(keys), of_mask)

        self.each(work, alone=grad_mask is not None)
        return grads

    def backward_heads(self, heads: _Heads, of_queries: tuple, of_keys: tuple, grad_mask: Any) -> None:
        (g, y, grad_q), (k, v, grad_k, grad_v) = of_queries, of_keys
        (n, r), (m, c) = _cut(self.length, EDGE), _cut(self.keys, EDGE)
        top = _blocks(heads.part(self.top), n, r)
        bits = self.packed(heads) if self.p else None
        # With exp(s) for P its factor goes to g and δ; and to take off δ is part of a product with a column more
        inverse, wide = heads.part(self.inverse), aligned.empty((*g.shape[:-1], g.shape[-1] + 1), self.dtype)
        np.multiply(g, inverse, out=wide[..., :-1])
        np.multiply(np.vecdot(g, y)[..., None], -inverse, out=wide[..., -1:])
        q, wide = _blocks(heads.part(self.query), n, r), _blocks(wide, n, r)
        gs, minus_delta = wide[..., :-1], wide[..., -1:]
        ks, kt = _blocks(k, m, c), self.transposed[heads[:2]]
        vt = np.ones((*v.shape[:-2], 1, v.shape[-1] + 1, c), self.dtype)
        in_rows = n * r == self.length and grad_q.strides[-2] == grad_q.shape[-1] * grad_q.itemsize
        dq = grad_q.reshape(q.shape) if in_rows else np.empty(q.shape, self.dtype)
        first, second = _Memory(self.dtype), _Memory(self.dtype)
        each = max(1, min(TILE // (math.prod(q.shape[:-3]) * r * c), LONG // r))
        for j in range(0, self.keys, c):
            columns = _within(j, c, self.keys)
            sums: list[Any] = []
            _transpose(v[..., columns, :], None, vt[..., :-1, :])
            for start in range(j // r if self.causal else 0, n, each):
                rows = slice(start, min(start + each, n))
                p = first.product(q[..., rows, :, :], kt[..., j // c, None, :, :])
                self.cover(p, heads, start * r, j, down=True)
                p -= top[..., rows, :, :]
                np.exp(p, out=p)
                ds, weights = second.product(wide[..., rows, :, :], vt), p
                if bits is not None:
                    there = _unpacked(bits[..., _within(start * r, (rows.stop - start) * r, self.length), :], columns)
                    weights = _in_blocks(there, rows.stop - start, r, c, down=True) * self.dtype.type(rescale(self.p))
                    ds -= minus_delta[..., rows, :, :]
                    ds *= weights
                    ds += minus_delta[..., rows, :, :]
                    weights *= p
                ds *= p
                parts = [np.matmul(a.mT, b[..., rows, :, :]).sum(axis=-3) for a, b in ((ds, q), (weights, gs))]
                sums = [a + b for a, b in zip(sums, parts)] if sums else parts
                if j:
                    dq[..., rows, :, :] += np.matmul(ds, ks[..., j // c, None, :, :])
                else:
                    np.matmul(ds, ks[..., 0, None, :, :], out=dq[..., rows, :, :])
                if grad_mask is not None:
                    there = heads.part(grad_mask, _within(start * r, (rows.stop - start) * r, self.length), columns)
                    flat = ds.reshape(*ds.shape[:-3], -1, c)
                    there += unbroadcast(np, flat[..., : self.length - start * r, : columns.stop - j], there)
            for gradient, d, factor in zip((grad_k, grad_v), sums or (0, 0), (self.scale, self.dtype.type(1))):
                d = d[..., : columns.stop - j, :] if sums else self.dtype.type(0)
                if heads.member:
                    gradient[..., columns, :] += d * factor
                else:
                    np.multiply(d, factor, out=gradient[..., columns, :])
        dq = dq.reshape(*dq.shape[:-3], n * r, dq.shape[-1])[..., : self.length, :]
        np.multiply(dq, self.scale, out=grad_q)


# --- blocks -----------------------------------------------------------------------------------------------------------
def _cut(length: int, most: int) -> tuple[int, int]:
    """How many blocks of at most so many rows, and of how many they are: as even as can be."""
    count = -(-length // most)
    return count, -(-length // count)


def _within(start: int, count: int, end: int) -> slice:
    return slice(start, min(start + count, end))


def _blocks(x: Any, n: int, size: int) -> Any:
    """x (…, L, E) as (…, n, size, E), zeros at the end: a copy, unless it is so already."""
    *lead, length, width = x.shape
    if length != n * size:
        whole = np.empty((*lead, n * size, width), x.dtype)
        whole[..., :length, :], whole[..., length:, :] = x, 0
        x = whole
    return np.ascontiguousarray(x).reshape(*lead, n, size, width)


def _transpose(x: Any, factor: Any, out: Any) -> None:
    """x (…, L, E), times a factor, to (…, n, E, size), zeros at the end."""
    n, size = out.shape[-3], out.shape[-1]
    for i in range(n):
        part = x[..., i * size : (i + 1) * size, :]
        there = out[..., i, :, : part.shape[-2]]
        transpose(part, there)
        if factor is not None:
            there *= factor
        out[..., i, :, part.shape[-2] :] = 0


def _in_blocks(x: Any, n: int, r: int, c: int, down: bool) -> Any:
    """x (…, rows, columns) in blocks (…, n, r, c) below or beside each other, filled up with zeros; axes of 1 stay so."""
    rows, columns = (n * r, c) if down else (r, n * c)
    *lead, have_rows, have_columns = x.shape
    rows, columns = rows if have_rows > 1 else 1, columns if have_columns > 1 else 1
    if (rows, columns) != (have_rows, have_columns):
        whole = np.zeros((*lead, rows, columns), x.dtype)
        whole[..., :have_rows, :have_columns] = x
        x = whole
    if down:
        return x.reshape(*lead, *((n, r) if rows > 1 else (1, 1)), columns)
    return np.moveaxis(x.reshape(*lead, rows, *((n, c) if columns > 1 else (1, 1))), -2, -3)


def _unpacked(bits: Any, columns: slice) -> Any:
    first = columns.start // 8
    taken = np.unpackbits(bits[..., first : -(-columns.stop // 8)], axis=-1)
    return taken[..., columns.start - 8 * first : columns.stop - 8 * first]


@as_one(writes=True, may_fail=False)
def _least_taken_off(top: Any, tile: Any, bounds: Any, is_additive: bool) -> None:
    """To top what scores, in blocks (…, n, r, c), need taken off before exp: nothing of a head's within ±its bound, else maxima."""
    is_wide = ~(bounds < SAFE) | is_additive  # NaN is, too
    if not is_wide.any():
        top[...] = 0
        return
    np.max(tile, axis=(-3, -1), out=top[..., 0])
    top[(top == -math.inf) | ~is_wide[..., None, None]] = 0


def _longest(x: Any) -> Any:
    """The largest norm of a head's rows."""
    return np.sqrt(np.max(np.vecdot(x, x), axis=-1).astype(np.float64))


@functools.lru_cache(maxsize=64)
def _bounds(r: int, c: int, ahead: int, dtype: Any) -> Any:
    """−∞ where key j > query i + ahead, else ∞: the least of it and a score, even of NaN, is what a causal mask leaves."""
    return np.where(np.arange(c) > np.arange(r)[:, None] + ahead, -math.inf, math.inf).astype(dtype)


class _Memory:
    """Memory for tiles, one after the other."""

    def __init__(self, dtype: Any):
        self.memory = np.empty(0, dtype)

    def product(self, a: Any, b: Any) -> Any:
        """a b, in the place of the tile before."""
        shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
        size = math.prod(shape)
        if size > self.memory.size:
            self.memory = aligned.empty((size,), self.memory.dtype)
        return np.matmul(a, b, out=self.memory[:size].reshape(shape))
