"""Parameters that are functions of others, as `torch.nn.utils.parametrize`: `module.weight` is computed when looked at.

A parametrized module has a class of its own, `ParametrizedLinear` of a `Linear`, and the parameters that are learned in
`module.parametrizations.weight`, as `original` or `original0`, `original1`, …. Unlike PyTorch's it can be pickled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from ...backend.tape.autograd import no_grad
from ...backend.tape.sharing import changed
from ...backend.tape.tensor import Parameter, Tensor
from ..containers import ModuleDict, ModuleList
from ..module import Module
from .computed import compute, is_computed, original_class, settle

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]


class _Cache:
    """What has been computed inside `cached`, which may stand inside another."""

    depth = 0
    found: dict[tuple[int, str], Tensor] = {}


@contextmanager
def cached() -> Iterator[None]:
    """Compute each parametrized tensor once inside the block, however often it is looked at.

    Yields
    ------
    None
        What has been computed is forgotten at the end.

    Examples
    --------
    >>> from weft import layers as nn
    >>> from weft.layers.utils import parametrizations, parametrize
    >>> layer = parametrizations.weight_norm(nn.Linear(2, 3))
    >>> with parametrize.cached():
    ...     layer.weight is layer.weight
    True
    """
    _Cache.depth += 1
    try:
        yield
    finally:
        _Cache.depth -= 1
        if not _Cache.depth:
            _Cache.found.clear()


def _get(module: Module, name: str) -> Tensor:
    parametrization = module.parametrizations[name]  # type: ignore[attr-defined]
    if not _Cache.depth:
        return parametrization()
    key = id(module), name
    if key not in _Cache.found:
        _Cache.found[key] = parametrization()
    return _Cache.found[key]


def _set(module: Module, name: str, value: Tensor) -> None:
    module.parametrizations[name].right_inverse(value)  # type: ignore[attr-defined]
    _Cache.found.pop((id(module), name), None)


def store(tensor: Tensor, value: Tensor) -> None:
    """Give a parameter or buffer new values, in its memory if they fit, which may lie in an optimizer's arena."""
    if tensor.shape == value.shape:
        tensor.data[...] = value.data
    else:
        tensor.data = value.data
    changed(tensor.data)


