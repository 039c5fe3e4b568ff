"""`weft train --task translate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..attention_map import plot_attention
from ..output import say
from ..plots import bias_variance, plot_history
from ..recipe import PRECISIONS
from ..translating import attention_of, translate
from ..translation import MODELS, TranslationExperiment, TranslationRecipe
from .parser import Parser, UsageError, number, report
from .run import Task, add_run_options, save_run, train

__all__ = ["TASK", "main"]

SAMPLES = 5

DESCRIPTION = """Train a translator on pairs of sentences, one `source<TAB>target` a line. Some of the sentences are held
out, with all of their translations; at the end BLEU is measured on these, beside that of copying and of translating word by
word.
"""
EPILOG = """examples:
  weft train --task translate --data datasets/fra-eng --pairs 40000 --max-words 8
  weft train --task translate --data datasets/fra-eng --model lstm --width 256
  weft train --task translate --data pairs.tsv --max-words 20 --vocabulary 16000 --epochs 20
  weft train --resume runs/fra-eng-lstm --epochs 15
  weft translate runs/fra-eng-lstm "I am cold."

A run leaves in its folder: model.safetensors (for weft translate, or weft.training.load_model; vocabularies included),
model.json (what is known of it), log.csv, curves.png, attention.png, and the checkpoints last.safetensors and
best.safetensors. Ctrl-C, SIGTERM and SIGHUP save at the next update and say how to go on (exit status 130, 143, 129); a
second Ctrl-C does not wait. BLEU needs sacrebleu: pip install "weft[translate]".
"""


def _parser() -> Parser:
    parser = Parser(prog="weft train --task translate", description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    positive, share, above = number(int, 1), number(float, 0, 1), number(float, 0, above=True)
    add("--task", choices=["translate"], help="what this is the help of; weft train --help has images")
    add(
        "--data", metavar="PATH", help="a file of pairs, plain, .gz or .zip (a third column is left out), or its folder"
    )
    add("--tokenizer", choices=["words", "subwords"], help="words (default), or byte pairs fitted on the pairs")
    add("--model", choices=sorted(MODELS), help="default: transformer; lstm has attention, too")
    add("--width", type=positive, metavar="N", help="of embeddings (128)")
    add("--layers", type=positive, metavar="N", help="of encoder and decoder each (3; 1 of the lstm)")
    add("--heads", type=positive, metavar="N", help="of the transformer; a divisor of the width (4)")
    add("--dropout", type=share, metavar="X", help="in training (0.1)")
    add("--max-words", type=positive, metavar="N", help="leave out pairs with more words or marks on a side (10)")
    add("--pairs", type=positive, metavar="N", help="take so many, drawn at random (all)")
    add("--vocabulary", type=positive, metavar="N", help="words, or subwords, of each language at most (8000)")
    add("--min-count", type=positive, metavar="N", help="how often a word must occur (2)")
    add("--batch-size", type=positive, metavar="N", help="pairs per update (64)")
    add("--epochs", type=positive, metavar="N", help="passes over the training part (10); with --resume, more")
    add("--lr", type=above, metavar="X", help="factor of Noam's schedule: the greatest is X/sqrt(width warmup) (1)")
    add("--warmup", type=positive, metavar="N", help="updates until it is reached (800)")
    add("--label-smoothing", type=share, metavar="X", help="share of the target spread over the vocabulary (0.1)")
    add("--clip-grad-norm", type=above, metavar="X", help="greatest norm of the gradient (1)")
    add(
        "--validation", type=number(float, 0, 1, above=True), metavar="X", help="share of the sentences held out (0.05)"
    )
    add("--seed", type=number(int, 0, 2**32), metavar="N", help="of weights, split, order and dropout (0)")
    add("--precision", choices=PRECISIONS, help="of products; weights and sums stay float32 (float32)")
    add_run_options(parser, "save every N updates too, not only after each epoch")
    return parser


def main(argv: Sequence[str]) -> int:
    """Train a translator as the arguments say.

    Parameters
    ----------
    argv : sequence of str
        Arguments of `weft train --task translate`.

    Returns
    -------
    int
        The exit status, see `report`.

    Examples
    --------
    >>> main(["--task", "translate", "--data", "nowhere.txt"])
    2
    """
    given = vars(_parser().parse_args(argv))
    given.pop("task", None)
    return report("weft train", lambda: train(TASK, given), debug=given.pop("debug", False))


def _check(given: dict[str, Any], recipe: TranslationRecipe) -> None:
    if "min_count" in given and recipe.tokenizer != "words":
        raise UsageError(f"--min-count is for --tokenizer words, got {recipe.tokenizer}")
    if recipe.tokenizer == "subwords" and recipe.vocabulary < 260:
        raise UsageError(f"--vocabulary must be at least 260, bytes and marks, for subwords, got {recipe.vocabulary}")
    if "heads" in given and recipe.model != "transformer":
        raise UsageError(f"--heads is for --model transformer, got {recipe.model}")


def _about(experiment: TranslationExperiment) -> str:
    sizes = f"{experiment.source.vocab_size:,} and {experiment.target.vocab_size:,} tokens"
    return f"{experiment.name}: {len(experiment.train):,} pairs to train on, {len(experiment.held_out):,} held out, {sizes}"


def _info(experiment: TranslationExperiment) -> dict[str, Any]:
    return {"source": experiment.source.config(), "target": experiment.target.config()}


def _finish(
    experiment: TranslationExperiment,
    folder: Path,
    history: Sequence[dict[str, Any]],
    seconds: float,
    show: Callable[..., None],
) -> None:
    """Save the model, measure BLEU, draw, print the result."""
    trainer, recipe = experiment.trainer, experiment.recipe
    trainer.precision = None  # what is saved computes in float32: evaluate just that
    loss = trainer.evaluate(experiment.validation_loader)["loss"]
    result = {"validation_loss": loss, "epochs": trainer.epoch, "seconds": seconds}
    path = save_run(TASK, experiment, folder, **result)  # BLEU takes its time
    rows: list[tuple[str, Any]] = [("validation loss", f"{loss:.4f}")]
    try:
        scores = experiment.scores()
        save_run(TASK, experiment, folder, **result, **scores)
        rows.append(("BLEU", f"{scores['bleu']:.1f}  ({len(experiment.held_out):,} pairs held out)"))
        rows.append(("of copying", f"{scores['bleu_copy']:.1f}"))
        rows.append(("word for word", f"{scores['bleu_words']:.1f}"))
    except ImportError as error:
        rows.append(("BLEU", str(error)))
    rows += [("time", f"{seconds:.1f} s"), ("model", path), ("log", folder / "log.csv")]
    sentences = list(dict.fromkeys(source for source, _ in experiment.held_out))
    some = [sentences[i] for i in np.linspace(0, len(sentences) - 1, min(SAMPLES, len(sentences))).astype(int).tolist()]
    model, source, target = trainer.model, experiment.source, experiment.target
    found = translate(model, source, target, some)
    try:
        title = f"{experiment.name} · {recipe.model}"
        plot_history(history, folder / "curves.png", title=title)
        words, written, weights = attention_of(model, source, target, some[-1])
        plot_attention(weights, folder / "attention.png", source=words, target=written, title=title)
        rows += [("curves", folder / "curves.png"), ("attention", folder / "attention.png")]
    except ImportError as error:
        rows.append(("curves", str(error)))
    rows.append(("reading", bias_variance(history)))
    rows.append(("next", f'weft translate {folder} "{some[0]}"'))
    for sentence, translation in zip(some, found):
        show(f"{sentence}  →  {translation}")
    for name, value in rows:
        say(f"{name:<17}{value}")


TASK = Task(
    name="translate",
    data="a file of pairs",
    recipe=TranslationRecipe,
    experiment=TranslationExperiment,
    about=_about,
    info=_info,
    finish=_finish,
    check=_check,
)
