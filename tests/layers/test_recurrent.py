"""Against NumPy, one sequence after the other, layer by layer, in float64; errors and modes are PyTorch's."""

import itertools
import re

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.layers.utils.rnn import (
    PackedSequence,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
    unpack_sequence,
)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def step(kind, x, state, w, u, b, d, r, reset_after):
    """(output, state) of one step; the state is (h,) or (h, c)."""
    h = state[0]
    if kind == "LSTM":
        i, f, g, o = np.split(w @ x + b + u @ h + d, 4)
        c = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        return (h if r is None else r @ h), c
    if kind == "GRU":
        (x_r, x_z, x_n), (u_r, u_z, u_n), (d_r, d_z, d_n) = np.split(w @ x + b, 3), np.split(u, 3), np.split(d, 3)
        reset, z = sigmoid(x_r + u_r @ h + d_r), sigmoid(x_z + u_z @ h + d_z)
        n = np.tanh(x_n + (reset * (u_n @ h + d_n) if reset_after else u_n @ (reset * h) + d_n))
        return ((1 - z) * n + z * h,)
    pre = w @ x + b + u @ h + d
    return (np.maximum(pre, 0) if kind == "relu" else np.tanh(pre),)


def reference(layer, sequence, states):
    """Outputs (T, ·) and last states (layers · directions, ·) of one sequence (T, in)."""
    kind = getattr(layer, "nonlinearity", type(layer).__name__)
    directions, last = 1 + layer.bidirectional, []
    for k in range(layer.num_layers):
        outputs = []
        for d in range(directions):
            names = (f"{n}_l{k}{'_reverse' * d}" for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"))
            w, u, b, e, r = (getattr(layer, n).detach().numpy() if hasattr(layer, n) else None for n in names)
            b, e = (np.zeros(len(w)) if v is None else v for v in (b, e))
            now, found = [s[k * directions + d] for s in states], []
            for x in sequence[::-1] if d else sequence:
                now = step(kind, x, now, w, u, b, e, r, getattr(layer, "reset_after", True))
                found.append(now[0])
            outputs.append(np.stack(found[::-1] if d else found))
            last.append(now)
        sequence = np.concatenate(outputs, axis=1)
    return sequence, [np.stack(s) for s in zip(*last)]


def expected(layer, sequences, states):
    """Of several: a list of outputs, and last states (layers · directions, N, ·)."""
    found = [reference(layer, s, [h[:, i] for h in states]) for i, s in enumerate(sequences)]
    return [y for y, _ in found], [np.stack(s, axis=1) for s in zip(*(last for _, last in found))]


def made(kind, **options):
    weft.manual_seed(0)
    kind, _, nonlinearity = kind.partition("-")
    if nonlinearity:
        options["nonlinearity"] = nonlinearity
    return getattr(nn, kind)(3, 5, **options).double()


def random_states(rng, layer, count):
    places, narrow = layer.num_layers * (1 + layer.bidirectional), layer.proj_size or 5
    shapes = [(places, count, narrow), (places, count, 5)]
    return [rng.standard_normal(s) for s in shapes[: 1 + isinstance(layer, nn.LSTM)]]


def as_hx(states):
    given = tuple(weft.asarray(s) for s in states)
    return given if len(given) == 2 else given[0]


def as_list(hx):
    return [t.detach().numpy() for t in (hx if isinstance(hx, tuple) else (hx,))]


OPTIONS = [
    {"num_layers": layers, "bidirectional": both, "bias": bias}
    for layers, both, bias in itertools.product((1, 2), (False, True), (True, False))
]
KINDS = [
    ("LSTM", {}), ("LSTM", {"proj_size": 2}), ("GRU", {}), ("GRU", {"reset_after": False}), ("RNN", {}), ("RNN-relu", {}),
]  # fmt: skip
kinds = pytest.mark.parametrize(("kind", "more"), KINDS, ids=lambda v: str(v) if v else "")


@kinds
@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(str(int(v)) for v in o.values()))
class TestValues:
    def test_of_one_length(self, rng, kind, more, options):
        layer, x = made(kind, **options, **more), rng.standard_normal((4, 2, 3))
        states = random_states(rng, layer, 2)
        y, last = expected(layer, x.swapaxes(0, 1), states)
        output, hx = layer(weft.asarray(x), as_hx(states))
        np.testing.assert_allclose(output.detach().numpy(), np.stack(y, axis=1), atol=1e-12)
        for a, b in zip(as_list(hx), last, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-12)
        layer.batch_first = True  # the states stay as they are
        output, hx = layer(weft.asarray(x.swapaxes(0, 1)), as_hx(states))
        np.testing.assert_allclose(output.detach().numpy(), np.stack(y), atol=1e-12)
        for a, b in zip(as_list(hx), last, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-12)

    def test_of_several_lengths(self, rng, kind, more, options):
        """Each starts and ends by itself, in both directions; states come in and out in the caller's order."""
        layer = made(kind, **options, **more)
        sequences = [rng.standard_normal((n, 3)) for n in (2, 5, 1, 5)]
        states = random_states(rng, layer, 4)
        y, last = expected(layer, sequences, states)
        packed = pack_sequence([weft.asarray(s) for s in sequences], enforce_sorted=False)
        output, hx = layer(packed, as_hx(states))
        padded, lengths = pad_packed_sequence(output, batch_first=True)
        assert lengths.tolist() == [2, 5, 1, 5]
        for a, b in zip(padded.detach().numpy(), y, strict=True):
            np.testing.assert_allclose(a[: len(b)], b, atol=1e-12)
            assert not a[len(b) :].any()
        for a, b in zip(as_list(hx), last, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-12)

    def test_of_a_single_sequence(self, rng, kind, more, options):
        layer, x = made(kind, **options, **more), rng.standard_normal((4, 3))
        y, last = expected(layer, x[None], [np.zeros_like(s) for s in random_states(rng, layer, 1)])
        output, hx = layer(weft.asarray(x))
        np.testing.assert_allclose(output.detach().numpy(), y[0], atol=1e-12)
        for a, b in zip(as_list(hx), last, strict=True):
            np.testing.assert_allclose(a, b[:, 0], atol=1e-12)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_gradient_of_a_hundred_steps(rng, kind):
    """Against central differences along a random direction of the input and all parameters."""
    layer, x = made(kind, bidirectional=True), rng.standard_normal((100, 2, 3))
    weight = weft.asarray(rng.standard_normal((100, 2, 10)))

    def loss(x):
        output, hx = layer(x)
        return (output * weight).sum() + sum((s**2).sum() for s in (hx if isinstance(hx, tuple) else (hx,)))

    given = weft.asarray(x).requires_grad_()
    loss(given).backward()
    arrays = [given.data, *(p.data for p in layer.parameters())]
    directions = [rng.standard_normal(a.shape) for a in arrays]
    slope = sum((g.grad.numpy() * d).sum() for g, d in zip([given, *layer.parameters()], directions))
    values = []
    for side in (1e-6, -1e-6):
        for a, d in zip(arrays, directions):
            a += side * d
        values.append(loss(weft.asarray(given.data)).item())
        for a, d in zip(arrays, directions):
            a -= side * d
    assert slope == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-6)


