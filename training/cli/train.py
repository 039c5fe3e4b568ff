"""`weft train`."""

from __future__ import annotations

import time
from argparse import SUPPRESS
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from ... import __version__
from ...backend.device.parallel import num_threads
from ...data.augment import AUGMENTATIONS
from ...data.image_layout import LAYOUTS
from ...layers.models import MODELS
from ..checkpoint import CheckpointError, load_checkpoint
from ..output import say
from ..parity import plot_parity
from ..plots import bias_variance, plot_confusion, plot_history
from ..processes import meet
from ..recipe import CLASS_WEIGHTS, OPTIMIZERS, PRECISIONS, SCHEDULES, TASKS, Experiment, Recipe
from ..saved_model import check_architecture, save_model
from .folder import by_first_in, folder_of, hold_unused
from .parser import Parser, UsageError, number, report
from .run import add_callbacks, add_run_options, fit, nothing, set_threads, source_of, take_options, threads_of

__all__ = ["main"]

DESCRIPTION = """Train a classifier, or with --task regression what learns quantities; validate it after each epoch on samples
held out from training, test it once at the end. Without options: a convolutional network on scikit-learn's 8×8 digits, in a
few seconds.
"""
EPILOG = """examples:
  weft train
  weft train --list
  weft train --data datasets/mnist --model mlp --epochs 10
  weft train --data cifar-10-batches-py --model resnet18 --device cuda
  weft train --augment crop,rotate,cutout
  weft train --data pathmnist.npz                             (train_images, train_labels …; x_train, y_train …)
  weft train --data kmnist                                    (a folder with kmnist-train-imgs.npz, …-labels.npz …)
  weft train --data pets --image-size 64                      (pets/cat/1.jpg …, or pets/train/cat/1.jpg …)
  weft train --data iris.csv --target species                 (classes may be words)
  weft train --data houses.parquet --target price --task regression --ignore id
  weft train --data fraud.csv --target fraud --class-weights balanced
  weft train --data fraud.csv --target fraud --balanced-sampling
  weft train --data scans.npz --layout NHWC                   (where the channels of images cannot be told)
  weft train --resume runs/mnist-mlp
  weft train --task text --help
  weft train --task translate --help
  weft train --task forecast --help

A run leaves in its folder: model.safetensors (to be loaded with weft.training.load_model), model.json (what is known
of it), log.csv, curves.png, confusion.png (of a regression parity.png), and the checkpoints last.safetensors and
best.safetensors. Ctrl-C, SIGTERM and SIGHUP save at the next update and say how to go on (exit status 130, 143, 129); a
second Ctrl-C does not wait.
"""


