"""Recipes of language models: the text in its parts, the schedule, the same bits again."""

import math

import numpy as np
import pytest

import weft
from weft.data import DataError, TokenFile, write_tokens
from weft.training.text import TextExperiment, TextRecipe, load_text, share_of_lr
from weft.training.usage import UsageError

TEXT = "the quick brown fox jumps over the lazy dog; " * 40
SMALL = {"layers": 1, "heads": 2, "width": 16, "context": 8, "batch_size": 4, "iterations": 20, "eval_every": 10}


@pytest.fixture
def path(tmp_path):
    (tmp_path / "fox.txt").write_text(TEXT)
    return str(tmp_path / "fox.txt")


def test_parts(path):
    experiment = TextExperiment(TextRecipe(data=path, validation=0.25, **SMALL))
    assert (experiment.name, experiment.tokens, experiment.held_out) == ("fox", 1350, 450)
    assert len(experiment.train_loader) == 10
    assert sum(len(x) for x, _ in experiment.test_loader) == 449 // 8
    ends = "".join(experiment.tokenizer.decode(x[-1:]) for x, _ in experiment.test_loader)
    assert ends in TEXT[-450:]


@pytest.mark.parametrize("model", ["gpt2", "llama", "lstm", "gru"])
def test_learns_and_resumes_to_the_same_bits(path, model):
    def experiment():
        return TextExperiment(TextRecipe(data=path, model=model, **SMALL))

    whole = experiment()
    history = whole.trainer.fit(whole.train_loader, whole.validation_loader, 2)
    assert history[1]["val_loss"] < history[0]["val_loss"] < math.log(30)
    first = experiment()
    first.trainer.fit(first.train_loader, first.validation_loader, 1)
    saved = first.trainer.state_dict()
    second = experiment()
    second.trainer.load_state_dict(saved)
    second.trainer.fit(second.train_loader, second.validation_loader, 2)
    for p, q in zip(whole.trainer.model.parameters(), second.trainer.model.parameters()):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def test_schedule():
    """Linear to the greatest, a cosine to a tenth of it: nanoGPT's."""
    shares = [share_of_lr(10, 100, i) for i in range(101)]
    assert shares[0] == pytest.approx(1 / 11)
    assert shares[9] == pytest.approx(10 / 11)
    assert shares[10] == 1
    assert shares[55] == pytest.approx(0.55)
    assert shares[100] == pytest.approx(0.1)
    assert np.all(np.diff(shares[10:]) < 0)


@pytest.mark.parametrize(("iterations", "expected"), [(2000, 250), (100, 100), (7, 7), (30, 30), (1200, 240)])
def test_interval(iterations, expected):
    assert TextRecipe(data="", iterations=iterations).interval() == expected


def test_intervals_that_do_not_divide():
    with pytest.raises(UsageError, match="--eval-every must divide --iterations, 100, got 30; 100 itself does"):
        TextRecipe(data="", iterations=100, eval_every=30).interval()
    with pytest.raises(UsageError, match="--eval-every must divide --iterations, 2003, got none"):
        TextRecipe(data="", iterations=2003).interval()


def test_what_may_change_on_resuming():
    recipe = TextRecipe(data="a.txt")
    assert recipe.resumed_with({"data": "b.txt"}).data == "b.txt"
    with pytest.raises(UsageError, match="--batch-size cannot change on resuming: the run was begun with 12"):
        recipe.resumed_with({"batch_size": 5})


def test_a_file_of_tokens(tmp_path):
    write_tokens(tmp_path / "a.tok", [np.arange(500) % 7], 7)
    tokens, tokenizer = load_text(str(tmp_path / "a.tok"))
    assert isinstance(tokens, TokenFile)
    assert tokenizer is None
    experiment = TextExperiment(TextRecipe(data=str(tmp_path / "a.tok"), **SMALL))
    assert experiment.architecture["vocab_size"] == 7
    experiment.trainer.fit(experiment.train_loader, experiment.validation_loader, 1)


def test_texts_that_cannot_be(tmp_path, path):
    with pytest.raises(UsageError, match="expected more than a block of 400 tokens held out, found 180; take a longer"):
        TextExperiment(TextRecipe(data=path, **SMALL | {"context": 400}))
    with pytest.raises(UsageError, match="--model gpt2: `heads` must divide `width`, 16, got 3"):
        TextExperiment(TextRecipe(data=path, **SMALL | {"heads": 3}))
    (tmp_path / "more.txt").write_text("x")
    with pytest.raises(
        DataError, match=r"expected one .txt file in the folder, found fox.txt, more.txt; name the file"
    ):
        load_text(str(tmp_path))
    (tmp_path / "latin").write_bytes("é".encode("latin-1"))
    with pytest.raises(DataError, match="expected text in UTF-8, found other bytes"):
        load_text(str(tmp_path / "latin"))
    with pytest.raises(DataError, match="expected a file, found nothing of that name"):
        load_text(str(tmp_path / "nowhere"))


def test_on_an_accelerator(path, accelerator):
    """A captured epoch has the losses of a CPU."""
    losses = []
    for device in ("cpu", accelerator):
        experiment = TextExperiment(TextRecipe(data=path, **SMALL | {"iterations": 4, "eval_every": 4}), device=device)
        losses.append(experiment.trainer.fit(experiment.train_loader, None, 1)[0]["loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert weft.get_default_device() == "cpu"


@pytest.mark.parametrize("model", ["gpt2", "llama", "lstm", "gru"])
def test_captured_steps_are_eager_ones(path, model, accelerator):
    """Bit for bit: the loss, and the weights after them, with dropout, clipping and the schedule."""
    dropout = 0.0 if model == "llama" else 0.2
    sizes = SMALL | {"iterations": 5, "eval_every": 5, "batch_size": 2, "dropout": dropout, "model": model}
    runs = []
    for capture in (False, True):
        experiment = TextExperiment(TextRecipe(data=path, **sizes), device=accelerator)
        experiment.trainer.capture = capture
        history = experiment.trainer.fit(experiment.train_loader, None, 1)
        weights = [p.detach().numpy().tobytes() for p in experiment.trainer.model.parameters()]
        runs.append((history[0]["loss"], weights))
    assert runs[0] == runs[1]
