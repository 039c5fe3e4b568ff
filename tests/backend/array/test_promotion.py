"""Python numbers beside half precision, order with NaN in bfloat16, and dtypes that differ: one rule for every function."""

import numpy as np
import pytest

import weft

DEVICES = [
    "cpu",
    pytest.param("emulator", marks=pytest.mark.skipif("emulator" not in weft.devices(), reason="no compiler")),
]
every_device = pytest.mark.parametrize("device", DEVICES)
halves = pytest.mark.parametrize("dtype", [weft.float16, weft.bfloat16], ids=str)
NAN = float("nan")


def of(values, dtype, device="cpu"):
    return weft.asarray(np.asarray(values, np.float32)).astype(dtype).to(device)


def numbers(x):
    return x.cpu().numpy().astype(np.float64)


def equal(got, expected):
    np.testing.assert_array_equal(numbers(got), np.asarray(expected, np.float64))


# --- Python numbers ---------------------------------------------------------------------------------------------------
TWO = [
    "equal",
    "not_equal",
    "less",
    "less_equal",
    "greater",
    "greater_equal",
    "add",
    "subtract",
    "multiply",
    "divide",
    "remainder",
    "floor_divide",
    "maximum",
    "minimum",
    "pow",
    "atan2",
    "hypot",
    "copysign",
    "logaddexp",
    "nextafter",
    "isin",
]


@every_device
@halves
@pytest.mark.parametrize("name", TWO)
@pytest.mark.parametrize("number", [0.1, -0.3, 257, 1 / 3])
def test_a_python_number_takes_the_dtype(name, number, dtype, device):
    f = getattr(weft, name)
    x = of([0.1, -0.3, 257.0, 2.0], dtype, device)
    as_array = of([number] * 4, dtype, device)
    with np.errstate(all="ignore"):
        pairs = (f(x, number), f(x, as_array)), (f(number, x), f(as_array, x))
    for got, expected in pairs:
        assert got.dtype == expected.dtype
        equal(got, numbers(expected))


@every_device
@halves
def test_a_tensor_that_holds_a_tenth_equals_it(dtype, device):
    x = of([0.1], dtype, device)
    for holds in (x == 0.1, x <= 0.1, x >= 0.1, 0.1 == x, weft.isin(x, 0.1)):  # noqa: SIM300
        assert holds.item() is True
    for fails in (x != 0.1, x < 0.1, x > 0.1):
        assert fails.item() is False
    for zero in (x - 0.1, x % 0.1, 0.1 - x):
        assert zero.item() == 0
    for same in (weft.maximum(x, 0.1), weft.clip(x, 0.1, 0.1), weft.clip(x * 0, 0.1), weft.where(x > 0, 0.1, x * 0)):
        equal(same, numbers(x))
    assert weft.where(x > 0, 0.1, x).dtype == dtype


# --- the next number --------------------------------------------------------------------------------------------------
@every_device
@halves
def test_nextafter(dtype, device):
    eps, tiny = float(weft.finfo(dtype).eps), 2.0**-24 if dtype == weft.float16 else 2.0**-133
    top = float(weft.finfo(dtype).max)
    x = of([1, 1, 0, 0, -1, tiny, NAN, 1, 2, top, -0.0, np.inf], dtype, device)
    y = of([5, -5, 1, -1, -5, 0, 1, NAN, 2, np.inf, 1, 0], dtype, device)
    got = weft.nextafter(x, y)
    assert got.dtype == dtype
    equal(got, [1 + eps, 1 - eps / 2, tiny, -tiny, -1 - eps, 0, NAN, NAN, 2, np.inf, tiny, top])
    equal(weft.nextafter(of([1.0], dtype, device), 5), [1 + eps])


