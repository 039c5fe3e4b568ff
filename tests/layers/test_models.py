"""The small models: sizes from the literature, names from torchvision, shapes, and that a step makes them better."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.layers import models


def count(model):
    return sum(p.size for p in model.parameters())


class TestMlp:
    def test_sizes(self):
        net = models.mlp((1, 28, 28), 10)
        assert [type(m).__name__ for m in net] == ["Flatten", "Linear", "ReLU", "Linear", "ReLU", "Linear"]
        assert count(net) == 784 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10
        assert models.mlp((5,), 3, hidden=())(weft.ones((2, 5))).shape == (2, 3)
        assert isinstance(models.mlp((5,), 3, hidden=(4,), activation=nn.Tanh)[2], nn.Tanh)


class TestCnn:
    def test_the_textbooks_numbers(self):
        layers = [m for m in models.cnn() if list(m.parameters())]
        assert [count(m) for m in layers] == [448, 4_640, 262_272, 1_290]
        assert count(models.cnn()) == 268_650

    @pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (1, 8, 8), (2, 9, 5)])
    def test_adapts_to_its_input(self, shape):
        assert models.cnn(shape, 7)(weft.ones((2, *shape))).shape == (2, 7)

    def test_errors(self):
        with pytest.raises(
            ValueError, match=r"`input_shape` must be \(C, H, W\) with H and W at least 4, got \(3, 2, 2\)"
        ):
            models.cnn((3, 2, 2))


class TestResNet:
    def test_names_and_sizes_are_torchvisions(self):
        net = models.resnet18()
        assert count(net) == 11_689_512
        names = list(net.state_dict())
        assert len(names) == 122
        assert names[:7] == [
            "conv1.weight",
            "bn1.weight",
            "bn1.bias",
            "bn1.running_mean",
            "bn1.running_var",
            "bn1.num_batches_tracked",
            "layer1.0.conv1.weight",
        ]
        assert {
            "layer2.0.downsample.0.weight",
            "layer2.0.downsample.1.running_var",
            "layer4.1.bn2.bias",
            "fc.bias",
        } <= set(names)
        assert net.state_dict()["layer3.0.downsample.0.weight"].shape == (256, 128, 1, 1)
        assert net.fc.weight.shape == (1000, 512)

    def test_forward_and_backward(self):
        net = models.ResNet((1, 1), 10, in_channels=1)
        y = net(weft.randn(2, 1, 17, 17))
        assert y.shape == (2, 10)
        y.sum().backward()
        assert all(p.grad is not None for p in net.parameters())

    def test_blocks_add_their_input(self):
        block = models.BasicBlock(4, 4).eval()
        nn.init.zeros_(block.bn2.weight)
        x = weft.randn(1, 4, 5, 5)
        np.testing.assert_array_equal(block(x).detach().numpy(), np.maximum(x.numpy(), 0))
        assert models.BasicBlock(4, 8, stride=2)(weft.ones((2, 4, 5, 5))).shape == (2, 8, 3, 3)

    def test_initial_convolutions(self):
        weight = models.ResNet((2, 1)).layer2.get_submodule("0.conv2").weight.detach().numpy()
        assert weight.var() == pytest.approx(2 / (128 * 9), rel=0.02)


@pytest.mark.parametrize("name", models.MODELS)
def test_one_signature_for_all(name):
    with weft.device("cpu"):
        net = models.MODELS[name]((1, 16, 16), 5, dtype=weft.float64)
    assert net.eval()(weft.ones((2, 1, 16, 16), dtype=weft.float64)).shape == (2, 5)


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_a_step_down_the_gradient_lowers_the_loss(name):
    net, loss = models.MODELS[name]((1, 8, 8), 3), nn.CrossEntropyLoss()
    x, y = weft.randn(6, 1, 8, 8), weft.tensor([0, 1, 2, 0, 1, 2])
    before = loss(net(x), y)
    before.backward()
    for p in net.parameters():
        p.data -= 0.1 * p.grad.data
    assert loss(net(x), y).item() < before.item()
