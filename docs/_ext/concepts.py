"""The catalogue as a page of the site: concept, formula, code, picture; and the pictures, drawn by weft."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

import weft
from weft import data
from weft import layers as nn
from weft import optimizers as optim
from weft.optimizers import schedulers
from weft.training import picture

ROOT = Path(__file__).resolve().parents[2]
SHORT = {"nn": "weft.layers", "F": "weft.layers.functional", "optim": "weft.optimizers", "data": "weft.data"}
SHORT |= {"schedulers": "weft.optimizers.schedulers", "training": "weft.training"}
LINK = re.compile(r"\[([^\]]+)\]\(\.\./([^)]+)\)")
NAME = re.compile(r"(?<=\| )`([\w.]+)`(?= \|)")


def page() -> str:
    """docs/catalogue.md, its sources led to the site's copies of them, names to the reference, sections with pictures."""
    text = (ROOT / "docs" / "catalogue.md").read_text(encoding="utf-8")
    text = text.split("\n\n", 2)[2]
    text = NAME.sub(lambda found: f"{{py:obj}}`{found[1]} <{full(found[1])}>`", text)
    text = LINK.sub(_link, text)
    for section, (stem, _, alt) in PICTURES.items():
        text = text.replace(f"## {section}\n", f"## {section}\n\n![{alt}]({stem}.png)\n")
    about = "Each concept, its formula as the docstring has it, its code, and the test that holds it. Names lead to the reference."
    return f"# Catalogue\n\n{about}\n\n{text}"


def full(name: str) -> str:
    """`nn.Linear` as the reference has it."""
    first, _, rest = name.partition(".")
    return f"{SHORT[first]}.{rest}" if first in SHORT else f"weft.{name}"


def _link(found: re.Match[str]) -> str:
    label, path = found[1], found[2]
    if path.startswith("tests/"):
        return f"`{label}`"
    return f'<a href="../_modules/weft/{path.removesuffix(".py")}.html">{label}</a>'


# --- pictures --------------------------------------------------------------------------------------------------------
def activations(path: Path) -> None:
    """y and dy/dx of eight activations."""
    x = np.linspace(-4, 4, 401)
    names = ("Sigmoid", "Tanh", "ReLU", "LeakyReLU", "ELU", "GELU", "SiLU", "Softplus")
    with picture(path, 2, size=(8.4, 3.2), title="Activations, and their derivatives") as (left, right):
        for name in names:
            layer = getattr(nn, name)()
            t = weft.asarray(x).requires_grad_()
            y = layer(t)
            y.sum().backward()
            left.plot(x, y.detach().numpy(), label=name)
            right.plot(x, t.grad.numpy())
        left.set(ylim=(-1.5, 4), xlabel="x", ylabel="y")
        right.set(xlabel="x", ylabel="dy/dx")
        left.legend(frameon=False, fontsize=7, ncols=2)


def losses(path: Path) -> None:
    """Losses by the error, and by the margin."""
    e = weft.linspace(-3, 3, 301, dtype=weft.float64)
    zero, one = weft.zeros_like(e), weft.ones_like(e)
    functions = nn.functional
    with picture(path, 2, size=(8.4, 3.2), title="Losses") as (left, right):
        for name in ("mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss"):
            y = getattr(functions, name)(e, zero, reduction="none", **({"beta": 0.5} if "smooth" in name else {}))
            left.plot(e.numpy(), y.numpy(), label=name)
        entropy = functions.binary_cross_entropy_with_logits(e, one, reduction="none")
        right.plot(e.numpy(), entropy.numpy(), label="cross-entropy, class 1")
        right.plot(e.numpy(), weft.clip(1 - e, min=0).numpy(), label="hinge")
        right.plot(e.numpy(), (e < 0).astype(weft.float64).numpy(), label="wrong or right", color="#888")
        left.set(xlabel="prediction − target", ylim=(0, 4))
        right.set(xlabel="logit", ylim=(0, 4))
        left.legend(frameon=False, fontsize=7)
        right.legend(frameon=False, fontsize=7)


def initialisation(path: Path) -> None:
    """How strong the signal is after each of 30 layers of ReLU, by the initialisation."""
    rules: dict[str, Callable[[nn.Parameter], object]] = {
        "N(0, 0.01²)": lambda w: nn.init.normal_(w, std=0.01),
        "Xavier": nn.init.xavier_normal_,
        "Kaiming": lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"),
        "N(0, 0.2²)": lambda w: nn.init.normal_(w, std=0.2),
    }
    with picture(path, size=(5.4, 3.2), title="The signal on its way through 30 layers of 128 ReLUs") as (axis,):
        for name, rule in rules.items():
            weft.manual_seed(0)
            x, strength = weft.randn(256, 128), []
            for _ in range(30):
                weight = nn.Parameter(weft.empty((128, 128)))
                rule(weight)
                with weft.no_grad():
                    x = nn.functional.relu(nn.functional.linear(x, weight))
                strength.append(x.std().item())
            axis.plot(range(1, 31), strength, label=name)
        axis.set(yscale="log", xlabel="layer", ylabel="standard deviation of its outputs")
        axis.legend(frameon=False, fontsize=7)


