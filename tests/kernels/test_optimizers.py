"""Ten steps in the emulator against ten on a CPU, whose rules tests/optimizers/ compares with their equations."""

import re
from pathlib import Path

import numpy as np
import pytest
from kernel_harness import SIZES, close, dtypes, every_schedule, halves

import weft
from weft import optimizers as optim
from weft.backend.device.devices import to_numpy as host
from weft.kernels import optimizers as kernels
from weft.optimizers.arena import MASTER
from weft.optimizers.rule import descent_coefficients

SHAPES = [(7, 5), (5,), (), (3, 2, 2), (0, 4), (1,), (33, 41)]
SKIPPED = {(0, 1), (3, 1), (3, 2), (9, 0)}  # (step, parameter) without a gradient
DECAY = {"weight_decay": 0.1}

CASES = [
    (optim.SGD, {"lr": 0.1}),
    (optim.SGD, {"lr": 0.1, "maximize": True, **DECAY}),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, **DECAY}),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, **DECAY}),
    (optim.Adagrad, {"lr": 0.5, "lr_decay": 0.1, "initial_accumulator_value": 0.3, **DECAY}),
    (optim.Adagrad, {"lr": 0.5, "maximize": True}),
    (optim.RMSprop, {"lr": 0.01, "eps": 1e-3}),
    (optim.RMSprop, {"lr": 0.01, "eps": 1e-3, "momentum": 0.5, "centered": True, **DECAY}),
    (optim.RMSprop, {"lr": 0.01, "eps": 1e-3, "centered": True, "maximize": True}),
    (optim.Adadelta, {"lr": 10.0}),
    (optim.Adadelta, {"lr": 10.0, "maximize": True, **DECAY}),
    (optim.Adam, {"lr": 0.05}),
    (optim.Adam, {"lr": 0.05, "amsgrad": True, "maximize": True, **DECAY}),
    (optim.Adam, {"lr": 0.05, "decoupled_weight_decay": True, **DECAY}),
    (optim.AdamW, {"lr": 0.05}),
    (optim.AdamW, {"lr": 0.05, "amsgrad": True, "maximize": True, **DECAY}),
    (optim.NAdam, {"lr": 0.05, **DECAY}),
    (optim.NAdam, {"lr": 0.05, "decoupled_weight_decay": True, "maximize": True, **DECAY}),
    (optim.RAdam, {"lr": 0.1, **DECAY}),
    (optim.RAdam, {"lr": 0.1, "decoupled_weight_decay": True, "maximize": True, **DECAY}),
    (optim.Adamax, {"lr": 0.05}),
    (optim.Adamax, {"lr": 0.05, "maximize": True, **DECAY}),
    (optim.AdaBound, {"lr": 0.05}),
    (optim.AdaBound, {"lr": 0.05, "amsbound": True, "maximize": True, **DECAY}),
    (optim.ASGD, {"lr": 0.01, "lambd": 0.1, "t0": 3}),
    (optim.ASGD, {"lr": 0.01, "lambd": 0.1, "t0": 2, "maximize": True, **DECAY}),
    (optim.Rprop, {"lr": 0.01}),
    (optim.Rprop, {"lr": 0.01, "etas": (0.3, 2.0), "step_sizes": (0.005, 0.05), "maximize": True}),
    (optim.Lion, {"lr": 0.01}),
    (optim.Lion, {"lr": 0.01, "maximize": True, **DECAY}),
    (optim.SparseAdam, {"lr": 0.05, "maximize": True}),
    (optim.Adafactor, {"lr": 0.05, "maximize": True, **DECAY}),
    (optim.Adafactor, {"lr": 0.05, "eps": (1e-3, 0.1), "d": 1.5}),
    (optim.Muon, {"lr": 0.05, **DECAY}),
]
WHOLE = [optim.Muon, optim.SparseAdam, optim.Adafactor]  # rules that need whole parameters
ELEMENTWISE = [cls for cls in dict.fromkeys(cls for cls, _ in CASES) if cls not in WHOLE]


