"""What models share that read one sequence and write another: the loss with teacher forcing, and translation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backend.array.manipulation import reshape
from ..backend.device.dtypes import is_integral
from ..backend.device.options import integer
from ..backend.tape.autograd import no_grad
from ..backend.tape.tensor import Tensor
from . import functional as F
from .beam_search import Hypothesis, beam_search
from .evaluating import evaluating
from .functional import _check as check
from .generation import as_tokens, token_rows
from .module import Module

__all__ = ["EncoderDecoder"]

PAD, BOS, EOS, UNK = range(4)  # as of the tokenizers that are fitted on pairs


class EncoderDecoder(Module):
    """A model of p(target | source), one target token after the other.

    Called with `(source, target)`: source (N, S), target (N, T), which begins with `<bos>`; logits (N, T, target_size) for the
    token after each. Tokens 0, 1, 2, 3 are `<pad>`, `<bos>`, `<eos>`, `<unk>`; padding is behind what it pads, and a source
    ends with `<eos>`.

    A subclass defines `features`, `output`, `attention` and `start`; `source_size`, `target_size` (of the vocabularies) and
    `context` (the greatest length) are its attributes.

    Examples
    --------
    >>> isinstance(nn.models.lstm_translator(source_size=9, target_size=9, width=8), nn.models.EncoderDecoder)
    True
    """

    source_size: int
    target_size: int
    context: int

    if TYPE_CHECKING:

        def __call__(self, source: Tensor, target: Tensor) -> Tensor: ...

    def features(self, source: Tensor, target: Tensor) -> Tensor:
        """What the decoder makes of each target token, (N, T, width): `output` gives its logits.

        Parameters
        ----------
        source : Tensor
            (N, S).
        target : Tensor
            (N, T).

        Returns
        -------
        Tensor
            (N, T, width).
        """
        raise NotImplementedError

    def output(self) -> tuple[Tensor, Tensor | None]:
        """The weight (target_size, width), and the bias, that make logits of features.

        Returns
        -------
        tuple
            Parameters.
        """
        raise NotImplementedError

    def attention(self, source: Tensor, target: Tensor) -> Tensor:
        """Where the decoder looks: for each target token, weights over the source that add up to 1.

        Parameters
        ----------
        source : Tensor
            (N, S).
        target : Tensor
            (N, T).

        Returns
        -------
        Tensor
            (N, T, S).
        """
        raise NotImplementedError

    def start(self, source: Tensor, max_length: int) -> Callable[[Tensor, Tensor], Tensor]:
        """Read the source, and give what decodes step by step.

        Parameters
        ----------
        source : Tensor
            (N, S).
        max_length : int
            How many steps there may be.

        Returns
        -------
        callable
            `(tokens, rows)`, both (R,) → features (R, width): see `beam_search`.
        """
        raise NotImplementedError

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return F.linear(self.features(source, target), *self.output())

    def loss(self, source: Tensor, target: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
        """The mean of −ln p of each target token after those before it; padding does not count.

        Parameters
        ----------
        source : Tensor
            (N, S).
        target : Tensor
            (N, T), from `<bos>` to `<eos>`.
        label_smoothing : float, default 0.0
            Share of the target that is spread over the vocabulary.

        Returns
        -------
        Tensor
            0-d; no logits are kept in memory.
        """
        x = self.features(source, target[:, :-1])
        weight, bias = self.output()
        return F.linear_cross_entropy(
            reshape(x, (-1, x.shape[-1])),
            weight,
            reshape(target[:, 1:], (-1,)),
            linear_bias=bias,
            ignore_index=PAD,
            label_smoothing=label_smoothing,
        )

    def translate(
        self, sources: Sequence[Any], *, beam: int = 4, length_penalty: float = 0.6, max_length: int | None = None
    ) -> list[Hypothesis]:
        """The best target of each source by `beam_search`; `<unk>` is not among what it may write.

        Parameters
        ----------
        sources : sequence of arrays or lists of int
            The tokens of each, `<eos>` at the end.
        beam : int, default 4
            How many prefixes are kept; 1 is greedy.
        length_penalty : float, default 0.6
            α of the score.
        max_length : int, optional
            The greatest length of a target; `context` unless given.

        Returns
        -------
        list of Hypothesis
            One for each source, in their order.

        Raises
        ------
        ValueError
            If a source is empty or longer than the context, or an option is out of range.
        IndexError
            If a token is outside the vocabulary.

        Examples
        --------
        >>> model = nn.models.transformer_translator(source_size=9, target_size=9, width=8, layers=1, heads=2)
        >>> [len(found.tokens) <= 5 for found in model.translate([[4, 5, 2], [6, 2]], max_length=5)]
        [True, True]
        """
        if max_length is not None:
            integer("max_length", max_length, 1)
        rows = token_rows("sources", sources)
        if not len(sources):
            return []
        self._check_sources(rows)
        longest = self.context if max_length is None else min(max_length, self.context)
        source = np.full((len(rows), max(map(len, rows))), PAD, np.int64)
        for i, row in enumerate(rows):
            source[i, : len(row)] = row
        with no_grad(), evaluating(self):
            decode = self.start(as_tokens(source, self), longest)

            def step(tokens: np.ndarray, parents: np.ndarray) -> np.ndarray:
                features = decode(as_tokens(tokens, self), as_tokens(parents, self))
                log_p = F.log_softmax(F.linear(features, *self.output()), dim=-1).cpu().numpy().astype(np.float64)
                log_p[:, [PAD, BOS, UNK]] = -np.inf
                return log_p

            options: dict[str, Any] = {"max_length": longest, "beam": beam, "length_penalty": length_penalty}
            found = beam_search(step, len(rows), bos=BOS, eos=EOS, **options)
        return [hypotheses[0] for hypotheses in found]

    def _check_sources(self, rows: list[np.ndarray]) -> None:
        for i, row in enumerate(rows):
            if not 1 <= len(row) <= self.context:
                raise ValueError(
                    f"`sources` must have 1 to {self.context} tokens each, got {len(row)} in number {i}; give it a sentence "
                    "of that length"
                )
            outside = row[(row < 0) | (row >= self.source_size)]
            if len(outside):
                raise IndexError(
                    f"`sources` must hold tokens in [0, {self.source_size}), the vocabulary, got {outside[0]} in number {i}"
                )

    # --- for subclasses -----------------------------------------------------------------------------------------------
    def _check_tokens(self, **tokens: Tensor) -> None:
        for name, x in tokens.items():
            if check.tensor(name, x).ndim != 2 or not is_integral(x.dtype):
                raise ValueError(f"`{name}` must be integers of shape (N, L), got {x.dtype} of shape {tuple(x.shape)}")
            if not 1 <= x.shape[1] <= self.context:
                raise ValueError(
                    f"`{name}` must have 1 to {self.context} tokens, the model's context, got {x.shape[1]}; shorten it"
                )
        batches = {name: x.shape[0] for name, x in tokens.items()}
        if len(set(batches.values())) > 1:
            raise ValueError(f"`source` and `target` must have as many rows, got {batches}")


def check_sizes(source_size: int, target_size: int, width: int, context: int, layers: int) -> None:
    """Raise TypeError or ValueError where a model cannot be made of these."""
    least = {"source_size": UNK + 1, "target_size": UNK + 1, "width": 2, "context": 2, "layers": 1}
    given = source_size, target_size, width, context, layers
    for (name, low), n in zip(least.items(), given):
        integer(name, n, low)
