"""PyTorch's names with PyTorch's meaning, on weft's arrays: `python -m weft.compat.torch [--device D] SCRIPT ARGS`.

The functions here mean what PyTorch means by them. What weft's and PyTorch's *methods* of one name read differently (`x.max(1)`)
follows once `install` has been called, which decides for the whole process; `import torch` is served from then on. The first use
of a submodule calls it: `torch.nn` after `from weft.compat import torch`, or `from weft.compat.torch.nn import functional`.
"""

from __future__ import annotations

from typing import Any

from ...backend.tape.tensor import Tensor
from . import namespace
from .importing import install

__all__ = ["Tensor", "install"]


def __getattr__(name: str) -> Any:
    return namespace.lookup(name)
