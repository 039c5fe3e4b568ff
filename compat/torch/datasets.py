"""`torchvision.datasets`: images with labels in local files; nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ... import data
from ...backend.array.creation import asarray
from ...backend.tape.tensor import Tensor
from .loading import Dataset

__all__ = ["CIFAR10", "CIFAR100", "MNIST", "FakeData", "FashionMNIST", "ImageFolder"]


class _Images(Dataset):
    """Images with labels, and what is done to them."""

    folders: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()  # by one of these a place is known

    def __init__(
        self, root: Any, train: bool = True, transform: Any = None, target_transform: Any = None, download: bool = False
    ):
        self.root, self.train, self.transform, self.target_transform = str(root), train, transform, target_transform
        places = [Path(root, *folder.split("/")) if folder else Path(root) for folder in self.folders]
        place = next((p for p in places if any(any(p.glob(name)) for name in self.files)), None)
        if place is None:
            raise RuntimeError(
                f"`root` must hold the files of {type(self).__name__} (nothing is downloaded), in one of "
                f"{', '.join(map(str, places))}; got none: put them there"
            )
        images, labels = self._read(place, train)
        self.data, self.targets = images, labels

    def _read(self, place: Path, train: bool) -> tuple[Any, Any]:
        raise NotImplementedError

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The number of each class."""
        return {name: i for i, name in enumerate(self.classes)}

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        from PIL import Image  # images are PIL's, as transforms of one's own expect

        raw = self.data[index]
        image: Any = Image.fromarray(raw.numpy() if isinstance(raw, Tensor) else raw)
        label = int(self.targets[index])
        return (
            image if self.transform is None else self.transform(image),
            label if self.target_transform is None else self.target_transform(label),
        )


class MNIST(_Images):
    """MNIST in its four files, under root/MNIST/raw or root."""

    folders, files = ("MNIST/raw", "raw", ""), ("*images-idx3-ubyte*",)
    classes: tuple[str, ...] = tuple(
        f"{i} - {name}"
        for i, name in enumerate(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
    )

    def _read(self, place: Path, train: bool) -> tuple[Tensor, Tensor]:
        part = "train" if train else "t10k"

        def read(kind: str, magic: int) -> np.ndarray:
            paths = [place / f"{part}-{kind}-ubyte{suffix}" for suffix in ("", ".gz")]
            path = next((p for p in paths if p.is_file()), paths[0])
            return data.read_idx(path, magic=magic)

        self.train_data, self.train_labels = found = (
            asarray(read("images-idx3", 2051)),
            asarray(read("labels-idx1", 2049).astype(np.int64)),
        )
        self.test_data, self.test_labels = found  # names of older versions
        return found


class FashionMNIST(MNIST):
    """Fashion-MNIST in its four files, under root/FashionMNIST/raw or root."""

    folders = ("FashionMNIST/raw", "raw", "")
    classes = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


class FakeData(Dataset):
    """Images of noise, with labels.

    Parameters
    ----------
    size : int, default 1000
        How many.
    image_size : tuple of int, default (3, 224, 224)
        Channels, height, width.
    num_classes : int, default 10
        Of how many classes.
    transform, target_transform : callable, optional
        What is done to images and labels.
    random_offset : int, default 0
        Added to the seed of each image.
    """

    def __init__(
        self,
        size: int = 1000,
        image_size: tuple[int, ...] = (3, 224, 224),
        num_classes: int = 10,
        transform: Any = None,
        target_transform: Any = None,
        random_offset: int = 0,
    ):
        self.size, self.image_size, self.num_classes, self.random_offset = size, image_size, num_classes, random_offset
        self.transform, self.target_transform = transform, target_transform

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if not 0 <= index < self.size:
            raise IndexError(f"`index` must be below {self.size}, got {index}")
        from PIL import Image

        rng = np.random.default_rng(index + self.random_offset)
        c, h, w = self.image_size
        image: Any = Image.fromarray(rng.integers(0, 256, (h, w, c), np.uint8).squeeze())
        label: Any = int(rng.integers(self.num_classes))
        return (
            image if self.transform is None else self.transform(image),
            label if self.target_transform is None else self.target_transform(label),
        )


class CIFAR10(_Images):
    """CIFAR-10 in its Python batches, under root/cifar-10-batches-py."""

    folders, files = ("cifar-10-batches-py", ""), ("data_batch_*",)
    classes: tuple[str, ...] = (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    )

    def _read(self, place: Path, train: bool) -> tuple[Any, Any]:
        splits = data.load_cifar(place)
        part = splits.train if train else splits.test
        images, labels = part.arrays
        return np.ascontiguousarray(np.asarray(images).transpose(0, 2, 3, 1)), [int(y) for y in np.asarray(labels)]


class CIFAR100(CIFAR10):
    """CIFAR-100 in its Python files, under root/cifar-100-python."""

    folders, files = ("cifar-100-python", ""), ("train",)
    classes = ()


class ImageFolder(Dataset):
    """Images in one folder for each class.

    Parameters
    ----------
    root : str or Path
        Holds the folders.
    transform, target_transform : callable, optional
        What is done to images and labels.
    """

    suffixes = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")

    def __init__(self, root: Any, transform: Any = None, target_transform: Any = None):
        self.root, self.transform, self.target_transform = str(root), transform, target_transform
        self.classes = sorted(p.name for p in Path(root).iterdir() if p.is_dir())
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}
        self.samples = [
            (str(p), i)
            for name, i in self.class_to_idx.items()
            for p in sorted(Path(root, name).rglob("*"))
            if p.suffix.lower() in self.suffixes
        ]
        self.imgs, self.targets = self.samples, [i for _, i in self.samples]
        if not self.samples:
            raise FileNotFoundError(f"`root` must hold a folder of images for each class, got none in {root}")

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        from PIL import Image

        path, label = self.samples[index]
        image: Any = Image.open(path).convert("RGB")
        return (
            image if self.transform is None else self.transform(image),
            label if self.target_transform is None else self.target_transform(label),
        )
