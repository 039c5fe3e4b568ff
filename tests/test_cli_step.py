"""`weft info --model --step`: a training step's time by hand, from launches and products that are made up, and once in full."""

import json

import pytest

import weft
from weft.__main__ import main
from weft.backend.device.devices import canonical
from weft.kernels.emulator import counters
from weft.kernels.emulator.cublas_numpy import Product, products
from weft.kernels.emulator.roofline import roofline
from weft.kernels.toolchain.machine_code import MACHINES
from weft.kernels.toolchain.settings import multiprocessors, settings
from weft.training.cli import progress, step_profile

H200 = MACHINES["H200"]


@pytest.fixture
def launched(monkeypatch):
    """What 4 and 8 samples launch: each kernel with the seconds of two limits. The last is a product."""
    found = {
        4: [("a", [1e-6, 4e-6]), ("b", [1e-9, 0]), ("a", [0, 5e-6])],
        8: [("a", [3e-6, 5e-6]), ("b", [2e-9, 0]), ("a", [0, 5e-6])],
    }

    def run(self, samples, dtype):
        self.runs.append(step_profile.Run(samples))
        for cost in found[samples][:2]:
            self.runs[-1].launches.append(cost)
            self.tell(f"{dtype}, {samples} samples: b", 1)
        self.runs[-1].products += found[samples][2:]

    monkeypatch.setattr(step_profile, "tool", lambda: "nvdisasm")
    monkeypatch.setattr(step_profile, "canonical", lambda name: name)
    monkeypatch.setattr(step_profile, "_step", lambda *args: lambda samples, dtype: None)
    monkeypatch.setattr(step_profile.Step, "_run", run)
    return found


def predicted(name, shape, classes, batch):
    return step_profile.Step(name, shape, classes, H200).predict(batch, "float32")


def test_each_limit_grows_with_the_batch(launched):
    """With 40 samples the first limit of the first launch is 1 + 9 · 2 µs, which the second one, 4 + 9 · 1, is below."""
    a, b = predicted("mlp", (4,), 3, 40)
    assert (a.name, a.count) == ("a", 2)
    assert a.seconds == pytest.approx(19e-6 + 5e-6)
    assert (b.name, b.count, b.seconds) == ("b", 1, step_profile.LEAST)


def test_long_samples_are_few(launched):
    """One of 1,024 tokens and two, from which ten are 9 further steps."""
    launched[1], launched[2] = launched.pop(4), launched.pop(8)
    a, _ = predicted("gpt2", (1024,), 65, 10)
    assert a.seconds == pytest.approx(19e-6 + 5e-6)


def test_other_kernels_for_other_sizes(launched):
    """Then what more samples launch is all there is, in proportion."""
    launched[8][0] = "c", [3e-6, 6e-6]
    seconds = {part.name: part.seconds for part in predicted("mlp", (4,), 3, 40)}
    assert seconds["c"] == pytest.approx(5 * 6e-6)


def test_what_all_batches_launch_does_not_grow_with_others(launched):
    """An optimizer's step takes as long whatever the batch, also where another kernel takes more pieces of a larger one."""
    for samples, pieces in ((4, 1), (8, 2)):
        launched[samples] = [("step", [7e-6, 0])] + [("piece", [3e-6, 0])] * pieces
    parts = {part.name: part for part in predicted("mlp", (4,), 3, 40)}
    assert parts["step"].seconds == pytest.approx(7e-6)
    assert parts["piece"].seconds == pytest.approx(2 * 5 * 3e-6)


def test_products():
    product = Product(4, 5, 6, count=7, itemsize=2)
    assert product.operations == 2 * 4 * 5 * 6 * 7
    assert product.bytes == 2 * 7 * (24 + 30 + 20)
    times = list(step_profile._seconds(product, H200))
    assert times == [pytest.approx(1680 / (0.75 * 4096 * 132 * 1.83e9)), pytest.approx(1036 / 4.8e12)]


