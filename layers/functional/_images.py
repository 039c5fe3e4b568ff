"""One example or a batch: what runs along n = 1, 2 or 3 axes, as a batch and back."""

from __future__ import annotations

from ...backend.array.manipulation import reshape
from ...backend.tape.tensor import Tensor

__all__: list[str] = []

SHAPES = {1: "N, C, L", 2: "N, C, H, W", 3: "N, C, D, H, W"}


def check_axes(n: int, input: Tensor) -> None:
    """(N, C, L) or (C, L) for n = 1, (N, C, H, W) or (C, H, W) for n = 2, …, or ValueError."""
    if input.ndim not in (n + 1, n + 2):
        names = SHAPES[n]
        raise ValueError(f"`input` must have shape ({names}) or ({names[3:]}), got {tuple(input.shape)}")


def as_batch(n: int, input: Tensor) -> Tensor:
    """With a batch axis."""
    return input if input.ndim == n + 2 else reshape(input, (1, *input.shape))


def as_given(n: int, y: Tensor, input: Tensor) -> Tensor:
    """Without the batch axis, if `input` has none."""
    return y if input.ndim == n + 2 else reshape(y, y.shape[1:])
