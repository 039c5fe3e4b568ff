"""`weft bench` measures in processes of its own, prints and saves; whatever cannot be done is one line."""

import json
import signal

import pytest

import weft
from weft.backend.device import devices
from weft.bench import command, perform, results

TINY = ["--tiny", "--no-torch"]


@pytest.fixture
def no_gpu(monkeypatch):
    existing = devices.existing

    def without(name):
        if name and name.startswith("cuda"):
            raise devices.DeviceError("`cuda` needs an NVIDIA GPU;\n the driver reports none")
        return existing(name)

    monkeypatch.setattr(devices, "existing", without)


def run(capfd, *argv, status=0):
    assert command.main([*argv]) == status
    out, err = capfd.readouterr()
    return out, err


def test_saves_what_it_prints(tmp_path, capfd):
    saved = tmp_path / "new" / "results.json"
    out, _ = run(capfd, "mlp-inf", "--device", "cpu", "--threads", "1", "--save", str(saved), *TINY)
    document = results.load(saved)
    (entry,) = document["benches"]
    assert (entry["part"], entry["device"], entry["name"], entry["threads"]) == ("models", "cpu", "mlp-inference", 1)
    assert entry["about"] in out
    assert "samples/s" in out
    assert f"{document['machines']['cpu']['device']}, 1 thread; python" in out
    assert ", without PyTorch\n" in out
    assert "numpy" in document["versions"]
    assert entry["about"] in saved.with_suffix(".md").read_text()
    assert f"saved {saved}" in out


def test_a_folder_and_resume(tmp_path, capfd):
    pytest.importorskip("matplotlib")
    argv = ["--operations", "--threads", "1", "--seconds", "0.01", "--no-torch", "--save", str(tmp_path)]
    run(capfd, "mlp-tiny", *argv)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.json", "bench.md"]  # no ratios to draw
    first = results.load(tmp_path / "bench.json")["benches"]
    out, _ = run(capfd, "mlp-tiny", "max-pool", "--resume", *argv)
    both = results.load(tmp_path / "bench.json")["benches"]
    assert both[:1] == first
    assert [e["name"] for e in both] == ["mlp-tiny", "max-pool"]
    assert "MLP 16-32-10" not in out


@pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")
def test_the_gpu_is_rehearsed(tmp_path, capfd):
    pytest.importorskip("matplotlib")
    argv = ["mlp-training", "gelu", "--device", "emulator", "--no-torch", "--save", str(tmp_path / "r.json")]
    out, _ = run(capfd, *argv)
    document = results.load(tmp_path / "r.json")
    assert document["machines"] == {"emulator": {"device": "emulator"}}
    assert document["ceilings"].keys() == {"copy", "bfloat16", "float32", "tf32"}
    names = {e["name"]: list(e["runs"]) for e in document["benches"]}
    assert names["mlp-training-bfloat16"] == ["weft", "weft.capture"]
    assert names["gelu-backward"] == ["weft"]
    assert not [name for name in names if name.startswith("cnn")]
    for words in ("weft.capture", "TFLOP/s", "limits measured here: copy"):
        assert words in out
    assert {p.name for p in tmp_path.iterdir()} == {"r.json", "r.md", "r-models.png", "r-kernels.png"}


def test_without_a_gpu_that_is_one_line(no_gpu, capfd):
    out, _ = run(capfd, "mlp-inference", "--models", "--threads", "1", *TINY)
    assert out.splitlines()[0] == "no GPU is measured: `cuda` needs an NVIDIA GPU; the driver reports none"
    assert "MLP inference" in out


