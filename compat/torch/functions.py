"""PyTorch's functions that are neither a method nor one of weft's, and its creation, dtypes and devices: one table."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ... import optimizers
from ...backend.array import creation, indexing, linalg, manipulation, products, random
from ...backend.device import determinism, devices, dtypes
from ...backend.modes.autocast import autocast
from ...backend.tape.autograd import enable_grad, is_grad_enabled, no_grad
from ...backend.tape.tensor import Tensor
from . import algebra, arithmetic, calling, files, memory, runtime, shaping, signals, sparse, special
from .dtypes import DTYPES, INFO, TYPES, TensorType, dtype, named, promote_types
from .gradient_modes import inference_mode, set_grad_enabled
from .making import tensor, with_options
from .mapping import vmap
from .methods import METHODS, is_tensor
from .printing import set_printoptions
from .promotion import demoted
from .sizes import Size

__all__ = ["TABLE", "device"]


class device(str):
    """A device by name, `torch.device("cuda", 0)`.

    Parameters
    ----------
    name : str or int
        As "cpu" or "cuda:0"; an int is a GPU.
    index : int, optional
        Which of its kind.
    """

    __slots__ = ()

    def __new__(cls, name: Any = "cpu", index: int | None = None, *, type: str | None = None) -> device:
        name = type or (f"cuda:{name}" if isinstance(name, int) else str(name))
        return super().__new__(cls, name if index is None or name == "cpu" else f"{name}:{index}")

    @property
    def type(self) -> str:
        """Its kind."""
        return self.split(":")[0]

    @property
    def index(self) -> int | None:  # type: ignore[override]
        """Which of its kind, or None."""
        return int(self.split(":")[1]) if ":" in self else None

    def __repr__(self) -> str:
        return f"device(type={self.type!r}{'' if self.index is None else f', index={self.index}'})"


_device = device


def _shaped(f: Callable) -> Callable:
    @functools.wraps(f)
    def create(*size: Any, **options: Any) -> Tensor:
        size = size or (options.pop("size"),)
        shape = tuple(size[0]) if isinstance(size[0], Sequence) else size
        return with_options(functools.partial(f, tuple(int(n) for n in shape)), **options)

    return create


def _randint(*args: Any, **options: Any) -> Tensor:
    """`randint(high, size)` or `randint(low, high, size)`, by position or by name."""
    size = options.pop("size", None)
    if size is None:
        *args, size = args  # type: ignore[assignment]
    bounds = [*([options.pop("low")] if "low" in options else []), *args]
    if "high" in options:
        bounds.append(options.pop("high"))
    low, high = bounds if len(bounds) == 2 else (0, bounds[0])
    return with_options(functools.partial(random.randint, int(low), int(high), tuple(size)), **options)


class Generator(random.Generator):
    """weft's stream of random numbers, for every device.

    Parameters
    ----------
    device : str, default "cpu"
        PyTorch's; the numbers are the same on all.
    """

    def __init__(self, device: Any = "cpu"):
        super().__init__()
        self.device = _device(device)

    def initial_seed(self) -> int:
        """The seed.

        Returns
        -------
        int
            Which.
        """
        return self.seed


def _randperm(n: int, dtype: Any = None, **options: Any) -> Tensor:
    made = with_options(functools.partial(random.randperm, n), **options)
    return made if dtype is None else made.to(dtype)


def _made(f: Callable) -> Callable:
    @functools.wraps(f)
    def create(*given: Any, **options: Any) -> Tensor:
        return with_options(functools.partial(f, *given), **options)

    return create


def _full(size: Any, fill_value: Any, **options: Any) -> Tensor:
    return with_options(functools.partial(creation.full, tuple(size), _number(fill_value)), **options)


def _number(x: Any) -> Any:
    """Python's number for a Tensor or one of NumPy's."""
    return x.item() if isinstance(x, Tensor | np.generic) else x


def _arange(start: Any = 0, end: Any = None, step: Any = 1, **options: Any) -> Tensor:
    start, end, step = map(_number, (0, start, step) if end is None else (start, end, step))
    return with_options(functools.partial(creation.arange, start, end, step), **options)


def _normal(mean: Any, std: Any = 1.0, size: Any = None, **options: Any) -> Tensor:
    if size is None:
        size = np.broadcast_shapes(*(x.shape for x in (mean, std) if isinstance(x, Tensor)))
    return random.randn(*size, **options) * std + mean


def _bernoulli(p: Tensor, *, generator: Any = None) -> Tensor:
    return (random.rand(*p.shape, generator=generator, device=p.device) < p).to(p.dtype)


def _concatenated(f: Callable) -> Callable:
    def join(tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None, axis: int | None = None) -> Tensor:
        joined = f(list(tensors), axis=dim if axis is None else axis)
        return joined if out is None else out.copy_(joined)

    return join


def _where(condition: Tensor, *values: Any, out: Tensor | None = None, **named: Any) -> Any:
    values = (*values, *(named[k] for k in ("input", "self", "other") if k in named))
    if not values:
        return indexing.nonzero(condition)
    found = indexing.where(condition, *demoted(*values))
    return found if out is None else out.copy_(found)


def _linspace(start: Any, end: Any, steps: int, **options: Any) -> Tensor:
    start, end = (float(x) if isinstance(x, Tensor) else x for x in (start, end))
    return with_options(functools.partial(creation.linspace, start, end, steps), **options)


def _svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> Any:
    u, s, vh = linalg.svd(input, full_matrices=not some)
    return u, s, vh.transpose(-2, -1)


def _as_tensor(data: Any, dtype: Any = None, device: str | None = None) -> Tensor:
    if not isinstance(data, Tensor | np.ndarray):
        return tensor(data, dtype=dtype, device=device)
    return creation.asarray(data, dtype=dtype, device=device)


def _like(draw: Callable) -> Callable:
    return lambda x, **options: draw(*x.shape, **{"dtype": x.dtype, "device": x.device} | options)


def _with_mean(name: str) -> Callable:
    def both(x: Tensor, dim: Any = None, *given: Any, **options: Any) -> tuple[Tensor, Tensor]:
        dim = options.pop("axis", dim)
        options |= dict(zip(("unbiased", "keepdim"), given))
        if isinstance(dim, bool):  # torch.std_mean(x, False)
            options["unbiased"], dim = dim, None
        mean = METHODS["mean"](x, dim=dim, keepdim=options.get("keepdim", False))
        return METHODS[name](x, dim=dim, **options), mean

    return both


def _compile(model: Any = None, **_options: Any) -> Any:
    """The model itself: it runs eagerly, with the same numbers."""
    return (lambda f: f) if model is None else model


def _autocast(device_type: Any = "cuda", dtype: Any = None, enabled: bool = True, **_options: Any) -> Any:
    """`torch.autocast`: half precision in bfloat16 unless told; `torch.cuda.amp.autocast(enabled)` has no device."""
    if isinstance(device_type, bool):
        enabled = device_type
    return autocast("bfloat16" if dtype is None else dtype, enabled=enabled)


def _scaler(device: Any = "cuda", **options: Any) -> Any:
    return optimizers.GradScaler(**options)


TABLE: dict[str, Any] = {
    **runtime.FUNCTIONS, **shaping.FUNCTIONS, **special.FUNCTIONS, **arithmetic.FUNCTIONS, **algebra.FUNCTIONS,
    **signals.FUNCTIONS, **sparse.FUNCTIONS, **memory.FUNCTIONS,
    "vmap": vmap, **DTYPES, **TYPES, **INFO, "dtype": dtype, "Tensor": TensorType, "promote_types": promote_types,
    "set_printoptions": set_printoptions,
    "Size": Size, "device": device, "is_tensor": is_tensor, "pi": np.pi, "inf": np.inf, "nan": np.nan,
    "zeros": _shaped(creation.zeros), "ones": _shaped(creation.ones), "empty": _shaped(creation.empty),
    "rand": _shaped(lambda shape, **o: random.rand(*shape, **o)), "randn": _shaped(lambda shape, **o: random.randn(*shape, **o)),
    "randint": _randint, "randperm": _randperm, **calling.FUNCTIONS, "full": _full, "arange": _arange,
    "linspace": _linspace, "eye": _made(creation.eye), "tensor": tensor, "as_tensor": _as_tensor,
    "zeros_like": _made(creation.zeros_like), "ones_like": _made(creation.ones_like), "empty_like": _made(creation.empty_like),
    "full_like": _made(creation.full_like), "rand_like": _like(random.rand), "randn_like": _like(random.randn),
    "from_numpy": creation.asarray, "normal": _normal, "bernoulli": _bernoulli, "Generator": Generator,
    "manual_seed": random.manual_seed, "cat": _concatenated(manipulation.concat), "stack": _concatenated(manipulation.stack),
    **{name: _concatenated(manipulation.concat) for name in ("concat", "concatenate")},
    "where": _where,  "spmm": products.matmul,
    "meshgrid": lambda *x, indexing="ij": creation.meshgrid(
        *(x if isinstance(x[0], Tensor) else x[0]), indexing=indexing
    ), "tensordot": products.tensordot,
    "hstack": lambda x: manipulation.concat([shaping.FUNCTIONS["atleast_1d"](t) for t in x], axis=0 if x[0].ndim < 2 else 1),
    **{name: lambda x: manipulation.concat([shaping.FUNCTIONS["atleast_2d"](t) for t in x], axis=0)
       for name in ("vstack", "row_stack")},
    "var_mean": _with_mean("var"), "std_mean": _with_mean("std"),
    "no_grad": no_grad, "inference_mode": inference_mode, "enable_grad": enable_grad, "set_grad_enabled": set_grad_enabled,
    "is_grad_enabled": is_grad_enabled, "compile": _compile, "autocast": _autocast,
    "save": files.save, "load": files.load, "set_default_dtype": dtypes.set_default_dtype,
    "get_default_dtype": lambda: named(dtypes.get_default_dtype()), "set_default_device": devices.set_default_device,
    "use_deterministic_algorithms": determinism.use_deterministic_algorithms, "linalg": linalg,
    "svd": _svd, "qr": linalg.qr,
    "is_floating_point": lambda x: x.is_floating_point(), "numel": lambda x: x.numel(),
}  # fmt: skip
