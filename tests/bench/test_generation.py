"""Generation with the cache beside generation without: what is timed, what is printed, tokens that differ."""

import pytest

from weft.bench import generation
from weft.layers import models


@pytest.mark.parametrize("prompts", ["1", "5"])
def test_both(prompts, capsys):
    assert generation.main(["--width", "8", "--length", "24", "--prompts", prompts, "--turns", "2"]) == 0
    every, last = capsys.readouterr().out.splitlines()
    assert every.startswith("all tokens")
    assert last.startswith("the last 16")
    for line in (every, last):
        assert float(line.rpartition(":")[2].split()[0]) > 0


def test_tokens_that_differ(monkeypatch, capsys):
    usual = models.LanguageModel.generate_steps

    def other(self, prompts, count, *, use_cache, **options):
        return usual(self, prompts, count, seed=int(use_cache))

    monkeypatch.setattr(models.LanguageModel, "generate_steps", other)
    assert generation.main(["--width", "8", "--length", "24", "--turns", "1"]) == 1
    assert "are not those without" in capsys.readouterr().out


@pytest.mark.parametrize("argv", [["--width", "6"], ["--length", "20"], ["--turns", "0"]])
def test_wrong_use(argv, capsys):
    with pytest.raises(SystemExit):
        generation.main(argv)
    assert "--width must be a multiple of 4" in capsys.readouterr().err
