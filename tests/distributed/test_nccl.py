"""Sums over GPUs against a stand-in for NCCL, under every order of streams that CUDA allows."""

import sys
from types import SimpleNamespace

import fake_nccl
import numpy as np
import pytest
from cupy_fixtures import POLICIES, cupy, machine, stand_in  # noqa: F401

import weft
from weft import distributed as dist
from weft import layers as nn
from weft import optimizers as optim
from weft.backend.device import ranks
from weft.distributed.group import Group


@pytest.fixture
def group(cupy, monkeypatch):  # noqa: F811
    """Process 0 of two, the other of which has twice its numbers."""
    fake_nccl.calls.clear()
    monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", fake_nccl)
    monkeypatch.setattr(cupy.cuda, "nccl", fake_nccl, raising=False)
    made = Group.__new__(Group)
    made.rank, made.size, made._nccl, made.watch = 0, 2, None, None
    made.object_of = lambda value, source=0: value
    made.begin_gather = lambda x: lambda: np.stack([x, x])
    monkeypatch.setattr(ranks, "group", made)
    return made


@pytest.mark.parametrize("policy", POLICIES)
def test_sums(group, machine, cupy, policy):  # noqa: F811
    machine.behave(policy)
    x = np.arange(1000, dtype=np.float32) + 1
    for op, factor in (("sum", 3), ("mean", 1.5), ("max", 2), ("min", 1)):
        on_gpu = cupy.asarray(x) * 1
        group.start_any(on_gpu, op).wait()
        np.testing.assert_array_equal((on_gpu * 1).get(), factor * x)
    half = cupy.asarray(x.astype(np.float16)) * 1
    group.start_any(half, "mean").wait()
    np.testing.assert_array_equal(half.get(), (1.5 * x.astype(np.float16).astype(np.float32)).astype(np.float16))
    part = cupy.asarray(x) * 1
    group.start_any(part, "sum", cuts=[0, 400, 1000], scatter=True).wait()
    np.testing.assert_array_equal(part.get(), np.where(np.arange(1000) < 400, 3, 1) * x)
    group.gather_parts(part, [0, 400, 1000])
    assert fake_nccl.calls[-4:] == ["groupStart", "broadcast", "broadcast", "groupEnd"]


def test_what_forgets_to_wait_is_found(group, machine, cupy):  # noqa: F811
    x = cupy.asarray(np.ones(1000, np.float32)) * 1
    group.start_any(x, "sum")
    with pytest.raises(machine.Race, match=r"stream \d+ reads \d+ bytes that stream \d+ uses"):
        _ = x + 1


def test_dtypes_that_it_has_not(group, cupy):  # noqa: F811
    with pytest.raises(TypeError, match=r"sums over GPUs need float16, bfloat16, float32.*got complex64"):
        group.start_any(cupy.asarray(np.ones(3, np.complex64)), "sum")


@pytest.mark.parametrize("policy", POLICIES[:2])
def test_gradients_are_means(group, machine, cupy, policy, monkeypatch):  # noqa: F811
    """Of a model on the GPU: mine and twice mine are 1.5 times mine."""
    machine.behave(policy)
    monkeypatch.setattr(dist.data_parallel, "check_alike", lambda module: None)
    monkeypatch.setattr(dist.data_parallel, "broadcast_state", lambda module: None)
    weft.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).to("cuda")
    x = weft.randn(5, 6, device="cuda")
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    model(x).sum().backward()
    alone = [p.grad.cpu().numpy().copy() for p in model.parameters()]
    optimizer.zero_grad()
    dist.DistributedDataParallel(model, bucket_cap_mb=0.0002)(x).sum().backward()
    for p, g in zip(model.parameters(), alone):
        np.testing.assert_allclose(p.grad.cpu().numpy(), 1.5 * g, rtol=1e-6)
    assert fake_nccl.calls.count("allReduce") >= 2


def test_library_is_missing(group, cupy, monkeypatch):  # noqa: F811
    monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", SimpleNamespace(available=False))
    monkeypatch.setattr(cupy.cuda, "nccl", SimpleNamespace(available=False))
    with pytest.raises(weft.DeviceError, match=r"sums over GPUs need NCCL.*nvidia-nccl-cu13"):
        group.accelerated()
