"""The flat arena: parameters of one group, their gradients and the optimizer's state, each in one contiguous vector.

    values  [ W₁ ………… | b₁ … | W₂ ……… | b₂ … ]      each p.data is a view
    grads   [ ∂W₁ ……… | ∂b₁ … | ∂W₂ …… | ∂b₂ … ]     each p._grad_view is a view: backward writes there and sets p.grad
    state   [ m₁ ………… | …                      ]      one vector per name ("exp_avg", …), in the same layout

so that an update is a handful of operations on a few long vectors, or one CUDA kernel, and `autocast` rounds all
parameters by one more. Each parameter starts on a 64-byte boundary, for SIMD loads and for cuBLAS; the padding in
between is updated like everything else, with a gradient of zero.

Parameters of half precision have *master weights*, one more state vector in float32: what the updates add up in, so
that steps smaller than a parameter's last bit are not lost. The parameter is its master, rounded. Where it is not, it
has been written to by somebody else (or the master is new, and zero): then the parameter is right.

Only namespaces whose slices and reshapes are views can host an arena (NumPy, CuPy, array_api_strict).
"""

from __future__ import annotations

import functools
import math
import struct
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from ..backend.cpu import aligned
from ..backend.device import devices, dtypes
from ..backend.modes.autocast import Rounding
from ..backend.tape.autograd import leave_to_holder
from ..backend.tape.sharing import leave, move, part_of
from ..backend.tape.tensor import Parameter, Tensor
from .rule import Clock, Numbers, Vectors

__all__ = ["MASTER", "Arena", "Layout", "Segment", "contiguous", "unrounded", "by_device_and_dtype", "runs_kernels"]

ALIGNMENT = 64  # bytes: a cache line, an AVX-512 register, four float4 loads of CUDA
MASTER = "master_param"  # the name of master weights among the state vectors

# A CPU updates vectors in pieces of this many bytes: short enough that parameter, gradient, two moments and scratch
# stay in an L2 cache of 1 MB while the operations of an update pass over them; long enough that threads, which take
# turns between calls of NumPy, seldom wait for each other. Adam over 535,818 float32 parameters on a 2-core Xeon 6248,
# ms with one thread, two: 96 KiB 1.85, 1.46; 192 KiB 1.66, 1.18; 256 KiB 1.70, 1.00; 1.5 MiB 2.24, 1.67.
BLOCK_BYTES = 192 * 1024

_owners: weakref.WeakValueDictionary[int, Arena] = (
    weakref.WeakValueDictionary()
)  # id(view) → the arena that holds the view


