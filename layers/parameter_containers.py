"""Parameters in lists and dicts that count as part of a model, as `torch.nn.ParameterList` and `ParameterDict`."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn, Self

from ..backend.device.options import integer
from ..backend.tape.tensor import Parameter, Tensor
from .module import Module

__all__ = ["Container", "ParameterDict", "ParameterList"]


class _Held(Module):
    """What is held under names, some of which are Parameters; a Tensor becomes one."""

    def _hold(self, name: str, value: Any) -> None:
        is_plain = isinstance(value, Tensor) and not isinstance(value, Parameter)
        setattr(self, name, Parameter(value.detach()) if is_plain else value)

    def _lines(self, items: Iterable[tuple[Any, Any]]) -> str:
        lines = []
        for name, value in items:
            shown = f"Object of type: {type(value).__name__}"
            if isinstance(value, Tensor):
                on = f" ({value.device})" if value.device != "cpu" else ""
                shown = f"Parameter containing: [{value.dtype} of size {'x'.join(map(str, value.shape))}{on}]"
            lines.append(f"({name}): {shown}")
        return "\n".join(lines)

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(f"`{type(self).__name__}` must not be called: it holds parameters; index it")


class ParameterList(_Held):
    """A list of parameters that counts as part of the model, as `torch.nn.ParameterList`: named "0", "1", ….

    Tensors become Parameters; anything else may be held, too.

    Parameters
    ----------
    values : iterable, optional
        What is in it at first; nothing unless given.

    Examples
    --------
    >>> from weft import layers as nn
    >>> weights = nn.ParameterList([weft.ones(2), weft.zeros(3)])
    >>> {name: p.shape for name, p in weights.named_parameters()}
    {'0': (2,), '1': (3,)}
    """

    def __init__(self, values: Iterable[Any] | None = None):
        self._size = 0
        if values is not None:
            self.extend(values)

    def _name(self, index: int) -> str:
        integer("index", index)
        if not -self._size <= index < self._size:
            raise IndexError(f"`index` must be in [{-self._size}, {self._size}), got {index}")
        return str(index % self._size)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(self[i] for i in range(*index.indices(len(self))))
        return vars(self)[self._name(index)]

    def __setitem__(self, index: int, value: Any) -> None:
        self._hold(self._name(index), value)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return iter([self[i] for i in range(len(self))])

    def __iadd__(self, values: Iterable[Any]) -> Self:
        return self.extend(values)

    def append(self, value: Any) -> Self:
        """Put something at the end.

        Parameters
        ----------
        value : Any
            A Tensor becomes a Parameter.

        Returns
        -------
        Self
            The list itself, so that calls can be chained.
        """
        self._hold(str(self._size), value)
        self._size += 1
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Put several at the end.

        Parameters
        ----------
        values : iterable
            In the order in which they are put.

        Returns
        -------
        Self
            The list itself, so that calls can be chained.

        Raises
        ------
        TypeError
            If `values` is a Tensor, or no iterable.
        """
        if not isinstance(values, Iterable) or isinstance(values, Tensor):
            raise TypeError(
                f"`values` must be an iterable of Parameters, got {type(values).__name__}; put it into a list"
            )
        for value in values:
            self.append(value)
        return self

    def extra_repr(self) -> str:
        return self._lines(enumerate(self))


