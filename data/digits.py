"""The data set that needs no download: scikit-learn's handwritten digits."""

from __future__ import annotations

import numpy as np

from .arrays import ArrayDataset, DataSplits
from .extras import sklearn
from .splits import train_dev_test_split

__all__ = ["load_digits"]


def load_digits() -> DataSplits:
    """1797 handwritten digits: images (N, 1, 8, 8) uint8 with values 0 … 16, labels (N,) int64.

    The split is fixed and stratified: 1437 for training, 360 for test. The images are the test set of the UCI data set
    "Optical Recognition of Handwritten Digits" (Alpaydin, Kaynak 1998). Raises ImportError if scikit-learn is missing.

    >>> load_digits()
    digits: train 1437, test 360, samples (1, 8, 8) uint8, 10 classes
    """
    images, labels = sklearn("datasets", "load_digits").load_digits(return_X_y=True)
    data = ArrayDataset(images.reshape(-1, 1, 8, 8).astype(np.uint8), labels.astype(np.int64))
    names = tuple(str(i) for i in range(10))
    return train_dev_test_split(data, test=360, stratify=data.y, seed=0, class_names=names, name="digits")
