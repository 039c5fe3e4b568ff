"""Generation: what a language model says next, one token after the other."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from numbers import Number
from typing import Any

import numpy as np

from ..backend.array.creation import asarray
from ..backend.array.random import default_generator
from ..backend.device.options import integer, number
from ..backend.tape.autograd import no_grad
from ..backend.tape.tensor import Tensor
from .evaluating import evaluating
from .module import Module
from .next_token import RecordedToken, is_worth_recording, logits_of

__all__: list[str] = []


def steps(
    model: Any,
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
) -> Iterator[np.ndarray]:
    """What `LanguageModel.generate_steps` documents, for a LanguageModel; arguments are checked at once, not at the first step."""
    rows = token_rows("prompts", prompts)
    _check_prompts(rows, model)
    stops: list[Any] = list(stop) if isinstance(stop, Iterable) and not isinstance(stop, str | bytes) else [stop]
    _check_kinds(max_new_tokens, temperature, top_k, top_p, repetition_penalty, stops, seed)
    _check_options(max_new_tokens, temperature, top_k, top_p, repetition_penalty, stops, model.vocab_size)
    seed = int(default_generator.integers(0, 2**62, ())) if seed is None else seed
    streams = [np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, i]))) for i in range(len(rows))]

    def choose(logits: np.ndarray, before: np.ndarray, random: np.random.Generator) -> int:
        return _choose(logits, before, temperature, top_k, top_p, repetition_penalty, random)

    return _steps(model, rows, max_new_tokens, frozenset(map(int, stops)), streams, choose, use_cache)


def _steps(
    model: Any,
    rows: list[np.ndarray],
    count: int,
    stops: frozenset[int],
    streams: list[np.random.Generator],
    choose: Any,
    use_cache: bool,
) -> Iterator[np.ndarray]:
    longest = max(map(len, rows))
    starts = [longest - len(row) for row in rows]
    tokens, counts = np.zeros((len(rows), longest + count), np.int64), np.zeros((len(rows), longest + count), bool)
    for i, row in enumerate(rows):
        tokens[i, starts[i] : longest] = row
        counts[i, starts[i] :] = True
    is_padded, living = not counts[:, 0].all(), np.ones(len(rows), bool)
    room = min(model.context, longest + count)
    cache: Any = model.new_cache(room) if use_cache else None
    recorded = None
    for end in range(longest, longest + count):
        with no_grad(), evaluating(model) if model.training else nullcontext():  # whoever reads may train in between
            if end == longest + 1 and is_worth_recording(model, cache, count, room):
                recorded = RecordedToken(model, cache, counts[:, :room] if is_padded else None)
            if recorded is not None and end <= model.context:
                logits = recorded.logits(tokens[:, end - 1 : end], end - 1)
            else:
                logits, cache = logits_of(model, tokens[:, :end], counts[:, :end] if is_padded else None, cache)
        new = np.full(len(rows), -1)
        for i in np.flatnonzero(living).tolist():
            new[i] = choose(logits[i], tokens[i, starts[i] : end], streams[i])
            living[i] = new[i] not in stops
        tokens[:, end] = np.maximum(new, 0)
        yield new
        if not living.any():
            return


def _choose(
    logits: np.ndarray,
    before: np.ndarray,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    repetition_penalty: float,
    random: np.random.Generator,
) -> int:
    """The next token, of logits (C,) and the tokens that are there already."""
    if not math.isfinite(greatest := logits.max()):
        raise ValueError(
            f"the model's logits are {'NaN' if math.isnan(greatest) else 'infinite'}: its weights are not finite, or it was "
            "trained until they were not"
        )
    if repetition_penalty != 1:
        there = np.unique(before)
        z = logits[there]
        with np.errstate(over="ignore"):  # of logits that are beyond all numbers the greatest finite one is left
            z = np.where(z > 0, z / repetition_penalty, z * repetition_penalty)
        logits[there] = np.minimum(z, sys.float_info.max)
    if temperature == 0 or top_k == 1:
        return int(logits.argmax())
    order = (-logits).argsort(kind="stable")[:top_k]
    with np.errstate(over="ignore"):  # e^−∞ = 0 is right
        z = (logits[order] - logits[order[0]]) / temperature
    p = np.exp(z)
    p /= p.sum()
    total = p.cumsum()
    if top_p is not None:  # as many as it takes to reach it: those before which it is not reached yet
        kept = int((total - p < top_p).sum())
        total = total[: max(1, kept)]
    at = total.searchsorted(random.random() * total[-1], side="right")
    return int(order[min(at, len(total) - 1)])


# --- what may be asked for --------------------------------------------------------------------------------------------
def _check_prompts(rows: list[np.ndarray], model: Any) -> None:
    if not rows:
        raise ValueError("`prompts` must hold at least one prompt, got none")
    for i, row in enumerate(rows):
        if not 1 <= len(row) <= model.context:
            hint = "give it a token to start from" if not len(row) else "keep the end of it"
            wanted = "at least 1 token each"
            if model.context < sys.maxsize:
                wanted = f"1 to {model.context} tokens each, the model's context"
            raise ValueError(f"`prompts` must have {wanted}, got {len(row)} in prompt {i}; {hint}")
        outside = row[(row < 0) | (row >= model.vocab_size)]
        if len(outside):
            raise IndexError(
                f"`prompts` must hold tokens in [0, {model.vocab_size}), the vocabulary, got {outside[0]} in prompt {i}"
            )


def _check_kinds(
    max_new_tokens: Any, temperature: Any, top_k: Any, top_p: Any, repetition_penalty: Any, stops: list[Any], seed: Any
) -> None:
    integer("max_new_tokens", max_new_tokens)
    number("temperature", temperature, infinite=True)
    number("repetition_penalty", repetition_penalty, infinite=True)
    if top_k is not None:
        integer("top_k", top_k)
    if top_p is not None:
        number("top_p", top_p, infinite=True)
    if seed is not None:
        integer("seed", seed, 0)
    for token in stops:
        integer("stop", token)


def _check_options(
    max_new_tokens: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    repetition_penalty: float,
    stops: list[int],
    vocab_size: int,
) -> None:
    wrong: tuple[str, str, object] | None = None
    if max_new_tokens < 0:
        wrong = "max_new_tokens", "at least 0", max_new_tokens
    elif not 0 <= temperature < math.inf:
        wrong = "temperature", "at least 0 and finite", temperature
    elif top_k is not None and top_k < 1:
        wrong = "top_k", "at least 1, or None", top_k
    elif top_p is not None and not 0 < top_p <= 1:
        wrong = "top_p", "in (0, 1], or None", top_p
    elif not 0 < repetition_penalty < math.inf:
        wrong = "repetition_penalty", "above 0 and finite", repetition_penalty
    elif any(not 0 <= s < vocab_size for s in stops):
        wrong = "stop", f"tokens in [0, {vocab_size}), the vocabulary", stops
    if wrong is not None:
        raise ValueError(f"`{wrong[0]}` must be {wrong[1]}, got {wrong[2]}")


# --- prompts ----------------------------------------------------------------------------------------------------------
def is_batch(prompts: Any) -> bool:
    """Whether these are several prompts, each a list of its own."""
    if hasattr(prompts, "ndim"):
        return prompts.ndim == 2
    return len(prompts) > 0 and not isinstance(prompts[0], Number | np.generic)


def token_rows(name: str, given: Any) -> list[np.ndarray]:
    """Sequences of tokens as arrays of int64, one for each; (L,) alone is one."""
    if isinstance(given, Tensor):
        given = given.numpy()
    if isinstance(given, str | bytes) or not isinstance(given, Sequence | np.ndarray):
        raise TypeError(f"`{name}` must be lists of integers, or an array (L,) or (N, L) of them, got {given!r:.80}")
    if isinstance(given, np.ndarray) and given.ndim not in (1, 2):
        raise ValueError(f"`{name}` must have shape (L,) or (N, L), got {given.shape}")
    return [_token_row(name, row) for row in (given if is_batch(given) else [given])]


def _token_row(name: str, row: Any) -> np.ndarray:
    try:
        found = np.asarray(row)
    except ValueError:  # lists of unequal lengths
        found = np.empty((0, 0))
    if found.ndim != 1:
        raise ValueError(
            f"`{name}` must hold lists of integers, got a list of lists, or no list, as one of them: {row!r:.80}"
        )
    if found.size and found.dtype.kind not in "iu":
        raise TypeError(f"`{name}` must hold integers, got dtype {found.dtype}")
    return found.astype(np.int64)


def as_tokens(rows: np.ndarray, model: Module) -> Tensor:
    """Tokens on the device of a model."""
    return asarray(rows, device=next(iter(model.parameters())).device)
