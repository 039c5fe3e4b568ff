"""A model in evaluation for a while, and then as it was, module by module: one that was frozen by `eval()` stays so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .module import Module

__all__: list[str] = []  # a tool of the package


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Evaluation mode within the block.

    Parameters
    ----------
    model : Module
        Which; every module in it gets its own mode back.

    Yields
    ------
    None
        Nothing.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