class TestParameters:
    def test_names_and_shapes(self):
        """In PyTorch's order; a further layer has the outputs of both directions before it, projected."""
        lstm = nn.LSTM(3, 5, 2, bidirectional=True, proj_size=2)
        shapes = {"weight_ih": (20, 3), "weight_hh": (20, 2), "bias_ih": (20,), "bias_hh": (20,), "weight_hr": (2, 5)}
        further = {**shapes, "weight_ih": (20, 4)}
        assert {n: p.shape for n, p in lstm.state_dict().items()} == {
            f"{n}_l{k}{suffix}": shape
            for k, of_layer in enumerate((shapes, further))
            for suffix in ("", "_reverse")
            for n, shape in of_layer.items()
        }
        assert [len(w) for w in lstm.all_weights] == [5] * 4
        lstm.flatten_parameters()

    @pytest.mark.parametrize("make", [nn.RNN, nn.LSTM, nn.GRU, lambda i, h: nn.LSTM(i, h, proj_size=3)])
    def test_initial_values(self, make):
        """U(±1/√hidden), of the projection too, and no bias towards remembering."""
        for p in make(40, 64).parameters():
            assert abs(p.data).max() <= 1 / 8
            assert p.data.std() == pytest.approx(1 / 8 / np.sqrt(3), rel=0.25)
            assert abs(p.data.mean()) < 0.03


