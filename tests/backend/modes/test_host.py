"""Steps recorded on a CPU: what the recorder sees and refuses, where memory lies, when the way changes, which threads wait."""

import contextlib
import re
import threading
import warnings

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.backend.device.parallel import parallel_for
from weft.backend.modes import host_step
from weft.backend.modes.log import Log, opened
from weft.backend.modes.noted import Noted, seen

F = nn.functional


def recording_of(run):
    (step,) = run._steps.values()
    return step


def classifier(lr=0.1):
    weft.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = optim.Adam(model.parameters(), lr=lr)

    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return model, optimizer, step


def batch(i, n=6):
    rng = np.random.default_rng(i)
    return weft.asarray(rng.standard_normal((n, 4)).astype("f")), weft.asarray(rng.integers(0, 3, n))


class TestProgram:
    def test_reads_as_a_step_written_by_hand(self):
        run = weft.capture(classifier()[2], strict=True)
        for i in range(6):
            run(*batch(i))
        source = recording_of(run).graph.source
        assert source.startswith("def replay(x0, x1):\n    x0.dot(")
        assert source.count(".dot(") == 11
        assert "sqrt(" in source
        assert ".copy" not in source  # results are made anew

    def test_is_run_without_detours(self, monkeypatch):
        """Once checked: nothing but one compiled function."""
        run = weft.capture(classifier()[2], strict=True)
        for i in range(6):
            run(*batch(i))
        monkeypatch.setattr(type(run), "_step", None)
        assert run(*batch(7)).item() > 0

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("layout", [lambda a: a, lambda a: a.T.copy().T, lambda a: np.repeat(a, 2, 1)[:, ::2]])
    def test_any_layout(self, layout, dtype):
        w = weft.asarray(np.random.default_rng(1).standard_normal((4, 3)).astype(dtype))
        step = lambda x: (F.softmax(x @ w, 1), x.sum(0), x.T * 2)
        run = weft.capture(step, strict=True)
        for i in range(6):
            x = weft.asarray(layout(np.random.default_rng(i).standard_normal((5, 4)).astype(dtype)))
            assert [t.numpy().tobytes() for t in run(x)] == [t.numpy().tobytes() for t in step(x)]

    def test_an_array_made_anew_is_read_in_the_shape_that_it_has(self):
        table, wide = weft.zeros((9, 32)), weft.ones((1, 32))

        def step(i):
            row = table[i]  # by a function that does not take `out`
            return row + wide, row * 2

        run = weft.capture(step, strict=True)
        for k in range(6):
            i = weft.asarray(np.int64(k))
            assert [t.numpy().tobytes() for t in run(i)] == [t.numpy().tobytes() for t in step(i)]


class TestAliases:
    def test_views_and_writes_through_them(self):
        total, table = weft.zeros(3), weft.zeros((2, 3))

        def step(x):
            with weft.no_grad():
                row = table[1]
                row += x
                total[1:] += x[1:]
                table[0] = total
                other = table.T.reshape(-1)
                y = x * 2
                z = y[1:]
                z *= 3
            return y, other, table * 1

        def lived(step):
            total.zero_(), table.zero_()
            return [[t.tolist() for t in step(weft.arange(3, dtype=weft.float32) + i)] for i in range(8)]

        expected = lived(step)
        assert lived(weft.capture(step, strict=True)) == expected

    def test_an_argument_that_is_written_to_and_a_view_of_it(self):
        def step(a, b):
            with weft.no_grad():
                a += b
            return b * 2

        run = weft.capture(step)
        x, y = weft.ones(6), weft.ones(6)
        for _ in range(6):
            assert run(x[:4], x[2:]).tolist() == step(y[:4], y[2:]).tolist()
            assert x.tolist() == y.tolist()

    @pytest.mark.parametrize("at", [4, 9])
    @pytest.mark.parametrize("writes", [False, True])
    def test_an_argument_that_is_a_view_of_what_the_step_updates(self, writes, at):
        def lived(captured):
            total = weft.zeros(6)

            def step(x):
                with weft.no_grad():
                    total.__iadd__(1.0)
                    if writes:
                        x[0] = 9.0
                return x * 2

            run = weft.capture(step, strict=True) if captured else step
            given = [total[2:5] if i >= at else weft.full(3, float(i)) for i in range(12)]
            return [(run(x).tolist(), x.tolist(), total.tolist()) for x in given]

        assert lived(True) == lived(False)

    def test_results_are_not_written_over(self):
        run = weft.capture(lambda x: (x, x + 1, (x + 1)[1:], x.detach()), strict=True)
        kept = [run(weft.full((3,), float(i))) for i in range(8)]
        assert [[t.tolist() for t in ts] for ts in kept] == [
            [[i] * 3, [i + 1.0] * 3, [i + 1.0] * 2, [i] * 3] for i in range(8)
        ]


