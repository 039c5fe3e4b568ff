"""The pool against what it promises: every index once, errors, limits and context, and when it stays serial."""

import os
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest

import weft
from weft.backend.device import parallel
from weft.backend.device.parallel import blas_architectures, num_threads, parallel_for, set_num_threads


@pytest.fixture
def threads():
    """Sets the number of threads, BLAS's too, and puts both back."""
    n, blas = num_threads(), blas_threads()
    yield set_num_threads
    set_num_threads(n)
    for library, count in zip(parallel._blas_libraries(), blas):
        library.set_num_threads(count)


def blas_threads():
    return [library.get_num_threads() for library in parallel._blas_libraries()]


def chunks(n, **options):
    """The chunks that are asked for, and the threads that ask."""
    calls, names, lock = [], set(), threading.Lock()

    def fn(start, stop):
        with lock:
            calls.append((start, stop))
            names.add(threading.get_ident())

    parallel_for(fn, n, **options)
    return sorted(calls), names


class TestParallelFor:
    @pytest.mark.parametrize("n", [1, 2, 3, 7, 100])
    @pytest.mark.parametrize("count", [1, 2, 3, 8])
    def test_covers_the_range_once(self, threads, n, count):
        threads(count)
        calls, _ = chunks(n)
        assert [i for start, stop in calls for i in range(start, stop)] == list(range(n))
        assert len(calls) == min(n, count)
        sizes = [stop - start for start, stop in calls]
        assert max(sizes) - min(sizes) <= 1

    def test_runs_at_once_and_in_the_calling_thread_too(self, threads):
        threads(3)
        meeting, names = threading.Barrier(3, timeout=120), []

        def fn(start, stop):
            meeting.wait()  # nobody passes until all three have come
            names.append(threading.get_ident())

        parallel_for(fn, 3)
        assert threading.get_ident() in names
        assert len(set(names)) == 3

    def test_grain(self, threads):
        threads(4)
        assert chunks(10, grain=10)[0] == [(0, 10)]
        assert len(chunks(10, grain=4)[0]) == 3
        assert len(chunks(100, grain=4)[0]) == 4

    def test_nothing_to_do(self, threads):
        threads(2)
        assert chunks(0)[0] == []

    def test_regions_within_a_region_are_serial(self, threads):
        threads(2)
        inner = [None, None]

        def fn(start, stop):
            inner[start] = (chunks(6), threading.get_ident())

        parallel_for(fn, 2)
        for (calls, names), caller in inner:
            assert calls == [(0, 6)]
            assert names == {caller}
        assert len(chunks(6)[0]) == 2  # and parallel again after it

    @pytest.mark.parametrize("failing", [0, 1])
    def test_errors_come_out_and_leave_everything_as_it_was(self, threads, failing):
        threads(2)
        blas, ended = blas_threads(), []

        def fn(start, stop):
            ended.append(start)
            if start == failing:
                raise KeyError(f"chunk {start}")

        with pytest.raises(KeyError, match=f"chunk {failing}"):
            parallel_for(fn, 2)
        assert sorted(ended) == [0, 1]
        assert blas_threads() == blas
        assert len(chunks(2)[0]) == 2

    def test_the_first_of_several_errors(self, threads):
        threads(3)

        def fn(start, stop):
            raise ValueError(start)

        with pytest.raises(ValueError, match="0"):
            parallel_for(fn, 3)

    def test_blas_has_one_thread_inside(self, threads):
        threads(2)
        seen = []
        parallel_for(lambda start, stop: seen.append(blas_threads()), 2)
        assert seen == [[1] * len(blas_threads())] * 2
        assert set(blas_threads()) <= {min(2, parallel._available_cores())}

    def test_sees_the_context_of_the_caller(self, threads):
        threads(2)
        with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
            parallel_for(lambda start, stop: np.ones(1) / np.zeros(1) if start else None, 2)
        with np.errstate(divide="ignore"):
            parallel_for(lambda start, stop: np.ones(1) / np.zeros(1), 2)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
    def test_a_forked_child_has_a_pool_of_its_own(self, threads):
        threads(2)
        chunks(2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads is what is tested
            child = os.fork()
        if not child:
            os._exit(0 if len(chunks(2)[1]) == 2 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


class TestNumThreads:
    @pytest.mark.parametrize(
        ("variables", "expected"),
        [
            ({"WEFT_NUM_THREADS": "3", "OMP_NUM_THREADS": "2"}, 3),
            ({"OMP_NUM_THREADS": "5,2", "OPENBLAS_NUM_THREADS": "7"}, 5),
            ({"WEFT_NUM_THREADS": "", "OPENBLAS_NUM_THREADS": "7"}, 7),
            ({"WEFT_NUM_THREADS": "all", "OMP_NUM_THREADS": "0"}, parallel._available_cores()),
        ],
    )
    def test_from_the_environment(self, monkeypatch, variables, expected):
        for name in ("WEFT_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(parallel, "_threads", 0)
        assert num_threads() == expected

    def test_set(self, threads):
        weft.set_num_threads(3)
        assert weft.num_threads() == 3
        assert set(blas_threads()) <= {
            min(3, parallel._available_cores())
        }  # one thread too many, and BLAS waits for long

    @pytest.mark.parametrize("n", [0, -1, 2.0, "2", True])
    def test_errors(self, n):
        with pytest.raises(ValueError, match=f"`n` must be a positive integer, got {n!r}"):
            set_num_threads(n)


def test_architectures_are_names():
    assert all(isinstance(name, str) for name in blas_architectures())


def test_import_does_not_look_for_libraries():
    code = "import sys; import weft.backend.device.parallel; sys.exit('threadpoolctl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
