"""The tape: how operations are recorded, and how gradients flow back through the record.

A differentiable operation is one function of raw arrays that returns `(output, pullback)`, written once against the array
API; `primitive` makes it work on Tensors. Because `weft` is itself an array-API namespace, a primitive also runs on Tensors
*as raw arrays*: a Tensor may hold a Tensor, its pullback is then recorded too, and gradients of gradients need no code.
"""

from __future__ import annotations

import functools
import heapq
import inspect
import itertools
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .devices import kind, namespace_of
from .dtypes import is_real_floating
from .tensor import Parameter, Tensor, innermost, wrap

__all__ = ["checkpoint", "enable_grad", "grad", "is_grad_enabled", "no_grad", "value_and_grad"]

PRIMITIVES: dict[str, Any] = {}  # every primitive by "module.name", for the tests that prove none is left out
report_fallbacks = False  # True: warn whenever a device's own form hands an operation back to the generic one


class _Mode(threading.local):
    enabled = True


_mode = _Mode()
_order = itertools.count()


class Node:
    """One recorded operation: its pullback and, for each positional argument, where the gradient goes.

    A parent is None (no gradient wanted), a leaf Tensor, or the Node that computed the argument.
    """

    __slots__ = ("name", "order", "parents", "pullback")

    def __init__(self, name: str, pullback: Any, parents: Sequence[Any]):
        self.name = name
        self.pullback = pullback
        self.parents = parents
        self.order = next(_order)


class Output(Node):
    """One of several outputs of a node: hands its gradient to the node, which waits for all of them."""

    __slots__ = ("index", "zeros")

    def __init__(self, node: Node, index: int, zeros: Callable[[], Any]):
        super().__init__(node.name, None, (node,))
        self.index = index
        self.zeros = zeros


def primitive(generic: Callable) -> Callable:
    """Turn `generic(xp, *arrays, **static) -> (output, pullback)` into a differentiable function of Tensors.

    Every positional argument may be a Tensor; keyword arguments are static. `output` is an array or a tuple of arrays.
    `pullback` is one of

    - a tuple with one function per positional argument, each mapping the output's gradient to that argument's;
    - one function `vjp(g, need, into)` that returns all gradients: `need[i]` says whether the i-th is wanted, `into[i]` is
      None or memory that it may be written to (and which is then returned);
    - None, where the operation has no derivative.

    With several outputs the gradient is a tuple. `@name.on("cuda")` registers a replacement for one kind of device: the same
    signature without `xp`. It returns NotImplemented for what it cannot do, and the generic form takes over.
    """
    name = generic.__name__
    impls: dict[str, Callable] = {}

    @functools.wraps(generic)
    def call(*args: Any, **kwargs: Any) -> Any:
        device, depth, tracked = None, 0, False
        for a in args:
            if isinstance(a, Tensor):
                if device is None:
                    device = a.device
                elif a.device != device:
                    raise ValueError(f"`{name}` needs tensors on one device, got {device} and {a.device}; move one with .to()")
                if a._depth > depth:
                    depth = a._depth
                if a.requires_grad:
                    tracked = True
        if device is None:
            return call(_as_tensor(name, args), *args[1:], **kwargs)
        raw = [a.data if isinstance(a, Tensor) and a._depth == depth else a for a in args]
        result = NotImplemented
        if impls and not depth:
            impl = impls.get(device) or impls.get(kind(device))
            if impl is not None:
                result = impl(*raw, **kwargs)
                if result is NotImplemented and report_fallbacks:
                    shapes = ", ".join(f"{r.dtype}{list(r.shape)}" for r in raw if hasattr(r, "shape"))
                    warnings.warn(f"`{name}` on {device} fell back to the generic form for ({shapes})")
        if result is NotImplemented:
            xp = namespace_of(next(r for r, a in zip(raw, args) if isinstance(a, Tensor) and a._depth == depth))
            result = generic(xp, *raw, **kwargs)
        out, pullback = result
        if tracked and pullback is not None and _mode.enabled:
            return _record(name, out, pullback, args, device, depth)
        if isinstance(out, tuple):
            return _retuple(out, [wrap(o, device, depth) for o in out])
        return wrap(out, device, depth)

    def on(device: str) -> Callable:
        def register(implementation: Callable) -> Callable:
            impls[device] = implementation
            return implementation

        return register

    parameters = list(inspect.signature(generic).parameters.values())[1:]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.generic, call.impls, call.on = generic, impls, on  # type: ignore[attr-defined]
    PRIMITIVES[f"{generic.__module__.rpartition('.')[2]}.{name}"] = call
    return call


