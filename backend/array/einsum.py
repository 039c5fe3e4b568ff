"""Einstein's summation convention, from products of matrices, sums and permutations: so it is differentiable as they are."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from ..tape.tensor import Tensor
from . import elementwise, linalg, manipulation, products, reductions

__all__ = ["einsum"]

Labels = tuple[str, ...]


def einsum(equation: str, /, *operands: Tensor) -> Tensor:
    """Products of tensors, summed over the axes whose labels the result does not have.

    Parameters
    ----------
    equation : str
        A letter for each axis of each operand, operands divided by commas, and after "->" those of the result, as in
        "bij,bjk->bik". Without "->" the result has the letters that occur once, in the alphabet's order. "..." stands for
        any further axes, which are broadcast. A letter twice in one operand takes the diagonal.
    *operands : Tensor
        One for each part of the equation. An axis of length 1 is broadcast.

    Returns
    -------
    Tensor
        Of the dtype that they promote to. Operands are multiplied from left to right.

    Raises
    ------
    ValueError
        If the equation does not fit the operands, or names an axis of the result that is in none.

    Examples
    --------
    >>> weft.einsum("ij,jk->ik", weft.ones((2, 3)), weft.ones((3, 4))).shape
    (2, 4)
    >>> weft.einsum("ii", weft.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(5.)
    """
    if len(operands) == 1 and isinstance(operands[0], list | tuple):
        operands = tuple(operands[0])
    if not isinstance(equation, str):
        raise TypeError(f"`equation` must be a str such as 'ij,jk->ik', got {type(equation).__name__}")
    terms, output = _parsed(equation, [x.shape for x in operands])
    sizes = _sizes(terms, operands)
    missing = [label for label in output if label not in sizes]
    if missing or len(set(output)) < len(output):
        raise ValueError(f"each axis of the result of `equation` must be one of the operands', once, got {equation!r}")
    factors = [_without_repetition(x, term, sizes) for x, term in zip(operands, terms)]
    result, labels = factors[0]
    for i, (x, term) in enumerate(factors[1:], 1):
        later = {*output, *(label for _, t in factors[i + 1 :] for label in t)}
        result, labels = _product(
            *_summed(result, labels, {*term, *later}), *_summed(x, term, {*labels, *later}), later
        )
    result, labels = _summed(result, labels, output)
    result = manipulation.permute_dims(result, tuple(labels.index(label) for label in output if label in labels))
    return manipulation.broadcast_to(
        manipulation.reshape(result, tuple(sizes[k] if k in labels else 1 for k in output)),
        tuple(sizes[k] for k in output),
    )


def _parsed(equation: str, shapes: Sequence[tuple[int, ...]]) -> tuple[list[Labels], Labels]:
    """The labels of each operand's axes, and of the result's; those that "..." stands for are numbers, counted from the right."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    parts = left.split(",")
    if len(parts) != len(shapes):
        raise ValueError(f"`equation` must have a part for each operand, got {equation!r} for {len(shapes)}")
    for part in (*parts, right):
        if not all(c.isalpha() for c in part.replace("...", "", 1)):
            raise ValueError(f"`equation` must be of letters, commas, '...' and '->', got {equation!r}")
    spare = [len(shape) - len(part.replace("...", "")) for part, shape in zip(parts, shapes)]
    for part, shape, more in zip(parts, shapes, spare):
        if more < 0 or (more and "..." not in part):
            raise ValueError(f"`equation` must have a letter for each axis, got {part!r} for shape {shape}")
    terms = [_labels(part, more) for part, more in zip(parts, spare)]
    longest = max([more for part, more in zip(parts, spare) if "..." in part], default=0)
    if arrow:
        return terms, _labels(right, longest)
    letters = left.replace(",", "").replace("...", "")
    return terms, (*_labels("...", longest), *sorted(c for c in set(letters) if letters.count(c) == 1))


def _labels(part: str, more: int) -> Labels:
    before, dots, after = part.partition("...")
    return (*before, *(str(k) for k in range(more if dots else 0, 0, -1)), *after)


def _sizes(terms: Sequence[Labels], operands: Sequence[Tensor]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for term, x in zip(terms, operands):
        for label, n in zip(term, x.shape):
            known = sizes.setdefault(label, n)
            if 1 in (known, n):
                sizes[label] = n if known == 1 else known
            elif known != n:
                raise ValueError(f"axes {label!r} of the operands must be equally long, got {known} and {n}")
    return sizes


def _without_repetition(x: Tensor, labels: Labels, sizes: dict[str, int]) -> tuple[Tensor, Labels]:
    """Diagonals in the place of repeated labels, and no axis of length 1 that is to be broadcast."""
    narrow = tuple(i for i, (label, n) in enumerate(zip(labels, x.shape)) if n != sizes[label])
    x, labels = manipulation.squeeze(x, narrow), tuple(k for i, k in enumerate(labels) if i not in narrow)
    for label in set(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            others = [i for i in range(len(labels)) if i not in (first, second)]
            x = linalg.diagonal(manipulation.permute_dims(x, (*others, first, second)))
            labels = (*(labels[i] for i in others), label)
    return x, labels


def _summed(x: Tensor, labels: Labels, kept: Collection[str]) -> tuple[Tensor, Labels]:
    axes = tuple(i for i, label in enumerate(labels) if label not in kept)
    return reductions.sum(x, axis=axes, dtype=x.dtype) if axes else x, tuple(label for label in labels if label in kept)


def _product(x: Tensor, of_x: Labels, y: Tensor, of_y: Labels, kept: Collection[str]) -> tuple[Tensor, Labels]:
    """x y, summed over the labels of both that are not kept: a product of matrices, for each of the labels that are."""
    both = [k for k in of_x if k in of_y]
    stack, inner = [k for k in both if k in kept], [k for k in both if k not in kept]
    rows, columns = [k for k in of_x if k not in both], [k for k in of_y if k not in both]
    x = manipulation.permute_dims(x, tuple(of_x.index(k) for k in (*stack, *rows, *inner)))
    y = manipulation.permute_dims(y, tuple(of_y.index(k) for k in (*stack, *inner, *columns)))
    n, m = len(stack), len(rows)
    shape = (*x.shape[: n + m], *y.shape[y.ndim - len(columns) :])
    if inner:
        depth = math.prod(y.shape[n : n + len(inner)])
        x = manipulation.reshape(x, (*x.shape[:n], math.prod(x.shape[n : n + m]), depth))
        y = manipulation.reshape(y, (*y.shape[:n], depth, math.prod(shape[n + m :])))
        return manipulation.reshape(products.matmul(x, y), shape), (*stack, *rows, *columns)
    x = manipulation.reshape(x, (*x.shape, *(1,) * len(columns)))
    y = manipulation.reshape(y, (*y.shape[:n], *(1,) * m, *y.shape[n:]))
    return elementwise.multiply(x, y), (*stack, *rows, *columns)
