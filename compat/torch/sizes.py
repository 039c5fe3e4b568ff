"""`torch.Size`."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["Size"]


class Size(tuple):
    """The length of each axis, as PyTorch shows it."""

    __slots__ = ()

    def numel(self) -> int:
        """How many elements a tensor of this shape has.

        Returns
        -------
        int
            The product.
        """
        return math.prod(self)

    def __getitem__(self, key: Any) -> Any:
        found = tuple.__getitem__(self, key)
        return Size(found) if isinstance(key, slice) else found

    def __add__(self, other: Any) -> Size:
        return Size(tuple.__add__(self, tuple(other)))

    def __repr__(self) -> str:
        return f"torch.Size({list(self)})"
