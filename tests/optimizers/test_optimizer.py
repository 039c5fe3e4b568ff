"""What all optimizers share: groups, the step, accumulation, threads. Expected numbers are worked out by hand."""

import copy
import pickle

import numpy as np
import pytest

import weft
from weft import optimizers as optim


def quadratic_step(p, target):
    """One backward pass of Σ (p − target)²."""
    difference = p - target
    (difference * difference).sum().backward()


class TestOptimizer:
    def test_descends_a_quadratic(self, any_rule):
        cls, options = any_rule
        p, target = weft.Parameter(np.zeros((3, 4), np.float32)), weft.tensor([1.0, -1.0, 0.5, 0.0])
        optimizer = cls([p], **options)
        for _ in range(300):
            optimizer.zero_grad()
            quadratic_step(p, target)
            optimizer.step()
        assert np.abs(p.data - target.data).max() < 0.05

    def test_maximize_ascends(self, any_rule):
        cls, options = any_rule
        p = weft.Parameter([1.0])
        optimizer = cls([p], maximize=True, **options)
        p.sum().backward()
        optimizer.step()
        assert p.item() > 1.0

    def test_gradients_of_several_backwards_add_up(self):
        x = np.arange(12, dtype=np.float32).reshape(4, 3)
        whole, parts = weft.Parameter(np.ones((3,), np.float32)), weft.Parameter(np.ones((3,), np.float32))
        for p, batches in ((whole, [x]), (parts, [x[:1], x[1:3], x[3:]])):
            optimizer = optim.SGD([p], lr=0.1)
            for batch in batches:
                (weft.asarray(batch) * p).sum().backward()
            assert p.grad.data is p._grad_view  # accumulated in the arena
            optimizer.step()
        np.testing.assert_allclose(parts.data, whole.data, rtol=1e-6)

    def test_a_parameter_without_gradient_is_left_alone(self):
        p, q = weft.Parameter([1.0]), weft.Parameter([1.0])
        optimizer = optim.AdamW([p, q], lr=0.1, weight_decay=0.5)
        for used in ([p, q], [p], [p, q]):
            optimizer.zero_grad()
            sum(u.sum() for u in used).backward()
            optimizer.step()
        assert [optimizer.state[u]["step"] for u in (p, q)] == [3, 2]
        # a constant gradient makes each step of Adam lr long, after a decay by 1 − 0.05
        assert p.item() == pytest.approx(((1 * 0.95 - 0.1) * 0.95 - 0.1) * 0.95 - 0.1, rel=1e-5)
        assert q.item() == pytest.approx((1 * 0.95 - 0.1) * 0.95 - 0.1, rel=1e-5)

    def test_groups_have_options_of_their_own(self):
        p, q, r = (weft.Parameter([1.0]) for _ in range(3))
        optimizer = optim.SGD([{"params": [p]}, {"params": q, "lr": 0.5}], lr=0.25)
        optimizer.add_param_group({"params": [r], "maximize": True})
        (p.sum() + q.sum() + r.sum()).backward()
        optimizer.step()
        assert [p.item(), q.item(), r.item()] == [0.75, 0.5, 1.25]

    def test_options_may_change_between_steps(self):
        p, q = weft.Parameter([1.0, -2.0]), weft.Parameter([1.0, -2.0])
        optimizer, other = optim.Adam([p], lr=0.1), optim.Adam([q], lr=0.1, amsgrad=True)
        for k, g in enumerate(([1.0, 0.5], [0.1, 3.0], [-0.2, 0.1])):
            if k == 1:  # the maximum starts from zero: at the first step it was v itself
                optimizer.param_groups[0]["amsgrad"] = True
                optimizer.param_groups[0]["lr"] = other.param_groups[0]["lr"] = 0.05
                other.state[q]["max_exp_avg_sq"][...] = 0.0
            p.grad, q.grad = weft.tensor(g), weft.tensor(g)
            optimizer.step()
            other.step()
            np.testing.assert_array_equal(p.data, q.data)
        assert "max_exp_avg_sq" in optimizer.state[p]

    def test_named_parameters(self):
        p, q = weft.Parameter([1.0]), weft.Parameter([1.0])
        optimizer = optim.SGD([("weight", p), ("bias", q)])
        assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]
        assert optimizer.param_groups[0]["params"][1] is q

    def test_a_plain_leaf_tensor_can_be_optimized(self):
        x = weft.tensor([4.0], requires_grad=True)
        optimizer = optim.SGD([x], lr=0.25)
        for _ in range(2):
            optimizer.zero_grad()
            (x * x).sum().backward()
            optimizer.step()
        assert x.item() == 1.0

    def test_closure(self):
        p = weft.Parameter([2.0])
        optimizer = optim.SGD([p], lr=0.25)

        def closure():
            optimizer.zero_grad()
            loss = (p * p).sum()
            loss.backward()
            return loss

        with weft.no_grad():
            assert optimizer.step(closure).item() == 4.0
        assert p.item() == 1.0
        assert optimizer.step() is None

    def test_zero_grad(self):
        p, q = weft.Parameter([2.0]), weft.Parameter([2.0])
        optimizer = optim.SGD([p, q])
        (p * p).sum().backward()
        optimizer.zero_grad(set_to_none=False)
        assert p.grad.item() == 0.0
        assert q.grad is None
        optimizer.zero_grad()
        assert p.grad is None

    def test_coefficients_have_names_that_every_keyboard_has(self, any_rule):
        cls, options = any_rule
        optimizer = cls([weft.Parameter([1.0])], **options)
        assert all(c.isascii() for c in optimizer.coefficients(optimizer.param_groups[0], {**cls.clock, "step": 1}))

    def test_the_gradient_survives_the_step(self, any_rule):
        cls, options = any_rule
        p = weft.Parameter(np.linspace(-1, 1, 40))
        others = {"weight_decay": 0.1, "maximize": True}
        optimizer = cls([p], **{k: v for k, v in others.items() if k in cls([p], **options).defaults}, **options)
        (p * p).sum().backward()
        before = p.grad.data.copy()
        optimizer.step()
        np.testing.assert_array_equal(p.grad.data, before)

    def test_neither_blocks_nor_threads_change_a_bit(self, any_rule, rng):
        cls, options = any_rule
        n = 300_000  # five blocks
        start, gradients = rng.standard_normal(n, dtype=np.float32), rng.standard_normal((2, n), dtype=np.float32)
        results = []
        threads = weft.num_threads()
        for count, pieces in ((1, 1), (3, 1), (1, 4)):
            weft.set_num_threads(count)
            params = [weft.Parameter(part) for part in np.split(start, pieces)]
            optimizer = cls(params, **options)
            for g in gradients:
                for p, part in zip(params, np.split(g, pieces)):
                    p.grad = weft.Tensor(part)
                optimizer.step()
            results.append(np.concatenate([p.data for p in params]))
        weft.set_num_threads(threads)
        assert np.array_equal(results[0], results[1])
        assert np.array_equal(results[0], results[2])

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
    def test_half_precision_weights_have_float32_state(self, any_rule, dtype):
        cls, options = any_rule
        p = weft.Parameter(weft.ones((40,), dtype=getattr(weft, dtype)))
        optimizer = cls([p], **options)
        p.grad = weft.ones_like(p)
        optimizer.step()
        state = optimizer.state[p]
        assert {str(v.dtype) for k, v in state.items() if k not in optimizer.clock} == {"float32"}
        assert str(p.dtype) == dtype
        assert float(p[0].item()) < 1.0

    def test_repr(self):
        optimizer = optim.SGD([weft.Parameter([1.0, 2.0])], lr=0.5)
        assert repr(optimizer) == (
            "SGD (\n  group 0: 2 parameters, lr=0.5, momentum=0, dampening=0, weight_decay=0, nesterov=False, "
            "maximize=False\n)"
        )


COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda x: pickle.loads(pickle.dumps(x))}


@pytest.mark.parametrize("how", COPIES)
class TestCopies:
    """A copy is over its own parameters, in an arena of its own, and goes on as the original does."""

    def go_on(self, p, optimizer, n, device):
        target = weft.asarray(np.arange(6, dtype=np.float32).reshape(2, 3), device=device)
        for _ in range(n):
            optimizer.zero_grad()
            quadratic_step(p, target)
            optimizer.step()
        return p.tolist()

    @pytest.mark.parametrize("device", [d for d in weft.devices() if d in ("cpu", "emulator")])
    def test_every_rule(self, any_rule, how, device):
        cls, options = any_rule
        p = weft.Parameter(weft.zeros((2, 3), device=device))
        optimizer = cls([p], **options)
        self.go_on(p, optimizer, 3, device)
        q, other = COPIES[how]((p, optimizer))
        assert other.param_groups[0]["params"][0] is q
        before = p.tolist()
        went_on = self.go_on(q, other, 3, device)
        assert p.tolist() == before != went_on
        assert self.go_on(p, optimizer, 3, device) == went_on

    def test_half_precision_masters_groups_and_schedules(self, how):
        params = [weft.Parameter(weft.ones(3, dtype=d)) for d in (weft.bfloat16, weft.float32)]
        optimizer = optim.Adam([{"params": [p], "lr": lr} for p, lr in zip(params, (1e-3, 1e-2))])
        schedule = optim.schedulers.CosineAnnealingLR(optimizer, 10)

        def advance(params, optimizer, schedule):
            for p in params:
                p.grad = weft.full_like(p, 0.3)
            optimizer.step()
            schedule.step()
            return [p.tolist() for p in params], optimizer.state_dict()["param_groups"]

        advance(params, optimizer, schedule)
        copies = COPIES[how]((params, optimizer, schedule))
        assert copies[2].optimizer is copies[1]
        assert str(copies[1].state_dict()) == str(optimizer.state_dict())
        for _ in range(3):
            assert advance(*copies) == advance(params, optimizer, schedule)

    def test_averages(self, how):
        p = weft.Parameter([1.0])
        ema = optim.EMA([p], decay=0.5)
        ema.update()
        q, other = COPIES[how]((p, ema))
        p.data[...] = 4.0
        q.data[...] = 7.0
        ema.update()
        other.update()
        assert (ema.averages()[0].tolist(), other.averages()[0].tolist()) == ([3.0], [5.0])

    def test_loss_scale(self, how):
        p = weft.Parameter([1.0])
        optimizer, scaler = optim.SGD([p], lr=0.5), weft.GradScaler(init_scale=8.0)
        scaler.scale((p * np.inf).sum()).backward()
        scaler.step(optimizer)
        other = COPIES[how](scaler)
        scaler.update()
        assert (scaler.get_scale(), other.get_scale()) == (4.0, 8.0)
        other.scale(p.sum()).backward()
        with pytest.raises(RuntimeError, match="`update` must come after a step"):
            other.update()


