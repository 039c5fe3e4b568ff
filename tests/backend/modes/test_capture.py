"""Steps captured in the emulator and on a GPU: the same bits as steps that are run one by one, or a reason why not."""

import argparse
import collections
import dataclasses
import functools
import gc
import itertools
import random
import threading
import types
import warnings
from collections import deque
from unittest.mock import Mock

import numpy as np
import pytest
from captured_world import BETWEEN, lived

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.backend.tape.recording import Recording
from weft.kernels import emulator

F = nn.functional


@pytest.fixture(params=["cpu", "emulator", pytest.param("cuda", marks=pytest.mark.gpu)])
def accelerator(request):
    """Each device that records steps; skips where it is not."""
    try:
        return weft.backend.device.devices.canonical(request.param)
    except weft.DeviceError as error:
        pytest.skip(str(error))


def batches(n=12):
    rng = np.random.default_rng(0)
    return [(rng.standard_normal((8, 1, 8, 8)).astype("f"), rng.integers(0, 4, 8)) for _ in range(n)]


def network():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 16),
        nn.LayerNorm(16),
        nn.GELU(),
        nn.Dropout(0.3),
        nn.Linear(16, 4),
    )


def train(device, captured, make_optimizer, *, scaler=None, autocast=None, clip=False, schedule=False, steps=12):
    """Losses, and all parameters and buffers at the end."""
    weft.manual_seed(1)
    model = network().to(device)
    optimizer = make_optimizer(model.parameters())
    scheduler = optim.schedulers.ExponentialLR(optimizer, 0.8) if schedule else None
    scaler = scaler and scaler()

    def step(x, y):
        optimizer.zero_grad()
        with weft.autocast(autocast or "float16", enabled=autocast is not None):
            loss = F.cross_entropy(model(x), y)
        (scaler.scale(loss) if scaler else loss).backward()
        if scaler:
            scaler.unscale_(optimizer)
        if clip:
            optim.clip_grad_norm_(model.parameters(), 0.1)
        if scaler:
            scaler.step(optimizer)
            scaler.update()
        else:
            optimizer.step()
        return loss

    run = weft.capture(step) if captured else step
    losses = []
    for x, y in batches(steps):
        losses.append(run(*(weft.asarray(a, device=device) for a in (x, y))).item())
        if scheduler:
            scheduler.step()
    if captured:
        (only,) = run._steps.values()
        assert only.graph is not None, "it fell back"
    state = [t.cpu().detach().numpy() for t in (*model.parameters(), *model.buffers())]
    return losses, state, [optimizer.state[p]["step"] for p in model.parameters()]


OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
    "adamw": lambda p: optim.AdamW(p, lr=1e-2),
    "asgd": lambda p: optim.ASGD(p, lr=1e-2, lambd=0.1, t0=3),
    "rprop": lambda p: optim.Rprop(p, lr=1e-2),
    "nadam": lambda p: optim.NAdam(p, lr=1e-2),
}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"clip": True, "schedule": True},
        {"autocast": "bfloat16"},
        {"autocast": "float16", "scaler": lambda: weft.GradScaler(init_scale=2.0**18, growth_interval=3)},
    ],
    ids=lambda o: "-".join(o) or "plain",
)
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.filterwarnings("ignore:.* encountered in")  # on a CPU, of a scale that is too large at first
def test_captured_steps_equal_eager_steps_bit_for_bit(name, options, accelerator):
    """Dropout's masks, running statistics, step counts and loss scales included."""
    eager, captured = (train(accelerator, c, OPTIMIZERS[name], **options) for c in (False, True))
    assert captured[0] == eager[0]
    assert captured[2] == eager[2]
    for a, b in zip(captured[1], eager[1]):
        np.testing.assert_array_equal(a, b)


# --- what changes between calls -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", BETWEEN)
def test_what_changes_between_calls_has_its_eager_effect(name, accelerator):
    step, between = BETWEEN[name]
    (expected, _), (found, run) = (lived(accelerator, captured, step, between) for captured in (False, True))
    assert found == expected
    assert any(s.graph is not None for s in run._steps.values())


class TestMemory:
    """A graph has addresses, in the emulator, too: the recording keeps what is there."""

    @staticmethod
    def captured(x):
        """A step that has been recorded; what it reads comes from where nothing can be seen, and nobody else has it."""
        values = iter(([weft.full((4,), 3.0, device=x.device)] * 2).pop, None)
        run = weft.capture(lambda x: x * next(values), warmup=1)
        assert run(x).tolist() == run(x).tolist() == [3.0] * 4
        gc.collect()
        return run

    def test_is_kept(self, accelerator):
        if accelerator == "cpu":
            pytest.skip(
                "what is read from where nothing can be seen is read once more, when the first replay is checked"
            )
        x = weft.ones(4, device=accelerator)
        run = self.captured(x)
        others = [weft.full((4,), 1e9, device=accelerator) for _ in range(16)]
        assert run(x * 2).tolist() == [6.0] * 4
        assert all(other.tolist() == [1e9] * 4 for other in others)

    def test_would_be_missed(self, monkeypatch):
        x = weft.ones(4, device="emulator")
        monkeypatch.setattr(Recording, "keep", lambda recording, x: None)
        with pytest.raises(emulator.FreedMemory, match="16 bytes that were freed after the recording"):
            self.captured(x)

    def test_inputs_would_be_missed(self):
        x = weft.ones(4, device="emulator")
        run = self.captured(x)
        (step,) = run._steps.values()
        step.inputs, x = [], x.data
        gc.collect()
        with pytest.raises(emulator.FreedMemory):
            step.recorder.launch(step.graph)


def globally(x):
    return x * FACTOR + len(NAMES)


FACTOR, NAMES = 2.0, ["a"]


