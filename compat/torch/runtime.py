"""Functions of PyTorch's about seeds, threads, settings and kinds of tensors; and those that change nothing here."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ... import optimizers
from ...backend.array import creation, manipulation, random
from ...backend.device import determinism, devices, dtypes, gemm, parallel
from ...backend.modes.autocast import is_autocast_enabled
from ...backend.tape.autograd import is_grad_enabled
from ...backend.tape.tensor import Tensor, wrap
from .dtypes import DTYPES, TYPES, named, promote_types
from .making import with_options

__all__ = ["FUNCTIONS", "fork_rng", "get_rng_state", "nothing", "set_rng_state", "vmap"]


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


def vmap(func: Callable, in_dims: Any = 0, out_dims: Any = 0, **_options: Any) -> Callable:
    """A function for each slice of its arguments, one after the other, and the results stacked.

    Parameters
    ----------
    func : callable
        Of one slice: returns a Tensor, or a tuple of them.
    in_dims : int, None or tuple, default 0
        Along which axis each argument is sliced; None: it is given whole.
    out_dims : int or tuple, default 0
        Where the new axis is.
    **_options : object
        PyTorch's, which change nothing.

    Returns
    -------
    callable
        Of whole arguments.
    """

    def whole(*args: Any, **options: Any) -> Any:
        dims = in_dims if isinstance(in_dims, tuple) else (in_dims,) * len(args)
        parts = [_slices(a, d) for a, d in zip(args, dims, strict=True)]
        counts = {len(p) for p in parts if p is not None}
        if len(counts) != 1:
            raise ValueError(f"`vmap` needs arguments of one length along `in_dims`, got {sorted(counts)}")
        found = [func(*(a if p is None else p[i] for a, p in zip(args, parts)), **options) for i in range(counts.pop())]
        return _stacked(found, out_dims)

    return whole


def _slices(x: Any, dim: Any) -> list[Any] | None:
    if dim is None:
        return None
    if isinstance(x, dict):
        parts = {k: _slices(v, dim[k] if isinstance(dim, dict) else dim) for k, v in x.items()}
        count = next(len(p) for p in parts.values() if p is not None)
        return [{k: x[k] if p is None else p[i] for k, p in parts.items()} for i in range(count)]
    if isinstance(x, tuple | list):
        dims = dim if isinstance(dim, tuple | list) else (dim,) * len(x)
        return [type(x)(row) for row in zip(*(_slices(v, d) for v, d in zip(x, dims)))]  # type: ignore[arg-type]
    return list(x.unbind(dim))


def _stacked(found: list[Any], out_dims: Any) -> Any:
    first = found[0]
    if isinstance(first, dict):
        return {k: _stacked([f[k] for f in found], out_dims) for k in first}
    if isinstance(first, tuple | list):
        dims = out_dims if isinstance(out_dims, tuple) else (out_dims,) * len(first)
        return type(first)(_stacked([f[i] for f in found], d) for i, d in enumerate(dims))
    return manipulation.stack(found, axis=out_dims)


def _asarray(
    obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None, requires_grad: bool = False
) -> Tensor:
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


def _typename(x: Any) -> str:
    return x.type() if isinstance(x, Tensor) else f"{type(x).__module__}.{type(x).__qualname__}"


_kept = threading.local()  # settings that only are asked for


FUNCTIONS: dict[str, Any] = {
    "get_rng_state": get_rng_state,
    "set_rng_state": set_rng_state,
    "initial_seed": lambda: random.default_generator.seed,
    "seed": _seed,
    "default_generator": random.default_generator,
    "vmap": vmap,
    "asarray": _asarray,
    "frombuffer": _frombuffer,
    "from_dlpack": creation.from_dlpack,
    "scalar_tensor": lambda x, **options: creation.tensor(x, **options),
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
    "strided": "torch.strided",
    "sparse_coo": "torch.sparse_coo",
    "contiguous_format": "torch.contiguous_format",
    "channels_last": "torch.channels_last",
    "preserve_format": "torch.preserve_format",
    "memory_format": str,
    "layout": str,
    "newaxis": None,
    "e": float(np.e),
    "is_vulkan_available": lambda: False,
}
