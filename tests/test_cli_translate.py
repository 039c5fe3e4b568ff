"""`weft train --task translate` and `weft translate`, within this process: what is printed, left behind, and refused."""

import builtins
import io
import json

import numpy as np
import pytest

import weft
from weft.__main__ import main
from weft.training import load_checkpoint, load_model, save_checkpoint
from weft.training.translating import translate
from weft.training.translation import TranslationExperiment, TranslationRecipe

ENGLISH = ["red", "blue", "green", "big", "small", "old", "new"]
FRENCH = ["rouge", "bleu", "vert", "grand", "petit", "vieux", "neuf"]
THINGS = {"cat": "chat", "dog": "chien", "book": "livre", "house": "château", "boat": "bateau"}
PAIRS = "".join(
    f"The {e} {t} is here.\tLe {d} {f} est ici\u202f!\tby me\n"
    for e, f in zip(ENGLISH, FRENCH)
    for t, d in THINGS.items()
)
FAST = ["--layers", "1", "--width", "16", "--batch-size", "8", "--epochs", "2"]
FAST += ["--validation", "0.2", "--warmup", "20", "--min-count", "1"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "weft.training.cli.train_translate.plot_history", lambda *_, **__: None
    )  # longer than the training
    (tmp_path / "pairs.txt").write_text(PAIRS)
    threads = weft.num_threads()
    yield
    weft.set_num_threads(threads)


def train(*more, out="run"):
    return main(["train", "--task", "translate", "--data", "pairs.txt", "--out", out, "--quiet", *FAST, *more])


def fails(capsys, *argv):
    """Run a command that must end with status 2 and one line on standard error; returns that line."""
    capsys.readouterr()
    try:
        got = main(argv)
    except SystemExit as error:  # argparse
        got = error.code
    err = capsys.readouterr().err
    assert got == 2, err
    assert err.count("\n") == 1, err
    return err


@pytest.mark.parametrize("model", ["transformer", "lstm"])
def test_train_and_translate(capsys, tmp_path, monkeypatch, model):
    assert main(["train", "--task", "translate", "--data", "pairs.txt", "--model", model, *FAST]) == 0
    printed = capsys.readouterr().out
    assert "pairs: 28 pairs to train on, 7 held out, 20 and 20 tokens" in printed
    assert "  →  " in printed
    for row in ("validation loss", "BLEU", "of copying", "word for word", f"weft translate runs/pairs-{model}"):
        assert row in printed
    folder = tmp_path / "runs" / f"pairs-{model}"
    left = {p.name for p in folder.iterdir()}
    assert {
        "model.safetensors",
        "model.json",
        "log.csv",
        "attention.png",
        "last.safetensors",
        "best.safetensors",
    } <= left
    assert len((folder / "log.csv").read_text().splitlines()) == 3
    info = json.loads((folder / "model.json").read_text())["info"]
    assert info["task"] == "translate"
    assert {"bleu", "bleu_copy", "bleu_words"} <= set(info)
    assert load_model(folder / "model.safetensors").model.context == 12

    assert main(["translate", str(folder), "The red cat.", " The  old dog. "]) == 0
    first = capsys.readouterr()
    assert len(first.out.splitlines()) == 2
    assert first.err == ""
    (tmp_path / "lines.txt").write_text("The red cat.\n\nThe old dog.\n")
    assert main(["translate", str(folder), "--file", "lines.txt"]) == 0
    assert capsys.readouterr().out.splitlines() == [first.out.splitlines()[0], "", first.out.splitlines()[1]]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"The red cat.\r\n\r\nThe old dog.")))
    assert main(["translate", str(folder), "--plot", "attention.png"]) == 0
    assert capsys.readouterr().out.splitlines() == [first.out.splitlines()[0], "", first.out.splitlines()[1]]
    assert (tmp_path / "attention.png").read_bytes().startswith(b"\x89PNG")
    options = ["--beam", "1", "--length-penalty", "0", "--threads", "1", "--device", "cpu"]
    assert main(["translate", str(folder / "best.safetensors"), "The zebra is here.", *options]) == 0
    assert "words that the model does not know: zebra" in capsys.readouterr().err


