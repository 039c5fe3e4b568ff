"""Module: what all layers and models are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..backend.array.creation import empty
from ..backend.array.methods import _names_dtype
from ..backend.device import devices, dtypes, markup
from ..backend.device.numeric import as_dtype
from ..backend.tape.sharing import changed
from ..backend.tape.tensor import DType, Parameter, Tensor
from .addressing import EXTRA, Addressed, shown_to_hooks
from .hooks import Hooks, RemovableHandle, add_hook
from .parameter import Buffer, is_lazy
from .state import IncompatibleKeys, load

__all__ = ["Module"]


class Module(Addressed):
    """Base of layers and models, as `torch.nn.Module`: assign Parameters and Modules to attributes, define `forward`.

    There is nothing to register: parameters, buffers and children are found among the attributes when they are asked for,
    in the order of assignment, which does no more than to note the name of a `Buffer` and to keep anything else from
    taking the place of a Parameter or Module unseen: that is a TypeError, as in PyTorch. Hence `super().__init__()` may
    be left out. As in PyTorch, modules inside lists and dicts are seen only if these are a `ModuleList` or `ModuleDict`.

    Attributes
    ----------
    training : bool
        Whether the module behaves as in training (True at first); set by `train` and `eval`.

    Examples
    --------
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
    _renamed_state: Mapping[str, str] = MappingProxyType({})  # names that a state_dict may have → what they are now

    def _fused(self, following: Module, input: Any) -> Any:
        """This module and the one after it as a single operation, where there is one: `Sequential` asks for it.

        Parameters
        ----------
        following : Module
            The module that comes next.
        input : Tensor
            What this module would be called with.

        Returns
        -------
        Tensor
            The result of both, or NotImplemented: then they are called one after the other.
        """
        return NotImplemented

    def _name_in_fusion(self) -> str | None:
        """What an operation that can apply this activation to its result calls it; None for all else."""
        return None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes. Call the module itself, not this: then hooks run.

        Parameters
        ----------
        *args, **kwargs : Any
            What the module is called with.

        Returns
        -------
        Any
            The module's output.

        Raises
        ------
        NotImplementedError
            In a class that defines no forward.
        """
        raise NotImplementedError(f"`{type(self).__name__}` must define forward(self, …)")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooks is None:
            return self.forward(*args, **kwargs) if kwargs else self.forward(*args)
        return self._hooks.call(self, args, kwargs)

    # --- what it is made of -------------------------------------------------------------------------------------------
    if not TYPE_CHECKING:  # a class that has this may be assigned anything, to a type checker

        def __setattr__(self, name: str, value: Any) -> None:
            if isinstance(value, Buffer):
                self._buffers = {**self._buffers, _attribute_name(self, name): value.persistent}
            elif value is not None:
                _check_place(self, name, value)
            object.__setattr__(self, name, value)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Assign a parameter, after a check of its name and type.

        Parameters
        ----------
        name : str
            Attribute that it becomes, without dots.
        param : Parameter or None
            None says that there is none, as with `bias=False`.

        Raises
        ------
        TypeError
            If `param` is neither a Parameter nor None.
        ValueError
            If `name` is empty, has a dot, or is that of a method.
        """
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"`param` must be a weft.Parameter or None, got {type(param).__name__}; wrap it: weft.Parameter(…)"
            )
        setattr(self, _attribute_name(self, name), param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Keep a tensor that is state but not learned, such as a running mean.

        Parameters
        ----------
        name : str
            Attribute that it becomes, without dots.
        tensor : Tensor or None
            None says that there is none. It moves with `to`.
        persistent : bool, default True
            Whether it is part of the state_dict.

        Raises
        ------
        TypeError
            If `tensor` is neither a Tensor nor None.
        KeyError
            If the attribute is a Parameter or Module.
        ValueError
            If `name` is empty, has a dot, or is that of a method.
        """
        if name in vars(self) and name not in self._buffers and isinstance(vars(self)[name], Parameter | Module):
            raise KeyError(
                f"`name` must be free or that of a buffer, got {name!r}, a {type(vars(self)[name]).__name__}; del it"
            )
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"`tensor` must be a weft.Tensor or None, got {type(tensor).__name__}; convert it: weft.asarray(…)"
            )
        setattr(self, _attribute_name(self, name), tensor)
        self._buffers = {**self._buffers, name: persistent}

    def add_module(self, name: str, module: Module | None) -> None:
        """Assign a module under any name, such as "0", which is no identifier.

        Parameters
        ----------
        name : str
            Attribute that it becomes, without dots.
        module : Module or None
            None says that there is none.

        Raises
        ------
        TypeError
            If `module` is neither a Module nor None.
        ValueError
            If `name` is empty, has a dot, or is that of a method.
        """
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"`module` must be a Module or None, got {type(module).__name__}")
        setattr(self, _attribute_name(self, name), module)

    def register_module(self, name: str, module: Module | None) -> None:
        """Assign a module under any name: `add_module`.

        Parameters
        ----------
        name : str
            Attribute that it becomes, without dots.
        module : Module or None
            None says that there is none.
        """
        self.add_module(name, module)

    def _own_parameters(self) -> list[tuple[str, Parameter]]:
        return [(name, v) for name, v in vars(self).items() if isinstance(v, Parameter) and name not in self._buffers]

    def _own_buffers(self) -> list[tuple[str, Tensor]]:
        return [(name, v) for name in self._buffers if (v := vars(self).get(name)) is not None]

    def _own_state(self) -> list[tuple[str, Tensor]]:
        saved = [(name, b) for name, b in self._own_buffers() if self._buffers[name]]
        return [*self._own_parameters(), *saved]

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly inside, each once, with their names.

        Yields
        ------
        tuple of str and Module
            In the order of assignment.
        """
        seen: set[int] = set()
        for name, value in tuple(vars(self).items()):
            if isinstance(value, Module) and id(value) not in seen:
                seen.add(id(value))
                yield name, value

    def children(self) -> Iterator[Module]:
        """The modules directly inside, each once.

        Yields
        ------
        Module
            In the order of assignment.
        """
        for _, module in self.named_children():
            yield module

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all below it, outermost first, with their paths.

        Parameters
        ----------
        memo : set of Module, optional
            Modules to leave out; those that are found are added to it.
        prefix : str, default ""
            Path of this module.
        remove_duplicate : bool, default True
            Whether a module that is used twice comes once, under its first path.

        Yields
        ------
        tuple of str and Module
            Paths such as "layer1.0.conv1"; that of this module is `prefix`.
        """
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
        """This module and all below it, outermost first.

        Parameters
        ----------
        remove_duplicate : bool, default True
            Whether a module that is used twice comes once.

        Yields
        ------
        Module
            Each before the modules inside it.
        """
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
        """Names ("0.weight") and Parameters of this module and all below it.

        Parameters
        ----------
        prefix : str, default ""
            What the names begin with.
        recurse : bool, default True
            False leaves out the modules inside.
        remove_duplicate : bool, default True
            Whether a tied parameter comes once, under its first name.

        Returns
        -------
        iterator of tuple of str and Parameter
            In the order of `named_modules`.
        """
        return self._named(Module._own_parameters, prefix, recurse, remove_duplicate)

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Names and buffers of this module and all below it, those included that are not saved.

        Parameters
        ----------
        prefix : str, default ""
            What the names begin with.
        recurse : bool, default True
            False leaves out the modules inside.
        remove_duplicate : bool, default True
            Whether a shared buffer comes once, under its first name.

        Returns
        -------
        iterator of tuple of str and Tensor
            In the order of `named_modules`.
        """
        return self._named(Module._own_buffers, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """What an optimizer learns: each Parameter once.

        Parameters
        ----------
        recurse : bool, default True
            False leaves out the modules inside.

        Yields
        ------
        Parameter
            In the order of `named_parameters`.
        """
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The tensors that are state but not learned, each once.

        Parameters
        ----------
        recurse : bool, default True
            False leaves out the modules inside.

        Yields
        ------
        Tensor
            In the order of `named_buffers`.
        """
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def get_submodule(self, target: str) -> Module:
        """The module at a path such as "layer1.0.conv1".

        Parameters
        ----------
        target : str
            Names joined by dots, as `named_modules` gives them; "" is this module.

        Returns
        -------
        Module
            The module itself, not a copy.

        Raises
        ------
        AttributeError
            If there is no module of one of the names; the message says which there are.
        """
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

        A tied parameter appears under each of its names.

        Parameters
        ----------
        prefix : str, default ""
            What the names begin with, with or without a dot at its end.
        keep_vars : bool, default False
            Whether to give the Parameters themselves.

        Returns
        -------
        dict of str to Tensor
            Parameters, and buffers that were registered as persistent.

        Examples
        --------
        >>> from weft import layers as nn
        >>> {name: value.shape for name, value in nn.Linear(2, 3).state_dict().items()}
        {'weight': (3, 2), 'bias': (3,)}
        """
        found: dict[str, Tensor] = {}
        modules = list(self.named_modules(prefix=prefix.removesuffix("."), remove_duplicate=False))
        for path, module in modules:
            module._tell("save before", f"{path}." if path else "", keep_vars)
            for name, value in module._own_state():
                found[_join(path, name)] = value if keep_vars else value.detach()
            if module._has_extra_state():
                found[_join(path, EXTRA)] = module.get_extra_state()
        for path, module in reversed(modules):
            module._tell("save after", found, f"{path}." if path else "", {})
        return found

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy values into parameters and buffers: all, or nothing if anything is wrong.

        Values are converted to the dtype and device of what they are copied to. The memory stays where it is, so
        optimizers keep their hold on the parameters, unless `assign` says otherwise.

        Parameters
        ----------
        state_dict : Mapping of str to array
            Weft Tensors, NumPy arrays, PyTorch tensors, or anything that NumPy can read.
        strict : bool, default True
            Whether missing and unexpected names are errors.
        assign : bool, default False
            Whether the values themselves take the place of parameters and buffers, in their dtype, on their device and in
            their memory: optimizers are to be made afterwards.

        Returns
        -------
        IncompatibleKeys
            `missing_keys` and `unexpected_keys`; both are empty if `strict`.

        Raises
        ------
        RuntimeError
            If shapes differ or, if `strict`, names do; it lists them all.
        TypeError
            If `state_dict` is not a mapping, or a value is not an array of numbers.

        Examples
        --------
        >>> from weft import layers as nn
        >>> nn.ReLU().load_state_dict({"scale": np.ones(2)}, strict=False)
        IncompatibleKeys(missing_keys=[], unexpected_keys=['scale'])
        """
        modules = list(self.named_modules(remove_duplicate=False))
        optional = {_join(path, name) for path, module in modules for name in module._optional_state}
        renamed = {_join(path, old): _join(path, new) for path, m in modules for old, new in m._renamed_state.items()}
        if isinstance(state_dict, Mapping):
            state_dict = shown_to_hooks(modules, state_dict, strict)
            if renamed:
                state_dict = {renamed.get(name, name): value for name, value in state_dict.items()}
        extra = {_join(path, EXTRA): module for path, module in modules if module._has_extra_state()}
        put = _putting(modules) if assign else None
        keys = load(type(self).__name__, self._tensors(modules), optional, state_dict, strict, extra, put)
        for _, module in reversed(modules):
            module._tell("load after", keys)
        return keys

    def _tensors(self, modules: list[tuple[str, Module]]) -> dict[str, Tensor]:
        """What is loaded into: the state_dict without what hooks and `get_extra_state` make of it."""
        found: dict[str, Tensor] = {}
        for path, module in modules:
            found |= {_join(path, name): value.detach() for name, value in module._own_state()}
        return found

    # --- mode, device, dtype ------------------------------------------------------------------------------------------
    def train(self, mode: bool = True) -> Self:
        """Training behaviour (of dropout, batch normalisation, …) on or off, here and below.

        Parameters
        ----------
        mode : bool, default True
            False is the behaviour in evaluation.

        Returns
        -------
        Self
            The module itself, so that calls can be chained.

        Raises
        ------
        ValueError
            If `mode` is not a bool.
        """
        if not isinstance(mode, bool):
            raise ValueError(f"`mode` must be True or False, got {mode!r}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """The behaviour in evaluation, here and below: `train(False)`.

        Returns
        -------
        Self
            The module itself, so that calls can be chained.
        """
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Learn the parameters, or freeze them.

        Parameters
        ----------
        requires_grad : bool, default True
            False freezes: no gradients are computed for them.

        Returns
        -------
        Self
            The module itself, so that calls can be chained.
        """
        if not isinstance(requires_grad, bool | np.bool_):
            raise TypeError(f"`requires_grad` must be True or False, got {requires_grad!r:.80}")
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or fill them with zeros.

        Parameters
        ----------
        set_to_none : bool, default True
            Whether `grad` becomes None; False keeps its memory.
        """
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad.data[...] = 0
                changed(parameter.grad.data)

    def to(self, target: str | Tensor | DType = None, dtype: DType = None, *, device: str | None = None) -> Self:
        """Move parameters and buffers, in place, to a device and/or a floating-point dtype.

        As `to("cuda")`, `to(weft.float64)`, `to("cuda", weft.float16)` or `to(tensor)`. Integer buffers keep their
        dtype, and the Parameter objects stay the same, so optimizers keep their hold on them.

        Parameters
        ----------
        target : str, data-type or Tensor, optional
            A device, a dtype, or a tensor that has the wanted ones.
        dtype : data-type, optional
            Real and floating-point.
        device : str, optional
            Such as "cpu", "cuda:1", "emulator".

        Returns
        -------
        Self
            The module itself, so that calls can be chained.

        Raises
        ------
        TypeError
            If the dtype is not real and floating-point.

        Examples
        --------
        >>> from weft import layers as nn
        >>> nn.Linear(2, 3).to(weft.float64).weight.dtype
        dtype('float64')
        """
        if isinstance(target, Tensor):
            device, dtype = target.device, target.dtype
        elif isinstance(target, str) and not _names_dtype(target):
            device = target
        elif target is not None:
            dtype = target
        if dtype is not None and not dtypes.is_real_floating(as_dtype(dtype)):
            raise TypeError(f"`dtype` must be a real floating-point dtype, got {np.dtype(dtype)}")
        device = None if device is None else devices.canonical(device)
        for tensor in [*self.parameters(), *self.buffers()]:
            _move(tensor, device, dtype)
        return self

    def cpu(self) -> Self:
        """Move to the CPU: `to("cpu")`.

        Returns
        -------
        Self
            The module itself, so that calls can be chained.
        """
        return self.to("cpu")

    def cuda(self, device: int | None = None) -> Self:
        """Move to a GPU: `to("cuda")`.

        Parameters
        ----------
        device : int, optional
            Number of the GPU; the current one unless given.

        Returns
        -------
        Self
            The module itself, so that calls can be chained.
        """
        return self.to("cuda" if device is None else f"cuda:{device}")

    def double(self) -> Self:
        """Convert to `float64`; see `to`.

        Returns
        -------
        Self
            The module itself, so that calls can be chained.
        """
        return self.to(np.float64)

    def float(self) -> Self:
        """Convert to `float32`; see `to`.

        Returns
        -------
        Self
            The module itself, so that calls can be chained.
        """
        return self.to(np.float32)

    def half(self) -> Self:
        """Convert to `float16`; see `to`.

        Returns
        -------
        Self
            The module itself, so that calls can be chained.
        """
        return self.to(np.float16)

    def bfloat16(self) -> Self:
        """Convert to `bfloat16`; see `to`.

        Returns
        -------
        Self
            The module itself, so that calls can be chained.
        """
        return self.to(dtypes.bfloat16)

    def type(self, dst_type: DType) -> Self:
        """Convert to a dtype: `to(dtype)`.

        Parameters
        ----------
        dst_type : data-type
            Real and floating-point.

        Returns
        -------
        Self
            The module itself, so that calls can be chained.
        """
        return self.to(as_dtype(dst_type))

    def to_empty(self, *, device: str | None, recurse: bool = True) -> Self:
        """Move to a device without the values: parameters and buffers get memory that has none yet.

        Parameters
        ----------
        device : str or None
            Where; None leaves them where they are.
        recurse : bool, default True
            False leaves out the modules inside.

        Returns
        -------
        Self
            The module itself, so that calls can be chained.
        """
        for tensor in [*self.parameters(recurse), *self.buffers(recurse)]:
            if is_lazy(tensor):
                _move(tensor, device, None)
                continue
            fresh = empty(tensor.shape, dtype=tensor.dtype, device=tensor.device if device is None else device)
            tensor.data, tensor.device, tensor.grad = fresh.data, fresh.device, None
            if isinstance(tensor, Parameter):
                tensor._grad_view = None
        return self

    def apply(self, fn: Callable[[Module], object]) -> Self:
        """Call a function on every module, the innermost first; for initialisation.

        Parameters
        ----------
        fn : callable
            Takes a Module; what it returns is ignored.

        Returns
        -------
        Self
            The module itself, so that calls can be chained.

        Examples
        --------
        >>> from weft import layers as nn
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        >>> _ = net.apply(lambda m: nn.init.zeros_(m.weight) if isinstance(m, nn.Linear) else None)
        """
        if not callable(fn):
            raise TypeError(f"`fn` must be a function of a Module, got {fn!r:.80}")
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # --- hooks --------------------------------------------------------------------------------------------------------
    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call a function before each forward, which may replace the arguments.

        Parameters
        ----------
        hook : callable
            `hook(module, args)`; what it returns, unless None, replaces the arguments.
        prepend : bool, default False
            Whether it comes before the hooks that are there already.
        with_kwargs : bool, default False
            Whether it is `hook(module, args, kwargs)`, returning None or `(args, kwargs)`.

        Returns
        -------
        RemovableHandle
            Its `remove()` takes the hook off.
        """
        return add_hook(self, "before", hook, prepend, with_kwargs)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call a function after each forward, which may replace the output.

        Parameters
        ----------
        hook : callable
            `hook(module, args, output)`; what it returns, unless None, replaces the output.
        prepend : bool, default False
            Whether it comes before the hooks that are there already.
        with_kwargs : bool, default False
            Whether it is `hook(module, args, kwargs, output)`.

        Returns
        -------
        RemovableHandle
            Its `remove()` takes the hook off.

        Examples
        --------
        >>> from weft import layers as nn
        >>> layer = nn.ReLU()
        >>> with layer.register_forward_hook(lambda module, args, output: output + 1):
        ...     layer(weft.tensor([-1.0, 2.0])).tolist()
        [1.0, 3.0]
        """
        return add_hook(self, "after", hook, prepend, with_kwargs)

    def register_full_backward_pre_hook(
        self, hook: Callable[[Module, tuple], Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call a function before the gradients of each output go through the module, which may replace them.

        Parameters
        ----------
        hook : callable
            `hook(module, grad_output)`, with a tuple; what it returns, unless None, replaces it.
        prepend : bool, default False
            Whether it comes before the hooks that are there already.

        Returns
        -------
        RemovableHandle
            Its `remove()` takes the hook off.
        """
        return add_hook(self, "backward_before", hook, prepend, False)

    def register_full_backward_hook(
        self, hook: Callable[[Module, tuple, tuple], Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call a function after the gradients of each input were computed, which may replace them.

        Parameters
        ----------
        hook : callable
            `hook(module, grad_input, grad_output)`, with tuples: None stands for what is no Tensor, or wants no gradient. What
            it returns, unless None, replaces `grad_input`.
        prepend : bool, default False
            Whether it comes before the hooks that are there already.

        Returns
        -------
        RemovableHandle
            Its `remove()` takes the hook off.

        Notes
        -----
        Inputs are the positional arguments. A captured step that comes here runs as usual instead.

        Examples
        --------
        >>> from weft import layers as nn
        >>> layer = nn.Linear(2, 1)
        >>> handle = layer.register_full_backward_hook(lambda module, grad_input, grad_output: print(grad_output))
        >>> layer(weft.ones((1, 2))).sum().backward()
        (tensor([[1.]]),)
        """
        return add_hook(self, "backward", hook, prepend, False)

    # --- display ------------------------------------------------------------------------------------------------------
    def extra_repr(self) -> str:
        """What stands between the parentheses of `repr`.

        Returns
        -------
        str
            One line, or several.
        """
        return ""

    def __repr__(self) -> str:
        children = [f"({name}): {_indented(repr(v))}" for name, v in vars(self).items() if isinstance(v, Module)]
        return _layout(type(self).__name__, self.extra_repr(), children)

    def _repr_html_(self) -> str:
        return _tree("", self, 0)


class Layer(Module):
    """A module of one Tensor that gives one Tensor. It differs from `Module` for type checkers alone."""

    if TYPE_CHECKING:

        def __call__(self, input: Tensor) -> Tensor: ...


def _layout(name: str, extra: str, children: list[str]) -> str:
    lines = [*(extra.split("\n") if extra else []), *children]
    if len(lines) <= 1 and not children:
        return f"{name}({extra})"
    return f"{name}(\n  " + "\n  ".join(lines) + "\n)"


def _tree(name: str, module: Module, depth: int) -> str:
    """A module and those in it, as HTML; what lies deep is folded away."""
    known = {id(p): p.size for p in module.parameters()}
    label = f"({name}): " * bool(name) + type(module).__name__
    children = [_tree(key, v, depth + 1) for key, v in vars(module).items() if isinstance(v, Module)]
    extra = "" if children else f"({module.extra_repr()})"
    count = markup.faint(f"{sum(known.values()):,} parameters") if known else ""
    return markup.tree(f"{markup.text(label + extra)} {count}", children, is_open=depth < 2)


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def _putting(modules: list[tuple[str, Module]]) -> Callable[[str, Tensor], None]:
    """What has a Tensor take the place of a parameter or buffer, by its name; whether that is learned stays as it is."""
    places = {_join(path, name): (module, name, old) for path, module in modules for name, old in module._own_state()}

    def put(key: str, value: Tensor) -> None:
        module, name, old = places[key]
        setattr(module, name, Parameter(value, old.requires_grad) if isinstance(old, Parameter) else value)

    return put


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


def _check_place(module: Module, name: str, value: Any) -> None:
    """What was registered is not silently taken out of the model; a Parameter in a buffer's place is one."""
    there = vars(module).get(name)
    if isinstance(there, Module):
        if not isinstance(value, Module):
            raise TypeError(
                f"`{name}` must be a Module or None, as it was one, got {type(value).__name__}; del it first"
            )
    elif name in module._buffers:
        if isinstance(value, Parameter):
            module._buffers = {key: saved for key, saved in module._buffers.items() if key != name}
    elif isinstance(there, Parameter) and not isinstance(value, Parameter):
        raise TypeError(
            f"`{name}` must be a weft.Parameter or None, as it was one, got {type(value).__name__}; del it first"
        )


def _move(tensor: Tensor, device: str | None, dtype: Any) -> None:
    """Re-point `tensor` (and its gradient) at memory on another device or in another dtype."""
    dtype = dtype if dtypes.is_real_floating(tensor.dtype) else None
    if is_lazy(tensor):
        tensor._become(device, dtype)  # type: ignore[attr-defined]
        return
    moved = tensor.detach().to(dtype=dtype, device=device)
    if moved.data is tensor.data:
        return
    tensor.data, tensor.device = moved.data, moved.device
    if isinstance(tensor, Parameter):
        tensor._grad_view = None
    if tensor.grad is not None:
        tensor.grad = tensor.grad.to(dtype=dtype, device=device)
