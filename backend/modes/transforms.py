"""Functions of functions: `grad`, `value_and_grad`, and `checkpoint`, which trades time for memory.

`grad(f)` puts its arguments on a tape of its own. The outermost one works on plain arrays, at full speed. One inside
another holds Tensors of the outer tape, which records all it does, its pullbacks included: that is how derivatives
nest.

What an outermost `grad` returns may depend on tensors that require grad: arguments that do, and tensors that `f` merely
uses, such as a model's parameters. Seldom is *that* derivative wanted (a penalty on gradients wants it), so nothing is
kept for it: backward runs `f` again, nested, when it gets there. `checkpoint` is the same idea for plain functions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..array.elementwise import multiply
from ..array.random import default_generator
from ..device import ranks
from ..device.devices import namespace_of
from ..device.options import integer
from ..tape import sharing
from ..tape.autograd import _mode, _record, _retuple, count_special, enable_grad, is_half_gradient, run, wide_sum
from ..tape.tensor import Tensor, innermost, wrap

__all__ = ["checkpoint", "grad", "value_and_grad"]

NEVER = 1 << 30  # deeper than any tape: nothing is recorded


def value_and_grad(f: Callable[..., Tensor], argnums: int | Sequence[int] = 0) -> Callable[..., tuple[Tensor, Any]]:
    """A function that returns the value of a scalar function and its gradient.

    It nests: `weft.grad(weft.grad(f))` is the second derivative. Nothing but the arguments named receives a gradient, and
    `.grad` is not touched.

    Parameters
    ----------
    f : Callable
        Returns a Tensor with one element.
    argnums : int or sequence of int, default 0
        Which positional arguments to differentiate with respect to: Tensors, or lists, tuples and dicts of them.

    Returns
    -------
    Callable
        Of the arguments of `f`: returns (`f(*args, **kwargs)`, gradient). The gradient has the form of the argument; for
        several `argnums` it is a tuple.

    Raises
    ------
    TypeError
        In a call, if the result is no Tensor with one element, or an argument holds what is no Tensor.
    ValueError
        In a call, if `argnums` names no argument.

    Notes
    -----
    Where arguments, or tensors that `f` uses, require grad, so do the results; `backward` through them calls `f` again,
    so it must give the same result (random numbers from the default generator are replayed).

    Examples
    --------
    >>> value, slope = weft.value_and_grad(lambda x: (x**3).sum())(weft.tensor([2.0]))
    >>> value, slope
    (tensor(8.), tensor([12.]))
    """

    @functools.wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        numbers = _numbers(argnums, len(args))
        trees = [args[n] for n in numbers]

        def call(leaves: list[Tensor]) -> Any:
            rest = iter(leaves)
            new = {n: _map(lambda _: next(rest), args[n]) for n in numbers}
            return f(*[new.get(i, a) for i, a in enumerate(args)], **kwargs)

        inputs = [t for tree in trees for t in _flatten(tree)]
        if _mode.level and (_mode.enabled or _mode.lanes):
            results = _differentiate(call, inputs, nested=True)
        else:
            used = [t for t in inputs if t.requires_grad]
            state = default_generator.get_state()
            results = _differentiate(call, inputs, nested=False, captured=used)
            results = _on_demand(results, lambda: _differentiate(call, inputs, nested=True), inputs, used, state)
        value, rest = results[0], iter(results[1:])
        grads = tuple(_map(lambda _: next(rest), tree) for tree in trees)
        return value, grads[0] if isinstance(argnums, int) else grads

    return wrapped


def grad(f: Callable[..., Tensor], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """The gradient of a scalar function, as a function.

    Parameters
    ----------
    f : Callable
        Returns a Tensor with one element.
    argnums : int or sequence of int, default 0
        Which positional arguments to differentiate with respect to: Tensors, or lists, tuples and dicts of them.

    Returns
    -------
    Callable
        Of the arguments of `f`: returns the gradient, as that of `value_and_grad`.

    Raises
    ------
    TypeError
        In a call, if the result is no Tensor with one element, or an argument holds what is no Tensor.
    ValueError
        In a call, if `argnums` names no argument.

    Examples
    --------
    >>> cube = lambda x: x**3
    >>> weft.grad(weft.grad(cube))(weft.tensor(2.0))
    tensor(12.)
    """
    if not callable(f):
        raise TypeError(
            f"`f` must be a function of Tensors, got {f!r:.80}; the gradient of a result: result.backward()"
        )
    both = value_and_grad(f, argnums)
    return functools.wraps(f)(lambda *args, **kwargs: both(*args, **kwargs)[1])


def checkpoint(f: Callable, *args: Any) -> Any:
    """Call a function and keep nothing of its inside for the backward pass: it is computed again there.

    Memory for time: only `args` and the result are held. Parameters and other tensors that `f` uses receive their gradients
    too.

    Parameters
    ----------
    f : Callable
        Returns a Tensor or a tuple of them, and the same when called again; randomness drawn from the default generator is
        replayed, `autocast` is as it was, running statistics (`BatchNorm`) move once, not twice as in PyTorch. One that
        counts, or changes a buffer that it reads, does not.
    *args : Any
        What it is called with.

    Returns
    -------
    Tensor or tuple of Tensor
        What `f(*args)` returns.

    Raises
    ------
    RuntimeError
        In backward, if `f` returns something else when called again (PyTorch goes on with wrong gradients). Off the CPU, where
        that cannot be known without waiting, the gradients are NaN then.

    Notes
    -----
    Inside a nested `weft.grad`, which differentiates every step, nothing can be left out: there it is f(*args).

    Examples
    --------
    >>> x = weft.tensor([1.0, 2.0], requires_grad=True)
    >>> weft.checkpoint(lambda x: (x**3).sum(), x).backward()
    >>> x.grad
    tensor([ 3., 12.])
    """
    if not callable(f):
        raise TypeError(f"`f` must be a function, got {f!r:.80}")
    if not _mode.enabled or _mode.nested:
        return f(*args)
    used: list[Tensor] = []
    state, cast, share = default_generator.get_state(), _mode.cast, ranks.share
    with _tape(_mode.level, base=NEVER, captured=used):
        out = f(*args)
    outs = out if isinstance(out, tuple) else (out,)
    like_before = [(raw, sharing.last_change(raw)) for raw in map(innermost, outs)]  # held, and not needed by backward
    used += [o for o in outs if o.requires_grad]  # arguments that `f` returned untouched

    def again() -> tuple:
        with _tape(_mode.level, cast=cast and cast.anew()), ranks.sharing(share):
            out = f(*args)
        found = out if isinstance(out, tuple) else (out,)
        return tuple(_as_before(o, *before) for o, before in zip(found, like_before))

    given = [a for a in args if isinstance(a, Tensor)]
    results = _on_demand(outs, again, given, used, state)
    return _retuple(out, list(results)) if isinstance(out, tuple) else results[0]


def _as_before(found: Tensor, raw: Any, time: int) -> Tensor:
    """What was computed again, if it is what was computed at first, `raw`; else RuntimeError, or gradients that are NaN."""
    if not found.requires_grad or sharing.last_change(raw) != time:  # somebody has written to the first
        return found
    xp, now = namespace_of(raw), innermost(found)
    is_same = now.shape == raw.shape and now.dtype == raw.dtype and _agree(xp, now, raw)
    if found.device != "cpu" and is_same is not False:
        nan = xp.full((), float("nan"), dtype=raw.dtype, device=raw.device)
        return multiply(found, wrap(xp.where(is_same, xp.ones_like(nan), nan), found.device))
    if not is_same:
        raise RuntimeError(
            "`f` of a `checkpoint` gave something else when it was called again for backward: it counts, draws numbers of its "
            "own, or changes what it reads; keep that outside, or call f without checkpoint"
        )
    return found


def _agree(xp: Any, a: Any, b: Any) -> Any:
    """Whether two arrays are equal to rounding, NaN included, as a 0-d array."""
    if not a.size:
        return xp.ones((), dtype=xp.bool, device=a.device)
    close = 1e-2 if a.dtype.itemsize < 4 else 1e-5 if a.dtype.itemsize == 4 else 1e-10
    if a.dtype.itemsize < 4:
        a, b = xp.astype(a, xp.float32), xp.astype(b, xp.float32)
    size = xp.max(xp.where(xp.isfinite(b), xp.abs(b), xp.zeros_like(b)))
    return xp.all((a == b) | (xp.isnan(a) & xp.isnan(b)) | (xp.abs(a - b) <= close * size))


# --- one gradient -----------------------------------------------------------------------------------------------------
@contextmanager
def _tape(level: int, **state: Any) -> Iterator[None]:
    """Set what this thread records, within the block."""
    state["level"] = level
    count_special(1)
    before = {name: getattr(_mode, name) for name in state}
    _mode.__dict__.update(state)
    try:
        yield
    finally:
        _mode.__dict__.update(before)
        count_special(-1)


def _differentiate(
    call: Callable, inputs: list[Tensor], *, nested: bool, captured: list | None = None
) -> tuple[Tensor, ...]:
    """(value, gradient for each input) of `call(leaves)`, on a new tape.

    Nested, the leaves hold the inputs themselves; otherwise raw arrays, and tensors from other tapes that met them are
    added to `captured`.
    """
    depth = _mode.level + 1
    leaves = [wrap(t if nested else innermost(t), t.device, depth).requires_grad_() for t in inputs]
    base, captured = (min(_mode.base, depth), _mode.captured) if nested else (depth, captured)
    if nested and not _mode.enabled:  # of lanes: nothing but this very derivative is wanted
        base, captured = depth, []
    found = Gradients()
    with _tape(depth, base=base, nested=nested, captured=captured):
        with enable_grad():
            value = call(leaves)
        if not isinstance(value, Tensor) or value.size != 1:
            got = f"shape {value.shape}" if isinstance(value, Tensor) else type(value).__name__
            raise TypeError(f"`grad` needs a function that returns a Tensor with one element, got {got}")
        mine = value._depth == depth
        if mine and value.requires_grad:
            run([(value._node or value, namespace_of(value.data).ones_like(value.data))], found.add)
    gradients = [_lower(found.get(x, namespace_of(x.data).zeros_like), x.device) for x in leaves]
    return (_lower(value.data, value.device) if mine else value, *gradients)


class Gradients:
    """Gradients that arrived, by tensor."""

    def __init__(self) -> None:
        self.gradients: dict[int, Any] = {}
        self.halves: dict[int, Any] = {}  # dtypes of those that are added up in float32

    def add(self, leaf: Tensor, g: Any, others: Any) -> None:
        key = id(leaf)
        if key not in self.gradients:
            self.gradients[key] = g
        elif is_half_gradient(g):
            self.gradients[key], self.halves[key] = wide_sum(self.gradients[key], g), g.dtype
        else:
            self.gradients[key] = self.gradients[key] + g

    def get(self, leaf: Tensor, otherwise: Callable = lambda _: None) -> Any:
        if id(leaf) not in self.gradients:
            return otherwise(leaf.data)
        found, half = self.gradients[id(leaf)], self.halves.get(id(leaf))
        return found if half is None else namespace_of(found).astype(found, half)


def _lower(raw: Any, device: str) -> Tensor:
    return raw if isinstance(raw, Tensor) else wrap(raw, device)


# --- computing again --------------------------------------------------------------------------------------------------
def _on_demand(outs: tuple, again: Callable[[], tuple], given: list[Tensor], used: list[Tensor], state: dict) -> tuple:
    """`outs` on the tape as a function of the tensors in `used`: backward calls `again()` for the same, recorded.

    It finds the tensors, and those that were `given`, as they were, whatever they have been bound to since.
    """
    used = list({id(t): t for t in used}.values())
    depth = max((t._depth for t in used), default=0)
    if not used or not _mode.enabled:
        return outs

    then = [(t, t.data, t.requires_grad, t._depth) for t in {id(t): t for t in (*given, *used)}.values()]

    def vjp(g: tuple, need: Any, into: Any) -> list:
        found = Gradients()
        with (
            _as_leaves(then),
            _replay(state),
            _tape(_mode.level, base=min(_mode.base, depth), is_again=True),
            enable_grad(),
        ):
            run([(o._node or o, go) for o, go in zip(again(), g) if o.requires_grad], found.add)
        return [found.get(t) for t in used]

    lesser = [t for t in used if t._depth < max(depth, _mode.base)]
    if lesser:
        _mode.captured.extend(lesser)
    if depth < _mode.base:
        return outs
    parents: list[Any] = []
    for t in used:
        is_mine = t.requires_grad and t._depth == depth
        parents.append((t._node or t) if is_mine else None)
        t._saved |= not is_mine
    results = _record("computed again", tuple(innermost(o) for o in outs), vjp, parents, outs[0].device, depth)
    for result, out in zip(results, outs):
        result.device = out.device
    return results


@contextmanager
def _as_leaves(then: Sequence[tuple[Tensor, Any, bool, int]]) -> Iterator[None]:
    """Give tensors the data that they had, cut off from what computed it, so that gradients stop there."""
    now = [(t, t.data, t.requires_grad, t._depth, t._node) for t, *_ in then]
    for t, data, requires_grad, depth in then:
        t.data, t.requires_grad, t._depth, t._node = data, requires_grad, depth, None
    try:
        yield
    finally:
        for t, data, requires_grad, depth, node in now:
            t.data, t.requires_grad, t._depth, t._node = data, requires_grad, depth, node


@contextmanager
def _replay(state: dict) -> Iterator[None]:
    """Draw from the default generator what was drawn after `state`."""
    now = default_generator.get_state()
    default_generator.set_state(state)
    try:
        yield
    finally:
        default_generator.set_state(now)


# --- trees ------------------------------------------------------------------------------------------------------------
def _numbers(argnums: int | Sequence[int], n: int) -> list[int]:
    numbers = list(argnums) if isinstance(argnums, Sequence) and not isinstance(argnums, str) else [argnums]
    for i in numbers:
        integer("argnums", i)
    if any(not -n <= i < n for i in numbers):
        raise ValueError(f"`argnums` must name positional arguments, got {argnums} and {n} arguments")
    return [i % n for i in numbers]


def _map(f: Callable, tree: Any, what: str = "`grad` differentiates") -> Any:
    """A list, tuple or dict with `f` of each Tensor in it."""
    if isinstance(tree, Tensor):
        return f(tree)
    if isinstance(tree, dict):
        return {k: _map(f, v, what) for k, v in tree.items()}
    if isinstance(tree, list):
        return [_map(f, v, what) for v in tree]
    if isinstance(tree, tuple):
        return _retuple(tree, [_map(f, v, what) for v in tree])
    raise TypeError(f"{what} Tensors and lists, tuples and dicts of them, got {type(tree).__name__}")


def _flatten(tree: Any) -> list[Tensor]:
    found: list[Tensor] = []
    _map(found.append, tree)
    return found
