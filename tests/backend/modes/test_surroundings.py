"""What a step finds by name, and what of it has changed."""

import argparse
import array
import collections
import sys
import types
from collections import deque

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.backend.modes.surroundings import LARGEST, LONGEST, Surroundings

FACTOR = 2.0


def make(**variables):
    def step(x):
        return variables, FACTOR

    return step


class TestSurroundings:
    def test_settle_names_what_a_step_has_changed(self):
        box = types.SimpleNamespace(a=1, b=[2.0, "x"], c=None)
        around = Surroundings(make(box=box))
        assert around.is_current()
        box.a, box.b[1] = 3, "y"
        assert not around.is_current()
        found = {name.rpartition("]")[2] or name: (was, now) for name, was, now in around.settle()}
        assert sorted(found.values(), key=str) == [("x", "y"), (1, 3)]
        assert around.is_current()
        box.a = 4
        assert around.is_current(), "the step's own"
        box.c = 1
        assert not around.is_current()

    def test_equal_numbers_are_the_same_and_equal_types_are_not(self):
        box = {"k": 1000.5}
        around = Surroundings(make(box=box))
        box["k"] = float("1000.5")
        assert around.is_current()
        box["k"] = 1000
        assert not around.is_current()
        for was, now in ((0.0, -0.0), (1, True), (1, 1.0)):
            box["k"] = was
            around = Surroundings(make(box=box))
            box["k"] = now
            assert not around.is_current()
        box["k"] = float("nan")
        assert Surroundings(make(box=box)).is_current()

    def test_lists_that_grow(self):
        values = []
        around = Surroundings(make(values=values))
        values.append(1)
        assert not around.is_current()
        assert around.settle() == [("variables['values']", 0, 1)]
        values.append(2)
        assert around.is_current(), "the step's own"

    @pytest.mark.parametrize(
        ("make_box", "change"),
        [
            (lambda: argparse.Namespace(s=1.0), lambda b: setattr(b, "s", 5.0)),
            (lambda: argparse.Namespace(of=argparse.Namespace(s=1.0)), lambda b: setattr(b.of, "s", 5.0)),
            (lambda: collections.UserDict(s=1.0), lambda b: b.update(s=5.0)),
            (lambda: collections.UserList([1.0]), lambda b: b.append(5.0)),
            (lambda: collections.ChainMap({}, {"s": 1.0}), lambda b: b.update(s=5.0)),
            (lambda: collections.ChainMap({}, {"s": 1.0}), lambda b: b.maps[1].update(s=5.0)),
            (lambda: types.SimpleNamespace(s=weft.ones(1)), lambda b: setattr(b, "s", weft.ones(1))),
            (lambda: sys.modules[__name__], lambda b: setattr(b, "FACTOR", b.FACTOR + 1)),
        ],
    )
    def test_containers_of_the_standard_library(self, make_box, change, monkeypatch):
        monkeypatch.setattr(sys.modules[__name__], "FACTOR", FACTOR)  # and back
        for hold in (lambda box: {"box": box}, lambda box: types.MappingProxyType({"box": box})):
            model = nn.Linear(1, 1)
            model.held = hold(box := make_box())
            around = Surroundings(make(model=model), model)
            assert around.is_current()
            change(box)
            assert not around.is_current()

    def test_queues(self):
        for queue in (deque([[], []], maxlen=2), [[], []]):
            around = Surroundings(make(queue=queue))
            queue.append([])
            if isinstance(queue, list):
                queue.pop(0)
            assert around.settle() == [("variables['queue']", 2, 2)]
        box = [[], []]
        around = Surroundings(make(box=box))
        box[1] = [1]
        assert [name for name, *_ in around.settle()] == ["variables['box'][1]"], "the last, not the queue"

    def test_small_arrays_of_the_host(self):
        for made in (
            np.zeros(3),
            np.zeros((4, 4), np.float32)[:, ::2],
            array.array("d", [0.0]),
            bytearray(3),
            np.array(0),
        ):
            around = Surroundings(make(made=made))
            assert around.is_current()
            made[... if isinstance(made, np.ndarray) else 0] = 1
            assert not around.is_current()
            assert [name for name, *_ in around.settle()] == ["variables['made']"]
        data = np.zeros(LARGEST)
        around = Surroundings(make(data=data))
        data[0] = 1
        assert around.is_current()

    def test_data_and_what_takes_part_by_itself_are_not_looked_into(self):
        data, p = [0] * (LONGEST + 1), weft.Parameter([1.0])
        optimizer = optim.SGD([p], lr=0.1)
        around = Surroundings(make(data=data, optimizer=optimizer))
        data[0], optimizer.param_groups[0]["lr"] = 1, 0.2
        assert around.is_current()

    def test_tensors_by_identity_and_modules_to_the_bottom(self):
        model = nn.Sequential(nn.Sequential(nn.Dropout(0.1)), nn.Linear(2, 2))
        around = Surroundings(make(model=model))
        assert {id(t) for t in around.tensors()} == {id(t) for t in model.parameters()}
        model[1].weight.data += 1
        assert around.is_current()
        model[0][0].p = 0.2
        assert not around.is_current()
        around = Surroundings(make(model=model))
        model[1].bias = weft.Parameter(model[1].bias.data)
        assert not around.is_current()

    def test_all_that_a_function_and_a_class_may_read(self):
        class Base:
            rate = 1.0

            @property
            def half(self):
                return self.rate / FACTOR

        class Own(Base):
            __slots__ = ("k",)

        def helper(*, scale=3.0):
            return scale * helper.bias

        helper.bias, own, table = 1.0, Own(), {"a": 1}
        own.k = 2

        def step(x):
            return own.half * own.k * helper() * len(table)

        def rename():
            table["b"] = table.pop("a")

        changes = {
            "class": lambda: setattr(Base, "rate", 2.0),
            "slot": lambda: setattr(own, "k", 3),
            "function": lambda: setattr(helper, "bias", 2.0),
            "keyword": lambda: helper.__kwdefaults__.update(scale=4.0),
            "key": rename,
        }
        for name, change in changes.items():
            around = Surroundings(step)
            assert around.is_current()
            change()
            assert not around.is_current(), name

    def test_what_a_loop_around_the_step_counts_is_not_asked_for(self):
        class Runner:
            def __init__(self):
                self.iteration, self.scale, self.depth = 0, 1.0, types.SimpleNamespace(k=1)

            def step(self, x):
                return self.scaled(x)

            def scaled(self, x):
                return x * self.scale * self.depth.k

            def fit(self):
                self.iteration += 1

        runner = Runner()
        around = Surroundings(runner.step)
        runner.fit()
        assert around.is_current()
        runner.scale = 2.0
        assert not around.is_current()
        around = Surroundings(runner.step)
        runner.depth.k = 2
        assert not around.is_current()

    def test_circles_end(self):
        box = types.SimpleNamespace()
        box.me = [box]
        assert Surroundings(make(box=box)).is_current()
