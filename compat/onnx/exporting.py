"""A model as an ONNX file: what it does in evaluation mode, operation by operation."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ...backend.modes.trace import Trace, TracedOperation
from ...backend.tape.autograd import no_grad
from ...backend.tape.tensor import Tensor
from ...backend.tape.watching import Operation, watching
from .export_graph import Axis, ExportError, Graph, Step
from .export_layers import HANDLERS

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
    axes, larger, symbols = _axes(given, names, dynamic_axes or {})
    with _evaluating(model):
        runs = [_trace(model, inputs) for inputs in (given, larger)]
    graph, outputs = _graph(model, runs, names, axes, output_names)
    _write(_model(graph, given, names, outputs, symbols, opset), Path(path), external_above)


def _names(what: str, names: Sequence[str] | None, stem: str, count: int) -> list[str]:
    found = [f"{stem}_{i}" for i in range(count)] if names is None else list(names)
    if len(found) != count or len(set(found)) != count:
        raise ValueError(f"`{what}` must be {count} different names, got {names}")
    return found


def _axes(given: tuple, names: list[str], dynamic: Mapping) -> tuple[list[Axis], tuple, dict[tuple[str, int], str]]:
    """The axes, the second run's inputs (of other lengths, the first's values over again), and the axes' names."""
    axes: dict[str, Axis] = {}
    symbols: dict[tuple[str, int], str] = {}
    larger = [x.detach().numpy() for x in given]
    for name, wanted in dynamic.items():
        if name not in names:
            raise ValueError(f"`dynamic_axes` must name inputs out of {names}, got {name!r}")
        i = names.index(name)
        of = wanted if isinstance(wanted, Mapping) else {a: f"{name}_axis_{a}" for a in wanted}
        for a, symbol in of.items():
            if not -given[i].ndim <= a < given[i].ndim:
                raise ValueError(f"`dynamic_axes` must name axes of {name!r} with shape {given[i].shape}, got {a}")
            axis, n = a % given[i].ndim, given[i].shape[a]
            found = axes.setdefault(symbol, Axis((n, n + 1 + len(axes)), name, axis))
            if found.lengths[0] != n:
                raise ValueError(f"`dynamic_axes` {symbol!r} must be one length, got {found.lengths[0]} and {n}")
            larger[i] = np.take(larger[i], np.arange(found.lengths[1]) % n, axis=axis)
            symbols[name, axis] = symbol
    return list(axes.values()), tuple(Tensor(x.copy()) for x in larger), symbols


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    try:
        with no_grad():
            yield
    finally:
        for m, mode in modes:
            m.training = mode


def _trace(model: Any, inputs: tuple) -> tuple[Trace, list[str]]:
    """The operations, and the path of the module in which each ran."""
    trace, paths, stack = Trace(list(inputs), {}), [], [""]

    def watcher(operation: Operation) -> Any:
        end = trace._add(operation)

        def done(result: Any) -> None:
            before = len(trace)
            end(result)
            paths.extend(stack[-1:] * (len(trace) - before))

        return done

    def leave(*_: Any) -> None:
        stack.pop()

    with ExitStack() as hooks:
        for path, module in model.named_modules():
            before = module.register_forward_pre_hook(lambda *_, path=path: stack.append(path))
            after = module.register_forward_hook(leave)
            hooks.callback(before.remove)
            hooks.callback(after.remove)
        with watching(watcher, trace._written):
            trace.result = model(*inputs)
    return trace, paths


def _tensors(result: Any) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result]
    if isinstance(result, tuple | list):
        return [x for part in result for x in _tensors(part)]
    if result is None:
        return []
    raise ExportError(f"a model's result must be Tensors in tuples and lists, got {type(result).__name__}")


