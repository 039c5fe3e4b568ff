"""No kernel asks more of memory than is recorded, in any case: sectors and bank conflicts, by file and line, in seconds."""

import json
from pathlib import Path

import numpy as np
import pytest

import weft
from weft.bench import kernel_requests, kernels
from weft.kernels import emulator
from weft.kernels.emulator import counters
from weft.kernels.toolchain import compiler, launch
from weft.training.cli.kernel_profile import CASES, asked

pytestmark = pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")

RECORD = kernel_requests.read()
COUNTED = Path(__file__).parents[1] / "kernels" / "counted.cu"
AGAIN = "run `python -m weft.bench.kernels"


@pytest.fixture(autouse=True)
def _launched_by_others():
    """What is launched here alone has no test: its results are not looked at."""
    before = set(emulator.launched)
    yield
    emulator.launched.intersection_update(before)


@pytest.mark.parametrize("case", CASES)
def test_no_more_than_recorded(case):
    problems = []
    found = kernel_requests.requests(asked(case))
    for kernel, lines in found.items():
        name = f"{case}: {kernel}"
        assert name in RECORD, f"`{name}` is not recorded: {AGAIN} {case}`"
        problems += kernel_requests.complaints(kernel, lines, RECORD[name])
    assert not problems, "\n".join(problems)
    assert {f"{case}: {kernel}" for kernel in found} == {n for n in RECORD if n.startswith(f"{case}: ")}, (
        f"{AGAIN} {case}`"
    )


def test_every_kernel_is_recorded():
    """In one of its instantiations, by a case that is there."""
    compiler.families()
    recorded = {name.partition(": ")[2].partition("<")[0] for name in RECORD}
    kernels = {kernel.name for kernel in launch.KERNELS if kernel.source in compiler.families()}
    assert kernels - recorded == set(), AGAIN
    assert {name.split(":")[0] for name in RECORD} == set(CASES), AGAIN


def test_cases_of_requests_launch_the_same():
    """What is counted here is of those kernels that are predicted."""
    assert set(RECORD) == set(json.loads(kernels.RECORD.read_text(encoding="utf-8"))), AGAIN


def found_in(kernel, grid, block, *args):
    with counters.counting(code=False) as launches:
        kernel(grid, block, *args)
    (lines,) = kernel_requests.requests(launches).values()
    return lines


def wasteful(number):
    lines = [i for i, line in enumerate(COUNTED.read_text(encoding="utf-8").splitlines(), 1) if "// wasteful" in line]
    return f"counted.cu:{lines[number]}"


def amounts(lines):
    return {where: sorted(by_line.values()) for where, by_line in lines.items()}


def test_a_planted_uncoalesced_load_is_named_with_its_line():
    x, y = np.zeros(2048, np.float32), np.zeros(256, np.float32)
    good = amounts(found_in(launch.Kernel(COUNTED, "copy"), 1, 256, x[:256], y))
    bad = found_in(launch.Kernel(COUNTED, "copy_strided"), 1, 256, x, y)
    assert kernel_requests.complaints("copy", bad, good) == [
        f"copy: 288 sectors of global memory, recorded 64: {wasteful(0)}, 256 sectors by global read"
    ]


def test_a_planted_bank_conflict_is_named_with_its_line():
    transpose = launch.Kernel(COUNTED, "transpose", (32, 33))
    x, y = np.zeros((2, 32, 32), np.float32)
    bad, good = (found_in(transpose[width], (1, 1), (32, 8), x, y, np.int32(32)) for width in (32, 33))
    assert kernel_requests.complaints("transpose", bad, amounts(good)) == [
        f"transpose: 1,056 cycles of shared memory, recorded 64: {wasteful(1)}, 1,024 cycles by shared read"
    ]
    assert kernel_requests.complaints("transpose", good, amounts(good)) == []


def test_little_more_is_not_told():
    recorded = {"a.cu global read": [1000, 1000], "a.cu shared write": [10]}
    found = {"a.cu global read": {7: 1000, 9: 1040}, "a.cu shared write": {8: 10}}
    assert kernel_requests.complaints("a", found, recorded) == []
    found["a.cu global read"][9] += 1
    assert kernel_requests.complaints("a", found, recorded) == [
        "a: 2,041 sectors of global memory, recorded 2,000: a.cu:9, 1,041 sectors by global read"
    ]
