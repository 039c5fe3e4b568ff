"""Operators that draw: a node with a `seed` has a generator of its own, the others draw from the default one.

Numbers are those of `weft.Generator`: ONNX leaves them to the implementation, whatever the seed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import weft

from ....layers import functional as F
from .elementwise import DTYPES, Attributes

__all__ = ["HOST", "OPERATORS", "seeded"]


def seeded(attributes: Attributes) -> dict[str, Any]:
    """The attributes of a node, its seed as the generator that goes on from run to run."""
    if "seed" not in attributes:
        return {**attributes}
    return {**attributes, "seed": weft.Generator(int(float(attributes["seed"])) % 2**63)}


def uniform(attributes: Attributes, shape: Any, device: Any) -> Any:
    """In [0, 1), float32."""
    return weft.rand(tuple(shape), generator=attributes.get("seed"), device=device)


def _uniform(attributes: Attributes, shape: Any, device: Any) -> Any:
    low, high = attributes.get("low", 0.0), attributes.get("high", 1.0)
    return low + (high - low) * uniform(attributes, shape, device)


def _normal(attributes: Attributes, shape: Any, device: Any) -> Any:
    mean, scale = attributes.get("mean", 0.0), attributes.get("scale", 1.0)
    return mean + scale * weft.randn(tuple(shape), generator=attributes.get("seed"), device=device)


def drawn(draw: Callable[..., Any]) -> Callable[..., Any]:
    """Of the shape that is an attribute."""
    return lambda a: draw(a, a["shape"], None).astype(DTYPES[a.get("dtype", 1)])


def drawn_like(draw: Callable[..., Any]) -> Callable[..., Any]:
    """Of the shape of the input, and of its dtype if none is named."""
    return lambda a, x: draw(a, x.shape, x.device).astype(DTYPES[a["dtype"]] if "dtype" in a else x.dtype)


def bernoulli(attributes: Attributes, p: Any) -> Any:
    """1 with probability p, else 0."""
    return drawn_like(lambda a, shape, device: uniform(a, shape, device) < p)(attributes, p)


def multinomial(attributes: Attributes, logits: Any) -> Any:
    """(N, count) classes of logits (N, C): where the cumulative probabilities pass a number."""
    x = logits.detach()
    steps = weft.cumulative_sum(F.softmax(x.astype(weft.float64), -1), axis=-1)
    u = uniform(attributes, (x.shape[0], attributes.get("sample_size", 1), 1), x.device) * steps[:, None, -1:]
    return weft.sum(steps[:, None, :] <= u, axis=-1).astype(DTYPES[attributes.get("dtype", 6)])


def dropout(attributes: Attributes, x: Any, ratio: Any = None, training: Any = None) -> Any:
    """As in inference, the input and that all was kept; in training what is kept is scaled by 1/(1 − ratio)."""
    is_training = bool(training is not None and training.reshape(()).item())
    share = attributes.get("ratio", 0.5) if ratio is None else float(ratio.reshape(()).item())
    if not is_training or not share:
        return x, weft.ones(x.shape, dtype=weft.bool, device=x.device)
    kept = uniform(attributes, x.shape, x.device) >= share
    return weft.where(kept, x / (1 - share), weft.zeros_like(x)).astype(x.dtype), kept


OPERATORS: dict[str, Callable[..., Any]] = {
    "Bernoulli": bernoulli, "Dropout": dropout, "Multinomial": multinomial, "RandomNormal": drawn(_normal),
    "RandomNormalLike": drawn_like(_normal), "RandomUniform": drawn(_uniform), "RandomUniformLike": drawn_like(_uniform),
}  # fmt: skip
HOST: dict[str, tuple[int, ...]] = {"Dropout": (1, 2)}
