"""Operators with graphs within them, which see the values around: branches, loops, and attention that one changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ... import Tensor, flip, moveaxis, stack
from .operators.attention import flex_attention

__all__ = ["CONTROL", "Inner"]

MODIFIERS = ("score_mod", "prob_mod")
Run = Callable[[list[Any], dict[str, Any]], None]  # nodes, and the values that they read and add to


class Inner(NamedTuple):
    """A graph within a node."""

    nodes: list[Any]
    inputs: list[str]
    outputs: list[str]
    constants: dict[str, np.ndarray]
    nothing: list[np.ndarray | None]  # none of each output, one below the other, where its shape is known

    def __call__(self, around: Mapping[str, Any], given: list[Any], run: Run) -> list[Any]:
        """The results for its inputs, where it stands."""
        values = {**around, **self.constants, **dict(zip(self.inputs, given))}
        run(self.nodes, values)
        return [values[name] for name in self.outputs]


def truth(x: Any) -> bool:
    """A condition, which decides on the host."""
    return bool(np.asarray(x.detach().cpu().numpy() if isinstance(x, Tensor) else x).reshape(())[()])


def branch(attributes: Mapping[str, Any], inputs: list[Any], around: Mapping[str, Any], run: Run) -> list[Any]:
    """One graph or the other."""
    chosen: Inner = attributes["then_branch" if truth(inputs[0]) else "else_branch"]
    return chosen(around, [], run)


def stacked(rows: list[list[Any]]) -> list[Any]:
    """What each round has given, along a new first axis."""
    return [np.stack(of) if all(isinstance(x, np.ndarray) for x in of) else stack(of, axis=0) for of in zip(*rows)]


def loop(attributes: Mapping[str, Any], inputs: list[Any], around: Mapping[str, Any], run: Run) -> list[Any]:
    """As often as it is told, while its condition holds: what goes from round to round, and what each has given."""
    body: Inner = attributes["body"]
    most, condition, *carried = [*inputs, None, None][: max(2, len(inputs))]
    limit = (
        np.inf
        if most is None
        else int(np.asarray(most.cpu().numpy() if isinstance(most, Tensor) else most).reshape(()))
    )
    rows: list[list[Any]] = []
    going, i = condition is None or truth(condition), 0
    while going and i < limit:
        again, *found = body(around, [np.asarray(i), np.asarray(True), *carried], run)
        carried, row = found[: len(carried)], found[len(carried) :]
        rows.append(row)
        going, i = truth(again), i + 1
    collected = stacked(rows) if rows else body.nothing[1 + len(carried) :]
    if any(x is None for x in collected):
        raise NotImplementedError("a Loop must run at least once where it collects values of unknown shape, ran none")
    return [*carried, *collected]


def scan(attributes: Mapping[str, Any], inputs: list[Any], around: Mapping[str, Any], run: Run) -> list[Any]:
    """A round for each slice of some inputs: what goes from round to round, and what each has given."""
    if attributes["opset"] < 9:
        return _of_batches(attributes, inputs, around, run)
    body, count = attributes["body"], attributes["num_scan_inputs"]
    states, given = inputs[: len(inputs) - count], inputs[len(inputs) - count :]
    axes = attributes.get("scan_input_axes", [0] * count)
    backwards = attributes.get("scan_input_directions", [0] * count)
    moved = [moveaxis(_tensor(x), axis, 0) for x, axis in zip(given, axes)]
    moved = [flip(x, axis=0) if back else x for x, back in zip(moved, backwards)]
    rows: list[list[Any]] = []
    for i in range(moved[0].shape[0]):
        found = body(around, [*states, *(x[i, ...] for x in moved)], run)
        states = found[: len(states)]
        rows.append(found[len(states) :])
    outs = [_tensor(x) for x in stacked(rows)]
    axes = attributes.get("scan_output_axes", [0] * len(outs))
    backwards = attributes.get("scan_output_directions", [0] * len(outs))
    outs = [flip(x, axis=0) if back else x for x, back in zip(outs, backwards)]
    return [*states, *(moveaxis(x, 0, axis) for x, axis in zip(outs, axes))]


def _of_batches(attributes: Mapping[str, Any], inputs: list[Any], around: Mapping[str, Any], run: Run) -> list[Any]:
    """Version 8: the first axis is that of batches, whose sequences come before all other inputs."""
    lengths, *given = inputs
    if lengths is not None:
        raise NotImplementedError("`sequence_lens` must be left out, got lengths")
    new = {"num_scan_inputs": attributes["num_scan_inputs"], "body": attributes["body"], "opset": 9}
    new["scan_input_directions"] = attributes.get("directions", [0] * attributes["num_scan_inputs"])
    tensors = [_tensor(x) for x in given]
    return stacked([scan(new, [x[i, ...] for x in tensors], around, run) for i in range(tensors[0].shape[0])])


def _tensor(x: Any) -> Any:
    return Tensor(x) if isinstance(x, np.ndarray) else x


def attention(attributes: Mapping[str, Any], inputs: list[Any], around: Mapping[str, Any], run: Run) -> list[Any]:
    """With graphs that change its scores and its probabilities."""
    changes = [
        lambda x, name=name: attributes[name](around, [x], run)[0] if name in attributes else x for name in MODIFIERS
    ]
    return [flex_attention(attributes, *map(_tensor, inputs), *changes)]


CONTROL: dict[str, Callable[..., list[Any]]] = {"FlexAttention": attention, "If": branch, "Loop": loop, "Scan": scan}
