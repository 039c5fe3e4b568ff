"""`torch.set_grad_enabled`, which takes effect as a statement, and `torch.inference_mode`."""

from __future__ import annotations

from typing import Any

from ...backend.tape.autograd import _mode, count_special, enable_grad, is_grad_enabled, no_grad

__all__ = ["inference_mode", "set_grad_enabled"]

_held: list[None] = []  # one entry, once gradients were switched off by a statement


class set_grad_enabled:
    """Record operations, or not: from here on, in a block, or in the decorated function.

    Parameters
    ----------
    mode : bool
        Which.
    """

    def __init__(self, mode: bool):
        self.before, self.mode = is_grad_enabled(), bool(mode)
        self._set(self.mode)

    def _set(self, mode: bool) -> None:
        if not mode and not _held:  # for good: no block's end takes it back, and it costs a look for each operation
            _held.append(None)
            count_special(1)
        _mode.enabled = mode

    def __enter__(self) -> None:
        self._set(self.mode)

    def __exit__(self, *_: object) -> None:
        self._set(self.before)

    def __call__(self, f: Any) -> Any:
        self._set(self.before)
        return (enable_grad() if self.mode else no_grad())(f)


def inference_mode(mode: Any = True) -> Any:
    """`no_grad`, or `enable_grad` for False; with or without parentheses above a function.

    Parameters
    ----------
    mode : bool or callable, default True
        Whether nothing is recorded; the function.

    Returns
    -------
    object
        A context and decorator, or the decorated function.
    """
    if callable(mode):
        return no_grad(mode)
    return no_grad() if mode else enable_grad()
