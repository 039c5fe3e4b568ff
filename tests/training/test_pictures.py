"""A picture is written whole, the same each time, and leaves matplotlib as it was."""

import sys

import pytest

from weft.training import picture


def draw(path):
    with picture(path, 2, title="a title") as axes:
        for axis in axes:
            axis.plot([1, 2], [3, 4])


def test_the_same_bytes(tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    draw(tmp_path / "a.png")
    draw(tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert dict(matplotlib.rcParams) == before
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_nothing_is_written_where_drawing_fails(tmp_path):
    with pytest.raises(ZeroDivisionError), picture(tmp_path / "a.png"):
        1 / 0  # noqa: B018
    assert not list(tmp_path.iterdir())


def test_errors(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"`panels` must be an integer ≥ 1, got 0"), picture(tmp_path / "a.png", 0):
        pass
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'needs matplotlib .*pip install "weft\[train\]"'):
        draw(tmp_path / "a.png")
