"""What `import weft` costs and loads, and which way imports point inside the package."""

import os
import re
import subprocess
import sys

import pytest
import rooms

import weft

OPTIONAL = ("mpi4py", "cupy", "torch", "scipy", "sklearn", "matplotlib", "rich", "PIL", "pyarrow", "optuna")
DEFERRED = (
    "ml_dtypes",
    "array_api_compat",
    "threadpoolctl",
    "safetensors",
    "numpy.random",
    "inspect",
    "concurrent.futures",
)


def python(code, **environment):
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


class TestImport:
    def test_loads_no_optional_library(self):
        loaded = python("import sys, weft; print(*sys.modules)").split()
        assert not [name for name in OPTIONAL if name in loaded]

    def test_defers_what_is_rarely_needed(self):
        loaded = python(
            "import sys, numpy; before = set(sys.modules); import weft; print(*set(sys.modules) - before)"
        ).split()
        assert not [name for name in (*OPTIONAL, *DEFERRED) if name in loaded]

    def test_costs_little_more_than_numpy(self):
        """Modules are counted, each of which takes a fifth of a millisecond; nothing of another library is among them."""
        code = "import sys, numpy; before = set(sys.modules); import weft; print(*set(sys.modules) - before)"
        loaded = python(code).split()
        ours = [name for name in loaded if name.split(".")[0] == "weft"]
        others = [name for name in loaded if name.split(".")[0] != "weft"]
        assert len(ours) <= 90, sorted(ours)
        assert len(others) <= 20, sorted(others)
        assert {name.split(".")[0] for name in others} <= sys.stdlib_module_names

    def test_subpackages_are_loaded_when_asked_for(self):
        code = "import sys, weft; assert 'weft.data' not in sys.modules; weft.data; assert 'weft.data' in sys.modules"
        python(code)
        assert {"layers", "optimizers", "data", "training", "bfloat16", "exp", "Tensor"} <= set(dir(weft))
        with pytest.raises(AttributeError, match="module 'weft' has no attribute 'nothing'"):
            _ = weft.nothing

    def test_everything_is_importable_without_cupy_and_torch(self):
        python(
            "import sys, weft\nsys.modules['cupy'] = sys.modules['torch'] = None\nfor n in weft._LAZY: getattr(weft, n)"
        )


class TestRooms:
    """Imports point one way: the table in rooms.py, and no circle of files."""

    def test_imports_point_one_way(self):
        assert not rooms.against()

    def test_no_room_knows_more_than_it_needs(self):
        assert not rooms.unused()

    def test_every_folder_is_in_the_table(self):
        assert {rooms.room(path) for path in rooms.sources().values()} == set(rooms.ROOMS)
        there = {name: rooms.ROOT / name if (rooms.ROOT / name).is_dir() else rooms.ROOT for name in rooms.ROOMS}
        assert not [name for name, about in rooms.ROOMS.items() if not (there[name] / about.start).is_file()]

    def test_the_map_is_made_from_the_table(self):
        text = (rooms.ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
        assert text == rooms.render(text), "run `python tests/rooms.py`"
        assert "backend/{cpu, cuda}" in text

    def test_no_file_imports_another_in_a_circle(self):
        assert not rooms.circle(), " → ".join(rooms.circle())


class TestPlanted:
    """The checks above see what they should, in a copy with a fault."""

    @pytest.fixture
    def copy(self, tmp_path):
        for path in rooms.sources().values():
            to = tmp_path / path.relative_to(rooms.ROOT)
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
        return tmp_path

    @staticmethod
    def plant(path, line):
        path.write_text(f"{path.read_text(encoding='utf-8')}\n{line}\n", encoding="utf-8")

    @pytest.mark.parametrize(
        "line",
        [
            "from ..array import creation",
            "import weft.backend.array.creation",
            "def f():\n    from weft.backend.array.creation import ones",
            "if TYPE_CHECKING:\n    from ..array.creation import ones as _ones",
        ],
    )
    def test_circle(self, copy, line):
        assert not rooms.circle(copy)
        self.plant(copy / "backend" / "tape" / "tensor.py", line)
        found = rooms.circle(copy)
        assert {"backend/tape/tensor.py", "backend/array/creation.py"} <= set(found)
        assert found[0] == found[-1]

    def test_circle_of_a_name_in_a_package(self, copy):
        """From `__init__`, not from a module."""
        self.plant(copy / "data" / "files.py", "from . import DataLoader")
        assert {"data/files.py", "data/__init__.py"} <= set(rooms.circle(copy))

    @pytest.mark.parametrize(
        ("file", "line", "there"),
        [
            ("backend/nn/loss.py", "from ..modes import autocast", "backend/modes"),
            ("backend/tape/tensor.py", "from ...layers import Linear", "layers"),
            ("kernels/pooling.py", "def f():\n    from . import emulator", "kernels/emulator"),
            ("kernels/toolchain/__init__.py", "from .. import pooling", "kernels"),
            ("data/loader.py", "import weft", "weft"),
            ("layers/new/tools.py", "from ..module import Module", "layers"),
        ],
    )
    def test_import_against_the_arrows(self, copy, file, line, there):
        before, path = rooms.against(copy), copy / file
        path.parent.mkdir(exist_ok=True)
        path.touch()
        self.plant(path, line)
        (found,) = [line for line in rooms.against(copy) if line not in before]
        assert re.fullmatch(rf"{file}:\d+ imports {there}", found)

    def test_permission_that_nothing_needs(self, copy, monkeypatch):
        monkeypatch.setitem(rooms.ROOMS, "data", rooms.ROOMS["data"]._replace(knows="kernels"))
        monkeypatch.setitem(rooms.AGAINST, "data/files.py", "layers")
        monkeypatch.setattr(rooms, "MUTUAL", {*rooms.MUTUAL, ("layers/linear.py", "layers/init.py")})
        planted = {"data knows kernels", "data/files.py imports layers", "layers/linear.py imports layers/init.py"}
        assert planted <= set(rooms.unused(copy))


def test_version():
    from importlib.metadata import version

    assert weft.__version__ == version("weft")
    assert weft.__array_api_version__ == "2024.12"
