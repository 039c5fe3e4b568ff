"""Sequences of several lengths in one tensor, as `torch.nn.utils.rnn`: padded, or packed for recurrent layers.

Packed are the rows of step 0 of all sequences, longest first, then those of step 1 of the sequences that have one, …: no
row is padding. Lengths are read on the host. A captured step takes them as numbers; as a Tensor it refuses them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, NamedTuple, Self

import numpy as np

from ..backend.array.creation import asarray, full
from ..backend.array.indexing import take
from ..backend.array.manipulation import concat, reshape, stack
from ..backend.tape.recording import active
from ..backend.tape.tensor import DType, Tensor
from .functional import _check as check

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class _Packed(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_Packed):
    """Sequences of several lengths, packed, as `torch.nn.utils.rnn.PackedSequence`; `pack_padded_sequence` makes them.

    Parameters
    ----------
    data : Tensor
        The rows of all steps, (Σ lengths, …).
    batch_sizes : Tensor
        How many sequences have each step, integers on the CPU that never grow.
    sorted_indices : Tensor, optional
        Which sequence of the caller's is the k-th longest.
    unsorted_indices : Tensor, optional
        The inverse of that permutation, which is worked out unless given.

    Raises
    ------
    ValueError
        If `batch_sizes` is missing or not on the CPU.

    Examples
    --------
    >>> from weft.layers.utils.rnn import pack_sequence
    >>> pack_sequence([weft.tensor([1, 2, 3]), weft.tensor([4])])[:2]
    (tensor([1, 4, 2, 3]), tensor([2, 1, 1]))
    """

    def __new__(
        cls,
        data: Tensor,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> Self:
        if batch_sizes is None or batch_sizes.device != "cpu":
            got = None if batch_sizes is None else batch_sizes.device
            raise ValueError(f"`batch_sizes` must be a tensor on the CPU, got {got}; pack_padded_sequence makes it")
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, target: Any = None, dtype: DType = None, *, device: str | None = None) -> Self:
        """The data on another device, in another dtype, or both; indices follow it, `batch_sizes` stays.

        Parameters
        ----------
        target : str, dtype or Tensor, optional
            A device or a dtype, by name or itself, or a Tensor that has both.
        dtype : dtype, optional
            The dtype, where `target` is a device.
        device : str, optional
            The device, where `target` is a dtype.

        Returns
        -------
        PackedSequence
            Itself if there is nothing to change.
        """
        data = self.data.to(target, dtype, device=device)
        if data is self.data:
            return self
        indices = (i if i is None else i.to(device=data.device) for i in self[2:])
        return type(self)(data, self.batch_sizes, *indices)

    def cuda(self, index: int | None = None) -> Self:
        """On a GPU.

        Parameters
        ----------
        index : int, optional
            Number of the GPU; the current one unless given.

        Returns
        -------
        PackedSequence
            Itself if it is there.
        """
        return self.to("cuda" if index is None else f"cuda:{index}")

    def cpu(self) -> Self:
        """On the CPU.

        Returns
        -------
        PackedSequence
            Itself if it is there.
        """
        return self.to("cpu")

    def double(self) -> Self:
        """In float64.

        Returns
        -------
        PackedSequence
            Itself if it is.
        """
        return self.to("float64")

    def float(self) -> Self:
        """In float32.

        Returns
        -------
        PackedSequence
            Itself if it is.
        """
        return self.to("float32")

    def half(self) -> Self:
        """In float16.

        Returns
        -------
        PackedSequence
            Itself if it is.
        """
        return self.to("float16")

    @property
    def is_cuda(self) -> bool:
        """Whether the data is on a GPU."""
        return self.data.device.startswith("cuda")


def host_numbers(name: str, numbers: Any) -> tuple[int, ...]:
    """Integers that a Tensor, array or list holds, on the host."""
    recording = active()
    if isinstance(numbers, Tensor):
        if recording is not None:
            recording.note_tensor(numbers)
        numbers = numbers.detach().numpy()
    found = np.asarray(numbers)
    if found.ndim != 1:
        raise RuntimeError(f"`{name}` must have one axis, got shape {found.shape}")
    if found.size and not (np.isfinite(found).all() and (found == np.trunc(found)).all()):
        raise RuntimeError(f"`{name}` must be whole numbers, got {found.tolist()}")
    return tuple(found.astype(np.int64).tolist())


def sizes_of(sequence: PackedSequence) -> tuple[int, ...]:
    """How many sequences have each step, on the host, or RuntimeError where they cannot be those of the data."""
    data, batch_sizes, *orders = sequence
    sizes, rows = host_numbers("batch_sizes", batch_sizes), data.shape[0]
    if not sizes or sizes[-1] < 1 or list(sizes) != sorted(sizes, reverse=True) or sum(sizes) != rows:
        raise RuntimeError(
            f"`batch_sizes` must be positive, never grow and add up to the rows of `data`, {rows}, got {list(sizes)}; "
            "pack_padded_sequence makes them"
        )
    for name, order in zip(("sorted_indices", "unsorted_indices"), orders):
        if order is not None and order.shape != (sizes[0],):
            raise RuntimeError(f"`{name}` must be one for each sequence, {sizes[0]}, got shape {tuple(order.shape)}")
    return sizes


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes another.

    Parameters
    ----------
    permutation : Tensor, optional
        0 … n − 1 in some order.

    Returns
    -------
    Tensor
        Where each number stands in it; None of None.

    Examples
    --------
    >>> from weft.layers.utils.rnn import invert_permutation
    >>> invert_permutation(weft.tensor([2, 0, 1]))
    tensor([1, 2, 0])
    """
    return None if permutation is None else permutation.argsort()


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack sequences that lie padded in a tensor.

    Parameters
    ----------
    input : Tensor
        (T, N, …), or (N, T, …) with `batch_first`. What lies beyond a sequence's length is not looked at.
    lengths : Tensor or sequence of int
        The N lengths, in 1 … T.
    batch_first : bool, default False
        Whether `input` has its batch first.
    enforce_sorted : bool, default True
        Whether sequences come longest first; False sorts them, and `pad_packed_sequence` puts them back.

    Returns
    -------
    PackedSequence
        The same rows without padding.

    Raises
    ------
    RuntimeError
        If a length is not in 1 … T (PyTorch looks only at the lower bound), there are not N of them, there is no sequence,
        or they are not sorted with `enforce_sorted`.

    Examples
    --------
    >>> from weft.layers.utils.rnn import pack_padded_sequence
    >>> pack_padded_sequence(weft.tensor([[1, 2], [3, 0]]), [2, 1], batch_first=True).data
    tensor([1, 3, 2])
    """
    if check.tensor("input", input).ndim < 2:
        raise IndexError(f"`input` must have shape (T, N, …) or (N, T, …), got {tuple(input.shape)}")
    x = input.swapaxes(0, 1) if batch_first else input
    steps, count = x.shape[:2]
    sizes = host_numbers("lengths", lengths)
    _check_lengths(sizes, steps, count)
    indices = None
    if not enforce_sorted:
        order = np.argsort(-np.asarray(sizes), stable=True)
        indices, sizes = asarray(order, device=x.device), tuple(sizes[i] for i in order)
        x = take(x, indices, axis=1)
    elif list(sizes) != sorted(sizes, reverse=True):
        raise RuntimeError(
            f"`lengths` must be sorted, longest first, with enforce_sorted=True, got {list(sizes)}; pass enforce_sorted=False"
        )
    batch_sizes = [sum(length > t for length in sizes) for t in range(sizes[0])]
    parts = [reshape(x[a:b, :n], (-1, *x.shape[2:])) for a, b, n in _runs(batch_sizes)]
    return PackedSequence(_join(parts, 0), asarray(np.array(batch_sizes), device="cpu"), indices)


def _check_lengths(lengths: Sequence[int], steps: int, count: int) -> None:
    if len(lengths) != count:
        raise RuntimeError(f"`lengths` must be as many as sequences, {count}, got {len(lengths)}")
    if not lengths:
        raise RuntimeError("`input` must have sequences to pack, got none")
    if min(lengths) < 1 or max(lengths) > steps:
        raise RuntimeError(f"`lengths` must be in 1 … {steps}, the length of `input`, got {list(lengths)}")


def _runs(batch_sizes: Sequence[int]) -> list[tuple[int, int, int]]:
    """(a, b, n): the steps from a to before b have n sequences each."""
    found, a = [], 0
    for n, group in groupby(batch_sizes):
        b = a + len(list(group))
        found.append((a, b, n))
        a = b
    return found


def _join(parts: list[Tensor], axis: int) -> Tensor:
    return parts[0] if len(parts) == 1 else concat(parts, axis=axis)


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """Undo `pack_padded_sequence`.

    Parameters
    ----------
    sequence : PackedSequence
        What is packed.
    batch_first : bool, default False
        Whether the result has its batch first.
    padding_value : float, default 0.0
        What stands beyond the end of a sequence.
    total_length : int, optional
        T of the result; the longest length unless given.

    Returns
    -------
    tuple of Tensor
        (T, N, …), or (N, T, …) with `batch_first`, and the N lengths: integers on the CPU.

    Raises
    ------
    TypeError
        If `sequence` is not packed.
    RuntimeError
        If its `batch_sizes` are not those of its data.
    ValueError
        If `total_length` is less than the longest length.

    Examples
    --------
    >>> from weft.layers.utils.rnn import pack_sequence, pad_packed_sequence
    >>> pad_packed_sequence(pack_sequence([weft.tensor([1, 2]), weft.tensor([3])]), batch_first=True)
    (tensor([[1, 2],
           [3, 0]]), tensor([2, 1]))
    """
    if not isinstance(sequence, PackedSequence):
        raise TypeError(f"`sequence` must be a PackedSequence, got {type(sequence).__name__}; pack_sequence makes one")
    data, sizes = sequence.data, sizes_of(sequence)
    count, steps = sizes[0], len(sizes) if total_length is None else total_length
    if steps < len(sizes):
        raise ValueError(f"`total_length` must be at least the longest length, {len(sizes)}, got {total_length}")
    rest, parts, start = data.shape[1:], [], 0
    for a, b, n in _runs([*sizes, *(0,) * (steps - len(sizes))]):
        block = [reshape(data[start : start + (b - a) * n], (b - a, n, *rest))] if n else []
        if n < count:
            block.append(full((b - a, count - n, *rest), padding_value, dtype=data.dtype, device=data.device))
        parts.append(_join(block, 1))
        start += (b - a) * n
    x, lengths = _join(parts, 0), np.array([sum(n > k for n in sizes) for k in range(count)], np.int64)
    if sequence.unsorted_indices is not None:
        x = take(x, sequence.unsorted_indices, axis=1)
        lengths = lengths[list(host_numbers("unsorted_indices", sequence.unsorted_indices))]
    return (x.swapaxes(0, 1) if batch_first else x), asarray(lengths, device="cpu")


def pad_sequence(
    sequences: Iterable[Tensor], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Sequences of several lengths in one tensor.

    Parameters
    ----------
    sequences : iterable of Tensor
        Each (its length, …), alike in what follows.
    batch_first : bool, default False
        Whether the result has its batch first.
    padding_value : float, default 0.0
        What the shorter ones are filled up with.
    padding_side : {"right", "left"}, default "right"
        Where they are filled up: behind their end, or before their beginning.

    Returns
    -------
    Tensor
        (T, N, …), or (N, T, …) with `batch_first`, T the longest length.

    Raises
    ------
    RuntimeError
        If `sequences` is no iterable, or empty; if axes behind the first differ; or for another `padding_side`.

    Examples
    --------
    >>> from weft.layers.utils.rnn import pad_sequence
    >>> pad_sequence([weft.tensor([1, 2, 3]), weft.tensor([4])], batch_first=True, padding_side="left")
    tensor([[1, 2, 3],
           [0, 0, 4]])
    """
    if not isinstance(sequences, Iterable):
        raise RuntimeError(f"`sequences` must be an iterable of tensors, got {type(sequences).__name__}")
    given = [check.tensor("sequences", s) for s in sequences]
    if not given:
        raise RuntimeError("`sequences` must be at least one tensor, got none")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"`padding_side` must be 'left' or 'right', got {padding_side!r}")
    shapes = [tuple(s.shape) for s in given]
    if any(not shape or shape[1:] != shapes[0][1:] for shape in shapes):
        raise RuntimeError(f"`sequences` must have shapes (length, …) that agree behind the first axis, got {shapes}")
    longest = max(s.shape[0] for s in given)
    padded = []
    for s in given:
        missing = longest - s.shape[0]
        if missing:
            filling = full((missing, *s.shape[1:]), padding_value, dtype=s.dtype, device=s.device)
            s = concat([s, filling] if padding_side == "right" else [filling, s], axis=0)
        padded.append(s)
    return stack(padded, axis=0 if batch_first else 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Any, batch_first: bool = False) -> list[Tensor]:
    """The sequences that lie padded, behind their end, in a tensor.

    Parameters
    ----------
    padded_sequences : Tensor
        (T, N, …), or (N, T, …) with `batch_first`. It stays as it is, where PyTorch turns it.
    lengths : Tensor or sequence of int
        The N lengths.
    batch_first : bool, default False
        Whether the batch comes first.

    Returns
    -------
    list of Tensor
        N tensors, (length, …) each.

    Raises
    ------
    ValueError
        If there are not N lengths.

    Examples
    --------
    >>> from weft.layers.utils.rnn import unpad_sequence
    >>> unpad_sequence(weft.tensor([[1, 2], [3, 0]]), [2, 1], batch_first=True)
    [tensor([1, 2]), tensor([3])]
    """
    x, sizes = check.tensor("padded_sequences", padded_sequences), host_numbers("lengths", lengths)
    count = x.shape[0 if batch_first else 1]
    if len(sizes) != count:
        raise ValueError(f"`lengths` must be as many as sequences, {count}, got {len(sizes)}")
    return [x[k, :n] if batch_first else x[:n, k] for k, n in enumerate(sizes)]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack sequences of several lengths.

    Parameters
    ----------
    sequences : sequence of Tensor
        Each (its length, …), alike in what follows.
    enforce_sorted : bool, default True
        Whether they come longest first; False sorts them, and `unpack_sequence` puts them back.

    Returns
    -------
    PackedSequence
        What recurrent layers take.

    Examples
    --------
    >>> from weft.layers.utils.rnn import pack_sequence
    >>> pack_sequence([weft.tensor([1]), weft.tensor([2, 3])], enforce_sorted=False).data
    tensor([2, 1, 3])
    """
    given = list(sequences)
    return pack_padded_sequence(pad_sequence(given), [s.shape[0] for s in given], enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """Undo `pack_sequence`.

    Parameters
    ----------
    packed_sequences : PackedSequence
        What is packed.

    Returns
    -------
    list of Tensor
        The sequences, (length, …) each.

    Examples
    --------
    >>> from weft.layers.utils.rnn import pack_sequence, unpack_sequence
    >>> unpack_sequence(pack_sequence([weft.tensor([1, 2]), weft.tensor([3])]))
    [tensor([1, 2]), tensor([3])]
    """
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
