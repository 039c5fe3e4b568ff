"""What is measured: training steps and single operations, each as weft code, the same PyTorch code, and its matrix products.

A workload has two makers, `weft()` and `torch(torch)`, that return a function without arguments doing one repetition, and
`products`, the (M, K, N, times) of the matrix products that cannot be avoided: BLAS's own time for them is the limit that
the repetition is held against. Where there are none it is that of a copy of `moved` bytes, those that inputs, results and
gradients have at least to be read or written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .gpt import VOCABULARY, gpt, products_of_a_pass, torch_generation, weft_generation

__all__ = ["WORKLOADS", "Workload"]

Product = tuple[int, int, int, int]


@dataclass
class Workload:
    name: str
    about: str
    weft: Callable[[], Callable]
    torch: Callable[[Any], Callable]
    products: list[Product]
    target: float | None = None  # the ratio to PyTorch, one thread, that it must reach
    is_step: bool = False  # whether it is also run as `weft.capture` has it
    moved: int = 0


def _data(shape: tuple, classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal(shape).astype(np.float32), rng.integers(0, classes, shape[0])


def _step(model: Any, loss: Any, optimizer: Any, x: Any, y: Any) -> Callable:
    def step() -> Any:
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        return value

    return step


def _training(
    name: str,
    about: str,
    build: Callable,
    shape: tuple,
    products: list[Product],
    target: float | None = None,
    data: Callable[[], tuple[np.ndarray, np.ndarray]] | None = None,
) -> Workload:
    """A full step (forward, cross-entropy, backward, Adam) of the model that `build(nn)` makes from either library's layers."""
    given = data or (lambda: _data(shape, 10))

    def weft() -> Callable:
        import weft

        from .. import layers, optimizers
        from ..layers import CrossEntropyLoss

        model = build(layers)
        x, y = map(weft.asarray, given())
        return _step(model, CrossEntropyLoss(), optimizers.Adam(model.parameters(), lr=1e-3), x, y)

    def torch(torch: Any) -> Callable:
        model = build(torch.nn)
        x, y = map(torch.from_numpy, given())
        return _step(model, torch.nn.CrossEntropyLoss(), torch.optim.Adam(model.parameters(), lr=1e-3), x, y)

    return Workload(name, about, weft, torch, products, target, is_step=True)


def _policy() -> Workload:
    """What a controller asks at each step: the actions for one observation."""

    def build(nn: Any) -> Any:
        return nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))

    def run(library: Any, model: Any, x: Any) -> Callable:
        def step() -> Any:
            with library.no_grad():
                return model(x)

        return step

    def weft() -> Callable:
        import weft

        from .. import layers

        return run(weft, build(layers), weft.asarray(_data((1, 4), 1)[0]))

    def torch(torch: Any) -> Callable:
        return run(torch, build(torch.nn), torch.from_numpy(_data((1, 4), 1)[0]))

    products = [(1, 4, 64, 1), (1, 64, 64, 1), (1, 64, 2, 1)]
    return Workload("policy", "inference, MLP 4-64-64-2 with tanh, batch 1", weft, torch, products, 3.0, is_step=True)


def _mlp(*sizes: int) -> Callable:
    def build(nn: Any) -> Any:
        layers: list = []
        for a, b in pairwise(sizes):
            layers += [nn.Linear(a, b), nn.ReLU()]
        return nn.Sequential(*layers[:-1])

    return build


def _mlp_products(batch: int, *sizes: int) -> list[Product]:
    """y = x Wᵀ, gᵀ x, and g W for all layers but the first."""
    forward = [(batch, a, b, 1) for a, b in pairwise(sizes)]
    weights = [(b, batch, a, 1) for a, b in pairwise(sizes)]
    inputs = [(batch, b, a, 1) for a, b in list(pairwise(sizes))[1:]]
    return forward + weights + inputs


