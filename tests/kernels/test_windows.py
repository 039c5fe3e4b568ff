"""The arithmetic of windows against its definition, by counting."""

import itertools

import pytest

from weft.backend.nn.pooling import Axis, windows
from weft.kernels.windows import Even, quick_reciprocal, ranges, reciprocal, steps, windows_of


@pytest.mark.parametrize("divisor", [1, 2, 3, 7, 10, 641, 65537, 2**30, 2**31 - 1])
def test_a_product_with_the_reciprocal_is_the_quotient(divisor):
    """As `quotient` has it: the upper 64 bits of (n + 1) · reciprocal, for n below 2³¹."""
    near = [k * divisor + d for k in (1, 2, 3, (2**31 - 1) // divisor) for d in (-1, 0, 1)]
    for n in (0, 1, 2, 2**31 - 1, *near):
        if 0 <= n < 2**31:
            assert (n + 1) * int(reciprocal(divisor)) >> 64 == n // divisor


def test_of_nothing():
    assert quick_reciprocal(0) == quick_reciprocal(1)
    assert reciprocal(0) == reciprocal(1)  # nothing is divided where an axis is empty


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("dilation", [1, 2, 3, 4, 6])
def test_steps_from_window_to_window(stride, dilation):
    """Of all windows that read a place, neighbours are (apart, skip) from each other."""
    apart, skip = steps(stride, dilation)
    for place in range(60, 80):
        readers = [(o, i) for o in range(80) for i in range(9) if o * stride + i * dilation == place]
        assert all((o + apart, i - skip) == after for (o, i), after in itertools.pairwise(readers))


@pytest.mark.parametrize("divisor", [1, 2, 3, 7, 10, 641, 65537, 2**30, 2**30 + 1, 2**31 - 1])
def test_a_quick_quotient(divisor):
    """As `quick_quotient` has it: the upper half of 2 n times the lower half, shifted by the upper one, for n below 2³¹."""
    by = int(quick_reciprocal(divisor))
    assert by < 2**64
    near = [k * divisor + d for k in (1, 2, 3, (2**31 - 1) // divisor) for d in (-1, 0, 1)]
    for n in (0, 1, 2, 2**31 - 1, *near):
        if 0 <= n < 2**31:
            assert (2 * n * (by & 0xFFFFFFFF) >> 32) >> (by >> 32) == n // divisor


def windows_and_elements():
    """Axes, and what each of their windows has."""
    for size, kernel, stride, ceil_mode in itertools.product(
        (1, 2, 5, 8, 13), (1, 2, 3, 5), (1, 2, 3, 7), (False, True)
    ):
        for before in range(kernel // 2 + 1):
            if size + 2 * before >= kernel:
                axis = Axis(size, windows(size, kernel, stride, before, 1, ceil_mode), kernel, stride, before, 1)
                starts = [o * stride - before for o in range(axis.output)]
                yield axis, [[i for i in range(start, start + kernel) if 0 <= i < size] for start in starts]
    for size, output in itertools.product(range(1, 15), repeat=2):
        yield Even(size, output), [[*range(o * size // output, -(-(o + 1) * size // output))] for o in range(output)]


def test_ranges():
    """What windows have, which windows have an element, and how much neighbours have at most, against counting."""
    for axis, elements in windows_and_elements():
        readers = [[o for o, them in enumerate(elements) if i in them] for i in range(axis.size)]
        for found, size, expected in ((ranges(axis), axis.size, elements), (windows_of(axis), axis.output, readers)):
            begins, ends = (
                [max(found.step * i + offset, 0) // found.over - found.shift for i in range(len(expected))]
                for offset in (found.first, found.last)
            )
            assert [[*range(max(b, 0), min(e, size))] for b, e in zip(begins, ends)] == expected
            them = [i for each in expected for i in each]
            assert found.has_all(len(expected), size) == (min(them) == 0 and max(them) == size - 1)
            for count in range(1, len(expected) + 1):
                for i in range(len(expected) - count + 1):
                    them = [j for each in expected[i : i + count] for j in each]
                    assert not them or max(them) - min(them) < found.most(count)
            for room in range(1, 12):
                fitting = found.fitting(room)
                assert fitting < 1 or found.most(fitting) <= room
                assert found.most(max(fitting, 0) + 1) > room
        identity = [[i] for i in range(axis.size)] == elements
        assert windows_of(axis).is_identity <= identity
        assert axis.size == 1 or windows_of(axis).is_identity == (identity and axis.kernel == 1)
