"""Batches of a data set on the host, for a device that they are copied to while it computes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..backend.array.creation import asarray
from ..backend.device.devices import kind
from ..backend.device.transfer import Parcel, Staging
from ..backend.tape.tensor import device_of, from_python, innermost
from .arrays import ArrayDataset
from .collate import each
from .prefetch import one_ahead, prefetch

__all__: list[str] = []


class Staged:
    """Batches on `device` ("cuda:…" or "emulator"), by way of page-locked memory that is used again.

    Of `arrays`, if that is given, batches are gathered right there.
    """

    def __init__(self, device: str, arrays: ArrayDataset | None = None):
        self.device, self.arrays = device, arrays
        self._idle: list[Staging] = []  # those of passes that are over

    @staticmethod
    def serves(device: str) -> bool:
        """Whether copies to this device can be waited for by the device alone."""
        return kind(device) in ("cuda", "emulator")

    def batches(self, make: Callable[[Any], Any], tasks: Iterable[Any], depth: int) -> Generator[Any, None, None]:
        """`make(task)` for each of `tasks`, with arrays of the device in the place of the host's.

        Up to `depth` batches are gathered ahead in a background thread, and one of these is sent ahead.
        """
        staging = self._idle.pop() if self._idle else Staging(self.device)
        with closing(prefetch(partial(self._gathered, staging, make), tasks, depth)) as gathered:
            sent = (batch.sent(staging) for batch in gathered)
            try:
                for batch in one_ahead(sent) if depth else sent:
                    yield batch.received(staging, self.device)
            finally:
                staging.settle()
                self._idle.append(staging)

    def _gathered(self, staging: Staging, make: Callable[[Any], Any], task: Any) -> _Gathered:
        if self.arrays is not None:
            index, data = task.index, self.arrays
            count = len(range(*index.indices(len(data)))) if isinstance(index, slice) else len(index)
            parcel = staging.parcel([((count, *a.shape[1:]), _native(a.dtype)) for a in data.arrays])
            data.gather(index, parcel.host)
            return _Gathered(parcel, data.arrays)
        batch, found = make(task), []
        each(lambda a: found.append(innermost(a)), batch)
        if not found or any(device_of(a) != "cpu" for a in found):
            return _Gathered(None, batch)
        arrays = [from_python(a) for a in found]
        parcel = staging.parcel([(a.shape, _native(a.dtype)) for a in arrays])
        for to, a in zip(parcel.host, arrays):
            to[...] = a
        return _Gathered(parcel, batch)


class _Gathered(NamedTuple):
    """A batch whose arrays are in a parcel; or as the data set gave it, where they are not on the host."""

    parcel: Parcel | None
    batch: Any

    def sent(self, staging: Staging) -> _Gathered:
        if self.parcel is not None:
            staging.send(self.parcel)
        return self

    def received(self, staging: Staging, device: str) -> Any:
        if self.parcel is None:
            return each(lambda a: asarray(a, device=device).data, self.batch)
        arrays = iter(staging.receive(self.parcel))
        return each(lambda _: next(arrays), self.batch)


def _native(dtype: np.dtype) -> np.dtype:
    """The dtype in this machine's byte order, which is the GPU's."""
    return dtype if dtype.isnative else dtype.newbyteorder("=")
