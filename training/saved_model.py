"""A finished model as one file: weights, architecture, normalisation, class names. `predict` needs nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..backend.device.devices import DeviceError
from ..data.files import printable
from ..data.normalize import Normalizer
from ..layers.containers import Sequential
from ..layers.models import FORECASTERS, LANGUAGE_MODELS, MODELS, SHAPES, TRANSLATORS
from ..layers.module import Module
from . import expected
from .atomic import write_atomically
from .checkpoint import CheckpointError, FilePath, load_checkpoint, save_checkpoint
from .class_names import checked as class_names_of
from .predict import Predictor
from .rescale import Rescale

__all__ = ["SavedModel", "build_model", "load_model", "model_state", "save_model"]


class SavedModel(Predictor):
    """A model that was loaded, and what it needs to be applied to raw inputs, such as uint8 images.

    `predict`, `predict_probabilities` and `predict_classes` normalise first: give them inputs as they are in the data
    set.

    Parameters
    ----------
    model : Module
        Is put into eval mode.
    architecture : dict, optional
        How `build_model` makes it.
    normalizer : Normalizer, optional
        Applied to inputs before the model.
    class_names : tuple of str, default ()
        Of the outputs: none, or one for each class.
    info : dict, optional
        Whatever else was saved.
    device : str, optional
        Where the model runs. By default the default device.

    Raises
    ------
    ValueError
        If `class_names` do not fit the model.

    Examples
    --------
    >>> saved = SavedModel(nn.Identity(), class_names=("cat", "dog"))
    >>> saved.predict_names(np.array([[0.1, 0.9]]))
    ['dog']
    """

    def __init__(
        self,
        model: Module,
        *,
        architecture: dict[str, Any] | None = None,
        normalizer: Normalizer | None = None,
        class_names: tuple[str, ...] = (),
        info: dict[str, Any] | None = None,
        device: str | None = None,
    ):
        super().__init__(model, device=device, transform=normalizer)
        self.architecture, self.normalizer = architecture, normalizer
        self.class_names, self.info = class_names_of(class_names, model, architecture), info or {}
        model.eval()

    def predict_names(self, data: Any, *, batch_size: int = 256) -> list[str]:
        """The names of what `predict_classes` gives.

        Parameters
        ----------
        data : array, Tensor or iterable of batches
            As for `predict`.
        batch_size : int, default 256
            As for `predict`.

        Returns
        -------
        list of str
            One of `class_names` for each sample.

        Raises
        ------
        ValueError
            If a class has no name.

        Examples
        --------
        >>> saved = SavedModel(nn.Identity(), class_names=("no", "yes"))
        >>> saved.predict_names(np.array([-1.0, 1.0]))
        ['no', 'yes']
        """
        classes = self.predict_classes(data, batch_size=batch_size)
        if classes.size != len(classes):
            raise ValueError(f"`data` must give one class for each sample, got classes of shape {classes.shape}")
        if classes.size and classes.max() >= len(self.class_names):
            raise ValueError(
                f"`class_names` must name every class, got {len(self.class_names)} names and class {classes.max()}; give "
                "them to save_model, or use predict_classes"
            )
        return [self.class_names[i] for i in classes.reshape(-1)]


def build_model(architecture: dict[str, Any], *, device: str | None = None) -> Module:
    """A fresh model from its description.

    Parameters
    ----------
    architecture : dict
        "name" of a function in `weft.layers.models`, and its arguments; of a regression also "output": "mean" and "std" of
        its targets, whose units the model then gives.
    device : str, optional
        Where its parameters are made. By default the default device.

    Returns
    -------
    Module
        With weights drawn from the default generator.

    Raises
    ------
    ValueError
        If there is no function of that name; whatever the function says of its arguments.

    Examples
    --------
    >>> build_model({"name": "mlp", "input_shape": [4], "num_classes": 3, "hidden": []})
    Sequential(
      (0): Flatten(start_dim=1, end_dim=-1)
      (1): Linear(in_features=4, out_features=3, bias=True)
    )
    """
    arguments = dict(architecture)
    name, output = arguments.pop("name", None), arguments.pop("output", None)
    models = MODELS | LANGUAGE_MODELS | TRANSLATORS | FORECASTERS
    if name not in models:
        raise ValueError(f"`name` of the architecture must be one of {sorted(models)}, got {name!r}")
    model = models[name](**arguments, device=device)
    return model if output is None else Sequential(model, Rescale(**output, device=device))


def model_state(
    model: Module,
    *,
    architecture: dict[str, Any] | None = None,
    normalizer: Normalizer | None = None,
    class_names: tuple[str, ...] = (),
    info: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The entries of a model file. With `Checkpoint(extra=…)` checkpoints have them too, for `load_model` to read.

    Parameters
    ----------
    model : Module
        Its weights are saved.
    architecture, normalizer, class_names, info : optional
        As for `save_model`.

    Returns
    -------
    dict
        "model", "architecture", "normalizer", "class_names" and "info".

    Examples
    --------
    >>> state = model_state(nn.Linear(2, 1), class_names=("no", "yes"))
    >>> list(state["model"]), state["class_names"]
    (['weight', 'bias'], ['no', 'yes'])
    """
    return {
        "model": model.state_dict(),
        "architecture": architecture,
        "normalizer": None if normalizer is None else {"config": normalizer.config(), "state": normalizer.state_dict()},
        "class_names": list(class_names_of(class_names, model, architecture)),
        "info": info or {},
    }