class TestDropout:
    def test_between_layers_alone(self, rng):
        layer, x = nn.GRU(3, 40, 2, dropout=0.5), weft.asarray(rng.standard_normal((4, 2, 3)).astype("f"))
        weft.manual_seed(1)
        first = layer(x)[0]
        assert not (layer(x)[0] == first).all()
        assert not (first == 0).any()  # not on the last layer
        weft.manual_seed(1)
        assert (layer(x)[0] == first).all()
        layer.eval()
        assert (layer(x)[0] == layer(x)[0]).all()

    def test_all_dropped(self, rng):
        """The second layer sees zeros."""
        layer, x = made("RNN", num_layers=2, dropout=1.0), weft.asarray(rng.standard_normal((1, 2, 3)))
        expected = np.tanh(layer.bias_ih_l1.data + layer.bias_hh_l1.data)
        np.testing.assert_allclose(layer(x)[0].detach().numpy(), np.tile(expected, (1, 2, 1)), atol=1e-15)

    def test_with_one_layer_it_warns(self):
        with pytest.warns(UserWarning, match=re.escape("`dropout` acts between layers")):
            nn.LSTM(3, 4, dropout=0.5)


class TestStates:
    def test_truncated_in_time(self, rng):
        """Pieces with detached states give the outputs of the whole, and gradients that end where a piece begins."""
        layer, x = made("LSTM"), weft.asarray(rng.standard_normal((6, 2, 3)))
        whole, _ = layer(x)
        state, pieces = None, []
        for piece in (x[:3], x[3:]):
            piece.requires_grad_()
            y, state = layer(piece, state)
            y.sum().backward()
            state = tuple(s.detach() for s in state)
            assert not any(s.requires_grad for s in state)
            pieces.append(y.detach())
        np.testing.assert_allclose(weft.concat(pieces).numpy(), whole.detach().numpy(), atol=1e-14)

    def test_last_states_stand_alone(self, rng):
        """What is written into them does not reach the outputs, nor their gradient."""
        layer, x = made("LSTM"), weft.asarray(rng.standard_normal((6, 2, 3))).requires_grad_()
        y, (h, c) = layer(x)
        before = y.detach().numpy().copy()
        with weft.no_grad():
            h += 1
            c += 1
        np.testing.assert_array_equal(y.detach().numpy(), before)
        y.sum().backward()
        assert x.grad is not None

    @pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
    @pytest.mark.parametrize("what", ["input", "output", "weight"])
    def test_what_the_gradient_reads_is_watched(self, rng, kind, what):
        layer, x = made(kind), weft.asarray(rng.standard_normal((6, 3, 3)))
        y, _ = layer(x)
        with weft.no_grad():
            changed = {"input": x, "output": y, "weight": layer.weight_hh_l0}[what]
            changed += 1
        with pytest.raises(RuntimeError, match="changed in place"):
            y.sum().backward()

    def test_second_backward(self, rng):
        layer, x = made("GRU"), weft.asarray(rng.standard_normal((6, 2, 3))).requires_grad_()
        y, _ = layer(x)
        y.sum().backward(retain_graph=True)
        first = x.grad.numpy().copy()
        y.sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), 2 * first)

    def test_second_derivative(self, rng):
        layer = made("LSTM", bidirectional=True)

        def f(x):
            return (weft.grad(lambda x: (layer(x)[0] ** 2).sum())(x) ** 2).sum()

        x, d = rng.standard_normal((3, 2, 3)), rng.standard_normal((3, 2, 3))
        up, down = (f(weft.asarray(x + s * d)).item() for s in (1e-6, -1e-6))
        assert (weft.grad(f)(weft.asarray(x)).detach().numpy() * d).sum() == pytest.approx((up - down) / 2e-6, rel=1e-6)


class TestEmpty:
    def test_no_sequences(self):
        output, (h, c) = made("LSTM", bidirectional=True)(weft.zeros((4, 0, 3), dtype=weft.float64))
        assert output.shape == (4, 0, 10)
        assert h.shape == c.shape == (2, 0, 5)

    @pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
    def test_no_steps(self, kind):
        with pytest.raises(RuntimeError, match=re.escape("`input` must have at least one step, got shape (0, 2, 3)")):
            made(kind)(weft.zeros((0, 2, 3), dtype=weft.float64))


