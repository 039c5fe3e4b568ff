"""Files that are written piece by piece and replaced as a whole; test_atomic.py has those that are written in one piece."""

import errno
import os
import subprocess
import sys

import pytest

from weft.data import DataError, TokenFile, write_tokens
from weft.data.writing import Replacement


def names(folder):
    return sorted(path.name for path in folder.iterdir())


class TestReplacement:
    def test_several_at_a_time(self, tmp_path):
        """Each has a file of its own; the last to be put in place stands."""
        with Replacement(tmp_path / "a") as first, Replacement(tmp_path / "a") as second:
            first.file.write(b"first")
            second.file.write(b"second")
            second.commit()
            assert (tmp_path / "a").read_bytes() == b"second"
            first.file.write(b" still")
            first.commit()
        assert names(tmp_path) == ["a"]
        assert (tmp_path / "a").read_bytes() == b"first still"

    def test_without_commit(self, tmp_path):
        (tmp_path / "a").write_bytes(b"old")
        with Replacement(tmp_path / "a") as new:
            new.file.write(b"new")
            assert len(names(tmp_path)) == 2
        assert names(tmp_path) == ["a"]
        assert (tmp_path / "a").read_bytes() == b"old"
        with pytest.raises(KeyboardInterrupt), Replacement(tmp_path / "new/b"):
            raise KeyboardInterrupt
        assert not names(tmp_path / "new")

    def test_a_folder_that_cannot_be_forced_to_the_disk(self, tmp_path, monkeypatch):
        """The file stands all the same, and nothing beside it."""
        fsync = os.fsync

        def refusing(descriptor):
            if os.path.isdir(f"/proc/self/fd/{descriptor}"):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", refusing)
        with pytest.raises(OSError, match="Input/output error"), Replacement(tmp_path / "a") as new:
            new.commit()
        assert names(tmp_path) == ["a"]


class TestTokens:
    def test_two_writers_of_one_file(self, tmp_path):
        def slow():
            yield [1] * 5000
            write_tokens(tmp_path / "a", [[2]], 3)
            assert TokenFile(tmp_path / "a").array.tolist() == [2]
            yield [1]

        write_tokens(tmp_path / "a", slow(), 3)
        assert TokenFile(tmp_path / "a").array.tolist() == [1] * 5001
        assert names(tmp_path) == ["a"]

    def test_killed(self, tmp_path):
        """What was there is intact, and the next writer removes what was left, but not what another is writing."""
        write_tokens(tmp_path / "a", [[1, 2]], 3)
        code = (
            "import os, signal, sys; from weft.data import write_tokens\n"
            "kill = lambda: os.kill(os.getpid(), signal.SIGKILL)\n"
            "write_tokens(sys.argv[1], ([0] * 10**5 if i < 9 else kill() for i in range(10)), 3)"
        )
        assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], check=False).returncode < 0
        assert TokenFile(tmp_path / "a").array.tolist() == [1, 2]
        assert len(names(tmp_path)) == 2
        with Replacement(tmp_path / "b"):
            write_tokens(tmp_path / "a", [[1]], 3)
            assert len(names(tmp_path)) == 2
        assert names(tmp_path) == ["a"]

    def test_is_on_the_disk_before_it_has_its_name(self, tmp_path, monkeypatch):
        events, fsync, replace = [], os.fsync, os.replace
        monkeypatch.setattr(os, "fsync", lambda d: (events.append(os.path.realpath(f"/proc/self/fd/{d}")), fsync(d)))
        monkeypatch.setattr(os, "replace", lambda a, b: (events.append("renamed"), replace(a, b)))
        write_tokens(tmp_path / "x" / "a", [[1]], 3)
        made, file, renamed, last = events
        assert (made, renamed, last) == (str(tmp_path), "renamed", str(tmp_path / "x"))
        assert file.endswith(".tmp")

    @pytest.mark.parametrize("function", ["fsync", "replace"])
    def test_full_disks(self, tmp_path, monkeypatch, function):
        write_tokens(tmp_path / "a", [[1, 2]], 3)

        def full(*_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, function, full)
        message = "a`: expected a file that can be written, found No space left on device; choose another path"
        with pytest.raises(DataError, match=message):
            write_tokens(tmp_path / "a", [[1]], 3)
        assert TokenFile(tmp_path / "a").array.tolist() == [1, 2]
        assert names(tmp_path) == ["a"]

    def test_errors_of_who_gives_the_tokens_are_their_own(self, tmp_path):
        def broken():
            yield [1]
            raise OSError("the source is gone")

        with pytest.raises(OSError, match=r"^the source is gone$"):
            write_tokens(tmp_path / "a", broken(), 3)
        assert not names(tmp_path)
