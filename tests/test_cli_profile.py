"""`weft info --kernels --profile`, as a user runs it."""

import contextlib
import json
import os
import signal
import subprocess
import sys

import pytest

from weft import _signals
from weft.__main__ import main
from weft.kernels.emulator.roofline import LIMITS
from weft.kernels.toolchain.machine_code import MACHINES
from weft.training.cli import instance_cases, kernel_profile

pytestmark = pytest.mark.usefixtures("disassembler", "heard")
EVERY = instance_cases.instances


@pytest.fixture
def small(monkeypatch):
    """One case, in one dtype."""
    monkeypatch.setattr(kernel_profile, "DTYPES", kernel_profile.DTYPES[:1])
    monkeypatch.setattr(kernel_profile, "CASES", {"swiglu": kernel_profile.CASES["swiglu"]})
    few = {name: each for name, each in EVERY().items() if name.startswith("swiglu<float")}
    monkeypatch.setattr(instance_cases, "instances", lambda: few)


class TestProfile:
    def test_table(self, small, capsys):
        assert main(["info", "--kernels", "--profile", "swiglu"]) == 0
        columns, case, forward, *lines = capsys.readouterr().out.splitlines()
        assert columns.split() == [*LIMITS, "pipe", "regs", "warps", "spills", "predicted"]
        assert case == "swiglu, float32"
        assert forward.split()[:3] == ["swiglu<float,", "false>", "100%"]  # x, gate and y move, little is computed
        assert lines[0].strip().startswith("swiglu.cu:")
        assert any(line.startswith("Predicted for H200 and not measured") for line in lines)

    def test_saved(self, small, capsys, tmp_path):
        pytest.importorskip("matplotlib")
        folder = str(tmp_path / "out")
        assert main(["info", "--kernels", "--profile", "sw", "--json", "--machine", "A100", "--save", folder]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown == json.loads((tmp_path / "out" / "profile.json").read_text())
        assert (tmp_path / "out" / "profile.png").read_bytes().startswith(b"\x89PNG")
        forward, backward = shown["predicted"]
        size = 32 * 1024 * 4
        assert (forward["bytes"], backward["bytes"]) == (3 * size, 5 * size)  # x, gate, y; g, x, gate and two gradients
        for row in (forward, backward):
            assert (row["source"], row["machine"], row["spills"]) == ("swiglu.cu", "A100", 0)
            assert row["predicted_seconds"] == max(row["seconds"].values()) == row["seconds"][row["limit"]]
        assert forward["seconds"]["DRAM"] == pytest.approx(3 * size / 2.039e12)

    def test_an_interrupt_leaves_what_is_known(self, small, capsys, monkeypatch, tmp_path):
        """Minutes of work: each case is printed when it is done, and saved."""
        first = dict.fromkeys(("swiglu", "interrupted"), kernel_profile.CASES["swiglu"])
        monkeypatch.setattr(kernel_profile, "CASES", first)
        rows = kernel_profile._rows
        printed = []

        def one(name, machine):
            printed.append(capsys.readouterr().out)
            if name == "interrupted":
                raise KeyboardInterrupt
            return rows(name, machine)

        monkeypatch.setattr(kernel_profile, "_rows", one)
        assert main(["info", "--kernels", "--profile", "--save", str(tmp_path)]) == 130
        assert printed[0] == ""
        assert printed[1].splitlines()[1] == "swiglu, float32"
        assert "Predicted for H200 and not measured" in capsys.readouterr().out
        saved = json.loads((tmp_path / "profile.json").read_text())["predicted"]
        assert [row["kernel"] for row in saved] == ["swiglu<float, false>", "swiglu<float, true>"]

    def test_an_interrupt_that_comes_twice(self, small, capsys, monkeypatch):
        """As `timeout -s INT` sends it, to the command and to all: it does not end the command on the spot."""
        monkeypatch.setattr(
            kernel_profile, "CASES", dict.fromkeys(("swiglu", "interrupted"), kernel_profile.CASES["swiglu"])
        )
        monkeypatch.setattr(_signals, "end", lambda *_: pytest.fail("it would have ended"))
        rows = kernel_profile._rows

        def one(name, machine):
            if name == "interrupted":
                try:
                    signal.raise_signal(signal.SIGINT)
                finally:
                    signal.raise_signal(signal.SIGINT)
            return rows(name, machine)

        monkeypatch.setattr(kernel_profile, "_rows", one)
        before = signal.signal(signal.SIGINT, _signals.end)
        try:
            assert main(["info", "--kernels", "--profile", "--json"]) == 130
            assert signal.getsignal(signal.SIGINT) is _signals.end
        finally:
            signal.signal(signal.SIGINT, before)
        assert len(json.loads(capsys.readouterr().out)["predicted"]) == 2

    def test_what_nobody_reads_is_saved(self, small, capsys, monkeypatch, tmp_path):
        def fail(*args):
            raise BrokenPipeError(32, "Broken pipe")

        pytest.importorskip("matplotlib")
        monkeypatch.setattr(kernel_profile.Table, "add", fail)
        monkeypatch.setattr(kernel_profile.Table, "end", fail)
        with pytest.raises(BrokenPipeError):
            kernel_profile.run("swiglu", MACHINES["H200"], as_json=False, folder=str(tmp_path))
        assert len(json.loads((tmp_path / "profile.json").read_text())["predicted"]) == 2

    def test_instantiations_that_no_case_launches(self, small, capsys, monkeypatch):
        """Are there by themselves, whatever precedes them in a step."""
        all_of = EVERY()
        few = {
            name: each for name, each in all_of.items() if name.startswith(("swiglu<float", "attention_round<__half"))
        }
        monkeypatch.setattr(instance_cases, "instances", lambda: few)
        assert main(["info", "--kernels", "--profile", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)["predicted"]
        assert [(row["case"], row["kernel"]) for row in found] == [
            ("swiglu", "swiglu<float, false>"), ("swiglu", "swiglu<float, true>"), ("attention_round<__half>",) * 2,
        ]  # fmt: skip
        half = found[-1]
        assert (half["dtype"], half["bytes"]) == ("", (4 + 2) * 256 * 2 * 64)  # sums are read, their roundings written

    def test_a_gradient_whose_forward_is_not_run(self, capsys):
        """Its taps are true ones all the same: others would be written to beyond the tile."""
        assert main(["info", "--kernels", "--profile", "window_maxima_gradient<float, 1", "--json"]) == 0
        (row,) = json.loads(capsys.readouterr().out)["predicted"]
        assert row["kernel"] == "window_maxima_gradient<float, 1>"

    def test_one_instantiation(self, capsys):
        assert main(["info", "--kernels", "--profile", "swiglu<float, t", "--json"]) == 0
        (row,) = json.loads(capsys.readouterr().out)["predicted"]
        assert row["kernel"] == "swiglu<float, true>"

    def test_functions_that_were_not_inlined_are_counted(self, capsys):
        """What is left of dropout's masks in the order of another array is such a function."""
        assert main(["info", "--kernels", "--profile", "dropout<float, true, t", "--json"]) == 0
        (row,) = json.loads(capsys.readouterr().out)["predicted"]
        # 32,768 numbers, eight of a thread at a time, each with Philox's ten rounds of 20 instructions and more
        assert 8 * 200 * 32768 / 8 / 32 / 8 < row["instructions"] < 8 * 500 * 32768 / 8 / 32 / 8

    @pytest.mark.parametrize("options", [[], ["--json"]])
    def test_without_standard_output(self, small, options, capsys, monkeypatch, tmp_path):
        """As everywhere, the command says that it is closed (test_cli_runs.py); what is to be saved is."""
        pytest.importorskip("matplotlib")
        monkeypatch.setattr(sys, "stdout", None)
        assert main(["info", "--kernels", "--profile", "swiglu", "--save", str(tmp_path), *options]) == 0
        assert len(json.loads((tmp_path / "profile.json").read_text())["predicted"]) == 2

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--kernels", "--profile", "swigul"], "unknown case 'swigul'"),
            (["--profile"], "--profile goes with --kernels"),
            (["--kernels", "--profile", "--arch", "sm_80"], "--machine in the place of --arch"),
            (["--kernels", "--machine", "H100"], "--machine and --save go with --profile"),
            (["--kernels", "--profile", "--machine", "V100"], "invalid choice: 'V100'"),
            (
                ["--kernels", "--profile", "gelu", "--save", "/dev/null/x"],
                "--save needs a folder that can be written to",
            ),
        ],
    )
    def test_wrong_use(self, capsys, arguments, message):
        try:
            status = main(["info", *arguments])
        except SystemExit as ended:
            status = ended.code
        assert status == 2
        assert message in capsys.readouterr().err


