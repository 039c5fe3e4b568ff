"""`weft` as an array-API namespace: names, signatures, dtypes, conversions, and code that others wrote for it.

Signatures and promotion are compared with array_api_strict's; the values of every function in test_array_api_values.py.
"""

import inspect
import itertools
import math
import operator

import array_api_strict as strict
import numpy as np
import pytest
from namespaces import BINARY, DTYPES, OPERATORS, SPACES, agree, name_of, outcome

import weft

SWITCHES = {"ArrayAPIStrictFlags", "Device", *(n for n in strict.__all__ if n.endswith("array_api_strict_flags"))}
FUNCTIONS = [
    (space, name)
    for space, (_, theirs) in SPACES.items()
    for name in theirs.__all__
    if name not in SWITCHES and inspect.isfunction(getattr(theirs, name))
]
METHODS = sorted(
    name
    for name, f in vars(type(strict.asarray(0))).items()
    if inspect.isfunction(f) and (name[0] != "_" or name[:2] == "__")
    if name not in ("__buffer__", "__init__", "__new__", "__reduce__", "__str__", "to_device")
)


# --- names and signatures ---------------------------------------------------------------------------------------------
def test_names():
    for ours, theirs in SPACES.values():
        assert set(theirs.__all__) - SWITCHES <= set(dir(ours))


def parameters(f):
    """Names (of those that can be given by name), kinds, and whether there is a default."""
    found = inspect.signature(f).parameters.values()
    return [(None if p.kind is p.POSITIONAL_ONLY else p.name, p.kind, p.default is not p.empty) for p in found]


@pytest.mark.parametrize(("space", "name"), FUNCTIONS, ids=str)
def test_signature(space, name):
    ours, theirs = (getattr(s, name) for s in SPACES[space])
    # zeros and ones take `requires_grad` too; expand_dims keeps the default that the standard gave it until 2024.12
    extra = {"requires_grad", "axis"} if name == "expand_dims" else {"requires_grad"}
    got, expected = parameters(ours), parameters(theirs)
    assert [p for p in got if p[0] not in extra] == [p for p in expected if p[0] not in extra]


@pytest.mark.parametrize(("space", "name"), FUNCTIONS, ids=str)
def test_defaults(space, name):
    """Equal, but where array_api_strict has a mark of its own for what was not given."""
    ours, theirs = (inspect.signature(getattr(s, name)).parameters for s in SPACES[space])
    for p in theirs.values():
        if p.default is not p.empty and p.name in ours and "Undef" not in type(p.default).__name__:
            assert ours[p.name].default == p.default


@pytest.mark.parametrize("name", METHODS)
def test_method_signature(name):
    assert parameters(getattr(weft.Tensor, name)) == parameters(getattr(type(strict.asarray(0)), name))


def test_attributes():
    x = weft.ones((2, 3))
    assert (x.shape, x.ndim, x.size, x.dtype, x.device) == ((2, 3), 2, 6, weft.float32, "cpu")
    assert x.T.shape == x.mT.shape == (3, 2)
    assert x.to_device("cpu", stream=None) is x
    assert x.__array_namespace__() is x.__array_namespace__(api_version="2024.12") is weft
    with pytest.raises(ValueError, match=r"got '1999\.12'"):
        x.__array_namespace__(api_version="1999.12")


# --- dtypes -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", BINARY + OPERATORS)
def test_promotion(name):
    """Every pair of dtypes and Python numbers that the standard defines; array_api_strict refuses all others."""
    f, g = [getattr(operator, name)] * 2 if name in OPERATORS else [getattr(s, name) for s in SPACES[""]]

    def pair(operand):
        if isinstance(operand, str):
            return [s.ones(2, dtype=getattr(s, operand)) for s in SPACES[""]]
        return [operand] * 2

    for left, right in itertools.product([*DTYPES, True, 1, 1.0, 1j], repeat=2):
        if isinstance(left, str) or isinstance(right, str):
            a, b = pair(left), pair(right)
            expected, refused = outcome(g, a[1], b[1])
            if not refused:
                assert name_of(f(a[0], b[0]).dtype) == name_of(expected.dtype), (left, right)


def test_result_type_and_can_cast():
    for pair in itertools.product(DTYPES, DTYPES):
        ours, theirs = ([getattr(s, d) for d in pair] for s in SPACES[""])
        expected, refused = outcome(strict.result_type, *theirs)
        if not refused:
            assert weft.result_type(*ours) == name_of(expected)
            assert weft.result_type(weft.ones(1, dtype=ours[0]), ours[1]) == name_of(expected)
        # between kinds the standard leaves it open: NumPy casts booleans to numbers, and integers to floats
        assert weft.can_cast(*ours) is True or not strict.can_cast(*theirs)


