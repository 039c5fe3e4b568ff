"""Who is called in the loop over batches."""

import pytest

from weft.training import Callback
from weft.training.listeners import EVENTS, Listeners


class Loss(Callback):
    def on_loss(self, trainer): ...


class Both(Loss):
    def on_batch_end(self, trainer): ...


def test_those_that_override_a_method_in_their_order():
    one, none, two = Both(), Callback(), Loss()
    listeners = Listeners()
    listeners.find([one, none, two])
    assert {event: listeners.to(event) for event in EVENTS} == {
        "on_batch_begin": [],
        "on_loss": [one, two],
        "on_gradients": [],
        "on_batch_end": [one],
    }
    listeners.find([none])
    assert not any(listeners.to(event) for event in EVENTS)


def test_notify():
    calls = []
    listeners = Listeners(lambda callback, event: calls.append((callback, event)))
    one, two = Loss(), Both()
    listeners.find([one, two])
    for event in EVENTS:
        listeners.notify(event)
    assert calls == [(one, "on_loss"), (two, "on_loss"), (two, "on_batch_end")]


def test_what_is_no_event():
    with pytest.raises(KeyError, match="on_fit_end"):
        Listeners().to("on_fit_end")