def save_model(
    path: FilePath,
    model: Module,
    *,
    architecture: dict[str, Any] | None = None,
    normalizer: Normalizer | None = None,
    class_names: tuple[str, ...] = (),
    info: dict[str, Any] | None = None,
) -> None:
    """Write a model to `path` (safetensors, atomically), and what there is to read of it as .json.

    The JSON file is for people and other programs; nothing in weft reads it.

    Parameters
    ----------
    path : str or path
        The file; its folder is made if it is missing.
    model : Module
        Its weights are saved.
    architecture : dict, optional
        How `build_model` makes it; without it `load_model` must be given a model of the same shape.
    normalizer : Normalizer, optional
        Fitted, applied to inputs before the model.
    class_names : tuple of str, default ()
        Of the outputs: none, or one for each class.
    info : dict, optional
        Anything worth knowing about it, such as its accuracy (numbers, strings, lists and dicts of these).

    Raises
    ------
    ValueError
        If `class_names` do not fit the model.
    WriteError
        If a file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> model = nn.Linear(2, 3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(folder + "/m.safetensors", model, class_names=("a", "b", "c"))
    ...     saved = load_model(folder + "/m.safetensors", nn.Linear(2, 3))
    >>> saved.predict_names(np.ones((1, 2), np.float32))[0] in "abc"
    True
    """
    state = model_state(model, architecture=architecture, normalizer=normalizer, class_names=class_names, info=info)
    save_checkpoint(path, state, kind="model")
    readable = {
        "info": info or {},
        "architecture": architecture,
        "normalizer": None if normalizer is None else repr(normalizer),
        "class_names": list(class_names),
        "weights": {name: f"{t.dtype} {tuple(t.shape)}" for name, t in state["model"].items()},
    }
    text = json.dumps(readable, indent=2, ensure_ascii=False)
    write_atomically(Path(path).with_suffix(".json"), f"{text}\n".encode())


def load_model(path: FilePath, model: Module | None = None, *, device: str | None = None) -> SavedModel:
    """The model in a file that `save_model` wrote, or in a checkpoint that holds `model_state`; ready to predict.

    Parameters
    ----------
    path : str or path
        The file.
    model : Module, optional
        One of the same shape to load the weights into, where the file does not say how to build it.
    device : str, optional
        Where the model runs. By default the default device.

    Returns
    -------
    SavedModel
        In eval mode.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, of another kind, or does not fit.

    Examples
    --------
    >>> import tempfile
    >>> architecture = {"name": "mlp", "input_shape": [4], "num_classes": 3, "hidden": []}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(folder + "/m.safetensors", build_model(architecture), architecture=architecture)
    ...     load_model(folder + "/m.safetensors").predict(np.ones((2, 4), np.float32)).shape
    (2, 3)
    """
    state = load_checkpoint(path, kind=("model", "checkpoint"))
    architecture, stored = state.get("architecture"), state.get("normalizer")
    names, info = state.get("class_names", []), state.get("info")
    try:
        class_names_of(names)
        if info is not None and not isinstance(info, dict):
            raise TypeError(f"`info` must be a dictionary, got {info!r:.60}")
        expected.arrays(state["model"], "model")
        if model is None:
            if architecture is None:
                raise ValueError("it holds weights alone; pass `model`")
            check_architecture(architecture, state["model"])
            model = build_model(architecture, device=device)
        model.load_state_dict(state["model"])
        class_names_of(names, model, architecture)
        normalizer = None if stored is None else _normalizer(stored)
    except DeviceError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = f"it has no entry {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise CheckpointError(
            f"`{printable(path)}`: expected a model and all that it needs, found that {reason}"
        ) from error
    return SavedModel(
        model, architecture=architecture, normalizer=normalizer, class_names=tuple(names), info=info, device=device
    )


def check_architecture(architecture: dict[str, Any], weights: dict[str, Any]) -> None:
    """Raise ValueError or TypeError if a model of this architecture, which may be vast, cannot have these weights."""
    arguments = dict(architecture)
    name, output = arguments.pop("name", None), arguments.pop("output", None)
    if not isinstance(name, str) or name not in SHAPES:
        raise ValueError(f"`name` of the architecture must be one of {sorted(SHAPES)}, got {name!r:.60}")
    try:
        shapes = SHAPES[name](**arguments)
    except (TypeError, KeyError):
        raise TypeError(f"`{name}` has no such arguments: {arguments!r:.200}") from None
    if output is not None:
        Rescale(**output)  # refuses what is no scale
        shapes = {f"0.{key}": shape for key, shape in shapes.items()} | {"1.mean": (len(output["mean"]),)}
    for key, shape in shapes.items():
        found = getattr(weights.get(key), "shape", None)
        if found != shape:
            raise ValueError(f"`{key}` of such an architecture must have shape {shape!s:.99}, got {found}")


def _normalizer(stored: dict[str, Any]) -> Normalizer:
    normalizer = Normalizer.from_config(stored["config"])
    normalizer.load_state_dict(stored["state"])
    for name, array in normalizer.state_dict().items():
        if not np.isfinite(array).all():
            raise ValueError(f"`{name}` of the normalizer must be finite, got NaN or infinity")
    return normalizer
