"""einops on Tensors, gradients included; NumPy's results are the reference."""

import subprocess
import sys

import numpy as np
import pytest

import weft

einops = pytest.importorskip("einops", "0.7")
from einops import array_api  # noqa: E402

RAW = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
CASES = {
    "rearrange": ("b (h w) c -> b c h w", {"h": 1}),
    "merge": ("b h c -> (c b) h", {}),
    "mean": ("b h (c d) -> b c", {"reduction": "mean", "d": 2}),
    "sum": ("b h c -> h", {"reduction": "sum"}),
    "prod": ("b h c -> b", {"reduction": "prod"}),
    "max": ("b h (c d) -> b c", {"reduction": "max", "d": 2}),
    "min": ("b h c -> c", {"reduction": "min"}),
    "repeat": ("b h c -> b h c k", {"k": 3}),
    "tile": ("b h c -> b (k h) c", {"k": 2}),
}


@pytest.fixture(params=["cpu", "emulator"])
def device(request):
    if request.param not in weft.devices():
        pytest.skip("the emulator needs a C++ compiler")
    return request.param


def leaf(device):
    return weft.tensor(RAW, device=device, requires_grad=True)


def check(found, expected, x, device):
    """Values, and the gradient of the sum along a random direction, against differences of NumPy's."""
    assert isinstance(found, weft.Tensor)
    assert found.device == device
    np.testing.assert_allclose(found.detach().numpy(), expected(RAW), rtol=1e-6)
    found.sum().backward()
    direction = np.random.default_rng(0).standard_normal(RAW.shape)
    wide, step = RAW.astype(np.float64), 1e-6
    slope = (expected(wide + step * direction).sum() - expected(wide - step * direction).sum()) / (2 * step)
    np.testing.assert_allclose((x.grad.numpy() * direction).sum(), slope, rtol=1e-5)


@pytest.mark.parametrize("module", [einops, array_api], ids=["einops", "array_api"])
@pytest.mark.parametrize("name", CASES)
def test_functions(name, module, device):
    pattern, options = CASES[name]
    function = "reduce" if "reduction" in options else "repeat" if "k" in options else "rearrange"
    x = leaf(device)
    found = getattr(module, function)(x, pattern, **options)
    check(found, lambda a: getattr(einops, function)(a, pattern, **options), x, device)


def test_lists(device):
    x = leaf(device)
    found = einops.rearrange([x, 2 * x], "n b h c -> b h (n c)")
    check(found, lambda a: einops.rearrange([a, 2 * a], "n b h c -> b h (n c)"), x, device)


def test_einsum(device):
    matrix = np.arange(8, dtype=np.float32).reshape(4, 2)
    x, pattern = leaf(device), "b h c, c k -> h b k"
    found = einops.einsum(x, weft.tensor(matrix, device=device), pattern)
    check(found, lambda a: einops.einsum(a, matrix, pattern), x, device)


def test_packing(device):
    x = leaf(device)
    packed, shapes = einops.pack([x, x[:, 0]], "b * c")
    check(packed, lambda a: einops.pack([a, a[:, 0]], "b * c")[0], x, device)
    parts = einops.unpack(packed, shapes, "b * c")
    assert [p.shape for p in parts] == [(2, 3, 4), (2, 4)]


def test_the_rest(device):
    x = leaf(device)
    assert einops.parse_shape(x, "b _ c") == {"b": 2, "c": 4}
    np.testing.assert_array_equal(einops.asnumpy(x), RAW)
    assert einops.rearrange(weft.Parameter(x.detach()), "b h c -> (b h c)").shape == (24,)
    with pytest.raises(einops.EinopsError, match="Input tensor shape"):
        einops.rearrange(x, "b c -> c b")
    with pytest.raises(NotImplementedError, match="reduce_mean is not available for non-floating tensors"):
        einops.reduce(weft.ones((2, 3), dtype=weft.int32, device=device), "a b -> a", "mean")


@pytest.mark.parametrize(
    "order", ["import weft, einops", "import einops, weft", "import weft; from einops import rearrange"]
)
def test_whichever_is_imported_first(order):
    program = f"{order}; import einops; print(einops.rearrange(weft.ones((2, 3)), 'a b -> b a').shape)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("(3, 2)\n", "")


def test_is_not_imported_by_weft():
    program = "import sys, weft; print('einops' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "False\n"
    )
