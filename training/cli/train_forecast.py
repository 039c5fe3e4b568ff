"""`weft train --task forecast`."""

from __future__ import annotations

from argparse import SUPPRESS
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...layers.forecasting import DIFFERENCES, KINDS
from ..forecast import ForecastExperiment, ForecastRecipe, errors
from ..forecast_plot import plot_forecast
from ..output import say
from ..plots import bias_variance, plot_history
from .parser import Parser, number, report
from .run import Task, add_run_options, save_run, train

__all__ = ["TASK", "main"]

DESCRIPTION = """Train a forecaster on a series in a CSV file: one column of numbers and, if there is one, one of dates. The series
is cut in order of time: to train on, for validation (it tells when to stop), and the end to test. The table at the end has the
errors of the test part, forecast from each of its times, beside the naive forecast (the last value) and the seasonal naive one
(the value one season before). MASE is the MAE in units of the seasonal naive forecast's within the training part.
"""
EPILOG = """examples:
  weft train --task forecast datasets/AirPassengers.csv --season 12 --log
  weft train --task forecast datasets/sunspots.csv --season 11 --horizon 11 --context 22 --difference none
  weft train --task forecast datasets/temps.csv --fill --season 365 --harmonics 2 --horizon 7 \\
      --context 14 --difference none --patience 5
  weft train --resume runs/AirPassengers-gru
  weft forecast runs/AirPassengers-gru --steps 24 --plot next.png

--season with a difference of one season (the default then) suits a season that repeats, --harmonics a long one that is noisy,
--difference none a series that comes back to its mean.

A run leaves in its folder: model.safetensors (for weft forecast, or weft.training.load_model), model.json (what is known
of it), log.csv, curves.png, forecast.png, and the checkpoints last.safetensors and best.safetensors. Ctrl-C, SIGTERM and
SIGHUP save at the next update and say how to go on (exit status 130, 143, 129); a second Ctrl-C does not wait.
"""


