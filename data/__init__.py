"""Data sets, loaders, normalisation, splits; text as tokens, pairs of sentences."""

from typing import TYPE_CHECKING

from ..backend.device.options import UnknownName
from . import augment
from .arrays import ArrayDataset, DataSplits
from .blocks import RandomBlocks, TokenBlocks, pack
from .buckets import BucketSampler
from .byte_pair import BytePairTokenizer
from .cifar import load_cifar
from .collate import default_collate
from .digits import load_digits
from .files import DataError
from .idx import load_mnist, read_idx
from .image_folder import load_images
from .labels import check_labels, encode_labels, one_hot
from .loader import DataLoader
from .normalize import MinMax, Normalizer, PerChannel, Robust, Standardize
from .npz import load_npz
from .pairs import SentencePairs, pad_pairs, read_pairs, split_pairs
from .recognise import load
from .series import TimeSeries, read_series
from .splits import k_fold, stratified_k_fold, time_series_split, train_dev_test_split
from .subwords import SubwordTokenizer
from .table import load_table
from .tokenizer import CharTokenizer, tokenizer_from_config
from .tokens import TokenFile, encode_file, write_tokens
from .weighted import WeightedRandomSampler, balanced_weights
from .windows import SlidingWindows
from .words import WordTokenizer
from .workers import get_worker_info

__all__ = [
    "ArrayDataset",
    "BucketSampler",
    "BytePairTokenizer",
    "CharTokenizer",
    "DataError",
    "DataLoader",
    "DataSplits",
    "MinMax",
    "Normalizer",
    "PerChannel",
    "RandomBlocks",
    "Robust",
    "SentencePairs",
    "SlidingWindows",
    "Standardize",
    "SubwordTokenizer",
    "TimeSeries",
    "TokenBlocks",
    "TokenFile",
    "WeightedRandomSampler",
    "WordTokenizer",
    "augment",
    "balanced_weights",
    "check_labels",
    "default_collate",
    "encode_file",
    "encode_labels",
    "get_worker_info",
    "k_fold",
    "load",
    "load_cifar",
    "load_digits",
    "load_images",
    "load_mnist",
    "load_npz",
    "load_table",
    "one_hot",
    "pack",
    "pad_pairs",
    "read_idx",
    "read_pairs",
    "read_series",
    "split_pairs",
    "stratified_k_fold",
    "time_series_split",
    "tokenizer_from_config",
    "train_dev_test_split",
    "write_tokens",
]


if not TYPE_CHECKING:

    def __getattr__(name):
        raise UnknownName(__name__, name, __all__)