def _parser() -> Parser:
    parser = Parser(prog="weft train", description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    tasks = [*TASKS, "text", "translate", "forecast"]
    own = "the others have options of their own, see their --help"
    add("--task", choices=tasks, help=f"images, or other samples with classes (default); regression; {own}")
    add("--list", action="store_true", default=SUPPRESS, help="list data sets, models, optimizers …, and train nothing")
    _add_data_options(parser)
    add("--model", choices=MODELS, help="default: cnn for images, mlp for other samples")
    positive, share = number(int, 1), number(float, 0, 1)
    add("--hidden", type=positive, nargs="+", metavar="N", help="widths of the mlp's hidden layers (256 128)")
    add("--epochs", type=positive, metavar="N", help="passes over the training set (10; 30 below 10,000 samples)")
    add("--batch-size", type=positive, metavar="N", help="samples per batch (128; 32 below 10,000 samples)")
    add("--accumulate", type=positive, metavar="N", help="batches per update (1)")
    add("--optimizer", choices=OPTIMIZERS, help="default: adamw")
    add("--lr", type=number(float, 0, above=True), help="(greatest) learning rate; the default is the optimizer's own")
    add("--weight-decay", type=number(float, 0), metavar="X", help="of weights; the default is the optimizer's own")
    add("--schedule", choices=SCHEDULES, help="of the learning rate (onecycle)")
    add("--label-smoothing", type=share, metavar="X", help="share of the target spread over all classes (0.1)")
    add("--clip-grad-norm", type=number(float, 0, above=True), metavar="X", help="greatest norm of the gradient")
    add("--validation", type=number(float, 0, 1, above=True), metavar="X", help="share of the training set (0.1)")
    unstratified = "hold out samples at random, whatever their classes"
    add("--no-stratify", dest="stratify", action="store_false", default=SUPPRESS, help=unstratified)
    names = f"comma-separated: {', '.join(AUGMENTATIONS)}"
    add(
        "--augment",
        type=lambda text: tuple(text.split(",")),
        metavar="NAME",
        help=f"change training images at random, {names}",
    )
    add("--patience", type=positive, metavar="N", help="stop after N epochs without improvement; keep the best")
    add("--seed", type=number(int, 0, 2**32), metavar="N", help="of weights, order, dropout, augmentation (0)")
    add("--precision", choices=PRECISIONS, help="of products; weights and sums stay float32 (float32)")
    add_run_options(parser, "save every N updates too, not only after each epoch")
    return parser


def _add_data_options(parser: Parser) -> None:
    add = parser.add_argument
    kinds = (
        "a folder of MNIST's idx files, of CIFAR, or with a folder of images for each class; an .npz file or a table"
    )
    add("--data", metavar="PATH", help=f"digits (default); {kinds} (.csv, .parquet)")
    add("--target", metavar="COLUMN", help="of a table, what is learned (the one called class, label, target or y)")
    add("--ignore", nargs="+", metavar="COLUMN", help="of a table, what is left aside")
    add("--layout", choices=LAYOUTS, help="axes of the images in an .npz file; default: as 1, 3 or 4 channels tell")
    add("--image-size", type=number(int, 1), metavar="N", help="bring the images in folders to N×N pixels")
    held_out = "share of a table or of images held out for the test, where they have no part for it (0.2)"
    add("--test", type=number(float, 0, 1, above=True), metavar="X", help=held_out)
    add("--class-weights", choices=CLASS_WEIGHTS, help="balanced: in the loss, rare classes weigh more")
    often = "draw each class equally often, with replacement"
    add("--balanced-sampling", action="store_true", default=SUPPRESS, help=often)


def main(argv: Sequence[str]) -> int:
    """Train as the arguments say.

    Parameters
    ----------
    argv : sequence of str
        Arguments of `weft train`.

    Returns
    -------
    int
        The exit status, see `report`.

    Examples
    --------
    >>> main(["--data", "nowhere"])
    2
    """
    given = vars(_parser().parse_args(argv))
    return report("weft train", lambda: _train(given), debug=given.pop("debug", False))


def _train(given: dict[str, Any]) -> int:
    meet()
    with ExitStack() as stack:
        stack.enter_context(np.errstate(all="ignore"))  # what is not finite is told by `StopOnNaN`, in one line
        return _run(given, stack)


def _run(given: dict[str, Any], stack: ExitStack) -> int:
    names = ("device", "out", "checkpoint_every", "overwrite")
    device, out, every, overwrite = (given.pop(name, None) for name in names)
    options = {name: given.pop(name, None) for name in ("max_time", "logger")}
    show = nothing if given.pop("quiet", False) else say
    given |= {name: tuple(given[name]) for name in ("hidden", "ignore") if name in given}
    source = source_of(given.pop("resume", None), out)
    folder = by_first_in(lambda: folder_of(out, source, bool(overwrite), stack), stack)
    saved = None if source is None else load_checkpoint(source)
    set_threads(given.pop("threads", saved and threads_of(saved, source)))
    if saved is None or source is None:
        recipe = Recipe(**{"model": ""} | given)
    else:
        recipe = _recipe_of(saved, source).resumed_with(given)
    if recipe.task == "regression" and "label_smoothing" in given:
        raise UsageError("--label-smoothing is for classes, got --task regression")
    started = time.perf_counter()
    experiment = Experiment(recipe, device=device)
    recipe = experiment.recipe
    if "hidden" in given and recipe.model != "mlp":
        raise UsageError(f"--hidden is for --model mlp, got {recipe.model}")
    name = f"{experiment.splits.name.lower()}-{recipe.model}"
    folder = folder or by_first_in(lambda: hold_unused(Path("runs") / name, stack), stack)
    show(experiment.splits)
    count = sum(p.size for p in experiment.trainer.model.parameters())
    data = "" if experiment.device == "cpu" else "data resident, " if experiment.is_resident else "data streamed, "
    show(f"{recipe.model}: {count:,} parameters, on {experiment.device} ({data}{num_threads()} threads), into {folder}")
    take_options(experiment, folder, options)
    checkpoint = add_callbacks(experiment, _state(experiment), folder, every, show, bool(overwrite))
    history = fit(experiment, checkpoint, saved, source, show)
    if history:
        _test_and_save(experiment, folder, history, time.perf_counter() - started)
    return 0


def _recipe_of(saved: dict[str, Any], source: Path) -> Recipe:
    try:
        recipe = Recipe.from_json(saved["info"]["recipe"])
    except (KeyError, TypeError, AttributeError):
        what = "one of another program; resume it there"
        raise CheckpointError(f"`{source}`: expected a checkpoint of `weft train`, found {what}") from None
    except ValueError as error:
        raise CheckpointError(f"`{source}`: expected a checkpoint of `weft train`, found that {error}") from None
    try:  # before a model is built that nobody has trained
        described = saved["architecture"]
        check_architecture(described, saved["model"])
        if described["name"] != recipe.model or tuple(described.get("hidden", recipe.hidden)) != recipe.hidden:
            raise ValueError(f"`recipe` and `architecture` differ: {recipe.model}, {described['name']!r:.60}")
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"`{source}`: expected the state of this run, found that {error}") from error
    return recipe


