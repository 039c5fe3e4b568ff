"""ONNX's branches and loops: graphs within a node, which see the values around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ... import Tensor, flip, moveaxis, stack

__all__ = ["CONTROL", "Inner"]

Run = Callable[[list[Any], dict[str, Any]], None]  # nodes, and the values that they read and add to


class Inner(NamedTuple):
    """A graph within a node."""

    nodes: list[Any]
    inputs: list[str]
    outputs: list[str]
    constants: dict[str, np.ndarray]

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
    if not rows and len(body.outputs) > 1 + len(carried):
        raise NotImplementedError("a Loop must run at least once where it collects what its rounds give, ran none")
    return [*carried, *stacked(rows)]


def scan(attributes: Mapping[str, Any], inputs: list[Any], around: Mapping[str, Any], run: Run) -> list[Any]:
    """A round for each slice of some inputs: what goes from round to round, and what each has given."""
    if attributes["opset"] < 9:
        raise NotImplementedError("a Scan must be of version 9 at least: that of 8 has an axis of batches")
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


def _tensor(x: Any) -> Any:
    return Tensor(x) if isinstance(x, np.ndarray) else x


CONTROL: dict[str, Callable[..., list[Any]]] = {"If": branch, "Loop": loop, "Scan": scan}