class TestErrors:
    @pytest.mark.parametrize(
        ("make", "error", "message"),
        [
            (lambda: nn.LSTM(3, 4, proj_size=4), ValueError, "`proj_size` must be smaller than hidden_size=4, got 4"),
            (lambda: nn.LSTM(3, 4, proj_size=-1), ValueError, "`proj_size` must be at least 0, got -1"),
            (lambda: nn.GRU(3, 4, proj_size=2), ValueError, "`proj_size` must be 0 but for an LSTM, got 2"),
            (lambda: nn.RNN(3, 4, proj_size=2), ValueError, "`proj_size` must be 0 but for an LSTM, got 2"),
            (lambda: nn.RNN(3, 4, nonlinearity="x"), ValueError, "`nonlinearity` must be one of 'tanh', 'relu', got 'x'"),
            (lambda: nn.LSTM(3, 0), ValueError, "`hidden_size` must be positive, got 0"),
            (lambda: nn.LSTM(3, 4, 0), ValueError, "`num_layers` must be positive, got 0"),
            (lambda: nn.LSTM(3.0, 4), TypeError, "`input_size` must be an int, got 3.0"),
            (lambda: nn.LSTM(3, 4, 1, 1), TypeError, "`bias` must be True or False, got 1"),
            (lambda: nn.LSTM(3, 4, 2, dropout=1.5), ValueError, "`dropout` must be a probability in [0, 1], got 1.5"),
            (lambda: nn.LSTM(3, 4, 2, dropout=True), ValueError, "`dropout` must be a probability in [0, 1], got True"),
            (lambda: nn.GRU(3, 4, reset_after=1), TypeError, "`reset_after` must be True or False, got 1"),
            (lambda: nn.RNNBase("GRUU", 3, 4), ValueError, "`mode` must be one of"),
        ],
    )  # fmt: skip
    def test_of_options(self, make, error, message):
        with pytest.raises(error, match=re.escape(message)):
            make()

    @pytest.mark.parametrize(
        ("kind", "shape", "states", "error", "message"),
        [
            ("LSTM", (5, 2, 4), None, RuntimeError, "`input` must have a last axis of input_size=3, got (5, 2, 4)"),
            ("GRU", (3,), None, ValueError, "`input` of GRU must be 2-D or 3-D, got shape (3,)"),
            ("LSTM", (4, 2, 3), (1, 2, 5), IndexError, "`hx` of LSTM must be a pair of tensors, (h, c), got one of"),
            ("LSTM", (4, 2, 3), [(1, 3, 5), (1, 2, 5)], RuntimeError, "`hx[0]` must have shape (1, 2, 5), got (1, 3, 5)"),
            ("LSTM", (4, 2, 3), [(1, 2, 5), (1, 2, 4)], RuntimeError, "`hx[1]` must have shape (1, 2, 5), got (1, 2, 4)"),
            ("GRU", (4, 2, 3), (2, 5), RuntimeError, "`hx` must be 3-D for batched 3-D input, got shape (2, 5)"),
            ("GRU", (4, 3), (1, 1, 5), RuntimeError, "`hx` must be 2-D for unbatched 2-D input, got shape (1, 1, 5)"),
        ],
    )  # fmt: skip
    def test_of_shapes(self, kind, shape, states, error, message):
        zeros = lambda s: tuple(map(zeros, s)) if isinstance(s, list) else weft.zeros(s, dtype=weft.float64)
        with pytest.raises(error, match=re.escape(message)):
            made(kind)(zeros(shape), None if states is None else zeros(states))

    @pytest.mark.parametrize("count", [1, 3])
    def test_of_a_number_of_states(self, count):
        """One too many must not be passed over, nor one too few be taken for something else."""
        layer, cell = nn.LSTM(3, 5), nn.LSTMCell(3, 5)
        for container in (tuple, list):
            states = container(weft.zeros((1, 2, 5)) for _ in range(count))
            with pytest.raises(IndexError, match=rf"`hx` of LSTM must be a pair .* \(h, c\), got {count} of them"):
                layer(weft.zeros((4, 2, 3)), states)
            with pytest.raises(TypeError, match=rf"`hx` of LSTMCell must be a pair .* \(h, c\), got {count} of them"):
                cell(weft.zeros((2, 3)), container(s[0] for s in states))
        with pytest.raises(IndexError, match=r"`hx` of LSTM must be a pair of tensors, \(h, c\), got int"):
            layer(weft.zeros((4, 2, 3)), 5)

    @pytest.mark.parametrize("sizes", [[2, 2], [2, 3], [3, 2, 1], [5, 0], [6, -1], []])
    def test_of_packed_by_hand(self, sizes):
        """No row is dropped without a word."""
        x, message = weft.zeros((5, 3), dtype=weft.float64), "must be positive, never grow and add up to .* 5, got"
        packed = PackedSequence(x, weft.asarray(np.array(sizes, np.int64)))
        for kind in ("LSTM", "GRU", "RNN"):
            with pytest.raises(RuntimeError, match=message):
                made(kind)(packed)
        for unpack in (pad_packed_sequence, unpack_sequence):
            with pytest.raises(RuntimeError, match=message):
                unpack(packed)

    def test_of_an_order_by_hand(self):
        x, sizes = weft.zeros((5, 3), dtype=weft.float64), weft.asarray(np.array([3, 2]))
        with pytest.raises(RuntimeError, match=r"`sorted_indices` must be one for each sequence, 3, got shape \(2,\)"):
            made("GRU")(PackedSequence(x, sizes, weft.tensor([0, 1])))

    def test_of_packed(self):
        packed = pack_padded_sequence(weft.zeros((5, 2, 3), dtype=weft.float64), [5, 3])
        with pytest.raises(RuntimeError, match=re.escape("`hx` must have shape (1, 2, 5), got (1, 3, 5)")):
            made("GRU")(packed, weft.zeros((1, 3, 5), dtype=weft.float64))
        wide = PackedSequence(weft.zeros((8, 2, 3), dtype=weft.float64), packed.batch_sizes)
        with pytest.raises(ValueError, match=re.escape("`input` of GRU must be 2-D, got shape (8, 2, 3)")):
            made("GRU")(wide)

    def test_of_dtypes(self):
        layer = made("LSTM")
        with pytest.raises(ValueError, match=r"`input` must have the dtype of `weight`, float64, got float32"):
            layer(weft.zeros((4, 2, 3)))
        x, h = weft.zeros((4, 2, 3), dtype=weft.float64), weft.zeros((1, 2, 5))
        with pytest.raises(ValueError, match=r"`hx\[0\]` must have the dtype of `weight`, float64, got float32"):
            layer(x, (h, h))


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_learns(rng, kind):
    """To tell, at the end, what came first."""
    weft.manual_seed(0)
    x = rng.integers(0, 2, (8, 64))
    net, head = getattr(nn, kind)(1, 16), nn.Linear(16, 2)
    optimizer = optim.Adam([*net.parameters(), *head.parameters()], lr=0.02)
    given, wanted = weft.asarray(x[..., None].astype("f")), weft.asarray(x[0])
    for _ in range(80):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(head(net(given)[0][-1]), wanted)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("lengths", [None, [4, 2, 2]])