REFUSED = {
    "item": (lambda x: x * x.sum().item(), "it reads a value on the host (`item`)"),
    "float": (lambda x: x * float(x.sum()), "it reads a value on the host"),
    "numpy": (lambda x: x * x.sum().numpy().tolist(), "it reads a value on the host"),
    "mask": (lambda x: x[x > 0.5].sum(), "it reads a value on the host (`a mask as an index`)"),
    "nonzero": (lambda x: x.nonzero()[0].sum(), "it reads a value on the host (`nonzero`)"),
    "repr": (lambda x: (repr(x), x * 1)[1], "it reads a value on the host"),
    "unseen": (lambda x: weft.asarray(TABLE.take(x.data.astype(int) % 2, 0)) * 1, "its replay gives other numbers"),
    "unseen, used": (lambda x: weft.asarray(EYE.dot(x.data)) * 2, "it has a call that the recorder cannot see, which made"),
    "a way": (lambda x: x * 2 if x.sum() > 3 else x, "it reads a value on the host"),
    "unseen write": (lambda x: (np.ndarray.__setitem__(SHARED.data.view(np.ndarray), 0, 5.0), x + SHARED)[1],
                     "it has a call that the recorder cannot see, which writes to a Tensor"),
}  # fmt: skip
TABLE, EYE, SHARED = np.array([1.0, 7.0], "f"), np.eye(3, dtype="f"), weft.zeros(3)


@pytest.mark.parametrize("name", REFUSED)
def test_falls_back_with_the_reason(name):
    step, reason = REFUSED[name]
    run = weft.capture(step)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for i in range(8):
            SHARED.zero_()
            x = weft.asarray(np.array([0.0, 1.0, 2.0], "f") + i)
            found = run(x).tolist()
            SHARED.zero_()
            assert found == step(x).tolist()
    assert len(said) == 1
    assert f"cannot be captured and runs as usual: {reason}" in str(said[0].message)


class TestDecisions:
    """A number of an array on which the way depends, as it does in forms of primitives."""

    def test_both_ways(self):
        w = weft.Parameter(weft.ones(2))
        optimizer = optim.SGD([w], lr=0.1, momentum=0.9)

        def step(x):
            optimizer.zero_grad()
            loss = (w * x).sum()
            loss.backward()
            optimizer.step()
            return loss * 2 if loss.data > 1.5 else loss

        def lived(step):
            w.data[...] = 1.0
            optimizer.load_state_dict(optim.SGD([weft.Parameter(weft.ones(2))], lr=0.1, momentum=0.9).state_dict())
            found = []
            for i in range(30):
                found.append(step(weft.full((2,), 1.0 if i % 5 else -1.0)).item())
                found += w.tolist()
            return found, optimizer.state[w]["step"]

        expected, run = lived(step), weft.capture(step, strict=True)
        assert lived(run) == expected
        assert any(s.graph is not None for s in run._steps.values())

    def test_a_way_that_stays_another_is_recorded(self):
        run = weft.capture(lambda x: x * 2 if x.data.sum() > 0 else x * 3, strict=True)
        for sign in (1, -1, 1):
            for i in range(10):
                x = weft.full((2,), sign * (1.0 + i))
                assert run(x).tolist() == [x[0].item() * (2 if sign > 0 else 3)] * 2
            assert all(not s.diverged for s in run._steps.values())

    def test_what_was_written_is_taken_back(self):
        seen_so_far = weft.zeros(1)

        def step(x):
            with weft.no_grad():
                seen_so_far.__iadd__(x.sum())
            return x * 2 if x.data.sum() > 0 else x * 3

        run = weft.capture(step, strict=True)
        for i in range(1, 9):
            run(weft.ones(1) if i != 7 else -weft.ones(1))
        assert seen_so_far.item() == 6.0

    def test_an_error_in_a_replay_is_the_step_s_own(self):
        model, optimizer, step = classifier()
        run = weft.capture(step, strict=True)
        for i in range(6):
            run(*batch(i))
        before = [p.tolist() for p in model.parameters()]
        with pytest.raises(IndexError, match=r"`target` must hold classes in \[0, 3\), .* got 5"):
            run(batch(0)[0], weft.full((6,), 5, dtype=weft.int64))
        assert [p.tolist() for p in model.parameters()] == before
        assert optimizer.state[model[0].weight]["step"] == 6
        assert run(*batch(1)).item() > 0


