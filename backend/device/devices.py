"""Devices are strings ("cpu", "cuda", "cuda:1", "emulator"); each names an array-API namespace that does the work.

Nothing here imports CuPy until a CUDA device has been asked for; what opens one is in `backend/cuda`.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ContextDecorator, contextmanager
from types import ModuleType
from typing import Any, Self

import numpy as np

from . import faults

__all__ = [
    "DeviceError",
    "device",
    "devices",
    "existing",
    "get_default_device",
    "get_sync_debug_mode",
    "gpu",
    "is_array",
    "namespace",
    "namespace_of",
    "note_waiting",
    "register_array",
    "register_device",
    "register_opener",
    "select",
    "set_default_device",
    "set_sync_debug_mode",
    "synchronize",
    "to_numpy",
    "waiting_is_meant",
]


class DeviceError(RuntimeError):
    """A device that is unknown, that this machine does not have, or that is not the GPU in use.

    Examples
    --------
    >>> weft.ones(2, device="abacus")
    Traceback (most recent call last):
        ...
    weft.backend.device.devices.DeviceError: `device` must be one of ..., got 'abacus'
    """


# How a device is opened when it is first asked for; `backend/cuda` adds those that run our kernels.
_openers: dict[str, Callable[[], Any]] = {"cpu": lambda: np}
_opened: dict[str, Any] = {"cpu": np}
_namespace_of_type: dict[type, Any] = {np.ndarray: np}


def register_device(name: str, namespace: ModuleType) -> None:
    """Plug in any array-API library as a device.

    Afterwards `weft.asarray(x, device=name)` and every layer run on it, in their generic forms.

    Parameters
    ----------
    name : str
        What the device shall be called.
    namespace : module
        The library, as `array_api_strict`: a namespace of the array API standard.

    Raises
    ------
    ValueError
        If `name` is empty or holds a colon, which stands before an index.
    TypeError
        If `name` is no str, or `namespace` cannot make arrays.

    Examples
    --------
    >>> import array_api_strict
    >>> weft.register_device("strict", array_api_strict)
    >>> weft.ones(2, device="strict").sum()
    tensor(2., device='strict')
    """
    if not isinstance(name, str):
        raise TypeError(f"`name` must be a str, got {name!r:.80}")
    if not name or ":" in name:
        raise ValueError(f"`name` must be a word without a colon, got {name!r}")
    if not hasattr(namespace, "asarray"):
        raise TypeError(f"`namespace` must be one of the array API standard, with `asarray`, got {namespace!r:.80}")
    register_opener(name, lambda: namespace)


def register_opener(name: str, opener: Callable[[], Any]) -> None:
    """Have `opener` called for the namespace of a device when it is first asked for; it raises DeviceError if there is none."""
    _openers[name] = opener
    _opened.pop(name, None)


def register_array(kind: type, namespace: Any) -> Any:
    """Have a type of raw arrays computed with by `namespace`, which is returned."""
    _namespace_of_type[kind] = namespace
    return namespace


def kind(name: str) -> str:
    """ "cuda:1" → "cuda"."""
    return name.partition(":")[0]


def canonical(name: str | None) -> str:
    """The full name of a device to work on, or a DeviceError that says what to do; None is the default device."""
    if name is None:
        return get_default_device()
    if name == "cpu":
        return "cpu"
    found = existing(name)
    if kind(found) == "cuda" and found != (current := f"cuda:{_current_gpu()}"):
        raise DeviceError(
            f"`device` must be the GPU in use, {current!r}, got {name!r}: CuPy works on one at a time; "
            f"weft.set_default_device({found!r}), or a block `with weft.device({found!r}):`, makes that the one in use"
        )
    return found


def select(name: str) -> str:
    """The full name of a device that exists; should it be a GPU, CuPy works on that one from now on, in this thread."""
    found = existing(name)
    if kind(found) == "cuda":
        gpu(found).use()
    return found


def gpu(name: str) -> Any:
    """The `cupy.cuda.Device` of "cuda:…", a new one each time: as a context, two threads must not share one."""
    import cupy

    return cupy.cuda.Device(int(name.partition(":")[2] or 0))


def _current_gpu() -> int:
    import cupy

    return cupy.cuda.runtime.getDevice()


def existing_kind(name: str) -> str:
    """The kind of a device, or a DeviceError that says which there are."""
    if not isinstance(name, str) or kind(name) not in _openers:
        raise DeviceError(f"`device` must be one of {sorted(_openers)} (with an index as in 'cuda:1'), got {name!r}")
    return kind(name)


def existing(name: str | None) -> str:
    """The full name of a device that exists, be it in use or not; "cuda" is the GPU in use, None the default device."""
    if name is None:
        return get_default_device()
    name = str(name) if isinstance(name, str) else name  # no `device`: names of tensors' devices are plain
    namespace(existing_kind(name))
    if kind(name) != "cuda":
        if name != kind(name):
            raise DeviceError(f"`device` takes an index for cuda alone, got {name!r}")
        return name
    import cupy

    count, index = cupy.cuda.runtime.getDeviceCount(), name.partition(":")[2] or str(_current_gpu())
    if not index.isdigit() or int(index) >= count:
        raise DeviceError(f"`device` must be cuda:0 … cuda:{count - 1} on this machine, got {name!r}")
    return f"cuda:{int(index)}"


def namespace(name: str) -> Any:
    """The array-API namespace that computes on this device (numpy for "cpu")."""
    found = _opened.get(name)
    if found is None:
        family = kind(name)
        if family not in _openers:
            raise DeviceError(f"`device` must be one of {sorted(_openers)}, got {name!r}")
        found = _opened[name] = _openers[name]() if name == family else namespace(family)
    return found


def namespace_of(array: Any) -> Any:
    """The array-API namespace of a raw array; for Tensors it is `weft` itself, which is how derivatives nest."""
    cls = type(array)
    found = _namespace_of_type.get(cls)
    if found is None:
        if hasattr(cls, "_is_weft_tensor"):
            return _of_tensors(array.device)
        from array_api_compat import array_namespace

        found = _namespace_of_type[cls] = np if isinstance(array, np.ndarray | np.generic) else array_namespace(array)
    return found


def is_array(x: Any) -> bool:
    """Whether x is an array of a library that the array API speaks for. CuPy's have no `__array_namespace__` to tell."""
    from array_api_compat import is_array_api_obj

    return bool(is_array_api_obj(x))


