"""Steps captured in the emulator and on a GPU: the same bits as steps that are run one by one, or a reason why not."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.kernels import emulator

F = nn.functional
pytestmark = pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")


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
def test_captured_steps_equal_eager_steps_bit_for_bit(name, options, accelerator):
    """Dropout's masks, running statistics, step counts and loss scales included."""
    eager, captured = (train(accelerator, c, OPTIMIZERS[name], **options) for c in (False, True))
    assert captured[0] == eager[0]
    assert captured[2] == eager[2]
    for a, b in zip(captured[1], eager[1]):
        np.testing.assert_array_equal(a, b)


class TestCapture:
    def test_cpu_calls_the_step(self):
        calls = []
        step = weft.capture(lambda x: calls.append(x) or x + 1)
        x = weft.tensor([1.0])
        for _ in range(4):
            assert step(x).item() == 2
        assert all(c is x for c in calls)
        assert len(calls) == 4

    def test_host_code_runs_while_warming_up_and_once_more(self, accelerator):
        calls = []

        def step(x):
            """Its documentation."""
            calls.append(1)
            return x * 2

        run = weft.capture(step, warmup=2)
        assert run.__doc__ == "Its documentation."
        for i in range(6):
            assert run(weft.full((3,), float(i), device=accelerator)).tolist() == [2.0 * i] * 3
        assert len(calls) == 3

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
