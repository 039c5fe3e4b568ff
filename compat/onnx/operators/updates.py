"""Steps of optimizers as operators: rate, count and then, for all tensors, x, gradients g, and one state after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import weft

from .elementwise import Attributes

__all__ = ["HOST", "OPERATORS"]


def each(count: int) -> Callable[..., Any]:
    """Of a rule for one tensor, with `count` states, one for all: what it gives comes kind by kind."""

    def of(rule: Callable[..., Any]) -> Callable[..., Any]:
        def run(attributes: Attributes, rate: Any, t: Any, *given: Any) -> tuple[Any, ...]:
            n = len(given) // (2 + count)
            found = []
            for i in range(n):
                x, g, *state = given[i::n]
                found.append(rule(attributes, rate, int(t), x, g + attributes.get("norm_coefficient", 0.0) * x, *state))
            return tuple(value for kind in zip(*found) for value in kind)

        return run

    return of


@each(1)
def adagrad(attributes: Attributes, rate: Any, t: int, x: Any, g: Any, h: Any) -> tuple[Any, ...]:
    """x − r g / (√h + ε), h summing g², r falling with t."""
    h = h + g * g
    r = rate / (1 + t * attributes.get("decay_factor", 0.0))
    return x - r * g / (weft.sqrt(h) + attributes.get("epsilon", 1e-6)), h


@each(2)
def adam(attributes: Attributes, rate: Any, t: int, x: Any, g: Any, v: Any, h: Any) -> tuple[Any, ...]:
    """x − r v / (√h + ε), v and h the running means of g and g², r corrected for their start."""
    alpha, beta = attributes.get("alpha", 0.9), attributes.get("beta", 0.999)
    v, h = alpha * v + (1 - alpha) * g, beta * h + (1 - beta) * g * g
    r = rate * (1 - beta**t) ** 0.5 / (1 - alpha**t) if t > 0 else rate
    new = x - r * v / (weft.sqrt(h) + attributes.get("epsilon", 1e-6))
    return (1 - attributes.get("norm_coefficient_post", 0.0)) * new, v, h


@each(1)
def momentum(attributes: Attributes, rate: Any, t: int, x: Any, g: Any, v: Any) -> tuple[Any, ...]:
    """x − rate · v, v = α v + β g; Nesterov's goes along g + α v."""
    alpha = attributes["alpha"]
    v = alpha * v + (attributes["beta"] if t > 0 else 1.0) * g
    return x - rate * (g + alpha * v if attributes["mode"] == b"nesterov" else v), v


OPERATORS: dict[str, Callable[..., Any]] = {"Adagrad": adagrad, "Adam": adam, "Momentum": momentum}
HOST: dict[str, tuple[int, ...]] = dict.fromkeys(OPERATORS, (1,))
