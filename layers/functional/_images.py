"""One example or a batch, sequences or images: what runs along n = 1 or 2 axes, as a batch of images and back."""

from __future__ import annotations

from ...backend.array.manipulation import reshape
from ...backend.tape.tensor import Tensor

__all__: list[str] = []


def check_axes(n: int, input: Tensor) -> None:
    """(N, C, L) or (C, L) for n = 1, (N, C, H, W) or (C, H, W) for n = 2, or ValueError."""
    if input.ndim not in (n + 1, n + 2):
        names = "N, C, L" if n == 1 else "N, C, H, W"
        raise ValueError(f"`input` must have shape ({names}) or ({names[3:]}), got {tuple(input.shape)}")


def as_images(n: int, input: Tensor) -> Tensor:
    """As (N, C, H, W): with a batch axis, and in one dimension with height 1."""
    if input.ndim == 4:
        return input
    shape = input.shape if input.ndim == n + 2 else (1, *input.shape)
    return reshape(input, (*shape[:2], 1, shape[2]) if n == 1 else shape)


def as_given(n: int, y: Tensor, input: Tensor) -> Tensor:
    """The inverse: without the axes that `input` does not have."""
    return y if input.ndim == 4 else reshape(y, (*y.shape[n + 2 - input.ndim : 2], *y.shape[4 - n :]))
