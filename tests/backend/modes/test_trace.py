"""What a trace tells of each operation, against what was asked for."""

import contextlib
import threading

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.backend.nn import linear


def test_name_inputs_static_and_outputs():
    x, y = weft.ones((2, 3)), weft.ones((2, 3))
    found = weft.traced(lambda a, b: weft.sum(a * b, axis=1, keepdims=True), x, y)
    product, total = found
    assert (product.name, total.name) == ("multiply", "sum")
    assert product.inputs == (x, y)
    assert product.primitive is weft.multiply
    assert total.inputs[0] is product.outputs[0]
    assert total.static == {"axis": 1, "keepdims": True}
    assert total.outputs[0] is found.result
    assert len(found) == 2


def test_parameters_have_their_names_and_fusion_shows():
    model = nn.Sequential(nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 3))
    found = weft.traced(model, weft.ones((1, 4)))
    assert [op.primitive for op in found] == [linear.linear, linear.linear]
    assert str(found).splitlines() == [
        "x0                                                        (1, 4) float32",
        "x1 = linear(x0, 0.weight, 0.bias, activation='relu')      (1, 2) float32",
        "x2 = linear(x1, 2.weight, 2.bias)                         (1, 3) float32",
    ]
    assert found.name_of(model[2].bias) == "2.bias"


def test_several_outputs_numbers_and_keyword_arguments():
    found = weft.traced(lambda *, x: weft.linalg.eigh(x).eigenvalues + 1, x=weft.eye(2))
    assert [line.split("  ")[0] for line in str(found).splitlines()] == ["x0", "x1, x2 = eigh(x0)", "x3 = add(x1, 1)"]


def test_the_graph():
    text = weft.traced(lambda x: weft.exp(x) * x, weft.ones(3)).to_dot()
    assert text.splitlines()[2:-1] == [
        '  "x0" [shape=ellipse]',
        '  op0 [shape=box, label="exp"]',
        '  "x0" -> op0 [label="(3,)"]',
        '  op1 [shape=box, label="multiply"]',
        '  op0 -> op1 [label="(3,)"]',
        '  "x0" -> op1 [label="(3,)"]',
        '  "x2" [shape=ellipse]',
        '  op1 -> "x2" [label="(3,)"]',
    ]


def test_gradients_flow_and_backward_is_left_out():
    x = weft.ones(3, requires_grad=True)

    def f(x):
        y = weft.sum(weft.exp(x))
        y.backward()
        return y

    assert [op.name for op in weft.traced(f, x)] == ["exp", "sum"]
    np.testing.assert_allclose(x.grad.numpy(), np.e, rtol=1e-6)


def test_other_threads_are_left_out():
    def f(x):
        thread = threading.Thread(target=lambda: weft.exp(x))
        thread.start()
        thread.join()
        return weft.log(x)

    assert [op.name for op in weft.traced(f, weft.ones(2))] == ["log"]


def test_an_error_leaves_nothing_behind():
    with pytest.raises(TypeError, match="exp"):
        weft.traced(lambda x: weft.exp(x, 1), weft.ones(2))
    assert weft.backend.autograd.watch is None


class TestInPlace:
    """What is written to has another name from then on, so that a replay by names gives the function's value."""

    @staticmethod
    def replay(trace, x):
        values = {"x0": x}
        for op in trace:
            given = [values.get(name, v) for name, v in zip(op.input_names, op.inputs)]
            if op.name == "setitem":
                target = weft.asarray(given[0].detach(), copy=True)
                target[op.static["key"]] = given[1]
                found = (target,)
            else:
                found = op.primitive(*given, **op.static)
                found = found if isinstance(found, tuple) else (found,)
            values |= dict(zip(op.output_names, found))
        return values[trace.name_of(trace.result)]

    @pytest.mark.parametrize("requires_grad", [False, True])
    def test_operators(self, requires_grad):
        def f(x):
            y = x * 2
            y += 1
            y *= y
            return weft.exp(y)

        x = weft.ones(3, requires_grad=requires_grad)
        trace = weft.traced(f, x)
        assert [op.input_names[0] for op in trace] == ["x0", "x1", "x2", "x3"]
        np.testing.assert_array_equal(self.replay(trace, x).detach().numpy(), f(x).detach().numpy())

    def test_parts(self):
        def f(x):
            y = x * 2
            y[0] = 3.0
            return weft.exp(y)

        trace = weft.traced(f, weft.ones(3))
        assert [line.split("  ")[0] for line in str(trace).splitlines()] == [
            "x0",
            "x1 = multiply(x0, 2)",
            "x2 = setitem(x1, 3.0, key=0)",
            "x3 = exp(x2)",
        ]
        np.testing.assert_array_equal(self.replay(trace, weft.ones(3)).numpy(), f(weft.ones(3)).numpy())


def test_a_parameter_with_the_name_of_a_value():
    class Model(nn.Module):
        def __init__(self):
            self.x1 = weft.Parameter([2.0])

        def forward(self, x):
            return x * self.x1 + 1

    text = str(weft.traced(Model(), weft.ones(1)))
    assert [line.split("  ")[0] for line in text.splitlines()] == ["x0", "x2 = multiply(x0, x1)", "x3 = add(x2, 1)"]


def test_what_fails_and_what_is_no_operation_is_left_out():
    def f(x):
        with contextlib.suppress(ValueError):
            weft.matmul(x, weft.ones(7))
        optimizer.step()
        return weft.exp(x)

    w = weft.Parameter([1.0])
    optimizer = optim.SGD([w], lr=0.1)
    assert [op.name for op in weft.traced(f, weft.ones(3))] == ["exp"]