class TestWhatTheHostDecides:
    def test_globals_closures_and_containers(self, accelerator, monkeypatch):
        options, factor = {"scale": [1.0, 2.0]}, 2.0
        x = weft.ones(2, device=accelerator)

        def step(x):
            return globally(x) * factor * options["scale"][1]

        run = weft.capture(step, warmup=1)
        for change in (lambda: None, lambda: options["scale"].__setitem__(1, 5.0), lambda: NAMES.append("b")):
            change()
            for _ in range(3):
                assert run(x).tolist() == step(x).tolist()
        monkeypatch.setattr("test_capture.FACTOR" if __name__ == "test_capture" else f"{__name__}.FACTOR", 11.0)
        factor = 3.0
        for _ in range(3):
            assert run(x).tolist() == step(x).tolist()
        NAMES.pop()

    def test_objects(self, accelerator):
        x = weft.ones(2, device=accelerator)

        class Base:
            __slots__ = ("box",)
            factor = 2.0

            def scaled(self, x):
                return x * self.factor * FACTOR

        class Step(Base):
            def __call__(self, x):
                return self.scaled(x) * self.box[0].a * self.shift.b

        step = Step()
        step.box, step.shift = collections.deque([types.SimpleNamespace(a=1.0)]), types.SimpleNamespace(b=x)

        def change_a():
            step.box[0].a = 5.0

        def change_b():
            step.shift.b = x * 9

        def change_class():
            Base.factor = 7.0

        def change_instance():
            step.factor = 11.0

        run = weft.capture(step, warmup=1)
        for change in (lambda: None, change_a, change_b, change_class, change_instance):
            change()
            for _ in range(3):
                assert run(x).tolist() == step(x).tolist()
        model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)).to(accelerator)
        for run in (weft.capture(model, warmup=1), weft.capture(functools.partial(model), warmup=1)):
            model.train()
            with weft.no_grad():
                for _ in range(3):
                    run(x)
                model.eval()
                for _ in range(3):
                    assert run(x).tolist() == model(x).tolist()

    def test_arguments_changed_in_place(self, accelerator):
        def step(total, part, x):
            total += x
            part["last"][0] = x[0]
            return total, x * 2

        run = weft.capture(step, warmup=1)
        total, last = weft.zeros(2, device=accelerator), weft.zeros(3, device=accelerator)
        for i in range(5):
            x = weft.full((2,), i + 1.0, device=accelerator)
            returned, double = run(total, {"last": last}, x)
            assert returned is total
            assert total.tolist() == [(i + 1) * (i + 2) / 2] * 2
            assert (last.tolist(), double.tolist(), x.tolist()) == ([i + 1, 0, 0], [2 * i + 2] * 2, [i + 1] * 2)

    def test_one_tensor_for_two_arguments(self, accelerator):
        def step(a, b):
            a += 1
            return a * b

        run, x = weft.capture(step, warmup=1), weft.ones(2, device=accelerator)
        for i in range(4):
            assert run(x, x).tolist() == [(i + 2.0) ** 2] * 2
        y, z = weft.ones(4, device=accelerator), weft.ones(4, device=accelerator)
        for _ in range(4):  # two views of one memory
            assert run(y[:3], y[1:]).tolist() == step(z[:3], z[1:]).tolist()

    def test_an_argument_that_the_step_also_closes_over(self, accelerator):
        buffer = weft.ones(2, device=accelerator)

        def step(x):
            with weft.no_grad():
                buffer.__iadd__(1)
            return x * 1

        run = weft.capture(step, warmup=1)
        for i in range(4):
            assert run(buffer).tolist() == [i + 2.0] * 2

    def test_arguments_that_require_grad(self, accelerator):
        run = weft.capture(lambda x: (x * x).sum().backward(), warmup=1)
        x = weft.ones(2, device=accelerator).requires_grad_()
        for i in range(4):
            run(x)
            assert x.grad.tolist() == [2.0 * i + 2] * 2
        square = weft.capture(lambda x: x * x, warmup=1)
        for _ in range(4):
            assert weft.grad(lambda x: square(x).sum())(weft.ones(2, device=accelerator)).tolist() == [2.0, 2.0]

    def test_gradients_without_an_optimizer_are_not_overwritten(self, accelerator):
        w = weft.Parameter(weft.ones(2, device=accelerator))
        run, kept = weft.capture(lambda x: (x * w).sum().backward(), warmup=1), []
        for i in range(5):
            w.grad = None
            run(weft.full((2,), float(i), device=accelerator))
            kept.append(w.grad)
        assert [g.tolist() for g in kept] == [[float(i)] * 2 for i in range(5)]
        for i in range(5):
            run(weft.ones(2, device=accelerator))
            assert w.grad.tolist() == [5.0 + i] * 2

    @pytest.mark.parametrize("looks", [False, True])
    def test_gradients_after_a_step_in_between(self, accelerator, looks):
        """One that is not captured, whose backward finds the gradient's memory where the recording has it."""
        w = weft.Parameter(weft.ones(2, device=accelerator))
        optimizer = optim.SGD([w], lr=0.0)

        def step(x):
            optimizer.zero_grad()
            (x * w).sum().backward()
            optimizer.step()

        run = weft.capture(step, warmup=1)
        for i in range(1, 8):
            run(weft.full((2,), float(i), device=accelerator))
            if looks:
                assert w.grad.tolist() == [i, i]
            step(weft.full((3, 2), 10.0, device=accelerator))
            assert w._grad.tolist() == [30, 30]
            run(weft.full((2,), -float(i), device=accelerator))
            assert w._grad.tolist() == [-i, -i]
            assert w._grad.data is w._grad_view

    def test_a_number_is_not_a_truth_value(self, accelerator):
        run, x = weft.capture(lambda x, k: x * k, warmup=1), weft.ones(2, dtype=weft.int32, device=accelerator)
        for k in (1, 1.0, True, 0.0, -0.0) * 3:
            assert run(x, k).dtype == (x * k).dtype
            assert str(run(x, k).tolist()) == str((x * k).tolist())
        with pytest.raises(TypeError, match=r"takes Tensors, got a NumPy array of shape \(2,\)"):
            run(x, np.ones(2))

    def test_defaults(self, accelerator):
        run, x = (
            weft.capture(lambda x: x + weft.ones(2, device=accelerator), warmup=1),
            weft.ones(2, device=accelerator),
        )
        try:
            for dtype in (weft.float32, weft.float64):
                weft.set_default_dtype(dtype)
                for _ in range(3):
                    assert run(x).dtype == dtype
        finally:
            weft.set_default_dtype(weft.float32)

    def test_hooks(self, accelerator):
        model = nn.Identity()
        run, x = weft.capture(lambda x: model(x) * 1, warmup=1), weft.ones(2, device=accelerator)
        for change in (2.0, 3.0):
            model.register_forward_hook(lambda module, args, output, k=change: output * k)
            for _ in range(3):
                assert run(x).tolist() == model(x).tolist()

    def test_a_number_that_is_another_each_time(self, accelerator):
        box = {"k": 0}
        run, x = weft.capture(lambda x: x * box["k"], warmup=1), weft.ones(2, device=accelerator)

        def call(times):
            for _ in range(times):
                box["k"] += 1
                assert run(x).tolist() == run(x).tolist() == [float(box["k"])] * 2

        call(19)
        with pytest.warns(RuntimeWarning, match="`<lambda>` has been recorded 16 times more than 4"):
            call(1)
        call(20)

    def test_inside_another(self, accelerator):
        inner = weft.capture(lambda x: x * 2, warmup=1)
        outer = weft.capture(lambda x: inner(x) + 1, warmup=1)
        for i in range(5):
            assert inner(weft.full((2,), float(i), device=accelerator)).tolist() == [2.0 * i] * 2
            assert outer(weft.full((2,), float(i), device=accelerator)).tolist() == [2.0 * i + 1] * 2

    def test_as_many_recordings_as_are_kept(self, accelerator):
        box = {"k": 0}
        run, x = weft.capture(lambda x: x * box["k"], warmup=1), weft.ones(2, device=accelerator)
        for k in [*range(6)] * 2:
            box["k"] = k
            for _ in range(3):
                assert run(x).tolist() == [float(k)] * 2
        assert len(run._steps) == 4


