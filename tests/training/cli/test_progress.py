"""The bar of a command that prints: nothing where nobody sees it, and never over a line of output."""

import io
import sys

import pytest

from weft.training.cli.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_nothing_where_nobody_sees_it(capsys):
    with Progress("compiling", 2) as progress:
        progress.advance("first.cu")
        with progress.aside():
            print("a line")
    assert capsys.readouterr() == ("a line\n", "")


@pytest.mark.parametrize("stream", [None, io.StringIO()])
def test_no_terminal(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    with Progress("compiling", 1) as progress:
        progress.expect(2)
        progress.advance()


def test_a_terminal_has_a_bar(monkeypatch):
    pytest.importorskip("rich")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress("compiling", 1) as progress:
        progress.expect(7)
        progress.advance("first.cu")
        with progress.aside():
            assert "1/7" in terminal.getvalue()
            before = terminal.getvalue()
            assert "compiling" in before
            progress.advance("second.cu")
            assert terminal.getvalue() == before  # the bar is out of the way
    assert "second.cu" in terminal.getvalue()
