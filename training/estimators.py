"""Networks as scikit-learn's estimators: its splits, searches, pipelines and scores apply. Imported when first asked for."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

import numpy as np

from ..backend.array.creation import asarray
from ..backend.array.random import default_generator, manual_seed
from ..backend.device.devices import canonical, kind
from ..data import ArrayDataset, DataLoader, PerChannel, Standardize
from ..data.extras import sklearn
from ..layers import CrossEntropyLoss, Module, Sequential
from ..layers.models import MODELS
from ..optimizers import decay_groups
from .predict import Predictor
from .recipe import OPTIMIZERS
from .rescale import RelativeMSE, Rescale, spread
from .trainer import Trainer

base, validation = sklearn("base", "Classifier and Regressor"), sklearn("utils.validation", "Classifier and Regressor")
multiclass, checks = sklearn("utils.multiclass", "Classifier"), sklearn("utils", "Classifier and Regressor")

__all__ = ["Classifier", "Regressor"]

Model = str | Callable[[tuple[int, ...], int], Module]


class _Estimator(base.BaseEstimator):  # type: ignore[misc, name-defined]
    """What both learn with."""

    def __init__(
        self,
        model: Model = "mlp",
        *,
        hidden: Sequence[int] = (64, 64),
        epochs: int = 50,
        batch_size: int = 32,
        optimizer: str = "adamw",
        lr: float = 5e-3,
        weight_decay: float | None = None,
        callbacks: Sequence[Any] = (),
        device: str | None = None,
        random_state: Any = None,
    ):
        self.model, self.hidden, self.epochs, self.batch_size = model, hidden, epochs, batch_size
        self.optimizer, self.lr, self.weight_decay = optimizer, lr, weight_decay
        self.callbacks, self.device, self.random_state = callbacks, device, random_state

    def _learn(
        self, x: np.ndarray, y: np.ndarray, outputs: int, loss: Module, output: dict[str, Any] | None = None
    ) -> Self:
        if not isinstance(self.callbacks, Iterable):
            raise TypeError(f"`callbacks` must be a sequence of callbacks, got {self.callbacks!r}")
        seed = int(checks.check_random_state(self.random_state).randint(2**31))
        state = default_generator.get_state()  # whoever draws numbers besides gets those of before
        manual_seed(seed)
        try:
            network = self._network(x.shape[1:], outputs)
            model = network if output is None else Sequential(network, Rescale(**output, device=self.device))
            normalizer = (PerChannel() if x.ndim > 2 else Standardize()).fit(x)
            batches = DataLoader(
                ArrayDataset(x, y), self.batch_size, shuffle=True, seed=seed, device=self.device, transform=normalizer
            )
            trainer = Trainer(model, loss, self._optimizer(model), callbacks=list(self.callbacks), device=self.device)
            self.history_ = trainer.fit(batches, epochs=self.epochs)
        finally:
            default_generator.set_state(state)
        self.model_, self.normalizer_, self.n_iter_ = model, normalizer, trainer.epoch
        return self

    def _network(self, shape: tuple[int, ...], outputs: int) -> Module:
        if not isinstance(self.model, str):
            if not callable(self.model):
                raise TypeError(f"`model` must be one of {', '.join(MODELS)}, or a function, got {self.model!r}")
            network = self.model(shape, outputs)
            if not isinstance(network, Module):
                raise TypeError(f"`model` must be a function that returns a Module, got {network!r:.99} from it")
            return network if self.device is None else network.to(self.device)
        if self.model not in MODELS:
            raise ValueError(f"`model` must be one of {', '.join(MODELS)}, or a function, got {self.model!r}")
        if not isinstance(self.hidden, Iterable) or isinstance(self.hidden, str):
            raise TypeError(f"`hidden` must be a sequence of widths, got {self.hidden!r}; one layer is (64,)")
        options = {"hidden": list(self.hidden)} if self.model == "mlp" else {}
        return MODELS[self.model](shape, outputs, device=self.device, **options)

    def _optimizer(self, model: Module) -> Any:
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"`optimizer` must be one of {', '.join(OPTIMIZERS)}, got {self.optimizer!r}")
        make, _, decay, arguments = OPTIMIZERS[self.optimizer]
        decay = decay if self.weight_decay is None else self.weight_decay
        return make(decay_groups(model.parameters(), decay), lr=self.lr, **arguments)

    def _predictor(self) -> Predictor:
        """On the CPU in float64: there BLAS rounds a product by the size of the batch, and a sample is to give what it gives."""
        if kind(canonical(self.device)) != "cpu":
            return Predictor(self.model_, device=self.device, transform=self.normalizer_)
        exact = copy.deepcopy(self.model_).double()
        return Predictor(exact, device="cpu", transform=lambda x: self.normalizer_(x).astype(np.float64))

    def _inputs(self, x: Any) -> np.ndarray:
        validation.check_is_fitted(self)
        return validation.validate_data(self, x, reset=False, **self._accepted())

    @staticmethod
    def _accepted() -> dict[str, Any]:
        return {"dtype": [np.float64, np.float32], "allow_nd": True}


class Classifier(base.ClassifierMixin, _Estimator):  # type: ignore[misc, name-defined]
    """A network that tells classes apart, as scikit-learn's estimators do.

    Inputs are standardised; the loss is cross-entropy.

    Parameters
    ----------
    model : str or callable, default "mlp"
        A name in `weft.layers.models`, or a function of the shape of a sample and the number of outputs that makes a Module.
    hidden : sequence of int, default (64, 64)
        Widths of the mlp's hidden layers.
    epochs : int, default 50
        Passes over the training set.
    batch_size : int, default 32
        Samples per batch.
    optimizer : str, default "adamw"
        As for `weft train`: adam, adamw, lion, nadam, radam, rmsprop, sgd.
    lr : float, default 5e-3
        Learning rate.
    weight_decay : float, optional
        Of weights, not of biases. By default the optimizer's own.
    callbacks : sequence of Callback, default ()
        Of the `Trainer`.
    device : str, optional
        Where to train. By default the default device.
    random_state : int or numpy.random.RandomState, optional
        Decides weights, order and dropout; the same int gives the same fit.
    class_weight : dict or "balanced", optional
        What samples of a class weigh in the loss; "balanced" evens out how often classes come. By default all the same.

    Attributes
    ----------
    classes_ : ndarray
        The distinct labels, in order.
    model_ : Module
        The trained network.
    normalizer_ : Normalizer
        What inputs go through first.
    history_ : list of dict
        A row per epoch, as `Trainer.history`.
    n_iter_ : int
        Epochs done.
    n_features_in_ : int
        Features of a sample.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import cross_val_score
    >>> x, y = load_iris(return_X_y=True)
    >>> scores = cross_val_score(weft.training.Classifier(epochs=20, random_state=0), x, y, cv=3)
    >>> scores.mean() > 0.9
    np.True_
    """

    def __init__(
        self,
        model: Model = "mlp",
        *,
        hidden: Sequence[int] = (64, 64),
        epochs: int = 50,
        batch_size: int = 32,
        optimizer: str = "adamw",
        lr: float = 5e-3,
        weight_decay: float | None = None,
        callbacks: Sequence[Any] = (),
        device: str | None = None,
        random_state: Any = None,
        class_weight: Any = None,
    ):
        super().__init__(
            model,
            hidden=hidden,
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            lr=lr,
            weight_decay=weight_decay,
            callbacks=callbacks,
            device=device,
            random_state=random_state,
        )
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any) -> Self:
        """Learn.

        Parameters
        ----------
        X : array_like
            (N, …) samples.
        y : array_like
            (N,) labels: integers, words, booleans.

        Returns
        -------
        Classifier
            Itself.
        """
        X, y = validation.validate_data(self, X, y, **self._accepted())
        multiclass.check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"`y` must hold at least two classes, got one class: {str(self.classes_[0])!r}")
        weights = None
        if self.class_weight is not None:
            balance = sklearn("utils.class_weight", "Classifier").compute_class_weight
            weights = balance(self.class_weight, classes=self.classes_, y=y).astype(np.float32)
            if not (np.isfinite(weights) & (weights >= 0)).all():
                raise ValueError(f"`class_weight` must hold finite weights ≥ 0, got {self.class_weight!r}")
        loss = CrossEntropyLoss(None if weights is None else asarray(weights, device=self.device))
        return self._learn(X, labels.astype(np.int64), len(self.classes_), loss)

    def predict(self, X: Any) -> np.ndarray:
        """The class of each sample.

        Parameters
        ----------
        X : array_like
            (N, …) samples.

        Returns
        -------
        ndarray
            (N,) of `classes_`.
        """
        x = self._inputs(X)
        return self.classes_[self._predictor().predict(x).argmax(axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class.

        Parameters
        ----------
        X : array_like
            (N, …) samples.

        Returns
        -------
        ndarray
            (N, C) in the order of `classes_`.
        """
        x = self._inputs(X)
        return self._predictor().predict_probabilities(x)


