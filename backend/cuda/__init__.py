"""Hand-written kernels in the place of primitives, on "cuda" and in the emulator alike.

They are imported when such a device is first asked for, and not before. What a kernel cannot do (float64, an unusual
layout) it hands back with NotImplemented, and the generic form runs.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

from ..device import devices, faults, memory
from ..device.devices import DeviceError

__all__ = ["replaces"]

F = TypeVar("F", bound=Callable[..., Any])


def replaces(primitive: Any) -> Callable[[F], F]:
    """Register a function in the place of a primitive, on every device that runs our kernels.

    Parameters
    ----------
    primitive
        What `primitive` has returned.

    Returns
    -------
    callable
        A decorator. The function that it takes has the signature of the primitive's generic form, without `xp`, and returns
        what that does, or NotImplemented for inputs that it does not cover. It comes back as it is.
    """

    def register(implementation: F) -> F:
        for device in ("cuda", "emulator"):
            primitive.on(device)(implementation)
        return implementation

    return register


def _load_replacements() -> None:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f".{module.name}", __name__)


def _open_cuda() -> Any:
    """CuPy's namespace, for a machine with a GPU."""
    if sys.platform == "darwin":
        raise DeviceError(
            "`cuda` needs an NVIDIA GPU and its driver, and there is no CUDA for macOS; `cpu` is for every machine"
        )
    try:
        import ml_dtypes  # noqa: I001  (CuPy registers bfloat16 only if it is imported first)
        import cupy
    except ImportError as error:
        raise DeviceError(
            f'`cuda` needs CuPy, which could not be imported ({error}): pip install "weft[cuda]"'
        ) from None
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError(f"`cuda` needs an NVIDIA GPU and its driver; {_driver_trouble(cupy, error)}") from None
    if count == 0:
        raise DeviceError("`cuda` needs an NVIDIA GPU; the driver reports none")
    import array_api_compat.cupy

    from ...kernels import indices
    from ...kernels.toolchain import compiler
    from ..device.cupy_namespace import CupyNamespace
    from ..nn import loss

    _load_replacements()
    loss.noted[cupy.ndarray] = indices.note
    faults.register("cuda", lambda: [fault for gpu in range(count) for fault in indices.take(gpu)])
    memory.explain_exhaustion()
    return devices.register_array(cupy.ndarray, CupyNamespace(array_api_compat.cupy))


def _driver_trouble(cupy: ModuleType, error: Exception) -> str:
    runtime = cupy.cuda.runtime
    supported, needed = runtime.driverGetVersion(), runtime.runtimeGetVersion() // 1000
    if supported == 0:
        return "no driver is installed: see nvidia.com/drivers"
    if supported // 1000 < needed:
        return (
            f"CuPy is built for CUDA {needed} and the driver supports CUDA {supported // 1000}.{supported % 1000 // 10}: "
            "update the driver"
        )
    return f"the driver says: {error}"


def _open_emulator() -> Any:
    """The emulator's namespace, for a machine with a C++ compiler."""
    from ...kernels import indices
    from ...kernels.emulator import Array, EmulatorError, array, build, is_capturing, namespace
    from ..nn import loss

    try:
        build.compiler()
    except EmulatorError as error:
        raise DeviceError(str(error)) from None
    _load_replacements()
    array.on_wait = devices.note_waiting
    loss.noted[Array] = indices.note
    faults.register("emulator", lambda: indices.take(None))
    loss.readable[Array] = lambda x: None if is_capturing() else x.view(np.ndarray)
    return devices.register_array(Array, namespace)


devices.register_opener("cuda", _open_cuda)
devices.register_opener("emulator", _open_emulator)