def _as_tensor(name: str, args: tuple) -> Tensor:
    if not args or not isinstance(args[0], np.ndarray | np.generic | int | float | complex | list | tuple):
        got = ", ".join(type(a).__name__ for a in args) or "nothing"
        raise TypeError(f"`{name}` needs a weft.Tensor (weft.asarray makes one), got {got}")
    return Tensor(args[0])


def _retuple(like: tuple, items: list) -> tuple:
    """A tuple of the same (named) kind."""
    return type(like)(*items) if hasattr(like, "_fields") else tuple(items)


def _record(name: str, out: Any, pullback: Any, args: tuple, device: str, depth: int) -> Any:
    parents = []
    for a in args:
        if isinstance(a, Tensor) and a._depth == depth and a.requires_grad:
            parents.append(a if a._node is None else a._node)
        else:
            if isinstance(a, Tensor):
                a._saved = True
            parents.append(None)
    node = Node(name, pullback, parents)
    if not isinstance(out, tuple):
        result = wrap(out, device, depth)
        result._node, result.requires_grad = node, True
        return result
    results = [wrap(o, device, depth) for o in out]
    for i, result in enumerate(results):
        if is_real_floating(result.dtype):
            zeros = functools.partial(_zeros, namespace_of(result.data), result.shape, result.dtype)
            result._node, result.requires_grad = Output(node, i, zeros), True
    node.name = name
    outputs = [r._node for r in results]
    node.pullback = functools.partial(_fill_in, pullback, [o and o.zeros for o in outputs])
    return _retuple(out, results)


def _zeros(xp: Any, shape: tuple, dtype: Any) -> Any:
    return xp.zeros(shape, dtype=dtype)


def _fill_in(pullback: Any, zeros: list, gradients: dict[int, Any], need: Any, into: Any) -> Any:
    """Call the pullback of a node with several outputs: outputs that nothing used have gradient zero."""
    g = tuple(gradients[i] if i in gradients else (z and z()) for i, z in enumerate(zeros))
    if isinstance(pullback, tuple):
        return [f(g) if n else None for f, n in zip(pullback, need)]
    return pullback(g, need, into)


def backward(root: Tensor, gradient: Any = None, *, retain_graph: bool = False) -> None:
    """Fill `.grad` of the leaves below `root`; see `Tensor.backward`."""
    if not root.requires_grad:
        raise RuntimeError("`backward` needs a tensor computed from one with requires_grad=True (and outside no_grad)")
    if gradient is None:
        if root.size != 1:
            raise RuntimeError(f"`backward` without `grad` needs a tensor with one element, got shape {root.shape}")
        gradient = namespace_of(root.data).ones_like(root.data)
    else:
        gradient = gradient.data if isinstance(gradient, Tensor) else Tensor(gradient).data
        if gradient.shape != root.shape:
            raise ValueError(f"`grad` must have the tensor's shape {root.shape}, got {gradient.shape}")
    _run(root, gradient, _accumulate, retain_graph=retain_graph, arena=True)


def _accumulate(leaf: Tensor, g: Any) -> None:
    """Add a gradient to `leaf.grad`; the first one of a step goes into the optimizer's arena, if there is one."""
    if leaf.grad is not None:
        leaf.grad.data += g
        return
    view = leaf._grad_view if isinstance(leaf, Parameter) else None
    if view is None:
        leaf.grad = wrap(namespace_of(g).asarray(g, dtype=leaf.data.dtype, copy=True), leaf.device, leaf._depth)
        return
    if g is not view:
        view[...] = g
    leaf.grad = wrap(view, leaf.device)


