"""Neural-network operators of ONNX against independent formulas, where the node cases leave something open."""

import numpy as np
import pytest

import weft
from weft.compat.onnx import load
from weft.compat.onnx.operators import activation

onnx = pytest.importorskip("onnx")


def run(graph: str, *inputs: np.ndarray, opset: int = 23):
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : {opset}]> g {graph}')
    out = load(model)(*inputs)
    return tuple(y.numpy() for y in out) if isinstance(out, tuple) else out.numpy()


def test_dropout_in_training_scales_what_it_keeps() -> None:
    x = np.arange(1, 1001, dtype=np.float32)
    graph = "(float[N] x, float p, bool t) => (float[N] y, bool[N] m) { y, m = Dropout(x, p, t) }"
    y, mask = run(graph, x, np.float32(0.75), np.array(True))
    assert mask.dtype == np.bool_
    assert 0.15 < mask.mean() < 0.35
    np.testing.assert_allclose(y, np.where(mask, 4 * x, 0), rtol=1e-6)


def test_softmax_before_version_13_runs_over_all_axes_from_the_given_one() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    e = np.exp(x.astype(np.float64))
    got = activation.OPERATORS["Softmax"]({"opset": 11}, weft.asarray(x)).numpy()
    np.testing.assert_allclose(got, e / e.sum((1, 2), keepdims=True), rtol=1e-5)


def test_batch_normalisation_moves_the_biased_variance() -> None:
    x = np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32)
    one, zero = np.ones(2, np.float32), np.zeros(2, np.float32)
    graph = """(float[4,2,3] x, float[2] s, float[2] b, float[2] m, float[2] v) => (float[4,2,3] y, float[2] mm, float[2] vv)
        { y, mm, vv = BatchNormalization<training_mode = 1, momentum = 0.75>(x, s, b, m, v) }"""
    _, mean, var = run(graph, x, one, zero, zero, one)
    np.testing.assert_allclose(mean, 0.25 * x.mean((0, 2)), rtol=1e-5)
    np.testing.assert_allclose(var, 0.75 + 0.25 * x.var((0, 2)), rtol=1e-5)


def test_group_normalisation_takes_one_scale_a_group_before_version_21() -> None:
    x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    graph = "(float[2,4,3] x, float[N] s, float[N] b) => (float[2,4,3] y) { y = GroupNormalization<num_groups = 2>(x, s, b) }"
    scale, bias = np.array([2, 3], np.float32), np.array([1, -1], np.float32)
    each = run(graph, x, scale.repeat(2), bias.repeat(2), opset=21)
    np.testing.assert_allclose(run(graph, x, scale, bias, opset=18), each, rtol=1e-6)


def test_an_even_response_window_reaches_further_behind() -> None:
    x = np.ones((1, 3, 1), np.float32)
    y = run("(float[1,3,1] x) => (float[1,3,1] y) { y = LRN<size = 2, alpha = 2.0, beta = 1.0>(x) }", x)
    np.testing.assert_allclose(y[0, :, 0], [1 / 3, 1 / 3, 1 / 2], rtol=1e-6)


def test_maxima_keep_nan_and_minus_infinity() -> None:
    x = np.array([[[np.nan, 1, -np.inf, -np.inf]]], np.float32)
    y = run("(float[1,1,4] x) => (float[1,1,2] y) { y = MaxPool<kernel_shape = [2], strides = [2]>(x) }", x)
    np.testing.assert_array_equal(y, [[[np.nan, -np.inf]]])


def test_hard_sigmoid_has_a_slope_of_a_fifth() -> None:
    y = run("(float[3] x) => (float[3] y) { y = HardSigmoid(x) }", np.array([-3, 1, 3], np.float32))
    np.testing.assert_allclose(y, [0, 0.7, 1], atol=1e-6)


def test_pytorch_half_pixel_takes_the_first_place_for_one() -> None:
    x, sizes = np.arange(5, dtype=np.float32)[None, None], np.array([1, 1, 1], np.int64)
    graph = """(float[1,1,5] x, int64[3] n) => (float[1,1,M] y)
        { y = Resize<mode = "linear", coordinate_transformation_mode = "MODE">(x, , , n) }"""
    for mode, right in (("pytorch_half_pixel", 0), ("half_pixel", 2)):
        assert run(graph.replace("MODE", mode), x, sizes).item() == right


def test_attention_to_no_key_is_zero_and_softcap_comes_before_the_mask() -> None:
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(1, 1, n, 4)).astype(np.float32) for n in (2, 3, 3))
    mask = np.array([[False, False, False], [True, False, True]])
    graph = """(float[1,1,2,4] q, float[1,1,3,4] k, float[1,1,3,4] v, bool[2,3] m) => (float[1,1,2,4] y)
        { y = Attention<softcap = CAP>(q, k, v, m) }"""
    for cap in (0.0, 1.5):
        y = run(graph.replace("CAP", str(cap)), q, k, v, mask)
        s = (q[0, 0].astype(np.float64) @ k[0, 0].T / 2)[1]
        e = np.exp(cap * np.tanh(s / cap) if cap else s) * mask[1]
        np.testing.assert_allclose(y[0, 0], [np.zeros(4), e / e.sum() @ v[0, 0]], rtol=1e-5, atol=1e-6)


