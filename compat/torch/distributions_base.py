"""What all of `torch.distributions` have in common."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.array import random
from ...backend.array.creation import asarray
from ...backend.array.info import finfo
from ...backend.device.dtypes import get_default_dtype
from ...backend.tape.autograd import no_grad
from ...backend.tape.recording import active
from ...backend.tape.tensor import Tensor
from .distributions_constraints import Constraint
from .sizes import Size

__all__ = ["Distribution", "broadcast", "source", "uniform_like"]


class Distribution:
    """What can be drawn from, and how probable each value is.

    Parameters
    ----------
    batch_shape, event_shape : sequence of int, optional
        The parameters' shape, but for an event's axes, and that of one value.
    validate_args : bool, optional
        Whether parameters and values are looked at, as they are by default, but for what `weft.capture` replays.

    Raises
    ------
    ValueError
        If a parameter is none that its constraint in `arg_constraints` allows.
    """

    event_shape: Size = Size()
    arg_constraints: dict[str, Constraint] = {}
    support: Any = None
    has_enumerate_support = False
    _validate_args = True

    def __init__(self, batch_shape: Any = None, event_shape: Any = None, validate_args: bool | None = None):
        if batch_shape is not None:
            self._batch_shape = Size(batch_shape)
        if event_shape is not None:
            self.event_shape = Size(event_shape)
        if validate_args is not None:
            self._validate_args = bool(validate_args)
        for name, constraint in self.arg_constraints.items() if self._validate_args else ():
            if name in vars(self):  # the others follow from these
                x = vars(self)[name]
                self._require(
                    constraint, x, f"parameter {name} (Tensor of shape {tuple(x.shape)}) of", "satisfy the constraint"
                )

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Look at parameters and values, or don't.

        Parameters
        ----------
        value : bool
            Whether all distributions do that are not told otherwise.
        """
        Distribution._validate_args = bool(value)

    def _require(self, constraint: Constraint, x: Tensor, what: str, verb: str) -> None:
        """Refuse values that may not be. A recorded step goes without, and so do those of `vmap`, which has no values."""
        if active() is not None or x._depth or constraint.holds(x):
            return
        raise ValueError(
            f"expected {what} {type(self).__name__} to {verb} {constraint!r}, but found invalid values:\n{x.detach()}"
        )

    def _validate_sample(self, value: Tensor) -> None:
        """Refuse what is no value of this distribution: by its shape, or because it is outside the support."""
        if not self._validate_args:
            return
        if not isinstance(value, Tensor):
            raise ValueError(f"the value must be a Tensor, got {type(value).__name__}")
        shape = (*self.batch_shape, *self.event_shape)
        axes = len(self.event_shape)
        if tuple(value.shape[value.ndim - axes :]) != tuple(self.event_shape):
            raise ValueError(
                f"the last axes of a value must be {tuple(self.event_shape)}, an event's, got shape {tuple(value.shape)}"
            )
        if any(i != j and 1 not in (i, j) for i, j in zip(value.shape[::-1], shape[::-1])):
            raise ValueError(
                f"a value must broadcast with the distribution's shape {shape}, batch and event, got shape {tuple(value.shape)}"
            )
        support = self.support
        if support is not None:
            self._require(support, value, f"the value of shape {tuple(value.shape)} for", "be within its support")

    @property
    def batch_shape(self) -> Size:
        """The shape of the parameters."""
        given = vars(self).get("_batch_shape")
        return Size(self.mean.shape[: self.mean.ndim - len(self.event_shape)]) if given is None else given

    @property
    def has_rsample(self) -> bool:
        """Whether draws are differentiable."""
        return type(self).rsample is not Distribution.rsample

    @property
    def stddev(self) -> Tensor:
        """The square root of the variance."""
        return self.variance.sqrt()

    @property
    def mean(self) -> Tensor:
        """The expectation."""
        raise NotImplementedError(f"`{type(self).__name__}` has no mean")

    @property
    def variance(self) -> Tensor:
        """The expectation of the square of the distance to the mean."""
        raise NotImplementedError(f"`{type(self).__name__}` has no variance")

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw, off the tape.

        Parameters
        ----------
        sample_shape : sequence of int, default ()
            How many times; the first axes.

        Returns
        -------
        Tensor
            The values.
        """
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draw, differentiable.

        Parameters
        ----------
        sample_shape : sequence of int, default ()
            How many times; the first axes.

        Returns
        -------
        Tensor
            The values.
        """
        raise NotImplementedError(f"`{type(self).__name__}` has no rsample; use sample")

    def sample_n(self, n: int) -> Tensor:
        """Draw n times.

        Parameters
        ----------
        n : int
            How many times.

        Returns
        -------
        Tensor
            The values.
        """
        return self.sample((n,))

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density, or of the probability.

        Parameters
        ----------
        value : Tensor
            Where.

        Returns
        -------
        Tensor
            Differentiable.
        """
        raise NotImplementedError(f"`{type(self).__name__}` has no log_prob")

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of at most a value.

        Parameters
        ----------
        value : Tensor
            Which.

        Returns
        -------
        Tensor
            Differentiable.
        """
        raise NotImplementedError(f"`{type(self).__name__}` has no cdf")

    def icdf(self, value: Tensor) -> Tensor:
        """The value that a probability is reached at.

        Parameters
        ----------
        value : Tensor
            The probability.

        Returns
        -------
        Tensor
            Differentiable.
        """
        raise NotImplementedError(f"`{type(self).__name__}` has no icdf")

    def perplexity(self) -> Tensor:
        """exp of the entropy.

        Returns
        -------
        Tensor
            Differentiable.
        """
        return self.entropy().exp()

    def entropy(self) -> Tensor:
        """The expectation of −log p.

        Returns
        -------
        Tensor
            Differentiable.
        """
        raise NotImplementedError(f"`{type(self).__name__}` has no entropy")


def broadcast(*values: Any) -> list[Tensor]:
    """Tensors of one shape, of numbers and Tensors.

    Parameters
    ----------
    *values : Tensor or float
        Which.

    Returns
    -------
    list of Tensor
        Floating.
    """
    given = [asarray(v) for v in values]
    kind = next((t.dtype for v, t in zip(values, given) if isinstance(v, Tensor) and t.is_floating_point()), None)
    given = [t.to(kind or get_default_dtype()) for t in given]
    shape = np.broadcast_shapes(*(t.shape for t in given))
    return [t if t.shape == shape else t.expand(*shape) for t in given]


def uniform_like(x: Tensor, sample_shape: Any) -> Tensor:
    """On (0, 1): of the dtype's own numbers, so that tails reach as far as it does."""
    kind = finfo(x.dtype)
    drawn = random.rand(*sample_shape, *x.shape, dtype=x.dtype, device=x.device)
    return drawn.clamp(float(kind.smallest_normal), 1 - float(kind.eps) / 2)


def source(x: Tensor) -> np.random.Generator:
    """NumPy's generator, seeded from the default one."""
    return np.random.default_rng(int(random.default_generator.integers(0, 2**31 - 1, (1,))[0]))
