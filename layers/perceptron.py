"""The perceptron: one neuron with a step, and the rule that teaches it without a gradient."""

from __future__ import annotations

from typing import Self

from numpy.typing import ArrayLike

from ..backend.array.creation import asarray, zeros
from ..backend.array.products import matmul
from ..backend.device.options import integer, number
from ..backend.tape.autograd import no_grad
from ..backend.tape.tensor import DType, Parameter, Tensor
from . import functional as F
from .module import Layer

__all__ = ["Perceptron"]


class Perceptron(Layer):
    """One neuron ŷ = step(w · x + b), with the rule by which Rosenblatt taught it.

    After each example

        w ← w + η (y − ŷ) x,   b ← b + η (y − ŷ)

    Shapes: x (N, in_features) or (in_features,), targets y and outputs ŷ of 0 and 1 (N,) or (). `weight` (in_features)
    and `bias` () start at 0, so the learning rate η only scales them. If a line (a plane, …) separates the classes, the
    rule finds one after finitely many mistakes (Novikoff, 1962); otherwise, as with XOR, it does not converge. (Not in
    PyTorch.)

    Parameters
    ----------
    in_features : int
        Length of the last axis of x.
    lr : float, default 1.0
        The learning rate η, positive.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Attributes
    ----------
    mistakes : list of int
        Wrong answers in each epoch of the last `fit`.

    Raises
    ------
    ValueError
        If `lr` is not positive.

    References
    ----------
    Rosenblatt, "The Perceptron: A Probabilistic Model for Information Storage and Organization in the Brain" (1958).

    Examples
    --------
    >>> from weft import layers as nn
    >>> AND = nn.Perceptron(2).fit([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 0, 0, 1])
    >>> AND.predict([[1, 1], [1, 0]]).tolist(), AND.mistakes[-1]
    ([1.0, 0.0], 0)
    """

    def __init__(self, in_features: int, *, lr: float = 1.0, device: str | None = None, dtype: DType = None):
        integer("in_features", in_features, 1)
        number("lr", lr, above=0)
        self.in_features = in_features
        self.lr = lr
        self.mistakes: list[int] = []  # of each epoch of the last `fit`
        self.weight = Parameter(zeros(in_features, device=device, dtype=dtype), requires_grad=False)
        self.bias = Parameter(zeros((), device=device, dtype=dtype), requires_grad=False)

    def forward(self, input: Tensor) -> Tensor:
        return F.heaviside(matmul(input, self.weight) + self.bias)

    def _read(self, name: str, values: ArrayLike | Tensor, shape: tuple[int, ...]) -> Tensor:
        x = asarray(values, dtype=self.weight.dtype, device=self.weight.device)
        if x.ndim != len(shape) or any(n not in (-1, m) for n, m in zip(shape, x.shape)):
            wanted = ", ".join("N" if n == -1 else str(n) for n in shape)
            raise ValueError(f"`{name}` must have shape ({wanted}), got {tuple(x.shape)}")
        return x

    def fit(self, X: ArrayLike | Tensor, y: ArrayLike | Tensor, epochs: int = 100) -> Self:
        """Go through the examples, in order, until an epoch without a mistake, or `epochs` times.

        `mistakes` lists the wrong answers of each epoch; its last entry is 0 if, and only if, the rule has converged.

        Parameters
        ----------
        X : array_like
            Examples, (N, in_features).
        y : array_like
            Their classes, 0 or 1, (N,).
        epochs : int, default 100
            How often to go through them, at most.

        Returns
        -------
        Self
            The perceptron itself.

        Raises
        ------
        ValueError
            If shapes do not fit, or `y` holds anything but 0 and 1.
        """
        with no_grad():
            X = self._read("X", X, (-1, self.in_features))
            y = self._read("y", y, (X.shape[0],))
            if any(label not in (0, 1) for label in y.tolist()):
                raise ValueError("`y` must hold 0 and 1 alone; convert signs with (y + 1) / 2")
            self.mistakes = []
            for _ in range(epochs):
                wrong = 0
                for i in range(X.shape[0]):
                    x = X[i, :]
                    error = y[i] - self.forward(x)
                    if error:
                        self.weight += self.lr * error * x
                        self.bias += self.lr * error
                        wrong += 1
                self.mistakes.append(wrong)
                if not wrong:
                    break
        return self

    def predict(self, X: ArrayLike | Tensor) -> Tensor:
        """The class of each row of X.

        Parameters
        ----------
        X : array_like
            Examples, (N, in_features).

        Returns
        -------
        Tensor
            0 or 1, (N,).

        Raises
        ------
        ValueError
            If the shape does not fit.
        """
        with no_grad():
            return self.forward(self._read("X", X, (-1, self.in_features)))

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, lr={self.lr}"
