"""Files that one process has at a time."""

import errno
import os
import subprocess
import sys

import pytest

from weft.data import locking
from weft.data.locking import open_locked


class TestLocking:
    def test_one_at_a_time(self, tmp_path):
        path = tmp_path / "lock"
        with open_locked(path) as file:
            file.write(b"mine")
            assert open_locked(path) is None
        with open_locked(path) as file:
            assert file.read() == b"mine"

    def test_of_a_process_that_was_killed(self, tmp_path):
        code = (
            "import os, signal, sys; from pathlib import Path; from weft.data.locking import open_locked\n"
            "file = open_locked(Path(sys.argv[1])); os.kill(os.getpid(), signal.SIGKILL)"
        )
        assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")], check=False).returncode < 0
        assert (tmp_path / "lock").exists()
        with open_locked(tmp_path / "lock") as file:
            assert file is not None

    def test_removed_while_it_was_waited_for(self, tmp_path, monkeypatch):
        """The file that was opened is no longer the one of that name."""
        path, lock, calls = tmp_path / "lock", locking._lock, []

        def removing(descriptor):
            if not calls:
                path.unlink()
            calls.append(descriptor)
            lock(descriptor)

        monkeypatch.setattr(locking, "_lock", removing)
        with open_locked(path):
            assert len(calls) == 2
            assert path.exists()

    def test_file_system_without_locks(self, tmp_path, monkeypatch):
        def refuse(_):
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        monkeypatch.setattr(locking, "_lock", refuse)
        with open_locked(tmp_path / "lock") as file:
            file.write(b"x")

    def test_missing(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            open_locked(tmp_path / "lock", make=False)

    def test_only_regular_files(self, tmp_path):
        """What is locked is signed: it must not be written into something else."""
        os.mkfifo(tmp_path / "fifo")
        (tmp_path / "file").write_bytes(b"mine")
        (tmp_path / "link").symlink_to("file")
        for name in ("fifo", "link"):
            with pytest.raises(OSError):
                open_locked(tmp_path / name)
