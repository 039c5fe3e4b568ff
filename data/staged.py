"""Batches of a data set on the host, for a device that they are copied to while it computes."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..backend.array.creation import asarray
from ..backend.device.devices import kind
from ..backend.device.transfer import Parcel, Staging
from ..backend.tape.tensor import device_of, from_python, innermost
from .arrays import ArrayDataset
from .prefetch import one_ahead, prefetch

__all__: list[str] = []


class Staged:
    """The batches of `dataset` on `device` ("cuda:…" or "emulator"), by way of page-locked memory that is used again."""

    def __init__(self, dataset: Any, device: str):
        self.dataset, self.device = dataset, device
        self._idle: list[Staging] = []  # those of passes that are over

    @staticmethod
    def serves(device: str) -> bool:
        """Whether copies to this device can be waited for by the device alone."""
        return kind(device) in ("cuda", "emulator")

    def batches(self, indices: Iterable[Any], depth: int) -> Generator[Any, None, None]:
        """`dataset[index]` for each of `indices`, as an array of the device or a tuple of them.

        Up to `depth` batches are gathered ahead in a background thread, and one of these is sent ahead.
        """
        staging = self._idle.pop() if self._idle else Staging(self.device)
        with closing(prefetch(partial(self._gathered, staging), indices, depth)) as gathered:
            sent = (batch.sent(staging) for batch in gathered)
            try:
                for batch in one_ahead(sent) if depth else sent:
                    yield batch.received(staging, self.device)
            finally:
                staging.settle()
                self._idle.append(staging)

    def _gathered(self, staging: Staging, index: Any) -> _Gathered:
        if type(self.dataset) is ArrayDataset:
            count = len(range(*index.indices(len(self.dataset)))) if isinstance(index, slice) else len(index)
            parcel = staging.parcel([((count, *a.shape[1:]), _native(a.dtype)) for a in self.dataset.arrays])
            self.dataset.gather(index, parcel.host)
            return _Gathered(parcel, True)
        batch = self.dataset[index]
        is_tuple = isinstance(batch, tuple | list)
        arrays = [innermost(a) for a in (batch if is_tuple else [batch])]
        if any(device_of(a) != "cpu" for a in arrays):
            return _Gathered(None, is_tuple, arrays)
        arrays = [from_python(a) for a in arrays]
        parcel = staging.parcel([(a.shape, _native(a.dtype)) for a in arrays])
        for to, a in zip(parcel.host, arrays):
            to[...] = a
        return _Gathered(parcel, is_tuple)


class _Gathered(NamedTuple):
    """A batch in a parcel; or as the data set gave it, where that is not on the host."""

    parcel: Parcel | None
    is_tuple: bool
    arrays: Sequence[Any] = ()

    def sent(self, staging: Staging) -> _Gathered:
        if self.parcel is not None:
            staging.send(self.parcel)
        return self

    def received(self, staging: Staging, device: str) -> Any:
        if self.parcel is not None:
            arrays = staging.receive(self.parcel)
        else:
            arrays = [asarray(a, device=device).data for a in self.arrays]
        return tuple(arrays) if self.is_tuple else arrays[0]


def _native(dtype: np.dtype) -> np.dtype:
    """The dtype in this machine's byte order, which is the GPU's."""
    return dtype if dtype.isnative else dtype.newbyteorder("=")