def _parser() -> Parser:
    parser = Parser(prog="weft train --task forecast", description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    positive, share = number(int, 1), number(float, 0, 1, above=True)
    add("--task", choices=["forecast"], help="what this is the help of; weft train --help has images")
    add("file", nargs="?", metavar="FILE", help="a CSV file; dates such as 1990-12, 1990-12-31, 12/31/1990 are known")
    add("--data", metavar="FILE", help="the same")
    add("--column", metavar="NAME", help="of the values, or its number (the only one with numbers)")
    add("--fill", action="store_true", default=SUPPRESS, help="let a value or date that is missing repeat the last one")
    add("--log", action="store_true", default=SUPPRESS, help="forecast logarithms: what grows by shares of itself")
    add("--season", type=positive, metavar="N", help="steps of a season (1: none)")
    add("--horizon", type=positive, metavar="N", help="steps that are forecast at once (12)")
    add("--context", type=positive, metavar="N", help="steps that the model sees (24)")
    add("--model", choices=KINDS, help="default: gru")
    add("--difference", choices=DIFFERENCES, help="what the model sees differences from, and what it corrects: the last "
        "value, nothing, or the season before (season, if there is one and no --harmonics, else last)")  # fmt: skip
    add("--harmonics", type=number(int, 0), metavar="N", help="sines and cosines of the season as inputs (0)")
    add("--hidden-size", type=positive, metavar="N", help="of the recurrent layers (32)")
    add("--layers", type=positive, metavar="N", help="recurrent layers (1)")
    add("--dropout", type=number(float, 0, 1), metavar="X", help="before the last layer (0)")
    add("--batch-size", type=positive, metavar="N", help="windows per update (32)")
    add("--epochs", type=positive, metavar="N", help="passes over the training part, at most (200)")
    add("--patience", type=positive, metavar="N", help="stop after N epochs without improvement; keep the best (20)")
    add("--lr", type=number(float, 0, above=True), metavar="X", help="learning rate (0.003)")
    add("--weight-decay", type=number(float, 0), metavar="X", help="of matrices (0.01)")
    add("--validation", type=share, metavar="X", help="share of the series, before the test part (0.15)")
    add("--test", type=share, metavar="X", help="share of the series, its end (0.15)")
    add("--seed", type=number(int, 0, 2**32), metavar="N", help="of weights, order and dropout (0)")
    add_run_options(parser, "save every N updates too, not only after each epoch")
    return parser


def main(argv: Sequence[str]) -> int:
    """Train a forecaster as the arguments say.

    Parameters
    ----------
    argv : sequence of str
        Arguments of `weft train --task forecast`.

    Returns
    -------
    int
        The exit status, see `report`.

    Examples
    --------
    >>> main(["--task", "forecast", "nowhere.csv"])
    2
    """
    parser = _parser()
    given = vars(parser.parse_args(argv))
    given.pop("task", None)
    if "file" in given:
        if "data" in given:
            parser.error("FILE must be given once, got it with and without --data")
        given["data"] = given.pop("file")
    return report("weft train", lambda: train(TASK, given), debug=given.pop("debug", False))


def _about(experiment: ForecastExperiment) -> str:
    series, ends = experiment.series, (experiment.train_end, experiment.test_start)
    first, last, validation, test = (series.times(i, i + 1)[0] for i in (0, len(series) - 1, *ends))
    filled = f" ({series.filled} missing, repeated)" if series.filled else ""
    return f"{series.name}: {len(series):,} values{filled} from {first} to {last}; validation from {validation}, test from {test}"


def _info(experiment: ForecastExperiment) -> dict[str, Any]:
    series = experiment.series
    return {"column": series.name, "unit": series.unit, "step": series.step}


def _finish(
    experiment: ForecastExperiment,
    folder: Path,
    history: Sequence[dict[str, Any]],
    seconds: float,
    show: Callable[..., None],
) -> None:
    """Test, save the model, draw, print the result."""
    recipe, series = experiment.recipe, experiment.series
    origins, truth, forecasts = experiment.tested()
    table = {name: errors(forecast, truth, experiment.scale) for name, forecast in forecasts.items()}
    result = {"test": table, "epochs": experiment.trainer.epoch, "seconds": seconds}
    path = save_run(TASK, experiment, folder, **result)
    say(f"{'test':<17}{'MAE':>10}{'RMSE':>10}{'MASE':>8}")
    for name, row in table.items():
        say(f"{name:<17}{row['MAE']:>10.4g}{row['RMSE']:>10.4g}{row['MASE']:>8.3f}")
    at = f"{len(origins)} times from {series.times(int(origins[0]), int(origins[0]) + 1)[0]}, {recipe.horizon} steps each"
    rows = [("forecast from", at), ("reading", _verdict(table)), ("time", f"{seconds:.1f} s"), ("model", path)]
    rows.append(("log", folder / "log.csv"))
    try:
        title = f"{experiment.name} · {recipe.model}"
        plot_history(history, folder / "curves.png", title=title)
        _draw(experiment, origins, forecasts, folder / "forecast.png", title)
        rows += [("curves", folder / "curves.png"), ("picture", folder / "forecast.png")]
    except ImportError as error:
        rows.append(("curves", str(error)))
    rows += [("training", bias_variance(history)), ("next", f"weft forecast {folder}")]
    for name, value in rows:
        say(f"{name:<17}{value}")


def _verdict(table: dict[str, dict[str, float]]) -> str:
    """Whether the model was worth training."""
    others = {name: row["MAE"] for name, row in table.items() if name != "forecast"}
    best = min(others, key=lambda name: others[name])
    own = table["forecast"]["MAE"]
    if own < others[best]:
        return f"a mean error {100 * (1 - own / others[best]):.0f} % below the {best} forecast's"
    return f"no better than the {best} forecast: try another --difference, --context or --season, --harmonics or --log"


def _draw(
    experiment: ForecastExperiment, origins: np.ndarray, forecasts: dict[str, np.ndarray], path: Path, title: str
) -> None:
    """Forecasts of the test part that do not overlap, the last of which ends with the series."""
    shown = range(len(origins) - 1, -1, -experiment.recipe.horizon)
    baseline = "seasonal naive" if "seasonal naive" in forecasts else "naive"
    own, other = ({int(origins[i]): forecasts[name][i] for i in shown} for name in ("forecast", baseline))
    plot_forecast(experiment.series, own, path, baselines=other, baseline=baseline, title=f"{title}, test part")


TASK = Task(
    name="forecast",
    data="a CSV file",
    recipe=ForecastRecipe,
    experiment=ForecastExperiment,
    about=_about,
    info=_info,
    finish=_finish,
)
