"""The record of a computation, to look at: every operation with its name, what goes in, how it is set, what comes out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from threading import get_ident
from typing import TYPE_CHECKING, Any, NamedTuple

from ..tape.autograd import Primitive
from ..tape.tensor import Tensor
from ..tape.watching import Operation, watching

if TYPE_CHECKING:
    from .drawing import Arrow, Node

__all__ = ["Trace", "TracedOperation", "traced"]

DRAWN = 40  # operations that a notebook shows as a graph; more are listed, if they are printed


class TracedOperation(NamedTuple):
    """One operation of a `Trace`.

    Parameters
    ----------
    name : str
        The primitive's.
    primitive : Primitive or None
        Itself; None for what is none, such as an optimizer's step.
    inputs : tuple
        Positional arguments: Tensors, numbers and None.
    static : dict
        Keyword arguments, as they were given.
    outputs : tuple
        The results, one or several.
    input_names, output_names : tuple of str
        What inputs and outputs are called in the listing, empty for what is no Tensor. A Tensor that is written to has
        another name from then on.

    Examples
    --------
    >>> operation = weft.traced(lambda x: weft.sum(x, axis=0), weft.ones((2, 3))).operations[0]
    >>> operation.name, operation.static, operation.input_names, operation.output_names
    ('sum', {'axis': 0}, ('x0',), ('x1',))
    """

    name: str
    primitive: Primitive | None
    inputs: tuple[Any, ...]
    static: dict[str, Any]
    outputs: tuple[Any, ...]
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]


class Trace:
    """What `traced` returns: the operations in the order in which they ran. `print` shows them as a listing.

    Parameters
    ----------
    inputs : list of Tensor
        The Tensors among the arguments: x0, x1, … in the listing.
    named : dict of int to (Tensor, str)
        Tensors that have a name of their own, by identity.

    Attributes
    ----------
    operations : list of TracedOperation
        What iteration and `len` are about, too.
    inputs : list of Tensor
        The Tensors among the arguments.
    result : Any
        What the function returned.

    Examples
    --------
    >>> t = weft.traced(lambda x: weft.sum(weft.exp(x)), weft.ones(3))
    >>> [operation.name for operation in t]
    ['exp', 'sum']
    >>> print(t)
    x0                (3,) float32
    x1 = exp(x0)      (3,) float32
    x2 = sum(x1)      () float32
    """

    def __init__(self, inputs: list[Tensor], named: dict[int, tuple[Tensor, str]]):
        self.operations: list[TracedOperation] = []
        self.inputs = inputs
        self.result: Any = None
        self._thread = get_ident()
        self._names = dict(named)  # by id, with the tensor itself: as long as it lives, no other has its id
        self._taken = {name for _, name in named.values()}
        self._fresh = (f"x{i}" for i in itertools.count())
        self._input_names = self._all(inputs)

    def __iter__(self) -> Iterator[TracedOperation]:
        return iter(self.operations)

    def __len__(self) -> int:
        return len(self.operations)

    def name_of(self, tensor: Tensor) -> str:
        """What a Tensor is called in the listing.

        Parameters
        ----------
        tensor : Tensor
            One that was seen; another gets the next name.

        Returns
        -------
        str
            A parameter's name, or x0, x1, … in the order of appearance.
        """
        return self._name(tensor)

    def _name(self, tensor: Tensor, *, anew: bool = False) -> str:
        if anew or id(tensor) not in self._names:
            self._names[id(tensor)] = tensor, next(name for name in self._fresh if name not in self._taken)
        return self._names[id(tensor)][1]

    def _all(self, values: Iterable[Any]) -> tuple[str, ...]:
        return tuple(self._name(x) if isinstance(x, Tensor) else "" for x in values)

    def _add(self, operation: Operation) -> Callable[[Any], Any]:
        name, primitive, inputs, static, is_backward = operation
        if is_backward or primitive is None or get_ident() != self._thread:
            return lambda result: None
        given = self._all(inputs)

        def end(result: Any) -> None:
            if result is not None:  # else it has failed
                outputs = result if isinstance(result, tuple) else (result,)
                found = TracedOperation(name, primitive, inputs, static, outputs, given, self._all(outputs))
                self.operations.append(found)

        return end

    def _written(self, tensor: Tensor, value: Any, key: Any) -> None:
        """Note that a Tensor has become `value`, or that its part `key` has."""
        if get_ident() != self._thread:
            return
        if key is None:
            self._names[id(tensor)] = tensor, self._name(value)
            return
        given = self._all((tensor, value))
        result = (self._name(tensor, anew=True),)
        self.operations.append(
            TracedOperation("setitem", None, (tensor, value), {"key": key}, (tensor,), given, result)
        )

    def _shown(self, x: Any, name: str = "") -> str:
        if name or isinstance(x, Tensor):
            return name or self._name(x)
        text = repr(x)
        return text if len(text) <= 40 else type(x).__name__

    def __str__(self) -> str:
        rows: list[tuple[str, Any]] = list(zip(self._input_names, self.inputs))
        for operation in self.operations:
            given = [*map(self._shown, operation.inputs, operation.input_names)]
            given += [f"{key}={self._shown(value)}" for key, value in operation.static.items()]
            results = ", ".join(map(self._shown, operation.outputs, operation.output_names))
            rows.append((f"{results} = {operation.name}({', '.join(given)})", next(iter(operation.outputs), None)))
        width = max((len(text) for text, _ in rows), default=0) + 6
        return "\n".join(f"{text:{width}}{x.shape} {x.dtype}" if isinstance(x, Tensor) else text for text, x in rows)

    def to_dot(self) -> str:
        """The graph in Graphviz's language: boxes are operations, arrows Tensors with their shapes.

        Returns
        -------
        str
            To be drawn by `dot -Tsvg`, or any other reader of the language.

        Examples
        --------
        >>> print(weft.traced(weft.exp, weft.ones(3)).to_dot())
        digraph {
          rankdir=TB; node [fontname="sans-serif"]
          "x0" [shape=ellipse]
          op0 [shape=box, label="exp"]
          "x0" -> op0 [label="(3,)"]
          "x1" [shape=ellipse]
          op0 -> "x1" [label="(3,)"]
        }
        """
        from .drawing import to_dot

        return to_dot(*self._graph())

    def to_svg(self) -> str:
        """The graph as a picture, without Graphviz: boxes are operations, arrows Tensors with their shapes.

        Returns
        -------
        str
            An SVG file's text, for browsers, notebooks (`IPython.display.SVG`) and documents.

        Examples
        --------
        >>> weft.traced(weft.exp, weft.ones(3)).to_svg()[:41]
        '<svg xmlns="http://www.w3.org/2000/svg" v'
        """
        from .drawing import to_svg

        return to_svg(*self._graph())

    def __repr__(self) -> str:
        return f"<Trace of {len(self)} operations>"

    def _repr_svg_(self) -> str | None:
        return self.to_svg() if len(self) <= DRAWN else None

    def _graph(self) -> tuple[dict[str, Node], list[Arrow]]:
        """Operations (op0, op1, …) and what none of them has made, or none of them reads; arrows lead to later ones."""
        source: dict[str, str] = {}  # what stands where a Tensor comes from
        from .drawing import Arrow, Node  # only who draws pays for it

        nodes: dict[str, Node] = {}
        arrows: list[Arrow] = []
        used = {name for operation in self.operations for name in operation.input_names}
        for i, (name, _, inputs, _, outputs, given, results) in enumerate(self.operations):
            for at in filter(None, given):
                if at not in source:
                    source[at], nodes[at] = at, Node(at, False)
            nodes[f"op{i}"] = Node(name, True)
            arrows += [Arrow(source[at], f"op{i}", f"{x.shape}") for at, x in zip(given, inputs) if at]
            for to, x in zip(results, outputs):
                if to in used:
                    source[to] = f"op{i}"
                elif to:
                    nodes[to] = Node(to, False)
                    arrows.append(Arrow(f"op{i}", to, f"{x.shape}"))
        return nodes, arrows


def traced(f: Callable, *args: Any, **kwargs: Any) -> Trace:
    """Run `f(*args, **kwargs)` and keep the story of every operation in it.

    An operation that is made of others is one operation, unless `f` calls these itself. It runs in this thread as it
    would otherwise, gradients included; the Trace holds on to all Tensors that it saw.

    Parameters
    ----------
    f : Callable
        A function or a Module; a Module's parameters appear under their names.
    *args, **kwargs : Any
        What it is called with.

    Returns
    -------
    Trace
        The operations in order, printable, and as a graph (`to_dot`, `to_svg`).

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(4, 2), nn.ReLU())
    >>> print(weft.traced(model, weft.ones((1, 4))))
    x0                                                         (1, 4) float32
    x1 = linear(x0, 0.weight, 0.bias, activation='relu')       (1, 2) float32
    """
    if not callable(f):
        raise TypeError(f"`f` must be a function or a Module, got {f!r:.80}")
    parameters = f.named_parameters() if hasattr(f, "named_parameters") else ()
    named = {id(p): (p, name) for name, p in parameters}
    found = Trace([x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)], named)
    with watching(found._add, found._written):
        found.result = f(*args, **kwargs)
    return found
