"""Chunks cover the range once, errors come through, and nested regions run serially."""

import subprocess
import sys
import threading

import numpy as np
import pytest

import weft
from weft.backend.parallel import parallel_for


@pytest.fixture(autouse=True)
def _threads():
    before = weft.num_threads()
    yield
    weft.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("n", [0, 1, 2, 7, 100])
def test_every_index_once(threads, n):
    weft.set_num_threads(threads)
    counts = np.zeros(n, int)

    def add(start, stop):
        counts[start:stop] += 1

    parallel_for(add, n)
    assert (counts == 1).all()


def test_small_work_stays_in_the_calling_thread():
    weft.set_num_threads(4)
    seen = []
    parallel_for(lambda i, j: seen.append((threading.get_ident(), i, j)), 5, grain=5)
    assert seen == [(threading.get_ident(), 0, 5)]


def test_nested_regions_are_serial():
    weft.set_num_threads(2)
    inner = []
    parallel_for(lambda i, j: parallel_for(lambda k, m: inner.append((k, m)), 10), 2)
    assert set(inner) == {(0, 10)}


def test_the_first_error_comes_through_and_the_pool_survives():
    weft.set_num_threads(2)

    def fail(start, stop):
        raise ValueError(f"chunk from {start}")

    with pytest.raises(ValueError, match="chunk from 0"):
        parallel_for(fail, 10)
    test_every_index_once(2, 100)


def test_settings_reach_the_workers():
    weft.set_num_threads(2)
    with np.errstate(divide="ignore"):
        parallel_for(lambda i, j: np.ones(1) / np.zeros(1), 4)


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "2"])
def test_number_of_threads_is_checked(n):
    with pytest.raises(ValueError, match=f"`n` must be a positive integer, got {n!r}"):
        weft.set_num_threads(n)


@pytest.mark.parametrize(
    ("variable", "value", "expected"), [("WEFT_NUM_THREADS", "3", "3"), ("OMP_NUM_THREADS", "5", "5")]
)
def test_environment(variable, value, expected):
    unset = "[os.environ.pop(v, 0) for v in ('WEFT_NUM_THREADS', 'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS')]"
    code = f"import os; {unset}; os.environ[{variable!r}] = {value!r}; import weft; print(weft.num_threads())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == expected
