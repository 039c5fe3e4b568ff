"""Against the formulas in NumPy (singular values, scipy-free exponentials by eigenvalues); gradients by differences."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.layers.utils import orthogonal as O
from weft.layers.utils import parametrizations as P
from weft.layers.utils import parametrize

rng = np.random.default_rng(0)


def slopes_are_differences(module, x):
    """The gradients of all parameters along one direction each."""

    def loss():
        return (module(x) ** 2).sum()

    module.zero_grad()
    loss().backward()
    for p in module.parameters():
        direction = rng.standard_normal(p.shape)
        at = []
        for step in (1e-6, -2e-6):
            p.data += step * direction
            at.append(loss().item())
        p.data += 1e-6 * direction
        assert (p.grad.numpy() * direction).sum() == pytest.approx((at[0] - at[1]) / 2e-6, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize(("dim", "axes", "shape"), [(0, (1, 2), (4, 1, 1)), (1, (0, 2), (1, 3, 1)), (None, None, ())])
def test_weight_norm(dim, axes, shape):
    layer = nn.Conv1d(3, 4, 2).double()
    w = layer.weight.detach().numpy().copy()
    P.weight_norm(layer, dim=dim)
    g = layer.parametrizations.weight.original0
    assert g.shape == shape
    np.testing.assert_allclose(g.detach().numpy(), np.sqrt((w**2).sum(axes, keepdims=axes is not None)))
    np.testing.assert_allclose(layer.weight.detach().numpy(), w, rtol=1e-12)
    g.data *= 2
    np.testing.assert_allclose(layer.weight.detach().numpy(), 2 * w, rtol=1e-12)
    slopes_are_differences(layer, weft.tensor(rng.standard_normal((2, 3, 5))))


def test_weight_norm_loads_its_older_names():
    layer = P.weight_norm(nn.Linear(2, 3))
    net = nn.Sequential(layer)
    net.load_state_dict({"0.bias": np.zeros(3), "0.weight_g": np.ones((3, 1)), "0.weight_v": np.full((3, 2), 3.0)})
    np.testing.assert_allclose(layer.weight.detach().numpy(), np.full((3, 2), np.sqrt(0.5)), rtol=1e-6)


@pytest.mark.parametrize(("make", "axes"), [
    (lambda: nn.Linear(4, 3), (0, 1)),
    (lambda: nn.Conv2d(2, 3, 2), (0, 1, 2, 3)),
    (lambda: nn.ConvTranspose2d(2, 3, 2), (1, 0, 2, 3)),
])  # fmt: skip
def test_spectral_norm_approaches_the_largest_singular_value(make, axes):
    layer = make().double()
    w = layer.weight.detach().numpy().copy()
    matrix = w.transpose(axes)
    matrix = matrix.reshape(len(matrix), -1)
    P.spectral_norm(layer, n_power_iterations=300)
    found = layer.weight.detach().numpy()
    np.testing.assert_allclose(found, w / np.linalg.svd(matrix, compute_uv=False)[0], rtol=1e-8)
    before = layer.parametrizations.weight[0]._u.numpy().copy()
    layer.eval()
    layer.weight  # noqa: B018
    np.testing.assert_array_equal(layer.parametrizations.weight[0]._u.numpy(), before)


def test_spectral_norm_of_a_vector_and_what_is_refused():
    layer = P.spectral_norm(nn.Linear(2, 3), "bias")
    assert np.linalg.norm(layer.bias.detach().numpy()) == pytest.approx(1)
    with pytest.raises(ValueError, match=r"`n_power_iterations` must be .*got 0"):
        P.spectral_norm(nn.Linear(2, 3), n_power_iterations=0)
    with pytest.raises(IndexError, match=r"`dim` must be in \[-2, 2\), got 2"):
        P.spectral_norm(nn.Linear(2, 3), dim=2)
    with pytest.raises(ValueError, match="`name` must be that of a parameter or buffer of Linear, got 'wait'"):
        P.spectral_norm(nn.Linear(2, 3), "wait")


def test_two_calls_before_one_backward():
    """The vectors move between the calls; each has the gradient of its own."""
    layer, x = P.spectral_norm(nn.Linear(3, 3)), weft.ones((1, 3))
    (layer(x) - layer(2 * x)).sum().backward()
    assert np.isfinite(layer.parametrizations.weight.original.grad.numpy()).all()


@pytest.mark.parametrize("orthogonal_map", ["matrix_exp", "cayley", "householder"])
@pytest.mark.parametrize("use_trivialization", [True, False])
@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5)])
def test_orthogonal(orthogonal_map, use_trivialization, shape):
    layer = nn.Linear(shape[1], shape[0], bias=False).double()
    P.orthogonal(layer, orthogonal_map=orthogonal_map, use_trivialization=use_trivialization)
    original = layer.parametrizations.weight.original
    if use_trivialization or orthogonal_map != "householder":
        original.data += rng.standard_normal(shape) * (1 if orthogonal_map != "householder" else 0.3)
    q = layer.weight.detach().numpy()
    gram = q @ q.T if shape[0] < shape[1] else q.T @ q
    np.testing.assert_allclose(gram, np.eye(min(shape)), atol=1e-12)
    if orthogonal_map != "householder":  # whose diagonal has no slope, by design
        slopes_are_differences(layer, weft.tensor(rng.standard_normal((2, shape[1]))))


@pytest.mark.parametrize("use_trivialization", [True, False])
def test_an_orthogonal_matrix_stays_what_it_was(use_trivialization):
    for shape in ((4, 4), (4, 2), (2, 4)):
        q = np.linalg.qr(rng.standard_normal((4, 4)))[0][: shape[0], : shape[1]]
        q = np.linalg.qr(q if shape[0] >= shape[1] else q.T)[0]
        q = q if shape[0] >= shape[1] else q.T
        layer = nn.Linear(shape[1], shape[0], bias=False).double()
        layer.load_state_dict({"weight": q})
        P.orthogonal(layer, orthogonal_map="householder", use_trivialization=use_trivialization)
        np.testing.assert_allclose(layer.weight.detach().numpy(), q, atol=1e-12)


def test_matrix_exp():
    """Of small and large matrices, against eigenvalues."""
    for scale in (1e-3, 1.0, 60.0):
        a = scale * rng.standard_normal((2, 4, 4))
        a = a - a.swapaxes(-1, -2)
        values, vectors = np.linalg.eigh(1j * a)
        exact = (vectors * np.exp(-1j * values)[..., None, :] @ vectors.conj().swapaxes(-1, -2)).real
        np.testing.assert_allclose(O.matrix_exp(weft.tensor(a)).numpy(), exact, atol=1e-12)
    with pytest.raises(ValueError, match="`a` must be finite to have an exponential, got norm nan"):
        O.matrix_exp(weft.tensor([[np.nan]]))


@pytest.mark.skipif("emulator" not in weft.devices(), reason="no C++ compiler")
def test_a_step_with_the_exponential_is_not_recorded_and_says_so():
    layer, x = (
        P.orthogonal(nn.Linear(3, 3), orthogonal_map="matrix_exp").to("emulator"),
        weft.ones((1, 3), device="emulator"),
    )
    step = weft.capture(lambda x: layer(x).sum())
    with pytest.warns(RuntimeWarning, match="cannot be captured and runs as usual: it reads a value on the host"):
        found = [step(x).item() for _ in range(4)]
    assert found == [layer(x).sum().item()] * 4


def test_what_orthogonal_refuses():
    with pytest.raises(
        ValueError, match="`orthogonal_map` must be one of 'matrix_exp', 'cayley', 'householder', got 'qr'"
    ):
        P.orthogonal(nn.Linear(2, 2), orthogonal_map="qr")
    with pytest.raises(ValueError, match="`name` must be that of a matrix, got 'bias'"):
        P.orthogonal(nn.Linear(2, 2), "bias")
    layer = P.orthogonal(nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"`weight` must have shape \(2, 2\), got \(3, 2\)"):
        layer.weight = weft.ones((3, 2))
    assert parametrize.is_parametrized(layer, "weight")
