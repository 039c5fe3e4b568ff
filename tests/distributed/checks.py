"""Checks that N processes make together, each comparing with what one process computes alone. No name is pytest's."""

import copy
import pickle
import warnings
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
WITHOUT_GRADIENTS = {
    "check_sums_in_the_order_of_ranks",
    "check_operations",
    "check_half_precision_is_added_up_in_float32",
    "check_gather_scatter_broadcast",
    "check_arrays_of_the_emulator",
    "check_wrong_calls",
    "check_attention_dropout_by_sample",
    "check_augmented_batches",
    "check_memory_of_state",
}


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
    for x in (np.array(["a", "b"]), np.array([1, "a"], dtype=object)):
        with pytest.raises(TypeError, match=rf"takes numbers, got an array of dtype {x.dtype}"):
            dist.all_reduce(x)
    with pytest.raises(TypeError, match="needs numbers, got bool"):
        dist.all_reduce(np.array([True]))
    with pytest.raises(ValueError, match=r"one of sum.*got \['sum'\]"):
        dist.reduce_scatter(np.ones(SIZE()), ["sum"])
    with pytest.raises(ValueError, match=r"a rank in .*got True"):
        dist.broadcast(np.ones(2), True)
    with pytest.raises(ValueError, match="must have an axis to gather along, got a number"):
        dist.all_gather(np.array(1.0))


def check_a_wrong_call_of_one_process_is_raised_in_all():
    x = np.ones(30_000, np.float32)
    x.flags.writeable = RANK() != 1
    with pytest.raises(
        ValueError, match="as process 1 has called it wrongly: .*read-only" if RANK() != 1 else "read-only"
    ):
        dist.all_reduce(x)
    with pytest.raises((TypeError, ValueError), match="takes an array or a Tensor, got None"):
        dist.broadcast(None if RANK() == 1 else x)
    with pytest.raises(
        ValueError, match=r"same shapes and dtypes in all processes, got \['\[\(4,\)\] float32'\] in process 0"
    ):
        dist.ZeroRedundancyOptimizer([weft.Parameter(weft.ones(4 + RANK()))], optim.SGD, lr=0.1)


def check_who_has_not_met_the_others_is_told():
    """`mpiexec` without `init` would train N models, each by itself."""
    group, ranks.group = ranks.group, None
    try:
        for call in (
            lambda: dist.DistributedDataParallel(nn.Linear(2, 2)),
            lambda: dist.ZeroRedundancyOptimizer([weft.Parameter(weft.ones(2))], optim.SGD),
            lambda: dist.all_reduce(np.ones(2)),
            dist.barrier,
        ):
            with pytest.raises(RuntimeError, match=f"{group.size} processes were started, which have not met"):
                call()
    finally:
        ranks.group = group


def check_a_bad_gradient_of_one_process_is_skipped_by_all():
    for scatter in (False, True):
        weft.manual_seed(3)
        model = dist.DistributedDataParallel(nn.Linear(40, 40))
        optimizer = dist.ZeroRedundancyOptimizer(model.parameters(), optim.Adam, lr=1e-2, reduce_scatter=scatter)
        scaler = weft.GradScaler(init_scale=1024.0)
        weights = []
        for step in range(3):
            optimizer.zero_grad()
            x = of_rank(RANK() + step, (4, 40))
            if step == 1 and RANK() == 1:
                x[0, 0] = 1e30  # whose square is infinite, in one column of the weight: one part of the gradients
            with np.errstate(over="ignore"):
                scaler.scale((model(weft.asarray(x)) * weft.asarray(x)).mean()).backward()
            scaler.step(optimizer)
            scaler.update()
            weights.append(model.module.weight.detach().numpy().copy())
        same_everywhere(*weights)
        assert (weights[1] == weights[0]).all()
        assert (weights[2] != weights[1]).any()
        assert scaler.get_scale() == 512


