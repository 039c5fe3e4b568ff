"""The tape: how operations are recorded, and how gradients flow back through the record.

A differentiable operation is one function of raw arrays that returns `(output, pullback)`, written once against the
array API; `primitive` makes it work on Tensors. Because `weft` is itself an array-API namespace, a primitive also runs
on Tensors *as raw arrays*: a Tensor may hold a Tensor, its pullback is then recorded too, and gradients of gradients
need no code.

Each `weft.grad` at work has a tape of its own, numbered by its *depth* (`backward` has tape 0). An operation belongs to
the deepest tape among its arguments; to that tape, tensors of lesser depth are constants (see `transforms.py`).
"""

from __future__ import annotations

import functools
import inspect
import threading
import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from heapq import heappop, heappush
from sys import getrefcount
from typing import Any, Concatenate, ParamSpec, Protocol, Self, TypeVar, cast, overload

import numpy as np

from ..device.devices import kind, namespace, namespace_of
from ..device.dtypes import is_integral, is_real_floating
from ..device.numeric import PLAIN, operand
from . import sharing
from .explain import REFUSALS, checked, explained
from .sharing import last, link
from .tensor import Parameter, Tensor, innermost, wrap

__all__ = ["Primitive", "enable_grad", "is_grad_enabled", "no_grad", "primitive"]

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
F = TypeVar("F", bound=Callable[..., Any])

PRIMITIVES: dict[str, Any] = {}  # every primitive by its full name, for the tests that prove none is left out
_new = object.__new__
watch: Any = None  # told of every operation while somebody wants to know, see `watching.py`
collect: Any = None  # while leaves have hooks, what stands before the sink of `backward`, see `hooks.py`
note: Any = None  # told of every operation that is recorded while gradients may be differentiated, see `modes/twice.py`
mapped: Any = None  # runs operations on all lanes at once while a `vmap` is at work, see `batching.py` in modes
reducing: Any = None  # adds gradients up over processes while backward goes on, see `weft.distributed`
rebinds = False  # True: nothing is written in place, tensors are bound to new values, as where something recorded needs the old
report_fallbacks = False  # True: warn whenever a device's own form hands an operation back to the generic one


def _references_to_what_nobody_holds() -> int:
    leaf = Parameter(np.zeros(1))
    leaf._grad_tensor = Tensor(np.zeros(1))
    return getrefcount(leaf._grad_tensor)


UNHELD = _references_to_what_nobody_holds()  # as Python's versions count what an expression refers to


class _Mode(threading.local):
    """What this thread records."""

    enabled = True  # False inside no_grad
    level = 0  # how many `grad`s are at work
    base = 0  # tapes below this depth are not written to: what would have been is noted in `captured`
    lanes: Any = None  # inside `vmap`, what becomes of random numbers: "error" or "same"
    nested = False  # whether the innermost `grad` holds Tensors, so that it can itself be differentiated
    captured: Any = None  # a list of Tensors, where `base` keeps some off the tape
    is_again = (
        False  # whether backward computes something for the second time, whose effects have been had: see `checkpoint`
    )
    leaves: Any = None  # told of each leaf that gets a gradient, while `capture` records a step or warms it up
    is_recorded = False  # whether it records: what is written is taken back
    # Inside `autocast`: (primitive, arguments) → arguments in the dtype that the operation is to run in, and, as (position,
    # array), what stands for parameters: they are rounded off the tape, so that gradients reach them as they are.
    cast: Any = None


_OURS = __name__.rpartition(".tape.")[0]  # whose primitives the tests check, so that none need be as it runs
_mode = _Mode()
# How many blocks (`no_grad`, `autocast`, …) are open that change what `_mode` says, in all threads together. While there are
# none, nobody looks: what is kept for each thread takes 0.14 µs to read, and a small model would be felt to.
special = 0
_counting = threading.Lock()


def count_special(by: int) -> None:
    """Note that such a block begins (1) or ends (−1): before it changes `_mode`, and after it has changed it back."""
    global special
    with _counting:
        special += by


