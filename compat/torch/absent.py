"""What is said of a name that weft.compat.torch does not have."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable

__all__ = ["absent"]

LONGEST = 1000  # characters of names


def absent(full: str, name: str, there: Iterable[str]) -> str:
    """The message of an error, with the names nearest to one, or all that there are.

    Parameters
    ----------
    full : str
        What was asked for, as `torch.nn.NAME`.
    name : str
        Its last part.
    there : iterable of str
        The names of the module.

    Returns
    -------
    str
        The message.

    Examples
    --------
    >>> absent("torch.optim.Adm", "Adm", ["Adam", "SGD"])
    '`torch.optim.Adm` is not in weft.compat.torch; did you mean Adam?'
    """
    near = difflib.get_close_matches(name, there := sorted(there), 3)
    all_there = textwrap.shorten(", ".join(there), LONGEST, placeholder=" …")
    said = f"did you mean {' or '.join(near)}?" if near else f"there is {all_there}"
    return f"`{full}` is not in weft.compat.torch; {said}"
