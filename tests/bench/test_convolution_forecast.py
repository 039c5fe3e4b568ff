"""What is predicted of convolutions, against what STATUS.md has."""

import re

import pytest

from weft.bench import convolution_forecast
from weft.bench.convolution_forecast import WAYS, forecast
from weft.bench.kernels import RESULTS
from weft.kernels.emulator.roofline import LIMITS
from weft.kernels.toolchain.machine_code import MACHINES

SAME = (
    r"bound by its tensor cores: (\d+) TFLOP/s .* busy for (0\.\d+) of that time with 64 channels and features, "
    r"(0\.\d+) with 128 or (0\.\d+) with 256 forward and for the image's gradient, (0\.\d+) for the weight's"
)
STRIDED = (
    r"with stride 2 reaches (\d+) TFLOP/s with 64 channels of 56 × 56, which DRAM limits, (\d+) with 128 or (\d+) with 256 .* "
    r"busy for (0\.\d+), (0\.\d+) or (0\.\d+) of the tensor cores' time; that of"
)
POINTWISE = (
    r"1 × 1 reaches (\d+) TFLOP/s with 64 channels, (\d+) with 128, (\d+) with 256, as DRAM limits these, and (\d+) with 512, "
    r"shared memory busy for (0\.\d+), (0\.\d+), (0\.\d+) and (0\.\d+)\."
)
CASES = [(way, channels) for way in WAYS for channels in WAYS[way].sizes]


def told(way: str, channels: int) -> tuple[float, float]:
    """TFLOP/s and the share of shared memory that STATUS.md has."""
    text = " ".join((RESULTS / "STATUS.md").read_text(encoding="utf-8").split())
    pattern = {"strided-weight": STRIDED, "pointwise-weight": POINTWISE}.get(way, SAME)
    found, at = [float(number) for number in re.search(pattern, text).groups()], list(WAYS[way].sizes).index(channels)
    if pattern != SAME:
        return found[at], found[len(found) // 2 + at]
    return found[0], found[-1] if way == "weight" else found[1 + at]


@pytest.mark.slow
@pytest.mark.usefixtures("disassembler")
@pytest.mark.parametrize(("way", "channels"), CASES)
def test_status(way, channels):
    """What is the limit, and that shared memory is busy for as long as is told, and never for 0.8 of the products' time."""
    (speed, shared), found = told(way, channels), forecast(way, channels)
    assert found["TFLOP/s"] == pytest.approx(speed, abs=1)
    assert found["shared"] == pytest.approx(shared, abs=0.01)
    assert found["shared"] < 0.8
    limit = max(LIMITS, key=lambda name: found[name])
    by_bytes = {("strided-weight", 64), *(("pointwise-weight", few) for few in (64, 128, 256))}
    assert limit == ("DRAM" if (way, channels) in by_bytes else "tensor")
    assert found["tensor"] == 1


@pytest.mark.usefixtures("disassembler")
def test_tensor_cores_do_the_work(monkeypatch):
    """No less and no more, of one tile of 16 × 16 pixels, which its products fill."""
    monkeypatch.setitem(convolution_forecast.SIZES, 64, (16, 1))
    found = forecast("forward", 64)
    peak = MACHINES["H200"].tensor * MACHINES["H200"].multiprocessors * MACHINES["H200"].clock
    limits = {name: found[name] for name in LIMITS}
    assert found["TFLOP/s"] * 1e12 * max(limits.values()) == pytest.approx(peak, rel=1e-3)


def test_what_is_told():
    """Each figure is there."""
    assert told("forward", 128) == (618, 0.73)
    assert told("weight", 128) == (618, 0.69)
    assert all(0 < share < 1 < speed for speed, share in (told(*case) for case in CASES))


def test_main(monkeypatch, capsys):
    monkeypatch.setattr(
        convolution_forecast, "forecast", lambda *_: dict.fromkeys(convolution_forecast.COLUMNS, 0.5) | {"TFLOP/s": 500}
    )
    convolution_forecast.main(["weight", "strided-weight"])
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[-7:] == ["TFLOP/s", *LIMITS]
    sizes = WAYS["weight"].sizes
    assert [line.split()[:2] for line in lines] == [
        [f"{way},", str(channels)] for way in ("weight", "strided-weight") for channels in sizes
    ]
    assert ["2 apart" in line for line in lines] == [False] * len(sizes) + [True] * len(sizes)
    assert all(line.split()[-7:] == ["500"] + ["0.50"] * 6 for line in lines)


def test_an_unknown_way(capsys):
    with pytest.raises(SystemExit, match="2"):
        convolution_forecast.main(["wieght"])
    assert (
        "unknown way 'wieght'; choose from forward, image, weight, strided-weight, pointwise-weight"
        in capsys.readouterr().err
    )
