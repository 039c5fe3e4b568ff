"""Recipes of forecasters: parts in order of time, normalisation of the training part, seasons, forecasts of forecasts."""

import numpy as np
import pytest

from weft.data import Standardize, TimeSeries
from weft.layers.models import Forecaster
from weft.training import Predictor
from weft.training.forecast import ForecastExperiment, ForecastRecipe, continued, errors, naive
from weft.training.forecast_plot import plot_forecast
from weft.training.usage import UsageError

SMALL = {"season": 4, "horizon": 3, "context": 6, "hidden_size": 4, "epochs": 3}


@pytest.fixture
def path(tmp_path):
    values = np.exp(0.02 * np.arange(100)) * (2 + np.sin(np.arange(100) * np.pi / 2)) + 5
    (tmp_path / "a.csv").write_text("".join(f"{1900 + i},{v}\n" for i, v in enumerate(values)))
    return str(tmp_path / "a.csv")


def test_no_part_learns_from_a_later_one(path, tmp_path):
    """What the training part becomes does not depend on anything after it; targets of a part are its own."""
    experiment = ForecastExperiment(ForecastRecipe(data=path, log=True, **SMALL))
    lines = (tmp_path / "a.csv").read_text().splitlines()
    other = [f"{line.split(',')[0]},{i}" for i, line in enumerate(lines[70:], 1000)]
    (tmp_path / "b.csv").write_text("\n".join([*lines[:70], *other]))
    changed = ForecastExperiment(ForecastRecipe(data=str(tmp_path / "b.csv"), log=True, **SMALL))
    np.testing.assert_array_equal(experiment.normalizer.center, changed.normalizer.center)
    assert experiment.scale == changed.scale
    for (x, y), (x2, y2) in zip(experiment.train_loader, changed.train_loader):
        np.testing.assert_array_equal(x.numpy(), x2.numpy())
        np.testing.assert_array_equal(y.numpy(), y2.numpy())
    parts = [experiment.train_loader, experiment.validation_loader, experiment.test_loader]
    origins = [loader.dataset.origins for loader in parts]
    assert [(o[0], o[-1] + 3) for o in origins] == [(10, 70), (70, 85), (85, 100)]


@pytest.mark.parametrize("log", [False, True])
def test_normalised_and_back(path, log):
    recipe = ForecastRecipe(data=path, log=log, harmonics=1, **SMALL)
    experiment = ForecastExperiment(recipe)
    values = experiment.series.values
    known = np.log(values) if log else values
    z = (known - known[:70].mean()) / known[:70].std()
    turns = np.arange(1900, 2000) * np.pi / 2
    found = experiment.test.series
    np.testing.assert_allclose(found, np.stack([z, np.sin(turns), np.cos(turns)], axis=1), atol=1e-5)
    np.testing.assert_allclose(recipe.restored(experiment.normalizer, found[:, 0]), values, rtol=1e-5)


def test_forecasts_of_forecasts():
    """Beyond the horizon the model reads what it said: an untrained one repeats the season for ever."""
    recipe = ForecastRecipe(data="", season=4, horizon=3, context=2)
    normalizer = Standardize().fit(np.arange(8.0)[:, None])
    series = TimeSeries("x", np.array([9.0, 9, 9, 1, 2, 3, 4]))
    model = Forecaster(6, 3, difference="season", season=4)
    found = continued(recipe, Predictor(model), normalizer, series, 10)
    np.testing.assert_allclose(found, [1, 2, 3, 4, 1, 2, 3, 4, 1, 2], atol=1e-5)
    with pytest.raises(ValueError, match="`series` must have the 6 values that the model looks back, got 2"):
        continued(recipe, Predictor(model), normalizer, TimeSeries("x", np.ones(2)), 1)


def test_the_same_bits_again(path):
    weights = []
    for _ in range(2):
        experiment = ForecastExperiment(ForecastRecipe(data=path, dropout=0.2, **SMALL))
        history = experiment.trainer.fit(experiment.train_loader, experiment.validation_loader, 3)
        weights.append([p.detach().numpy() for p in experiment.trainer.model.parameters()])
    assert history[2]["loss"] < history[0]["loss"]
    assert all(np.array_equal(p, q) for p, q in zip(*weights))


def test_baselines_and_errors():
    values = np.arange(10.0) ** 2
    np.testing.assert_array_equal(naive(values, [5, 6], 2), [[16, 16], [25, 25]])
    np.testing.assert_array_equal(naive(values, [5], 4, season=3), [[4, 9, 16, 4]])
    found = errors(np.array([1.0, 3.0]), np.array([2.0, 0.0]), 4.0)
    assert found == pytest.approx({"MAE": 2, "RMSE": 5**0.5, "MASE": 0.5})
    assert np.isnan(errors(np.ones(1), np.zeros(1), 0.0)["MASE"])  # of a series whose seasons are alike


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "last"),
        ({"season": 4}, "season"),
        ({"season": 4, "harmonics": 1}, "last"),
        ({"difference": "none"}, "none"),
    ],
)
def test_differences(options, expected):
    assert ForecastRecipe(data="", **options).differences() == expected


@pytest.mark.parametrize("change", [{"season": 0}, {"horizon": "3"}, {"data": 5}, {"harmonics": -1}, {"log": 1}])
def test_recipes_that_are_none(change):
    with pytest.raises(TypeError, match=f"`{next(iter(change))}` is "):
        ForecastRecipe.from_json({"data": "a.csv"} | change)


def test_what_may_change_on_resuming():
    recipe = ForecastRecipe(data="a.csv")
    assert recipe.resumed_with({"data": "b.csv", "epochs": 300}).epochs == 300
    with pytest.raises(UsageError, match="--batch-size cannot change on resuming: the run was begun with 32"):
        recipe.resumed_with({"batch_size": 5})


def test_a_picture(tmp_path, monkeypatch):
    """What is drawn: the series, forecasts and baselines where they belong, axes with names."""
    pytest.importorskip("matplotlib")
    figures = []
    monkeypatch.setattr("weft.training.forecast_plot._write", lambda figure, path: figures.append(figure))
    series = TimeSeries("level", np.arange(30.0), start=1900)
    forecasts = {24: np.full(3, 7.0), 27: np.full(3, 8.0)}
    plot_forecast(series, forecasts, tmp_path / "a.png", baselines=forecasts, baseline="naive", title="a")
    axis = figures[0].axes[0]
    assert axis.get_ylabel() == "level"
    assert [t.get_text() for t in axis.get_legend().get_texts()] == ["level", "naive", "forecast"]
    drawn = [(list(line.get_xdata()), list(line.get_ydata())) for line in axis.lines]
    assert drawn[0] == (list(range(30)), list(range(30)))
    assert drawn.count(([27, 28, 29], [8.0] * 3)) == 2
    assert axis.get_xticklabels()[-1].get_text() == "1929"


def test_on_an_accelerator(path, accelerator):
    losses = []
    for device in ("cpu", accelerator):
        experiment = ForecastExperiment(ForecastRecipe(data=path, **SMALL), device=device)
        losses.append(experiment.trainer.fit(experiment.train_loader, experiment.validation_loader, 1)[0]["loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
