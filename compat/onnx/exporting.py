"""A model as an ONNX file: what it does in evaluation mode, operation by operation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...backend.device.devices import to_numpy
from ...backend.modes.trace import TracedOperation
from ...backend.tape.autograd import no_grad
from ...backend.tape.tensor import Tensor, innermost
from ...layers.evaluating import evaluating
from .export_file import model_of, write
from .export_graph import Axis, ExportError, Graph, Step
from .export_layers import HANDLERS
from .export_trace import axes_and_runs, axes_of_shapes, can_be_taken_apart, trace

__all__ = ["ExportError", "export"]

LARGEST = 2**31 - 2**20  # bytes of one protobuf message, with room for the graph


def export(
    model: Any,
    args: Any,
    path: Any,
    *,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    dynamic_axes: Mapping[str, Mapping[int, str] | Sequence[int]] | None = None,
    dynamic_shapes: Mapping[str, Any] | Sequence[Any] | None = None,
    opset: int | None = None,
    external_above: int = LARGEST,
) -> None:
    """Write what `model(*args)` computes in evaluation mode as an ONNX graph.

    The model runs twice, at two sizes of the dynamic axes: lengths that follow from them become part of the graph, and
    anything else that differs between the runs, such as random numbers, is refused. Values that `model` reads on the host become
    constants where both runs agree on them.

    Parameters
    ----------
    model : Module
        Its weights become initialisers under their names in `state_dict`.
    args : Tensor or tuple of Tensor
        What it is called with; integers in them should be valid at every place.
    path : str or Path
        The file, written at once or not at all.
    input_names, output_names : sequence of str, optional
        Names of the graph's inputs and outputs: input_0, …, output_0, … otherwise.
    dynamic_axes : mapping, optional
        Of an input's name to {axis: name of the length}, or its axes. Axes of one name have one length.
    dynamic_shapes : mapping or sequence, optional
        The same in the words of `torch.export`: for each input, by name or in order, None or {axis: length}, where a length is
        a name, an object with a `__name__` (`torch.export.Dim("batch")`), or None for a fixed one.
    opset : int, optional
        Version of the operators: the newest of the installed `onnx`, which `onnxruntime` must know. At least 24.
    external_above : int
        Bytes of weights above which they are written beside the file, to `path` + ".data".

    Raises
    ------
    ImportError
        Without the package `onnx`.
    ExportError
        If an operation has no counterpart: named with its module.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from weft.compat.onnx.exporting import export
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "model.onnx")
    ...     export(nn.Linear(3, 2), weft.ones((1, 3)), path, dynamic_axes={"input_0": {0: "batch"}})
    ...     path.exists()
    True
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError(f'`export` needs onnx ({error}): pip install "weft[onnx]"') from None

    newest = onnx.defs.onnx_opset_version()
    opset = newest if opset is None else opset
    if not 24 <= opset <= newest:
        raise ValueError(f"`opset` must be from 24 to {newest}, got {opset}")
    given = args if isinstance(args, tuple) else (args,)
    if not given or not all(isinstance(x, Tensor) for x in given):
        raise TypeError(f"`args` must be a Tensor or a tuple of Tensors, got {[type(x).__name__ for x in given]}")
    names = _names("input_names", input_names, "input", len(given))
    if dynamic_axes is not None and dynamic_shapes is not None:
        raise TypeError("`dynamic_shapes` says what `dynamic_axes` does, got both")
    dynamic = dynamic_axes or (axes_of_shapes(dynamic_shapes, names) if dynamic_shapes else {})
    graph, outputs, symbols = _of_sizes(model, given, names, dynamic, opset, output_names)
    write(model_of(graph, given, names, outputs, symbols), Path(path), external_above)


def _of_sizes(
    model: Any, given: tuple, names: list[str], dynamic: Mapping, opset: int, wanted: Any
) -> tuple[Graph, list, dict]:
    """The graph of both runs: the second has 2 more of a dynamic axis, so that halves differ, or 1 if there is no room for 2."""
    for more in (2, 1):
        axes, larger, symbols = axes_and_runs(given, names, dynamic, more)
        try:
            return (*_of_runs(model, (given, larger), names, axes, opset, wanted), symbols)
        except ExportError:
            raise
        except (ValueError, IndexError):  # of the model
            if more == 1 or not axes:
                raise
    raise AssertionError


def _of_runs(
    model: Any, inputs: tuple[tuple, tuple], names: list[str], axes: list[Axis], opset: int, wanted: Any
) -> tuple[Graph, list]:
    """The graph of both runs. An operation without nodes of its own is taken apart, and both are run again."""
    apart: set[str] = set()
    refused: dict[str, ExportError] = {}
    while True:
        with evaluating(model), no_grad():
            runs = [trace(model, x, apart) for x in inputs]
        try:
            return _graph(model, runs, names, Graph(axes, opset), wanted)
        except ExportError as error:
            op = error.operation
            if op is None or op.name in apart or not can_be_taken_apart(op.primitive):
                if not refused:
                    raise
                raise ExportError(f"{next(iter(refused.values()))}; made of array operations, {error}") from error
            refused[op.name] = error
            apart.add(op.name)


