"""Applying a model: scores, probabilities and classes, batch by batch, without recording."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ..backend.array.creation import asarray
from ..backend.device import dtypes
from ..backend.device.devices import canonical, to_numpy, waiting_is_meant
from ..backend.device.options import integer, number
from ..backend.tape.autograd import no_grad
from ..backend.tape.tensor import innermost
from ..layers.evaluating import evaluating
from ..layers.module import Module

__all__ = ["Predictor"]

# Bytes of outputs that may gather on a device. To read each as it comes would have the device wait for the host.
UNREAD = 1 << 28


class Predictor:
    """A model, where it runs, and what its inputs go through first: what `Trainer` and `SavedModel` have in common.

    The model is in eval mode while it predicts, and in the mode it was in afterwards.

    Parameters
    ----------
    model : Module
        On the device already.
    device : str, optional
        Where inputs are moved to. By default the default device.
    transform : function of a batch of inputs, optional
        Applied to the first input before the model, such as a `Normalizer`.

    Examples
    --------
    >>> Predictor(nn.Identity()).predict_classes(np.array([[1.0, 3.0], [2.0, 0.0]]))
    array([1, 0])
    """

    def __init__(self, model: Module, *, device: str | None = None, transform: Callable[[Any], Any] | None = None):
        if not isinstance(model, Module):
            raise TypeError(f"`model` must be a Module, such as nn.Linear(2, 1), got {model!r:.80}")
        self.model, self.device, self.transform = model, canonical(device), transform

    def predict(self, data: Any, *, batch_size: int = 256) -> np.ndarray:
        """What the model gives.

        Parameters
        ----------
        data : array, Tensor or iterable of batches
            Inputs (N, …); or a loader, of batches x, or (x, …, y), of which the last is left aside.
        batch_size : int, default 256
            Samples that an array is cut into.

        Returns
        -------
        ndarray
            (N, …) in the order of the data.

        Raises
        ------
        ValueError
            If there is nothing to predict.

        Examples
        --------
        >>> Predictor(nn.ReLU()).predict(np.array([-1.0, 2.0], np.float32))
        array([0., 2.], dtype=float32)
        """
        outputs: list[Any] = []
        read = unread = 0  # how many outputs are on the host, how many bytes on the device
        with evaluating(self.model), no_grad():
            for inputs in self._inputs(data, batch_size):
                outputs.append(innermost(self.model(*inputs)))
                unread += outputs[-1].size * dtypes.of(outputs[-1]).itemsize
                if unread > UNREAD:
                    outputs[read:] = _to_host(outputs[read:])
                    read, unread = len(outputs), 0
        if not outputs:
            raise ValueError("`data` must hold at least one sample, got none")
        return np.concatenate(_to_host(outputs))

    def predict_probabilities(self, data: Any, *, batch_size: int = 256) -> np.ndarray:
        """Softmax of the scores (N, C, …) over C; of one score (N,) or (N, 1) the sigmoid, of class 1.

        Parameters
        ----------
        data : array, Tensor or iterable of batches
            As for `predict`.
        batch_size : int, default 256
            As for `predict`.

        Returns
        -------
        ndarray
            In float64, with the shape of the scores.

        Examples
        --------
        >>> Predictor(nn.Identity()).predict_probabilities(np.array([[0.0, 0.0], [0.0, np.log(3)]]))
        array([[0.5 , 0.5 ],
               [0.25, 0.75]])
        """
        scores = self.predict(data, batch_size=batch_size).astype(np.float64)
        if scores.ndim < 2 or scores.shape[1] == 1:
            return np.exp(-np.logaddexp(0.0, -scores))
        e = np.exp(scores - scores.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    def predict_classes(self, data: Any, *, batch_size: int = 256, threshold: float = 0.5) -> np.ndarray:
        """The class with the highest score, or for one score whether class 1 has a probability above `threshold`.

        Parameters
        ----------
        data : array, Tensor or iterable of batches
            As for `predict`.
        batch_size : int, default 256
            As for `predict`.
        threshold : float, default 0.5
            For models with one score.

        Returns
        -------
        ndarray
            Integers: (N, …) for scores (N, C, …); for one score with its shape.

        Examples
        --------
        >>> Predictor(nn.Identity()).predict_classes(np.array([-1.0, 1.0]), threshold=0.9)
        array([0, 0])
        """
        number("threshold", threshold)
        scores = self.predict(data, batch_size=batch_size)
        if scores.ndim < 2 or scores.shape[1] == 1:
            return (np.exp(-np.logaddexp(0.0, -scores.astype(np.float64))) > threshold).astype(np.int64)
        return scores.argmax(axis=1)

    def _inputs(self, data: Any, batch_size: int) -> Iterator[tuple[Any, ...]]:
        """Batches of what the model is called with: transformed, and as Tensors on the device."""
        integer("batch_size", batch_size, 1)
        if isinstance(data, str) or not (hasattr(data, "shape") or isinstance(data, Iterable)):
            raise TypeError(f"`data` must be inputs (N, …) or batches of them, got {data!r:.80}")
        if hasattr(data, "shape"):
            if not data.shape:
                raise ValueError("`data` must be inputs (N, …), got a single number")
            batches: Any = (data[i : i + batch_size] for i in range(0, data.shape[0], batch_size))
        else:
            batches = (batch[:-1] if isinstance(batch, tuple | list) and len(batch) > 1 else batch for batch in data)
        for batch in batches:
            inputs = tuple(batch) if isinstance(batch, tuple | list) else (batch,)
            if self.transform is not None:
                inputs = (self.transform(inputs[0]), *inputs[1:])
            yield tuple(asarray(x, device=self.device) for x in inputs)


def _to_host(outputs: list[Any]) -> list[np.ndarray]:
    with waiting_is_meant():
        return [to_numpy(output) for output in outputs]
