"""Kernels that spill are named with their bytes and lines; planted ones lose registers at lines that say so."""

from pathlib import Path

import pytest

from weft.__main__ import main
from weft.kernels.toolchain import compiler, machine_code
from weft.kernels.toolchain.spills import spills

PLANTED = Path(__file__).parents[1] / "machine_code.cu"


@pytest.fixture
def program():
    try:
        return compiler.build(str(PLANTED), ["scale", "spills", "sum_block"], arch="sm_90a")
    except compiler.ToolkitError as error:
        pytest.skip(str(error))


def test_only_those_that_spill(program):
    assert spills(compiler.Program(program.path, program.names, program.resources[:1], "")) == []


@pytest.mark.usefixtures("disassembler")
def test_lines(program):
    (text,) = spills(program)
    (taken,) = (r for r in program.resources if r.kernel == "spills")
    traffic = machine_code.local_traffic(machine_code.disassemble(program)["spills"]).most_common()
    head = f"`spills` spills {taken.spill_stores} bytes, loads {taken.spill_loads}, stack {taken.stack}: "
    assert text.startswith(head)
    first, second, *_ = text.removeprefix(head).split(", ")
    assert [first, second] == [f"machine_code.cu:{line} ({count} instructions)" for (_, line), count in traffic[:2]]
    assert text.endswith(f"and {len(traffic) - 3} lines more") == (len(traffic) > 3)


def test_without_the_disassembler(program, monkeypatch):
    def tool():
        raise compiler.ToolkitError("pip install it")

    monkeypatch.setattr(machine_code, "tool", tool)
    (text,) = spills(program)
    assert text.startswith("`spills` spills ")
    assert text.endswith(" (pip install it)")


@pytest.mark.usefixtures("disassembler")
def test_command(monkeypatch, capsys):
    monkeypatch.setattr(compiler, "families", lambda: {str(PLANTED): (["scale", "spills"], ())})
    assert main(["info", "--kernels", "--arch", "sm_90a"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("sm_90a: `spills` spills ")
    assert ": machine_code.cu:" in last
