"""SIGINT while a step is recorded, and threads that record at once: nothing of the recording is left behind."""

import gc
import signal
import threading

import numpy as np
import pytest

import weft
from weft import optimizers as optim
from weft.backend.device import parallel
from weft.backend.modes.host import CONVERTING, EMPTY, FILLING
from weft.backend.modes.interrupts import held_back
from weft.optimizers.arena import Arena

pytestmark = pytest.mark.usefixtures("heard")
MADE = {name: getattr(np, name) for name in (*CONVERTING, *FILLING, *EMPTY)}


def assert_nothing_is_left():
    assert {name: getattr(np, name) for name in MADE} == MADE
    assert parallel.noting is None
    assert gc.isenabled()


def interrupted(call):
    """Whether what stands behind `call`, which sends SIGINT, in a block is not done any more."""
    done = []

    def block():
        with held_back() as interrupts:
            call(interrupts)
            done.append(True)

    with pytest.raises(KeyboardInterrupt):
        block()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return not done


class TestHeldBack:
    def test_comes_at_the_end(self):
        assert not interrupted(lambda _: signal.raise_signal(signal.SIGINT))

    def test_comes_at_once_to_what_is_let_through(self):
        assert interrupted(lambda interrupts: interrupts.through(signal.raise_signal, signal.SIGINT))

    def test_another_thread_has_none(self):
        found = []

        def enter():
            with held_back():
                found.append(signal.getsignal(signal.SIGINT))

        thread = threading.Thread(target=enter)
        thread.start(), thread.join()
        assert found == [signal.default_int_handler]


@pytest.mark.parametrize("where", ["in the step", "setting up", "taking back"])
def test_a_recording_that_is_interrupted(where, monkeypatch):
    """Nothing was computed; the step is warmed up and recorded again."""
    shown, begun = Arena.shown, weft.Tensor.backward

    def interrupting(f):
        return lambda *args: (signal.raise_signal(signal.SIGINT), f(*args))[1]

    def lived(captured):
        w = weft.Parameter(weft.ones(2))
        optimizer, found = optim.Adam([w], lr=0.1), []

        def step(x):
            optimizer.zero_grad()
            loss = (w * x).square().sum()
            loss.backward()
            optimizer.step()
            return loss

        run = weft.capture(step) if captured else step
        for i in range(9):
            x = weft.full(2, 1.0 + i)
            if captured and i == 2:
                with monkeypatch.context() as patch:
                    if where == "in the step":
                        patch.setattr(weft.Tensor, "backward", interrupting(begun))
                    elif where == "setting up":
                        patch.setattr(Arena, "shown", interrupting(shown))
                    else:
                        patch.setattr(Arena, "shown", lambda arena, f: interrupting(shown(arena, f)))
                    with pytest.raises(KeyboardInterrupt):
                        run(x)
                assert_nothing_is_left()
                assert type(w.data) is np.ndarray
            found.append((run(x).tolist(), w.tolist(), optimizer.state[w]["step"]))
        return found, run

    found, run = lived(True)
    assert found == lived(False)[0]
    assert [s.graph is not None for s in run._steps.values()] == [True]


class TestThreads:
    def test_one_records_at_a_time(self):
        """What two had NumPy's functions replaced by would be left there."""
        inside, ended, found = threading.Event(), threading.Event(), []

        def slow(x):
            if len(found) == 2:  # while it is recorded
                inside.set()
                assert ended.wait(120)
            return x * 2

        def steps():
            run = weft.capture(slow, strict=True)
            for i in range(6):
                found.append(run(weft.full(2, float(i))).tolist())

        thread = threading.Thread(target=steps)
        thread.start()
        assert inside.wait(120)
        other = weft.capture(lambda x: x + 1, strict=True)
        assert [other(weft.full(1, float(i))).item() for i in range(6)] == [1, 2, 3, 4, 5, 6]
        assert not other._steps  # as usual
        ended.set(), thread.join()
        assert found == [[2.0 * i] * 2 for i in range(6)]
        assert_nothing_is_left()
        for i in range(6):
            assert other(weft.full(1, float(i))).item() == i + 1
        assert [s.graph is not None for s in other._steps.values()] == [True]

    def test_a_step_that_several_call_from_its_first_call_on(self):
        w = weft.asarray(np.random.default_rng(0).standard_normal((8, 8)).astype("f"))
        run, wrong = weft.capture(lambda x: weft.tanh(x @ w).sum(), strict=True), []
        given = [weft.full((4, 8), 0.1 * i) for i in range(10)]
        expected = [weft.tanh(x @ w).sum().item() for x in given]

        def calls():
            for x, value in [*zip(given, expected)] * 20:
                if run(x).item() != value:
                    wrong.append(x)

        threads = [threading.Thread(target=calls) for _ in range(4)]
        [t.start() for t in threads], [t.join() for t in threads]
        assert wrong == []
        assert_nothing_is_left()


def test_an_update_of_more_parameters_than_while_warming_up(accelerator):
    """Whose coefficients nobody has published: it is warmed up again."""

    def lived(captured):
        v, w = (weft.Parameter(weft.ones(2, device=accelerator)) for _ in range(2))
        optimizer, found = optim.Adam([v, w], lr=0.1), []

        def step(x):
            optimizer.step()
            return x * 2

        run = weft.capture(step, strict=True) if captured else step
        for i in range(9):
            optimizer.zero_grad()
            ((v * v).sum() if i < 2 else (v * w).sum()).backward()
            run(weft.ones(1, device=accelerator))
            found.append((v.tolist(), w.tolist(), [entry["step"] for entry in optimizer.state.values()]))
        return found, run

    found, run = lived(True)
    assert found == lived(False)[0]
    assert any(s.graph is not None for s in run._steps.values())
