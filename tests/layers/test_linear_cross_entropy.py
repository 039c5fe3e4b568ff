"""`LinearCrossEntropyLoss`: its state as in PyTorch, tied weights, training on every device."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.layers import functional as F


def test_state_and_repr():
    loss = nn.LinearCrossEntropyLoss(3, 5, out_features=(2,), bias=True)
    shapes = {name: tuple(t.shape) for name, t in loss.state_dict().items()}
    assert shapes == {"linear.weight": (10, 3), "linear.bias": (10,)}
    assert "in_features=3, num_classes=5, out_features=(2,), bias=True, reduction='mean'" in repr(loss)
    x, y = weft.randn(4, 3), weft.tensor([[0, 1], [4, 2], [3, 3], [1, 0]])
    expected = F.cross_entropy(loss.linear(x).reshape(4, 5, 2), y)
    np.testing.assert_allclose(loss(x, y).item(), expected.item(), rtol=1e-6)


def test_options_change_nothing():
    options = nn.LinearCrossEntropyOptions(batch_chunk_size=2, chunking_method=None, acc_policy="compact")
    x, y = weft.randn(4, 3), weft.tensor([0, 1, 2, 2])
    loss = nn.LinearCrossEntropyLoss(3, 5, options=options)
    before = loss(x, y).item()
    loss.options = None
    assert loss(x, y).item() == before


@pytest.mark.parametrize("device", ["cpu", "emulator"])
def test_training_with_a_tied_table(device):
    if device not in weft.devices():
        pytest.skip("no C++ compiler")
    table = nn.Embedding(7, 8, device=device)
    loss = nn.LinearCrossEntropyLoss(8, 7, device=device)
    loss.linear.weight = table.weight
    model = nn.ModuleList([table, loss])
    assert len(list(model.parameters())) == 1
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    tokens = weft.asarray(np.arange(7), device=device)
    after = weft.asarray((np.arange(7) + 3) % 7, device=device)

    @weft.capture
    def step(x, y):
        optimizer.zero_grad()
        value = loss(table(x), y)
        value.backward()
        optimizer.step()
        return value

    first = step(tokens, after).item()
    for _ in range(40):
        last = step(tokens, after).item()
    assert last < first / 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduction": "max"}, "`reduction` must be one of .* got 'max'"),
        ({"label_smoothing": -1}, r"`label_smoothing` must be a probability in \[0, 1\], got -1"),
        ({"weight": weft.ones(4)}, r"`weight` must have shape \(5,\), got \(4,\)"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        nn.LinearCrossEntropyLoss(3, 5, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"acc_policy": "best"}, "`acc_policy` must be one of .* got 'best'"),
        ({"chunking_method": "aspect_ratio:0"}, "`chunking_method` must be .* got 'aspect_ratio:0'"),
        ({"batch_chunk_size": 0}, "`batch_chunk_size` must be a positive int or None, got 0"),
    ],
)
def test_errors_of_options(options, message):
    with pytest.raises(ValueError, match=message):
        nn.LinearCrossEntropyOptions(**options)


def test_options_of_another_kind():
    x, y, loss = weft.randn(3, 4), weft.tensor([0, 1, 2]), nn.LinearCrossEntropyLoss(4, 5, options="nonsense")
    with pytest.raises(TypeError, match="`options` must be a LinearCrossEntropyOptions or None, got 'nonsense'"):
        loss(x, y)
