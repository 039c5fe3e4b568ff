"""Runs a program that imports torch, on weft, in a process of its own."""

import subprocess
import sys
import textwrap

__all__ = ["run"]


def run(tmp_path, program, *args):
    script = tmp_path / "program.py"
    script.write_text(textwrap.dedent(program))
    command = [sys.executable, "-m", "weft.compat.torch", str(script), *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