def is_computed_again() -> bool:
    """Whether this is the second time, for a backward pass: what a forward pass changes, such as statistics, it has changed."""
    return _mode.is_again


_order = sharing.clock  # newer nodes have smaller numbers: the order in which a heap hands them back


class Node:
    """One recorded operation: its pullback and, for each positional argument, where the gradient goes.

    A parent is None (no gradient wanted), a leaf Tensor, or the Node that computed the argument.
    """

    __slots__ = ("name", "order", "parents", "pullback", "source")

    name: str
    order: float
    parents: Sequence[Any]
    pullback: Any
    source: Any  # where gradients may be differentiated: gives them, recorded, to a recorded gradient; else not set

    def __repr__(self) -> str:
        return f"<{self.name}>"


class Move(Node):
    """A recorded operation that only moves numbers: of what its pullback holds, it reads indices alone."""

    __slots__ = ()


class Output(Node):
    """One of several outputs of a node: hands its gradient to the node, which waits for all of them."""

    __slots__ = ("index", "zeros")

    def __init__(self, node: Node, index: int, data: Any):
        self.name, self.pullback, self.parents, self.order = node.name, None, (node,), next(_order)
        self.index = index
        self.zeros = functools.partial(namespace_of(data).zeros, data.shape, dtype=data.dtype, device=data.device)


class Primitive(Protocol[P, R]):
    """What `primitive` returns: a function of Tensors."""

    __name__: str
    generic: Callable[..., Any]  # of the namespace and raw arrays
    impls: dict[str, Callable[..., Any]]  # what replaces it, by device or kind of device
    precision: str | None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...

    def on(self, device: str) -> Callable[[F], F]:
        """Register a replacement for a device, or a kind of device."""


@overload
def primitive(generic: Callable[Concatenate[Any, P], Any], /) -> Primitive[P, Tensor]: ...


@overload
def primitive(
    *,
    moves: bool = False,
    rounds_once: bool = False,
    precision: str | None = None,
    reads_halves: Callable[..., bool] | None = None,
) -> Callable[[Callable[Concatenate[Any, P], Any]], Primitive[P, Tensor]]: ...


@overload
def primitive(
    *,
    returns: type[R],
    moves: bool = False,
    rounds_once: bool = False,
    precision: str | None = None,
    reads_halves: Callable[..., bool] | None = None,
) -> Callable[[Callable[Concatenate[Any, P], Any]], Primitive[P, R]]: ...


