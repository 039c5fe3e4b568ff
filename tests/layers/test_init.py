"""Initial values: measured mean and variance against the distribution's, and structure against its definition."""

import math

import harness  # noqa: F401  (registers the device "strict")
import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.layers import init

SHAPE = (200, 60, 3, 3)  # 108,000 numbers: the variance is measured to about √(2/108000) = 0.4 %
FAN_IN, FAN_OUT = 60 * 9, 200 * 9


def filled(f, *args, shape=SHAPE, dtype=weft.float32, device="cpu", **kwargs):
    x = weft.full(shape, math.nan, dtype=dtype, device=device)
    assert f(x, *args, **kwargs) is x
    return x.numpy()


VARIANCES = [  # function, arguments, variance, largest magnitude (None: unlimited)
    (init.uniform_, (-2.0, 1.0), 9 / 12, 2.0),
    (init.normal_, (0.0, 3.0), 9.0, None),
    (init.xavier_uniform_, (2.0,), 4 * 2 / (FAN_IN + FAN_OUT), 2 * math.sqrt(6 / (FAN_IN + FAN_OUT))),
    (init.xavier_normal_, (2.0,), 4 * 2 / (FAN_IN + FAN_OUT), None),
    (init.kaiming_uniform_, (), 2 / FAN_IN, math.sqrt(6 / FAN_IN)),
    (init.kaiming_uniform_, (math.sqrt(5),), 1 / (3 * FAN_IN), math.sqrt(1 / FAN_IN)),
    (init.kaiming_normal_, (0, "fan_out", "relu"), 2 / FAN_OUT, None),
    (init.kaiming_normal_, (0, "fan_in", "tanh"), (5 / 3) ** 2 / FAN_IN, None),
    (init.lecun_normal_, (), 1 / FAN_IN, None),
]


class TestVariance:
    @pytest.mark.parametrize(("f", "args", "variance", "limit"), VARIANCES)
    def test_measured(self, f, args, variance, limit):
        x = filled(f, *args).astype(float)
        mean = (args[0] + args[1]) / 2 if f is init.uniform_ else 0.0
        assert abs(x.mean() - mean) < 4 * math.sqrt(variance / x.size)
        assert x.var() == pytest.approx(variance, rel=0.02)
        if limit is not None:
            assert 0.99 * limit < np.abs(x).max() <= limit * (1 + 1e-6)

    @pytest.mark.parametrize(("f", "args", "variance", "limit"), VARIANCES)
    def test_seeds(self, f, args, variance, limit):
        a, b = (filled(f, *args, shape=(4, 5), generator=weft.Generator(7)) for _ in range(2))
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, filled(f, *args, shape=(4, 5), generator=weft.Generator(7), device="strict"))
        weft.manual_seed(7)
        np.testing.assert_array_equal(a, filled(f, *args, shape=(4, 5)))
        assert not np.array_equal(a, filled(f, *args, shape=(4, 5)))

    def test_half_precision_is_rounded_single_precision(self):
        single = filled(init.normal_, generator=weft.Generator(3))
        half = filled(init.normal_, generator=weft.Generator(3), dtype=weft.float16)
        np.testing.assert_array_equal(half, single.astype(np.float16))

    def test_double_precision_has_its_own_bits(self):
        x = filled(init.uniform_, dtype=weft.float64)
        assert (x != x.astype(np.float32)).any()


class TestTruncatedNormal:
    @pytest.mark.parametrize(
        ("mean", "std", "a", "b"),
        [
            (0.0, 1.0, -2.0, 2.0),
            (1.0, 2.0, 0.0, 1.5),
            (0.0, 1.0, 3.0, 9.0),
            (10.0, 1.0, -2.0, 2.0),
            (0.0, 1.0, -14.0, -12.0),
        ],
    )
    def test_moments(self, mean, std, a, b):
        """Against the moments of the density, summed on a fine grid."""
        grid = np.linspace(a, b, 100_001)
        density = np.exp(-0.5 * ((grid - mean) / std) ** 2)
        density /= density.sum()
        expected = (density * grid).sum()
        variance = (density * (grid - expected) ** 2).sum()
        x = filled(init.trunc_normal_, mean, std, a, b).astype(float)
        assert a <= x.min()
        assert x.max() <= b
        assert x.mean() == pytest.approx(expected, abs=5 * math.sqrt(variance / x.size))
        assert x.var() == pytest.approx(variance, rel=0.03)

    def test_limits_may_be_infinite(self):
        assert np.isfinite(filled(init.trunc_normal_, 0.0, 1.0, -math.inf, math.inf)).all()

    def test_errors(self):
        with pytest.raises(ValueError, match=r"`a` must be less than `b`, and `std` positive, got a=1, b=0, std=1.0"):
            init.trunc_normal_(weft.zeros(3), a=1, b=0)
        with pytest.raises(ValueError, match=r"must have some probability under N\(0.0, 1.0²\), got a=90, b=91"):
            init.trunc_normal_(weft.zeros(3), a=90, b=91)


class TestSparse:
    @pytest.mark.parametrize(("sparsity", "zeros"), [(0.0, 0), (0.1, 1), (0.5, 5), (1.0, 10)])
    def test_zeros_of_each_column(self, sparsity, zeros):
        x = filled(init.sparse_, sparsity, 2.0, shape=(10, 2000))
        assert set((x == 0).sum(0)) == {zeros}
        if 0 < zeros < 10:
            assert x[x != 0].std() == pytest.approx(2.0, rel=0.05)
            assert (x == 0).mean(1) == pytest.approx(np.full(10, sparsity), abs=0.06)  # in any row

    def test_errors(self):
        with pytest.raises(ValueError, match=r"`tensor` must have 2 axes, got shape \(3,\)"):
            init.sparse_(weft.zeros(3), 0.5)
        with pytest.raises(ValueError, match=r"`sparsity` must be in \[0, 1\], got 1.5"):
            init.sparse_(weft.zeros((3, 3)), 1.5)


