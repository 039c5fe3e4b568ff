"""Twelve captured steps on a CPU are twelve eager ones, bit for bit: every layer, every optimizer, and what goes on around a step.

What cannot be recorded is listed, with its reason; it runs as usual.
"""

import contextlib
import warnings

import numpy as np
import pytest
from captured_world import changed_at_random
from captured_world import lived as lived_world
from test_emulator_training import LAYERS, OPTIMIZERS, first, floats

import weft
from weft import layers as nn
from weft import optimizers as optim

F = nn.functional
STEPS = 12

# Layers whose way depends on numbers, by what is said of them.
FALL_BACK = {"AdaptiveLogSoftmaxWithLoss": "it reads a value on the host (`nonzero`)"}


def lived(make_step, captured):
    """What each of twelve steps returned, all parameters and buffers at the end, and the captured step."""
    weft.manual_seed(3)
    step, arguments, tensors = make_step()
    run = weft.capture(step) if captured else step
    found = [run(*arguments(i)).detach().numpy().tobytes() for i in range(STEPS)]
    return found, [t.detach().numpy().tobytes() for t in tensors], run


def assert_same(make_step, reason=None):
    expected = lived(make_step, False)[:2]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        *found, run = lived(make_step, True)
    assert found[0] == expected[0]
    assert found[1] == expected[1]
    said = [str(w.message) for w in said if "cannot be captured" in str(w.message)]
    if reason:
        assert reason in said[0]
    else:
        assert not said, said[0]
        assert any(s.graph is not None for s in run._steps.values())


def trained(make, inputs, times=1):
    """Steps of a layer in training mode, so that masks are drawn and statistics kept, on other numbers each time.

    Of so many times the samples, where a layer takes them: where the first axis of what it is given counts them.
    """

    def make_step():
        layer = make().train()
        parameters = list(layer.parameters())
        optimizer = optim.SGD(parameters, lr=0.01, momentum=0.9) if parameters else None
        rng = np.random.default_rng(1)
        arrays = [floats(rng.standard_normal(a) if isinstance(a, tuple) else a) for a in inputs]
        if times > 1:
            more = [np.concatenate([a] * times) for a in arrays]
            with contextlib.suppress(ValueError, RuntimeError), weft.no_grad():
                layer.eval()(*map(weft.asarray, more))
                arrays = more
            layer.train()

        def step(*tensors):
            if optimizer:
                optimizer.zero_grad()
            y = first(layer(*tensors))
            loss = (y * y).sum() / y.size if y.ndim else y
            if optimizer and loss.requires_grad:
                loss.backward()
                optimizer.step()
            return loss

        def arguments(i):
            return [weft.asarray(a * (1 - 0.01 * i) if a.dtype == np.float32 else a.copy()) for a in arrays]

        return step, arguments, [*parameters, *layer.buffers()]

    return make_step


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name):
    make, inputs, _ = LAYERS[name]
    assert_same(trained(make, inputs), FALL_BACK.get(name))


def classifier(make_optimizer, *, model=None, clip=False, bias=True):
    def make_step():
        net = model() if model else nn.Sequential(nn.Linear(5, 7, bias=bias), nn.Tanh(), nn.Linear(7, 3, bias=bias))
        optimizer = make_optimizer(net)
        rng = np.random.default_rng(1)
        data = [(floats(rng.standard_normal((16, 5))), rng.integers(0, 3, 16)) for _ in range(STEPS)]

        def step(x, y):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            if clip:
                optim.clip_grad_norm_(net.parameters(), 0.5)
            optimizer.step()
            return loss

        return step, lambda i: map(weft.asarray, data[i]), [*net.parameters(), *net.buffers()]

    return make_step


@pytest.mark.parametrize(
    ("name", "options"), [(n, o) for n, all_of in OPTIMIZERS.items() for o in all_of if n != "LBFGS"]
)
def test_optimizer(name, options):
    make = classifier(lambda net: getattr(optim, name)(net.parameters(), **options), bias=name != "Muon")
    assert_same(make)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_random_changes(seed):
    """Of options, modes, memory, state and seeds, between the calls of a step."""
    step, between = changed_at_random(seed)
    assert lived_world("cpu", True, step, between)[0] == lived_world("cpu", False, step, between)[0]


