"""No kernel is worse than recorded: instructions, sectors of global memory, bank conflicts, spills, by file and line."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from weft.bench import kernels
from weft.kernels.emulator import counters
from weft.kernels.emulator.roofline import roofline
from weft.kernels.toolchain import compiler, launch
from weft.kernels.toolchain.machine_code import MACHINES
from weft.training.cli.kernel_profile import CASES, measure

pytestmark = pytest.mark.usefixtures("disassembler")

RECORD = json.loads(kernels.RECORD.read_text(encoding="utf-8"))
BEFORE = json.loads(kernels.BEFORE.read_text(encoding="utf-8"))
COUNTED, MACHINE_CODE = (Path(__file__).parents[1] / "kernels" / f"{name}.cu" for name in ("counted", "machine_code"))
ROOM = 1.15  # compilers of other versions need some instructions more
QUICK = (  # the others have kernels that take long to compile; what all ask of memory, test_kernel_requests.py guards
    "adam", "avg_pool2d", "dropout", "embedding", "gelu", "layer_norm", "linear", "max_pool2d", "max_pool2d_3", "rand", "rotary",
)  # fmt: skip


def worse(found, allowed):
    """What of a launch is above its limits, each with the line that asks most."""
    now, complaints = kernels.limits(found), []
    for name, part, whole in (("sectors", "sectors", "ideal"), ("cycles", "cycles", "phases")):
        if now[name] > max(kernels.EXCESS, allowed[name]):
            cost = max(
                (c for c in found.lines if getattr(c, whole)), key=lambda c: getattr(c, part) / getattr(c, whole)
            )
            complaints.append(f"{found.kernel}: {name} {now[name]}, recorded {allowed[name]}: {cost}")
    if any(now[name] > ROOM * allowed.get(name, now[name]) for name in ("instructions", "issue", "lanes")):
        cost = max(found.lines, key=lambda c: c.instructions)
        complaints.append(
            f"{found.kernel}: {now['instructions']} instructions a byte, recorded {allowed['instructions']}: {cost}"
        )
    if now["spills"] > allowed["spills"]:
        cost = max(found.lines, key=lambda c: c.spilled)
        complaints.append(
            f"{found.kernel}: {now['spills']} bytes of registers spilt, recorded {allowed['spills']}: {cost}"
        )
    return complaints


@pytest.mark.parametrize(
    "case", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in CASES]
)
def test_no_worse_than_recorded(case):
    complaints = []
    for row in measure([case], MACHINES["H200"]):
        name = f"{case}: {row['roofline'].kernel}"
        assert name in RECORD, f"`{name}` is not recorded: run `python -m weft.bench.kernels`"
        complaints += worse(row["roofline"], RECORD[name])
    assert not complaints, "\n".join(complaints)


def test_what_is_worse_is_named_with_its_line():
    (found, *_) = (row["roofline"] for row in measure(["max_pool2d_3"], MACHINES["H200"]))
    strict = {"sectors": 1.0, "cycles": 1.0, "instructions": 1.0, "issue": 0.1, "spills": 0}
    sectors, instructions = worse(found, strict)
    assert "max_pool_3x3<float, 4>: sectors 2.39, recorded 1.0: pooling_3x3.cu:61, " in sectors
    assert "instructions a byte, recorded 1.0: windows.cuh:" in instructions


@pytest.mark.parametrize(
    ("kernel", "grid", "block", "sizes", "what"),
    [("copy_strided", 1, 256, (2048, 256), "sectors 8.0"), ("transpose", (1, 1), (32, 8), (1024, 1024), "cycles 32.0")],
)
def test_planted_faults_are_named_with_their_line(kernel, grid, block, sizes, what):
    """A read that is not together, and a column of a tile that lies in one bank, fail what guards the kernels."""
    lines = COUNTED.read_text(encoding="utf-8").splitlines()
    instance = launch.Kernel(COUNTED, kernel, *[(32,)] * (kernel == "transpose"))
    arrays = [np.zeros(size, np.float32) for size in sizes]
    with counters.counting() as launches:
        (instance[32] if kernel == "transpose" else instance)(
            grid, block, *arrays, *[np.int32(32)] * (kernel == "transpose")
        )
    found = roofline(launches[0], MACHINES["H200"])
    fine = kernels.limits(found) | {"sectors": 1.0, "cycles": 1.0}
    (complaint,) = worse(found, fine)
    line = int(complaint.rpartition("counted.cu:")[2].partition(",")[0])
    assert what in complaint
    assert "// wasteful" in lines[line - 1]
    assert worse(found, kernels.limits(found)) == []


def test_a_planted_spill_is_named_with_its_line():
    x, y = (np.zeros(96 * 1024, np.float32) for _ in range(2))
    with counters.counting() as launches:
        launch.Kernel(MACHINE_CODE, "spills")(1, 1024, x, y)
    found = roofline(launches[0], MACHINES["H200"])
    (complaint,) = worse(found, kernels.limits(found) | {"spills": 0})
    line = int(complaint.rpartition("machine_code.cu:")[2].partition(",")[0])
    assert re.match(r"spills: \d\d+ bytes of registers spilt, recorded 0: ", complaint)
    assert complaint.endswith(" of them go to local memory")
    assert "// kept" in MACHINE_CODE.read_text(encoding="utf-8").splitlines()[line - 1]


def test_record_covers_every_case():
    assert {name.split(":")[0] for name in RECORD} == set(CASES)
    assert not any(entry["spills"] for entry in RECORD.values())


def test_every_kernel_is_recorded():
    """In one of its instantiations."""
    compiler.families()
    recorded = {name.partition(": ")[2].partition("<")[0] for name in RECORD}
    assert {kernel.name for kernel in launch.KERNELS if kernel.source in compiler.families()} - recorded == set()


AS_FAST_AS_A_COPY = [
    "adam: step<float, Adam, 256>", "adam: step<__nv_bfloat16, Adam, 256>",
    *(f"dropout: dropout<{dtype}, false, false>" for dtype in ("float", "__nv_bfloat16")),
    *(f"{case}<{dtype}>" for dtype in ("float, 4", "__nv_bfloat16, 8") for case in (
        "max_pool2d: max_pool_2x2", "max_pool2d: max_pool_2x2_gradient", "max_pool2d_3: max_pool_3x3",
        "max_pool2d_3: max_pool_3x3_gradient", "avg_pool2d: avg_pool_2x2", "avg_pool2d: avg_pool_2x2_gradient")),
    *(f"max_pool2d_3_1: running_maxima<{dtype}, 3>" for dtype in ("float", "__nv_bfloat16")),
    *(f"max_pool2d_3_1: max_pool_same_gradient<{dtype}>" for dtype in ("float, 4", "__nv_bfloat16, 8")),
    *(f"max_pool2d_{k}: window_maxima_gradient<float, 2>" for k in (5, 7, 13)),
    *(case.format(dtype) for dtype in ("float", "__nv_bfloat16") for case in (
        "gelu: activation_forward<{}, GeluTanh>", "gelu: activation_backward<{}, GeluTanh>",
        "cross_entropy: cross_entropy_rows<{}, 512>")),
    *(f"{case}: norm_{way}<{dtype}>" for case, centred in (("layer_norm", "true"), ("rms_norm", "false"))
      for way in ("forward", "backward") for dtype in (f"float, {centred}, 4", f"__nv_bfloat16, {centred}, 8")),
]  # fmt: skip


BUT_FOR_LANES = [
    "max_pool2d_7_by_5: window_maxima<float, 2>",
    *(f"max_pool2d_{k}: running_maxima<{dtype}, {k}>" for k in (5, 7) for dtype in ("float", "__nv_bfloat16")),
]


@pytest.mark.parametrize("name", AS_FAST_AS_A_COPY)
def test_as_fast_as_a_copy(name):
    assert RECORD[name]["share"] >= 0.85


@pytest.mark.parametrize("name", BUT_FOR_LANES)
def test_as_fast_as_a_copy_but_for_the_lanes_of_comparisons(name):
    """By bytes and instructions: of comparisons and selections half as many are done as are issued."""
    entry = RECORD[name]
    assert entry["share"] == pytest.approx(1 / entry["lanes"], abs=0.01)
    assert entry["issue"] <= 1 / 0.85


def test_table():
    assert kernels.TABLE.read_text(encoding="utf-8") == kernels.table(BEFORE, RECORD)


def test_an_unknown_case(capsys):
    with pytest.raises(SystemExit, match="2"):
        kernels.main(["dropuot"])
    assert "unknown case 'dropuot'; choose from adam, attention," in capsys.readouterr().err
