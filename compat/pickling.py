"""Writing data as a pickle that PyTorch reads with `weights_only=True`, instruction by instruction (protocol 2)."""

from __future__ import annotations

import pickle
from collections import Counter, OrderedDict
from typing import Any

import numpy as np

from ..backend.device.devices import is_array, to_numpy, waiting_is_meant
from ..backend.tape.tensor import Parameter, Tensor, innermost
from .pickled import MOST_BITS, Refused, hashable
from .torch_names import DTYPES, STORAGES

__all__ = ["Writer"]

_BY_DTYPE = {dtype: name for name, dtype in DTYPES.items()}
_TYPED = {dtype: name for name, dtype in STORAGES.items()}
DEEPEST = 200  # containers in containers


class Writer:
    """The instructions, and the storages that they name by their places in `storages`."""

    def __init__(self) -> None:
        self.storages: list[np.ndarray] = []
        self._out = bytearray(b"\x80\x02")
        self._known: dict[tuple, int] = {}
        self._held: list[np.ndarray] = []  # so that no address is given twice
        self._places: dict[int, int] = {}
        self._objects: list[Any] = []  # for the same reason

    def write(self, obj: Any) -> bytes:
        """The whole pickle."""
        with waiting_is_meant():
            self._write(obj, ())
        return bytes(self._out + b".")

    def _write(self, obj: Any, place: tuple) -> None:
        if len(place) > DEEPEST:
            raise TypeError(f"`obj` must be at most {DEEPEST} containers deep, and hold none of them in itself")
        if id(obj) in self._places:
            self._out += b"j" + self._places[id(obj)].to_bytes(4, "little")
        elif isinstance(obj, np.generic) and obj.dtype in _BY_DTYPE and obj.dtype.kind in "biufc":
            self._plain(obj.item())
        elif isinstance(obj, Tensor) or (is_array(obj) and not isinstance(obj, np.ma.MaskedArray)):
            self._array(obj, place)
            self._remember(obj)
        elif isinstance(obj, dict):
            self._dict(obj, place)
        elif isinstance(obj, list | tuple | set | frozenset):
            self._sequence(obj, place)
        elif isinstance(obj, np.dtype) and obj in _BY_DTYPE:
            self._name("torch", _BY_DTYPE[obj])
        elif obj is None or isinstance(obj, bool | int | float | complex | str | bytes):
            self._plain(obj)
        else:
            fix = "; save its state_dict()" if hasattr(obj, "state_dict") else ""
            where = "".join(f"[{key!r}]" for key in place)
            at = f" at {where}" if where else ""
            raise TypeError(
                f"`obj` must hold tensors, containers, numbers and strings alone, got a {type(obj).__name__}{at}{fix}"
            )

    def _remember(self, obj: Any) -> None:
        """What comes again is named by its place: strings' pickles have the first few of these to themselves."""
        self._places[id(obj)] = 1000 + len(self._objects)
        self._objects.append(obj)
        self._out += b"r" + self._places[id(obj)].to_bytes(4, "little")

    def _plain(self, value: Any) -> None:
        """A number or a string, as `pickle` writes it, without its first two bytes and its last."""
        plain = {int: int, str: str, float: float, bytes: bytes, complex: complex, bool: bool}
        kind = next((kind for kind in (bool, int, float, complex, str, bytes) if isinstance(value, kind)), None)
        made = value if kind is None else plain[kind](value)
        if isinstance(made, int) and made.bit_length() > MOST_BITS:
            raise TypeError(f"`obj` must hold integers of at most {MOST_BITS} bits, got one of {made.bit_length()}")
        if made == b"":  # `pickle` would call `bytes`, which PyTorch refuses
            self._name("_codecs", "encode")
            self._out += b"(X\x00\x00\x00\x00X\x06\x00\x00\x00latin1tR"
            return
        self._out += pickle.dumps(made, 2)[2:-1]

    def _name(self, module: str, name: str) -> None:
        self._out += f"c{module}\n{name}\n".encode()

    def _dict(self, obj: dict, place: tuple) -> None:
        if isinstance(obj, OrderedDict):
            self._name("collections", "OrderedDict")
            self._out += b")R"
        elif isinstance(obj, Counter):
            self._name("collections", "Counter")
            self._out += b"(}"
        else:
            self._out += b"}"
        if not isinstance(obj, Counter):
            self._remember(obj)
        self._out += b"("
        for given, value in obj.items():
            key = given.item() if isinstance(given, np.generic) else given
            try:
                hashable(key)
            except Refused:
                raise TypeError(
                    f"`obj` must have keys that are numbers, strings or tuples of such, got {key!r:.99}"
                ) from None
            self._write(key, (*place, key))
            self._write(value, (*place, key))
        self._out += b"utR" if isinstance(obj, Counter) else b"u"

    def _sequence(self, obj: Any, place: tuple) -> None:
        if isinstance(obj, set | frozenset):
            self._name("builtins", "set")
            self._out += b"("
        self._out += b"(" if isinstance(obj, tuple) else b"]"
        if isinstance(obj, list):
            self._remember(obj)
        self._out += b"" if isinstance(obj, tuple) else b"("
        for i, value in enumerate(obj):
            self._write(value, (*place, i))
        self._out += b"t" if isinstance(obj, tuple) else b"e"
        if isinstance(obj, set | frozenset):
            self._out += b"tR"

    def _array(self, obj: Any, place: tuple) -> None:
        array = np.asarray(to_numpy(innermost(obj) if isinstance(obj, Tensor) else obj))
        name = _BY_DTYPE.get(array.dtype.newbyteorder("="))
        if name is None:
            where = "".join(f"[{key!r}]" for key in place)
            raise TypeError(
                f"`obj` must hold tensors of dtypes that PyTorch has, got {array.dtype} at {where or 'its root'}"
            )
        is_parameter = isinstance(obj, Parameter)
        if is_parameter:
            self._name("torch._utils", "_rebuild_parameter")
            self._out += b"("
        self._tensor(array, name, isinstance(obj, Tensor) and obj.requires_grad and not is_parameter)
        if is_parameter:
            self._out += b"\x88" if obj.requires_grad else b"\x89"
            self._name("collections", "OrderedDict")
            self._out += b")RtR"

    def _tensor(self, array: np.ndarray, name: str, requires_grad: bool) -> None:
        typed = _TYPED.get(name)
        self._name("torch._utils", "_rebuild_tensor_v2" if typed else "_rebuild_tensor_v3")
        key, count = self._storage(array, name)
        self._out += b"((X\x07\x00\x00\x00storage"
        self._name("torch" if typed else "torch.storage", typed or "UntypedStorage")
        for part in (str(key), "cpu", count if typed else count * array.dtype.itemsize):
            self._plain(part)
        self._out += b"tQ"
        self._plain(0)
        strides = tuple(int(np.prod(array.shape[i + 1 :], dtype=np.int64)) for i in range(array.ndim))
        for numbers in (array.shape, strides):
            self._out += b"("
            for n in numbers:
                self._plain(n)
            self._out += b"t"
        self._out += b"\x88" if requires_grad else b"\x89"
        self._name("collections", "OrderedDict")
        self._out += b")R"
        if not typed:
            self._name("torch", name)
        self._out += b"tR"

    def _storage(self, array: np.ndarray, name: str) -> tuple[int, int]:
        """Its key, and how many elements it has: that of the same memory, where it was met before."""
        address = (array.ctypes.data, array.shape, array.strides, name)
        if address not in self._known or not array.size:
            self._known[address] = len(self.storages)
            self.storages.append(np.ascontiguousarray(array, DTYPES[name].newbyteorder("<")).reshape(-1))
            self._held.append(array)
        return self._known[address], array.size
