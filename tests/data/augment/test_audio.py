"""Sound: pitch and length of tones, power of noise, shapes of masks."""

import numpy as np
import pytest

import weft
from weft.data import augment as A

RATE = 8000


@pytest.fixture
def tones():
    t = np.arange(RATE) / RATE
    return np.stack([np.sin(2 * np.pi * f * t) for f in (440, 1000)])


class TestTimeStretch:
    @pytest.mark.parametrize("rate", [0.8, 1.25, 2.0])
    def test_pitch_and_loudness_stay_and_length_changes(self, tones, rate):
        y = A.TimeStretch((rate, rate))(tones)
        sounding = int(RATE / max(rate, 1)) - 800
        inner = y[:, 400:sounding]
        power = np.abs(np.fft.rfft(inner * np.hanning(inner.shape[1]), 1 << 16, axis=1))
        np.testing.assert_allclose(power.argmax(1) * RATE / (1 << 16), [440, 1000], atol=1)
        np.testing.assert_allclose(inner.std(1), np.sqrt(0.5), rtol=0.01)
        assert rate < 1 or np.abs(y[:, int(RATE / rate) + 600 :]).max() < 1e-6

    def test_a_click_moves(self):
        x = np.zeros((1, RATE))
        x[0, 4000] = 1
        y = A.TimeStretch((2.0, 2.0))(x)[0]
        centre = (np.arange(RATE) * y**2).sum() / (y**2).sum()
        assert abs(centre - 2000) < 256  # half a window, over which a click is spread

    def test_rate_1_and_channels(self, tones):
        assert (A.TimeStretch((1, 1))(tones) == tones).all()
        x = np.stack([tones, tones[::-1]]).astype(np.float32)
        y = A.TimeStretch()(x, generator=weft.Generator(3))
        assert y.shape == x.shape
        np.testing.assert_allclose(y[0, 0], A.TimeStretch()(x[:, 0], generator=weft.Generator(3))[0], atol=1e-6)

    @pytest.mark.parametrize("length", [0, 1, 100, 513])
    def test_lengths(self, length):
        assert np.isfinite(A.TimeStretch()(np.ones((2, length)))).all()

    def test_wrong(self):
        with pytest.raises(ValueError, match=r"`n_fft` must be a multiple of 4, got 6"):
            A.TimeStretch(n_fft=6)
        with pytest.raises(
            ValueError, match=r"`inputs` must be floating-point numbers \(N, \[C,\] T\), got int64 \(2, 3\)"
        ):
            A.TimeStretch()(np.zeros((2, 3), np.int64))


def test_shift(tones):
    y = A.TimeShift(0.25)(np.repeat(tones, 40, 0) + 2)
    shifts = [np.flatnonzero(row)[0] or np.flatnonzero(row)[-1] + 1 - RATE for row in y]
    assert -2000 <= min(shifts) < -1500
    assert 1500 < max(shifts) <= 2000
    x = np.repeat(tones, 40, 0) + 2
    assert all(
        (row[max(s, 0) : RATE + min(s, 0)] == old[max(-s, 0) : RATE - max(s, 0)]).all()
        for s, row, old in zip(shifts, y, x)
    )
    assert (A.TimeShift(0)(tones) == tones).all()


def test_noise(tones):
    y = A.AddNoise((20, 20))(tones)
    ratio = 10 * np.log10((tones**2).mean(1) / ((y - tones) ** 2).mean(1))
    np.testing.assert_allclose(ratio, 20, atol=0.5)


@pytest.mark.parametrize(
    ("mask", "axis"), [(A.FrequencyMasking(8), 2), (A.TimeMasking(8), 3)], ids=["frequency", "time"]
)
def test_masks(mask, axis):
    y = mask(np.ones((300, 2, 20, 30)))
    is_masked = (y == 0).all(tuple({1, 2, 3} - {axis}))
    assert (is_masked.sum(1) * (1200 // y.shape[axis]) == (y == 0).sum((1, 2, 3))).all()
    widths, starts = is_masked.sum(1), is_masked.argmax(1)
    assert set(widths.tolist()) == set(range(8))
    assert all(row[s : s + n].all() for row, s, n in zip(is_masked, starts, widths))
    assert starts.max() > 10


def test_time_mask_is_a_share_at_most():
    assert ((A.TimeMasking(100, p=0.1)(np.ones((200, 4, 30))) == 0).sum((1, 2)) <= 4 * 3).all()
    with pytest.raises(ValueError, match=r"`time_mask_param` must be an integer in \[0, inf\], got -1"):
        A.TimeMasking(-1)
    with pytest.raises(
        ValueError, match=r"`inputs` must be floating-point numbers \(N, \[C,\] F, T\), got float64 \(2, 3\)"
    ):
        A.TimeMasking(3)(np.ones((2, 3)))


@pytest.mark.parametrize(
    ("transform", "shape"),
    [
        (A.TimeStretch(), (2, 3000)),
        (A.TimeShift(), (2, 3, 50)),
        (A.AddNoise(), (2, 50)),
        (A.TimeMasking(9), (3, 8, 20)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_devices(transform, shape, accelerator):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    y = transform(weft.asarray(x, device=accelerator), generator=weft.Generator(3))
    np.testing.assert_allclose(y.numpy(), transform(x, generator=weft.Generator(3)), atol=1e-4)
