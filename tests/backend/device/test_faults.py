"""Indices that only the device has seen are told where the host waits: the emulator records as a GPU does."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.backend.device import faults
from weft.backend.device.devices import waiting_is_meant
from weft.layers import functional as F
from weft.training import Trainer

pytestmark = pytest.mark.skipif("emulator" not in weft.devices(), reason="needs a C++ compiler")


@pytest.fixture(autouse=True)
def _nothing_before():
    weft.zeros(1, device="emulator")
    faults.forget()
    yield
    faults.forget()
    weft.set_sync_debug_mode("default")


def on_device(*numbers):
    return weft.asarray(np.array(numbers), device="emulator")


LOSSES = {
    "cross_entropy": F.cross_entropy,
    "sum": lambda x, y: F.cross_entropy(x, y, reduction="sum"),
    "nll_loss": F.nll_loss,
    "multi_margin_loss": F.multi_margin_loss,
    "embedding": lambda x, y: F.embedding(y, x),
    "one_hot": lambda x, y: F.one_hot(y, 3),
}


@pytest.mark.parametrize("name", LOSSES)
def test_recorded(name):
    x = weft.zeros((3, 3), device="emulator")
    step = weft.capture(lambda y: LOSSES[name](x, y))
    for _ in range(4):
        step(on_device(0, 1, 2))
    faults.tell()
    step(on_device(0, 5, -1))
    step(on_device(0, 1, 2))
    what = "indices" if name in ("embedding", "one_hot") else "target"
    with pytest.raises(IndexError, match=rf"`{what}` must hold .* at position 1, got 5$"):
        faults.tell()
    faults.tell()


@pytest.mark.parametrize("mode", ["warn", "error"])
def test_told_where_a_wait_passes(mode):
    x = weft.zeros((3, 3), device="emulator")
    step = weft.capture(lambda y: F.nll_loss(x, y))
    for last in (0, 1, 2, 3):
        loss = step(on_device(0, 1, last))
    weft.set_sync_debug_mode(mode)
    with pytest.raises(IndexError, match="at position 2, got 3"), waiting_is_meant():
        loss.item()


READS = {
    "item": lambda loss: loss.item(),
    "numpy": lambda loss: loss.detach().numpy(),
    "print": repr,
    "synchronize": lambda loss: weft.synchronize("emulator"),
}


@pytest.mark.parametrize("name", READS)
def test_told_by_a_loop_of_ones_own(name):
    model = nn.Linear(2, 3).to("emulator")
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    @weft.capture
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    x = weft.zeros((3, 2), device="emulator")
    for last in (0, 1, 2, 0, 1):
        READS[name](step(x, on_device(0, 1, last)))
    loss = step(x, on_device(0, 1, 3))
    with pytest.raises(IndexError, match=r"`target` must hold classes .* at position 2, got 3$"):
        READS[name](loss)
    READS[name](loss)


def test_trainer_at_the_end_of_the_epoch():
    def trainer():
        model = nn.Linear(2, 3).to("emulator")
        return Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.0))

    x = np.zeros((4, 2), np.float32)
    good, bad = (x, np.array([0, 1, 2, -100])), (x, np.array([0, 1, 3, 1 << 40]))
    ours = trainer()
    with pytest.raises(IndexError, match=r"`target` must hold classes .* at position 2, got 3$"):
        ours.fit([good] * 4 + [bad] + [good], epochs=2)
    assert (ours.epoch, ours.batch) == (0, 6)
    step = weft.capture(lambda y: F.nll_loss(weft.zeros((1, 3), device="emulator"), y))
    for last in (0, 1, 2, 3):  # of other work: the trainer does not tell
        step(on_device(last))
    assert len(trainer().fit([good] * 4, epochs=1)) == 1
