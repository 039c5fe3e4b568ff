"""What PyTorch's front costs: one training step of a small MLP in weft's own names, through `weft.compat.torch`, and by PyTorch.

    python -m weft.bench.torch_front [--torch PYTHON] [--rounds N]

PYTHON is an interpreter that has PyTorch. Each of the three runs in processes of its own, in turn; a figure is the median over the
rounds of the least CPU time that a step takes there, on one thread.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["main"]

STEP = """
import time
{imports}
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(20, 32), nn.Linear(32, 4)
    def forward(self, x):
        return self.fc2(F.relu(self.fc1(x)))
{lib}.manual_seed(0)
net = Net()
optimizer = optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
x, y = {lib}.randn(16, 20), {lib}.randint({bounds}, (16,))
def step():
    optimizer.zero_grad()
    loss = F.cross_entropy(net(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()
for _ in range(200):
    step()
best = 1e9
for _ in range(20):
    start = time.process_time()
    for _ in range(100):
        step()
    best = min(best, (time.process_time() - start) / 100)
print(best * 1e6)
"""
OWN = {
    "imports": "import weft\nfrom weft import layers as nn, optimizers as optim\nF = nn.functional",
    "lib": "weft", "bounds": "0, 4",
}  # fmt: skip
TORCH = {
    "imports": "import torch, torch.nn as nn, torch.nn.functional as F, torch.optim as optim", "lib": "torch", "bounds": "0, 4",
}  # fmt: skip


def _measured(command: list[str]) -> float:
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return float(done.stdout)


def main(arguments: list[str] | None = None) -> int:
    """Print microseconds per step.

    Parameters
    ----------
    arguments : list of str, optional
        Of the command line.

    Returns
    -------
    int
        0.
    """
    parser = argparse.ArgumentParser(prog="python -m weft.bench.torch_front", description=__doc__.partition("\n")[0])
    parser.add_argument("--torch", metavar="PYTHON", help="an interpreter that has PyTorch")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        own, program = Path(folder, "own.py"), Path(folder, "program.py")
        own.write_text(STEP.format(**OWN))
        program.write_text(STEP.format(**TORCH))
        commands = {
            "weft": [sys.executable, str(own)],
            "weft.compat.torch": [sys.executable, "-m", "weft.compat.torch", str(program)],
        }
        if given.torch:
            commands["PyTorch"] = [given.torch, str(program)]
        found: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(given.rounds):
            for name, command in commands.items():
                found[name].append(_measured(command))
    base = statistics.median(found["weft"])
    for name, times in found.items():
        print(f"{name:18} {statistics.median(times):7.1f} µs per step, {statistics.median(times) / base:.2f} of weft's")
    return 0


if __name__ == "__main__":
    sys.exit(main())