class TestThreads:
    def test_work_spread_over_threads(self, monkeypatch):
        threads = weft.num_threads()
        weft.set_num_threads(2)
        try:
            weft.manual_seed(0)
            model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(2))
            run = weft.capture(weft.no_grad(lambda x: model(x)), strict=True)
            for i in range(5):
                x = weft.asarray(np.random.default_rng(i).standard_normal((40, 2, 40, 40)).astype("f"))
                assert run(x).numpy().tobytes() == model(x).detach().numpy().tobytes()
            assert "spread(branch" in recording_of(run).graph.source
        finally:
            weft.set_num_threads(threads)

    @pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
    def test_an_update_by_two_threads(self, name):
        """Each has memory of its own to work in: one for both would mix their numbers."""
        threads = weft.num_threads()
        weft.set_num_threads(2)
        try:
            results = []
            for captured in (False, True):
                p = weft.Parameter(np.linspace(-1, 1, 300_000, dtype=np.float32))
                optimizer = getattr(optim, name)([p], lr=1e-3)

                def step(g, p=p, optimizer=optimizer):
                    p.grad = g
                    optimizer.step()

                run = weft.capture(step, strict=True) if captured else step
                for i in range(8):
                    run(weft.asarray(np.random.default_rng(i).standard_normal(p.shape).astype("f")))
                results.append(p.detach().numpy().tobytes())
            assert results[0] == results[1]
            assert "spread(branch" in recording_of(run).graph.source
        finally:
            weft.set_num_threads(threads)

    @pytest.mark.parametrize("apart", [True, False])
    def test_threads_in_each_other_s_way(self, apart):
        """What a thread keeps for itself is one and the same while one thread records all branches."""
        kept = threading.local()

        def step(x):
            y = np.empty_like(x.data)

            def fill(i, j):
                if apart or not hasattr(kept, "vector"):
                    kept.vector = np.empty(8, np.float32)
                own = kept.vector
                for k in range(i, j):
                    np.multiply(x.data[k], 2, out=own)
                    np.add(own, 1, out=y[k])

            parallel_for(fill, len(y))
            return weft.asarray(y) + 0

        threads = weft.num_threads()
        weft.set_num_threads(2)
        try:
            run = weft.capture(step)
            with contextlib.nullcontext() if apart else pytest.warns(RuntimeWarning, match="write to the same memory"):
                for i in range(6):
                    assert run(weft.full((4, 8), float(i))).tolist() == [[2.0 * i + 1] * 8] * 4
        finally:
            weft.set_num_threads(threads)

    def test_columns_of_a_matrix_are_apart(self):
        """Though each of them reaches over the other's memory."""

        def step(x):
            y = np.empty_like(x.data)
            parallel_for(lambda i, j: np.multiply(x.data[:, i:j], 2, out=y[:, i:j]), 6)
            return weft.asarray(y) + 0

        threads = weft.num_threads()
        weft.set_num_threads(2)
        try:
            run = weft.capture(step, strict=True)
            for i in range(6):
                assert run(weft.full((3, 6), float(i))).tolist() == [[2.0 * i] * 6] * 3
        finally:
            weft.set_num_threads(threads)

    def test_that_come_at_once_run_as_usual(self):
        """One replays, the other, meanwhile, calls the step: the memory is one."""
        calls, model = [], nn.Linear(4, 4)
        run = weft.capture(weft.no_grad(lambda x: model(x)), strict=True)
        for i in range(6):
            run(weft.full((1, 4), float(i)))
        with recording_of(run).lock:
            thread = threading.Thread(target=lambda: calls.append(run(weft.ones((1, 4))).tolist()))
            thread.start(), thread.join()
        assert calls == [model(weft.ones((1, 4))).tolist()]
        assert run(weft.ones((1, 4))).tolist() == calls[0]

    def test_regions_within_regions(self):
        def step(x):
            y = np.empty_like(x.data)

            def fill(i, j):
                parallel_for(lambda a, b: np.multiply(x.data[i:j], 2, out=y[i:j]), 1)

            parallel_for(fill, len(y))
            return weft.asarray(y) + 0

        threads = weft.num_threads()
        weft.set_num_threads(2)
        try:
            run = weft.capture(step, strict=True)
            assert [run(weft.full((5,), float(i))).tolist() for i in range(6)] == [[2.0 * i] * 5 for i in range(6)]
        finally:
            weft.set_num_threads(threads)


