"""Data sets, loaders, normalisation and splits."""

from .arrays import ArrayDataset, DataSplits
from .cifar import load_cifar
from .collate import default_collate
from .digits import load_digits
from .files import DataError
from .idx import load_mnist, read_idx
from .labels import check_labels, encode_labels, one_hot
from .loader import DataLoader
from .normalize import MinMax, Normalizer, PerChannel, Robust, Standardize
from .npz import load_npz
from .recognise import load
from .splits import k_fold, stratified_k_fold, time_series_split, train_dev_test_split
from .workers import get_worker_info

__all__ = [
    "ArrayDataset",
    "DataError",
    "DataLoader",
    "DataSplits",
    "MinMax",
    "Normalizer",
    "PerChannel",
    "Robust",
    "Standardize",
    "check_labels",
    "encode_labels",
    "default_collate",
    "get_worker_info",
    "k_fold",
    "load",
    "load_cifar",
    "load_digits",
    "load_mnist",
    "load_npz",
    "one_hot",
    "read_idx",
    "stratified_k_fold",
    "time_series_split",
    "train_dev_test_split",
]