class TestPytorchsCorners:
    def test_a_bias_without_inputs_is_zero(self):
        assert nn.Linear(0, 3).bias.tolist() == [0.0] * 3

    def test_a_transposed_convolution_has_its_outputs_for_fan_in(self):
        weight = nn.ConvTranspose1d(2, 300, 3).weight.detach().numpy()
        assert np.abs(weight).max() == pytest.approx(1 / math.sqrt(300 * 3), rel=0.01)

    def test_orthogonal_of_half_precision_and_of_nothing(self):
        q = filled(init.orthogonal_, shape=(3, 5), dtype=weft.float16).astype(float)
        np.testing.assert_allclose(q @ q.T, np.eye(3), atol=2e-3)
        assert init.orthogonal_(weft.zeros((0, 3))).shape == (0, 3)


class TestOrthogonal:
    @pytest.mark.parametrize("shape", [(5, 5), (3, 7), (7, 3), (4, 2, 3), (1, 6)])
    def test_rows_or_columns_are_orthonormal(self, shape):
        q = filled(init.orthogonal_, 2.0, shape=shape, dtype=weft.float64).reshape(shape[0], -1)
        gram = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
        np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=1e-12)

    def test_is_uniform(self):
        """The trace of a uniform orthogonal 2×2 matrix has mean 0 and variance 1."""
        generator = weft.Generator(0)
        traces = [np.trace(filled(init.orthogonal_, shape=(2, 2), generator=generator)) for _ in range(2000)]
        assert abs(np.mean(traces)) < 0.1
        assert np.var(traces) == pytest.approx(1.0, abs=0.1)


class TestFixed:
    def test_constants(self):
        np.testing.assert_array_equal(filled(init.zeros_, shape=(2, 3)), np.zeros((2, 3)))
        np.testing.assert_array_equal(filled(init.ones_, shape=(2, 3)), np.ones((2, 3)))
        np.testing.assert_array_equal(filled(init.constant_, 0.3, shape=()), np.float32(0.3))

    def test_eye(self):
        np.testing.assert_array_equal(filled(init.eye_, shape=(2, 3)), np.eye(2, 3))

    def test_dirac_passes_channels_through(self):
        x = np.random.default_rng(0).standard_normal((2, 4, 5, 5)).astype(np.float32)
        weight = weft.asarray(filled(init.dirac_, shape=(6, 4, 3, 3)))
        y = weft.layers.functional.conv2d(weft.asarray(x), weight, padding=1).numpy()
        np.testing.assert_array_equal(y[:, :4], x)
        np.testing.assert_array_equal(y[:, 4:], 0)
        grouped = weft.asarray(filled(init.dirac_, 2, shape=(4, 2, 3, 3)))
        np.testing.assert_array_equal(
            weft.layers.functional.conv2d(weft.asarray(x), grouped, padding=1, groups=2).numpy(), x
        )

    def test_parameters_are_filled_off_the_tape(self):
        p = weft.Parameter(weft.zeros((2, 2)))
        memory = p.data
        init.ones_(p)
        init.normal_(p)
        assert p.data is memory
        assert p.is_leaf
        assert p.requires_grad


class TestGain:
    @pytest.mark.parametrize(("name", "param", "gain"), [
        ("linear", None, 1.0), ("conv2d", None, 1.0), ("conv_transpose1d", None, 1.0), ("sigmoid", None, 1.0),
        ("tanh", None, 5 / 3), ("relu", None, math.sqrt(2)), ("leaky_relu", None, math.sqrt(2 / 1.0001)),
        ("leaky_relu", 0.5, math.sqrt(1.6)), ("selu", None, 0.75),
    ])  # fmt: skip
    def test_values(self, name, param, gain):
        assert init.calculate_gain(name, param) == pytest.approx(gain)


class TestErrors:
    def test_fans(self):
        with pytest.raises(ValueError, match=r"`tensor` must have at least 2 axes \(out, in, …\) .*, got shape \(3,\)"):
            init.xavier_normal_(weft.zeros(3))

    def test_words(self):
        with pytest.raises(ValueError, match="`mode` must be 'fan_in' or 'fan_out', got 'fan'"):
            init.kaiming_normal_(weft.zeros((2, 2)), mode="fan")
        with pytest.raises(ValueError, match=r"`nonlinearity` must be one of .*'tanh'.*, got 'gelu'"):
            init.calculate_gain("gelu")

    def test_shapes(self):
        with pytest.raises(ValueError, match=r"`tensor` must have at least 2 axes, got shape \(3,\)"):
            init.orthogonal_(weft.zeros(3))
        with pytest.raises(ValueError, match=r"`tensor` must have 2 axes, got shape \(3,\)"):
            init.eye_(weft.zeros(3))
        with pytest.raises(ValueError, match=r"`tensor` must have 3, 4 or 5 axes, got shape \(3,\)"):
            init.dirac_(weft.zeros(3))
        with pytest.raises(ValueError, match="`groups` must divide the output channels 3, got 2"):
            init.dirac_(weft.zeros((3, 1, 3)), 2)

    @pytest.mark.parametrize("f", [init.kaiming_uniform_, init.xavier_normal_, init.orthogonal_, init.lecun_normal_])
    def test_nothing_to_fill(self, f):
        assert filled(f, shape=(0, 3)).shape == (0, 3)
