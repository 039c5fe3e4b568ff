"""Against loops over places and pixels in float64; derivatives in image and grid by differences, twice; the ends."""

import itertools
import math

import harness
import numpy as np
import pytest
from harness import Case

import weft
from weft.backend.nn import sampling as S


def cubic(t, a=-0.75):
    t = abs(t)
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0


def mirrored(at, n, align_corners):
    low, high = (0, n - 1) if align_corners else (-0.5, n - 0.5)
    if low == high:
        return 0.0
    while not low <= at <= high:
        at = 2 * low - at if at < low else 2 * high - at
    return at


def padded(at, n, padding_mode, align_corners):
    if padding_mode == "zeros":
        return at
    if padding_mode == "reflection":
        at = mirrored(at, n, align_corners)
    return min(max(at, 0), n - 1)


def weights(coordinate, n, mode, padding_mode, align_corners):
    """What a place takes from each of n pixels."""
    w = np.zeros(n)
    at = (coordinate + 1) / 2 * (n - 1) if align_corners else ((coordinate + 1) * n - 1) / 2
    if mode == "bicubic":
        near = [
            (padded(i, n, padding_mode, align_corners), cubic(at - i))
            for i in range(math.floor(at) - 1, math.floor(at) + 3)
        ]
    else:
        at = padded(at, n, padding_mode, align_corners)
        near = [(round(at), 1.0)] if mode == "nearest" else [(i, max(0.0, 1 - abs(at - i))) for i in range(-9, n + 9)]
    for i, weight in near:
        if 0 <= i < n:
            w[int(i)] += weight
    return w


def grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False):
    n, channels, *sizes = x.shape
    y = np.zeros((n, channels, *grid.shape[1:-1]))
    for place in itertools.product(*map(range, grid.shape[:-1])):
        block = x[place[0]]
        for axis in reversed(range(len(sizes))):
            block = block @ weights(grid[place][len(sizes) - 1 - axis], sizes[axis], mode, padding_mode, align_corners)
        y[(place[0], slice(None), *place[1:])] = block
    return y


def case(shape, places, **options):
    rng = np.random.default_rng([9, *shape, *places])
    grid = rng.uniform(-1.7, 1.7, (shape[0], *places, len(places)))
    return Case(S.grid_sample, (rng.standard_normal(shape), grid), grid_sample, options, tolerance=10)


CASES = [
    *[case((2, 3, 4, 5), (3, 2), mode=mode, padding_mode=padding, align_corners=corners)
      for mode in ("bilinear", "nearest", "bicubic") for padding in ("zeros", "border", "reflection") for corners in (False, True)],
    *[case((1, 2, 3, 2, 4), (2, 2, 3), mode=mode, padding_mode=padding)
      for mode in ("bilinear", "nearest") for padding in ("zeros", "border", "reflection")],
    case((1, 1, 1, 1), (3, 3), padding_mode="reflection", align_corners=True),
    case((0, 2, 3, 4), (2, 2)), case((1, 0, 3, 4), (2, 2)), case((1, 2, 3, 4), (0, 2)),
]  # fmt: skip
test_primitive = harness.over(CASES)


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_a_place_that_is_nan_gives_nan(mode, padding):
    grid = weft.tensor([[[[float("nan"), 0.0], [0.0, 0.0]]]])
    y = S.grid_sample(weft.ones((1, 1, 3, 4)), grid, mode=mode, padding_mode=padding).numpy()
    assert np.isnan(y[0, 0, 0, 0])
    assert y[0, 0, 0, 1] == pytest.approx(1)


@pytest.mark.parametrize("far", [np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_places_far_away(mode, far):
    x, grid = weft.tensor([[[[1.0, 2.0, 3.0]]]]), weft.tensor([[[[far, 0.0]]]], requires_grad=True)
    assert S.grid_sample(x, grid, mode=mode).item() == 0
    edge = S.grid_sample(x, grid, mode=mode, padding_mode="border")
    assert edge.item() == pytest.approx(3 if far > 0 else 1)
    edge.backward()
    assert grid.grad.tolist() == [[[[0, 0]]]]
