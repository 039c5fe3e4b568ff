"""Examples without a batch, and errors; numbers are in the rows of the primitives."""

import numpy as np
import pytest

import weft
from weft.layers import functional as F


def test_one_example(rng):
    x = rng.standard_normal((1, 3, 5, 6))
    columns = F.unfold(weft.tensor(x), 2, 1, (1, 0), 2)
    np.testing.assert_array_equal(F.unfold(weft.tensor(x[0]), 2, 1, (1, 0), 2).numpy(), columns.numpy()[0])
    whole = F.fold(columns, (5, 6), 2, 1, (1, 0), 2)
    np.testing.assert_array_equal(F.fold(columns[0], (5, 6), 2, 1, (1, 0), 2).numpy(), whole.numpy()[0])


def test_folding_counts_the_windows_of_a_pixel():
    x = weft.ones((1, 1, 3, 4))
    assert F.fold(F.unfold(x, 2), (3, 4), 2).tolist() == [[[[1, 2, 2, 1], [2, 4, 4, 2], [1, 2, 2, 1]]]]


@pytest.mark.parametrize(("call", "message"), [
    (lambda x: F.unfold(x, 7), r"`input` must be as large as a window, got \(2, 3, 5, 6\) for kernel \(7, 7\), dilation"),
    (lambda x: F.unfold(x[0, 0], 2), r"`input` must have shape \(N, C, H, W\) or \(C, H, W\), .*, got \(5, 6\)"),
    (lambda x: F.unfold(x[:, :0], 2), r"`input` must have shape .*, nothing but N 0, got \(2, 0, 5, 6\)"),
    (lambda x: F.unfold(x, (2, 2, 2)), r"`kernel_size` must be an int or 2 ints, each at least 1, got \(2, 2, 2\)"),
    (lambda x: F.unfold(x, 2, stride=0), r"`stride` must be an int or 2 ints, each at least 1, got 0"),
    (lambda x: F.fold(weft.ones((2, 13, 20)), (5, 6), 2), r"must have shape \(N, C·4, 20\) or .* got \(2, 13, 20\)"),
    (lambda x: F.fold(weft.ones((2, 12, 21)), (5, 6), 2), r"an `output_size` of \(5, 6\) and kernel .* got \(2, 12, 21\)"),
    (lambda x: F.fold(weft.ones((2, 12, 21)), (1, 6), 2), r"`output_size` must be as large as a window, got \(1, 6\)"),
])  # fmt: skip
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call(weft.ones((2, 3, 5, 6)))
