"""Files that are written as a whole: temporary ones, and what is on the disk when (test_checkpoint.py has full disks)."""

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from weft.data.writing import begin
from weft.training.atomic import WriteError, check_writable, write_atomically


class TestWriteAtomically:
    def test_leftover_of_a_killed_process_is_removed(self, tmp_path):
        """Of another file, too; not what a living one is writing, nor what is another program's."""
        code = (
            "import os, signal, sys; from weft.training.atomic import write_atomically\n"
            "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
            "write_atomically(sys.argv[1], b'cut off')"
        )
        assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], check=False).returncode < 0
        assert [path.suffix for path in tmp_path.iterdir()] == [".tmp"]
        others = {".a.tmp": b"", "b.0123456789ab.tmp": b""}
        for name in others:
            (tmp_path / name).write_bytes(b"")
        living, file = begin(tmp_path / "c")
        with file:
            write_atomically(tmp_path / "b", b"new")
            found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        assert found == {**others, living.name: b"", "b": b"new"}

    def test_threads_at_one_name(self, tmp_path):
        contents = [bytes([i]) * 100_000 for i in range(8)]
        with ThreadPoolExecutor(8) as pool:
            for _ in range(5):
                list(pool.map(lambda content: write_atomically(tmp_path / "a", content), contents))
        assert [p.name for p in tmp_path.iterdir()] == ["a"]
        assert (tmp_path / "a").read_bytes() in contents

    @pytest.mark.parametrize("name", ["n" * 255, "ж" * 127])
    def test_longest_names(self, tmp_path, name):
        write_atomically(tmp_path / name, b"new")
        assert (tmp_path / name).read_bytes() == b"new"

    @pytest.mark.parametrize("name", ["n" * 256, "a\0b", "x/" * 3000])
    def test_names_that_cannot_be(self, tmp_path, name):
        with pytest.raises(WriteError, match=r"could not be written: .*; nothing was left behind"):
            write_atomically(tmp_path / name, b"new")
        assert not list(tmp_path.iterdir())

    def test_all_is_on_the_disk_before_it_returns(self, tmp_path, monkeypatch):
        """The file before its name, the name before the folder's, down to the folders that were made."""
        events, fsync, replace = [], os.fsync, os.replace

        def synced(descriptor):
            events.append(os.path.realpath(f"/proc/self/fd/{descriptor}"))
            fsync(descriptor)

        def replaced(a, b):
            events.append("renamed")
            replace(a, b)

        monkeypatch.setattr(os, "fsync", synced)
        monkeypatch.setattr(os, "replace", replaced)
        write_atomically(tmp_path / "x" / "y" / "a", b"new")
        *folders, file, renamed, last = events
        assert set(folders) == {str(tmp_path), str(tmp_path / "x")}
        assert file.endswith(".tmp")
        assert (renamed, last) == ("renamed", str(tmp_path / "x" / "y"))

    def test_only_a_regular_file_is_replaced(self, tmp_path):
        """A device would go the way of the FIFO."""
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        (tmp_path / "link").symlink_to(fifo)
        (tmp_path / "folder").mkdir()
        for name, what in (("fifo", "a FIFO or a device"), ("link", "a FIFO or a device"), ("folder", "a folder")):
            for write in (lambda path: write_atomically(path, b"new"), check_writable):
                with pytest.raises(
                    WriteError, match=rf"could not be written: it is {what}.*; what was there .* intact"
                ):
                    write(tmp_path / name)
        assert stat.S_ISFIFO(os.lstat(fifo).st_mode)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["fifo", "folder", "link"]

    def test_links_are_followed(self, tmp_path):
        (tmp_path / "there").mkdir()
        (tmp_path / "there" / "a").write_bytes(b"old")
        (tmp_path / "a").symlink_to("there/a")
        (tmp_path / "b").symlink_to(tmp_path / "new" / "b")
        (tmp_path / "round").symlink_to("round")
        for name in ("a", "b"):
            write_atomically(tmp_path / name, b"new")
            assert (tmp_path / name).is_symlink()
        assert (tmp_path / "there" / "a").read_bytes() == (tmp_path / "new" / "b").read_bytes() == b"new"
        with pytest.raises(WriteError, match="could not be written"):
            write_atomically(tmp_path / "round", b"new")
        assert [path.name for path in (tmp_path / "there").iterdir()] == ["a"]

    def test_home_folders(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.chdir(tmp_path)
        write_atomically("~/x/a", b"new")
        assert (tmp_path / "home/x/a").read_bytes() == b"new"
        with pytest.raises(WriteError, match=r"`~nobody_such/a` could not be written: a home folder that is not known"):
            write_atomically("~nobody_such/a", b"new")
        assert [path.name for path in tmp_path.iterdir()] == ["home"]
