"""Keys and values of what attention has seen already, for generation one token at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ..backend.array.creation import zeros
from ..backend.array.indexing import take
from ..backend.device.options import integer
from ..backend.nn import attention as primitives
from ..backend.tape.autograd import is_grad_enabled
from ..backend.tape.recording import active, as_one
from ..backend.tape.sharing import Part, part_of
from ..backend.tape.tensor import Tensor, wrap
from . import functional as F

__all__ = ["KeyValueCache", "LayerCache"]


class LayerCache:
    """One layer's part of a `KeyValueCache`: keys and values of up to `max_length` positions, in memory taken once.

    Parameters
    ----------
    max_length : int
        Positions that there is room for.
    is_fixed : bool, default False
        Whether it is filled once, as with an encoder's output, and then read: attention layers project no more keys.

    Attributes
    ----------
    length : int
        Positions that are filled; a recorded step that reads it runs as usual where a Tensor says the place.

    Raises
    ------
    TypeError
        If `max_length` is no integer.
    ValueError
        If it is less than 1, or than 0 where the cache is fixed.

    Examples
    --------
    >>> from weft import layers as nn
    >>> part = nn.LayerCache(8)
    >>> keys, values = part.append(weft.zeros((2, 4, 3, 16)), weft.zeros((2, 4, 3, 16)))
    >>> keys, values = part.append(weft.zeros((2, 4, 1, 16)), weft.zeros((2, 4, 1, 16)))
    >>> keys.shape, part.length
    ((2, 4, 4, 16), 4)
    """

    def __init__(self, max_length: int, is_fixed: bool = False):
        integer("max_length", max_length, 0 if is_fixed else 1)
        self.max_length = max_length
        self.is_fixed = is_fixed
        self._length = 0  # behind what the host has put in last
        self.place: Tensor | None = (
            None  # where the next position is, for a step that is recorded: see `KeyValueCache.follow`
        )
        self._key: Tensor | None = None
        self._value: Tensor | None = None
        self._written: tuple[Part, ...] = ()  # the notes of when their memory was
        self._memory: LayerCache | None = None

    @property
    def length(self) -> int:
        """Positions that are filled."""
        if self.place is None:
            return self._length
        place = self.place.item()
        return place + (self._length == place + 1)  # whether that one is there already

    @property
    def is_complete(self) -> bool:
        """Whether it is fixed, and filled."""
        return self.is_fixed and self.length == self.max_length and self._key is not None

    def memory(self, length: int) -> LayerCache:
        """The part for a decoder layer's attention to the encoder's output, whose keys and values stay as they are.

        Parameters
        ----------
        length : int
            That of the encoder's output.

        Returns
        -------
        LayerCache
            The same in each call.

        Raises
        ------
        ValueError
            If the length is not that of earlier calls.
        """
        if self._memory is None:
            self._memory = LayerCache(length, is_fixed=True)
        if self._memory.max_length != length:
            raise ValueError(
                f"`memory` must stay the same while there is a cache, of length {self._memory.max_length}, got length "
                f"{length}; call reset() first"
            )
        return self._memory

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Put keys and values behind those that are there.

        Parameters
        ----------
        key : Tensor
            (N, G, L, E), G heads of width E.
        value : Tensor
            (N, G, L, Eᵥ).

        Returns
        -------
        tuple of Tensor
            All keys (N, G, S, E) and all values (N, G, S, Eᵥ), views of the cache's memory.

        Raises
        ------
        RuntimeError
            If gradients are recorded for the key or the value, which would end here.
        ValueError
            If there is no room left, or shape, dtype or device are not those of what is there.
        """
        if is_grad_enabled() and (key.requires_grad or value.requires_grad):
            raise RuntimeError(
                "`cache` is for use without gradients, which would end in it; call inside weft.no_grad()"
            )
        if (recording := active()) is not None:
            recording.wants_constant(self._counted)
        start = self._length if self.place is None else self.place.item()
        stop = start + key.shape[2]
        if stop > self.max_length:
            raise ValueError(f"`cache` must have room for {stop} positions, got max_length={self.max_length}")
        if self._key is None or self._value is None:
            self._key, self._value = (self._room_for(x) for x in (key, value))
        for name, memory, x in (("key", self._key, key), ("value", self._value, value)):
            _check_fits(name, x, memory, stop - start)
            memory.data[:, :, start:stop, :] = x.data
        self._written = self._written or (part_of(self._key.data), part_of(self._value.data))
        for part in self._written:
            part.stamp()
        self._length = stop
        return self.contents()

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, **options: Any) -> Tensor:
        """Put keys and values behind those that are there, and attend to all.

        Parameters
        ----------
        query : Tensor
            (N, H, L, E).
        key : Tensor
            (N, G, L, E), as for `append`; G divides H.
        value : Tensor
            (N, G, L, Eᵥ).
        mask : Tensor, optional
            Which of all positions take part, (N, 1, L, S); unless given, all up to that of each query. S may be `max_length`
            where a Tensor says the place: what is behind it takes no part.
        **options : Any
            `scale` and `dropout_p` of `functional.scaled_dot_product_attention`.

        Returns
        -------
        Tensor
            (N, H, L, Eᵥ).

        Examples
        --------
        >>> part, x = nn.LayerCache(8), weft.zeros((2, 4, 3, 16))
        >>> part.attend(x, x, x).shape, part.length
        ((2, 4, 3, 16), 3)
        """
        is_whole = mask is None or mask.shape[-1] == self.max_length
        if self.place is not None and self._key is not None and self._value is not None and is_whole:
            for name, memory, x in (("key", self._key, key), ("value", self._value, value)):
                _check_fits(name, x, memory, 1)
                _put(memory.data, x.data, self.place.data)
            if active() is None:
                self._length = self.place.item() + 1
            scale = options.get("scale")
            return primitives.attention_up_to(query, self._key, self._value, mask, self.place, scale=scale)
        is_causal, grouped = mask is None and query.shape[2] > 1, query.shape[1] != key.shape[1]
        keys, values = self.append(key, value)
        return F.scaled_dot_product_attention(
            query, keys, values, mask, is_causal=is_causal, enable_gqa=grouped, **options
        )

    def _counted(self) -> tuple[str, int]:
        """What a captured step may not change: a replay would neither count nor see more keys."""
        return "the length of a cache", self._length

    def _room_for(self, x: Tensor) -> Tensor:
        return zeros((*x.shape[:2], self.max_length, x.shape[3]), dtype=x.dtype, device=x.device)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_written": ()}  # a copy has other memory

    def contents(self) -> tuple[Tensor, Tensor]:
        """All keys and values.

        Returns
        -------
        tuple of Tensor
            Keys (N, G, S, E) and values (N, G, S, Eᵥ), views of the cache's memory.

        Raises
        ------
        RuntimeError
            If nothing was put in.
        """
        if self._key is None or self._value is None:
            raise RuntimeError("the cache is empty: call `append` first")
        key, value = (wrap(x.data[:, :, : self.length, :], x.device) for x in (self._key, self._value))
        return key, value

    def reset(self) -> None:
        """Forget everything, the memory too."""
        self._length, self._key, self._value, self._written, self._memory = 0, None, None, (), None

    def _rewind(self, length: int, memory: LayerCache | None, is_filled: bool) -> None:
        """Forget what a call that has failed put in."""
        if not length:
            self.reset()
        self._length = length
        self._memory = memory if is_filled else None

    def reorder(self, index: Tensor) -> None:
        """Let row i of the batch go on from what row `index[i]` has seen, as beam search wants it.

        Parameters
        ----------
        index : Tensor
            Integers (N',); N' may differ from N.
        """
        if self._key is not None and self._value is not None:
            self._key, self._value = take(self._key, index, axis=0), take(self._value, index, axis=0)
            self._written = ()
        if self._memory is not None:
            self._memory.reorder(index)


