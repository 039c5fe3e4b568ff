"""Errors of NumPy's and Python's own: same kind, with the operation and what it was given."""

import re

import numpy as np
import pytest

import weft
from weft.backend.tape.autograd import PRIMITIVES

x, y = weft.ones((4, 3)), weft.ones((5, 3), dtype=weft.float64)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: x @ x, ValueError, "`matmul` needs inner axes of the same length, got (4, 3) float32, (4, 3) float32: "),
        (lambda: x + y, ValueError, "`add` needs shapes that broadcast, got (4, 3) float32, (5, 3) float64: "),
        (lambda: weft.sum(x, axis=2), np.exceptions.AxisError, "`sum` needs axes that are there, got (4, 3) float32, axis=2"),
        (lambda: weft.sum(x, axis=1.5), TypeError, "`sum` needs integers for axes and sizes, got (4, 3) float32, axis=1.5"),
        (lambda: weft.reshape(x, (5, 5)), ValueError, "`reshape` needs a shape of as many elements, got (4, 3) float32, (5, 5)"),
        (lambda: x[9], IndexError, "`getitem` needs indices within the axis, got (4, 3) float32, key=9: index 9 is out of"),
        (lambda: x[1.5], IndexError, "`getitem` got (4, 3) float32, key=1.5: only integers"),
        (lambda: weft.max(weft.zeros(0)), ValueError, "`max` needs at least one element, got (0,) float32: "),
        (lambda: weft.linalg.inv(weft.zeros((2, 2))), np.linalg.LinAlgError, "`inv` got (2, 2) float32: Singular matrix"),
        (lambda: weft.zeros(-1), ValueError, "`zeros` needs sizes ≥ 0, got -1: "),
        (lambda: weft.eye(3, dtype="text"), TypeError, "`dtype` must be one of weft's, such as float32 or int64, got 'text'"),
    ],
)  # fmt: skip
def test_message(call, error, message):
    with pytest.raises(error, match=re.escape(message)) as caught:
        call()
    assert caught.type is error


class Odd(ValueError):
    """Somebody's own."""


@pytest.mark.parametrize(("own", "text"), [(Odd, "odd"), (ValueError, "`x` must be odd, got 2"), (RuntimeError, "odd")])
def test_errors_of_ones_own_stay(own, text):
    @weft.primitive
    def fail(xp, x, /):
        raise own(text)

    with pytest.raises(own, match=f"^{text}$"):
        fail(x)
    if own is ValueError:
        text = "odd"
        with pytest.raises(own, match=r"^`fail` got \(4, 3\) float32: odd$"):
            fail(x)


@pytest.mark.parametrize("device", [d for d in weft.devices() if d == "emulator"])
def test_on_a_device(device):
    a = weft.ones((4, 3), device=device)
    for left, right in (
        (a, a),
        (weft.ones((2, 4, 3), device=device), a),
        (a, a[:, 0]),
        (a[:, 0], a[0]),
        (a[0], a.T[:2]),
    ):
        with pytest.raises(ValueError, match="`matmul` needs inner axes of the same length, got"):
            left @ right
    with pytest.raises(ValueError, match="`add` needs shapes that broadcast"):
        a + weft.ones((5, 3), device=device)


class TestPrimitivesOfOnesOwn:
    """A gradient is right or an error."""

    @pytest.fixture(autouse=True)
    def unregistered(self):
        before = dict(PRIMITIVES)
        yield
        PRIMITIVES.clear()
        PRIMITIVES.update(before)

    def test_what_is_returned(self):
        @weft.primitive
        def double(xp, x, /):
            return 2 * x

        with pytest.raises(TypeError, match=r"`double` must return \(output, pullback\), got \(4, 3\) float32"):
            double(x)

    @pytest.mark.parametrize("joint", [False, True])
    def test_gradients(self, joint):
        made = (lambda *f: lambda g, need, into: [f(g) for f in f]) if joint else (lambda *f: f)

        @weft.primitive
        def scale(xp, x, k, /):
            return x * k, made(lambda g: g * k, lambda g: g * x)

        @weft.primitive
        def forgetful(xp, x, k, /):
            return x * k, made(lambda g: g * k)

        a, k = weft.ones((4, 3), requires_grad=True), weft.tensor(2.0, requires_grad=True)
        with pytest.raises(
            ValueError, match=r"`scale` must give argument 1 a gradient of its shape \(\), got \(4, 3\); sum"
        ):
            scale(a, k).sum().backward()
        scale(a, k.detach()).sum().backward()
        assert a.grad.tolist() == [[2.0] * 3] * 4
        with pytest.raises(ValueError, match=r"`forgetful` must have 2 .*, one for each argument by place, got 1"):
            forgetful(a, k).sum().backward()

    def test_they_nest(self):
        @weft.primitive
        def cube(xp, x, /):
            return x**3, (lambda g: g * 3 * x**2,)

        assert weft.grad(weft.grad(cube))(weft.tensor(2.0)).item() == 12
