"""What programs reach for inside PyTorch: a module's dictionaries by name, the fans of a weight, pairs of numbers, trees."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, MutableMapping
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple

from ...backend.tape.tensor import Tensor
from ...layers import Module, functional, init, loss, normalization
from ...layers.convolution import _Conv, _ConvTranspose
from ...layers.hooks import Hooks, _forget_none

__all__ = ["FANS", "FILES", "TREES", "attach_insides", "buffers_of"]


class _Attributes(MutableMapping):
    """The parameters, buffers or modules of a module by name; what is assigned or deleted here is so in the module."""

    def __init__(self, module: Module, kind: str):
        self.module, self.kind = module, kind

    def _found(self) -> dict[str, Any]:
        if self.kind == "_parameters":
            return dict(self.module._own_parameters())
        if self.kind == "_buffers":
            return {name: vars(self.module).get(name) for name in self.module._buffers}
        return {name: value for name, value in vars(self.module).items() if isinstance(value, Module)}

    def __getitem__(self, name: str) -> Any:
        return self._found()[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if self.kind == "_buffers":
            self.module.register_buffer(name, value, self.module._buffers.get(name, True))
        elif self.kind == "_parameters":
            self.module.register_parameter(name, value)
        else:
            self.module.add_module(name, value)

    def __delitem__(self, name: str) -> None:
        self._found()[name]  # a KeyError, if there is none
        delattr(self.module, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._found())

    def __len__(self) -> int:
        return len(self._found())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._found()!r})"


class _Called(MutableMapping):
    """The hooks of a module at one moment; keys are numbers that last as long as the hook."""

    def __init__(self, module: Module, when: str):
        self.module, self.when = module, when

    def _entries(self) -> list:
        return [] if self.module._hooks is None else getattr(self.module._hooks, self.when)

    def __getitem__(self, key: int) -> Callable:
        for entry in self._entries():
            if id(entry) == key:
                return entry[0]
        raise KeyError(key)

    def __setitem__(self, key: int, hook: Callable) -> None:
        self.module._hooks = self.module._hooks or Hooks()
        entries = self._entries()
        place = next((i for i, entry in enumerate(entries) if id(entry) == key), len(entries))
        entries[place : place + 1] = [(hook, False)]

    def __delitem__(self, key: int) -> None:
        self[key]
        entries = self._entries()
        entries[:] = [entry for entry in entries if id(entry) != key]
        _forget_none(self.module)

    def __iter__(self) -> Iterator[int]:
        return iter([id(entry) for entry in self._entries()])

    def __len__(self) -> int:
        return len(self._entries())


def _hooks_at(when: str) -> property:
    def put(self: Module, hooks: Any) -> None:
        given = list(hooks.values())
        found = _Called(self, when)
        found.clear()
        for i, hook in enumerate(given):
            found[-1 - i] = hook

    return property(lambda self: _Called(self, when), put)


def buffers_of(x: Any) -> Any:
    """What `x._buffers` is in a program.

    Parameters
    ----------
    x : object
        A module, or anything that has the attribute.

    Returns
    -------
    mapping
        Of a module: names to Tensors, as PyTorch's.
    """
    return _Attributes(x, "_buffers") if isinstance(x, Module) else x._buffers


def _conv_forward(self: _Conv, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The convolution with another weight and bias."""
    x, padding = self._padded(input)
    of = (functional.conv1d, functional.conv2d, functional.conv3d)[self.axes - 1]
    return of(x, weight, bias, self.stride, padding, self.dilation, self.groups)


def _to(self: Module, *given: Any, non_blocking: bool = False, memory_format: Any = None, **options: Any) -> Module:
    """`non_blocking` and `memory_format` change nothing."""
    return _plain_to(self, *(g for g in given if not isinstance(g, bool)), **options)


_plain_to = Module.to


def attach_insides() -> None:
    """Give `Module` the names, for the rest of the process."""
    for name in ("_parameters", "_modules"):
        setattr(Module, name, property(partial(_Attributes, kind=name)))
    for name, when in (("_forward_pre_hooks", "before"), ("_forward_hooks", "after"), ("_backward_hooks", "backward")):
        setattr(Module, name, _hooks_at(when))
    Module._get_name = lambda self: type(self).__name__  # type: ignore[attr-defined]
    Module.compile = lambda self, *args, **options: None  # type: ignore[attr-defined]
    Module.to = _to  # type: ignore[method-assign, assignment]
    _Conv._conv_forward = _conv_forward  # type: ignore[attr-defined]


# --- fans and pairs ---------------------------------------------------------------------------------------------------
def _fans(tensor: Tensor) -> tuple[int, int]:
    if tensor.ndim < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    return init._fans(tensor)


def _fan(tensor: Tensor, mode: str) -> int:
    if (mode := mode.lower()) not in ("fan_in", "fan_out"):
        raise ValueError(f"`mode` must be 'fan_in' or 'fan_out', got {mode!r}")
    return _fans(tensor)[mode == "fan_out"]