class KeyValueCache:
    """Keys and values of all positions so far, for each layer of a model: what generation does not compute again.

    `cache[i]` is the part of layer i, which attention layers take as `cache=`: they put the keys and values of the positions
    that they are given behind those that are there, and attend to all. The host counts them, and results are longer with
    each, so that a step with a cache cannot be captured, unless the cache is told to `follow` a Tensor: `generate` does so.
    (Not in PyTorch.)

    Parameters
    ----------
    layers : int
        How many attention layers there are.
    max_length : int
        Positions that there is room for: prompt and continuation together.

    Raises
    ------
    TypeError
        If one of them is no integer.
    ValueError
        If one of them is less than 1.

    Examples
    --------
    >>> from weft import layers as nn
    >>> attention = nn.MultiheadAttention(16, 4, batch_first=True).eval()
    >>> x, cache = weft.randn(2, 6, 16), nn.KeyValueCache(1, 6)
    >>> with weft.no_grad():
    ...     steps = [attention(*[x[:, i : i + 1]] * 3, is_causal=True, cache=cache[0])[0] for i in range(6)]
    >>> cache.length
    6
    """

    def __init__(self, layers: int, max_length: int):
        for name, n in (("layers", layers), ("max_length", max_length)):
            integer(name, n, 1)
        self.max_length = max_length
        self._parts = [LayerCache(max_length) for _ in range(layers)]

    @property
    def length(self) -> int:
        """Positions that the last layer has seen: all layers, between two calls of a model."""
        return self._parts[-1].length

    def __getitem__(self, index: int) -> LayerCache:
        return self._parts[index]

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[LayerCache]:
        return iter(self._parts)

    @property
    def place(self) -> Tensor | None:
        """Where the next position is, if a Tensor says so."""
        return self._parts[0].place

    def follow(self, place: Tensor) -> None:
        """From now on have a Tensor say where the next position is: then a step of one position can be recorded.

        `LayerCache.attend` then has masks for all that there is room for, (N, 1, 1, max_length), too. A step that asks for
        `length`, calls `append` or has a shorter mask is right as well, but cannot be recorded.

        Parameters
        ----------
        place : Tensor
            (1,) of int64, in which the next position is written before each step.
        """
        for part in self._parts:
            part.place = place

    def reset(self) -> None:
        """Forget everything, the memory too."""
        for part in self._parts:
            part.reset()

    def reorder(self, index: Tensor) -> None:
        """Let row i of the batch go on from what row `index[i]` has seen, as beam search wants it.

        Parameters
        ----------
        index : Tensor
            Integers (N',); N' may differ from N.
        """
        for part in self._parts:
            part.reorder(index)


