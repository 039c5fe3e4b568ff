"""Clipping against NumPy in float64, with gradients in an arena, by hand, and on another library."""

import math

import numpy as np
import pytest

import weft
from weft import optimizers as optim

NORMS = [2.0, 1.0, 3.0, 0.5, math.inf]


def reference_norm(gradients, p):
    flat = np.concatenate([np.asarray(g, dtype=np.float64).ravel() for g in gradients])
    return np.abs(flat).max() if p == math.inf else (np.abs(flat) ** p).sum() ** (1 / p)


@pytest.fixture(params=["in an arena", "by hand", "strict"])
def params(request, tools, rng):
    """Parameters with gradients; the third has none."""
    found = tools.parameters(rng, "strict" if request.param == "strict" else "cpu", "float32")
    if request.param != "by hand":
        optim.SGD(found)
    for i, p in enumerate(found):
        if i != 2:
            tools.give_gradient(p, rng.standard_normal(p.shape) * 3, by_hand=request.param == "by hand")
    return found


def gradients(params):
    return [np.array(p.grad.numpy()) for p in params if p.grad is not None]


class TestGetTotalNorm:
    @pytest.mark.parametrize("norm_type", NORMS)
    def test_value(self, params, norm_type):
        norm = optim.get_total_norm([p.grad for p in params if p.grad is not None], norm_type)
        assert (norm.shape, norm.dtype, norm.device) == ((), np.float32, params[0].device)
        assert norm.item() == pytest.approx(reference_norm(gradients(params), norm_type), rel=1e-6)

    def test_long_vectors(self, rng):
        g = rng.standard_normal(100_003).astype(np.float32) * 1e3
        norm = optim.get_total_norm(weft.asarray(g))
        assert norm.item() == pytest.approx(np.linalg.norm(g.astype(np.float64)), rel=3e-7)

    def test_does_not_depend_on_threads_or_arenas(self, rng, tools):
        params = tools.parameters(rng, dtype="float32", shapes=[(300, 300), (512,), (40_000,)])
        optim.SGD(params)
        for p in params:
            tools.give_gradient(p, rng.standard_normal(p.shape))
        threads, norms = weft.num_threads(), []
        for n in (1, 2):
            weft.set_num_threads(n)
            norms.append(optim.get_total_norm([p.grad for p in params]).item())
        weft.set_num_threads(threads)
        assert norms[0] == norms[1]

    def test_float64_stays_precise(self, rng):
        g = rng.standard_normal((50, 200))
        assert optim.get_total_norm([weft.asarray(g)]).item() == pytest.approx(np.linalg.norm(g), rel=1e-15)

    def test_half_precision_does_not_overflow(self):
        norm = optim.get_total_norm([weft.full((4,), 300.0, dtype=weft.float16)])
        assert (norm.item(), norm.dtype) == (600.0, np.float32)

    def test_nothing(self):
        assert optim.get_total_norm([]).item() == 0.0

    @pytest.mark.parametrize("bad", [math.inf, math.nan])
    def test_not_finite(self, bad):
        g = weft.tensor([1.0, bad])
        assert not math.isfinite(optim.get_total_norm([g]).item())
        with pytest.raises(RuntimeError, match=rf"total norm of order 2.0 is {bad}.*error_if_nonfinite=False"):
            optim.get_total_norm([g], error_if_nonfinite=True)

    def test_order_out_of_range(self):
        with pytest.raises(ValueError, match=r"`norm_type` must be a number, .* got nan"):
            optim.get_total_norm([weft.tensor([1.0])], math.nan)
        assert optim.get_total_norm([weft.zeros(0)], -1.0).item() == 0

    @pytest.mark.parametrize("device", ["cpu", "emulator"])
    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_orders_that_are_not_positive(self, device, dtype):
        """PyTorch's: of 0, how many tensors are not all 0; below, what the least elements decide."""
        g = [weft.asarray(np.array(x).astype(getattr(weft, dtype)), device=device) for x in ([3, 0, 4], [0, 0], [-2])]
        expected = [(0, 2), (-1, 0), (-math.inf, 0)]
        assert [(p, optim.get_total_norm(g, p).item()) for p, _ in expected] == expected
        g = [weft.asarray(np.array(x).astype(getattr(weft, dtype)), device=device) for x in ([3, 4], [-2, 6])]
        assert optim.get_total_norm(g, -math.inf).item() == 2
        for p in (-1, -2.5, -200):
            exact = np.linalg.norm([3, 4, -2, 6], p)
            assert optim.get_total_norm(g, p).item() == pytest.approx(exact, rel=1e-6)
        assert optim.get_total_norm(g[:1], 0).item() == 1

    @pytest.mark.parametrize("norm_type", [0, -1, -math.inf])
    def test_such_orders_do_not_see_the_gaps_of_an_arena(self, params, norm_type):
        found = [g for g in gradients(params) if g.size]
        norm = optim.get_total_norm([p.grad for p in params if p.grad is not None], norm_type)
        exact = len(found) if norm_type == 0 else np.linalg.norm(np.concatenate([g.ravel() for g in found]), norm_type)
        assert norm.item() == pytest.approx(exact, rel=1e-6)


