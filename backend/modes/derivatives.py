"""Derivatives of functions with many outputs: `vjp`, `jvp`, `jacrev`, `jacfwd`, `hessian`, `hvp`, all from `grad` and `vmap`.

Reverse mode alone: vᵀJ is the gradient of ⟨v, f(x)⟩, and J t the derivative of the linear map v ↦ vᵀJ along t.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ..array.creation import eye, zeros
from ..array.elementwise import multiply
from ..array.manipulation import moveaxis, reshape, stack
from ..array.random import default_generator
from ..array.reductions import sum as total
from ..tape.tensor import Tensor
from .batching import vmap
from .transforms import _replay, grad

__all__ = ["hessian", "hvp", "jacfwd", "jacrev", "jvp", "vjp"]


def vjp(f: Callable[..., Tensor], *primals: Tensor) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, ...]]]:
    """The value of a function, and what takes a vector v to vᵀJ, with J the Jacobian matrix there.

    Parameters
    ----------
    f : Callable
        Returns a Tensor.
    *primals : Tensor
        Where.

    Returns
    -------
    value : Tensor
        `f(*primals)`.
    pullback : Callable
        Of v, a Tensor of the shape of `value`: returns a tuple with the gradient of ⟨v, f⟩ for each of `primals`.

    Raises
    ------
    TypeError
        If `f` is no function, or its result no Tensor.
    ValueError
        In a call, if v has another shape than the value.

    Notes
    -----
    Each call of `pullback` calls `f` again (PyTorch keeps what the first call computed); random numbers from the default
    generator are replayed.

    Examples
    --------
    >>> y, pullback = weft.vjp(lambda x: x**2, weft.tensor([1.0, 3.0]))
    >>> pullback(weft.tensor([1.0, 10.0]))
    (tensor([ 2., 60.]),)
    """
    value, again = _value(f, primals)

    def pullback(v: Tensor) -> tuple[Tensor, ...]:
        _check_like("v", v, value)
        return _pull(again, primals, v)

    return value, pullback


def jvp(f: Callable[..., Tensor], primals: Sequence[Tensor], tangents: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The value of a function, and its derivative J t along a direction t.

    Parameters
    ----------
    f : Callable
        Returns a Tensor.
    primals : sequence of Tensor
        Where: the arguments of `f`.
    tangents : sequence of Tensor
        The direction: a Tensor for each argument, of its shape.

    Returns
    -------
    value, derivative : Tensor
        Both of the shape of `f(*primals)`.

    Raises
    ------
    TypeError
        If `f` is no function, or its result no Tensor, or one of `primals` and `tangents` no sequence of Tensors.
    ValueError
        If their numbers or shapes differ.

    Notes
    -----
    Two passes in reverse: it costs a few times what forward mode would.

    Examples
    --------
    >>> weft.jvp(lambda x: x**2, (weft.tensor([1.0, 3.0]),), (weft.tensor([1.0, 10.0]),))
    (tensor([1., 9.]), tensor([ 2., 60.]))
    """
    primals, tangents = _sequence("primals", primals), _sequence("tangents", tangents)
    if len(primals) != len(tangents):
        raise ValueError(f"`tangents` must be as many as `primals`, {len(primals)}, got {len(tangents)}")
    for x, t in zip(primals, tangents):
        _check_like("tangents", t, x)
    value, again = _value(f, primals)

    def along(v: Tensor) -> Tensor:
        terms = [_dot(g, t) for g, t in zip(_pull(again, primals, v), tangents)]
        return stack(terms).sum()

    return value, grad(along)(zeros(value.shape, dtype=value.dtype, device=value.device))


def jacrev(f: Callable[..., Tensor], argnums: int = 0) -> Callable[..., Tensor]:
    """The Jacobian ∂f_i/∂x_j of a function of Tensors, as a function, all rows at once in reverse.

    Parameters
    ----------
    f : Callable
        Returns a Tensor.
    argnums : int, default 0
        Which positional argument is x.

    Returns
    -------
    Callable
        Of the arguments of `f`: returns a Tensor of the shape of `f(…)` followed by that of x.

    Raises
    ------
    TypeError
        If `f` is no function; in a call, if its result is no Tensor, or `argnums` no integer.
    ValueError
        In a call, if `argnums` names no argument.

    Notes
    -----
    It nests. What `f` does is recorded once, and run backward for all elements of the result in one go (`vmap`): it takes as
    many times the memory of one gradient as there are.

    Examples
    --------
    >>> weft.jacrev(lambda x: x**2)(weft.tensor([1.0, 3.0]))
    tensor([[2., 0.],
            [0., 6.]])
    """
    _check_function(f)

    def jacobian(*args: Any, **kwargs: Any) -> Tensor:
        place = _shifted(argnums, len(args))
        value, again = _value(functools.partial(f, **kwargs), args)
        gradient = grad(lambda *a: _dot(again(*a[1:]), a[0]), place)
        units = eye(value.size, dtype=value.dtype, device=value.device)
        x = args[argnums]
        if not value.size:
            return zeros((*value.shape, *x.shape), dtype=x.dtype, device=x.device)
        rows = vmap(lambda u: gradient(u, *args), randomness="same")(reshape(units, (value.size, *value.shape)))
        return reshape(rows, (*value.shape, *x.shape))

    return jacobian


