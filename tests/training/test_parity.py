"""The parity plot: complete, the same each time, and refused where there is nothing to draw."""

import re

import numpy as np
import pytest

from weft.training import plot_parity


def test_picture(tmp_path, rng):
    true = rng.standard_normal((50, 2))
    for name in ("a.png", "b.png"):
        plot_parity(true, true + 0.1, tmp_path / name, title="houses", unit="price")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    plot_parity(np.ones(3), np.ones(3), tmp_path / "a.png")  # all alike


@pytest.mark.parametrize("shapes", [((3,), (4,)), ((0,), (0,)), ((3, 7), (3, 7)), ((3, 1, 1), (3, 1, 1))])
def test_refused(tmp_path, shapes):
    true, predicted = map(np.zeros, shapes)
    message = (
        f"`predicted` must have the shape of `true`, (N,) or (N, K) with K at most 6, got {shapes[1]} and {shapes[0]}"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        plot_parity(true, predicted, tmp_path / "a.png")
