"""`weft train`."""

from __future__ import annotations

import os
import time
from argparse import SUPPRESS
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np

from ... import __version__, _signals
from ...backend.device.parallel import num_threads, set_num_threads
from ...data.files import is_file
from ...layers.models import MODELS
from ..checkpoint import CheckpointError, load_checkpoint
from ..checkpoint_callback import Checkpoint
from ..output import say
from ..plots import bias_variance, plot_confusion, plot_history
from ..recipe import OPTIMIZERS, PRECISIONS, SCHEDULES, Experiment, Recipe
from ..reporting import CSVLogger, ProgressBar
from ..saved_model import check_architecture, model_state, save_model
from .folder import CHECKPOINTS, folder_of, hold_unused, path_of, remover
from .parser import Parser, UsageError, number, report

__all__ = ["main"]

DESCRIPTION = """Train a classifier, validate it after each epoch on samples held out from training, test it once at
the end. Without options: a convolutional network on scikit-learn's 8×8 digits, in a few seconds.
"""
EPILOG = """examples:
  weft train
  weft train --data ../shared/data/mnist --model mlp --epochs 10
  weft train --data cifar-10-batches-py --model resnet18 --device cuda
  weft train --resume runs/mnist-mlp
  weft train --task text --help
  weft train --task translate --help
  weft train --task forecast --help

A run leaves in its folder: model.safetensors (to be loaded with weft.training.load_model), model.json (what is known
of it), log.csv, curves.png, confusion.png, and the checkpoints last.safetensors and best.safetensors. Ctrl-C, SIGTERM
and SIGHUP save at the next update and say how to go on (exit status 130, 143, 129); a second Ctrl-C does not wait.
"""