def check_copies_of_a_model_are_reduced():
    for make in (copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))):
        model = make(dist.DistributedDataParallel(nn.Linear(3, 2)))
        model(weft.asarray(of_rank(RANK(), (4, 3)))).sum().backward()
        mean = sum([of_rank(r, (4, 3)).sum(0) for r in range(SIZE())]) / SIZE()
        np.testing.assert_allclose(model.module.weight.grad.numpy()[0], mean, rtol=1e-5, atol=1e-6)


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
    """What one process computes: it finds no launcher either, which a Trainer would look for."""
    (group, ranks.group), (launched, ranks.launched) = (ranks.group, None), (ranks.launched, lambda: (0, 1))
    try:
        yield
        assert ranks.group is None
    finally:
        ranks.group, ranks.launched = group, launched


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


def check_unused_parameters():
    """What one process leaves out counts as zero there; what all leave out has no gradient."""

    class Branches(nn.Module):
        def __init__(self):
            self.always, self.sometimes, self.never = (nn.Linear(3, 2) for _ in range(3))

        def forward(self, x, both):
            y = self.always(x)
            return y + self.sometimes(x) if both else y

    for has_arena in (False, True):
        model = Branches()
        ddp = dist.DistributedDataParallel(model)
        optimizer = optim.SGD(ddp.parameters(), lr=0.1) if has_arena else None
        x = weft.asarray(of_rank(RANK(), (4, 3)))
        ddp(x, RANK() == 0).sum().backward()
        every = [of_rank(r, (4, 3)).sum(0) for r in range(SIZE())]
        mean = sum(every[1:], every[0]) / SIZE()
        np.testing.assert_allclose(model.always.weight.grad.numpy()[0], mean, rtol=1e-5)
        np.testing.assert_allclose(model.sometimes.weight.grad.numpy()[0], every[0] / SIZE(), rtol=1e-5)
        assert model.never.weight.grad is None
        same_everywhere(model.always.weight.grad, model.sometimes.weight.grad)
        del optimizer


def check_no_sync_and_shared_parameters():
    class Twice(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(3, 3)

        def forward(self, x):
            return self.layer(self.layer(x))

    model = Twice()
    ddp = dist.DistributedDataParallel(model)
    x = weft.asarray(of_rank(RANK(), (4, 3)))
    with ddp.no_sync():
        ddp(x).sum().backward()
    local = model.layer.weight.grad.numpy().copy()
    assert SIZE() == 1 or len({a.tobytes() for a in ranks.group.objects(local)}) == SIZE()
    ddp(x).sum().backward()
    total = 2 * sum(ranks.group.objects(local)) / SIZE()
    np.testing.assert_allclose(model.layer.weight.grad.numpy(), total, rtol=1e-5)
    same_everywhere(model.layer.weight.grad)


def check_gradients_are_in_memory_that_all_see():
    model = dist.DistributedDataParallel(nn.Linear(300, 300))
    for _ in range(2):  # a second optimizer takes the parameters over, and memory anew
        optimizer = optim.Adam(model.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            model(weft.asarray(of_rank(RANK(), (4, 300)))).sum().backward()
            mean = sum(of_rank(r, (4, 300)).sum(0) for r in range(SIZE())) / SIZE()
            np.testing.assert_allclose(model.module.weight.grad.numpy()[7], mean, rtol=1e-4, atol=1e-5)
            same_everywhere(model.module.weight.grad, model.module.bias.grad)
            optimizer.step()
        assert all(bucket.in_common for bucket in model._reducer.buckets)


def check_models_that_differ():
    with pytest.raises(ValueError, match=r"processes 0 and 1 differ; first, in process \d, in"):
        dist.DistributedDataParallel(nn.Linear(3, 2 if RANK() == 0 else 4))
    with pytest.raises(ValueError, match="processes 0 and 1 differ"):
        dist.DistributedDataParallel(nn.Sequential(nn.Linear(3, 3), nn.ReLU() if RANK() else nn.Tanh()))
    model = dist.DistributedDataParallel(nn.Linear(3, 3))
    groups = list(model.parameters()) if RANK() else optim.decay_groups(model.parameters(), 0.1)
    optimizer = optim.SGD(groups, lr=0.1)
    with pytest.raises(RuntimeError, match="gradients must lie alike in all processes, but those of process 1"):
        model(weft.ones((2, 3))).sum().backward()
    del optimizer


def check_buffers_are_those_of_process_0():
    model = nn.BatchNorm1d(4)
    ddp = dist.DistributedDataParallel(model)
    for step in range(3):
        ddp(weft.asarray(of_rank(10 * step + RANK(), (5, 4))))
    ddp(weft.asarray(of_rank(0, (5, 4))))  # the same for all, after buffers were sent
    same_everywhere(model.running_mean, model.running_var, model.num_batches_tracked)


def check_checkpoint_draws_again():
    """Dropout that is computed again in backward has the masks of this process's samples."""
    weft.manual_seed(3)
    grads = []
    for wrap in (lambda f, x: f(x), weft.checkpoint):
        net = nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.5), nn.Linear(6, 6))
        net.load_state_dict({k: weft.full(v.shape, 0.5) for k, v in net.state_dict().items()})

        class Wrapped(nn.Module):
            def __init__(self, net, wrap):
                self.net, self._wrap = net, wrap

            def forward(self, x):
                return self._wrap(self.net, x)

        ddp = dist.DistributedDataParallel(Wrapped(net, wrap))
        weft.manual_seed(9)
        ddp(weft.asarray(of_rank(RANK(), (4, 6)))).sum().backward()
        grads.append(net[0].weight.grad.numpy().copy())
    assert grads[0].tobytes() == grads[1].tobytes()


