"""Where the time goes: a table of the operations that ran, forward and backward."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NamedTuple

from ..device import devices
from ..device.memory import peak_of_tensors, size
from ..tape.tensor import Tensor
from ..tape.watching import Operation, watching

__all__ = ["ProfileRow", "profile"]


class ProfileRow(NamedTuple):
    """What one operation took, all its calls together.

    Parameters
    ----------
    name : str
        The primitive's.
    calls : int
        How many, forward.
    forward, backward : float
        Seconds in the forward and in the backward passes.
    nbytes : int
        The bytes of its results, gradients included.

    Examples
    --------
    >>> with weft.profile() as p:
    ...     y = weft.exp(weft.ones(2))
    >>> row = p.rows[0]
    >>> row.name, row.calls, row.nbytes
    ('exp', 1, 8)
    """

    name: str
    calls: int
    forward: float
    backward: float
    nbytes: int

    @property
    def seconds(self) -> float:
        """Forward and backward together."""
        return self.forward + self.backward


class _Host:
    """Wall time."""

    mark = staticmethod(time.perf_counter)
    seconds = staticmethod(lambda start, end: end - start)


class _Cuda:
    """CUDA events, in the stream between the kernels: nobody waits until the end."""

    def __init__(self) -> None:
        import cupy

        self.cuda = cupy.cuda

    def mark(self) -> Any:
        event = self.cuda.Event()
        event.record()
        return event

    def seconds(self, start: Any, end: Any) -> float:
        end.synchronize()
        return self.cuda.get_elapsed_time(start, end) / 1e3


class profile:
    """Measure every operation of this thread within the block; `print` shows the table, `rows` has the numbers.

    Attributes
    ----------
    rows : list of ProfileRow
        By falling time; there once the block has ended. Entered again, it goes on adding.
    seconds : float
        What the whole block took.
    peak_memory : int or None
        The most bytes that tensors took on the current GPU at one time, those from before included; None on a CPU.

    Notes
    -----
    Time is the host's clock around each operation; once a GPU is in use, CUDA events in its stream around the kernels
    (where the GPU waits for the host between them, that is part of the time: operations too small for a GPU show).
    The optimizer's steps are in the table, too; "elsewhere" is all between operations, Python for the most part.
    "results" are the bytes of what operations returned, gradients included, views as if they were copies. Captured
    steps are run operation by operation. Measuring costs some microseconds an operation. Nearer to the hardware:
    `weft.nvtx.emit`, and NVIDIA's profilers.

    Examples
    --------
    >>> model, x = nn.Linear(100, 10), weft.ones((32, 100))
    >>> with weft.profile() as p:
    ...     model(x).sum().backward()
    >>> print(p)
    operation  calls    forward   backward  share  results
    ...
    >>> sorted((row.name, row.calls, row.nbytes) for row in p.rows)
    [('linear', 1, 5320), ('sum', 1, 1284)]
    """

    def __init__(self) -> None:
        self.rows: list[ProfileRow] = []
        self.seconds = 0.0
        self.peak_memory: int | None = None
        self._marks: list[tuple[str, bool, Any, Any, int]] = []
        self._stack = ExitStack()

    def __enter__(self) -> profile:
        on_gpu = "cuda" in devices._opened
        self._clock: Any = _Cuda() if on_gpu else _Host()
        self._peak = self._stack.enter_context(peak_of_tensors()) if on_gpu else None
        self._stack.enter_context(watching(self._begin))
        self._start = self._clock.mark()
        return self

    def __exit__(self, *error: object) -> None:
        end = self._clock.mark()
        self._stack.close()
        self.seconds += self._clock.seconds(self._start, end)
        if self._peak is not None:
            self.peak_memory = max(self._peak.peak, self.peak_memory or 0)
        self._add_up()

    def _begin(self, operation: Operation) -> Callable[[Any], Any]:
        name, is_backward, start = operation.name, operation.is_backward, self._clock.mark()
        return lambda result: self._marks.append((name, is_backward, start, self._clock.mark(), _bytes(result)))

    def _add_up(self) -> None:
        rows = {row.name: row for row in self.rows}
        for name, is_backward, start, end, nbytes in self._marks:
            _, calls, forward, backward, total = rows.get(name) or ProfileRow(name, 0, 0.0, 0.0, 0)
            taken = self._clock.seconds(start, end)
            there, back = (0.0, taken) if is_backward else (taken, 0.0)
            rows[name] = ProfileRow(name, calls + (not is_backward), forward + there, backward + back, total + nbytes)
        self._marks.clear()
        self.rows = sorted(rows.values(), key=lambda row: -row.seconds)

    def _lines(self) -> tuple[list[tuple[str, ...]], list[str]]:
        """The cells: a header, the operations, what was between them, all together; and what is to be said below."""

        def share(seconds: float) -> str:
            return f"{seconds / (self.seconds or 1.0):.1%}"

        elsewhere = self.seconds - sum(row.seconds for row in self.rows)
        lines: list[tuple[str, ...]] = [("operation", "calls", "forward", "backward", "share", "results")]
        for row in self.rows:
            times = (_time(row.forward), _time(row.backward))
            lines.append((row.name, f"{row.calls:,}", *times, share(row.seconds), size(row.nbytes)))
        lines.append(("elsewhere", "", _time(elsewhere), "", share(elsewhere), ""))
        lines.append(("in all", "", _time(self.seconds), "", "", ""))
        peak = [] if self.peak_memory is None else [f"at most {size(self.peak_memory)} in tensors at one time"]
        return lines, peak

    def __str__(self) -> str:
        lines, peak = self._lines()
        widths = [max(map(len, column)) for column in zip(*lines)]
        text = [
            "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:]))]).rstrip()
            for line in lines
        ]
        rule = "─" * (sum(widths) + 2 * (len(widths) - 1))
        return "\n".join([text[0], rule, *text[1:-2], rule, *text[-2:], *peak])

    def _repr_html_(self) -> str:
        from ..device import markup  # a notebook alone pays for it

        lines, peak = self._lines()
        return markup.table(lines[0], lines[1:], peak)


def _bytes(result: Any) -> int:
    """Those of the arrays that an operation returned."""
    if isinstance(result, tuple | list):
        return sum(map(_bytes, result))
    while isinstance(result, Tensor):
        result = result.data
    return getattr(result, "nbytes", 0)


def _time(seconds: float) -> str:
    if not seconds:
        return "–"
    return f"{seconds * 1e6:,.1f} µs" if abs(seconds) < 1e-3 else f"{seconds * 1e3:,.2f} ms"
