"""What every training of the command line does, whatever its task: options in, a held folder, checkpoints, the way back."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np

from ... import __version__, _signals
from ...backend.device.parallel import num_threads, set_num_threads
from ...data.files import is_file
from ..checkpoint import CheckpointError, load_checkpoint
from ..checkpoint_callback import Checkpoint
from ..limits import Limits
from ..loggers import MLflow, TensorBoard, WandB, imported
from ..output import say
from ..processes import meet
from ..reporting import CSVLogger, ProgressBar
from ..saved_model import model_state, save_model
from ..saved_options import SavedOptions
from .folder import CHECKPOINTS, by_first_in, folder_of, hold_unused, path_of, remover
from .parser import Parser, UsageError, number

__all__ = ["Task", "add_run_options", "nothing", "save_run", "source_of", "take_options", "train"]

LOGGERS = ("tensorboard", "wandb", "mlflow")


@dataclass(frozen=True)
class Task:
    """What the trainings of the command line differ in.

    Parameters
    ----------
    name : str
        Of `--task`.
    data : str
        What `--data` has to name.
    recipe : type
        The options of a run.
    experiment : callable
        Makes of a recipe and `device=` what is trained: it has `name`, `trainer`, `train_loader`, `validation_loader`,
        `architecture`, `fingerprint`, `device`, `recipe`.
    about : callable
        The line that says what the experiment's data are.
    info : callable
        What is saved of the experiment beside the recipe: vocabularies, names.
    finish : callable
        Evaluates, saves, draws and prints: `finish(experiment, folder, history, seconds, show)`.
    check : callable
        Refuses options given that are not for this recipe: `check(given, recipe)`.
    defaults : callable
        Defaults that follow from the options given.

    Examples
    --------
    >>> from weft.training.cli.train_text import TASK
    >>> TASK.name
    'text'
    """

    name: str
    data: str
    recipe: type[SavedOptions]
    experiment: Callable[..., Any]
    about: Callable[[Any], str]
    info: Callable[[Any], dict[str, Any]]
    finish: Callable[[Any, Path, Sequence[dict[str, Any]], float, Callable[..., None]], None]
    check: Callable[[dict[str, Any], Any], None] = field(default=lambda given, recipe: None)
    defaults: Callable[[dict[str, Any]], dict[str, Any]] = field(default=lambda given: {})


def add_run_options(parser: Parser, checkpoint_every: str) -> None:
    """Add what every training is told: where it runs and what it writes. The help of one option differs."""
    add = parser.add_argument
    add("--device", help="cpu, cuda, cuda:1 …, emulator (CUDA kernels on the CPU); default: $WEFT_DEVICE, or cpu")
    add("--threads", type=number(int, 1, 1025), metavar="N", help="CPU threads (all cores; on resuming as before)")
    add("--out", metavar="DIR", help="folder of the run; default: runs/<data>-<model>, with a number if that is taken")
    add("--overwrite", action="store_true", help="with --out: replace the run that is in the folder")
    add("--resume", nargs="?", const="", metavar="PATH", help="go on from a checkpoint, or the last in the folder")
    add("--checkpoint-every", type=number(int, 1), metavar="N", help=checkpoint_every)
    add("--max-time", metavar="HH:MM:SS", help="save and stop after so long; go on with --resume")
    add("--logger", choices=LOGGERS, help="hand the log to that program, too, in its own files within the run's folder")
    add("--quiet", action="store_true", help="print the result only")
    add("--debug", action="store_true", help="show the traceback of errors")


def take_options(experiment: Any, folder: Path, options: dict[str, Any]) -> None:
    """Do what `--max-time` and `--logger` say, having checked it."""
    try:
        limits = Limits(max_time=options.get("max_time"))
    except ValueError as error:
        raise UsageError(f"--max-time: {error}") from None
    experiment.trainer.limits = limits
    kind = options.get("logger")
    try:
        if kind == "tensorboard":
            logger: Any = TensorBoard(
                imported("tensorboardX", "log", "--logger tensorboard").SummaryWriter(str(folder))
            )
        elif kind == "wandb":
            logger = WandB("weft", experiment.recipe.to_json(), dir=str(folder), name=folder.name)
        elif kind == "mlflow":
            uri = f"sqlite:///{folder / 'mlflow.db'}"
            logger = MLflow("weft", experiment.recipe.to_json(), tracking_uri=uri, run_name=folder.name)
        else:
            return
        imported(kind if kind != "tensorboard" else "tensorboardX", "log", f"--logger {kind}")
    except ImportError as error:
        raise UsageError(str(error)) from None
    experiment.trainer.callbacks.append(logger)


def train(task: Task, given: dict[str, Any]) -> int:
    """Train as the options say.

    Parameters
    ----------
    task : Task
        Of which kind.
    given : dict
        Options by name, those of the recipe and those of `add_run_options`.

    Returns
    -------
    int
        The exit status.

    Raises
    ------
    UsageError, CheckpointError, DataError
        One line for the user.
    """
    meet()
    with ExitStack() as stack:
        stack.enter_context(np.errstate(all="ignore"))  # what is not finite is told by `StopOnNaN`, in one line
        return _train(task, given, stack)


def _train(task: Task, given: dict[str, Any], stack: ExitStack) -> int:
    names = ("device", "out", "checkpoint_every", "overwrite")
    device, out, every, overwrite = (given.pop(name, None) for name in names)
    options = {name: given.pop(name, None) for name in ("max_time", "logger")}
    show = nothing if given.pop("quiet", False) else say
    source = source_of(given.pop("resume", None), out)
    if source is None and "data" not in given:
        raise UsageError(f"--task {task.name} needs --data with {task.data}, or --resume with a run")
    folder = by_first_in(lambda: folder_of(out, source, bool(overwrite), stack), stack)
    saved = None if source is None else load_checkpoint(source)
    set_threads(given.pop("threads", saved and threads_of(saved, source)))
    if saved is None or source is None:
        recipe: Any = task.recipe(**task.defaults(given) | given)
    else:
        recipe = _recipe_of(task, saved, source).resumed_with(given)
    task.check(given, recipe)
    started = time.perf_counter()
    experiment = task.experiment(recipe, device=device)
    kind = experiment.recipe.model
    folder = folder or by_first_in(lambda: hold_unused(Path("runs") / f"{experiment.name}-{kind}", stack), stack)
    show(task.about(experiment))
    count = sum(p.size for p in experiment.trainer.model.parameters())
    show(f"{kind}: {count:,} parameters, on {experiment.device} ({num_threads()} threads), into {folder}")
    take_options(experiment, folder, options)
    checkpoint = add_callbacks(experiment, _state(task, experiment), folder, every, show, bool(overwrite))
    history = fit(experiment, checkpoint, saved, source, show)
    if history:
        task.finish(experiment, folder, history, time.perf_counter() - started, show)
    return 0


def fit(
    experiment: Any,
    checkpoint: Checkpoint,
    saved: dict[str, Any] | None,
    source: Path | None,
    show: Callable[..., None],
) -> Sequence[dict[str, Any]]:
    """Train to the end, from where the run was saved if it goes on; a signal says how. Nothing, if the time was over before."""
    if saved is not None and source is not None:
        restore(experiment, saved, source, show)
    _signals.explain = lambda: how_to_go_on(experiment, checkpoint, source)
    trainer = experiment.trainer
    history = trainer.fit(experiment.train_loader, experiment.validation_loader, experiment.recipe.epochs)
    if trainer.limits.is_over and trainer.epoch < experiment.recipe.epochs:
        say(f"--max-time is over: {how_to_go_on(experiment, checkpoint, source)}")
        return []
    if trainer.stopping:
        show(f"stopped early: {trainer.stopping}")
    return history


def nothing(*parts: Any) -> None:
    """What shows nothing."""


# --- resuming -------------------------------------------------------------------------------------------------------
def source_of(resume: str | None, out: str | None) -> Path | None:
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


def _recipe_of(task: Task, saved: dict[str, Any], source: Path) -> Any:
    info = saved.get("info")
    if not isinstance(info, dict) or info.get("task") != task.name:
        what = "one of another task; resume it without --task"
        raise CheckpointError(f"`{source}`: expected a checkpoint of `weft train --task {task.name}`, found {what}")
    try:
        return task.recipe.from_json(info["recipe"])
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"`{source}`: expected the options of `weft train --task {task.name}`, found that {error}"
        ) from None


def set_threads(threads: int | None) -> None:
    """Compute on so many threads; None: as now."""
    try:
        if threads is not None:
            set_num_threads(threads)
    except ValueError as error:  # the machine that the run was begun on may have had more cores
        raise UsageError(f"--threads {threads}: {error}") from None


def threads_of(saved: dict[str, Any], source: Path | None) -> int | None:
    """The number that the run was begun with: on another, BLAS rounds differently."""
    info = saved.get("info")
    threads = info.get("threads") if isinstance(info, dict) else None
    if threads is not None and (type(threads) is not int or not 1 <= threads <= 1024):
        raise CheckpointError(f"`{source}`: expected a number of threads in `info.threads`, found {threads!r:.60}")
    return threads


def restore(experiment: Any, saved: dict[str, Any], source: Path, show: Callable[..., None]) -> None:
    """Put the experiment where the checkpoint was."""
    if saved["info"].get("fingerprint") != experiment.fingerprint:
        raise UsageError(
            f"--resume {source}: the training data in {experiment.recipe.data} are not those the run was begun with"
        )
    experiment.trainer.load_state_dict(saved)
    at = experiment.trainer
    show(f"resumed from {source} at epoch {at.epoch}, batch {at.batch}, step {at.step}")


def how_to_go_on(experiment: Any, checkpoint: Checkpoint, source: Path | None) -> str:
    """What is said when a signal ends the run."""
    if checkpoint.saved is None:  # by this process
        return "" if source is None else f"go on with: weft train --resume {quote(str(source))}"
    epoch, batch = checkpoint.saved
    where = f"saved at epoch {epoch + 1}, batch {batch}"
    if epoch >= experiment.recipe.epochs:
        where = "trained to the end and saved"
    return f"{where}; go on with: weft train --resume {quote(str(checkpoint.last))}"


# --- what is written -----------------------------------------------------------------------------------------------------
def _state(task: Task, experiment: Any, **result: Any) -> dict[str, Any]:
    """What is saved with the weights, in checkpoints and at the end."""
    info = {"weft": __version__, "task": task.name, "data": experiment.name, "recipe": experiment.recipe.to_json()}
    normalizer = getattr(experiment, "normalizer", None)
    return {
        "architecture": experiment.architecture,
        "normalizer": normalizer,
        "info": info | task.info(experiment) | result,
    }


def save_run(task: Task, experiment: Any, folder: Path, **result: Any) -> Path:
    """Save the trained model.

    Parameters
    ----------
    task : Task
        Of which kind.
    experiment : object
        What was trained.
    folder : path
        Of the run.
    **result : object
        What is to be known of it: loss, seconds.

    Returns
    -------
    path
        Of the model.
    """
    path = folder / "model.safetensors"
    save_model(path, experiment.trainer.model, **_state(task, experiment, **result))
    return path


def add_callbacks(
    experiment: Any, state: dict[str, Any], folder: Path, every: int | None, show: Callable[..., None], overwrite: bool
) -> Checkpoint:
    """Add the callbacks that write and print; `state` is what `model_state` takes."""
    remove_old = remover(folder) if overwrite else nothing
    own = {"fingerprint": experiment.fingerprint, "threads": num_threads()}  # BLAS rounds differently on another number
    extra = model_state(experiment.trainer.model, **state | {"info": state["info"] | own})
    del extra["model"]  # the trainer's own is the one of the moment

    def announce(line: str) -> None:
        remove_old()
        if every is not None:
            show(line)

    checkpoint = Checkpoint(folder, every=every, extra=extra, announce=announce)
    bars = [] if show is nothing else [ProgressBar()]
    experiment.trainer.callbacks += [*bars, checkpoint, CSVLogger(folder / "log.csv")]  # of a run that is saved
    return checkpoint
