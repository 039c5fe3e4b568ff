"""L-BFGS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from ..backend.device import devices, dtypes
from ..backend.device.options import integer
from ..backend.modes.autocast import forget_rounded
from ..backend.tape import autograd
from ..backend.tape.recording import active
from ..backend.tape.sharing import changed
from ..backend.tape.tensor import Tensor, innermost
from .arena import by_device_and_dtype
from .line_search import Point, strong_wolfe
from .optimizer import Optimizer
from .rule import Group, Params
from .state import check_state, read_groups

__all__ = ["LBFGS"]

T = TypeVar("T")

LEAST_CURVATURE = 1e-10  # of yᵀs: below it, a pair says nothing of the Hessian
VECTORS, LISTS = {"d", "prev_flat_grad"}, {"old_dirs", "old_stps"}


class LBFGS(Optimizer):
    """Newton's direction, with an inverse Hessian that the last steps and changes of the gradient imply.

        s = tₖ dₖ,  y = gₖ₊₁ − gₖ                       (1)  kept if yᵀs > 10⁻¹⁰, history_size of them
        H₀ = yᵀs / yᵀy                                  (2)
        H ← (I − s yᵀ/yᵀs) H (I − y sᵀ/yᵀs) + s sᵀ/yᵀs  (3)  over the pairs kept, from H₀
        d = −H g,  p ← p + t d                          (4)  at first d = −g, t = min(1, 1/Σ|g|) lr

    with t = lr, or what a line search finds that begins there. One call of `step` makes up to `max_iter` of these
    iterations, and evaluates `closure` for each.

    Parameters
    ----------
    params : iterable of Parameter, of (str, Parameter) or of dict
        What to optimize: one group, of one device and one dtype.
    lr : float, default 1
        Step length, or the first that the line search tries.
    max_iter : int, default 20
        Most iterations in a step.
    max_eval : int, optional
        Most evaluations of the loss in a step, as far as whole iterations go; None is 1.25 max_iter.
    tolerance_grad : float, default 1e-7
        A step ends where no element of the gradient is larger.
    tolerance_change : float, default 1e-9
        A step ends where loss and parameters change less.
    history_size : int, default 100
        How many pairs (s, y) are kept.
    line_search_fn : {"strong_wolfe"}, optional
        The line search; None has none.

    Raises
    ------
    ValueError
        If an option is out of range, there is more than one group, device or dtype, or a parameter is listed twice or no
        leaf.
    TypeError
        If something is no Tensor of dtype float32 or float64.

    Notes
    -----
    Parameters, defaults and state (all of it with the first parameter) as `torch.optim.LBFGS`. The host decides after
    each evaluation whether to go on: `weft.capture` cannot record a step (capture the closure), and there is no kernel.

    References
    ----------
    Nocedal and Wright, "Numerical optimization", 2006, algorithms 7.4, 7.5, 3.5 and 3.6.

    Examples
    --------
    >>> p = weft.Parameter([1.0, -2.0])
    >>> optimizer = optim.LBFGS([p], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((p - weft.tensor([3.0, 4.0])) ** 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure).item()
    40.0
    >>> p.tolist()
    [3.0, 4.0]
    """

    limits = {"tolerance_grad": {}, "tolerance_change": {}}

    def __init__(
        self,
        params: Params,
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ):
        integer("max_iter", max_iter, 1)
        max_eval = max_iter * 5 // 4 if max_eval is None else max_eval
        integer("max_eval", max_eval, 1)
        integer("history_size", history_size, 1)
        if line_search_fn not in (None, "strong_wolfe"):
            raise ValueError(f"`line_search_fn` must be 'strong_wolfe' or None, got {line_search_fn!r}")
        self._memory: dict[str, Any] = {}
        super().__init__(
            params,
            {
                "lr": lr,
                "max_iter": max_iter,
                "max_eval": max_eval,
                "tolerance_grad": tolerance_grad,
                "tolerance_change": tolerance_change,
                "history_size": history_size,
                "line_search_fn": line_search_fn,
            },
        )

    def add_param_group(self, param_group: Group) -> None:
        if self.param_groups:
            raise ValueError("`params` of LBFGS must be one group, got a second; it has one direction for all of them")
        super().add_param_group(param_group)
        params = self.param_groups[0]["params"]
        kinds = sorted({f"{p.dtype} on {p.device}" for p in params})
        if len(by_device_and_dtype(params)) > 1:
            raise ValueError(f"`params` of LBFGS must have one device and dtype, got {', '.join(kinds)}")
        if dtypes.of(params[0].data).itemsize < 4:
            raise TypeError(f"`params` of LBFGS must be float32 or float64, got {kinds[0]}; call model.float()")

    # --- the step -----------------------------------------------------------------------------------------------------
    def step(self, closure: Callable[[], T] | None = None, **gates: Any) -> T:  # type: ignore[override]
        """Iterate until the loss no longer changes, at most `max_iter` times.

        Parameters
        ----------
        closure : callable
            Clears the gradients, computes the loss, calls backward and returns the loss.
        **gates : Tensor
            None: a loss scale or clipping is the closure's business.

        Returns
        -------
        object
            What `closure` returned first.

        Raises
        ------
        TypeError
            Without a closure.
        RuntimeError
            In a step that is being captured.

        Examples
        --------
        >>> p = weft.Parameter([4.0])
        >>> def closure():
        ...     p.grad = None
        ...     loss = (p * p).sum()
        ...     loss.backward()
        ...     return loss
        >>> optim.LBFGS([p], lr=0.5, max_iter=50).step(closure).item()
        16.0
        >>> abs(p.item()) < 1e-3
        True
        """
        if not callable(closure):
            raise TypeError(
                f"`closure` of LBFGS must be a function that computes the loss, calls backward and returns it, got "
                f"{closure!r:.80}: it is evaluated several times in a step"
            )
        if gates:
            raise TypeError(
                f"`step` of LBFGS must be given a closure alone, got {sorted(gates)}; scale and clip in the closure"
            )
        if (recording := active()) is not None and recording.is_recording:
            raise RuntimeError(
                "`step` of LBFGS must not be in a captured step: after each evaluation the host decides whether to go on; "
                "capture the closure instead"
            )
        return self._iterate(closure)

    def _iterate(self, closure: Callable[[], T]) -> T:
        group, memory = self.param_groups[0], self._memory
        memory.setdefault("func_evals", 0)
        memory.setdefault("n_iter", 0)
        first, loss, g = self._evaluate(closure)
        evaluations = 1
        for iteration in range(1, group["max_iter"] + 1):
            if iteration == 1 and _greatest(g) <= group["tolerance_grad"]:
                break
            self._turn(g)
            d, before = memory["d"], loss
            memory["prev_flat_grad"], memory["prev_loss"] = g, loss
            at_first = min(1.0, 1.0 / _host(_xp(g).sum(abs(g)))) if memory["n_iter"] == 1 else 1
            memory["t"] = float(at_first * group["lr"])
            slope = _host(_dot(g, d))
            if slope > -group["tolerance_change"]:
                break
            loss, g, spent = self._move(closure, iteration, loss, g, slope, evaluations)
            evaluations += spent
            if iteration == group["max_iter"] or evaluations >= group["max_eval"]:
                break
            if _greatest(g) <= group["tolerance_grad"]:
                break
            if _greatest(d * memory["t"]) <= group["tolerance_change"]:
                break
            if abs(loss - before) < group["tolerance_change"]:
                break
        return first

    def _evaluate(self, closure: Callable[[], T]) -> tuple[T, float, Any]:
        """What the closure returns, as a number, too; and the gradient as one vector."""
        with autograd.enable_grad():
            returned: Any = closure()
        self._memory["func_evals"] += 1
        params = self.param_groups[0]["params"]
        xp = devices.namespace_of(params[0].data)
        parts = [xp.zeros_like(p.data) if p.grad is None else p.grad.data for p in params]
        return returned, float(returned), xp.concat([xp.reshape(part, (-1,)) for part in parts])

    def _turn(self, g: Any) -> None:
        """Equations (1) to (4) up to d, in two passes over the pairs instead of by matrices."""
        memory = self._memory
        memory["n_iter"] += 1
        if memory["n_iter"] == 1:
            memory |= {"d": -g, "old_dirs": [], "old_stps": [], "ro": [], "H_diag": 1.0}
            return
        for name in VECTORS:  # parameters may have moved to another device
            memory[name] = _like(g, memory[name])
        for name in LISTS:
            memory[name] = [_like(g, vector) for vector in memory[name]]
        ys, ss, inverses = memory["old_dirs"], memory["old_stps"], memory["ro"]
        y, s = g - memory["prev_flat_grad"], memory["d"] * memory["t"]  # (1)
        curvature = float(_host(_dot(y, s)))
        if curvature > LEAST_CURVATURE:
            if len(ys) == self.param_groups[0]["history_size"]:
                del ys[0], ss[0], inverses[0]
            ys.append(y)
            ss.append(s)
            inverses.append(1.0 / curvature)
            memory["H_diag"] = curvature / float(_host(_dot(y, y)))  # (2)
        q, shares = -g, []
        for y, s, inverse in zip(reversed(ys), reversed(ss), reversed(inverses)):
            shares.append(_dot(s, q) * inverse)
            q = q - y * shares[-1]
        d = q * memory["H_diag"]
        for y, s, inverse, share in zip(ys, ss, inverses, reversed(shares)):
            d = d + s * (share - _dot(y, d) * inverse)  # (3)
        memory["d"] = d

    def _move(
        self, closure: Callable[[], T], iteration: int, loss: float, g: Any, slope: float, evaluations: int
    ) -> tuple[float, Any, int]:
        """Go along d; loss and gradient there, and how often the loss was evaluated."""
        group, memory = self.param_groups[0], self._memory
        d, params = memory["d"], group["params"]
        if group["line_search_fn"] is None:
            self._go(memory["t"])
            if iteration == group["max_iter"]:  # nobody would look at it
                return loss, g, 0
            _, loss, g = self._evaluate(closure)
            return loss, g, 1
        start = [p.data + 0 for p in params]

        def at(t: Any) -> Point:
            self._go(t)
            _, value, gradient = self._evaluate(closure)
            self._put(start)
            return Point(t, value, gradient, _host(_dot(gradient, d)))

        limit = group["max_eval"] - evaluations
        here = Point(0, loss, g, slope)
        found, spent = strong_wolfe(at, here, memory["t"], _greatest(d), group["tolerance_change"], limit)
        memory["t"] = float(found.t)
        self._go(memory["t"])
        return found.loss, found.gradient, spent

    def _go(self, t: Any) -> None:
        d, start, moved = self._memory["d"], 0, []
        for p in self.param_groups[0]["params"]:
            part = d[start : start + p.size] * float(t)
            moved.append(p.data + _xp(d).reshape(part, p.data.shape))
            start += p.size
        self._put(moved)

    def _put(self, values: list[Any]) -> None:
        forget_rounded()
        for p, value in zip(self.param_groups[0]["params"], values):
            p.data[...] = value
            changed(p.data)

    # --- saving -------------------------------------------------------------------------------------------------------
    @property
    def state(self) -> dict[Tensor, dict[str, Any]]:
        """What is remembered, with the first parameter: {"func_evals": int, "n_iter": int, "d": array, …}.

        Examples
        --------
        >>> optim.LBFGS([weft.Parameter([1.0])]).state
        {}
        """
        return {self.param_groups[0]["params"][0]: self._memory} if self._memory else {}

    def state_dict(self) -> dict[str, Any]:
        saved = super().state_dict()
        if self._memory:
            copies: dict[str, Any] = {name: list(v) if isinstance(v, list) else v for name, v in self._memory.items()}
            for name in VECTORS & copies.keys():
                copies[name] = copies[name] + 0
            for name in LISTS & copies.keys():
                copies[name] = [vector + 0 for vector in copies[name]]
            saved["state"] = {0: copies}
        return saved

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        check_state(state_dict, "LBFGS")
        groups = read_groups(self.param_groups, state_dict["param_groups"], self.limits)
        entries = list(state_dict["state"].values())
        memory = _read(entries[0], sum(p.size for p in groups[0]["params"])) if entries else {}
        self.param_groups[0].update(groups[0])
        self._memory = memory


def _read(entry: dict[str, Any], size: int) -> dict[str, Any]:
    """The memory that an entry of a state dict holds, its vectors checked."""
    if missing := {"func_evals", "n_iter"} - entry.keys():
        raise ValueError(
            f"`state_dict` must hold {sorted(missing)} for LBFGS, got {sorted(entry)}; was it of another optimizer?"
        )
    memory: dict[str, Any] = {name: int(entry[name]) for name in ("func_evals", "n_iter")}
    if entry.get("d") is None:
        return memory
    memory |= {name: float(entry[name]) for name in ("t", "H_diag", "prev_loss")}
    memory["ro"] = [float(x) for x in entry["ro"]]
    memory |= {name: innermost(entry[name]) for name in VECTORS}
    memory |= {name: [innermost(v) for v in entry[name]] for name in LISTS}
    for vector in [*(memory[name] for name in VECTORS), *memory["old_dirs"], *memory["old_stps"]]:
        if tuple(vector.shape) != (size,):
            raise ValueError(f"`state_dict` of LBFGS must hold vectors of shape {(size,)}, got {tuple(vector.shape)}")
    return memory


def _xp(raw: Any) -> Any:
    return devices.namespace_of(raw)


def _dot(a: Any, b: Any) -> Any:
    return _xp(a).sum(a * b)


def _host(number: Any) -> Any:
    return np.float64(devices.to_numpy(number))  # which divides by zero as arrays do


def _greatest(vector: Any) -> Any:
    return _host(_xp(vector).max(abs(vector))) if vector.size else np.float64(0)


def _like(g: Any, vector: Any) -> Any:
    """A vector on the device of g, in its dtype."""
    if type(vector) is type(g) and vector.dtype == g.dtype:
        return vector
    return _xp(g).asarray(devices.to_numpy(vector), dtype=g.dtype, device=g.device)
