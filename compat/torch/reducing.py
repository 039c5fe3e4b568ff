"""Reductions and orders with `dim` and `keepdim` by position, as PyTorch has them, or in the array API's words."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ...backend.array import indexing, manipulation
from ...backend.tape.tensor import Tensor
from .promotion import demoted

__all__ = ["counting", "extremum", "nonzero", "ordered", "reduction", "spread"]

STANDARD = {"axis", "keepdims"}  # words that only the array API has


def reduction(name: str) -> Callable:
    """A reduction with `dim` and `keepdim` by position, as PyTorch has them."""
    ours = getattr(Tensor, name)

    @functools.wraps(ours)
    def reduce(self: Tensor, *given: Any, **options: Any) -> Any:
        if STANDARD.isdisjoint(options):
            options |= dict(zip(("dim", "keepdim"), given, strict=False))
            given = given[2:]
            if (dim := options.get("dim")) is None and options.pop("keepdim", False):
                options["keepdim"], dim = True, tuple(range(self.ndim))
                options["dim"] = dim
            if isinstance(dim, list):
                options["dim"] = tuple(dim)
            if (dtype := options.pop("dtype", None)) is not None:
                self = self.to(dtype)
            if not options.keys() - {"dim"} and dim is None:
                options = {}
        found = ours(self, *given, **options)
        if self.dtype.kind == "u" and type(found) is Tensor and self.dtype != found.dtype:  # PyTorch counts in int64
            found = found.to(
                "uint8" if found.dtype == np.bool_ else "int64" if found.dtype == np.uint64 else found.dtype
            )
        return found

    return reduce


def extremum(name: str, pairwise: Callable) -> Callable:
    reduce = reduction(name)

    @functools.wraps(reduce)
    def extremum(self: Tensor, *given: Any, **options: Any) -> Any:
        other = given[0] if given else options.get("other")
        return pairwise(*demoted(self, other)) if isinstance(other, Tensor) else reduce(self, *given, **options)

    return extremum


def spread(name: str) -> Callable:
    ours = getattr(Tensor, name)

    @functools.wraps(ours)
    def spread(self: Tensor, *given: Any, **options: Any) -> Any:
        if not STANDARD.isdisjoint(options):
            return ours(self, *given, **options)
        if given and isinstance(given[0], bool):  # x.std(False)
            options["unbiased"], given = given[0], given[1:]
        options |= dict(zip(("dim", "unbiased", "keepdim"), given, strict=False))
        correction = options.pop("correction", None)
        unbiased = options.pop("unbiased", True)
        correction = (1 if unbiased else 0) if correction is None else correction
        dim = options.get("dim")
        dim = tuple(dim) if isinstance(dim, list) else dim
        return ours(self, axis=dim, keepdims=bool(options.get("keepdim")), correction=correction)

    return spread


def ordered(name: str) -> Callable:
    ours = getattr(Tensor, name)

    @functools.wraps(ours)
    def order(self: Tensor, *given: Any, **options: Any) -> Any:
        if "axis" in options:
            return ours(self, *given, **options)
        if not self.ndim:
            found = ours(self.reshape(1), dim=-1)
            return found.reshape(()) if isinstance(found, Tensor) else type(found)(*(f.reshape(()) for f in found))
        options = {"dim": -1} | dict(zip(("dim", "descending"), given, strict=False)) | options
        return ours(self, **options)

    return order


def nonzero(self: Tensor, *, as_tuple: bool = False) -> Any:
    if not self.ndim:
        found = indexing.nonzero(self.reshape(1))
        return found if as_tuple else manipulation.stack(found, axis=1)[:, :0]
    found = indexing.nonzero(self)
    return found if as_tuple else manipulation.stack(found, axis=1)


def counting(ours: Callable) -> Callable:
    """Of small numbers without a sign, in int64."""

    def call(self: Tensor, *given: Any, **options: Any) -> Tensor:
        found = ours(self, *given, **options)
        return found.to("int64") if found.dtype == np.uint64 and self.dtype != np.uint64 else found

    return functools.wraps(ours)(call)
