"""Signals that are put off; what a run does with them is in test_checkpoint_callback.py and test_kill.py."""

import signal

import pytest

from weft.training.signals import PutOff, Terminated


@pytest.fixture
def signals(heard):
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signals = PutOff()
    signals.begin()
    yield signals
    signals.end()
    assert {number: signal.getsignal(number) for number in before} == before


class TestRaised:
    @pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
    def test_at_once(self, signals, number, kind):
        with pytest.raises(kind), signals.raised():
            signal.raise_signal(number)
        assert signals.number == number

    def test_what_was_noted_before(self, signals):
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Terminated, match="143"), signals.raised():
            pytest.fail("it began")

    def test_not_after_it(self, signals):
        with signals.raised():
            pass
        signal.raise_signal(signal.SIGTERM)
        assert signals.number == signal.SIGTERM
