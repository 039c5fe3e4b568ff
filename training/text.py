"""A training run of a language model on a text: what `weft train --task text` is told, and what it makes of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..backend.array import random
from ..backend.device.devices import canonical, select
from ..backend.tape.tensor import Tensor
from ..data import BytePairTokenizer, CharTokenizer, DataLoader, RandomBlocks, TokenBlocks, TokenFile
from ..data.files import fault, named, read_bytes, utf8
from ..data.tokens import MAGIC
from ..layers.models import LanguageModel
from ..optimizers import AdamW, decay_groups
from ..optimizers.schedulers import LambdaLR
from .checkpoint import array_crc
from .nonfinite import StopOnNaN
from .saved_model import build_model
from .saved_options import SavedOptions
from .trainer import Trainer
from .usage import UsageError

__all__ = ["TextExperiment", "TextRecipe", "load_text"]

EVALUATED = 200  # blocks of the validation part that are looked at during training; at its end, all
# What the command line takes where it is told no more than the model.
_RECURRENT = {"layers": 2, "width": 256, "batch_size": 32, "lr": 4e-3}
DEFAULTS: dict[str, dict[str, Any]] = {"gru": _RECURRENT, "lstm": _RECURRENT}
# Options that not every model has.
OWN = {
    "gpt2": ("context", "heads", "dropout"),
    "gru": ("dropout",),
    "llama": ("context", "heads"),
    "lstm": ("dropout",),
}
SAMPLE = 1 << 20  # tokens at both ends of a text that its fingerprint is of


@dataclass(frozen=True)
class TextRecipe(SavedOptions):
    """All options that decide what the weights of a language model will be.

    The same recipe on the same text gives the same bits, on one machine with one number of threads. The defaults are those
    of nanoGPT for a CPU, but for the learning rate: twice theirs, and on tinyshakespeare a loss of 1.80 in the place of 1.91.

    Parameters
    ----------
    data : str
        A text file, or a folder with one; or a file of tokens.
    tokenizer : str, default "characters"
        One token for each character of the text, or a folder with GPT-2's byte pairs.
    model : {"gpt2", "gru", "llama", "lstm"}, default "gpt2"
        A key of `LANGUAGE_MODELS`.
    layers, heads, width : int, default 4, 4, 128
        Of the model; lstm and gru have no heads.
    context : int, default 64
        Tokens of a block, and the greatest number that the model sees; lstm and gru remember any number.
    batch_size : int, default 12
        Blocks per update.
    iterations : int, default 2000
        Updates.
    eval_every : int, default 0
        Updates between two looks at the validation; 0: some 250.
    lr : float, default 2e-3
        The greatest learning rate; it rises to that, and falls to a tenth along a cosine.
    warmup : int, default 100
        Updates until it is reached.
    weight_decay : float, default 0.1
        Of matrices.
    clip_grad_norm : float, default 1.0
        Greatest norm of the whole gradient.
    dropout : float, default 0.0
        Of gpt2, gru and lstm, in training.
    precision : str, default "float32"
        Of products.
    validation : float, default 0.1
        Share of the text, its end, that is held out.
    seed : int, default 0
        Of weights, blocks and dropout.

    Examples
    --------
    >>> recipe = TextRecipe(data="input.txt", iterations=600)
    >>> TextRecipe.from_json(recipe.to_json()) == recipe, recipe.interval()
    (True, 200)
    """

    data: str
    tokenizer: str = "characters"
    model: str = "gpt2"
    layers: int = 4
    heads: int = 4
    width: int = 128
    context: int = 64
    batch_size: int = 12
    iterations: int = 2000
    eval_every: int = 0
    lr: float = 2e-3
    warmup: int = 100
    weight_decay: float = 0.1
    clip_grad_norm: float = 1.0
    dropout: float = 0.0
    precision: str = "float32"
    validation: float = 0.1
    seed: int = 0

    def interval(self) -> int:
        """Updates between two looks at the validation.

        Returns
        -------
        int
            A divisor of the iterations.

        Raises
        ------
        UsageError
            If `eval_every` is none, or there is none near 250.
        """
        found = self.eval_every or max(n for n in range(1, min(250, self.iterations) + 1) if self.iterations % n == 0)
        if self.iterations % found or (not self.eval_every and found < min(25, self.iterations)):
            raise UsageError(
                f"--eval-every must divide --iterations, {self.iterations}, got {self.eval_every or 'none'}; "
                f"{self.iterations} itself does"
            )
        return found

    @property
    def epochs(self) -> int:
        """Intervals: an epoch of the trainer is one of them."""
        return self.iterations // self.interval()

    def architecture(self, vocab_size: int) -> dict[str, Any]:
        """The description that `build_model` takes.

        Parameters
        ----------
        vocab_size : int
            That of the tokenizer.

        Returns
        -------
        dict
            "name" and arguments.
        """
        sizes = {name: getattr(self, name) for name in ("width", "layers", *OWN.get(self.model, ()))}
        own = {"bias": False} if self.model == "gpt2" else {}
        return {"name": self.model, "vocab_size": vocab_size, **sizes, **own}


def load_text(data: str, tokenizer: str = "characters") -> tuple[Any, Any]:
    """The tokens of a text, and its tokenizer.

    Parameters
    ----------
    data : str
        A text file, or a folder with one; or a file of tokens, which is read where it lies.
    tokenizer : str, default "characters"
        As in `TextRecipe`.

    Returns
    -------
    array of int, or TokenFile
        The tokens.
    CharTokenizer, BytePairTokenizer or None
        None for a file of tokens whose tokenizer is not named.

    Raises
    ------
    DataError
        If a file is missing or is no text.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     n = pathlib.Path(folder, "a.txt").write_text("to be or not")
    ...     load_text(folder)
    (array([6, 4, 0, 1, 2, 0, 4, 5, 0, 3, 4, 6]), CharTokenizer(7 characters: ' benort'))
    """
    path = named(data)
    if path.is_dir():
        found = sorted(path.glob("*.txt"))
        if len(found) != 1:
            names = ", ".join(p.name for p in found[:5]) or "none"
            raise fault(path, "one .txt file in the folder", names, "name the file itself")
        path = found[0]
    pairs = None if tokenizer == "characters" else BytePairTokenizer(tokenizer)
    if path.is_file():
        with open(path, "rb") as file:
            is_tokens = file.read(len(MAGIC)) == MAGIC
        if is_tokens:
            tokens = TokenFile(path)
            if pairs is not None and tokens.vocab_size != pairs.vocab_size:
                raise fault(
                    path, f"the {pairs.vocab_size} tokens of {tokenizer}", f"{tokens.vocab_size}", "name its own"
                )
            return tokens, pairs
    text = utf8(path, read_bytes(path))
    chosen = CharTokenizer.of(text) if pairs is None else pairs
    return chosen.encode(text), chosen


class _TextTrainer(Trainer):
    """The loss comes from the model itself: logits are never in memory."""

    def forward(self, batch: Any) -> tuple[Any, Tensor]:
        """The loss, as output, too."""
        model: Any = self.model
        with self.autocast():
            loss = model.loss(*batch)
        return loss, loss


class TextExperiment:
    """What a recipe describes: the text in two parts, loaders, model and trainer. An epoch is `recipe.interval()` updates.

    Parameters
    ----------
    recipe : TextRecipe
        Its options.
    device : str, optional
        Where to train. By default the default device.

    Attributes
    ----------
    tokenizer : CharTokenizer, BytePairTokenizer or None
        Of the text.
    name : str
        Of the text.
    tokens, held_out : int
        How many there are in the two parts.
    fingerprint : str
        Of the training part, from its length and ends.
    architecture : dict
        Of the model, for `build_model`.
    train_loader, validation_loader, test_loader : DataLoader
        What to fit on; the last has all that is held out.
    trainer : Trainer
        With the callbacks that steer the training.

    Raises
    ------
    UsageError
        If the text and the options do not go together.
    DataError
        If the text cannot be read.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     n = pathlib.Path(folder, "a.txt").write_text("to be or not to be" * 20)
    ...     recipe = TextRecipe(data=folder, context=8, width=16, heads=2, iterations=20)
    ...     experiment = TextExperiment(recipe)
    >>> experiment.tokens, experiment.held_out, recipe.epochs
    (324, 36, 1)
    """

    def __init__(self, recipe: TextRecipe, *, device: str | None = None):
        self.device = canonical(device) if device is None else select(device)
        self.recipe = recipe
        tokens, self.tokenizer = load_text(recipe.data, recipe.tokenizer)
        path = Path(recipe.data)
        self.name = (
            path.stem if path.is_file() and path.name != "input.txt" else (path.parent if path.is_file() else path).name
        )
        cut = round(len(tokens) * (1 - recipe.validation))
        parts = tokens[:cut], tokens[cut:]
        self.tokens, self.held_out = map(len, parts)
        for part, what in zip(parts, ("to train on", "held out")):
            if len(part) <= recipe.context:
                raise UsageError(
                    f"--data {recipe.data}: expected more than a block of {recipe.context} tokens {what}, found {len(part)}; "
                    "take a longer text or a smaller --context"
                )
        ends = np.concatenate([parts[0][:SAMPLE], parts[0][-SAMPLE:]])
        self.fingerprint = f"{len(parts[0])}-{array_crc(ends):08x}"
        vocab_size = tokens.vocab_size if self.tokenizer is None else self.tokenizer.vocab_size
        self.architecture = recipe.architecture(vocab_size)
        every = recipe.interval()
        load = partial(DataLoader, seed=recipe.seed, device=self.device)
        self.train_loader = load(RandomBlocks(parts[0], recipe.context, every * recipe.batch_size), recipe.batch_size)
        held_out = TokenBlocks(parts[1], recipe.context)
        some = np.linspace(0, len(held_out) - 1, min(EVALUATED, len(held_out))).round().astype(int).tolist()
        self.validation_loader = load(held_out, 64, sampler=some)
        self.test_loader = load(held_out, 64)
        random.manual_seed(recipe.seed)
        try:
            model = build_model(self.architecture, device=self.device)
        except ValueError as error:
            raise UsageError(f"--model {recipe.model}: {error}") from error
        assert isinstance(model, LanguageModel)
        self.trainer = self._trainer(model)

    def _trainer(self, model: LanguageModel) -> Trainer:
        recipe = self.recipe
        optimizer = AdamW(decay_groups(model.parameters(), recipe.weight_decay), lr=recipe.lr, betas=(0.9, 0.99))
        return _TextTrainer(
            model,
            model.loss,
            optimizer,
            scheduler=LambdaLR(optimizer, partial(share_of_lr, recipe.warmup, recipe.iterations)),
            scheduler_interval="step",
            callbacks=[StopOnNaN()],
            clip_grad_norm=recipe.clip_grad_norm,
            device=self.device,
            precision=None if recipe.precision == "float32" else recipe.precision,
        )


def share_of_lr(warmup: int, iterations: int, step: int) -> float:
    """Rising to 1 over `warmup` steps, then falling to 0.1 along a cosine."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = min(1.0, (step - warmup) / max(1, iterations - warmup))
    return 0.1 + 0.45 * (1 + math.cos(math.pi * done))
