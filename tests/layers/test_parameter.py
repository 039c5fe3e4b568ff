"""Parameters and buffers without a shape; with one, they are tested in `test_module`."""

import copy

import pytest

import weft
from weft import layers as nn


def test_users_types():
    assert nn.parameter.Parameter is nn.Parameter is weft.Parameter
    assert nn.parameter.Buffer is nn.Buffer


@pytest.mark.parametrize(
    ("cls", "becomes"), [(nn.UninitializedParameter, nn.Parameter), (nn.UninitializedBuffer, nn.Buffer)]
)
def test_materialize(cls, becomes):
    tensor = copy.deepcopy(cls(dtype=weft.float64))
    assert type(tensor) is cls
    assert tensor.dtype == weft.float64
    assert tensor.device == "cpu"
    with pytest.raises(RuntimeError, match=f"`{cls.__name__}` must have got its shape"):
        tensor.shape  # noqa: B018
    tensor.materialize([2, 3])
    assert type(tensor) is becomes
    assert tensor.shape == (2, 3)
    assert tensor.requires_grad == (becomes is nn.Parameter)
    tensor = cls()
    tensor.materialize((2,), dtype=weft.float16)
    assert tensor.dtype == weft.float16


def test_a_buffer_is_registered():
    module = nn.Module()
    module.mean = nn.UninitializedBuffer(persistent=False)
    module.var = nn.UninitializedBuffer()
    assert list(module.state_dict()) == ["var"]
    module.var.materialize((2,))
    assert [name for name, _ in module.named_buffers()] == ["mean", "var"]
