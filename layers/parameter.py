"""Parameters and buffers, as `torch.nn.parameter`; and those whose shape is not known yet, which lazy layers have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from ..backend.array.creation import empty
from ..backend.device.devices import canonical
from ..backend.tape.tensor import DType, Parameter, Tensor

__all__ = ["Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter"]


class Buffer(Tensor):
    """A Tensor that is state but not learned: assigned to an attribute of a `Module`, it is registered as a buffer.

    `module.mean = Buffer(x)` is `module.register_buffer("mean", Tensor(x))`.

    Parameters
    ----------
    data : array of any array-API library, Tensor, number or nested sequence of numbers, optional
        Its first value, by default of no elements; an array is kept, not copied.
    persistent : bool, default True
        Whether it is part of the state_dict.

    Examples
    --------
    >>> from weft import layers as nn
    >>> class Centre(nn.Module):
    ...     def __init__(self):
    ...         self.mean = nn.Buffer([1.0, 2.0])
    ...
    ...     def forward(self, x):
    ...         return x - self.mean
    >>> Centre().state_dict()
    {'mean': tensor([1., 2.])}
    """

    __slots__ = ("persistent",)

    def __init__(self, data: Any = None, *, persistent: bool = True):
        super().__init__([] if data is None else data)
        self.persistent = persistent

    def __getstate__(self) -> Any:
        return {**super().__getstate__(), "persistent": self.persistent}

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self.persistent = state["persistent"]


_memory: Any = Tensor.__dict__["data"]  # the slot, which a tensor without values hides


class _Uninitialized(Tensor):
    """Dtype, device, and no values: whatever reads these raises."""

    __slots__ = ()
    _cls_to_become: Any

    def _get_data(self) -> NoReturn:
        raise RuntimeError(
            f"`{type(self).__name__}` must have got its shape, which it takes from the first input, before its values are "
            "asked for, got none yet; call the model once with a batch, before making an optimizer too"
        )

    def _set_data(self, data: Any) -> None:
        _memory.__set__(self, data)

    data = property(_get_data, _set_data)

    @property
    def dtype(self) -> Any:
        """What its values will have."""
        return _memory.__get__(self).dtype

    def detach(self) -> Any:
        """Itself: there is nothing to share.

        Returns
        -------
        Tensor
            As it is in a state_dict.
        """
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Whether it will be learned.

        Parameters
        ----------
        requires_grad : bool, default True
            Which.

        Returns
        -------
        Tensor
            Itself.
        """
        self.requires_grad = requires_grad
        return self

    def materialize(self, shape: Sequence[int], device: str | None = None, dtype: DType = None) -> None:
        """Make it a Parameter or Buffer, with memory that has no values yet.

        Parameters
        ----------
        shape : sequence of int
            Its shape.
        device : str, optional
            Where; where it was to be unless given.
        dtype : data-type, optional
            Of what dtype; the one that it was to have unless given.
        """
        self._become(device, dtype, tuple(shape))
        self.__class__ = self._cls_to_become

    def _become(self, device: str | None, dtype: DType, shape: tuple[int, ...] = (0,)) -> None:
        self.device = self.device if device is None else canonical(device)
        _memory.__set__(self, empty(shape, device=self.device, dtype=dtype or self.dtype).data)

    def __getstate__(self) -> Any:
        own = {"persistent": self.persistent} if isinstance(self, Buffer) else {}
        return {
            "data": _memory.__get__(self),
            "device": self.device,
            "grad": None,
            "requires_grad": self.requires_grad,
            **own,
        }

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class UninitializedParameter(_Uninitialized, Parameter):
    """A Parameter whose shape is not known yet; `materialize` gives it one.

    Parameters
    ----------
    requires_grad : bool, default True
        Whether it will be learned.
    device : str, optional
        Where it will be; weft's default device unless given.
    dtype : data-type, optional
        Of what dtype; weft's default dtype unless given.

    Examples
    --------
    >>> from weft import layers as nn
    >>> weight = nn.UninitializedParameter()
    >>> weight.materialize((2, 3))
    >>> type(weight).__name__, weight.shape
    ('Parameter', (2, 3))
    """

    __slots__ = ()
    _cls_to_become = Parameter

    def __init__(self, requires_grad: bool = True, device: str | None = None, dtype: DType = None):
        made = empty(0, device=device, dtype=dtype)
        _start(self, made, requires_grad)
        self._grad_view = self._grad_tensor = self._place = None
        self._is_shown = False


class UninitializedBuffer(_Uninitialized, Buffer):
    """A Buffer whose shape is not known yet; `materialize` gives it one.

    Parameters
    ----------
    requires_grad : bool, default False
        As PyTorch has it.
    device : str, optional
        Where it will be; weft's default device unless given.
    dtype : data-type, optional
        Of what dtype; weft's default dtype unless given.
    persistent : bool, default True
        Whether it is part of the state_dict.

    Examples
    --------
    >>> from weft import layers as nn
    >>> mean = nn.UninitializedBuffer()
    >>> mean.materialize((3,))
    >>> type(mean).__name__, mean.shape
    ('Buffer', (3,))
    """

    __slots__ = ()
    _cls_to_become = Buffer

    def __init__(
        self, requires_grad: bool = False, device: str | None = None, dtype: DType = None, persistent: bool = True
    ):
        _start(self, empty(0, device=device, dtype=dtype), requires_grad)
        self.persistent = persistent


def _start(tensor: Tensor, like: Tensor, requires_grad: bool) -> None:
    Tensor.__setstate__(
        tensor, {"data": like.data, "device": like.device, "grad": None, "requires_grad": requires_grad}
    )


def is_lazy(tensor: Any) -> bool:
    """Whether it has no shape yet."""
    return isinstance(tensor, _Uninitialized)
