"""Arrays of the emulated device: NumPy's memory and functions under CuPy's rules.

What would go wrong with CuPy goes wrong here: host and device arrays do not mix, indexing and reductions give 0-d arrays
rather than numbers, numbers leave the device by `item` or `get` alone. And as on a GPU, work can be *captured*: within
`graph.capture`, operations are noted down instead of done; the graph that comes out does them, as often as it is launched,
on the memory that they were captured with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..toolchain.array_calls import COUNTING, IN_PLACE, IN_PLACE_METHODS, item
from .graph import CaptureError, Graph, current, is_capturing, mapped

__all__ = ["Array", "namespace"]


def on_wait() -> None:
    """Told each time the host waits for a value; to be replaced by whoever wants to know."""


class Array(np.ndarray):
    """An array in the emulated device's memory."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if any(hasattr(x, "__array_ufunc__") and not isinstance(x, np.ndarray | np.generic) for x in inputs):
            return NotImplemented
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        return _call(function, inputs, options, in_place=method == "at")

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        return _call(function, args, options, in_place=function in IN_PLACE)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return namespace

    def __getitem__(self, key: Any) -> Any:
        return _call(item, (self, _index(key)))  # a single element as a view, which CuPy gives, too

    def __setitem__(self, key: Any, value: Any) -> None:
        _call(np.ndarray.__setitem__, (self, _index(key), value), in_place=True)

    # --- what waits for the device ------------------------------------------------------------------------------------
    def get(self) -> np.ndarray:
        """A copy on the host."""
        _wait("get")
        return np.array(self.view(np.ndarray))

    def item(self, *index: Any) -> Any:
        _wait("item")
        return self.view(np.ndarray).item(*index)

    def tolist(self) -> Any:
        _wait("tolist")
        return self.view(np.ndarray).tolist()

    def __bool__(self) -> bool:
        _wait("bool")
        return bool(self.view(np.ndarray))

    def __int__(self) -> int:
        _wait("int")
        return int(self.view(np.ndarray))

    def __float__(self) -> float:
        _wait("float")
        return float(self.view(np.ndarray))

    def __complex__(self) -> complex:
        _wait("complex")
        return complex(self.view(np.ndarray))

    def __index__(self) -> int:
        _wait("index")
        return self.view(np.ndarray).__index__()


def _method(name: str, *, in_place: bool = False) -> Callable:
    function = getattr(np.ndarray, name)

    def method(self: Array, *args: Any, **options: Any) -> Any:
        return _call(function, (self, *args), options, in_place=in_place)

    return method


for _name in (
    "argmax",
    "argmin",
    "argsort",
    "astype",
    "copy",
    "cumprod",
    "cumsum",
    "diagonal",
    "dot",
    "flatten",
    "nonzero",
    "ravel",
    "repeat",
    "reshape",
    "round",
    "searchsorted",
    "squeeze",
    "swapaxes",
    "take",
    "trace",
    "transpose",
):
    setattr(Array, _name, _method(_name))
for _name in IN_PLACE_METHODS:
    setattr(Array, _name, _method(_name, in_place=True))

# The sizes of their results are known when they have been computed.
_COUNTING = COUNTING | {np.ndarray.nonzero}
_REPEATING = {np.repeat, np.ndarray.repeat}  # so are theirs, by counts on the device


def _index(key: Any) -> Any:
    """Lists and arrays of the host go to the device; how often a mask is true, the host waits for."""
    if isinstance(key, tuple):
        return tuple([_index(k) for k in key])
    if isinstance(key, list | np.ndarray):
        key = key if isinstance(key, Array) else namespace.asarray(key)
        if key.dtype == bool:
            _wait("a mask as an index")
    return key


