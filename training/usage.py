"""The error of recipes and commands."""

from __future__ import annotations

__all__ = ["UsageError"]


class UsageError(ValueError):
    """What was asked for on the command line cannot be done.

    Examples
    --------
    >>> raise UsageError("--hidden is for --model mlp, got cnn")
    Traceback (most recent call last):
        ...
    weft.training.usage.UsageError: --hidden is for --model mlp, got cnn
    """
