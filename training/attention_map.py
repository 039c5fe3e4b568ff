"""The picture of what a translator looks at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .checkpoint import FilePath
from .plots import _figure, _write
from .shown import Picture

__all__ = ["plot_attention"]


def plot_attention(
    weights: Any, path: FilePath, *, source: Sequence[str], target: Sequence[str], title: str = ""
) -> Picture:
    """Write attention weights (T, S), a row for each word that is written, to a PNG file.

    Parameters
    ----------
    weights : array_like
        (T, S), each row adding up to 1.
    path : str or path
        The file.
    source : sequence of str
        S words that were read.
    target : sequence of str
        T words that were written.
    title : str, default ""
        Stands above the picture.

    Returns
    -------
    Picture
        The file.

    Raises
    ------
    ValueError
        If there is not a word for each row and column.
    ImportError
        If matplotlib is missing.
    WriteError
        If the file cannot be written.

    Examples
    --------
    >>> plot_attention([[0.9, 0.1]], "attention.png", source=["go", "<eos>"], target=[])
    Traceback (most recent call last):
        ...
    ValueError: `weights` must be (T, S) with a word for each, got shape (1, 2), 0 and 2 words
    >>> plot_attention([[0.9, 0.1]], "a.png", source=["go", "<eos>"], target=["va"])  # doctest: +SKIP
    """
    weights = np.asarray(weights)
    if weights.shape != (len(target), len(source)):
        raise ValueError(
            f"`weights` must be (T, S) with a word for each, got shape {weights.shape}, {len(target)} and {len(source)} words"
        )
    size = max(3.8, 0.42 * len(source) + 2.2), max(2.4, 0.36 * len(target) + 1.2)
    with _figure(1, size=size) as (figure, (axis,)):
        image = axis.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        scale = figure.colorbar(image, ax=axis, fraction=0.05, pad=0.03)
        scale.outline.set_visible(False)
        scale.ax.tick_params(length=0, labelsize=8)
        axis.grid(False)
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
        axis.set_xticks(range(len(source)), [_plain(word) for word in source], rotation=45, ha="right")
        axis.set_yticks(range(len(target)), [_plain(word) for word in target])
        axis.set_xlabel("read")
        axis.set_ylabel("written")
        axis.set_title(_plain(title), fontsize=10, fontweight="bold", loc="left")
        figure.tight_layout()
        _write(figure, path)
    return Picture(path)


def _plain(text: str) -> str:
    """Text that matplotlib takes for no formula."""
    return text.replace("$", r"\$")
