"""What all metrics share: accumulated batch by batch on the device, read once at the end."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ...backend.device.devices import namespace_of, to_numpy
from ...backend.tape.tensor import Tensor, innermost

__all__ = ["Mean", "Metric"]


class Metric:
    """Base class: a few running sums (`start`), what a batch adds to them (`update`), and what they say (`compute`).

    `metric(output, target)` is the metric of one batch, whatever was accumulated before (which is forgotten).

    Attributes
    ----------
    start : dict
        The sums of no batches, by name; of the class.

    Examples
    --------
    >>> class Largest(Metric):
    ...     start = {"largest": 0.0}
    ...
    ...     def update(self, output, target):
    ...         self.sums["largest"] = max(self.sums["largest"], max(output))
    ...
    ...     def compute(self):
    ...         return self.sums["largest"]
    >>> metric = Largest()
    >>> metric.update([1.0, 3.0], None)
    >>> metric.update([2.0], None)
    >>> metric.compute()
    3.0
    """

    start: dict[str, Any] = {}

    @cached_property
    def sums(self) -> dict[str, Any]:
        """The sums so far, by name: numbers, or arrays on the device."""
        return dict(self.start)

    def update(self, output: Any, target: Any) -> None:
        """Take one batch into account.

        Parameters
        ----------
        output : array_like
            What the model gives: a Tensor, an array of any library, or a list.
        target : array_like
            What it should have given.

        Examples
        --------
        >>> metric = weft.training.MSE()
        >>> metric.update([1.0, 2.0], [1.0, 3.0])
        >>> metric.update([5.0], [6.0])
        >>> metric.sums["count"]
        3
        """
        raise NotImplementedError

    def compute(self) -> Any:
        """The metric over all batches since the last `reset`; NaN if there were none.

        Returns
        -------
        float or ndarray
            On the host: this waits for the device.

        Examples
        --------
        >>> weft.training.MSE().compute()
        nan
        """
        raise NotImplementedError

    def reset(self) -> None:
        """Forget all batches.

        Examples
        --------
        >>> metric = weft.training.MSE()
        >>> metric.update([1.0], [3.0])
        >>> metric.reset()
        >>> metric.compute()
        nan
        """
        self.sums = dict(self.start)

    def read(self) -> dict[str, Any]:
        """The sums on the host.

        Returns
        -------
        dict
            NumPy arrays by name.

        Examples
        --------
        >>> weft.training.Accuracy().read()
        {'correct': array(0), 'count': array(0)}
        """
        return {name: to_numpy(innermost(value)) for name, value in self.sums.items()}

    def merge(self, parts: Sequence[dict[str, Any]]) -> None:
        """Have the sums of several of its kind, which have seen other batches. What is no sum must redefine this.

        Parameters
        ----------
        parts : sequence of dict
            What `read` gave.

        Examples
        --------
        >>> metric = weft.training.MSE()
        >>> metric.merge([{"sum": 4.0, "count": 1}, {"sum": 0.0, "count": 3}])
        >>> metric.compute()
        1.0
        """
        self.sums = {name: sum((part[name] for part in parts[1:]), parts[0][name]) for name in self.start}

    def state_dict(self) -> dict[str, Any]:
        """The sums as plain numbers and lists.

        Returns
        -------
        dict
            By name.

        Examples
        --------
        >>> metric = weft.training.MSE()
        >>> metric.update([1.0], [3.0])
        >>> metric.state_dict()
        {'sum': 4.0, 'count': 1}
        """
        return {name: value.tolist() for name, value in self.read().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`.

        Parameters
        ----------
        state : dict
            The sums, by name.

        Raises
        ------
        ValueError
            If the names are not those of this metric.

        Examples
        --------
        >>> metric = weft.training.MSE()
        >>> metric.load_state_dict({"sum": 4.0, "count": 2})
        >>> metric.compute()
        2.0
        """
        if set(state) != set(self.start):
            raise ValueError(
                f"`state` of {type(self).__name__} must have the entries {sorted(self.start)}, got {sorted(state)}"
            )
        self.sums = dict(state)

    def __call__(self, output: Any, target: Any) -> Any:
        """The metric of one batch, whatever was accumulated before (which is forgotten)."""
        self.reset()
        self.update(output, target)
        result = self.compute()
        self.reset()
        return result

    def __repr__(self) -> str:
        options = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if k != "sums" and not k.startswith("_"))
        return f"{type(self).__name__}({options})"


def raw(x: Any) -> Any:
    """The array below a Tensor, or anything else as an array."""
    x = innermost(x) if isinstance(x, Tensor) else x
    return x if hasattr(x, "shape") and hasattr(x, "dtype") else np.asarray(x)


class Mean(Metric):
    """The weighted mean of values that come one at a time, Σ w v / Σ w, summed in float64 where the values are.

    Examples
    --------
    >>> mean = Mean()
    >>> mean.update(1.0, 3)
    >>> mean.update(weft.tensor(5.0), 1)
    >>> mean.compute()
    2.0
    """

    start = {"sum": 0.0, "count": 0}

    def update(self, value: Any, weight: float = 1) -> None:
        value = raw(value)
        xp = namespace_of(value)
        self.sums["sum"] = self.sums["sum"] + xp.astype(value, xp.float64) * weight
        self.sums["count"] += weight

    def compute(self) -> float:
        sums = self.read()
        return float(sums["sum"] / sums["count"]) if sums["count"] else float("nan")