# --- order ------------------------------------------------------------------------------------------------------------
@every_device
@halves
class TestOrderWithNaN:
    VALUES = (3.0, NAN, 1.0, 2.0, NAN, -1.0, 1.0)

    def test_sort(self, dtype, device):
        x = of(self.VALUES, dtype, device)
        equal(weft.sort(x), [-1, 1, 1, 2, 3, NAN, NAN])
        equal(weft.argsort(x), [5, 2, 6, 3, 0, 1, 4])
        equal(weft.sort(x[None, :].T, axis=0)[:, 0], [-1, 1, 1, 2, 3, NAN, NAN])
        assert weft.sort(x).dtype == dtype

    def test_descending(self, dtype, device):
        x = of(self.VALUES, dtype, device)
        expected = weft.sort(of(self.VALUES, weft.float32, device), descending=True)
        equal(weft.sort(x, descending=True), numbers(expected))

    def test_gradient_of_sort(self, dtype, device):
        x = of([3.0, 1.0, 2.0], dtype, device).requires_grad_()
        weft.sort(x).backward(of([1, 2, 3], dtype, device))
        equal(x.grad, [3, 1, 2])

    def test_unique(self, dtype, device):
        x, f = of(self.VALUES, dtype, device), of(self.VALUES, weft.float32, device)
        assert weft.unique_values(x).dtype == dtype
        equal(weft.unique_values(x), numbers(weft.unique_values(f)))
        for name in ("unique_all", "unique_counts", "unique_inverse"):
            got, expected = getattr(weft, name)(x), getattr(weft, name)(f)
            assert got.values.dtype == dtype
            for g, e in zip(got, expected):
                equal(g, numbers(e))

    def test_searchsorted(self, dtype, device):
        found = weft.searchsorted(of([1, 2, NAN], dtype, device), of([1.5, NAN, 2.5, 0], dtype, device))
        equal(found, [1, 2, 2, 0])

    def test_isin(self, dtype, device):
        x = of(self.VALUES, dtype, device)
        equal(weft.isin(x, of([1, NAN, 3], dtype, device)), [1, 0, 1, 0, 0, 0, 1])


# --- dtypes that differ -----------------------------------------------------------------------------------------------
PROMOTED = [
    *[
        (kind, other, kind)
        for kind in ("float16", "bfloat16", "float32", "float64", "complex64")
        for other in ("bool", "int8", "int32", "int64", "uint8", "uint64")
    ],
    ("bfloat16", "float16", "float32"),
    ("bfloat16", "float32", "float32"),
    ("float16", "float32", "float32"),
    ("bfloat16", "float64", "float64"),
    ("float32", "float64", "float64"),
    ("int8", "int32", "int32"),
    ("bool", "int8", "int8"),
]


