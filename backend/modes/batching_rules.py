"""How `vmap` runs the array API's operations on all lanes at once: on arrays with one axis more, in front.

A rule is called with the operation, a `Call`, and gives the result with the lanes along its first axis, or NotImplemented:
lane by lane, then. Most rules are one of two thoughts. What goes element by element needs its arguments aligned from the
left, behind the lanes. What names axes needs them counted from the right, where the lanes are not.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..array.manipulation import broadcast_to, expand_dims, reshape, squeeze
from ..tape.tensor import Tensor

__all__ = ["RULES", "Call", "from_right", "options_by_place", "rule"]


class Call(NamedTuple):
    """An operation on lanes: `args` with the lanes in front where `is_mapped`, `options` by name, `n` lanes."""

    f: Any
    args: tuple[Any, ...]
    is_mapped: tuple[bool, ...]
    options: dict[str, Any]
    n: int

    def ndim(self, i: int = 0) -> int:
        """The number of axes of an argument, in one lane."""
        return getattr(self.args[i], "ndim", 0) - self.is_mapped[i]

    def only_first(self) -> bool:
        """Whether no argument but the first differs from lane to lane."""
        return self.is_mapped[0] and not any(self.is_mapped[1:])

    def spread(self, i: int) -> Tensor:
        """An argument with the lanes in front, whether it differs or not."""
        x = self.args[i]
        return x if self.is_mapped[i] else broadcast_to(expand_dims(x, axis=0), (self.n, *x.shape))

    def aligned(self) -> list[Any]:
        """The arguments with axes of length 1 behind the lanes, so that they broadcast as in one lane."""
        most = max(self.ndim(i) for i in range(len(self.args)))
        return [
            reshape(x, (self.n, *(1,) * (most - self.ndim(i)), *x.shape[1:])) if mapped else x
            for i, (x, mapped) in enumerate(zip(self.args, self.is_mapped))
        ]

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self.f(*args, **{**self.options, **options})


Rule = Callable[[Call], Any]
RULES: dict[str, Rule] = {}  # by the name of the operation, and of the module that it is in


def rule(module: str, names: str) -> Callable[[Rule], Rule]:
    """Enter a function in `RULES` for some operations."""

    def enter(f: Rule) -> Rule:
        RULES.update({f"{module}.{name}": f for name in names.split()})
        return f

    return enter


def from_right(axis: Any, ndim: int) -> Any:
    """An axis, or several, of what has `ndim` axes in one lane, counted from the right; an AxisError if there is none."""
    if isinstance(axis, list | tuple):
        return tuple(from_right(a, ndim) for a in axis)
    return np.lib.array_utils.normalize_axis_index(axis, ndim) - ndim


# --- element by element -----------------------------------------------------------------------------------------------
@rule(
    "activation",
    "relu leaky_relu hardtanh relu6 threshold heaviside hardsigmoid hardswish elu selu celu sigmoid log_sigmoid softplus"
    " softsign silu mish erf gelu",
)
@rule("shrinkage", "hardshrink softshrink tanhshrink")
@rule("manipulation", "_astype")
@rule("methods", "_move")
@rule("indexing", "where")
@rule("elementwise", "*")
def elementwise(call: Call) -> Any:
    """f(x₁, x₂, …), broadcast."""
    return call(*call.aligned())


@rule("products", "vecdot")
@rule("linalg", "cross")
def elementwise_along(call: Call) -> Any:
    """The same, but for one axis, which the wider one counts."""
    most = max(call.ndim(0), call.ndim(1))
    return call(*call.aligned(), axis=from_right(call.options.get("axis", -1), most))


# --- along axes -------------------------------------------------------------------------------------------------------
@rule("reductions", "sum mean prod max min var std logsumexp all any count_nonzero")
@rule("manipulation", "flip")
def reduced(call: Call) -> Any:
    """Over some axes, or (None) over all of one lane."""
    axis, ndim = call.options.get("axis"), call.ndim()
    return call(call.args[0], axis=from_right(tuple(range(ndim)) if axis is None else axis, ndim))


@rule("linalg", "vector_norm")
@rule("reductions", "argmax argmin")
@rule("manipulation", "repeat roll")
def flattened(call: Call) -> Any:
    """Along an axis, or (None) of all numbers of one lane in a row."""
    axis, ndim = call.options.get("axis"), call.ndim()
    if not call.only_first():
        return NotImplemented
    if axis is not None:
        return call(call.args[0], *call.args[1:], axis=from_right(axis, ndim))
    found = call(reshape(call.args[0], (call.n, -1)), *call.args[1:], axis=1)
    if call.f.__name__ == "roll":
        return reshape(found, call.args[0].shape)
    return reshape(found, (call.n, *(1,) * ndim)) if call.options.get("keepdims") else found


@rule("activation", "softmax log_softmax")
@rule("reductions", "cumulative_sum cumulative_prod")
@rule("indexing", "argsort sort")
@rule("fft", "fft ifft rfft irfft hfft ihfft")
def along(call: Call) -> Any:
    """Along one axis; None is the only one."""
    axis = call.options.get("axis", -1)
    if axis is None and call.ndim() != 1:
        return NotImplemented
    return call(call.args[0], axis=from_right(-1 if axis is None else axis, call.ndim()))


@rule("fft", "fftn ifftn rfftn irfftn fftshift ifftshift")
def along_axes(call: Call) -> Any:
    """Along several axes; None are all, or the last ones that there are lengths for."""
    axes, ndim, lengths = call.options.get("axes"), call.ndim(), call.options.get("s")
    if axes is None:
        axes = tuple(range(ndim))[-len(lengths) if lengths else 0 :]
    return call(call.args[0], axes=from_right(axes, ndim))


# --- matrices ---------------------------------------------------------------------------------------------------------
@rule("decompositions", "cholesky eigh eigvalsh qr svd svdvals")
@rule("linalg", "inv pinv det slogdet diagonal")
@rule("creation", "tril triu")
@rule("manipulation", "matrix_transpose")
def matrices(call: Call) -> Any:
    """Stacks of them are what these take."""
    return call(*call.args) if call.ndim() > 1 else NotImplemented


@rule("products", "matmul")
def products(call: Call) -> Any:
    """Rows and columns become matrices for as long as it takes."""
    a, b = call.ndim(0), call.ndim(1)
    if not a or not b:
        return NotImplemented
    x, y = call.spread(0) if a == 1 else call.args[0], call.spread(1) if b == 1 else call.args[1]
    x, y = expand_dims(x, axis=1) if a == 1 else x, expand_dims(y, axis=2) if b == 1 else y
    mapped = (call.is_mapped[0] or a == 1, call.is_mapped[1] or b == 1)
    found = call(*call._replace(args=(x, y), is_mapped=mapped).aligned())
    return squeeze(found, axis=tuple(i for i, n in ((-2, a), (-1, b)) if n == 1)) if 1 in (a, b) else found


@rule("linalg", "solve")
def solve(call: Call) -> Any:
    """A column becomes a matrix for as long as it takes."""
    if call.ndim(1) != 1:
        return call(*call.aligned()) if call.ndim(0) > 1 else NotImplemented
    column = expand_dims(call.spread(1), axis=-1)
    return squeeze(
        call(*call._replace(args=(call.args[0], column), is_mapped=(call.is_mapped[0], True)).aligned()), axis=-1
    )


@rule("linear", "linear")
def linear(call: Call) -> Any:
    """One product for all lanes, where they have the weight in common."""
    return call(*call.args) if call.only_first() and call.ndim() else NotImplemented


@rule("convolution", "conv conv_transpose")
@rule("pooling", "max_pool avg_pool adaptive_avg_pool")
@rule("folding", "unfold fold")
@rule("resampling", "resample")
@rule("normalization", "batch_norm_inference group_norm")
def images(call: Call) -> Any:
    """Lanes are more images of the batch, where they have the weights in common."""
    if not call.only_first():
        return NotImplemented
    x = call.args[0]
    found = call(reshape(x, (call.n * x.shape[1], *x.shape[2:])), *call.args[1:])
    apart = lambda y: reshape(y, (call.n, x.shape[1], *y.shape[1:]))
    return tuple(map(apart, found)) if isinstance(found, tuple) else apart(found)


# --- shapes -----------------------------------------------------------------------------------------------------------
@rule("manipulation", "reshape broadcast_to")
def shaped(call: Call) -> Any:
    """Into a shape."""
    x, shape = call.args[0], call.options["shape"]
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if call.f.__name__ == "broadcast_to":
        return call(reshape(x, (call.n, *(1,) * (len(shape) - call.ndim()), *x.shape[1:])), shape=(call.n, *shape))
    if -1 in shape and not call.n:
        return NotImplemented
    return call(x, shape=(call.n, *shape))


@rule("manipulation", "permute_dims moveaxis expand_dims squeeze tile")
def moved(call: Call) -> Any:
    """Axes in another order, more of them, or fewer."""
    (x, *places), ndim = call.args, call.ndim()
    options = dict(call.options)
    match call.f.__name__:
        case "permute_dims":
            options["axes"] = (0, *(a + ndim + 1 for a in from_right(tuple(options["axes"]), ndim)))
        case "expand_dims":
            options["axis"] = from_right(options["axis"], ndim + 1)
        case "squeeze":
            options["axis"] = from_right(options["axis"], ndim)
        case "moveaxis":
            places = [from_right(p, ndim) for p in places]
        case "tile":
            times = tuple(places[0])
            x = reshape(x, (call.n, *(1,) * (len(times) - ndim), *x.shape[1:]))
            places = [(*(1,) * (1 + max(ndim - len(times), 0)), *times)]
    return call(x, *places, **options)


@rule("manipulation", "_concat _stack")
def joined(call: Call) -> Any:
    """Several arrays, of which some may be the same in all lanes."""
    ndim = call.ndim() + (call.f.__name__ == "_stack")
    arrays = [call.spread(i) for i in range(len(call.args))]
    return call(*arrays, axis=from_right(call.options["axis"], ndim))


@functools.cache
def options_by_place(form: Callable) -> tuple[int, tuple[str, ...]]:
    """How many of a generic form's arguments are arrays, and the names of the options that may follow by place."""
    given = list(inspect.signature(form).parameters.values())[1:]
    if any(p.kind is p.VAR_POSITIONAL for p in given):
        return len(given) + (1 << 30), ()
    names = tuple(p.name for p in given if p.kind is p.POSITIONAL_OR_KEYWORD)
    return sum(p.kind is p.POSITIONAL_ONLY for p in given), names
