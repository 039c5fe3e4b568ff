"""The package outside this checkout: in a folder of any name, as a wheel, as a source distribution, on every platform."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = SETTINGS["tool"]["setuptools"]["packages"]
SOURCES = {".py", ".pyi", ".cu", ".cuh", ".cpp", ".h"}
LINK = re.compile(r"!?\[[^\]]*\]\((?!https?:|mailto:|#)([^)\s]+)\)")

# Runs beside the copied tests, against a run that imports the installed package and passes
PROBE = """
from pathlib import Path
import weft

def test_it_is_this_copy():
    assert Path(weft.__file__).resolve().parent == Path(__file__).resolve().parents[1]
"""


def tree():
    """The repository's files: all but what .gitignore names, as an unpacked archive has no history to ask."""
    ignored = [".git", *(line.rstrip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").split())]

    def kept(names):
        return [name for name in names if not any(fnmatch(name, pattern) for pattern in ignored)]

    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = kept(folders)
        found += [(Path(folder) / name).relative_to(ROOT).as_posix() for name in kept(files)]
    return sorted(found)


def copy(to):
    for name in tree():
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, to / name)
    return to


def run(*command, cwd, **environment):
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def start_tests(folder, site):
    """One file of the tests in `folder`, which is imported as `weft` from `site`, before any that is installed."""
    site.mkdir()
    (site / "weft").symlink_to(folder, target_is_directory=True)
    (folder / "tests" / "test_probe.py").write_text(PROBE)
    command = (
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/test_probe.py",
        "tests/data/test_idx.py",
    )
    return run(*command, cwd=folder, PYTHONPATH=str(site))


class TestFolder:
    def test_of_any_name(self, tmp_path):
        """What an archive of a branch unpacks to, and with a space."""
        assert " passed" in start_tests(copy(tmp_path / "weft-main 1.0"), tmp_path / "site")


class TestMetadata:
    EXTRAS = SETTINGS["project"]["optional-dependencies"]

    def required(self, extra, platform):
        """The names that an extra asks for on a platform, extras within it resolved."""
        names = set()
        for requirement in map(Requirement, self.EXTRAS[extra]):
            if requirement.marker is None or requirement.marker.evaluate({"sys_platform": platform}):
                inner = {name for e in requirement.extras for name in self.required(e, platform)}
                names |= inner if requirement.name == "weft" else {requirement.name}
        return names

    @pytest.mark.parametrize("platform", ["linux", "win32"])
    def test_cuda_has_all_its_parts(self, platform):
        parts = {"cupy-cuda13x", "cuda-pathfinder", "nvidia-cuda-nvrtc", "nvidia-cuda-runtime", "nvidia-cublas"}
        assert self.required("cuda", platform) == parts

    def test_nothing_of_cuda_on_macos(self):
        """There are no such wheels, so that one without a marker leaves the whole extra unresolved."""
        for extra in self.EXTRAS:
            assert not [n for n in self.required(extra, "darwin") if n.startswith(("cu", "nvidia-"))], extra

    def test_packages_are_those_of_the_tree(self):
        inits = (PurePosixPath(name) for name in tree() if name.endswith("/__init__.py"))
        packages = {
            ".".join(("weft", *path.parent.parts)) for path in inits if path.parts[0] not in ("tests", "examples")
        }
        assert {"weft", *packages} == set(PACKAGES)

    @pytest.mark.parametrize("name", [name for name in tree() if name.endswith(".md")])
    def test_links_lead_somewhere(self, name):
        targets = LINK.findall((ROOT / name).read_text(encoding="utf-8"))
        assert not [target for target in targets if not ((ROOT / name).parent / target.partition("#")[0]).exists()]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Wheel and source distribution of a copy: in a checkout, an earlier build's files would come along."""
    for tool in ("build", "twine", "setuptools"):
        pytest.importorskip(tool, reason="needs the extra `release`")
    folder = copy(tmp_path_factory.mktemp("built") / "weft")
    run(sys.executable, "-m", "build", "--no-isolation", cwd=folder)
    (wheel,), (sdist,) = (folder / "dist").glob("*.whl"), (folder / "dist").glob("*.tar.gz")
    return wheel, sdist


@pytest.mark.slow
class TestDistributions:
    def test_are_what_an_index_takes(self, built):
        run(sys.executable, "-m", "twine", "check", "--strict", *map(str, built), cwd=built[0].parent)

    def test_wheel_is_the_package(self, built):
        """Every source of it, and nothing else."""
        with zipfile.ZipFile(built[0]) as wheel:
            found = {name for name in wheel.namelist() if ".dist-info/" not in name}
        folders = {"/".join(package.split(".")) for package in PACKAGES}
        paths = [PurePosixPath("weft", name) for name in tree() if name != "setup.py"]
        inside = {str(path) for path in paths if path.suffix in SOURCES and str(path.parent) in folders}
        assert found == {*inside, "weft/py.typed"}

    def test_wheel_works(self, built, tmp_path):
        with zipfile.ZipFile(built[0]) as wheel:
            wheel.extractall(tmp_path)
        code = "import weft; weft.layers, weft.training; print(weft.__file__, weft.devices())"
        assert run(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=str(tmp_path)).startswith(str(tmp_path))

    def test_description_needs_no_other_file(self, built):
        with zipfile.ZipFile(built[0]) as wheel:
            (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
            text = wheel.read(name).decode()
        assert "\n# weft\n" in text
        assert "bench/results/STATUS.md says" in text  # a link to a file is its name
        assert not LINK.findall(text)

    def test_sdist_is_the_repository(self, built):
        with tarfile.open(built[1]) as sdist:
            names = {m.name.partition("/")[2] for m in sdist.getmembers() if m.isfile()}
        made = {name for name in names if name.startswith("weft.egg-info/")} | {"PKG-INFO", "setup.cfg"}
        assert names - made == set(tree()) - made

    def test_sdist_starts_its_tests(self, built, tmp_path):
        with tarfile.open(built[1]) as sdist:
            sdist.extractall(tmp_path, filter="data")
        (folder,) = tmp_path.iterdir()
        assert " passed" in start_tests(folder, tmp_path / "site")