class TestMoving:
    """What an optimizer publishes while no option changes: the numbers that move with the clock, and no others."""

    RULES = [
        (optim.Adam, {"amsgrad": True}),
        (optim.AdamW, {"lr": 0.1}),
        (optim.SGD, {"momentum": 0.9, "dampening": 0.5}),
    ]

    @pytest.mark.parametrize(("rule", "options"), RULES)
    def test_are_neighbours_among_the_coefficients(self, rule, options):
        optimizer = rule([weft.Parameter([1.0])], **options)
        (group,) = optimizer.param_groups
        for step in (1, 2, 7):
            every, moving = (f(group, {"step": step}) for f in (optimizer.coefficients, optimizer.moving))
            first = list(every).index(next(iter(moving)))
            assert list(every.items())[first : first + len(moving)] == list(moving.items())
            others = {name: value for name, value in every.items() if name not in moving}
            assert others == {n: v for n, v in optimizer.coefficients(group, {"step": 1}).items() if n not in moving}

    @pytest.mark.parametrize("change", ["none", "number", "tensor", "tuple", "loaded"])
    @pytest.mark.parametrize(("rule", "options"), RULES)
    def test_all_are_published_that_have_changed(self, rule, options, change):
        p = weft.Parameter([1.0])
        optimizer = rule([p], **options)
        (group,) = optimizer.param_groups
        for i in range(8):
            p.grad = weft.tensor([1.0])
            if change == "tensor" and i == 0:
                group["lr"] = weft.tensor(0.5)
            elif change == "tensor":
                group["lr"].fill_(0.1 * i)
            elif change == "number" and i == 4:
                group["lr"], group["weight_decay"] = 0.25, 0.125
            elif change == "tuple" and i == 4 and "betas" in group:
                group["betas"] = (0.5, 0.75)
            elif change == "loaded" and i == 4:
                optimizer.load_state_dict(optimizer.state_dict() | {"state": {}})
            ((_, segment, _, _),) = optimizer.advance()
            now = {n: float(v) if isinstance(v, weft.Tensor) else v for n, v in group.items()}
            expected = optimizer.coefficients(now, optimizer._arenas[0][0].clocks[0])
            assert segment.coefficients.tolist() == np.asarray([*expected.values()], "f").tolist()

    def test_a_rule_that_changes_the_coefficients_has_none(self):
        class Halved(optim.Adam):
            def coefficients(self, group, clock):
                c = super().coefficients(group, clock)
                return c | {"alpha1": c["alpha1"] / clock["step"]}

        p = weft.Parameter([1.0])
        optimizer = Halved([p])
        assert optimizer.moving(optimizer.param_groups[0], {"step": 1}) is None
        for i in range(3):
            p.grad = weft.tensor([1.0])
            ((_, _, _, c),) = optimizer.advance()
            assert float(c.alpha1) == pytest.approx(0.1 / (i + 1))
