"""Which dtypes hold numbers: NumPy's and ml_dtypes', one by one. (What is refused, and how: array/test_creation.py.)"""

import ml_dtypes
import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.backend.device.numeric import as_dtype, is_numeric

NEEDS_A_COMPILER = pytest.mark.skipif("emulator" not in weft.devices(), reason="no compiler")
NUMBERS = ["?", "b", "B", "i2", "u2", "i4", "u4", "i8", "u8", "e", "f", "d", "F", "D", ">f4", ">i8", ml_dtypes.bfloat16]
OTHERS = ["U", "U5", "S", "O", "V", "V3", "M8", "M8[ns]", "m8", [("a", "f4")], "2f4", np.dtypes.StringDType()]


@pytest.mark.parametrize("dtype", NUMBERS)
def test_numbers(dtype):
    assert is_numeric(np.dtype(dtype))
    assert as_dtype(dtype).isnative


@pytest.mark.parametrize("dtype", OTHERS, ids=str)
def test_others(dtype):
    assert not is_numeric(np.dtype(dtype))
    with pytest.raises(TypeError, match="`dtype` must be one of weft's, such as float32 or int64, got"):
        as_dtype(np.dtype(dtype))


# --- whatever takes a dtype -------------------------------------------------------------------------------------------
TAKE_A_DTYPE = {
    "astype": lambda x, d: x.astype(d), "weft.astype": lambda x, d: weft.astype(x, d), "to": lambda x, d: x.to(dtype=d),
    "sum": lambda x, d: x.sum(dtype=d), "prod": lambda x, d: x.prod(dtype=d), "norm": lambda x, d: x.norm(dtype=d),
    "cumulative_sum": lambda x, d: x.cumulative_sum(dtype=d), "cumulative_prod": lambda x, d: x.cumulative_prod(dtype=d),
    "asarray": lambda x, d: weft.asarray([1.0], dtype=d), "of an array": lambda x, d: weft.asarray(np.ones(1), dtype=d),
    "of a Tensor": lambda x, d: weft.asarray(x, dtype=d), "tensor": lambda x, d: weft.tensor([1.0], dtype=d),
    "zeros": lambda x, d: weft.zeros(2, dtype=d), "ones": lambda x, d: weft.ones(2, dtype=d),
    "empty": lambda x, d: weft.empty(2, dtype=d), "full": lambda x, d: weft.full(2, 1.0, dtype=d),
    "eye": lambda x, d: weft.eye(2, dtype=d), "arange": lambda x, d: weft.arange(2, dtype=d),
    "linspace": lambda x, d: weft.linspace(0, 1, 3, dtype=d), "ones_like": lambda x, d: weft.ones_like(x, dtype=d),
    "zeros_like": lambda x, d: weft.zeros_like(x, dtype=d), "full_like": lambda x, d: weft.full_like(x, 1.0, dtype=d),
    "rand": lambda x, d: weft.rand(2, dtype=d), "randn": lambda x, d: weft.randn(2, dtype=d),
    "Linear": lambda x, d: nn.Linear(2, 2, dtype=d).weight, "Module.to": lambda x, d: nn.Linear(2, 2).to(dtype=d).weight,
    "softmax": lambda x, d: nn.functional.softmax(x, dim=0, dtype=d),
}  # fmt: skip
NO_DTYPES = [object, "U3", "datetime64[s]", "V4", np.longdouble, np.clongdouble, [("a", "f4")], np.dtype([("a", "f4")])]
every_device = pytest.mark.parametrize("device", ["cpu", pytest.param("emulator", marks=NEEDS_A_COMPILER)])


@every_device
@pytest.mark.parametrize("name", TAKE_A_DTYPE)
class TestWhateverTakesADtype:
    def test_refuses_what_holds_no_numbers(self, name, device):
        with weft.device(device):
            for dtype in NO_DTYPES:
                with pytest.raises(TypeError, match="`dtype` must be"):
                    TAKE_A_DTYPE[name](weft.asarray([1.0, 2.0]), dtype)

    def test_takes_names_and_types_of_any_byte_order(self, name, device):
        with weft.device(device):
            x = weft.asarray([1.0, 2.0])
            for dtype in (">f8", np.dtype(">f8"), "<f8", "float64", float, np.float64):
                assert repr(TAKE_A_DTYPE[name](x, dtype).dtype) == "dtype('float64')"


ASK = {
    "can_cast": lambda d: weft.can_cast(weft.float32, d), "isdtype": lambda d: weft.isdtype(d, "numeric"),
    "result_type": lambda d: weft.result_type(d, weft.float32), "finfo": weft.finfo,
    "set_default_dtype": weft.set_default_dtype,
}  # fmt: skip


@pytest.mark.parametrize("ask", ASK.values(), ids=ASK)
@pytest.mark.parametrize("dtype", [*NO_DTYPES, None], ids=str)
def test_questions(ask, dtype):
    with pytest.raises(TypeError, match="`dtype` must be one of weft's"):
        ask(dtype)


# --- bytes in the order of another machine ----------------------------------------------------------------------------
FOREIGN = np.array([1, 2, -3], ">f4")


class TestForeignByteOrder:
    @every_device
    @pytest.mark.parametrize("make", [weft.asarray, weft.tensor, lambda a: weft.asarray(a, dtype=weft.float64),
                                      lambda a: weft.asarray([a])[0], lambda a: weft.zeros(3) + a])  # fmt: skip
    def test_becomes_native(self, make, device):
        with weft.device(device):
            x = make(FOREIGN)
            assert x.dtype.isnative
            assert (x @ x).item() == 14
            assert nn.functional.relu(x).tolist() == [1, 2, 0]

    def test_tensors_and_parameters(self):
        for x in (weft.Tensor(FOREIGN), weft.Parameter(FOREIGN)):
            assert (x.dtype, x.tolist()) == (weft.float32, [1, 2, -3])

    def test_operands(self):
        x = weft.asarray([1.0, 2.0, -3.0])
        for f in (weft.add, weft.multiply, weft.matmul, weft.maximum):
            assert f(x, FOREIGN).tolist() == f(x, x).tolist()

    def test_is_no_copy_that_could_be_had_without(self):
        with pytest.raises(ValueError, match="`copy=False` cannot be kept: the bytes of >f4"):
            weft.asarray(FOREIGN, copy=False)

    def test_on_a_gpu(self, cupy):
        x = weft.asarray(FOREIGN, device="cuda")
        assert (x.dtype, (x @ x).item()) == (weft.float32, 14)


# --- numbers beside tensors -------------------------------------------------------------------------------------------
@every_device
@pytest.mark.parametrize("number", [0.1, np.float64(0.1), np.float32(0.1)])
def test_numbers_of_numpy_are_numbers(number, device):
    x = weft.asarray([0.1, 0.2], device=device)
    for f in (weft.add, weft.multiply, weft.maximum, weft.pow, weft.atan2):
        assert f(x, number).dtype == weft.float32
        assert f(number, x).dtype == weft.float32
    assert weft.isin(x, number).tolist() == [True, False]
    assert weft.isin(number, x).item() is True
    assert weft.searchsorted(x, number, side="right").item() == 1


def test_numbers_between_integers():
    x = weft.asarray([1, 2])
    assert weft.isin(x, 1.5).tolist() == [False, False]
    assert weft.isin(x, 2).tolist() == [False, True]
    assert weft.searchsorted(x, 1.5).item() == 1
