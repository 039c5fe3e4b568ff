"""`weft train --task text`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ... import __version__, _signals
from ...backend.device.parallel import num_threads
from ...layers.models import LANGUAGE_MODELS
from ..checkpoint import CheckpointError, load_checkpoint
from ..checkpoint_callback import Checkpoint
from ..output import say
from ..plots import bias_variance, plot_history
from ..recipe import PRECISIONS
from ..reporting import CSVLogger, ProgressBar
from ..saved_model import model_state, save_model
from ..saved_options import SavedOptions
from ..text import DEFAULTS, OWN, TextExperiment, TextRecipe
from .folder import folder_of, hold_unused, remover
from .parser import Parser, UsageError, number, report
from .train import _how_to_go_on, _nothing, _restore, _set_threads, _source, _threads_of, add_run_options

__all__ = ["main"]

Options = TypeVar("Options", bound=SavedOptions)

DESCRIPTION = """Train a language model on a text: it learns what comes next. The end of the text is held out; a part of that is
looked at every few updates, all of it at the end. Without options but --data: a GPT of four layers that reads characters,
in some minutes.
"""
EPILOG = """examples:
  weft train --task text --data ../shared/data/tinyshakespeare
  weft train --task text --data ../shared/data/tinyshakespeare --model lstm
  weft train --task text --data book.txt --model llama --width 192 --context 128 --iterations 5000
  weft train --task text --data book.txt --tokenizer ../shared/data/gpt2-bpe
  weft train --resume runs/tinyshakespeare-gpt2
  weft generate runs/tinyshakespeare-gpt2 --prompt "ROMEO:"

A run leaves in its folder: model.safetensors (for weft generate, or weft.training.load_model), model.json (what is known
of it), log.csv, curves.png, and the checkpoints last.safetensors and best.safetensors. Ctrl-C, SIGTERM and SIGHUP save at
the next update and say how to go on (exit status 130, 143, 129); a second Ctrl-C does not wait.
"""


def _parser() -> Parser:
    parser = Parser(prog="weft train --task text", description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    positive, share = number(int, 1), number(float, 0, 1)
    add("--task", choices=["text"], help="what this is the help of; weft train --help has images")
    add("--data", metavar="PATH", help="a text file, a folder with one, or a file of tokens (weft.data.encode_file)")
    add("--tokenizer", metavar="NAME", help="characters (default), or a folder with GPT-2's encoder.json and vocab.bpe")
    add("--model", choices=sorted(LANGUAGE_MODELS), help="default: gpt2")
    add("--layers", type=positive, metavar="N", help="of the model (4; of lstm and gru 2)")
    add("--heads", type=positive, metavar="N", help="of attention, in gpt2 and llama; a divisor of the width (4)")
    add("--width", type=positive, metavar="N", help="of embeddings, and of lstm's and gru's states (128; of these 256)")
    add("--context", type=positive, metavar="N", help="tokens of a block; gpt2 and llama see no more at once (64)")
    add("--dropout", type=share, metavar="X", help="of gpt2, lstm and gru (0)")
    add("--batch-size", type=positive, metavar="N", help="blocks per update (12; of lstm and gru 32)")
    add("--iterations", type=positive, metavar="N", help="updates (2000)")
    add(
        "--eval-every",
        type=positive,
        metavar="N",
        help="updates between two looks at the validation; divides the above",
    )
    add(
        "--lr",
        type=number(float, 0, above=True),
        metavar="X",
        help="greatest learning rate; falls to a tenth (0.002; of lstm and gru 0.004)",
    )
    add("--warmup", type=number(int, 0), metavar="N", help="updates until it is reached (100)")
    add("--weight-decay", type=number(float, 0), metavar="X", help="of matrices (0.1)")
    add("--clip-grad-norm", type=number(float, 0, above=True), metavar="X", help="greatest norm of the gradient (1)")
    add("--validation", type=number(float, 0, 1, above=True), metavar="X", help="share of the text held out (0.1)")
    add("--seed", type=number(int, 0, 2**32), metavar="N", help="of weights, blocks and dropout (0)")
    add("--precision", choices=PRECISIONS, help="of products; weights and sums stay float32 (float32)")
    add_run_options(parser, "save every N updates too")
    return parser


def main(argv: Sequence[str]) -> int:
    """Train a language model as the arguments say.

    Parameters
    ----------
    argv : sequence of str
        Arguments of `weft train --task text`.

    Returns
    -------
    int
        The exit status, see `report`.

    Examples
    --------
    >>> main(["--task", "text", "--data", "nowhere.txt"])
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
    source = _source(given.pop("resume", None), out)
    if source is None and "data" not in given:
        raise UsageError("--task text needs --data with a text file, or --resume with a run")
    folder = folder_of(out, source, bool(overwrite), stack)
    saved = None if source is None else load_checkpoint(source)
    _set_threads(given.pop("threads", saved and _threads_of(saved, source)))
    defaults = DEFAULTS.get(given.get("model", ""), {})
    recipe = (
        TextRecipe(**defaults | given)
        if saved is None or source is None
        else recipe_of(TextRecipe, "text", saved, source).resumed_with(given)
    )
    _check_own(given, recipe.model)
    started = time.perf_counter()
    experiment: Any = TextExperiment(recipe, device=device)
    folder = folder or hold_unused(Path("runs") / f"{experiment.name}-{recipe.model}", stack)
    show(f"{experiment.name}: {experiment.tokens:,} tokens to train on, {experiment.held_out:,} held out")
    count = sum(p.size for p in experiment.trainer.model.parameters())
    show(f"{recipe.model}: {count:,} parameters, on {experiment.device} ({num_threads()} threads), into {folder}")
    checkpoint = add_callbacks(
        experiment, _info(experiment), folder, every, show, remover(folder) if overwrite else _nothing
    )
    if saved is not None and source is not None:
        _restore(experiment, saved, source, show)
    _signals.explain = lambda: _how_to_go_on(experiment, checkpoint, source)
    history = experiment.trainer.fit(experiment.train_loader, experiment.validation_loader, recipe.epochs)
    _save(experiment, folder, history, time.perf_counter() - started)
    return 0


