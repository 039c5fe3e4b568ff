"""Images in folders, a sub-folder per class, read by Pillow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..backend.device.options import integer
from .arrays import ArrayDataset, DataSplits
from .extras import pillow
from .files import DataError, FilePath, fault, listed, named, open_file
from .npz import PARTS
from .splits import hold_out

__all__ = ["load_images"]

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_GREY, _COLOUR = ("1", "L", "LA", "La"), ("P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "HSV")
_SHOWN = 5  # unreadable files that an error names


def load_images(
    folder: FilePath, *, image_size: int | None = None, test: float | None = None, stratify: bool = True
) -> DataSplits:
    """Read the images in a folder: each sub-folder is a class, and its name the class's.

    Or these lie in `train` and `test`, and maybe `val`. Without a part for the test a share of the training set is held
    out, always the same. Files that have no suffix of an image are left aside. Turned photographs (EXIF) are set upright,
    what is transparent becomes white.

    Parameters
    ----------
    folder : str or Path
        Holds a folder for each class.
    image_size : int, optional
        Height and width that images are brought to. By default all must have one size already.
    test : float, optional
        What share to hold out, where there is no folder `test`; by default a fifth.
    stratify : bool, default True
        Whether that share has the classes in the proportions of the whole.

    Returns
    -------
    DataSplits
        Images (N, C, H, W) uint8, grey ones with one channel, where any is coloured with three; labels (N,) int64.

    Raises
    ------
    DataError
        If files cannot be read (they are named), images differ in size, or a class has no image.
    ImportError
        If Pillow is missing.

    Examples
    --------
    >>> load_images("pets", image_size=64)  # pets/cat/1.jpg, pets/dog/1.jpg …  # doctest: +SKIP
    pets: train 160, test 40, samples (3, 64, 64) uint8, 2 classes
    """
    folder = named(folder)
    if image_size is not None:
        integer("image_size", image_size, 1)
    held = _folders(folder)
    words = {part: next((word for word in words if word in held), None) for part, words in PARTS.items()}
    places = {part: folder / word for part, word in words.items() if word} if words["train"] else {"train": folder}
    classes = _folders(places["train"])
    if not classes:
        fix = "name the folder that holds those, or train and test with them"
        raise fault(places["train"], "a folder of images for each class", "no folder", fix)
    files = {part: list(_files(place, classes)) for part, place in places.items()}
    images, labels = {}, {}
    unread: list[tuple[Path, DataError]] = []
    for part, paths in files.items():
        images[part] = _images([path for path, _ in paths], image_size, unread)
        labels[part] = np.array([label for _, label in paths], np.int64)
    if unread:
        more = f" (and {len(unread) - 1} more: {_shown(unread[1:])})" if len(unread) > 1 else ""
        raise DataError(f"{unread[0][1]}{more}")
    stacked = _stacked(files, images)
    data = {part: ArrayDataset(stacked[part], labels[part]) for part in files}
    return hold_out(data, test=test, stratify=stratify, class_names=tuple(classes), name=folder.name)


def recognises(folder: Path) -> bool:
    """Whether a folder in it, or in its `train`, holds an image."""
    held = _folders(folder)
    place = next((folder / word for word in PARTS["train"] if word in held), folder)
    return any(_is_image(name) for inner in _folders(place) for name in listed(place / inner))


def _folders(folder: Path) -> list[str]:
    return sorted(name for name in listed(folder) if not name.startswith(".") and (folder / name).is_dir())


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _files(folder: Path, classes: list[str]) -> Iterator[tuple[Path, int]]:
    """Each image with its label, in the order of names."""
    held = _folders(folder)
    for name in held:
        if name not in classes:
            fix = "have images of each class in train"
            raise fault(folder / name, f"one of the {len(classes)} classes of train", f"{name!r}", fix)
        found = [path for path in listed(folder / name) if _is_image(path)]
        if not found:
            fix = "add some, or remove the folder"
            raise fault(folder / name, f"images ({', '.join(SUFFIXES)})", "none", fix)
        yield from ((folder / name / path, classes.index(name)) for path in found)


def _images(paths: list[Path], size: int | None, unread: list[tuple[Path, DataError]]) -> list[np.ndarray]:
    """Each as (H, W) or (H, W, 3) uint8; what is wrong with those that cannot be read goes to `unread`."""
    image, upright = pillow("Image", "load_images"), pillow("ImageOps", "load_images").exif_transpose
    found: list[np.ndarray] = []
    for path in paths:
        try:
            found.append(_image(path, size, image, upright))
        except DataError as error:
            unread.append((path, error))
    return found


def _image(path: Path, size: int | None, library: Any, upright: Any) -> np.ndarray:
    with open_file(path, "an image") as file:
        try:
            picture = library.open(file)
            if picture.mode in _GREY + _COLOUR:
                kept = "L" if picture.mode in _GREY else "RGB"
                picture = _on_white(upright(picture), library).convert(kept)
        except Exception as error:  # a parser of many formats: it raises anything
            raise fault(path, "an image", f"a damaged one ({error})", "remove it or save it again") from None
    if picture.mode not in ("L", "RGB"):
        raise fault(path, "an image of 8 bits per channel", f"mode {picture.mode}", "save it with 8 bits")
    return np.asarray(picture if size is None else picture.resize((size, size), library.Resampling.BILINEAR))


def _on_white(picture: Any, library: Any) -> Any:
    """What is transparent shows white: what colour it hides means nothing."""
    if not picture.has_transparency_data:
        return picture
    seen = picture.convert("RGBA")
    return library.alpha_composite(library.new("RGBA", seen.size, "white"), seen)


def _shown(unread: list[tuple[Path, DataError]]) -> str:
    names = [f"`{path}`" for path, _ in unread]
    return ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")


def _stacked(files: dict[str, list[tuple[Path, int]]], images: dict[str, list[np.ndarray]]) -> dict[str, np.ndarray]:
    """(N, C, H, W) of each part, with as many channels as the image that has most."""
    everything = [image for part in images.values() for image in part]
    shape, coloured = everything[0].shape[:2], any(image.ndim == 3 for image in everything)
    stacked = {}
    for part, found in images.items():
        stacked[part] = np.empty((len(found), 3 if coloured else 1, *shape), np.uint8)
        for i, image in enumerate(found):
            if image.shape[:2] != shape:
                path, (height, width) = files[part][i][0], image.shape[:2]
                expected = f"{shape[1]}×{shape[0]} pixels, as the first image has"
                fix = "bring all to one size: image_size=64 (weft train --image-size 64)"
                raise fault(path, expected, f"{width}×{height}", fix)
            stacked[part][i] = image if image.ndim == 2 else np.moveaxis(image, -1, 0)
    return stacked
