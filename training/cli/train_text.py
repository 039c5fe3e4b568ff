"""`weft train --task text`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...layers.models import LANGUAGE_MODELS
from ..output import say
from ..plots import bias_variance, plot_history
from ..recipe import PRECISIONS
from ..text import DEFAULTS, OWN, TextExperiment, TextRecipe
from .parser import Parser, UsageError, number, report
from .run import Task, add_run_options, save_run, train

__all__ = ["TASK", "main"]

DESCRIPTION = """Train a language model on a text: it learns what comes next. The end of the text is held out; a part of that is
looked at every few updates, all of it at the end. Without options but --data: a GPT of four layers that reads characters,
in some minutes.
"""
EPILOG = """examples:
  weft train --task text --data datasets/tinyshakespeare
  weft train --task text --data datasets/tinyshakespeare --model lstm
  weft train --task text --data book.txt --model llama --width 192 --context 128 --iterations 5000
  weft train --task text --data book.txt --tokenizer gpt2-bpe
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
    return report("weft train", lambda: train(TASK, given), debug=given.pop("debug", False))


def _check_own(given: dict[str, Any], recipe: TextRecipe) -> None:
    for name in ("heads", "dropout"):
        if name in given and name not in OWN[recipe.model]:
            those = " and ".join(other for other, own in OWN.items() if name in own)
            raise UsageError(f"--{name} is for --model {those}, got {recipe.model}")


def _about(experiment: TextExperiment) -> str:
    return f"{experiment.name}: {experiment.tokens:,} tokens to train on, {experiment.held_out:,} held out"


def _info(experiment: TextExperiment) -> dict[str, Any]:
    return {"tokenizer": None if experiment.tokenizer is None else experiment.tokenizer.config()}


def _finish(
    experiment: TextExperiment,
    folder: Path,
    history: Sequence[dict[str, Any]],
    seconds: float,
    show: Callable[..., None],
) -> None:
    """Evaluate on all that is held out, save the model, draw the curves, print the result."""
    trainer, recipe = experiment.trainer, experiment.recipe
    trainer.precision = None  # what is saved computes in float32: evaluate just that
    loss = trainer.evaluate(experiment.test_loader)["loss"]
    path = save_run(TASK, experiment, folder, validation_loss=loss, iterations=trainer.step, seconds=seconds)
    rows = [
        ("validation loss", f"{loss:.4f}  (perplexity {math.exp(min(loss, 700)):.2f}, {experiment.held_out:,} tokens)"),
        ("time", f"{seconds:.1f} s"),
        ("model", path),
        ("log", folder / "log.csv"),
    ]
    try:
        plot_history(history, folder / "curves.png", title=f"{experiment.name} · {recipe.model}")
        rows.append(("curves", folder / "curves.png"))
    except ImportError as error:
        rows.append(("curves", str(error)))
    rows.append(("reading", bias_variance(history)))
    vocabulary = " --tokenizer DIR, the folder of its vocabulary" if experiment.tokenizer is None else ""
    rows.append(("next", f"weft generate {folder}{vocabulary}"))
    for name, value in rows:
        say(f"{name:<17}{value}")


TASK = Task(
    name="text",
    data="a text file",
    recipe=TextRecipe,
    experiment=TextExperiment,
    about=_about,
    info=_info,
    finish=_finish,
    check=_check_own,
    defaults=lambda given: DEFAULTS.get(given.get("model", ""), {}),
)
