"""Tensor: a raw array of some array-API library, the device it lives on, and its place on the tape.

The mathematics is not here: operators and methods are attached by `methods.py` from the functions of the namespace.
"""

from __future__ import annotations

import operator
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from types import EllipsisType
from typing import TYPE_CHECKING, Any, NamedTuple, Self, Union, overload

import numpy as np

from ..device import devices, dlpack, dtypes, markup
from ..device.numeric import check_numeric, in_native_order, read_numeric

__all__ = ["Operand", "Parameter", "Tensor", "ValuesAndIndices"]

# What stands beside a Tensor in an operation: numbers and NumPy's arrays are taken as they are.
Operand = Union["Tensor", complex, np.ndarray, np.generic]
Axes = int | tuple[int, ...] | None
DType = np.dtype | type | str | None
Key = Union[int, slice, EllipsisType, None, "Tensor", np.ndarray, Sequence[int], tuple["Key", ...]]

_new, _ndarray = object.__new__, np.ndarray  # for `wrap`, which every operation calls


if TYPE_CHECKING:  # what `array/methods.py` attaches, and documents: a test compares the two

    class _Casts:  # apart, because within the class below these names would hide the types
        def bool(self) -> Tensor: ...
        def float(self) -> Tensor: ...
        def int(self) -> Tensor: ...

    class _Attached(_Casts):
        T: Tensor
        mT: Tensor

        def __add__(self, other: Operand, /) -> Tensor: ...
        def __radd__(self, other: Operand, /) -> Tensor: ...
        def __iadd__(self, other: Operand, /) -> Self: ...
        def __sub__(self, other: Operand, /) -> Tensor: ...
        def __rsub__(self, other: Operand, /) -> Tensor: ...
        def __isub__(self, other: Operand, /) -> Self: ...
        def __mul__(self, other: Operand, /) -> Tensor: ...
        def __rmul__(self, other: Operand, /) -> Tensor: ...
        def __imul__(self, other: Operand, /) -> Self: ...
        def __truediv__(self, other: Operand, /) -> Tensor: ...
        def __rtruediv__(self, other: Operand, /) -> Tensor: ...
        def __itruediv__(self, other: Operand, /) -> Self: ...
        def __floordiv__(self, other: Operand, /) -> Tensor: ...
        def __rfloordiv__(self, other: Operand, /) -> Tensor: ...
        def __ifloordiv__(self, other: Operand, /) -> Self: ...
        def __mod__(self, other: Operand, /) -> Tensor: ...
        def __rmod__(self, other: Operand, /) -> Tensor: ...
        def __imod__(self, other: Operand, /) -> Self: ...
        def __pow__(self, other: Operand, /) -> Tensor: ...
        def __rpow__(self, other: Operand, /) -> Tensor: ...
        def __ipow__(self, other: Operand, /) -> Self: ...
        def __matmul__(self, other: Operand, /) -> Tensor: ...
        def __rmatmul__(self, other: Operand, /) -> Tensor: ...
        def __imatmul__(self, other: Operand, /) -> Self: ...
        def __and__(self, other: Operand, /) -> Tensor: ...
        def __rand__(self, other: Operand, /) -> Tensor: ...
        def __iand__(self, other: Operand, /) -> Self: ...
        def __or__(self, other: Operand, /) -> Tensor: ...
        def __ror__(self, other: Operand, /) -> Tensor: ...
        def __ior__(self, other: Operand, /) -> Self: ...
        def __xor__(self, other: Operand, /) -> Tensor: ...
        def __rxor__(self, other: Operand, /) -> Tensor: ...
        def __ixor__(self, other: Operand, /) -> Self: ...
        def __lshift__(self, other: Operand, /) -> Tensor: ...
        def __rlshift__(self, other: Operand, /) -> Tensor: ...
        def __ilshift__(self, other: Operand, /) -> Self: ...
        def __rshift__(self, other: Operand, /) -> Tensor: ...
        def __rrshift__(self, other: Operand, /) -> Tensor: ...
        def __irshift__(self, other: Operand, /) -> Self: ...
        def __lt__(self, other: Operand, /) -> Tensor: ...
        def __le__(self, other: Operand, /) -> Tensor: ...
        def __gt__(self, other: Operand, /) -> Tensor: ...
        def __ge__(self, other: Operand, /) -> Tensor: ...
        def __eq__(self, other: Operand, /) -> Tensor: ...  # type: ignore[override]
        def __ne__(self, other: Operand, /) -> Tensor: ...  # type: ignore[override]
        def __neg__(self) -> Tensor: ...
        def __pos__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __array_ufunc__(self, ufunc: np.ufunc, kind: str, *inputs: Any, **options: Any) -> Any: ...
        def __array_function__(self, function: Callable, types: Any, args: tuple, options: dict[str, Any]) -> Any: ...
        def __getitem__(self, key: Key, /) -> Tensor: ...
        def __setitem__(self, key: Key, value: Operand, /) -> None: ...
        def __iter__(self) -> Iterator[Tensor]: ...
        def abs(self, /) -> Tensor: ...
        def acos(self, /) -> Tensor: ...
        def acosh(self, /) -> Tensor: ...
        def asin(self, /) -> Tensor: ...
        def asinh(self, /) -> Tensor: ...
        def atan(self, /) -> Tensor: ...
        def atanh(self, /) -> Tensor: ...
        def ceil(self, /) -> Tensor: ...
        def conj(self, /) -> Tensor: ...
        def cos(self, /) -> Tensor: ...
        def cosh(self, /) -> Tensor: ...
        def exp(self, /) -> Tensor: ...
        def expm1(self, /) -> Tensor: ...
        def floor(self, /) -> Tensor: ...
        def isfinite(self, /) -> Tensor: ...
        def isinf(self, /) -> Tensor: ...
        def isnan(self, /) -> Tensor: ...
        def log(self, /) -> Tensor: ...
        def log10(self, /) -> Tensor: ...
        def log1p(self, /) -> Tensor: ...
        def log2(self, /) -> Tensor: ...
        def logical_not(self, /) -> Tensor: ...
        def reciprocal(self, /) -> Tensor: ...
        def round(self, decimals: int = 0) -> Tensor: ...
        def __round__(self, ndigits: int | None = None) -> Tensor: ...
        def sign(self, /) -> Tensor: ...
        def sin(self, /) -> Tensor: ...
        def sinh(self, /) -> Tensor: ...
        def sqrt(self, /) -> Tensor: ...
        def square(self, /) -> Tensor: ...
        def tan(self, /) -> Tensor: ...
        def tanh(self, /) -> Tensor: ...
        def trunc(self, /) -> Tensor: ...
        def logical_and(self, other: Operand, /) -> Tensor: ...
        def logical_or(self, other: Operand, /) -> Tensor: ...
        def maximum(self, other: Operand, /) -> Tensor: ...
        def minimum(self, other: Operand, /) -> Tensor: ...
        def pow(self, other: Operand, /) -> Tensor: ...
        def matmul(self, other: Operand, /) -> Tensor: ...
        def clip(self, /, min: Operand | None = None, max: Operand | None = None) -> Tensor: ...
        @overload
        def max(self, axis: Axes = None, *, keepdims: bool = False) -> Tensor: ...
        @overload
        def max(self, *, dim: int, keepdim: bool = False) -> ValuesAndIndices: ...
        def max(
            self, axis: Axes = None, *, keepdims: bool = False, dim: int | None = None, keepdim: bool = False
        ) -> Any: ...
        @overload
        def min(self, axis: Axes = None, *, keepdims: bool = False) -> Tensor: ...
        @overload
        def min(self, *, dim: int, keepdim: bool = False) -> ValuesAndIndices: ...
        def min(
            self, axis: Axes = None, *, keepdims: bool = False, dim: int | None = None, keepdim: bool = False
        ) -> Any: ...
        def all(
            self, axis: Axes = None, *, keepdims: bool = False, dim: Axes = None, keepdim: bool = False
        ) -> Tensor: ...
        def any(
            self, axis: Axes = None, *, keepdims: bool = False, dim: Axes = None, keepdim: bool = False
        ) -> Tensor: ...
        def logsumexp(
            self, axis: Axes = None, *, keepdims: bool = False, dim: Axes = None, keepdim: bool = False
        ) -> Tensor: ...
        def sum(
            self,
            axis: Axes = None,
            *,
            dtype: DType = None,
            keepdims: bool = False,
            dim: Axes = None,
            keepdim: bool = False,
        ) -> Tensor: ...
        def prod(
            self,
            axis: Axes = None,
            *,
            dtype: DType = None,
            keepdims: bool = False,
            dim: Axes = None,
            keepdim: bool = False,
        ) -> Tensor: ...
        def mean(
            self, axis: Axes = None, *, keepdims: bool = False, dim: Axes = None, keepdim: bool = False
        ) -> Tensor: ...
        def var(
            self,
            axis: Axes = None,
            *,
            correction: float = 0.0,
            keepdims: bool = False,
            dim: Axes = None,
            keepdim: bool = False,
            unbiased: bool | None = None,
        ) -> Tensor: ...
        def std(
            self,
            axis: Axes = None,
            *,
            correction: float = 0.0,
            keepdims: bool = False,
            dim: Axes = None,
            keepdim: bool = False,
            unbiased: bool | None = None,
        ) -> Tensor: ...
        def argmax(
            self, axis: int | None = None, *, keepdims: bool = False, dim: int | None = None, keepdim: bool = False
        ) -> Tensor: ...
        def argmin(
            self, axis: int | None = None, *, keepdims: bool = False, dim: int | None = None, keepdim: bool = False
        ) -> Tensor: ...
        def count_nonzero(self, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor: ...
        def cumulative_sum(
            self, /, *, axis: int | None = None, dtype: DType = None, include_initial: bool = False
        ) -> Tensor: ...
        def cumulative_prod(
            self, /, *, axis: int | None = None, dtype: DType = None, include_initial: bool = False
        ) -> Tensor: ...
        def astype(self, dtype: DType, /, *, copy: bool = True, device: str | None = None) -> Tensor: ...
        def flip(self, *dims: int | Sequence[int], axis: Axes = None) -> Tensor: ...
        def roll(self, shift: int | tuple[int, ...], dims: Axes = None, *, axis: Axes = None) -> Tensor: ...
        def tile(self, *repetitions: int | Sequence[int]) -> Tensor: ...
        def repeat(self, *repeats: int | Sequence[int] | Tensor, axis: int | None = None) -> Tensor: ...
        def repeat_interleave(self, repeats: int | Tensor, dim: int | None = None) -> Tensor: ...
        def broadcast_to(self, /, shape: tuple[int, ...]) -> Tensor: ...
        def argsort(self, axis: int = -1, *, descending: bool = False, stable: bool = True) -> Tensor: ...
        def sort(self, axis: int = -1, *, descending: bool = False, stable: bool = True) -> Tensor: ...
        def take(self, indices: Tensor, /, *, axis: int | None = None) -> Tensor: ...
        def take_along_axis(self, indices: Tensor, /, *, axis: int = -1) -> Tensor: ...
        def nonzero(self, /) -> tuple[Tensor, ...]: ...
        def backward(self, grad: Operand | None = None, *, retain_graph: bool = False) -> None: ...
        def reshape(self, *shape: int | Sequence[int]) -> Tensor: ...
        def view(self, *shape: int | Sequence[int]) -> Tensor: ...
        def view_as(self, other: Tensor) -> Tensor: ...
        def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor: ...
        def transpose(self, dim0: int, dim1: int) -> Tensor: ...
        def swapaxes(self, dim0: int, dim1: int) -> Tensor: ...
        def permute(self, *dims: int | Sequence[int]) -> Tensor: ...
        def squeeze(self, axis: Axes = None) -> Tensor: ...
        def unsqueeze(self, dim: int) -> Tensor: ...
        def expand(self, *sizes: int | Sequence[int]) -> Tensor: ...
        def chunk(self, chunks: int, dim: int = 0) -> tuple[Tensor, ...]: ...
        def split(self, split_size: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]: ...
        def clone(self) -> Tensor: ...
        def contiguous(self) -> Tensor: ...
        def norm(
            self, p: float | str = "fro", dim: Axes = None, keepdim: bool = False, dtype: DType = None
        ) -> Tensor: ...
        def copy_(self, source: Operand) -> Self: ...
        def fill_(self, value: Operand) -> Self: ...
        def zero_(self) -> Self: ...
        def to(
            self,
            target: Tensor | DType = None,
            dtype: DType = None,
            non_blocking: bool = False,
            copy: bool = False,
            *,
            device: str | None = None,
        ) -> Tensor: ...
        def to_device(self, device: str, /, *, stream: object = None) -> Tensor: ...
        def cpu(self) -> Tensor: ...
        def double(self) -> Tensor: ...
        def half(self) -> Tensor: ...
        def long(self) -> Tensor: ...
        def cuda(self, index: int | None = None) -> Tensor: ...
        def type_as(self, other: Tensor) -> Tensor: ...

else:
    _Attached = object


class Alias(dict):
    """What `_kin` is of a tensor that has another's memory, but not its history (`detach`), and its own views by id.

    The other is held if it is a view, which others need not have seen; else it, and its memory, may go.
    """

    __slots__ = ("_held", "_of")

    def __init__(self, other: Tensor, hold: bool):
        self._held, self._of = other if hold else None, weakref.ref(other)

    @property
    def root(self) -> Tensor | None:
        """The other, if there still is one."""
        return self._of()


class Tensor(_Attached):
    """An n-dimensional array that can record what is done with it.

    Parameters
    ----------
    data : array of any array-API library, Tensor, number or nested sequence of numbers
        Arrays are kept, not copied (`weft.tensor` copies), unless their bytes are in another machine's order; Python
        floats become the default dtype.
    requires_grad : bool, default False
        Record operations on it, so that `backward` can fill `grad`; real floating-point dtypes only.

    Attributes
    ----------
    data : array
        The raw array of NumPy, CuPy or another library.
    device : str
        Where that is, as "cpu" or "cuda:0".
    grad : Tensor or None
        What `backward` has added up for a leaf.
    requires_grad : bool
        Whether operations on it are recorded.

    Raises
    ------
    TypeError
        If `data` holds what is not a number, or `requires_grad` is asked of a dtype that is not real floating-point.

    Notes
    -----
    Operators, indexing, functions of `weft` and methods of the same names do the same. A method that the array API has takes
    its arguments (`axis`, `keepdims`), one that only PyTorch has takes PyTorch's (`dim`). Called in PyTorch's words (`dim=`,
    `keepdim=`, `unbiased=`) the former do what PyTorch does: `x.max(dim=1)` gives values and indices. README has the table.

    NumPy's ufuncs are weft's on a Tensor: `np.sin(x)` is `weft.sin(x)`, recorded. What NumPy does on its own, as `np.stack` and
    `a += x` of its array, takes values, and raises where they would lose a gradient: `detach` first.

    While gradients are enabled a tensor is a *value* to everything that was recorded with it: `x += y` and `x[i] = v`
    give `x`, its views and what it is a view of a new array if either side is recorded or was recorded with, and work in place on
    memory otherwise. So the gradient stays right where PyTorch raises. What writes to memory all the same (under
    `no_grad`, by an optimizer's step, `load_state_dict`, `init`) makes a later `backward` that needs the old values
    raise; what writes to `data` itself is not seen. `detach` is no view: writing to it leaves recorded values alone.

    Examples
    --------
    >>> x = weft.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4., 6.])
    """

    __slots__ = ("__weakref__", "_depth", "_grad", "_kin", "_node", "_saved", "data", "device", "requires_grad")
    _is_weft_tensor = True  # told from raw arrays by those who know nothing of this class

    data: Any
    _grad: Tensor | None  # `grad`, which is looked at when it is assigned to
    _node: Any
    _kin: Any  # of a view, what it is of; of what has views, these by id: see `sharing.py`

    def __init__(self, data: Any, requires_grad: bool = False):
        given = data
        if isinstance(data, Tensor):
            data, self.device = innermost(data), data.device
        elif type(data) is np.ndarray:
            check_numeric(data, data)
            data = in_native_order(data)
            self.device = "cpu"
        else:
            self.device = device_of(data)
            if self.device == "cpu":
                data = from_python(data)
        self.data = data
        self._grad = None
        self.requires_grad = False
        self._node = self._kin = None
        self._depth = 0
        self._saved = False
        if requires_grad:
            self.requires_grad_()
        elif isinstance(given, Tensor) and given._node is None and not given._depth:
            self._is_also(given)

    # --- shape and type -----------------------------------------------------------------------------------------------
    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self.data.shape

    @property
    def dtype(self) -> np.dtype:
        """The NumPy dtype of the elements, whatever library holds them."""
        return dtypes.of(self.data)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.data.ndim

    @property
    def size(self) -> int:
        """The number of elements, as in NumPy (PyTorch's `size()` is `shape`)."""
        return self.data.size

    @property
    def is_leaf(self) -> bool:
        """True unless the tensor is the result of a recorded operation."""
        return self._node is None

    def numel(self) -> int:
        """The number of elements.

        Returns
        -------
        int
            As `size`.
        """
        return self.data.size

    def dim(self) -> int:
        """The number of axes.

        Returns
        -------
        int
            As `ndim`.
        """
        return self.data.ndim

    # --- the tape -----------------------------------------------------------------------------------------------------
    @property
    def grad(self) -> Tensor | None:
        """What `backward` has added up for a leaf, or None; what is assigned must be of the tensor's shape, dtype, device."""
        return self._grad

    @grad.setter
    def grad(self, grad: Tensor | None) -> None:
        self._set_grad(grad)

    def _set_grad(self, grad: Tensor | None) -> None:
        if grad is not None:
            if not isinstance(grad, Tensor):
                raise TypeError(f"`grad` must be a Tensor (weft.asarray makes one) or None, got {type(grad).__name__}")
            for what in "shape", "dtype", "device":
                if (found := getattr(grad, what)) != (own := getattr(self, what)):
                    error = TypeError if what == "dtype" else ValueError
                    raise error(f"`grad` must have the tensor's {what} {own}, got {found}; convert it first")
        self._grad = grad

    def detach(self) -> Tensor:
        """The same memory, off the tape.

        Returns
        -------
        Tensor
            One that does not require grad. What is written to it, this tensor has, too; but a recorded result keeps its
            values: writing to what was detached from it copies them first, except under `no_grad`.
        """
        data = self.data.detach() if isinstance(self.data, Tensor) else self.data
        out = wrap(data, self.device, self._depth)
        if self._node is None and not self._depth:
            out._is_also(self)
        else:
            out._saved = True
        return out

    def _is_also(self, other: Tensor) -> None:
        """Note that this is another's memory, without its history."""
        if type(other._kin) is Alias and (first := other._kin.root) is not None and first.data is other.data:
            other = first
        is_view = other._kin is not None and not isinstance(other._kin, dict)
        self._kin = Alias(other, is_view)
        if other._kin is None:
            other._kin = {}
        (other._kin.root._kin if is_view else other._kin)[id(self)] = weakref.ref(self)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Record operations on this tensor, or stop doing so.

        Parameters
        ----------
        requires_grad : bool, default True
            Which.

        Returns
        -------
        Tensor
            Itself.

        Raises
        ------
        TypeError
            If its dtype is not real floating-point.
        ValueError
            If it is the result of a recorded operation and shall stop: `detach` is for that.
        """
        if requires_grad and not dtypes.is_real_floating(self.dtype):
            raise TypeError(f"`requires_grad` needs a real floating-point dtype, got {self.dtype}")
        if self._node is not None and not requires_grad:
            raise ValueError(
                "`requires_grad` can only be cleared on a leaf; use .detach() to take a result off the tape"
            )
        self.requires_grad = requires_grad
        return self

    # --- other worlds -------------------------------------------------------------------------------------------------
    def numpy(self) -> np.ndarray:
        """The values as a NumPy array.

        Returns
        -------
        numpy.ndarray
            The very memory on a CPU, a copy of a GPU's, which is waited for.

        Raises
        ------
        RuntimeError
            If the tensor requires grad: it must be detached first.
        """
        if self.requires_grad:
            raise RuntimeError("`numpy` would lose the gradient of a tensor that requires grad: call .detach().numpy()")
        return devices.to_numpy(innermost(self))

    def item(self) -> Any:
        """The only element as a Python number.

        Returns
        -------
        bool, int, float or complex
            According to the dtype; a GPU is waited for.

        Raises
        ------
        ValueError
            If there is not exactly one element.
        """
        if self.data.size != 1:
            raise ValueError(f"`item` needs exactly one element, got shape {self.shape}")
        return devices.to_numpy(innermost(self)).item()

    def tolist(self) -> Any:
        """The values as Python numbers.

        Returns
        -------
        number or nested list of numbers
            As deep as there are axes; a GPU is waited for.
        """
        return devices.to_numpy(innermost(self)).tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self.requires_grad:
            raise RuntimeError(
                "`__array__` would lose the gradient of a tensor that requires grad: call .detach().numpy(), or a function "
                "of weft in the place of NumPy's"
            )
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __dlpack__(
        self, /, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: bool | None = None
    ) -> Any:
        if self.requires_grad:
            raise BufferError(
                "`__dlpack__` would lose the gradient of a tensor that requires grad: call .detach() first"
            )
        given = {"stream": stream, "max_version": max_version, "dl_device": dl_device, "copy": copy}
        return dlpack.exported(innermost(self), **{k: v for k, v in given.items() if v is not None})

    def __dlpack_device__(self) -> Any:
        return innermost(self).__dlpack_device__()

    def __array_namespace__(self, /, *, api_version: str | None = None) -> Any:
        if api_version is not None and api_version not in ("2021.12", "2022.12", "2023.12", "2024.12"):
            raise ValueError(f"`api_version` must be 2021.12 … 2024.12, got {api_version!r}")
        return sys.modules[__name__.split(".")[0]]

    def _only(self, what: str) -> Any:
        if self.data.size != 1:
            raise TypeError(f"`{what}` needs exactly one element, got shape {self.shape}")
        return self.item()

    def __bool__(self) -> bool:
        if self.data.size != 1:
            raise ValueError(
                f"the truth of a tensor needs exactly one element, got shape {self.shape}; use .any() or .all()"
            )
        return bool(self.item())

    def __float__(self) -> float:
        return float(self._only("float"))

    def __int__(self) -> int:
        return int(self._only("int"))

    def __index__(self) -> int:
        return operator.index(self._only("index"))

    def __complex__(self) -> complex:
        return complex(self._only("complex"))

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("`len` needs at least one axis, got a 0-d tensor")
        return self.shape[0]

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else repr(self)

    __hash__ = object.__hash__  # by identity: == compares elementwise

    def __deepcopy__(self, memo: dict) -> Tensor:
        other = type(self).__new__(type(self))
        other.__setstate__(self.__getstate__())
        memo[id(self)] = other
        return other

    def __getstate__(self) -> Any:
        if self._node is not None:
            raise RuntimeError("only leaves can be copied or pickled; call .detach() first")
        xp = devices.namespace_of(self.data)
        grad = None if self.grad is None else wrap(xp.asarray(self.grad.data, copy=True), self.device)
        return {
            "data": xp.asarray(self.data, copy=True),
            "device": self.device,
            "grad": grad,
            "requires_grad": self.requires_grad,
        }

    def __setstate__(self, state: Any) -> None:
        self.data, self.device, self._grad = state["data"], state["device"], state["grad"]
        self.requires_grad = state["requires_grad"]
        self._node, self._kin, self._depth, self._saved = None, None, 0, False

    def _repr_html_(self) -> str:
        values = np.array2string(devices.to_numpy(innermost(self)), separator=", ", threshold=200)
        notes = [f"shape {self.shape}", str(self.dtype), self.device]
        notes += [f"grad_fn {self._node.name}"] if self._node is not None else ["requires grad"] * self.requires_grad
        return f"<div>{markup.faint(', '.join([type(self).__name__, *notes]))}{markup.code(values)}</div>"

    def __repr__(self) -> str:
        body = np.array2string(devices.to_numpy(innermost(self)), separator=", ", prefix="tensor(", threshold=200)
        default = str(self.dtype) in (str(dtypes.get_default_dtype()), "int64", "bool")
        notes = [f"shape={self.shape}"] if not self.size and self.ndim > 1 else []
        notes += [] if default else [f"dtype={self.dtype}"]
        notes += [f"device='{self.device}'"] if self.device != "cpu" else []
        notes += ["requires_grad=True"] if self.requires_grad and self._node is None else []
        notes += [f"grad_fn={self._node.name}"] if self._node is not None else []
        return f"tensor({', '.join([body, *notes])})"


class Parameter(Tensor):
    """A leaf that a module learns.

    Parameters
    ----------
    data : array of any array-API library, Tensor, number or nested sequence of numbers
        Its first value; an array is kept, not copied.
    requires_grad : bool, default True
        False keeps it from being learnt.

    Notes
    -----
    An attribute of a `Module` that is a Parameter is found by `parameters()`. An optimizer may move `data`, and where its
    gradient goes, into its flat arena.

    Examples
    --------
    >>> weft.Parameter(weft.ones(2))
    Parameter containing:
    tensor([1., 1.], requires_grad=True)
    """

    __slots__ = ("_grad_tensor", "_grad_view", "_is_shown", "_place")

    _grad_view: Any  # where an optimizer wants the gradient
    _grad_tensor: Tensor | None  # the Tensor around it, for the next backward
    _is_shown: bool  # whether somebody has asked for it, and so may hold it still
    _place: (
        tuple[Any, int] | None
    )  # what rounds the whole arena to half precision, which part of it this is: see `autocast`

    def __init__(self, data: Any, requires_grad: bool = True):
        super().__init__(data, requires_grad)
        self._grad_view = self._grad_tensor = self._place = None
        self._is_shown = False

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self._grad_view = self._grad_tensor = self._place = None
        self._is_shown = False

    @property
    def grad(self) -> Tensor | None:
        """What `backward` has added up, or None; what is assigned must be of the parameter's shape, dtype and device."""
        self._is_shown = True
        return self._grad

    @grad.setter
    def grad(self, grad: Tensor | None) -> None:
        self._set_grad(grad)

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


class ValuesAndIndices(NamedTuple):
    """What PyTorch's `max`, `min` and `sort` return along an axis.

    Parameters
    ----------
    values : Tensor
        What was found.
    indices : Tensor
        Where it was, int64.

    Examples
    --------
    >>> values, indices = weft.tensor([[1.0, 3.0], [4.0, 2.0]]).max(dim=1)
    >>> indices
    tensor([1, 0])
    """

    values: Tensor
    indices: Tensor


def wrap(raw: Any, device: str, depth: int = 0, node: Any = None) -> Tensor:
    """A Tensor around a raw array, without checks or copies; on the tape, if a node has computed it."""
    if type(raw) is not _ndarray and isinstance(raw, np.generic):  # NumPy's reductions return scalars
        raw = np.asarray(raw)
    out = _new(Tensor)
    out.data = raw
    out.device = device
    out._grad = None
    out.requires_grad = node is not None
    out._node = node
    out._kin = None
    out._depth = depth
    out._saved = False
    return out


def innermost(x: Any) -> Any:
    """The raw array below any nesting of Tensors."""
    while isinstance(x, Tensor):
        x = x.data
    return x


def device_of(raw: Any) -> str:
    """Which device a raw array lives on ("cpu" for anything that is not a known library's array)."""
    if type(raw) is np.ndarray or isinstance(raw, np.generic | int | float | complex | list | tuple):
        return "cpu"
    if type(raw).__module__.startswith("cupy"):
        return f"cuda:{raw.device.id}"
    if hasattr(raw, "__array_namespace__"):
        space = raw.__array_namespace__()
        for name, opened in devices._opened.items():
            if opened is space:
                return name
        for name, opener in devices._openers.items():
            if name not in ("cpu", "cuda") and opener() is space:
                return name
    return "cpu"


def from_python(data: Any, dtype: Any = None) -> np.ndarray:
    """A NumPy array of Python numbers, sequences, or whatever NumPy can read; floats become the default dtype."""
    typed = isinstance(data, np.ndarray | np.generic) or hasattr(data, "__array__") or hasattr(data, "__dlpack__")
    if isinstance(data, list | tuple):
        data = _without_tensors(data)
    array = read_numeric(data, dtype)
    if dtype is not None:  # from what came: integers lose nothing on the way
        try:
            return np.asarray(data, dtype=dtype)
        except (TypeError, ValueError, OverflowError) as error:
            kind = next(kind for kind in (OverflowError, ValueError, TypeError) if isinstance(error, kind))
            raise kind(f"`tensor` needs numbers that {dtype} holds, got {str(data)[:60]}: {error}") from None
    if typed:
        return array
    if array.dtype == np.float64:
        holds_typed = isinstance(data, list | tuple) and any(isinstance(d, np.ndarray) for d in data)
        return array if holds_typed else array.astype(dtypes.get_default_dtype())
    if array.dtype == np.complex128:
        return array.astype(dtypes.default_complex())
    return array


def _without_tensors(data: Any) -> Any:
    if isinstance(data, Tensor):
        return data.tolist()
    if dlpack.is_foreign_bfloat16(data):
        return dlpack.Bits(data).as_array(np).astype(np.float32)
    if isinstance(data, np.ndarray):
        check_numeric(data, data)
    return [_without_tensors(d) for d in data] if isinstance(data, list | tuple) else data
