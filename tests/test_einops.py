"""einops on Tensors: its module for the array API takes them, gradients included; NumPy's results are the reference."""

import numpy as np
import pytest

import weft

einops = pytest.importorskip("einops", "0.7")

CASES = {
    "rearrange": ("b (h w) c -> b c h w", {"h": 1}),
    "reduce": ("b h (c d) -> b c", {"reduction": "mean", "d": 2}),
    "repeat": ("b h c -> b h c k", {"k": 3}),
}


@pytest.mark.parametrize("device", ["cpu", "emulator"])
@pytest.mark.parametrize("name", CASES)
def test_array_api(name, device):
    if device not in weft.devices():
        pytest.skip("no emulator here")
    from einops import array_api

    pattern, options = CASES[name]
    raw = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    x = weft.tensor(raw, device=device, requires_grad=True)
    y = getattr(array_api, name)(x, pattern, **options)
    assert isinstance(y, weft.Tensor)
    assert y.device == device
    np.testing.assert_array_equal(y.detach().numpy(), getattr(einops, name)(raw, pattern, **options))
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.full(raw.shape, y.size / raw.size), rtol=1e-6)
