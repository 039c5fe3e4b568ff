"""What language models share: where tokens stand, which of them attention sees, the logits, the loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..backend.array.creation import arange
from ..backend.array.manipulation import reshape
from ..backend.device.dtypes import int64, is_integral
from ..backend.tape.tensor import Tensor
from . import functional as F
from .cache import KeyValueCache, check_parts
from .functional import _check as check
from .generation import is_batch, steps
from .module import Module

__all__ = ["LanguageModel"]

Features = TypeVar("Features", bound=Callable[..., Any])


def recordable(features: Features) -> Features:
    """For `features`, and `forward` of what is given their cache, that ask it for nothing but `_places` and `attend`.

    Then a step of one token can be recorded, if all that `_readers` names is like that.
    """
    features.is_recordable = True  # type: ignore[attr-defined]
    return features


class LanguageModel(Module):
    """A model that reads tokens from left to right and gives, after each, logits for the next.

    Called with `(tokens, attention_mask=None, cache=None)`: tokens (N, L), logits (N, L, vocab_size). `attention_mask` (N, S)
    is True, or 1, where a token counts: padding goes to the left, and positions are counted behind it. With a cache only
    tokens that it has not seen are given; the mask then is for all S, its tokens and these.

    A subclass defines `features` and `output_weight`; `vocab_size`, `context` (the greatest length; sys.maxsize if there is
    none) and `n_layer` are its attributes. `new_cache` decides what its caches are.

    Examples
    --------
    >>> isinstance(nn.models.gpt2(width=64, layers=1, heads=1), nn.models.LanguageModel)
    True
    """

    vocab_size: int
    context: int
    n_layer: int

    if TYPE_CHECKING:

        def __call__(
            self, tokens: Tensor, attention_mask: Tensor | None = None, cache: KeyValueCache | None = None
        ) -> Tensor: ...

    def features(
        self, tokens: Tensor, attention_mask: Tensor | None = None, cache: KeyValueCache | None = None
    ) -> Tensor:
        """What the last layer makes of each token, (N, L, width): the logits are its product with `output_weight`.

        Parameters
        ----------
        tokens : Tensor
            (N, L).
        attention_mask : Tensor, optional
            (N, S), which of all tokens count.
        cache : KeyValueCache, optional
            Of what was read before.

        Returns
        -------
        Tensor
            (N, L, width).
        """
        raise NotImplementedError

    def output_weight(self) -> Tensor:
        """The table (vocab_size, width) that features are multiplied by.

        Returns
        -------
        Tensor
            A parameter.
        """
        raise NotImplementedError

    def forward(
        self, tokens: Tensor, attention_mask: Tensor | None = None, cache: KeyValueCache | None = None
    ) -> Tensor:
        return F.linear(self.features(tokens, attention_mask, cache), self.output_weight())

    def loss(self, tokens: Tensor, targets: Tensor, *, ignore_index: int = -100) -> Tensor:
        """The mean of −ln p of each target after the tokens up to its place; no logits are kept in memory.

        Parameters
        ----------
        tokens : Tensor
            (N, L).
        targets : Tensor
            (N, L), the tokens one step later.
        ignore_index : int, default -100
            The target that does not count.

        Returns
        -------
        Tensor
            0-d.
        """
        x = self.features(tokens)
        x = reshape(x, (-1, x.shape[-1]))
        return F.linear_cross_entropy(x, self.output_weight(), reshape(targets, (-1,)), ignore_index=ignore_index)

    def new_cache(self, max_length: int | None = None) -> Any:
        """An empty cache for this model.

        Parameters
        ----------
        max_length : int, optional
            Tokens that there is room for; `context` unless given.

        Returns
        -------
        KeyValueCache
            With a part for each layer.
        """
        return KeyValueCache(self.n_layer, self.context if max_length is None else max_length)

    def generate(
        self,
        prompts: Any,
        max_new_tokens: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        repetition_penalty: float = 1.0,
        stop: int | Sequence[int] = (),
        seed: int | None = None,
        use_cache: bool = True,
    ) -> Any:
        """Go on from prompts, a token at a time; see `generate_steps` for what decides the next.

        Parameters
        ----------
        prompts : list of lists of int, or array or Tensor of int
            The tokens of each prompt, which may be of different lengths; or one prompt, (L,).
        max_new_tokens : int
            How many to add at most.
        temperature : float, default 1.0
            Logits are divided by it; 0 takes the greatest.
        top_k : int, optional
            Only the k likeliest tokens can be chosen.
        top_p : float, optional
            Only the likeliest tokens that together reach this probability can be chosen.
        repetition_penalty : float, default 1.0
            Logits of tokens that are there already are divided by it if positive, else multiplied.
        stop : int or sequence of int, default ()
            A prompt's continuation ends with one of these.
        seed : int, optional
            Decides what is drawn; from weft's default generator unless given.
        use_cache : bool, default True
            Whether keys and values, or states, are kept from step to step; the tokens are the same.

        Returns
        -------
        list of lists of int, or list of int for one prompt
            The new tokens, the stop token included.

        Examples
        --------
        >>> model = nn.models.gpt2(vocab_size=11, context=8, width=16, layers=1, heads=2)
        >>> [len(row) for row in model.generate([[1, 2, 3], [4]], 5, seed=0)]
        [5, 5]
        """
        stream = self.generate_steps(
            prompts,
            max_new_tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            repetition_penalty=repetition_penalty,
            stop=stop,
            seed=seed,
            use_cache=use_cache,
        )
        rows: list[list[int]] = []
        for step in stream:
            rows = rows or [[] for _ in step]
            for row, token in zip(rows, step.tolist()):
                if token >= 0:
                    row.append(token)
        if not rows:
            rows = [[] for _ in range(len(prompts) if is_batch(prompts) else 1)]
        return rows if is_batch(prompts) else rows[0]

    def generate_steps(self, prompts: Any, max_new_tokens: int, **options: Any) -> Iterator[np.ndarray]:
        """The same as a stream: the new tokens (N,) of each step as they come, −1 in rows that have ended.

        With z the logits, in this order: the repetition penalty, z / temperature, the k greatest, the likeliest that reach
        top_p; then softmax and a draw. Row i draws from the stream (seed, i), so that it does not depend on other rows.
        When prompt and continuation are longer than the context, the model sees the last `context` tokens.

        Parameters
        ----------
        prompts : list of lists of int, or array or Tensor of int
            As for `generate`.
        max_new_tokens : int
            As for `generate`.
        **options : Any
            As for `generate`.

        Returns
        -------
        iterator of arrays of int64
            Ends after `max_new_tokens` steps, or when all rows have ended.

        Raises
        ------
        TypeError
            If a prompt holds no integers, or an option is of another kind.
        ValueError
            If a prompt is empty or longer than the context, or an option is out of range.
        IndexError
            If a token is outside the vocabulary.

        References
        ----------
        Holtzman et al., "The Curious Case of Neural Text Degeneration" (2020), for top_p; Keskar et al., "CTRL" (2019), for
        the repetition penalty.

        Examples
        --------
        >>> model = nn.models.gpt2(vocab_size=11, context=8, width=16, layers=1, heads=2)
        >>> [len(step) for step in model.generate_steps([[1], [4]], 3)]
        [2, 2, 2]
        """
        return steps(self, prompts, max_new_tokens, **options)

    # --- for subclasses -----------------------------------------------------------------------------------------------
    def _readers(self) -> list[Module]:
        """The modules that are given the cache or a part of it: with others in their place steps are not recorded."""
        return []

    def _places(
        self, tokens: Tensor, attention_mask: Tensor | None, cache: KeyValueCache | None
    ) -> tuple[Tensor, Tensor | None]:
        """Positions (L,) or (N, L), and the mask of attention: None for a causal one, (L, S) or (N, 1, L, S)."""
        check_tokens(tokens)
        check_parts(cache, self.n_layer)
        if cache is not None and cache.place is not None:
            return _places_at(cache.place, attention_mask)
        seen, length = 0 if cache is None else cache.length, tokens.shape[1]
        total, device = seen + length, tokens.device
        if total > self.context:
            raise ValueError(f"`tokens` must be at most {self.context}, the model's context, got {total}; shorten them")
        if attention_mask is None and length == 1:
            return arange(seen, total, dtype=int64, device=device), None
        columns = arange(total, dtype=int64, device=device)
        causal = columns <= columns[seen:, None] if seen or attention_mask is not None else None
        if attention_mask is None:
            return columns[seen:], causal
        check_mask(attention_mask, tokens, seen)
        counts = attention_mask != 0
        positions = (counts.astype(int64).cumulative_sum(axis=1) - 1).clip(0)[:, seen:]
        assert causal is not None
        return positions, causal & counts[:, None, None, :]


def _places_at(place: Tensor, attention_mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The same for one token, where `place` (1,) says; the mask is of all that the cache has room for."""
    if attention_mask is None:
        return place, None
    counts = attention_mask != 0
    before = counts & (arange(counts.shape[1], dtype=int64, device=counts.device) <= place)
    return (before.astype(int64).sum(axis=1, keepdims=True) - 1).clip(0), counts[:, None, None, :]


def check_tokens(tokens: Tensor) -> None:
    """Raise TypeError or ValueError for what is no (N, L) of integers, L ≥ 1."""
    if check.tensor("tokens", tokens).ndim != 2 or not is_integral(tokens.dtype):
        raise ValueError(
            f"`tokens` must be integers of shape (N, L), got {tokens.dtype} of shape {tuple(tokens.shape)}"
        )
    if not tokens.shape[1]:
        raise ValueError(f"`tokens` must be at least 1 in each row, got shape {tuple(tokens.shape)}")


def check_mask(attention_mask: Tensor, tokens: Tensor, seen: int) -> None:
    """Raise TypeError or ValueError for a mask that is not of all tokens: those seen, and these."""
    wanted = tokens.shape[0], seen + tokens.shape[1]
    if check.choice("attention_mask", attention_mask).shape != wanted:
        raise ValueError(f"`attention_mask` must have shape (N, S) = {wanted}, got {tuple(attention_mask.shape)}")
