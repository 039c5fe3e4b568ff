"""A module called with other parameters, as `torch.func.functional_call`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...backend.tape.tensor import Tensor
from ..module import Module

__all__ = ["functional_call"]


def functional_call(
    module: Module,
    parameters_and_buffers: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]],
    args: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Call a module with other parameters and buffers in the place of its own, which are back afterwards.

    So the loss is a function of the parameters, as `weft.grad` wants it. What the module assigns to a buffer that was given
    is in the dict afterwards, if that can be written to.

    Parameters
    ----------
    module : Module
        What is called.
    parameters_and_buffers : mapping of str to Tensor, or several
        By the names of `named_parameters`; what is not given stays the module's own. Of parametrized weights the names
        are such as "parametrizations.weight.original".
    args : Any, optional
        The argument, or a tuple of them.
    kwargs : mapping, optional
        Keyword arguments.
    tie_weights : bool, default True
        Whether what is given for one name of a tied parameter is given for all.
    strict : bool, default False
        Whether all names must be given, and no others; unknown ones are passed over otherwise.

    Returns
    -------
    Any
        What the module returns.

    Raises
    ------
    RuntimeError
        If `strict` and the names do not fit.
    ValueError
        If two names of one tied parameter are given different tensors.

    Examples
    --------
    >>> from weft import layers as nn
    >>> layer, x = nn.Linear(2, 1, bias=False), weft.tensor([3.0, 4.0])
    >>> loss = lambda w: nn.utils.stateless.functional_call(layer, {"weight": w}, x).sum()
    >>> weft.grad(loss)(weft.zeros((1, 2))).tolist()
    [[3.0, 4.0]]
    """
    given: Any = parameters_and_buffers
    if not isinstance(given, Mapping):
        given = {name: value for part in given for name, value in part.items()}
    places = {
        f"{path}.{name}".lstrip("."): (owner, name)
        for path, owner in module.named_modules(remove_duplicate=False)
        for name, _ in [*owner._own_parameters(), *owner._own_buffers()]
    }
    if strict and (given.keys() != places.keys()):
        missing, unexpected = sorted(places.keys() - given.keys()), sorted(given.keys() - places.keys())
        raise RuntimeError(f"`parameters_and_buffers` must fit the module: missing {missing}, unexpected {unexpected}")
    values = {name: value for name, value in given.items() if name in places}
    if tie_weights:
        values = _tied(places, values)
    own = {name: vars(places[name][0])[places[name][1]] for name in values}
    try:
        for name, value in values.items():
            owner, key = places[name]
            vars(owner)[key] = value
        args = () if args is None else args if isinstance(args, tuple) else (args,)
        return module(*args, **(kwargs or {}))
    finally:
        for name, value in own.items():
            owner, key = places[name]
            if isinstance(parameters_and_buffers, dict) and name in parameters_and_buffers:
                parameters_and_buffers[name] = vars(owner)[key]
            vars(owner)[key] = value


def _tied(places: Mapping[str, tuple[Module, str]], values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The values, for all names of each tensor."""
    names: dict[int, list[str]] = {}
    for name, (owner, key) in places.items():
        names.setdefault(id(vars(owner)[key]), []).append(name)
    found = dict(values)
    for group in names.values():
        known = [name for name in group if name in values]
        if len({id(values[name]) for name in known}) > 1:
            raise ValueError(
                f"`parameters_and_buffers` must give tied names one tensor, got several for {known}; tie_weights=False"
            )
        if known:
            found.update(dict.fromkeys(group, values[known[0]]))
    return found