class Layout:
    """Where each of some tensors of one device and dtype lies in a flat vector.

    `shapes` are those of what belongs to the tensors, where it has other shapes than they; None takes no room.
    """

    def __init__(self, params: Sequence[Tensor], shapes: Sequence[tuple[int, ...] | None] | None = None):
        self.params = list(params)
        like = params[0].data
        self.device, self.dtype, self.xp = params[0].device, like.dtype, devices.namespace_of(like)
        self.shapes: list[Any] = [p.data.shape for p in params] if shapes is None else list(shapes)
        # State of half-precision weights is kept, and their updates are computed, in float32.
        self.is_half = dtypes.of(like).itemsize < 4
        self.state_dtype = self.xp.float32 if self.is_half else like.dtype
        self.offsets, self.ends, end = [], [], 0
        multiple = ALIGNMENT // dtypes.of(like).itemsize
        for shape in self.shapes:
            self.offsets.append(-(-end // multiple) * multiple)
            end = self.offsets[-1] + (0 if shape is None else math.prod(shape))
            self.ends.append(end)

    def vector(self, dtype: Any, fill: float = 0.0, size: int | None = None) -> Any:
        """A new vector with room for all, or for `size` elements."""
        size = self.ends[-1] if size is None else size
        if self.xp is np:
            vector = aligned.empty((size,), dtype)
            vector.fill(fill)
            return vector
        return self.xp.full((size,), fill, dtype=dtype, device=self.params[0].data.device)

    def view(self, vector: Any, i: int) -> Any:
        """The i-th tensor's part of a vector, in the tensor's shape."""
        return self.xp.reshape(vector[self.offsets[i] : self.ends[i]], self.shapes[i])


class Segment:
    """Consecutive parameters `start … stop-1` of an arena, updated together.

    `blocks` lists flat vectors (p, g, {name: state}): pieces of BLOCK_BYTES for a CPU, one whole otherwise.
    `scratch` is room for an update's intermediates where NumPy updates one block alone; else None.
    `coefficients` is the vector of what `Arena.publish` was given last, on the arena's device, and `scalars` its
    elements by name. On a CPU, `options` are the values of the group's options that they are of, if these alone and the
    clock decide, and `pack_moving` writes those that move with the clock. `written` notes when the parameters were last
    written to.
    """

    __slots__ = (
        "blocks",
        "coefficients",
        "numbers",
        "options",
        "pack",
        "pack_moving",
        "scalars",
        "scratch",
        "start",
        "stop",
        "written",
    )

    scalars: Numbers
    pack: Callable[..., None]
    pack_moving: Callable[..., None]

    def __init__(self, arena: Arena, start: int, stop: int):
        self.start, self.stop = start, stop
        self.numbers: tuple[float, ...] | None = None
        self.coefficients: Any = None
        self.options: tuple | None = None
        at, end = arena.own
        first, last = max(arena.offsets[start], at), min(arena.ends[stop - 1], end)
        last = max(first, last)
        self.written = part_of(arena.values[first:last])
        is_cut = arena.xp is np and not arena.has_kernels
        step = BLOCK_BYTES // dtypes.of(arena.values).itemsize if is_cut else max(1, last - first)
        cuts = [slice(i, min(i + step, last)) for i in range(first, last, step)]
        state = {k: v for k, v in arena.state.items() if arena.layout(k) is arena}
        self.blocks = [
            (arena.values[c], arena.grads[c], {k: v[c.start - at : c.stop - at] for k, v in state.items()})
            for c in cuts
        ]
        is_alone = is_cut and not arena.is_half and len(cuts) == 1
        self.scratch = aligned.empty((last - first,), arena.dtype) if is_alone else None


class Arena(Layout):
    """Lays parameters of one device and dtype out in one vector of values and one of gradients, and adopts them.

    The arena that was built last over a parameter owns its memory. When somebody re-points `p.data` (`p.data = …`,
    `model.to(…)`, a second optimizer), the next step copies the new values in and takes the parameter back; two
    optimizers over one parameter so take turns, correctly, at the price of a copy per step. Keep hold of the Parameter,
    not of its `.data`. A `p.grad` that is not the arena's view (set by hand) is copied in at the step.

    `clocks[i]` is a dict of what has been counted for parameter i (its "step"); parameters with one history share it.
    `has_kernels`: CUDA kernels can update it.
    """

    def __init__(
        self,
        params: Sequence[Tensor],
        indices: Sequence[int],
        clock: Clock,
        slot_shape: Callable[[str, tuple[int, ...]], tuple[int, ...] | None] = lambda name, shape: shape,
    ):
        super().__init__(params)
        self._slot_shape, self._slot_layouts = slot_shape, dict[str, Layout | None]()
        self.indices = list(indices)  # where the parameters stand in their group
        self.has_kernels = runs_kernels(self.device, self.dtype)
        self.values, self.grads = self.vector(self.dtype), self.vector(self.dtype)
        self._code = "d" if dtypes.of(self.values).itemsize == 8 else "f"  # as `struct` writes it
        self.state: Vectors = {}
        self.part_number = 0
        self._slots: Mapping[str, float] | None = None  # what `require` was last asked for
        self.clocks = [dict(clock)] * len(self.params)
        self.is_uniform = True  # every parameter has the same clock
        self.is_ready = False
        self._segments: dict[tuple[int, int], Segment] = {}
        self._whole: list[tuple[Segment, Clock]] | None = None  # what `segments` returns for an arena that is ready
        self.places: dict[int, tuple[Any, int]] = {}
        self.rows = [(p, self.view(self.values, i), self.view(self.grads, i)) for i, p in enumerate(self.params)]
        self.rounding = Rounding(self.values, [value for _, value, _ in self.rows], self.offsets, weakref.ref(self))
        for i, row in enumerate(self.rows):
            self._adopt(i)
            for vector, view in zip((self.values, self.grads), row[1:]):
                self.places[id(view)] = vector, i
                _owners[id(view)] = self

    # Of several processes that each keep a part of the state, `cuts` says which: process r has elements cuts[r] … of
    # every vector, and updates those (`weft.distributed.ZeroRedundancyOptimizer`). None: all are here.
    cuts: list[int] | None = None
    reduces_own_part = False  # whether the gradients of others' parts are not added up here

    @property
    def own(self) -> tuple[int, int]:
        """Where the elements that are updated here begin and end."""
        return (
            (0, self.ends[-1]) if self.cuts is None else (self.cuts[self.part_number], self.cuts[self.part_number + 1])
        )

    def move_grads(self, vector: Any) -> None:
        """Have gradients in other memory from the next step on; those of now are copied there by it, if they are needed."""
        vector[...] = 0
        rows = []
        for i, (p, value, old) in enumerate(self.rows):
            view = self.view(vector, i)
            del self.places[id(old)]
            _owners.pop(id(old), None)
            self.places[id(view)] = vector, i
            _owners[id(view)] = self
            if isinstance(p, Parameter) and p._grad_view is old:
                p._grad_view = view
            rows.append((p, value, view))
        self.rows, self.grads = rows, vector
        self.is_ready = False
        self._forget_segments()

    def keep_part(self, number: int, of: int, *, reduces_own_part: bool = False) -> None:
        """Keep the state of one of `of` parts alone, which begin at cache lines."""
        multiple, end = ALIGNMENT // dtypes.of(self.values).itemsize, self.ends[-1]
        self.part_number, self.reduces_own_part = number, reduces_own_part
        self.cuts = [min(end, -(-end * r // of // multiple) * multiple) for r in range(of)] + [end]
        self.state.clear()
        self._slots = None
        self._forget_segments()

    def _adopt(self, i: int) -> None:
        p, value, grad = self.rows[i]
        if p.data is not value:
            leave(p, value)
            value[...] = p.data
            move(p, value)
        if isinstance(p, Parameter):
            p._grad_view, p._place = grad, (self.rounding, i)

    def require(self, slots: Mapping[str, float]) -> None:
        """Have a state vector for each name, and master weights, filled with the given number where it is new."""
        if slots is self._slots or slots == self._slots:
            return
        for name, fill in ({**slots, MASTER: 0.0} if self.is_half else slots).items():
            if name not in self.state:
                own = None if self.cuts is None else self.own[1] - self.own[0]
                self.state[name] = self.layout(name).vector(self.state_dtype, fill, own)
                self._forget_segments()
        self._slots = slots if type(slots) is MappingProxyType else dict(slots)

    def layout(self, name: str) -> Layout:
        """Where the parts of a state vector lie: as the parameters do, unless they have other shapes."""
        if name not in self._slot_layouts:
            shapes = [shape if name == MASTER else self._slot_shape(name, shape) for shape in self.shapes]
            self._slot_layouts[name] = None if shapes == self.shapes else Layout(self.params, shapes)
        return self._slot_layouts[name] or self

    def part(self, name: str, i: int) -> Any:
        """The i-th parameter's part of a state vector."""
        return self.layout(name).view(self.state[name], i)

    def _forget_segments(self) -> None:
        self._segments.clear()
        self._whole = None

    # --- at each step -------------------------------------------------------------------------------------------------
    def ready(self) -> bool:
        """Whether all values and gradients are where they belong, and all parameters have the same history."""
        self.is_ready = self.is_uniform
        for p, value, grad in self.rows:
            g = p._grad
            if p.data is not value or g is None or g.data is not grad:
                self.is_ready = False
                break
        return self.is_ready

    def has_moved(self) -> bool:
        """Whether a parameter has moved to another device or dtype, so that the arenas must be laid out anew."""
        for i, (p, value, _) in zip(self.indices, self.rows):
            if p.data.shape != value.shape:
                raise ValueError(
                    f"`params[{i}]` must keep its shape {tuple(value.shape)}, but its data now has shape "
                    f"{tuple(p.data.shape)}; build a new optimizer for it"
                )
            if p.device != self.device or p.data.dtype != self.dtype:
                return True
        return False

    def segments(self) -> list[tuple[Segment, Clock]]:
        """What to update: maximal runs of neighbours that have gradients and equal clocks, each with its one clock.

        Usually one: everything. Call `ready` before.
        """
        n = len(self.rows)
        if self.is_ready:
            if self._whole is None:
                self._whole = [(self._segment(0, n), self.clocks[0])]
            return self._whole
        self._whole = None  # clocks may become others
        has_grad = [self._gather(i) for i in range(n)]
        found, start = [], 0
        while start < n:
            stop = start + 1
            if has_grad[start]:
                while stop < n and has_grad[stop] and self.clocks[stop] == self.clocks[start]:
                    stop += 1
                clock = dict(self.clocks[start])  # of its own: a neighbour that sits this step out keeps the old one
                self.clocks[start:stop] = [clock] * (stop - start)
                found.append((self._segment(start, stop), clock))
            start = stop
        self.is_uniform = all(clock is self.clocks[0] for clock in self.clocks)
        return found

    def holds(self, segment: Segment) -> bool:
        """Whether a segment still has its parameters, in the arena's memory, with one history."""
        start, stop = segment.start, segment.stop
        for p, value, _ in self.rows[start:stop]:
            if p.data is not value:
                return False
        clocks = [] if self.is_uniform else self.clocks[start:stop]
        return self._segments.get((start, stop)) is segment and all(clock == clocks[0] for clock in clocks)

    def clock_of(self, segment: Segment) -> Clock:
        """The clock of a segment's parameters, which have one history; from now on it is theirs alone."""
        start, stop = segment.start, segment.stop
        clock = self.clocks[start]
        if stop - start < len(self.rows) or not self.is_uniform:
            clock = dict(clock)
            self.clocks[start:stop] = [clock] * (stop - start)
            self._whole = None
            self.is_uniform = stop - start == len(self.rows)
        return clock

    def _gather(self, i: int) -> bool:
        """Bring one parameter's value and gradient into the arena; whether it has a gradient."""
        p, value, grad = self.rows[i]
        if p.data is not value:
            self._adopt(i)
        if p._grad is None:
            return False
        if p._grad.data is not grad:
            if isinstance(p, Parameter):
                leave_to_holder(p)
            grad[...] = self.xp.astype(p._grad.data, self.dtype, copy=False)
        return True

    def _segment(self, start: int, stop: int) -> Segment:
        segment = self._segments.get((start, stop))
        if segment is None:
            segment = self._segments[start, stop] = Segment(self, start, stop)
        return segment

    def shown(self, f: Callable[[Any], Any]) -> Callable[[], None]:
        """Show all memory through `f`, parameters and gradients included; returns what takes that back."""
        names = ("values", "grads", "state", "rows", "_segments", "_whole", "clocks", "is_uniform", "is_ready")
        before = {name: getattr(self, name) for name in names}
        segments = list(self._segments.values())
        fields = [(s, s.blocks, s.scratch, s.coefficients, getattr(s, "scalars", None)) for s in segments]
        tensors: list[tuple[Any, str, Any, Any]] = []
        self.values, self.grads = f(self.values), f(self.grads)
        self.state = {k: f(v) for k, v in self.state.items()}
        self.rows, self._segments, self.clocks = [], dict(self._segments), list(self.clocks)
        for i, (p, value, grad) in enumerate(before["rows"]):
            row = p, f(value), f(grad)
            self.rows.append(row)
            holders = [(p, "data", value, row[1])]
            if isinstance(p, Parameter):
                holders += [(p, "_grad_view", grad, row[2]), (p._grad_tensor, "data", grad, row[2])]
            holders.append((p._grad, "data", grad, row[2]))
            tensors += [h for h in holders if h[0] is not None and getattr(h[0], h[1]) is h[2]]
            for vector, view in zip((self.values, self.grads), row[1:]):
                self.places[id(view)] = vector, i
                _owners[id(view)] = self
        for holder, name, _, new in tensors:
            setattr(holder, name, new)
        for s, blocks, scratch, coefficients, scalars in fields:
            s.blocks = [(f(p), f(g), {k: f(v) for k, v in state.items()}) for p, g, state in blocks]
            s.scratch = None if scratch is None else f(scratch)
            if scalars is not None:
                s.coefficients, s.scalars = f(coefficients), Numbers(**{k: f(v) for k, v in vars(scalars).items()})

        shown, rounding = self.rows, self.rounding
        halves = rounding.values, rounding._halves
        rounding.values = self.values
        rounding._halves = {k: (f(v), [f(part) for part in parts]) for k, (v, parts) in halves[1].items()}

        def undo() -> None:
            rounding.values, rounding._halves = halves
            for (p, value, grad), (_, new_value, new_grad) in zip(before["rows"], shown):
                if p.data is new_value:
                    p.data = value
                if isinstance(p, Parameter) and p._grad_view is new_grad:
                    p._grad_view = grad
                for g in (p._grad, getattr(p, "_grad_tensor", None)):
                    if g is not None and g.data is new_grad:
                        g.data = grad
                for view in (new_value, new_grad):
                    del self.places[id(view)], _owners[id(view)]
            for s, blocks, scratch, coefficients, scalars in fields:
                s.blocks, s.scratch = blocks, scratch
                if scalars is not None:
                    s.coefficients, s.scalars = coefficients, scalars
            vars(self).update(before)

        return undo

    def publish(self, segment: Segment, coefficients: dict[str, float]) -> None:
        """Put the numbers of this step into `segment.coefficients`, and as 0-d arrays of it, by name, into `segment.scalars`.

        Arrays, because an operation with a 0-d array costs NumPy 1 µs less than with a Python number, and because a
        CUDA graph reads them from where they are. One small copy per change.
        """
        numbers = tuple(coefficients.values())
        if segment.coefficients is None or segment.coefficients.shape != (len(numbers),):
            segment.coefficients = self.xp.zeros((len(numbers),), dtype=self.state_dtype, device=self.values.device)
            cells = [self.xp.reshape(segment.coefficients[i : i + 1], ()) for i in range(len(numbers))]
            segment.scalars = Numbers(**dict(zip(coefficients, cells)))
            segment.pack = self._packing(segment, len(numbers))
            segment.numbers = segment.options = None
        if self.xp is np:
            try:  # a sixth of the time
                segment.pack(*numbers)
            except OverflowError:  # what is infinite in float32
                segment.coefficients[...] = numbers
        elif numbers != segment.numbers:
            segment.coefficients[...] = self.xp.asarray(numbers, dtype=self.state_dtype)
            segment.numbers = numbers

    def publish_moving(self, segment: Segment, options: tuple, moving: dict[str, float]) -> None:
        """Note that of what was published with these options, `moving`, which are neighbours, will change with the clock."""
        names = list(vars(segment.scalars))
        segment.pack_moving = self._packing(segment, len(moving), names.index(next(iter(moving))) if moving else 0)
        segment.options = options

    def _packing(self, segment: Segment, n: int, first: int = 0) -> Callable[..., None]:
        pack = struct.Struct(f"{n}{self._code}").pack_into
        return functools.partial(pack, segment.coefficients, first * struct.calcsize(self._code))

    # --- saving -------------------------------------------------------------------------------------------------------
    def read(self, i: int, names: Iterable[str], *, copy: bool) -> tuple[Clock, Vectors]:
        """Clock and state (in the parameter's shape), master weights included, of the i-th parameter."""
        names = [*names, MASTER] if self.is_half else names
        views = {name: self.part(name, i) for name in names if self.layout(name).shapes[i] is not None}
        return dict(self.clocks[i]), {k: self.xp.asarray(v, copy=True) for k, v in views.items()} if copy else views

    def restore(self, slots: Mapping[str, float], entries: Sequence[tuple[Clock, Vectors]]) -> None:
        """Replace clocks and state by those of each parameter in order; vectors that are missing start anew.

        Where they have the names that there are, in the same memory: a captured step goes on with it.
        """
        fills = {**slots, MASTER: 0.0} if self.is_half else slots
        if self.state.keys() != fills.keys():
            self.state.clear()
            self._forget_segments()
        self._slots, self._whole = None, None
        self.require(slots)
        self.clocks = [dict(clock) for clock, _ in entries]
        self.is_uniform = False  # `segments` finds out
        for i, (_, vectors) in enumerate(entries):
            for name, fill in fills.items():
                if self.layout(name).shapes[i] is None:
                    continue
                value = vectors.get(name, fill)
                if not isinstance(value, float | int):
                    value = value if type(value) is type(self.values) else devices.to_numpy(value)
                    value = self.xp.asarray(value, dtype=self.state_dtype, device=self.values.device)
                self.part(name, i)[...] = value


def arena_of(view: Any) -> Arena | None:
    """The arena that holds a gradient's view, if one does."""
    return None if view is None else _owners.get(id(view))


def unrounded(xp: Any, p: Any, master: Any) -> Any:
    """Half-precision parameters in float32: their master weights, where these round to them."""
    return xp.where(xp.astype(master, p.dtype) == p, master, xp.astype(p, master.dtype))


def runs_kernels(device: str, *dtypes: Any) -> bool:
    """Whether the device runs our CUDA kernels, and they are for arrays of these dtypes."""
    if devices.kind(device) not in ("cuda", "emulator"):
        return False
    from ..kernels.toolchain.launch import FLOATS  # wants ml_dtypes: not before there is such a device

    return all(dtype in FLOATS for dtype in dtypes)


def contiguous(arrays: Sequence[Any]) -> list[Any]:
    """The same memory in fewer arrays: views of an arena that are neighbours come back as one vector, padding included.

    Other arrays are returned as they are. The padding of gradients is zero: it changes no sum, maximum or scaling.
    """
    merged: list[Any] = []
    i = 0
    while i < len(arrays):
        arena = _owners.get(id(arrays[i]))
        if arena is None:
            merged.append(arrays[i])
            i += 1
            continue
        vector, first = arena.places[id(arrays[i])]
        last = first
        while (i := i + 1) < len(arrays):
            following = arena.places.get(id(arrays[i]))
            if following is None or following[0] is not vector or following[1] != last + 1:
                break
            last += 1
        merged.append(vector[arena.offsets[first] : arena.ends[last]])
    return merged


def gathered(arrays: Sequence[Any]) -> list[Any]:
    """The same memory in as few arrays as can be, for what asks for no order.

    A model's parameters go to and fro between the vectors of several groups, as decayed weights and norms do.
    """
    merged = contiguous(arrays)
    if len(merged) < 4:  # not worth it
        return merged
    numbers: dict[int, int] = {}

    def place(a: Any) -> tuple[int, int]:
        arena = _owners.get(id(a))
        vector, i = (a, 0) if arena is None else arena.places[id(a)]
        return numbers.setdefault(id(vector), len(numbers)), i

    return contiguous(sorted(arrays, key=place))


def by_device_and_dtype(params: Sequence[Tensor]) -> list[list[int]]:
    """The positions of parameters of each device and dtype, which is what one vector can hold."""
    found: dict[Any, list[int]] = {}
    for i, p in enumerate(params):
        found.setdefault((p.device, p.data.dtype), []).append(i)
    return list(found.values())