def test_default_dtypes():
    """Single precision, whichever function is asked."""
    i, one, where = weft.arange(3), weft.ones(1), weft.asarray(True)
    real = [
        weft.asarray(1.0), weft.asarray([1, 2.0]), one, weft.zeros(1), weft.empty(1), weft.eye(2), weft.full(2, 1.0),
        weft.linspace(0, 1, 3), weft.arange(3.0), weft.fft.fftfreq(3), weft.fft.rfftfreq(3), weft.mean(i), weft.std(i),
        weft.exp(i), i / 2, i * 0.5, 0.5 - i, weft.maximum(i, 0.5), i**0.5, weft.where(where, 1.0, 0.0),
        weft.where(where, i, 0.5), weft.clip(i, 0.5, 2), weft.linalg.inv(weft.eye(2, dtype=weft.int64)),
    ]  # fmt: skip
    assert {x.dtype.name for x in real} == {"float32"}
    paired = [weft.asarray(1j), weft.full(2, 1j), weft.linspace(0, 1j, 3), i * 1j, weft.fft.fft(one), weft.fft.rfft(i)]
    assert {x.dtype.name for x in paired} == {"complex64"}
    whole = [weft.asarray(1), weft.full(2, 3), i, weft.sum(weft.ones(3, dtype=weft.int8)), weft.argmax(one),
             weft.nonzero(one)[0], weft.searchsorted(one, 1.0), weft.where(where, 1, 0)]  # fmt: skip
    assert {x.dtype.name for x in whole} == {"int64"}
    assert (weft.result_type(1.0), weft.result_type(1, 1j), weft.result_type(True, 1)) == (
        "float32",
        "complex64",
        "int64",
    )
    info = weft.__array_namespace_info__().default_dtypes()
    assert info == {
        "real floating": "float32",
        "complex floating": "complex64",
        "integral": "int64",
        "indexing": "int64",
    }


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_finfo(dtype):
    for given in (getattr(weft, dtype), weft.ones(1, dtype=dtype)):
        ours, theirs = weft.finfo(given), strict.finfo(getattr(strict, dtype))
        for name in ("bits", "eps", "max", "min", "smallest_normal"):
            agree(getattr(ours, name), getattr(theirs, name))
        assert ours.dtype == name_of(theirs.dtype)


def test_finfo_of_bfloat16():
    found = weft.finfo(weft.bfloat16)
    assert (found.bits, found.eps, found.dtype) == (16, 2**-7, weft.bfloat16)


@pytest.mark.parametrize("dtype", [d for d in DTYPES if "int" in d])
def test_iinfo(dtype):
    ours, theirs = weft.iinfo(weft.ones(1, dtype=dtype)), strict.iinfo(getattr(strict, dtype))
    assert (ours.bits, ours.max, ours.min, ours.dtype) == (theirs.bits, theirs.max, theirs.min, dtype)


KINDS = ["bool", "signed integer", "unsigned integer", "integral", "real floating", "complex floating", "numeric"]


@pytest.mark.parametrize("kind", KINDS)
def test_kinds(kind):
    for dtype in DTYPES:
        (ours, theirs), (our_bool, their_bool) = ([getattr(s, d) for s in SPACES[""]] for d in (dtype, "bool"))
        assert weft.isdtype(ours, kind) is strict.isdtype(theirs, kind)
        assert weft.isdtype(ours, (kind, our_bool)) is strict.isdtype(theirs, (kind, their_bool))
    assert set(weft.__array_namespace_info__().dtypes(kind=kind)) == set(
        strict.__array_namespace_info__().dtypes(kind=kind)
    )


def test_inspection():
    info = weft.__array_namespace_info__()
    capabilities = info.capabilities()
    assert capabilities["boolean indexing"] is capabilities["data-dependent shapes"] is True
    assert capabilities["max dimensions"] >= 32
    assert info.default_device() in info.devices()
    for device in info.devices():
        for dtype in info.dtypes(device=device).values():
            assert weft.empty(1, dtype=dtype, device=device).device == device


# --- conversions and assignment ---------------------------------------------------------------------------------------
class TestConversions:
    @pytest.mark.parametrize("dtype", DTYPES)
    def test_python_scalars(self, dtype):
        x = weft.ones((), dtype=dtype)
        expected = {"b": bool, "i": int, "u": int, "f": float, "c": complex}[np.dtype(dtype).kind]
        assert type(x.item()) is expected
        assert type(expected(x)) is expected
        assert complex(x) == 1
        if expected is int:
            assert [10, 20][x] == 20

    @pytest.mark.parametrize("version", [None, (0, 8), (1, 0), (2, 0)])
    @pytest.mark.parametrize("copy", [None, True, False])
    def test_dlpack(self, version, copy):
        x = weft.arange(3)
        assert "dltensor" in repr(x.__dlpack__(max_version=version, dl_device=(1, 0), copy=copy, stream=None))
        for source in (x, x.numpy()):
            y = weft.from_dlpack(source, copy=copy)
            assert np.shares_memory(y.numpy(), x.numpy()) is (copy is not True)
        assert np.from_dlpack(x).tolist() == [0, 1, 2]
        assert x.__dlpack_device__() == (1, 0)

    def test_dlpack_and_the_tape(self):
        with pytest.raises(BufferError, match="lose the gradient"):
            weft.ones(3, requires_grad=True).__dlpack__()

    def test_asarray_stays_on_the_tape(self):
        x = weft.asarray([1.0, 2.0]).requires_grad_()
        (weft.asarray(x, dtype=weft.float64) ** 2 * weft.asarray(x, copy=True)).sum().backward()
        assert x.grad.tolist() == [3, 12]

    def test_asarray_copies_where_it_must(self):
        x = weft.asarray([1.0, 2.0])
        assert weft.asarray(x) is weft.asarray(x, copy=False) is x
        with pytest.raises(ValueError, match="the tensor is float32, and int8 was asked for"):
            weft.asarray(x, dtype=weft.int8, copy=False)

    def test_sequences_of_tensors(self):
        x = weft.arange(3)
        assert weft.asarray([[x[1], x[2]], [3, x[0]]], dtype=weft.int8).tolist() == [[1, 2], [3, 0]]