def masked(x):
    y = x * 1
    y[y > 0.5] = y[y > 0.5] * 2
    return y


COUNTED = {
    "mask": lambda x: x[x > 0.5].sum(),
    "mask of one axis": lambda x: weft.stack([x, x])[:, x > 0.5].sum(),
    "write by a mask": masked,
    "nonzero": lambda x: x.nonzero()[0].sum(),
    "unique_values": lambda x: weft.unique_values(x).sum(),
    "unique_counts": lambda x: weft.unique_counts(x).counts.sum(),
    "unique_all": lambda x: weft.unique_all(x).indices.sum(),
    "repeat": lambda x: weft.repeat(x * 3, weft.astype(x, weft.int64)).sum(),
    "unique_inverse": lambda x: weft.unique_inverse(x).inverse_indices.sum(),
}


class TestWhatChangesWhileWarmingUp:
    """Between the last call that warms up and the recording: what the step then allocates would lie in the recording's memory."""

    def lived(self, device, captured, change):
        weft.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).to(device)
        world = types.SimpleNamespace(model=model, scaler=None, noise=False, device=device)
        world.optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

        def step(x, y):
            world.optimizer.zero_grad()
            if world.noise:
                x = x + weft.rand(x.shape, device=device)
            loss = F.cross_entropy(model(x), y)
            if world.scaler is None:
                loss.backward()
                world.optimizer.step()
            else:
                world.scaler.scale(loss).backward()
                world.scaler.step(world.optimizer)
                world.scaler.update()
            return loss

        run, found = weft.capture(step, strict=True) if captured else step, []
        for i in range(9):
            if i == 2:
                change(world)
            rng = np.random.default_rng(i)
            x, y = rng.standard_normal((6, 4)).astype("f"), rng.integers(0, 3, 6)
            found.append(run(*(weft.asarray(a, device=device) for a in (x, y))).tolist())
            found += [p.tolist() for p in model.parameters()]
            found.append(world.scaler and world.scaler.state_dict())
        return found

    @pytest.mark.parametrize(
        "change",
        [
            lambda w: setattr(w, "scaler", weft.GradScaler(init_scale=8.0, growth_interval=2)),
            lambda w: setattr(w, "noise", True),
            lambda w: setattr(w.model[2].weight, "data", w.model[2].weight.data * 2),
            lambda w: setattr(w.model[0].bias, "requires_grad", False),
            lambda w: vars(w).update(scaler=weft.GradScaler(init_scale=8.0, growth_interval=2), more=1),
        ],
        ids=["scaler", "random numbers", "memory", "frozen", "scaler and a name"],
    )
    def test_has_its_eager_effect(self, change, accelerator):
        assert self.lived(accelerator, True, change) == self.lived(accelerator, False, change)

    @pytest.mark.parametrize("is_hidden", [False, True], ids=["a module's", "where nobody looks"])
    def test_other_parameters(self, is_hidden, accelerator):
        """To whose gradients half precision is added, though they have had none while warming up.

        `eval` gives Modules an attribute more, so that what they hold is compared as a whole.
        """

        def lived(captured):
            weft.manual_seed(0)
            model = nn.Linear(4, 3, bias=False).to(accelerator)
            many = [model.weight, *[None] * 300]  # more than are looked at

            def forward(x):
                return F.linear(x, many[0])

            function = forward if is_hidden else model

            def step(x):
                with weft.autocast("bfloat16"):
                    loss = function(x).sum()
                    loss.backward()
                return loss

            run, found = weft.capture(step, strict=True) if captured else step, []
            for i in range(7):
                if i == 2:
                    model.load_state_dict({"weight": 2 * weft.ones((3, 4), device=accelerator)}, assign=True)
                    many[0] = model.weight
                    model.weight.grad = weft.ones_like(model.weight.detach())
                    model.eval()
                loss = run(weft.full((2, 4), 1.0 + i, device=accelerator))
                found.append((loss.tolist(), model.weight.grad.tolist()))
            return found

        assert lived(True) == lived(False)

    def test_parameters_of_an_optimizer_that_nobody_has_met(self):
        """Where nobody looks, too: their gradients go into memory that the recorder is not shown."""

        def lived(captured):
            def trained():
                w = weft.Parameter(weft.ones(3))
                optimizer = optim.SGD([w], lr=0.1)
                w.sum().backward()
                optimizer.step()
                optimizer.zero_grad()
                return w, optimizer

            many = [*trained(), *[None] * 300]

            def step(x):
                many[1].zero_grad()
                loss = (x * many[0]).sum()
                loss.backward()
                return loss

            run, found, kept = weft.capture(step) if captured else step, [], []
            for i in range(8):
                if i == 2:
                    kept += many[:2]
                    many[:2] = trained()
                found.append((run(weft.full(3, 1.0 + i)).tolist(), many[0].grad.tolist()))
            return found

        with pytest.warns(RuntimeWarning, match="whose optimizer it had not met while warming up"):
            found = lived(True)
        assert found == lived(False)

    @pytest.mark.filterwarnings("ignore:.*cannot be captured")
    def test_gradients_of_calls_as_usual_stay(self, accelerator):
        """An obstacle that was found while warming up is no failed recording, after which gradients are taken back."""
        w, counted = weft.Parameter(weft.ones(2, device=accelerator)), [0]

        def step(x):
            counted[0] += 1
            (w * x).sum().backward()

        run = weft.capture(step)
        found = []
        for i in range(4):
            w.grad = w.grad if i > 1 else None
            run(weft.ones(2, device=accelerator))
            found.append(w.grad.tolist())
        assert found == [[n, n] for n in (1, 1, 2, 3)]


