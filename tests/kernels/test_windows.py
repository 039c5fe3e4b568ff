"""The arithmetic of windows against its definition, by counting."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from weft.backend.nn.pooling import Axis, windows
from weft.kernels.toolchain.launch import Kernel
from weft.kernels.windows import Even, ranges, reciprocal, steps, windows_of

quotients = Kernel(Path(__file__).with_name("quotients.cu"), "quotients")


def test_quotients_are_exact():
    """For every number of bits of the divisor, its powers of two and their neighbours, at multiples of it and beside them.

    What a product is too great by grows with n: if anywhere, it goes wrong at the last number before a multiple.
    """
    rng = np.random.default_rng(0)
    powers = [1 << bits for bits in range(32)]
    divisors = {*range(1, 300), 641, 65535, *(p + d for p in powers for d in (-1, 0, 1))}
    divisors = sorted(d for d in {*divisors, *map(int, rng.integers(1, 2**31, 300))} if 1 <= d <= 2**31)
    pairs = []
    for d in divisors:
        last = (2**31 - 1) // d
        multiples = {k * d for k in {1, 2, 3, last - 1, last, last + 1, *map(int, rng.integers(1, last + 2, 20))}}
        near = {0, 1, 2**31 - 1, *(m + e for m in multiples for e in (-1, 0, 1)), *map(int, rng.integers(0, 2**31, 5))}
        pairs += [(n, d) for n in sorted(near) if 0 <= n < 2**31]
    n, d = np.array(pairs).T
    found = np.empty(len(n), np.int32)
    by = np.array([reciprocal(divisor) for divisor in map(int, d)], np.uint64)
    quotients(-(-len(n) // 256), 256, n.astype(np.int32), by, found, np.int32(len(n)))
    np.testing.assert_array_equal(found, n // d)


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
