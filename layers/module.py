"""Module: what all layers and models are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import DTypeLike

from ..backend.array.methods import _names_dtype
from ..backend.device import devices, dtypes
from ..backend.tape.tensor import Parameter, Tensor
from .hooks import Hooks, RemovableHandle, add_hook
from .state import IncompatibleKeys, load

__all__ = ["Module"]


class Module:
    """Base of layers and models, as `torch.nn.Module`: assign Parameters and Modules to attributes, define `forward`.

    There is nothing to register and nothing happens on assignment: parameters, buffers and children are found among the
    attributes when they are asked for, in the order of assignment. Hence `super().__init__()` may be left out, and
    assigning a plain Tensor where a Parameter was takes that parameter away (PyTorch raises TypeError). As in PyTorch,
    modules inside lists and dicts are seen only if these are a `ModuleList` or `ModuleDict`.

    >>> from weft import layers as nn
    >>> class Affine(nn.Module):
    ...     def __init__(self):
    ...         self.scale = weft.Parameter([2.0])
    ...         self.register_buffer("shift", weft.tensor([1.0]))
    ...
    ...     def forward(self, x):
    ...         return self.scale * x + self.shift
    >>> Affine()(weft.tensor([3.0])).tolist()
    [7.0]
    >>> list(Affine().state_dict())
    ['scale', 'shift']
    """

    training: bool = True  # set by `train` and `eval`
    _hooks: Hooks | None = None
    _buffers: Mapping[str, bool] = MappingProxyType({})  # name → is it part of the state_dict?
    _optional_state: tuple[str, ...] = ()  # buffers that a state_dict may lack

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes. Call the module itself, not this: then hooks run."""
        raise NotImplementedError(f"`{type(self).__name__}` must define forward(self, …)")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooks is None:
            return self.forward(*args, **kwargs)
        return self._hooks.call(self, args, kwargs)

    # --- what it is made of -------------------------------------------------------------------------------------------
    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """The same as assigning it, with a check; None means that there is none (`bias=False`)."""
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"`param` must be a weft.Parameter or None, got {type(param).__name__}; wrap it: weft.Parameter(…)"
            )
        setattr(self, _attribute_name(self, name), param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Keep a tensor that is state but not learned. It moves with `to`, and is saved unless `persistent=False`."""
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"`tensor` must be a weft.Tensor or None, got {type(tensor).__name__}; convert it: weft.asarray(…)"
            )
        setattr(self, _attribute_name(self, name), tensor)
        self._buffers = {**self._buffers, name: persistent}

    def add_module(self, name: str, module: Module | None) -> None:
        """The same as assigning it, for names such as "0" that are not identifiers."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"`module` must be a Module or None, got {type(module).__name__}")
        setattr(self, _attribute_name(self, name), module)

    def _own_parameters(self) -> list[tuple[str, Parameter]]:
        return [(name, v) for name, v in vars(self).items() if isinstance(v, Parameter) and name not in self._buffers]

    def _own_buffers(self) -> list[tuple[str, Tensor]]:
        return [(name, v) for name in self._buffers if (v := vars(self).get(name)) is not None]

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly inside, each once."""
        seen: set[int] = set()
        for name, value in tuple(vars(self).items()):
            if isinstance(value, Module) and id(value) not in seen:
                seen.add(id(value))
                yield name, value

    def children(self) -> Iterator[Module]:
        for _, module in self.named_children():
            yield module

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all below it, outermost first; one that is used twice comes once."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, value in tuple(vars(self).items()):
            if isinstance(value, Module):
                yield from value.named_modules(memo, _join(prefix, name), remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def _named(self, own: Callable, prefix: str, recurse: bool, remove_duplicate: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        within = self.named_modules(None, prefix, remove_duplicate) if recurse else [(prefix, self)]
        for path, module in within:
            for name, value in own(module):
                if not remove_duplicate or id(value) not in seen:
                    seen.add(id(value))
                    yield _join(path, name), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Names ("0.weight") and Parameters; a tied parameter comes once, under its first name."""
        return self._named(Module._own_parameters, prefix, recurse, remove_duplicate)

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Names and buffers, those included that are not saved."""
        return self._named(Module._own_buffers, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """What an optimizer learns: each Parameter once."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def get_submodule(self, target: str) -> Module:
        """The module at a path such as "layer1.0.conv1" ("" is this one)."""
        module = self
        for name in target.split(".") if target else ():
            found = vars(module).get(name)
            if not isinstance(found, Module):
                has = [n for n, _ in module.named_children()]
                raise AttributeError(f"`target` {target!r}: {type(module).__name__} has no module {name!r}, only {has}")
            module = found
        return module

    # --- state --------------------------------------------------------------------------------------------------------
    def state_dict(self, *, prefix: str = "", keep_vars: bool = False) -> dict[str, Tensor]:
        """Names → Tensors (the memory itself, off the tape), in PyTorch's order: parameters, buffers, children.

        A tied parameter appears under each of its names. `keep_vars=True` gives the Parameters themselves.
        """
        found: dict[str, Tensor] = {}
        for path, module in self.named_modules(prefix=prefix.removesuffix("."), remove_duplicate=False):
            saved = [(name, b) for name, b in module._own_buffers() if module._buffers[name]]
            for name, value in [*module._own_parameters(), *saved]:
                found[_join(path, name)] = value if keep_vars else value.detach()
        return found

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy values into parameters and buffers, converting dtype and device: all, or nothing if anything is wrong.

        Values may be weft Tensors, NumPy arrays, PyTorch tensors, or anything that NumPy can read. Raises RuntimeError
        that lists every wrong shape and, if `strict`, every name that is missing or unexpected; with `strict=False`
        these are returned. The memory stays where it is, so optimizers keep their hold on the parameters.
        """
        optional = {
            _join(path, name)
            for path, module in self.named_modules(remove_duplicate=False)
            for name in module._optional_state
        }
        return load(type(self).__name__, self.state_dict(), optional, state_dict, strict)

    # --- mode, device, dtype ------------------------------------------------------------------------------------------
    def train(self, mode: bool = True) -> Self:
        """Training behaviour (of dropout, batch normalisation, …) on or off, here and below."""
        if not isinstance(mode, bool):
            raise ValueError(f"`mode` must be True or False, got {mode!r}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """`train(False)`."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Learn the parameters, or freeze them."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or fill them with zeros."""
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad.data[...] = 0

    def to(
        self,
        target: str | Tensor | DTypeLike | None = None,
        dtype: DTypeLike | None = None,
        *,
        device: str | None = None,
    ) -> Self:
        """Move parameters and buffers, in place, to a device and/or a float dtype (integer buffers keep theirs).

        `to("cuda")`, `to(weft.float64)`, `to("cuda", weft.float16)`, `to(tensor)`. The Parameter objects stay the same.
        """
        if isinstance(target, Tensor):
            device, dtype = target.device, target.dtype
        elif isinstance(target, str) and not _names_dtype(target):
            device = target
        elif target is not None:
            dtype = target
        if dtype is not None and not dtypes.is_real_floating(np.dtype(dtype)):
            raise TypeError(f"`dtype` must be a real floating-point dtype, got {np.dtype(dtype)}")
        device = None if device is None else devices.canonical(device)
        for tensor in [*self.parameters(), *self.buffers()]:
            _move(tensor, device, dtype)
        return self

    def cpu(self) -> Self:
        return self.to("cpu")

    def cuda(self, device: int | None = None) -> Self:
        return self.to("cuda" if device is None else f"cuda:{device}")

    def double(self) -> Self:
        return self.to(np.float64)

    def float(self) -> Self:
        return self.to(np.float32)

    def half(self) -> Self:
        return self.to(np.float16)

    def bfloat16(self) -> Self:
        return self.to(dtypes.bfloat16)

    def apply(self, fn: Callable[[Module], object]) -> Self:
        """Call `fn` on every module, the innermost first; for initialisation.

        >>> from weft import layers as nn
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        >>> _ = net.apply(lambda m: nn.init.zeros_(m.weight) if isinstance(m, nn.Linear) else None)
        """
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # --- hooks --------------------------------------------------------------------------------------------------------
    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before each forward; what it returns, unless None, replaces the arguments.

        With `with_kwargs` it is `hook(module, args, kwargs)`, returning None or `(args, kwargs)`.
        """
        return add_hook(self, "before", hook, prepend, with_kwargs)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` after each forward; what it returns, unless None, replaces the output.

        With `with_kwargs` it is `hook(module, args, kwargs, output)`.
        """
        return add_hook(self, "after", hook, prepend, with_kwargs)

    # --- display ------------------------------------------------------------------------------------------------------
    def extra_repr(self) -> str:
        """What stands between the parentheses of `repr`."""
        return ""

    def __repr__(self) -> str:
        children = [f"({name}): {_indented(repr(v))}" for name, v in vars(self).items() if isinstance(v, Module)]
        return _layout(type(self).__name__, self.extra_repr(), children)


class Layer(Module):
    """A module of one Tensor that gives one Tensor. It differs from `Module` for type checkers alone."""

    if TYPE_CHECKING:

        def __call__(self, input: Tensor) -> Tensor: ...


def _layout(name: str, extra: str, children: list[str]) -> str:
    lines = [*(extra.split("\n") if extra else []), *children]
    if len(lines) <= 1 and not children:
        return f"{name}({extra})"
    return f"{name}(\n  " + "\n  ".join(lines) + "\n)"


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _attribute_name(module: Module, name: str) -> str:
    if not isinstance(name, str) or not name or "." in name:
        raise ValueError(f"`name` must be a string without dots, and not empty, got {name!r}")
    if name not in vars(module) and hasattr(type(module), name):
        raise ValueError(
            f"`name` must not be that of a method or class attribute of {type(module).__name__}, got {name!r}"
        )
    return name


def _move(tensor: Tensor, device: str | None, dtype: Any) -> None:
    """Re-point `tensor` (and its gradient) at memory on another device or in another dtype."""
    dtype = dtype if dtypes.is_real_floating(tensor.dtype) else None
    moved = tensor.detach().to(dtype=dtype, device=device)
    if moved.data is tensor.data:
        return
    tensor.data, tensor.device = moved.data, moved.device
    if isinstance(tensor, Parameter):
        tensor._grad_view = None
    if tensor.grad is not None:
        tensor.grad = tensor.grad.to(dtype=dtype, device=device)
