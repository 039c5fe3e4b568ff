"""Against NumPy's functions of the same name; dtypes, devices and memory as the docstrings promise."""

import re

import harness
import numpy as np
import pytest
from harness import Case

import weft
from weft.backend.array import creation

rng = np.random.default_rng(0)

CASES = [
    Case(getattr(creation, name), (np.asarray(rng.standard_normal(s)),), getattr(np, name), {"k": k}, label=f" {k}")
    for name in ("tril", "triu")
    for s in [(4, 4), (3, 5), (2, 4, 3), (0, 3), (33, 33)]
    for k in (0, 1, -2, 7)
]
test_primitive = harness.over(CASES)


def same(got, expected, dtype=None):
    assert isinstance(got, weft.Tensor)
    if dtype is not None:
        assert got.dtype == dtype
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-6)


class TestDtypes:
    """Python floats are float32, arrays keep their dtype."""

    @pytest.mark.parametrize(
        ("data", "dtype"),
        [
            ([1.0, 2], "float32"),
            ([1, 2], "int64"),
            ([True], "bool"),
            (1.5, "float32"),
            (2, "int64"),
            (1j, "complex64"),
            ([], "float32"),
            (np.ones(2), "float64"),
            (np.float64(1), "float64"),
            (np.float16(1), "float16"),
            ([np.ones(2), np.ones(2)], "float64"),
            (range(3), "int64"),
        ],
    )
    def test_of_what_is_given(self, data, dtype):
        assert weft.asarray(data).dtype == np.dtype(dtype)
        assert weft.tensor(data).dtype == np.dtype(dtype)
        assert weft.tensor(data, dtype=weft.float64).dtype == weft.float64 if dtype != "complex64" else True

    def test_default(self):
        weft.set_default_dtype("float64")
        try:
            for made in (
                weft.ones(2),
                weft.asarray(1.0),
                weft.full(2, 0.5),
                weft.eye(2),
                weft.linspace(0, 1, 3),
                weft.arange(0.0, 1.0, 0.5),
                weft.empty(2),
                weft.tensor([1.0]),
                weft.rand(2),
                weft.exp(weft.tensor(1)),
                weft.tensor(1) * 0.5,
            ):
                assert made.dtype == weft.float64
            assert weft.asarray(1j).dtype == weft.complex128
        finally:
            weft.set_default_dtype(weft.float32)

    def test_arguments(self):
        assert weft.zeros(2, dtype="int8").dtype == weft.int8
        assert weft.ones(2, dtype=np.float16).dtype == weft.float16
        assert weft.full(2, 1).dtype == weft.int64
        assert weft.full(2, True).dtype == weft.bool
        assert weft.arange(3).dtype == weft.int64
        assert weft.arange(3, dtype=weft.float32).dtype == weft.float32
        assert weft.zeros(2, dtype=weft.bfloat16).dtype == weft.bfloat16


class TestValues:
    def test_ranges(self):
        same(weft.arange(5), np.arange(5))
        same(weft.arange(1, 7, 2), np.arange(1, 7, 2))
        same(weft.arange(3, 0, -1), np.arange(3, 0, -1))
        same(weft.arange(0, 1, 0.25), np.arange(0, 1, 0.25), weft.float32)
        same(weft.arange(0), np.arange(0))
        same(weft.linspace(0, 1, 5), np.linspace(0, 1, 5), weft.float32)
        same(weft.linspace(0, 1, 5, endpoint=False), np.linspace(0, 1, 5, endpoint=False))
        same(weft.linspace(0, 1j, 3), np.linspace(0, 1j, 3), weft.complex64)

    def test_matrices(self):
        same(weft.eye(3), np.eye(3))
        same(weft.eye(2, 4, k=1), np.eye(2, 4, k=1))
        same(weft.zeros((2, 0)), np.zeros((2, 0)))
        same(weft.full((2, 2), 7.5), np.full((2, 2), 7.5), weft.float32)
        assert weft.empty((3, 2)).shape == (3, 2)

    def test_like(self):
        x = weft.ones((2, 3), dtype=weft.float64, device="strict")
        for f, value in ((weft.zeros_like, 0), (weft.ones_like, 1)):
            y = f(x)
            assert (y.device, y.dtype, y.shape) == ("strict", weft.float64, (2, 3))
            assert y.numpy().tolist() == [[value] * 3] * 2
            assert f(x, dtype=weft.int32).dtype == weft.int32
            assert f(x, device="cpu").device == "cpu"
        assert weft.empty_like(x).shape == (2, 3)
        same(weft.full_like(weft.ones(2), 5), [5, 5], weft.float32)

    @pytest.mark.parametrize("indexing", ["xy", "ij"])
    @pytest.mark.parametrize("n", [1, 2, 3])
    def test_meshgrid(self, indexing, n):
        axes = [np.arange(k + 2.0) for k in range(n)]
        got = weft.meshgrid(*map(weft.asarray, axes), indexing=indexing)
        for g, e in zip(got, np.meshgrid(*axes, indexing=indexing), strict=True):
            same(g, e)

    def test_meshgrid_of_a_list_keeps_gradients(self):
        x, y = weft.tensor([1.0, 2.0], requires_grad=True), weft.tensor([3.0, 4.0, 5.0])
        a, b = weft.meshgrid([x, y], indexing="ij")
        (a * b).sum().backward()
        assert x.grad.tolist() == [12.0, 12.0]

    def test_meshgrid_errors(self):
        with pytest.raises(ValueError, match="`indexing` must be 'xy' or 'ij', got 'yx'"):
            weft.meshgrid(weft.ones(2), indexing="yx")
        assert weft.meshgrid() == ()


