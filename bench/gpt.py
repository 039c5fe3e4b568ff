"""A small GPT as users of PyTorch write it, from the layers of either library: its training step, and generation with a cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["VOCABULARY", "gpt", "products_of_a_pass", "weft_generation", "torch_generation"]

VOCABULARY, CONTEXT, WIDTH, LAYERS, HEADS = 96, 256, 256, 4, 4
PROMPT, NEW = 192, 64  # tokens


def gpt(nn: Any, join: Callable | None = None) -> Any:
    """The model of tokens (N, L), to logits (N·L, vocabulary); `join` puts keys and values behind those of a cache."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
            self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
            self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

        def forward(self, x: Any, past: list | None) -> Any:
            n, length, width = x.shape
            y = self.qkv(self.norm1(x)).reshape(n, length, 3, HEADS, width // HEADS)
            q, k, v = (y[:, :, i].transpose(1, 2) for i in range(3))
            if past is not None and join is not None:
                k, v = past[:] = [join([a, b], 2) for a, b in zip(past, (k, v))] if past else [k, v]
            y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=length > 1)
            x = x + self.out(y.transpose(1, 2).reshape(n, length, width))
            return x + self.mlp(self.norm2(x))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.places = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(CONTEXT, WIDTH)
            self.blocks = nn.ModuleList([Block() for _ in range(LAYERS)])
            self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCABULARY)

        def forward(self, tokens: Any, pasts: list | None = None, seen: int = 0) -> Any:
            x = self.tokens(tokens) + self.places.weight[seen : seen + tokens.shape[1]]
            for i, block in enumerate(self.blocks):
                x = block(x, None if pasts is None else pasts[i])
            return self.head(self.norm(x)).reshape(-1, VOCABULARY)

    return GPT()


def products_of_a_pass(rows: int) -> list[tuple[int, int, int, int]]:
    """Of rows of features with the weights, from the first layer to the logits."""
    shapes = [(WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, 4 * WIDTH), (4 * WIDTH, WIDTH)]
    return [*((rows, a, b, LAYERS) for a, b in shapes), (rows, WIDTH, VOCABULARY, 1)]


def _prompt() -> np.ndarray:
    return np.random.default_rng(0).integers(0, VOCABULARY, (1, PROMPT))


def weft_generation() -> Callable:
    """The likeliest tokens behind a prompt, by `generate`."""
    from ..layers import models

    model = models.gpt2(vocab_size=VOCABULARY, context=CONTEXT, width=WIDTH, layers=LAYERS, heads=HEADS).eval()
    return lambda: model.generate(_prompt(), NEW, temperature=0)


def torch_generation(torch: Any) -> Callable:
    """The same in PyTorch."""
    model = gpt(torch.nn, torch.cat).eval()

    @torch.no_grad()
    def run() -> list[int]:
        pasts: list[list] = [[] for _ in range(LAYERS)]
        given, seen, new = torch.from_numpy(_prompt()), 0, []
        for _ in range(NEW):
            logits = model(given, pasts, seen)
            seen += given.shape[1]
            given = logits[-1:].argmax(-1, keepdim=True)
            new.append(int(given))
        return new

    return run
