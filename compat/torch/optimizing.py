"""`torch.optim.Optimizer` for optimizers that a program writes itself: their state is what they put into it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from ... import optimizers
from ...backend.tape.tensor import Tensor

__all__ = ["Optimizer"]


class _Kind(type):
    """Weft's own optimizers are instances, too."""

    def __instancecheck__(cls, x: Any) -> bool:
        if cls.__dict__.get("_is_base"):
            return isinstance(x, optimizers.Optimizer)
        return super().__instancecheck__(x)

    def __subclasscheck__(cls, kind: type) -> bool:
        if cls.__dict__.get("_is_base"):
            return issubclass(kind, optimizers.Optimizer)
        return super().__subclasscheck__(kind)


class Optimizer(optimizers.Optimizer, metaclass=_Kind):
    """What a program's own optimizer is made of: `param_groups`, `state` by parameter, `zero_grad`; `step` is its own.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        What to optimize.
    defaults : dict
        The options of groups that set none of their own.
    """

    _is_base = True
    state: Any = None

    def __init__(self, params: Any, defaults: dict[str, Any]):
        self.state = defaultdict(dict)
        super().__init__(params, defaults)

    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        """Update the parameters.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss.

        Returns
        -------
        object
            The loss, with a closure.
        """
        raise NotImplementedError(f"`{type(self).__name__}` must define step(self, closure=None)")

    def _numbers(self) -> dict[int, int]:
        parameters = [p for group in self.param_groups for p in group["params"]]
        return {id(p): i for i, p in enumerate(parameters)}

    def state_dict(self) -> dict[str, Any]:
        """The state by the parameters' numbers, and the options.

        Returns
        -------
        dict
            In PyTorch's layout.
        """
        numbers = self._numbers()
        groups = [g | {"params": [numbers[id(p)] for p in g["params"]]} for g in self.param_groups]
        state = {numbers.get(id(p), p): dict(s) for p, s in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a `state_dict`.

        Parameters
        ----------
        state_dict : dict
            From an optimizer of as many parameters in as many groups.

        Raises
        ------
        ValueError
            If there are other numbers of groups or parameters.
        """
        sizes = [[len(g["params"]) for g in groups] for groups in (self.param_groups, state_dict["param_groups"])]
        if sizes[0] != sizes[1]:
            raise ValueError(f"`state_dict` must have groups of {sizes[0]} parameters, got {sizes[1]}")
        parameters = [p for group in self.param_groups for p in group["params"]]
        self.state = defaultdict(dict)
        for i, entries in state_dict["state"].items():
            where = parameters[i] if isinstance(i, int) else i
            self.state[where] = {k: v.clone() if isinstance(v, Tensor) else v for k, v in entries.items()}
        for group, saved in zip(self.param_groups, state_dict["param_groups"]):
            group.update({k: v for k, v in saved.items() if k != "params"})
