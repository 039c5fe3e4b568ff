"""The character GPT of `char_gpt.py` in PyTorch. A program of its own, which needs PyTorch and NumPy alone, not weft.

    python char_gpt_torch.py FOLDER

It answers on standard output, a line of JSON for each line of its input, see `serve`. FOLDER has `setting.json`,
`train.npy`, `held_out.npy` and the first weights, `weights.npz`, in weft's names.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Setting", "read_setting", "serve"]

Setting = dict[str, Any]
Train = Callable[
    [np.ndarray, np.ndarray, float], float
]  # one update on (N, L) tokens and targets at this rate: the loss
Evaluate = Callable[[np.ndarray, np.ndarray], float]


def read_setting(folder: Path) -> Setting:
    """What both sides are told."""
    return json.loads((folder / "setting.json").read_text(encoding="utf-8"))


def serve(folder: Path, setting: Setting, train: Train, evaluate: Evaluate) -> None:
    """A number of iterations on each line of standard input: trains as many, and says how long that took; then the
    validation loss for the line "end". Both sides draw the same blocks.
    """
    tokens, held_out = (np.load(folder / f"{name}.npy") for name in ("train", "held_out"))
    length, batch, step = setting["context"], setting["batch_size"], 0
    rng, places = np.random.default_rng(setting["seed"]), np.arange(length + 1)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        if line.strip() == "end":
            break
        drawn = [tokens[rng.integers(0, len(tokens) - length, batch)[:, None] + places] for _ in range(int(line))]
        began, losses = time.perf_counter(), []
        for block in drawn:
            losses.append(train(block[:, :-1], block[:, 1:], setting["rates"][step]))
            step += 1
        print(json.dumps({"seconds": time.perf_counter() - began, "loss": float(np.mean(losses))}), flush=True)
    else:  # whoever asked is gone
        return
    count = (len(held_out) - 1) // length
    blocks = held_out[np.arange(count)[:, None] * length + places]
    parts = np.array_split(blocks, max(1, count // 64))
    losses = [len(part) * evaluate(part[:, :-1], part[:, 1:]) for part in parts]
    print(json.dumps({"validation_loss": sum(losses) / count}), flush=True)


def _gpt(torch: Any, setting: Setting) -> Any:
    """Pre-norm blocks without biases, as `nn.TransformerEncoderLayer` has them, with one product for q, k and v."""
    nn, F = torch.nn, torch.nn.functional
    width, heads = setting["width"], setting["heads"]

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.c_attn = nn.Linear(width, 3 * width, bias=False)
            self.c_proj = nn.Linear(width, width, bias=False)

        def forward(self, x: Any) -> Any:
            n, length, _ = x.shape
            q, k, v = (part.view(n, length, heads, -1).transpose(1, 2) for part in self.c_attn(x).split(width, dim=2))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.c_proj(y.transpose(1, 2).reshape(n, length, width))

    class MLP(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.c_fc = nn.Linear(width, 4 * width, bias=False)
            self.c_proj = nn.Linear(4 * width, width, bias=False)

        def forward(self, x: Any) -> Any:
            return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ln_1, self.attn = nn.LayerNorm(width, bias=False), Attention()
            self.ln_2, self.mlp = nn.LayerNorm(width, bias=False), MLP()

        def forward(self, x: Any) -> Any:
            x = x + self.attn(self.ln_1(x))
            return x + self.mlp(self.ln_2(x))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wte, self.wpe = nn.Embedding(setting["vocab_size"], width), nn.Embedding(setting["context"], width)
            self.h = nn.ModuleList(Block() for _ in range(setting["layers"]))
            self.ln_f = nn.LayerNorm(width, bias=False)

        def forward(self, tokens: Any, targets: Any) -> Any:
            x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1]))
            for block in self.h:
                x = block(x)
            logits = F.linear(self.ln_f(x), self.wte.weight)
            return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    return GPT()


def _functions(torch: Any, folder: Path, setting: Setting) -> tuple[Train, Evaluate]:
    torch.set_num_threads(setting["threads"])
    model = _gpt(torch, setting)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in np.load(folder / "weights.npz").items()})
    groups = [
        {"params": [p for p in model.parameters() if (p.ndim > 1) == decays], "weight_decay": share}
        for decays, share in ((True, setting["weight_decay"]), (False, 0.0))
    ]
    optimizer = torch.optim.AdamW(groups, lr=setting["lr"], betas=(0.9, 0.99), fused=True)

    def train(x: np.ndarray, y: np.ndarray, lr: float) -> float:
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.zero_grad()
        loss = model(torch.tensor(x), torch.tensor(y))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), setting["clip_grad_norm"])
        optimizer.step()
        return loss.item()

    @torch.no_grad()
    def evaluate(x: np.ndarray, y: np.ndarray) -> float:
        return model(torch.tensor(x), torch.tensor(y)).item()

    return train, evaluate


if __name__ == "__main__":
    place = Path(sys.argv[1])
    told = read_setting(place)
    serve(place, told, *_functions(importlib.import_module("torch"), place, told))
