"""Loss scaling: the sequence of scales and weights that PyTorch's GradScaler gives, written out; float16 training."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim

devices = pytest.mark.parametrize("device", [d for d in weft.devices() if d in ("cpu", "emulator")])


def model_of(device="cpu"):
    model = nn.Linear(2, 1, bias=False).to(device)
    nn.init.ones_(model.weight)
    return model


def iterate(model, optimizer, scaler, value, *, unscale=False):
    optimizer.zero_grad()
    x = weft.asarray(np.full((1, 2), value, np.float32), device=model.weight.device)
    scaler.scale(model(x).sum()).backward()
    if unscale:
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()


@devices
@pytest.mark.parametrize("unscale", [False, True])
def test_scales_and_weights(device, unscale):
    model = model_of(device)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    scaler = weft.GradScaler(init_scale=4.0, growth_interval=2)
    seen = []
    for value in (1.0, 2.0, np.inf, 1.0, 1.0):
        iterate(model, optimizer, scaler, value, unscale=unscale)
        state = scaler.state_dict()
        seen.append(
            (round(model.weight.cpu().detach().numpy()[0, 0].item(), 5), state["scale"], state["_growth_tracker"])
        )
    assert seen == [(0.9, 4.0, 1), (0.7, 8.0, 0), (0.7, 4.0, 0), (0.6, 4.0, 1), (0.5, 8.0, 0)]


def test_unscaled_gradients_are_the_true_ones():
    model = model_of()
    optimizer, scaler = optim.SGD(model.parameters(), lr=0.1), weft.GradScaler(init_scale=8.0)
    scaler.scale(model(weft.ones((1, 2))).sum()).backward()
    assert model.weight.grad.numpy().tolist() == [[8.0, 8.0]]
    scaler.unscale_(optimizer)
    assert model.weight.grad.numpy().tolist() == [[1.0, 1.0]]


def test_two_optimizers_fail_and_grow_together():
    first, second = model_of(), model_of()
    a, b = optim.SGD(first.parameters(), lr=0.1), optim.SGD(second.parameters(), lr=0.1)
    scaler = weft.GradScaler(init_scale=4.0)
    scaler.scale(first(weft.ones((1, 2))).sum()).backward()
    scaler.scale(second(weft.full((1, 2), np.nan)).sum()).backward()
    scaler.step(a)
    scaler.step(b)
    scaler.update()
    assert scaler.get_scale() == 2.0
    np.testing.assert_allclose(first.weight.detach().numpy(), 0.9, rtol=1e-6)
    assert (second.weight.detach().numpy() == 1).all()


def test_growth_stops_before_infinity():
    model = model_of()
    optimizer, scaler = optim.SGD(model.parameters(), lr=0.0), weft.GradScaler(init_scale=2.0**127, growth_interval=1)
    optimizer.zero_grad()
    scaler.scale(model(weft.full((1, 2), 1e-6)).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 2.0**127


def test_state_dict():
    model = model_of()
    optimizer, scaler = optim.SGD(model.parameters(), lr=0.1), weft.GradScaler(init_scale=4.0, growth_interval=3)
    iterate(model, optimizer, scaler, 1.0)
    other = weft.GradScaler()
    other.load_state_dict(scaler.state_dict())
    assert (
        other.state_dict()
        == scaler.state_dict()
        == {"scale": 4.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 3, "_growth_tracker": 1}
    )
    for each in (scaler, other):
        iterate(model, optimizer, each, 1.0)
        iterate(model, optimizer, each, 1.0)
    assert other.state_dict() == scaler.state_dict()
    assert other.get_scale() == 8.0


def test_disabled():
    model = model_of()
    optimizer, scaler = optim.SGD(model.parameters(), lr=0.1), weft.GradScaler(enabled=False)
    iterate(model, optimizer, scaler, 1.0, unscale=True)
    np.testing.assert_allclose(model.weight.detach().numpy(), 0.9, rtol=1e-6)
    assert (scaler.get_scale(), scaler.state_dict(), scaler.is_enabled()) == (1.0, {}, False)


def test_set_scale():
    scaler = weft.GradScaler(init_scale=4.0)
    scaler.update(16.0)
    assert scaler.get_scale() == 16.0
    assert [t.item() for t in scaler.scale([weft.tensor(1.0), weft.tensor(2.0)])] == [16.0, 32.0]


class TestGradScaler:
    """Calls out of order, and options out of range."""

    def test_order_of_calls(self):
        model = model_of()
        optimizer, scaler = optim.SGD(model.parameters(), lr=0.1), weft.GradScaler()
        with pytest.raises(RuntimeError, match="`update` must come after a step"):
            scaler.update()
        scaler.scale(model(weft.ones((1, 2))).sum()).backward()
        scaler.unscale_(optimizer)
        with pytest.raises(RuntimeError, match="`unscale_` was called on this optimizer"):
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        with pytest.raises(RuntimeError, match="`step` was called on this optimizer"):
            scaler.step(optimizer)
        with pytest.raises(RuntimeError, match="`unscale_` must come before `step`"):
            scaler.unscale_(optimizer)

    def test_closure(self):
        optimizer = optim.SGD(model_of().parameters(), lr=0.1)
        with pytest.raises(ValueError, match="takes no closure"):
            weft.GradScaler().step(optimizer, lambda: None)

    def test_outputs(self):
        with pytest.raises(TypeError, match=r"`outputs` must be a Tensor, .* got float"):
            weft.GradScaler().scale(1.0)

    def test_empty_state(self):
        with pytest.raises(RuntimeError, match="got an empty one"):
            weft.GradScaler().load_state_dict({})

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"init_scale": 0.0}, "`init_scale` must be positive and finite, got 0.0"),
            ({"growth_factor": 1.0}, "`growth_factor` must be > 1, got 1.0"),
            ({"backoff_factor": 1.5}, "`backoff_factor` must be between 0 and 1, got 1.5"),
            ({"growth_interval": 0}, "`growth_interval` must be at least 1, got 0"),
        ],
    )
    def test_options(self, options, message):
        with pytest.raises(ValueError, match=message):
            weft.GradScaler(**options)


@devices
def test_float16_training(device):
    """Gradients that float16 rounds to zero train the model when they are scaled; without, nothing moves."""

    def train(scale):
        weft.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).to(device)
        x = weft.asarray(np.random.default_rng(0).standard_normal((16, 4)).astype("f"), device=device)
        y = (x[:, :1] * 1e-2).to(weft.float32)
        optimizer, scaler = optim.Adam(model.parameters(), lr=1e-2, eps=1e-16), weft.GradScaler(init_scale=scale)
        for _ in range(20):
            optimizer.zero_grad()
            with weft.autocast("float16"):
                loss = nn.functional.mse_loss(model(x), y) * 1e-8
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        return loss.item() * 1e8, model[0].weight.grad.abs().max().item()

    scaled, unscaled = train(2.0**24), train(1.0)
    assert unscaled[1] == 0
    assert scaled[0] < 0.5 * unscaled[0]
