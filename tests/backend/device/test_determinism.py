"""The switch: what it says, what it refuses, what it changes."""

import numpy as np
import pytest

import weft
from weft.backend.nn import embedding as E
from weft.kernels import emulator


@pytest.fixture(autouse=True)
def deterministic_again():
    yield
    weft.use_deterministic_algorithms(True)


def test_deterministic_by_default():
    assert weft.are_deterministic_algorithms_enabled() is True
    weft.use_deterministic_algorithms(False)
    assert weft.are_deterministic_algorithms_enabled() is False


@pytest.mark.parametrize("mode", [0, None, "warn"])
def test_only_a_bool(mode):
    with pytest.raises(TypeError, match=f"`mode` must be a bool, got {mode!r}"):
        weft.use_deterministic_algorithms(mode)
    assert weft.are_deterministic_algorithms_enabled()


needs_emulator = pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")


@needs_emulator
class TestEmbedding:
    """A million, and seven numbers below half its last place: added to it one by one, they are lost."""

    def gradient(self, run=lambda step, *args: step(*args)):
        values = np.full((8, 1), 3 * 2.0**-6, np.float32)
        values[0] = 2.0**20
        weight = weft.zeros((3, 1), device="emulator", requires_grad=True)

        def step(indices, g):
            weight.grad = None
            E.embedding(indices, weight).backward(g)
            return weight.grad

        indices = weft.full(8, 2, dtype=weft.int64, device="emulator")
        return run(step, indices, weft.asarray(values, device="emulator")).numpy()[2, 0] - 2.0**20

    def test_the_same_bits_whatever_the_schedule(self):
        with emulator.schedule("reverse"):
            assert self.gradient() == 0

    def test_sums_as_they_come_depend_on_it(self):
        weft.use_deterministic_algorithms(False)
        assert self.gradient() == 0
        with emulator.schedule("reverse"):
            assert self.gradient() == 0.375

    def test_a_captured_step_is_recorded_anew(self):
        def run(step, *args):
            captured, found = weft.capture(step, warmup=1), []
            for mode in (True, False, True):
                weft.use_deterministic_algorithms(mode)
                found.append([captured(*args) for _ in range(3)])
            assert [[g.numpy()[2, 0] - 2.0**20 for g in three] for three in found] == [[0] * 3, [0.375] * 3, [0] * 3]
            return found[0][0]

        with emulator.schedule("reverse"):
            self.gradient(run)