class TestInPlace:
    def test_assignment(self):
        x = weft.zeros((2, 3))
        x[0, ...] = 1
        x[:, 2] = weft.asarray([5.0, 6.0])
        x[x == 0] = weft.asarray(-1.0)
        assert x.tolist() == [[1, 1, 5], [-1, -1, 6]]

    def test_dtype_and_shape_are_kept(self):
        x = weft.ones(2, dtype=weft.int8)
        x += 1
        assert x.dtype == weft.int8
        with pytest.raises(TypeError, match="int16 does not fit in place into int8"):
            x += weft.ones(2, dtype=weft.int16)
        with pytest.raises(ValueError, match=r"shape \(3, 2\) does not fit into \(2,\)"):
            x += weft.ones((3, 2), dtype=weft.int8)


# --- code that others wrote for the array API -------------------------------------------------------------------------
def gram_schmidt(a):
    """Orthonormal columns that span those of a (M, N), by the modified method."""
    xp = a.__array_namespace__()
    q = xp.zeros_like(a)
    for j in range(a.shape[1]):
        v = a[:, j]
        for k in range(j):
            v = v - xp.vecdot(q[:, k], v) * q[:, k]
        q[:, j] = v / xp.linalg.vector_norm(v)
    return q


def k_means_step(points, centres):
    """Each centre moves to the mean of the points (N, D) nearest to it, if there are any; and the sum of distances²."""
    xp = points.__array_namespace__()
    distances = xp.sum((points[:, None, :] - centres[None, :, :]) ** 2, axis=-1)
    nearest = xp.argmin(distances, axis=1)
    names = xp.arange(centres.shape[0], device=points.device)
    member = xp.astype(nearest[:, None] == names[None, :], points.dtype)
    count = xp.sum(member, axis=0)[:, None]
    moved = xp.where(count > 0, member.T @ points / xp.maximum(count, xp.ones_like(count)), centres)
    return moved, xp.sum(xp.min(distances, axis=1))


def whiten(x, *, eps=1e-3):
    """Rows of x (N, D) with the covariance's square root divided out (ZCA)."""
    xp = x.__array_namespace__()
    centred = x - xp.mean(x, axis=0, keepdims=True)
    covariance = centred.T @ centred / (x.shape[0] - 1)
    w, v = xp.linalg.eigh(covariance + eps * xp.eye(x.shape[1], dtype=x.dtype, device=x.device))
    return centred @ (v / xp.sqrt(w)) @ v.T


THIRD_PARTY = [(gram_schmidt, [(4, 3)]), (k_means_step, [(12, 2), (3, 2)]), (whiten, [(9, 3)])]


@pytest.mark.parametrize(("function", "shapes"), THIRD_PARTY, ids=lambda f: getattr(f, "__name__", ""))
def test_third_party_code(function, shapes, rng):
    """The values are NumPy's, and the gradients are right, though nobody thought of gradients."""
    inputs = [rng.standard_normal(s) for s in shapes]
    steps = [rng.standard_normal(s) for s in shapes]
    expected = function(*inputs)
    many = isinstance(expected, tuple)
    weights = [rng.standard_normal(np.shape(e)) for e in (expected if many else (expected,))]

    def results(*args):
        found = function(*args)
        return found if many else (found,)

    def loss(*args):
        return sum(((f * weft.asarray(w)).sum() for f, w in zip(results(*args), weights)), 0.0)

    tensors = [weft.asarray(x) for x in inputs]
    for got, e in zip(results(*tensors), expected if many else (expected,)):
        np.testing.assert_allclose(got.numpy(), e, atol=1e-12)
    gradients = weft.grad(loss, range(len(tensors)))(*tensors)
    up, down = (loss(*[weft.asarray(x + h * s) for x, s in zip(inputs, steps)]).item() for h in (1e-6, -1e-6))
    slope = sum((g.numpy() * s).sum() for g, s in zip(gradients, steps))
    assert math.isclose(slope, (up - down) / 2e-6, rel_tol=1e-5)