def _parser() -> Parser:
    parser = Parser(prog="weft train", description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    tasks = ["images", "text", "translate", "forecast"]
    add("--task", choices=tasks, help="images (default); the others have options of their own, see their --help")
    add("--data", metavar="PATH", help="digits (default); a folder of MNIST's idx files or of CIFAR; an .npz file")
    add("--model", choices=MODELS, help="default: cnn")
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
    add("--patience", type=positive, metavar="N", help="stop after N epochs without improvement; keep the best")
    add("--seed", type=number(int, 0, 2**32), metavar="N", help="of weights, order and dropout (0)")
    add("--precision", choices=PRECISIONS, help="of products; weights and sums stay float32 (float32)")
    add_run_options(parser, "save every N updates too, not only after each epoch")
    return parser


def add_run_options(parser: Parser, checkpoint_every: str) -> None:
    """Add what every training is told: where it runs and what it writes. The help of one option differs."""
    add = parser.add_argument
    add("--device", help="cpu, cuda, cuda:1 …, emulator (CUDA kernels on the CPU); default: $WEFT_DEVICE, or cpu")
    add("--threads", type=number(int, 1, 1025), metavar="N", help="CPU threads (all cores; on resuming as before)")
    add("--out", metavar="DIR", help="folder of the run; default: runs/<data>-<model>, with a number if that is taken")
    add("--overwrite", action="store_true", help="with --out: replace the run that is in the folder")
    add("--resume", nargs="?", const="", metavar="PATH", help="go on from a checkpoint, or the last in the folder")
    add("--checkpoint-every", type=number(int, 1), metavar="N", help=checkpoint_every)
    add("--quiet", action="store_true", help="print the result only")
    add("--debug", action="store_true", help="show the traceback of errors")


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
    given.pop("task", None)
    return report("weft train", lambda: _train(given), debug=given.pop("debug", False))


def _train(given: dict[str, Any]) -> int:
    with ExitStack() as stack:
        stack.enter_context(np.errstate(all="ignore"))  # what is not finite is told by `StopOnNaN`, in one line
        return _run(given, stack)


def _run(given: dict[str, Any], stack: ExitStack) -> int:
    names = ("device", "out", "checkpoint_every", "overwrite")
    device, out, every, overwrite = (given.pop(name, None) for name in names)
    show = _nothing if given.pop("quiet", False) else say
    if "hidden" in given:
        given["hidden"] = tuple(given["hidden"])
    source = _source(given.pop("resume", None), out)
    folder = folder_of(out, source, bool(overwrite), stack)
    saved = None if source is None else load_checkpoint(source)
    _set_threads(given.pop("threads", saved and _threads_of(saved, source)))
    recipe = Recipe(**given) if saved is None or source is None else _recipe_of(saved, source).resumed_with(given)
    if "hidden" in given and recipe.model != "mlp":
        raise UsageError(f"--hidden is for --model mlp, got {recipe.model}")
    started = time.perf_counter()
    experiment = Experiment(recipe, device=device)
    folder = folder or hold_unused(Path("runs") / f"{experiment.splits.name.lower()}-{recipe.model}", stack)
    show(experiment.splits)
    count = sum(p.size for p in experiment.trainer.model.parameters())
    data = "" if experiment.device == "cpu" else "data resident, " if experiment.is_resident else "data streamed, "
    show(f"{recipe.model}: {count:,} parameters, on {experiment.device} ({data}{num_threads()} threads), into {folder}")
    checkpoint = _add_callbacks(experiment, folder, every, show, remover(folder) if overwrite else _nothing)
    if saved is not None and source is not None:
        _restore(experiment, saved, source, show)
    _signals.explain = lambda: _how_to_go_on(experiment, checkpoint, source)
    history = experiment.trainer.fit(experiment.train_loader, experiment.validation_loader, experiment.recipe.epochs)
    if experiment.trainer.stopping:
        show(f"stopped early: {experiment.trainer.stopping}")
    _test_and_save(experiment, folder, history, time.perf_counter() - started)
    return 0


def _nothing(*parts: Any) -> None: ...


def _how_to_go_on(experiment: Experiment, checkpoint: Checkpoint, source: Path | None) -> str:
    """What is said when a signal ends the run."""
    if checkpoint.saved is None:  # by this process
        return "" if source is None else f"go on with: weft train --resume {quote(str(source))}"
    epoch, batch = checkpoint.saved
    where = f"saved at epoch {epoch + 1}, batch {batch}"
    if epoch >= experiment.recipe.epochs:
        where = "trained to the end and saved"
    return f"{where}; go on with: weft train --resume {quote(str(checkpoint.last))}"


# --- resuming -------------------------------------------------------------------------------------------------------
def _source(resume: str | None, out: str | None) -> Path | None:
    """The checkpoint to go on from, if the run is not a new one."""
    if resume is None:
        return None
    if not resume and out is None:
        raise UsageError("--resume needs a checkpoint or a folder, or --out with the folder to go on in")
    path = path_of("--resume", resume) if resume else path_of("--out", out or "")
    if os.path.isdir(path):
        found = [path / name for name in CHECKPOINTS if is_file(path / name)]
        if not found:
            raise UsageError(f"--resume {path}: expected a run with last.safetensors, found none in that folder")
        return found[0]  # the best one alone is there if the process was killed just before it saved the last
    if not os.path.exists(path):
        load_checkpoint(path)  # says so
    return path


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


def _set_threads(threads: int | None) -> None:
    try:
        if threads is not None:
            set_num_threads(threads)
    except ValueError as error:  # the machine that the run was begun on may have had more cores
        raise UsageError(f"--threads {threads}: {error}") from None


def _threads_of(saved: dict[str, Any], source: Path | None) -> int | None:
    """The number that the run was begun with: on another, BLAS rounds differently."""
    info = saved.get("info")
    threads = info.get("threads") if isinstance(info, dict) else None
    if threads is not None and (type(threads) is not int or not 1 <= threads <= 1024):
        raise CheckpointError(f"`{source}`: expected a number of threads in `info.threads`, found {threads!r:.60}")
    return threads


def _restore(experiment: Experiment, saved: dict[str, Any], source: Path, show: Callable[..., None]) -> None:
    if saved["info"].get("fingerprint") != experiment.fingerprint:
        raise UsageError(
            f"--resume {source}: the training data in {experiment.recipe.data} are not those the run was begun with"
        )
    experiment.trainer.load_state_dict(saved)
    at = experiment.trainer
    show(f"resumed from {source} at epoch {at.epoch}, batch {at.batch}, step {at.step}")


# --- what is written -----------------------------------------------------------------------------------------------------
def _add_callbacks(
    experiment: Experiment, folder: Path, every: int | None, show: Callable[..., None], remove_old: Callable[[], None]
) -> Checkpoint:
    """Add the callbacks that write and print."""
    info: dict[str, Any] = {"recipe": experiment.recipe.to_json(), "fingerprint": experiment.fingerprint}
    info |= {"weft": __version__, "threads": num_threads()}  # BLAS rounds differently on another number
    extra = model_state(
        experiment.trainer.model,
        architecture=experiment.architecture,
        normalizer=experiment.normalizer,
        class_names=experiment.splits.class_names,
        info=info,
    )
    del extra["model"]  # the trainer's own is the one of the moment

    def announce(line: str) -> None:
        remove_old()
        if every is not None:
            show(line)

    checkpoint = Checkpoint(folder, every=every, extra=extra, announce=announce)
    bars = [] if show is _nothing else [ProgressBar()]
    experiment.trainer.callbacks += [*bars, checkpoint, CSVLogger(folder / "log.csv")]  # of a run that is saved
    return checkpoint


def _test_and_save(experiment: Experiment, folder: Path, history: Sequence[dict[str, Any]], seconds: float) -> None:
    """Test, save the model, draw the curves, print the result."""
    model, trainer, names = experiment.trainer.model, experiment.trainer, experiment.splits.class_names
    trainer.precision = None  # what is saved computes in float32: test just that
    test_loader = experiment.loader(experiment.splits.test)
    test = trainer.evaluate(test_loader)
    predicted = trainer.predict_classes(test_loader)
    true = np.asarray(experiment.splits.test.y)
    wrong = int((predicted != true).sum())
    result = {"test_accuracy": test["accuracy"], "test_loss": test["loss"], "epochs": trainer.epoch, "seconds": seconds}
    info = {"weft": __version__, "data": experiment.splits.name, **result, "recipe": experiment.recipe.to_json()}
    save_model(
        folder / "model.safetensors",
        model,
        architecture=experiment.architecture,
        normalizer=experiment.normalizer,
        class_names=names,
        info=info,
    )
    rows = [
        ("test accuracy", f"{100 * test['accuracy']:.2f} %  ({wrong} of {len(true)} wrong)"),
        ("test loss", f"{test['loss']:.4f}"),
        ("time", f"{seconds:.1f} s"),
        ("model", folder / "model.safetensors"),
        ("log", folder / "log.csv"),
    ]
    try:
        title = f"{experiment.splits.name} · {experiment.recipe.model}"
        plot_history(history, folder / "curves.png", title=title, test=test)
        matrix = np.zeros((len(names), len(names)), np.int64)
        np.add.at(matrix, (true, predicted), 1)
        plot_confusion(matrix, folder / "confusion.png", class_names=names, title=f"{title}, test set")
        rows += [("curves", folder / "curves.png"), ("confusion", folder / "confusion.png")]
    except ImportError as error:
        rows.append(("curves", str(error)))
    rows.append(("reading", bias_variance(history)))
    for name, value in rows:
        say(f"{name:<15}{value}")
