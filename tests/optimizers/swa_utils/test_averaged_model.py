"""Averages of weights against sums by hand."""

import copy

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.optimizers import swa_utils
from weft.training import load_checkpoint, save_checkpoint

WEIGHTS = [1.0, 4.0, 2.0, 9.0]


def decayed(values, decay):
    average = values[0]
    for value in values[1:]:
        average = decay * average + (1 - decay) * value
    return average


def halve(averages, news, count):
    averages[0][...] = averages[0] * 0.5


AVERAGES = {
    "swa by default": (dict, np.mean(WEIGHTS)),
    "swa": (lambda: {"avg_fn": swa_utils.get_swa_avg_fn()}, np.mean(WEIGHTS)),
    "swa of all": (lambda: {"multi_avg_fn": swa_utils.get_swa_multi_avg_fn()}, np.mean(WEIGHTS)),
    "ema": (lambda: {"avg_fn": swa_utils.get_ema_avg_fn(0.75)}, decayed(WEIGHTS, 0.75)),
    "ema of all": (lambda: {"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.75)}, decayed(WEIGHTS, 0.75)),
    "greatest": (lambda: {"avg_fn": lambda average, new, n: weft.maximum(average, new)}, max(WEIGHTS)),
    "in place": (lambda: {"multi_avg_fn": halve}, WEIGHTS[0] / 8),
}


def model():
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


class TestAveragedModel:
    @pytest.mark.parametrize("device", ["cpu", "emulator"])
    @pytest.mark.parametrize("name", AVERAGES)
    def test_average(self, name, device):
        options, expected = AVERAGES[name]
        layer = nn.Linear(2, 2, bias=False).to(device)
        averaged = swa_utils.AveragedModel(layer, **options())
        for w in WEIGHTS:
            nn.init.constant_(layer.weight, w)
            averaged.update_parameters(layer)
        np.testing.assert_allclose(averaged.module.weight.detach().numpy(), np.full((2, 2), expected), rtol=1e-6)
        assert averaged.n_averaged.item() == len(WEIGHTS)
        assert averaged(weft.ones(2, device=device)).detach().numpy()[0] == pytest.approx(2 * expected)

    def test_buffers_are_copied_or_averaged(self):
        for use_buffers, expected in ((False, 9.0), (True, 4.0)):
            norm = nn.BatchNorm1d(1)
            averaged = swa_utils.AveragedModel(norm, use_buffers=use_buffers)
            for value in WEIGHTS:
                norm.running_mean.data[...] = value
                norm.num_batches_tracked.data[...] = int(value)
                averaged.update_parameters(norm)
            assert averaged.module.running_mean.item() == expected
            assert averaged.module.num_batches_tracked.item() == (9 if not use_buffers else 3)  # truncated each time

    def test_follows_an_optimizer(self, rng):
        net, visited = model(), []
        averaged, optimizer = swa_utils.AveragedModel(net), optim.SGD(net.parameters(), lr=0.1)
        x = weft.asarray(rng.standard_normal((8, 2)).astype(np.float32))
        for _ in range(3):
            optimizer.zero_grad()
            (net(x) ** 2).sum().backward()
            optimizer.step()
            visited.append(net[0].weight.detach().numpy().copy())
            averaged.update_parameters(net)
        np.testing.assert_allclose(averaged.module[0].weight.detach().numpy(), np.mean(visited, axis=0), rtol=1e-5)
        assert averaged.module[0].weight is not net[0].weight

    @pytest.mark.parametrize("way", ["state", "file"])
    def test_state_is_pytorchs(self, way, tmp_path):
        net = model()
        averaged = swa_utils.AveragedModel(net)
        averaged.update_parameters(net)
        names = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
        names = ["module.0.weight", "module.0.bias", *(f"module.1.{n}" for n in names)]
        state = averaged.state_dict()
        assert sorted(state) == sorted(["n_averaged", *names])
        if way == "file":
            save_checkpoint(tmp_path / "averaged.safetensors", {"model": dict(state)})
            state = load_checkpoint(tmp_path / "averaged.safetensors")["model"]
        other = swa_utils.AveragedModel(model())
        other.load_state_dict(state)
        nn.init.constant_(net[0].weight, 5.0)
        for each in (averaged, other):
            each.update_parameters(net)
        assert other.n_averaged.item() == 2
        np.testing.assert_array_equal(
            other.module[0].weight.detach().numpy(), averaged.module[0].weight.detach().numpy()
        )

    def test_another_device_and_copies(self):
        net = model()
        averaged = swa_utils.AveragedModel(net, "emulator")
        averaged.update_parameters(net)
        assert (averaged.module[0].weight.device, averaged.n_averaged.device) == ("emulator", "emulator")
        np.testing.assert_array_equal(averaged.module[0].weight.detach().numpy(), net[0].weight.detach().numpy())
        assert copy.deepcopy(averaged).n_averaged.item() == 1

    def test_no_captured_step_counts(self):
        layer = nn.Linear(1, 1).to("emulator")
        averaged = swa_utils.AveragedModel(layer)

        def step(x):
            averaged.update_parameters(layer)
            return layer(x)

        captured = weft.capture(step, warmup=1, strict=True)
        captured(weft.ones(1, device="emulator"))
        with pytest.raises(RuntimeError, match=r"cannot be captured: .*the `n_averaged` of AveragedModel"):
            captured(weft.ones(1, device="emulator"))

    def test_errors(self):
        with pytest.raises(ValueError, match="`avg_fn` and `multi_avg_fn` must not both be given"):
            swa_utils.AveragedModel(model(), avg_fn=max, multi_avg_fn=max)
        with pytest.raises(TypeError, match="`model` must be a Module, got list"):
            swa_utils.AveragedModel([])
        with pytest.raises(
            ValueError, match=r"`model` must have tensors of shapes \[\(1, 1\), \(1,\)\], got \[\(2, 1\)"
        ):
            swa_utils.AveragedModel(nn.Linear(1, 1)).update_parameters(nn.Linear(1, 2))


class TestUpdateBn:
    def test_statistics_are_those_of_the_data(self, rng):
        net, x = model(), rng.standard_normal((12, 2)).astype(np.float32)
        net.eval()
        batches = [(weft.asarray(part), None) for part in np.split(x, 3)]
        swa_utils.update_bn(batches, net)
        hidden = [(net[0](part)).detach().numpy().astype(float) for part, _ in batches]
        np.testing.assert_allclose(net[1].running_mean.numpy(), np.mean([h.mean(0) for h in hidden], 0), atol=1e-6)
        variance = np.mean([h.var(0, ddof=1) for h in hidden], 0)
        np.testing.assert_allclose(net[1].running_var.numpy(), variance, rtol=1e-4)
        assert net[1].num_batches_tracked.item() == 3
        assert (net.training, net[1].momentum) == (False, 0.1)

    def test_modes_and_momenta_come_back_after_an_error(self):
        net = model().eval()
        with pytest.raises(Exception, match="must"):
            swa_utils.update_bn([weft.ones((2, 7))], net)
        assert (net.training, net[1].momentum) == (False, 0.1)

    def test_nothing_to_do(self):
        swa_utils.update_bn(iter(lambda: 1 / 0, None), nn.Linear(1, 1))

    def test_device(self):
        net = nn.BatchNorm1d(1).to("emulator")
        swa_utils.update_bn([weft.asarray(np.array([[1.0], [3.0]], np.float32))], net, device="emulator")
        assert net.running_mean.item() == 2.0


class TestGetSwaAvgFn:
    def test_integers_and_tensors_count(self):
        f = swa_utils.get_swa_avg_fn()
        assert f(weft.tensor(4.0), weft.tensor(7.0), weft.tensor(2)).item() == f(4.0, 7.0, 2) == 5.0


class TestGetSwaMultiAvgFn:
    def test_in_place(self):
        average = weft.Parameter([4.0])
        swa_utils.get_swa_multi_avg_fn()([average], [weft.tensor([7.0])], 2)
        assert average.tolist() == [5.0]


@pytest.mark.parametrize("f", [swa_utils.get_ema_avg_fn, swa_utils.get_ema_multi_avg_fn])
def test_decay_is_a_share(f):
    with pytest.raises(ValueError, match=r"`decay` must be in \[0, 1\], got 1.5"):
        f(1.5)


class TestGetEmaAvgFn:
    def test_default(self):
        assert swa_utils.get_ema_avg_fn()(1.0, 0.0, 1) == 0.999


class TestGetEmaMultiAvgFn:
    def test_default(self):
        average = weft.tensor(1.0)
        swa_utils.get_ema_multi_avg_fn()([average], [weft.tensor(0.0)], 1)
        assert average.item() == pytest.approx(0.999)
