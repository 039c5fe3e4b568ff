"""Which callbacks take part in the loop over batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .callbacks import Callback

__all__ = ["Listeners"]

EVENTS = ("on_batch_begin", "on_loss", "on_gradients", "on_batch_end")


class Listeners:
    """The callbacks that override a method called at every batch: all others cost nothing there.

    Parameters
    ----------
    call : function of a Callback and a method's name, optional
        Calls that method, with what it is to receive. May be left out where there are no callbacks.

    Examples
    --------
    >>> class Print(Callback):
    ...     def on_loss(self, trainer):
    ...         print("the loss of", trainer)
    >>> listeners = Listeners(lambda callback, event: getattr(callback, event)("a trainer"))
    >>> listeners.find([Callback(), Print()])
    >>> listeners.notify("on_loss")
    the loss of a trainer
    """

    def __init__(self, call: Callable[[Callback, str], None] | None = None):
        self._call = call
        self.find([])

    def find(self, callbacks: Iterable[Callback]) -> None:
        """Find those that listen.

        Parameters
        ----------
        callbacks : iterable of Callback
            In the order in which they are called.
        """
        callbacks = list(callbacks)
        self._of = {event: [c for c in callbacks if _overrides(c, event)] for event in EVENTS}

    def to(self, event: str) -> list[Callback]:
        """Those that listen to one event.

        Parameters
        ----------
        event : str
            The name of the method.

        Returns
        -------
        list of Callback
            In the order in which they are called.
        """
        return self._of[event]

    def notify(self, event: str) -> None:
        """Call those that listen.

        Parameters
        ----------
        event : str
            The name of the method.
        """
        for callback in self._of[event]:
            if self._call is not None:
                self._call(callback, event)


def _overrides(callback: Callback, event: str) -> bool:
    return getattr(type(callback), event) is not getattr(Callback, event)
