"""Complex numbers, short-time transforms, values written to places, what is sparse; by PyTorch 2.13 or the definition."""

import json

import numpy as np
import pytest
from torch_program import run


def lines(tmp_path, program):
    done = run(tmp_path, program)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


COMPLEX = """
    import json, math, torch
    x = torch.arange(8.0, requires_grad=True)
    turned = torch.view_as_complex(x.reshape(4, 2)) * torch.polar(torch.ones(4), torch.full((4,), 0.3))
    weight = torch.tensor([1.0, -2.0, 0.5, 3.0, -1.0, 2.0, 0.0, 1.0]).reshape(4, 2)
    (torch.view_as_real(turned) * weight).sum().backward()
    print(json.dumps(x.grad.tolist()))
    a, b = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([3.0, -1.0], requires_grad=True)
    torch.complex(a, b).abs().square().sum().backward()
    print(json.dumps([a.grad.tolist(), b.grad.tolist()]))
    far = torch.complex(torch.tensor(1.0), torch.tensor(math.inf))
    print(json.dumps([far.real.item(), far.imag.item()]))
"""


def test_gradients_flow_through_complex_numbers(tmp_path):
    """As through a rotary embedding that turns pairs: the gradient turns back."""
    turned, parts, far = lines(tmp_path, COMPLEX)
    weight = np.array([1.0, -2.0, 0.5, 3.0, -1.0, 2.0, 0.0, 1.0]).view(np.complex128)
    assert turned == pytest.approx((weight * np.exp(-0.3j)).view(np.float64).tolist(), rel=1e-5)
    assert [*parts[0], *parts[1]] == pytest.approx([2.0, 4.0, 6.0, -2.0])
    assert far == [1.0, np.inf]


STFT = """
    import json, torch
    x = (torch.arange(40.0).sin() * 3).reshape(2, 20).requires_grad_()
    window = torch.hann_window(6)
    spectrum = torch.stft(x, 8, hop_length=3, win_length=6, window=window, normalized=True, return_complex=True)
    print(json.dumps(torch.view_as_real(spectrum).tolist()))
    back = torch.istft(spectrum, 8, 3, 6, window, normalized=True, length=20)
    back.square().sum().backward()
    print(json.dumps([back.tolist(), x.grad.tolist(), x.tolist()]))
    whole = torch.stft(x[0].detach(), 8, center=False, onesided=False, return_complex=False)
    print(json.dumps(whole.tolist()))
"""


def frames(x, n, hop):
    return np.stack([x[..., i : i + n] for i in range(0, x.shape[-1] - n + 1, hop)], -2)


def test_short_time_fourier_transform(tmp_path):
    """By the definition, and back again, where the gradient of the squared sum is 2x."""
    found, (back, slope, x), whole = lines(tmp_path, STFT)
    x = np.array(x)
    window = np.pad(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(6) / 6), 1)
    padded = np.pad(x, ((0, 0), (4, 4)), mode="reflect")
    wanted = np.fft.rfft(frames(padded, 8, 3) * window).swapaxes(-1, -2) / np.sqrt(8)
    found = np.array(found) @ [1, 1j]
    np.testing.assert_allclose(found, wanted, atol=2e-5)
    np.testing.assert_allclose(back, x, atol=2e-5)
    np.testing.assert_allclose(slope, 2 * x, atol=5e-5)
    np.testing.assert_allclose(np.array(whole) @ [1, 1j], np.fft.fft(frames(x[0], 8, 2)).T, atol=2e-5)


PLACES = """
    import json, torch
    index = torch.tensor([[0, 1, 0], [2, 0, 0]])
    for reduce in ("prod", "amax", "amin"):
        for include_self in (True, False):
            x = torch.tensor([[1.0, 2.0, 3.0], [0.5, 5.0, -1.0]], requires_grad=True)
            src = torch.tensor([[2.0, 0.0, 2.0], [3.0, 0.0, 4.0]], requires_grad=True)
            y = x.scatter_reduce(1, index, src, reduce, include_self=include_self)
            (y * torch.arange(1.0, 7.0).reshape(2, 3)).sum().backward()
            print(json.dumps([t.flatten().tolist() for t in (y, x.grad, src.grad)]))
    x = torch.zeros(2, 3)
    print(json.dumps([x.put_(torch.tensor([[0, -1], [2, 2]]), torch.tensor([[1.0, 2.0], [3.0, 4.0]]), True).flatten().tolist()]))
"""
REDUCED = [
    [[4, 0, 3, 0, 5, -3], [4, 0, 3, 0, 5, 18], [2, 4, 2, -6, 8, 0]],
    [[4, 0, 3, 0, 5, 3], [0, 0, 3, 0, 5, 0], [2, 2, 2, 6, 16, 0]],
    [[2, 2, 3, 4, 5, 3], [0, 2, 3, 0, 5, 0], [0.5, 0, 0.5, 6, 0, 4]],
    [[2, 0, 3, 4, 5, 3], [0, 0, 3, 0, 5, 0], [0.5, 2, 0.5, 6, 0, 4]],
    [[1, 0, 3, 0, 5, -1], [1, 0, 3, 0, 5, 6], [0, 2, 0, 0, 4, 0]],
    [[2, 0, 3, 0, 5, 3], [0, 0, 3, 0, 5, 0], [0.5, 2, 0.5, 6, 4, 0]],
]


def test_values_meet_at_places(tmp_path):
    """Products, zeros among them, and extrema, ties among them, with their gradients; and `put_`."""
    *found, put = lines(tmp_path, PLACES)
    assert found == REDUCED
    assert put == [[1, 0, 7, 0, 0, 2]]


SPARSE = """
    import json, torch
    places, values = torch.tensor([[1, 0, 1, 1], [2, 1, 0, 2]]), torch.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    x = torch.sparse_coo_tensor(places, values, (3, 3))
    once = x.coalesce()
    print(json.dumps([x.is_coalesced(), x._nnz(), once.indices().tolist(), once.values().tolist()]))
    soft = torch.sparse.softmax(x, dim=1)
    print(json.dumps(soft.to_dense().tolist()))
    torch.sparse.mm(soft, torch.arange(3.0)[:, None]).sum().backward()
    print(json.dumps(values.grad.tolist()))
    csr = torch.sparse_csr_tensor(torch.tensor([0, 1, 3]), torch.tensor([1, 0, 1]), torch.tensor([1.0, 2.0, 3.0]))
    print(json.dumps([csr.to_dense().tolist(), torch.ones(3, 3).sparse_mask(once).sum().item()]))
"""


def test_what_is_sparse(tmp_path):
    """A softmax is over what has values: elsewhere there is nothing, not a zero."""
    kept, soft, slope, csr = lines(tmp_path, SPARSE)
    assert kept == [False, 4, [[0, 1, 1], [1, 0, 2]], [2.0, 3.0, 5.0]]
    p = np.exp([3.0, 5.0]) / np.exp([3.0, 5.0]).sum()
    np.testing.assert_allclose(soft, [[0, 1, 0], [p[0], 0, p[1]], [0, 0, 0]], rtol=1e-6)
    slopes = 2 * p[1] * p[0]  # of 0 p₀ + 2 p₁, for x₂ and, the other way, x₀
    assert slope == pytest.approx([slopes, 0.0, -slopes, slopes], rel=1e-5, abs=1e-7)
    assert csr == [[[0.0, 1.0], [2.0, 3.0]], 3.0]
