"""There and back, and what is refused."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.layers import utils


def test_there_and_back():
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    optimizer = optim.SGD(net.parameters(), lr=1.0)
    vector = utils.parameters_to_vector(net.parameters())
    assert vector.shape == (11,)
    (vector * weft.arange(11)).sum().backward()
    assert net[1].bias.grad.tolist() == [10.0]
    utils.vector_to_parameters(weft.arange(11) / 1.0, net.parameters())
    assert net[0].weight.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    optimizer.step()  # the memory is still the optimizer's
    assert not utils.parameters_to_vector(net.parameters()).detach().numpy().any()


def test_what_is_refused():
    layer = nn.Linear(1, 2)
    with pytest.raises(ValueError, match=r"`vec` must have the shape \(4,\) of all parameters together, got \(3,\)"):
        utils.vector_to_parameters(weft.ones(3), layer.parameters())
    with pytest.raises(TypeError, match=r"`vec` must be a weft\.Tensor, got list"):
        utils.vector_to_parameters([1.0], layer.parameters())
    with pytest.raises(ValueError, match="`parameters` must be at least one, all on one device, got 0"):
        utils.parameters_to_vector([])


def test_skip_init_draws_nothing():
    weft.manual_seed(0)
    expected = nn.Linear(2, 2).weight.detach().numpy()
    weft.manual_seed(0)
    assert utils.skip_init(nn.Linear, in_features=4, out_features=3).weight.shape == (3, 4)
    np.testing.assert_array_equal(nn.Linear(2, 2).weight.detach().numpy(), expected)
    with pytest.raises(TypeError, match="`module_cls` must be a subclass of Module, got <class 'int'>"):
        utils.skip_init(int)


def test_clipping_is_here_too():
    assert utils.clip_grad_norm_ is optim.clip_grad_norm_
    assert utils.get_total_norm([weft.tensor([3.0, 4.0])]).item() == 5
