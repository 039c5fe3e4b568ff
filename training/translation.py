"""A training run of a translator on pairs of sentences: what `weft train --task translate` is told, and what it makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..backend.array import random
from ..backend.device.devices import canonical, select
from ..backend.tape.tensor import Tensor
from ..data import (
    BucketSampler,
    DataLoader,
    SentencePairs,
    SubwordTokenizer,
    WordTokenizer,
    pad_pairs,
    read_pairs,
    split_pairs,
)
from ..data.words import UNK
from ..layers.models import EncoderDecoder
from ..optimizers import Adam
from ..optimizers.schedulers import NoamLR
from .bleu_score import bleu, word_for_word
from .checkpoint import array_crc
from .nonfinite import StopOnNaN
from .saved_model import build_model
from .saved_options import SavedOptions
from .trainer import Trainer
from .translating import translate
from .usage import UsageError

__all__ = ["TranslationExperiment", "TranslationRecipe"]

Pair = tuple[str, str]

MODELS = {"transformer": "transformer_translator", "lstm": "lstm_translator"}
LAYERS = {"transformer": 3, "lstm": 1}
ROOM = {"words": 1, "subwords": 4}  # tokens for a word


@dataclass(frozen=True)
class TranslationRecipe(SavedOptions):
    """All options that decide what the weights of a translator will be.

    The same recipe on the same pairs gives the same bits, on one machine with one number of threads.

    Parameters
    ----------
    data : str
        A file of lines `source<TAB>target`, see `read_pairs`, or a folder with one.
    tokenizer : {"words", "subwords"}, default "words"
        What the tokens are; subwords need `tokenizers`.
    model : {"transformer", "lstm"}, default "transformer"
        Which one.
    width : int, default 128
        Of embeddings and features.
    layers : int, default 0
        Of encoder and decoder each; 0: three of a Transformer, one of an LSTM.
    heads : int, default 4
        Of a Transformer's attention.
    dropout : float, default 0.1
        In training.
    max_words : int, default 10
        Pairs with more words or marks on a side are left out, and so long a sentence is what the model translates at most.
    pairs : int, default 0
        How many pairs to take, drawn at random; 0: all.
    vocabulary : int, default 8000
        Words, or subwords, of each language at most, the commonest.
    min_count : int, default 2
        How often a word must occur.
    batch_size : int, default 64
        Pairs per update.
    epochs : int, default 10
        Passes over the training part; a run may go on to more of them.
    lr : float, default 1.0
        Factor of Noam's schedule.
    warmup : int, default 800
        Updates until its greatest learning rate, lr / √(width · warmup).
    label_smoothing : float, default 0.1
        Share of the target that is spread over the vocabulary.
    clip_grad_norm : float, default 1.0
        Greatest norm of the whole gradient.
    precision : str, default "float32"
        Of products.
    validation : float, default 0.05
        Share of the sentences that is held out.
    seed : int, default 0
        Of weights, split, order and dropout.

    Examples
    --------
    >>> recipe = TranslationRecipe(data="fra.txt", model="lstm")
    >>> TranslationRecipe.from_json(recipe.to_json()) == recipe
    True
    """

    MAY_CHANGE = ("data", "epochs")  # Noam's schedule does not know the end

    data: str
    tokenizer: str = "words"
    model: str = "transformer"
    width: int = 128
    layers: int = 0
    heads: int = 4
    dropout: float = 0.1
    max_words: int = 10
    pairs: int = 0
    vocabulary: int = 8000
    min_count: int = 2
    batch_size: int = 64
    epochs: int = 10
    lr: float = 1.0
    warmup: int = 800
    label_smoothing: float = 0.1
    clip_grad_norm: float = 1.0
    precision: str = "float32"
    validation: float = 0.05
    seed: int = 0

    def architecture(self, source_size: int, target_size: int, longest: int = 0) -> dict[str, Any]:
        """The description that `build_model` takes.

        Parameters
        ----------
        source_size, target_size : int
            Of the vocabularies.
        longest : int, default 0
            What the model must be able to read or write, if that is more than the words of a sentence.

        Returns
        -------
        dict
            "name" and arguments.
        """
        sizes = {"source_size": source_size, "target_size": target_size, "width": self.width, "dropout": self.dropout}
        own = {"heads": self.heads} if self.model == "transformer" else {}
        layers, room = self.layers or LAYERS[self.model], ROOM[self.tokenizer] * self.max_words
        context = max(room + 2, longest)  # <bos>, <eos>
        return {"name": MODELS[self.model], **sizes, "layers": layers, "context": context, **own}


class _TranslationTrainer(Trainer):
    """The loss comes from the model itself, smoothed in training alone."""

    label_smoothing = 0.0

    def forward(self, batch: Any) -> tuple[Any, Tensor]:
        """The loss, as output, too."""
        model: Any = self.model
        with self.autocast():
            loss = model.loss(*batch, label_smoothing=self.label_smoothing if model.training else 0.0)
        return loss, loss


class TranslationExperiment:
    """What a recipe describes: pairs in two parts, vocabularies of the first, loaders, model and trainer.

    Parameters
    ----------
    recipe : TranslationRecipe
        Its options.
    device : str, optional
        Where to train. By default the default device.

    Attributes
    ----------
    train, held_out : list of (str, str)
        The pairs.
    source, target : WordTokenizer or SubwordTokenizer
        Of the two languages.
    name : str
        Of the data.
    fingerprint : str
        Of the training part.
    architecture : dict
        Of the model, for `build_model`.
    train_loader, validation_loader : DataLoader
        What to fit on.
    trainer : Trainer
        With the callbacks that steer the training.

    Raises
    ------
    UsageError
        If the pairs and the options do not go together.
    DataError
        If the pairs cannot be read.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     n = pathlib.Path(folder, "a.txt").write_text("".join(f"see {c}\\tvoir {c}\\n" for c in "abcdefgh"))
    ...     recipe = TranslationRecipe(data=folder, width=8, layers=1, min_count=1, validation=0.25)
    ...     experiment = TranslationExperiment(recipe)
    >>> len(experiment.train), len(experiment.held_out), experiment.source
    (6, 2, WordTokenizer(11 tokens))
    """

    def __init__(self, recipe: TranslationRecipe, *, device: str | None = None):
        self.device = canonical(device) if device is None else select(device)
        self.recipe = recipe
        path = Path(recipe.data)
        self.name = path.stem if path.is_file() else path.name
        self._read()
        data = [SentencePairs(part, self.source, self.target) for part in (self.train, self.held_out)]
        text = np.frombuffer("\n".join(map("\t".join, self.train)).encode(), np.uint8)
        self.fingerprint = f"{len(self.train)}-{array_crc(text):08x}"  # the vocabularies follow from it
        self.architecture = recipe.architecture(
            self.source.vocab_size, self.target.vocab_size, max(int(part.lengths.max()) for part in data)
        )
        self.train_loader, self.validation_loader = (
            DataLoader(
                part,
                batch_sampler=BucketSampler(part.lengths, recipe.batch_size, shuffle=shuffle, seed=recipe.seed),
                collate_fn=pad_pairs,
                seed=recipe.seed,
                device=self.device,
            )
            for part, shuffle in zip(data, (True, False))
        )
        random.manual_seed(recipe.seed)
        try:
            model = build_model(self.architecture, device=self.device)
        except ValueError as error:
            raise UsageError(f"--model {recipe.model}: {error}") from error
        assert isinstance(model, EncoderDecoder)
        self.trainer = self._trainer(model)

    def _read(self) -> None:
        recipe = self.recipe
        pairs = read_pairs(recipe.data)
        whole = WordTokenizer(["."])  # cuts sentences into words, whatever its own are
        short = [pair for pair in pairs if all(len(whole.pieces(s)) <= recipe.max_words for s in pair)]
        if recipe.pairs and recipe.pairs < len(short):
            order = np.random.Generator(np.random.Philox(recipe.seed)).permutation(len(short))[: recipe.pairs]
            short = [short[i] for i in np.sort(order).tolist()]
        try:
            self.train, self.held_out = split_pairs(short, recipe.validation, seed=recipe.seed)
            self.source, self.target = map(self._tokenizer, zip(*self.train))
        except ValueError as error:
            raise UsageError(
                f"--data {recipe.data}: {error}; it has {len(short)} pairs of at most {recipe.max_words} words (--max-words)"
            ) from error

    def _tokenizer(self, sentences: Sequence[str]) -> Any:
        recipe = self.recipe
        if recipe.tokenizer == "subwords":
            return SubwordTokenizer.of(sentences, recipe.vocabulary)
        return WordTokenizer.of(sentences, max_words=recipe.vocabulary, min_count=recipe.min_count)

    def _trainer(self, model: EncoderDecoder) -> Trainer:
        recipe = self.recipe
        optimizer = Adam(model.parameters(), lr=recipe.lr, betas=(0.9, 0.98), eps=1e-9)
        trainer = _TranslationTrainer(
            model,
            model.loss,
            optimizer,
            scheduler=NoamLR(optimizer, recipe.width, recipe.warmup),
            scheduler_interval="step",
            callbacks=[StopOnNaN()],
            clip_grad_norm=recipe.clip_grad_norm,
            capture=False,  # batches are of many shapes, each of which would be recorded
            device=self.device,
            precision=None if recipe.precision == "float32" else recipe.precision,
        )
        trainer.label_smoothing = recipe.label_smoothing
        return trainer

    def scores(self) -> dict[str, float]:
        """BLEU on the held-out part, every translation of a sentence taken for right; that of two baselines beside it.

        Returns
        -------
        dict
            "bleu"; "bleu_copy", the source as it is; "bleu_words", each word by the one that goes with it best.

        Raises
        ------
        ImportError
            If sacrebleu is missing.
        """
        right: dict[str, list[str]] = {}
        for source, target in self.held_out:
            right.setdefault(source, []).append(target)
        sentences, references = list(right), list(right.values())
        table = word_for_word(
            [self.source.encode(a) for a, _ in self.train],
            [self.target.encode(b) for _, b in self.train],
            self.source.vocab_size,
        )
        guesses = [table[self.source.encode(sentence)] for sentence in sentences]
        candidates = {
            "bleu_copy": sentences,
            "bleu_words": [self.target.decode(g[(g >= 0) & (g != UNK)]) for g in guesses],
            "bleu": translate(self.trainer.model, self.source, self.target, sentences),
        }
        return {name: bleu(texts, references) for name, texts in candidates.items()}