class TestMemory:
    def test_asarray_shares_and_tensor_copies(self):
        x = np.ones(3, np.float32)
        assert weft.asarray(x).data is x
        assert not np.shares_memory(weft.tensor(x).data, x)
        t = weft.asarray(x)
        assert weft.asarray(t) is t
        assert weft.asarray(t, copy=True).data is not t.data
        assert weft.tensor(t) is not t

    def test_copy_false(self):
        x = np.ones(3, np.float32)
        assert weft.asarray(x, copy=False).data is x
        with pytest.raises(ValueError, match="`copy=False` cannot be kept for list"):
            weft.asarray([1.0], copy=False)
        with pytest.raises(ValueError, match="copy"):
            weft.asarray(x, dtype=weft.float64, copy=False)
        with pytest.raises(ValueError, match="`copy=False` cannot be kept: the data are on cpu, the tensor on strict"):
            weft.asarray(x, device="strict", copy=False)

    def test_dlpack_both_ways(self):
        x = np.arange(4.0)
        t = weft.from_dlpack(x)
        assert np.shares_memory(t.data, x)
        assert np.shares_memory(np.from_dlpack(weft.asarray(x)), x)
        assert weft.from_dlpack(x, copy=True).data is not x
        assert weft.from_dlpack(t, device="strict").device == "strict"


class TestGradients:
    def test_asarray_keeps_the_tape_and_tensor_leaves_it(self):
        x = weft.ones(2, requires_grad=True)
        assert weft.asarray(x, dtype=weft.float64, copy=True).requires_grad
        assert not weft.tensor(x).requires_grad
        assert weft.tensor(x, requires_grad=True).is_leaf

    def test_requires_grad(self):
        assert weft.zeros(2, requires_grad=True).requires_grad
        assert weft.ones(2, requires_grad=True).is_leaf
        with pytest.raises(TypeError, match="`requires_grad` needs a real floating-point dtype, got int64"):
            weft.tensor([1], requires_grad=True)


class TestErrors:
    @pytest.mark.parametrize("data", [[[1, 2], [3]], "12", [object()], {"a": 1}])
    def test_not_numbers(self, data):
        with pytest.raises((TypeError, ValueError), match=r"rectangular|inhomogeneous"):
            weft.tensor(data)

    def test_nested_tensors(self):
        assert weft.tensor([weft.tensor(1.0), weft.tensor(2.0)]).tolist() == [1, 2]
        assert weft.asarray([[weft.tensor([1, 2])], [[3, 4]]]).shape == (2, 1, 2)


class Frame:
    """A data frame, as pandas and polars have them in common."""

    def __init__(self, **columns):
        self._columns = {name: np.asarray(values) for name, values in columns.items()}
        self.columns, self.dtypes = list(columns), [c.dtype for c in self._columns.values()]

    def __getitem__(self, name):
        return self._columns[name]

    def __array__(self, dtype=None, copy=None):
        whole = np.empty((len(self[self.columns[0]]), len(self.columns)), np.result_type(*self._columns.values()))
        if len({c.dtype.kind for c in self._columns.values()}) > 1:
            whole = whole.astype(object)
        for i, name in enumerate(self.columns):
            whole[:, i] = self[name]
        return whole if dtype is None else whole.astype(dtype)


class Column(np.ndarray):
    """A series: an array with a name."""

    name = "city"