def _check_own(given: dict[str, Any], model: str) -> None:
    for name in ("heads", "dropout"):
        if name in given and name not in OWN[model]:
            those = " and ".join(other for other, own in OWN.items() if name in own)
            raise UsageError(f"--{name} is for --model {those}, got {model}")


def recipe_of(kind: type[Options], task: str, saved: dict[str, Any], source: Path) -> Options:
    """The options in a checkpoint of a task, or a CheckpointError where it is of another."""
    try:
        if saved["info"]["task"] != task:
            raise KeyError
        return kind.from_json(saved["info"]["recipe"])
    except (KeyError, TypeError, AttributeError):
        what = "one of another task; resume it without --task"
        raise CheckpointError(
            f"`{source}`: expected a checkpoint of `weft train --task {task}`, found {what}"
        ) from None


def _info(experiment: TextExperiment) -> dict[str, Any]:
    tokenizer = None if experiment.tokenizer is None else experiment.tokenizer.config()
    recipe = experiment.recipe.to_json()
    return {"weft": __version__, "task": "text", "data": experiment.name, "tokenizer": tokenizer, "recipe": recipe}


def add_callbacks(
    experiment: Any,
    info: dict[str, Any],
    folder: Path,
    every: int | None,
    show: Callable[..., None],
    remove_old: Callable[..., None],
) -> Checkpoint:
    """Add the callbacks that write and print; `info` is what the checkpoints say of the run."""
    info = info | {"fingerprint": experiment.fingerprint, "threads": num_threads()}
    extra = model_state(experiment.trainer.model, architecture=experiment.architecture, info=info)
    del extra["model"]  # the trainer's own is the one of the moment

    def announce(line: str) -> None:
        remove_old()
        if every is not None:
            show(line)

    checkpoint = Checkpoint(folder, every=every, extra=extra, announce=announce)
    bars = [] if show is _nothing else [ProgressBar()]
    experiment.trainer.callbacks += [*bars, checkpoint, CSVLogger(folder / "log.csv")]  # of a run that is saved
    return checkpoint


def _save(experiment: TextExperiment, folder: Path, history: Sequence[dict[str, Any]], seconds: float) -> None:
    """Evaluate on all that is held out, save the model, draw the curves, print the result."""
    trainer, recipe = experiment.trainer, experiment.recipe
    trainer.precision = None  # what is saved computes in float32: evaluate just that
    loss = trainer.evaluate(experiment.test_loader)["loss"]
    info = _info(experiment) | {"validation_loss": loss, "iterations": trainer.step, "seconds": seconds}
    path = folder / "model.safetensors"
    save_model(path, trainer.model, architecture=experiment.architecture, info=info)
    rows = [
        ("validation loss", f"{loss:.4f}  (perplexity {math.exp(min(loss, 700)):.2f}, {experiment.held_out:,} tokens)"),
        ("time", f"{seconds:.1f} s"),
        ("model", path),
        ("log", folder / "log.csv"),
    ]
    try:
        plot_history(history, folder / "curves.png", title=f"{experiment.name} · {recipe.model}", test={"loss": loss})
        rows.append(("curves", folder / "curves.png"))
    except ImportError as error:
        rows.append(("curves", str(error)))
    rows.append(("reading", bias_variance(history)))
    rows.append(("next", f"weft generate {folder}"))
    for name, value in rows:
        say(f"{name:<17}{value}")