def _cnn(nn: Any) -> Any:
    """The literature's CNN on 3×32×32: 268,650 parameters."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(2048, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


def _characters(vocabulary: int, width: int) -> Callable:
    """Embedding, LSTM, logits of the next character: (N, T) → (N T, vocabulary)."""

    def build(nn: Any) -> Any:
        class Characters(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embedding = nn.Embedding(vocabulary, width)
                self.lstm = nn.LSTM(width, width, batch_first=True)
                self.head = nn.Linear(width, vocabulary)

            def forward(self, x: Any) -> Any:
                y, _ = self.lstm(self.embedding(x))
                return self.head(y).reshape(-1, vocabulary)

        return Characters()

    return build


def _text(n: int, steps: int, vocabulary: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, vocabulary, (n, steps)), rng.integers(0, vocabulary, n * steps)


def _lstm_products(n: int, steps: int, width: int) -> list[Product]:
    """Of all steps at once, x W, and the gradients of x and of both weights; of each step, h W and the gradient of h."""
    rows, gates = n * steps, 4 * width
    at_once = [(rows, width, gates, 1), (rows, gates, width, 1), (gates, rows, width, 2)]
    return [*at_once, (n, width, gates, steps), (n, gates, width, steps)]


def _conv_products(n: int, pixels: int, taps: int, out: int, *, first: bool = False) -> list[Product]:
    """Per image: columns · weights, their gradient, and (unless it is the first layer) the columns' gradient."""
    products = [(pixels, taps, out, n), (out, pixels, taps, n)]
    return products if first else [*products, (pixels, out, taps, n)]


def _operation(
    name: str,
    about: str,
    call: Callable,
    inputs: Callable[[], tuple],
    products: list[Product] | None = None,
    target: float | None = None,
    moved: float = 0,
) -> Workload:
    """Forward and backward of `call(F, *inputs())`; float inputs get gradients, and a random one flows in from above.

    `moved` counts numbers of four bytes.
    """

    def repeat(tensors: list, f: Callable, above: Any) -> Callable:
        def step() -> Any:
            for t in tensors:
                t.grad = None
            y = f(*tensors)
            y.backward(above if y.ndim else None)
            return y

        return step

    def weft() -> Callable:
        import weft

        from ..layers import functional

        tensors = [weft.asarray(a).requires_grad_(a.dtype == np.float32) for a in inputs()]
        y = call(functional, *tensors)
        return repeat(
            tensors, lambda *t: call(functional, *t), weft.asarray(_data(y.shape or (1,), 1)[0].reshape(y.shape))
        )

    def torch(torch: Any) -> Callable:
        tensors = [torch.from_numpy(a).requires_grad_(a.dtype == np.float32) for a in inputs()]
        functional = torch.nn.functional
        y = call(functional, *tensors)
        above = torch.from_numpy(_data(tuple(y.shape) or (1,), 1)[0].reshape(tuple(y.shape)))
        return repeat(tensors, lambda *t: call(functional, *t), above)

    return Workload(name, about, weft, torch, products or [], target, moved=int(4 * moved))


def _random(*shape: int) -> np.ndarray:
    return _data(shape, 1)[0]