def check_attention_dropout_by_sample():
    q = np.random.default_rng(0).standard_normal((4 * SIZE(), 2, 5, 3)).astype(np.float32)
    weft.manual_seed(4)
    whole = F.scaled_dot_product_attention(*[weft.asarray(q)] * 3, dropout_p=0.4).numpy()
    weft.manual_seed(4)
    part = slice(RANK() * 4, RANK() * 4 + 4)
    with ranks.sharing(ranks.Share(RANK() * 4, 4, 4 * SIZE())):
        mine = F.scaled_dot_product_attention(*[weft.asarray(q[part])] * 3, dropout_p=0.4).numpy()
    np.testing.assert_allclose(mine, whole[part], rtol=1e-5, atol=1e-6)
    assert weft.default_generator.counter > 0


# --- sharded state ------------------------------------------------------------------------------------------------------
def sharded(make, dtype="float32", **options):
    """A model after ten steps, its optimizer, and the bytes of state in this process."""
    weft.manual_seed(3)
    model = dist.DistributedDataParallel(Net(dtype=getattr(weft, dtype)), bucket_cap_mb=0.002)
    optimizer = make(model.parameters(), **options)
    kind = np.float32 if dtype != "float64" else np.float64
    for x, y in batches(kind, 10):
        optimizer.zero_grad()
        F.cross_entropy(model(mine(x.astype(getattr(weft, dtype)))), mine(y)).backward()
        optimizer.step()
    same_everywhere(*[np.asarray(p.numpy().astype(np.float64)) for p in map(weft.Tensor.detach, model.parameters())])
    size = sum(v.nbytes for arenas in optimizer._arenas for arena in arenas for v in arena.state.values())
    return {k: v.numpy().copy() for k, v in model.state_dict().items()}, optimizer, size, model