def _names(what: str, names: Sequence[str] | None, stem: str, count: int) -> list[str]:
    found = [f"{stem}_{i}" for i in range(count)] if names is None else list(names)
    if len(found) != count or len(set(found)) != count:
        raise ValueError(f"`{what}` must be {count} different names, got {names}")
    return found


def _tensors(result: Any) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result]
    if isinstance(result, tuple | list):
        return [x for part in result for x in _tensors(part)]
    if result is None:
        return []
    raise ExportError(f"a model's result must be Tensors in tuples and lists, got {type(result).__name__}")


def _graph(model: Any, runs: list, names: list[str], g: Graph, wanted: Any) -> tuple[Graph, list]:
    (first, paths, arrays), (second, _, others) = runs
    if [op.name for op in first] != [op.name for op in second]:
        raise ExportError(
            "`model` must run the same operations at every size and every time, but did not; use fixed axes"
        )
    g.taken.update(names)
    state = {id(x): name for name, x in reversed(model.state_dict(keep_vars=True).items())}
    values = dict(zip(map(first.name_of, first.inputs), names))
    g.arrays.update({id(arrays[first.name_of(x)]): name for x, name in zip(first.inputs, names)})
    result, twin = _tensors(first.result), _tensors(second.result)
    outputs = _names("output_names", wanted, "output", len(result))
    if set(outputs) & set(names):
        raise ValueError(f"`output_names` must differ from the inputs' names, got {outputs}")
    g.taken.update(outputs)
    produced = {name for op in first for name in op.output_names}
    renamed = {n: o for o, n in zip(outputs, map(first.name_of, result)) if n in produced}

    def value(name: str, x: Any, again: str, y: Any, where: str) -> str:
        if not isinstance(x, Tensor):
            return ""
        if name not in values:
            raw = arrays.get(name, innermost(x))  # which no operation has given where the model gives it as it is
            if id(raw) in g.arrays:  # what `detach` has given, and its kin
                return g.arrays[id(raw)]
            array = to_numpy(raw)
            values[name] = _constant(g, x, array, to_numpy(others.get(again, innermost(y))), state, where)
            if id(x) not in state and array.size and (array == array.flat[0]).all():
                g.uniform[values[name]] = array.flat[0]
        return values[name]

    for op, other, path in zip(first, second, paths, strict=True):
        step = Step(op.name, path, op.inputs, (), op.static, op.outputs, (), other)
        g.prefix = f"{path}." if path else ""
        try:
            if op.name not in HANDLERS:
                raise ExportError(
                    f"{step.where} is not covered by ONNX export; replace it, or leave it out of the model"
                )
            _same(step)
            given = [
                value(n, x, m, y, step.where)
                for n, x, m, y in zip(op.input_names, op.inputs, other.input_names, other.inputs, strict=True)
            ]
            for n in op.output_names:
                values[n] = renamed.get(n) or g.fresh(f"{g.prefix}{op.name}")
                g.arrays[id(arrays[n])] = values[n]
            HANDLERS[op.name](g, step._replace(names=tuple(given), results=tuple(values[n] for n in op.output_names)))
        except ExportError as error:
            error.operation = op
            raise
    g.prefix = ""
    for o, x, y in zip(outputs, result, twin, strict=True):
        name = first.name_of(x)
        if renamed.get(name) != o:
            g.node("Identity", [value(name, x, second.name_of(y), y, "the result")], o)
    return g, [(o, x, y) for o, x, y in zip(outputs, result, twin)]


def _constant(g: Graph, x: Tensor, array: np.ndarray, other: np.ndarray, state: dict[int, str], where: str) -> str:
    if id(x) in state:
        g.taken.add(state[id(x)])
        g.initializers[state[id(x)]] = x.detach().numpy()
        return state[id(x)]
    if array.shape != other.shape:
        return g.varying(array, other, where)
    if not np.array_equal(array, other, equal_nan=array.dtype.kind == "f"):
        raise ExportError(
            f"{where} needs constants that are the same in every run, got others: random, or computed outside"
        )
    return g.constant(array, array.dtype)


# What may differ between the runs: lengths, which these write as functions of the axes
LENGTHS = {"reshape", "broadcast_to", "tile", "getitem", "lstm", "gru", "rnn", "resample", "setitem", "max_unpool"}


def _same(step: Step) -> None:
    """Refuse numbers and options that depend on the run."""
    if step.name in LENGTHS:
        return
    other: TracedOperation = step.again
    plain = [[x for x in op.inputs if not isinstance(x, Tensor)] for op in (step, other)]
    if repr((plain[0], step.static)) != repr((plain[1], other.static)):
        raise ExportError(
            f"{step.where} needs numbers that no dynamic axis changes, got {plain[0]} and then {plain[1]}"
        )
