"""What is not a number goes into no tensor, through whichever door: an error each, and nothing is written."""

import datetime

import numpy as np
import pytest

import weft
from weft import layers as nn

VALUES = {
    "str": "1", "bytes": b"1", "str of NumPy": np.str_("1"), "None": None, "date": datetime.date(2020, 1, 1),
    "datetime64": np.datetime64("2020-01-01"), "nanoseconds": np.datetime64("2020-01-01", "ns"),
    "timedelta64": np.timedelta64(5, "ns"), "dict": {"a": 1}, "set": {1.0}, "object": object(),
    "list of str": ["1", "2", "3"], "list with None": [None, 1.0, 2.0], "ragged": [[1.0, 2.0], [3.0]],
    "texts": np.array(["1", "2", "3"]), "byte strings": np.array([b"1", b"2", b"3"]),
    "objects": np.array([1.0, 2.0, 3.0], object), "dates": np.array(["2020-01-01"] * 3, "datetime64[D]"),
    "times": np.array([1, 2, 3], "timedelta64[s]"), "records": np.zeros(3, [("a", "f4")]),
}  # fmt: skip


def written(x, write):
    """x, which `write` must leave alone."""
    before = x.tolist()
    try:
        write(x)
    finally:
        assert x.tolist() == before


def ones(device, **options):
    return weft.ones(3, device=device).requires_grad_(options.get("grad", False))


INTO = {
    "x[0] =": lambda v, d: written(ones(d), lambda x: x.__setitem__(0, v)),
    "x[...] =": lambda v, d: written(ones(d), lambda x: x.__setitem__(..., v)),
    "recorded x[0] =": lambda v, d: written(ones(d, grad=True) * 1, lambda x: x.__setitem__(0, v)),
    "fill_": lambda v, d: written(ones(d), lambda x: x.fill_(v)),
    "copy_": lambda v, d: written(ones(d), lambda x: x.copy_(v)),
    "tensor": lambda v, d: weft.tensor(v, device=d),
    "asarray": lambda v, d: weft.asarray(v, device=d),
    "Tensor": lambda v, d: weft.Tensor(v),
    "Parameter": lambda v, d: weft.Parameter(v),
    "full": lambda v, d: weft.full(3, v, device=d),
    "full, dtype": lambda v, d: weft.full(3, v, dtype=weft.float32, device=d),
    "full_like": lambda v, d: weft.full_like(ones(d), v),
    "arange": lambda v, d: weft.arange(v, device=d),
    "linspace": lambda v, d: weft.linspace(0, v, 3, device=d),
    "exp": lambda v, d: weft.exp(v),
    "sum": lambda v, d: weft.sum(v),
    "relu": lambda v, d: nn.functional.relu(v),
    "add": lambda v, d: weft.add(ones(d), v),
    "recorded add": lambda v, d: weft.add(ones(d, grad=True), v),
    "maximum": lambda v, d: weft.maximum(ones(d), v),
    "where": lambda v, d: weft.where(ones(d) > 0, ones(d), v),
    "condition": lambda v, d: weft.where(v, ones(d), ones(d)),
    "stack": lambda v, d: weft.stack([v, v]),
    "stack of two": lambda v, d: weft.stack([ones(d), v]),
    "concat": lambda v, d: weft.concat([v, v]),
    "+": lambda v, d: ones(d) + v,
    "reflected -": lambda v, d: v - ones(d),
    "*": lambda v, d: ones(d) * v,
    "<": lambda v, d: ones(d) < v,
    "+=": lambda v, d: written(ones(d), lambda x: x.__iadd__(v) is NotImplemented and x + v),
    "**": lambda v, d: ones(d) ** v,
    "searchsorted": lambda v, d: weft.searchsorted(ones(d), v),
    "backward": lambda v, d: (ones(d, grad=True) * 1).backward(v),
    "mse_loss": lambda v, d: nn.functional.mse_loss(ones(d), v),
}


@pytest.mark.parametrize("device", ["cpu", "emulator"])
@pytest.mark.parametrize("door", INTO)
def test_an_error(door, device):
    if device not in weft.devices():
        pytest.skip("the emulator needs a C++ compiler")
    for what, value in VALUES.items():
        has_shape = door == "stack of two" and isinstance(value, np.generic)  # which is not that of the other
        errors = (TypeError, ValueError, RuntimeError) if what in ("None", "ragged") or has_shape else TypeError
        with pytest.raises(errors):
            pytest.fail(f"{door} takes {what}: {INTO[door](value, device)}")


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: INTO["x[0] ="]("1", "cpu"), "`tensor` needs numbers .*, got str of dtype <U1: 1; encode, select or convert"),
        (lambda: weft.exp(VALUES["texts"]), "`tensor` needs numbers .*, got ndarray of dtype <U1; encode"),
        (lambda: weft.add(weft.ones(3), "1"), r"`add` needs a weft.Tensor \(weft.asarray makes one\), got str of dtype <U1: 1"),
        (lambda: weft.add(weft.ones(3), VALUES["dates"]), r"`tensor` needs numbers .* dtype datetime64\[D\]; encode"),
        (lambda: weft.where(weft.ones(3) > 0, 1.0, None), "`where` needs a condition and two values, got None"),
        (lambda: weft.stack(["1", "2"]), "`stack` needs Tensors, got str '1'; convert it"),
        (lambda: weft.arange("3"), "`start` must be a number, got '3'"),
        (lambda: weft.linspace(0, None, 3), "`stop` must be a number, got None"),
    ],
)  # fmt: skip
def test_messages(act, message):
    with pytest.raises(TypeError, match=message):
        act()


@pytest.mark.parametrize("dtype", ["U4", "S1", "datetime64[s]", object, np.dtype([("a", "f4")]), None])
def test_dtypes(dtype):
    x = weft.ones(2)
    for convert in (x.astype, lambda d: weft.astype(x, d)):
        with pytest.raises(TypeError, match="`dtype` must be one of weft's, such as float32 or int64, got"):
            convert(dtype)


def test_none_is_no_element():
    """But it is equal to none, and a new axis."""
    x = weft.ones(3)
    assert (x == None) is False  # noqa: E711
    assert x[None].shape == (1, 3)


def test_lists_of_numbers_stay_what_they_were():
    x = weft.zeros(3)
    x[...] = [1, 2.5, True]
    assert x.tolist() == [1, 2.5, 1]
    x[:2] = np.array([7, 8])
    x[2] = np.float64(9)
    assert x.tolist() == [7, 8, 9]
    x[0] = weft.tensor(3)
    assert x[0].item() == 3
