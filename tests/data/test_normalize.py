"""Normalisation: against the formulas in float64, and against scikit-learn."""

import copy
import json
import re

import array_api_strict
import numpy as np
import pytest
import safetensors.numpy
import sklearn.preprocessing

import weft
from weft.data import MinMax, Normalizer, PerChannel, Robust, Standardize
from weft.data import normalize as module

weft.register_device("strict", array_api_strict)

PER_FEATURE = [
    (Standardize(), sklearn.preprocessing.StandardScaler()),
    (MinMax(), sklearn.preprocessing.MinMaxScaler()),
    (MinMax((-1, 3)), sklearn.preprocessing.MinMaxScaler((-1, 3))),
    (Robust(), sklearn.preprocessing.RobustScaler()),
]
ALL = [Standardize(), MinMax((-1, 1)), Robust(), PerChannel()]
DTYPES = ["uint8", "int8", "int16", "int64", "bool", "float16", "float32", "float64"]


def table(rng, dtype, n=50):
    return (rng.standard_normal((n, 4)) * [1, 5, 20, 3] + [0, 1, 10, 30]).clip(0, 100).astype(dtype)


@pytest.mark.parametrize(("ours", "theirs"), PER_FEATURE, ids=lambda v: repr(v))
@pytest.mark.parametrize("dtype", DTYPES)
def test_against_scikit_learn(rng, ours, theirs, dtype):
    train, new = table(rng, dtype), table(rng, dtype, 7)
    expected = theirs.fit(train.astype(np.float64)).transform(new.astype(np.float64))
    got = ours.fit(train)(new)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=3e-6, atol=3e-6)


@pytest.mark.parametrize("shape", [(9, 3, 4, 5), (9, 1, 4, 5), (9, 3, 6), (9, 3)])
def test_per_channel(rng, shape):
    x = rng.integers(0, 256, shape, dtype=np.uint8)
    axes = (0, *range(2, len(shape)))
    mean, std = (f(x.astype(np.float64), axis=axes, keepdims=True) for f in (np.mean, np.std))
    np.testing.assert_allclose(PerChannel().fit(x)(x), (x - mean) / std, rtol=2e-6, atol=2e-6)


def test_per_channel_is_what_mnist_is_normalised_by(data_dir):
    images = weft.data.load_mnist(data_dir / "mnist").train.x
    normalizer = PerChannel().fit(images)
    assert normalizer.center.item() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert 1 / (255 * normalizer.scale.item()) == pytest.approx(0.3081, abs=5e-5)
    np.testing.assert_allclose(normalizer(images[:9]), (images[:9] / 255 - 0.1307) / 0.3081, atol=2e-3)