@pytest.mark.parametrize(
    ("name", "half", "single"), [("A100", 312, 19.5), ("H100", 989, 67), ("H200", 989, 67), ("B200", 2250, 75)]
)
def test_products_are_as_fast_as_the_datasheet_says(name, half, single):
    """Dense, whichever instructions reach it: PART of the datasheet's figure; that of float32 is for the highest clock."""
    for itemsize, teraflops, tolerance in ((2, half, 0.01), (4, single, 0.09)):
        product = Product(4096, 4096, 4096, count=1, itemsize=itemsize)
        seconds = max(step_profile._seconds(product, MACHINES[name]))
        assert product.operations / seconds == pytest.approx(0.75 * teraflops * 1e12, rel=tolerance)


@pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")
@pytest.mark.usefixtures("disassembler")
def test_kernels_are_those_of_large_batches(monkeypatch):
    """A step of few samples is made as if there were one multiprocessor."""
    seen = []
    monkeypatch.setattr(
        step_profile, "_step", lambda *args: lambda samples, dtype: seen.append((samples, settings.multiprocessors))
    )
    step = step_profile.Step("mlp", (4,), 3, H200)
    step.prepare(["float32"])
    step.predict(64, "float32")
    assert seen == [(4, 1), (4, 1), (8, 1)]


@pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")
@pytest.mark.parametrize("name", [pytest.param("gpt2", marks=pytest.mark.slow), "lstm"])
def test_a_step_of_a_language_model(name):
    """Samples of 8 tokens, 11 different ones: what is asked of the emulator is known, the kernels' costs are not looked at."""
    canonical("emulator")
    step = step_profile._step(name, [8], 11, {"width": 64})
    with products() as found:
        step(2, "float32")
    assert any(11 in (product.m, product.n) for product in found)
    assert max(p.k for p in found) <= 4 * 64  # of the width asked for


@pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")
@pytest.mark.usefixtures("disassembler")
def test_a_sample_of_a_step_predicts_what_all_of_it_does():
    """Every launch of every block, against launches that are alike once, of large grids a part, and no products."""
    step = step_profile.Step("mlp", (16, 16), 10, H200)
    step.prepare(["float32"])
    step._run(4, "float32")
    few = step.runs[0].costs
    with multiprocessors(1), counters.counting() as launches, products() as multiplied:
        step._step(4, "float32")
    exact = [(each.instance.expression, list(roofline(each, H200).parts.values())) for each in launches]
    exact += [("products of matrices", list(step_profile._seconds(p, H200))) for p in multiplied]
    assert [name for name, _ in few] == [name for name, _ in exact]
    for (name, found), (_, wanted) in zip(few, exact):
        assert found == pytest.approx(wanted, rel=0.05), name


@pytest.mark.slow
@pytest.mark.usefixtures("disassembler")
def test_a_model(capsys):
    assert main(["info", "--model", "mlp", "--input-shape", "1", "4", "4", "--step", "--batch", "256", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["machine"], found["batch"]) == ("H200", 256)
    for parts in found["predicted"].values():
        names = {part["name"] for part in parts}
        assert {"products of matrices", "step<float, Adam, 256>"} <= names
        assert all(part["seconds"] >= step_profile.LEAST for part in parts)
    assert main(["info", "--model", "mlp", "--input-shape", "1", "4", "4", "--step"]) == 0
    assert "steps a second PREDICTED, not measured" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--step"], "--step goes with --model"),
        (["--model", "mlp", "--batch", "3"], "--batch goes with --step"),
        (["--model", "mlp", "--machine", "H100"], "--machine with --step"),
        (["--model", "mlp", "--json"], "--json with --step"),
        (["--model", "gpt2"], "--model gpt2 goes with --step"),
        (["--model", "lstm", "--step", "--heads", "4"], "--heads is for --model gpt2 and llama, got lstm"),
        (["--model", "gru", "--step", "--heads", "4"], "--heads is for --model gpt2 and llama, got gru"),
        (["--model", "lstm", "--step", "--input-shape", "4", "4"], "--input-shape of lstm is one number"),
        (
            ["--model", "mlp", "--step", "--width", "8"],
            "--layers, --width and --heads go with --step and a language model",
        ),
    ],
)
def test_wrong_use(options, message, capsys):
    with pytest.raises(SystemExit) as exit:
        main(["info", *options])
    assert exit.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")
@pytest.mark.usefixtures("disassembler")
def test_sizes_that_a_language_model_does_not_take(capsys):
    assert main(["info", "--model", "gpt2", "--step", "--heads", "7", "--width", "64"]) == 2
    assert "--model gpt2 --width 64 --heads 7: `heads` must divide `width`, 64, got 7" in capsys.readouterr().err


