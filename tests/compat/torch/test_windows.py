"""Counts, sliding windows and `torch.linalg` in programs, beside independent NumPy."""

import subprocess
import sys
import textwrap

PROGRAM = """
    import numpy as np, torch
    import torch.linalg as LA

    n = np.random.default_rng(0)
    raw, k, w = n.normal(size=(3, 7, 2)), n.integers(0, 5, 20), n.normal(size=20)
    x = torch.tensor(raw, requires_grad=True)
    for dim, axis in ((1, 1), (-2, 1)):
        wanted = np.lib.stride_tricks.sliding_window_view(raw, 3, axis)[:, ::2]
        assert np.array_equal(x.unfold(dim, 3, 2).detach().numpy(), wanted)
    x.unfold(1, 3, 2).sum().backward()  # starts 0, 2, 4: values 2 and 4 lie in two windows
    assert x.grad[0, :, 0].tolist() == [1, 1, 2, 1, 2, 1, 1]
    counts = torch.bincount(torch.tensor(k), minlength=8)
    assert counts.dtype == torch.int64 and counts.tolist() == np.bincount(k, minlength=8).tolist()
    assert np.allclose(torch.tensor(k).bincount(torch.tensor(w)).numpy(), np.bincount(k, w))
    assert abs(LA.det(torch.tensor([[2.0, 1.0], [1.0, 3.0]])).item() - 5) < 1e-5
    for bad in (lambda: torch.bincount(torch.tensor([-1])), lambda: x.unfold(1, 8, 1), lambda: x.unfold(1, 3, 0)):
        try:
            bad()
        except RuntimeError as error:
            assert "must be" in str(error) and "got" in str(error)
        else:
            raise AssertionError
    print("done")
"""


def test_windows_and_counts(tmp_path):
    script = tmp_path / "program.py"
    script.write_text(textwrap.dedent(PROGRAM))
    command = [sys.executable, "-m", "weft.compat.torch", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.stdout == "done\n", done.stderr