def primitive(
    generic: Callable | None = None,
    /,
    *,
    returns: type = Tensor,
    moves: bool = False,
    rounds_once: bool = False,
    precision: str | None = None,
    reads_halves: Callable[..., bool] | None = None,
) -> Any:
    """Turn `generic(xp, *arrays, **static) -> (output, pullback)` into a differentiable function of Tensors.

    Every positional argument may be a Tensor; keyword arguments are static. `output` is an array or a tuple of arrays.
    `pullback` is one of

    - a tuple with one function per positional argument, each mapping the output's gradient to that argument's;
    - one function `vjp(g, need, into)` that returns all gradients: `need[i]` says whether the i-th is wanted, `into[i]`
      is None or memory that it may be written to (and which is then returned), of the argument's dtype or, for a
      parameter that `autocast` has rounded, float32;
    - None, where the operation has no derivative.

    What a pullback returns is new memory, or `g` or a view of it: a leaf may keep it as its `.grad`.

    With several outputs the gradient is a tuple. `@name.on("cuda")` registers a replacement for one kind of device: the
    same signature without `xp`. It returns NotImplemented for what it cannot do, and the generic form takes over.

    Parameters
    ----------
    generic : Callable
        The function; left out where options follow, as in `@primitive(moves=True)`.
    returns : type
        What the function of Tensors returns: a Tensor, or a NamedTuple of them. For signatures alone.
    moves : bool
        Only moves numbers and computes none, so that half precision needs no float32 in between (see `in_float32`).
    rounds_once : bool
        Rounds once, as does its pullback, where all arrays have one shape: float32 in between would change nothing.
    precision : str, optional
        What becomes of its arguments inside `autocast`: "low" for products, which run in half precision, "full" for what
        is sensitive to it, which runs in float32. None leaves them as they are.
    reads_halves : Callable, optional
        For "full": whether the first of these arguments may stay half precision, being widened as it is read.

    Returns
    -------
    Primitive
        The function of Tensors, registered in `PRIMITIVES` under its full name.

    Raises
    ------
    TypeError
        In a call, if the function returns no (output, pullback).
    ValueError
        If `precision` is none of the above; in a call or in backward, if there is not a gradient for each argument, or one
        has another shape than its argument (what was broadcast must be summed over).

    Notes
    -----
    What PyTorch does with `autograd.Function`: the closure is the `ctx`, the function its `forward`, the pullback its `backward`.
    Written against `xp`, it can be differentiated twice and mapped over (`weft.vmap`) without more ado.

    Examples
    --------
    >>> @weft.primitive
    ... def cube(xp, x, /):
    ...     return x**3, (lambda g: g * 3 * x**2,)
    >>> weft.grad(cube)(weft.tensor(2.0))
    tensor(12.)
    """
    if precision not in (None, "low", "full"):
        raise ValueError(f"`precision` must be None, 'low' or 'full', got {precision!r}")
    if generic is None:
        return functools.partial(
            primitive,
            returns=returns,
            moves=moves,
            rounds_once=rounds_once,
            precision=precision,
            reads_halves=reads_halves,
        )
    form = generic if generic.__module__.startswith(_OURS) else checked(generic)
    name = form.__name__
    impls: dict[str, Callable] = {}

    @functools.wraps(form)
    def call(*args: Any, **static: Any) -> Any:
        if watch is not None and (result := watch(call, name, args, static)) is not NotImplemented:
            return result
        if mapped is not None and (result := mapped(call, args, static)) is not NotImplemented:
            if moves and isinstance(args[0], Tensor):
                link(args[0], result, call, args[1:], static)
            return result
        device, depth, nested, tracked, mixed = None, 0, False, False, False
        raw: list[Any] = []
        parents: list[Any] = []  # where gradients go, for each argument
        constants: list[Tensor] = []  # Tensors that get none
        rounded: Sequence[tuple[int, Any]] = ()
        if precision is not None and special and _mode.cast is not None:
            args, rounded = _mode.cast(call, args)
        for a in args:
            if not isinstance(a, Tensor):
                raw.append(a if type(a) in PLAIN else operand(name, a))
                parents.append(None)
                continue
            raw.append(a.data)
            if a.requires_grad:
                parents.append(a._node or a)
                tracked = True
            else:
                parents.append(None)
                constants.append(a)
            if a.device is not device:
                if device is None:
                    device, depth = a.device, a._depth
                    nested = depth > 0 and isinstance(a.data, Tensor)
                elif a.device != device:
                    raise ValueError(
                        f"`{name}` needs tensors on one device, got {device} and {a.device}; move one with .to()"
                    )
            if a._depth != depth:
                mixed = True
        if device is None:
            return call(_as_tensor(name, args), *args[1:], **static)
        if mixed:
            raw, parents, constants, depth, nested = _at_deepest(args)
            tracked = len(constants) < len(args) and any(parent is not None for parent in parents)
        if rounded:
            for i, value in rounded:
                raw[i] = value
        result = NotImplemented
        try:
            if impls and not nested:
                impl = impls.get(device)
                if impl is None and device != "cpu":
                    impl = impls.get(kind(device))
                if impl is not None:
                    result = impl(*raw, **static) if static else impl(*raw)
                    if result is NotImplemented and report_fallbacks:
                        _report_fallback(name, device, raw)
            if result is NotImplemented:
                xp = namespace_of(next(r for r in raw if isinstance(r, Tensor))) if nested else namespace(device)
                is_half = not nested and not moves and _is_half(raw) and not (rounds_once and _are_alike(raw))
                if is_half or (rounded and xp is np):
                    result = in_float32(form, xp, raw, static)
                else:
                    result = form(xp, *raw, **static)
        except REFUSALS as error:
            if (better := explained(name, raw, static, error)) is not error:
                raise better from error
            raise
        out, pullback = result
        if tracked and pullback is not None and (not special or _mode.enabled):
            if not special or depth >= _mode.base:
                for a in constants:
                    a._saved = True
                    if a._kin is not None:
                        sharing.note_saved(a)
                found = _record(name, out, pullback, parents, device, depth, Move if moves else Node)
                if note is not None and not rounded:
                    note(found, call, args, static, parents)
                if moves and isinstance(args[0], Tensor):
                    link(args[0], found, call, args[1:], static)
                return found
            _mode.captured.extend(a for a in args if isinstance(a, Tensor) and a.requires_grad)
        if isinstance(out, tuple):
            found = _retuple(out, [wrap(o, device, depth) for o in out])
        else:
            found = wrap(out, device, depth)
        if moves and isinstance(args[0], Tensor):
            link(args[0], found, call, args[1:], static)
        return found

    def on(device: str) -> Callable:
        def register(implementation: Callable) -> Callable:
            impls[device] = implementation
            return implementation

        return register

    made: Any = call
    made.__wrapped__ = _WithoutNamespace(form, returns)
    made.generic, made.impls, made.on = form, impls, on
    made.precision, made.reads_halves = precision, reads_halves
    PRIMITIVES[f"{form.__module__}.{form.__qualname__}"] = made
    return made


