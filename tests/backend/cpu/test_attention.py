"""Attention in tiles: at the tiles' edges, over threads, in little memory, and for what PyTorch does with odd masks."""

import tracemalloc

import numpy as np
import pytest

import weft
from weft.backend.cpu import attention as tiled
from weft.backend.nn import attention as A


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(tiled, "EDGE", 8)
    monkeypatch.setattr(tiled, "TILE", 256)
    monkeypatch.setattr(tiled, "LONG", 16)


def arrays(rng, b, h, g, length, keys, width, value_width, dtype="d"):
    shapes = (b, h, length, width), (b, g, keys, width), (b, g, keys, value_width), (b, h, length, value_width)
    return [rng.standard_normal(s).astype(dtype) for s in shapes]


def both(q, k, v, g, mask=None, need_mask=False, **options):
    """(output, gradients) of the tiles, and of the form with whole matrices."""
    found = []
    for form in (
        tiled.scaled_dot_product_attention,
        lambda *a, **o: A.scaled_dot_product_attention.generic(np, *a, **o),
    ):
        y, pull = form(q, k, v, mask, **options)
        grads = pull(g, [True, True, True, need_mask], [None] * 4)
        found.append([y, *(x for x in grads if x is not None)])
    return found


def same(found, tolerance=1e-11):
    for x, y in zip(*found, strict=True):
        assert x.shape == y.shape
        np.testing.assert_allclose(x, y, rtol=0, atol=tolerance * max(1, np.abs(y).max(initial=0)))


def blocks():
    return A.reserve(weft.Generator(3), (2, 4, 40, 40))


LENGTHS = [(n, n) for n in (1, 7, 8, 9, 16, 17, 31, 40)] + [(40, 9), (9, 40), (1, 33), (33, 1)]


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("size", [1.0, 30.0])  # with the second, maxima have to be taken off
def test_edges(rng, small_tiles, lengths, causal, size):
    q, k, v, g = arrays(rng, 2, 4, 2, *lengths, 5, 3)
    same(both(q * size, k, v, g, is_causal=causal))


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("shape", ["full", "padding", "queries", "heads"])
@pytest.mark.parametrize("boolean", [False, True])
def test_masks(rng, small_tiles, lengths, shape, boolean):
    length, keys = lengths
    shapes = {
        "full": (2, 4, length, keys),
        "padding": (2, 1, 1, keys),
        "queries": (length, 1),
        "heads": (1, 4, 1, keys),
    }
    mask = rng.random(shapes[shape]) < 0.7 if boolean else rng.standard_normal(shapes[shape])
    same(both(*arrays(rng, 2, 4, 2, length, keys, 5, 3), mask, not boolean, is_causal=boolean))


