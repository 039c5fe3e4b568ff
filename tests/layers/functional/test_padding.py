"""pad against np.pad."""

import harness  # noqa: F401  (registers the device "strict")
import numpy as np
import pytest

import weft
from weft.layers import functional as F


class TestPad:
    @pytest.mark.parametrize("device", ["cpu", "strict"])
    @pytest.mark.parametrize(
        ("mode", "theirs"),
        [("constant", "constant"), ("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")],
    )
    def test_values(self, rng, device, mode, theirs):
        x = rng.standard_normal((2, 3, 5, 4))
        got = F.pad(weft.asarray(x, device=device), (1, 2, 3, 0), mode=mode).numpy()
        np.testing.assert_array_equal(got, np.pad(x, [(0, 0), (0, 0), (3, 0), (1, 2)], mode=theirs))

    @pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")
    @pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
    def test_is_captured(self, rng, mode):
        def padded(x):
            return F.pad(x, (2, 1, 1, 2), mode=mode)

        def step(x):
            return padded(x), weft.grad(lambda x: (padded(x) ** 2).sum())(x)

        x = weft.asarray(rng.standard_normal((2, 3, 4)).astype(np.float32), device="emulator")
        run = weft.capture(step, warmup=1, strict=True)
        for _ in range(3):
            for found, expected in zip(run(x), step(x)):
                np.testing.assert_array_equal(found.numpy(), expected.numpy())

    @pytest.mark.parametrize(("mode", "theirs"), [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")])
    def test_every_width(self, mode, theirs):
        for n in (1, 2, 3):
            x, most = np.arange(n)[None], {"reflect": n - 1, "circular": n, "replicate": 5}[mode]
            for sides in np.ndindex(most + 1, most + 1):
                got = F.pad(weft.asarray(x), sides, mode=mode)
                np.testing.assert_array_equal(got.numpy(), np.pad(x, [(0, 0), sides], mode=theirs))

    def test_value(self):
        assert F.pad(weft.tensor([1.0]), (1, 1), value=9).tolist() == [9.0, 1.0, 9.0]

    def test_integers_stay_integers(self):
        assert F.pad(weft.tensor([1]), (0, 1)).dtype == weft.int64

    def test_negative_numbers_take_away(self):
        x = np.arange(12).reshape(3, 4)
        np.testing.assert_array_equal(
            F.pad(weft.asarray(x), (-1, 1, 0, -2)).numpy(), np.pad(x[:1, 1:], [(0, 0), (0, 1)])
        )

    @pytest.mark.parametrize(("mode", "expected"), [
        ("reflect", [2, 3, 4, 3, 2]), ("replicate", [2, 3, 4, 4, 4]), ("circular", [2, 3, 4, 2, 3]),
    ])  # fmt: skip
    def test_negative_numbers_in_every_mode(self, mode, expected):
        """PyTorch 2.13's numbers: torch.nn.functional.pad(torch.arange(1.0, 5)[None], (-1, 2), mode)."""
        x = weft.tensor([[1.0, 2.0, 3.0, 4.0]])
        assert F.pad(x, (-1, 2), mode).tolist() == [expected]

    @pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
    def test_gradient(self, rng, mode):
        """The gradient of Σ w · pad(x) is the sum of w over the places where each element has gone."""
        x, w = rng.standard_normal((3, 4)), rng.standard_normal((6, 7))
        g = weft.grad(lambda v: (F.pad(v, (2, 1, 1, 2), mode=mode) * weft.tensor(w)).sum())(weft.tensor(x))
        mark = np.full((6, 7), -1)
        mark[...] = F.pad(
            weft.asarray(np.arange(12).reshape(3, 4)), (2, 1, 1, 2), mode=mode, value=-1 if mode == "constant" else None
        ).numpy()
        expected = [w[mark == i].sum() for i in range(12)]
        np.testing.assert_allclose(g.numpy().reshape(-1), expected, atol=1e-12)

    def test_errors(self):
        x = weft.ones((2, 3))
        with pytest.raises(
            ValueError, match="`mode` must be one of 'constant', 'reflect', 'replicate', 'circular', got 'edge'"
        ):
            F.pad(x, (1, 1), mode="edge")
        with pytest.raises(ValueError, match="`pad` must hold two ints for each of at most 2 axes, got 3 of them"):
            F.pad(x, (1, 1, 1))
        with pytest.raises(
            ValueError, match=r"`pad` must leave no axis shorter than 0, got \(-2, -2\) for shape \(2, 3\)"
        ):
            F.pad(x, (-2, -2))
        with pytest.raises(
            ValueError, match=r"`pad` must be at most 2 for mode='reflect' along an axis of 3, got \(3, 0\)"
        ):
            F.pad(x, (3, 0), mode="reflect")
        with pytest.raises(
            ValueError, match=r"`pad` must be of something for mode='replicate' .* axis of 0, got \(1, 0\)"
        ):
            F.pad(weft.ones((2, 0)), (1, 0), mode="replicate")
        with pytest.raises(
            ValueError, match=r"`pad` must be at most 2 for mode='circular' along an axis of 3, got \(3, -1\)"
        ):
            F.pad(x, (3, -1), mode="circular")
        with pytest.raises(ValueError, match="`value` goes with mode='constant', got value=1 with mode='circular'"):
            F.pad(x, (1, 1), mode="circular", value=1)