@pytest.mark.parametrize("is_training", [False, True], ids=["evaluation", "training"])
def test_a_model_whose_optimizer_is_gone(is_training, accelerator):
    def lived(captured):
        weft.manual_seed(0)
        model = nn.Linear(4, 3).to(accelerator)
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        model(weft.ones((2, 4), device=accelerator)).sum().backward()
        optimizer.step()
        del optimizer
        gc.collect()

        def step(x):
            model.zero_grad()
            loss = model(x).sum()
            if is_training:
                loss.backward()
            return loss

        run, found = weft.capture(step, strict=True) if captured else step, []
        for i in range(6):
            loss = run(weft.full((2, 4), 1.0 + i, device=accelerator))
            found.append((loss.tolist(), [None if p.grad is None else p.grad.tolist() for p in model.parameters()]))
        return found

    assert lived(True) == lived(False)


class TestHooksRegisteredLater:
    """After the step has been recorded without any: it calls them as usual, whether it goes the short way by then or not."""

    REGISTER = {
        "of an optimizer": lambda optimizer, p: optimizer.register_step_pre_hook(
            lambda *_: p.grad.__imul__(0.5) and None
        ),
        "of a gradient": lambda optimizer, p: p.register_hook(lambda g: g / 2),
        "of a gradient that is there": lambda optimizer, p: p.register_post_accumulate_grad_hook(
            lambda p: p.grad.__imul__(0.5) and None
        ),
    }

    @pytest.mark.parametrize("at", [4, 9])
    @pytest.mark.parametrize("name", REGISTER)
    def test_are_called(self, name, at, accelerator):
        def lived(captured):
            w = weft.Parameter(weft.ones(1, device=accelerator))
            optimizer = optim.SGD([w], lr=0.1)

            def step(x):
                optimizer.zero_grad()
                loss = (w * x).sum()
                loss.backward()
                optimizer.step()
                return loss

            run, found, handles = weft.capture(step) if captured else step, [], []
            for i in range(12):
                if i == at:
                    handles.append(self.REGISTER[name](optimizer, w))
                if i == 11:
                    handles.pop().remove()
                run(weft.full(1, 1.0 + i, device=accelerator))
                found.append(w.tolist())
            return found

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*it calls hooks")
            assert lived(True) == lived(False)


class TestRefused:
    """The eager result, and the reason why it is not captured."""

    def check(self, make, reason, accelerator, *, warmup=2):
        x = weft.ones(2, device=accelerator)
        eager, captured = make(), make()
        run = weft.capture(captured, warmup=warmup)
        expected = [_values(eager(x)) for _ in range(6)]
        with pytest.warns(RuntimeWarning, match=f"cannot be captured and runs as usual: {reason}"):
            assert [_values(run(x)) for _ in range(6)] == expected
        strict = weft.capture(make(), warmup=warmup, strict=True)
        with pytest.raises(RuntimeError, match=reason):
            [strict(x) for _ in range(6)]

    @pytest.mark.parametrize("warmup", [1, 2])
    def test_a_counter(self, accelerator, warmup):
        def make():
            count = 0

            def step(x):
                nonlocal count
                count += 1
                return x * count

            return step

        self.check(make, "it changes `count` on the host", accelerator, warmup=warmup)

    @pytest.mark.parametrize("warmup", [1, 4])
    @pytest.mark.parametrize("kind", [list, set, dict, deque, lambda: deque(maxlen=2)])
    def test_what_it_is_put_into(self, kind, accelerator, warmup):
        def make():
            found = kind()
            put = {list: list.append, deque: deque.append, set: set.add}.get(
                type(found), lambda d, y: d.update({id(y): y})
            )

            def step(x):
                put(found, x + len(found))
                return x + len(found)

            return step

        self.check(make, "it changes `found` on the host", accelerator, warmup=warmup)

    def test_an_array_of_the_host(self, accelerator):
        def make():
            counts = np.zeros(2)

            def step(x):
                counts[1] += 1
                return x * float(counts[1])

            return step

        self.check(make, "it changes `counts` on the host", accelerator)

    @pytest.mark.parametrize("f", COUNTED, ids=str)
    def test_results_whose_size_is_computed(self, f, accelerator):
        self.check(lambda: COUNTED[f], "(it reads a value on the host|the current stream is capturing)", accelerator)

    def test_a_number_that_is_returned(self, accelerator):
        def make():
            numbers = iter(range(100))
            return lambda x: (x * 2, next(numbers))

        self.check(make, "it returns what the host has computed", accelerator)

    def test_a_schedule(self, accelerator):
        def make():
            w = weft.Parameter(weft.ones(2, device=accelerator))
            optimizer = optim.SGD([w], lr=0.1)
            schedule = optim.schedulers.ExponentialLR(optimizer, 0.5)

            def step(x):
                (w * x).sum().backward()
                optimizer.step()
                optimizer.zero_grad()
                schedule.step()
                return w * 1

            return step

        self.check(make, "it changes the options of SGD on the host", accelerator)

    def test_an_average_whose_weights_change(self, accelerator):
        def make():
            w = weft.Parameter(weft.ones(2, device=accelerator))
            ema = optim.EMA([w], decay=0.5)

            def step(x):
                with weft.no_grad():
                    w.__iadd__(x)
                ema.update()
                return weft.asarray(ema.averages()[0]) * 1

            return step

        self.check(make, "it changes the `step` of EMA", accelerator)

    def test_an_optimizer_that_steps_twice(self, accelerator):
        def make():
            w = weft.Parameter(weft.ones(2, device=accelerator))
            optimizer = optim.Adam([w], lr=0.1)

            def step(x):
                for _ in range(2):
                    optimizer.zero_grad()
                    (w * w * x).sum().backward()
                    optimizer.step()
                return w * 1

            return step

        self.check(make, "Adam steps twice in it", accelerator)

    def test_a_hidden_state_that_is_given_on(self, accelerator):
        def make():
            state = weft.ones(2, device=accelerator)

            def step(x):
                nonlocal state
                state = state * 2 + x
                return state

            return step

        self.check(make, "it changes `state` on the host", accelerator)

    def test_a_constant_of_the_cpu(self, accelerator):
        if accelerator == "cpu":
            pytest.skip("there it is a tensor like others")

        def make():
            table = weft.ones(2)

            def step(x):
                table.__iadd__(1)
                return x * 2

            return step

        self.check(make, "it computes on cpu with a tensor of shape", accelerator)

    def test_a_scaler_without_its_update(self, accelerator):
        def make():
            w = weft.Parameter(weft.ones(2, device=accelerator))
            optimizer, scaler = optim.SGD([w], lr=0.1), weft.GradScaler(init_scale=4.0)

            def step(x):
                scaler.update(4.0)
                optimizer.zero_grad()
                scaler.scale((w * x).sum()).backward()
                scaler.unscale_(optimizer)
                return w.grad * 1

            return step

        self.check(make, "it has `unscale_` or `step` of a GradScaler without its `update`", accelerator)


