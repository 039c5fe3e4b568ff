"""`weft train --task text` and `weft generate`, within this process: what is printed, left behind, and refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import weft
from weft.__main__ import main
from weft.training import load_checkpoint, load_model, save_checkpoint
from weft.training.cli.generate import _text

TEXT = "the quick brown fox jumps over the lazy dog;\n" * 40
FAST = ["--layers", "1", "--heads", "2", "--width", "16", "--context", "8", "--batch-size", "4", "--iterations", "20"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("weft.training.cli.train_text.plot_history", lambda *_, **__: None)  # longer than the training
    (tmp_path / "fox.txt").write_text(TEXT)
    threads = weft.num_threads()
    yield
    weft.set_num_threads(threads)


def train(*more, out="run"):
    return main(["train", "--task", "text", "--data", "fox.txt", "--out", out, "--quiet", *FAST, *more])


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


def test_train_and_generate(capsys, tmp_path):
    assert main(["train", "--task=text", "--data", "fox.txt", "--eval-every", "10", *FAST]) == 0
    printed = capsys.readouterr().out
    assert "fox: 1,620 tokens to train on, 180 held out" in printed
    assert "validation loss" in printed
    assert "weft generate runs/fox-gpt2" in printed
    folder = tmp_path / "runs" / "fox-gpt2"
    left = {p.name for p in folder.iterdir()}
    assert {"model.safetensors", "model.json", "log.csv", "last.safetensors", "best.safetensors"} <= left
    assert len((folder / "log.csv").read_text().splitlines()) == 3
    assert json.loads((folder / "model.json").read_text())["info"]["tokenizer"]["kind"] == "characters"
    assert load_model(folder / "model.safetensors").model.context == 8

    def generated(*more):
        assert main(["generate", str(folder), "--prompt", "the ", "--tokens", "30", *more]) == 0
        return capsys.readouterr().out

    text = generated("--seed", "1")
    assert text.startswith("the ")
    assert len(text) == 4 + 30 + 1
    assert text == generated("--seed", "1")
    assert generated("--seed", "0") != text
    assert generated() != generated()  # another seed each time
    assert generated("--temperature", "0", "--top-k", "3") == generated("--temperature", "0", "--top-p", "0.5")
    several = generated("--seed", "1", "--samples", "2", "--repetition-penalty", "1.2")
    assert several.count("-" * 72) == 1
    stopped = generated("--seed", "1", "--stop", text[12:15])
    assert stopped == text[: text.index(text[12:15], 4)] + "\n"
    assert main(["generate", str(folder / "best.safetensors"), "--tokens", "3"]) == 0


@pytest.mark.parametrize("model", ["lstm", "gru"])
def test_recurrent_models(model, capsys):
    """Their own sizes unless others are given; no prompt is too long."""
    sizes = ["--layers", "1", "--width", "16", "--context", "8", "--iterations", "20"]
    argv = ["train", "--task", "text", "--data", "fox.txt", "--out", "run", "--quiet", "--model", model]
    assert main([*argv, *sizes]) == 0
    recipe = json.loads(Path("run/model.json").read_text())["info"]["recipe"]
    assert (recipe["batch_size"], recipe["lr"]) == (32, 0.004)
    assert main(["train", "--resume", "run"]) == 0
    capsys.readouterr()
    assert main(["generate", "run", "--prompt", "the quick brown", "--tokens", "5"]) == 0
    assert len(capsys.readouterr().out) == len("the quick brown") + 5 + 1


def test_resumes_to_the_same_bits(tmp_path, capsys):
    """From the middle of an epoch: saved there, and gone on with as the run that it is."""
    assert train("--eval-every", "10") == 0
    assert train("--eval-every", "10", "--checkpoint-every", "7", out="other") == 0
    whole = load_checkpoint("run/last.safetensors")["model"]
    from weft.training.text import TextExperiment, TextRecipe

    saved = load_checkpoint("other/last.safetensors")
    experiment = TextExperiment(TextRecipe.from_json(saved["info"]["recipe"]))
    experiment.trainer.fit(experiment.train_loader, experiment.validation_loader, 1)
    from weft.training import save_checkpoint

    (tmp_path / "half").mkdir()
    extra = {name: saved[name] for name in ("info", "architecture", "normalizer", "class_names")}
    save_checkpoint("half/last.safetensors", experiment.trainer.state_dict() | extra)
    assert main(["train", "--resume", "half"]) == 0
    assert "resumed from half/last.safetensors at epoch 1, batch 0, step 10" in capsys.readouterr().out
    again = load_checkpoint("half/last.safetensors")["model"]
    assert all(np.array_equal(whole[name], again[name]) for name in whole)


def test_pretrained_weights(tmp_path, capsys):
    """Of Hugging Face's layout, with the vocabulary named; the text is made of all byte pairs' pieces."""
    pytest.importorskip("tokenizers", exc_type=ImportError)
    from weft.data.byte_pair import _bytes_by_symbol

    (tmp_path / "bpe").mkdir()
    (tmp_path / "bpe" / "encoder.json").write_text(json.dumps({s: i for i, s in enumerate(_bytes_by_symbol())}))
    (tmp_path / "bpe" / "vocab.bpe").write_text("#version: 0.2\n")
    model = weft.layers.models.gpt2(vocab_size=256, context=8, width=64, layers=1, heads=1)
    weights = {n: t.detach().numpy() for n, t in model.state_dict().items()}
    (tmp_path / "hf").mkdir()
    turned = {n: w.T.copy() if n.startswith("h.") and w.ndim == 2 else w for n, w in weights.items()}
    save_file(turned, "hf/model.safetensors")
    (tmp_path / "hf" / "config.json").write_text(json.dumps({"model_type": "gpt2", "n_head": 1}))
    assert main(["generate", "hf", "--tokenizer", "bpe", "--prompt", "é", "--tokens", "12", "--seed", "1"]) == 0
    assert capsys.readouterr().out.startswith("é")
    assert "--tokenizer must name the folder of its vocabulary" in fails(capsys, "generate", "hf")
    (tmp_path / "hf" / "config.json").write_text(json.dumps({"model_type": "bert"}))
    assert "expected weights of GPT-2 or Llama, found bert" in fails(capsys, "generate", "hf", "--tokenizer", "bpe")


class _Spelled:
    """Tokens are bytes."""

    def decode(self, tokens):
        return bytes(tokens).decode(errors="replace")


def test_text_as_it_comes():
    """No half character is shown, nor the beginning of what it stops at."""
    stream = [np.array([b]) for b in "aé中😀b".encode()]
    assert list(_text(iter(stream), _Spelled(), None)) == ["a", "é", "中", "😀", "b"]
    stream = [np.array([b]) for b in b"one, END of"]
    assert list(_text(iter(stream), _Spelled(), "END")) == ["o", "n", "e", ",", " "]
    stream = [np.array([b]) for b in b"an EN"]
    assert "".join(_text(iter(stream), _Spelled(), "END")) == "an EN"


def test_help(capsys):
    for argv, words in (
        (["train", "--help"], ["--task"]),
        (["train", "--task", "text", "--help"], ["--tokenizer", "--iterations", "weft generate"]),
        (["generate", "--help"], ["--prompt", "--top-p", "save_pretrained"]),
    ):
        with pytest.raises(SystemExit) as end:
            main(argv)
        assert end.value.code == 0
        printed = capsys.readouterr().out
        assert all(word in printed for word in words)


@pytest.mark.parametrize("threads", [0, 5000, "2", 1.5])
def test_threads_of_a_checkpoint_that_cannot_be(capsys, threads):
    assert train() == 0
    saved = load_checkpoint("run/last.safetensors")
    saved["info"]["threads"] = threads
    save_checkpoint("run/last.safetensors", saved)
    message = f"expected a number of threads in `info.threads`, found {threads!r}"
    assert message in fails(capsys, "train", "--task", "text", "--resume", "run")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("", "--task text needs --data with a text file, or --resume with a run"),
        ("--data nowhere", "`nowhere`: expected a file, found nothing of that name"),
        ("--data fox.txt --context 500", "expected more than a block of 500 tokens held out, found 180"),
        ("--data fox.txt --heads 3", "--model gpt2: `heads` must divide `width`, 128, got 3"),
        ("--data fox.txt --iterations 100 --eval-every 30", "--eval-every must divide --iterations, 100, got 30"),
        ("--data fox.txt --model llama --dropout 0.1", "--dropout is for --model gpt2 and gru and lstm, got llama"),
        ("--data fox.txt --model lstm --heads 4", "--heads is for --model gpt2 and llama, got lstm"),
        ("--data fox.txt --tokenizer nowhere", "expected encoder.json or vocab.json, found no such file"),
        ("--data fox.txt --epochs 3", "unrecognized arguments: --epochs 3"),
    ],
)
def test_training_that_cannot_be(capsys, argv, message):
    assert message in fails(capsys, "train", "--task", "text", *argv.split())


def test_resuming_that_cannot_be(capsys, tmp_path):
    assert train() == 0
    assert "--width cannot change on resuming" in fails(capsys, "train", "--resume", "run", "--width", "32")
    (tmp_path / "fox.txt").write_text(TEXT[1:])
    assert "are not those the run was begun with" in fails(capsys, "train", "--resume", "run")
    assert "invalid choice: 'songs'" in fails(capsys, "train", "--task", "songs")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--prompt=", "`prompts` must have 1 to 8 tokens each, the model's context, got 0"),
        ("--prompt=thequickbrown", "`prompts` must have 1 to 8 tokens each, the model's context, got 13"),
        ("--prompt=€", "`text` must be of the 29 characters of the alphabet, got '€' at position 0"),
        ("--stop=", "argument --stop: must be a text of at least one character, got ''"),
        ("--top-p=2", "generate: --top-p: `top_p` must be in (0, 1], or None, got 2.0"),
        ("--tokens=-1", "must be an integer at least 0, got '-1'"),
    ],
)
def test_generating_that_cannot_be(capsys, argv, message):
    assert train() == 0
    assert message in fails(capsys, "generate", "run", argv)


def test_models_that_are_no_language_models(capsys):
    from weft.training import save_model

    net = {"name": "mlp", "input_shape": [4], "num_classes": 3, "hidden": [2]}
    save_model("net.safetensors", weft.training.saved_model.build_model(net), architecture=net)
    assert "expected a language model, found Sequential" in fails(capsys, "generate", "net.safetensors")
    assert "nowhere" in fails(capsys, "generate", "nowhere")


def test_options_that_are_like_others_in_their_dashes_alone(capsys):
    message = fails(capsys, "train", "--task", "text", "--data", "fox.txt", "--season", "12")
    assert "unrecognized arguments: --season 12" in message
    assert "did you mean" not in message
    assert "did you mean --heads?" in fails(capsys, "train", "--task", "text", "--data", "fox.txt", "--head", "2")