def jacfwd(f: Callable[..., Tensor], argnums: int = 0) -> Callable[..., Tensor]:
    """The Jacobian ∂f_i/∂x_j of a function of Tensors, as a function, all columns at once.

    Parameters
    ----------
    f : Callable
        Returns a Tensor.
    argnums : int, default 0
        Which positional argument is x.

    Returns
    -------
    Callable
        Of the arguments of `f`: returns a Tensor of the shape of `f(…)` followed by that of x, as `jacrev` does.

    Raises
    ------
    TypeError
        If `f` is no function; in a call, if its result is no Tensor, or `argnums` no integer.
    ValueError
        In a call, if `argnums` names no argument.

    Notes
    -----
    For functions with more results than arguments. A column is the derivative of the linear map v ↦ vᵀJ, as in `jvp`: two passes
    in reverse, where PyTorch takes one forward.

    Examples
    --------
    >>> weft.jacfwd(lambda x: x**2)(weft.tensor([1.0, 3.0]))
    tensor([[2., 0.],
            [0., 6.]])
    """
    _check_function(f)

    def jacobian(*args: Any, **kwargs: Any) -> Tensor:
        place = _shifted(argnums, len(args)) - 1
        value, again = _value(functools.partial(f, **kwargs), args)
        x, origin = args[place], zeros(value.shape, dtype=value.dtype, device=value.device)
        if not x.size:
            return zeros((*value.shape, *x.shape), dtype=x.dtype, device=x.device)
        pull = grad(lambda x, v: _dot(again(*args[:place], x, *args[place + 1 :]), v))
        column = lambda t: grad(lambda v: _dot(pull(x, v), t))(origin)
        units = reshape(eye(x.size, dtype=x.dtype, device=x.device), (x.size, *x.shape))
        return reshape(moveaxis(vmap(column, randomness="same")(units), 0, -1), (*value.shape, *x.shape))

    return jacobian


def hessian(f: Callable[..., Tensor], argnums: int = 0) -> Callable[..., Tensor]:
    """The second derivatives ∂²f/∂x_i∂x_j of a scalar function, as a function.

    Parameters
    ----------
    f : Callable
        Returns a Tensor with one element.
    argnums : int, default 0
        Which positional argument is x.

    Returns
    -------
    Callable
        Of the arguments of `f`: returns a Tensor of the shape of x, twice.

    Raises
    ------
    TypeError
        If `f` is no function; in a call, if its result is no Tensor with one element, or `argnums` no integer.
    ValueError
        In a call, if `argnums` names no argument.

    Examples
    --------
    >>> weft.hessian(lambda x: x[0] ** 2 * x[1])(weft.tensor([1.0, 3.0]))
    tensor([[6., 2.],
            [2., 0.]])
    """
    return jacrev(grad(f, argnums), argnums)


def hvp(f: Callable[..., Tensor], x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """The value of a scalar function, and H v with H its Hessian matrix, which is never formed.

    Parameters
    ----------
    f : Callable
        Returns a Tensor with one element.
    x : Tensor
        Where.
    v : Tensor
        A vector of the shape of `x`.

    Returns
    -------
    value : Tensor
        `f(x)`.
    product : Tensor
        H v, of the shape of `x`.

    Raises
    ------
    TypeError
        If `f` is no function, or its result no Tensor with one element.
    ValueError
        If `v` has another shape than `x`.

    Examples
    --------
    >>> weft.hvp(lambda x: (x**3).sum(), weft.tensor([1.0, 2.0]), weft.tensor([1.0, 1.0]))
    (tensor(9.), tensor([ 6., 12.]))
    """
    _check_like("v", v, x)
    value, again = _value(f, (x,))
    gradient = grad(again)
    return value, grad(lambda x: _dot(gradient(x), v))(x)


def _check_function(f: Any) -> None:
    if not callable(f):
        raise TypeError(f"`f` must be a function of Tensors, got {f!r:.80}")


def _value(f: Callable[..., Tensor], args: Sequence[Any]) -> tuple[Tensor, Callable[..., Tensor]]:
    """f(*args), and `f` that draws from the default generator what this call drew."""
    _check_function(f)
    state = default_generator.get_state()
    value = f(*args)
    if not isinstance(value, Tensor):
        raise TypeError(f"`f` must return a Tensor, got {type(value).__name__}")

    def again(*args: Any) -> Tensor:
        with _replay(state):
            return f(*args)

    return value, again


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """⟨a, b⟩ of two Tensors of one shape; their gradients do not depend on its value."""
    return total(multiply(a, b))


def _pull(f: Callable[..., Tensor], primals: Sequence[Tensor], v: Tensor) -> tuple[Tensor, ...]:
    return grad(lambda *x: _dot(f(*x), v), tuple(range(len(primals))))(*primals)


def _sequence(name: str, value: Any) -> tuple[Tensor, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"`{name}` must be a list or tuple of Tensors, got {type(value).__name__}; write ({name},)")
    return tuple(value)


def _check_like(name: str, v: Any, x: Any) -> None:
    for t in (v, x):
        if not isinstance(t, Tensor):
            raise TypeError(f"`{name}` must be a Tensor, for a Tensor, got {type(t).__name__}")
    if v.shape != x.shape:
        raise ValueError(f"`{name}` must have the shape {x.shape}, got {v.shape}")


def _shifted(argnums: int, n: int) -> int:
    """The place of an argument behind one that was put in front."""
    if not isinstance(argnums, int) or isinstance(argnums, bool):
        raise TypeError(f"`argnums` must be an integer, got {argnums!r}")
    if not -n <= argnums < n:
        raise ValueError(f"`argnums` must name one of {n} positional arguments, got {argnums}")
    return argnums % n + 1
