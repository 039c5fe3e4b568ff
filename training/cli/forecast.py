"""`weft forecast`."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...backend.device.devices import canonical, select
from ...backend.device.parallel import set_num_threads
from ...data import TimeSeries
from ...data.files import named
from ..checkpoint import CheckpointError
from ..forecast import ForecastRecipe, continued
from ..forecast_plot import plot_forecast
from ..predict import Predictor
from ..saved_model import SavedModel, load_model
from .folder import model_in
from .parser import Parser, UsageError, number, report

__all__ = ["main"]

DESCRIPTION = """Forecast how a series goes on, with a model that weft train --task forecast has trained. The forecast goes to
standard output as CSV: time, and value. Steps beyond the model's horizon are forecast from forecasts.
"""
EPILOG = """examples:
  weft forecast runs/AirPassengers-gru
  weft forecast runs/AirPassengers-gru --steps 24 --plot next.png > next.csv
  weft forecast runs/AirPassengers-gru newer.csv --column passengers
"""


def _parser() -> Parser:
    parser = Parser(prog="weft forecast", description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    add("model", metavar="RUN", help="folder of a run, or a file of it")
    add("data", nargs="?", metavar="FILE", help="a CSV file with the series so far; default: that of the training")
    add("--steps", type=number(int, 1, 10**6), metavar="N", help="how many (the model's horizon)")
    add("--column", metavar="NAME", help="of the values in FILE, or its number (that of the training)")
    add("--fill", action="store_true", help="let a value or date that is missing repeat the last one")
    add("--plot", metavar="FILE", help="a PNG file to draw the series and its forecast to")
    add("--device", help="cpu, cuda, cuda:1 …, emulator; default: $WEFT_DEVICE, or cpu")
    add("--threads", type=number(int, 1, 1025), metavar="N", help="CPU threads (all cores)")
    add("--debug", action="store_true", help="show the traceback of errors")
    return parser


def main(argv: Sequence[str]) -> int:
    """Forecast as the arguments say.

    Parameters
    ----------
    argv : sequence of str
        Arguments of `weft forecast`.

    Returns
    -------
    int
        The exit status, see `report`.

    Examples
    --------
    >>> main(["nowhere"])
    2
    """
    given = vars(_parser().parse_args(argv))
    return report("weft forecast", lambda: _forecast(given), debug=given.pop("debug", False))


def _forecast(given: dict[str, Any]) -> int:
    if "threads" in given:
        set_num_threads(given["threads"])
    device = select(given["device"]) if "device" in given else canonical(None)
    changed: dict[str, Any] = {name: given[name] for name in ("data", "column", "fill") if name in given}
    saved, recipe = _load(named(given["model"]), device, changed)
    series = recipe.read()
    _check_times(series, saved.info)
    steps = given.get("steps", recipe.horizon)
    assert saved.normalizer is not None
    try:
        times = series.times(len(series), len(series) + steps)
        values = continued(recipe, Predictor(saved.model, device=device), saved.normalizer, series, steps)
    except ValueError as error:
        raise UsageError(f"{recipe.data}: {error}") from error
    text = io.StringIO()  # a process may be without a standard output, which print knows
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["time", series.name])
    table.writerows([time, f"{value:.6g}"] for time, value in zip(times, values.tolist()))
    print(text.getvalue(), end="", flush=True)
    if "plot" in given:
        title = f"{saved.info.get('data', '')} · {recipe.model}, the next {steps} steps"
        plot_forecast(series, {len(series): values}, given["plot"], title=title)
    return 0


def _load(path: Path, device: str, changed: dict[str, Any]) -> tuple[SavedModel, ForecastRecipe]:
    """The model, on the device, and its recipe with what is another now."""
    found = model_in(path)
    saved = load_model(found, device=device)
    try:
        if saved.info["task"] != "forecast" or saved.normalizer is None:
            raise KeyError
        recipe = ForecastRecipe.from_json(saved.info["recipe"] | changed)
    except (KeyError, TypeError):
        what = f"that of another task ({type(saved.model).__name__}); see weft train --task forecast"
        raise CheckpointError(f"`{found}`: expected a model of `weft train --task forecast`, found {what}") from None
    if recipe.architecture() != saved.architecture:
        raise CheckpointError(f"`{found}`: expected the architecture of its recipe, found another; train it again")
    return saved, recipe


def _check_times(series: TimeSeries, info: dict[str, Any]) -> None:
    """The model knows a step of one length."""
    units = {"": "", "M": " months", "D": " days", "s": " seconds"}
    found, trained = (series.step, series.unit), (info.get("step"), info.get("unit"))
    if found != trained:
        wanted = f"{trained[0]}{units.get(str(trained[1]), '')}"
        raise UsageError(f"FILE must have the step of the training, {wanted}, got {found[0]}{units[found[1]]}")