@dataclasses.dataclass
class Options:
    k: float
    shifts: list


class Unhashable:
    __hash__ = None

    def __init__(self, k):
        self.k, self.shifts = k, [0.0]


@pytest.mark.parametrize("kind", [lambda k: Options(k, [0.0]), Unhashable])
def test_objects_without_a_hash_and_arguments_by_name(kind, accelerator):
    calls = Mock()

    def step(x, options, *, scale=1.0, y=None):
        calls()
        return (x * options.k + options.shifts[0]) * scale + (0 if y is None else y["y"])

    run, options = weft.capture(step, strict=True), kind(2.0)
    for i in range(24):
        x, y = weft.full((2,), float(i), device=accelerator), weft.full((2,), float(-i), device=accelerator)
        if i == 5:
            options.k = 3.0
        if i == 10:
            options.shifts[0] = 4.0
        scale = 1.0 if i < 15 else 2.0
        expected = (i * options.k + options.shifts[0]) * scale - i
        assert run(x, options, y={"y": y}, scale=scale).tolist() == [expected] * 2
    assert calls.call_count == 12 + 8 * (accelerator == "cpu")
    assert weft.capture(step)(weft.ones(1), options=options, scale=0.5).tolist() == [3.5]


def test_equal_options_share_a_recording(accelerator):
    calls = Mock()
    run = weft.capture(lambda x, options: (calls(), x * options.k)[1], strict=True)
    for i in range(8):
        assert run(weft.ones(1, device=accelerator), Options(2.0 + i % 2, [])).tolist() == [2.0 + i % 2]
    assert calls.call_count == 6 + 4 * (accelerator == "cpu")


