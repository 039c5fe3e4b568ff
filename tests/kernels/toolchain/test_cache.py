"""What is kept on disk: found again, never believed when it is not exactly what was written."""

import os
import subprocess
import sys

import pytest

from weft.kernels.toolchain import cache

CONTENT, RECORD = bytes(range(256)), {"names": {"f<float>": "_Z1f"}, "messages": "β"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("WEFT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_key_depends_on_every_part():
    parts = ("text", ["a"], ["-option"], [13, 5])
    changed = [
        ("texT", *parts[1:]),
        ("text", ["a", ""], *parts[2:]),
        (*parts[:3], [13, 6]),
        ("text", [], ["a"], [13, 5]),
    ]
    assert len({cache.key(*p) for p in (parts, *changed)}) == 5
    assert cache.key(*parts) == cache.key(*parts)


def test_round_trip(folder):
    assert cache.read("f.cubin") is None
    path = cache.write("f.cubin", CONTENT, RECORD)
    assert path == folder / "f.cubin"
    assert path.read_bytes() == CONTENT
    assert cache.read("f.cubin") == (path, RECORD)
    assert sorted(os.listdir(folder)) == ["f.cubin", "f.cubin.json"]


@pytest.mark.parametrize("name", ["f.cubin", "f.cubin.json"])
@pytest.mark.parametrize("harm", ["missing", "empty", "truncated", "longer", "one bit"])
def test_harmed(folder, name, harm):
    cache.write("f.cubin", CONTENT, RECORD)
    path = folder / name
    before = path.read_bytes()
    if harm == "missing":
        path.unlink()
    else:
        harmed = bytearray(before)
        harmed[len(harmed) // 2] ^= 1
        path.write_bytes({"empty": b"", "truncated": before[:-1], "longer": before + b" ", "one bit": harmed}[harm])
    assert cache.read("f.cubin") is None
    cache.write("f.cubin", CONTENT, RECORD)
    assert path.read_bytes() == before


def test_parts_of_two_entries_make_none(folder):
    """Two processes may write the same name at the same time."""
    cache.write("f.cubin", CONTENT, RECORD)
    kept = (folder / "f.cubin").read_bytes()
    cache.write("f.cubin", CONTENT[::-1], RECORD)
    (folder / "f.cubin").write_bytes(kept)
    assert cache.read("f.cubin") is None


def test_failed_write_leaves_nothing(folder, monkeypatch):
    cache.write("f.cubin", CONTENT, RECORD)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(cache.os, "replace", full)
        patch.setattr(cache, "_temporary", lambda: pytest.fail("reached with the disk full"))
        with pytest.warns(RuntimeWarning, match="No space left on device"), pytest.raises(pytest.fail.Exception):
            cache.write("f.cubin", b"new", RECORD)
    assert cache.read("f.cubin") == (folder / "f.cubin", RECORD)
    assert len(os.listdir(folder)) == 2


def test_folder_that_cannot_be_written(folder):
    folder.write_text("a file")
    with pytest.warns(RuntimeWarning, match=f"cannot be kept in `{folder}` .*set WEFT_CACHE_DIR to a folder"):
        path = cache.write("f.cubin", CONTENT, RECORD)
    assert path.read_bytes() == CONTENT
    assert cache.read("f.cubin") is None


def test_two_processes_at_once(folder):
    """Whoever reads sees a whole entry or none."""
    code = (
        "import sys\nfrom weft.kernels.toolchain import cache\n"
        "for i in range(100):\n"
        "    cache.write('f.cubin', sys.argv[1].encode() * (i + 1), {'who': sys.argv[1], 'times': i + 1})\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, who]) for who in "ab"]
    whole = 0
    while any(w.poll() is None for w in writers):
        if found := cache.read("f.cubin"):
            whole += 1
            assert found[1]["who"] in "ab"
    assert [w.returncode for w in writers] == [0, 0]
    assert whole or cache.read("f.cubin")  # where this process has hardly run meanwhile
    assert sorted(os.listdir(folder)) == ["f.cubin", "f.cubin.json"]


class TestFolder:
    def test_chosen(self, folder, monkeypatch):
        assert cache.folder() == folder
        monkeypatch.setenv("HOME", "/home/me")
        monkeypatch.setenv("WEFT_CACHE_DIR", "~/kernels")
        assert str(cache.folder()) == "/home/me/kernels"

    @pytest.mark.skipif(os.name == "nt", reason="these are POSIX paths")
    @pytest.mark.parametrize(
        ("platform", "variable", "expected"),
        [
            ("linux", None, "/home/me/.cache/weft"),
            ("linux", "XDG_CACHE_HOME", "/elsewhere/weft"),
            ("darwin", None, "/home/me/Library/Caches/weft"),
            ("win32", None, "/home/me/AppData/Local/weft/Cache"),
            ("win32", "LOCALAPPDATA", "/elsewhere/weft/Cache"),
        ],
    )
    def test_of_the_platform(self, monkeypatch, platform, variable, expected):
        for name in ("WEFT_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", "/home/me")
        if variable:
            monkeypatch.setenv(variable, "/elsewhere")
        monkeypatch.setattr(cache.sys, "platform", platform)
        assert str(cache.folder()) == expected