def _check_fits(name: str, x: Tensor, memory: Tensor, length: int) -> None:
    wanted = (*memory.shape[:2], length, memory.shape[3])
    if x.shape != wanted or x.dtype != memory.dtype or x.device != memory.device:
        raise ValueError(
            f"`{name}` must be like what the cache holds, {wanted}, {memory.dtype}, on {memory.device}, got "
            f"{tuple(x.shape)}, {x.dtype}, on {x.device}; call reset() first"
        )


@as_one(writes=True, may_fail=False)
def _put(memory: Any, new: Any, place: Any) -> None:
    """Keys or values (N, G, 1, E) of the position that `place` (1,) says, into memory (N, G, S, E)."""
    at = int(place[0])
    memory[:, :, at : at + 1] = new


@contextlib.contextmanager
def kept(cache: KeyValueCache | LayerCache | None) -> Iterator[None]:
    """A call that fails, or is interrupted, leaves the cache as it was: called again it would see its keys twice."""
    parts = () if cache is None else (cache,) if isinstance(cache, LayerCache) else tuple(cache)
    before = [
        (part, part._length, part._memory, part._memory is not None and part._memory.is_complete) for part in parts
    ]
    try:
        yield
    except BaseException:
        for part, length, memory, is_filled in before:
            part._rewind(length, memory, is_filled)
        raise


def check_part(cache: Any) -> None:
    """Raise TypeError unless it is one layer's cache, or None."""
    if cache is not None and not isinstance(cache, LayerCache):
        hint = (
            "give a layer its part: cache[i]"
            if isinstance(cache, KeyValueCache)
            else "make one: LayerCache(max_length)"
        )
        raise TypeError(f"`cache` must be a LayerCache, got {type(cache).__name__}; {hint}")


def check_parts(cache: Any, layers: int) -> None:
    """Raise TypeError unless it is a cache of layers, or None, and ValueError unless there are as many parts as layers."""
    if cache is None:
        return
    if not isinstance(cache, KeyValueCache):
        raise TypeError(
            f"`cache` must be a KeyValueCache, got {type(cache).__name__}; make one: KeyValueCache({layers}, max_length)"
        )
    if len(cache) != layers:
        raise ValueError(f"`cache` must have a part for each of the {layers} layers, got {len(cache)}")
