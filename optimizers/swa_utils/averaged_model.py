"""A copy of a model that holds averages of its weights, and the statistics of batch normalisation for it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from ...backend.device.devices import namespace_of
from ...backend.device.options import number
from ...backend.tape.autograd import no_grad
from ...backend.tape.recording import active
from ...backend.tape.sharing import changed
from ...backend.tape.tensor import Tensor
from ...layers.module import Module
from ...layers.normalization import _BatchNorm
from ..arena import by_device_and_dtype

__all__ = [
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]

AverageOfOne = Callable[[Tensor, Tensor, Any], Tensor]
AverageOfAll = Callable[[Sequence[Tensor], Sequence[Tensor], Any], None]


def get_ema_avg_fn(decay: float = 0.999) -> AverageOfOne:
    """The exponential moving average, for one parameter: w̄ ← decay · w̄ + (1 − decay) · w.

    Parameters
    ----------
    decay : float, default 0.999
        The share of the past, in [0, 1].

    Returns
    -------
    callable
        A function of the average, the parameter and how many have been averaged; an `avg_fn` of `AveragedModel`.

    Raises
    ------
    ValueError
        If `decay` is out of range.

    Examples
    --------
    >>> f = optim.swa_utils.get_ema_avg_fn(0.75)
    >>> f(weft.tensor(4.0), weft.tensor(8.0), 1)
    tensor(5.)
    """
    number("decay", decay, 0, 1)
    return lambda average, new, count: decay * average + (1 - decay) * new


def get_swa_avg_fn() -> AverageOfOne:
    """The mean of all, for one parameter: w̄ ← w̄ + (w − w̄)/(n + 1).

    Returns
    -------
    callable
        A function of the average, the parameter and how many have been averaged, n; an `avg_fn` of `AveragedModel`.

    Examples
    --------
    >>> f = optim.swa_utils.get_swa_avg_fn()
    >>> f(weft.tensor(4.0), weft.tensor(7.0), 2)
    tensor(5.)
    """
    return lambda average, new, count: average + (new - average) / (count + 1)


def get_ema_multi_avg_fn(decay: float = 0.999) -> AverageOfAll:
    """The exponential moving average, for many parameters, in place: w̄ ← decay · w̄ + (1 − decay) · w.

    Parameters
    ----------
    decay : float, default 0.999
        The share of the past, in [0, 1].

    Returns
    -------
    callable
        A function of averages, parameters and how many have been averaged; a `multi_avg_fn` of `AveragedModel`.

    Raises
    ------
    ValueError
        If `decay` is out of range.

    Examples
    --------
    >>> average = weft.tensor(4.0)
    >>> optim.swa_utils.get_ema_multi_avg_fn(0.75)([average], [weft.tensor(8.0)], 1)
    >>> average
    tensor(5.)
    """
    return _of_each(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> AverageOfAll:
    """The mean of all, for many parameters, in place: w̄ ← w̄ + (w − w̄)/(n + 1).

    Returns
    -------
    callable
        A function of averages, parameters and how many have been averaged, n; a `multi_avg_fn` of `AveragedModel`.

    Examples
    --------
    >>> average = weft.tensor(4.0)
    >>> optim.swa_utils.get_swa_multi_avg_fn()([average], [weft.tensor(7.0)], 2)
    >>> average
    tensor(5.)
    """
    return _of_each(get_swa_avg_fn())


def _of_each(average_of_one: AverageOfOne) -> AverageOfAll:
    def update(averages: Sequence[Tensor], news: Sequence[Tensor], count: Any) -> None:
        with no_grad():
            for average, new in zip(averages, news, strict=True):
                _write(average, average_of_one(average, new, count))

    return update


class AveragedModel(Module):
    """A copy of a model with averages of its parameters: often better to evaluate with than the last ones.

    The first `update_parameters` copies the parameters, each further one averages them; by default all count the same,
    w̄ ← w̄ + (w − w̄)/(n + 1), the stochastic weight average.

    Parameters
    ----------
    model : Module
        What is copied.
    device : str, optional
        Where the averages are kept; None is where the model is.
    avg_fn : callable, optional
        The new average of one parameter, from the average, the parameter and `n_averaged`.
    multi_avg_fn : callable, optional
        Changes a list of averages in place, from the list of parameters of the same device and dtype, and `n_averaged`.
    use_buffers : bool, default False
        Whether buffers are averaged too; otherwise they are copied.

    Attributes
    ----------
    module : Module
        The copy.
    n_averaged : Tensor of shape ()
        How many sets of parameters are in the average, n.

    Raises
    ------
    ValueError
        If both `avg_fn` and `multi_avg_fn` are given.

    Notes
    -----
    As `torch.optim.swa_utils.AveragedModel`, with its state dict ("n_averaged", "module.…"). Running statistics of batch
    normalisation are those of other weights: `update_bn` finds those of the averages. `EMA` keeps averages in the
    optimizer's arena, in float32 for half precision, corrected for their start.

    References
    ----------
    Izmailov et al., "Averaging weights leads to wider optima and better generalization", 2018.

    Examples
    --------
    >>> model = nn.Linear(1, 1, bias=False)
    >>> averaged = optim.swa_utils.AveragedModel(model)
    >>> for w in (1.0, 2.0, 6.0):
    ...     _ = model.load_state_dict({"weight": weft.tensor([[w]])})
    ...     averaged.update_parameters(model)
    >>> averaged(weft.tensor([1.0])).item()
    3.0
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: str | None = None,
        avg_fn: AverageOfOne | None = None,
        multi_avg_fn: AverageOfAll | None = None,
        use_buffers: bool = False,
    ):
        super().__init__()
        if not isinstance(model, Module):
            raise TypeError(f"`model` must be a Module, got {type(model).__name__}")
        if avg_fn is not None and multi_avg_fn is not None:
            raise ValueError("`avg_fn` and `multi_avg_fn` must not both be given: leave one of them out")
        self.module = copy.deepcopy(model)
        self.register_buffer("n_averaged", Tensor(np.zeros((), np.int64)))
        if device is not None:
            self.to(device)
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the present parameters into the average.

        Parameters
        ----------
        model : Module
            One of the same parameters as that which was copied.

        Raises
        ------
        ValueError
            If it has others.

        Examples
        --------
        >>> averaged = optim.swa_utils.AveragedModel(nn.Linear(1, 1))
        >>> averaged.update_parameters(nn.Linear(1, 1))
        >>> averaged.n_averaged.item()
        1
        """
        averages, news = (self._averaged(m) for m in (self.module, model))
        shapes, given = [p.shape for p in averages], [p.shape for p in news]
        if shapes != given:
            raise ValueError(f"`model` must have tensors of shapes {shapes}, got {given}")
        news = [new.detach().to(average.device) for average, new in zip(averages, news)]
        if recording := active():
            recording.wants_constant(self._count)
        _, count = self._count()
        with no_grad():
            if not count:
                for average, new in zip(averages, news):
                    _write(average, new)
            else:
                self._average([average.detach() for average in averages], news)
            if not self.use_buffers:
                for mine, theirs in zip(self.module.buffers(), model.buffers(), strict=True):
                    _write(mine, theirs.detach().to(mine.device))
            _write(self.n_averaged, self.n_averaged + 1)

    def _count(self) -> tuple[str, int]:
        return "the `n_averaged` of AveragedModel, on which its weights depend,", int(self.n_averaged.item())

    def _averaged(self, module: Module) -> list[Tensor]:
        return list(chain(module.parameters(), module.buffers() if self.use_buffers else ()))

    def _average(self, averages: list[Tensor], news: list[Tensor]) -> None:
        if self.multi_avg_fn is None:
            average_of_one = self.avg_fn or get_swa_avg_fn()
            for average, new in zip(averages, news):
                _write(average, average_of_one(average, new, self.n_averaged.to(average.device)))
            return
        for indices in by_device_and_dtype(averages):
            some = [averages[i] for i in indices]
            self.multi_avg_fn(some, [news[i] for i in indices], self.n_averaged.to(some[0].device))


def update_bn(loader: Iterable[Any], model: Module, device: str | None = None) -> None:
    """Find the running statistics of batch normalisation anew: the means over one pass through the data.

    Parameters
    ----------
    loader : iterable
        Batches: what the model takes, or tuples that begin with it.
    model : Module
        Whose BatchNorm layers are brought up to date, such as an `AveragedModel`. It runs in training mode, and is in
        its own again afterwards.
    device : str, optional
        Where batches are moved to.

    Examples
    --------
    >>> model = nn.BatchNorm1d(1)
    >>> optim.swa_utils.update_bn([weft.tensor([[1.0], [3.0]]), weft.tensor([[5.0], [7.0]])], model)
    >>> model.running_mean
    tensor([4.])
    """
    momenta = {module: module.momentum for module in model.modules() if isinstance(module, _BatchNorm)}
    if not momenta:
        return
    was_training = model.training
    try:
        model.train()
        for module in momenta:
            module.reset_running_stats()
            module.momentum = None  # the mean over all batches
        with no_grad():
            for batch in loader:
                x = batch[0] if isinstance(batch, list | tuple) else batch
                model(x if device is None else x.to(device))
    finally:
        for module, momentum in momenta.items():
            module.momentum = momentum
        model.train(was_training)


def _write(tensor: Tensor, value: Tensor) -> None:
    raw = tensor.data
    raw[...] = namespace_of(raw).astype(value.data, raw.dtype, copy=False)
    changed(raw)
