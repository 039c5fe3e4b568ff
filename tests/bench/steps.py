"""pytest-benchmark suite: every workload of the comparison, weft alone (`pytest tests/bench/steps.py`)."""

import pytest

from weft.bench.workloads import WORKLOADS


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda w: w.name)
def test_workload(benchmark, workload):
    benchmark.group = workload.about
    benchmark(workload.weft())
