"""The limits of launches whose work is known, against the same formulas by hand."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from weft.kernels.emulator import counters
from weft.kernels.emulator.control_flow import callers_first
from weft.kernels.emulator.executions import executions
from weft.kernels.emulator.requests import asked_of
from weft.kernels.emulator.roofline import LIMITS, machine_code_of, roofline
from weft.kernels.toolchain import launch
from weft.kernels.toolchain.lanes import pipe_cycles
from weft.kernels.toolchain.machine_code import MACHINES, Instruction

pytestmark = pytest.mark.usefixtures("disassembler")

HERE = Path(__file__).parents[1]
copy, product = (launch.Kernel(HERE / "counted.cu", name) for name in ("copy", "product"))
transpose = launch.Kernel(HERE / "counted.cu", "transpose", (32,))
products, spills = (launch.Kernel(HERE / "machine_code.cu", name) for name in ("products", "spills"))
H200 = MACHINES["H200"]
CYCLES = 132 * 1.83e9  # of all multiprocessors, per second


def counted(kernel, grid, block, *args):
    with counters.counting() as launches:
        kernel(grid, block, *args)
    return launches[0]


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


class TestRoofline:
    def test_copy(self):
        """Straight code: each of 16 warps runs every instruction once; 2 × 2,048 bytes."""
        found = roofline(counted(copy, 2, 256, zeros(512), zeros(512)), H200)
        code, _ = machine_code_of(copy.instances[()], "sm_90a")
        assert found.instructions == 16 * len(code)
        assert found.bytes == 4096
        assert found.seconds == pytest.approx(
            {
                "DRAM": 4096 / 4.8e12,
                "L2": 4096 / (64 * CYCLES),
                "issue": 16 * len(code) / (4 * CYCLES),
                "lanes": max(pipe_cycles(Counter(i.opcode for i in code), "sm_90a").values()) * 16 / CYCLES,
                "tensor": 0,
                "shared": 0,
            }
        )
        assert found.limit == "DRAM"
        assert found.time == found.seconds["DRAM"]
        assert "copy on H200: " in str(found)
        assert (found.occupancy, found.spills) == (1.0, 0)

    def test_unrolled_loops_are_counted_once(self):
        """16 · 3 multiplications of each of 72 warps, however many copies of them the compiler made."""
        counts = counted(product, (3, 3), (16, 16), *(zeros(48, 48) for _ in range(3)), np.int32(48))
        for arch in ("sm_80", "sm_90a", "sm_100"):
            code, _ = machine_code_of(product.instances[()], arch)
            times = executions(code, counts)
            done = sum(times[i.block] for i in code if i.opcode.startswith("FFMA"))
            assert done == pytest.approx(16 * 3 * 72, rel=0.05), arch

    def test_bank_conflicts_take_their_time(self):
        """A column of 32 numbers in one bank: 32 cycles for each of 32 requests, and one for each of as many stores."""
        found = roofline(counted(transpose[32], (1, 1), (32, 8), zeros(32, 32), zeros(32, 32), np.int32(32)), H200)
        assert found.seconds["shared"] == pytest.approx((32 * 32 + 32) / CYCLES)
        assert found.limit == "shared"
        assert "(32 per phase)" in str(found.lines[0])

    def test_what_is_spilled_goes_through_l2(self):
        """A block of 32 warps, in straight code: each spilled word is 4 sectors, beside 96 reads and as many writes of 4."""
        found = roofline(counted(spills, 1, 1024, zeros(96 * 1024), zeros(96 * 1024)), H200)
        code, _ = machine_code_of(spills.instances[()], "sm_90a")
        words = sum(
            {"": 1, ".64": 2, ".128": 4}[re.sub(r"^(LDL|STL)(\.LU)?", "", i.opcode)] for i in code if i.kind == "local"
        )
        assert words
        assert found.seconds["L2"] == pytest.approx(32 * (4 * words + 2 * 96 * 4) * 32 / (64 * CYCLES))

    def test_tensor_cores(self):
        """Two products of 16 × 8 × 16, by one warp."""
        found = roofline(counted(products, 1, 32, zeros(192, dtype=np.uint32), zeros(128)), H200)
        assert found.tensor_operations == 2 * 4096
        assert found.seconds["tensor"] == pytest.approx(2 * 4096 / (H200.tensor * CYCLES))

    def test_loads_of_matrices_with_each_others_lines(self):
        """A loop that runs 10 times loads two matrices in line 1 and two in line 2; the compiler says three and one."""
        loads = [Instruction("LDSM.16.M88.4", (("a.cu", line),), 1) for line in (1, 1, 1, 2)]
        code = [Instruction("MOV", (), 0), *loads, Instruction("BRA", (), 1, 1, True), Instruction("EXIT", (), 2)]
        counts = [counters.Counts("a.cu", line, "shared", "read", 16, 20, 640, 10240) for line in (1, 2)]
        launch = counters.Launch(
            copy.instances[()], (1, 1, 1), (32, 1, 1), 0, tuple(counts), {}, frozenset(), 0, 0, 0, 0
        )
        assert executions(code, launch) == {0: 1, 1: 10, 2: 1}

    @pytest.mark.parametrize("conditional", [False, True])
    def test_loads_with_a_line_that_asked_for_none(self, conditional):
        """Line 2 has no load of its own: those of line 3, in which nobody loads, are its, unless nobody needs to do them."""
        code = [
            Instruction("LDG.E", (("a.cu", 1),), 0),
            Instruction("LDG.E", (("a.cu", 3),), 0, None, conditional),
            Instruction("EXIT", (), 0),
        ]
        counts = [
            counters.Counts("a.cu", line, "global", "read", 4, n, 32 * n, 128 * n) for line, n in ((1, 10), (2, 50))
        ]
        launch = counters.Launch(
            copy.instances[()], (1, 1, 1), (320, 1, 1), 0, tuple(counts), {}, frozenset(), 0, 0, 0, 0
        )
        blocks = callers_first(code)
        parts = asked_of(blocks, launch, {0: []})
        assert {part.requests: {c.instruction.place[1] for c in part.copies} for part in parts} == (
            {60.0: {1}} if conditional else {10.0: {1}, 50.0: {3}}
        )

    @pytest.mark.parametrize("machine", MACHINES.values(), ids=list(MACHINES))
    def test_every_machine(self, machine):
        found = roofline(counted(copy, 2, 256, zeros(512), zeros(512)), machine)
        assert list(found.seconds) == list(LIMITS)
        assert found.seconds["DRAM"] == pytest.approx(4096 / machine.bandwidth)
