"""`torch.profiler`, by weft's own profiler: its table, not PyTorch's."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from ...backend.modes import profiler

__all__ = ["FUNCTIONS", "profile", "record_function"]


class profile:
    """Measures every operation within the block.

    Parameters
    ----------
    activities, schedule, on_trace_ready : object
        PyTorch's; the handler is called at the end.
    **_options : object
        PyTorch's, which change nothing.
    """

    def __init__(self, activities: Any = None, schedule: Any = None, on_trace_ready: Any = None, **_options: Any):
        self.own, self.on_trace_ready = profiler.profile(), on_trace_ready

    def __enter__(self) -> profile:
        self.own.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.own.__exit__(*error)
        if self.on_trace_ready is not None:
            self.on_trace_ready(self)

    def start(self) -> None:
        """Begin."""
        self.__enter__()

    def stop(self) -> None:
        """End."""
        self.__exit__(None, None, None)

    def step(self) -> None:
        """PyTorch's; it changes nothing: all steps are measured."""

    def key_averages(self, *_args: Any, **_options: Any) -> profile:
        """What was measured.

        Parameters
        ----------
        *_args, **_options : object
            PyTorch's, which change nothing.

        Returns
        -------
        profile
            Itself.
        """
        return self

    def table(self, *_args: Any, **_options: Any) -> str:
        """What was measured, as text.

        Parameters
        ----------
        *_args, **_options : object
            PyTorch's, which change nothing.

        Returns
        -------
        str
            Operations by falling time.
        """
        return str(self.own)

    def export_chrome_trace(self, path: str) -> None:
        """Write the table.

        Parameters
        ----------
        path : str
            Where to.
        """
        with open(path, "w", encoding="utf-8") as file:
            file.write(str(self.own))


class record_function:
    """A name for a block, which changes nothing.

    Parameters
    ----------
    name : str
        Which.
    """

    def __init__(self, name: str):
        self.name = name

    def __enter__(self) -> record_function:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _nothing_ready(*_args: Any, **_options: Any) -> Callable[[Any], None]:
    return lambda _profile: None


FUNCTIONS: dict[str, Any] = {
    "profile": profile,
    "record_function": record_function,
    "ProfilerActivity": types.SimpleNamespace(CPU="cpu", CUDA="cuda"),
    "schedule": lambda **_options: None,
    "tensorboard_trace_handler": _nothing_ready,
}
