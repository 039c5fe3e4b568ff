"""Data sets that are arrays in memory: `ArrayDataset`, and `DataSplits`, which holds the training and the test set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..backend.array.creation import asarray
from ..backend.device import dtypes
from ..backend.device.devices import namespace
from ..backend.tape.tensor import Tensor, device_of, innermost

__all__ = ["ArrayDataset", "DataSplits"]


class ArrayDataset:
    """Arrays of equal length, indexed together: sample i is `(arrays[0][i], arrays[1][i], …)`.

    PyTorch's `TensorDataset`, whose `__getitems__` gathers a batch in one call, as `dataset[indices]` does. A subclass that
    redefines `__getitem__` is asked for single samples.

    Parameters
    ----------
    *arrays : array of shape (N, …)
        The inputs x, then the targets y and whatever else belongs to a sample: NumPy arrays, arrays or Tensors on
        another device, or lists. They are not copied.

    Attributes
    ----------
    arrays : tuple of array
        All of them, raw.
    device : str
        Where they lie.

    Raises
    ------
    ValueError
        If the lengths or the devices differ.

    Notes
    -----
    A data set is read-only: its NumPy arrays are views that refuse assignment, so that a batch or an in-place transform
    can never change the data it came from.

    Examples
    --------
    >>> data = ArrayDataset(np.arange(12.0).reshape(4, 3), np.array([0, 1, 0, 1]))
    >>> len(data)
    4
    >>> x, y = data[np.array([3, 0])]
    >>> x
    array([[ 9., 10., 11.],
           [ 0.,  1.,  2.]])
    """

    def __init__(self, *arrays: Any):
        if not arrays:
            raise ValueError("`arrays` must hold at least one array, got none")
        # Each stays where it lies, whatever the default device.
        tensors = [a if isinstance(a, Tensor) else asarray(a, device=device_of(a)) for a in arrays]
        lengths = [t.shape[0] if t.ndim else None for t in tensors]
        if None in lengths or len(set(lengths)) > 1:
            shapes = ", ".join(str(tuple(t.shape)) for t in tensors)
            raise ValueError(f"`arrays` must agree in their first axis, the samples, got shapes {shapes}")
        devices = sorted({t.device for t in tensors})
        if len(devices) > 1:
            raise ValueError(f"`arrays` must lie on one device, got {devices}; use .to(device)")
        self.device = devices[0]
        self.arrays = tuple(_read_only(innermost(t)) for t in tensors)

    @property
    def x(self) -> Any:
        """The inputs, the first array.

        Examples
        --------
        >>> ArrayDataset([1, 2], [3, 4]).x
        array([1, 2])
        """
        return self.arrays[0]

    @property
    def y(self) -> Any:
        """The targets, the second array; None if there is only one.

        Examples
        --------
        >>> ArrayDataset([1, 2], [3, 4]).y
        array([3, 4])
        """
        return self.arrays[1] if len(self.arrays) > 1 else None

    @property
    def nbytes(self) -> int:
        """The size of all arrays, in bytes.

        Examples
        --------
        >>> ArrayDataset(np.zeros((4, 3), np.uint8), np.zeros(4)).nbytes
        44
        """
        return sum(a.size * dtypes.of(a).itemsize for a in self.arrays)

    def __len__(self) -> int:
        return self.arrays[0].shape[0]

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        """One entry per array: a sample for an int, a batch for a slice or an array of integers.

        On the CPU an int or a slice gives views; on other devices, and for integer arrays, the result is a copy.
        """
        if isinstance(index, int | np.integer):
            if not -len(self) <= index < len(self):
                raise IndexError(f"`index` must be in [{-len(self)}, {len(self)}), got {index}")
            return tuple(a[int(index), ...] for a in self.arrays)
        if isinstance(index, slice):
            if self.device == "cpu":
                return tuple(a[index] for a in self.arrays)
            start, stop, step = index.indices(len(self))
            if step == 1:
                xp, part = namespace(self.device), slice(start, max(start, stop))
                return tuple(xp.asarray(a[part, ...], copy=True) for a in self.arrays)
            index = np.arange(start, stop, step)
        index = self.indices(index)
        xp = namespace(self.device)
        return tuple(xp.take(a, index, axis=0) for a in self.arrays)

    def __getitems__(self, indices: Any) -> tuple[Any, ...]:
        """The batch of these samples, gathered at once: `self[indices]`."""
        return self[indices]

    def gather(self, index: Any, out: Sequence[np.ndarray]) -> None:
        """Write `self[index]` to memory that is there already.

        Indices beyond the ends wrap around.

        Parameters
        ----------
        index : slice or array of int
            Which samples.
        out : sequence of array
            One for each array of the data; arrays of the host, as the data's must be.

        Examples
        --------
        >>> batch = np.empty(2, int)
        >>> ArrayDataset(np.arange(5) * 10).gather(np.array([4, 2]), [batch])
        >>> batch
        array([40, 20])
        """
        for a, to in zip(self.arrays, out):
            if isinstance(index, slice):
                to[...] = a[index]
            else:
                np.take(a, index, axis=0, out=to, mode="wrap")  # "raise" would go by way of a temporary array

    def indices(self, index: Any) -> Any:
        """Integer indices as an array on the device of the data; those that are there already cost nothing.

        Parameters
        ----------
        index : array of int
            Indices, on the host or on the device.

        Returns
        -------
        array of int
            The same indices there.

        Raises
        ------
        TypeError
            If they are no integers.

        Examples
        --------
        >>> ArrayDataset(np.arange(5)).indices([4, 2])
        array([4, 2])
        """
        if self.device != "cpu":
            return asarray(index, device=self.device).data
        index = np.asarray(index)
        if index.dtype.kind not in "iu":
            raise TypeError(f"`index` must be an int, a slice or an array of integers, got dtype {index.dtype}")
        return index

    def subset(self, indices: Any) -> ArrayDataset:
        """The samples at `indices`, as a data set of its own.

        Parameters
        ----------
        indices : slice or array of int
            Which samples.

        Returns
        -------
        ArrayDataset
            These samples.

        Examples
        --------
        >>> ArrayDataset(np.arange(5) * 10).subset([4, 2]).x
        array([40, 20])
        """
        return ArrayDataset(*self[indices])

    def to(self, device: str) -> ArrayDataset:
        """The same data resident on a device.

        A loader then gathers every batch there, and the host is out of the way.

        Parameters
        ----------
        device : str
            Such as "cuda".

        Returns
        -------
        ArrayDataset
            The data there; itself if it is there already.

        Examples
        --------
        >>> ArrayDataset(np.zeros((4, 3))).to("cpu").device
        'cpu'
        """
        return self if device == self.device else ArrayDataset(*(asarray(a, device=device) for a in self.arrays))

    def __repr__(self) -> str:
        parts = ", ".join(f"{tuple(a.shape)} {a.dtype}" for a in self.arrays)
        return f"ArrayDataset({parts}{'' if self.device == 'cpu' else f', device={self.device!r}'})"


def _read_only(array: Any) -> Any:
    if isinstance(array, np.ndarray):
        array = array.view()
        array.flags.writeable = False
    return array


@dataclass(frozen=True, repr=False)
class DataSplits:
    """A data set with its training and test parts, perhaps a development part between them.

    Parameters
    ----------
    train : ArrayDataset
        What to learn from.
    test : ArrayDataset
        What to judge by, once.
    dev : ArrayDataset, optional
        What to choose hyper-parameters by.
    class_names : tuple of str, default ()
        Of the classes; empty where the targets are no classes.
    name : str, default "data"
        Of the data set.
    feature_names : tuple of str, default ()
        Of the columns of x, where they have names.

    Raises
    ------
    ValueError
        If samples of the parts differ in shape.

    Examples
    --------
    >>> part = ArrayDataset(np.zeros((4, 1, 8, 8), np.uint8), np.array([0, 1, 0, 1]))
    >>> DataSplits(part, part, class_names=("cat", "dog"), name="pets")
    pets: train 4, test 4, samples (1, 8, 8) uint8, 2 classes
    """

    train: ArrayDataset
    test: ArrayDataset
    dev: ArrayDataset | None = None
    class_names: tuple[str, ...] = ()
    name: str = "data"
    feature_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for part, required in (("train", True), ("test", True), ("dev", False)):
            data = getattr(self, part)
            if not isinstance(data, ArrayDataset) and (required or data is not None):
                raise TypeError(f"`{part}` must be an ArrayDataset, got {data!r:.80}")
        for part, data in self._parts():
            if data.x.shape[1:] != self.sample_shape:
                raise ValueError(
                    f"`{part}` must have samples of shape {self.sample_shape} as `train` has, "
                    f"got {tuple(data.x.shape[1:])}"
                )

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one input, without the batch axis: (C, H, W) for images.

        Examples
        --------
        >>> part = ArrayDataset(np.zeros((4, 1, 8, 8), np.uint8), np.array([0, 1, 0, 1]))
        >>> splits = DataSplits(part, part, class_names=("cat", "dog"))
        >>> splits.sample_shape
        (1, 8, 8)
        """
        return tuple(self.train.x.shape[1:])

    @property
    def num_classes(self) -> int | None:
        """How many classes there are; None where the targets are no classes.

        Examples
        --------
        >>> part = ArrayDataset(np.zeros((4, 1, 8, 8), np.uint8), np.array([0, 1, 0, 1]))
        >>> splits = DataSplits(part, part, class_names=("cat", "dog"))
        >>> splits.num_classes
        2
        """
        return len(self.class_names) or None

    def to(self, device: str) -> DataSplits:
        """All parts resident on a device (see `ArrayDataset.to`).

        Parameters
        ----------
        device : str
            Such as "cuda".

        Returns
        -------
        DataSplits
            The parts there.

        Examples
        --------
        >>> part = ArrayDataset(np.zeros((4, 1, 8, 8), np.uint8), np.array([0, 1, 0, 1]))
        >>> splits = DataSplits(part, part, class_names=("cat", "dog"))
        >>> splits.to("cpu").train.device
        'cpu'
        """
        dev = None if self.dev is None else self.dev.to(device)
        return replace(self, train=self.train.to(device), test=self.test.to(device), dev=dev)

    def _parts(self) -> list[tuple[str, ArrayDataset]]:
        parts = [("train", self.train), ("dev", self.dev), ("test", self.test)]
        return [(part, data) for part, data in parts if data is not None]

    def __repr__(self) -> str:
        counts = ", ".join(f"{part} {len(data)}" for part, data in self._parts())
        classes = f", {self.num_classes} classes" if self.num_classes else ""
        return f"{self.name}: {counts}, samples {self.sample_shape} {self.train.x.dtype}{classes}"