@pytest.mark.parametrize("lengths", [(7, 7), (17, 17), (9, 40)], ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_dropout(rng, small_tiles, lengths, masked):
    mask = rng.standard_normal((2, 1, *lengths)) if masked else None
    options = {"dropout_p": 0.4, "blocks": blocks(), "is_causal": not masked}
    same(both(*arrays(rng, 2, 4, 2, *lengths, 5, 3), mask, masked, **options))


def test_layouts(rng, small_tiles):
    """Heads between positions and features, as projections leave them; results lie in the order of the inputs."""
    q, k, v, g = (x.swapaxes(1, 2).copy().swapaxes(1, 2) for x in arrays(rng, 2, 4, 4, 17, 17, 5, 5))
    found = both(q, k, v, g, is_causal=True)
    same(found)
    assert [x.strides for x in found[0]] == [q.strides] * 4


@pytest.mark.parametrize("heads", [(2, 2), (6, 2), (3, 1)])
@pytest.mark.parametrize("keys", [1, 7, 8, 9, 40])
@pytest.mark.parametrize("shape", [None, (1,), (3, 1, 1), (2, 1, 1, 1)])
@pytest.mark.parametrize("boolean", [False, True])
def test_one_query(rng, small_tiles, heads, keys, shape, boolean):
    q, k, v, g = arrays(rng, 2, *heads, 1, keys, 5, 3)
    mask = None
    if shape is not None:
        lead = (*shape[:-3], heads[0], 1) if len(shape) == 3 else shape[:-1]
        mask = rng.standard_normal((*lead, keys))
        mask = mask > 0 if boolean else mask
    same(both(q, k, v, g, mask))


def test_one_query_without_a_key_gets_0(rng):
    q, k, v, _ = arrays(rng, 2, 2, 2, 1, 9, 5, 3)
    y, _ = tiled.scaled_dot_product_attention(q, k, v, np.zeros((1, 9), bool))
    assert not y.any()


def test_threads_do_not_change_one_query(rng):
    q, k, v, _ = arrays(rng, 1, 4, 4, 1, 20_000, 64, 64, "f")
    before, found = weft.num_threads(), []
    try:
        for n in (1, 2):
            weft.set_num_threads(n)
            found.append(tiled.scaled_dot_product_attention(q, k, v)[0])
    finally:
        weft.set_num_threads(before)
    np.testing.assert_array_equal(*found)


def results_with(threads, q, k, v, g, mask=None, **options):
    """The bytes of the output and the gradients, by as many threads."""
    before = weft.num_threads()
    try:
        weft.set_num_threads(threads)
        y, pull = tiled.scaled_dot_product_attention(q, k, v, mask, **options)
        grads = pull(g, [True] * 3 + [mask is not None], [None] * 4)
        return [x.tobytes() for x in (y, *grads) if x is not None]
    finally:
        weft.set_num_threads(before)


def test_threads_change_nothing(rng):
    given = arrays(rng, 3, 4, 2, 70, 90, 8, 8, "f")
    one, two, five = (results_with(n, *given, dropout_p=0.2, blocks=blocks()) for n in (1, 2, 5))
    assert one == two == five


@pytest.mark.parametrize("shape", [(1, 2, 64, 64), (17, 1, 64, 64)])
def test_threads_do_not_change_the_gradient_of_a_mask(rng, shape):
    given = (*arrays(rng, 17, 2, 2, 64, 64, 8, 8, "f"), rng.standard_normal(shape).astype("f"))
    one, two, three = (results_with(n, *given) for n in (1, 2, 3))
    assert len(one) == 5
    assert one == two == three


def test_shares_of_threads_change_nothing_where_one_head_has_large_scores(rng, monkeypatch):
    """Its maxima are taken off, and nobody else's: whichever heads are worked on with it."""
    monkeypatch.setattr(tiled, "LIGHT", 1)
    q, k, v, g = arrays(rng, 6, 2, 2, 16, 16, 8, 8, "f")
    q[3, 1] *= 100
    found = [results_with(n, q, k, v, g) for n in (1, 2, 3, 5)]
    assert all(results == found[0] for results in found)
    same(both(*(x.astype("d") for x in (q, k, v, g))))


@pytest.mark.parametrize("heads", [1, 4])
def test_memory(rng, heads):
    """At S = 4096 at most an eighth of what the scores would take, results and all."""
    q, k, v, g = arrays(rng, 1, heads, heads, 4096, 4096, 64, 64, "f")
    scores = heads * 4096 * 4096 * 4
    tracemalloc.start()
    y, pull = tiled.scaled_dot_product_attention(q, k, v, is_causal=True)
    pull(g, [True] * 3 + [False], [None] * 4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= scores / 8
    assert y.shape == q.shape


class TestOddMasks:
    """What PyTorch does, by a float64 run of it."""

    def run(self, rng, mask, **options):
        q, k, v, g = arrays(rng, 1, 1, 1, 3, 4, 2, 2)
        return both(q, k, v, g, mask, **options)

    @pytest.mark.parametrize("low", [-1e4, -1e9, float(np.finfo("f").min)])
    def test_all_keys_low(self, rng, low):
        """A mean of the values, whose gradient is right, where PyTorch's kernel for CPUs gives S times of it."""
        q, k, v, g = arrays(rng, 1, 1, 1, 3, 4, 2, 2, "f")
        (y, _, _, grad_v), _ = found = both(q, k, v, g, np.full((3, 4), low, "f"))
        if low < -1e4:
            np.testing.assert_allclose(y, np.broadcast_to(v.mean(2, keepdims=True), y.shape), atol=1e-6)
            np.testing.assert_allclose(grad_v, np.broadcast_to(g.sum(2, keepdims=True) / 4, v.shape), atol=1e-6)
        same(found, 1e-5)

    @pytest.mark.parametrize("kind", ["boolean", "numbers"])
    def test_no_key(self, rng, kind):
        mask = np.ones((3, 4), bool)
        mask[1] = False
        found = self.run(rng, mask if kind == "boolean" else np.where(mask, 0, -np.inf))
        same(found)
        assert not found[0][0][0, 0, 1].any()
        assert not found[0][1][0, 0, 1].any()

    @pytest.mark.parametrize("kind", ["boolean", "numbers"])
    @pytest.mark.parametrize("which", ["key", "value"])
    def test_nan_in_what_is_masked(self, rng, kind, which):
        """NaN + −∞ and 0 · NaN are NaN."""
        q, k, v, g = arrays(rng, 1, 1, 1, 3, 4, 2, 2)
        (k if which == "key" else v)[0, 0, 3] = np.nan
        mask = np.ones((3, 4), bool)
        mask[:, 3] = False
        with np.errstate(invalid="ignore"):
            for y, *_ in both(q, k, v, g, mask if kind == "boolean" else np.where(mask, 0, -np.inf)):
                assert np.isnan(y).all()

    def test_infinity(self, rng):
        mask = np.zeros((3, 4))
        mask[0, 0] = np.inf
        with np.errstate(invalid="ignore"):
            for y, *_ in self.run(rng, mask):
                assert np.isnan(y[0, 0, 0]).all()
                assert np.isfinite(y[0, 0, 1:]).all()


def test_a_captured_step_stays_recorded_while_its_scores_grow():
    rng = np.random.default_rng(0)
    q = weft.asarray(rng.standard_normal((2, 2, 70, 8)).astype("f"))

    def attend(x):
        return weft.layers.functional.scaled_dot_product_attention(x, x, q, is_causal=True)

    step = weft.capture(weft.no_grad(attend), strict=True)
    for i in range(8):
        x = q * (20.0 if i % 2 else 0.5)  # maxima are taken off, or not
        np.testing.assert_array_equal(step(x).numpy(), attend(x).numpy())
    (recorded,) = step._steps.values()
    assert "Diverged" not in recorded.graph.source