def races(path: Path) -> None:
    """The ways of six optimizers through a narrow valley."""
    a, b = np.meshgrid(np.linspace(-3.2, 1.2, 200), np.linspace(-1.2, 2.2, 200))
    choices = {
        "SGD": (optim.SGD, {"lr": 0.02}),
        "momentum": (optim.SGD, {"lr": 0.01, "momentum": 0.9}),
        "RMSprop": (optim.RMSprop, {"lr": 0.05}),
        "Adam": (optim.Adam, {"lr": 0.15}),
        "Lion": (optim.Lion, {"lr": 0.05}),
        "Rprop": (optim.Rprop, {"lr": 0.05}),
    }

    def height(x, y):  # type: ignore[no-untyped-def]
        return 0.5 * x**2 + 10 * (y + 0.5 * x) ** 2

    with picture(path, size=(5.6, 4.2), title="60 steps in a narrow valley") as (axis,):
        axis.contour(a, b, height(a, b), levels=np.geomspace(0.05, 60, 14), colors="#ccc", linewidths=0.6)
        for name, (rule, options) in choices.items():
            p = nn.Parameter(weft.tensor([-2.0, 2.0], dtype=weft.float64))
            optimizer, way = rule([p], **options), [p.detach().numpy().copy()]
            for _ in range(60):
                optimizer.zero_grad()
                height(p[0], p[1]).backward()
                optimizer.step()
                way.append(p.detach().numpy().copy())
            axis.plot(*np.array(way).T, "-o", markersize=1.6, linewidth=0.9, label=name)
        axis.set(xlim=(-3.2, 1.2), ylim=(-1.2, 2.2))
        axis.legend(frameon=False, fontsize=7)


def schedules(path: Path) -> None:
    """Eight schedules over 100 steps."""
    makers: dict[str, Callable[[optim.Optimizer], object]] = {
        "StepLR": lambda o: schedulers.StepLR(o, 30, gamma=0.3),
        "ExponentialLR": lambda o: schedulers.ExponentialLR(o, 0.97),
        "LinearLR": lambda o: schedulers.LinearLR(o, total_iters=100, end_factor=0.0, start_factor=1.0),
        "CosineAnnealingLR": lambda o: schedulers.CosineAnnealingLR(o, 100),
        "CosineAnnealingWarmRestarts": lambda o: schedulers.CosineAnnealingWarmRestarts(o, 25, 2),
        "OneCycleLR": lambda o: schedulers.OneCycleLR(o, 1.0, total_steps=101),
        "CyclicLR": lambda o: schedulers.CyclicLR(o, 0.1, 1.0, 20, cycle_momentum=False),
        "WarmupCosineLR": lambda o: schedulers.WarmupCosineLR(o, warmup_steps=20, total_steps=100),
    }
    with picture(path, 4, size=(9.6, 2.3)) as axes:
        for i, (name, make) in enumerate(makers.items()):
            optimizer, rates = optim.SGD([nn.Parameter(weft.zeros(1))], lr=1.0, momentum=0.9), []
            schedule = make(optimizer)
            for _ in range(100):
                rates.append(optimizer.param_groups[0]["lr"])
                optimizer.step()
                schedule.step()  # type: ignore[attr-defined]
            axes[i // 2].plot(rates, label=name, linewidth=1.2)
        for axis in axes:
            axis.set(xlabel="step", ylim=(0, 1.3))
            axis.legend(frameon=False, fontsize=6, loc="upper right")


def augmentations(path: Path) -> None:
    """One picture, changed at random by some of the augmentations."""
    train = data.load_digits().train
    digit = np.asarray(train.x[np.asarray(train.y) == 3][:1], np.float32) / 16
    digit = np.kron(digit, np.ones((1, 1, 4, 4), np.float32))
    transforms = data.augment
    weft.manual_seed(3)
    changes = {
        "as it is": lambda x: x,
        "rotated": transforms.RandomRotation(30),
        "moved, sheared": transforms.RandomAffine(degrees=0, translate=(0.2, 0.2), shear=20),
        "cropped": transforms.RandomResizedCrop(32),
        "erased": transforms.RandomErasing(p=1.0),
        "noise": transforms.GaussianNoise(0.2),
    }
    with picture(path, len(changes), size=(8.4, 1.8)) as axes:
        for axis, (name, change) in zip(axes, changes.items()):
            axis.imshow(np.asarray(change(digit))[0, 0], cmap="Greys", vmin=0, vmax=1)
            axis.set_title(name, fontsize=8)
            axis.set_axis_off()


PICTURES = {
    "Activations": ("activations", activations, "eight activations and their derivatives"),
    "Losses": ("losses", losses, "losses by error and by margin"),
    "Initialisation": (
        "initialisation",
        initialisation,
        "standard deviation of the signal by depth, for four initialisations",
    ),
    "Optimizers": ("optimizers", races, "the ways of six optimizers through a narrow valley"),
    "Schedules": ("schedules", schedules, "eight schedules of the learning rate"),
    "Regularisation": ("augmentations", augmentations, "a digit, changed at random in five ways"),
}


def draw(folder: Path) -> None:
    """The pictures of the page, those that are not there."""
    for stem, make, _ in PICTURES.values():
        if not (folder / f"{stem}.png").is_file():
            make(folder / f"{stem}.png")
