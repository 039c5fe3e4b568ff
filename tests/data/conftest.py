"""device="cuda" without a GPU, for the tests that ask for `machine`."""

from cupy_fixtures import cupy, machine

__all__ = ["cupy", "machine"]