class _WithoutNamespace:
    """What `inspect.signature` finds behind a primitive: its generic form without `xp`, whose source `getsource` shows."""

    def __init__(self, form: Callable, returns: type):
        self.__wrapped__, self._returns = form, returns

    @property
    def __signature__(self) -> Any:
        import inspect

        signature = inspect.signature(self.__wrapped__)
        return signature.replace(
            parameters=list(signature.parameters.values())[1:], return_annotation=self._returns.__name__
        )


def _is_half(raw: list) -> bool:
    """Whether their one real dtype is float16 or bfloat16, whose kind, "V", is not one of NumPy's own numbers."""
    found = None
    for r in raw:
        dtype: Any = getattr(r, "dtype", None)
        kind = getattr(dtype, "kind", "")
        if kind == "f" or kind == "V":
            if dtype.itemsize != 2 or found not in (None, dtype):
                return False
            found = dtype
        elif kind == "c":
            return False
    return found is not None


def _are_alike(raw: list) -> bool:
    """Whether these are arrays of one shape, none of them a number."""
    return len({getattr(r, "shape", None) for r in raw}) == 1


def in_float32(form: Callable, xp: Any, raw: Sequence, static: dict) -> Any:
    """A form of a primitive for half precision: computed in float32, results and gradients rounded once, as kernels do it.

    Python numbers take the dtype, as the array API has it: what holds 0.1 equals 0.1. Left to itself, NumPy makes float32
    of a bfloat16 array and a Python number, and sums in half precision; it has no BLAS for either. Gradients that go to
    memory in float32, as those of parameters that `autocast` has rounded do, are not rounded.
    """
    dtype = next(r.dtype for r in raw if hasattr(r, "dtype") and r.dtype.itemsize == 2 and is_real_floating(r.dtype))
    asked = static.get("dtype")

    def wide(a: Any) -> Any:
        if type(a) is float or type(a) is int:
            return _rounded(a, dtype)
        return a.astype(np.float32) if getattr(a, "dtype", None) == dtype else a

    def narrow(a: Any) -> Any:
        if isinstance(a, tuple):
            return _retuple(a, [narrow(x) for x in a])
        return a.astype(dtype) if getattr(a, "dtype", None) == np.float32 else a

    out, pullback = form(xp, *[wide(r) for r in raw], **static)
    out = out if asked is not None else narrow(out)
    if pullback is None:
        return out, None

    def widened(g: Any) -> Any:
        return tuple(wide(x) for x in g) if isinstance(g, tuple) else wide(g)

    if isinstance(pullback, tuple):
        return out, tuple(f and (lambda g, f=f: narrow(f(widened(g)))) for f in pullback)

    def vjp(g: Any, need: Any, into: Any) -> Any:
        into = [None if to is None or to.dtype == dtype else to for to in into]
        gradients = pullback(widened(g), need, into)
        return tuple(narrow(grad) if to is None else grad for grad, to in zip(gradients, into))

    return out, vjp


