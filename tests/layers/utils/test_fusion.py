"""The fused layer gives what the two give, one after the other."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.layers import utils

rng = np.random.default_rng(0)


def statistics(norm):
    for tensor in (*norm.parameters(), *norm.buffers()):
        if tensor.dtype == weft.float64:
            tensor.data[...] = rng.uniform(0.5, 2, tensor.shape)
    return norm.eval()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("make", "norm", "shape"), [
    (nn.Conv1d, nn.BatchNorm1d, (2, 3, 5)), (nn.Conv2d, nn.BatchNorm2d, (2, 3, 5, 5)),
    (nn.ConvTranspose2d, nn.BatchNorm2d, (2, 3, 5, 5)),
])  # fmt: skip
def test_convolution(make, norm, shape, bias):
    conv, bn = make(3, 4, 3, bias=bias).double().eval(), statistics(norm(4, affine=bias).double())
    x = weft.tensor(rng.standard_normal(shape))
    fused = utils.fuse_conv_bn_eval(conv, bn, transpose=make is nn.ConvTranspose2d)
    np.testing.assert_allclose(fused(x).detach().numpy(), bn(conv(x)).detach().numpy(), atol=1e-12)
    assert isinstance(fused.weight, weft.Parameter)


def test_linear():
    linear, bn = nn.Linear(3, 4).double().eval(), statistics(nn.BatchNorm1d(4).double())
    x = weft.tensor(rng.standard_normal((5, 3)))
    fused = utils.fuse_linear_bn_eval(linear, bn)
    np.testing.assert_allclose(fused(x).detach().numpy(), bn(linear(x)).detach().numpy(), atol=1e-12)


def test_what_is_refused():
    with pytest.raises(ValueError, match="must be in evaluation to be fused, got one in training"):
        utils.fuse_conv_bn_eval(nn.Conv1d(1, 1, 1), nn.BatchNorm1d(1).eval())
    with pytest.raises(ValueError, match="`bn` must have running statistics, got None"):
        utils.fuse_conv_bn_eval(nn.Conv1d(1, 1, 1).eval(), nn.BatchNorm1d(1, track_running_stats=False).eval())
    with pytest.raises(ValueError, match="`bn` must have the features of `linear`, 4, or 1, got 3"):
        utils.fuse_linear_bn_eval(nn.Linear(2, 4).eval(), nn.BatchNorm1d(3).eval())