DAYS = np.array(["2024-02-29"], "M8[D]")
RECORDS = np.zeros(2, [("age", "i4"), ("town", "U8")])
NO_NUMBERS = [
    (Frame(x=[1.5, 2.5], city=["Oslo", "Rome"]), "Frame with column 'city' (<U4), dtype object"),
    (Frame(x=[1, 2], city=["1", "2"], when=[DAYS[0]] * 2), "columns 'city' (<U1), 'when' (datetime64[D])"),
    (Frame(x=[0.5], is_new=np.array([True], object)), "column 'is_new' (object)"),
    (np.array(["1", "2"]).view(Column), "Column 'city' of dtype <U1"),
    (np.array(["1", "2"]), "ndarray of dtype <U1"),
    (np.array([b"1"]), "ndarray of dtype |S1"),
    (np.array(["1"], np.dtypes.StringDType()), "ndarray of dtype StringDType()"),
    (np.array(["1"], object), "ndarray of dtype object"),
    (np.array([1, None], object), "ndarray of dtype object"),
    (DAYS, "ndarray of dtype datetime64[D]"),
    (DAYS - DAYS, "ndarray of dtype timedelta64[D]"),
    (RECORDS, "ndarray of dtype [('age', '<i4'), ('town', '<U8')]"),
    (RECORDS.view(np.recarray), "of dtype (numpy.record, [('age', '<i4'), ('town', '<U8')])"),
    (np.zeros(2, "V3"), "ndarray of dtype |V3"),
    (np.str_("1"), "str_ of dtype <U1: 1"),
    (DAYS[0], "datetime64 of dtype datetime64[D]: 2024-02-29"),
    (["1", "2"], "list of dtype <U1: ['1', '2']"),
    ("12", "str of dtype <U2: 12"),
    (b"12", "bytes of dtype |S2: b'12'"),
    ([1.0, None], "list of dtype object: [1.0, None]"),
    (None, "NoneType of dtype object: None"),
    ([{"a": 1}], "list of dtype object"),
    (list(DAYS), "list of dtype datetime64[D]"),
]
MASKED = np.ma.masked_array([1, 2], [False, True])


class TestDtypesThatAreNone:
    @pytest.mark.parametrize("dtype", [None, weft.float32])
    @pytest.mark.parametrize("device", ["cpu", "emulator"])
    @pytest.mark.parametrize("make", [weft.tensor, weft.asarray])
    @pytest.mark.parametrize(("data", "named"), NO_NUMBERS, ids=[n for _, n in NO_NUMBERS])
    def test_are_named(self, data, named, make, dtype, device):
        with pytest.raises(TypeError, match=re.escape(named)):
            make(data, dtype=dtype, device=device)

    def test_on_a_gpu(self, cupy):
        for data, named in NO_NUMBERS:
            with pytest.raises(TypeError, match=re.escape(named)):
                weft.asarray(data, device="cuda")
        with pytest.raises(TypeError, match="`dtype` must be one of weft's"):
            weft.asarray(weft.zeros(2, device="cuda"), dtype=object)
        assert weft.asarray(np.ones(2, weft.bfloat16), device="cuda").dtype == weft.bfloat16

    @pytest.mark.parametrize("make", [weft.tensor, weft.asarray, lambda a, dtype: weft.data.ArrayDataset(a)])
    @pytest.mark.parametrize("dtype", [None, weft.float32])
    @pytest.mark.parametrize("data", [MASKED, [MASKED, MASKED], [1, np.ma.masked], MASKED.astype(np.float32)])
    def test_masks(self, data, dtype, make):
        with pytest.raises(TypeError, match=r"masked array of dtype (int|float)\d\d; use .filled\(value\)"):
            make(data, dtype=dtype)

    @pytest.mark.parametrize("dtype", [object, str, "M8[s]", np.dtype([("a", "i4")]), np.longdouble])
    def test_are_not_made(self, dtype):
        for data in (1, [1.0], np.zeros(2), weft.zeros(2)):
            with pytest.raises(
                TypeError,
                match=re.escape(f"`dtype` must be one of weft's, such as float32 or int64, got {np.dtype(dtype)}"),
            ):
                weft.asarray(data, dtype=dtype)

    @pytest.mark.parametrize("make", [weft.zeros, weft.ones, weft.empty, weft.eye, weft.arange])
    @pytest.mark.parametrize("dtype", [object, "U3", "M8[s]"])
    def test_are_not_made_from_nothing(self, dtype, make):
        with pytest.raises(TypeError, match="`dtype` must be one of weft's, such as float32 or int64, got"):
            make(2, dtype=dtype)
        with pytest.raises(TypeError, match="`dtype` must be one of weft's"):
            weft.full(2, 1, dtype=dtype)

    def test_longdouble(self):
        a = np.ones(2, np.longdouble)
        with pytest.raises(TypeError, match=f"ndarray of dtype {a.dtype}"):
            weft.asarray(a)
        assert weft.asarray(a, dtype=weft.float64).tolist() == [1, 1]

    def test_numbers_of_all_sorts_still_pass(self):
        assert weft.asarray(Frame(x=[1, 2], y=[0.5, 1.5]).__array__().astype(float)).dtype == np.float64
        assert weft.asarray(Frame(x=[1, 2], y=[3, 4])).tolist() == [[1, 3], [2, 4]]
        assert weft.asarray([2**70, 1], dtype=weft.float32).tolist() == [2.0**70, 1]
        assert weft.asarray(np.ones(2, weft.bfloat16)).dtype == weft.bfloat16
        assert weft.asarray([np.ones(2, weft.bfloat16)]).dtype == weft.bfloat16
        assert weft.asarray([True, False]).dtype == np.bool_
        assert weft.asarray([weft.tensor(1.5)], dtype=weft.float64).tolist() == [1.5]