FANS: dict[str, Any] = {
    "_calculate_fan_in_and_fan_out": _fans,
    "_calculate_correct_fan": _fan,
    "_no_grad_uniform_": init.uniform_,
    "_no_grad_normal_": init.normal_,
    "_no_grad_trunc_normal_": init.trunc_normal_,
    "_no_grad_fill_": init.constant_,
    "_no_grad_zero_": init.zeros_,
}


def _ntuple(n: int, name: str = "parse") -> Callable:
    def parse(x: Any) -> tuple:
        return tuple(x) if hasattr(x, "__iter__") else tuple(repeat(x, n))

    parse.__name__ = name
    return parse


def _indented(s_: str, numSpaces: int) -> str:
    first, *rest = s_.split("\n")
    return "\n".join([first, *(" " * numSpaces + line for line in rest)])


FILES: dict[str, dict[str, Any]] = {
    "utils": {
        "_ntuple": _ntuple,
        **{f"_{name}": _ntuple(n, f"_{name}") for n, name in enumerate(("single", "pair", "triple", "quadruple"), 1)},
        "_reverse_repeat_tuple": lambda t, n: tuple(x for x in reversed(t) for _ in range(n)),
    },
    "module": {"_addindent": _indented},
    "loss": {"_Loss": loss._Loss, "_WeightedLoss": loss._WeightedLoss},
    "batchnorm": {"_BatchNorm": normalization._BatchNorm, "_NormBase": normalization._RunningNorm},
    "instancenorm": {"_InstanceNorm": normalization._InstanceNorm},
    "conv": {"_ConvNd": _Conv, "_ConvTransposeNd": _ConvTranspose},
}


# --- trees ------------------------------------------------------------------------------------------------------------
class TreeSpec(NamedTuple):
    """How a tree is built: its kind (None of a leaf), what makes it again, its parts."""

    type: Any
    context: Any
    children_specs: list

    @property
    def num_leaves(self) -> int:
        """How many values it holds."""
        return 1 if self.type is None else sum(c.num_leaves for c in self.children_specs)


def _parts(tree: Any) -> tuple[list, Any] | None:
    """The parts of a container and what makes it again; None of a leaf."""
    if type(tree) in (dict, OrderedDict):
        return list(tree.values()), list(tree)
    if type(tree) in (list, tuple) or (isinstance(tree, tuple) and hasattr(tree, "_fields")):
        return list(tree), None
    return None


def _flatten(tree: Any, is_leaf: Callable | None = None) -> tuple[list, TreeSpec]:
    parts = None if is_leaf is not None and is_leaf(tree) else _parts(tree)
    if parts is None:
        return [tree], TreeSpec(None, None, [])
    found = [_flatten(part, is_leaf) for part in parts[0]]
    return [leaf for leaves, _ in found for leaf in leaves], TreeSpec(type(tree), parts[1], [spec for _, spec in found])


def _unflatten(leaves: Any, treespec: TreeSpec) -> Any:
    leaves = list(leaves)
    if len(leaves) != treespec.num_leaves:
        raise ValueError(f"`leaves` must be {treespec.num_leaves} values, as `treespec` says, got {len(leaves)}")
    given = iter(leaves)

    def built(spec: TreeSpec) -> Any:
        if spec.type is None:
            return next(given)
        parts = [built(child) for child in spec.children_specs]
        if spec.context is not None:
            return spec.type(zip(spec.context, parts))
        return spec.type(*parts) if hasattr(spec.type, "_fields") else spec.type(parts)

    return built(treespec)


def _map(func: Callable, tree: Any, *rests: Any, is_leaf: Callable | None = None) -> Any:
    leaves, spec = _flatten(tree, is_leaf)
    return _unflatten(map(func, leaves, *(_flatten(rest, is_leaf)[0] for rest in rests)), spec)


def _map_only(types: Any, func: Callable, tree: Any, is_leaf: Callable | None = None) -> Any:
    return _map(lambda leaf: func(leaf) if isinstance(leaf, types) else leaf, tree, is_leaf=is_leaf)


TREES: dict[str, Any] = {
    "TreeSpec": TreeSpec,
    "tree_flatten": _flatten,
    "tree_unflatten": _unflatten,
    "tree_leaves": lambda tree, is_leaf=None: _flatten(tree, is_leaf)[0],
    "tree_structure": lambda tree, is_leaf=None: _flatten(tree, is_leaf)[1],
    "tree_map": _map,
    "tree_map_": lambda func, tree, *rests, is_leaf=None: (_map(func, tree, *rests, is_leaf=is_leaf), tree)[1],
    "tree_map_only": _map_only,
    "tree_all": lambda pred, tree, is_leaf=None: all(map(pred, _flatten(tree, is_leaf)[0])),
    "tree_any": lambda pred, tree, is_leaf=None: any(map(pred, _flatten(tree, is_leaf)[0])),
}
