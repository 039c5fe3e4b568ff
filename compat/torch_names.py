"""What stands for PyTorch's names in its checkpoints: storages, what makes tensors of them, dtypes, and a few containers."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from typing import Any

import ml_dtypes
import numpy as np

from ..backend.tape.tensor import Parameter, Tensor
from .pickled import Refused, Restored, hashable

__all__ = ["DTYPES", "MEANS", "NAMES", "STORAGES", "Storage", "dtype_of_storage"]

DTYPES: dict[str, np.dtype] = {
    name: np.dtype(dtype)
    for name, dtype in {
        "float32": "f4", "float64": "f8", "float16": "f2", "bfloat16": ml_dtypes.bfloat16, "int64": "i8", "int32": "i4",
        "int16": "i2", "int8": "i1", "uint8": "u1", "uint16": "u2", "uint32": "u4", "uint64": "u8", "bool": bool,
        "complex64": "c8", "complex128": "c16", "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
        "float8_e5m2": ml_dtypes.float8_e5m2, "float8_e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
        "float8_e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
    }.items()
}  # fmt: skip
STORAGES = {
    "FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8",
    "BoolStorage": "bool", "ComplexFloatStorage": "complex64", "ComplexDoubleStorage": "complex128",
}  # fmt: skip
MOST_REPEATED = 1 << 26  # elements that a tensor may have beyond those of its storage, by strides of 0


class Storage:
    """Memory that tensors share, of one dtype, or of bytes (the dtype of UntypedStorage)."""

    def __init__(self, content: np.ndarray, dtype: np.dtype, is_big: bool):
        self.content, self.dtype = content, dtype
        self._swap = is_big
        if dtype.itemsize > 1:
            self._swap_to(dtype)

    def _swap_to(self, dtype: np.dtype) -> None:
        """In this machine's order, once the size of an element is known."""
        if self._swap:
            half = dtype.itemsize // 2 if dtype.kind == "c" else dtype.itemsize
            self.content = np.ascontiguousarray(self.content.reshape(-1, half)[:, ::-1]).reshape(-1)
            self._swap = False

    def tensor(self, dtype: np.dtype, offset: Any, size: Any, stride: Any) -> np.ndarray:
        """The view of `size` elements, `stride` apart, from `offset` on."""
        numbers = (offset, *size, *stride)
        if len(size) != len(stride) or not all(type(n) is int and n >= 0 for n in numbers) or len(size) > 64:
            raise Refused("a tensor whose size and strides are none")
        if dtype.itemsize > 1:
            self._swap_to(dtype)
        held = self.content[: self.content.size // dtype.itemsize * dtype.itemsize].view(dtype)
        count = math.prod(size)
        end = offset + sum((n - 1) * s for n, s in zip(size, stride)) + 1
        if count and (end > held.size or count > held.size + MOST_REPEATED):
            raise Refused(f"a tensor of {count} elements up to place {end} in a storage of {held.size}")
        if not count:
            return np.empty(size, dtype)
        if dtype == np.bool_ and self.content.max(initial=0) > 1:
            raise Refused("bytes that are neither true nor false")
        steps = [s * dtype.itemsize for s in stride]
        return np.ndarray(size, dtype, self.content, offset * dtype.itemsize, steps)


def dtype_of_storage(kind: Any) -> np.dtype:
    """What a storage holds by its type, as the table has it."""
    if not isinstance(kind, _StorageType):
        raise Refused("a storage of no type")
    return kind.dtype


class _StorageType:
    def __init__(self, dtype: np.dtype):
        self.dtype = dtype


class _Dict(OrderedDict, Restored):  # type: ignore[type-arg]
    """Ordered, with the versions of modules beside it, as a state dict has them."""

    def restore(self, state: Any) -> None:
        if not isinstance(state, dict) or set(state) != {"_metadata"}:
            raise Refused("the state of an OrderedDict")
        self._metadata = state["_metadata"]


def _ordered_dict(pairs: Any = ()) -> OrderedDict[Any, Any]:
    return _Dict((hashable(key), value) for key, value in pairs)


def _counter(counts: Any = ()) -> Counter[Any]:
    if not isinstance(counts, dict):
        raise Refused("a Counter of something else")
    return Counter(counts)


def _tensor(
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    requires_grad: Any = False,
    hooks: Any = None,
    metadata: Any = None,
) -> Tensor:
    """Views that are conjugated or negated say so in their metadata."""
    if not isinstance(storage, Storage):
        raise Refused("a tensor without a storage")
    known = {"conj": lambda x: x.conj(), "neg": lambda x: -x}
    marks = {} if metadata is None else metadata
    if not isinstance(marks, dict) or not all(key in known for key in marks):
        raise Refused(f"a tensor with metadata other than {', '.join(known)}")
    found = _of(storage, storage.dtype, offset, size, stride, False)
    for key, function in known.items():
        if marks.get(key) is True:
            found = Tensor(function(found.data))
    return found.requires_grad_() if requires_grad is True else found


def _tensor_of_bytes(
    storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, dtype: Any, *_: Any
) -> Tensor:
    if not isinstance(storage, Storage) or not isinstance(dtype, np.dtype):
        raise Refused("a tensor without a storage")
    return _of(storage, dtype, offset, size, stride, requires_grad)


def _of(storage: Storage, dtype: np.dtype, offset: Any, size: Any, stride: Any, requires_grad: Any) -> Tensor:
    if not isinstance(size, tuple) or not isinstance(stride, tuple):
        raise Refused("a tensor whose size and strides are none")
    found = Tensor(storage.tensor(dtype, offset, size, stride))
    return found.requires_grad_() if requires_grad is True else found


def _parameter(data: Any, requires_grad: Any = True, *_: Any) -> Parameter:
    if not isinstance(data, Tensor):
        raise Refused("a Parameter of something else")
    return Parameter(data.data, requires_grad=requires_grad is True)


def _size(lengths: Any = ()) -> tuple[int, ...]:
    if not isinstance(lengths, tuple) or not all(type(n) is int for n in lengths):
        raise Refused("a torch.Size of something else")
    return lengths


def _device(kind: Any, index: Any = None) -> str:
    if not isinstance(kind, str) or not isinstance(index, int | None):
        raise Refused("a torch.device of something else")
    return kind if index is None else f"{kind}:{index}"


def _set(values: Any = ()) -> set[Any]:
    return set(map(hashable, values))


def _complex(real: Any, imaginary: Any) -> complex:
    return complex(float(real), float(imaginary))


def _encode(text: Any, encoding: Any) -> bytes:
    """How bytes are written by old protocols."""
    if not isinstance(text, str) or encoding != "latin1":
        raise Refused("an encoding of something else")
    return text.encode("latin1")


class _Scalar(Restored):
    """NumPy's dtype, whose state says in what order the bytes are."""

    def __init__(self, code: Any, *_: Any):
        if not isinstance(code, str) or not 1 < len(code) <= 3 or code[0] not in "fiub":
            raise Refused("a NumPy dtype of other things than numbers")
        self.dtype = np.dtype(code)

    def restore(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] == ">":
            self.dtype = self.dtype.newbyteorder(">")


def _scalar(dtype: Any, content: Any) -> Any:
    if not isinstance(dtype, _Scalar) or not isinstance(content, bytes) or len(content) != dtype.dtype.itemsize:
        raise Refused("a NumPy number of something else")
    return np.frombuffer(content, dtype.dtype)[0]


def _nothing(*_: Any) -> None:
    return None


NAMES: dict[str, Any] = {
    "collections.OrderedDict": _ordered_dict,
    "collections.Counter": _counter,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_bytes,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.Size": _size,
    "torch.device": _device,
    "torch.serialization._get_layout": _nothing,
    "torch.storage.UntypedStorage": _StorageType(np.dtype(np.uint8)),
    "torch.UntypedStorage": _StorageType(np.dtype(np.uint8)),
    "_codecs.encode": _encode,
    **{f"torch.{name}": _StorageType(DTYPES[dtype]) for name, dtype in STORAGES.items()},
    **{f"torch.{name}": dtype for name, dtype in DTYPES.items()},
    **{f"{module}.{name}": made for module in ("builtins", "__builtin__")
       for name, made in {"set": _set, "complex": _complex}.items()},
    **{f"{module}.multiarray.scalar": _scalar for module in ("numpy.core", "numpy._core")},
    "numpy.dtype": _Scalar,
}  # fmt: skip

# What only serves to make tensors and numbers.
MEANS = (Storage, _StorageType, _Scalar)
