"""Cross-entropy that weighs samples by their class."""

from __future__ import annotations

from ..backend.tape.tensor import Tensor
from ..layers.loss import CrossEntropyLoss

__all__: list[str] = []


class SampleWeightedCrossEntropy(CrossEntropyLoss):
    """Σ w[y_i] l_i / Σ w[y_i], with the cross-entropy l_i of sample i, smoothing included.

    `CrossEntropyLoss`, as PyTorch's, weighs the smoothed targets instead: with label smoothing a class of great weight then
    pulls at the samples of all others, and where it is rare enough nothing but it is predicted.

    Parameters
    ----------
    weight : Tensor
        w (C), of the classes.
    label_smoothing : float, default 0.0
        As for `CrossEntropyLoss`.

    Examples
    --------
    >>> loss = SampleWeightedCrossEntropy(weft.tensor([1.0, 3.0]))
    >>> round(loss(weft.tensor([[0.0, 0.0], [0.0, 9.0]]), weft.tensor([0, 1])).item(), 4)
    0.1734
    """

    class_weight: Tensor

    def __init__(self, weight: Tensor, label_smoothing: float = 0.0):
        super().__init__(reduction="none", label_smoothing=label_smoothing)
        self.register_buffer("class_weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        w = self.class_weight
        weights = w[target] if target.ndim == 1 else target @ w  # of mixed samples the target holds shares of classes
        return (weights * super().forward(input, target)).sum() / weights.sum()
