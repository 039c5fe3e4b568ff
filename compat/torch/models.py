"""`torchvision.models`: networks with torchvision's names of weights, freshly drawn or read from where it keeps its files."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ... import layers as nn
from ...backend.tape.tensor import Tensor
from ...layers import models
from .. import checkpoint
from .runtime import hub_folder

__all__ = ["MODELS", "VGG", "AlexNet", "Bottleneck"]

WIDTHS = {
    "vgg11": "64 M 128 M 256 256 M 512 512 M 512 512 M",
    "vgg13": "64 64 M 128 128 M 256 256 M 512 512 M 512 512 M",
    "vgg16": "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M",
    "vgg19": "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M",
}
RESNETS = {
    "resnet18": (False, (2, 2, 2, 2)), "resnet34": (False, (3, 4, 6, 3)), "resnet50": (True, (3, 4, 6, 3)),
    "resnet101": (True, (3, 4, 23, 3)), "resnet152": (True, (3, 8, 36, 3)),
}  # fmt: skip


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions, the last to four times the channels, and a shortcut.

    Parameters
    ----------
    in_channels : int
        Channels of the input.
    channels : int
        Channels in between.
    stride : int, default 1
        That of the 3×3 convolution.
    """

    def __init__(self, in_channels: int, channels: int, stride: int = 1):
        super().__init__()
        out = 4 * channels
        self.conv1, self.bn1 = nn.Conv2d(in_channels, channels, 1, bias=False), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, stride, 1, bias=False), nn.BatchNorm2d(channels)
        self.conv3, self.bn3 = nn.Conv2d(channels, out, 1, bias=False), nn.BatchNorm2d(out)
        self.relu = nn.ReLU()
        self.downsample = None
        if stride != 1 or in_channels != out:
            self.downsample = nn.Sequential(nn.Conv2d(in_channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        """Convolutions plus shortcut."""
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))
        return self.relu(self.bn3(self.conv3(y)) + shortcut)


class _DeepResNet(models.ResNet):
    """A residual network of bottlenecks."""

    def __init__(self, blocks: tuple[int, ...], num_classes: int = 1000):
        super().__init__((), num_classes)
        del self.fc
        width = 64
        for stage, count in enumerate(blocks):
            channels, stride = 64 << stage, 1 if stage == 0 else 2
            rest = [Bottleneck(4 * channels, channels) for _ in range(count - 1)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(Bottleneck(width, channels, stride), *rest))
            width = 4 * channels
        self.fc = nn.Linear(width, num_classes)
        self.stages = len(blocks)
        _draw(self)


def _draw(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class VGG(nn.Module):
    """3×3 convolutions between poolings, and three affine layers.

    Parameters
    ----------
    widths : str
        Channels of each convolution, M for each pooling.
    batch_norm : bool, default False
        Whether each convolution is normalised.
    num_classes : int, default 1000
        How many logits.
    """

    def __init__(self, widths: str, batch_norm: bool = False, num_classes: int = 1000):
        super().__init__()
        parts: list[nn.Module] = []
        channels = 3
        for width in widths.split():
            if width == "M":
                parts.append(nn.MaxPool2d(2, 2))
                continue
            parts += [
                nn.Conv2d(channels, int(width), 3, padding=1),
                *([nn.BatchNorm2d(int(width))] if batch_norm else []),
            ]
            parts.append(nn.ReLU(inplace=True))
            channels = int(width)
        self.features = nn.Sequential(*parts)
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(channels * 49, 4096), nn.ReLU(True), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(True), nn.Dropout(),
            nn.Linear(4096, num_classes),
        )  # fmt: skip
        _draw(self)
        for module in self.classifier:
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.normal_(module.weight, 0, 0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images (N, 3, H, W)."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


class AlexNet(nn.Module):
    """Five convolutions and three affine layers.

    Parameters
    ----------
    num_classes : int, default 1000
        How many logits.
    dropout : float, default 0.5
        How many values of the affine layers are dropped.
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5):
        super().__init__()
        relu = partial(nn.ReLU, inplace=True)
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, 4, 2), relu(), nn.MaxPool2d(3, 2), nn.Conv2d(64, 192, 5, padding=2), relu(),
            nn.MaxPool2d(3, 2), nn.Conv2d(192, 384, 3, padding=1), relu(), nn.Conv2d(384, 256, 3, padding=1), relu(),
            nn.Conv2d(256, 256, 3, padding=1), relu(), nn.MaxPool2d(3, 2),
        )  # fmt: skip
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(256 * 36, 4096), relu(), nn.Dropout(dropout), nn.Linear(4096, 4096), relu(),
            nn.Linear(4096, num_classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images (N, 3, H, W)."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _model(name: str, build: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    def make(*, weights: Any = None, pretrained: bool = False, progress: bool = True, **options: Any) -> nn.Module:
        file = _file(name) if pretrained or weights is not None else None  # before much is drawn
        net = build(**options)
        if file is not None:
            net.load_state_dict(checkpoint.load(file))
        return net

    def call(*args: Any, **options: Any) -> nn.Module:
        if args:  # torchvision's first was `pretrained`
            options["pretrained" if isinstance(args[0], bool) else "weights"] = args[0]
        return make(**options)

    call.__name__, call.__doc__ = name, f"torchvision's {name}."
    return call


def _file(name: str) -> Path:
    """The weights of a network, where `torch.hub` keeps them."""
    folder = Path(hub_folder()) / "checkpoints"
    found = sorted(folder.glob(f"{name}-*.pth"))
    if not found:
        raise ValueError(
            f"`weights` must be None, or lie in {folder} as {name}-….pth (nothing is downloaded), got none there; put the "
            "file there, or use load_state_dict"
        )
    return found[-1]


class _Weights:
    """An enumeration of weights, of which there are those in the file alone."""

    def __init__(self, name: str):
        self.name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return f"{self.name}.{name}"


MODELS: dict[str, Any] = {
    **{
        name: _model(name, partial(_DeepResNet if deep else models.ResNet, blocks))
        for name, (deep, blocks) in RESNETS.items()
    },
    **{name: _model(name, partial(VGG, widths)) for name, widths in WIDTHS.items()},
    **{f"{name}_bn": _model(f"{name}_bn", partial(VGG, widths, True)) for name, widths in WIDTHS.items()},
    "alexnet": _model("alexnet", AlexNet),
    "VGG": VGG, "AlexNet": AlexNet, "ResNet": models.ResNet,
    **{f"{name.replace('resnet', 'ResNet').replace('vgg', 'VGG')}_Weights": _Weights(name) for name in (*RESNETS, *WIDTHS)},
}  # fmt: skip
