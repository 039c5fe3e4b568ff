"""A training run of a forecaster on a series: what `weft train --task forecast` is told, and what it makes of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..backend.array import random
from ..backend.device.devices import canonical, select
from ..data import DataLoader, Normalizer, SlidingWindows, Standardize, TimeSeries, read_series
from ..layers.loss import MSELoss
from ..optimizers import AdamW, decay_groups
from .callbacks import EarlyStopping
from .checkpoint import array_crc
from .nonfinite import StopOnNaN
from .predict import Predictor
from .saved_model import build_model
from .saved_options import SavedOptions
from .trainer import Trainer
from .usage import UsageError

__all__ = ["ForecastExperiment", "ForecastRecipe", "continued", "errors", "naive"]


@dataclass(frozen=True)
class ForecastRecipe(SavedOptions):
    """All options that decide what the weights of a forecaster will be.

    The same recipe on the same series gives the same bits, on one machine with one number of threads.

    Parameters
    ----------
    data : str
        A CSV file.
    column : str, default ""
        Of the values; "": the only one with numbers.
    fill : bool, default False
        Whether what is missing repeats the value before.
    log : bool, default False
        Whether logarithms are forecast: for a series that grows by shares of itself.
    season : int, default 1
        Steps of a season; 1: there is none.
    horizon : int, default 12
        Steps that are forecast at once.
    context : int, default 24
        Steps, or their differences, that the model sees.
    model : {"gru", "lstm", "linear"}, default "gru"
        The kind of `Forecaster`.
    difference : str, default ""
        That of `Forecaster`; "": "season" where there is one and no harmonics, else "last".
    harmonics : int, default 0
        How many sines and cosines of the season the model is given.
    hidden_size, layers : int, default 32, 1
        Of a recurrent model.
    dropout : float, default 0.0
        In training.
    batch_size : int, default 32
        Windows per update.
    epochs : int, default 200
        Passes over the training part, at most.
    patience : int, default 20
        It stops after so many without improvement, and the best is kept.
    lr : float, default 3e-3
        Learning rate of AdamW.
    weight_decay : float, default 0.01
        Of matrices.
    validation, test : float, default 0.15, 0.15
        Shares of the series: the end is to be forecast at last, the part before it tells when to stop.
    seed : int, default 0
        Of weights, order and dropout.

    Examples
    --------
    >>> recipe = ForecastRecipe(data="a.csv", season=12)
    >>> ForecastRecipe.from_json(recipe.to_json()) == recipe, recipe.differences(), recipe.window()
    (True, 'season', 36)
    """

    MAY_CHANGE: ClassVar[tuple[str, ...]] = ("data", "epochs")

    data: str
    column: str = ""
    fill: bool = False
    log: bool = False
    season: int = 1
    horizon: int = 12
    context: int = 24
    model: str = "gru"
    difference: str = ""
    harmonics: int = 0
    hidden_size: int = 32
    layers: int = 1
    dropout: float = 0.0
    batch_size: int = 32
    epochs: int = 200
    patience: int = 20
    lr: float = 3e-3
    weight_decay: float = 0.01
    validation: float = 0.15
    test: float = 0.15
    seed: int = 0

    def differences(self) -> str:
        """The differences that the model sees.

        Returns
        -------
        str
            As `Forecaster` has them.
        """
        return self.difference or ("season" if self.season > 1 and not self.harmonics else "last")

    def window(self) -> int:
        """Steps that a forecast looks back.

        Returns
        -------
        int
            The context and, for seasonal differences, a season.
        """
        return self.context + (self.season if self.differences() == "season" else 0)

    def architecture(self) -> dict[str, Any]:
        """The description that `build_model` takes.

        Returns
        -------
        dict
            "name" and arguments.
        """
        own = {name: getattr(self, name) for name in ("horizon", "season", "hidden_size", "dropout")}
        own |= {"kind": self.model, "difference": self.differences(), "num_layers": self.layers}
        return {"name": "forecaster", "window": self.window(), "features": 2 * self.harmonics, **own}

    def check(self) -> None:
        """Raise UsageError for options that do not go together.

        Raises
        ------
        UsageError
            It names them.
        """
        if self.season == 1 and (self.harmonics or self.difference == "season"):
            option = "--harmonics" if self.harmonics else "--difference season"
            raise UsageError(f"{option} needs --season of at least 2, got 1")
        if self.validation + self.test >= 1:
            raise UsageError(
                f"--validation and --test must leave something to train on, got {self.validation} and {self.test} of the series"
            )
        if 2 * self.harmonics > self.season:
            raise UsageError(f"--harmonics must be at most half of --season, {self.season}, got {self.harmonics}")

    def read(self) -> TimeSeries:
        """The series.

        Returns
        -------
        TimeSeries
            Its values positive, where logarithms are taken.

        Raises
        ------
        DataError
            If it cannot be read.
        UsageError
            If there is a value with no logarithm.
        """
        series = read_series(self.data, self.column or None, fill=self.fill)
        if self.log and (series.values <= 0).any():
            i = int((series.values <= 0).argmax())
            at = f"{series.values[i]:g} at {series.times(i, i + 1)[0]}"
            raise UsageError(f"--log needs a series of positive numbers, got {at}; leave it out")
        return series

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """What is normalised: the values, or their logarithms.

        Parameters
        ----------
        values : array of shape (T,)
            In the units of the series.

        Returns
        -------
        array of shape (T,)
            In float64.
        """
        return np.log(values) if self.log else values

    def inputs(self, normalizer: Normalizer, values: np.ndarray, start: int) -> np.ndarray:
        """What the model reads windows of: normalised values, then sines and cosines of the season.

        Parameters
        ----------
        normalizer : Normalizer
            Of all columns.
        values : array of shape (T,)
            In the units of the series.
        start : int
            The time of the first, in steps.

        Returns
        -------
        array of float32, shape (T, 1 + 2 harmonics)
            One row for each time.
        """
        turns = 2 * np.pi / self.season * (np.arange(len(values)) + start % self.season)
        waves = [wave(k * turns) for k in range(1, self.harmonics + 1) for wave in (np.sin, np.cos)]
        return normalizer(np.stack([self.scaled(values), *waves], axis=1))

    def restored(self, normalizer: Normalizer, forecast: np.ndarray) -> np.ndarray:
        """What the model gives, in the units of the series.

        Parameters
        ----------
        normalizer : Normalizer
            That of `inputs`.
        forecast : array
            Normalised.

        Returns
        -------
        array of float64
            Of the same shape.
        """
        assert normalizer.center is not None
        assert normalizer.scale is not None
        values = forecast.astype(np.float64) / normalizer.scale[0] + normalizer.center[0]
        return np.exp(values) if self.log else values


def continued(
    recipe: ForecastRecipe, predictor: Predictor, normalizer: Normalizer, series: TimeSeries, steps: int
) -> np.ndarray:
    """The next values of a series. What is beyond the horizon is forecast from forecasts.

    Parameters
    ----------
    recipe : ForecastRecipe
        Of the model.
    predictor : Predictor
        With the model, and no transform.
    normalizer : Normalizer
        Of its inputs.
    series : TimeSeries
        At least as long as the window.
    steps : int
        How many values.

    Returns
    -------
    array of float64, shape (steps,)
        In the units of the series.

    Raises
    ------
    ValueError
        If the series is too short.
    """
    window, values = recipe.window(), series.values
    if len(values) < window:
        raise ValueError(f"`series` must have the {window} values that the model looks back, got {len(values)}")
    while len(values) < len(series) + steps:
        first = len(values) - window
        x = recipe.inputs(normalizer, values[first:], series.start // series.step + first)
        values = np.concatenate([values, recipe.restored(normalizer, predictor.predict(x[None])[0])])
    return values[len(series) : len(series) + steps]


def naive(values: np.ndarray, origins: Any, horizon: int, season: int = 1) -> np.ndarray:
    """What came a season before, again and again: the seasonal naive forecast, with a season of 1 the naive one.

    Parameters
    ----------
    values : array of shape (T,)
        The series.
    origins : sequence of int
        Places of the first value of each forecast.
    horizon : int
        Values of a forecast.
    season : int, default 1
        Its steps.

    Returns
    -------
    array of shape (len(origins), horizon)
        A row for each.

    Examples
    --------
    >>> naive(np.array([1.0, 2.0, 3.0, 4.0]), [2, 4], 3, season=2)
    array([[1., 2., 1.],
           [3., 4., 3.]])
    """
    return values[np.asarray(origins)[:, None] + np.arange(horizon) % season - season]


def errors(forecast: np.ndarray, truth: np.ndarray, scale: float) -> dict[str, float]:
    """Mean absolute error, root of the mean squared error, and MAE in units of `scale`.

    Parameters
    ----------
    forecast, truth : array
        Of one shape.
    scale : float
        MAE of the seasonal naive forecast one season ahead, within the training part.

    Returns
    -------
    dict
        "MAE", "RMSE" and "MASE".

    References
    ----------
    Hyndman and Koehler, "Another look at measures of forecast accuracy" (2006).

    Examples
    --------
    >>> errors(np.array([1.0, 2.0]), np.array([1.0, 4.0]), 2.0)
    {'MAE': 1.0, 'RMSE': 1.4142135623730951, 'MASE': 0.5}
    """
    wrong = forecast - truth
    mae = float(np.abs(wrong).mean())
    return {"MAE": mae, "RMSE": math.sqrt((wrong**2).mean()), "MASE": mae / scale if scale else math.nan}


class ForecastExperiment:
    """What a recipe describes: the series in three parts, in order of time, windows over them, model and trainer.

    Parameters
    ----------
    recipe : ForecastRecipe
        Its options.
    device : str, optional
        Where to train. By default the default device.

    Attributes
    ----------
    series : TimeSeries
        All of it.
    name : str
        Of the file.
    train_end, test_start : int
        Where the parts end: training, validation, test.
    normalizer : Normalizer
        Fitted to the training part.
    fingerprint : str
        CRC-32 of the series.
    architecture : dict
        Of the model, for `build_model`.
    train_loader, validation_loader, test_loader : DataLoader
        Their targets lie in one part each, their inputs there or before.
    trainer : Trainer
        With the callbacks that steer the training.

    Raises
    ------
    UsageError
        If the series and the options do not go together.
    DataError
        If the series cannot be read.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     lines = "\\n".join(f"{i % 5}" for i in range(100))
    ...     n = pathlib.Path(folder, "a.csv").write_text(lines)
    ...     experiment = ForecastExperiment(ForecastRecipe(data=folder + "/a.csv", season=5, horizon=5, context=5))
    >>> experiment.train_end, experiment.test_start, len(experiment.test.origins)
    (70, 85, 11)
    """

    def __init__(self, recipe: ForecastRecipe, *, device: str | None = None):
        recipe.check()
        self.device = canonical(device) if device is None else select(device)
        self.recipe, self.series, self.name = recipe, recipe.read(), Path(recipe.data).stem
        values, count = self.series.values, len(self.series)
        self.test_start = count - round(count * recipe.test)
        self.train_end = self.test_start - round(count * recipe.validation)
        if recipe.season >= self.train_end:
            raise UsageError(
                f"--season must be less than the {max(self.train_end, 0)} values to train on, got {recipe.season}"
            )
        self.scale = float(
            np.abs(values[recipe.season : self.train_end] - values[: self.train_end - recipe.season]).mean()
        )
        self.normalizer = self._normalizer()
        self.fingerprint = f"{array_crc(values):08x}"
        self.architecture = recipe.architecture()
        inputs = recipe.inputs(self.normalizer, values, self.series.start // self.series.step)
        cuts = {"to train on": (0, self.train_end), "for validation": (self.train_end, self.test_start)}
        parts = [
            self._windows(inputs, what, *cut) for what, cut in (cuts | {"to test": (self.test_start, count)}).items()
        ]
        self.test = parts[2]
        load = partial(DataLoader, seed=recipe.seed, device=self.device)
        self.train_loader = load(parts[0], recipe.batch_size, shuffle=True)
        self.validation_loader, self.test_loader = (load(part, 512) for part in parts[1:])
        random.manual_seed(recipe.seed)
        self.trainer = self._trainer()

    def _normalizer(self) -> Normalizer:
        """Of the training part; sines and cosines are left as they are."""
        known = self.recipe.scaled(self.series.values[: self.train_end])[:, None]
        with np.errstate(over="ignore"):
            spread = float(known.std())
        if spread <= 1e-12 * float(np.abs(known).max()):
            raise UsageError(
                f"--data {self.recipe.data}: expected a series that varies, found {self.series.values[0]:g} in all of "
                f"the {self.train_end} values to train on; a constant needs no model"
            )
        try:
            fitted = Standardize().fit(known)
        except ValueError as error:
            raise UsageError(f"--data {self.recipe.data}: {error}") from error
        assert fitted.center is not None
        assert fitted.scale is not None
        more = 2 * self.recipe.harmonics
        normalizer = Standardize()
        normalizer.load_state_dict(
            {"center": np.pad(fitted.center, (0, more)), "scale": np.pad(fitted.scale, (0, more), constant_values=1)}
        )
        return normalizer

    def _windows(self, inputs: np.ndarray, what: str, start: int, stop: int) -> SlidingWindows:
        window, horizon = self.recipe.window(), self.recipe.horizon
        try:
            return SlidingWindows(inputs, window, horizon, start, stop)
        except ValueError:
            back = max(0, window - start)
            raise UsageError(
                f"--data {self.recipe.data}: expected at least {back + horizon} values {what} (--horizon {horizon}"
                f"{f' and {back} to look back' if back else ''}), found {stop - start} of {len(inputs)}; take a longer series, "
                "or a smaller --horizon, --context or --season"
            ) from None

    def _trainer(self) -> Trainer:
        recipe = self.recipe
        try:
            model = build_model(self.architecture, device=self.device)
        except ValueError as error:
            raise UsageError(f"--model {recipe.model}: {error}") from error
        return Trainer(
            model,
            MSELoss(),
            AdamW(decay_groups(model.parameters(), recipe.weight_decay), lr=recipe.lr),
            callbacks=[EarlyStopping(patience=recipe.patience), StopOnNaN()],
            clip_grad_norm=1.0,
            device=self.device,
        )

    def tested(self) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """Forecasts of the test part, from each of its origins.

        Returns
        -------
        origins : array of int, shape (N,)
            Places of the first values.
        truth : array of shape (N, horizon)
            What came.
        forecasts : dict of str to array of shape (N, horizon)
            The model's, and the baselines'.
        """
        recipe, values, origins = self.recipe, self.series.values, np.asarray(self.test.origins)
        found = {"forecast": recipe.restored(self.normalizer, self.trainer.predict(self.test_loader))}
        if recipe.season > 1:
            found["seasonal naive"] = naive(values, origins, recipe.horizon, recipe.season)
        found["naive"] = naive(values, origins, recipe.horizon)
        return origins, values[origins[:, None] + np.arange(recipe.horizon)], found
