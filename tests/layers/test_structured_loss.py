"""That arguments reach the functions, which are tested in `functional`."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.layers import functional as F

rng = np.random.default_rng(0)
A, B, C = (weft.tensor(rng.standard_normal((4, 3))) for _ in range(3))
SIGNS = weft.tensor(np.sign(rng.standard_normal(4)))


def city(x, y):
    return abs(x - y).sum(axis=-1)


@pytest.mark.parametrize(("module", "function", "options", "inputs"), [
    (nn.CosineEmbeddingLoss, F.cosine_embedding_loss, {"margin": -0.3}, (A, B, SIGNS)),
    (nn.MarginRankingLoss, F.margin_ranking_loss, {"margin": 0.3}, (A[:, 0], B[:, 0], SIGNS)),
    (nn.TripletMarginLoss, F.triplet_margin_loss, {"margin": 3.0, "p": 1.0, "eps": 0.1, "swap": True}, (A, B, C)),
    (nn.TripletMarginWithDistanceLoss, F.triplet_margin_with_distance_loss,
     {"distance_function": city, "margin": 3.0, "swap": True}, (A, B, C)),
    (nn.GaussianNLLLoss, F.gaussian_nll_loss, {"full": True, "eps": 0.5}, (A, B, abs(C))),
    (nn.PoissonNLLLoss, F.poisson_nll_loss, {"log_input": False, "full": True, "eps": 0.1}, (abs(A), abs(B))),
    (nn.MultiLabelMarginLoss, F.multilabel_margin_loss, {}, (A, weft.tensor([[0, -1, 1]] * 4))),
    (nn.MultiLabelSoftMarginLoss, F.multilabel_soft_margin_loss, {"weight": abs(C[0])}, (A, abs(SIGNS[:, None]) * (B > 0))),
    (nn.CTCLoss, F.ctc_loss, {"blank": 2, "zero_infinity": True},
     (weft.stack((A, B, C)), weft.tensor([[1, 1]] * 4), (3, 3, 2, 1), (2, 1, 2, 1))),
])  # fmt: skip
@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_arguments_reach_the_function(module, function, options, inputs, reduction):
    layer = module(**options, reduction=reduction)
    expected = function(*inputs, **options, reduction=reduction)
    np.testing.assert_array_equal(layer(*inputs).numpy(), expected.numpy())
    if options and "distance_function" not in options:
        assert layer(*inputs).numpy().sum() != function(*inputs, reduction=reduction).numpy().sum()


def test_the_deprecated_name():
    with pytest.warns(FutureWarning, match="`NLLLoss2d` is deprecated: say NLLLoss"):
        loss = nn.NLLLoss2d(ignore_index=3)
    assert isinstance(loss, nn.NLLLoss)
    assert loss.ignore_index == 3


def test_options_are_checked_at_once():
    with pytest.raises(ValueError, match=r"`margin` must be .*got -1"):
        nn.TripletMarginLoss(margin=-1.0)
    with pytest.raises(ValueError, match=r"`blank` must be .*got -1"):
        nn.CTCLoss(blank=-1)
    with pytest.raises(ValueError, match=r"`eps` must be .*got -1"):
        nn.GaussianNLLLoss(eps=-1.0)


def test_the_usual_distance_is_a_module_as_in_pytorch():
    names = [name for name, _ in nn.TripletMarginWithDistanceLoss().named_modules()]
    assert names == ["", "distance_function"]
