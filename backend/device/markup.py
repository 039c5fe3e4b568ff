"""HTML for notebooks: text, tables and trees, without scripts, in the page's own colours, light or dark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["code", "faint", "table", "text", "tree"]


def text(x: Any) -> str:
    """What `str` gives, with nothing in it that HTML would read."""
    from html import escape  # costs a millisecond

    return escape(str(x))


def faint(x: Any) -> str:
    """Text that stands back."""
    return f'<span style="opacity:0.65">{text(x)}</span>'


def code(x: Any) -> str:
    """Text as it is, line by line."""
    return f'<pre style="margin:0; white-space:pre-wrap">{text(x)}</pre>'


def table(header: Sequence[Any], rows: Iterable[Sequence[Any]], notes: Iterable[Any] = ()) -> str:
    """A table whose first column is text and whose others are numbers, and lines below it."""

    def line(cells: Sequence[Any], tag: str) -> str:
        sides = ["left", *["right"] * (len(cells) - 1)]
        return "".join(f'<{tag} style="text-align:{side}">{text(c)}</{tag}>' for c, side in zip(cells, sides))

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    below = "".join(f"<div>{faint(note)}</div>" for note in notes)
    return f"<div><table><thead><tr>{line(header, 'th')}</tr></thead><tbody>{body}</tbody></table>{below}</div>"


def tree(label: str, branches: Sequence[str], *, is_open: bool = True) -> str:
    """A line of HTML, and below it others, which can be folded away."""
    if not branches:
        return f"<div>{label}</div>"
    below = f'<div style="margin-left:1.5em">{"".join(branches)}</div>'
    return f"<details{' open' if is_open else ''}><summary>{label}</summary>{below}</details>"