def check_sharded_state_changes_no_bit():
    for dtype in ("float32", "float64", "bfloat16"):
        plain, optimizer, size, _ = sharded(lambda p: optim.Adam(p, lr=1e-2), dtype)
        for scatter in (False, True):
            make = lambda p: dist.ZeroRedundancyOptimizer(p, optim.Adam, lr=1e-2, reduce_scatter=scatter)  # noqa: B023
            found, other, mine_size, _ = sharded(make, dtype)
            for key, value in plain.items():
                assert found[key].tobytes() == value.tobytes(), (dtype, scatter, key)
            assert isinstance(other, optim.Adam)
            assert SIZE() == 1 or mine_size <= (0.6 if SIZE() == 2 else 1.2 / SIZE()) * size + 256 * len(other._arenas)
            ours, theirs = other.state_dict(), optimizer.state_dict()
            for i, entry in theirs["state"].items():
                for name, value in entry.items():
                    np.testing.assert_array_equal(np.asarray(ours["state"][i][name]), np.asarray(value))
    assert f"MiB in process {SIZE() - 1}" in other.memory()


def check_sharded_state_is_loaded_by_any_number():
    make = lambda p: dist.ZeroRedundancyOptimizer(optim.decay_groups(list(p), 0.1), optim.AdamW, lr=1e-2)
    _, optimizer, _, model = sharded(make)
    saved = optimizer.state_dict()
    with alone():
        one = Net()
        one.load_state_dict({k.removeprefix("module."): v for k, v in model.state_dict().items()})
        plain = optim.AdamW(optim.decay_groups(list(one.parameters()), 0.1), lr=1e-2)
        plain.load_state_dict(saved)
    again = make(model.parameters())
    again.load_state_dict(plain.state_dict())
    for p, q in zip(model.parameters(), one.parameters()):
        p.grad, q.grad = weft.ones(p.shape), weft.ones(q.shape)
    again.step()
    plain.step()
    for p, q in zip(model.parameters(), one.parameters()):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def check_clipping_of_parts():
    norms = []
    for scatter in (False, True):
        weft.manual_seed(3)
        model = dist.DistributedDataParallel(Net())
        optimizer = dist.ZeroRedundancyOptimizer(model.parameters(), optim.SGD, lr=0.1, reduce_scatter=scatter)
        x, y = next(batches(np.float32, 1))
        F.cross_entropy(model(mine(x)), mine(y)).backward()
        if scatter and SIZE() > 1:
            with pytest.raises(RuntimeError, match="call `clip_grad_norm_` of the ZeroRedundancyOptimizer"):
                optim.clip_grad_norm_(model.parameters(), 0.1)
        elif not scatter:
            norms.append(optim.get_total_norm([p.grad for p in model.parameters()]).item())
        norms.append(optimizer.clip_grad_norm_(0.1).item())
        optimizer.step()
        same_everywhere(*[p.detach() for p in model.parameters()])
    np.testing.assert_allclose(norms, norms[0], rtol=1e-6)


# --- captured -----------------------------------------------------------------------------------------------------------
def check_captured_steps_on_the_emulator():
    """The recorded step sends and receives at each launch: the bits of the eager one."""
    try:
        weft.zeros(1, device="emulator")
    except weft.DeviceError:
        return
    found = []
    for is_captured in (False, True):
        for sharded_state in (False, True):
            weft.manual_seed(3)
            model = nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Dropout(0.25), nn.Linear(8, 5)).to("emulator")
            model = dist.DistributedDataParallel(model, bucket_cap_mb=0.0003)
            optimizer = optim.Adam(model.parameters(), lr=1e-2)
            if sharded_state:
                optimizer = dist.ZeroRedundancyOptimizer(model.parameters(), optim.Adam, lr=1e-2)

            def step(x, y, model=model, optimizer=optimizer):
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
                return loss

            run = weft.capture(step, strict=True) if is_captured else step
            weft.manual_seed(4)
            for x, y in batches(np.float32, 6):
                run(mine(x).to("emulator"), mine(y).to("emulator"))
            found.append([p.detach().cpu().numpy() for p in model.parameters()])
            same_everywhere(*found[-1])
    for other in found[1:]:
        for a, b in zip(found[0], other):
            assert a.tobytes() == b.tobytes()


