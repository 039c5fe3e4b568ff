"""Against NumPy's Philox and backend/array/random.py's transforms of its words: equal in every bit."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from kernel_harness import SIZES, every_schedule

import weft
from weft.backend.array import random
from weft.kernels import random as kernels
from weft.kernels.toolchain.launch import FLOATS, empty
from weft.layers import init

FLOATING = (*FLOATS, np.dtype(np.float64))
LIKE = np.empty(0)
SEED = 2**100 + 12345


def generator(counter, seed=SEED):
    found = weft.Generator(seed)
    found.set_state({"seed": seed, "counter": counter})
    return found


def drawn(what, n, dtype, counter, *numbers, seed=SEED, advance=None):
    stream = (seed, counter, advance)
    return every_schedule(lambda: kernels.draw(what, empty((n,), np.dtype(dtype), like=LIKE), stream, *numbers))


def same(got, expected):
    assert got.dtype == expected.dtype
    assert got.tobytes() == expected.tobytes()


@pytest.mark.parametrize("n", [*SIZES, 4099, 8199])  # the last: a block of threads that is whole, and some more
class TestEveryDraw:
    def test_words(self, n):
        same(drawn("Words", n, np.uint64, 7), generator(7).words(n))

    def test_integers(self, n):
        same(drawn("Integers", n, np.int64, 7, 10**12, -5), generator(7).integers(-5, 10**12 - 5, (n,)))

    def test_bernoulli(self, n):
        same(drawn("Bernoulli", n, bool, 7, round(0.3 * 2**32)), generator(7).bernoulli((n,), 0.3))

    @pytest.mark.parametrize("dtype", FLOATING, ids=str)
    def test_uniform(self, n, dtype):
        same(drawn("Uniform", n, dtype, 7), generator(7).uniform((n,), dtype))

    @pytest.mark.parametrize("dtype", FLOATING, ids=str)
    def test_normal(self, n, dtype):
        same(drawn("Normal", n, dtype, 7), generator(7).normal((n,), dtype))


@pytest.mark.parametrize("seed", [0, 2**64 - 1, 2**64, 2**128 - 1])
@pytest.mark.parametrize("counter", [0, 2**32 - 1, 2**63, 2**64 - 3])
def test_seeds_and_counters(seed, counter):
    same(drawn("Words", 8, np.uint64, counter, seed=seed), generator(counter, seed).words(8))


def test_the_last_block():
    same(drawn("Words", 8, np.uint64, 2**64 - 3), generator(2**64 - 3).words(8))
    for what, n, dtype in (("Words", 9, np.uint64), ("Uniform", 17, np.float32)):
        with pytest.raises(ValueError, match=r"blocks before 18446744073709551615, got 3 from 18446744073709551613 on"):
            drawn(what, n, dtype, 2**64 - 3)


def test_advance_is_added_to_the_counter():
    advance = np.array([1000], np.uint64)
    same(drawn("Words", 9, np.uint64, 7, advance=advance), generator(1007).words(9))


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_certain_events(probability):
    got = drawn("Bernoulli", 100, bool, 0, round(probability * 2**32))
    assert (got == bool(probability)).all()


@pytest.mark.parametrize("dtype", FLOATING, ids=str)
def test_long_normals(dtype):
    n = 20_000  # some beyond |z| = 4
    same(kernels.draw("Normal", empty((n,), dtype, like=LIKE), (5, 0, None)), weft.Generator(5).normal((n,), dtype))


class TestOnTheDevice:
    """The generator and the functions of the namespace, on a device with kernels."""

    DRAWS = (
        lambda d, g: weft.rand(3, 5, device=d, generator=g),
        lambda d, g: weft.randn(7, device=d, generator=g, dtype=weft.float64),
        lambda d, g: weft.randn(2, 9, device=d, generator=g, dtype=weft.bfloat16),
        lambda d, g: weft.randn(2, 9, device=d, generator=g, dtype=weft.float16),
        lambda d, g: weft.rand(0, 2, device=d, generator=g),
        lambda d, g: weft.rand(device=d, generator=g),
        lambda d, g: weft.randint(-3, 9, (11,), device=d, generator=g),
        lambda d, g: weft.randint(9, (11,), device=d, generator=g, dtype=weft.int32),
        lambda d, g: weft.randperm(33, device=d, generator=g),
    )

    def test_one_draw_after_another(self):
        here, there = weft.Generator(3), weft.Generator(3)
        for draw in self.DRAWS:
            expected, got = draw("cpu", here), draw("emulator", there)
            assert got.device == "emulator"
            assert got.shape == expected.shape
            same(got.numpy(), expected.numpy())
            assert here.get_state() == there.get_state()

    def test_state_goes_on_from_one_device_to_another(self):
        expected = weft.Generator(4)
        expected = [expected.normal((n,), np.float32) for n in (3, 17, 5)]
        generator = weft.Generator(4)
        for values, device in zip(expected, ("emulator", "cpu", "emulator")):
            generator.set_state(json.loads(json.dumps(generator.get_state())))
            same(generator.normal((len(values),), np.float32, device), values)

    def test_a_number_in_device_memory_moves_the_stream_along(self):
        """As between the replays of a CUDA graph, whose launches have the counter of the capture."""
        found, expected = weft.Generator(6), weft.Generator(6)
        found.advance = np.array(5, np.uint64)
        expected.set_state({"seed": 6, "counter": 5})
        for _ in range(2):
            same(found.uniform((9,), np.float32, "emulator"), expected.uniform((9,), np.float32))
        assert found.get_state()["counter"] + 5 == expected.get_state()["counter"]

    def test_beyond_what_kernels_count(self):
        for counter in (2**64 - 2, 2**64, 2**200):
            same(generator(counter).words(16, "emulator"), generator(counter).words(16))

    def test_initial_weights(self):
        for fill in (init.kaiming_uniform_, init.xavier_normal_, init.trunc_normal_, init.orthogonal_):
            both = []
            for device in ("cpu", "emulator"):
                weft.manual_seed(8)
                both.append(fill(weft.empty((13, 7), device=device)).numpy())
            same(*both)


def test_the_quantile_has_the_coefficients_of_the_cpu():
    """Where no draw reaches: beyond |z| = 6.7, once in 10¹¹ numbers."""
    source = Path(kernels.__file__).with_suffix(".cu").read_text(encoding="utf-8")
    numbers = {float(x) for x in re.findall(r"\d+\.\d+e?-?\d*", source)}
    assert numbers >= {c for table in (random._A, random._B, random._C, random._D, random._E, random._F) for c in table}
