"""What is predicted for long sequences: exact where it can be worked out, and near what a longer run asks for."""

import pytest

from weft.bench import attention_forecast
from weft.bench.attention_forecast import SHORT, forecast
from weft.kernels.emulator.roofline import LIMITS
from weft.kernels.toolchain.machine_code import MACHINES

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("disassembler")]

PEAK = 4096 * 132 * 1.83e9  # operations per second of Hopper's tensor cores, by warpgroups


@pytest.mark.parametrize(
    ("causal", "useful"), [(False, 1), (True, 32 / 33)]
)  # 32 of 33 half tiles of 128 keys are used
def test_tensor_cores_of_the_candidate(causal, useful):
    found = forecast("wgmma", back=False, causal=causal)
    assert found["tensor"] == pytest.approx(PEAK * useful)
    assert found["predicted"] == min(found[name] for name in LIMITS)
    assert 1 / found["in turn"] == pytest.approx(1 / found["tensor"] + 1 / min(found["issue"], found["lanes"]))


@pytest.mark.parametrize("kind", attention_forecast.KINDS)
def test_near_what_a_longer_run_asks_for(kind):
    longer = max(SHORT) + 2
    runs = [attention_forecast._parts(kind, False, True, tiles, 128, MACHINES["H200"]) for tiles in (*SHORT, longer)]
    for name in ("DRAM", "L2", "issue", "tensor", "shared", "ALU", "FMA", "XU", "LSU"):
        *short, long = (run[0][name] for run in runs)
        assert attention_forecast._at(longer, short) == pytest.approx(long, rel=0.03), name


@pytest.mark.parametrize("kind", attention_forecast.KINDS)
@pytest.mark.parametrize("causal", [False, True])
def test_exponentials_take_their_lanes(kind, causal):
    """16 a clock, one for each score at least: of 4 D operations each, or half as many of a tile of which half is used."""
    found = forecast(kind, back=False, causal=causal)
    assert found["lanes"] <= 4 * 128 * 16 * 132 * 1.83e9


def test_what_straight_code_before_the_loop_costs():
    """Products of warpgroups read shared memory themselves: it is no load's that runs once (backward took 50 times as long)."""
    few, more = (
        attention_forecast._parts("wgmma", True, False, tiles, 128, MACHINES["H200"])[-2] for tiles in SHORT[:2]
    )
    ratio = (SHORT[1] / SHORT[0]) ** 2
    assert more["tensor"] == pytest.approx(ratio * few["tensor"])
    assert more["issue"] < ratio * few["issue"] < 2 * ratio * few["tensor"]


def test_main(monkeypatch, capsys):
    monkeypatch.setattr(
        attention_forecast, "forecast", lambda *_, **__: dict.fromkeys(attention_forecast.COLUMNS, 5e14)
    )
    attention_forecast.main(["wgmma"])
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[-9:] == ["predicted", "in", "turn", *LIMITS]
    assert [line.split()[:3] for line in lines] == [
        ["wgmma,", way, mask] for way in ("forward,", "backward,") for mask in ("full", "causal")
    ]
    assert all(line.split()[3:] == ["500"] * 8 for line in lines)


def test_an_unknown_kind(capsys):
    with pytest.raises(SystemExit, match="2"):
        attention_forecast.main(["wgmna"])
    assert "unknown kind 'wgmna'; choose from mma.sync, wgmma" in capsys.readouterr().err
