"""All metrics, as objects that accumulate over batches, as functions of one batch, and by name.

metric = Accuracy()
for x, y in batches:
    metric.update(model(x), y)
metric.compute()

accuracy(model(x), y)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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


def _function(kind: type[Metric]) -> Any:
    def function(output: Any, target: Any, **options: Any) -> Any:
        return kind(**options)(output, target)

    name = next(name for name, k in NAMED.items() if k is kind)
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"`{kind.__name__}` of one batch, with its options as keywords. {kind.__doc__}"
    return function


NAMED: dict[str, type[Metric]] = {
    "accuracy": Accuracy, "top_k_accuracy": TopKAccuracy, "precision": Precision, "recall": Recall, "f1": F1,
    "confusion_matrix": ConfusionMatrix, "mse": MSE, "mae": MAE, "rmse": RMSE, "r2": R2, "perplexity": Perplexity,
}  # fmt: skip

accuracy, top_k_accuracy, precision, recall, f1, confusion_matrix, mse, mae, rmse, r2, perplexity = map(
    _function, NAMED.values()
)


Metrics = str | Metric | Iterable[str | Metric] | Mapping[str, str | Metric] | None  # by name or as objects


def collect(metrics: Metrics) -> dict[str, Metric]:
    """Metrics by name, from names, objects, a list of either, or a mapping of names to either.

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
