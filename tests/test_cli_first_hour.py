"""What somebody types in the first hour: the list, a data set by its name, a project to start from, the check."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import weft
from weft import data
from weft.__main__ import main
from weft.data import sources
from weft.training.cli import info_check, new
from weft.training.cli.listing import listing
from weft.training.recipe import OPTIMIZERS


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class TestList:
    def test_everything_that_can_be_chosen(self, capsys):
        assert main(["train", "--list"]) == 0
        text = capsys.readouterr().out
        models = weft.layers.models
        for name in (*sources.SOURCES, *OPTIMIZERS, *models.MODELS, *models.LANGUAGE_MODELS, "onecycle", "cutmix"):
            assert name in text
        assert text.strip() == listing()

    def test_data(self, capsys):
        assert main(["data", "list"]) == 0
        assert capsys.readouterr().out.splitlines()[0] == "digits            ready  1,797 handwritten digits, 8×8"


class TestData:
    def test_tables_of_scikit_learn(self, capsys):
        pytest.importorskip("sklearn")
        assert main(["data", "get", "iris"]) == 0
        assert "next: weft train --data datasets/iris.csv" in capsys.readouterr().out
        iris = data.load("datasets/iris.csv")
        assert iris.class_names == ("setosa", "versicolor", "virginica")
        assert iris.feature_names == ("sepal_length", "sepal_width", "petal_length", "petal_width")
        assert len(iris.train) + len(iris.test) == 150
        sources.get("diabetes", "elsewhere")
        assert data.load("elsewhere/diabetes.csv", regression=True).num_classes is None

    def test_pictures_in_a_folder_for_each_class(self):
        pytest.importorskip("sklearn")
        pytest.importorskip("PIL")
        folder = sources.get("digits")
        digits = data.load(folder)
        assert digits.sample_shape == (1, 8, 8)
        assert digits.class_names == tuple("0123456789")
        assert digits.train.x.max() == 255
        assert sorted(path.name for path in Path("datasets").iterdir()) == ["digits"]
        assert sources.get("digits") == folder  # what is there stays

    def test_text_of_python(self):
        text = sources.get("python-reference").read_text()
        assert len(text) > 300_000
        assert "assert" in text

    def test_from_the_index_with_gaps_left_out(self, monkeypatch):
        content = b"a,b\n1,x\nNA,NA\n2,y\n"

        def download(command, **_):
            with zipfile.ZipFile(Path(command[command.index("--dest") + 1]) / "a.whl", "w") as wheel:
                wheel.writestr(sources.SOURCES["penguins"].within, content)
            assert command[-1] == "palmerpenguins==0.1.6"
            return subprocess.CompletedProcess(command, 0, "", "")

        monkeypatch.setattr(sources, "_from_index", lambda *names: FROM_INDEX(*names, run=download))
        assert sources.get("penguins").read_bytes() == b"a,b\n1,x\nNA,NA\n2,y\n".replace(b"NA,NA\n", b"")

    def test_without_a_network(self, monkeypatch):
        def fail(command, **_):
            return subprocess.CompletedProcess(command, 1, "", "WARNING: no\nERROR: no such host\n")

        monkeypatch.setattr(sources, "_from_index", lambda *names: FROM_INDEX(*names, run=fail))
        with pytest.raises(
            data.DataError, match=r"palmerpenguins==0.1.6 could not be had \(no such host\); with a network"
        ):
            sources.get("penguins")

    @pytest.mark.parametrize("name", [name for name, each in sources.SOURCES.items() if each.origin == "bring"])
    def test_what_must_be_brought(self, name):
        with pytest.raises(
            data.DataError, match=rf"{name} comes with no package: put into datasets/\S+: .*Then: weft train"
        ):
            sources.get(name)
        assert not Path("datasets").exists()

    def test_unknown(self):
        with pytest.raises(data.DataError, match=r"got .irsi.; did you mean iris\?"):
            sources.get("irsi")


FROM_INDEX = sources._from_index


class TestNew:
    def test_the_project_trains_goes_on_and_passes_its_tests(self, capsys):
        pytest.importorskip("sklearn")
        pytest.importorskip("rich")
        assert main(["new", "pets"]) == 0
        assert "next: cd pets && python train.py" in capsys.readouterr().out
        config = Path("pets/config.toml")
        config.write_text(config.read_text().replace("epochs = 20", "epochs = 4"))
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}

        def run(*command):
            return subprocess.run(
                (sys.executable, *command), cwd="pets", env=environment, capture_output=True, text=True, check=True
            ).stdout

        first = run("train.py")
        config.write_text(config.read_text().replace("epochs = 4", "epochs = 5"))
        second = run("train.py", "--resume")
        assert float(first.split("test accuracy ")[1].split(" %")[0]) > 85
        assert "epoch 5/5" in second
        assert "epoch 4/5" not in second
        assert "4 passed" in run("-m", "pytest", "-q", "-p", "no:cacheprovider")
        assert Path("pets/run/model.safetensors").is_file()
        assert Path("pets/run/curves.png").is_file()

    def test_a_folder_with_files_is_left_alone(self, capsys):
        Path("a").mkdir()
        Path("a/b").write_text("mine")
        assert main(["new", "a"]) == 2
        assert "DIR must be an empty folder or a new one, got a, which holds files" in capsys.readouterr().err
        assert [path.name for path in Path("a").iterdir()] == ["b"]
        assert main(["new", "a/b"]) == 2
        assert "could not be written" in capsys.readouterr().err

    def test_no_file_is_longer_than_a_screen_and_a_half(self):
        assert max(text.count("\n") for text in new.FILES.values()) < 75


class TestCheck:
    def test_what_needs_no_compiler(self, capsys):
        checks = {
            name: run for name, run in info_check.CHECKS.items() if name not in ("emulator", "GPU", "captured steps")
        }
        assert info_check.check(checks) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line[0] for line in lines[:4]] == ["✓"] * 4
        assert lines[-1].startswith("works: arithmetic, random numbers, training, checkpoints")

    def test_what_is_missing_and_what_fails(self, capsys, monkeypatch):
        monkeypatch.setattr(info_check, "devices", lambda: ("cpu",))

        def broken():
            raise ArithmeticError("2 + 2\n= 5")

        checks = {"sums": broken} | {name: info_check.CHECKS[name] for name in ("emulator", "GPU", "captured steps")}
        assert info_check.check(checks) == 1
        out = capsys.readouterr().out
        assert "✗ sums               ArithmeticError: 2 + 2 = 5" in out
        assert "– emulator           needs a C++ compiler" in out
        assert out.splitlines()[-1] == "not there: emulator, GPU, captured steps; FAILED: sums"

    def test_wrong_numbers_are_seen(self, monkeypatch):
        monkeypatch.setattr(info_check, "devices", lambda: ("cpu", "emulator"))
        monkeypatch.setattr(info_check, "_step", lambda device: [np.ones(2) * (1.1 if device == "cpu" else 1)])
        with pytest.raises(ArithmeticError, match=r"its kernels differ from NumPy by 1.0e-01"):
            info_check.CHECKS["emulator"]()

    @pytest.mark.slow
    def test_all(self, capsys):
        assert main(["info", "--check"]) == 0
        assert "works: arithmetic, random numbers, training, checkpoints" in capsys.readouterr().out


class TestNearestNames:
    @pytest.mark.parametrize(
        ("module", "name", "meant"),
        [
            (data, "load_minst", "load_mnist"),
            (data.augment, "RandomRotatoin", "RandomRotation"),
            (weft.training, "Trainr", "Trainer"),
            (weft.layers.init, "xavier_unifrom_", "xavier_uniform_"),
            (weft.layers.models, "resnet", "ResNet"),
        ],
    )
    def test_of_modules(self, module, name, meant):
        with pytest.raises(AttributeError, match=f"has no attribute '{name}'; did you mean `{meant}`"):
            getattr(module, name)

    @pytest.mark.parametrize(
        ("source", "advice"),
        [
            ("iris", "bring it by: weft data get iris"),
            ("digts", r"check the path; did you mean digits, a name of `weft data get`\?"),
            ("a/b.csv", "check the path$"),
        ],
    )
    def test_of_data(self, source, advice):
        with pytest.raises(data.DataError, match=advice):
            data.load(source)