def name(value):
    return value.__name__ if isinstance(value, type) else "-".join(f"{k}={v}" for k, v in value.items())


def run(cls, options, device, dtype="float32", *, steps=10, shapes=SHAPES, skipped=SKIPPED, **gates):
    """The parameters and the optimizer after some steps with the same gradients on any device."""
    rng = np.random.default_rng(1)
    shapes = [s for s in shapes if len(s) == 2] if cls is optim.Muon else shapes
    dtype = getattr(weft, dtype) if isinstance(dtype, str) else dtype
    params = [
        weft.Parameter(weft.asarray(np.asarray(rng.standard_normal(s)).astype(dtype), device=device)) for s in shapes
    ]
    lr = cls(params, **options).defaults["lr"]
    optimizer = cls(
        [{"params": params[:3]}, *([{"params": params[3:], "lr": 2 * lr}] if params[3:] else [])], **options
    )
    for k in range(steps):
        for i, p in enumerate(params):
            p.grad = None
            g = np.asarray(rng.standard_normal(p.shape) * 10.0 ** rng.uniform(-2, 1)).astype(dtype)
            if (k, i) not in skipped:
                p.grad = weft.asarray(g, device=device)
        optimizer.step(**gates)
    return params, optimizer


def wide(p):
    return np.array(p.detach().numpy(), dtype=np.float64)


@pytest.mark.parametrize(("cls", "options"), CASES, ids=name)
def test_trajectories(cls, options):
    expected, reference = run(cls, options, "cpu")
    got, optimizer = run(cls, options, "emulator")
    for p, e in zip(got, expected):
        assert p.device == "emulator"
        np.testing.assert_allclose(wide(p), wide(e), rtol=1e-5, atol=1e-5 * max(1, np.abs(wide(e)).max(initial=0)))
    for p, e in zip(got, expected):
        ours, theirs = optimizer.state[p], reference.state[e]
        assert ours.keys() == theirs.keys()
        assert all(np.allclose(host(ours[k]), host(theirs[k]), rtol=1e-4, atol=1e-5) for k in ours)


@pytest.mark.parametrize("cls", ELEMENTWISE)
def test_under_any_schedule(cls):
    options = next(o for c, o in reversed(CASES) if c is cls)
    every_schedule(lambda: [wide(p) for p in run(cls, options, "emulator", steps=2)[0]])