def check_steps_on_a_cpu_are_not_captured():
    """A replay of NumPy's calls alone would leave the sums out, and for equal numbers that could not be told."""
    x, y = weft.ones((4, 12)), weft.zeros((4,), dtype=weft.int64)
    for make in (lambda m: dist.DistributedDataParallel(m), lambda m: nn.SyncBatchNorm.convert_sync_batchnorm(m)):
        model = make(nn.Sequential(nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 5)))
        optimizer = optim.Adam(model.parameters(), lr=1e-2)

        @weft.capture
        def step(x, y, model=model, optimizer=optimizer):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()

        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            for i in range(12):
                step(x if i < 8 else x * (RANK() + 1), y)
        assert any("send each other numbers from the host" in str(w.message) for w in said), said
        if isinstance(model, dist.DistributedDataParallel):
            same_everywhere(*[p.detach() for p in model.parameters()])


# --- Trainer ------------------------------------------------------------------------------------------------------------
class Conv(nn.Module):
    """Batch norm and dropout, as models have them. The first bias has no gradient but rounding errors: eps is above them."""

    def __init__(self):
        self.first, self.norm = nn.Linear(12, 16), nn.BatchNorm1d(16)
        self.drop, self.last = nn.Dropout(0.2), nn.Linear(16, 5)

    def forward(self, x):
        return self.last(self.drop(self.norm(self.first(x)).tanh()))


def fitted(device="cpu", optimizer=None, epochs=2, n=59, state=None, **options):
    """A Trainer after some epochs of batches of 12, the last of 59 % 12 = 11 samples; its data are a DataLoader."""
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((n, 12)).astype(np.float32), rng.integers(0, 5, n)
    weft.manual_seed(2)
    model = Conv()
    optimizer = (optimizer or (lambda p: optim.AdamW(p, lr=1e-2, eps=1e-3)))(model.parameters())
    trainer = weft.training.Trainer(
        model, nn.CrossEntropyLoss(), optimizer, metrics="accuracy", device=device, seed=6, **options
    )
    loader = weft.data.DataLoader(weft.data.ArrayDataset(x, y), batch_size=12, shuffle=True, seed=1)
    if state is not None:
        trainer.load_state_dict(state)
    trainer.fit(loader, (x[:10], y[:10]), epochs=epochs)
    return trainer


def same_rows(found, expected, tolerance=2e-6):
    for row, other in zip(found, expected, strict=True):
        assert row.keys() == other.keys()
        for name in row.keys() - {"seconds", "samples_per_second"}:
            np.testing.assert_allclose(row[name], other[name], rtol=tolerance, err_msg=name)


def check_trainer_equals_one_process():
    for options in ({}, {"clip_grad_norm": 0.1}, {"accumulate": 2}, {"accumulate": 2, "clip_grad_norm": 0.1}):
        with alone():
            one = fitted(**options)
        many = fitted(**options)
        assert type(many.model.norm) is nn.SyncBatchNorm or SIZE() == 1
        same_rows(many.history, one.history, 2e-6)
        for (name, p), q in zip(many.model.state_dict().items(), one.model.state_dict().values()):
            np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-5, atol=2e-6, err_msg=name)
        same_everywhere(*many.model.state_dict().values())
        same_rows(ranks.group.object_of(many.history), many.history, 0)


def check_trainer_with_sharded_state_and_lists_and_regression():
    make = lambda p: dist.ZeroRedundancyOptimizer(p, optim.AdamW, lr=1e-2, eps=1e-3, reduce_scatter=True)
    with alone():
        one = fitted(clip_grad_norm=0.1)
    many = fitted(optimizer=make, clip_grad_norm=0.1)
    same_rows(many.history, one.history, 2e-6)

    def regression():
        weft.manual_seed(1)
        model = nn.Linear(3, 2)
        x = np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32)
        data = [(x[:1], x[:1, :2]), (x[1:3], x[1:3, 1:]), (x[3:], x[3:, :2])]  # of one sample: others have none
        trainer = weft.training.Trainer(
            model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1), metrics=["r2", "mae"]
        )
        return trainer.fit([tuple(map(weft.asarray, batch)) for batch in data], epochs=2)

    with alone():
        expected = regression()
    same_rows(regression(), expected, 1e-4)


