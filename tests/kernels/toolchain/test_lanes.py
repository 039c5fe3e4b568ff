"""Kernels of one kind of instruction, whose cycles are known by hand; the kind of each opcode; and that no opcode is unknown."""

from pathlib import Path

import numpy as np
import pytest

from weft.kernels.emulator import counters
from weft.kernels.emulator.roofline import machine_code_of, roofline
from weft.kernels.toolchain import compiler, launch, machine_code
from weft.kernels.toolchain.lanes import ARCHITECTURES, ISSUED, KINDS, kind_of, pipe_cycles
from weft.kernels.toolchain.machine_code import MACHINES

SOURCE = Path(__file__).parents[1] / "lanes.cu"
LITTLE = 8  # instructions besides: indices, a load and a store
MACHINE = {machine.arch: machine for machine in MACHINES.values()}


def unknown(opcodes):
    """Those that are neither of a kind nor among what is only issued."""
    names = {opcode.partition(".")[0] for opcode in opcodes if kind_of(opcode) is None}
    return sorted(name for name in names if not ISSUED.fullmatch(name))


@pytest.mark.usefixtures("disassembler")
@pytest.mark.parametrize("arch", ARCHITECTURES)
class TestKernels:
    """Blocks of 8 warps, each of which executes so many of one kind in straight code."""

    def found(self, name, arch, output=np.float32):
        x = np.ones(256, np.float32 if name != "hashes" else output)
        with counters.counting() as launches:
            launch.Kernel(SOURCE, name)(1, 256, x, np.zeros(256, output))
        machine = MACHINE[arch]
        found = roofline(launches[0], machine)
        every = machine.multiprocessors * machine.clock
        cycles = {pipe: seconds * every / 8 for pipe, seconds in found.pipes.items()}  # of a warp
        assert found.seconds["lanes"] == max(found.pipes.values()) == found.pipes[found.pipe]
        assert found.parts.items() >= found.pipes.items()
        assert "lanes" not in found.parts
        assert max(found.parts.values()) == found.time
        return found, cycles

    def check(self, name, arch, pipe, many, lanes, **given):
        found, cycles = self.found(name, arch, **given)
        assert (found.limit, found.pipe) == ("lanes", pipe)
        assert f"({pipe})" in str(found)
        assert many * 32 / lanes <= cycles[pipe] * (1 + 1e-9) <= (many + LITTLE) * 32 / lanes

    def test_exponentials(self, arch):
        self.check("exponentials", arch, "XU", 64, 16)

    def test_integers(self, arch):
        self.check("hashes", arch, "ALU", 96, 64, output=np.uint32)

    def test_conversions(self, arch):
        self.check("conversions", arch, "XU", 32, 16, output=np.int32)

    def test_shuffles(self, arch):
        self.check("shuffles", arch, "LSU", 40, 32)

    def test_floats(self, arch):
        """As many lanes as are issued, but on an A100: all instructions are the limit."""
        found, cycles = self.found("polynomial", arch)
        assert found.limit == ("lanes" if arch == "sm_80" else "issue")
        assert 256 * 32 / (64 if arch == "sm_80" else 128) <= cycles["FMA"] * (1 + 1e-9)
        code, _ = machine_code_of(launch.Kernel(SOURCE, "polynomial").instances[()], arch)
        assert found.seconds["issue"] == pytest.approx(
            8 * len(code) / 4 / (MACHINE[arch].multiprocessors * MACHINE[arch].clock)
        )


