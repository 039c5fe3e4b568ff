"""Loading a `state_dict`: from weft, NumPy or PyTorch, completely or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ..backend.array.creation import asarray
from ..backend.device.dtypes import is_real_floating
from ..backend.tape.sharing import changed
from ..backend.tape.tensor import Tensor
from .parameter import is_lazy

__all__ = ["IncompatibleKeys"]


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict(strict=False)` passed over.

    Parameters
    ----------
    missing_keys : list of str
        Names of the module that the dictionary lacks.
    unexpected_keys : list of str
        Names of the dictionary that the module lacks.
    """

    missing_keys: list[str]
    unexpected_keys: list[str]


def load(
    name: str,
    own: Mapping[str, Tensor],
    optional: set[str],
    given: Mapping[str, Any],
    strict: bool,
    extra: Mapping[str, Any],
    assign: Callable[[str, Tensor], None] | None = None,
) -> IncompatibleKeys:
    """Copy `given` into the memory of `own` once all of it has been found to fit; see `Module.load_state_dict`.

    What is at a key of `extra` goes to that module's `set_extra_state`. With `assign` values are not copied but handed to it.
    """
    if not isinstance(given, Mapping):
        raise TypeError(f"`state_dict` must be a mapping of names to arrays, got {type(given).__name__}")
    missing = [key for key in (*own, *extra) if key not in given and key not in optional]
    unexpected = [key for key in given if key not in own and key not in extra]
    ready, problems = {}, []
    for key in own.keys() & given.keys():
        value, tensor = _readable(given[key]), own[key]
        if is_lazy(value):
            if not is_lazy(tensor):
                problems.append(f"shape: {key} must have {tuple(tensor.shape)}, got none yet: that of a lazy layer")
            continue
        try:
            as_own = {"dtype": tensor.dtype, "device": tensor.device} if assign is None or is_lazy(tensor) else {}
            ready[key] = asarray(value, **as_own)
        except (TypeError, ValueError):
            raise TypeError(f"`state_dict[{key!r}]` must be an array of numbers, got {type(value).__name__}") from None
    for key in own:
        if key in ready and not is_lazy(own[key]) and ready[key].shape != own[key].shape:
            problems.append(f"shape: {key} must have {tuple(own[key].shape)}, got {tuple(ready[key].shape)}")
        elif key in ready and is_real_floating(own[key].dtype) and not is_real_floating(ready[key].dtype):
            problems.append(f"dtype: {key} must be of a real floating-point one, got {ready[key].dtype}")
    if strict:
        problems += [f"missing: {key}" for key in missing]
        problems += [f"unexpected: {key}{_near(key, missing)}" for key in unexpected]
    if problems:
        lines = [f"`state_dict` must fit {name}, and nothing of it was loaded:", *problems, *_advice(own, unexpected)]
        raise RuntimeError("\n  ".join(lines))
    for key, tensor in ready.items():
        if is_lazy(own[key]):
            own[key].materialize(tensor.shape)  # type: ignore[attr-defined]
        elif assign is not None:
            assign(key, tensor.detach())
            continue
        own[key].data[...] = tensor.data
        changed(own[key].data)
    for key, module in extra.items():
        if key in given:
            module.set_extra_state(given[key])
    return IncompatibleKeys(missing, unexpected)


def _readable(value: Any) -> Any:
    """PyTorch's tensors as something that NumPy can read: off the tape, on the host, bfloat16 (exactly) as float32."""
    if isinstance(value, Tensor) or not (hasattr(value, "detach") and hasattr(value, "cpu")):
        return value
    value = value.detach().cpu()
    return value.float() if str(value.dtype) == "torch.bfloat16" else value


def _near(key: str, missing: Sequence[str]) -> str:
    """The name that may be meant, of those that are missing."""
    import difflib  # for errors alone

    near = difflib.get_close_matches(key, missing[:100], 1, 0.7)
    return f"; is it `{near[0]}`?" if near else ""


def _advice(own: Mapping[str, Tensor], unexpected: Sequence[str]) -> list[str]:
    """Wrappers put a prefix before every name; say so if that is all that is wrong with the names."""
    for key in unexpected:
        prefix = next((key[: -len(name)] for name in own if key.endswith(f".{name}")), None)
        if prefix and all(k.startswith(prefix) and k[len(prefix) :] in own for k in unexpected):
            return [
                f"The names have a prefix; remove it: {{k.removeprefix({prefix!r}): v for k, v in state_dict.items()}}"
            ]
    return []