@every_device
@pytest.mark.parametrize(("first", "second", "expected"), PROMOTED)
def test_two_dtypes(first, second, expected, device):
    d1, d2, to = getattr(weft, first), getattr(weft, second), getattr(weft, expected)
    x, y = weft.ones(3, dtype=d1, device=device), weft.ones(3, dtype=d2, device=device)
    for a, b in ((x, y), (y, x)):
        assert weft.result_type(a, b) == to
        assert weft.result_type(a.dtype, b.dtype) == to
        assert weft.where(x == x, a, b).dtype == to
        assert weft.concat([a, b]).dtype == to
        assert weft.concat([a, b, a]).dtype == to
        assert weft.stack([a, b]).dtype == to
        assert (a + b).dtype == to
        assert (a * b).dtype == to
        if first != "bool":
            assert (a - b).dtype == to
            assert (a**b).dtype == to
        if "complex" not in first:
            assert weft.maximum(a, b).dtype == to
        if expected not in ("bool", "complex64"):
            assert (a // b).dtype == to
            assert (a % b).dtype == to


@pytest.mark.parametrize(
    ("dtype", "number", "expected"),
    [
        ("bfloat16", 1.0, "bfloat16"),
        ("bfloat16", 1, "bfloat16"),
        ("bfloat16", True, "bfloat16"),
        ("bfloat16", 1j, "complex64"),
        ("float16", 1.0, "float16"),
        ("float32", 1.0, "float32"),
        ("float64", 1j, "complex128"),
        ("int8", 1, "int8"),
        ("int8", 1.0, "float32"),
        ("bool", 1.0, "float32"),
        ("bool", 1, "int64"),
        ("int64", 1j, "complex64"),
        ("complex64", 1.0, "complex64"),
    ],
)
def test_a_dtype_and_a_number(dtype, number, expected):
    dtype, expected = getattr(weft, dtype), getattr(weft, expected)
    assert weft.result_type(dtype, number) == expected
    assert weft.result_type(number, dtype) == expected
    assert weft.result_type(weft.ones(1, dtype=dtype), number) == expected
    assert (weft.ones(1, dtype=dtype) + number).dtype == expected


@every_device
def test_gradients_keep_their_dtypes(device):
    x = weft.ones(3, device=device, requires_grad=True)
    i = weft.arange(3, device=device)
    y = x * i + weft.where(i > 0, x, i) + weft.concat([x[:1], i[1:]]) + x**i + weft.maximum(x, i)
    assert y.dtype == weft.float32
    y.sum().backward()
    assert x.grad.dtype == weft.float32
    h, b = (weft.ones(3, dtype=d, device=device).requires_grad_() for d in (weft.float16, weft.bfloat16))
    (weft.concat([h, b]).sum() + weft.stack([h, b]).sum() + weft.where(i > 0, h, b).sum() + (h * b).sum()).backward()
    assert (h.grad.dtype, b.grad.dtype) == (weft.float16, weft.bfloat16)
    equal(h.grad, [3, 4, 4])
    equal(b.grad, [4, 3, 3])


# --- products ---------------------------------------------------------------------------------------------------------
PRODUCTS = {
    "matmul": weft.matmul, "vecdot": weft.vecdot, "tensordot": lambda a, b: weft.tensordot(a, b, axes=1),
    "outer": lambda a, b: weft.tensordot(a, b, axes=0), "einsum": lambda a, b: weft.einsum("i,i->", a, b),
    "cross": weft.linalg.cross, "clip": lambda a, b: weft.clip(a, b, None), "nextafter": weft.nextafter,
}  # fmt: skip


@every_device
@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("first", [weft.float32, weft.float16, weft.bfloat16, weft.float64], ids=str)
@pytest.mark.parametrize("second", [weft.int64, weft.int8, weft.float16, weft.bfloat16], ids=str)
def test_two_dtypes_multiply_as_they_add(name, first, second, device):
    a, b = of([1.0, 2.0, 3.0], first, device), of([4.0, 1.0, 2.0], second, device)
    keeps = name == "clip" and not weft.isdtype(second, "integral")  # whose bounds take no part
    expected = first if keeps else (a + b).dtype
    got = PRODUCTS[name](a, b)
    assert got.dtype == expected
    equal(got, numbers(PRODUCTS[name](a.to(expected), b.to(expected))))
    if name not in ("clip", "nextafter"):
        assert PRODUCTS[name](b, a).dtype == expected


@every_device
@pytest.mark.parametrize("name", list(PRODUCTS)[:-2])
def test_gradients_of_products_keep_their_dtypes(name, device):
    a = of([1.0, 2.0, 3.0], weft.bfloat16, device).requires_grad_()
    b = of([4.0, 1.0, 2.0], weft.float16, device).requires_grad_()
    PRODUCTS[name](a, b).sum().backward()
    assert (a.grad.dtype, b.grad.dtype) == (a.dtype, b.dtype)
    wide = [x.detach().to(weft.float32).requires_grad_() for x in (a, b)]
    PRODUCTS[name](*wide).sum().backward()
    for got, expected in zip((a, b), wide):
        equal(got.grad, numbers(expected.grad))
