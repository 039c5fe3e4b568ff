"""What is public, and on which page it stands. Nothing of Sphinx is needed to know."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from operator import attrgetter
from typing import Any, NamedTuple

import weft

# Module → what it is, as its page's title says
MODULES = {
    "weft": "The namespace",
    "weft.linalg": "Linear algebra",
    "weft.fft": "Fourier transforms",
    "weft.nvtx": "Names for NVIDIA's profilers",
    "weft.layers": "Layers",
    "weft.layers.functional": "Layers as functions",
    "weft.layers.init": "Initialisation",
    "weft.layers.models": "Models",
    "weft.layers.utils": "Tools beside the layers",
    "weft.layers.utils.parametrizations": "Parametrisations",
    "weft.layers.utils.parametrize": "Parametrisations of your own",
    "weft.layers.utils.prune": "Pruning",
    "weft.layers.utils.rnn": "Sequences of several lengths",
    "weft.layers.utils.stateless": "Layers without a state",
    "weft.optimizers": "Optimizers",
    "weft.optimizers.schedulers": "Schedules of the learning rate",
    "weft.optimizers.swa_utils": "Averages of weights",
    "weft.data": "Data",
    "weft.data.augment": "Augmentation",
    "weft.training": "Training",
    "weft.distributed": "Several processes",
    "weft.compat.checkpoint": "PyTorch's checkpoints",
    "weft.compat.onnx": "ONNX files",
}


LAZY = {"weft.training": ["Classifier", "Regressor"]}  # which import scikit-learn, when they are first asked for


class Name(NamedTuple):
    """A public name: where it is found, what it stands for, the page that it is on."""

    module: str
    key: str
    value: Any

    @property
    def full(self) -> str:
        """As one writes it after `import weft`."""
        return f"{self.module}.{self.key}"

    @property
    def is_routine(self) -> bool:
        """Whether it is called: functions, and what decorators have made of them."""
        return not inspect.isclass(self.value) and callable(self.value)

    @property
    def is_ours(self) -> bool:
        """Whether weft defines it, and so documents it."""
        is_code = inspect.isclass(self.value) or self.is_routine
        return is_code and getattr(self.value, "__module__", "").partition(".")[0] == "weft"

    @property
    def page(self) -> str:
        """By the file that defines it."""
        stem = self.value.__module__.rpartition(".")[2].lstrip("_") if self.is_ours else "constants"
        return stem if f"{self.module}.{stem}" not in MODULES else f"{stem}_names"


def module(name: str) -> Any:
    """What stands for a module; `weft.linalg` is an attribute of weft and no module of that name."""
    try:
        return import_module(name)
    except ModuleNotFoundError:
        return attrgetter(name.partition(".")[2])(weft)


def names(where: str) -> Iterator[Name]:
    """The public names of a module, in alphabetical order; other modules that it shows have pages of their own."""
    found = module(where)
    keys = getattr(found, "__all__", None) or [k for k in dir(found) if not k.startswith("_") and k != "annotations"]
    for key in sorted([*keys, *LAZY.get(where, [])]):
        value = getattr(found, key)
        if not inspect.ismodule(value):
            yield Name(where, key, value)


def pages(where: str) -> dict[str, list[Name]]:
    """The names of a module by page."""
    found: dict[str, list[Name]] = {}
    for name in names(where):
        found.setdefault(name.page, []).append(name)
    return dict(sorted(found.items()))