def _rounded(number: float, dtype: Any) -> float:
    """A number as this dtype holds it; itself if it does."""
    with np.errstate(over="ignore"):
        held = float(np.asarray(number, np.float64).astype(dtype))
    return number if held == number else held


def _as_tensor(name: str, args: tuple) -> Tensor:
    if not args or not isinstance(args[0], np.ndarray | np.generic | int | float | complex | list | tuple):
        got = ", ".join(type(a).__name__ for a in args) or "nothing"
        raise TypeError(f"`{name}` needs a weft.Tensor (weft.asarray makes one), got {got}")
    return Tensor(args[0])


def _at_deepest(args: tuple) -> tuple[list, list, list, int, bool]:
    """(raw arguments, parents, constants, depth, nested) where several depths meet: tensors of the lesser are constants."""
    depth = max(a._depth for a in args if isinstance(a, Tensor))
    nested = any(isinstance(a, Tensor) and a._depth == depth and isinstance(a.data, Tensor) for a in args)
    raw, parents, constants = [], [], []
    for a in args:
        parent = None
        if not isinstance(a, Tensor):
            raw.append(a)
        elif a._depth == depth:
            raw.append(a.data)
            parent = (a._node or a) if a.requires_grad else None
        elif nested:
            raw.append(a)
        else:
            raw.append(innermost(a))
            if a.requires_grad and _mode.enabled and _mode.captured is not None:
                _mode.captured.append(a)
        parents.append(parent)
        if parent is None and isinstance(a, Tensor):
            constants.append(a)
    return raw, parents, constants, depth, nested


def _report_fallback(name: str, device: str, raw: list) -> None:
    shapes = ", ".join(f"{r.dtype}{list(r.shape)}" for r in raw if hasattr(r, "shape"))
    warnings.warn(f"`{name}` on {device} fell back to the generic form for ({shapes})", stacklevel=3)


def _retuple(like: tuple, items: list) -> tuple:
    """A tuple of the same (named) kind."""
    return type(like)(*items) if hasattr(like, "_fields") else tuple(items)


def _record(
    name: str, out: Any, pullback: Any, parents: Sequence, device: str, depth: int, kind: type[Node] = Node
) -> Any:
    node = _new(kind)  # no `__init__`: every operation makes one, and another call would be felt
    node.name = name
    node.pullback = pullback
    node.parents = parents
    node.order = next(_order)
    if not isinstance(out, tuple):
        return wrap(out, device, depth, node)
    results = [wrap(o, device, depth) for o in out]
    for i, result in enumerate(results):
        if not is_integral(result.dtype):
            result._node, result.requires_grad = Output(node, i, result.data), True
    node.pullback = functools.partial(_fill_in, pullback, [r._node and r._node.zeros for r in results])
    return _retuple(out, results)


def _fill_in(pullback: Any, zeros: list, gradients: dict[int, Any], need: Any, into: Any) -> Any:
    """Call the pullback of a node with several outputs: outputs that nothing used have gradient zero."""
    g = tuple(gradients[i] if i in gradients else (z and z()) for i, z in enumerate(zeros))
    if isinstance(pullback, tuple):
        return [f(g) if n else None for f, n in zip(pullback, need)]
    return pullback(g, need, into)