class TestMemory:
    def test_is_planned(self):
        """Four products of 64 KiB, of which two live at a time, the last one being what is returned."""
        w = weft.ones((128, 128)) / 128
        run = weft.capture(lambda x: (((x @ w) @ w) @ w) @ w, strict=True)
        for i in range(6):
            run(weft.full((128, 128), float(i)))
        ((peak, as_usual),) = run.peaks
        assert recording_of(run).graph.nbytes in (2 * 128 * 128 * 4, 2 * 128 * 128 * 4 + 64)
        assert peak <= 3 * 128 * 128 * 4 + 64
        assert as_usual >= 2 * 128 * 128 * 4
        assert "captured step" in weft.memory_summary("cpu")

    def test_of_a_convolutional_network(self):
        """Two thirds of what the step has as usual: activations are not kept for comparisons that can be made before."""
        threads = weft.num_threads()
        weft.set_num_threads(1)
        try:
            weft.manual_seed(0)
            layers = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1)]
            model = nn.Sequential(*layers, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2048, 10))
            optimizer = optim.SGD(model.parameters(), lr=0.01)

            def step(x, y):
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
                return loss

            run, rng = weft.capture(step, strict=True), np.random.default_rng(0)
            for _ in range(5):
                x = weft.asarray(rng.standard_normal((64, 3, 32, 32)).astype("f"))
                run(x, weft.asarray(rng.integers(0, 10, 64)))
            ((peak, as_usual),) = run.peaks
            assert peak <= 0.7 * as_usual
            graph = recording_of(run).graph
            assert not re.search(r"= c\d+$", graph.source, re.M)  # views of other strides are no arrays with content
            # what is saved, lest a replay fails: which way the gradient of pooling goes is known before there are gradients
            assert sum(x.nbytes for x, _ in graph.saved) < model[7].weight.data.nbytes
        finally:
            weft.set_num_threads(threads)

    def test_elements_made_of_others_take_their_place(self):
        run = weft.capture(lambda x: weft.exp(weft.tanh(weft.sqrt(weft.abs(x * 2)))).sum(), strict=True)
        for i in range(6):
            run(weft.full((300, 300), float(i)))
        assert recording_of(run).graph.nbytes < 1.1 * 300 * 300 * 4


class TestNoted:
    def test_is_like_any_array_once_the_log_is_closed(self):
        log = Log()
        x = seen(np.arange(4.0))
        with opened(log):
            y = x * 2 + x[::-1]
            assert isinstance(y, Noted)
        assert len(log.entries) == 2
        assert (y + 1).tolist() == [4.0, 5.0, 6.0, 7.0]
        assert type(y + 1) is np.ndarray
        assert float(y[0]) == 3.0
        assert len(log.entries) == 2

    def test_takes_back_what_was_written_from_outside(self):
        log, outside = Log(), np.zeros(3)
        with opened(log):
            seen(outside)[1:] += 5
        assert outside.tolist() == [0, 5, 5]
        log.undo()
        assert outside.tolist() == [0, 0, 0]


def test_a_replay_that_raises_is_found_by_the_check(monkeypatch):
    def raises(*_):
        raise NameError("name 'r13' is not defined")

    monkeypatch.setattr(host_step.Host, "build", lambda *args, build=host_step.Host.build: broken(build(*args)))

    def broken(program):
        program.run = raises
        return program

    run = weft.capture(lambda x: x * 2)
    run(weft.ones(2)), run(weft.ones(2))
    with pytest.warns(RuntimeWarning, match="its replay raised NameError: name 'r13' is not defined"):
        assert run(weft.ones(2)).tolist() == [2.0, 2.0]
    assert run(weft.ones(2)).tolist() == [2.0, 2.0]


def test_the_check_finds_what_no_rule_does(monkeypatch):
    """A recorder that took a number of the step for one of the host's would be found out by the first replays."""
    monkeypatch.setattr(Log, "is_constant", lambda log, array: True)
    run = weft.capture(lambda x: x * x.sum().item())
    with pytest.warns(RuntimeWarning, match="its replay gives other numbers"):
        assert [run(weft.full((2,), float(i))).tolist() for i in range(6)] == [[2.0 * i * i] * 2 for i in range(6)]
    assert host_step.CHECKS == 2


def test_gradients_of_large_images_in_another_order_of_memory_are_recorded():
    """NumPy writes a product over a large temporary, in its order of memory, where no recorder looks on."""
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Tanh(), nn.Upsample(scale_factor=0.5))
    parameters = list(model.parameters())

    def step(x):
        for p in parameters:
            p.grad = None
        loss = (model(x) ** 2).mean()
        loss.backward()
        return loss

    run, x = weft.capture(step, strict=True), weft.randn(8, 3, 32, 32)
    for _ in range(5):
        run(x)
    found = [p.grad.numpy().copy() for p in parameters]
    step(x)
    for p, grad in zip(parameters, found):
        np.testing.assert_array_equal(p.grad.numpy(), grad)


def test_layer_norm_of_many_rows_is_recorded():
    """Its bias has a sum of its own, by a product with ones."""
    layer, x = nn.LayerNorm(256), weft.randn(256, 256)

    def loss():
        layer.zero_grad()
        y = layer(x).square().sum()
        y.backward()
        return y

    step = weft.capture(loss, strict=True)
    expected = step().item(), layer.bias.grad.numpy().copy()
    for _ in range(5):
        assert step().item() == expected[0]
        np.testing.assert_array_equal(layer.bias.grad.numpy(), expected[1])