ENDLESS = """
import sys, threading
sys.argv = ["weft", "info", "--kernels", "--profile", *sys.argv[1:]]
from weft import _signals
from weft.__main__ import main
from weft.training.cli import instance_cases, kernel_profile
swiglu, rows = kernel_profile.CASES["swiglu"], kernel_profile._rows
kernel_profile.CASES.clear()
kernel_profile.CASES.update({"swiglu": swiglu, "endless": swiglu})
kernel_profile.DTYPES = kernel_profile.DTYPES[:1]
instance_cases.instances = dict
def known(name, machine):
    if name == "endless":
        print("endless", file=sys.stderr, flush=True)
        threading.Event().wait()
    return rows(name, machine)
kernel_profile._rows = known
sys.exit(main())
"""  # the command, of whose two cases the second one says that it has begun, and does not end


@contextlib.contextmanager
def endless(*options, **streams):
    with subprocess.Popen([sys.executable, "-c", ENDLESS, *map(str, options)], text=True, **streams) as process:
        try:
            yield process
        finally:
            process.kill()


class TestSignals:
    """The process itself: what ends a command that has nothing to save must let this one save."""

    @pytest.mark.parametrize(
        ("number", "by"), [(signal.SIGINT, ""), (signal.SIGTERM, " by SIGTERM"), (signal.SIGHUP, " by SIGHUP")]
    )
    def test_leaves_what_is_known(self, tmp_path, number, by):
        pytest.importorskip("matplotlib")
        with endless("--save", tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stderr.readline() == "endless\n"
            process.send_signal(number)
            out, err = process.communicate()
        assert process.returncode == 128 + number
        assert out.splitlines()[1] == "swiglu, float32"
        assert "Predicted for H200 and not measured" in out
        assert err.splitlines()[-1] == f"weft info: interrupted{by}"
        saved = json.loads((tmp_path / "profile.json").read_text())["predicted"]
        assert [row["kernel"] for row in saved] == ["swiglu<float, false>", "swiglu<float, true>"]
        assert (tmp_path / "profile.png").exists()

    def test_json(self):
        with endless("--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            process.stderr.readline()
            process.send_signal(signal.SIGTERM)
            out, _ = process.communicate()
        assert process.returncode == 128 + signal.SIGTERM
        assert [row["kernel"] for row in json.loads(out)["predicted"]] == [
            "swiglu<float, false>",
            "swiglu<float, true>",
        ]

    @pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
    def test_on_a_terminal(self):
        """Each case above the bar, as soon as it is known; a file gets what is printed, and nothing of the bar."""
        pytest.importorskip("rich")
        for is_file in (False, True):
            terminal, end = os.openpty()
            with endless(stdout=subprocess.PIPE if is_file else end, stderr=end) as process:
                os.close(end)
                seen = b""
                while b"endless" not in seen:
                    seen += os.read(terminal, 4096)
                assert (b"swiglu<float, true>" in seen) is not is_file
                process.send_signal(signal.SIGINT)
                with contextlib.suppress(OSError):  # Linux's end of a terminal
                    while more := os.read(terminal, 4096):
                        seen += more
                out = process.stdout.read() if is_file else seen.decode()
            os.close(terminal)
            assert process.returncode == 130
            assert "profiling" in seen.decode()
            assert "Predicted for H200 and not measured" in out
            assert out.count("swiglu<float, true>") == 1
            assert "weft info: interrupted" in seen.decode()
            assert is_file is ("\x1b" not in out)
