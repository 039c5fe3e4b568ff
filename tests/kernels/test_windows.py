"""The arithmetic of windows against its definition, by counting."""

import itertools

import pytest

from weft.kernels.windows import reciprocal, steps


@pytest.mark.parametrize("divisor", [1, 2, 3, 7, 10, 641, 65537, 2**30, 2**31 - 1])
def test_a_product_with_the_reciprocal_is_the_quotient(divisor):
    """As `quotient` has it: the upper 64 bits of (n + 1) · reciprocal, for n below 2³¹."""
    near = [k * divisor + d for k in (1, 2, 3, (2**31 - 1) // divisor) for d in (-1, 0, 1)]
    for n in (0, 1, 2, 2**31 - 1, *near):
        if 0 <= n < 2**31:
            assert (n + 1) * int(reciprocal(divisor)) >> 64 == n // divisor


def test_of_nothing():
    assert reciprocal(0) == reciprocal(1)  # nothing is divided where an axis is empty


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("dilation", [1, 2, 3, 4, 6])
def test_steps_from_window_to_window(stride, dilation):
    """Of all windows that read a place, neighbours are (apart, skip) from each other."""
    apart, skip = steps(stride, dilation)
    for place in range(60, 80):
        readers = [(o, i) for o in range(80) for i in range(9) if o * stride + i * dilation == place]
        assert all((o + apart, i - skip) == after for (o, i), after in itertools.pairwise(readers))
