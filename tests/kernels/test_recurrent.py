"""Against the formulas in float64; halves also against the same NumPy operations in the same precision."""

import warnings

import kernel_harness as harness
import numpy as np
import pytest
from kernel_harness import close, dtypes, every_schedule, no_worse, rounded

import weft
from weft.backend.nn import recurrent as primitives
from weft.backend.tape import autograd
from weft.kernels import recurrent as kernels

SHAPES = [*((1, n) for n in harness.SIZES), (3, 5), (7, 100)]
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def drawn(rng, dtype, *of):
    """Of each shape an array in the dtype, and the same numbers in float64."""
    return zip(*(rounded(rng.standard_normal(shape), dtype) for shape in of))


def blank(dtype, *shape):
    return np.full(shape, np.nan, dtype)


def compare(ours, exact):
    if ours.dtype == np.float32:
        close(ours, exact, tolerance=4)
    else:
        no_worse(ours, exact.astype(ours.dtype), exact)


def check(run, exact):
    """What `run` writes (its outputs, as a tuple), under every schedule."""
    for ours, wanted in zip(every_schedule(run), exact, strict=True):
        compare(ours, wanted)


@dtypes
@shapes
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("biased", [False, True])
def test_rnn(rng, dtype, shape, relu, biased):
    (b, d, y_low, g_low), (b64, d64, y64, g64) = drawn(rng, dtype, shape[1], shape[1], shape, shape)
    (z, g_h), (z64, g_h64) = drawn(rng, np.float32, shape, shape)

    def forward():
        y = blank(dtype, *shape)
        kernels.rnn_forward(z, b if biased else None, d if biased else None, y, relu=relu)
        return (y,)

    def backward():
        found = blank(dtype, *shape)
        kernels.rnn_backward(y_low, g_low, g_h, found, relu=relu)
        return (found,)

    z64 = z64 + (b64 + d64 if biased else 0)
    check(forward, (np.maximum(z64, 0) if relu else np.tanh(z64),))
    check(backward, ((g64 + g_h64) * ((y64 > 0) if relu else 1 - y64**2),))


@dtypes
@shapes
@pytest.mark.parametrize("biased", [False, True])
def test_lstm(rng, dtype, shape, biased):
    n, width = shape
    (b, d, g_low), (b64, d64, g64) = drawn(rng, dtype, 4 * width, 4 * width, shape)
    (z, c, g_h, g_c), (z64, c64, g_h64, g_c64) = drawn(rng, np.float32, (n, 4 * width), shape, shape, shape)

    def forward():
        gates, after, squashed, y = z.copy(), blank("f", *shape), blank("f", *shape), blank(dtype, *shape)
        kernels.lstm_forward(gates, b if biased else None, d if biased else None, c, after, squashed, y)
        return gates, after, squashed, y

    i, f, g, o = np.split(z64 + (b64 + d64 if biased else 0), 4, axis=1)
    i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
    after = f * c64 + i * g
    t = np.tanh(after)
    check(forward, (np.concatenate([i, f, g, o], axis=1), after, t, o * t))

    gates, _, squashed, _ = forward()
    i, f, g, o = np.split(gates.astype(float), 4, axis=1)
    t = squashed.astype(float)

    def backward():
        before, found = blank("f", *shape), blank(dtype, n, 4 * width)
        kernels.lstm_backward(gates, squashed, c, g_low if biased else None, g_h, g_c, before, found)
        return found, before

    d_h = g_h64 + (g64 if biased else 0)
    d_c = g_c64 + d_h * o * (1 - t**2)
    of_gates = d_c * g * i * (1 - i), d_c * c64 * f * (1 - f), d_c * i * (1 - g**2), d_h * t * o * (1 - o)
    check(backward, (np.concatenate(of_gates, axis=1), d_c * f))


@dtypes
@shapes
@pytest.mark.parametrize("biased", [False, True])
def test_gru(rng, dtype, shape, biased):
    n, width = shape
    (b, d, g_low), (b64, d64, g64) = drawn(rng, dtype, 3 * width, 3 * width, shape)
    (x, p, h, g_h), (x64, p64, h64, g_h64) = drawn(rng, np.float32, (n, 3 * width), (n, 3 * width), shape, shape)

    def forward():
        gates, after, candidate, y = x.copy(), blank("f", *shape), blank("f", *shape), blank(dtype, *shape)
        kernels.gru_forward(gates, p, b if biased else None, d if biased else None, h, after, candidate, y)
        return gates, candidate, after, y

    (x_r, x_z, x_n), (h_r, h_z, h_n) = (
        np.split(a + (bias if biased else 0), 3, axis=1) for a, bias in ((x64, b64), (p64, d64))
    )
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    m = np.tanh(x_n + r * h_n)
    after = (1 - z) * m + z * h64
    check(forward, (np.concatenate([r, z, m], axis=1), h_n, after, after))

    gates, candidate, _, y = forward()
    alone = blank(dtype, *shape)
    kernels.gru_forward(x.copy(), p, b if biased else None, d if biased else None, h, None, candidate, alone)
    assert alone.tobytes() == y.tobytes()
    r, z, m = np.split(gates.astype(float), 3, axis=1)

    def backward():
        past, d_x, d_products = blank("f", *shape), blank(dtype, n, 3 * width), blank(dtype, n, 3 * width)
        kernels.gru_backward(gates, candidate, h, g_low, g_h, past, d_x, d_products)
        return d_x, d_products, past

    d_h = g64 + g_h64
    d_n, d_z = d_h * (1 - z) * (1 - m**2), d_h * (h64 - m) * z * (1 - z)
    d_r = d_n * candidate.astype(float) * r * (1 - r)
    both = [np.concatenate([d_r, d_z, last], axis=1) for last in (d_n, d_n * r)]
    check(backward, (*both, d_h * z))


