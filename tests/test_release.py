"""What `make release` refuses, and that two builds come out with the same bytes."""

import importlib.util
import io
import re
import tarfile
from pathlib import Path

import pytest

import weft

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def release():
    spec = importlib.util.spec_from_file_location("release", ROOT / ".ci" / "release.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_files_say_one_version(release):
    assert set(release.stated().values()) == {weft.__version__}
    assert release.version_of(f"v{weft.__version__}") == weft.__version__


@pytest.mark.parametrize("tag", ["", "0.1.0", "v1", "v1.0", "version-1.0.0"])
def test_what_is_no_tag(release, tag):
    with pytest.raises(SystemExit, match=rf"must have a tag such as v0\.2\.0, found {tag or 'none'}; git tag"):
        release.version_of(tag)


def test_files_that_disagree(release):
    with pytest.raises(
        SystemExit, match=rf"pyproject.toml must say version 9.0.0, as the tag does, found {weft.__version__}"
    ):
        release.version_of("v9.0.0")


def test_archives_are_settled(release, tmp_path):
    for k, names in enumerate((("a", "b"), ("b", "a"))):
        with tarfile.open(tmp_path / f"{k}.tar.gz", "w:gz") as tar:
            for name in names:
                member = tarfile.TarInfo(name)
                member.size, member.mtime, member.uname = 1, 1000 * k, f"user{k}"
                tar.addfile(member, io.BytesIO(name.encode()))
        release.settle(tmp_path / f"{k}.tar.gz", 1_700_000_000)
    assert (tmp_path / "0.tar.gz").read_bytes() == (tmp_path / "1.tar.gz").read_bytes()
    with tarfile.open(tmp_path / "0.tar.gz") as tar:
        assert [(m.name, m.mtime, m.uname) for m in tar] == [("a", 1_700_000_000, ""), ("b", 1_700_000_000, "")]


def test_a_failing_command_is_told(release):
    with pytest.raises(SystemExit, match="git no-such-command failed"):
        release.output("git", "no-such-command")


@pytest.mark.slow
def test_two_builds_have_the_same_bytes(release, tmp_path):
    for tool in ("build", "setuptools"):
        pytest.importorskip(tool, reason="needs the extra `release`")
    if not (ROOT / ".git").exists():
        pytest.skip("builds what a commit holds")
    epoch = release.output("git", "log", "-1", "--format=%ct")
    digests = []
    for name in "ab":
        (tmp_path / name).mkdir()
        digests.append(release.digests(release.build("HEAD", epoch, tmp_path / name)))
    assert digests[0] == digests[1]
    assert len(digests[0]) == 2
    assert all(re.match(r"weft-\d+\.\d+\.\d+", each) for each in digests[0])