WORKLOADS = [
    _training("mlp-tiny", "training step, MLP 16-32-10, batch 16", _mlp(16, 32, 10), (16, 16),
              _mlp_products(16, 16, 32, 10), 5.0),
    _policy(),
    _training("mlp", "training step, MLP 784-512-256-10, batch 128", _mlp(784, 512, 256, 10), (128, 784),
              _mlp_products(128, 784, 512, 256, 10), 1.15),
    _training("cnn", "training step, the literature's CNN on 3×32×32, batch 64", _cnn, (64, 3, 32, 32),
              _conv_products(64, 1024, 27, 16, first=True) + _conv_products(64, 256, 144, 32)
              + _mlp_products(64, 2048, 128, 10) + [(64, 128, 2048, 1)], 1.0),
    _training("lstm", "training step, characters: embedding, LSTM of width 256, 96 logits; batch 32, length 64",
              _characters(96, 256), (32, 64),
              _lstm_products(32, 64, 256) + [(2048, 256, 96, 1), (2048, 96, 256, 1), (96, 2048, 256, 1)], 1.0,
              data=lambda: _text(32, 64, 96)),
    _training("gpt", "training step, GPT of width 256, 4 layers, 4 heads; batch 16, length 128", gpt, (16, 128),
              [(m, k, n, 3 * times) for m, k, n, times in products_of_a_pass(16 * 128)], 1.0,
              lambda: _text(16, 128, VOCABULARY)),
    Workload("generation", "64 tokens behind 192 with a cache, GPT of width 256, 4 layers, 4 heads", weft_generation,
             torch_generation, products_of_a_pass(192) + [(m, k, n, 63 * t) for m, k, n, t in products_of_a_pass(1)]),
    _operation("cross-entropy", "cross-entropy forward + backward, 4096×8192",
               lambda f, x, t: f.cross_entropy(x, t), lambda: _data((4096, 8192), 8192), target=2.0, moved=3 * 4096 * 8192),
    _operation("linear-cross-entropy", "linear cross-entropy forward + backward, 4096×256 → 50,257",
               lambda f, x, w, t: f.linear_cross_entropy(x, w, t),
               lambda: (_random(4096, 256), 0.05 * _random(50257, 256), _data((4096,), 50257)[1]),
               products=[(4096, 256, 50257, 1), (4096, 50257, 256, 1), (50257, 4096, 256, 1)], target=1.3),
    _operation("conv", "convolution forward + backward, 32×64×32×32 → 64, 3×3, padding 1",
               lambda f, x, w, b: f.conv2d(x, w, b, padding=1),
               lambda: (_random(32, 64, 32, 32), _random(64, 64, 3, 3), _random(64)),
               products=_conv_products(32, 1024, 576, 64), target=0.9),
    _operation("conv3d", "convolution of volumes forward + backward, 8×16×16×32×32 → 16, 3×3×3, padding 1",
               lambda f, x, w, b: f.conv3d(x, w, b, padding=1),
               lambda: (_random(8, 16, 16, 32, 32), _random(16, 16, 3, 3, 3), _random(16)),
               products=_conv_products(8, 16384, 432, 16), target=0.8),
    _operation("attention", "causal attention forward + backward, 8×8×512×64",
               lambda f, q, k, v: f.scaled_dot_product_attention(q, k, v, is_causal=True),
               lambda: tuple(_random(8, 8, 512, 64) for _ in range(3)),
               products=[(512, 64, 512, 64), (512, 512, 64, 128)], target=1.3),  # six for each head, half of each
    _operation("batch-norm", "batch norm forward + backward, 64×32×32×32",
               lambda f, x, m, v, w, b: f.batch_norm(x, m.detach(), v.detach(), w, b, True),
               lambda: (_random(64, 32, 32, 32), np.zeros(32, np.float32), np.ones(32, np.float32), _random(32), _random(32)),
               target=1.0, moved=5 * 64 * 32 * 32 * 32),
    _operation("layer-norm", "layer norm forward + backward, 4096×768",
               lambda f, x, w, b: f.layer_norm(x, (768,), w, b), lambda: (_random(4096, 768), _random(768), _random(768)),
               moved=5 * 4096 * 768),
    _operation("gelu", "GELU forward + backward, 4096×1024", lambda f, x: f.gelu(x), lambda: (_random(4096, 1024),),
               moved=5 * 4096 * 1024),
    _operation("max-pool", "max pooling 2×2 forward + backward, 64×16×32×32",
               lambda f, x: f.max_pool2d(x, 2), lambda: (_random(64, 16, 32, 32),), moved=2.5 * 64 * 16 * 32 * 32),
]  # fmt: skip