def test_causal_attention_without_a_cache_is_top_left_and_with_one_counts_the_past() -> None:
    q, k = np.zeros((1, 1, 4, 2), np.float32), np.zeros((1, 1, 2, 2), np.float32)
    v = np.array([[[[1.0, 0], [0, 1]]]], np.float32)
    head = "(float[1,1,4,2] q, float[1,1,2,2] k, float[1,1,2,2] v) => (float[1,1,4,2] y) "
    y = run(head + "{ y = Attention<is_causal = 1>(q, k, v) }", q, k, v)
    np.testing.assert_allclose(y[0, 0], [[1, 0], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]])
    graph = """(float[1,1,2,2] q, float[1,1,2,2] k, float[1,1,2,2] v, float[1,1,N,2] pk, float[1,1,N,2] pv)
        => (float[1,1,2,2] y, float[1,1,M,2] nk, float[1,1,M,2] nv) { y, nk, nv = Attention<is_causal = 1>(q, k, v, , pk, pv) }"""
    y, keys, _ = run(graph, k, k, v, k[:, :, :1], v[:, :, :1] * 4)
    assert keys.shape == (1, 1, 3, 2)
    np.testing.assert_allclose(y[0, 0], [[2.5, 0], [5 / 3, 1 / 3]], rtol=1e-6)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(x, w, r, b, length, back):  # x (T, I), gates i o f c
    h = c = np.zeros(r.shape[-1])
    out = np.zeros((len(x), len(h)))
    for t in range(length)[:: -1 if back else 1]:
        i, o, f, g = np.split(w @ x[t] + r @ h + b[: len(w)] + b[len(w) :], 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        out[t] = h = sigmoid(o) * np.tanh(c)
    return out, h, c


def test_lstm_of_both_directions_ends_each_sequence_at_its_length() -> None:
    rng = np.random.default_rng(0)
    x, w, r, b = (rng.normal(size=s).astype(np.float32) for s in ((5, 3, 2), (2, 16, 2), (2, 16, 4), (2, 32)))
    lengths = np.array([5, 2, 0], np.int32)
    graph = """(float[5,3,2] x, float[2,16,2] w, float[2,16,4] r, float[2,32] b, int32[3] n)
        => (float[5,2,3,4] y, float[2,3,4] h, float[2,3,4] c)
        { y, h, c = LSTM<hidden_size = 4, direction = "bidirectional">(x, w, r, b, n) }"""
    y, h, c = run(graph, x, w, r, b, lengths)
    for d in range(2):
        for n, length in enumerate(lengths):
            right = lstm(x[:, n].astype(np.float64), w[d], r[d], b[d], length, d == 1)
            for got, wanted in zip((y[:, d, n], h[d, n], c[d, n]), right, strict=True):
                np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("linear", [0, 1])
def test_gru_resets_before_or_after_its_product(linear: int) -> None:
    rng = np.random.default_rng(1)
    x, w, r, b = (rng.normal(size=s).astype(np.float32) for s in ((1, 1, 2), (1, 9, 2), (1, 9, 3), (1, 18)))
    h = rng.normal(size=(1, 1, 3)).astype(np.float32)
    graph = f"""(float[1,1,2] x, float[1,9,2] w, float[1,9,3] r, float[1,18] b, float[1,1,3] h) => (float[1,1,1,3] y)
        {{ y = GRU<hidden_size = 3, linear_before_reset = {linear}>(x, w, r, b, , h) }}"""
    inputs, old = w[0].astype(np.float64) @ x[0, 0] + b[0, :9], h[0, 0].astype(np.float64)
    z, reset = np.split(sigmoid(inputs[:6] + r[0, :6] @ old + b[0, 9:15]), 2)
    inner = reset * (r[0, 6:] @ old + b[0, 15:]) if linear else r[0, 6:] @ (reset * old) + b[0, 15:]
    right = (1 - z) * np.tanh(inputs[6:] + inner) + z * old
    np.testing.assert_allclose(run(graph, x, w, r, b, h)[0, 0, 0], right, rtol=1e-5)


def test_activations_of_recurrent_layers_take_their_numbers_in_order() -> None:
    """Of both directions; what takes none uses up none, and `clip` bounds what comes in."""
    x, w, r = np.full((1, 1, 1), -4.0), np.ones((2, 2, 1)), np.zeros((2, 2, 2))
    graph = """(double[1,1,1] x, double[2,2,1] w, double[2,2,2] r) => (double[N] y) { y = RNN<hidden_size = 2, direction =
        "bidirectional", clip = 3.0, activations = ["Softsign", "LeakyRelu"], activation_alpha = [0.5]>(x, w, r) }"""
    np.testing.assert_allclose(run(graph, x, w, r)[0, :, 0, 0], [-3 / 4, -1.5])


def test_coupled_gates_and_clipped_ones_leave_the_cell_alone() -> None:
    """f = 1 − i; h = o tanh(c), c beyond the bound: as onnxruntime."""
    x, w, r, c = np.full((1, 1, 1), 8.0), np.ones((1, 4, 1)), np.zeros((1, 4, 1)), np.full((1, 1, 1), 6.0)
    graph = """(double[1,1,1] x, double[1,4,1] w, double[1,4,1] r, double[1,1,1] c) => (double[N] y, double[N] h, double[N] d)
        { y, h, d = LSTM<hidden_size = 1, clip = 2.0, input_forget = 1>(x, w, r, , , , c) }"""
    _, h, new = run(graph, x, w, r, c)
    gate = sigmoid(2.0)
    right = (1 - gate) * 6 + gate * np.tanh(2)
    np.testing.assert_allclose([new.item(), h.item()], [right, gate * np.tanh(right)], rtol=1e-6)


def test_batches_may_come_first() -> None:
    rng = np.random.default_rng(0)
    x, w, r, h = (rng.normal(size=s) for s in ((3, 2, 2), (1, 9, 2), (1, 9, 3), (1, 2, 3)))
    graph = """(double[A] x, double[B] w, double[C] r, double[D] h) => (double[E] y, double[F] n)
        { y, n = GRU<hidden_size = 3, layout = LAYOUT>(x, w, r, , , h) }"""
    y, n = run(graph.replace("LAYOUT", "0"), x, w, r, h)
    first, last = run(graph.replace("LAYOUT", "1"), x.swapaxes(0, 1), w, r, h.swapaxes(0, 1))
    np.testing.assert_allclose(first, y.transpose(2, 0, 1, 3))
    np.testing.assert_allclose(last, n.swapaxes(0, 1))


@pytest.mark.parametrize("names", ['["Cubic"]', '["Affine"]'])
def test_recurrent_activations_that_are_refused(names: str) -> None:
    ones = [np.ones(s, np.float32) for s in ((1, 1, 1), (1, 2, 1), (1, 2, 2))]
    graph = f"""(float[1,1,1] x, float[1,2,1] w, float[1,2,2] r) => (float[N] y)
        {{ y = RNN<hidden_size = 2, activations = {names}>(x, w, r) }}"""
    with pytest.raises(NotImplementedError, match=r"`activations` .*must"):
        run(graph, *ones)


def test_gradients_reach_the_weights_of_a_network() -> None:
    rng = np.random.default_rng(0)
    graph = """g (float[2,2,5,5] x) => (float[2,4] y) { c = Conv<pads = [0, 1, 1, 2], strides = [2, 2]>(x, W)
        n = InstanceNormalization(c, s, b)
        p = AveragePool<kernel_shape = [2, 2], ceil_mode = 1, pads = [0, 0, 1, 1]>(n) q = GlobalAveragePool(p) y = Flatten(q) }"""
    model = onnx.parser.parse_model('<ir_version: 10, opset_import: ["" : 22]> ' + graph)
    sizes = {"W": (4, 2, 2, 3), "s": (4,), "b": (4,)}
    for name, shape in sizes.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(rng.normal(size=shape), name))
    module, x = load(model), weft.asarray(rng.normal(size=(2, 2, 5, 5)))
    cotangent = weft.asarray(rng.normal(size=(2, 4)))

    def loss():
        return (module(x) * cotangent).sum()

    loss().backward()
    for name, p in module.named_parameters():
        along, step = rng.normal(size=sizes[name]), 1e-6
        slope = (p.grad.numpy() * along).sum()
        with weft.no_grad():
            p.data += step * along
            up = loss().item()
            p.data -= 2 * step * along
            down = loss().item()
            p.data += step * along
        assert abs((up - down) / (2 * step) - slope) < 1e-6 * max(1, abs(slope))


def test_a_slice_back_from_before_the_first_starts_at_the_first() -> None:
    """As the operator's text clamps it; NumPy's slice would be empty."""
    x = np.arange(4, dtype=np.float32)
    graph = """(float[4] x) => (float[N] y) <int64[1] s = {-9}, int64[1] e = {-9}, int64[1] a = {0}, int64[1] d = {-1}>
        { y = Slice(x, s, e, a, d) }"""
    np.testing.assert_array_equal(run(graph, x), [0])


def test_outputs_need_no_declared_type() -> None:
    node = onnx.helper.make_node("Neg", ["x"], ["y"])
    given = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2])
    graph = onnx.helper.make_graph([node], "g", [given], [onnx.helper.make_empty_tensor_value_info("y")])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 23)])
    np.testing.assert_array_equal(load(model)(np.array([1, -2], np.float32)).numpy(), [-1, 2])
