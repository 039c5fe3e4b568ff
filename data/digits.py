"""The data set that needs no download: scikit-learn's handwritten digits."""

from __future__ import annotations

import numpy as np

from .arrays import ArrayDataset, DataSplits
from .extras import sklearn
from .splits import train_dev_test_split

__all__ = ["load_digits"]


def load_digits() -> DataSplits:
    """Read 1797 handwritten digits, which need no download.

    The split is fixed and stratified: 1437 for training, 360 for test. The images are the test set of the reference.

    Returns
    -------
    DataSplits
        Images (N, 1, 8, 8) uint8 with values 0 … 16, labels (N,) int64.

    Raises
    ------
    ImportError
        If scikit-learn is missing.

    References
    ----------
    Alpaydin and Kaynak, "Optical recognition of handwritten digits", UCI Machine Learning Repository, 1998.

    Examples
    --------
    >>> load_digits()
    digits: train 1437, test 360, samples (1, 8, 8) uint8, 10 classes
    """
    images, labels = sklearn("datasets", "load_digits").load_digits(return_X_y=True)
    data = ArrayDataset(images.reshape(-1, 1, 8, 8).astype(np.uint8), labels.astype(np.int64))
    names = tuple(str(i) for i in range(10))
    return train_dev_test_split(data, test=360, stratify=data.y, seed=0, class_names=names, name="digits")
