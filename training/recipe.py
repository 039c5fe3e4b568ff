"""A training run as data: what `weft train` is told, what it makes of it, and how a resumed run is the same one."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from sys import float_info
from typing import Any

import numpy as np

from .. import optimizers
from ..backend.array import random
from ..backend.array.creation import asarray
from ..backend.device import memory
from ..backend.device.devices import canonical, kind, select, to_numpy
from ..data import (
    ArrayDataset,
    DataError,
    DataLoader,
    DataSplits,
    Normalizer,
    PerChannel,
    Standardize,
    WeightedRandomSampler,
    augment,
    balanced_weights,
    load,
    train_dev_test_split,
)
from ..data.image_layout import LAYOUTS
from ..layers import CrossEntropyLoss, Module
from ..layers.models import MODELS
from ..optimizers import decay_groups, schedulers
from . import check
from .callbacks import Callback, EarlyStopping, Plateau
from .checkpoint import array_crc
from .nonfinite import StopOnNaN
from .rescale import RelativeMSE, spread
from .saved_model import build_model
from .trainer import Trainer
from .usage import UsageError
from .weighted_loss import SampleWeightedCrossEntropy

__all__ = ["OPTIMIZERS", "PRECISIONS", "SCHEDULES", "Experiment", "Recipe", "architecture"]

# name → (class, lr and weight decay unless given, other arguments)
OPTIMIZERS: dict[str, tuple[Any, float, float, dict[str, Any]]] = {
    "adam": (optimizers.Adam, 2e-3, 0.0, {}),
    "adamw": (optimizers.AdamW, 2e-3, 0.01, {}),
    "lion": (optimizers.Lion, 3e-4, 0.1, {}),
    "nadam": (optimizers.NAdam, 2e-3, 0.0, {}),
    "radam": (optimizers.RAdam, 2e-3, 0.0, {}),
    "rmsprop": (optimizers.RMSprop, 1e-3, 0.0, {}),
    "sgd": (optimizers.SGD, 0.05, 5e-4, {"momentum": 0.9, "nesterov": True}),
}
TASKS = ("images", "regression")
CLASS_WEIGHTS = ("balanced",)
SCHEDULES = ("none", "onecycle", "cosine", "step", "exponential", "plateau")
PRECISIONS = ("float32", "bfloat16", "float16")
RESIDENT_SHARE = 0.25  # of a GPU's free memory, for the data: models and what they compute want the rest


@dataclass(frozen=True)
class Recipe:
    """All options that decide what the weights will be.

    The same recipe on the same data gives the same bits, on one machine with one number of threads.

    Parameters
    ----------
    data : str, default "digits"
        What `weft.data.load` takes.
    task : {"images", "regression"}, default "images"
        Whether classes are learned, of images or other samples, or quantities.
    target : str, optional
        The column of a table that is learned, see `weft.data.load`.
    ignore : tuple of str, default ()
        Columns of a table that are left aside.
    layout : {"NCHW", "NHWC", "NHW"}, optional
        The axes of images in .npz files, where their number of channels does not tell.
    image_size : int, optional
        Height and width that images in folders are brought to.
    test : float, optional
        What share of a table or of images is held out for the test, where they have no part for it. By default a fifth.
    class_weights : {"balanced"}, optional
        How the loss weighs classes: "balanced" evens out how often they come. By default all the same.
    balanced_sampling : bool, default False
        Whether each class is drawn equally often, with replacement.
    model : str, default "cnn"
        Name of a function in `weft.layers.models`; "" takes cnn for images (C, H, W), mlp for other samples.
    hidden : tuple of int, default (256, 128)
        Widths of the mlp's hidden layers.
    epochs : int, default 0
        Passes over the training set; 0: by its size.
    batch_size : int, default 0
        Samples per batch; 0: by the size of the training set.
    optimizer : str, default "adamw"
        A key of `OPTIMIZERS`.
    lr : float, optional
        (Greatest) learning rate. By default the optimizer's in `OPTIMIZERS`.
    weight_decay : float, optional
        Of weights, not of biases. By default the optimizer's in `OPTIMIZERS`.
    schedule : str, default "onecycle"
        One of `SCHEDULES`.
    label_smoothing : float, default 0.1
        Share of the target that is spread over all classes.
    clip_grad_norm : float, optional
        Greatest norm of the whole gradient. By default it is not clipped.
    accumulate : int, default 1
        Batches per update.
    precision : str, default "float32"
        One of `PRECISIONS`.
    validation : float, default 0.1
        Share of the training set that is held out, where the data have no part for validation.
    stratify : bool, default True
        Whether that share has the classes in the proportions of the whole.
    patience : int, optional
        Epochs without an improvement after which training stops. By default it goes on.
    seed : int, default 0
        Of weights, order, dropout and augmentation.
    augment : tuple of str, default ()
        Keys of `weft.data.augment.AUGMENTATIONS`: what training images go through.

    Examples
    --------
    >>> recipe = Recipe(model="mlp", epochs=3)
    >>> Recipe.from_json(recipe.to_json()) == recipe
    True
    """

    data: str = "digits"
    task: str = "images"
    target: str | None = None
    ignore: tuple[str, ...] = ()
    layout: str | None = None
    image_size: int | None = None
    test: float | None = None
    class_weights: str | None = None
    balanced_sampling: bool = False
    model: str = "cnn"
    hidden: tuple[int, ...] = (256, 128)
    epochs: int = 0
    batch_size: int = 0
    optimizer: str = "adamw"
    lr: float | None = None
    weight_decay: float | None = None
    schedule: str = "onecycle"
    label_smoothing: float = 0.1
    clip_grad_norm: float | None = None
    accumulate: int = 1
    precision: str = "float32"
    validation: float = 0.1
    stratify: bool = True
    patience: int | None = None
    seed: int = 0
    augment: tuple[str, ...] = ()

    def completed(self, samples: int, shape: Sequence[int] = ()) -> Recipe:
        """The recipe with what depends on the training set decided.

        Parameters
        ----------
        samples : int
            How many there are to train on.
        shape : sequence of int, default ()
            Of one of them.

        Returns
        -------
        Recipe
            30 epochs of batches of 32 below 10,000 samples, otherwise 10 of 128, unless given.

        Examples
        --------
        >>> completed = Recipe(epochs=5).completed(1_000)
        >>> completed.epochs, completed.batch_size
        (5, 32)
        """
        epochs, batch_size = (30, 32) if samples < 10_000 else (10, 128)
        model = self.model or ("cnn" if len(shape) == 3 else "mlp")
        return replace(self, model=model, epochs=self.epochs or epochs, batch_size=self.batch_size or batch_size)

    def to_json(self) -> dict[str, Any]:
        """The options by name.

        Returns
        -------
        dict
            For `from_json`.

        Examples
        --------
        >>> Recipe().to_json()["schedule"]
        'onecycle'
        """
        return asdict(self)

    @staticmethod
    def from_json(saved: dict[str, Any]) -> Recipe:
        """The recipe in a checkpoint.

        Parameters
        ----------
        saved : dict
            As `to_json` gave it, now or in an earlier version: unknown options are left aside.

        Returns
        -------
        Recipe
            Options that are missing have their defaults.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is no recipe.

        Examples
        --------
        >>> Recipe.from_json({"hidden": [16], "shoe_size": 43}).hidden
        (16,)
        """
        known = {field.name for field in fields(Recipe)}
        values = {name: value for name, value in saved.items() if name in known}
        for name, value in values.items():
            _check_option(name, value)
        tuples = {name: tuple(values.get(name, ())) for name in ("ignore", "augment")}
        return Recipe(**{**values, **tuples, "hidden": tuple(values["hidden"])})

    def resumed_with(self, given: dict[str, Any]) -> Recipe:
        """This recipe with options given on resuming.

        Parameters
        ----------
        given : dict
            Options by name.

        Returns
        -------
        Recipe
            What is left to do.

        Raises
        ------
        UsageError
            For options that would make another run of it.

        Examples
        --------
        >>> Recipe(schedule="none", epochs=2).resumed_with({"epochs": 4}).epochs
        4
        """
        changed = {name: value for name, value in given.items() if getattr(self, name) != value}
        allowed = {"data", "patience"} | ({"epochs"} if self.schedule not in ("onecycle", "cosine") else set())
        for name in changed.keys() - allowed:
            option = f"--{name.replace('_', '-')}"
            why = f"; the schedule {self.schedule!r} is laid out for that number" if name == "epochs" else ""
            raise UsageError(f"{option} cannot change on resuming: the run was begun with {getattr(self, name)}{why}")
        return replace(self, **changed)


_CHOICES: dict[str, Collection[str]] = {
    "task": TASKS,
    "layout": LAYOUTS,
    "class_weights": CLASS_WEIGHTS,
    "model": MODELS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "precision": PRECISIONS,
}
# Numbers: whether they are whole, the least, the greatest (None: there may be none)
_NUMBERS: dict[str, tuple[bool, float, float]] = {
    "epochs": (True, 0, 2**53),
    "batch_size": (True, 0, 2**53),
    "accumulate": (True, 1, 2**53),
    "seed": (True, 0, 2**32 - 1),
    "patience": (True, 1, 2**53),
    "lr": (False, 0, float_info.max),
    "weight_decay": (False, 0, float_info.max),
    "clip_grad_norm": (False, float_info.min, float_info.max),
    "label_smoothing": (False, 0, 1),
    "image_size": (True, 1, 2**31),
    "test": (False, 0, 1),
    "validation": (False, 0, 1),
}


def _check_option(name: str, value: Any) -> None:
    """Raise ValueError unless `value` is of the kind that a `Recipe` has under this name."""
    default = getattr(Recipe, name)
    if value is None and default is None:
        fits = True
    elif name in _CHOICES:
        fits = isinstance(value, str) and value in _CHOICES[name]
    elif name == "ignore":
        fits = isinstance(value, list | tuple) and all(type(column) is str for column in value)
    elif name == "target":
        fits = type(value) is str
    elif name == "hidden":
        fits = isinstance(value, list | tuple) and all(type(n) is int and n > 0 for n in value)
    elif name == "augment":
        fits = isinstance(value, list | tuple) and all(isinstance(n, str) and n in augment.AUGMENTATIONS for n in value)
    elif name in _NUMBERS:
        whole, least, greatest = _NUMBERS[name]
        kinds = (int,) if whole else (int, float)
        fits = type(value) in kinds and least <= value <= greatest
    else:
        fits = type(value) is type(default)
    if not fits:
        raise ValueError(f"`{name}` of the recipe is {value!r:.60}")


def architecture(
    model: str,
    input_shape: Sequence[int],
    num_classes: int,
    hidden: Sequence[int] = Recipe.hidden,
    output: dict[str, list[float]] | None = None,
) -> dict[str, Any]:
    """The description that `build_model` takes.

    Parameters
    ----------
    model : str
        Name of a function in `weft.layers.models`.
    input_shape : sequence of int
        Of one sample.
    num_classes : int
        How many outputs there are to be.
    hidden : sequence of int, default (256, 128)
        Widths of hidden layers, which only the mlp has.
    output : dict, optional
        "mean" and "std" of what a regression learns.

    Returns
    -------
    dict
        "name" and arguments, as JSON has them.

    Examples
    --------
    >>> architecture("mlp", (4,), 3)
    {'name': 'mlp', 'input_shape': [4], 'num_classes': 3, 'hidden': [256, 128]}
    """
    described = {"name": model, "input_shape": list(input_shape), "num_classes": num_classes}
    described |= {"hidden": list(hidden)} if model == "mlp" else {}
    return described | ({} if output is None else {"output": output})


class Experiment:
    """What a recipe describes: the data in their parts, loaders, model and trainer.

    On a GPU with room for them the data are resident; otherwise (`is_resident` is False) they stay on the host, and each
    batch is copied while the GPU computes. The batches, and so the weights, are the same bits.

    Parameters
    ----------
    recipe : Recipe
        Its options.
    device : str, optional
        Where to train. By default the default device.

    Attributes
    ----------
    recipe : Recipe
        Completed with what depends on the data.
    splits : DataSplits
        With a part for validation.
    normalizer : Normalizer
        Fitted to the training set.
    training_transform : callable
        The normaliser, after the augmentations that the recipe names.
    fingerprint : str
        CRC-32 of the training set.
    architecture : dict
        Of the model, for `build_model`.
    train_loader, validation_loader : DataLoader
        What to fit on.
    trainer : Trainer
        With the callbacks that steer the training.

    Raises
    ------
    UsageError
        If the data, the model and the options do not go together.
    DataError
        If the data cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> x, y = np.random.default_rng(0).random((40, 4)), np.arange(40) % 2
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(folder + "/data.npz", x_train=x, y_train=y, x_dev=x, y_dev=y, x_test=x, y_test=y)
    ...     experiment = Experiment(Recipe(data=folder + "/data.npz", model="mlp"))
    >>> len(experiment.train_loader), experiment.recipe.epochs
    (2, 30)
    """

    def __init__(self, recipe: Recipe, *, device: str | None = None):
        self.device = canonical(device) if device is None else select(device)
        with _as_usage_errors_of(f"--data {recipe.data}"):
            splits = _loaded(recipe)
            check.splits(splits, recipe.data, regression=recipe.task == "regression")
        with _as_usage_errors_of(f"--validation {recipe.validation} of {len(splits.train)} samples"):
            self.splits = _with_validation(splits, recipe)
        with _as_usage_errors_of(f"--data {recipe.data}"):
            self.normalizer = _normalizer(self.splits.train.x)
        self.fingerprint = _fingerprint(self.splits.train)
        self.recipe = recipe = recipe.completed(len(self.splits.train), splits.sample_shape)
        targets = to_numpy(self.splits.train.y)
        self.output = spread(targets) if recipe.task == "regression" else None
        outputs = len(splits.class_names) if self.output is None else targets.shape[1]
        self.architecture = architecture(recipe.model, splits.sample_shape, outputs, recipe.hidden, self.output)
        self.is_resident = _has_room(self.device, self.splits)
        random.manual_seed(recipe.seed)
        with _as_usage_errors_of(f"--model {recipe.model} on samples of shape {splits.sample_shape}"):
            model = build_model(self.architecture, device=self.device)
        with _as_usage_errors_of(f"--augment {','.join(recipe.augment)}"):
            self.training_transform = _training_transform(recipe.augment, self.splits, self.normalizer)
        self.train_loader = self.loader(self.splits.train, training=True)
        assert self.splits.dev is not None
        self.validation_loader = self.loader(self.splits.dev)
        self.trainer = self._trainer(model)

    def loader(self, part: ArrayDataset, *, training: bool = False) -> DataLoader:
        """Batches of one part of the data, normalised.

        Parameters
        ----------
        part : ArrayDataset
            Of `splits`.
        training : bool, default False
            Whether they are shuffled, and of the recipe's size; otherwise of 512.

        Returns
        -------
        DataLoader
            Its batches are on the device.

        Examples
        --------
        >>> import tempfile
        >>> x, y = np.random.default_rng(0).random((40, 4)), np.arange(40) % 2
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(folder + "/data.npz", x_train=x, y_train=y, x_dev=x, y_dev=y, x_test=x, y_test=y)
        ...     experiment = Experiment(Recipe(data=folder + "/data.npz", model="mlp"))
        >>> [len(y) for x, y in experiment.loader(experiment.splits.train, training=True)]
        [32, 8]
        """
        data = part.to(self.device) if self.is_resident else part
        batch_size, seed, sampler = self.recipe.batch_size if training else 512, self.recipe.seed, None
        if training and self.recipe.balanced_sampling:
            labels = to_numpy(part.y)
            sampler = WeightedRandomSampler(balanced_weights(labels)[labels], len(labels), seed=seed)
        return DataLoader(
            data,
            batch_size,
            shuffle=training and sampler is None,
            sampler=sampler,
            seed=seed,
            device=self.device,
            transform=self.training_transform if training else self.normalizer,
        )

    def _loss(self) -> Module:
        if self.output is not None:
            return RelativeMSE(self.output["std"], device=self.device)
        smoothing = self.recipe.label_smoothing
        if self.recipe.class_weights is None:
            return CrossEntropyLoss(label_smoothing=smoothing)
        weights = balanced_weights(to_numpy(self.splits.train.y), len(self.splits.class_names))
        return SampleWeightedCrossEntropy(asarray(weights, device=self.device), smoothing)

    def _trainer(self, model: Module) -> Trainer:
        recipe = self.recipe
        make, lr, decay, arguments = OPTIMIZERS[recipe.optimizer]
        lr = lr if recipe.lr is None else recipe.lr
        decay = decay if recipe.weight_decay is None else recipe.weight_decay
        optimizer = make(decay_groups(model.parameters(), decay), lr=lr, **arguments)
        updates = -(-len(self.train_loader) // recipe.accumulate) * recipe.epochs
        scheduler, interval, callbacks = _schedule(recipe.schedule, optimizer, lr, updates, recipe.epochs)
        if recipe.patience is not None:
            callbacks.append(EarlyStopping(patience=recipe.patience))
        return Trainer(
            model,
            self._loss(),
            optimizer,
            scheduler=scheduler,
            scheduler_interval=interval,
            metrics=["accuracy"] if self.output is None else ["rmse", "mae", "r2"],
            callbacks=[*callbacks, StopOnNaN()],
            clip_grad_norm=recipe.clip_grad_norm,
            accumulate=recipe.accumulate,
            device=self.device,
            precision=None if recipe.precision == "float32" else recipe.precision,
        )


@contextmanager
def _as_usage_errors_of(option: str) -> Iterator[None]:
    """ValueErrors inside, and lack of memory, become UsageErrors that name the option."""
    try:
        yield
    except (DataError, UsageError):  # these name the file, or the option, already
        raise
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error
    except MemoryError as error:
        raise UsageError(f"{option}: out of memory ({error})") from error


def _loaded(recipe: Recipe) -> DataSplits:
    is_regression = recipe.task == "regression"
    for name in ("class_weights", "balanced_sampling"):
        if is_regression and getattr(recipe, name):
            raise UsageError(f"--{name.replace('_', '-')} is for classes, got --task regression")
    if recipe.class_weights is not None and recipe.balanced_sampling:
        raise UsageError("--class-weights and --balanced-sampling each even out the classes, got both; leave one out")
    return load(
        recipe.data,
        layout=recipe.layout,
        target=recipe.target,
        ignore=recipe.ignore,
        image_size=recipe.image_size,
        regression=is_regression,
        test=recipe.test,
        stratify=recipe.stratify,
    )


def _with_validation(splits: DataSplits, recipe: Recipe) -> DataSplits:
    """The data with a part for validation: its own, or a share of the training set, by default with its proportions."""
    if splits.dev is not None:
        return splits
    labels = splits.train.y if recipe.stratify and recipe.task != "regression" else None
    parts = train_dev_test_split(splits.train, test=recipe.validation, stratify=labels, seed=recipe.seed)
    return replace(splits, train=parts.train, dev=parts.test)


def _has_room(device: str, splits: DataSplits) -> bool:
    """Whether the data may stay on the device: of a GPU's free memory they must take a small share."""
    if kind(device) != "cuda":
        return True
    usage = memory.usage(device)
    size = sum(part.nbytes for part in (splits.train, splits.dev, splits.test) if part is not None)
    return size <= RESIDENT_SHARE * (usage.free + usage.reusable)


