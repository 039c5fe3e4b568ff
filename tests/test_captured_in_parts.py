"""Captured steps whose layers are cut into many small parts for two threads: bit for bit as eager ones.

A thread that does several parts in turn uses its memory again for each, and so does its branch of a recording.
"""

import importlib
import pkgutil

import numpy as np
import pytest
from test_captured_on_cpu import FALL_BACK, assert_same, trained
from test_emulator_training import LAYERS, floats

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.backend import cpu
from weft.backend.device import parallel
from weft.backend.modes.host import spread_noted
from weft.backend.modes.log import Log, opened
from weft.backend.tape.tensor import wrap

# Sizes that work is cut by, made so small that a test's layer has several parts for each thread.
SIZES = {
    "BLOCK": 128, "BUSY": 128, "LIGHT": 1, "TILE": 64, "TILE_BYTES": 512, "TILE_PIXELS": 4, "SQUARES": 1, "IMAGES": 256,
    "BAND": 8, "CHUNK": 512, "PARTIAL_BYTES": 1 << 12, "PIECE": 256, "SEQUENCES": 2, "WORK": 1, "ADJOINT_BYTES": 2048,
}  # fmt: skip


def last_first(tasks):
    """What threads may come to: the last of several tasks is done before the first begins."""
    for task in reversed(tasks):
        task.run()
    for task in tasks:
        if task.error is not None:
            raise task.error


@pytest.fixture(params=["at once", "last first"])
def in_parts(monkeypatch, request):
    if request.param == "last first":
        monkeypatch.setattr(parallel, "_run", last_first)
    for found in pkgutil.iter_modules(cpu.__path__):
        module = importlib.import_module(f"{cpu.__name__}.{found.name}")
        for name in SIZES.keys() & vars(module).keys():
            monkeypatch.setattr(module, name, SIZES[name])
    before = weft.num_threads()
    weft.set_num_threads(2)
    yield
    weft.set_num_threads(before)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", LAYERS)
def test_layer(in_parts, name):
    make, inputs, _ = LAYERS[name]
    assert_same(trained(make, inputs, times=5), FALL_BACK.get(name))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("is_causal", [True, False])
def test_attention_of_several_samples_to_a_thread(in_parts, is_causal):
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.projected = nn.Linear(16, 48)

        def forward(self, x):
            x = self.projected(x)
            q, k, v = (
                weft.permute_dims(weft.reshape(x[..., i : i + 16], (6, 8, 2, 8)), (0, 2, 1, 3)) for i in (0, 16, 32)
            )
            return nn.functional.scaled_dot_product_attention(q, k, v, is_causal=is_causal)

    assert_same(trained(Attention, [(6, 8, 16)]))


def test_gradients_that_are_left_are_compared_with_the_eager_ones(in_parts):
    """No optimizer reads them within the step."""
    rng = np.random.default_rng(0)
    q, k, v = (weft.asarray(floats(rng.standard_normal((6, 2, 8, 8)))).requires_grad_() for _ in range(3))

    def step():
        q.grad = k.grad = v.grad = None
        loss = (nn.functional.scaled_dot_product_attention(q, k, v) ** 2).sum()
        loss.backward()
        return loss

    step()
    expected = [x.grad.numpy().copy() for x in (q, k, v)]
    captured = weft.capture(step, strict=True)
    for _ in range(5):
        captured()
        for x, grad in zip((q, k, v), expected):
            np.testing.assert_array_equal(x.grad.numpy(), grad)


def test_memory_that_one_branch_still_reads_is_not_written_by_another(in_parts):
    """What follows in one branch may yet come first in the other."""
    half = 1 << 13

    def step(x):
        a = x.data * 2
        b, total = np.empty(a.shape, a.dtype), np.empty(1, a.dtype)

        def work(start, stop):
            for i in range(start, stop):
                if not i:
                    np.sum(a, keepdims=True, out=total)
                np.multiply(x.data[:half], 3, out=b[i * half : (i + 1) * half])

        parallel.parallel_for(work, 2)
        np.add(b, total, out=b)
        return wrap(b, "cpu")

    run = weft.capture(step, strict=True)
    for i in range(6):
        assert run(weft.full((2 * half,), float(i))).tolist() == [3.0 * i + 4.0 * half * i] * 2 * half


def test_branches_are_recorded_with_one_thread_of_blas(in_parts):
    """As they run: a product that BLAS splits between threads has other last bits."""
    threads = []

    def work(start, stop):
        threads.extend(library.get_num_threads() for library in parallel._blas_libraries())

    with opened(Log()), spread_noted():
        parallel.parallel_for(work, 2)
    assert set(threads) <= {1}
    assert len(threads) == 2 * len(parallel._blas_libraries())


def images():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(16, 16, 3),
        nn.GELU(), nn.AvgPool2d(2), nn.Flatten(), nn.LayerNorm(16), nn.Dropout(0.2), nn.Linear(16, 5),
    )  # fmt: skip


class Characters(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.lstm = nn.Embedding(11, 16), nn.LSTM(16, 16, batch_first=True, num_layers=2)
        self.head = nn.Linear(16, 11)

    def forward(self, x):
        return self.head(self.lstm(self.embedding(x))[0])


MODELS = {
    "images": (images, (6, 3, 16, 16), 5),
    "characters": (Characters, (6, 12), 11),
    "GPT": (lambda: nn.models.gpt2(vocab_size=11, context=12, width=16, layers=2, heads=2), (6, 12), 11),
    "Llama": (lambda: nn.models.llama(vocab_size=11, context=12, width=16, layers=2, heads=2), (6, 12), 11),
}


@pytest.mark.parametrize("name", MODELS)
def test_model(in_parts, name):
    """Its gradients clipped, by AdamW."""
    build, shape, classes = MODELS[name]
    is_text = len(shape) == 2

    def make_step():
        net = build().train()
        optimizer = optim.AdamW(net.parameters(), lr=1e-2)
        rng = np.random.default_rng(1)

        def step(x, y):
            optimizer.zero_grad()
            logits = net(x)
            loss = nn.functional.cross_entropy(weft.reshape(logits, (-1, classes)), weft.reshape(y, (-1,)))
            loss.backward()
            optim.clip_grad_norm_(net.parameters(), 0.5)
            optimizer.step()
            return loss

        def arguments(i):
            x = rng.integers(0, classes, shape) if is_text else floats(rng.standard_normal(shape))
            return weft.asarray(x), weft.asarray(rng.integers(0, classes, shape if is_text else shape[:1]))

        return step, arguments, [*net.parameters(), *net.buffers()]

    assert_same(make_step)
