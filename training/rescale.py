"""Regression in the units of its targets: the model's last step gives them back, and the loss is blind to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..backend.array.creation import asarray
from ..backend.device.options import number
from ..backend.tape.tensor import Tensor
from ..layers.module import Module

__all__: list[str] = []


def spread(targets: np.ndarray) -> dict[str, list[float]]:
    """What `Rescale` takes, of targets (N, K): mean and standard deviation, 1 where they are all alike."""
    mean, std = targets.mean(axis=0, dtype=np.float64), targets.std(axis=0, dtype=np.float64)
    return {"mean": mean.tolist(), "std": np.where(std > 0, std, 1.0).tolist()}


class Rescale(Module):
    """From standardised outputs to the units of the targets: y = μ + σ z.

    Parameters
    ----------
    mean, std : sequence of float
        μ and σ > 0, of each of the K targets.
    device : str, optional
        Where they are made.

    Examples
    --------
    >>> Rescale([10.0], [2.0])(weft.tensor([[0.0], [1.0]])).tolist()
    [[10.0], [12.0]]
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], *, device: str | None = None):
        for name, values in (("mean", mean), ("std", std)):
            if not isinstance(values, list | tuple) or not values or len(values) != len(mean):
                raise ValueError(f"`{name}` must be a list of a number for each target, got {values!r:.60}")
            for value in values:
                number(name, value, above=0) if name == "std" else number(name, value)
        self.register_buffer("mean", asarray(np.array(mean, np.float32), device=device))
        self.register_buffer("std", asarray(np.array(std, np.float32), device=device))

    def forward(self, z: Tensor) -> Tensor:
        return self.mean + self.std * z

    def extra_repr(self) -> str:
        return f"{self.mean.shape[0]}"


class RelativeMSE(Module):
    """Mean squared error in units of the targets' standard deviation: the mean of ((ŷ − y) / σ)².

    Parameters
    ----------
    std : sequence of float
        σ > 0, of each of the K targets.
    device : str, optional
        Where they are made.

    Examples
    --------
    >>> RelativeMSE([2.0])(weft.tensor([[1.0]]), weft.tensor([[5.0]])).item()
    4.0
    """

    inverse: Tensor

    def __init__(self, std: Sequence[float], *, device: str | None = None):
        self.register_buffer("inverse", asarray(1 / np.array(std, np.float32), device=device))

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        z = (output - target) * self.inverse
        return (z * z).mean()