def test_an_array_of_the_host_that_changes(accelerator):
    a, x = np.ones(2), weft.ones(2, device=accelerator)
    run = weft.capture(lambda x: x * float(a[0]), strict=True)
    for i in range(12):
        a[0] = i // 4
        assert run(x).tolist() == [i // 4] * 2


@dataclasses.dataclass
class Out:
    loss: object
    more: object = None


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    loss: object


class Names(collections.OrderedDict):
    """A dict of another kind, with an attribute."""


class Plain:
    def __init__(self, loss):
        self.loss = loss


class Unseen:
    """An object that nobody looks into: of a class that was installed."""

    __module__ = "numpy.elsewhere"


class Settings(nn.Module):
    """Scales by what its settings say."""

    def __init__(self, settings):
        super().__init__()
        self.settings = settings

    def forward(self, x):
        return x * self.settings.SCALE


class TestWhatContainersHold:
    @pytest.mark.parametrize("settings", [argparse.Namespace, lambda: types.ModuleType("settings_of_mine")])
    @pytest.mark.parametrize("is_tensor", [False, True])
    def test_is_looked_at(self, settings, is_tensor, accelerator):
        model = Settings(settings())
        run = weft.capture(model, strict=True)
        found = []
        for i in range(12):
            if not i % 5:
                model.settings.SCALE = weft.full((1,), i, device=accelerator) if is_tensor else float(i)
            found.append(run(weft.ones(1, device=accelerator)).item())
        assert found == [0.0] * 5 + [5.0] * 5 + [10.0] * 2

    @pytest.mark.parametrize("is_view", [False, True])
    def test_is_kept(self, is_view, accelerator):
        unseen = Unseen()

        def step(x):
            return x + (unseen.t.detach() if is_view else unseen.t)

        run, x = weft.capture(step, strict=True), weft.ones(1, device=accelerator)
        for i in range(5):
            if i < 3:
                unseen.t = weft.full((1,), float(i), device=accelerator)
            found = run(x).item()
        del unseen.t
        junk = [weft.full((1,), 1e6, device=accelerator) for _ in range(8)]
        assert found == run(x).item() == 3.0
        del junk


class Noisy(nn.Module):
    """Adds a number that the host draws."""

    def __init__(self, source):
        super().__init__()
        self.source = source

    def forward(self, x):
        source = self.source
        return x + (source.random() if hasattr(source, "random") else next(source))


def count_up():
    n = 0.0
    while True:
        yield n
        n += 1


SOURCES = {
    "default_rng": lambda: np.random.default_rng(0),
    "RandomState": lambda: np.random.RandomState(0),
    "Random": lambda: random.Random(0),
    "count": itertools.count,
    "iterator": lambda: iter([0.5, 1.5, 2.5, 3.5, 4.5, 5.5]),
    "generator": count_up,
}


class TestRandomNumbersOfTheHost:
    @pytest.mark.parametrize("kind", SOURCES)
    def test_of_an_attribute(self, kind, accelerator):
        x, model = weft.ones(2, device=accelerator), Noisy(SOURCES[kind]())
        expected = [model(x).sum().item() for _ in range(6)]
        model.source = SOURCES[kind]()
        run = weft.capture(lambda x: model(x).sum())
        with pytest.warns(RuntimeWarning, match="it takes a value from `(model.)?source` on the host"):
            assert [run(x).item() for _ in range(6)] == expected

    @pytest.mark.parametrize("warmup", [1, 2])
    @pytest.mark.parametrize("draw", [lambda: random.random(), lambda: np.random.rand()])  # noqa: NPY002
    def test_that_all_share(self, draw, warmup, accelerator):
        def lived(step):
            random.seed(3), np.random.seed(3)  # noqa: NPY002
            return [step(weft.ones(1, device=accelerator)).item() for _ in range(6)]

        def step(x):
            return x * draw()

        with pytest.warns(RuntimeWarning, match="it takes a value from `(numpy.)?random` on the host"):
            assert lived(weft.capture(step, warmup=warmup)) == lived(step)

    def test_that_another_thread_draws(self, accelerator):
        ends, turns = threading.Event(), [threading.Event(), threading.Event()]

        def work():
            while turns[0].wait(120) and not ends.is_set():
                np.random.rand()  # noqa: NPY002
                turns[0].clear(), turns[1].set()

        def meanwhile():
            turns[1].clear(), turns[0].set()
            assert turns[1].wait(120)

        def step(x):
            meanwhile()
            return x * 2

        (thread := threading.Thread(target=work)).start()
        try:
            run = weft.capture(step, strict=True)
            assert [run(weft.ones(1, device=accelerator)).item() for _ in range(4)] == [2.0] * 4
        finally:
            ends.set(), turns[0].set(), thread.join()


class Pair(collections.namedtuple("Pair", "loss")):
    pass


REBUILT = {
    "data class": lambda y: Out(y, 3),
    "frozen": Frozen,
    "in a list": lambda y: [Out(y)],
    "in a dict": lambda y: {"out": Out({"a": Frozen(y)}, "b")},
    "namespace": lambda y: types.SimpleNamespace(loss=y),
    "deque": lambda y: deque([y], maxlen=3),
    "OrderedDict": lambda y: collections.OrderedDict(a=y, b=1),
    "dict of another kind": lambda y: Names(a=y),
    "defaultdict": lambda y: collections.defaultdict(list, {"a": [y]}),
    "named tuple": Pair,
}
NOT_REBUILT = {
    "object": Plain,
    "in a list": lambda y: [Plain(y)],
    "in a data class": lambda y: Out([Plain(y)]),
    "set": lambda y: {y},
    "closure": lambda y: lambda: y,
    "partial": lambda y: functools.partial(Plain, y),
    "values": lambda y: {"a": y}.values(),
    "UserDict": lambda y: collections.UserDict(a=y),
    "array": lambda y: y.data,
    "array of objects": lambda y: np.array([y, None], object)[:1],
    "iterator": lambda y: iter([y]),
    "generator": lambda y: (y for _ in range(1)),
}


class TestWhatIsReturned:
    @pytest.mark.parametrize("kind", REBUILT)
    def test_is_made_anew(self, kind, accelerator):
        def step(x):
            return REBUILT[kind](x * 2)

        run = weft.capture(step, strict=True)
        results = [run(weft.full((2,), float(i), device=accelerator)) for i in range(6)]
        assert {type(r) for r in results} == {type(step(weft.ones(1)))}
        found = [[t.numpy().tolist() for t in _tensors(r)] for r in results]
        assert found == [[[2.0 * i, 2.0 * i]] for i in range(6)]
        for name in ("maxlen", "default_factory", "more"):
            assert len({repr(getattr(r, name, None)) for r in results}) == 1

    @pytest.mark.parametrize("kind", NOT_REBUILT)
    def test_or_runs_as_usual(self, kind, accelerator):
        def step(x):
            return NOT_REBUILT[kind](x * 2)

        run = weft.capture(step)
        with pytest.warns(RuntimeWarning, match="it returns (Tensors in|an iterator|an array|what the host)"):
            results = [run(weft.full((2,), float(i), device=accelerator)) for i in range(6)]
        found = [_tensors(r) for r in results]
        expected = [2.0 * i for i in range(6)]
        raw = [getattr(y, "data", y) if isinstance(y, weft.Tensor) else y for (y,) in found]
        assert [(y.get() if hasattr(y, "get") else y)[0] for y in raw] == expected

    def test_a_number_in_an_object(self, accelerator):
        numbers = iter(range(100))
        run = weft.capture(lambda x: Out(x * 2, Plain(next(numbers))))
        with pytest.warns(RuntimeWarning, match="it returns what the host has computed"):
            found = [run(weft.ones(2, device=accelerator)).more.loss for _ in range(4)]
        assert found == [0, 1, 2, 3] or found == [0, 1, 3, 4]

    def test_modules_and_circles(self, accelerator):
        model = nn.Linear(2, 1).to(accelerator)
        around = []
        around.append(around)
        run = weft.capture(lambda x: (model(x), model, around))
        with pytest.warns(RuntimeWarning, match="recursion"):
            assert [run(weft.ones(2, device=accelerator))[1] for _ in range(4)] == [model] * 4
        run = weft.capture(lambda x: (model(x), model), strict=True)
        assert [run(weft.ones(2, device=accelerator))[1] for _ in range(4)] == [model] * 4


def _tensors(x):
    """Tensors, or arrays of a device, in what a step has returned."""
    if (
        isinstance(x, weft.Tensor)
        or (isinstance(x, np.ndarray) and x.dtype != object)
        or hasattr(x, "get_array_module")
    ):
        return [x]
    if isinstance(x, types.FunctionType):
        return _tensors(x())
    if isinstance(x, functools.partial):
        return _tensors(x.args)
    if isinstance(x, dict | collections.UserDict):
        x = x.values()
    elif dataclasses.is_dataclass(x):
        x = [getattr(x, f.name) for f in dataclasses.fields(x)]
    elif hasattr(x, "__dict__") and not isinstance(x, tuple):
        x = vars(x).values()
    return [] if isinstance(x, str | int | None) else [t for v in x for t in _tensors(v)]


PUT = {
    "a new key": lambda c, y: c.update(t=y),
    "another value": lambda c, y: c.update(a=y),
    "taken out": lambda c, y: c.pop("n"),
    "a counter": lambda c, y: c.update(n=c["n"] + 1),
    "a list": lambda c, y: c["list"].append(y),
    "a set": lambda c, y: c["set"].add(y),
    "a data class": lambda c, y: setattr(c["out"], "more", y),
    "an object": lambda c, y: setattr(c["plain"], "more", y),
    "requires_grad": lambda c, y: c["a"].requires_grad_(),
}


@pytest.mark.parametrize("is_named", [False, True])
@pytest.mark.parametrize("kind", PUT)
def test_what_is_put_into_an_argument(kind, is_named, accelerator):
    def step(x, c):
        PUT[kind](c, y := x * 2)
        return y

    def lived(step):
        found, plain, objects = [], Plain(0), set()
        for i in range(6):
            x, a = (weft.full((1,), float(i), device=accelerator) for _ in range(2))
            out = Out(None)
            c = {"a": a, "n": 1, "list": [], "set": objects, "out": out, "plain": plain}
            step(x, c=c) if is_named else step(x, c)
            held = [*c, c.get("n"), c.get("t"), c["a"], *c["list"], len(objects), out.more, getattr(plain, "more", 0)]
            found.append([v.item() if isinstance(v, weft.Tensor) else v for v in held] + [a.requires_grad])
        return found

    with pytest.warns(RuntimeWarning, match="it changes what an argument .* holds"):
        assert lived(weft.capture(step)) == lived(step)


def _values(x):
    return tuple(map(_values, x)) if isinstance(x, tuple) else x if isinstance(x, int) else x.tolist()


class TestCapture:
    def test_host_code_runs_while_warming_up_and_once_more(self, accelerator):
        count = Mock()  # of an installed package, so that it is not looked into

        def step(x):
            """Its documentation."""
            count()
            return x * 2

        run = weft.capture(step, warmup=2)
        assert run.__doc__ == "Its documentation."
        for i in range(6):
            assert run(weft.full((3,), float(i), device=accelerator)).tolist() == [2.0 * i] * 3
        assert count.call_count == 3 + 2 * (accelerator == "cpu")  # where the first replays are checked

    def test_results_are_not_overwritten(self, accelerator):
        run = weft.capture(lambda x: {"y": (x + 1, [x * 2])}, warmup=1)
        results = [run(weft.full((2,), float(i), device=accelerator)) for i in range(4)]
        assert [r["y"][0].tolist() for r in results] == [[i + 1.0] * 2 for i in range(4)]
        assert [r["y"][1][0].tolist() for r in results] == [[i * 2.0] * 2 for i in range(4)]

    def test_each_shape_and_option_is_recorded_on_its_own(self, accelerator):
        run = weft.capture(lambda x, k: x * k, warmup=1)
        for _ in range(3):
            for n in (2, 3):
                for k in (2.0, 3.0):
                    assert run(weft.ones(n, device=accelerator), k).tolist() == [k] * n
        assert len(run._steps) == 4

    @pytest.mark.parametrize("rule", [optim.SGD, optim.Adam])
    def test_a_learning_rate_that_is_a_tensor_counts_as_its_number(self, accelerator, rule):
        found = []
        for is_captured in (False, True):
            w = weft.Parameter(weft.asarray([1.0, -2.0], device=accelerator))
            rate = weft.tensor(0.1)
            optimizer = rule([w], lr=rate)

            def step(x, w=w, optimizer=optimizer):
                optimizer.zero_grad()
                (w * x).sum().backward()
                optimizer.step()

            run = weft.capture(step, strict=True) if is_captured else step
            for i in range(8):
                if i == 6:
                    rate.fill_(0.03)
                run(weft.asarray([1.0, 2.0], device=accelerator))
            found.append(w.tolist())
        assert found[0] == found[1]

    def test_so_many_shapes_are_kept(self):
        """Each recording holds memory."""
        run = weft.capture(lambda x: x * 2, strict=True)
        for n in range(1, 80):
            assert run(weft.ones(n)).tolist() == [2.0] * n
        with pytest.warns(RuntimeWarning, match="called with 80 kinds of arguments, of which 64 are kept"):
            run(weft.ones(80))
        assert len(run._steps) == 64

    def test_each_mode_around_a_call_is_recorded_on_its_own(self, accelerator):
        w = weft.ones((2, 2), device=accelerator)
        run = weft.capture(lambda x: x @ w * (2.0 if weft.is_grad_enabled() else 3.0), warmup=1)
        x = weft.ones((1, 2), device=accelerator)
        for _ in range(3):
            assert run(x).tolist() == [[4.0, 4.0]]
            with weft.no_grad():
                assert run(x).tolist() == [[6.0, 6.0]]
            for name in ("bfloat16", "float16"):
                with weft.autocast(name):
                    assert run(x).dtype == getattr(weft, name)
        assert len(run._steps) == 4

    def test_arguments_from_the_host_of_the_same_device_alone(self):
        run = weft.capture(lambda x: x + 1, warmup=1)
        for i in range(3):
            assert run(weft.asarray(np.float32([i]), device="emulator")).item() == i + 1

    def test_random_numbers_go_on(self, accelerator):
        def draw(x):
            return F.dropout(x, 0.5) + weft.rand(1000, device=accelerator)

        x = weft.ones(1000, device=accelerator)
        weft.manual_seed(5)
        eager = [draw(x).tolist() for _ in range(5)]
        weft.manual_seed(5)
        run = weft.capture(draw, warmup=1)
        assert [run(x).tolist() for _ in range(5)] == eager

    def test_a_new_seed_is_recorded_again(self, accelerator):
        run, x = weft.capture(lambda x: F.dropout(x, 0.5), warmup=1), weft.ones(1000, device=accelerator)
        for _ in range(3):
            run(x)
        weft.manual_seed(7)
        found = [run(x).tolist() for _ in range(3)]
        weft.manual_seed(7)
        assert found == [F.dropout(x, 0.5).tolist() for _ in range(3)]

    @pytest.mark.parametrize(
        ("step", "reason"),
        [
            (lambda x: x * x.sum().item(), "it reads a value on the host"),
            (lambda x: x * 2 if x.sum() > 0 else x, "it reads a value on the host"),
            (lambda x: x + weft.asarray(np.ones(3, np.float32), device="emulator"), "it copies from the host"),
        ],
    )
    def test_falls_back_with_the_reason(self, step, reason):
        run, x = weft.capture(step, warmup=1), weft.ones(3, device="emulator")
        expected = step(x).tolist()
        assert run(x).tolist() == expected
        with pytest.warns(RuntimeWarning, match=f"cannot be captured and runs as usual: {reason}"):
            assert run(x).tolist() == expected
        assert run(x).tolist() == expected
        assert not emulator.is_capturing()

    def test_strict(self):
        run, x = weft.capture(lambda x: x * x.sum().item(), warmup=1, strict=True), weft.ones(3, device="emulator")
        assert run(x).tolist() == [3.0] * 3
        for _ in range(2):
            with pytest.raises(RuntimeError, match="cannot be captured: it reads a value on the host"):
                run(x)

    def test_a_loss_scaler_survives_a_failed_recording(self, accelerator):
        """The update reads a value on the host, in the middle of the scaler's own step."""
        model = nn.Linear(3, 2).to(accelerator)
        optimizer, scaler = optim.SGD(model.parameters(), lr=0.1), weft.GradScaler(init_scale=4.0)
        update = optimizer.step
        optimizer.step = lambda **options: None if options["skip"].item() else update(**options)

        def step(x):
            optimizer.zero_grad()
            scaler.scale(model(x).sum()).backward()
            scaler.unscale_(optimizer)
            scaler.step(optimizer)
            scaler.update()

        run, x = weft.capture(step, warmup=1), weft.ones((4, 3), device=accelerator)
        run(x)
        with pytest.warns(RuntimeWarning, match="cannot be captured"):
            run(x)
        run(x)
        assert optimizer.state_dict()["state"] is not None
        np.testing.assert_allclose(scaler.get_scale(), 4.0)

    @pytest.mark.parametrize("in_arena", [True, False])
    def test_gradients_of_a_failed_recording_are_forgotten(self, accelerator, in_arena):
        """They were never computed; a step that clears gradients at its end would add to them."""

        def gradients(captured):
            weft.manual_seed(0)
            model = nn.Linear(3, 2).to(accelerator)
            found = []
            if in_arena:
                optim.SGD(model.parameters(), lr=0.1)

            def step(x):
                model(x).sum().backward()
                found.append(model.weight.grad.tolist())
                for p in model.parameters():
                    p.grad = None

            run = weft.capture(step, warmup=1) if captured else step
            for i in range(3):
                run(weft.full((4, 3), i + 1.0, device=accelerator))
            return found

        with pytest.warns(RuntimeWarning, match="cannot be captured"):
            captured = gradients(True)
        assert captured == gradients(False)

    def test_warmup_is_checked(self):
        with pytest.raises(ValueError, match="`warmup` must be at least 1, got 0"):
            weft.capture(lambda: None, warmup=0)


class TestArguments:
    @pytest.mark.parametrize("what", ["parameter", "gradient", "buffer"])
    def test_one_that_is_a_view_of_what_the_step_updates(self, accelerator, what):
        """It is read after the update, where a copy from before has other numbers."""

        def lived(captured):
            w = weft.Parameter(weft.arange(6, dtype=weft.float32, device=accelerator))
            total = weft.zeros(6, device=accelerator)
            optimizer = optim.SGD([w], lr=0.1)

            def step(x):
                optimizer.zero_grad()
                (w * w).sum().backward()
                optimizer.step()
                with weft.no_grad():
                    total.__iadd__(1.0)
                    return x * 1

            run, found = weft.capture(step, strict=True) if captured else step, []
            for i in range(9):
                source = {"parameter": w.detach(), "gradient": w.grad, "buffer": total}[what]
                x = source[2:5] if i > 4 else weft.full(3, float(i), device=accelerator)
                found.append(run(x).tolist())
            return found

        assert lived(True) == lived(False)

    def test_a_label_that_is_no_class_while_recording(self):
        run = weft.capture(lambda x, y: F.cross_entropy(x, y), strict=True)
        x, good, bad = weft.ones((2, 3)), weft.tensor([0, 1]), weft.tensor([0, 5])
        expected = F.cross_entropy(x, good).item()
        for y in (good, good, bad, good, good, good):
            if y is bad:
                with pytest.raises(IndexError, match=r"classes in \[0, 3\).* got 5"):
                    run(x, y)
            else:
                assert run(x, y).item() == expected
        assert [step.graph is not None for step in run._steps.values()] == [True]


ASSIGNED = {
    "an argument": lambda g: g,
    "a view of one": lambda g: g[::-1],
    "something new": lambda g: g * 2,
    "none": lambda g: None,
}


@pytest.mark.parametrize("device", ["cpu", "emulator"])
@pytest.mark.parametrize("name", ASSIGNED)
def test_a_gradient_that_the_step_assigns(device, name):
    """A replay leaves the gradient that the step would have left, and the step need not be recorded for each gradient before."""
    p, give = weft.Parameter(weft.zeros((4, 3), device=device)), ASSIGNED[name]
    q = weft.Parameter(weft.zeros(3, device=device))
    other = optim.SGD([q], lr=0.1)

    def step(g):
        p.grad = give(g)
        other.zero_grad()
        return g.sum()

    run = weft.capture(step, strict=True)
    for i in range(8):
        g = weft.full((4, 3), float(i), device=device)
        q.grad = weft.ones(3, device=device)
        run(g)
        assert q.grad is None
        expected = give(g)
        assert (p.grad is None) == (expected is None)
        if expected is not None:
            np.testing.assert_array_equal(p.grad.numpy(), expected.numpy())
    assert len(run._steps) == 1


@pytest.mark.parametrize("device", ["cpu", "emulator"])
@pytest.mark.parametrize("clears", ["in the step", "by hand in the step", "outside"])
def test_gradients_that_are_kept_keep_their_numbers(device, clears):
    """Whichever call they come from: usual, warming up, recorded, the first replays or later ones."""
    w = weft.Parameter(weft.ones(4, device=device))
    optimizer = optim.SGD([w], lr=0.0)

    @weft.capture
    def step(x):
        if clears == "in the step":
            optimizer.zero_grad()
        elif clears != "outside":
            w.grad = None
        loss = (w * x).sum()
        loss.backward()
        optimizer.step()
        return loss

    kept = []
    for k in range(9):
        if clears == "outside":
            optimizer.zero_grad()
        step(weft.full(4, float(k + 1), device=device))
        if k != 5:  # nobody has looked at this one
            kept.append((k, w.grad))
    assert [g.tolist() for _, g in kept] == [[k + 1.0] * 4 for k, _ in kept]
