"""Convolutions of few pixels with large weights: against the generic form in float64, and with several threads."""

import numpy as np
import pytest

import weft
from weft.backend.cpu.few_pixels import FewPixels
from weft.backend.nn.convolution import geometry
from weft.layers import functional as F

CASES = {
    "ResNet's last": ((2, 96, 5, 5), (96, 96, 3, 3), {"padding": 1}),
    "a stride": ((2, 64, 7, 6), (128, 64, 3, 3), {"stride": 2, "padding": 1}),
    "a line": ((3, 120, 9), (120, 120, 5), {"padding": 2}),
    "a volume": ((1, 48, 3, 3, 3), (128, 48, 2, 3, 2), {}),
    "dilated": ((1, 96, 7, 7), (96, 96, 3, 3), {"padding": 2, "dilation": 2}),
}


@pytest.mark.parametrize("name", CASES)
def test_against_double_precision(name, monkeypatch):
    image, kernel, options = CASES[name]
    called = []
    for form in ("correlate", "weight_gradient", "input_gradient"):
        f = getattr(FewPixels, form)
        noted = staticmethod(lambda *a, f=f, form=form: called.append(form) or f(*a))
        monkeypatch.setattr(FewPixels, form, noted)
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(s) for s in (image, kernel, kernel[:1]))
    conv = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[x.ndim]
    y = conv(*map(weft.asarray, (x, w, b)), **options)
    above = rng.standard_normal(y.shape)

    def slopes(dtype):
        tensors = [weft.asarray(v.astype(dtype)).requires_grad_() for v in (x, w, b)]
        y = conv(*tensors, **options)
        y.backward(weft.asarray(above.astype(dtype)))
        return [y.detach().numpy(), *(t.grad.numpy() for t in tensors)]

    found = slopes(np.float32)
    assert set(called) == {"correlate", "weight_gradient", "input_gradient"}
    monkeypatch.setattr(FewPixels, "suits", staticmethod(lambda *_: False))
    for value, wanted in zip(found, slopes(np.float64)):
        np.testing.assert_allclose(value, wanted, atol=3e-5 * abs(wanted).max())


def test_no_bit_depends_on_the_number_of_threads():
    rng = np.random.default_rng(1)
    x, w = (rng.standard_normal(s).astype(np.float32) for s in ((2, 96, 5, 5), (96, 96, 3, 3)))
    before, found = weft.num_threads(), []
    try:
        for threads in (1, 2, 3):
            weft.set_num_threads(threads)
            tensors = [weft.asarray(v).requires_grad_() for v in (x, w)]
            y = F.conv2d(*tensors, padding=1)
            (y * y).sum().backward()
            found.append([v.tobytes() for v in (y.detach().numpy(), *(t.grad.numpy() for t in tensors))])
    finally:
        weft.set_num_threads(before)
    assert found[0] == found[1] == found[2]


def test_suits_large_weights_and_few_pixels_alone():
    x, few, many = np.zeros((2, 96, 5, 5)), np.zeros((96, 96, 3, 3)), np.zeros((2, 96, 50, 50))
    assert FewPixels.suits(2, 96, 96, geometry(x, few, 1, 1, 1, 1))
    assert not FewPixels.suits(2, 96, 96, geometry(many, few, 1, 1, 1, 1))
    assert not FewPixels.suits(2, 96, 1, geometry(x, few[:1], 1, 1, 1, 1))