# --- what is written -----------------------------------------------------------------------------------------------------
def _state(experiment: Experiment) -> dict[str, Any]:
    """What the checkpoints say of the run, for `model_state`."""
    return {
        "architecture": experiment.architecture,
        "normalizer": experiment.normalizer,
        "class_names": experiment.splits.class_names,
        "info": {"recipe": experiment.recipe.to_json(), "weft": __version__, **_names(experiment)},
    }


def _names(experiment: Experiment) -> dict[str, Any]:
    """What a table's columns were made into: how inputs must come for the model."""
    features = experiment.splits.feature_names
    return {"features": list(features)} if features else {}


def _test_and_save(experiment: Experiment, folder: Path, history: Sequence[dict[str, Any]], seconds: float) -> None:
    """Test, save the model, draw the curves, print the result."""
    model, trainer, names = experiment.trainer.model, experiment.trainer, experiment.splits.class_names
    trainer.precision = None  # what is saved computes in float32: test just that
    test_loader = experiment.loader(experiment.splits.test)
    test = trainer.evaluate(test_loader)
    result = {f"test_{name}": value for name, value in sorted(test.items())}
    result |= {"epochs": trainer.epoch, "seconds": seconds}
    info = {"weft": __version__, "data": experiment.splits.name, **result, "recipe": experiment.recipe.to_json()}
    save_model(
        folder / "model.safetensors",
        model,
        architecture=experiment.architecture,
        normalizer=experiment.normalizer,
        class_names=names,
        info=info | _names(experiment),
    )
    true = np.asarray(experiment.splits.test.y)
    is_regression = experiment.recipe.task == "regression"
    predicted = trainer.predict(test_loader) if is_regression else trainer.predict_classes(test_loader)
    rows = [
        *(_errors(test) if is_regression else _accuracy(test, int((predicted != true).sum()), len(true))),
        ("test loss", f"{test['loss']:.4f}"),
        ("time", f"{seconds:.1f} s"),
        ("model", folder / "model.safetensors"),
        ("log", folder / "log.csv"),
    ]
    try:
        title = f"{experiment.splits.name} · {experiment.recipe.model}"
        plot_history(history, folder / "curves.png", title=title, test=test)
        rows.append(("curves", folder / "curves.png"))
        title = f"{title}, test set"
        if is_regression:
            unit = experiment.recipe.target or ""
            plot_parity(true[:, :6], predicted[:, :6], folder / "parity.png", title=title, unit=unit)
            rows.append(("parity", folder / "parity.png"))
        else:
            matrix = np.zeros((len(names), len(names)), np.int64)
            np.add.at(matrix, (true, predicted), 1)
            plot_confusion(matrix, folder / "confusion.png", class_names=names, title=title)
            rows.append(("confusion", folder / "confusion.png"))
    except ImportError as error:
        rows.append(("curves", str(error)))
    rows.append(("reading", bias_variance(history)))
    for name, value in rows:
        say(f"{name:<15}{value}")


def _accuracy(test: dict[str, float], wrong: int, count: int) -> list[tuple[str, Any]]:
    return [("test accuracy", f"{100 * test['accuracy']:.2f} %  ({wrong} of {count} wrong)")]


def _errors(test: dict[str, float]) -> list[tuple[str, Any]]:
    return [("test MAE", f"{test['mae']:.5g}"), ("test RMSE", f"{test['rmse']:.5g}"), ("test R²", f"{test['r2']:.4f}")]
