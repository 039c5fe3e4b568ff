"""`weft info --check`: whether what is installed works, in less than a minute."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ... import layers as nn
from ... import optimizers as optim
from ...backend.array.creation import asarray
from ...backend.array.random import Generator, randn
from ...backend.device.devices import DeviceError, devices
from ...backend.modes.capture import capture
from ..checkpoint import load_checkpoint, save_checkpoint
from ..output import say

__all__ = ["CHECKS", "Missing", "check"]

EXTRAS = {"train": "rich matplotlib sklearn PIL", "tables": "pyarrow", "text": "tokenizers", "onnx": "onnx"}
MARKS = {"ok": ("✓", "32"), "missing": ("–", "33"), "failed": ("✗", "31")}


class Missing(Exception):
    """What a check needs is not installed, or not there, which is no failure."""


def check(checks: dict[str, Callable[[], str]] | None = None) -> int:
    """Run the checks, a line for each: a green tick, what is missing, or what failed.

    Parameters
    ----------
    checks : dict of str to function, optional
        Each returns what it found, or raises `Missing`, or anything else where it failed. By default `CHECKS`.

    Returns
    -------
    int
        1 if a check failed, else 0; what is missing is no failure.

    Examples
    --------
    >>> check({"numbers": lambda: "1 + 1 = 2"})
    ✓ numbers            1 + 1 = 2 ...
    works: numbers
    0
    """
    found: dict[str, list[str]] = {kind: [] for kind in MARKS}
    in_colour = sys.stdout is not None and sys.stdout.isatty()
    for name, run in (CHECKS if checks is None else checks).items():
        started = time.perf_counter()
        try:
            kind, text = "ok", run()
        except Missing as error:
            kind, text = "missing", str(error)
        except Exception as error:
            kind, text = "failed", f"{type(error).__name__}: {' '.join(str(error).split())}"
        found[kind].append(name)
        mark, colour = MARKS[kind]
        mark = f"\033[{colour}m{mark}\033[0m" if in_colour else mark
        say(f"{mark} {name:18} {text} ({time.perf_counter() - started:.1f} s)")
    verbs = {"ok": "works", "missing": "not there", "failed": "FAILED"}
    say("; ".join(f"{verbs[kind]}: {', '.join(names)}" for kind, names in found.items() if names))
    return int(bool(found["failed"]))


def _step(device: str) -> list[np.ndarray]:
    """The loss and the gradients of a small network of several kernels, the same numbers on every device."""
    generator = Generator(0)
    x = randn(8, 1, 8, 8, generator=generator).to(device)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.LayerNorm(64), nn.Linear(64, 3)
    )
    for parameter in model.parameters():
        parameter.data[...] = randn(*parameter.shape, generator=generator).numpy() / 8
    model = model.to(device)
    loss = nn.CrossEntropyLoss()(model(x), asarray(np.arange(8) % 3, device=device))
    loss.backward()
    gradients = [p.grad for p in model.parameters()]
    return [t.detach().cpu().numpy() for t in (loss, *gradients) if t is not None]


def _arithmetic() -> str:
    """The gradient of softmax cross-entropy of a dense layer, (softmax − one-hot) xᵀ, against NumPy."""
    rng = np.random.default_rng(0)
    x, w, y = rng.standard_normal((16, 5)), rng.standard_normal((3, 5)), np.arange(16) % 3
    weight = asarray(w).requires_grad_()
    nn.CrossEntropyLoss()(nn.functional.linear(asarray(x), weight), asarray(y)).backward()
    p = np.exp(x @ w.T)
    expected = ((p / p.sum(1, keepdims=True)) - np.eye(3)[y]).T @ x / 16
    assert weight.grad is not None
    error = float(np.abs(weight.grad.numpy() - expected).max())
    if error > 1e-12:
        raise ArithmeticError(f"a gradient differs from NumPy's by {error:.1e}")
    return f"gradients agree with NumPy, to {error:.0e}"


def _random() -> str:
    found = randn(4, generator=Generator(7)).numpy()
    if not np.array_equal(found, randn(4, generator=Generator(7)).numpy()):
        raise ArithmeticError("the same seed gave other numbers")
    return "the same seed, the same bits"


def _training() -> str:
    x = asarray(np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32))
    y = asarray(np.array([[0], [1], [1], [0]], np.float32))
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
    loss, optimizer = nn.BCEWithLogitsLoss(), optim.Adam(model.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
    if value.item() > 0.1:
        raise ArithmeticError(f"a network did not learn XOR: its loss is {value.item():.2f}")
    return f"XOR is learnt, loss {value.item():.4f}"


def _checkpoint() -> str:
    model = nn.Linear(3, 2)
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder) / "a.safetensors", {"model": model.state_dict()})
        saved = load_checkpoint(Path(folder) / "a.safetensors")["model"]["weight"]
    if not np.array_equal(np.asarray(saved), model.weight.detach().numpy()):
        raise ArithmeticError("a checkpoint came back with other weights")
    return "written and read again"


def _extras() -> str:
    there = {name: all(map(importlib.util.find_spec, modules.split())) for name, modules in EXTRAS.items()}
    if not all(there.values()):
        absent = ",".join(name for name, is_there in there.items() if not is_there)
        raise Missing(f'pip install "weft[{absent}]" for more')
    return ", ".join(there)


def _on(device: str) -> str:
    if device not in devices():
        needs = {"emulator": "needs a C++ compiler (g++ or clang++) on Linux", "cuda": 'no GPU, or no "weft[cuda]"'}
        raise Missing(needs[device])
    try:
        found = _step(device)
    except DeviceError as error:
        raise Missing(" ".join(str(error).split())) from error
    worst = max(float(np.abs(a - b).max()) for a, b in zip(found, _step("cpu")))
    if worst > 1e-4:
        raise ArithmeticError(f"its kernels differ from NumPy by {worst:.1e}")
    return f"its kernels agree with NumPy, to {worst:.0e}"


def _captured() -> str:
    device = next((name for name in ("cuda", "emulator") if name in devices()), None)
    if device is None:
        raise Missing("needs a GPU or the emulator")
    model = nn.Linear(4, 1).to(device)
    optimizer, x = optim.SGD(model.parameters(), lr=0.1), randn(8, 4).to(device)

    @capture
    def step(x):  # type: ignore[no-untyped-def]
        optimizer.zero_grad()
        value = nn.functional.mse_loss(model(x), x[:, :1])
        value.backward()
        optimizer.step()
        return value

    losses = [step(x).item() for _ in range(8)]
    if losses[-1] >= losses[0]:
        raise ArithmeticError(f"a replayed step did not learn: {losses[0]:.3f} became {losses[-1]:.3f}")
    return f"a training step is recorded and replayed on {device}"


CHECKS: dict[str, Callable[[], str]] = {
    "arithmetic": _arithmetic,
    "random numbers": _random,
    "training": _training,
    "checkpoints": _checkpoint,
    "extras": _extras,
    "emulator": lambda: _on("emulator"),
    "GPU": lambda: _on("cuda"),
    "captured steps": _captured,
}