def check_trainer_goes_on_with_another_number():
    """What N processes have saved in the middle of an epoch, one goes on with, and the other way round."""
    with alone():
        one = fitted(epochs=3)

    class StopAt(weft.training.Callback):
        def on_batch_end(self, trainer):
            if trainer.step == 7:
                trainer.stop("enough")

    many = fitted(epochs=3, callbacks=[StopAt()])
    state = many.state_dict()
    same_everywhere(np.frombuffer(repr(state["sums"]).encode(), np.uint8))
    again = fitted(epochs=3, state=state)
    same_rows(again.history, one.history, 2e-6)
    with alone():
        other = fitted(epochs=3, state=state)
        broken_off = fitted(epochs=3, callbacks=[StopAt()]).state_dict()
    same_rows(other.history, one.history, 2e-6)
    same_rows(fitted(epochs=3, state=broken_off).history, one.history, 2e-6)


def check_captured_trainer_on_the_emulator():
    try:
        weft.zeros(1, device="emulator")
    except weft.DeviceError:
        return
    eager, captured = (fitted("emulator", epochs=1, n=36, capture=capture) for capture in (False, True))
    for p, q in zip(eager.model.state_dict().values(), captured.model.state_dict().values()):
        assert p.cpu().numpy().tobytes() == q.cpu().numpy().tobytes()


def check_data_that_differ():
    """Of a split that each process has drawn for itself, say, some samples would be seen twice, and others never."""
    x, y = of_rank(0, (20, 12)), np.arange(20) % 5
    model = Conv()
    trainer = weft.training.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(
        ValueError, match=r"`train_loader` must be the same in all processes.* got 20 samples.* and 19 samples"
    ):
        trainer.fit((x[RANK() :], y[RANK() :]))
    with pytest.raises(ValueError, match=r"`train_loader` must be the same.*checksum \w+.* in process 1"):
        trainer.fit((x[RANK() :][:10], y[:10]))
    with pytest.raises(ValueError, match="`validation_loader` must be the same"):
        trainer.fit((x, y), (x[RANK() :][:10], y[:10]))


def check_shares_in_a_loop_of_ones_own():
    """With the weight that the guide names, uneven and empty shares give what one process computes."""
    data = weft.data.ArrayDataset(of_rank(0, (10, 4)), np.arange(10) % 2)
    found = []
    for rank, size in ((0, 1), (RANK(), SIZE())):
        model = nn.Linear(4, 2)
        model.load_state_dict({k: weft.full(v.shape, 0.1) for k, v in model.state_dict().items()})
        wrapped = dist.DistributedDataParallel(model) if size > 1 else model
        optimizer = optim.SGD(model.parameters(), lr=0.5)
        for share, (x, y) in weft.data.DataLoader(data, 9, shuffle=True, seed=1).shares(rank, size):  # of 9, and of 1
            optimizer.zero_grad()
            (F.cross_entropy(wrapped(x), y) * (share.count * size / share.total)).backward()
            optimizer.step()
        found.append(model.weight.detach().numpy())
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5, atol=1e-6)


def check_augmented_batches():
    """Random changes of a whole batch, and batches that are drawn, are those of one process."""
    x = np.random.default_rng(0).random((10, 1, 6, 6)).astype(np.float32)
    data = weft.data.ArrayDataset(x, np.arange(10))
    make = lambda: weft.data.DataLoader(data, 4, seed=3, transform=weft.data.augment.RandomHorizontalFlip())
    blocks = lambda: weft.data.DataLoader(weft.data.RandomBlocks(np.arange(99), 5, samples=10), 4, seed=3)
    for loader in (make, blocks):
        whole = [batch[0].numpy() for batch in loader()]
        found = [part[0].numpy() for _, part in loader().shares(RANK(), SIZE())]
        for batch, part in zip(whole, found, strict=True):
            share = ranks.share_of(len(batch), RANK(), SIZE())
            np.testing.assert_array_equal(part, batch[share.start : share.start + share.count])