@dtypes
@shapes
@pytest.mark.parametrize("biased", [False, True])
def test_original_gru(rng, dtype, shape, biased):
    n, width = shape
    (b, d, g_low), (b64, d64, g64) = drawn(rng, dtype, 3 * width, 3 * width, shape)
    (x, h, g_h, g_r), (x64, h64, g_h64, g_r64) = drawn(rng, np.float32, (n, 3 * width), shape, shape, shape)
    biases = (b, d) if biased else (None, None)

    def forward(after=True):
        gates, reset, y = x.copy(), blank(dtype, *shape), blank(dtype, *shape)
        after = blank("f", *shape) if after else None
        kernels.gru_original_gates(gates, *biases, h, reset)
        kernels.gru_original_candidate(gates, *biases, h, after, y)
        return gates, reset, after, y

    r, z, m = np.split(x64 + (b64 + d64 if biased else 0), 3, axis=1)
    r, z, m = sigmoid(r), sigmoid(z), np.tanh(m)
    after = (1 - z) * m + z * h64
    check(forward, (np.concatenate([r, z, m], axis=1), r * h64, after, after))

    gates, _, _, y = forward()
    assert forward(after=False)[3].tobytes() == y.tobytes()
    r, z, m = np.split(gates.astype(float), 3, axis=1)

    def backward():
        past, found = blank("f", *shape), blank(dtype, n, 3 * width)
        kernels.gru_original_candidate_backward(gates, h, g_low, g_h, past, found)
        kernels.gru_original_gates_backward(gates, h, g_r, past, found)
        return found, past

    d_h = g64 + g_h64
    of_gates = g_r64 * h64 * r * (1 - r), d_h * (h64 - m) * z * (1 - z), d_h * (1 - z) * (1 - m**2)
    check(backward, (np.concatenate(of_gates, axis=1), d_h * z + g_r64 * r))


def test_extremes():
    """Gates that are shut or open do not overflow; NaN stays NaN."""
    z = np.array([[-1e4, 1e4, 1e4, -1e4, 1e4, -1e4, np.nan, 0]], np.float32)
    c, after, squashed, y = (np.ones((1, 2), np.float32) for _ in range(4))
    kernels.lstm_forward(z, None, None, c, after, squashed, y)
    np.testing.assert_array_equal(z[:, :6], [[0, 1, 1, 0, 1, -1]])
    assert np.isnan(y[0, 0])
    assert np.isfinite(y[0, 1])


class TestPrimitives:
    """Whole sequences, of one length and of several, in half precision too, from a state that is carried on."""

    @dtypes
    @pytest.mark.parametrize("sizes", [(3, 3, 3), (4, 2, 2, 1)], ids=str)
    @pytest.mark.parametrize("reverse", [False, True])
    @pytest.mark.parametrize("name", ["rnn", "lstm", "gru", "original gru"])
    def test_same_as_on_the_cpu(self, rng, name, sizes, reverse, dtype):
        static = {"reset_after": False} if name == "original gru" else {}
        name = name.removeprefix("original ")
        rows, gates = sum(sizes), {"rnn": 1, "lstm": 4, "gru": 3}[name]
        of = [
            (rows, 6),
            *[(sizes[0], 9)] * (1 + (name == "lstm")),
            (9 * gates, 6),
            (9 * gates, 9),
            9 * gates,
            9 * gates,
        ]
        arrays = [(0.5 * rng.standard_normal(s)).astype(dtype) for s in of]
        weights = [rng.standard_normal(s) for s in ((rows, 9), *[(sizes[0], 9)] * (1 + (name == "lstm")))]
        found = {}
        for device, to in (("emulator", dtype), ("cpu", dtype), ("exact", np.float64)):
            place = "cpu" if device == "exact" else device
            given = [weft.asarray(a.astype(to), device=place).requires_grad_() for a in arrays]
            outs = getattr(primitives, name)(*given, batch_sizes=sizes, reverse=reverse, **static)
            sum((o * weft.asarray(w.astype(to), device=place)).sum() for o, w in zip(outs, weights)).backward()
            assert all(o.dtype == to for o in outs)
            found[device] = [o.detach().numpy() for o in outs] + [g.grad.numpy() for g in given]
        for ours, plain, exact in zip(found["emulator"], found["cpu"], found["exact"], strict=True):
            if dtype == np.float32:
                close(ours, exact, tolerance=8)
            else:
                no_worse(ours, plain, exact, factor=4)  # outputs are rounded before they come back

    @pytest.mark.parametrize("reset_after", [True, False])
    def test_what_falls_back(self, rng, monkeypatch, reset_after):
        """float64 alone."""
        monkeypatch.setattr(autograd, "report_fallbacks", True)
        of = (2, 3), (2, 4), (12, 3), (12, 4)
        given = [weft.asarray(rng.standard_normal(s), device="emulator") for s in of]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            primitives.gru(*(a.float() for a in given), batch_sizes=(2,), reset_after=reset_after)
        with pytest.warns(UserWarning, match="`gru` on emulator fell back to the generic form"):
            primitives.gru(*given, batch_sizes=(2,), reset_after=reset_after)