def test_frozen_layers_and_groups():
    def make_optimizer(net):
        net[0].requires_grad_(False)
        return optim.AdamW([{"params": [net[2].weight], "weight_decay": 0.1}, {"params": [net[2].bias], "lr": 0.1}])

    assert_same(classifier(make_optimizer, clip=True))


def test_accumulation_averages_and_batches_of_other_sizes():
    """Two backward passes to an update, an average of the weights with a decay of its own, batches of 16, 16 and 5."""

    def make_step():
        net = nn.Sequential(nn.Linear(5, 7), nn.Dropout(0.3), nn.Linear(7, 3))
        optimizer = optim.Adam(net.parameters(), lr=0.01)
        average = [p.detach().clone() for p in net.parameters()]
        rng = np.random.default_rng(1)

        def step(x, y):
            optimizer.zero_grad()
            for half in (slice(None, None, 2), slice(1, None, 2)):
                loss = F.cross_entropy(net(x[half]), y[half])
                (loss / 2).backward()
            optimizer.step()
            with weft.no_grad():
                for a, p in zip(average, net.parameters()):
                    a *= 0.9
                    a += 0.1 * p
            return loss

        def arguments(i):
            n = 5 if i % 3 == 2 else 16
            return weft.asarray(floats(rng.standard_normal((n, 5)))), weft.asarray(rng.integers(0, 3, n))

        return step, arguments, [*net.parameters(), *average]

    assert_same(make_step)


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_model(model):
    def build():
        if model == "mlp":
            return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.GELU(), nn.Dropout(0.2), nn.Linear(8, 3))
        return nn.Sequential(
            nn.Unflatten(1, (1, 5)),
            nn.Conv1d(1, 4, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Flatten(),
            nn.Linear(8, 3),
        )

    assert_same(classifier(lambda net: optim.AdamW(net.parameters(), lr=1e-2), model=build, clip=True))


DRAWS = {
    "rand": lambda x: weft.rand(7),
    "randn": lambda x: weft.randn(7),
    "randn in float64": lambda x: weft.randn(7, dtype="float64"),
    "randn in float16": lambda x: weft.randn(7, dtype="float16"),
    "randn of many": lambda x: weft.randn(70_000)[-7:],
    "randint": lambda x: weft.randint(0, 9, (7,)),
    "randperm": lambda x: weft.randperm(7),
    "normal_": lambda x: weft.zeros(7).normal_(),
    "bernoulli_": lambda x: weft.zeros(7).bernoulli_(0.5),
    "trunc_normal_": lambda x: nn.init.trunc_normal_(weft.zeros(7)),
    "orthogonal_": lambda x: nn.init.orthogonal_(weft.zeros((6, 7))),
    "gumbel_softmax": lambda x: F.gumbel_softmax(x),
    "alpha_dropout": lambda x: F.alpha_dropout(x, training=True),
}


@pytest.mark.parametrize("draw", DRAWS)
def test_random_numbers_of_a_step(draw):
    """What noise is added, as in a diffusion model, is drawn anew in each replay."""
    assert_same(lambda: (lambda x: x.sum() + DRAWS[draw](x), lambda i: (weft.full((7,), float(i)),), []))


def test_gradient_penalty():
    """A gradient that `weft.grad` gives inside the step is differentiated by `backward`."""

    def make_step():
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
        optimizer = optim.Adam(model.parameters(), lr=0.01)

        def step(x):
            optimizer.zero_grad()
            slope = weft.grad(lambda z: model(z).sum())(x)
            loss = (slope.square().sum(1).sqrt() - 1).square().mean() + model(x).mean()
            loss.backward()
            optimizer.step()
            return loss

        return step, lambda i: (weft.full((3, 4), 0.1 * i) + weft.eye(3, 4),), list(model.parameters())

    assert_same(make_step)