def backward(root: Tensor, grad: Any = None, *, retain_graph: bool = False, gradient: Any = None) -> None:
    """Add d(self)/d(leaf) to `grad` of every leaf that requires it.

    Parameters
    ----------
    root : Tensor
        This tensor, computed from those leaves.
    grad : Tensor, array or number, optional
        The gradient with respect to this tensor, in its shape; 1 if None, for one element only.
    retain_graph : bool, default False
        Keep the record for another `backward`; otherwise it is freed as it is used.
    gradient : Tensor, array or number, optional
        PyTorch's word for `grad`.

    Raises
    ------
    RuntimeError
        If nothing was recorded, the record was freed, values that it needs were changed in place since, or `grad` is
        left out and there is more than one element.
    ValueError
        If `grad` has another shape.
    TypeError
        If both `grad` and `gradient` are given.

    Examples
    --------
    >>> x = weft.tensor([1.0, 2.0], requires_grad=True)
    >>> (x**2).backward(weft.tensor([1.0, 10.0]))
    >>> x.grad
    tensor([ 2., 40.])
    """
    if not root.requires_grad:
        raise RuntimeError("`backward` needs a tensor computed from one with requires_grad=True (and outside no_grad)")
    data = root.data
    if gradient is not None:
        if grad is not None:
            raise TypeError("`backward` takes `grad` or `gradient`, which are the same, got both")
        grad = gradient
    if grad is not None:
        if not isinstance(grad, Tensor):
            grad = operand("backward", grad)
        try:
            grad = namespace_of(data).asarray(grad.data if isinstance(grad, Tensor) else grad, dtype=data.dtype)
        except REFUSALS as error:
            raise explained("backward", [grad], {}, error) from error
        if grad.shape != data.shape:
            raise ValueError(f"`grad` must have the tensor's shape {data.shape}, got {grad.shape}")
    elif data.size != 1:
        raise RuntimeError(f"`backward` without `grad` needs a tensor with one element, got shape {data.shape}")
    elif isinstance(data, np.ndarray) and not data.ndim and root.device == "cpu":
        grad = _one(data.dtype)  # a tenth of the cost
    else:
        grad = namespace_of(data).ones(data.shape, dtype=data.dtype)
    sink = _accumulate_noted if special and _mode.leaves is not None else _accumulate
    reduced = None
    if reducing is not None and (reduced := reducing.begin(root, sink)) is not None:
        sink = reduced.sink
    try:
        if collect is None:
            run([(root._node or root, grad)], sink, retain_graph=retain_graph, to_arena=True)
        else:
            collected = collect(sink)
            run([(root._node or root, grad)], collected, retain_graph=retain_graph, to_arena=True)
            collected.finish()
    finally:
        if _wide:
            _wide.clear()
    if reduced is not None:
        reduced.end()


@functools.cache
def _one(dtype: Any) -> np.ndarray:
    """1 in memory that cannot be written to, so that no leaf keeps it as its gradient."""
    one = np.asarray(1.0, dtype)
    one.setflags(write=False)
    return one


def _accumulate(leaf: Tensor, g: Any, others: Sequence[Any] | None) -> None:
    """Add a gradient to `leaf.grad`; the first one of a step goes into the optimizer's arena, if there is one."""
    if leaf._grad is not None:
        if is_half_gradient(g):
            _add_half(leaf._grad, g)
        else:
            leaf._grad.data += g
        if leaf._grad._saved:
            sharing.changed(leaf._grad.data)
        return
    if isinstance(leaf, Parameter) and (view := leaf._grad_view) is not None:
        if g is not view:
            if leaf._is_shown:
                leave_to_holder(leaf)
            view[...] = g
        grad = leaf._grad_tensor
        if grad is None or grad._saved or grad._kin is not None or grad.data is not view or grad.requires_grad:
            if grad is not None and grad._saved:
                sharing.changed(view)
            grad = leaf._grad_tensor = wrap(view, leaf.device, leaf._depth)
        leaf._grad = grad
        return
    if others is None or g.dtype != leaf.data.dtype or not _is_alone(g, others):
        g = namespace_of(g).asarray(g, dtype=leaf.data.dtype, copy=True)
    leaf._grad = wrap(g, leaf.device, leaf._depth)


def is_half_gradient(g: Any) -> bool:
    """Whether a gradient is float16 or bfloat16, of which sums stand still soon."""
    return getattr(g.dtype, "itemsize", 0) == 2 and is_real_floating(g.dtype)


def wide_sum(a: Any, b: Any) -> Any:
    """a + b in float32."""
    xp = namespace_of(b)
    return xp.astype(a, xp.float32) + xp.astype(b, xp.float32)


_wide: dict[int, tuple[Tensor, Any]] = {}  # gradients of leaves with their sums in float32, within one `backward`