def register(module: Module, name: str, tensor: Tensor) -> None:
    """As a parameter or as a buffer, whichever it is."""
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, first applied first, and what is learned in its place; made by
    `register_parametrization`.

    Parameters
    ----------
    modules : sequence of Module
        Each a function of the one before it, the first of `original` or of `original0`, `original1`, ….
    original : Tensor
        The parameter or buffer that is parametrized.
    unsafe : bool, default False
        Whether shape and dtype may change.

    Raises
    ------
    ValueError
        If there is none, or one gives no Tensor, or one of another shape or dtype.

    Examples
    --------
    >>> from weft import layers as nn
    >>> from weft.layers.utils import parametrizations
    >>> layer = parametrizations.weight_norm(nn.Linear(2, 3))
    >>> layer.parametrizations.weight.original0.shape
    (3, 1)
    """

    original: Tensor

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False):
        if not modules:
            raise ValueError("`modules` must hold at least one parametrization, got none")
        super().__init__(modules)
        self.unsafe = unsafe
        shape, dtype = original.shape, original.dtype
        new: Any = original
        with no_grad():
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    with suppress(NotImplementedError):
                        new = module.right_inverse(new)
        self.is_tensor = isinstance(new, Tensor)
        parts = [new] if self.is_tensor else new
        if not isinstance(parts, Sequence) or not all(isinstance(part, Tensor) for part in parts):
            raise ValueError(f"`right_inverse` must return a Tensor or several in a tuple, got {type(new).__name__}")
        self.ntensors = len(parts)
        if self.is_tensor:
            _alike("`right_inverse` of `original`", new, "dtype", dtype)
            store(original, new)
            register(self, "original", original)
        else:
            for i, part in enumerate(parts):
                fresh = (
                    Parameter(part.detach().clone(), original.requires_grad)
                    if isinstance(original, Parameter)
                    else part
                )
                register(self, f"original{i}", fresh)
        if not unsafe:
            _check_result(self(), shape, dtype)

    def _originals(self) -> list[Tensor]:
        return [self.original] if self.is_tensor else [getattr(self, f"original{i}") for i in range(self.ntensors)]

    def forward(self) -> Tensor:
        first, *others = list(self)
        x = first(*self._originals())
        for module in others:
            x = module(x)
        return x

    def right_inverse(self, value: Tensor) -> None:
        """Change what is learned so that the parametrized tensor becomes `value`.

        Parameters
        ----------
        value : Tensor
            What `module.weight = value` assigns.

        Raises
        ------
        RuntimeError
            If one of the parametrizations has no `right_inverse`.
        ValueError
            If one returns what does not fit `original`.
        """
        parts: Any = value
        with no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    name = type(module).__name__
                    raise RuntimeError(
                        f"`{name}` must have a `right_inverse`, to assign to what it parametrizes; define it"
                    )
                parts = module.right_inverse(parts)
        parts = [parts] if isinstance(parts, Tensor) else parts
        if not isinstance(parts, Sequence) or len(parts) != self.ntensors:
            raise ValueError(f"`right_inverse` must return {self.ntensors} Tensor(s), got {parts!r:.80}")
        for original, part in zip(self._originals(), parts):
            if not isinstance(part, Tensor):
                raise ValueError(f"`right_inverse` must return Tensors, got {type(part).__name__}")
            _alike("what `right_inverse` returns", part, "dtype", original.dtype)
            store(original, part)


def _alike(name: str, x: Tensor, what: str, required: Any) -> None:
    if getattr(x, what) != required:
        raise ValueError(f"{name} must have {what} {required}, got {getattr(x, what)}; unsafe=True lets shapes differ")


def _check_result(x: Any, shape: tuple[int, ...], dtype: Any) -> None:
    if not isinstance(x, Tensor):
        raise ValueError(f"`parametrization` must return a Tensor, got {type(x).__name__}")
    _alike("what `parametrization` returns", x, "shape", shape)
    _alike("what `parametrization` returns", x, "dtype", dtype)


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Make a parameter or buffer a function of another: `module.weight` becomes `parametrization(original)`.

    The parameter itself stays what is learned, so an optimizer that has it keeps it; its values become those of
    `parametrization.right_inverse`, if there is one. A second parametrization is applied after the first.

    Parameters
    ----------
    module : Module
        What has the tensor.
    tensor_name : str
        Its name.
    parametrization : Module
        The function. A `right_inverse` of it may return several Tensors, which its `forward` then takes.
    unsafe : bool, default False
        Whether it may change shape and dtype.

    Returns
    -------
    Module
        `module` itself.

    Raises
    ------
    ValueError
        If there is no such tensor, or the result is none, or has another shape or dtype.

    Examples
    --------
    >>> from weft import layers as nn
    >>> from weft.layers.utils import parametrize
    >>> class Symmetric(nn.Module):
    ...     def forward(self, x):
    ...         return weft.triu(x) + weft.triu(x, k=1).T
    >>> layer = parametrize.register_parametrization(nn.Linear(3, 3), "weight", Symmetric())
    >>> bool((layer.weight == layer.weight.T).all())
    True
    >>> list(layer.state_dict())
    ['bias', 'parametrizations.weight.original']
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        before = getattr(module, tensor_name)
        if not unsafe:
            after = parametrization(before)
            _check_result(after, before.shape, before.dtype)
            if hasattr(parametrization, "right_inverse"):
                with suppress(NotImplementedError):
                    _check_result(parametrization.right_inverse(after), before.shape, before.dtype)
        found = module.parametrizations[tensor_name]  # type: ignore[attr-defined]
        found.append(parametrization)
        found.unsafe |= unsafe
        return module
    original = vars(module).get(tensor_name)
    if not isinstance(original, Parameter) and (original is None or tensor_name not in module._buffers):
        raise ValueError(
            f"`tensor_name` must be that of a parameter or buffer of {type(module).__name__}, got {tensor_name!r}"
        )
    made = ParametrizationList([parametrization], original, unsafe)
    delattr(module, tensor_name)
    module._buffers = {name: kept for name, kept in module._buffers.items() if name != tensor_name}
    if not is_parametrized(module):
        setattr(module, "parametrizations", ModuleDict())  # noqa: B010
    module.parametrizations[tensor_name] = made  # type: ignore[attr-defined]
    compute(module, tensor_name, _get, _set, "Parametrized")
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a module's tensor is parametrized, or any is.

    Parameters
    ----------
    module : Module
        What has it.
    tensor_name : str, optional
        Which; any unless given.

    Returns
    -------
    bool
        True if so.

    Examples
    --------
    >>> from weft import layers as nn
    >>> from weft.layers.utils import parametrizations, parametrize
    >>> layer = parametrizations.spectral_norm(nn.Linear(2, 3))
    >>> parametrize.is_parametrized(layer), parametrize.is_parametrized(layer, "bias")
    (True, False)
    """
    found = vars(module).get("parametrizations")
    if not isinstance(found, ModuleDict):
        return False
    return bool(len(found)) if tensor_name is None else tensor_name in found and is_computed(module, tensor_name)


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Make a parametrized tensor a parameter or buffer again.

    Parameters
    ----------
    module : Module
        What has it.
    tensor_name : str
        Its name.
    leave_parametrized : bool, default True
        Whether its value is that which was computed; False gives back `original`.

    Returns
    -------
    Module
        `module` itself.

    Raises
    ------
    ValueError
        If it is not parametrized, or `leave_parametrized=False` and there are several originals.

    Examples
    --------
    >>> from weft import layers as nn
    >>> from weft.layers.utils import parametrizations, parametrize
    >>> layer = parametrizations.weight_norm(nn.Linear(2, 3))
    >>> list(parametrize.remove_parametrizations(layer, "weight").state_dict())
    ['bias', 'weight']
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(
            f"`tensor_name` must be that of a parametrized tensor of {type(module).__name__}, got {tensor_name!r}"
        )
    found = module.parametrizations[tensor_name]  # type: ignore[attr-defined]
    if not leave_parametrized and not found.is_tensor:
        raise ValueError("`leave_parametrized` must be True for a tensor that is computed from several, got False")
    first = found._originals()[0]
    if found.is_tensor:
        original = first
        if leave_parametrized:
            with no_grad():
                store(original, getattr(module, tensor_name))
    else:
        value = getattr(module, tensor_name).detach().clone()
        original = Parameter(value, first.requires_grad) if isinstance(first, Parameter) else value
    settle(module, tensor_name)
    del module.parametrizations[tensor_name]  # type: ignore[attr-defined]
    if not len(module.parametrizations):  # type: ignore[attr-defined]
        delattr(module, "parametrizations")
    register(module, tensor_name, original)
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class that a module had before it was parametrized.

    Parameters
    ----------
    module : Module
        Parametrized or not.

    Returns
    -------
    type
        Such as `Linear` of a `ParametrizedLinear`.

    Examples
    --------
    >>> from weft import layers as nn
    >>> from weft.layers.utils import parametrizations, parametrize
    >>> parametrize.type_before_parametrizations(parametrizations.weight_norm(nn.Linear(2, 3))).__name__
    'Linear'
    """
    return original_class(module)


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Parametrize a module by the parametrizations and the originals of another, which both then have.

    Parameters
    ----------
    from_module : Module
        What is parametrized.
    to_module : Module
        What shall be.
    tensor_name : str, optional
        Which tensor; all unless given.

    Returns
    -------
    Module
        `to_module` itself.

    Examples
    --------
    >>> from weft import layers as nn
    >>> from weft.layers.utils import parametrizations, parametrize
    >>> a, b = parametrizations.weight_norm(nn.Linear(2, 3)), nn.Linear(2, 3)
    >>> b = parametrize.transfer_parametrizations_and_params(a, b)
    >>> bool((a.weight == b.weight).all())
    True
    """
    if not is_parametrized(from_module):
        return to_module
    known: Any = vars(from_module)["parametrizations"]
    for name in known if tensor_name is None else [tensor_name]:
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name).detach().clone()))
        for parametrization in known[name]:
            register_parametrization(to_module, name, parametrization, unsafe=known[name].unsafe)
        made = vars(to_module)["parametrizations"][name]
        for key, value in vars(known[name]).items():
            if key.startswith("original"):
                setattr(made, key, value)
    return to_module