# --- operations -------------------------------------------------------------------------------------------------------
def _call(function: Any, args: tuple, options: dict | None = None, *, in_place: bool = False) -> Any:
    """function(*args, **options) of NumPy, on memory of the device."""
    options = options or {}
    if function in _COUNTING or (function in _REPEATING and _has_counts(*args, **options)):
        _wait(function.__name__)
    raw_args, raw_options = _raw(args), _raw(options)
    given = options.get("out")  # an array, or of a ufunc a tuple with one or with None
    given = given[0] if isinstance(given, tuple) and len(given) == 1 else given
    graph = current()
    if graph is not None:
        return _record(graph, function, raw_args, raw_options, given, in_place)
    with np.errstate(all="ignore"):  # a GPU computes infinities and NaN without a word
        result = function(*raw_args, **raw_options)
    return _as_arrays(result, Array) if given is None else given


def _has_counts(x: Any, repeats: Any, *args: Any, **options: Any) -> bool:
    return isinstance(repeats, Array)


def _record(graph: Graph, function: Any, args: tuple, options: dict, given: Any, in_place: bool) -> Any:
    def operation(args: tuple, options: dict) -> Any:
        return function(*args, **options)

    if in_place or given is not None:
        graph.add(operation, args, options)
        return given
    with np.errstate(all="ignore"):
        result = _as_arrays(
            operation(args, options)
        )  # for shapes and dtypes: what it is computed from is not there yet
    memory, results = _arrays((args, tuple(options.values()))), _arrays(result)
    # The others are views, or empty: those share no memory, and a broadcast one is read-only.
    made = {i: r for i, r in enumerate(results) if r.size and not any(np.may_share_memory(r, m) for m in memory)}
    for array in made.values():
        array[...] = np.zeros((), array.dtype)
        graph.owns(array)

    def again(args: tuple, options: dict) -> None:
        values = _arrays(_as_arrays(operation(args, options)))
        for i, to in made.items():
            np.copyto(to, values[i])

    if made:
        graph.add(again, args, options)
    return _as_arrays(result, Array)


def _wait(name: str) -> None:
    on_wait()
    if is_capturing():
        raise CaptureError(f"it reads a value on the host (`{name}`), for which it would have to wait")


def _raw(x: Any) -> Any:
    """Arrays of the device as NumPy's, whatever they are inside of; TypeError for arrays of the host."""
    return mapped(_raw_array, x)


def _raw_array(x: np.ndarray) -> np.ndarray:
    if isinstance(x, Array):
        return x.view(np.ndarray)
    raise TypeError(f"arrays of the host and of the device do not mix: got {type(x)} of shape {x.shape}; copy it first")


def _as_arrays(x: Any, kind: type = np.ndarray) -> Any:
    """What NumPy returns, its scalars as 0-d arrays, all of one kind."""
    if isinstance(x, np.ndarray | np.generic):
        return np.asarray(x).view(kind)
    if isinstance(x, tuple):
        parts = [_as_arrays(y, kind) for y in x]
        return type(x)(*parts) if hasattr(x, "_fields") else tuple(parts)
    return [_as_arrays(y, kind) for y in x] if isinstance(x, list) else x


def _arrays(x: Any) -> list[np.ndarray]:
    if isinstance(x, np.ndarray):
        return [x]
    return [a for y in x for a in _arrays(y)] if isinstance(x, tuple | list) else []


class _Namespace:
    """NumPy's functions for arrays of the device, as `cupy` has them: those that make arrays make them there."""

    _FROM_HOST = ("array", "asarray", "from_dlpack")
    _MAKERS = ("arange", "empty", "eye", "full", "identity", "linspace", "ones", "tri", "zeros", "ascontiguousarray",
               "asanyarray", "asfortranarray", "indices", "meshgrid")  # fmt: skip

    def __getattr__(self, name: str) -> Any:
        found = getattr(np, name)
        if name in self._FROM_HOST or name in self._MAKERS:
            found = self._maker(found, name in self._FROM_HOST)
        self.__dict__[name] = found
        return found

    @staticmethod
    def _maker(function: Callable, from_host: bool) -> Callable:
        def make(*args: Any, **options: Any) -> Any:
            if from_host and args and not isinstance(args[0], Array):
                if is_capturing():
                    raise CaptureError("it copies from the host: pass that as an argument, or copy it before")
                return np.array(args[0], dtype=options.get("dtype")).view(Array)
            return _call(function, args, options)

        return make


namespace: Any = _Namespace()
