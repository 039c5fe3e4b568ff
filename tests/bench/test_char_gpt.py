"""The character GPT beside PyTorch: both sides are told the same; what is printed; a side that ends."""

import io
import json

import numpy as np
import pytest

import weft
from weft.bench import char_gpt
from weft.bench.char_gpt_torch import _gpt, read_setting, serve

TEXT = "the quick brown fox jumps over the lazy dog;\n" * 40


@pytest.fixture
def data(tmp_path):
    (tmp_path / "fox.txt").write_text(TEXT)
    return str(tmp_path / "fox.txt")


def test_alone(data, capsys):
    assert char_gpt.main(["--data", data, "--chunks", "2", "--chunk", "3", "--threads", "1"]) == 0
    first, second, last = capsys.readouterr().out.splitlines()
    assert first.split()[:3] == ["3", "iterations", "weft"]
    assert second.split()[:3] == ["6", "iterations", "weft"]
    assert 0 < float(last.rpartition(" ")[2]) < 5


def test_what_both_sides_read(data, tmp_path):
    """The weights of `weft train --task text`, and its learning rates."""
    char_gpt._prepare(tmp_path, data, 50, 1)
    setting = json.loads((tmp_path / "setting.json").read_text())
    assert (setting["vocab_size"], setting["context"], len(setting["rates"])) == (29, 64, 50)
    assert setting["rates"][0] == pytest.approx(2e-3 / 101)
    assert len(np.load(tmp_path / "train.npy")) + len(np.load(tmp_path / "held_out.npy")) == len(TEXT)
    weft.manual_seed(setting["seed"])
    model = char_gpt._model(setting)
    with np.load(tmp_path / "weights.npz") as weights:
        assert set(weights) == set(model.state_dict())
        np.testing.assert_array_equal(weights["wte.weight"], model.wte.weight.detach().numpy())
    torch = pytest.importorskip("torch")
    theirs = {name: tuple(p.shape) for name, p in _gpt(torch, setting).state_dict().items()}
    assert theirs == {name: tuple(p.shape) for name, p in model.state_dict().items()}


def test_a_side_that_ends(data):
    with pytest.raises(SystemExit, match="PyTorch: its process has ended; its message stands above"):
        char_gpt.main(["--data", data, "--torch", "false", "--chunks", "1", "--chunk", "1", "--threads", "1"])


def test_a_side_that_nobody_asks_any_more(data, tmp_path, monkeypatch, capsys):
    """When the command is killed, its sides end; they do not first look at all that is held out."""
    char_gpt._prepare(tmp_path, data, 4, 1)
    asked = []
    for line, looks in (("1\n", False), ("1\nend\n", True)):
        asked.clear()
        monkeypatch.setattr("sys.stdin", io.StringIO(line))
        serve(tmp_path, read_setting(tmp_path), lambda x, y, lr: 2.0, lambda x, y: asked.append(len(x)) or 3.0)
        assert bool(asked) == ("validation_loss" in capsys.readouterr().out) == looks


@pytest.mark.parametrize("argv", [[], ["--data", "x", "--chunks", "0"]])
def test_wrong_use(argv, capsys):
    with pytest.raises(SystemExit):
        char_gpt.main(argv)
    assert "--data must name a text, and --chunks" in capsys.readouterr().err