def _add_half(grad: Tensor, g: Any) -> None:
    total = wide_sum(_wide.get(id(grad), (grad, grad.data))[1], g)
    grad.data[...] = namespace_of(g).astype(total, g.dtype)
    _wide[id(grad)] = grad, total


def leave_to_holder(leaf: Parameter) -> None:
    """Give who still holds the last gradient memory of its own for it: the arena's is about to be written to."""
    if special and _mode.is_recorded:  # a recording holds them, and begins with what is in the arena
        return
    leaf._is_shown = False
    is_held = getrefcount(leaf._grad_tensor) != UNHELD
    grad = leaf._grad_tensor
    if grad is None:
        return
    is_held |= bool(grad._kin) and any(ref() is not None for ref in grad._kin.values())  # by what was detached from it
    is_there = grad.data is leaf._grad_view
    if is_there and grad._saved:
        sharing.changed(grad.data)
    if is_held:
        leaf._grad_tensor = None
        if is_there:
            sharing.move(grad, namespace_of(grad.data).asarray(grad.data, copy=True))


def _accumulate_noted(leaf: Tensor, g: Any, others: Sequence[Any] | None) -> None:
    """The same while `capture` records, which wants to know who gets a gradient."""
    _mode.leaves(leaf)
    _accumulate(leaf, g, others)


def _is_alone(g: Any, others: Sequence[Any]) -> bool:
    """Whether memory is g's own, so that a leaf may keep it: a NumPy array, shared with none of `others` but itself."""
    if type(g) is not np.ndarray or not g.flags.writeable or 0 in g.strides:
        return False
    arrived, gradients = others
    return sum(o is not None and np.may_share_memory(g, o) for o in (arrived, *gradients)) == 1


def _is_addable(total: Any, g: Any) -> bool:
    """Whether `total += g` is what `total + g` is: of NumPy's arrays, in full precision."""
    return type(total) is type(g) is np.ndarray and total.dtype == g.dtype and not is_half_gradient(g)


def run(
    roots: Iterable[tuple[Any, Any]], sink: Callable, *, retain_graph: bool = False, to_arena: bool = False
) -> None:
    """Send gradients back from `roots`, each a (node or leaf, gradient), and those of leaves to `sink(leaf, gradient, others)`.

    Nodes are visited newest first, hence after all that used their output. `others` are the arrays that the gradient
    may share memory with (itself among them), or None if there may be any. With `to_arena`, a parameter's first gradient
    of the step is written straight to where its optimizer wants it.
    """
    pending: dict[Node, Any] = {}
    halves: dict[Node, Any] | None = None  # dtypes of gradients that are added up in float32
    fresh: dict[Node, int] = {}  # of pending gradients, which nobody else has: `id`s, so as not to keep them
    queue: list[tuple[float, Node]] = []
    arriving: Iterable[tuple[Any, Any]] = roots
    others: Sequence[Any] | None = None
    while True:
        node = None  # what is due, where nothing else is: most networks are chains
        for to, g in arriving:
            if to is None or g is None:
                continue
            if isinstance(to, Tensor):
                sink(to, g, others)
            elif node is None and not queue:
                node, due = to, g
            else:
                if node is not None:
                    pending[node] = due
                    heappush(queue, (node.order, node))
                    node = None
                if to in pending:
                    if is_half_gradient(g):  # rounded once, however many they are
                        halves = halves or {}
                        halves[to] = g.dtype
                        pending[to] = wide_sum(pending[to], g)
                    else:
                        pending[to] = pending[to] + g
                else:
                    pending[to] = g
                    heappush(queue, (to.order, to))
        if node is not None:
            g = due
        elif queue:
            node = heappop(queue)[1]
            g = pending.pop(node)
            if halves and node in halves:
                g = namespace_of(g).astype(g, halves.pop(node))
        else:
            return
        pullback, parents = node.pullback, node.parents
        if pullback is None:
            if type(node) is not Output:
                raise RuntimeError(
                    f"the record of `{node.name}` was freed by an earlier backward; call backward(retain_graph=True) there"
                )
            joint = parents[0]
            if joint not in pending:
                pending[joint] = {}
                heappush(queue, (joint.order, joint))
            pending[joint][node.index] = g
            arriving = ()
            continue
        if last.write < node.order:
            sharing.check(node.name, pullback, parents, node.order, indices_only=type(node) is Move)
        if type(node) is Move and type(pullback) is tuple and (add := getattr(pullback[0], "add", None)) is not None:
            parent = parents[0]
            total = pending.get(parent)
            if _is_addable(total, g) and fresh.get(parent) == id(total):
                add(total, g=g)  # to the few numbers it is about, not as one more array full of zeros
                gradients = [None]
            else:
                gradients = [pullback[0](g)]
                if parent not in pending:
                    fresh[parent] = id(gradients[0])
        elif type(pullback) is tuple:
            gradients = []  # a loop, as is the next: comprehensions are calls before Python 3.12
            for f, parent in zip(pullback, parents):
                gradients.append(None if parent is None else f(g))
        else:
            need: list[bool] = []
            into: list[Any] = []
            for parent in parents:
                need.append(parent is not None)
                view = None
                if to_arena and isinstance(parent, Parameter) and parent._grad is None:
                    view = parent._grad_view
                    if view is not None and parent._is_shown:
                        leave_to_holder(parent)
                    for taken in into:  # used twice by one operation: only the first may write
                        if view is taken:
                            view = None
                into.append(view)
            gradients = pullback(g, need, into)
        if retain_graph:
            others = None
        else:
            node.pullback = None
            others = (None, [*g.values(), *gradients]) if type(g) is dict else (g, gradients)
        arriving = zip(parents, gradients)


