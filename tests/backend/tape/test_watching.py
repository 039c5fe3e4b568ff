"""What watchers are told, and that nothing is left behind."""

import threading

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.backend.tape import autograd
from weft.backend.tape.watching import watched, watching


class Log(list):
    """A watcher that notes beginnings and ends."""

    def __call__(self, operation):
        name = f"{operation.name}.backward" if operation.is_backward else operation.name
        self.append(name)
        return lambda result: self.append((name, type(result).__name__))

    def names(self):
        return [entry for entry in self if isinstance(entry, str)]


def test_forward_and_backward_in_order():
    x, log = weft.ones(3, requires_grad=True), Log()
    with watching(log):
        weft.sum(weft.exp(x)).backward()
    assert log == [
        "exp",
        ("exp", "Tensor"),
        "sum",
        ("sum", "Tensor"),
        "sum.backward",
        ("sum.backward", "ndarray"),
        "exp.backward",
        ("exp.backward", "ndarray"),
    ]
    np.testing.assert_allclose(x.grad.numpy(), np.e, rtol=1e-6)


def test_joint_pullbacks_and_those_of_several_outputs():
    log = Log()
    model = nn.Linear(2, 2)
    with watching(log):
        y = model(weft.ones((3, 2)))
        values, _ = weft.linalg.eigh(y.T @ y)
        values.sum().backward()
    names = log.names()
    assert names[0] == "linear"
    for name in ("linear", "eigh", "matmul"):
        assert names.count(f"{name}.backward") in (1, 2), names
    assert model.weight.grad is not None


def test_gradients_are_the_same_bits():
    rng = np.random.default_rng(0)
    model, loss = nn.Sequential(nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 3)), nn.CrossEntropyLoss()
    x = weft.asarray(rng.standard_normal((5, 10)).astype("f"))

    def gradients():
        model.zero_grad()
        loss(model(x), weft.asarray([0, 1, 2, 0, 1])).backward()
        return [p.grad.numpy().copy() for p in model.parameters()]

    expected = gradients()
    with watching(Log()):
        found = gradients()
    for a, b in zip(found, expected):
        np.testing.assert_array_equal(a, b)


def test_an_operation_inside_another_is_part_of_it():
    log = Log()
    with watching(log):
        weft.grad(weft.grad(lambda x: x**3))(weft.tensor(2.0))
        watched("outer", lambda: weft.exp(weft.ones(1)))
        weft.exp([1.0])  # makes a Tensor of the list first
    assert log.names()[-2:] == ["outer", "exp"]
    assert len(log) == 2 * len(log.names())


def test_optimizers():
    p = weft.Parameter(weft.ones(2))
    p.grad = weft.ones(2)
    log = Log()
    with watching(log):
        optim.Adam([p]).step()
    assert log.names() == ["Adam.step"]


def test_ends_with_the_block():
    x, log = weft.ones(3, requires_grad=True), Log()
    with watching(log):
        y = weft.exp(x)
    weft.sum(y).backward()
    assert log.names() == ["exp"]
    assert autograd.watch is None


def test_an_operation_that_fails_has_an_end():
    log = Log()
    with watching(log):
        with pytest.raises(ValueError, match="matmul"):
            weft.matmul(weft.ones((2, 3)), weft.ones((2, 3)))
        weft.exp(weft.ones(1))
    assert log == ["matmul", ("matmul", "NoneType"), "exp", ("exp", "Tensor")]


def test_two_watchers():
    first, second = Log(), Log()
    with watching(first):
        with watching(second):
            weft.exp(weft.ones(1))
        weft.log(weft.ones(1))
    assert first.names() == ["exp", "log"]
    assert second.names() == ["exp"]


@pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")
def test_captured_steps_run_operation_by_operation():
    """In between replays, which go on as if nothing had been."""
    weft.manual_seed(0)
    x = weft.ones(1000, device="emulator")
    expected = [weft.exp(nn.functional.dropout(x, 0.5)).tolist() for _ in range(6)]
    weft.manual_seed(0)
    run, log, found = weft.capture(lambda x: weft.exp(nn.functional.dropout(x, 0.5)), warmup=1), Log(), []
    for i in range(6):
        if i == 4:
            with watching(log):
                found.append(run(x).tolist())
        else:
            found.append(run(x).tolist())
    assert found == expected
    assert log.names() == ["dropout", "exp"]


@pytest.mark.parametrize(("all_threads", "expected"), [(False, ["exp"]), (True, ["exp", "log"])])
def test_threads(all_threads, expected):
    """What another thread computes is its own, forward and backward."""
    log = Log()
    with watching(log, all_threads=all_threads):
        weft.exp(weft.ones(2))
        other = threading.Thread(target=lambda: weft.log(weft.tensor([2.0], requires_grad=True)).sum().backward())
        other.start()
        other.join()
    assert [name for name in log.names() if name in ("exp", "log")][: len(expected)] == expected
    assert all_threads or log.names() == expected


def test_profile_and_trace_of_a_thread_among_others():
    stop = threading.Event()

    def work():
        x = weft.ones(3)
        while not stop.is_set():
            x += weft.tanh(x)

    others = [threading.Thread(target=work) for _ in range(2)]
    for other in others:
        other.start()
    try:
        with weft.profile() as profile:
            for _ in range(50):
                weft.exp(weft.ones(2))
        trace = weft.traced(lambda x: weft.exp(weft.exp(x)), weft.ones(2))
    finally:
        stop.set()
        for other in others:
            other.join()
    assert [(row.name, row.calls) for row in profile.rows] == [("exp", 50)]
    assert [operation.name for operation in trace.operations] == ["exp", "exp"]
