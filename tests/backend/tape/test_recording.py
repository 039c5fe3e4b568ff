"""What a recording keeps for whoever takes part in a step."""

import threading

import pytest

import weft
from weft.backend.tape.recording import Recording, activated, active


def test_active_within_the_block_and_in_this_thread_alone():
    recording, elsewhere = Recording("cpu"), []
    assert active() is None
    with activated(recording):
        assert active() is recording
        thread = threading.Thread(target=lambda: elsewhere.append(active()))
        thread.start()
        thread.join()
    assert elsewhere == [None]
    assert active() is None


def test_inactive_after_an_error():
    with pytest.raises(ZeroDivisionError), activated(Recording("cpu")):
        raise ZeroDivisionError
    assert active() is None


def test_callbacks_and_what_is_undone_are_noted_while_recording_alone():
    recording = Recording("cpu")
    for note in (recording.before_replay, recording.if_it_fails):
        note(print)
    assert (recording.callbacks, recording.undo) == ([], [])
    recording.start()
    for note in (recording.before_replay, recording.before_replay, recording.if_it_fails):
        note(print)
    assert (recording.callbacks, recording.undo) == ([print], [print])


def test_random_numbers_go_on_from_where_the_recording_began():
    generator, recording = weft.Generator(3), Recording("cpu")
    assert recording.advance_of(generator) is generator.advance
    recording.start()
    generator.counter += 5
    recording.stop()
    assert (generator.counter, recording.used) == (0, [5])
    generator.counter = 7
    recording.prepare()
    assert recording.advances[0].tolist() == [7]
    assert generator.counter == 12
    assert recording.is_current()
    generator.manual_seed(4)
    assert not recording.is_current()


def test_a_generator_that_the_warm_up_did_not_use():
    recording = Recording("cpu")
    recording.start()
    with pytest.raises(RuntimeError, match="a random generator that it did not draw from before"):
        recording.advance_of(weft.Generator(1))