@pytest.mark.parametrize("normalizer", ALL, ids=repr)
class TestEveryKind:
    def test_inverse(self, rng, normalizer):
        x = rng.standard_normal((20, 3, 4)) * 5 + 7
        y = normalizer.fit(x)(x)
        assert normalizer.inverse(y).dtype == np.float32
        np.testing.assert_allclose(normalizer.inverse(y), x, rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
    def test_runs_on_any_library(self, rng, normalizer, dtype):
        x = (rng.random((20, 3, 4)) * 200).astype(dtype)
        expected = normalizer.fit(x)(x)
        for device in ("cpu", "strict"):
            tensor = weft.asarray(x, device=device)
            raw, wrapped = normalizer(tensor.data), normalizer(tensor)
            assert isinstance(raw, type(tensor.data))
            assert (wrapped.device, wrapped.dtype) == (device, np.float32)
            for y in (np.asarray(raw), wrapped.numpy(), normalizer.fit(tensor)(x), normalizer.fit(tensor.data)(x)):
                np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-6)
            np.testing.assert_allclose(normalizer.inverse(wrapped).numpy(), x, rtol=1e-5, atol=1e-4)

    def test_stored_and_restored(self, rng, normalizer, tmp_path):
        x = rng.standard_normal((20, 3))
        normalizer.fit(x)
        safetensors.numpy.save_file(normalizer.state_dict(), tmp_path / "n.safetensors")
        other = Normalizer.from_config(json.loads(json.dumps(normalizer.config())))
        other.load_state_dict(safetensors.numpy.load_file(tmp_path / "n.safetensors"))
        assert repr(other) == repr(normalizer)
        assert type(other) is type(normalizer)
        np.testing.assert_array_equal(other(x), normalizer(x))
        np.testing.assert_array_equal(copy.deepcopy(other)(x), normalizer(x))

    def test_constant_features(self, normalizer):
        x = np.array([[0.1, 7.0, 1e9], [0.1, 7.0, 2e9], [0.1, 7.0, 3e9]])
        y = normalizer.fit(x)(x)
        low = -1.0 if isinstance(normalizer, MinMax) else 0.0
        np.testing.assert_allclose(y[:, :2], low, atol=1e-6)
        assert np.isfinite(y).all()
        np.testing.assert_allclose(normalizer.inverse(y.astype(np.float64)), x, rtol=1e-6)

    def test_inputs_are_left_alone(self, rng, normalizer):
        for dtype in (np.float32, np.uint8):
            x = (rng.random((6, 3)) * 9).astype(dtype)
            x.flags.writeable = False
            before = x.copy()
            normalizer.fit(x)(x)
            np.testing.assert_array_equal(x, before)

    def test_chunks_do_not_matter(self, rng, normalizer, monkeypatch):
        x = rng.standard_normal((50, 3, 2))
        whole = normalizer.fit(x).state_dict()
        monkeypatch.setattr(module, "_CHUNK", 20)
        for name, array in normalizer.fit(x).state_dict().items():
            np.testing.assert_allclose(array, whole[name], rtol=1e-13)

    def test_not_finite(self, normalizer):
        for bad in (np.nan, np.inf, -np.inf):
            x = np.ones((4, 3))
            x[:, 2] = bad
            with pytest.raises(ValueError, match=re.escape("must be finite, got NaN or infinity in feature (2,)")):
                normalizer.fit(x)

    def test_too_large(self, normalizer):
        with pytest.raises(
            ValueError, match=re.escape("must have a finite spread, got numbers too large for it in feature (1,)")
        ):
            normalizer.fit(np.array([[1.0, 1e308], [2.0, -1e308]]))

    def test_empty_or_not_real(self, normalizer):
        for x in (np.zeros((0, 3)), np.zeros((3, 2), complex), np.array([["a"]])):
            expected = f"`x` must be real numbers (N, …) with N ≥ 1, got shape {x.shape}, dtype {x.dtype}"
            with pytest.raises(ValueError, match=re.escape(expected)):
                normalizer.fit(x)

    def test_other_shape(self, rng, normalizer):
        normalizer.fit(rng.random((5, 3)))
        with pytest.raises(ValueError, match=re.escape("samples of the fitted shape (3,) (1: any), got shape (5, 4)")):
            normalizer(np.zeros((5, 4)))
        with pytest.raises(ValueError, match=re.escape("samples of the fitted shape (3,) (1: any), got shape (3,)")):
            normalizer(np.zeros(3))

    def test_not_fitted(self, normalizer):
        fresh = Normalizer.from_config(normalizer.config())
        assert fresh.state_dict() == {}
        with pytest.raises(ValueError, match=f"`{type(normalizer).__name__}` must be fitted before use"):
            fresh(np.zeros((2, 3)))

    def test_bad_state(self, normalizer):
        with pytest.raises(ValueError, match=re.escape("`center` and `scale` of one shape, got {'center': (3,)}")):
            normalizer.load_state_dict({"center": np.zeros(3)})


def test_dates_keep_their_digits():
    x = 1.7e9 + np.arange(5.0)[:, None]
    for column in (x, x.astype(np.int64)):
        np.testing.assert_allclose(MinMax().fit(column)(column).ravel(), [0, 0.25, 0.5, 0.75, 1], rtol=1e-6)


def test_targets_without_axes(rng):
    y = rng.standard_normal(30) * 4 + 2
    for normalizer in (Standardize(), MinMax(), Robust()):
        np.testing.assert_allclose(normalizer.inverse(normalizer.fit(y)(y)), y, rtol=1e-5, atol=1e-5)


def test_differentiable(rng):
    normalizer = Standardize().fit(rng.standard_normal((9, 3)) * [1, 2, 4])
    x = weft.tensor(rng.standard_normal((2, 3)).astype(np.float32), requires_grad=True)
    normalizer(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.broadcast_to(normalizer.scale, (2, 3)), rtol=1e-6)


def test_large_images_are_not_copied_whole(rng, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", 100)
    assert max(chunk.size for chunk in module._chunks(np.zeros((64, 1, 5, 5), np.uint8))) == 100


class TestArguments:
    def test_feature_range(self):
        with pytest.raises(ValueError, match=re.escape("must be (low, high) with low < high, got (1, 1)")):
            MinMax((1, 1))

    def test_per_channel_needs_channels(self):
        with pytest.raises(ValueError, match=re.escape("`x` must be (N, C, …), got shape (5,)")):
            PerChannel().fit(np.zeros(5))

    def test_unknown_kind(self):
        expected = "`normalizer` must be one of MinMax, PerChannel, Robust, Standardize, got 'Whiten'"
        with pytest.raises(ValueError, match=re.escape(expected)):
            Normalizer.from_config({"normalizer": "Whiten"})
