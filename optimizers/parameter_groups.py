"""Parameter groups by the names of parameters: what is frozen, what learns slower, what does not decay."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from ..backend.device.options import number
from ..backend.tape.tensor import Tensor

__all__ = ["freeze", "parameter_groups"]

Group = dict[str, Any]


def parameter_groups(
    model: Any,
    rules: Mapping[str, Mapping[str, Any] | None] | None = None,
    *,
    lr: float | None = None,
    layer_decay: float = 1.0,
) -> list[Group]:
    """Parameter groups for an optimizer, by patterns of names, with rates that fall from layer to layer.

    Parameters
    ----------
    model : Module
        Whose parameters; those that do not require grad are left out.
    rules : dict, optional
        Pattern → options of the group, such as `{"*.bias": {"weight_decay": 0.0}}`; None freezes what it names (`freeze`).
        The first pattern that fits counts ("*" is any text, "?" one character, "[ab]" one of these); what fits none has the
        optimizer's options.
    lr : float, optional
        The rate of the last layer. Needed for `layer_decay`; a rule's own `lr` takes its place.
    layer_decay : float, default 1.0
        ξ in (0, 1]: the layer k places before the last learns at lr · ξᵏ (Howard & Ruder, 2018). A layer is what shares a name
        up to its first number ("transformer.h.3"), or up to the last dot, in the order of the model.

    Returns
    -------
    list of dict
        Groups with "params", "name" and their options: `AdamW(parameter_groups(model, rules, lr=1e-4))`.

    Raises
    ------
    ValueError
        If a pattern fits no parameter (the nearest names are told), `lr` is missing for `layer_decay`, either is out of
        range, or nothing is left to learn.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> groups = optim.parameter_groups(model, {"*.bias": {"weight_decay": 0.0}}, lr=0.1, layer_decay=0.5)
    >>> [(g["name"], g["lr"], len(g["params"])) for g in groups]
    [('*.bias 0', 0.05, 1), ('*.bias 2', 0.1, 1), ('0', 0.05, 1), ('2', 0.1, 1)]
    """
    rules = dict(rules or {})
    number("layer_decay", layer_decay, 0, 1, above=0)
    if lr is not None:
        number("lr", lr, 0)
    elif layer_decay != 1:
        raise ValueError(f"`lr` must be given for layer_decay={layer_decay}: the rate of the last layer, got None")
    freeze(model, *[pattern for pattern, options in rules.items() if options is None])
    named = list(model.named_parameters())
    _check_patterns(rules, [name for name, _ in named])
    layers = list(dict.fromkeys(_layer(name) for name, _ in named))
    groups: dict[str, Group] = {}
    for order in (*rules, None):
        for name, p in named:
            if not p.requires_grad or _rule(name, rules) != order:
                continue
            options = dict(rules[order] or {}) if order is not None else {}
            rate = options.pop("lr", lr)
            if rate is not None:
                options["lr"] = rate * layer_decay ** (len(layers) - 1 - layers.index(_layer(name)))
            label = " ".join(filter(None, (order, _layer(name) if layer_decay != 1 else None))) or "all"
            groups.setdefault(label, {"params": [], "name": label, **options})["params"].append(p)
    if not groups:
        raise ValueError("`rules` must leave a parameter to learn, got all frozen")
    return list(groups.values())


def freeze(model: Any, *patterns: str) -> list[str]:
    """Let parameters learn no more: `requires_grad` is cleared, so that neither backward nor an optimizer has work with them.

    Parameters
    ----------
    model : Module
        Whose.
    *patterns : str
        Of their names: "embedding.*", "h.[0-5].*"; see `parameter_groups`.

    Returns
    -------
    list of str
        The names of what is frozen now. `p.requires_grad_()` lets it learn again.

    Raises
    ------
    ValueError
        If a pattern fits no parameter; the nearest names are told.

    Notes
    -----
    Running statistics of `BatchNorm` go on moving while the model is in training mode: call `eval` on those layers.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    >>> optim.freeze(model, "0.*")
    ['0.weight', '0.bias']
    """
    named = dict(model.named_parameters())
    _check_patterns(patterns, list(named))
    found = [name for name in named if any(fnmatchcase(name, pattern) for pattern in patterns)]
    for name in found:
        p: Tensor = named[name]
        p.requires_grad_(False)
        p.grad = None
    return found


def _rule(name: str, rules: Iterable[str]) -> str | None:
    return next((pattern for pattern in rules if fnmatchcase(name, pattern)), None)


def _layer(name: str) -> str:
    """What layer a parameter is of."""
    numbered = re.match(r"(?:.*?\.)??\d+(?=\.)", name)
    return numbered.group() if numbered else name.rpartition(".")[0] or name


def _check_patterns(patterns: Iterable[str], names: list[str]) -> None:
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            import difflib  # for errors alone

            near = difflib.get_close_matches(pattern, names, 3, 0.3) or names[:3]
            raise ValueError(f"a pattern must fit some parameter, got {pattern!r}; there are {', '.join(near)} …")
