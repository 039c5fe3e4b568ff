"""What is predicted of convolutions, against what STATUS.md has."""

import re

import pytest

from weft.bench import convolution_forecast
from weft.bench.convolution_forecast import SIZES, WAYS, forecast
from weft.bench.kernels import RESULTS
from weft.kernels.emulator.roofline import LIMITS

CLAIM = (
    r"bound by its tensor cores: (\d+) TFLOP/s .* busy for (0\.\d+) of that time with 64 channels and features, "
    r"(0\.\d+) with 128 or (0\.\d+) with 256 forward and for the image's gradient, (0\.\d+) for the weight's"
)


@pytest.mark.slow
@pytest.mark.usefixtures("disassembler")
@pytest.mark.parametrize("channels", SIZES)
@pytest.mark.parametrize("way", WAYS)
def test_status(way, channels):
    """Tensor cores are the limit, and shared memory is busy for as long as is told."""
    text = " ".join((RESULTS / "STATUS.md").read_text(encoding="utf-8").split())
    speed, *forward, weight = map(float, re.search(CLAIM, text).groups())
    found, shared = forecast(way, channels), weight if way == "weight" else dict(zip(SIZES, forward))[channels]
    assert found["TFLOP/s"] == pytest.approx(speed, abs=1)
    assert found["shared"] == pytest.approx(shared, abs=0.01)
    assert max(found[name] for name in LIMITS) == found["tensor"] == 1


def test_main(monkeypatch, capsys):
    monkeypatch.setattr(
        convolution_forecast, "forecast", lambda *_: dict.fromkeys(convolution_forecast.COLUMNS, 0.5) | {"TFLOP/s": 500}
    )
    convolution_forecast.main(["weight"])
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[-6:] == ["TFLOP/s", *LIMITS]
    assert [line.split()[:2] for line in lines] == [["weight,", str(channels)] for channels in SIZES]
    assert all(line.split()[-6:] == ["500"] + ["0.50"] * 5 for line in lines)


def test_an_unknown_way(capsys):
    with pytest.raises(SystemExit, match="2"):
        convolution_forecast.main(["wieght"])
    assert "unknown way 'wieght'; choose from forward, image, weight" in capsys.readouterr().err
