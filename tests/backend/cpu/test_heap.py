"""Freed memory stays with the process, unless the user has said otherwise: counted in the kernel's own books."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import resource, numpy as np, weft
def step():
    arrays = [np.ones(1 << 18) for _ in range(60)]  # 2 MiB each
    del arrays
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(**variables):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC", "GLIBC"))}
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment | variables, capture_output=True, text=True, check=True
    )
    return int(found.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is the C library of Linux")
def test_a_step_gets_the_pages_of_the_step_before():
    assert faults() < 1000


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is the C library of Linux")
def test_what_the_user_told_the_c_library_stays():
    assert faults(MALLOC_TRIM_THRESHOLD_="65536", MALLOC_MMAP_THRESHOLD_="65536") > 10 * 1000
