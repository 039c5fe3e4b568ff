"""All metrics, as objects that accumulate over batches, as functions of one batch, and by name.

metric = Accuracy()
for x, y in batches:
    metric.update(model(x), y)
metric.compute()

accuracy(model(x), y)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .classification import F1, Accuracy, ConfusionMatrix, Precision, Recall, TopKAccuracy
from .metric import Metric
from .regression import MAE, MSE, R2, RMSE, Perplexity

__all__ = [
    "F1",
    "MAE",
    "MSE",
    "R2",
    "RMSE",
    "Accuracy",
    "ConfusionMatrix",
    "Metric",
    "Perplexity",
    "Precision",
    "Recall",
    "TopKAccuracy",
    "accuracy",
    "confusion_matrix",
    "f1",
    "mae",
    "mse",
    "perplexity",
    "precision",
    "r2",
    "recall",
    "rmse",
    "top_k_accuracy",
]


def _of_one_batch(name: str, kind: type[Metric], arguments: str, value: str) -> Callable[..., Any]:
    """The function of that name, whose docstring says that with such arguments it has that value."""

    def function(output: Any, target: Any, **options: Any) -> Any:
        return kind(**options)(output, target)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""`{kind.__name__}` of one batch.

    Parameters
    ----------
    output : array_like
        What the model gives, as for `{kind.__name__}`.
    target : array_like
        What it should have given.
    **options : Any
        Parameters of `{kind.__name__}`.

    Returns
    -------
    float or ndarray
        What `{kind.__name__}.compute` gives.

    Examples
    --------
    >>> {name}({arguments})
    {value}
    """
    return function


accuracy = _of_one_batch("accuracy", Accuracy, "[0, 1, 1, 1], [0, 0, 1, 1]", "0.75")
top_k_accuracy = _of_one_batch("top_k_accuracy", TopKAccuracy, "[[0.1, 0.2, 0.7]], [1], k=2", "1.0")
precision = _of_one_batch("precision", Precision, "[0, 1, 1], [0, 0, 1], num_classes=2", "0.75")
recall = _of_one_batch("recall", Recall, "[0, 1, 1], [0, 0, 1], num_classes=2", "0.75")
f1 = _of_one_batch("f1", F1, "[0, 1], [0, 1], num_classes=2", "1.0")
confusion_matrix = _of_one_batch(
    "confusion_matrix", ConfusionMatrix, "[0, 1], [1, 1], num_classes=2", "array([[0, 0], [1, 1]])"
)
mse = _of_one_batch("mse", MSE, "[1.0, 2.0], [1.0, 4.0]", "2.0")
mae = _of_one_batch("mae", MAE, "[1.0, 2.0], [1.0, 4.0]", "1.0")
rmse = _of_one_batch("rmse", RMSE, "[1.0, 2.0, 3.0, 0.0], [1.0, 4.0, 3.0, 0.0]", "1.0")
r2 = _of_one_batch("r2", R2, "[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]", "1.0")
perplexity = _of_one_batch("perplexity", Perplexity, "[[0.0]], [0]", "1.0")

NAMED: dict[str, type[Metric]] = {
    "accuracy": Accuracy, "top_k_accuracy": TopKAccuracy, "precision": Precision, "recall": Recall, "f1": F1,
    "confusion_matrix": ConfusionMatrix, "mse": MSE, "mae": MAE, "rmse": RMSE, "r2": R2, "perplexity": Perplexity,
}  # fmt: skip

Metrics = str | Metric | Iterable[str | Metric] | Mapping[str, str | Metric] | None  # by name or as objects


def collect(metrics: Metrics) -> dict[str, Metric]:
    """Metrics by name.

    Parameters
    ----------
    metrics : str, Metric, or an iterable or mapping of these, optional
        Names, objects, a list of either, or a mapping of names to either.

    Returns
    -------
    dict of str to Metric
        Objects without a name of their own have that of their function.

    Raises
    ------
    TypeError
        If it is none of these.
    ValueError
        If a name is unknown, or occurs twice.

    Examples
    --------
    >>> collect(["accuracy", F1(average="micro")])
    {'accuracy': Accuracy(threshold=0.0, ignore_index=None), 'f1': F1(num_classes=None, threshold=0.0, average='micro')}
    """
    if metrics is None:
        return {}
    if isinstance(metrics, str | Metric):
        metrics = [metrics]
    if isinstance(metrics, Mapping):
        return {name: _metric(m) for name, m in metrics.items()}
    found: dict[str, Metric] = {}
    for m in _checked(metrics):
        metric = _metric(m)
        name = (
            m if isinstance(m, str) else next((n for n, k in NAMED.items() if type(metric) is k), type(metric).__name__)
        )
        if name in found:
            raise ValueError(
                f"`metrics` must have names of their own, got {name!r} twice; pass a dict of names to metrics"
            )
        found[name] = metric
    return found


def _checked(metrics: Any) -> Iterable[Any]:
    if not isinstance(metrics, Iterable):
        raise TypeError(f"`metrics` must be names, Metrics, or a list or dict of them, got {type(metrics).__name__}")
    return metrics


def _metric(m: Any) -> Metric:
    if isinstance(m, Metric):
        return m
    if isinstance(m, str) and m in NAMED:
        return NAMED[m]()
    raise ValueError(f"`metrics` must be Metrics or names among {', '.join(NAMED)}, got {m!r}")
