"""Samples become batches: against stacking by hand."""

import re
from collections import OrderedDict, defaultdict, namedtuple

import numpy as np
import pytest

import weft
from weft.data import default_collate
from weft.data.collate import each, whole, with_first

Pair = namedtuple("Pair", "x y")


def same(found, expected):
    """Types, structure, dtypes, values."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key in expected:
            same(found[key], expected[key])
    elif isinstance(expected, tuple | list):
        assert len(found) == len(expected)
        for f, e in zip(found, expected):
            same(f, e)
    elif isinstance(expected, np.ndarray | weft.Tensor):
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        assert found.tolist() == expected.tolist()
    else:
        assert found == expected


A, B = np.arange(6.0).reshape(2, 3), np.ones((2, 3))
FACTORY = defaultdict(list, x=1)
CASES = [
    ([A, B], np.stack([A, B])),
    ([A[0, 0], B[0, 0]], np.array([0.0, 1.0])),
    ([A.astype(np.uint8)], A[None].astype(np.uint8)),
    ([weft.tensor(A), weft.tensor(B)], weft.tensor(np.stack([A, B]))),
    ([weft.tensor(A), B], weft.tensor(np.stack([A, B]))),
    ([1, 2], np.array([1, 2])),
    ([True, False], np.array([True, False])),
    ([1, 2.5], np.array([1, 2.5], np.float32)),
    ([0.1, 0.2], np.array([0.1, 0.2], np.float32)),
    ([1j, 2], np.array([1j, 2], np.complex64)),
    ([np.float64(0.1), np.float64(0.2)], np.array([0.1, 0.2])),
    ([np.int16(1), np.int16(2)], np.array([1, 2], np.int16)),
    (["a", "b"], ["a", "b"]),
    ([b"a", b"b"], [b"a", b"b"]),
    ([(A, 1), (B, 2)], (np.stack([A, B]), np.array([1, 2]))),
    ([[A, 1], [B, 2]], [np.stack([A, B]), np.array([1, 2])]),
    ([Pair(A, 1), Pair(B, 2)], Pair(np.stack([A, B]), np.array([1, 2]))),
    ([{"x": A, "n": "a"}, {"n": "b", "x": B}], {"x": np.stack([A, B]), "n": ["a", "b"]}),
    ([OrderedDict(x=1), OrderedDict(x=2)], OrderedDict(x=np.array([1, 2]))),
    ([FACTORY, FACTORY], defaultdict(list, x=np.array([1, 1]))),
    ([({"x": (A, [1])}, Pair("s", 2.0))], ({"x": (A[None], [np.array([1])])}, Pair(["s"], np.array([2], np.float32)))),
    ([(), ()], ()),
]


@pytest.mark.parametrize(("samples", "expected"), CASES)
def test_values(samples, expected):
    same(default_collate(samples), expected)


def test_half_precision():
    assert default_collate([np.ones(2, weft.bfloat16)] * 2).dtype == weft.bfloat16
    assert default_collate([np.ones(2, weft.bfloat16)[0]] * 2).dtype == weft.bfloat16


def test_tensors_stay_where_they_are_and_on_the_tape(accelerator):
    x = weft.ones(2, device=accelerator, requires_grad=True)
    batch = default_collate([x, x])
    assert batch.device == accelerator
    batch.sum().backward()
    assert x.grad.tolist() == [2, 2]


@pytest.mark.parametrize(
    ("samples", "error", "message"),
    [
        ([], ValueError, "`batch` must hold at least one sample, got none"),
        (
            [A, A[:1]],
            ValueError,
            "samples must agree in their shape to become a batch, got (2, 3) for the first and (1, 3)",
        ),
        ([(0, A), (0, A[0])], ValueError, "samples[1] must agree in their shape"),
        ([(1, 2), (1,)], ValueError, "samples must agree in their length to become a batch, got 2 for the first and 1"),
        ([(1, 2), 3], ValueError, "got 2 for the first and int for number 1"),
        (
            [{"a": 1}, {"b": 1}],
            ValueError,
            "samples must agree in their keys to become a batch, got ['a'] for the first",
        ),
        ([{"a": 1}, {"a": 1, "b": 1}], ValueError, "and ['a', 'b'] for number 1"),
        ([{"a": {"b": None}}], TypeError, "samples['a']['b']: a sample must be a tensor, array, number or string"),
        ([object()], TypeError, "got object; give `collate_fn`"),
        ([{1, 2}], TypeError, "got set; give `collate_fn`"),
        ([1, None], TypeError, "list of dtype object: [1, None]"),
        ([(0, 1.0), (0, "a")], TypeError, "samples[1]: `tensor` needs numbers"),
        (
            [{"t": np.array(["a"])}],
            TypeError,
            "samples['t']: `tensor` needs numbers in a rectangular arrangement, got ndarray of dtype <U1",
        ),
        ([np.datetime64("2024-02-29")], TypeError, "datetime64 of dtype datetime64[D]"),
        ([np.array([None])], TypeError, "ndarray of dtype object"),
        ([np.zeros(2, "f4,i4")], TypeError, "ndarray of dtype [('f0', '<f4'), ('f1', '<i4')]"),
        ([np.ma.masked_array([1, 2], [0, 1])], TypeError, "masked array of dtype int64"),
    ],
)
def test_errors(samples, error, message):
    with pytest.raises(error, match=re.escape(message)):
        default_collate(samples)


def test_each_finds_every_array():
    batch = {"x": A, "rest": (weft.tensor(A), ["a"], Pair(np.float32(1), None)), "n": 3}
    same(
        each(lambda a: 2 * a, batch),
        {"x": 2 * A, "rest": (weft.tensor(2 * A), ["a"], Pair(np.float32(2), None)), "n": 3},
    )


def test_with_first():
    assert with_first(str, Pair(1, 2)) == Pair("1", 2)
    assert with_first(str, [1, 2]) == ["1", 2]
    assert with_first(len, {"x": 1}) == 1


def test_whole():
    same(
        whole(([1.5, 2], Pair([[1], [2]], ["a", "b"]), A)),
        (np.array([1.5, 2], np.float32), Pair(np.array([[1], [2]]), ["a", "b"]), A),
    )
    same(whole({"x": [weft.tensor([1.0]), weft.tensor([2.0])]}), {"x": np.array([[1], [2]], np.float32)})
    with pytest.raises(TypeError, match="list of dtype object"):
        whole(([None, 1],))
