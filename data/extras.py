"""The one place that imports what is not installed with weft, when it is first needed."""

from __future__ import annotations

import importlib
from types import ModuleType

__all__: list[str] = []


def sklearn(module: str, purpose: str) -> ModuleType:
    """`sklearn.<module>`, or an ImportError that says for what it is needed and how to install it."""
    return _imported(f"sklearn.{module}", "scikit-learn", "train", purpose)


def pillow(module: str, purpose: str) -> ModuleType:
    """`PIL.<module>`, or an ImportError as above."""
    return _imported(f"PIL.{module}", "Pillow", "train", purpose)


def pyarrow(module: str, purpose: str) -> ModuleType:
    """`pyarrow.<module>`, or an ImportError as above."""
    return _imported(f"pyarrow.{module}", "pyarrow", "tables", purpose)


def _imported(module: str, package: str, extra: str, purpose: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f'`{purpose}` needs {package} ({error}): pip install "weft[{extra}]"') from None