@pytest.mark.parametrize("model", ["transformer", "lstm"])
def test_resumes_to_the_same_bits(tmp_path, capsys, model):
    """From the middle of the second epoch, whose batches have an order of their own."""
    assert train("--model", model, "--epochs", "3") == 0
    assert train("--model", model, "--epochs", "1", out="longer") == 0
    assert main(["train", "--resume", "longer", "--epochs", "3"]) == 0
    whole = load_checkpoint("run/last.safetensors")
    experiment = TranslationExperiment(TranslationRecipe.from_json(whole["info"]["recipe"]))

    class Halt(weft.training.Callback):
        def on_batch_end(self, trainer):
            if trainer.step == 6:
                trainer.stop("here")

    experiment.trainer.callbacks.append(Halt())
    experiment.trainer.fit(experiment.train_loader, experiment.validation_loader, 3)
    (tmp_path / "half").mkdir()
    extra = {name: whole[name] for name in ("info", "architecture", "normalizer", "class_names")}
    save_checkpoint("half/last.safetensors", experiment.trainer.state_dict() | extra)
    assert main(["train", "--resume", "half"]) == 0
    assert "resumed from half/last.safetensors at epoch 1, batch 2, step 6" in capsys.readouterr().out
    for other in ("half", "longer"):
        again = load_checkpoint(f"{other}/last.safetensors")["model"]
        assert all(np.array_equal(whole["model"][name], again[name]) for name in again)


def test_it_learns():
    """All sentences of this grammar, those held out among them, and BLEU tells it from the baselines."""
    pytest.importorskip("sacrebleu")
    recipe = TranslationRecipe(
        data="pairs.txt",
        model="lstm",
        width=32,
        batch_size=8,
        epochs=25,
        min_count=1,
        validation=0.15,
        dropout=0.0,
        warmup=30,
    )
    experiment = TranslationExperiment(recipe)
    experiment.trainer.fit(experiment.train_loader, experiment.validation_loader, recipe.epochs)
    sources = [source for source, _ in experiment.held_out]
    found = translate(experiment.trainer.model, experiment.source, experiment.target, sources)
    assert sum(text == right for text, (_, right) in zip(found, experiment.held_out)) >= 3
    scores = experiment.scores()
    assert scores["bleu"] > 70
    assert scores["bleu_copy"] < 5
    assert scores["bleu_copy"] < scores["bleu_words"] < scores["bleu"]


def test_subwords(capsys):
    """No word is unknown, and the run knows its own pieces."""
    pytest.importorskip("tokenizers", exc_type=ImportError)
    options = [word for word in FAST if word not in ("--min-count",)][:-1]
    given = ["--tokenizer", "subwords", "--vocabulary", "300", "--out", "run", "--quiet"]
    assert main(["train", "--task", "translate", "--data", "pairs.txt", *given, *options]) == 0
    capsys.readouterr()
    assert main(["translate", "run", "--beam", "1", "The zebra is <eos>."]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.count("\n") == 1


def test_pairs_are_chosen_before_they_are_shared_out():
    few = TranslationExperiment(TranslationRecipe(data="pairs.txt", width=8, pairs=10, min_count=1, validation=0.3))
    again = TranslationExperiment(TranslationRecipe(data="pairs.txt", width=8, pairs=10, min_count=1, validation=0.3))
    assert (len(few.train), len(few.held_out)) == (7, 3)
    assert few.train == again.train
    other = TranslationRecipe(data="pairs.txt", width=8, pairs=10, min_count=1, validation=0.3, seed=1)
    assert TranslationExperiment(other).train != few.train
    words = set(few.source.words[4:])
    held_out = {word for source, _ in few.held_out for word in few.source.pieces(source)}
    assert held_out - words == {w for s, _ in few.held_out for w in few.source.unknown(s)}


def test_help(capsys):
    for argv, words in (
        (["train", "--help"], ["--task {images,regression,text,translate,forecast"]),
        (["train", "--task", "translate", "--help"], ["--pairs", "--max-words", "--label-smoothing", "weft translate"]),
        (["translate", "--help"], ["--beam", "--length-penalty", "--plot", "standard input", "examples:"]),
    ):
        with pytest.raises(SystemExit) as end:
            main(argv)
        assert end.value.code == 0
        printed = capsys.readouterr().out
        assert all(word in printed for word in words)


def test_without_sacrebleu(capsys, monkeypatch):
    actual = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "sacrebleu":
            raise ImportError("No module named 'sacrebleu'")
        return actual(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert train() == 0
    assert (
        "`bleu` needs sacrebleu (No module named 'sacrebleu'): pip install \"weft[translate]\""
        in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("", "--task translate needs --data with a file of pairs, or --resume with a run"),
        ("--data nowhere", "`nowhere`: expected a file, found nothing of that name"),
        ("--data empty.txt", "`empty.txt`: expected data, found an empty file"),
        ("--data plain.txt", "found 'no tabs here' in line 1; mend that line"),
        (
            "--data pairs.txt --max-words 2",
            "got 0 distinct ones; take more; it has 0 pairs of at most 2 words (--max-words)",
        ),
        ("--data pairs.txt --min-count 99", "`sentences` must have words that occur 99 times, got none"),
        ("--data pairs.txt --heads 3", "--model transformer: `heads` must divide `width`, 128, got 3"),
        ("--data pairs.txt --model lstm --heads 2", "--heads is for --model transformer, got lstm"),
        ("--data pairs.txt --tokenizer subwords --min-count 2", "--min-count is for --tokenizer words, got subwords"),
        (
            "--data pairs.txt --tokenizer subwords --vocabulary 50",
            "--vocabulary must be at least 260, bytes and marks, for subwords, got 50",
        ),
        ("--data pairs.txt --model lstm --width 5", "--model lstm: `width` must be even"),
        ("--data pairs.txt --iterations 3", "unrecognized arguments: --iterations 3"),
    ],
)
def test_training_that_cannot_be(capsys, tmp_path, argv, message):
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "plain.txt").write_text("no tabs here\n")
    assert message in fails(capsys, "train", "--task", "translate", *argv.split())


