"""Modules made of modules, and modules that only rearrange."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from ..backend.array.manipulation import reshape
from ..backend.device.options import integer
from ..backend.tape.tensor import Tensor
from .module import Layer, Module, _indented, _layout

__all__ = ["Flatten", "Identity", "ModuleDict", "ModuleList", "Residual", "Sequential", "Unflatten"]

T = TypeVar("T")


class _Indexed(Module):
    """Modules under the names "0", "1", …: what `Sequential` and `ModuleList` share."""

    def _items(self) -> list[tuple[str, Module]]:
        return [(name, m) for name, m in vars(self).items() if isinstance(m, Module)]

    def _replace(self, modules: Iterable[Module]) -> None:
        for name, _ in self._items():
            delattr(self, name)
        for i, module in enumerate(modules):
            self.add_module(str(i), module)

    def __len__(self) -> int:
        return len(self._items())

    def __iter__(self) -> Iterator[Module]:
        return iter([m for _, m in self._items()])

    def _name(self, index: int) -> str:
        items = self._items()
        if not isinstance(index, int):
            integer("index", index, -len(items), len(items) - 1)
        if not -len(items) <= index < len(items):
            raise IndexError(f"`index` must be in [{-len(items)}, {len(items)}), got {index}")
        return items[index][0]

    @overload
    def __getitem__(self, index: slice) -> Self: ...
    @overload
    def __getitem__(self, index: int) -> Any: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self._part(self._items()[index])
        return vars(self)[self._name(index)]

    def _part(self, items: list[tuple[str, Module]]) -> Module:
        raise NotImplementedError

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(self._name(index), module)

    def __delitem__(self, index: int | slice) -> None:
        gone = {name for name, _ in self._items()[index]} if isinstance(index, slice) else {self._name(index)}
        kept = [(name, m) for name, m in self._items() if name not in gone]
        if all(name.isdigit() for name, _ in kept):
            self._replace(m for _, m in kept)
        else:
            for name in gone:
                delattr(self, name)

    def append(self, module: Module) -> Self:
        """Put a module at the end.

        Parameters
        ----------
        module : Module
            Gets the next number for a name.

        Returns
        -------
        Self
            The module itself, so that calls can be chained.
        """
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Put several modules at the end.

        Parameters
        ----------
        modules : iterable of Module
            In the order in which they are put.

        Returns
        -------
        Self
            The module itself, so that calls can be chained.
        """
        for module in modules:
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Put a module before the one at `index`.

        Parameters
        ----------
        index : int
            As for `list.insert`; the modules behind it are renumbered.
        module : Module
            What is put there.

        Returns
        -------
        Self
            The module itself, so that calls can be chained.
        """
        integer("index", index)
        modules = list(self)
        modules.insert(index, module)
        self._replace(modules)
        return self

    def pop(self, index: int = -1) -> Module:
        """Take a module out.

        Parameters
        ----------
        index : int, default -1
            Its place; negative numbers count from the end.

        Returns
        -------
        Module
            The one that was taken out; those behind it are renumbered.

        Raises
        ------
        IndexError
            If there is none at `index`.
        """
        module = self[index]
        del self[index]
        return module


class Sequential(_Indexed, Layer):
    """Modules applied one after the other, as `torch.nn.Sequential`: f = fₙ ∘ … ∘ f₁.

    Two modules of which the first offers it (`Module._fused`) are one operation: a Linear and the ReLU or GELU("tanh")
    after it, unless one of them has a hook. Indexing gives a module, slicing a Sequential.

    Parameters
    ----------
    *args : Module
        What is applied, from the first to the last; or one dict of names to modules.

    Raises
    ------
    TypeError
        If one of them is not a Module.

    Examples
    --------
    >>> from weft import layers as nn
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    >>> net(weft.ones((2, 4))).shape
    (2, 3)
    >>> len(net[:2]), net[-1].out_features
    (2, 3)
    """

    def __init__(self, *args: Any):
        named = args[0].items() if len(args) == 1 and isinstance(args[0], Mapping) else enumerate(args)
        for name, module in named:
            if not isinstance(module, Module):
                raise TypeError(f"`Sequential` must be made of Modules, got {type(module).__name__} at {str(name)!r}")
            self.add_module(str(name), module)

    def forward(self, input: Any) -> Any:
        previous = None  # not called yet: it may be one operation with what follows
        for module in tuple(self.__dict__.values()):
            if not isinstance(module, Module):
                continue
            if previous is not None:
                output = previous._fused(module, input)
                if output is not NotImplemented:
                    input, previous = output, None
                    continue
                input = previous(input)
            previous = module
        return input if previous is None else previous(input)

    def _part(self, items: list[tuple[str, Module]]) -> Sequential:
        return Sequential(dict(items))

    def __add__(self, other: Sequential) -> Sequential:
        _check_sequential(other)
        return Sequential(*self, *other)

    def __iadd__(self, other: Sequential) -> Self:
        _check_sequential(other)
        return self.extend(list(other))

    def __mul__(self, times: int) -> Sequential:
        integer("times", times, 1)
        return Sequential(*list(self) * times)

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Self:
        integer("times", times, 1)
        return self.extend(list(self) * (times - 1))


def _check_sequential(other: Any) -> None:
    if not isinstance(other, Sequential):
        raise TypeError(f"`other` must be a Sequential, got {type(other).__name__}; put it in one, or use append")


class ModuleList(_Indexed):
    """A list of modules that counts as part of the model, as `torch.nn.ModuleList`; it has no forward of its own.

    Parameters
    ----------
    modules : iterable of Module, optional
        What is in it at first; none unless given.

    Examples
    --------
    >>> from weft import layers as nn
    >>> heads = nn.ModuleList(nn.Linear(2, n) for n in (3, 5))
    >>> [h(weft.ones((1, 2))).shape for h in heads]
    [(1, 3), (1, 5)]
    """

    def __init__(self, modules: Iterable[Module] | None = None):
        if not isinstance(modules, Iterable | None):
            raise TypeError(f"`modules` must be a list of Modules, got {modules!r}")
        self.extend(modules or ())

    def _part(self, items: list[tuple[str, Module]]) -> ModuleList:
        return ModuleList(m for _, m in items)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __iadd__(self, other: Iterable[Module]) -> Self:
        return self.extend(list(other))

    def __repr__(self) -> str:
        """Neighbours that read the same are shown once, as in PyTorch: `(0-5): 6 x Linear(…)`."""
        runs: list[list[Any]] = []  # [first, last, text]
        for i, text in enumerate(map(repr, self)):
            if runs and runs[-1][2] == text:
                runs[-1][1] = i
            else:
                runs.append([i, i, text])
        lines = [_indented(f"({a}): {text}" if a == b else f"({a}-{b}): {b - a + 1} x {text}") for a, b, text in runs]
        return _layout(type(self).__name__, "", lines)


class ModuleDict(Module):
    """A dict of modules that counts as part of the model, as `torch.nn.ModuleDict`.

    Parameters
    ----------
    modules : mapping of str to Module, or iterable of pairs, optional
        What is in it at first; none unless given.

    Examples
    --------
    >>> from weft import layers as nn
    >>> activations = nn.ModuleDict({"relu": nn.ReLU(), "tanh": nn.Tanh()})
    >>> activations["relu"](weft.tensor([-1.0])).tolist()
    [0.0]
    """

    def __init__(self, modules: Mapping[str, Module] | ModuleDict | Iterable[tuple[str, Module]] | None = None):
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Module:
        found = vars(self).get(key)
        if not isinstance(found, Module):
            raise KeyError(f"`key` must be one of {list(self)}, got {key!r}")
        return found

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, m in vars(self).items() if isinstance(m, Module)])

    def __contains__(self, key: object) -> bool:
        return key in list(self)

    def keys(self) -> list[str]:
        """The names, in the order in which they were added.

        Returns
        -------
        list of str
            A new list.
        """
        return list(self)

    def values(self) -> list[Module]:
        """The modules, in the order in which they were added.

        Returns
        -------
        list of Module
            A new list.
        """
        return [self[key] for key in self]

    def items(self) -> list[tuple[str, Module]]:
        """Names and modules, in the order in which they were added.

        Returns
        -------
        list of tuple of str and Module
            A new list.
        """
        return [(key, self[key]) for key in self]

    def update(self, modules: Mapping[str, Module] | ModuleDict | Iterable[tuple[str, Module]]) -> None:
        """Add modules; those with known names are replaced.

        Parameters
        ----------
        modules : mapping of str to Module, or iterable of pairs
            What is added, in this order.
        """
        given: Any = modules
        for pair in given.items() if hasattr(given, "items") else given:
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise TypeError(f"`modules` must be a dict of Modules, or pairs (name, Module), got {pair!r}")
            self[pair[0]] = pair[1]

    def pop(self, key: str) -> Module:
        """Take a module out.

        Parameters
        ----------
        key : str
            Its name.

        Returns
        -------
        Module
            The one that was taken out.

        Raises
        ------
        KeyError
            If there is none of this name.
        """
        module = self[key]
        delattr(self, key)
        return module

    def clear(self) -> None:
        """Take all modules out."""
        for key in self:
            delattr(self, key)


class Residual(Layer):
    """A residual connection: y = f(x) + s(x), where f is `module` and s is `shortcut`.

    The paper's block ends with a ReLU of the sum; here that is a module of its own.

    Parameters
    ----------
    module : Module
        The branch f.
    shortcut : Module, optional
        The way s past it, the identity unless given; where f changes the shape, a module that does the same, such
        as a 1×1 convolution.

    Raises
    ------
    ValueError
        In a call, if f(x) and s(x) differ in shape.

    References
    ----------
    He et al., "Deep Residual Learning for Image Recognition" (2016).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.Residual(nn.Identity())(weft.tensor([1.0, 2.0])).tolist()
    [2.0, 4.0]
    """

    def __init__(self, module: Module, shortcut: Module | None = None):
        for name, part in (("module", module), ("shortcut", shortcut)):
            if not isinstance(part, Module) and (name == "module" or part is not None):
                raise TypeError(f"`{name}` must be a Module, such as nn.Linear(2, 2), got {type(part).__name__}")
        self.module = module
        self.shortcut = shortcut

    def forward(self, input: Tensor) -> Tensor:
        output = self.module(input)
        shortcut = input if self.shortcut is None else self.shortcut(input)
        if output.shape != shortcut.shape:
            raise ValueError(
                f"`shortcut` must give the shape of the module's output {output.shape}, got {shortcut.shape}; "
                "pass one that does, such as Conv2d(in_channels, out_channels, 1, stride)"
            )
        return output + shortcut


class Identity(Module):
    """The input itself, y = x, whatever the arguments, as `torch.nn.Identity`: a placeholder.

    Parameters
    ----------
    *args : object
        Ignored.
    **kwargs : object
        Ignored.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.Identity(54, unused=True)(weft.tensor([1.0])).tolist()
    [1.0]
    """

    def __init__(self, *args: object, **kwargs: object):
        pass

    if TYPE_CHECKING:

        def __call__(self, input: T) -> T: ...

    def forward(self, input: T) -> T:
        return input


class Flatten(Layer):
    """Axes start_dim … end_dim merged into one, as `torch.nn.Flatten`: (N, C, H, W) → (N, C·H·W).

    Parameters
    ----------
    start_dim : int, default 1
        The first of the axes; 1 keeps the batch axis apart.
    end_dim : int, default -1
        The last of the axes, included.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.Flatten()(weft.ones((2, 3, 4, 5))).shape
    (2, 60)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        integer("start_dim", start_dim)
        integer("end_dim", end_dim)
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Layer):
    """One axis split into several, as `torch.nn.Unflatten`: (N, C·H·W) → (N, C, H, W).

    Named dimensions, which PyTorch has here too, do not exist in weft.

    Parameters
    ----------
    dim : int
        The axis that is split.
    unflattened_size : iterable of int
        Lengths of the axes in its place; one may be −1, for what the others leave.

    Raises
    ------
    ValueError
        In a call, if the lengths do not multiply to that of the axis.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.Unflatten(1, (3, -1))(weft.ones((2, 12))).shape
    (2, 3, 4)
    """

    def __init__(self, dim: int, unflattened_size: Iterable[int]):
        integer("dim", dim)
        if not isinstance(unflattened_size, Iterable):
            raise TypeError(f"`unflattened_size` must be several lengths, such as (3, -1), got {unflattened_size!r}")
        self.dim = dim
        self.unflattened_size = tuple(unflattened_size)
        for size in self.unflattened_size:
            integer("unflattened_size", size, -1)

    def forward(self, input: Tensor) -> Tensor:
        if not -input.ndim <= self.dim < input.ndim:
            raise IndexError(f"`dim` must be in [{-input.ndim}, {input.ndim}) for shape {input.shape}, got {self.dim}")
        dim, sizes = self.dim % input.ndim, list(self.unflattened_size)
        known = 1
        for n in sizes:
            known *= 1 if n == -1 else n
        length = input.shape[dim]
        if sizes.count(-1) == 1 and known and length % known == 0:
            sizes[sizes.index(-1)] = length // known
        elif known != length or -1 in sizes:
            wanted = f"multiply to {length}, the length of axis {self.dim}"
            raise ValueError(f"`unflattened_size` must {wanted}, got {self.unflattened_size}")
        return reshape(input, (*input.shape[:dim], *sizes, *input.shape[dim + 1 :]))

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