# --- modes ------------------------------------------------------------------------------------------------------------
class _GradMode:
    """Context manager and decorator (with or without parentheses)."""

    enabled: bool
    before: list[bool]

    @overload
    def __new__(cls, f: F) -> F: ...  # type: ignore[misc]

    @overload
    def __new__(cls) -> Self: ...

    def __new__(cls, f: Callable | None = None) -> Any:
        mode = super().__new__(cls)
        mode.before = []
        return mode if f is None else mode(f)

    def __enter__(self) -> None:
        count_special(1)
        self.before.append(_mode.enabled)
        _mode.enabled = self.enabled

    def __exit__(self, *_: Any) -> None:
        _mode.enabled = self.before.pop()
        count_special(-1)

    def __call__(self, f: F) -> F:
        @functools.wraps(f)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with type(self)():
                return f(*args, **kwargs)

        @functools.wraps(f)
        def generated(*args: Any, **kwargs: Any) -> Generator:
            steps = f(*args, **kwargs)
            advance, given = steps.send, None
            while True:
                try:
                    with type(self)():
                        value = advance(given)
                except StopIteration as end:
                    return end.value
                try:  # the caller's own mode, until it wants the next
                    advance, given = steps.send, (yield value)
                except BaseException as error:
                    advance, given = steps.throw, error

        return cast(F, generated if inspect.isgeneratorfunction(f) else wrapped)


class no_grad(_GradMode):
    """Record nothing within the block, or the decorated function.

    In-place operations work on memory there.

    Parameters
    ----------
    f : Callable, optional
        The function, in `@weft.no_grad` without parentheses.

    Examples
    --------
    >>> x = weft.ones(3, requires_grad=True)
    >>> with weft.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    enabled = False


class enable_grad(_GradMode):
    """Record within the block, or the decorated function, inside a `no_grad`.

    Parameters
    ----------
    f : Callable, optional
        The function, in `@weft.enable_grad` without parentheses.

    Examples
    --------
    >>> x = weft.ones(3, requires_grad=True)
    >>> with weft.no_grad(), weft.enable_grad():
    ...     y = x * 2
    >>> y.requires_grad
    True
    """

    enabled = True


def is_grad_enabled() -> bool:
    """Whether operations are being recorded in this thread.

    Returns
    -------
    bool
        False inside a `no_grad`.

    Examples
    --------
    >>> with weft.no_grad():
    ...     weft.is_grad_enabled()
    False
    """
    return not special or _mode.enabled
