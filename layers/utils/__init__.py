"""Tools beside the layers: `rnn` packs sequences of several lengths, as `torch.nn.utils.rnn`."""

from . import rnn

__all__ = ["rnn"]