@halves
@pytest.mark.parametrize("cls", [*ELEMENTWISE, *WHOLE])
def test_half_precision_follows_the_same_master_weights(cls, dtype):
    options = next(o for c, o in reversed(CASES) if c is cls)
    expected, reference = run(cls, options, "cpu", dtype)
    got, optimizer = run(cls, options, "emulator", dtype)
    for p, e in zip(got, expected):
        master = optimizer.state[p][MASTER]
        np.testing.assert_array_equal(host(p.data), host(master).astype(dtype))
        np.testing.assert_allclose(host(master), reference.state[e][MASTER], rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("n", [*SIZES, 4099])
@dtypes
def test_all_lengths(rng, n, dtype):
    """Adam by hand, in float64."""
    p, g = (rng.standard_normal(n).astype(dtype) for _ in range(2))
    m, v, c = rng.standard_normal(n), rng.random(n), np.array([1, 0.1, 0.9, 0.1, 0.01, 0.3, 1e-3, 0], np.float32)
    w, d = p.astype(float) * float(c[2]), g.astype(float) * 0.5
    d += float(c[1]) * w
    m1, v1 = m + float(c[3]) * (d - m), v + float(c[4]) * (d * d - v)
    expected = w - float(c[5]) * m1 / (np.sqrt(v1) + float(c[6]))

    def run():
        state = [m.astype(np.float32), v.astype(np.float32)]
        master = None if p.dtype == np.float32 else p.astype(np.float32)
        weights = p.copy()
        kernels.update("Adam", weights, g, state, c, master=master, multiplier=np.array(0.5, np.float32))
        return weights, master, state

    weights, master, state = every_schedule(run)
    close(weights if master is None else master, expected, 4)
    close(state[0], m1)
    close(state[1], v1)
    if master is not None:
        np.testing.assert_array_equal(weights, master.astype(dtype))


class TestGates:
    @pytest.mark.parametrize("device", ["cpu", "emulator"])
    @pytest.mark.parametrize("cls", [optim.Adam, optim.Muon, optim.Adafactor])
    @pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
    def test_multiplier(self, cls, device, dtype):
        """Half the gradient for Adam with weight decay is no scaled copy of the whole one's step."""
        options = {"lr": 0.05, **DECAY}
        rng = np.random.default_rng(0)
        start, gradient = rng.standard_normal((2, 9, 5))
        results = []
        for factor in (1.0, 0.25):
            p = weft.Parameter(weft.asarray(start.astype(getattr(weft, dtype)), device=device))
            optimizer = cls([p], **options)
            for _ in range(3):
                p.grad = weft.asarray((gradient / factor).astype(p.dtype), device=device)
                given = np.array(p.grad.numpy())
                optimizer.step(multiplier=weft.tensor(factor, device=device))
                np.testing.assert_array_equal(p.grad.numpy(), given)
            results.append(wide(p))
        np.testing.assert_allclose(results[0], results[1], rtol=1e-6)

    @pytest.mark.parametrize("device", ["cpu", "emulator"])
    @pytest.mark.parametrize("cls", [optim.Adam, *WHOLE])
    def test_skip(self, cls, device):
        p = weft.Parameter(weft.ones((3, 2), device=device))
        optimizer = cls([p], lr=0.1)
        p.grad = weft.ones_like(p)
        optimizer.step(skip=weft.asarray(True, device=device))
        assert (wide(p) == 1).all()
        assert optimizer.state[p]["step"] == 1
        optimizer.step(skip=weft.asarray(False, device=device))
        assert (wide(p) != 1).all()

    def test_gates_from_another_device(self):
        p = weft.Parameter(weft.ones(3, device="emulator"))
        optimizer = optim.SGD([p], lr=1.0)
        p.grad = weft.ones_like(p)
        optimizer.step(multiplier=weft.asarray(np.array(0.5)), skip=weft.asarray(False))
        assert p.tolist() == [0.5] * 3
        optimizer.step(skip=weft.asarray(np.array([1.0])))
        assert p.tolist() == [0.5] * 3


@pytest.mark.parametrize("device", ["cpu", "emulator"])
class TestMasterWeights:
    def test_small_steps_add_up(self, device):
        p = weft.Parameter(weft.ones(40, device=device, dtype=weft.bfloat16))
        optimizer = optim.SGD([p], lr=2.0**-10)  # bfloat16 has 8 bits: each step alone is lost
        for _ in range(16):
            p.grad = weft.ones_like(p)
            optimizer.step()
        assert (wide(p) == 1 - 2.0**-6).all()

    def test_weights_written_by_others_count(self, device):
        p = weft.Parameter(weft.ones(40, device=device, dtype=weft.float16))
        optimizer = optim.SGD([p], lr=2.0**-13)
        p.grad = weft.ones_like(p)
        optimizer.step()
        p.data[3:5] = 7.0
        optimizer.step()
        expected = np.full(40, 1 - 2.0**-12)
        expected[3:5] = 7 - 2.0**-13
        np.testing.assert_array_equal(host(optimizer.state[p][MASTER]), expected.astype(np.float32))

    def test_saved_and_loaded(self, device):
        both = []
        for stop in (6, 3):
            p = weft.Parameter(weft.ones(40, device=device, dtype=weft.bfloat16))
            optimizer = optim.Adam([p], lr=1e-3)
            for k in range(6):
                if k == stop:
                    state, value = optimizer.state_dict(), p.data.copy()
                    p = weft.Parameter(weft.asarray(value, device=device))
                    optimizer = optim.Adam([p], lr=1e-3)
                    optimizer.load_state_dict(state)
                p.grad = weft.full_like(p, 1.0 + k)
                optimizer.step()
            both.append(np.array(host(optimizer.state[p][MASTER])))
        np.testing.assert_array_equal(*both)

    def test_state_without_them_is_accepted(self, device):
        p, q = (weft.Parameter(weft.full((40,), 3.0, device=device, dtype=d)) for d in (weft.bfloat16, weft.float32))
        optimizer, other = optim.Adam([p], lr=0.5), optim.Adam([q], lr=0.5)
        q.grad = weft.ones_like(q)
        other.step()
        optimizer.load_state_dict(other.state_dict())
        p.grad = weft.ones_like(p)
        optimizer.step()
        assert (wide(p) == 2.5).all()
        other.load_state_dict(optimizer.state_dict())
        assert MASTER not in other.state[q]


class TestRouting:
    def launched(self, monkeypatch, optimizer, *params):
        rules = []
        update = kernels.update
        monkeypatch.setattr(kernels, "update", lambda rule, *a, **k: (rules.append(rule), update(rule, *a, **k)))
        for p in params:
            p.grad = weft.ones_like(p)
        optimizer.step()
        return rules

    @pytest.mark.parametrize("cls", ELEMENTWISE)
    def test_one_launch_for_all(self, monkeypatch, cls):
        params = [weft.Parameter(weft.ones(s, device="emulator")) for s in SHAPES]
        assert self.launched(monkeypatch, cls(params), *params) == [cls.kernel[0]]

    def test_nothing_to_update(self, monkeypatch):
        p = weft.Parameter(weft.ones((0, 3), device="emulator"))
        assert not self.launched(monkeypatch, optim.Adam([p]), p)

    def test_float64_has_none(self, monkeypatch):
        p = weft.Parameter(weft.ones(3, device="emulator", dtype=weft.float64))
        assert not self.launched(monkeypatch, optim.SGD([p], lr=0.5), p)
        assert p.tolist() == [0.5] * 3

    def test_a_rule_changed_by_a_subclass_has_none(self, monkeypatch):
        class Half(optim.SGD):
            def update(self, xp, p, g, state, group, c):
                p -= 0.5 * g * c.eta

        p = weft.Parameter(weft.ones(3, device="emulator"))
        assert not self.launched(monkeypatch, Half([p], lr=1.0), p)
        assert p.tolist() == [0.5] * 3
        assert optim.AdamW.kernel == optim.Adam.kernel


SOURCE = Path(kernels.__file__).with_suffix(".cu").read_text(encoding="utf-8")


@pytest.mark.parametrize("cls", ELEMENTWISE)
def test_kernels_read_coefficients_in_the_order_in_which_they_are_published(cls):
    optimizer = cls([weft.Parameter([1.0])])
    group = optimizer.param_groups[0]
    published = optimizer.coefficients(group, {**optimizer.clock, "step": 1})
    assert [*members("Descent"), *members(cls.kernel[0])] == list(published)
    assert list(published)[:3] == list(descent_coefficients(group))
    assert set(optimizer.slots(group)) <= set(cls.kernel[1:])


def members(struct):
    """The names of a struct's numbers, in the order in which they lie in memory."""
    body = re.search(rf"^struct {struct}\b.*?^}};", SOURCE, re.S | re.M)[0]
    return [name for line in re.findall(r"^ +float ([\w, ]+);", body, re.M) for name in line.split(", ")]


def test_each_rule_has_a_struct():
    assert tuple(re.findall(r"^struct (\w+) : Descent", SOURCE, re.M)) == kernels.RULES


def test_a_thread_takes_as_many_elements_as_the_launcher_counts():
    common = Path(kernels.__file__).with_name("common.cuh").read_text(encoding="utf-8")
    assert f"VECTOR = {4 * kernels.ELEMENTS} / sizeof(T)" in common
    assert "constexpr int N = VECTOR<float>;" in SOURCE
