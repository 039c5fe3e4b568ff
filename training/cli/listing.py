"""`weft train --list`: what there is to choose from."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import fill

from ...data.augment import AUGMENTATIONS
from ...layers.forecasting import KINDS
from ...layers.models import LANGUAGE_MODELS, MODELS
from ..recipe import OPTIMIZERS, SCHEDULES
from ..translation import MODELS as TRANSLATORS
from .data import table

__all__ = ["listing"]


def listing() -> str:
    """Data sets, models, optimizers, schedules and augmentations by name, under the options that take them.

    Returns
    -------
    str
        To be printed.

    Examples
    --------
    >>> print(listing())
    data sets, by `weft data get NAME`...
    """
    rates = (f"{name} ({lr:g})" for name, (_, lr, _, _) in OPTIMIZERS.items())
    parts = [
        "data sets, by `weft data get NAME`; --data takes files and folders of your own, too",
        *(f"  {line}" for line in table().splitlines()),
        "\nmodels, by --model; `weft info --model NAME` shows the layers of the first row's",
        *(
            f"  {task:24}{', '.join(sorted(names))}"
            for task, names in (
                ("images, regression", MODELS),
                ("--task text", LANGUAGE_MODELS),
                ("--task translate", TRANSLATORS),
                ("--task forecast", KINDS),
            )
        ),
        "\noptimizers, by --optimizer, with their learning rate unless --lr is given\n" + _row(rates),
        "\nschedules of the learning rate, by --schedule\n" + _row(SCHEDULES),
        "\nchanges of training images, by --augment NAME,NAME\n" + _row(AUGMENTATIONS),
    ]
    return "\n".join(parts)


def _row(names: Iterable[str]) -> str:
    return fill(", ".join(names), 100, initial_indent="  ", subsequent_indent="  ")
