"""What all augmentations share: how they are called, in a row, by a loader."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ...backend.array.creation import asarray
from ...backend.array.random import Generator, generator_of
from ...backend.tape.tensor import Tensor, device_of, innermost, wrap
from . import checks
from .batch import ROLES, Batch

__all__ = ["Augmentation", "Compose"]


class Augmentation:
    """A random change of a batch: the base class.

    `augmentation(inputs)` gives changed inputs; `augmentation(inputs, labels, masks=…, boxes=…)` a tuple of those that were
    given, changed together. Arrays of NumPy or another library and Tensors come back as such, in their dtypes. As the
    `transform` of a `DataLoader` it is given whole batches, where they go to, and its random numbers for batch b of epoch
    e are a function of (the loader's seed, e, b).

    A subclass says in `_apply(batch)` what it does, or, for inputs that are no images, gives `batch.inputs` anew.

    Notes
    -----
    As in torchvision, but of batches: what is decided at random is decided for each image on its own. Images are
    (N, C, H, W), of uint8 or of floating-point numbers in [0, 1]: augment before normalising. Masks (N, H, W) or
    (N, C, H, W) move by nearest pixels, 0 coming from outside; boxes (N, M, 4) are (x₁, y₁, x₂, y₂) in pixels, cut at the
    image's edges: one of no area has left the image. The same seed gives the same images on every device (on a GPU,
    up to the rounding of sums and products).

    Geometric changes that follow each other are one map and one sampling: what a rotation moves out of the frame, or a
    crop cuts off, a later one may bring back.

    Examples
    --------
    >>> class Dark(weft.data.augment.Augmentation):
    ...     def _apply(self, batch):
    ...         batch.inputs = batch.numbers * 0.5
    >>> Dark()(np.full((1, 1, 1, 2), 100, np.uint8))
    array([[[[50, 50]]]], dtype=uint8)
    """

    entries: Sequence[str | None] | Mapping[str, str] | None = None  # what the entries of a loader's batch are
    white: float | None = None  # the greatest value of a pixel, if not the usual one

    def __call__(
        self,
        inputs: Any,
        labels: Any = None,
        *,
        masks: Any = None,
        boxes: Any = None,
        generator: Generator | None = None,
    ) -> Any:
        """Augment arrays or Tensors, by numbers of `generator` (weft's default one if None)."""
        given = (inputs, labels, masks, boxes)
        arrays: list[Any] = [None if a is None else innermost(_array(a)) for a in given]
        devices = [device_of(a) for a in arrays if a is not None]
        if len({*devices}) > 1:
            raise ValueError(
                f"`inputs` and what belongs to them must lie on one device, got {devices}; use .to(device)"
            )
        batch = Batch(generator_of(generator), *arrays)
        if self.white is not None:
            batch.white = self.white
        self._apply(batch)
        batch.restore()
        changed = [
            wrap(raw, device_of(raw)) if isinstance(a, Tensor) else raw
            for a, raw in zip(given, batch.given())
            if a is not None
        ]
        return changed[0] if len(changed) == 1 else tuple(changed)

    def of_batch(self, batch: Any, generator: Generator) -> Any:
        """Augment a loader's batch: inputs alone, a tuple or a dict of arrays.

        Parameters
        ----------
        batch : array, or tuple, list or dict of array
            Of a tuple the first entry are the inputs, the second the labels (see `Compose` for others); of a dict those
            under "inputs", "labels", "masks" and "boxes". Whatever else is there stays as it is.
        generator : Generator
            What to draw from.

        Returns
        -------
        array, or tuple, list or dict of array
            As `batch`.

        Raises
        ------
        ValueError
            If its entries are not what they are taken for.
        """
        entries = self.entries
        places: dict[str, Any]
        if isinstance(batch, Mapping):
            named = entries if isinstance(entries, Mapping) else {role: role for role in ROLES}
            places = {role: key for key, role in named.items() if key in batch}
        elif isinstance(batch, tuple | list):
            if isinstance(entries, Mapping):
                raise ValueError(f"`entries` must be a sequence for batches that are tuples, got {entries}")
            places = {role: i for i, role in enumerate(entries or ROLES[:2]) if role is not None and i < len(batch)}
        else:
            return self(batch, generator=generator)
        if "inputs" not in places:
            found = list(batch) if isinstance(batch, Mapping) else f"{len(batch)} entries"
            raise ValueError(f"`entries` must tell which entry of a batch are the inputs, got {entries} for {found}")
        if "labels" in places:
            labels = batch[places["labels"]]
            if hasattr(labels, "shape"):
                _check_labels(labels)
            else:  # strings, say
                del places["labels"]
        changed = self(**{role: batch[place] for role, place in places.items()}, generator=generator)
        changed = dict(zip([r for r in ROLES if r in places], changed if isinstance(changed, tuple) else [changed]))
        new: Any = dict(batch) if isinstance(batch, Mapping) else list(batch)
        for role, place in places.items():
            new[place] = changed[role]
        if isinstance(batch, tuple):
            return type(batch)(*new) if hasattr(batch, "_fields") else tuple(new)
        return new

    def _apply(self, batch: Batch) -> None:
        raise NotImplementedError(f"`{type(self).__name__}` must define _apply(batch)")

    def __repr__(self) -> str:
        shown = ", ".join(f"{key}={value!r}" for key, value in vars(self).items() if not key.startswith("_"))
        return f"{type(self).__name__}({shown})"


class Compose(Augmentation):
    """Augmentations one after the other, as `torchvision.transforms.v2.Compose`.

    Parameters
    ----------
    transforms : sequence of callable
        Augmentations, and functions of the inputs alone: a `Normalizer`, say, as the last.
    entries : sequence of str, or dict of str to str, optional
        What the entries of a loader's batch are, each "inputs", "labels", "masks" or "boxes" (in a sequence: or None):
        `("inputs", "masks")` for tuples of images and masks, `{"image": "inputs", "label": "labels"}` for dicts.
        By default the inputs and the labels.
    white : float, optional
        The greatest value of a pixel, above 0. By default 1 for floating-point images, 255 for uint8.

    Raises
    ------
    TypeError
        If a transform cannot be called.
    ValueError
        If `entries` names no inputs, or something else; if `white` is not positive.

    Examples
    --------
    >>> from weft.data import augment
    >>> transform = augment.Compose([augment.RandomCrop(32, padding=4), augment.RandomHorizontalFlip()])
    >>> transform(np.zeros((8, 3, 32, 32), np.uint8)).shape
    (8, 3, 32, 32)
    """

    def __init__(
        self,
        transforms: Sequence[Callable[..., Any]],
        entries: Sequence[str | None] | Mapping[str, str] | None = None,
        white: float | None = None,
    ):
        if not isinstance(transforms, list | tuple) or not all(map(callable, transforms)):
            raise TypeError(f"`transforms` must be a sequence of augmentations and functions, got {transforms!r}")
        if entries is not None:
            roles = [
                role for role in (entries.values() if isinstance(entries, Mapping) else entries) if role is not None
            ]
            if isinstance(entries, str) or "inputs" not in roles or len({*roles}) < len(roles) or {*roles} - {*ROLES}:
                raise ValueError(f"`entries` must name `inputs` and some of {ROLES[1:]}, each once, got {entries!r}")
        self.transforms, self.entries = transforms, entries
        self.white = None if white is None else checks.number("white", white, 1e-30)

    def _apply(self, batch: Batch) -> None:
        for transform in self.transforms:
            if isinstance(transform, Augmentation):
                transform._apply(batch)
            else:
                batch.restore()
                batch.replace(innermost(transform(batch.inputs)))


def batch_generator(seed: int, epoch: int, number: int) -> Generator:
    """The random numbers of one batch: a stream that neither users' seeds (below 2⁶⁴) nor orders of epochs have."""
    return Generator(seed | (1 << 63 | epoch << 32 | number) << 64)


def _array(a: Any) -> Any:
    return (
        a
        if isinstance(a, Tensor) or device_of(a) != "cpu" or isinstance(a, np.ndarray)
        else asarray(a, device="cpu").data
    )


def _check_labels(labels: Any) -> None:
    if len(labels.shape) > 2:
        raise ValueError(
            f"`labels` must be (N,) or (N, classes), got shape {tuple(labels.shape)}: for masks or boxes say so by "
            'Compose(…, entries=("inputs", "masks"))'
        )