def _fingerprint(data: ArrayDataset) -> str:
    """CRC-32 of a data set: a run that is resumed must be given the same."""
    crc = 0
    for array in data.arrays:
        crc = array_crc(array, crc)
    return f"{crc:08x}"


def _normalizer(x: Any) -> Normalizer:
    return (PerChannel() if x.ndim > 2 else Standardize()).fit(x)


def _training_transform(names: Sequence[str], splits: DataSplits, normalizer: Normalizer) -> Any:
    """What training inputs go through: augmentations, tried on a few, and normalisation."""
    if not names:
        return normalizer
    if len(splits.sample_shape) != 3:
        raise ValueError(f"only images (C, H, W) are augmented, got samples of shape {splits.sample_shape}")
    transform = augment.named(names, splits.sample_shape[1:], splits.num_classes, _white(splits.train.x))
    transform(*splits.train[:2], generator=random.Generator(0))
    return augment.Compose([*transform.transforms, normalizer], white=transform.white)


def _white(x: np.ndarray) -> float | None:
    """The greatest value of a pixel, where it is none of the usual: digits have 16."""
    top, usual = float(x.max()), 1.0 if x.dtype.kind == "f" else float(np.iinfo(x.dtype).max)
    return top if top > usual or (x.dtype.kind != "f" and 0 < top < usual / 2) else None


def _schedule(
    name: str, optimizer: optimizers.Optimizer, lr: float, updates: int, epochs: int
) -> tuple[schedulers.LRScheduler | None, str, list[Callback]]:
    """The schedule, when it steps, and the callbacks that it needs."""
    if name == "onecycle":
        cycle = "betas" in optimizer.defaults or "momentum" in optimizer.defaults
        return schedulers.OneCycleLR(optimizer, lr, total_steps=updates + 1, cycle_momentum=cycle), "step", []
    if name == "cosine":
        return schedulers.CosineAnnealingLR(optimizer, T_max=updates), "step", []
    if name == "step":
        return schedulers.StepLR(optimizer, max(1, epochs // 3), gamma=0.1), "epoch", []
    if name == "exponential":
        return schedulers.ExponentialLR(optimizer, gamma=0.9), "epoch", []
    if name == "plateau":
        return None, "epoch", [Plateau(schedulers.ReduceLROnPlateau(optimizer, patience=2, factor=0.3))]
    return None, "epoch", []
