"""Which elements of a weight are pruned: masks of 0 and 1, as the classes of `torch.nn.utils.prune` make them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.array import linalg, random
from ...backend.tape.tensor import Tensor, wrap
from .pruned import prune_parameter

__all__ = [
    "BasePruningMethod", "CustomFromMask", "Identity", "L1Unstructured", "LnStructured", "RandomStructured",
    "RandomUnstructured",
]  # fmt: skip


class BasePruningMethod:
    """What pruning methods are made of: `compute_mask(t, default_mask)`, and the kind that `PRUNING_TYPE` names.

    "unstructured" methods choose among the elements that are left, in one row; "structured" ones, which have a `dim`, among
    the slices of that axis with an element left; "global" ones see all.

    Examples
    --------
    >>> class EveryOther(nn.utils.prune.BasePruningMethod):
    ...     def compute_mask(self, t, default_mask):
    ...         mask = default_mask.clone()
    ...         mask[::2] = 0
    ...         return mask
    >>> EveryOther().prune(weft.asarray([1.0, 2.0, 3.0])).tolist()
    [0.0, 2.0, 0.0]
    """

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask: 0 where an element is pruned.

        Parameters
        ----------
        t, default_mask : Tensor
            How important each element is, and what was pruned before (0).

        Returns
        -------
        Tensor
            Of their shape.
        """
        raise NotImplementedError(f"`{type(self).__name__}` must define compute_mask(self, t, default_mask)")

    @classmethod
    def apply(cls, module: Any, name: str, *args: Any, importance_scores: Tensor | None = None, **kwargs: Any) -> Any:
        """Prune a parameter of a module; what was pruned before stays so.

        Parameters
        ----------
        module : Module
            What has it.
        name : str
            Its name.
        *args : object
            For the class.
        importance_scores : Tensor, optional
            How important each element is; its value if None.
        **kwargs : object
            For the class.

        Returns
        -------
        BasePruningMethod
            The method.
        """
        method = cls(*args, **kwargs)
        prune_parameter(module, name, method, importance_scores)
        return method

    def prune(self, t: Tensor, default_mask: Tensor | None = None, importance_scores: Tensor | None = None) -> Tensor:
        """A tensor, pruned; no module takes part.

        Parameters
        ----------
        t : Tensor
            What is pruned.
        default_mask : Tensor, optional
            What was pruned before has 0.
        importance_scores : Tensor, optional
            How important each element is; t if None.

        Returns
        -------
        Tensor
            t times the mask.
        """
        default = t.detach() * 0 + 1 if default_mask is None else default_mask
        return t * self.compute_mask(t if importance_scores is None else importance_scores, default)


class Identity(BasePruningMethod):
    """Prunes nothing.

    Examples
    --------
    >>> nn.utils.prune.Identity().prune(weft.asarray([1.0, 2.0])).tolist()
    [1.0, 2.0]
    """

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return default_mask


class CustomFromMask(BasePruningMethod):
    """Prunes where a mask has 0.

    Parameters
    ----------
    mask : Tensor
        Of the parameter's shape.

    Examples
    --------
    >>> nn.utils.prune.CustomFromMask(weft.asarray([1.0, 0.0])).prune(weft.asarray([3.0, 4.0])).tolist()
    [3.0, 0.0]
    """

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor):
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return default_mask * self.mask.to(default_mask.dtype)


class _Amount(BasePruningMethod):
    """Prunes the least of some scores: a fraction of them, or so many."""

    def __init__(self, amount: float):
        is_count = isinstance(amount, int) and not isinstance(amount, bool)
        if not (is_count and amount >= 0) and not (isinstance(amount, float) and 0 <= amount <= 1):
            raise ValueError(f"`amount` must be a count ≥ 0, or a float, a fraction in [0, 1], got {amount!r}")
        self.amount = amount

    def without_least(self, scores: Tensor) -> np.ndarray:
        """True but for the least of scores of one axis."""
        size = scores.shape[0]
        count = self.amount if isinstance(self.amount, int) else round(self.amount * size)
        if count > size:
            raise ValueError(f"`amount` must be at most {size}, what is left to prune, got {self.amount}")
        keep = np.ones(size, np.bool_)
        keep[np.argsort(scores.detach().cpu().numpy(), kind="stable")[: int(count)]] = False
        return keep


class _Unstructured(_Amount):
    _score: Any

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        keep = self.without_least(self._score(t).reshape(-1)).reshape(tuple(t.shape))
        return default_mask * wrap(keep, "cpu").to(default_mask.device).to(default_mask.dtype)


class RandomUnstructured(_Unstructured):
    """Prunes elements at random.

    Parameters
    ----------
    amount : int or float
        How many, or which fraction.

    Examples
    --------
    >>> float(nn.utils.prune.RandomUnstructured(0.25).prune(weft.ones(8)).sum())
    6.0
    """

    def _score(self, t: Tensor) -> Tensor:
        return random.rand(*t.shape)


class L1Unstructured(_Unstructured):
    """Prunes the elements of least size.

    Parameters
    ----------
    amount : int or float
        How many, or which fraction.

    Examples
    --------
    >>> nn.utils.prune.L1Unstructured(1).prune(weft.asarray([-3.0, 0.5, 1.0])).tolist()
    [-3.0, 0.0, 1.0]
    """

    def _score(self, t: Tensor) -> Tensor:
        return abs(t)


class _Structured(_Amount):
    PRUNING_TYPE = "structured"
    dim: int
    _scores: Any

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        keep = self.without_least(self._scores(t))
        shape = [1] * t.ndim
        shape[self.dim] = -1
        return default_mask * wrap(keep, "cpu").to(default_mask.device).to(default_mask.dtype).reshape(tuple(shape))


class RandomStructured(_Structured):
    """Prunes slices of an axis at random.

    Parameters
    ----------
    amount : int or float
        How many, or which fraction.
    dim : int, default -1
        The axis.

    Examples
    --------
    >>> float(nn.utils.prune.RandomStructured(1, dim=0).prune(weft.ones((4, 3))).sum())
    9.0
    """

    def __init__(self, amount: float, dim: int = -1):
        super().__init__(amount)
        self.dim = dim

    def _scores(self, t: Tensor) -> Tensor:
        return random.rand(t.shape[self.dim])


class LnStructured(_Structured):
    """Prunes the slices of an axis with the least norm ‖·‖ₙ.

    Parameters
    ----------
    amount : int or float
        How many, or which fraction.
    n : int, float or "fro"
        Of which norm; "fro" is 2.
    dim : int, default -1
        The axis.

    Examples
    --------
    >>> nn.utils.prune.LnStructured(1, n=2, dim=0).prune(weft.asarray([[3.0, 4.0], [1.0, 1.0]])).tolist()
    [[3.0, 4.0], [0.0, 0.0]]
    """

    def __init__(self, amount: float, n: Any, dim: int = -1):
        super().__init__(amount)
        self.n, self.dim = n, dim

    def _scores(self, t: Tensor) -> Tensor:
        axes = tuple(i for i in range(t.ndim) if i != self.dim % t.ndim)
        return linalg.vector_norm(t.detach(), axis=axes, ord=2 if self.n == "fro" else self.n) if axes else abs(t)
