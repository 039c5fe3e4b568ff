"""The one place that imports scikit-learn, when it is first needed."""

from __future__ import annotations

import importlib
from types import ModuleType

__all__: list[str] = []


def sklearn(module: str, purpose: str) -> ModuleType:
    """`sklearn.<module>`, or an ImportError that says for what it is needed and how to install it."""
    try:
        return importlib.import_module(f"sklearn.{module}")
    except ImportError as error:
        raise ImportError(f'`{purpose}` needs scikit-learn ({error}): pip install "weft[train]"') from None
