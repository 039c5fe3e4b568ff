"""Freed memory stays with the process: the next training step would get it back page by page, each zeroed by the kernel first.

glibc gives what lies free at the end of its heap back once it is more than 64 MiB, or twice the largest array that was freed
if that is less. The activations of a step are more: a twelfth of the step of a small GPT went into getting them again.
"""

from __future__ import annotations

import ctypes
import os
import sys

__all__ = ["KEPT", "keep_freed"]

KEPT = 1 << 30  # bytes at the end of the heap that stay
LARGEST = 1 << 25  # bytes, the most that glibc allows: larger arrays are mapped, and go back at once
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's names for its options, in malloc.h
VARIABLES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed() -> None:
    """Tell glibc so, where that is the C library and the user has told it nothing else."""
    if sys.platform != "linux" or any(name in os.environ for name in VARIABLES):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGEST)
        mallopt(TRIM_THRESHOLD, KEPT)
