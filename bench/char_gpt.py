"""`python -m weft.bench.char_gpt`: nanoGPT's CPU training of a character GPT in weft and in PyTorch, side by side.

    python -m weft.bench.char_gpt --data datasets/tinyshakespeare --torch /path/to/python/with/torch
    taskset -c 1 python -m weft.bench.char_gpt --data … --torch … --chunks 5 --chunk 40 --threads 1

Each in a process of its own, from the same weights on the same blocks with the same rule, by turns: one trains a chunk of
iterations while the other waits for its input, so that neither takes the other's cores and both meet the machine's noise.
Block 64, batch 12, 4 layers, 4 heads, width 128, no dropout, 2,000 iterations. PyTorch's side is `char_gpt_torch.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..backend.array import random
from ..backend.array.creation import asarray
from ..backend.device.parallel import set_num_threads
from ..backend.modes.capture import capture
from ..backend.tape.autograd import no_grad
from ..backend.tape.tensor import Tensor
from ..layers import models
from ..optimizers import AdamW, decay_groups
from ..optimizers.clipping import clip_grad_norm_
from ..training.text import TextRecipe, load_text, share_of_lr
from . import char_gpt_torch
from .char_gpt_torch import Evaluate, Setting, Train, read_setting, serve

__all__ = ["main"]


def _model(setting: Setting) -> models.GPT2:
    random.manual_seed(setting["seed"])
    sizes = {name: setting[name] for name in ("vocab_size", "context", "width", "layers", "heads")}
    return models.gpt2(bias=False, **sizes)


def _functions(setting: Setting) -> tuple[Train, Evaluate]:
    set_num_threads(setting["threads"])
    model = _model(setting)
    optimizer = AdamW(decay_groups(model.parameters(), setting["weight_decay"]), lr=setting["lr"], betas=(0.9, 0.99))
    parameters = list(model.parameters())

    @capture  # as `weft train` does
    def step(x: Tensor, y: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss = model.loss(x, y)
        loss.backward()
        clip_grad_norm_(parameters, setting["clip_grad_norm"])
        optimizer.step()
        return loss

    def train(x: np.ndarray, y: np.ndarray, lr: float) -> float:
        for group in optimizer.param_groups:
            group["lr"] = lr
        return step(asarray(x), asarray(y)).item()

    def evaluate(x: np.ndarray, y: np.ndarray) -> float:
        with no_grad():
            return model.loss(asarray(x), asarray(y)).item()

    return train, evaluate


def _prepare(folder: Path, data: str, iterations: int, threads: int) -> None:
    """What both sides read."""
    tokens, tokenizer = load_text(data)
    recipe = TextRecipe(data=data, iterations=iterations)
    cut = round(len(tokens) * (1 - recipe.validation))
    rates = [recipe.lr * share_of_lr(recipe.warmup, iterations, step) for step in range(iterations)]
    setting = {**recipe.to_json(), "threads": threads, "vocab_size": tokenizer.vocab_size, "rates": rates}
    (folder / "setting.json").write_text(json.dumps(setting), encoding="utf-8")
    np.save(folder / "train.npy", np.asarray(tokens[:cut], np.int64))
    np.save(folder / "held_out.npy", np.asarray(tokens[cut:], np.int64))
    np.savez(folder / "weights.npz", **{n: t.detach().numpy() for n, t in _model(setting).state_dict().items()})


class _Side:
    """A process that trains when it is asked to."""

    def __init__(self, name: str, command: list[str], stack: ExitStack):
        self.name, self.seconds = name, 0.0
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin is not None
        assert process.stdout is not None
        self.input: IO[str] = process.stdin
        self.output: IO[str] = process.stdout
        stack.enter_context(process)
        stack.callback(process.kill)
        self.answer()

    def ask(self, what: object) -> Any:
        print(what, file=self.input, flush=True)
        return self.answer()

    def answer(self) -> Any:
        line = self.output.readline()
        if not line:
            raise SystemExit(f"{self.name}: its process has ended; its message stands above")
        return json.loads(line)


def _compare(data: str, torch: str | None, chunks: int, chunk: int, threads: int) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _prepare(folder, data, chunks * chunk, threads)
        sides = [_Side("weft", [sys.executable, "-m", "weft.bench.char_gpt", "--serve", str(folder)], stack)]
        if torch is not None:
            sides.append(_Side("PyTorch", [torch, char_gpt_torch.__file__, str(folder)], stack))
        ratios = []
        for i in range(chunks):
            found = [side.ask(chunk) for side in (sides if i % 2 == 0 else sides[::-1])]
            found = found if i % 2 == 0 else found[::-1]
            for side, answer in zip(sides, found):
                side.seconds += answer["seconds"]
            ratios.append(found[-1]["seconds"] / found[0]["seconds"])
            times = "   ".join(
                f"{s.name} {1e3 * a['seconds'] / chunk:.1f} ms, loss {a['loss']:.3f}" for s, a in zip(sides, found)
            )
            print(f"{(i + 1) * chunk:6} iterations   {times}", flush=True)
        for side in sides:
            loss = side.ask("end")["validation_loss"]
            print(f"{side.name:8} {side.seconds:.1f} s, validation loss {loss:.4f}")
        if torch is not None:
            print(f"PyTorch's time over weft's: {statistics.median(ratios):.2f}, the median of {chunks} chunks")


def main(argv: Sequence[str] | None = None) -> int:
    """Compare; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m weft.bench.char_gpt", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", help="a text, as weft train --task text takes it")
    parser.add_argument("--torch", metavar="PYTHON", help="an interpreter that has PyTorch; without it, weft alone")
    parser.add_argument("--chunks", type=int, default=20, metavar="N", help="turns (20)")
    parser.add_argument("--chunk", type=int, default=100, metavar="N", help="iterations in each (100)")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count() or 1, metavar="N", help="of each side (all cores)"
    )
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.serve is not None:
        setting = read_setting(Path(given.serve))
        serve(Path(given.serve), setting, *_functions(setting))
        return 0
    if given.data is None or min(given.chunks, given.chunk, given.threads) < 1:
        parser.error("--data must name a text, and --chunks, --chunk and --threads must be at least 1")
    _compare(given.data, given.torch, given.chunks, given.chunk, given.threads)
    return 0


if __name__ == "__main__":
    sys.exit(main())
