"""Files that lie: thousands of mutations over all readers, half of them with their checksums mended; and what is no file.

Whatever it is, a reader gives its data or one error of weft that names it, and takes no more memory than is bounded.
"""

import importlib.util
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from forged import KINDS, forgery

from weft.data import DataError, load, load_cifar, load_images, load_mnist, load_npz, load_table, read_idx
from weft.data.pickles import read_pickle
from weft.training import CheckpointError, load_checkpoint, load_model

MIB = 1 << 20


def peak():
    """The most memory that this process has held, since the last call where the system can tell; in bytes."""
    try:
        text = Path("/proc/self/status").read_text()
        Path("/proc/self/clear_refs").write_text("5")
        return int(text.partition("VmHWM:")[2].split()[0]) * 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def campaign(folder, count, seed=0):
    """Reads `count` forged files; returns how many were read, refused, the slowest in seconds, the greatest in bytes."""
    rng = np.random.default_rng(seed)
    kinds = []
    for make in KINDS:
        kind = make(rng)
        kind.path = folder / make.__name__ / kind.name
        kind.path.parent.mkdir()
        kind.path.write_bytes(kind.whole(kind.parts()))
        kind.data = kind.read(kind.path)
        kinds.append(kind)
    read, refused, slowest, greatest = 0, 0, 0.0, 0
    for i in range(count):
        kind, mend = kinds[i % len(kinds)], i // len(kinds) % 2 == 0
        kind.path.write_bytes(forgery(kind, rng, mend))
        peak()
        before, start = peak(), time.perf_counter()
        try:
            found = kind.read(kind.path)
        except (DataError, CheckpointError) as error:
            assert str(kind.path) in str(error) and "\n" not in str(error), (i, error)  # noqa: PT017, PT018
            refused += 1
        except Exception as error:
            raise AssertionError(f"{type(kind).__name__} {i} {kind.path}") from error
        else:
            read += 1
            if kind.checked and not mend:
                assert all(map(np.array_equal, found, kind.data)), (i, kind.path)
        slowest = max(slowest, time.perf_counter() - start)
        greatest = max(greatest, peak() - before - kind.path.stat().st_size)
        assert greatest < 512 * MIB, (i, kind.path)
    return read, refused, slowest, greatest


@pytest.mark.parametrize("count", [900, pytest.param(20_000, marks=pytest.mark.slow)])
def test_forged_files(tmp_path, count):
    read, refused, slowest, greatest = campaign(tmp_path, count)
    print(
        f"\n{count} files: {read} read, {refused} refused, slowest {slowest:.2f} s, greatest {greatest / MIB:.0f} MiB"
    )
    assert read + refused == count


# --- what is no file ----------------------------------------------------------------------------------------------------
READERS = [read_idx, load_mnist, load_cifar, load_npz, load, load_images, load_checkpoint, load_model, read_pickle]
READERS += [load_table] if importlib.util.find_spec("pyarrow") else []


@pytest.mark.parametrize("read", READERS)
def test_what_is_no_file(tmp_path, read):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "circle").symlink_to("circle")
    paths = [tmp_path / "fifo", tmp_path, "a\0b", tmp_path / ("x" * 300), tmp_path / "circle", tmp_path / "file" / "x",
             tmp_path / "two\nlines", "/dev/zero", ""]  # fmt: skip
    for path in paths:
        with pytest.raises((DataError, CheckpointError)) as caught:
            read(path)
        assert "\n" not in str(caught.value)
        assert "\0" not in str(caught.value)
        assert ascii(Path(path).name)[1:-1] in str(caught.value)


def test_unknown_home_folder():
    with pytest.raises(DataError, match=r"^`~nobody_such/x`: expected a path, found a home folder that is not known"):
        load("~nobody_such/x")


AS_NOBODY = """
import os, sys
from weft.data import load, load_cifar, load_images, load_mnist, load_npz, read_idx
from weft.data.pickles import read_pickle
from weft.training import load_checkpoint, load_model
if os.getuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
for read in (read_idx, load_mnist, load_cifar, load_npz, load, load_images, load_checkpoint, load_model, read_pickle):
    for path in sys.argv[1:]:
        try:
            read(path)
        except ValueError as error:
            assert type(error).__name__ in ("DataError", "CheckpointError"), repr(error)
            assert path in str(error) and len(str(error).splitlines()) == 1, (read, path, error)
            print(error)
"""


def test_without_permission():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        closed, shut = Path(folder, "closed"), Path(folder, "shut")
        closed.write_bytes(b"x")
        shut.mkdir()
        (shut / "file").write_bytes(b"x")
        for path in (closed, shut):
            path.chmod(0)
        try:
            done = subprocess.run(
                [sys.executable, "-c", AS_NOBODY, str(closed), str(shut), str(shut / "file")],
                capture_output=True,
                text=True,
            )
        finally:
            shut.chmod(0o755)
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == 27
        assert done.stdout.count("Permission denied") >= 20
