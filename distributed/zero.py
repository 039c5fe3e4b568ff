"""An optimizer whose state is spread over the processes: each keeps, and updates, its part of the arena's vectors.

    gradients   [ ∂W₁ ……… | ∂b₁ … | ∂W₂ …… | ∂b₂ … ]    their mean over all, or (`reduce_scatter`) of the own part alone
    state       [  process 0  |  process 1  | …     ]    moments and master weights: 1/N of them in each
    values      [ W₁ ………… | b₁ … | W₂ ……… | b₂ … ]      each updates its part, and all gather the others'

Rajbhandari, Rasley, Ruwase and He, "ZeRO: memory optimizations toward training trillion parameter models" (2020): stage 1
and, in what is sent, stage 2, which spares a third of it. The gradient vector itself stays whole: backward writes there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from ..backend.device import ranks
from ..backend.tape.sharing import changed
from ..backend.tape.tensor import Tensor, wrap
from ..optimizers.arena import Arena
from ..optimizers.clipping import clip_grads_with_norm_, power_sum
from ..optimizers.optimizer import Optimizer

__all__ = ["ZeroRedundancyOptimizer"]


class ZeroRedundancyOptimizer(Optimizer):
    """An optimizer of any elementwise rule, of whose state each of N processes keeps 1/N.

    As `torch.distributed.optim.ZeroRedundancyOptimizer`: the numbers are those of the optimizer itself, to the last bit.

    Parameters
    ----------
    params : iterable of Parameter or of dict
        As the optimizer takes them.
    optimizer_class : type
        `weft.optimizers.Adam`, say. What is made is one of its instances.
    process_group : optional
        PyTorch's argument: which processes take part. None is all of them, and the only choice.
    reduce_scatter : bool, default False
        Whether `DistributedDataParallel` adds up, in each process, the gradients of its own part alone: a third less is sent.
        What `.grad` has of other parts is this process's own share of a sum then, so clip with this object's
        `clip_grad_norm_`. (Not in PyTorch.)
    **defaults : object
        The optimizer's options.

    Raises
    ------
    TypeError
        If `optimizer_class` is no Optimizer's class.
    ValueError
        In all processes, if their parameters differ. If its rule looks at whole parameters, which may lie in several
        parts: Muon, Adafactor, LBFGS, LARS-like ones.

    Notes
    -----
    `state_dict`, `load_state_dict` and `state` gather from all processes, so all have to call them. The state dict is that
    of the optimizer itself: it may be loaded by another number of processes, or by one.

    Examples
    --------
    >>> model = nn.Linear(2, 1)
    >>> optimizer = weft.distributed.ZeroRedundancyOptimizer(model.parameters(), optim.Adam, lr=1e-3)
    >>> type(optimizer).__name__, isinstance(optimizer, optim.Adam)
    ('ZeroRedundancyAdam', True)
    """

    _reduce_scatter: bool

    def __new__(
        cls,
        params: Any = None,
        optimizer_class: Any = None,
        process_group: None = None,
        reduce_scatter: bool = False,
        **defaults: Any,
    ) -> Any:
        if cls is not ZeroRedundancyOptimizer:
            return super().__new__(cls)
        if not (isinstance(optimizer_class, type) and issubclass(optimizer_class, Optimizer)):
            raise TypeError(
                f"`optimizer_class` must be a class of optimizers, optim.Adam say, got {optimizer_class!r:.80}"
            )
        whole = [
            name
            for name in ("step", "_step", "apply", "slot_shape")
            if getattr(optimizer_class, name) is not getattr(Optimizer, name)
        ]
        if whole:
            raise ValueError(
                f"`optimizer_class` must have an elementwise rule, got {optimizer_class.__name__}, which looks at whole "
                "parameters (they lie in the parts of several processes); use it as it is, in each process"
            )
        sharded = _classes.get(optimizer_class)
        if sharded is None:
            name = f"ZeroRedundancy{optimizer_class.__name__}"
            body = {"kernel": optimizer_class.kernel, "_rule": optimizer_class, "__doc__": optimizer_class.__doc__}
            sharded = _classes[optimizer_class] = type(name, (ZeroRedundancyOptimizer, optimizer_class), body)
        return super().__new__(sharded)

    def __init__(
        self,
        params: Any,
        optimizer_class: Any,
        process_group: None = None,
        reduce_scatter: bool = False,
        **defaults: Any,
    ):
        if process_group is not None:
            raise ValueError(f"`process_group` must be None, all processes, got {process_group!r:.80}")
        ranks.require_met()
        self._reduce_scatter = reduce_scatter
        self._rule.__init__(self, params, **defaults)  # type: ignore[attr-defined]

    def _lay_out(self, params: list[Tensor]) -> list[Arena]:
        arenas = super()._lay_out(params)
        if ranks.group is not None:
            found = ranks.group.objects([f"{list(map(tuple, arena.shapes))} {arena.values.dtype}" for arena in arenas])
            for other, theirs in enumerate(found):
                if theirs != found[0]:
                    raise ValueError(
                        f"`params` must have the same shapes and dtypes in all processes, got {found[0]} in process 0 and "
                        f"{theirs} in process {other}"
                    )
            for arena in arenas:
                arena.keep_part(ranks.group.rank, ranks.group.size, reduces_own_part=self._reduce_scatter)
        return arenas

    def _step(self, multiplier: Tensor | None, skip: Tensor | None) -> None:
        super()._step(multiplier, skip)
        for arena in self._sharded():
            ranks.group.gather_parts(arena.values, arena.cuts)
            changed(arena.values)

    def _sharded(self) -> list[Arena]:
        return [arena for arenas in self._arenas for arena in arenas if arena.cuts is not None]

    def clip_grad_norm_(self, max_norm: float) -> Tensor:
        """`weft.optimizers.clip_grad_norm_` of all parameters, each process looking at its own part of the gradients.

        Parameters
        ----------
        max_norm : float
            The norm not to exceed, ≥ 0.

        Returns
        -------
        Tensor
            () the norm before.

        Examples
        --------
        >>> p = weft.Parameter([0.0, 0.0])
        >>> optimizer = weft.distributed.ZeroRedundancyOptimizer([p], optim.SGD, lr=0.1)
        >>> p.grad = weft.tensor([3.0, 4.0])
        >>> optimizer.clip_grad_norm_(1.0)
        tensor(5.)
        """
        total = self._over_all(lambda g: power_sum(g, 2))
        arena = self._arenas[0][0]
        xp = arena.xp
        norm = wrap(xp.astype(xp.reshape(xp.sqrt(total), ()), arena.state_dtype), arena.device)
        clip_grads_with_norm_([p for group in self.param_groups for p in group["params"]], max_norm, norm)
        return norm

    def _over_all(self, of: Callable[[Any], Any]) -> Any:
        """(1,) the sum, over all processes and their own parts of the gradients, of a number that is made of each."""
        total: Any = 0.0
        for k in range(len(self.param_groups)):
            for arena in self._current_arenas(k):
                for segment, _ in arena.segments():
                    for _, g, _ in segment.blocks:
                        total = total + of(g)
        xp = self._arenas[0][0].xp
        total = xp.reshape(xp.asarray(total, dtype=xp.float64), (1,))
        return total if ranks.group is None else ranks.group.reduce_any(total)

    def _not_finite(self) -> Tensor | None:
        """() whether any gradient is not finite, for GradScaler; None where each process has all of them to look at."""
        if ranks.group is None or not self._reduce_scatter:
            return None
        arena = self._arenas[0][0]
        xp = arena.xp
        count = self._over_all(lambda g: xp.sum(xp.astype(xp.logical_not(xp.isfinite(g)), xp.float64)))
        return wrap(xp.reshape(count, ()) > 0, arena.device)

    # --- saving -------------------------------------------------------------------------------------------------------
    def _read(self, k: int, *, copy: bool = True) -> Any:
        with self._whole(k):
            return super()._read(k, copy=copy)

    def _write(self, k: int, entries: Any) -> None:
        with self._whole(k):
            super()._write(k, entries)

    @contextlib.contextmanager
    def _whole(self, k: int) -> Iterator[None]:
        """Within the block, the arenas of a group have the state of all parts; afterwards their own one, as it is then."""
        sharded = [arena for arena in self._arenas[k] if arena.cuts is not None]
        kept = [(arena, arena.cuts, arena.state) for arena in sharded]
        for arena in sharded:
            arena.require(self.slots(self.param_groups[k]))
            (start, stop), cuts = arena.own, arena.cuts
            own, arena.cuts, arena.state = arena.state, None, {}
            for name, part in own.items():
                whole = arena.state[name] = arena.vector(arena.state_dtype)
                whole[start:stop] = part
                ranks.group.gather_parts(whole, cuts)
        try:
            yield
        finally:
            for arena, cuts, own in kept:
                whole, arena.cuts, arena.state = arena.state, cuts, own
                start, stop = arena.own
                if own.keys() != whole.keys():
                    own.clear()
                    arena._forget_segments()
                for name, vector in whole.items():
                    if name not in own:
                        own[name] = arena.vector(arena.state_dtype, 0.0, stop - start)
                    own[name][...] = vector[start:stop]

    def memory(self) -> str:
        """What the optimizer keeps in each process: gathers, so all have to call it.

        Returns
        -------
        str
            A line to print.

        Examples
        --------
        >>> p = weft.Parameter(weft.zeros(1 << 18))
        >>> optimizer = weft.distributed.ZeroRedundancyOptimizer([p], optim.Adam)
        >>> p.grad = weft.ones(1 << 18)
        >>> optimizer.step()
        >>> optimizer.memory()
        'optimizer state: 2.0 MiB in process 0'
        """
        mine = sum(v.nbytes for arenas in self._arenas for arena in arenas for v in arena.state.values())
        found = [mine] if ranks.group is None else ranks.group.objects(mine)
        return "optimizer state: " + ", ".join(f"{n / 2**20:.1f} MiB in process {r}" for r, n in enumerate(found))


_classes: dict[type, Any] = {}
