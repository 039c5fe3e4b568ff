"""Shared by all tests: the harness is importable as `harness`, and every test starts from the same seed, device and dtype."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

os.environ.pop("WEFT_DEVICE", None)
sys.path.insert(0, str(Path(__file__).parent))

import weft

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def _same_start():
    weft.manual_seed(0)
    yield
    assert weft.is_grad_enabled()
    assert weft.get_default_device() == "cpu"
    assert weft.get_default_dtype() == weft.float32


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def data_dir():
    """Where the real data sets are; skips where they are not."""
    if not DATA.is_dir():
        pytest.skip(f"the data sets are not at {DATA}")
    return DATA
