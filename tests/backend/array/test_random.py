"""Philox4x64-10 against a transcription of the paper; the normal quantile against SciPy or the standard library."""

import json
import statistics
import threading

import harness  # noqa: F401  (registers the device "strict")
import numpy as np
import pytest

import weft
from weft.backend.array.random import normal_quantile

MASK = (1 << 64) - 1


def philox(block: int, seed: int) -> list[int]:
    """Four words: ten rounds of Salmon et al. (2011), section 3.3, with the constants of their table 2."""
    counter = [(block + 1) >> 64 * i & MASK for i in range(4)]
    key = [seed >> 64 * i & MASK for i in range(2)]
    for _ in range(10):
        high0, low0 = divmod(0xD2E7470EE14C6C93 * counter[0], 1 << 64)
        high1, low1 = divmod(0xCA5A826395121157 * counter[2], 1 << 64)
        counter = [high1 ^ counter[1] ^ key[0], low1, high0 ^ counter[3] ^ key[1], low0]
        key = [(key[0] + 0x9E3779B97F4A7C15) & MASK, (key[1] + 0xBB67AE8584CAA73B) & MASK]
    return counter


def stream(seed: int, blocks: range) -> list[int]:
    return [word for block in blocks for word in philox(block, seed)]


class TestWords:
    """The contract that the CUDA kernels compute too: word for word."""

    def test_golden(self):
        assert weft.Generator(5).words(4).tolist() == [
            0xBBD6C66234FD0C91,
            0x972C5C680D78EA48,
            0x3532F77BF5C294A3,
            0x71803E5D0E6F08FE,
        ]

    @pytest.mark.parametrize("seed", [0, 1, 2**32 + 7, 2**64 - 1, 2**64, 2**128 - 1])
    def test_against_the_paper(self, seed):
        assert weft.Generator(seed).words(12).tolist() == stream(seed, range(3))

    def test_far_along_the_stream(self):
        for counter in (10**6, 2**64 - 1, 2**64, 2**200):
            generator = weft.Generator(3)
            generator.set_state({"seed": 3, "counter": counter})
            assert generator.words(8).tolist() == stream(3, range(counter, counter + 2))

    def test_halves_are_the_low_and_the_high_part_of_each_word(self):
        expected = [part for word in stream(9, range(2)) for part in (word & 0xFFFFFFFF, word >> 32)]
        assert weft.Generator(9).halves(16).tolist() == expected

    def test_each_draw_starts_at_a_fresh_block(self):
        generator = weft.Generator(1)
        for n in (1, 3, 4, 5, 0, 2):
            counter = generator.get_state()["counter"]
            assert generator.words(n).tolist() == stream(1, range(counter, counter + 2))[:n]
            assert generator.get_state()["counter"] == counter + -(-n // 4)
        counter = generator.get_state()["counter"]
        generator.halves(9)  # five words
        assert generator.get_state()["counter"] == counter + 2


class TestReserve:
    def test_blocks_set_aside_are_those_of_a_draw(self):
        generator, other = weft.Generator(2), weft.Generator(2)
        first, second = generator.reserve(9, weft.bool), generator.reserve(5, weft.float64)
        expected = other.bernoulli((3, 3), 0.4), other.words(5)
        assert generator.get_state() == other.get_state() == {"seed": 2, "counter": 4}
        for _ in range(2):  # again and in any order
            assert second.words(5).tolist() == expected[1].tolist()
            np.testing.assert_array_equal(first.bernoulli((3, 3), 0.4), expected[0])
        assert generator.words(4).tolist() == other.words(4).tolist()

    def test_reserved_before_a_new_seed(self):
        generator = weft.Generator(2)
        blocks = generator.reserve(4, weft.uint64)
        generator.manual_seed(3).words(1)
        assert blocks.words(4).tolist() == weft.Generator(2).words(4).tolist()


class TestFromWords:
    """How words become numbers, written out again in Python's exact arithmetic."""

    @pytest.mark.parametrize(("dtype", "bits"), [("float64", 53), ("float32", 24), ("float16", 11), ("bfloat16", 8)])
    def test_uniform(self, dtype, bits):
        words = stream(2, range(5))
        source = (
            [w >> 64 - bits for w in words]
            if bits > 32
            else [h >> 32 - bits for w in words for h in (w & 0xFFFFFFFF, w >> 32)]
        )
        got = weft.Generator(2).uniform((4, 5), getattr(weft, dtype))
        assert got.shape == (4, 5)
        assert got.dtype.name == dtype
        assert got.reshape(-1).astype(float).tolist() == [s * 2.0**-bits for s in source[:20]]

    @pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
    def test_uniform_never_reaches_one(self, dtype):
        u = weft.Generator(0).uniform((1 << 16,), getattr(weft, dtype)).astype(np.float64)
        assert 0 <= u.min() < 0.01
        assert 0.99 < u.max() < 1

    def test_normal(self):
        words = stream(4, range(3))
        wide = normal_quantile(np.array([((w >> 12) + 0.5) * 2.0**-52 for w in words]))
        np.testing.assert_array_equal(weft.Generator(4).normal((12,), weft.float64), wide)
        narrow = normal_quantile(np.array([(h + 0.5) * 2.0**-32 for w in words for h in (w & 0xFFFFFFFF, w >> 32)]))
        np.testing.assert_array_equal(weft.Generator(4).normal((24,), weft.float32), narrow.astype(np.float32))

    def test_bernoulli(self):
        halves = [h for w in stream(6, range(4)) for h in (w & 0xFFFFFFFF, w >> 32)]
        assert weft.Generator(6).bernoulli((32,), 0.3).tolist() == [h < round(0.3 * 2**32) for h in halves]
        assert weft.Generator(6).bernoulli((100,), 1.0).all()
        assert not weft.Generator(6).bernoulli((100,), 0.0).any()

    def test_integers(self):
        assert weft.Generator(7).integers(-3, 10, (8,)).tolist() == [-3 + w % 13 for w in stream(7, range(2))]

    def test_permutation(self):
        words = stream(8, range(5))[:17]
        assert weft.Generator(8).permutation(17).tolist() == sorted(range(17), key=words.__getitem__)

    def test_long_draws_are_cut_into_blocks_without_a_seam(self):
        """The normal transform works on 8192 elements at a time."""
        whole = weft.Generator(1).normal((20_000,))
        bits = weft.Generator(1).halves(20_000)
        np.testing.assert_array_equal(whole, normal_quantile((bits + 0.5) * 2.0**-32).astype(np.float32))


class TestQuantile:
    def test_against_a_reference(self):
        u = np.concatenate(
            [
                np.linspace(1e-4, 1 - 1e-4, 2001),
                2.0 ** -np.arange(2, 53),
                1 - 2.0 ** -np.arange(2, 53),
                [0.075, 0.925, 0.5],
            ]
        )
        try:
            from scipy.special import ndtri
        except ImportError:
            expected = np.array([statistics.NormalDist().inv_cdf(p) for p in u])
        else:
            expected = ndtri(u)
        np.testing.assert_allclose(normal_quantile(u), expected, rtol=4e-15, atol=1e-15)

    def test_symmetry_is_exact(self):
        u = (np.arange(1 << 12) + 0.5) * 2.0**-12
        np.testing.assert_array_equal(normal_quantile(u), -normal_quantile(1 - u))

    def test_ends_are_finite(self):
        ends = np.array([0.5 * 2.0**-52, 1 - 0.5 * 2.0**-52, 0.5 * 2.0**-32, 1 - 0.5 * 2.0**-32])
        z = normal_quantile(ends)
        assert z[0] == -z[1] == pytest.approx(-8.20953615160139, rel=1e-14)
        assert z[2] == -z[3] == pytest.approx(statistics.NormalDist().inv_cdf(2.0**-33), rel=1e-14)


class TestMoments:
    N = 200_000

    def close(self, sample, mean, variance):
        """Within five standard errors."""
        assert abs(sample.mean(dtype=float) - mean) < 5 * (variance / self.N) ** 0.5
        assert abs(sample.var(dtype=float) - variance) < 20 * variance / self.N**0.5

    def test_all(self):
        generator = weft.Generator(123)
        for dtype in (weft.float32, weft.float64):
            self.close(generator.uniform((self.N,), dtype), 1 / 2, 1 / 12)
            z = generator.normal((self.N,), dtype).astype(float)
            self.close(z, 0, 1)
            assert abs((z**3).mean()) < 5 * (15 / self.N) ** 0.5
            assert abs((z**4).mean() - 3) < 5 * (96 / self.N) ** 0.5
            assert abs((z[1:] * z[:-1]).mean()) < 5 / self.N**0.5
        self.close(generator.bernoulli((self.N,), 0.2), 0.2, 0.16)
        self.close(generator.integers(-5, 5, (self.N,)), -0.5, 99 / 12)
        counts = np.bincount(generator.integers(0, 10, (self.N,)), minlength=10)
        assert abs(counts - self.N / 10).max() < 5 * (self.N * 0.09) ** 0.5

    def test_permutations_are_uniform(self):
        generator = weft.Generator(0)
        seen = [tuple(generator.permutation(3)) for _ in range(3000)]
        assert len(set(seen)) == 6
        assert max(abs(seen.count(p) - 500) for p in set(seen)) < 5 * (3000 / 6 * 5 / 6) ** 0.5
        assert sorted(generator.permutation(1000)) == list(range(1000))
        assert generator.permutation(0).shape == (0,)


class TestState:
    def test_same_seed_same_numbers(self):
        draw = lambda g: (g.uniform((3,)).tolist(), g.normal((3,)).tolist(), g.permutation(5).tolist())
        assert draw(weft.Generator(5)) == draw(weft.Generator(5)) != draw(weft.Generator(6))

    def test_restored_in_the_middle(self):
        generator = weft.Generator(11)
        generator.uniform((7,))
        state = json.loads(json.dumps(generator.get_state()))
        expected = generator.normal((9,)).tolist()
        generator.uniform((100,))
        generator.set_state(state)
        assert generator.normal((9,)).tolist() == expected
        other = weft.Generator()
        other.set_state(state)
        assert other.normal((9,)).tolist() == expected

    def test_manual_seed(self):
        assert weft.manual_seed(3) is weft.default_generator
        first = weft.rand(4).tolist()
        weft.manual_seed(3)
        assert weft.rand(4).tolist() == first
        assert weft.rand(4).tolist() != first

    @pytest.mark.parametrize("seed", [-1, 1 << 128, 1.5, "1", None, True])
    def test_seed_is_validated(self, seed):
        with pytest.raises(
            ValueError, match=r"`seed` must be an integer in \[0, 2\*\*128\), got " + repr(seed).replace("(", r"\(")
        ):
            weft.Generator(seed)

    def test_numpy_integer_seeds(self):
        assert weft.Generator(np.int64(5)).words(1) == weft.Generator(5).words(1)

    def test_own_generators_are_independent_of_the_default(self):
        weft.manual_seed(0)
        expected = weft.rand(3).tolist()
        weft.manual_seed(0)
        weft.rand(5, generator=weft.Generator(1))
        assert weft.rand(3).tolist() == expected

    def test_in_a_thread(self):
        found = []
        thread = threading.Thread(target=lambda: found.append(weft.Generator(2).uniform((3,)).tolist()))
        thread.start()
        thread.join()
        assert found == [weft.Generator(2).uniform((3,)).tolist()]


class TestFunctions:
    def test_shapes_and_dtypes(self):
        assert weft.rand(2, 3).shape == weft.randn((2, 3)).shape == (2, 3)
        assert weft.rand().shape == ()
        assert weft.rand(0, 2).shape == (0, 2)
        assert weft.rand(2).dtype == weft.randn(2).dtype == weft.float32
        assert weft.randn(2, dtype=weft.float64).dtype == weft.float64
        assert weft.randn(2, dtype=weft.float16).dtype == weft.float16
        assert weft.randint(0, 5, (3,)).dtype == weft.randperm(3).dtype == weft.int64
        assert weft.randint(5, (3,), dtype=weft.int32).dtype == weft.int32
        assert weft.rand(2, requires_grad=True).is_leaf
        assert set(weft.randint(2, (50,)).tolist()) == {0, 1}

    def test_devices_draw_the_same_bits(self):
        for draw in (
            lambda d: weft.rand(5, device=d),
            lambda d: weft.randn(5, device=d),
            lambda d: weft.randperm(5, device=d),
            lambda d: weft.randint(0, 9, (5,), device=d),
        ):
            weft.manual_seed(1)
            on_cpu = draw("cpu").numpy()
            weft.manual_seed(1)
            other = draw("strict")
            assert other.device == "strict"
            np.testing.assert_array_equal(other.numpy(), on_cpu)

    def test_errors(self):
        with pytest.raises(ValueError, match="`high` must be greater than `low`, got low=3, high=3"):
            weft.randint(3, 3, (2,))
        with pytest.raises(ValueError, match=r"`probability` must be in \[0, 1\], got 1.5"):
            weft.Generator().bernoulli((2,), 1.5)
        with pytest.raises(TypeError, match="`dtype` must be a real floating-point dtype, got int64"):
            weft.rand(2, dtype=weft.int64)


@pytest.mark.parametrize("wrong", [0, 3, "a", np.random.default_rng(0)])
@pytest.mark.parametrize(
    "draw",
    [
        lambda g: weft.rand(2, generator=g),
        lambda g: weft.randn(2, generator=g),
        lambda g: weft.randint(0, 5, (2,), generator=g),
        lambda g: weft.randperm(2, generator=g),
        lambda g: weft.zeros(2).uniform_(generator=g),
        lambda g: weft.layers.init.normal_(weft.zeros(2), generator=g),
        lambda g: weft.data.augment.RandomHorizontalFlip()(np.zeros((2, 1, 3, 3), np.float32), generator=g),
        lambda g: weft.data.DataLoader(weft.data.ArrayDataset(np.zeros(3), np.zeros(3)), shuffle=True, generator=g),
    ],
)
def test_a_generator_is_none_else(draw, wrong):
    """A seed of 0 would be taken for none at all."""
    with pytest.raises(TypeError, match=r"`generator` must be a weft.Generator, got .*; of a seed: weft.Generator"):
        draw(wrong)
