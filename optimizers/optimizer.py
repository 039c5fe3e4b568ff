"""What all optimizers share: parameter groups, the step over the arenas, saving and loading."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..backend.cpu import aligned
from ..backend.device.parallel import parallel_for
from ..backend.tape.autograd import enable_grad
from ..backend.tape.recording import active
from ..backend.tape.tensor import Tensor
from ..backend.tape.watching import watched
from .arena import BLOCK_BYTES, MASTER, Arena, Run, exact, kinds
from .options import check_options, check_params
from .rule import Clock, Group, Numbers, Vectors
from .saving import read_entry, read_groups

__all__ = ["Optimizer"]

# Blocks too few for a second thread: waking it costs 20 µs, and some waiting for Python's lock. With two cores and
# Adam, two whole blocks gain 1.2 times, one and a bit lose as much.
_GRAIN = 2


class Optimizer:
    """Base of all optimizers, with the interface of `torch.optim.Optimizer`.

    Parameters
    ----------
    params : iterable of Parameters (or leaf Tensors), of (name, Parameter) pairs, or of dicts with "params" and options
        that override the defaults for these parameters.
    defaults : the options of groups that set none of their own.

    A parameter whose `.grad` is None is left alone by `step`: no update, no decay, its step count stands still.
    The parameters move into flat arenas (see `arena.py`): hold on to the Parameter, not to its `.data` or `.grad`.

    A subclass states its rule in three methods, on flat vectors, for namespaces of the array API:

    - `slots(group)`: the names and first values of its state vectors;
    - `coefficients(group, clock)`: all numbers that the equations need at this step, computed once per step in double
      precision, always under the same names; `clock["step"]` is t = 1, 2, …;
    - `update(xp, p, g, state, group, c)`: the equations. It changes `p` and `state` in place, must leave `g` as it is,
      and finds the coefficients in `c` (0-d arrays). It must act elementwise: NumPy calls it on cache-sized pieces, on
      several threads. A rule that needs whole parameters overrides `apply`.

    `kernel` names the rule in kernels/optimizers.cu that does the same on a GPU, and its state vectors in the order of
    the kernel's arguments. It must be stated by the class that states `coefficients` or `update`: a subclass that
    changes these and says nothing has no kernel.

    Raises ValueError for no, duplicate or non-leaf parameters and for options out of range; TypeError for anything but
    Tensors of a real floating-point dtype.
    """

    clock: Clock = {"step": 0}  # what is counted for each parameter, at the start
    kernel: tuple[str, ...] | None = None

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        if "kernel" not in vars(cls) and not {"coefficients", "update", "apply"}.isdisjoint(vars(cls)):
            cls.kernel = None

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]):
        if isinstance(params, Tensor | set):
            hint = "pass [tensor]" if isinstance(params, Tensor) else "a set has no order: pass a list"
            raise TypeError(f"`params` must be a list of Parameters or dicts, got a {type(params).__name__}; {hint}")
        self.defaults = dict(defaults)
        self.param_groups: list[Group] = []
        self._arenas: list[list[Arena]] = []
        groups = list(params)
        for group in groups if groups and isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    # --- the rule -----------------------------------------------------------------------------------------------------
    def slots(self, group: Group) -> dict[str, float]:
        """State vectors that the rule keeps, with the value they start from."""
        return {}

    def coefficients(self, group: Group, clock: Clock) -> dict[str, float]:
        """The numbers of this step, under the same names at every step."""
        raise NotImplementedError

    def update(self, xp: Any, p: Any, g: Any, state: Vectors, group: Group, c: Numbers) -> None:
        """The rule itself."""
        raise NotImplementedError

    def update_cpu(self, p: Any, g: Any, state: Vectors, group: Group, c: Numbers, t: Any) -> None:
        """`update` for NumPy; `t` is a scratch vector as long as `p`, to be used with `out=` where that is worth it."""
        self.update(np, p, g, state, group, c)

    # --- the step -----------------------------------------------------------------------------------------------------
    def step(
        self, closure: Callable[[], Any] | None = None, *, multiplier: Tensor | None = None, skip: Tensor | None = None
    ) -> Any:
        """Update all parameters that have a gradient.

        `closure` computes the loss, calls backward and returns the loss, which is returned. For mixed precision, two
        0-d Tensors, which kernels read where they are: all gradients count `multiplier` times (1/loss scale, or what
        clips them), `.grad` staying as it is; nothing is updated if `skip` is true, though the step counts.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        watched(f"{type(self).__name__}.step", self._step, multiplier, skip)
        return loss

    def _step(self, multiplier: Tensor | None, skip: Tensor | None) -> None:
        for arena, run, group, c in self.advance():
            factor = None if multiplier is None else _beside(arena, multiplier, arena.state_dtype)
            no = None if skip is None else _beside(arena, skip, arena.xp.bool)
            if arena.has_kernels and self.kernel is not None:
                self._launch(run, factor, no)
            elif no is None or not no:  # looking waits for a GPU
                self.apply(arena, run, group, c, factor)

    def advance(self) -> list[tuple[Arena, Run, Group, Numbers]]:
        """The host's part of a step: count it, and put its coefficients where the update reads them.

        What replays the other part from a CUDA graph calls this before each replay (see `backend/modes/capture.py`). Returns
        what is to be updated.
        """
        recording = active()
        if recording is not None:
            recording.before_replay(self.advance)
        is_recorded, work = recording is not None and recording.is_recording, []
        for k, group in enumerate(self.param_groups):
            slots = self.slots(group)
            for arena in self._settled(k):
                arena.require(slots)
                for run, clock in arena.runs():
                    if not is_recorded:
                        clock["step"] += 1
                        arena.publish(run, self.coefficients(group, clock))
                    work.append((arena, run, group, run.scalars))
        return work

    def _launch(self, run: Run, multiplier: Any, skip: Any) -> None:
        from ..kernels.optimizers import update

        rule, *names = self.kernel  # type: ignore[misc]
        for p, g, state in run.blocks:
            update(
                rule,
                p,
                g,
                [state.get(name) for name in names],
                run.coefficients,
                master=state.get(MASTER),
                multiplier=multiplier,
                skip=skip,
            )

    def _settled(self, k: int) -> list[Arena]:
        """The arenas of the k-th group, laid out anew if a parameter has changed its device or dtype."""
        arenas = self._arenas[k]
        ready = [arena.ready() for arena in arenas]
        if all(ready) or not any(arena.displaced() for arena in arenas):
            return arenas
        entries = self._read(k)
        self._arenas[k] = self._lay_out(self.param_groups[k]["params"])
        self._write(k, entries)
        return self._arenas[k]

    def apply(self, arena: Arena, run: Run, group: Group, c: Numbers, multiplier: Any = None) -> None:
        """Update one run, its gradients times `multiplier` if that is given.

        On a CPU, block by block: all operations on one block before the next enters the cache.
        """
        xp, blocks = arena.xp, run.blocks
        if arena.is_half or xp is not np or arena.has_kernels:
            for p, g, state in blocks:
                g = xp.astype(g, arena.state_dtype, copy=False)
                g = g if multiplier is None else g * multiplier
                if arena.is_half:
                    w = exact(xp, p, state[MASTER])
                    self.update(xp, w, g, state, group, c)
                    state[MASTER][...] = w
                    p[...] = xp.astype(w, p.dtype)
                else:
                    self.update(xp, p, g, state, group, c)
        elif len(blocks) == 1:
            self._update_blocks(blocks, group, c, multiplier)
        else:
            parallel_for(lambda i, j: self._update_blocks(blocks[i:j], group, c, multiplier), len(blocks), grain=_GRAIN)

    def _update_blocks(self, blocks: list[Any], group: Group, c: Numbers, multiplier: Any) -> None:
        scratch = _scratch(blocks[0][0].dtype)
        for p, g, state in blocks:
            self.update_cpu(p, g if multiplier is None else g * multiplier, state, group, c, scratch[: p.size])

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, or (`set_to_none=False`) fill those that exist with zeros.

        Backward will write into the same memory again: copy a gradient that must outlive this call.
        """
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    p.grad.data[...] = 0.0

    # --- groups -------------------------------------------------------------------------------------------------------
    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own, `{"params": …, "lr": …}`; all others come from the defaults."""
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise TypeError(f"`param_group` must be a dict with the key 'params', got {param_group!r:.80}")
        params = param_group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        named = [p for p in params if isinstance(p, tuple)]
        if named and len(named) == len(params):
            param_group = param_group | {"param_names": [name for name, _ in named]}
            params = [p for _, p in named]
        group = self.defaults | param_group | {"params": params}
        check_params(params, [p for g in self.param_groups for p in g["params"]])
        check_options(group)
        self.param_groups.append(group)
        self._arenas.append(self._lay_out(params))

    def _lay_out(self, params: list[Tensor]) -> list[Arena]:
        """One arena for each device and dtype."""
        return [Arena([params[i] for i in indices], indices, self.clock) for indices in kinds(params)]

    # --- saving -------------------------------------------------------------------------------------------------------
    @property
    def state(self) -> dict[Tensor, dict[str, Any]]:
        """What is kept for each parameter that has been updated: parameter → {"step": int, "exp_avg": view, …}."""
        rows = [row for k, g in enumerate(self.param_groups) for row in zip(g["params"], self._read(k, copy=False))]
        return {p: clock | vectors for p, (clock, vectors) in rows if clock["step"]}

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs, in PyTorch's layout and under PyTorch's names.

        `{"state": {index: {"step": int, "exp_avg": array, …}}, "param_groups": [{"lr": …, "params": [index, …]}, …]}`;
        indices count the parameters of all groups in order; the arrays are copies in the parameters' shapes.
        """
        state: dict[int, dict[str, Any]] = {}
        groups: list[Group] = []
        start = 0
        for k, group in enumerate(self.param_groups):
            entries = self._read(k)
            state |= {start + i: clock | arrays for i, (clock, arrays) in enumerate(entries) if clock["step"]}
            groups.append(group | {"params": list(range(start, start + len(entries)))})
            start += len(entries)
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a `state_dict` of this library or of PyTorch (same optimizer, parameters in the same order).

        Arrays may be of any library that NumPy can read. State becomes float32 for half-precision parameters, and the
        parameter's dtype otherwise. Raises ValueError, having changed nothing, if groups, shapes or names do not fit.
        """
        saved = state_dict["param_groups"]
        groups = read_groups(self.param_groups, saved)
        by_key = {str(key): entry for key, entry in state_dict["state"].items()}  # JSON turns the indices into strings
        found = []
        for group, theirs in zip(groups, saved):
            entries = []
            for key, p in zip(theirs["params"], group["params"]):
                what = f"parameter {key} of {type(self).__name__}"
                entries.append(read_entry(by_key.get(str(key), {}), self.clock, self.slots(group), p.shape, what))
            found.append(entries)
        for k, group in enumerate(groups):
            self.param_groups[k].update(group)
            self._write(k, found[k])

    def _read(self, k: int, *, copy: bool = True) -> list[tuple[Clock, Vectors]]:
        """Clock and state of each of the k-th group's parameters."""
        slots = self.slots(self.param_groups[k])
        found: dict[int, tuple[Clock, Vectors]] = {}
        for arena in self._arenas[k]:
            arena.require(slots)
            found |= {i: arena.read(n, slots, copy=copy) for n, i in enumerate(arena.indices)}
        return [found[i] for i in range(len(found))]

    def _write(self, k: int, entries: list[tuple[Clock, Vectors]]) -> None:
        for arena in self._arenas[k]:
            arena.restore(self.slots(self.param_groups[k]), [entries[i] for i in arena.indices])

    def __repr__(self) -> str:
        lines = []
        for k, group in enumerate(self.param_groups):
            options = ", ".join(f"{name}={v!r}" for name, v in group.items() if name not in ("params", "param_names"))
            lines.append(f"  group {k}: {sum(p.size for p in group['params']):,} parameters, {options}")
        return "\n".join([f"{type(self).__name__} (", *lines, ")"])


def _beside(arena: Arena, value: Tensor, dtype: Any) -> Any:
    """The raw array of a 0-d Tensor, on the arena's device and in this dtype."""
    raw = value.data if value.device == arena.device else arena.xp.asarray(value.numpy())
    return arena.xp.astype(raw, dtype, copy=False)


class _PerThread(threading.local):
    def __init__(self) -> None:
        self.vectors: dict[Any, np.ndarray] = {}


_per_thread = _PerThread()


def _scratch(dtype: Any) -> np.ndarray:
    """This thread's scratch vector, one block long."""
    vector = _per_thread.vectors.get(dtype)
    if vector is None:
        vector = _per_thread.vectors[dtype] = aligned.empty((BLOCK_BYTES // dtype.itemsize,), dtype)
    return vector
