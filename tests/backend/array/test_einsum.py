"""Sums of products by `einsum`: NumPy's function of that name is the reference."""

import numpy as np
import pytest

import weft

CASES = [
    ("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)), ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    ("i,i->", (3,), (3,)), ("i,j->ji", (3,), (2,)), ("i,i->i", (3,), (3,)), ("ii", (3, 3)), ("ii->i", (3, 3)),
    ("iji->j", (2, 3, 2)), ("iii", (2, 2, 2)), ("ijk->ki", (2, 3, 4)), ("ij->", (2, 3)), ("ba", (2, 3)), ("->", ()),
    ("ij,kj,jl->kl", (2, 3), (4, 3), (3, 5)), ("abc,cd,de->abe", (2, 3, 4), (4, 5), (5, 2)),
    ("...ij,...jk->...ik", (5, 2, 3), (3, 4)), ("i...,i...->...", (2, 3, 1), (2, 1, 4)), ("...a->a...", (2, 3, 4)),
    ("...", (2, 3)), ("b...,b->...", (2, 3), (2,)), ("ij,j->ij", (2, 1), (3,)), ("ij,ij->i", (2, 1), (2, 3)),
    ("bhqd,bhkd->bhqk", (2, 2, 3, 4), (2, 2, 5, 4)), ("ijkl,ijmn->klmn", (2, 2, 3, 1), (2, 2, 1, 2)), ("i,j,k->", (2,), (3,), (4,)),
    ("ij,jk->ik", (0, 3), (3, 2)), ("ij,jk->ik", (2, 0), (0, 3)), (" i j , j -> i ", (2, 3), (3,)),
]  # fmt: skip


@pytest.fixture(params=["cpu", "emulator"])
def device(request):
    if request.param not in weft.devices():
        pytest.skip("the emulator needs a C++ compiler")
    return request.param


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]} {c[1:]}")
def test_values_and_gradients(case, device):
    equation, *shapes = case
    rng = np.random.default_rng(0)
    given, directions = ([rng.standard_normal(s) for s in shapes] for _ in range(2))
    operands = [weft.tensor(a, device=device, requires_grad=True) for a in given]
    found = weft.einsum(equation, *operands)
    expected = np.einsum(equation, *given)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-12)
    weights = rng.standard_normal(expected.shape)
    (found * weft.asarray(weights, device=device)).sum().backward()

    def at(step):
        return (np.einsum(equation, *[a + step * d for a, d in zip(given, directions)]) * weights).sum()

    slope = sum((x.grad.numpy() * d).sum() for x, d in zip(operands, directions))
    np.testing.assert_allclose(slope, (at(1e-6) - at(-1e-6)) / 2e-6, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("dtype", [np.int32, np.float32, np.float16])
def test_dtypes(dtype, device):
    a, b = np.arange(6).reshape(2, 3).astype(dtype), np.arange(3).astype(dtype)
    for equation in ("ij,j->i", "ij,j->ij", "ij,j->"):
        found = weft.einsum(equation, [weft.asarray(x, device=device) for x in (a, b)])
        assert found.dtype == dtype
        np.testing.assert_array_equal(found.numpy(), np.einsum(equation, a, b))


@pytest.mark.parametrize(
    ("equation", "shapes", "message"),
    [
        ("ij,jk", [(2, 3)], "`equation` must have a part for each operand, got 'ij,jk' for 1"),
        ("i", [(2, 3)], r"`equation` must have a letter for each axis, got 'i' for shape \(2, 3\)"),
        ("ijk...", [(2, 3)], r"`equation` must have a letter for each axis, got 'ijk...' for shape \(2, 3\)"),
        ("ij,jk", [(2, 3), (2, 3)], "axes 'j' of the operands must be equally long, got 3 and 2"),
        ("ij->ik", [(2, 3)], "each axis of the result of `equation` must be one of the operands', once, got 'ij->ik'"),
        ("ij->ii", [(2, 3)], "each axis of the result of `equation` must be one of the operands', once, got 'ij->ii'"),
        ("i1", [(2, 3)], "`equation` must be of letters, commas, '...' and '->', got 'i1'"),
    ],
)
def test_errors(equation, shapes, message):
    with pytest.raises(ValueError, match=message):
        weft.einsum(equation, *(weft.ones(s) for s in shapes))


def test_no_equation():
    with pytest.raises(TypeError, match="`equation` must be a str such as 'ij,jk->ik', got Tensor"):
        weft.einsum(weft.ones(2), [0])
