"""A case for every instantiation of every kernel, made from its template arguments.

Each maker calls the launcher that users' calls end in, with sizes that make it choose this instantiation. What else the
launcher launches is left out, so that what comes before is zeros.
"""

from __future__ import annotations

import functools

from ...kernels.toolchain import compiler
from ...kernels.toolchain.launch import KERNELS, Instance
from . import general_cases, window_cases  # noqa: F401 (they fill MAKERS)
from .case_makers import MAKERS

__all__ = ["instances", "launch"]


@functools.cache
def instances() -> dict[str, Instance]:
    """All instantiations of the library's kernels, by expression; those of sources of one's own are not."""
    sources = compiler.families()
    return {i.expression: i for kernel in KERNELS if kernel.source in sources for i in kernel.instances.values()}


def launch(instance: Instance) -> None:
    """Launch it, among others. KeyError where its kernel has no case."""
    key = next(key for key, each in instance.kernel.instances.items() if each is instance)
    MAKERS[instance.kernel.name](*key)
