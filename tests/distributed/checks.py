"""Checks that N processes make together, each comparing with what one process computes alone. No name is pytest's."""

from contextlib import contextmanager

import numpy as np
import pytest

import weft
from weft import distributed as dist
from weft import layers as nn
from weft import optimizers as optim
from weft.backend.device import ranks
from weft.layers import functional as F

RANK, SIZE = dist.rank, dist.size


def of_rank(r, shape, dtype=np.float32):
    return np.random.default_rng(r + 1).standard_normal(shape).astype(dtype)


def same_everywhere(*arrays):
    """All processes have the same bits."""
    for a in arrays:
        found = ranks.group.objects(np.ascontiguousarray(a.numpy() if isinstance(a, weft.Tensor) else a).tobytes())
        assert all(other == found[0] for other in found)


# --- collectives --------------------------------------------------------------------------------------------------------
def check_sums_in_the_order_of_ranks():
    for n in (0, 1, 3, 31, 1000, 5000, 100_003):  # below and above what is gathered whole
        for dtype in (np.float32, np.float64, np.int64):
            parts = [(1e3 * of_rank(r, n)).astype(dtype) for r in range(SIZE())]
            total = parts[0].copy()
            for part in parts[1:]:
                total += part
            x = parts[RANK()].copy()
            assert dist.all_reduce(x) is x
            assert x.tobytes() == total.tobytes()


def check_operations():
    x = weft.tensor([float(RANK()), -float(RANK())])
    assert dist.all_reduce(weft.asarray(x.numpy().copy()), "max").tolist() == [SIZE() - 1, 0]
    assert dist.all_reduce(weft.asarray(x.numpy().copy()), "min").tolist() == [0, -(SIZE() - 1)]
    assert dist.all_reduce(weft.asarray(x.numpy().copy()), "mean").tolist() == [(SIZE() - 1) / 2, -(SIZE() - 1) / 2]
    assert dist.all_reduce(weft.full((5,), 2.0), "prod").tolist() == [2.0 ** SIZE()] * 5


def check_half_precision_is_added_up_in_float32():
    for dtype in (weft.float16, weft.bfloat16):
        for n in (17, 50_000):
            parts = [np.asarray(of_rank(r, n), dtype) for r in range(SIZE())]
            exact = parts[0].astype(np.float32)
            for part in parts[1:]:
                exact = exact + part.astype(np.float32)
            assert dist.all_reduce(parts[RANK()].copy()).tobytes() == exact.astype(dtype).tobytes()
    big = np.full(10_000, 40_000, np.float16)  # the sum has no place in float16, the mean has
    assert (dist.all_reduce(big, "mean") == 40_000).all()


def check_gather_scatter_broadcast():
    n = SIZE()
    x = weft.asarray(of_rank(RANK(), (2, 3)))
    found = dist.all_gather(x)
    assert found.shape == (2 * n, 3)
    np.testing.assert_array_equal(found.numpy(), np.concatenate([of_rank(r, (2, 3)) for r in range(n)]))
    rows = weft.asarray(of_rank(RANK(), (2 * n, 4)))
    total = sum([of_rank(r, (2 * n, 4)) for r in range(n)][1:], of_rank(0, (2 * n, 4)))
    np.testing.assert_array_equal(dist.reduce_scatter(rows).numpy(), total[2 * RANK() : 2 * RANK() + 2])
    y = weft.asarray(of_rank(RANK(), (5,)))
    dist.broadcast(y, source=n - 1)
    np.testing.assert_array_equal(y.numpy(), of_rank(n - 1, (5,)))
    strided = of_rank(RANK(), (6, 4))[:, ::2]
    dist.broadcast(strided)
    np.testing.assert_array_equal(strided, of_rank(0, (6, 4))[:, ::2])


def check_arrays_of_the_emulator():
    x = weft.asarray(of_rank(RANK(), 5000), device="emulator")
    dist.all_reduce(x)
    total = of_rank(0, 5000)
    for r in range(1, SIZE()):
        total = total + of_rank(r, 5000)
    assert x.device == "emulator"
    np.testing.assert_array_equal(x.cpu().numpy(), total)


def check_wrong_calls():
    with pytest.raises(ValueError, match=r"alike in all processes, got all_reduce\(sum, \(1,\) float32\) in process 0"):
        dist.all_reduce(np.ones(1 + RANK(), np.float32))
    with pytest.raises(ValueError, match=r"float64\) in process 1"):
        dist.all_reduce(np.ones(2, np.float32 if RANK() == 0 else np.float64))
    with pytest.raises(ValueError, match="one of sum, mean, max, min, prod, got 'average'"):
        dist.all_reduce(np.ones(2), "average")
    with pytest.raises(TypeError, match=r"needs a floating-point dtype, got int64; sum"):
        dist.all_reduce(np.ones(2, np.int64), "mean")
    with pytest.raises(ValueError, match=rf"a rank in \[0, {SIZE()}\), got 9"):
        dist.broadcast(np.ones(2), 9)
    with pytest.raises(ValueError, match=r"must have a multiple of . rows.*got shape \(7,\)"):
        dist.reduce_scatter(np.ones(7 if SIZE() > 1 else 1))
    with pytest.raises(TypeError, match="takes an array or a Tensor, got 3"):
        dist.all_gather(3)


