"""Alpha dropout as modules, as in `torch.nn`."""

from __future__ import annotations

from ..backend.tape.tensor import Tensor
from . import functional as F
from .dropout import Dropout

__all__ = ["AlphaDropout", "FeatureAlphaDropout"]


class AlphaDropout(Dropout):
    """Dropout that keeps mean 0 and variance 1, while training: a · (x or, with probability p, α′) + b. For SELU.

    α′ = −1.758… is the limit of SELU at −∞, a = ((1 − p)(1 + p α′²))^(−½) and b = −a p α′.

    Parameters
    ----------
    p : float, default 0.5
        Probability that an element is dropped.
    inplace : bool, default False
        PyTorch's argument; it changes nothing there, nor here: only the function writes to x.

    Raises
    ------
    ValueError
        If `p` is outside [0, 1].

    References
    ----------
    Klambauer et al., "Self-Normalizing Neural Networks" (2017).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.AlphaDropout(0.5)(weft.zeros(4)).numpy().round(3)
    array([ 0.779,  0.779, -0.779,  0.779], dtype=float32)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.alpha_dropout(input, self.p, self.training)


class FeatureAlphaDropout(Dropout):
    """`AlphaDropout` of whole channels of x (N, C, …).

    Parameters
    ----------
    p : float, default 0.5
        Probability that a channel is dropped.
    inplace : bool, default False
        PyTorch's argument; it changes nothing there, nor here: only the function writes to x.

    Raises
    ------
    ValueError
        If `p` is outside [0, 1]; in a call, if x has fewer than two axes.

    Examples
    --------
    >>> from weft import layers as nn
    >>> y = nn.FeatureAlphaDropout()(weft.ones((2, 3, 5)))
    >>> bool(weft.all(y == y[:, :, :1]))
    True
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.feature_alpha_dropout(input, self.p, self.training)