class Regressor(base.RegressorMixin, _Estimator):  # type: ignore[misc, name-defined]
    """A network that learns quantities, as scikit-learn's estimators do.

    Inputs and targets are standardised, predictions have the units of the targets; the loss is the mean squared error.

    Parameters
    ----------
    model : str or callable, default "mlp"
        A name in `weft.layers.models`, or a function of the shape of a sample and the number of outputs that makes a Module.
    hidden : sequence of int, default (64, 64)
        Widths of the mlp's hidden layers.
    epochs : int, default 50
        Passes over the training set.
    batch_size : int, default 32
        Samples per batch.
    optimizer : str, default "adamw"
        As for `weft train`: adam, adamw, lion, nadam, radam, rmsprop, sgd.
    lr : float, default 5e-3
        Learning rate.
    weight_decay : float, optional
        Of weights, not of biases. By default the optimizer's own.
    callbacks : sequence of Callback, default ()
        Of the `Trainer`.
    device : str, optional
        Where to train. By default the default device.
    random_state : int or numpy.random.RandomState, optional
        Decides weights, order and dropout; the same int gives the same fit.

    Attributes
    ----------
    model_ : Module
        The trained network, which gives the units of the targets.
    normalizer_ : Normalizer
        What inputs go through first.
    history_ : list of dict
        A row per epoch, as `Trainer.history`.
    n_iter_ : int
        Epochs done.
    n_features_in_ : int
        Features of a sample.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 200)[:, None]
    >>> regressor = weft.training.Regressor(random_state=0).fit(x, 1000 * x[:, 0] ** 2)
    >>> regressor.score(x, 1000 * x[:, 0] ** 2) > 0.98
    True
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Learn.

        Parameters
        ----------
        X : array_like
            (N, …) samples.
        y : array_like
            (N,) or (N, K) quantities.

        Returns
        -------
        Regressor
            Itself.
        """
        X, y = validation.validate_data(self, X, y, multi_output=True, y_numeric=True, **self._accepted())
        targets = y.reshape(len(y), -1).astype(np.float32)
        self._is_flat = y.ndim == 1
        output = spread(targets)
        loss = RelativeMSE(output["std"], device=self.device)
        return self._learn(X, targets, targets.shape[1], loss, output)

    def predict(self, X: Any) -> np.ndarray:
        """The quantities of each sample.

        Parameters
        ----------
        X : array_like
            (N, …) samples.

        Returns
        -------
        ndarray
            (N,) or (N, K), as the targets were.
        """
        x = self._inputs(X)
        predicted = self._predictor().predict(x).astype(np.float64)
        return predicted[:, 0] if self._is_flat else predicted

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