def _run(root: Tensor, gradient: Any, sink: Callable, *, retain_graph: bool, arena: bool) -> None:
    """Visit the nodes below `root`, each after all that used its output (newest first), and give leaves' gradients to `sink`."""
    if root._node is None:
        sink(root, gradient)
        return
    pending: dict[Node, Any] = {root._node: gradient}
    queue = [(-root._node.order, root._node)]
    while queue:
        node = heapq.heappop(queue)[1]
        g = pending.pop(node)
        if type(node) is Output:
            joint = node.parents[0]
            if joint not in pending:
                pending[joint] = {}
                heapq.heappush(queue, (-joint.order, joint))
            pending[joint][node.index] = g
            continue
        pullback, parents = node.pullback, node.parents
        if pullback is None:
            raise RuntimeError(f"the record of `{node.name}` was freed by an earlier backward; call backward(retain_graph=True) there")
        if type(pullback) is tuple:
            gradients = [None if parent is None else f(g) for f, parent in zip(pullback, parents)]
        else:
            need = [parent is not None for parent in parents]
            gradients = pullback(g, need, _destinations(parents) if arena else [None] * len(need))
        if not retain_graph:
            node.pullback = None
        for parent, gp in zip(parents, gradients):
            if parent is None or gp is None:
                continue
            if isinstance(parent, Tensor):
                sink(parent, gp)
            elif parent in pending:
                pending[parent] = pending[parent] + gp
            else:
                pending[parent] = gp
                heapq.heappush(queue, (-parent.order, parent))


def _destinations(parents: Sequence[Any]) -> list:
    """For each parent the arena's memory for its gradient, if it is a parameter whose first gradient of this step comes now."""
    into = [p._grad_view if isinstance(p, Parameter) and p.grad is None else None for p in parents]
    for i, p in enumerate(parents):  # one parameter used twice by one operation: only the first may write
        if into[i] is not None and any(p is q for q in parents[:i]):
            into[i] = None
    return into


# --- modes ----------------------------------------------------------------------------------------------------------------
class _GradMode:
    """Context manager and decorator."""

    enabled: bool

    def __enter__(self) -> None:
        self.before = _mode.enabled
        _mode.enabled = self.enabled

    def __exit__(self, *_: Any) -> None:
        _mode.enabled = self.before

    def __call__(self, f: Callable) -> Callable:
        @functools.wraps(f)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with type(self)():
                return f(*args, **kwargs)

        return wrapped


