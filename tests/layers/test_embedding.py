"""Embedding as a layer; the look-up and its gradient are tested in `functional`."""

import numpy as np
import pytest

import weft
from weft import layers as nn


class TestEmbedding:
    def test_initial_values(self):
        weight = nn.Embedding(200, 300, padding_idx=-1).weight.detach().numpy()
        assert weight[:-1].mean() == pytest.approx(0.0, abs=0.02)
        assert weight[:-1].var() == pytest.approx(1.0, rel=0.03)
        assert (weight[-1] == 0).all()

    def test_looks_rows_up(self):
        layer = nn.Embedding(5, 3)
        y = layer(weft.tensor([[4, 0]]))
        np.testing.assert_array_equal(y.detach().numpy(), layer.weight.detach().numpy()[[[4, 0]]])

    def test_padding_row_does_not_learn(self):
        layer = nn.Embedding(5, 3, padding_idx=2)
        layer(weft.tensor([2, 2, 1])).sum().backward()
        assert layer.weight.grad.tolist() == [[0.0] * 3, [1.0] * 3, [0.0] * 3, [0.0] * 3, [0.0] * 3]

    def test_options_reach_the_function(self):
        layer = nn.Embedding(5, 3, max_norm=0.5, norm_type=1.0, scale_grad_by_freq=True)
        layer(weft.tensor([1, 1])).sum().backward()
        assert np.abs(layer.weight.detach().numpy()[1]).sum() <= 0.5 + 1e-6
        assert layer.weight.grad.tolist()[1] == [1.0] * 3
        assert repr(layer) == "Embedding(5, 3, max_norm=0.5, norm_type=1.0, scale_grad_by_freq=True)"

    def test_from_pretrained(self):
        table = weft.tensor([[1.0, 2.0], [3.0, 4.0]])
        frozen = nn.Embedding.from_pretrained(table, padding_idx=-1)
        assert frozen.weight.data is table.data
        assert frozen.weight.tolist() == [[1.0, 2.0], [3.0, 4.0]]
        assert not frozen.weight.requires_grad
        assert nn.Embedding.from_pretrained(table, freeze=False).weight.requires_grad
        assert repr(frozen) == "Embedding(2, 2, padding_idx=1)"

    def test_tied_with_the_output(self):
        """A language model's embedding and output layer may share their table."""
        embed, head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
        head.weight = embed.weight
        model = nn.Sequential(embed, head)
        assert len(list(model.parameters())) == 1
        model(weft.tensor([1])).sum().backward()
        w = embed.weight.detach().numpy()
        expected = np.tile(w[1], (5, 1))
        expected[1] += w.sum(0)
        np.testing.assert_allclose(embed.weight.grad.numpy(), expected, rtol=1e-5)

    def test_errors(self):
        with pytest.raises(ValueError, match=r"`padding_idx` must be in \[-3, 3\), got 3"):
            nn.Embedding(3, 2, padding_idx=3)
        with pytest.raises(ValueError, match=r"`_weight` must have shape \(3, 2\), got \(2, 2\)"):
            nn.Embedding(3, 2, _weight=weft.ones((2, 2)))
        with pytest.raises(
            ValueError, match=r"`embeddings` must have shape \(num_embeddings, embedding_dim\), got \(3,\)"
        ):
            nn.Embedding.from_pretrained(weft.ones(3))
