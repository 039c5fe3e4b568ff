"""What the disassembler tells of kernels whose machine code is known; occupancy against NVIDIA's rules, by hand."""

from pathlib import Path

import pytest

from weft.kernels.toolchain import compiler, machine_code
from weft.kernels.toolchain.compiler import Resources
from weft.kernels.toolchain.machine_code import MACHINES

SOURCE = Path(__file__).parents[1] / "machine_code.cu"
NAMES = ["scale", "products", "sum_block", "spills"]


def line_of(text):
    (line,) = (i for i, line in enumerate(SOURCE.read_text().splitlines(), 1) if text in line)
    return line


@pytest.fixture(scope="module", params=["sm_80", "sm_90a", "sm_100"])
def compiled(request):
    try:
        machine_code.tool()
    except compiler.ToolkitError as error:
        pytest.skip(str(error))
    program = compiler.build(str(SOURCE), NAMES, arch=request.param)
    return program, machine_code.disassemble(program)


class TestDisassemble:
    def test_vectors_move_in_one_instruction(self, compiled):
        code = compiled[1]["scale"]
        (load,), (store,) = ([i for i in code if i.opcode.startswith(name)] for name in ("LDG", "STG"))
        assert ".128" in load.opcode
        assert ".128" in store.opcode
        assert load.place == (SOURCE.name, line_of("// one load"))
        assert store.place == (SOURCE.name, line_of("// one store"))
        assert load.lines[0][0] == "common.cuh"
        assert sum(i.opcode.startswith("FMUL") for i in code) == 4

    def test_tensor_cores(self, compiled):
        assert dict(machine_code.tensor_cores(compiled[1]["products"])) == {"HMMA.16816.F32": 2}
        assert not machine_code.tensor_cores(compiled[1]["scale"])

    def test_shared_memory_and_barriers(self, compiled):
        code = compiled[1]["sum_block"]
        assert {"LDS", "STS", "BAR", "SHFL"} <= {i.opcode.partition(".")[0] for i in code}
        assert sum(i.opcode.startswith("SHFL") for i in code) == 5
        assert code[-1].opcode == "EXIT"

    def test_every_instruction_has_a_kind(self, compiled):
        unknown = {i.opcode.partition(".")[0] for code in compiled[1].values() for i in code if i.kind == "other"}
        assert not unknown

    def test_a_spill_is_reported_with_its_line(self, compiled):
        program, code = compiled
        (taken,) = (r for r in program.resources if r.kernel == "spills")
        assert taken.spill_stores > 0
        lines = [i for i, line in enumerate(SOURCE.read_text().splitlines(), 1) if "// kept" in line]
        found = machine_code.local_traffic(code["spills"])
        assert sum(found.values()) > 30
        assert sum(found[SOURCE.name, line] for line in lines) > 0.8 * sum(found.values())
        assert not machine_code.local_traffic(code["scale"])

    def test_a_label_that_nothing_jumps_to_begins_no_block(self, compiled):
        code = compiled[1]["spills"]
        spills = sum(machine_code.local_traffic(code).values())
        assert len(list(machine_code.by_block(code))) < 8 < 30 < spills  # the disassembler gives each of these a label

    def test_blocks_end_at_branches(self, compiled):
        for code in compiled[1].values():
            blocks = list(machine_code.by_block(code))
            assert sum(map(len, blocks)) == len(code)
            for block in blocks:
                assert not any(i.opcode.startswith(("BRA", "EXIT")) for i in block[:-1])


class TestWithoutTheTool:
    def test_says_what_to_install(self, monkeypatch):
        monkeypatch.setattr("cuda.pathfinder.find_nvidia_binary_utility", lambda name: None)
        monkeypatch.setattr("shutil.which", lambda name: None)
        with pytest.raises(compiler.ToolkitError, match=r'pip install "weft\[profile\]", or nvidia-cuda-nvdisasm'):
            machine_code.tool()

    def test_what_it_cannot_read(self, tmp_path):
        try:
            machine_code.tool()
        except compiler.ToolkitError as error:
            pytest.skip(str(error))
        (tmp_path / "no.cubin").write_bytes(b"no cubin")
        program = compiler.Program(tmp_path / "no.cubin", {}, [], "")
        with pytest.raises(compiler.ToolkitError, match=r"`nvdisasm` cannot read no\.cubin"):
            machine_code.disassemble(program)


class TestOccupancy:
    @pytest.mark.parametrize(
        ("registers", "shared", "threads", "dynamic", "machine", "blocks"),
        [
            (32, 0, 256, 0, "A100", 8),  # all 64 warps: 2048 threads
            (32, 0, 32, 0, "A100", 32),  # as many blocks as there may be
            (33, 0, 256, 0, "A100", 6),  # 40 × 32 registers: 12 warps in each part, 48 in all
            (255, 0, 256, 0, "H100", 1),  # 256 × 32 registers: 2 warps in each part
            (168, 0, 384, 0, "H200", 1),  # 3 × 4 warps
            (64, 0, 1024, 0, "B200", 1),
            (32, 1024, 64, 0, "H100", 32),
            (32, 8192, 64, 0, "H100", 25),  # 228 KiB in parts of 8 + 1
            (32, 0, 128, 160 << 10, "A100", 1),
            (32, 0, 128, 200 << 10, "A100", 0),  # more than a block may have
        ],
    )
    def test_blocks(self, registers, shared, threads, dynamic, machine, blocks):
        taken = Resources("f", registers=registers, shared=shared)
        assert machine_code.blocks_per_multiprocessor(taken, threads, dynamic, MACHINES[machine]) == blocks

    def test_share_of_warps(self):
        taken = Resources("f", registers=33)
        assert machine_code.occupancy(taken, 256, 0, MACHINES["A100"]) == 48 / 64
        assert machine_code.occupancy(taken, 250, 0, MACHINES["A100"]) == 48 / 64