def test_resuming_that_cannot_be(capsys, tmp_path):
    assert train() == 0
    assert "--width cannot change on resuming" in fails(capsys, "train", "--resume", "run", "--width", "32")
    assert "expected a checkpoint of `weft train --task text`" in fails(
        capsys, "train", "--task", "text", "--resume", "run"
    )
    (tmp_path / "pairs.txt").write_text(PAIRS.replace("chat", "chaton"))
    assert "are not those the run was begun with" in fails(capsys, "train", "--resume", "run")


@pytest.fixture
def run():
    assert train() == 0


@pytest.mark.usefixtures("run")
def test_translating_that_cannot_be(capsys, tmp_path, monkeypatch):
    assert "a sentence must have at least one word, got ' '" in fails(capsys, "translate", "run", "Hello.", " ")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    assert "a sentence must be given, got none; name it after the run, or --file" in fails(capsys, "translate", "run")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\n")
    (tmp_path / "empty.txt").write_bytes(b"")
    message = fails(capsys, "translate", "run", "--file", "bytes.txt")
    assert "--file bytes.txt: must be text in UTF-8, got other bytes" in message
    assert "expected data, found an empty file" in fails(capsys, "translate", "run", "--file", "empty.txt")
    assert "--file must come without sentences" in fails(capsys, "translate", "run", "Hi.", "--file", "bytes.txt")
    assert "must be an integer at least 1, got '0'" in fails(capsys, "translate", "run", "Hi.", "--beam", "0")
    message = fails(capsys, "translate", "run", "--length-penalty", "1e308", "The red cat is here.")
    assert "`length_penalty` must be in [0, 10], got 1e+308" in message
    assert "nowhere" in fails(capsys, "translate", "nowhere", "Hi.")


@pytest.mark.usefixtures("run")
def test_a_sentence_that_is_too_long(capsys):
    """Said before anything is printed, and by its number."""
    capsys.readouterr()
    assert main(["translate", "run", "The red cat is here.", "red " * 12]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "must have 1 to 11 tokens (words and marks) each, got 12 in number 2, 'red red" in printed.err


@pytest.mark.usefixtures("run")
def test_a_vocabulary_of_another_run(capsys):
    saved = load_checkpoint("run/model.safetensors", kind="model")
    saved["info"]["target"]["words"].append("another")
    save_checkpoint("other.safetensors", saved, kind="model")
    message = "expected the 20 words of the model's target, found a vocabulary of 21, of another run"
    assert message in fails(capsys, "translate", "other.safetensors", "The red cat.")
    del saved["info"]["source"]
    save_checkpoint("other.safetensors", saved, kind="model")
    found = fails(capsys, "translate", "other.safetensors", "The red cat.")
    assert "expected the vocabulary of the source, found no entry 'source'" in found
    net = {"name": "mlp", "input_shape": [4], "num_classes": 3, "hidden": [2]}
    weft.training.save_model("net.safetensors", weft.training.saved_model.build_model(net), architecture=net)
    assert "expected a translator, found Sequential" in fails(capsys, "translate", "net.safetensors", "Hi.")
