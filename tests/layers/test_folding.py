"""Each layer is the function with its options; representation is PyTorch's."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.layers import functional as F


def test_layers(rng):
    x = weft.tensor(rng.standard_normal((2, 3, 5, 6)))
    unfold, fold = nn.Unfold(2, 1, (1, 0), (2, 1)), nn.Fold((5, 6), 2, 1, (1, 0), (2, 1))
    columns = unfold(x)
    np.testing.assert_array_equal(columns.numpy(), F.unfold(x, 2, 1, (1, 0), (2, 1)).numpy())
    np.testing.assert_array_equal(fold(columns).numpy(), F.fold(columns, (5, 6), 2, 1, (1, 0), (2, 1)).numpy())
    assert repr(unfold) == "Unfold(kernel_size=2, dilation=1, padding=(1, 0), stride=(2, 1))"
    assert repr(fold) == "Fold(output_size=(5, 6), kernel_size=2, dilation=1, padding=(1, 0), stride=(2, 1))"


def test_sizes_are_checked_when_it_is_made():
    with pytest.raises(ValueError, match=r"`kernel_size` must be an int or 2 ints, each at least 1, got 0"):
        nn.Unfold(0)
    with pytest.raises(ValueError, match=r"`output_size` must be an int or 2 ints, .*, got \(4, 5, 6\)"):
        nn.Fold((4, 5, 6), 2)