class _OfTensors:
    """`weft` as the namespace of tensors on one device: what it creates, it creates there."""

    _MAKERS = ("arange", "asarray", "empty", "eye", "full", "linspace", "ones", "zeros")

    def __init__(self, device: str):
        self._device = device

    def __getattr__(self, name: str) -> Any:
        found = getattr(sys.modules[__name__.split(".")[0]], name)
        if name in self._MAKERS:
            found = functools.partial(found, device=self._device)
        setattr(self, name, found)
        return found


_of_tensors = functools.cache(_OfTensors)


def to_numpy(array: Any) -> np.ndarray:
    """Copy a raw array to the host (a NumPy array is returned as it is)."""
    if hasattr(array, "get"):  # CuPy, or the emulator, which tells `note_waiting` itself
        if not isinstance(array, np.ndarray):
            note_waiting()
        return array.get()
    if isinstance(array, np.ndarray):
        return array
    return np.asarray(array)


_sync_debug_mode = ["default"]


def set_sync_debug_mode(debug_mode: str) -> None:
    """Choose what happens where the host waits for a GPU (or the emulator) to read a value.

    Training that never waits keeps the GPU busy. `.item()`, `.numpy()`, printing and `if tensor:` are what waits;
    `weft.synchronize()` is asked for, and no mistake. CPU tensors are there already. Where `Trainer` and its callbacks wait
    by design, seldom, they say so, and it passes. As `torch.cuda.set_sync_debug_mode`. Where a wait passes, it is also said
    (IndexError) whether a loss or an embedding has met a class or an index that is none.

    Parameters
    ----------
    debug_mode : {"default", "warn", "error"}
        Nothing; a RuntimeWarning; a RuntimeError.

    Raises
    ------
    ValueError
        If `debug_mode` is none of these.

    Examples
    --------
    >>> weft.set_sync_debug_mode("error")
    >>> weft.get_sync_debug_mode()
    'error'
    >>> weft.set_sync_debug_mode("default")
    """
    if debug_mode not in ("default", "warn", "error"):
        raise ValueError(f"`debug_mode` must be 'default', 'warn' or 'error', got {debug_mode!r}")
    _sync_debug_mode[0] = debug_mode


def get_sync_debug_mode() -> str:
    """What `set_sync_debug_mode` has chosen.

    Returns
    -------
    str
        "default" unless it was called, "warn" or "error".

    Examples
    --------
    >>> weft.get_sync_debug_mode()
    'default'
    """
    return _sync_debug_mode[0]


class _Waiting(threading.local):
    is_meant = False


_waiting = _Waiting()


@contextmanager
def waiting_is_meant() -> Iterator[None]:
    """For what has to wait for the device, and does so seldom: `set_sync_debug_mode` lets it pass within the block."""
    before, _waiting.is_meant = _waiting.is_meant, True
    try:
        yield
    finally:
        _waiting.is_meant = before


