"""Losses as modules: that their arguments reach the function; the functions are tested in `functional`."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.layers import functional as F

rng = np.random.default_rng(0)
X, Y, UNIT = (weft.tensor(rng.uniform(0.1, 0.9, (3, 4))) for _ in range(3))
SIGNS, LABELS = weft.tensor(np.sign(rng.standard_normal((3, 4)))), weft.tensor([0, 3, 2])
W = weft.tensor([1.0, 2.0, 3.0, 4.0]).double()


@pytest.mark.parametrize(("module", "function", "options", "target"), [
    (nn.MSELoss, F.mse_loss, {}, Y),
    (nn.L1Loss, F.l1_loss, {}, Y),
    (nn.HuberLoss, F.huber_loss, {"delta": 0.1}, Y),
    (nn.SmoothL1Loss, F.smooth_l1_loss, {"beta": 0.1}, Y),
    (nn.BCELoss, F.binary_cross_entropy, {"weight": W}, Y),
    (nn.BCEWithLogitsLoss, F.binary_cross_entropy_with_logits, {"weight": W, "pos_weight": 2 * W}, Y),
    (nn.CrossEntropyLoss, F.cross_entropy, {"weight": W, "ignore_index": 3, "label_smoothing": 0.1}, LABELS),
    (nn.NLLLoss, F.nll_loss, {"weight": W, "ignore_index": 3}, LABELS),
    (nn.KLDivLoss, F.kl_div, {"log_target": True}, Y),
    (nn.HingeLoss, F.hinge_loss, {}, SIGNS),
    (nn.SoftMarginLoss, F.soft_margin_loss, {}, SIGNS),
    (nn.HingeEmbeddingLoss, F.hinge_embedding_loss, {"margin": 0.3}, SIGNS),
    (nn.MultiMarginLoss, F.multi_margin_loss, {"p": 2, "margin": 0.3, "weight": W}, LABELS),
])  # fmt: skip
@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_arguments_reach_the_function(module, function, options, target, reduction):
    layer = module(**options, reduction=reduction)
    np.testing.assert_array_equal(layer(X, target).numpy(), function(X, target, **options, reduction=reduction).numpy())
    assert layer(X, target).numpy().sum() != function(X, target, reduction="mean").item()
    assert repr(layer) == f"{module.__name__}()"


def test_half_the_square():
    """½ (x − y)² has gradient x − y."""
    x = weft.tensor([1.0, 5.0], requires_grad=True)
    (0.5 * nn.MSELoss(reduction="sum")(x, weft.tensor([3.0, 4.0]))).backward()
    assert x.grad.tolist() == [-2.0, 1.0]


def test_weights_are_buffers():
    loss = nn.BCEWithLogitsLoss(W, pos_weight=W)
    assert list(loss.state_dict()) == ["weight", "pos_weight"]
    assert loss.float().weight.dtype == weft.float32
    assert list(nn.CrossEntropyLoss().state_dict()) == []


def test_options_are_checked_at_once():
    with pytest.raises(ValueError, match="`reduction` must be one of 'none', 'mean', 'sum', got 'avg'"):
        nn.MSELoss(reduction="avg")
    with pytest.warns(UserWarning, match="deprecated: say reduction='sum'"):
        assert nn.MSELoss(size_average=False).reduction == "sum"
    assert nn.KLDivLoss(reduction="batchmean").reduction == "batchmean"
