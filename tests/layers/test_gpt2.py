"""GPT-2: initial values, errors, training on every device; `test_pretrained.py` has its numbers."""

import numpy as np
import pytest

import weft
from weft import optimizers as optim
from weft.layers import functional as F
from weft.layers import models

SMALL = {"vocab_size": 11, "context": 8, "width": 16, "layers": 2, "heads": 2}


def test_sizes():
    """Parameters of the smallest size as it was published, without making them."""
    width, layers, _ = models.SIZES["small"]
    block = 12 * width**2 + 13 * width
    assert 50257 * width + 1024 * width + layers * block + 2 * width == 124_439_808
    found = sum(p.size for p in models.gpt2(**SMALL).parameters())
    assert found == 11 * 16 + 8 * 16 + 2 * (12 * 16**2 + 13 * 16) + 2 * 16
    with pytest.raises(ValueError, match="`size` must be one of 'small', 'medium', 'large', 'xl', got 'tiny'"):
        models.gpt2("tiny")
    with pytest.raises(ValueError, match="`heads` must divide `width`, 16, got 3"):
        models.gpt2(**SMALL | {"heads": 3})


def test_initial_values():
    model = models.gpt2(vocab_size=500, context=64, width=64, layers=8, heads=2)
    parameters = dict(model.named_parameters())
    assert np.std(parameters["wte.weight"].detach().numpy()) == pytest.approx(0.02, rel=0.05)
    assert np.std(parameters["h.3.mlp.c_fc.weight"].detach().numpy()) == pytest.approx(0.02, rel=0.05)
    assert np.std(parameters["h.3.mlp.c_proj.weight"].detach().numpy()) == pytest.approx(0.02 / 4, rel=0.05)
    assert not parameters["h.3.attn.c_attn.bias"].detach().numpy().any()
    assert (parameters["ln_f.weight"].detach().numpy() == 1).all()
    loss = model.loss(weft.randint(0, 500, (4, 64)), weft.randint(0, 500, (4, 64)))
    assert loss.item() == pytest.approx(np.log(500), rel=0.02)


def test_loss_is_the_cross_entropy_of_the_logits():
    model = models.gpt2(**SMALL).double()
    x, y = weft.tensor([[1, 2, 3], [4, 5, 6]]), weft.tensor([[2, 3, -100], [5, 6, 7]])
    expected = F.cross_entropy(model(x).reshape(-1, 11), y.reshape(-1))
    assert model.loss(x, y).item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("device", ["cpu", "emulator"])
def test_learns_a_sequence(device):
    if device not in weft.devices():
        pytest.skip("no C++ compiler")
    model = models.gpt2(**SMALL, device=device)
    optimizer = optim.AdamW(model.parameters(), lr=1e-2)
    text = weft.asarray(np.array([[1, 5, 2, 5, 3, 5, 4, 5, 1]]), device=device)

    @weft.capture
    def step(x, y):
        optimizer.zero_grad()
        value = model.loss(x, y)
        value.backward()
        optimizer.step()
        return value

    losses = [step(text[:, :-1], text[:, 1:]).item() for _ in range(40 if device == "cpu" else 6)]
    assert losses[-1] < losses[0] * (0.2 if device == "cpu" else 0.9)


def test_dropout_acts_in_training_alone():
    model, x = models.gpt2(**SMALL, dropout=0.5), weft.tensor([[1, 2, 3]])
    assert (model(x) != model(x)).any()
    model.eval()
    assert (model(x) == model(x)).all()


def test_errors():
    model = models.gpt2(**SMALL)
    with pytest.raises(ValueError, match="`tokens` must be at most 8, the model's context, got 9; shorten them"):
        model(weft.zeros((1, 9), dtype=weft.int64))
    with pytest.raises(ValueError, match=r"`tokens` must be integers of shape \(N, L\), got float32 of shape \(1, 3\)"):
        model(weft.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"`tokens` must be integers of shape \(N, L\), got int64 of shape \(3,\)"):
        model(weft.zeros(3, dtype=weft.int64))
    with pytest.raises(ValueError, match=r"`attention_mask` must have shape \(N, S\) = \(1, 3\), got \(1, 2\)"):
        model(weft.zeros((1, 3), dtype=weft.int64), weft.ones((1, 2), dtype=weft.int64))
    with pytest.raises(IndexError, match=r"`indices` must be in \[0, 11\), the rows of the table; .* got 11"):
        model(weft.tensor([[11]]))
