"""What a trace tells of each operation, against what was asked for."""

import threading

import numpy as np
import pytest

import weft
from weft import layers as nn
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
