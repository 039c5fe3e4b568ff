"""Against each sequence by itself, step by step, in float64."""

import harness
import numpy as np
import pytest
from harness import Case

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.backend.cpu import recurrent_products as products
from weft.backend.nn.recurrent import gru, lstm, rnn

rng = np.random.default_rng(0)


def a(*shape):
    return rng.standard_normal(shape)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def over_sequences(step, x, states, batch_sizes, reverse):
    """`step(x_t, *states)` for one sequence after the other; packed outputs, last states."""
    starts = np.cumsum([0, *batch_sizes])
    outputs, last = {}, []
    for k in range(len(states[0])):
        mine = [s[k] for s in states]
        times = [t for t, n in enumerate(batch_sizes) if n > k]
        for t in reversed(times) if reverse else times:
            row = starts[t] + k
            mine = step(x[row], *mine)
            outputs[row] = mine[0]
        last.append(mine)
    width = states[0].shape[1]
    y = np.array([outputs[row] for row in sorted(outputs)]).reshape(-1, width)
    return y, *(np.array([m[j] for m in last]).reshape(s.shape) for j, s in enumerate(states))


def rnn_reference(x, h, w, u, b=0.0, d=0.0, *, batch_sizes, reverse=False, nonlinearity="tanh"):
    f = np.tanh if nonlinearity == "tanh" else lambda z: np.maximum(z, 0)
    b, d = (0.0 if v is None else v for v in (b, d))
    return over_sequences(lambda x, h: (f(w @ x + b + u @ h + d),), x, (h,), batch_sizes, reverse)


