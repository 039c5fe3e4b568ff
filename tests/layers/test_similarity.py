"""Each layer is the function with its options."""

import numpy as np

import weft
from weft import layers as nn
from weft.layers import functional as F


def test_layers(rng):
    a, b = (weft.tensor(rng.standard_normal((2, 3, 4))) for _ in range(2))
    for layer, expected in [
        (nn.CosineSimilarity(), F.cosine_similarity(a, b)),
        (nn.CosineSimilarity(-1, 2.0), F.cosine_similarity(a, b, -1, 2.0)),
        (nn.PairwiseDistance(), F.pairwise_distance(a, b)),
        (nn.PairwiseDistance(1.5, 0.1, True), F.pairwise_distance(a, b, 1.5, 0.1, True)),
    ]:
        np.testing.assert_array_equal(layer(a, b).numpy(), expected.numpy())
    assert nn.PairwiseDistance(3.0).norm == 3.0
    assert repr(nn.PairwiseDistance(3.0)) == "PairwiseDistance()"
