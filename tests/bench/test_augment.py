"""The bench of augmentation: both sides agree, and what is printed."""

import pytest

from weft.bench import augment


def test_runs(capsys):
    pytest.importorskip("PIL")
    assert augment.main(["--batch", "8", "--turns", "1"]) == 0
    ours, theirs, ratio = capsys.readouterr().out.splitlines()
    assert ours.split()[0] == "weft"
    assert theirs.split()[0] == "Pillow"
    assert float(ratio.split()[1]) > 0


def test_wrong_use(capsys):
    with pytest.raises(SystemExit):
        augment.main(["--batch", "3"])
    assert "--batch must be at least 8" in capsys.readouterr().err
