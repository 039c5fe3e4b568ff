"""The tests that are chosen for a GPU launch what all of them do."""

import json
import subprocess
import sys
from pathlib import Path

import one_per_kernel
import pytest

import weft

TESTS = Path(__file__).parent


def test_cover():
    launched = {"a": ["f", "g"], "b": ["f"], "c": ["g", "h", "i"], "d": ["h"], "e": []}
    assert one_per_kernel.cover(launched) == ["c", "a"]
    assert one_per_kernel.cover({"e": []}) == []


@pytest.mark.parametrize(
    ("nodeid", "name"),
    [
        ("tests/kernels/test_x.py::test_y[float32-3]", "kernels/test_x.py::test_y[float32-3]"),
        ("tests/kernels/test_x.py::test_y[cuda-float32-3]", "kernels/test_x.py::test_y[float32-3]"),
        ("tests/kernels/test_x.py::TestZ::test_y[emulator]", "kernels/test_x.py::TestZ::test_y[]"),
        ("tests/kernels/test_x.py::test_y", "kernels/test_x.py::test_y[]"),
    ],
)
def test_names(nodeid, name):
    assert one_per_kernel.plain(nodeid) == name


@pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")
def test_written_and_read(tmp_path):
    """Of the tests of one family, those chosen launch all its instantiations, and only they run."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "one_per_kernel",
        "-p",
        "no:cacheprovider",
        "kernels/test_indices.py",
    ]
    for option in ("--write-cover", "--read-cover"):
        done = subprocess.run([*command, option, str(tmp_path / "cover")], cwd=TESTS, capture_output=True, text=True)
        assert not done.returncode, done.stdout
    chosen = json.loads((tmp_path / "cover").read_text())
    assert {kernel for kernels in chosen.values() for kernel in kernels} == set(expressions_of("indices.cu"))
    assert f"{len(chosen)} passed" in done.stdout


def expressions_of(source):
    from weft.kernels.toolchain.compiler import families

    return families()[source][0]
