"""Functions of PyTorch's about seeds, threads, settings and kinds of tensors; and those that change nothing here."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ... import optimizers
from ...backend.array import creation, random
from ...backend.device import determinism, devices, dtypes, gemm, parallel
from ...backend.modes.autocast import is_autocast_enabled
from ...backend.tape.autograd import is_grad_enabled
from ...backend.tape.tensor import Tensor, wrap
from .dtypes import DTYPES, TYPES, named, promote_types
from .making import tensor, with_options

__all__ = ["FUNCTIONS", "OutOfMemory", "fork_rng", "get_rng_state", "hub_folder", "nothing", "set_rng_state"]


class OutOfMemory(RuntimeError):
    """`torch.OutOfMemoryError`, for programs that catch it."""


def hub_folder() -> str:
    """Where `torch.hub` keeps what it has downloaded.

    Returns
    -------
    str
        `hub` in the folder that `TORCH_HOME` names, else in the user's cache.
    """
    return str(Path(os.environ.get("TORCH_HOME", Path.home() / ".cache" / "torch")) / "hub")


def nothing(*_args: Any, **_options: Any) -> None:
    """A setting that changes nothing here.

    Parameters
    ----------
    *_args, **_options : object
        What PyTorch takes.
    """


def get_rng_state(device: Any = None) -> Tensor:
    """What the default generator will draw, as bytes.

    Parameters
    ----------
    device : str, optional
        PyTorch's: there is one generator for all.

    Returns
    -------
    Tensor
        uint8, for `set_rng_state` of this library alone.
    """
    text = json.dumps({k: int(v) for k, v in random.default_generator.get_state().items()}).encode()
    return wrap(np.frombuffer(text, np.uint8).copy(), "cpu")


def set_rng_state(new_state: Tensor, device: Any = None) -> None:
    """Have the default generator draw again what it drew after a state was taken.

    Parameters
    ----------
    new_state : Tensor
        From `get_rng_state`.
    device : str, optional
        PyTorch's: there is one generator for all.

    Raises
    ------
    RuntimeError
        If it is not such a state, as one of PyTorch's own.
    """
    try:
        random.default_generator.set_state(json.loads(bytes(new_state.cpu().numpy().tolist())))
    except (ValueError, TypeError, KeyError):
        raise RuntimeError(
            "`new_state` must be from this library's get_rng_state(), got another generator's; seed it: manual_seed(…)"
        ) from None


@contextlib.contextmanager
def fork_rng(*_args: Any, enabled: bool = True, **_options: Any) -> Any:
    """Within the block, draws are not counted.

    Parameters
    ----------
    *_args, **_options : object
        PyTorch's, which change nothing.
    enabled : bool, default True
        Whether this does anything.

    Yields
    ------
    None
        Nothing.
    """
    state = random.default_generator.get_state()
    yield
    if enabled:
        random.default_generator.set_state(state)


def _asarray(
    obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None, requires_grad: bool = False
) -> Tensor:
    if isinstance(obj, list | tuple):
        obj = tensor(obj, dtype=dtype, device=device)
    made = creation.asarray(obj, dtype=None if dtype is None else np.dtype(dtype), device=device, copy=copy)
    return made.requires_grad_() if requires_grad else made


def _frombuffer(buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    made = wrap(np.frombuffer(buffer, np.dtype(dtype), count, offset), "cpu")
    return made.requires_grad_() if requires_grad else made


def _seed() -> int:
    drawn = int(np.random.SeedSequence().entropy % 2**63)  # type: ignore[operator, arg-type]
    random.manual_seed(drawn)
    return drawn


def _set_default_tensor_type(kind: Any) -> None:
    name = str(getattr(kind, "__name__", kind)).rpartition(".")[2]
    dtypes.set_default_dtype(np.dtype(TYPES[name].dtype))


def _result_type(a: Any, b: Any) -> Any:
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        found = a + b if not all(isinstance(x, Tensor) and x.dtype == np.bool_ for x in (a, b)) else a
        return named(found.dtype)
    return (
        named(creation.tensor(a).dtype)
        if type(a) is type(b)
        else promote_types(*(creation.tensor(x).dtype for x in (a, b)))
    )


def _can_cast(from_: Any, to: Any) -> bool:
    order = "buifc"
    a, b = (np.dtype(x) for x in (from_, to))
    kinds = ["f" if k == "V" else k for k in (a.kind, b.kind)]
    return kinds[0] == kinds[1] or (
        order.index(kinds[0].replace("u", "i")) <= order.index(kinds[1].replace("u", "i")) and b.kind != "b"
    )


def _randint_like(x: Tensor, low: int, high: int | None = None, **options: Any) -> Tensor:
    low, high = (0, low) if high is None else (low, high)
    return random.randint(low, high, tuple(x.shape), device=x.device).to(options.get("dtype") or x.dtype)


def _poisson(x: Tensor, generator: Any = None) -> Tensor:
    seed = int(random.generator_of(generator).integers(0, 2**31 - 1, (1,))[0])
    found = np.random.default_rng(seed).poisson(x.detach().cpu().numpy())
    return wrap(np.asarray(found, x.dtype), "cpu").to(x.device)


def _range(start: float = 0, end: float = 0, step: float = 1, **options: Any) -> Tensor:
    return with_options(
        partial(creation.arange, start, end + step / 2, step), **{"dtype": DTYPES["float32"], **options}
    )


def _gone(name: str, instead: str) -> Any:
    """A function that PyTorch took out, and that raises as it does there."""

    def gone(*_args: Any, **_options: Any) -> None:
        raise RuntimeError(f"`torch.{name}` was deprecated since version 1.9 and is now removed: use {instead}")

    return gone


def _typename(x: Any) -> str:
    return x.type() if isinstance(x, Tensor) else f"{type(x).__module__}.{type(x).__qualname__}"


_kept = threading.local()  # settings that only are asked for


FUNCTIONS: dict[str, Any] = {
    "get_rng_state": get_rng_state,
    "set_rng_state": set_rng_state,
    "initial_seed": lambda: random.default_generator.seed,
    "seed": _seed,
    "default_generator": random.default_generator,
    "asarray": _asarray,
    "frombuffer": _frombuffer,
    "from_dlpack": creation.from_dlpack,
    "scalar_tensor": lambda s, **options: tensor(s, **{"dtype": dtypes.get_default_dtype()} | options),
    "randint_like": _randint_like,
    "poisson": _poisson,
    "range": _range,
    "typename": _typename,
    "result_type": _result_type,
    "can_cast": _can_cast,
    "is_complex": lambda x: x.dtype.kind == "c",
    "set_default_tensor_type": _set_default_tensor_type,
    "get_default_device": devices.get_default_device,
    "set_num_threads": parallel.set_num_threads,
    "get_num_threads": parallel.num_threads,
    "set_num_interop_threads": nothing,
    "get_num_interop_threads": lambda: 1,
    "set_float32_matmul_precision": gemm.set_float32_matmul_precision,
    "get_float32_matmul_precision": gemm.get_float32_matmul_precision,
    "are_deterministic_algorithms_enabled": determinism.are_deterministic_algorithms_enabled,
    "is_autocast_enabled": lambda *_: is_autocast_enabled(),
    "is_inference_mode_enabled": lambda: not is_grad_enabled(),
    "set_flush_denormal": lambda mode: False,
    "set_warn_always": nothing,
    "GradScaler": lambda device="cuda", **options: optimizers.GradScaler(**options),
    "OutOfMemoryError": OutOfMemory,
    "strided": "torch.strided",
    "sparse_coo": "torch.sparse_coo",
    "contiguous_format": "torch.contiguous_format",
    "channels_last": "torch.channels_last",
    "preserve_format": "torch.preserve_format",
    "memory_format": str,
    "layout": str,
    "newaxis": None,
    "e": float(np.e),
    "symeig": _gone("symeig", "torch.linalg.eigh or torch.linalg.eigvalsh"),
    "lstsq": _gone("lstsq", "torch.linalg.lstsq, whose arguments are the other way round"),
    "eig": _gone("eig", "torch.linalg.eig"),
    "solve": _gone("solve", "torch.linalg.solve"),
    "is_vulkan_available": lambda: False,
}
