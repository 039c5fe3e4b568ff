"""What all optimizers share: parameter groups, the step over the arenas, saving and loading."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import is_
from typing import Any, TypeVar

import numpy as np

from ..backend.cpu import aligned
from ..backend.device.parallel import parallel_for
from ..backend.modes.autocast import forget_rounded
from ..backend.tape import autograd
from ..backend.tape.handle import RemovableHandle
from ..backend.tape.recording import Unmet, active
from ..backend.tape.sharing import changed
from ..backend.tape.tensor import Tensor
from ..backend.tape.watching import watched
from .arena import MASTER, Arena, Segment, by_device_and_dtype, unrounded
from .hooks import register
from .options import Limits, as_numbers, check_options, check_params, is_fixed
from .rule import Clock, Group, Numbers, Params, Vectors
from .state import check_state, read_entry, read_groups

__all__ = ["Optimizer"]

T = TypeVar("T")


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"


# Blocks too few for a second thread: waking it costs 20 µs, and some waiting for Python's lock. With two cores and
# Adam, two whole blocks gain 1.2 times, one and a bit lose as much.
_GRAIN = 2


class Optimizer:
    """Base of all optimizers, with the interface of `torch.optim.Optimizer`.

    A subclass states its rule in three methods, on flat vectors, for namespaces of the array API:

    - `slots(group)`: the names and first values of its state vectors;
    - `coefficients(group, clock)`: all numbers that the equations need at this step, computed once per step in double
      precision, always under the same names;
    - `update(xp, p, g, state, group, c)`: the equations. It must act elementwise: NumPy calls it on cache-sized pieces, on
      several threads. A rule that needs whole parameters overrides `apply`.

    `kernel` names the rule in kernels/optimizers.cu that does the same on a GPU, and its state vectors in the order of
    the kernel's arguments. It must be stated by the class that states `coefficients` or `update`: a subclass that
    changes these and says nothing has no kernel.

    Parameters
    ----------
    params : iterable of Parameter, of (str, Parameter) or of dict
        What to optimize. A dict is a group, `{"params": …}` with options of its own.
    defaults : dict
        The options of groups that set none of their own.

    Attributes
    ----------
    param_groups : list of dict
        The groups: "params" and options, which may be changed between steps.
    defaults : dict
        As given.

    Raises
    ------
    ValueError
        For no, duplicate or non-leaf parameters and for options out of range.
    TypeError
        For anything but Tensors of a real floating-point dtype.

    Notes
    -----
    A parameter whose `.grad` is None is left alone by `step`: no update, no decay, its step count stands still. The
    parameters move into flat arenas (see `arena.py`): hold on to the Parameter, not to its `.data` or `.grad`.

    Examples
    --------
    >>> class Descent(optim.Optimizer):
    ...     def coefficients(self, group, clock):
    ...         return {"eta": group["lr"]}
    ...     def update(self, xp, p, g, state, group, c):
    ...         p -= c.eta * g
    >>> p = weft.Parameter([1.0, -2.0])
    >>> optimizer = Descent([p], {"lr": 0.25})
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p.tolist()
    [0.5, -1.0]
    """

    clock: Clock = {"step": 0}  # what is counted for each parameter, at the start
    limits: Limits = {}  # of options that are this optimizer's own, or have limits of their own
    kernel: tuple[str, ...] | None = None

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        if "kernel" not in vars(cls) and not {"coefficients", "update", "apply"}.isdisjoint(vars(cls)):
            cls.kernel = None
        if "coefficients" in vars(cls) and "moving" not in vars(cls):
            cls.moving = Optimizer.moving  # type: ignore[method-assign]

    def __init__(self, params: Params, defaults: dict[str, Any]):
        if isinstance(params, Tensor | set):
            hint = "pass [tensor]" if isinstance(params, Tensor) else "a set has no order: pass a list"
            raise TypeError(f"`params` must be a list of Parameters or dicts, got a {type(params).__name__}; {hint}")
        if not isinstance(params, Iterable) or isinstance(params, str):
            hint = "pass its .parameters()" if hasattr(params, "parameters") else "pass model.parameters()"
            raise TypeError(f"`params` must be a list of Parameters or dicts, got {_shown(params)}; {hint}")
        self.defaults = dict(defaults)
        self.param_groups: list[Group] = []
        self._arenas: list[list[Arena]] = []
        groups: list[Any] = list(params)
        for group in groups if groups and isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    # --- the rule -----------------------------------------------------------------------------------------------------
    def slots(self, group: Group) -> Mapping[str, float]:
        """State vectors that the rule keeps.

        Parameters
        ----------
        group : dict
            The options of the group.

        Returns
        -------
        dict of str to float
            The name of each vector, with the value that it starts from.

        Examples
        --------
        >>> optimizer = optim.SGD([weft.Parameter([1.0])], momentum=0.9)
        >>> optimizer.slots(optimizer.param_groups[0])
        {'momentum_buffer': 0.0}
        """
        return {}

    @staticmethod
    def slot_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """The shape of a state vector's part for one parameter.

        Parameters
        ----------
        name : str
            One of the names of `slots`.
        shape : tuple of int
            The parameter's shape.

        Returns
        -------
        tuple of int or None
            The parameter's own, if a rule does not say otherwise; None for a parameter that has no such state.

        Examples
        --------
        >>> optim.Adafactor([weft.Parameter([[1.0, 2.0]])]).slot_shape("row_var", (5, 7))
        (5, 1)
        """
        return shape

    def coefficients(self, group: Group, clock: Clock) -> dict[str, float]:
        """The numbers of this step, under the same names at every step.

        Parameters
        ----------
        group : dict
            The options of the group.
        clock : dict
            What is counted for the parameters; `clock["step"]` is t = 1, 2, ….

        Returns
        -------
        dict of str to float
            What `update` finds in `c`, in the order in which a kernel reads it.

        Raises
        ------
        NotImplementedError
            In a class that states no rule.

        Examples
        --------
        >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=0.5)
        >>> optimizer.coefficients(optimizer.param_groups[0], {"step": 1})["eta"]
        0.5
        """
        raise NotImplementedError

    def moving(self, group: Group, clock: Clock) -> dict[str, float] | None:
        """Those of the coefficients that change from step to step while the options stay.

        A rule that states them saves itself the others, which count where a step takes microseconds.

        Parameters
        ----------
        group : dict
            The options of the group.
        clock : dict
            What is counted for the parameters.

        Returns
        -------
        dict of str to float, or None
            Neighbours among `coefficients`, in their order. None, as for a class that states `coefficients` and not these,
            means that all may change.

        Examples
        --------
        >>> optimizer = optim.Adam([weft.Parameter([1.0])], lr=0.5)
        >>> list(optimizer.moving(optimizer.param_groups[0], {"step": 1}))
        ['eta', 'eps']
        """
        return None

    def update(self, xp: Any, p: Any, g: Any, state: Vectors, group: Group, c: Numbers) -> None:
        """The rule itself, elementwise, in place.

        Parameters
        ----------
        xp : module
            The arrays' namespace, of the array API standard.
        p : array of shape (n,)
            Parameters, to be changed in place.
        g : array of shape (n,)
            Gradients, to be left as they are.
        state : dict of str to array
            State vectors by name, to be changed in place.
        group : dict
            The options of the group.
        c : SimpleNamespace
            The coefficients by name, 0-d arrays.

        Raises
        ------
        NotImplementedError
            In a class that states no rule.

        Examples
        --------
        >>> from types import SimpleNamespace
        >>> p, g, c = np.ones(2), np.array([1.0, -2.0]), SimpleNamespace(eta=np.array(0.5))
        >>> optimizer = optim.SGD([weft.Parameter([1.0])])
        >>> optimizer.update(np, p, g, {}, optimizer.param_groups[0], c)
        >>> p
        array([0.5, 2. ])
        """
        raise NotImplementedError

    def update_cpu(self, p: np.ndarray, g: np.ndarray, state: Vectors, group: Group, c: Numbers, t: np.ndarray) -> None:
        """The rule for NumPy, with memory for intermediates.

        Parameters
        ----------
        p : array of shape (n,)
            Parameters, to be changed in place.
        g : array of shape (n,)
            Gradients, to be left as they are.
        state : dict of str to array
            State vectors by name, to be changed in place.
        group : dict
            The options of the group.
        c : SimpleNamespace
            The coefficients by name, 0-d arrays.
        t : array of shape (n,)
            Scratch, to be used with `out` where that is worth it.

        Examples
        --------
        >>> from types import SimpleNamespace
        >>> p, g, c = np.ones(2), np.array([1.0, -2.0]), SimpleNamespace(eta=np.array(0.5))
        >>> optimizer = optim.SGD([weft.Parameter([1.0])])
        >>> optimizer.update_cpu(p, g, {}, optimizer.param_groups[0], c, np.empty(2))
        >>> p
        array([0.5, 2. ])
        """
        self.update(np, p, g, state, group, c)

    # --- the step -----------------------------------------------------------------------------------------------------
    def step(
        self, closure: Callable[[], T] | None = None, *, multiplier: Tensor | None = None, skip: Tensor | None = None
    ) -> T | None:
        """Update all parameters that have a gradient.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss, calls backward and returns the loss.
        multiplier : Tensor of shape (), optional
            What all gradients count, 1/loss scale or what clips them; `.grad` stays as it is.
        skip : Tensor of shape (), optional
            Nothing is updated if it is true, though the step counts.

        Returns
        -------
        object
            What `closure` returned; None without one.

        Notes
        -----
        `multiplier` and `skip` are for mixed precision: kernels read them where they are, nothing waits for a GPU.
        PyTorch has neither.

        Examples
        --------
        >>> p = weft.Parameter([1.0])
        >>> optimizer = optim.SGD([p], lr=0.5)
        >>> p.grad = weft.tensor([1.0])
        >>> optimizer.step(multiplier=weft.tensor(0.5))
        >>> p.item()
        0.75
        """
        loss = None
        if closure is not None:
            if not callable(closure):
                raise TypeError(f"`closure` must be a function that returns the loss, got {closure!r:.80}")
            with autograd.enable_grad():
                loss = closure()
        if autograd.watch is None:
            self._step(multiplier, skip)
        else:
            watched(f"{type(self).__name__}.step", self._step, multiplier, skip)
        return loss

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call a function before each step, which may replace its arguments.

        Parameters
        ----------
        hook : callable
            `hook(optimizer, args, kwargs)`; what it returns, unless None, are the arguments of `step`: (args, kwargs).

        Returns
        -------
        RemovableHandle
            Its `remove()` takes the hook off.
        """
        return register(self, "before", hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call a function after each step.

        Parameters
        ----------
        hook : callable
            `hook(optimizer, args, kwargs)`, with the arguments of `step`.

        Returns
        -------
        RemovableHandle
            Its `remove()` takes the hook off.

        Examples
        --------
        >>> p = weft.Parameter([1.0])
        >>> optimizer = optim.SGD([p], lr=0.5)
        >>> handle = optimizer.register_step_post_hook(lambda optimizer, args, kwargs: print(p.tolist()))
        >>> p.grad = weft.tensor([1.0])
        >>> optimizer.step()
        [0.5]
        """
        return register(self, "after", hook)

    def _step(self, multiplier: Tensor | None, skip: Tensor | None) -> None:
        for arena, segment, group, c in self.advance():
            factor = None if multiplier is None else _on_device_of(arena, multiplier, arena.state_dtype)
            no = None if skip is None else _on_device_of(arena, skip, arena.xp.bool)
            if arena.has_kernels and self.kernel is not None:
                self._launch(segment, factor, no)
            elif no is None or not no:  # looking waits for a GPU
                self.apply(arena, segment, group, c, factor)

    def advance(self) -> list[tuple[Arena, Segment, Group, Numbers]]:
        """The host's part of a step: count it, and put its coefficients where the update reads them.

        Returns
        -------
        list of (Arena, Segment, dict, SimpleNamespace)
            What is to be updated: arena, segment, group and coefficients.

        Notes
        -----
        A step that is being recorded counts nothing: its other part, replayed from a CUDA graph, is counted before each
        replay (see `backend/modes/recorded_step.py`).

        Examples
        --------
        >>> p = weft.Parameter([1.0])
        >>> optimizer = optim.Adam([p])
        >>> p.grad = weft.tensor([1.0])
        >>> work = optimizer.advance()
        >>> len(work), optimizer.state[p]["step"]
        (1, 1)
        """
        recording = None
        if autograd.special:
            recording = active()
            forget_rounded()
        is_recorded, work = recording is not None and recording.is_recording, []
        if recording is not None:
            recording.wants_constant(self._options_of_step)
            for group in self.param_groups:
                for p in group["params"]:
                    recording.note_leaf(p)
        for k, group in enumerate(self.param_groups):
            slots = self.slots(group)
            for arena in self._current_arenas(k):
                arena.require(slots)
                if recording is not None and not is_recorded:
                    recording.holds(arena)
                for segment, clock in arena.segments():
                    if not is_recorded:
                        clock["step"] += 1
                        self._publish(arena, segment, group, clock)
                    elif segment.coefficients is None:
                        raise Unmet(
                            f"{type(self).__name__} has gradients to update with that it had not while warming up"
                        )
                    segment.written.stamp()
                    work.append((arena, segment, group, segment.scalars))
        if recording is not None and is_recorded:
            part = _Recorded(self, work)
            recording.take_part(self, part)
            if recording.call is not None:
                work = [(arena, segment, part.looking(group), c) for arena, segment, group, c in work]
        return work

    def _publish(self, arena: Arena, segment: Segment, group: Group, clock: Clock) -> None:
        """Have the coefficients of this step where the update reads them; while the options stay, those that move alone."""
        options = segment.options
        if options is not None and len(options) == len(group) and all(map(is_, options, group.values())):
            try:
                segment.pack_moving(*self.moving(group, clock).values())  # type: ignore[union-attr]
                return
            except OverflowError:  # what is infinite in float32
                pass
        numbers = as_numbers(group)
        arena.publish(segment, self.coefficients(numbers, clock))
        segment.options = None
        if arena.xp is np and all(is_fixed(name, value) for name, value in group.items()):
            moving = self.moving(group, clock)
            if moving is not None:
                arena.publish_moving(segment, (*group.values(),), moving)

    def _options_of_step(self) -> tuple:
        numbers = [[v for v in g.values() if isinstance(v, bool | int | float | tuple)] for g in self.param_groups]
        return f"the options of {type(self).__name__}", numbers

    def _launch(self, segment: Segment, multiplier: Any, skip: Any) -> None:
        from ..kernels.optimizers import update

        assert self.kernel is not None  # `_step` has looked
        rule, *names = self.kernel
        for p, g, state in segment.blocks:
            update(
                rule,
                p,
                g,
                [state.get(name) for name in names],
                segment.coefficients,
                master=state.get(MASTER),
                multiplier=multiplier,
                skip=skip,
            )

    def _current_arenas(self, k: int) -> list[Arena]:
        """The arenas of the k-th group, laid out anew if a parameter has changed its device or dtype."""
        arenas = self._arenas[k]
        are_ready = True
        for arena in arenas:
            are_ready &= arena.ready()
        if are_ready or not any(arena.has_moved() for arena in arenas):
            return arenas
        entries = self._read(k)
        self._arenas[k] = self._lay_out(self.param_groups[k]["params"])
        self._write(k, entries)
        return self._arenas[k]

    def apply(self, arena: Arena, segment: Segment, group: Group, c: Numbers, multiplier: Any = None) -> None:
        """Update one segment.

        On a CPU, block by block: all operations on one block before the next enters the cache.

        Parameters
        ----------
        arena : Arena
            Where the parameters lie.
        segment : Segment
            Which of them to update.
        group : dict
            The options of the group.
        c : SimpleNamespace
            The coefficients by name, 0-d arrays.
        multiplier : array of shape (), optional
            What the gradients count.

        Examples
        --------
        >>> p = weft.Parameter([1.0])
        >>> optimizer = optim.SGD([p], lr=0.5)
        >>> p.grad = weft.tensor([1.0])
        >>> for arena, segment, group, c in optimizer.advance():
        ...     optimizer.apply(arena, segment, group, c)
        >>> p.item()
        0.5
        """
        xp, blocks = arena.xp, segment.blocks
        if segment.scratch is not None:
            ((p, g, state),) = blocks
            self.update_cpu(p, g if multiplier is None else g * multiplier, state, group, c, segment.scratch)
        elif arena.is_half or xp is not np or arena.has_kernels:
            for p, g, state in blocks:
                g = xp.astype(g, arena.state_dtype, copy=False)
                g = g if multiplier is None else g * multiplier
                if arena.is_half:
                    w = unrounded(xp, p, state[MASTER])
                    self.update(xp, w, g, state, group, c)
                    state[MASTER][...] = w
                    p[...] = xp.astype(w, p.dtype)
                else:
                    self.update(xp, p, g, state, group, c)
        else:
            parallel_for(lambda i, j: self._update_blocks(blocks[i:j], group, c, multiplier), len(blocks), grain=_GRAIN)

    def _update_blocks(self, blocks: list[Any], group: Group, c: Numbers, multiplier: Any) -> None:
        # of this call: what a thread kept for itself would be one for all of them in a recorded step
        scratch = aligned.empty((max(p.size for p, _, _ in blocks),), blocks[0][0].dtype)
        for p, g, state in blocks:
            self.update_cpu(p, g if multiplier is None else g * multiplier, state, group, c, scratch[: p.size])

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, or fill those that exist with zeros.

        Parameters
        ----------
        set_to_none : bool, default True
            Whether to forget them.

        Notes
        -----
        Backward will write into the same memory again. A gradient that is still held as a Tensor then gets memory of its
        own and keeps its numbers; arrays that its `numpy()` or `data` gave do not.

        Examples
        --------
        >>> p = weft.Parameter([2.0])
        >>> optimizer = optim.SGD([p])
        >>> (p * p).sum().backward()
        >>> optimizer.zero_grad(set_to_none=False)
        >>> p.grad
        tensor([0.])
        >>> optimizer.zero_grad()
        >>> p.grad is None
        True
        """
        recording = active() if autograd.special else None
        for group in self.param_groups:
            for p in group["params"]:
                if recording is not None:
                    recording.note_leaf(p, is_replaced=set_to_none)
                if set_to_none:
                    p._grad = None
                elif p._grad is not None:
                    p._grad.data[...] = 0.0
                    changed(p._grad.data)

    # --- groups -------------------------------------------------------------------------------------------------------
    def add_param_group(self, param_group: Group) -> None:
        """Add parameters with options of their own.

        Parameters
        ----------
        param_group : dict
            `{"params": …, "lr": …}`; options that are missing come from the defaults.

        Raises
        ------
        TypeError
            If it is no such dict, or holds what is no Tensor.
        ValueError
            For duplicate or non-leaf parameters and options out of range.

        Examples
        --------
        >>> w, b = weft.Parameter([1.0]), weft.Parameter([0.0])
        >>> optimizer = optim.SGD([w], lr=0.1, weight_decay=0.01)
        >>> optimizer.add_param_group({"params": [b], "weight_decay": 0.0})
        >>> optimizer
        SGD (
          group 0: 1 parameters, lr=0.1, momentum=0, dampening=0, weight_decay=0.01, nesterov=False, maximize=False
          group 1: 1 parameters, lr=0.1, momentum=0, dampening=0, weight_decay=0.0, nesterov=False, maximize=False
        )
        """
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
        check_options(group, self.limits)
        self.param_groups.append(group)
        self._arenas.append(self._lay_out(params))

    def _lay_out(self, params: list[Tensor]) -> list[Arena]:
        """One arena for each device and dtype."""
        return [
            Arena([params[i] for i in indices], indices, self.clock, self.slot_shape)
            for indices in by_device_and_dtype(params)
        ]

    # --- saving -------------------------------------------------------------------------------------------------------
    @property
    def state(self) -> dict[Tensor, dict[str, Any]]:
        """What is kept for each parameter that has been updated: parameter → {"step": int, "exp_avg": view, …}.

        Examples
        --------
        >>> p = weft.Parameter([1.0])
        >>> optimizer = optim.SGD([p], momentum=0.9)
        >>> p.grad = weft.tensor([2.0])
        >>> optimizer.step()
        >>> optimizer.state[p]
        {'step': 1, 'momentum_buffer': array([2.], dtype=float32)}
        """
        rows = [row for k, g in enumerate(self.param_groups) for row in zip(g["params"], self._read(k, copy=False))]
        return {p: clock | vectors for p, (clock, vectors) in rows if clock["step"]}

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs, in PyTorch's layout and under PyTorch's names.

        Returns
        -------
        dict
            `{"state": {index: {"step": int, "exp_avg": array, …}}, "param_groups": [{"lr": …, "params": [index,
            …]}, …]}`; indices count the parameters of all groups in order; the arrays are copies in the parameters'
            shapes.

        Examples
        --------
        >>> optim.SGD([weft.Parameter([1.0])], lr=0.1).state_dict()["param_groups"][0]["params"]
        [0]
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
        """Continue from a `state_dict` of this library or of PyTorch.

        Parameters
        ----------
        state_dict : dict
            That of the same optimizer over parameters in the same order; arrays may be of any library that NumPy
            can read.

        Raises
        ------
        ValueError
            Having changed nothing, if groups, shapes or names do not fit.

        Notes
        -----
        State becomes float32 for half-precision parameters, and the parameter's dtype otherwise.

        Examples
        --------
        >>> first, second = (optim.SGD([weft.Parameter([1.0])], lr=lr) for lr in (0.1, 0.2))
        >>> second.load_state_dict(first.state_dict())
        >>> second.param_groups[0]["lr"]
        0.1
        """
        check_state(state_dict, type(self).__name__)
        saved = state_dict["param_groups"]
        groups = read_groups(self.param_groups, saved, self.limits)
        by_key = {str(key): entry for key, entry in state_dict["state"].items()}  # JSON turns the indices into strings
        found = []
        for group, theirs in zip(groups, saved):
            entries, slots = [], self.slots(group)
            for key, p in zip(theirs["params"], group["params"]):
                what = f"parameter {key} of {type(self).__name__}"
                shapes = {n: of for n in slots if (of := self.slot_shape(n, p.shape)) is not None}
                entries.append(read_entry(by_key.get(str(key), {}), self.clock, shapes, p.shape, what))
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

    # --- copying ------------------------------------------------------------------------------------------------------
    def __getstate__(self) -> dict[str, Any]:
        """For `copy` and `pickle`: the arenas are views of views, so a copy lays out its own, over its own parameters."""
        apart = "_arenas", "step", "_step_hooks"
        plain = {name: value for name, value in vars(self).items() if name not in apart}
        return plain | {"_entries": [self._read(k) for k in range(len(self.param_groups))]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        entries = state.pop("_entries")
        vars(self).update(state)
        self._arenas = [self._lay_out(group["params"]) for group in self.param_groups]
        for k, group_entries in enumerate(entries):
            self._write(k, group_entries)

    def __repr__(self) -> str:
        lines = []
        for k, group in enumerate(self.param_groups):
            options = ", ".join(f"{name}={v!r}" for name, v in group.items() if name not in ("params", "param_names"))
            lines.append(f"  group {k}: {sum(p.size for p in group['params']):,} parameters, {options}")
        return "\n".join([f"{type(self).__name__} (", *lines, ")"])


class _Looked(dict):
    """Options of a group, which notes those that an update reads on the host."""

    def __init__(self, group: Group):
        super().__init__(group)
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.names.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, default)


# Options that the rules of this library read on the host to see whether they are 0: what they count is among the coefficients.
_SWITCHES = ("weight_decay", "momentum", "dampening")


_NO_HOOKS: dict[str, list] = {"before": [], "after": []}


class _Recorded:
    """A step that was recorded: what it updates, and so what the host counts and publishes before each replay."""

    def __init__(self, optimizer: Optimizer, work: list[tuple[Arena, Segment, Group, Numbers]]):
        self.optimizer = optimizer
        self.work = [(arena, segment, group) for arena, segment, group, _ in work]
        self.held = [segment.blocks for _, segment, _ in self.work]  # memory that the graph reads and writes
        self.kinds = (bool, str) if optimizer.kernel is not None else (bool, str, int)
        self.looked = {id(group): _Looked(group) for _, _, group in self.work}  # on a CPU, where the rule itself runs
        self.state = self.current()

    def looking(self, group: Group) -> Group:
        """A group, for an update that is being recorded on a CPU."""
        return self.looked[id(group)]

    def settle(self) -> None:
        """The recording is over: what was read by now decides."""
        self.state = self.current()

    def options(self, group: Group) -> list[tuple[str, bool]]:
        """The names of options that decide, and whether by being 0 or not alone."""
        looked = self.looked[id(group)].names if id(group) in self.looked else ()
        is_ours = type(self.optimizer).__module__.partition(".")[0] == __name__.partition(".")[0]
        found = [(name, False) for name, v in group.items() if isinstance(v, self.kinds)]
        found += [(n, is_ours and n in _SWITCHES) for n in sorted(looked) if n in group and (n, False) not in found]
        return [(n, is_switch) for n, is_switch in found if n not in ("params", "param_names")]

    def current(self) -> tuple:
        """What must be as it was: the arenas' memory, who shares a clock, and options that are not among the coefficients."""
        optimizer, found = self.optimizer, []
        for group in optimizer.param_groups:
            values = [(n, bool(group[n]) if is_switch else group[n]) for n, is_switch in self.options(group)]
            found.append((list(optimizer.slots(group)), values))
        arenas = [[id(arena) for arena in arenas] for arenas in optimizer._arenas]
        hooks = [len(of) for of in vars(optimizer).get("_step_hooks", _NO_HOOKS).values()]
        own = id(vars(optimizer).get("step"))  # a `step` that was put in the place of the class's
        return found, arenas, [arena.holds(segment) for arena, segment, _ in self.work], own, hooks

    def is_current(self) -> bool:
        return self.current() == self.state

    def terms(self, text: Any) -> list[str] | None:
        """The same as text for `backend/modes/guard.py`; None where a segment is not all of an arena."""
        optimizer = self.optimizer
        if not all(_is_whole(arena, segment) for arena, segment, _ in self.work):
            return None
        groups, arenas = text.bound(optimizer.param_groups), text.bound(optimizer._arenas)
        found = [text.is_(f"{text.bound(optimizer)}.param_groups", optimizer.param_groups)]
        found.append(text.is_(f"{text.bound(vars(optimizer))}.get('step')", vars(optimizer).get("step")))
        if hooks := vars(optimizer).get("_step_hooks"):
            found.append(f"not any({text.bound(hooks)}.values())")
        found.append(f"len({groups}) == {len(optimizer.param_groups)}")
        for k, group in enumerate(optimizer.param_groups):
            name = text.bound(group)
            found.append(text.is_(f"{groups}[{k}]", group))
            for n, is_switch in self.options(group):
                switch = f"{'' if group[n] else 'not '}{name}[{n!r}]"
                found.append(switch if is_switch else text.is_(f"{name}[{n!r}]", group[n]))
            found.append(f"{arenas}[{k}] == {text.bound(list(optimizer._arenas[k]))}")
        for arena, segment, _ in self.work:
            held = text.bound(arena)
            found.append(
                f"{held}.is_uniform and {text.is_(f'{held}._segments.get({(segment.start, segment.stop)})', segment)}"
            )
            found += [text.is_(f"{text.bound(p)}.data", value) for p, value, _ in arena.rows]
        return found

    def counting(self, text: Any) -> tuple[list[str], list[str]]:
        """`count` as text, and what takes it back."""
        if not all(_is_whole(arena, segment) for arena, segment, _ in self.work):
            undo = f"u{text.bound(self)}"
            return [f"{undo} = {text.bound(self)}.remembered()", f"{text.bound(self)}.count()"], [f"{undo}()"]
        lines, back = ["if A.special: " + text.bound(forget_rounded) + "()"], []
        publish, moving = text.bound(self.optimizer._publish), text.bound(self.optimizer.moving)
        for arena, segment, group in self.work:
            name, held, options = text.bound(arena), text.bound(segment), text.bound(group)
            k, u = f"k{held}", f"u{held}"
            lines += [f"{k} = {name}.clocks[0]", f"{u} = {k}.copy()", f"{k}['step'] += 1", f"w = {held}.options"]
            guarded = ("params", "param_names", *(n for n, is_switch in self.options(group) if not is_switch))
            same = [f"{options}[{n!r}] is w[{i}]" for i, n in enumerate(group) if n not in guarded]
            lines += [
                f"if {' and '.join(['w', *same])}:",  # as `_publish`, without a call more
                f"    try: {held}.pack_moving(*{moving}({options}, {k}).values())",
                f"    except OverflowError: {publish}({name}, {held}, {options}, {k})",
                f"else: {publish}({name}, {held}, {options}, {k})",
                f"LAST.write = {text.bound(segment.written)}.time = next(CLOCK)",
            ]
            back.append(f"{k}.update({u})")
        return lines, back

    def remembered(self) -> Callable[[], None]:
        """What takes `count` back."""
        arenas = [arena for arena, _, _ in self.work]
        before = [(arena, list(arena.clocks), [dict(c) for c in arena.clocks], arena.is_uniform) for arena in arenas]

        def undo() -> None:
            for arena, clocks, contents, is_uniform in before:
                for clock, content in zip(clocks, contents):
                    clock.update(content)
                arena.clocks, arena.is_uniform = clocks, is_uniform

        return undo

    def count(self) -> None:
        """Take the host's part of the step, as `Optimizer.advance` does."""
        forget_rounded()
        for arena, segment, group in self.work:
            clock = arena.clock_of(segment)
            clock["step"] += 1
            self.optimizer._publish(arena, segment, group, clock)
            segment.written.stamp()


def _is_whole(arena: Arena, segment: Segment) -> bool:
    return segment.start == 0 and segment.stop == len(arena.rows) and arena.is_uniform


def _on_device_of(arena: Arena, value: Tensor, dtype: Any) -> Any:
    """The raw array of a 0-d Tensor, on the arena's device and in this dtype."""
    raw = value.data if value.device == arena.device else arena.xp.asarray(value.numpy())
    return arena.xp.astype(raw, dtype, copy=False)
