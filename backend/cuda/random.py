"""Random numbers drawn where they are needed."""

from __future__ import annotations

from typing import Any

from ...kernels import random as kernels
from ..array import random
from ..array.random import BlockRange


@random.on("cuda")
@random.on("emulator")
def draw(what: str, xp: Any, shape: tuple[int, ...], dtype: Any, blocks: BlockRange, *numbers: int) -> Any:
    return kernels.draw(what, xp.empty(shape, dtype=dtype), blocks.stream, *numbers)
