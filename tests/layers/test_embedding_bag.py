"""Options, tables that are given, representation; numbers are tested with the function."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.layers import functional as F


def test_is_the_function_with_its_options(rng):
    layer = nn.EmbeddingBag(6, 3, 1.5, 1.0, mode="sum", include_last_offset=True, padding_idx=-1)
    indices, offsets, weights = (
        weft.tensor([1, 5, 2, 2]),
        weft.tensor([0, 3, 4]),
        weft.tensor(rng.standard_normal(4)).float(),
    )
    assert layer.weight[5].tolist() == [0, 0, 0]
    expected = F.embedding_bag(
        indices,
        layer.weight,
        offsets,
        1.5,
        1.0,
        mode="sum",
        per_sample_weights=weights,
        include_last_offset=True,
        padding_idx=5,
    )
    np.testing.assert_array_equal(layer(indices, offsets, weights).detach().numpy(), expected.detach().numpy())
    assert repr(layer) == "EmbeddingBag(6, 3, max_norm=1.5, norm_type=1.0, mode='sum', padding_idx=5)"
    layer.reset_parameters()
    assert layer.weight[5].tolist() == [0, 0, 0]


@pytest.mark.parametrize("freeze", [True, False])
def test_from_pretrained(freeze):
    table = weft.tensor([[1.0, 2.0], [3.0, 5.0]])
    layer = nn.EmbeddingBag.from_pretrained(table, freeze, mode="max", padding_idx=0)
    assert layer.weight.data is table.data
    assert layer.weight.requires_grad is not freeze
    assert (layer.mode, layer.padding_idx) == ("max", 0)
    assert layer(weft.tensor([[0, 1]])).tolist() == [[3, 5]]
    assert table[0].tolist() == [1, 2]


def test_errors():
    with pytest.raises(ValueError, match=r"`mode` must be one of 'sum', 'mean', 'max', got 'min'"):
        nn.EmbeddingBag(6, 3, mode="min")
    with pytest.raises(ValueError, match=r"`padding_idx` must be in \[-6, 6\), got 6"):
        nn.EmbeddingBag(6, 3, padding_idx=6)
    with pytest.raises(ValueError, match=r"`embeddings` must have shape \(num_embeddings, embedding_dim\), got \(3,\)"):
        nn.EmbeddingBag.from_pretrained(weft.ones(3))
