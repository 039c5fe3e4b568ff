"""What the rows of `test_shrinkage.py` for the primitives leave out: the errors."""

import pytest

import weft
from weft.layers import functional as F


@pytest.mark.parametrize("f", [F.hardshrink, F.softshrink])
def test_integers_are_refused(f):
    with pytest.raises(TypeError, match="`input` must have a real floating-point dtype, got int64"):
        f(weft.tensor([1, 2]))