class no_grad(_GradMode):
    """Within the block (or the decorated function) nothing is recorded, and in-place operations work on memory.

    >>> x = weft.ones(3, requires_grad=True)
    >>> with weft.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    enabled = False


class enable_grad(_GradMode):
    """Record within the block again, inside a `no_grad`."""

    enabled = True


def is_grad_enabled() -> bool:
    """Whether operations are being recorded in this thread."""
    return _mode.enabled


# --- functional interface -------------------------------------------------------------------------------------------------
def value_and_grad(f: Callable, argnums: int | Sequence[int] = 0) -> Callable:
    """A function that returns `(f(*args), df/d(args[argnums]))`; `f` returns a scalar Tensor.

    Arguments to differentiate may be Tensors or lists, tuples and dicts of Tensors. Nothing but these arguments receives a
    gradient, and `.grad` is not touched. It nests: `weft.grad(weft.grad(f))` is the second derivative.

    >>> value, slope = weft.value_and_grad(lambda x: (x**3).sum())(weft.tensor([2.0]))
    >>> value, slope
    (tensor(8.), tensor([12.]))
    """
    single = isinstance(argnums, int)
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    @functools.wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        leaves: list[Tensor] = []
        depth = 1 + max((t._depth if _is_tracked(t) else -1 for n in numbers for t in _flatten(args[n])), default=-1)
        new = [_map(lambda t: _leaf(t, depth, leaves), a) if i in numbers else a for i, a in enumerate(args)]
        with enable_grad():
            value = f(*new, **kwargs)
        if not isinstance(value, Tensor) or value.size != 1:
            got = f"shape {value.shape}" if isinstance(value, Tensor) else type(value).__name__
            raise TypeError(f"`grad` needs a function that returns a Tensor with one element, got {got}")
        found: dict[int, Any] = {}

        def sink(leaf: Tensor, g: Any) -> None:
            found[id(leaf)] = found[id(leaf)] + g if id(leaf) in found else g

        if value.requires_grad and value._depth == depth:
            _run(value, namespace_of(value.data).ones_like(value.data), sink, retain_graph=False, arena=False)
        remaining = iter(leaves)

        def gradient(_: Tensor) -> Tensor:
            leaf = next(remaining)
            g = found.get(id(leaf))
            return _lower(namespace_of(leaf.data).zeros_like(leaf.data) if g is None else g, leaf.device)

        grads = [_map(gradient, args[n]) for n in numbers]
        return _lower(value.data, value.device) if value._depth == depth else value, grads[0] if single else tuple(grads)

    return wrapped


def grad(f: Callable, argnums: int | Sequence[int] = 0) -> Callable:
    """The gradient of a scalar function, as a function: see `value_and_grad`.

    >>> cube = lambda x: x**3
    >>> weft.grad(weft.grad(cube))(weft.tensor(2.0))
    tensor(12.)
    """
    both = value_and_grad(f, argnums)
    return functools.wraps(f)(lambda *args, **kwargs: both(*args, **kwargs)[1])


def _is_tracked(t: Tensor) -> bool:
    return t.requires_grad and _mode.enabled


def _leaf(t: Tensor, depth: int, leaves: list[Tensor]) -> Tensor:
    """A fresh leaf: around the raw array, or around the tensor itself where an outer `grad` is watching it."""
    nested = t if depth > t._depth else t.data
    leaf = wrap(nested, t.device, depth).requires_grad_()
    leaves.append(leaf)
    return leaf


def _lower(raw: Any, device: str) -> Tensor:
    return raw if isinstance(raw, Tensor) else wrap(raw, device)


def _map(f: Callable, tree: Any) -> Any:
    if isinstance(tree, Tensor):
        return f(tree)
    if isinstance(tree, dict):
        return {k: _map(f, v) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        return _retuple(tree, [_map(f, v) for v in tree]) if isinstance(tree, tuple) else [_map(f, v) for v in tree]
    raise TypeError(f"`grad` differentiates Tensors and lists, tuples and dicts of them, got {type(tree).__name__}")


def _flatten(tree: Any) -> list[Tensor]:
    found: list[Tensor] = []
    _map(found.append, tree)
    return found


def checkpoint(f: Callable, *args: Any) -> Any:
    """f(*args), keeping nothing of its inside for the backward pass: it is computed again there.

    Memory for time: only `args` and the result are held. `f` must give the same result when called again; randomness drawn
    from the default generator is replayed. Parameters that `f` uses receive their gradients too.
    """
    from .random import default_generator

    tensors = [a for a in args if isinstance(a, Tensor)]
    if not _mode.enabled:
        return f(*args)
    state = default_generator.get_state()
    with no_grad():
        out = f(*args)
    outs = out if isinstance(out, tuple) else (out,)

    def vjp(g: Any, need: Any, into: Any) -> list:
        after = default_generator.get_state()
        default_generator.set_state(state)
        inner = [a.detach().requires_grad_(a.requires_grad) if isinstance(a, Tensor) else a for a in args]
        with enable_grad():
            again = f(*inner)
        default_generator.set_state(after)
        for o, go in zip(again if isinstance(again, tuple) else (again,), g if isinstance(out, tuple) else (g,)):
            if o.requires_grad:
                _run(o, go, _accumulate, retain_graph=True, arena=True)
        return [a.grad.data if a.grad is not None else None for a in inner if isinstance(a, Tensor)] + [None]

    # A hidden last argument keeps the node on the tape where only parameters inside `f` require gradients.
    watch = wrap(innermost(outs[0]), outs[0].device).detach().requires_grad_()
    raw = tuple(o.data for o in outs) if isinstance(out, tuple) else out.data
    return _record("checkpoint", raw, vjp, (*tensors, watch), outs[0].device, outs[0]._depth)