def note_waiting() -> None:
    """Warn or raise, as `set_sync_debug_mode` has it: the host is about to wait for the device."""
    mode = _sync_debug_mode[0]
    if _waiting.is_meant or mode != "error":
        faults.tell()
    if _waiting.is_meant or mode == "default":
        return
    message = "the host waits here for a value from the device; keep it there, or read it less often"
    if mode == "error":
        raise RuntimeError(f"{message} (weft.set_sync_debug_mode is 'error')")
    warnings.warn(message, RuntimeWarning, stacklevel=4)


class _Default(threading.local):
    name: str | None = None

    def __init__(self) -> None:
        self.before: list[tuple[str | None, str | None]] = []  # what blocks within blocks go back to


_default = _Default()
_process_default: list[str | None] = [None]


def get_default_device() -> str:
    """The device of new tensors in this thread.

    Returns
    -------
    str
        The innermost `with weft.device(...)`, else `set_default_device`, else the environment variable WEFT_DEVICE, else
        "cpu".

    Raises
    ------
    DeviceError
        If WEFT_DEVICE names none that is here.

    Examples
    --------
    >>> with weft.device("cpu"):
    ...     weft.get_default_device()
    'cpu'
    """
    return _default.name or _process_default[0] or _from_environment()


def _from_environment() -> str:
    name = os.environ.get("WEFT_DEVICE") or "cpu"
    _process_default[0] = "cpu"  # while `select` looks: it must not ask again
    try:
        found = _process_default[0] = select(name)
    except DeviceError as error:
        _process_default[0] = None
        raise DeviceError(f"WEFT_DEVICE={name}: {error}") from None
    return found


def set_default_device(name: str) -> None:
    """Choose the device of all tensors created from now on without a `device=` of their own, in all threads.

    Parameters
    ----------
    name : str
        A device that is here. One of several GPUs becomes the one in use: tensors on another must wait until that is
        selected again.

    Raises
    ------
    DeviceError
        If there is no such device.

    Examples
    --------
    >>> weft.set_default_device(weft.get_default_device())
    """
    _process_default[0] = select(name)


class device(str, ContextDecorator):
    """The name of a device: a string that is checked, with PyTorch's `type` and `index`.

    `with weft.device("cuda"):` creates tensors on that device inside the block (this thread only).

    Parameters
    ----------
    name : str
        A kind of device, with or without an index. Whether this machine has it is seen when it is used.
    index : int, optional
        The index, where the name has none.

    Raises
    ------
    DeviceError
        If there is no such kind of device.

    Examples
    --------
    >>> weft.device("cuda", 1), weft.device("cuda:1").index
    (device('cuda:1'), 1)
    >>> weft.ones(2).to(weft.device("cpu")).device
    'cpu'
    """

    def __new__(cls, name: str, index: int | None = None) -> Self:
        if isinstance(name, str) and index is not None and ":" not in name:
            name = f"{name}:{index}"
        found = existing_kind(name)
        _, colon, number = name.partition(":")
        if colon and (found != "cuda" or not number.isdigit()):
            raise DeviceError(f"`device` takes an index for cuda alone, as in 'cuda:1', got {name!r}")
        return super().__new__(cls, name)

    @property
    def type(self) -> str:
        """The kind of device, without an index."""
        return kind(self)

    @property
    def index(self) -> int | None:  # type: ignore[override]
        """The index, or None."""
        return int(self.partition(":")[2]) if ":" in self else None

    def __repr__(self) -> str:
        return f"device({str(self)!r})"

    def __enter__(self) -> str:
        name = existing(self)
        before_gpu = f"cuda:{_current_gpu()}" if kind(name) == "cuda" else None
        selected = select(name)
        _default.before.append((_default.name, before_gpu))
        _default.name = selected
        return name

    def __exit__(self, *raised: object) -> None:
        _default.name, before_gpu = _default.before.pop()
        if before_gpu is not None:
            select(before_gpu)


def devices() -> list[str]:
    """Names of the devices that work here.

    Returns
    -------
    list of str
        "cpu"; "cuda:0", … for each GPU; "emulator" where there is a C++ compiler; what `register_device` has added.

    Examples
    --------
    >>> "cpu" in weft.devices()
    True
    """
    found = []
    for name in _openers:
        try:
            found.append(existing(name))
        except DeviceError:
            continue
        if name == "cuda":
            import cupy

            found[-1:] = [f"cuda:{i}" for i in range(cupy.cuda.runtime.getDeviceCount())]
    return found


def synchronize(name: str | None = None) -> None:
    """Wait until a device has finished what was asked of it, on all streams.

    Parameters
    ----------
    name : str, optional
        Which; the default device if None. A CPU has always finished.

    Raises
    ------
    DeviceError
        If there is no such device.
    IndexError
        If a loss or an embedding has met, on any device, a class or an index that is none, and nobody has said so yet.

    Examples
    --------
    >>> weft.synchronize("cpu")
    """
    name = existing(name)
    if kind(name) == "cuda":
        gpu(name).synchronize()
    faults.tell()