def _graph(model: Any, runs: list, names: list[str], axes: list[Axis], wanted: Any) -> tuple[Graph, list]:
    (first, paths), (second, _) = runs
    if [op.name for op in first] != [op.name for op in second]:
        raise ExportError(
            "`model` must run the same operations at every size and every time, but did not; use fixed axes"
        )
    g = Graph(axes)
    g.taken.update(names)
    state = {id(x): name for name, x in reversed(model.state_dict(keep_vars=True).items())}
    values = dict(zip(map(first.name_of, first.inputs), names))
    result, twin = _tensors(first.result), _tensors(second.result)
    outputs = _names("output_names", wanted, "output", len(result))
    if set(outputs) & set(names):
        raise ValueError(f"`output_names` must differ from the inputs' names, got {outputs}")
    g.taken.update(outputs)
    produced = {name for op in first for name in op.output_names}
    renamed = {n: o for o, n in zip(outputs, map(first.name_of, result)) if n in produced}

    def value(name: str, x: Any, again: Any, where: str) -> str:
        if not isinstance(x, Tensor):
            return ""
        if name not in values:
            values[name] = _constant(g, x, again, state, where)
            array = x.detach().numpy()
            if id(x) not in state and array.size and (array == array.flat[0]).all():
                g.uniform[values[name]] = array.flat[0]
        return values[name]

    for op, other, path in zip(first, second, paths, strict=True):
        step = Step(op.name, path, op.inputs, (), op.static, op.outputs, (), other)
        if op.primitive is None or op.name not in HANDLERS:
            raise ExportError(f"{step.where} is not covered by ONNX export; replace it, or leave it out of the model")
        g.prefix = f"{path}." if path else ""
        _same(step)
        given = [value(n, x, y, step.where) for n, x, y in zip(op.input_names, op.inputs, other.inputs, strict=True)]
        for n in op.output_names:
            values[n] = renamed.get(n) or g.fresh(f"{g.prefix}{op.name}")
        HANDLERS[op.name](g, step._replace(names=tuple(given), results=tuple(values[n] for n in op.output_names)))
    g.prefix = ""
    for o, x, y in zip(outputs, result, twin, strict=True):
        name = first.name_of(x)
        if renamed.get(name) != o:
            g.node("Identity", [value(name, x, y, "the result")], o)
    return g, [(o, x, y) for o, x, y in zip(outputs, result, twin)]


def _constant(g: Graph, x: Tensor, again: Tensor, state: dict[int, str], where: str) -> str:
    if id(x) in state:
        g.taken.add(state[id(x)])
        g.initializers[state[id(x)]] = x.detach().numpy()
        return state[id(x)]
    array, other = x.detach().numpy(), again.detach().numpy()
    if array.shape != other.shape:
        return g.varying(array, other, where)
    if not np.array_equal(array, other, equal_nan=array.dtype.kind == "f"):
        raise ExportError(
            f"{where} needs constants that are the same in every run, got others: random, or computed outside"
        )
    return g.constant(array, array.dtype)


# What may differ between the runs: lengths, which these write as functions of the axes
LENGTHS = {"reshape", "broadcast_to", "tile", "getitem", "lstm", "gru", "rnn", "resample", "setitem"}


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


def _model(g: Graph, given: tuple, names: list[str], outputs: list, symbols: dict, opset: int) -> Any:
    from onnx import helper, numpy_helper

    def info(name: str, x: Tensor, shape: list) -> Any:
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(x.dtype)), shape)

    inputs = [info(n, x, [symbols.get((n, a), size) for a, size in enumerate(x.shape)]) for n, x in zip(names, given)]
    results = [info(n, x, [a if a == b else None for a, b in zip(x.shape, y.shape)]) for n, x, y in outputs]
    used = {name for name, _, _ in outputs}
    nodes: list[Any] = []
    for node in reversed(g.nodes):  # what nothing reads is left out
        if used.intersection(node.output):
            used.update(node.input)
            nodes.insert(0, node)
    weights = [numpy_helper.from_array(np.array(x, order="C"), n) for n, x in g.initializers.items() if n in used]
    graph = helper.make_graph(nodes, "weft", inputs, results, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], producer_name="weft")


def _write(model: Any, path: Path, external_above: int) -> None:
    """Both files whole, in a folder beside the path, before they get their names."""
    import onnx

    size = sum(len(x.raw_data) for x in model.graph.initializer)
    with tempfile.TemporaryDirectory(dir=path.absolute().parent, prefix=".export-") as folder:
        new, data = Path(folder, path.name), path.name + ".data"
        beside = size > external_above
        onnx.save(
            model,
            new,
            save_as_external_data=beside,
            location=data if beside else None,
            size_threshold=1024 if beside else 0,
        )
        onnx.checker.check_model(str(new), full_check=True)
        if beside:
            os.replace(Path(folder, data), path.absolute().parent / data)
        os.replace(new, path)