def lstm_reference(x, h, c, w, u, b=None, d=None, r=None, *, batch_sizes, reverse=False):
    b, d = (0.0 if v is None else v for v in (b, d))

    def step(x, h, c):
        i, f, g, o = np.split(w @ x + b + u @ h + d, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        return h if r is None else r @ h, c

    return over_sequences(step, x, (h, c), batch_sizes, reverse)


def gru_reference(x, h, w, u, b=None, d=None, *, batch_sizes, reverse=False, reset_after=True):
    b, d = (np.zeros(len(w)) if v is None else v for v in (b, d))

    def step(x, h):
        a_r, a_z, a_n = np.split(w @ x + b, 3)
        (u_r, u_z, u_n), (d_r, d_z, d_n) = np.split(u, 3), np.split(d, 3)
        r, z = sigmoid(a_r + u_r @ h + d_r), sigmoid(a_z + u_z @ h + d_z)
        n = np.tanh(a_n + (r * (u_n @ h + d_n) if reset_after else u_n @ (r * h) + d_n))
        return ((1 - z) * n + z * h,)

    return over_sequences(step, x, (h,), batch_sizes, reverse)


EQUAL, SHRINKING = (6, 6, 6), (8, 6, 6, 2)  # on NumPy, less is left to the generic form
SIZES = [
    ((1,), 3, 5),
    ((0, 0), 3, 5),
    ((2, 1), 3, 5),
    ((6, 6, 6), 1, 1),
    ((33, 31, 1), 4, 3),
    ((9, 8, 1), 3, 33),
    ((8, 8, 2), 8, 64),
]


def weights(gates, width, wide, *, scale=0.5):
    return scale * a(gates * wide, width), scale * a(gates * wide, wide), a(gates * wide), a(gates * wide)


def recurrent(sizes, width, wide, gates):
    return a(sum(sizes), width), a(sizes[0], wide), *weights(gates, width, wide, scale=1 / np.sqrt(wide))


def projected(sizes, width, wide, narrow):
    w, _, b, d = weights(4, width, wide)
    return (
        a(sum(sizes), width),
        a(sizes[0], narrow),
        a(sizes[0], wide),
        w,
        0.5 * a(4 * wide, narrow),
        b,
        d,
        a(narrow, wide),
    )


def with_cell(sizes, width, wide):
    x, h, *of_layer = recurrent(sizes, width, wide, 4)
    return x, h, a(*h.shape), *of_layer


BOTH_WAYS = [(sizes, reverse) for sizes in (EQUAL, SHRINKING) for reverse in (False, True)]


def packed(sizes, reverse=False, **static):
    return {"batch_sizes": sizes, "reverse": reverse, **static}


def label(static):
    return " ".join(str(v) for v in static.values())


CASES = [
    *[Case(lstm, with_cell(*s), lstm_reference, packed(s[0]), tolerance=4, label=label(packed(s[0]))) for s in SIZES],
    *[Case(gru, recurrent(*s, 3), gru_reference, packed(s[0]), tolerance=4, label=label(packed(s[0]))) for s in SIZES],
    *[Case(rnn, recurrent(*s, 1), rnn_reference, packed(s[0]), tolerance=4, label=label(packed(s[0]))) for s in SIZES],
]  # fmt: skip
for sizes, reverse in BOTH_WAYS:
    both = packed(sizes, reverse)
    for static in (both, {**both, "nonlinearity": "relu"}):
        CASES.append(Case(rnn, recurrent(sizes, 3, 4, 1), rnn_reference, static, tolerance=4, label=label(static)))
    for static in (both, {**both, "reset_after": False}):
        CASES.append(Case(gru, recurrent(sizes, 3, 4, 3), gru_reference, static, tolerance=4, label=label(static)))
    CASES += [
        Case(lstm, with_cell(sizes, 3, 4), lstm_reference, both, tolerance=4, label=label(both)),
        Case(lstm, projected(sizes, 3, 4, 2), lstm_reference, both, tolerance=4, label=label(both) + " projected"),
        Case(lstm, with_cell(sizes, 3, 4)[:5], lstm_reference, both, tolerance=4, label=label(both) + " no bias"),
        Case(gru, recurrent(sizes, 3, 4, 3)[:4], gru_reference, both, tolerance=4, label=label(both) + " no bias"),
    ]
test_primitive = harness.over(CASES)


def distinct(x, width):
    inputs = products.Inputs(x, width)
    return products.Rows(inputs.x, inputs.which)


class TestOnNumpy:
    """What the replacements do beyond the generic form."""

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize(("operation", "gates"), [(rnn, 1), (gru, 3), (lstm, 4)])
    @pytest.mark.parametrize("sizes", [(6, 6, 6, 6), (9, 8, 4, 3)], ids=str)
    def test_rows_that_repeat(self, monkeypatch, operation, gates, sizes, dtype):
        """As those of characters do: values and gradients are those of all rows."""
        x, *rest = with_cell(sizes, 4, 5) if operation is lstm else recurrent(sizes, 4, 5, gates)
        x = x[rng.integers(0, 5, len(x))]
        g, found = a(len(x), 5).astype(dtype), []
        for worthwhile in (0, 1 << 60):
            monkeypatch.setattr(products, "WORTHWHILE", worthwhile)
            assert (distinct(x.astype(dtype), 5).which is None) == (worthwhile > 0)
            given = [weft.asarray(v.astype(dtype)).requires_grad_() for v in (x, *rest)]
            y = operation(*given, batch_sizes=sizes)[0]
            y.backward(weft.asarray(g))
            found.append([y.detach().numpy(), *(t.grad.numpy() for t in given)])
        for one, other in zip(*found):
            harness.close(one, other, harness.TOLERANCE[dtype] * 20)

    @pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM])
    def test_rows_that_repeat_in_a_captured_step(self, monkeypatch, layer):
        """What repeats is found anew in each replay: also where nothing does any more."""
        monkeypatch.setattr(products, "WORTHWHILE", 0)
        batches = [a(24, 6)[rng.integers(0, n, 24)].reshape(6, 4, 6).astype(np.float32) for n in (3, 3, 4, 2, 6, 1, 3)]
        batches.append(a(6, 4, 6).astype(np.float32))
        found = []
        for capture in (False, True):
            weft.manual_seed(0)
            model = layer(6, 5)
            optimizer = optim.SGD(model.parameters(), lr=0.1)

            def step(x, model=model, optimizer=optimizer):
                optimizer.zero_grad()
                loss = (model(x)[0] ** 2).sum()
                loss.backward()
                optimizer.step()
                return loss

            run = weft.capture(step, strict=True) if capture else step
            losses = [run(weft.asarray(x)).item() for x in batches]
            found.append((losses, [p.detach().numpy() for p in model.parameters()]))
        assert found[0][0] == found[1][0]
        for one, other in zip(found[0][1], found[1][1], strict=True):
            np.testing.assert_array_equal(one, other)

    def test_rows_that_only_begin_alike(self, monkeypatch):
        monkeypatch.setattr(products, "WORTHWHILE", 0)
        x = np.tile(a(4, 6), (4, 1))
        assert len(distinct(x, 1).x) == 4
        for value in (0.5, np.nan):
            other = x.copy()
            other[7, 5] = value
            assert distinct(other, 1).which is None
        assert distinct(x[:, :0], 1).which is None
        assert distinct(x[:, :1].astype(np.float32), 1).which is None  # too narrow to look at

    @pytest.mark.parametrize("sizes", [(40,) * 5, (200, 130, 7)], ids=str)
    def test_weights_in_blocks(self, monkeypatch, sizes):
        """Whether BLAS has products for which it packs nothing, or not."""
        x, h, *of_layer = recurrent(sizes, 16, 64, 4)
        given, found = (x, h, a(*h.shape), *of_layer), []
        for has in (True, False):
            monkeypatch.setattr(products, "has_small_products", lambda has=has: has)
            tensors = [weft.asarray(v).requires_grad_() for v in given]
            y = lstm(*tensors, batch_sizes=sizes)[0]
            y.backward(weft.asarray(np.ones(y.shape)))
            found.append([y.detach().numpy(), *(t.grad.numpy() for t in tensors)])
        for one, other in zip(*found):
            harness.close(one, other, 1e-12)

    @pytest.mark.parametrize("projected", [False, True])
    @pytest.mark.parametrize("reverse", [False, True])
    @pytest.mark.parametrize("sizes", [(33,) * 5, (33, 33, 20)], ids=str)
    def test_sequences_shared_out_to_threads(self, monkeypatch, sizes, reverse, projected):
        """Those of one length; results do not depend on how many threads there are, captured or not."""
        if not products.has_small_products():
            pytest.skip(
                "BLAS packs small products here, so no sequences are shared out, and it cuts products by its threads"
            )
        monkeypatch.setattr(products, "SEQUENCES", 4)
        monkeypatch.setattr(products, "WORK", 1)
        x, h, *of_layer = recurrent(sizes, 16, 64, 4)
        c, threads, found = a(*h.shape), weft.num_threads(), []
        if projected:
            h, of_layer = h[:, :32], [of_layer[0], of_layer[1][:, :32], *of_layer[2:], a(32, 64)]
        given = [np.float32(v) for v in (x, h, c, *of_layer)]

        def step(*tensors):
            for t in tensors:
                t.grad = None
            y, *last = lstm(*tensors, batch_sizes=sizes, reverse=reverse)
            (y.sum() + sum(s.sum() for s in last)).backward()
            return y, *last

        try:
            for n, captured in ((1, False), (2, False), (3, False), (3, True)):
                weft.set_num_threads(n)
                tensors = [weft.asarray(v).requires_grad_() for v in given]
                run = weft.capture(step) if captured else step
                for _ in range(4):
                    results = run(*tensors)
                found.append([*(r.detach().numpy().copy() for r in results), *(t.grad.numpy().copy() for t in tensors)])
        finally:
            weft.set_num_threads(threads)
        for other in found[1:]:
            for one, same in zip(found[0], other, strict=True):
                np.testing.assert_array_equal(same, one)