def fails(capfd, *argv):
    try:
        status = command.main([*argv])
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["nonsense"], "no bench here has a name that begins with 'nonsense'; see weft bench --list"),
        (["--threads", "0"], "argument --threads: must be an integer at least 1, got '0'"),
        (["--threads", "4096"], "--threads must be between 1 and"),
        (["--seconds", "-1"], "argument --seconds: must be a number above 0, got '-1'"),
        (["--sav", "x"], "unrecognized arguments: --sav"),
        (["--resume"], "--resume needs --save PATH"),
        (["--device", "tpu"], "--device must be one of cpu, cuda, emulator, got 'tpu'"),
        (["--list", "--device", "tpu"], "--device must be one of cpu, cuda, emulator, got 'tpu'"),
        (["--device", "cuda:x"], "`cuda` needs an NVIDIA GPU"),
        (["--device", "cuda"], "`cuda` needs an NVIDIA GPU; the driver reports none"),
        (["--kernels"], "--kernels measures on a GPU: `cuda` needs an NVIDIA GPU; the driver reports none. --device emulator"),
        (["--kernels", "--device", "cpu"], "nothing to measure: there are no kernels for cpu"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_line(no_gpu, argv, message, capfd):
    assert message in fails(capfd, *argv)


def test_results_that_are_none_are_one_line(no_gpu, tmp_path, capfd):
    (tmp_path / "bench.json").write_text("{}")
    assert "bench.json holds no results of `weft bench --save`" in fails(capfd, "--save", str(tmp_path), "--resume")


def test_results_that_cannot_be_saved_are_one_line(tmp_path, capfd):
    (tmp_path / "file").write_text("")
    argv = [
        "mlp-inference",
        "--device",
        "cpu",
        "--threads",
        "1",
        *TINY,
        "--save",
        str(tmp_path / "file" / "results.json"),
    ]
    assert command.main(argv) == 2
    said = capfd.readouterr()
    assert "results.json` could not be written" in said.err
    assert said.out == ""  # nothing was measured first


def test_names_can_be_listed(capfd):
    out, _ = run(capfd, "--list", "--device", "cuda", "--kernels", "attention")
    names = out.split()[2::3]
    assert len(names) == 8
    assert all(name.startswith("attention-") for name in names)
    everything, _ = run(capfd, "--list")
    for line in ("CPU       models      mlp-training", "CPU       operations  conv", "GPU       kernels     launches"):
        assert line in everything.splitlines()
    assert "CPU       kernels" not in everything


# --- processes that end too early -----------------------------------------------------------------------------------------
def entry(name, status="ok"):
    return {
        "part": "kernels",
        "device": "emulator",
        "name": name,
        "about": name,
        "runs": {},
        "passes": 1,
        "status": status,
    }


@pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")
def test_a_process_that_ends_is_followed_by_another(monkeypatch, tmp_path, capfd):
    tasks = []

    def measure(task, cores, found, path):
        tasks.append(json.loads(json.dumps(vars(task))))
        found["machines"]["emulator"] = {"device": "emulator"}
        if len(tasks) == 1:
            results.put(found, entry("gelu-forward"))
            return -signal.SIGSEGV, entry("gelu-backward", "failed")
        results.put(found, entry("dropout"))
        return 0, None

    monkeypatch.setattr(perform, "_run", measure)
    argv = ["--device", "emulator", "--kernels", "--save", str(tmp_path / "r.json")]
    out, _ = run(capfd, *argv, status=1)
    assert [e["name"] for e in tasks[1]["known"]] == ["gelu-forward", "gelu-backward"]
    assert tasks[1]["total"] <= tasks[0]["total"]
    found = {e["name"]: e for e in results.load(tmp_path / "r.json")["benches"]}
    assert list(found) == ["gelu-forward", "gelu-backward", "dropout"]
    assert found["gelu-backward"]["problem"] == "the process ended in it (exit status -11)"
    assert "going on in a new process" in out
    assert "FAILED: gelu-backward" in out


def test_a_process_that_cannot_begin(monkeypatch, capfd):
    monkeypatch.setattr(perform, "_run", lambda *_: (1, None))
    assert "the process that measures on cpu ended with exit status 1" in fails(
        capfd, "--device", "cpu", "mlp-training"
    )