@pytest.mark.parametrize(
    ("opcode", "kind"),
    [
        ("FFMA", "float"), ("FADD.FTZ", "float"), ("FFMA2", "two floats"), ("IMAD.WIDE.U32", "integer product"),
        ("IMAD.MOV.U32", "integer product"), ("IDP.4A.S8.S8", "integer product"), ("HADD2.F32", "half to float"),
        ("HADD2.BF16_V2", "two bfloat16"), ("HFMA2.MMA.BF16_V2", "two bfloat16"), ("HFMA2.MMA", "two halves"),
        ("HMUL2", "two halves"), ("DFMA", "double"), ("DSETP.GT.AND", "double"), ("FMNMX.NAN", "minimum of floats"),
        ("F2FP.BF16.F32.PACK_AB", "rounding of two"), ("IADD3.X", "integer"), ("LOP3.LUT", "integer"), ("LEA.HI.X", "integer"),
        ("SHF.R.U32.HI", "integer"), ("PRMT", "integer"), ("VIADD", "integer"), ("PLOP3.LUT", "integer"),
        ("ISETP.GE.AND", "comparison"), ("FSETP.GTU.FTZ.AND", "comparison"), ("FSEL", "comparison"), ("SEL", "comparison"),
        ("VIMNMX.U32", "comparison"), ("IMNMX", "comparison"), ("VIMNMX3", "comparison"), ("VIADDMNMX", "comparison"),
        ("FMNMX3", "comparison"), ("HMNMX2.BF16_V2", "comparison"), ("HSETP2.GT.AND", "comparison"),
        ("VHMNMX.BF16_V2.NAN", "comparison"), ("MOV", "move"),
        ("I2FP.F32.S32", "move"), ("MUFU.EX2", "special function"), ("POPC", "special function"), ("F2I.TRUNC.NTZ", "conversion"),
        ("I2F.S16", "conversion"), ("F2F.BF16.F32", "conversion"), ("FRND.FLOOR", "conversion"), ("LDG.E.128", "load or store"),
        ("LDS.64", "load or store"), ("LDSM.16.M88.4", "load or store"), ("STL", "load or store"), ("RED.E.ADD", "load or store"),
        ("SHFL.BFLY", "shuffle"), ("REDUX.SUM", "reduction of a warp"), ("VOTE.ANY", "vote"),
        ("BAR.SYNC.DEFER_BLOCKING", "barrier"),
    ],
)  # fmt: skip
def test_kind(opcode, kind):
    assert kind_of(opcode).name == kind


@pytest.mark.parametrize(
    "opcode", ["UIADD3.X", "HMMA.16816.F32.BF16", "HGMMA.64x128x16.F32", "BRA", "LDC.64", "B2R.RESULT", "CGAERRBAR"]
)
def test_only_issued(opcode):
    assert kind_of(opcode) is None
    assert unknown([opcode]) == []


def test_unknown():
    """It takes no lanes, and is named."""
    assert unknown(["FFMA", "FFMA3.FTZ", "BRA"]) == ["FFMA3"]
    assert pipe_cycles({"FFMA3.FTZ": 5.0}, "sm_90a") == {}


def test_kinds_of_a_pipe_add_up():
    executed = {"LOP3.LUT": 10.0, "IADD3": 20.0, "F2FP.BF16.F32.PACK_AB": 5.0, "MUFU.RCP": 3.0, "F2I.NTZ": 2.0}
    assert pipe_cycles(executed, "sm_90a") == {"ALU": 30 * 32 / 64 + 5 * 32 / 32, "XU": 5 * 32 / 16}


def test_no_kind_has_more_lanes_than_are_issued():
    """So the limit of instructions holds beside every other."""
    assert all(0 < lanes <= 128 for kind in KINDS for lanes in kind.lanes)
    assert tuple(compiler.ARCHITECTURES) == ARCHITECTURES


@pytest.mark.slow
@pytest.mark.usefixtures("disassembler")
@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("source", sorted(compiler.families()))
def test_no_opcode_is_unknown(source, arch):
    """In no kernel that there is: how many lanes a new one has is to be looked up."""
    expressions, options = compiler.families()[source]
    code = machine_code.disassemble(compiler.build(source, expressions, options, arch=arch))
    assert unknown({i.opcode for each in code.values() for i in each}) == []
