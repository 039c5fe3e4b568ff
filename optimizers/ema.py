"""Exponential moving average of weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ..backend.device.devices import namespace_of
from ..backend.device.options import number
from ..backend.tape.recording import active
from ..backend.tape.sharing import changed
from ..backend.tape.tensor import Tensor, innermost
from .arena import Layout, by_device_and_dtype, contiguous

__all__ = ["EMA"]


class EMA:
    """A moving average of parameters, corrected for its start: often better to evaluate with than the last weights.

        w̄ ← w̄ + (1−β)/(1−βᵗ) · (w − w̄)     t = 1, 2, …

    which is the average with weights ∝ βᵗ⁻ˢ of the parameters at all updates s ≤ t: the bias-corrected
    (1−β) Σ βᵗ⁻ˢ wₛ / (1−βᵗ). It is kept in float32 for half-precision parameters.

    Parameters
    ----------
    parameters : iterable of Parameter
        Whose average is kept.
    decay : float, default 0.999
        β in [0, 1): the memory is about 1/(1−β) updates.

    Raises
    ------
    ValueError
        If `decay` is out of range or there are no parameters.

    Examples
    --------
    >>> p = weft.Parameter([1.0])
    >>> ema = optim.EMA([p], decay=0.5)
    >>> ema.update()
    >>> p.data[...] = 4.0
    >>> ema.update()
    >>> with ema.averaged():
    ...     p.tolist()  # (0.5·1 + 1·4) / 1.5
    [3.0]
    >>> p.tolist()
    [4.0]
    """

    def __init__(self, parameters: Iterable[Tensor], decay: float = 0.999):
        number("decay", decay, 0, below=1)
        self.parameters = list(parameters)
        if not self.parameters:
            raise ValueError("`parameters` must hold at least one parameter, got an empty iterable")
        self.decay = decay
        self.step = 0
        self._layouts = [
            Layout([self.parameters[i] for i in positions]) for positions in by_device_and_dtype(self.parameters)
        ]
        self._vectors = [layout.vector(layout.state_dtype) for layout in self._layouts]

    def update(self) -> None:
        """Take the present weights into the average. Call it after the optimizer's `step`.

        Examples
        --------
        >>> p = weft.Parameter([1.0])
        >>> ema = optim.EMA([p])
        >>> ema.update()
        >>> ema.step
        1
        """
        if recording := active():
            recording.wants_constant(self._step_of_average)
        self.step += 1
        alpha = (1 - self.decay) / (1 - self.decay**self.step)
        for layout, vector in zip(self._layouts, self._vectors):
            weights = contiguous([p.data for p in layout.params])
            # An optimizer over the same parameters lays them out in the same way: then all are averaged at once.
            whole = len(weights) == 1 and weights[0].shape == vector.shape
            averages = [vector] if whole else [layout.view(vector, i) for i in range(len(layout.params))]
            for average, weight in zip(averages, weights if whole else [p.data for p in layout.params]):
                average += (layout.xp.astype(weight, layout.state_dtype, copy=False) - average) * alpha

    def _step_of_average(self) -> tuple[str, int]:
        return "the `step` of EMA, on which its weights depend,", self.step

    def averages(self) -> list[Any]:
        """The averages, in the order of the parameters.

        Returns
        -------
        list of array
            Raw arrays in the shapes of the parameters; views.

        Examples
        --------
        >>> p = weft.Parameter([1.0])
        >>> ema = optim.EMA([p], decay=0.5)
        >>> ema.update()
        >>> p.data[...] = 4.0
        >>> ema.update()
        >>> ema.averages()
        [array([3.], dtype=float32)]
        """
        by_id = {
            id(p): layout.view(vector, i)
            for layout, vector in zip(self._layouts, self._vectors)
            for i, p in enumerate(layout.params)
        }
        return [by_id[id(p)] for p in self.parameters]

    def copy_to(self) -> None:
        """Overwrite the parameters with their averages.

        Raises
        ------
        RuntimeError
            Before the first update.

        Examples
        --------
        >>> p = weft.Parameter([1.0])
        >>> ema = optim.EMA([p], decay=0.5)
        >>> ema.update()
        >>> p.data[...] = 4.0
        >>> ema.update()
        >>> ema.copy_to()
        >>> p.tolist()
        [3.0]
        """
        if not self.step:
            raise RuntimeError("`update` must have been called before the averages are used")
        for layout, vector in zip(self._layouts, self._vectors):
            for i, p in enumerate(layout.params):
                p.data[...] = layout.xp.astype(layout.view(vector, i), p.data.dtype, copy=False)
                changed(p.data)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Have the averages for parameters within a block; afterwards they are what they were.

        Yields
        ------
        None
            Nothing: `with ema.averaged(): …`.

        Examples
        --------
        >>> p = weft.Parameter([1.0])
        >>> ema = optim.EMA([p], decay=0.5)
        >>> ema.update()
        >>> p.data[...] = 4.0
        >>> ema.update()
        >>> with ema.averaged():
        ...     p.item()
        3.0
        >>> p.item()
        4.0
        """
        before = [p.data + 0 for p in self.parameters]
        try:
            self.copy_to()
            yield
        finally:
            for p, weights in zip(self.parameters, before):
                p.data[...] = weights
                changed(p.data)

    def __getstate__(self) -> dict[str, Any]:
        """For `copy` and `pickle`: a copy averages its own parameters."""
        return {"parameters": self.parameters, "decay": self.decay, "state": self.state_dict()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        EMA.__init__(self, state["parameters"], state["decay"])
        self.load_state_dict(state["state"])

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs.

        Returns
        -------
        dict
            `{"step": int, "averages": [array, …]}`; the arrays are copies.

        Examples
        --------
        >>> p = weft.Parameter([1.0])
        >>> ema = optim.EMA([p], decay=0.5)
        >>> ema.update()
        >>> p.data[...] = 4.0
        >>> ema.update()
        >>> ema.state_dict()
        {'step': 2, 'averages': [array([3.], dtype=float32)]}
        """
        return {"step": self.step, "averages": [average + 0 for average in self.averages()]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a `state_dict`.

        Parameters
        ----------
        state_dict : dict
            What `state_dict` returned.

        Raises
        ------
        ValueError
            If the shapes are not those of the parameters.

        Examples
        --------
        >>> p = weft.Parameter([1.0])
        >>> ema = optim.EMA([p], decay=0.5)
        >>> ema.update()
        >>> p.data[...] = 4.0
        >>> ema.update()
        >>> other = optim.EMA([weft.Parameter([0.0])], decay=0.5)
        >>> other.load_state_dict(ema.state_dict())
        >>> other.step
        2
        """
        if not isinstance(state_dict, dict) or not {"averages", "step"} <= state_dict.keys():
            raise ValueError(
                f"`state_dict` must be what `state_dict()` of EMA returned, with `averages` and `step`, got {state_dict!r:.80}"
            )
        averages, saved = self.averages(), [innermost(a) for a in state_dict["averages"]]
        shapes, got = [tuple(a.shape) for a in averages], [tuple(a.shape) for a in saved]
        if shapes != got:
            raise ValueError(f"`state_dict` must hold averages of shapes {shapes}, got {got}")
        self.step = int(state_dict["step"])
        for average, value in zip(averages, saved):
            xp = namespace_of(average)
            average[...] = xp.asarray(value, dtype=average.dtype, device=average.device)
