"""The plane through the weights: losses worked out by hand, lengths of the directions, a model left as it was."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.training import LossLandscape, loss_landscape, pictures, plot_landscape
from weft.training.landscape import _direction


def test_directions_are_as_long_as_the_filters():
    weight = weft.Parameter(np.random.default_rng(0).standard_normal((4, 3, 2, 2)))
    d = _direction(np.random.default_rng(1), weight)
    norms = [np.linalg.norm(np.reshape(a, (4, -1)), axis=1) for a in (d, weight.detach().numpy())]
    np.testing.assert_allclose(norms[0], norms[1])


def test_losses():
    """Of a linear model, whose loss is a quadratic form of the two steps."""
    weft.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout(), nn.Flatten()).double()
    x, y = (weft.asarray(np.random.default_rng(k).standard_normal(s)) for k, s in enumerate([(5, 3), (5, 2)]))
    rng = np.random.default_rng(7)
    d, e = (_direction(rng, model[0].weight) for _ in range(2))
    before = [p.detach().numpy().copy() for p in model.parameters()]
    found = loss_landscape(model, lambda: (model(x) - y).square().mean(), span=0.5, steps=3, seed=7)
    assert found.steps.tolist() == [-0.5, 0, 0.5]
    w, b = before
    for i, along_e in enumerate(found.steps):
        for j, along_d in enumerate(found.steps):
            out = x.numpy() @ (w + along_d * d + along_e * e).T + b
            assert found.losses[i, j] == pytest.approx(np.mean((out - y.numpy()) ** 2))
    assert [p.tolist() for p in model.parameters()] == [a.tolist() for a in before]
    assert all(module.training for module in model.modules())


def test_the_model_is_restored_after_an_error():
    model = nn.Linear(2, 2)
    before = model.weight.tolist()
    with pytest.raises(ZeroDivisionError):
        loss_landscape(model, lambda: 1 / 0)
    assert model.weight.tolist() == before
    assert model.training


def test_on_another_device():
    losses = []
    for device in ("cpu", "emulator"):
        weft.manual_seed(0)
        model = nn.Linear(2, 1).to(device)
        losses.append(
            loss_landscape(model, lambda m=model, d=device: m(weft.ones((1, 2), device=d)).sum(), steps=3).losses
        )
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)


def test_errors():
    with pytest.raises(ValueError, match=r"`steps` must be odd, .*, got 10; try 11"):
        loss_landscape(nn.Linear(1, 1), lambda: None, steps=10)
    with pytest.raises(ValueError, match=r"`span` must be positive, got 0"):
        loss_landscape(nn.Linear(1, 1), lambda: None, span=0)
    with pytest.raises(ValueError, match=r"`model` must have parameters of two axes or more, got none"):
        loss_landscape(nn.BatchNorm1d(3), lambda: None)


class TestPlot:
    @pytest.fixture
    def figures(self, monkeypatch):
        drawn = []
        monkeypatch.setattr(pictures, "_write", lambda figure, path: drawn.append(figure))
        return drawn

    @pytest.mark.parametrize(
        "losses", [np.ones((3, 3)), np.arange(9.0), np.arange(1, 1000, 111.0), [np.inf, *range(8)]]
    )
    def test_draws(self, figures, losses):
        plot_landscape(LossLandscape(np.linspace(-1, 1, 3), np.reshape(losses, (3, 3))), "a.png")
        axis, bar = figures[0].axes
        assert "first direction" in axis.get_xlabel()
        assert bar.get_ylabel() == "loss"
        assert f"{np.ravel(losses)[4]:.3g}" in axis.get_legend().get_texts()[0].get_text()

    def test_errors(self):
        with pytest.raises(ValueError, match=r"`landscape` must have finite losses, got none"):
            plot_landscape(LossLandscape(np.arange(3.0), np.full((3, 3), np.nan)), "a.png")