def check_sharded_checkpoints():
    """Each process writes its part; one process reads all, and so does another number."""
    import tempfile
    from pathlib import Path

    folder = Path(ranks.group.object_of(tempfile.mkdtemp() if RANK() == 0 else None))
    net = nn.Linear(2, 2)
    plain = optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(FileNotFoundError, match=rf"process 0 finds 1 of the {SIZE()} files"):
        dist.save_sharded(folder / f"of-{RANK()}" / "last.json", net, plain)
    with pytest.raises(TypeError, match=r"`extra.f` must be a number"):  # which process 0 alone writes
        dist.save_sharded(folder / "other" / "last.json", net, plain, f=min)
    with pytest.raises(ValueError, match=r"must end in .json, the index"):
        dist.save_sharded(folder / "other" / ("last.pt" if RANK() == 1 else "last.json"), net, plain)
    folder = folder / "both"
    for dtype in ("float32", "bfloat16"):
        make = lambda p: dist.ZeroRedundancyOptimizer(optim.decay_groups(list(p), 0.1), optim.AdamW, lr=1e-2)
        _, optimizer, _, model = sharded(make, dtype)
        for step in (1, 2):
            dist.save_sharded(folder / "last.json", model.module, optimizer, step=step)
        if RANK() == 0:
            assert len(list(folder.iterdir())) == SIZE() + 1  # those of before are gone
        found, expected = dist.load_sharded(folder / "last.json"), optimizer.state_dict()
        assert found["step"] == 2
        assert found["optimizer"]["state"].keys() == expected["state"].keys()
        for i, entry in expected["state"].items():
            for name, value in entry.items():
                np.testing.assert_array_equal(np.asarray(found["optimizer"]["state"][i][name]), np.asarray(value))
        with alone():
            one = Net(dtype=getattr(weft, dtype))
            one.load_state_dict(found["model"])
            plain = optim.AdamW(optim.decay_groups(list(one.parameters()), 0.1), lr=1e-2)
            plain.load_state_dict(found["optimizer"])
        make(model.parameters()).load_state_dict(found["optimizer"])
        dist.barrier()


def check_buckets_begin_while_backward_goes_on():
    """All but what the first layer's gradients are in, before backward is over; in one order, whatever was unused."""
    begun = []

    class Watched(weft.distributed.buckets.Reducer):
        def end(self):
            begun.append((self._next, len(self.buckets)))
            super().end()

    model = dist.DistributedDataParallel(nn.Sequential(*[nn.Linear(16, 16) for _ in range(4)]), bucket_cap_mb=0.001)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    model._reducer.__class__ = Watched
    for _ in range(2):
        optimizer.zero_grad()
        model(weft.ones((4, 16))).sum().backward()
        optimizer.step()
    assert all(before >= total - 1 and total >= 4 for before, total in begun)
    assert len(begun) == 2


def check_memory_of_state():
    """Adam's moments of an MLP of 535,818 parameters: at two processes at most 0.6 of what one keeps."""
    model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10))
    sizes = []
    for make in (optim.Adam, lambda p: dist.ZeroRedundancyOptimizer(p, optim.Adam)):
        optimizer = make(model.parameters())
        for p in model.parameters():
            p.grad = weft.ones(p.shape)
        optimizer.step()
        sizes.append(sum(v.nbytes for arenas in optimizer._arenas for arena in arenas for v in arena.state.values()))
    said = optimizer.memory()
    if RANK() == 0:
        print(said, f"instead of {sizes[0] / 2**20:.1f} MiB, {sizes[1] / sizes[0]:.2f} of it")
    assert sizes[1] <= (1.2 / SIZE()) * sizes[0]