def test_captured(rng, kind, lengths, accelerator):
    """A training step has the bits of one that is not recorded."""
    x = weft.asarray(rng.standard_normal((4, 3, 3)).astype("f"), device=accelerator)

    def trained(wrap):
        weft.manual_seed(0)
        layer = getattr(nn, kind)(3, 5, bidirectional=True).to(accelerator)
        optimizer = optim.SGD(layer.parameters(), lr=0.1)

        def step(x):
            optimizer.zero_grad()
            y, _ = layer(x if lengths is None else pack_padded_sequence(x, lengths))
            loss = ((y if lengths is None else y.data) ** 2).sum()
            loss.backward()
            optimizer.step()
            return loss

        run = wrap(step)
        losses = [run(x).item() for _ in range(5)]
        return losses, [p.detach().cpu().numpy().tobytes() for p in layer.parameters()]

    assert trained(lambda step: weft.capture(step, strict=True)) == trained(lambda step: step)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_autocast(rng, kind, dtype, accelerator):
    """Half precision comes out; gradients of parameters stay float32, and are those of float32 but for roundings."""
    x = rng.standard_normal((5, 3, 3)).astype("f")

    def gradients(device, enabled):
        weft.manual_seed(0)
        layer = getattr(nn, kind)(3, 8, bidirectional=True).to(device)
        with weft.autocast(dtype, enabled=enabled):
            y, _ = layer(weft.asarray(x, device=device))
        assert y.dtype == (dtype if enabled else "float32")
        (y.float() ** 2).sum().backward()
        assert {str(p.grad.dtype) for p in layer.parameters()} == {"float32"}
        return [p.grad.cpu().numpy() for p in layer.parameters()]

    exact = gradients("cpu", False)
    for device in ("cpu", accelerator):
        for a, b in zip(gradients(device, True), exact, strict=True):
            np.testing.assert_allclose(a, b, atol=0.03 * abs(b).max())