def test_a_shape_that_the_model_does_not_take(capsys):
    assert main(["info", "--model", "resnet18", "--step", "--input-shape", "3"]) == 2
    assert "--input-shape 3: `input_shape` must be (C, H, W)" in capsys.readouterr().err


def test_a_sample_that_is_too_long(capsys):
    assert main(["info", "--model", "gpt2", "--step", "--input-shape", "10000000"]) == 2
    assert "--input-shape of gpt2 must be at most 65536 tokens with --step, got 10000000" in capsys.readouterr().err


@pytest.fixture
def told(launched, monkeypatch, capsys):
    """What is shown, and what was printed before it."""
    found = []

    class Progress(progress.Progress):
        def advance(self, text="", *, steps=1):
            found.append((text, steps, capsys.readouterr().out))

        def expect(self, total):
            found.append((f"{total} in all", 0, ""))

    monkeypatch.setattr(step_profile, "Progress", Progress)
    return found


def test_says_what_it_is_doing(told, capsys):
    """A minute of it: in a bar, launch by launch, and each precision's prediction when it is known."""
    assert main(["info", "--model", "mlp", "--step"]) == 0
    launches = [f"{dtype}, {few} samples: b" for dtype in step_profile.DTYPES for few in (4, 4, 8, 8)]
    before = ["listing the kernels", "0 in all", "compiling 0 kernels"]
    assert [text for text, _, _ in told] == [*before, *launches]
    assert [steps for _, steps, _ in told] == [0] * 3 + [1] * 8
    assert [out.startswith("mlp, 64 samples, float32 on H200") for _, _, out in told] == [False] * 7 + [True] + [
        False
    ] * 3
    assert capsys.readouterr().out.startswith("mlp, 64 samples, bfloat16 on H200")


@pytest.mark.parametrize(
    ("at", "printed", "what"),
    [
        ("listing the kernels", 0, None),
        ("float32, 4 samples: b", 0, "mlp, 4 samples, float32 on H200, interrupted: the first 1 of 2 launches"),
        ("float32, 8 samples: b", 0, "mlp, 40 samples, float32 on H200, interrupted: the first 1 of 2 launches"),
        ("bfloat16, 8 samples: b", 1, "mlp, 40 samples, bfloat16 on H200, interrupted: the first 1 of 2 launches"),
    ],
)
@pytest.mark.parametrize("is_json", [False, True])
def test_an_interrupt_leaves_what_is_known(launched, monkeypatch, capsys, at, printed, what, is_json):
    """Rows of the launches that were seen, of the samples that they were seen of or, from both steps, of the batch."""

    def advance(self, text="", *, steps=1):
        if text == at:
            raise KeyboardInterrupt

    def prepare(self, dtypes, expect):
        self.listed = {dtype: ["a", "b"] for dtype in dtypes}

    monkeypatch.setattr(step_profile.Progress, "advance", advance)
    monkeypatch.setattr(step_profile.Step, "prepare", prepare)
    options = ["info", "--model", "mlp", "--step", "--batch", "40", *(["--json"] if is_json else [])]
    assert main(options) == 130
    out = capsys.readouterr().out
    if what is None:
        assert out == ""
    elif is_json:
        found = json.loads(out)
        assert list(found["predicted"]) == ["float32"][:printed]
        rest = found["interrupted"]
        assert (rest["launches"], rest["of"], rest["samples"]) == (1, 2, 40 if "8" in at else 4)
        assert rest["parts"] == [{"name": "a", "count": 1, "seconds": pytest.approx(19e-6 if "8" in at else 4e-6)}]
        assert what.startswith(f"mlp, {rest['samples']} samples, {rest['dtype']} on")
    else:
        assert f"{what}, PREDICTED, not measured" in out
        assert out.count("steps a second PREDICTED") == printed
        assert f"{19.0 if '8' in at else 4.0:8.1f} µs     1 × a" in out
        assert "No machine has confirmed it." in out


def test_an_interrupt_between_two_precisions(launched):
    """What is known of the first is not taken for the second's."""
    step = step_profile.Step("mlp", (4,), 3, H200)
    step.predict(40, "float32")
    assert step.known("bfloat16", 40) == (4, 0, [])
