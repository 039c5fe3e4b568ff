"""Methods of PyTorch's that draw random numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...backend.array.random import default_generator
from ...backend.tape.tensor import Tensor, wrap

__all__ = ["METHODS"]


def _multinomial(self: Tensor, num_samples: int, replacement: bool = False, *, generator: Any = None) -> Tensor:
    weights = np.atleast_2d(np.asarray(self.detach().cpu().numpy(), np.float64))
    steps = np.cumsum(weights, -1)
    total = steps[:, -1:]
    if (weights < 0).any() or not ((total > 0) & (total < np.inf)).all():  # what is not finite makes its row's sum so
        raise RuntimeError("`multinomial` needs finite weights ≥ 0 with a sum > 0 in each row")
    uniform = (generator or default_generator).uniform((len(weights), max(num_samples, weights.shape[1])), np.float64)
    if replacement or num_samples == 1:
        u = np.minimum(
            uniform[:, :num_samples] * total, np.nextafter(total, 0)
        )  # below the sum: weights of 0 at the end
        found = (steps[:, None, :] <= u[:, :, None]).sum(-1)
    else:
        if num_samples > (few := int((weights > 0).sum(-1).min())):
            raise RuntimeError(
                f"`num_samples` without replacement must be at most {few}, the weights > 0, got {num_samples}"
            )
        with np.errstate(divide="ignore"):  # exponential races: the first to arrive
            arrival = -np.log1p(-uniform[:, : weights.shape[1]]) / weights
        found = np.argsort(arrival, -1, kind="stable")[:, :num_samples]
    found = found.astype(np.int64)
    return wrap(found if self.ndim > 1 else found[0], "cpu").to(self.device)


def _exponential(self: Tensor, lambd: float = 1.0, *, generator: Any = None) -> Tensor:
    u = (generator or default_generator).uniform(self.shape, np.float64)
    return self.copy_(wrap(np.asarray(-np.log1p(-u) / lambd), "cpu").to(self.device))


def _geometric_(x: Tensor, p: float, *, generator: Any = None) -> Tensor:
    return x.copy_((x * 0 + 1).uniform_(generator=generator).log().div(np.log1p(-p)).ceil().clamp(min=1))


def _cauchy_(x: Tensor, median: float = 0, sigma: float = 1, *, generator: Any = None) -> Tensor:
    return x.copy_(median + sigma * (np.pi * (x.clone().uniform_(generator=generator) - 0.5)).tan())


def _log_normal_(x: Tensor, mean: float = 1, std: float = 2, *, generator: Any = None) -> Tensor:
    return x.copy_(x.clone().normal_(mean, std, generator=generator).exp())


METHODS: dict[str, Callable] = {
    "multinomial": _multinomial,
    "exponential_": _exponential,
    "geometric_": _geometric_,
    "cauchy_": _cauchy_,
    "log_normal_": _log_normal_,
    "bernoulli": lambda x, p=None, *, generator=None: x.clone().bernoulli_(x if p is None else p, generator=generator),
}
