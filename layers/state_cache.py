"""The states of recurrent layers after what they have read, for generation one token at a time."""

from __future__ import annotations

from typing import Any

from ..backend.array.indexing import take
from ..backend.tape.recording import active
from ..backend.tape.tensor import Tensor

__all__ = ["StateCache"]


class StateCache:
    """What recurrent layers remember of all tokens so far: to a `RecurrentLM` what a `KeyValueCache` is to attention.

    It takes the same memory whatever the length. Gradients end in it, as truncated backpropagation through time wants it:
    the states are put in detached. The host holds them, so that a step with a cache cannot be captured; one that takes and
    returns the states of `model.rnn` can. (Not in PyTorch.)

    Attributes
    ----------
    length : int
        Tokens that the states are of.
    state : Tensor, pair of Tensor, or None
        As recurrent layers return it, (layers, N, width); None, which is zeros, before the first token.

    Examples
    --------
    >>> model = nn.models.RecurrentLM("gru", vocab_size=11, width=16)
    >>> cache = model.new_cache()
    >>> y = model(weft.tensor([[1, 2, 3]]), cache=cache)
    >>> cache.length, cache.state.shape, cache.state.requires_grad
    (3, (2, 1, 16), False)
    """

    def __init__(self) -> None:
        self.length = 0
        self.state: Any = None

    def advance(self, count: int, state: Any) -> None:
        """Remember the states after `count` more tokens.

        Parameters
        ----------
        count : int
            How many tokens were read.
        state : Tensor or pair of Tensor
            As recurrent layers return it.
        """
        if (recording := active()) is not None:
            recording.wants_constant(self._counted)
        self.length += count
        self.state = state.detach() if isinstance(state, Tensor) else tuple(s.detach() for s in state)

    def _counted(self) -> tuple[str, int]:
        """What a captured step may not change: a replay would neither count nor go on from the states."""
        return "the length of a cache", self.length

    def reset(self) -> None:
        """Forget everything."""
        self.length, self.state = 0, None

    def reorder(self, index: Tensor) -> None:
        """Let row i of the batch go on from what row `index[i]` has read, as beam search wants it.

        Parameters
        ----------
        index : Tensor
            Integers (N',); N' may differ from N.
        """
        if isinstance(self.state, Tensor):
            self.state = take(self.state, index, axis=1)
        elif self.state is not None:
            self.state = tuple(take(s, index, axis=1) for s in self.state)
