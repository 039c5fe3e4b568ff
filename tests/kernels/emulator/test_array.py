"""The emulated device's arrays: NumPy's values under CuPy's rules."""

import numpy as np
import pytest

import weft
from weft.kernels.emulator.array import Array, namespace

xp = namespace


@pytest.fixture
def x():
    return xp.asarray(np.arange(6, dtype=np.float32).reshape(2, 3))


def host(a):
    assert type(a) is Array
    return a.get()


class TestValues:
    @pytest.mark.parametrize(
        "f",
        [
            lambda xp, a: a + 1,
            lambda xp, a: 2 * a @ a.T,
            lambda xp, a: xp.exp(a),
            lambda xp, a: a.sum(),
            lambda xp, a: a.max(axis=1),
            lambda xp, a: xp.concatenate([a, a]),
            lambda xp, a: a[1, 2],
            lambda xp, a: a[:, ::2],
            lambda xp, a: a.T,
            lambda xp, a: a.mT,
            lambda xp, a: xp.where(a > 2, a, 0 * a),
            lambda xp, a: xp.argsort(-a, axis=1),
            lambda xp, a: a.astype(np.float16),
            lambda xp, a: a.reshape(3, 2),
            lambda xp, a: a.transpose(1, 0).copy(),
            lambda xp, a: xp.linalg.norm(a),
            lambda xp, a: xp.mean(a),
            lambda xp, a: xp.take(a, xp.asarray(np.array([1, 0])), axis=0),
            lambda xp, a: xp.zeros_like(a),
            lambda xp, a: xp.broadcast_to(a[0], (4, 3)),
            lambda xp, a: xp.ascontiguousarray(a.T),
            lambda xp, a: a.argmax(),
            lambda xp, a: xp.stack([a[0], a[1]]),
            lambda xp, a: xp.arange(4),
        ],
    )
    def test_as_numpy(self, x, f):
        expected, got = np.asarray(f(np, x.get())), host(f(xp, x))
        np.testing.assert_array_equal(got, expected)
        assert got.dtype == expected.dtype
        assert got.shape == expected.shape

    def test_in_place(self, x):
        a = x.copy()
        a += 1
        a[0] = a[1] * 2
        xp.multiply(a, 3, out=a)
        expected = x.get() + 1
        expected[0] = expected[1] * 2
        np.testing.assert_array_equal(host(a), expected * 3)

    def test_tuples_of_results(self, x):
        values, indices = xp.linalg.qr(x)
        assert (type(values), type(indices)) == (Array, Array)
        assert [host(a).tolist() for a in xp.divmod(x, 2)] == [a.tolist() for a in np.divmod(x.get(), 2)]

    def test_copies_to_and_from_the_host(self, x):
        a = np.ones(3)
        b = xp.asarray(a)
        a[0] = 5
        assert host(b).tolist() == [1, 1, 1]
        c = b.get()
        c[0] = 5
        assert host(b).tolist() == [1, 1, 1]
        assert (x[0, 1].item(), float(x[0, 1]), int(x[0, 2]), bool(x[0, 0]), x[0].tolist()) == (
            1.0,
            1.0,
            2,
            False,
            [0, 1, 2],
        )

    def test_namespace(self, x):
        assert x.__array_namespace__() is namespace
        assert weft.asarray(x).device == "emulator"
        assert weft.backend.device.devices.namespace("emulator") is namespace


class TestRules:
    @pytest.mark.parametrize(
        "f",
        [
            lambda a, b: a + b, lambda a, b: b * a, lambda a, b: np.concatenate([a, b]), lambda a, b: a.__setitem__(0, b[0]),
        ],
    )  # fmt: skip
    def test_host_and_device_do_not_mix(self, x, f):
        with pytest.raises(TypeError, match=r"arrays of the host and of the device do not mix: got .* copy it first"):
            f(x, np.ones((2, 3), np.float32))

    @pytest.mark.parametrize(
        "key", [np.ones((2, 3), bool), ([1, 0], np.array([2, 2])), [1], (slice(None), [False, True, False])]
    )
    def test_indices_come_from_the_host(self, x, key):
        expected = x.get()
        np.testing.assert_array_equal(host(x[key]), expected[key])
        x[key] = expected[key] = 7.0
        np.testing.assert_array_equal(host(x), expected)

    def test_elements_are_views(self, x):
        x[1, 2][...] = 9.0
        x[0][0][()].fill(8.0)
        assert x.tolist() == [[8.0, 1.0, 2.0], [3.0, 4.0, 9.0]]
        assert type(x[1, 2]) is Array

    def test_numbers_are_arrays(self, x):
        for a in (x.sum(), x[0, 0], xp.mean(x), x.max(), xp.any(x > 1), x.argmax()):
            assert type(a) is Array
            assert a.shape == ()