class TestCells:
    CELLS = [
        ("LSTMCell", {}), ("GRUCell", {}), ("GRUCell", {"reset_after": False}), ("RNNCell", {}),
        ("RNNCell", {"nonlinearity": "relu"}),
    ]  # fmt: skip

    @pytest.mark.parametrize(("kind", "options"), CELLS, ids=str)
    @pytest.mark.parametrize("bias", [True, False])
    @pytest.mark.parametrize("given", [True, False])
    def test_values(self, rng, kind, options, bias, given):
        cell = getattr(nn, kind)(3, 5, bias, **options).double()
        x = rng.standard_normal((4, 3))
        states = [rng.standard_normal((4, 5)) if given else np.zeros((4, 5)) for _ in range(1 + (kind == "LSTMCell"))]
        w, u = cell.weight_ih.data, cell.weight_hh.data
        b, d = (p.data if bias else np.zeros(len(w)) for p in (cell.bias_ih, cell.bias_hh))
        of = options.get("nonlinearity", kind.removesuffix("Cell"))
        rows = [
            step(of, x[i], [s[i] for s in states], w, u, b, d, None, options.get("reset_after", True)) for i in range(4)
        ]
        hx = as_hx(states) if given else None
        for a, e in zip(as_list(cell(weft.asarray(x), hx)), zip(*rows), strict=True):
            np.testing.assert_allclose(a, np.stack(e), atol=1e-13)
        hx = as_hx([s[1] for s in states]) if given else None
        for a, e in zip(as_list(cell(weft.asarray(x[1]), hx)), rows[1], strict=True):
            np.testing.assert_allclose(a, e, atol=1e-13)

    @pytest.mark.parametrize(
        ("kind", "shape", "hx", "error", "message"),
        [
            ("LSTMCell", (1, 2, 3), None, ValueError, "`input` of LSTMCell must be 1-D or 2-D, got shape (1, 2, 3)"),
            ("GRUCell", (2, 4), None, RuntimeError, "`input` must have a last axis of input_size=3, got (2, 4)"),
            ("GRUCell", (2, 3), (3, 5), RuntimeError, "`hx` must have shape (2, 5), got (3, 5)"),
            ("GRUCell", (2, 3), (5,), RuntimeError, "`hx` must have the axis N of `input`"),
            ("GRUCell", (3,), (1, 5), RuntimeError, "`hx` must have shape (5,), got (1, 5)"),
            ("GRUCell", (2, 3), (1, 2, 5), ValueError, "`hx` of GRUCell must be 1-D or 2-D, got shape (1, 2, 5)"),
            ("LSTMCell", (2, 3), (2, 5), TypeError, "`hx` of LSTMCell must be a pair of tensors, (h, c)"),
        ],
    )
    def test_errors(self, kind, shape, hx, error, message):
        with pytest.raises(error, match=re.escape(message)):
            getattr(nn, kind)(3, 5)(weft.zeros(shape), None if hx is None else weft.zeros(hx))

    def test_errors_of_dtype_and_nonlinearity(self):
        with pytest.raises(RuntimeError, match="`input` must have the dtype of `weight_ih`, float32, got float64"):
            nn.GRUCell(3, 5)(weft.zeros((2, 3), dtype=weft.float64))
        with pytest.raises(RuntimeError, match="`nonlinearity` must be 'tanh' or 'relu', got 'x'"):
            nn.RNNCell(3, 5, nonlinearity="x")(weft.zeros((2, 3)))

    def test_no_rows(self):
        assert nn.GRUCell(3, 5)(weft.zeros((0, 3))).shape == (0, 5)
