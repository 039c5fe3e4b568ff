"""device="cuda" without a GPU, for the tests that ask for `cupy`."""

from cupy_fixtures import cupy, machine, stand_in

__all__ = ["cupy", "machine", "stand_in"]
