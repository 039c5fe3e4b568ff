"""What every optimizer's tests share: ten steps against an independent rule, parameter by parameter, in float64."""

from types import SimpleNamespace

import harness
import numpy as np
import pytest

import weft
from weft import optimizers as optim

SHAPES = [(7, 5), (5,), (), (3, 2, 2), (0, 4), (1,)]
SKIPPED = {(0, 1), (3, 1), (3, 2), (9, 0)}  # (step, parameter) without a gradient
TOLERANCE = harness.TOLERANCE

RULES = [  # every rule, with the options that make it keep all the state it can
    (optim.SGD, {"lr": 0.05, "momentum": 0.9}),
    (optim.Adagrad, {"lr": 0.5}),
    (optim.RMSprop, {"lr": 0.01, "momentum": 0.5, "centered": True, "eps": 1e-3}),
    (optim.Adadelta, {"lr": 10.0}),
    (optim.Adam, {"lr": 0.05, "amsgrad": True}),
    (optim.AdamW, {"lr": 0.05}),
    (optim.NAdam, {"lr": 0.05}),
    (optim.RAdam, {"lr": 0.1}),
    (optim.Adamax, {"lr": 0.05}),
    (optim.AdaBound, {"lr": 0.05, "amsbound": True}),
    (optim.ASGD, {"lr": 0.01, "t0": 3}),
    (optim.Rprop, {"lr": 0.01}),
    (optim.SparseAdam, {"lr": 0.05}),
    (optim.Lion, {"lr": 0.01}),
]


def parameters(rng, device="cpu", dtype="float64", shapes=SHAPES):
    arrays = [np.asarray(rng.standard_normal(shape)) for shape in shapes]
    return [weft.Parameter(weft.asarray(a.astype(dtype), device=device)) for a in arrays]


def give_gradient(p, g, *, by_hand=False):
    """As backward does it, or as a user does."""
    if not by_hand and p._grad_view is not None:
        p._grad_view[...] = weft.asarray(g, dtype=p.dtype, device=p.device).data
        p.grad = weft.Tensor(p._grad_view)
        p.grad.data = p._grad_view
    else:
        p.grad = weft.asarray(g, dtype=p.dtype, device=p.device)


def numbers(p):
    return np.array(p.detach().numpy(), dtype=np.float64)


def _follows(cls, rule, options, device, dtype):
    rng = np.random.default_rng(1)
    params = parameters(rng, device, dtype)
    defaults = cls(parameters(rng), **options).defaults
    groups = [{"params": params[:3]}, {"params": params[3:], "lr": 2 * defaults["lr"]}]
    optimizer = cls(groups, **options)
    expected = [numbers(p) for p in params]
    states, counts = [{} for _ in params], [0] * len(params)
    for k in range(10):
        for i, p in enumerate(params):
            p.grad = None
            if (k, i) in SKIPPED:
                continue
            g = np.asarray(rng.standard_normal(p.shape) * 10.0 ** rng.uniform(-2, 1), dtype=dtype)
            give_gradient(p, g, by_hand=k % 3 == 2)
            counts[i] += 1
            o = SimpleNamespace(**(defaults | {"lr": defaults["lr"] * (1 if i < 3 else 2)}))
            g = np.asarray(g, dtype=np.float64)
            expected[i] = rule(expected[i], -g if o.maximize else g, states[i], counts[i], o)
        optimizer.step()
    for p, e in zip(params, expected):
        if p.size:
            assert np.abs(numbers(p) - e).max() <= TOLERANCE[dtype] * max(1.0, np.abs(e).max())


@pytest.fixture
def follows():
    """follows(cls, rule, options): `rule(p, g, state, t, o)` returns the new p; two groups, some gradients missing."""

    def check(cls, rule, options):
        for device, dtype in (("cpu", "float32"), ("cpu", "float64"), ("strict", "float32"), ("emulator", "float32")):
            _follows(cls, rule, options, device, dtype)

    return check


@pytest.fixture
def tools():
    """The helpers of this file, for the other test modules."""
    return SimpleNamespace(parameters=parameters, give_gradient=give_gradient, numbers=numbers, shapes=SHAPES)


@pytest.fixture(params=RULES, ids=lambda rule: rule[0].__name__)
def any_rule(request):
    """Each optimizer in turn, as (class, options)."""
    return request.param
