"""Forecasters against NumPy: what they are differences from, what the head adds, gradients, shapes, wrong options."""

import numpy as np
import pytest

import weft
from weft.layers.models import SHAPES, Forecaster
from weft.training.saved_model import build_model

KINDS = ("gru", "linear", "lstm")
RNG = np.random.default_rng(0)


def base(x, horizon, difference, season):
    """b and z, step by step."""
    n, window = x.shape
    b = np.zeros((n, horizon))
    for h in range(1, horizon + 1):
        if difference == "last":
            b[:, h - 1] = x[:, -1]
        elif difference == "season":
            b[:, h - 1] = x[:, window - 1 + h - season * -(-h // season)]
    if difference == "season":
        return b, x[:, season:] - x[:, : window - season]
    return b, x - (x[:, -1:] if difference == "last" else 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("difference", ["last", "none", "season"])
@pytest.mark.parametrize("horizon", [1, 3, 7])
def test_begins_at_the_baseline(kind, difference, horizon):
    x = RNG.normal(size=(4, 8, 3)).astype(np.float32)
    model = Forecaster(8, horizon, kind, difference, season=3, features=2, hidden_size=5)
    np.testing.assert_array_equal(
        model(weft.asarray(x)).detach().numpy(), base(x[:, :, 0], horizon, difference, 3)[0].astype(np.float32)
    )


@pytest.mark.parametrize("difference", ["last", "none", "season"])
def test_linear(difference):
    x = RNG.normal(size=(4, 8, 3))
    model = Forecaster(8, 4, "linear", difference, season=3, features=2, dtype="float64")
    weight, bias = RNG.normal(size=model.head.weight.shape), RNG.normal(size=4)
    model.load_state_dict({"head.weight": weight, "head.bias": bias})
    b, z = base(x[:, :, 0], 4, difference, 3)
    expected = b + np.concatenate([z, x[:, -1, 1:]], axis=1) @ weight.T + bias
    np.testing.assert_allclose(model(weft.asarray(x)).detach().numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_recurrent_state(kind):
    """The head reads the last state of the recurrent layer, which has tests of its own."""
    x = RNG.normal(size=(4, 8, 2))
    model = Forecaster(8, 3, kind, "season", season=4, features=1, hidden_size=5, num_layers=2, dtype="float64")
    model.head.weight.data[...] = RNG.normal(size=(3, 6))
    b, z = base(x[:, :, 0], 3, "season", 4)
    states, _ = model.recurrent(weft.asarray(np.stack([z, x[:, 4:, 1]], axis=2)))
    seen = np.concatenate([states.detach().numpy()[:, -1], x[:, -1, 1:]], axis=1)
    found = model(weft.asarray(x)).detach().numpy()
    np.testing.assert_allclose(found, b + seen @ model.head.weight.detach().numpy().T, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_learns(kind):
    """Every parameter has a gradient, and a sine is learnt."""
    weft.manual_seed(0)
    t = np.sin(np.arange(200) * 0.5)
    windows = np.lib.stride_tricks.sliding_window_view(t, 12).astype(np.float32)
    x, y = weft.asarray(windows[:, :8, None].copy()), weft.asarray(windows[:, 8:].copy())
    model = Forecaster(8, 4, kind, hidden_size=8)
    optimizer = weft.optimizers.Adam(model.parameters(), lr=0.03)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = weft.mean((model(x) - y) ** 2)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(p.grad is not None for p in model.parameters())
    assert losses[-1] < 0.1 * losses[0]


def test_on_an_accelerator(accelerator):
    x = RNG.normal(size=(4, 8, 1)).astype(np.float32)
    model = Forecaster(8, 3, difference="season", season=2, hidden_size=5)
    model.head.weight.detach().data[...] = 0.1
    expected = model(weft.asarray(x)).detach().numpy()
    found = model.to(accelerator)(weft.asarray(x, device=accelerator)).cpu().detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_are_those_that_are_built(kind):
    sizes = {"window": 9, "horizon": 3, "kind": kind, "features": 2, "hidden_size": 5, "num_layers": 2}
    model = build_model({"name": "forecaster", **sizes})
    built = {key: t.shape for key, t in model.state_dict().items()}
    shapes = SHAPES["forecaster"](**sizes)
    assert shapes == {key: built[key] for key in shapes}
    changes = [{"horizon": 10**9}, {"features": 3}]
    changes += [{"window": 10**9}] if kind == "linear" else [{"hidden_size": 10**9}, {"num_layers": 10**12}]
    for change in changes:
        assert not SHAPES["forecaster"](**sizes | change).items() <= built.items()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "transformer"}, "`kind` must be one of 'gru', 'linear', 'lstm', got 'transformer'"),
        ({"difference": "first"}, "`difference` must be one of 'last', 'none', 'season', got 'first'"),
        (
            {"difference": "season", "season": 8},
            "`window` must be longer than `season`, 8, for seasonal differences, got 8",
        ),
        ({"horizon": 0}, "`horizon` must be an integer .*, got 0"),
        ({"features": -1}, "`features` must be an integer .*, got -1"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        Forecaster(**{"window": 8, "horizon": 2} | options)


def test_input_of_another_shape():
    with pytest.raises(
        ValueError, match=r"`x` must have shape \(N, window, 1 \+ features\) = \(N, 8, 1\), got \(2, 7, 1\)"
    ):
        Forecaster(8, 2)(weft.zeros((2, 7, 1)))