class ParameterDict(_Held):
    """A dict of parameters that counts as part of the model, as `torch.nn.ParameterDict`.

    Tensors become Parameters; anything else may be held, too. Of a plain dict PyTorch sorts the names, and so does weft.

    Parameters
    ----------
    parameters : mapping of str, or iterable of pairs, optional
        What is in it at first; nothing unless given.

    Examples
    --------
    >>> from weft import layers as nn
    >>> sides = nn.ParameterDict({"right": weft.ones(2), "left": weft.zeros(3)})
    >>> list(sides.state_dict()), sides["left"].tolist()
    (['left', 'right'], [0.0, 0.0, 0.0])
    """

    def __init__(self, parameters: Any = None):
        self._names: tuple[str, ...] = ()
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str) -> Any:
        if key not in self._names:
            raise KeyError(f"`key` must be one of {list(self._names)}, got {key!r}")
        return vars(self)[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"`key` must be a str, got {type(key).__name__}")
        if key not in self._names and hasattr(self, key):
            raise KeyError(f"`key` must not be that of a method or attribute of ParameterDict, got {key!r}")
        if "." in key or not key:
            raise KeyError(f"`key` must have no dot and not be empty, got {key!r}")
        self._hold(key, value)
        self._names = (*self._names, *([key] if key not in self._names else []))

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._names)

    def __contains__(self, key: object) -> bool:
        return key in self._names

    def __or__(self, other: Any) -> ParameterDict:
        made = self.copy()
        made.update(other)
        return made

    def __ror__(self, other: Any) -> ParameterDict:
        made = ParameterDict(list(other.items()))
        made.update(self)
        return made

    def __ior__(self, other: Any) -> Self:
        self.update(other)
        return self

    def keys(self) -> list[str]:
        """The names, in their order.

        Returns
        -------
        list of str
            A new list.
        """
        return list(self._names)

    def values(self) -> list[Any]:
        """What is held, in the order of the names.

        Returns
        -------
        list
            A new list.
        """
        return [self[key] for key in self]

    def items(self) -> list[tuple[str, Any]]:
        """Names and what is held, in their order.

        Returns
        -------
        list of tuple
            A new list.
        """
        return [(key, self[key]) for key in self]

    def get(self, key: str, default: Any = None) -> Any:
        """What is held under a name, or something else.

        Parameters
        ----------
        key : str
            The name.
        default : Any, optional
            What stands for a name that there is not.

        Returns
        -------
        Any
            One of the two.
        """
        return self[key] if key in self else default  # noqa: SIM401

    def setdefault(self, key: str, default: Any = None) -> Any:
        """What is held under a name, which is added if there is not.

        Parameters
        ----------
        key : str
            The name.
        default : Any, optional
            What is added.

        Returns
        -------
        Any
            What is held then.
        """
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: str) -> Any:
        """Take something out.

        Parameters
        ----------
        key : str
            Its name.

        Returns
        -------
        Any
            What was held.
        """
        value = self[key]
        delattr(self, key)
        self._names = tuple(name for name in self._names if name != key)
        return value

    def popitem(self) -> tuple[str, Any]:
        """Take the last one out.

        Returns
        -------
        tuple of str and Any
            Its name and what was held.
        """
        if not self._names:
            raise KeyError("`popitem` needs a ParameterDict that holds something, got an empty one")
        key = self._names[-1]
        return key, self.pop(key)

    def clear(self) -> None:
        """Take everything out."""
        for key in self._names:
            self.pop(key)

    def copy(self) -> ParameterDict:
        """Another dict of the same parameters.

        Returns
        -------
        ParameterDict
            It holds what this holds.
        """
        return ParameterDict(self.items())

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """Another dict, of the same thing under each name.

        Parameters
        ----------
        keys : iterable of str
            The names.
        default : Any, optional
            What it holds.

        Returns
        -------
        ParameterDict
            A new one.
        """
        return ParameterDict([(key, default) for key in keys])

    def update(self, parameters: Any) -> None:
        """Add several; those with known names are replaced.

        Parameters
        ----------
        parameters : mapping of str, or iterable of pairs
            What is added: of a plain dict in the order of the names, else in its own.

        Raises
        ------
        TypeError
            If it is neither.
        """
        pairs = parameters
        if isinstance(parameters, Mapping | ParameterDict):
            pairs = list(parameters.items())
            pairs = (
                sorted(pairs, key=lambda pair: pair[0])
                if not isinstance(parameters, OrderedDict | ParameterDict)
                else pairs
            )
        if not isinstance(pairs, Iterable) or isinstance(pairs, Tensor):
            raise TypeError(f"`parameters` must be a dict or pairs (name, value), got {type(parameters).__name__}")
        for pair in pairs:
            if not isinstance(pair, Iterable) or len(pair := tuple(pair)) != 2:
                raise TypeError(f"`parameters` must be a dict or pairs (name, value), got {pair!r:.80}")
            self[pair[0]] = pair[1]

    def extra_repr(self) -> str:
        return self._lines(self.items())


class Container(Module):
    """PyTorch's deprecated module of named modules.

    Parameters
    ----------
    **kwargs : Module
        What it holds.

    Examples
    --------
    >>> import warnings
    >>> from weft import layers as nn
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     net = nn.Container(first=nn.Linear(2, 3))
    >>> net.first.out_features
    3
    """

    def __init__(self, **kwargs: Any):
        warnings.warn(
            "`Container` is deprecated: say Module, and assign to its attributes", FutureWarning, stacklevel=2
        )
        for name, module in kwargs.items():
            self.add_module(name, module)