class TestClipGradNorm_:
    @pytest.mark.parametrize("norm_type", NORMS)
    @pytest.mark.parametrize("max_norm", [0.5, 1e6])
    def test_value(self, params, norm_type, max_norm):
        before = gradients(params)
        expected = reference_norm(before, norm_type)
        norm = optim.clip_grad_norm_(params, max_norm, norm_type)
        assert norm.item() == pytest.approx(expected, rel=1e-6)
        for g, b in zip(gradients(params), before):
            np.testing.assert_allclose(g, b * min(1.0, max_norm / (expected + 1e-6)), rtol=3e-6)

    def test_gradients_stay_in_the_arena(self, tools, rng):
        params = tools.parameters(rng, dtype="float32")
        optim.SGD(params)
        for p in params:
            tools.give_gradient(p, np.ones(p.shape))
        optim.clip_grad_norm_(params, 0.1)
        assert all(p.grad.data is p._grad_view for p in params)

    def test_recovers_from_nan(self, tools, rng):
        params = tools.parameters(rng, dtype="float32")
        optim.SGD(params)
        for bad in (np.nan, np.inf, 1.0):
            for p in params:
                tools.give_gradient(p, np.full(p.shape, bad))
            with np.errstate(invalid="ignore"):
                norm = optim.clip_grad_norm_(params, 1.0)
        assert norm.item() == pytest.approx(math.sqrt(sum(p.size for p in params)), rel=1e-6)

    def test_one_parameter_or_a_generator(self):
        p = weft.Parameter([3.0, 4.0])
        for given in (p, (q for q in [p])):
            p.grad = weft.tensor([3.0, 4.0])
            assert optim.clip_grad_norm_(given, 1.0).item() == 5.0
            np.testing.assert_allclose(p.grad.data, [0.6, 0.8], rtol=1e-6)

    def test_negative_norm(self):
        with pytest.raises(ValueError, match=r"`max_norm` must be ≥ 0, got -1"):
            optim.clip_grad_norm_([weft.Parameter([1.0])], -1)


class TestClipGradsWithNorm_:
    def test_value(self, params):
        before = gradients(params)
        optim.clip_grads_with_norm_(params, 1.0, weft.tensor(4.0))
        for g, b in zip(gradients(params), before):
            np.testing.assert_allclose(g, b / 4, rtol=1e-6)


class TestClipGradValue_:
    def test_value(self, params):
        before = gradients(params)
        optim.clip_grad_value_(params, 0.5)
        for g, b in zip(gradients(params), before):
            np.testing.assert_array_equal(g, np.clip(b, -0.5, 0.5))

    def test_negative_value(self):
        with pytest.raises(ValueError, match=r"`clip_value` must be ≥ 0, got -0.5"):
            optim.clip_grad_value_([weft.Parameter([1.0])], -0.5)


class TestClipGradNormPerLayer_:
    def test_each_layer_on_its_own(self, params):
        before = gradients(params)
        norms = optim.clip_grad_norm_per_layer_([params[0], params[1:4], params[5]], 1.0)
        layers = [[before[0]], before[1:3], [before[4]]]
        assert [n.item() for n in norms] == pytest.approx([reference_norm(layer, 2) for layer in layers], rel=1e-6)
        expected = [b / max(1.0, reference_norm(layer, 2)) for layer in layers for b in layer]
        after = gradients(params)
        for g, e in zip([after[0], *after[1:3], after[4]], expected):
            np.testing.assert_allclose(g, e, rtol=1e-5)


class TestAdaptiveClipGrad_:
    def test_value(self, params, tools):
        before = gradients(params)
        optim.adaptive_clip_grad_(params, clip_factor=0.3, eps=0.05)
        with_gradient = [p for p in params if p.grad is not None]
        for p, g, b in zip(with_gradient, gradients(params), before):
            weights = tools.numbers(p)
            units = [...] if p.ndim < 2 else range(p.shape[0])
            for i in units:
                limit, norm = 0.3 * max(np.linalg.norm(weights[i]), 0.05), np.linalg.norm(b[i])
                np.testing.assert_allclose(g[i], b[i] * min(1.0, limit / max(norm, 1e-6)), rtol=1e-5)

    @pytest.mark.parametrize("name", ["clip_factor", "eps"])
    def test_out_of_range(self, name):
        with pytest.raises(ValueError, match=f"`{name}` must be ≥ 0, got -1"):
            optim.adaptive_clip_grad_([], **{name: -1})


def test_infinite_norms_by_name():
    """PyTorch takes float(norm_type)."""
    x = weft.tensor([3.0, -4.0])
    assert optim.get_total_norm([x], "inf").item() == optim.get_total_norm([x], math.inf).item() == 4
    assert optim.get_total_norm([x], "-inf").item() == 3


def test_a_captured_step_clips_now_and_then_without_being_recorded_anew():
    """Whether a norm is above the bound changes from step to step: that is nothing to leave a recording for."""

    def run(wrapped):
        p = weft.Parameter([1.0, 2.0])

        def step(factor):
            p.grad = None
            (p * factor).sum().backward()
            norm = optim.clip_grad_norm_([p], 1.0)
            return norm, p.grad + 0.0

        step = wrapped(step)
        found = [[t.tolist() for t in step(weft.tensor(0.1 if i % 2 else 3.0))] for i in range(16)]
        return found, step

    expected, _ = run(lambda step: step)
    found, step = run(lambda step: weft.capture(step, strict=True))
    assert found == expected
    (recorded,) = step._steps.values()
    assert recorded.graph is not None
    assert "Diverged" not in recorded.graph.source