# --- data parallel ------------------------------------------------------------------------------------------------------
class Net(nn.Module):
    def __init__(self, dtype=None, norm=False, p=0.0):
        self.first = nn.Linear(12, 24, dtype=dtype)
        self.norm = nn.SyncBatchNorm(24, dtype=dtype) if norm else nn.Identity()
        self.drop = nn.Dropout(p)
        self.second = nn.Linear(24, 24, dtype=dtype)
        self.third = nn.Linear(24, 5, dtype=dtype)

    def forward(self, x):
        x = self.drop(self.norm(self.first(x)).tanh())
        return self.third(x + self.second(x).tanh())


@contextmanager
def alone():
    """What one process computes."""
    group, ranks.group = ranks.group, None
    try:
        yield
    finally:
        ranks.group = group


def batches(dtype, steps, n=24):
    rng = np.random.default_rng(7)
    for _ in range(steps):
        yield weft.asarray(rng.standard_normal((n, 12)).astype(dtype)), weft.asarray(rng.integers(0, 5, n))


OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
    "Adam": lambda p: optim.Adam(p, lr=1e-2),
    "groups": lambda p: optim.AdamW(optim.decay_groups(list(p), 0.1), lr=1e-2),  # weights and biases in two arenas
}


def train(model, optimizer, dtype, steps, *, parts=1, clip=None, part=lambda a: a, steps_of=None):
    for x, y in batches(dtype, steps):
        optimizer.zero_grad()
        for i in range(parts):
            rows = slice(i * len(x) // parts, (i + 1) * len(x) // parts)
            is_last = i == parts - 1
            with model.no_sync() if hasattr(model, "no_sync") and not is_last else contextmanager(lambda: (yield))():
                loss = F.cross_entropy(model(part(x[rows])), part(y[rows])) / parts
                loss.backward()
        if clip is not None:
            optim.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()


def mine(a):
    n = a.shape[0] // SIZE()
    return a[RANK() * n : (RANK() + 1) * n]


def compare(dtype, make, steps=20, **options):
    tolerance = 1e-12 if dtype == np.float64 else 1e-6
    parts = options.pop("parts", 1)
    clip = options.pop("clip", None)
    name = "float64" if dtype == np.float64 else "float32"
    weft.manual_seed(3)
    with alone():
        one = Net(dtype=getattr(weft, name), **options)
        optimizer = make(one.parameters())
        weft.manual_seed(5)
        train(one, optimizer, dtype, steps, parts=parts, clip=clip)
    runs = []
    for _ in range(2):
        weft.manual_seed(3 + RANK())  # parameters come from process 0
        model = Net(dtype=getattr(weft, name), **options)
        model = dist.DistributedDataParallel(model, bucket_cap_mb=0.002)
        optimizer = make(model.parameters())
        weft.manual_seed(5)
        train(model, optimizer, dtype, steps, parts=parts, clip=clip, part=mine)
        state = {k.removeprefix("module."): v.numpy().copy() for k, v in model.state_dict().items()}
        same_everywhere(*state.values())
        runs.append(state)
    for key, value in one.state_dict().items():
        np.testing.assert_allclose(runs[0][key], value.numpy(), rtol=tolerance, atol=tolerance, err_msg=key)
        assert runs[0][key].tobytes() == runs[1][key].tobytes(), f"{key} differs between two runs"


def check_equals_one_process():
    for make in OPTIMIZERS.values():
        for dtype in (np.float64, np.float32):
            compare(dtype, make)


def check_equals_one_process_with_clipping():
    for dtype in (np.float64, np.float32):
        compare(dtype, OPTIMIZERS["Adam"], clip=0.1)


def check_equals_one_process_with_accumulation():
    for dtype in (np.float64, np.float32):
        compare(dtype, OPTIMIZERS["SGD"], parts=2)


def check_equals_one_process_with_batch_norm():
    for dtype in (np.float64, np.float32):
        compare(dtype, OPTIMIZERS["SGD"], norm=True)


def check_equals_one_process_with_dropout():
    for dtype in (np.float64, np.float32):
        compare(dtype, OPTIMIZERS["SGD"], p=0.3)
