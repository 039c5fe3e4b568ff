"""Operators that draw, that keep sequences, that bend windows, and their gradients."""

import numpy as np
import pytest

import weft
from weft.compat.onnx import load

onnx = pytest.importorskip("onnx")


def module(graph: str, opset: int = 27, domain: str = "") -> weft.layers.Module:
    more = f', "{domain}" : 1' if domain else ""
    return load(onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : {opset}{more}]> g {graph}'))


SCORES = "score_mod = s (double[A] a) => (double[A] b) { b = Tanh (a) }"
# Operator: graph, shapes of inputs
GRADIENTS = {
    "DeformConv": (
        """(double[2,4,5,6] x, double[6,2,2,3] w, double[2,24,4,4] o, double[6] b, double[2,12,4,4] m) => (double[K] y)
        { y = DeformConv<group = 2, offset_group = 2, pads = [0, 1, 1, 0], strides = [1, 1], dilations = [2, 1],
          kernel_shape = [2, 3]>(x, w, o, b, m) }""",
        [(2, 4, 5, 6), (6, 2, 2, 3), (2, 24, 4, 5), (6,), (2, 12, 4, 5)],
    ),
    "DeformConv of one axis": (
        "(double[A] x, double[B] w, double[C] o) => (double[K] y) { y = DeformConv(x, w, o) }",
        [(1, 2, 7), (3, 2, 2), (1, 2, 6)],
    ),
    "LinearAttention": (
        """(double[A] q, double[B] k, double[C] v, double[D] s, double[E] g, double[F] b) => (double[K] y)
        { y = LinearAttention<q_num_heads = 4, kv_num_heads = 2, update_rule = "gated_delta">(q, k, v, s, g, b) }""",
        [(2, 3, 8), (2, 3, 4), (2, 3, 6), (2, 2, 2, 3), (2, 3, 4), (2, 3, 1)],
    ),
    "CausalConvWithState": (
        """(double[A] x, double[B] w, double[C] b, double[D] p) => (double[K] y)
        { y = CausalConvWithState<activation = "silu">(x, w, b, p) }""",
        [(2, 3, 4), (3, 1, 3), (3,), (2, 3, 2)],
    ),
    "FlexAttention": (
        f"""(double[2,4,3,5] q, double[2,2,6,5] k, double[2,2,6,7] v) => (double[K] y)
        {{ y = ai.onnx.preview.FlexAttention<{SCORES}>(q, k, v) }}""",
        [(2, 4, 3, 5), (2, 2, 6, 5), (2, 2, 6, 7)],
    ),
    "LSTM": (
        """(double[A] x, double[B] w, double[C] r) => (double[K] y) { y = LSTM<hidden_size = 2, clip = 1.0, input_forget = 1,
        activations = ["HardSigmoid", "ScaledTanh", "Softplus"], activation_alpha = [0.3, 0.7], activation_beta = [0.4, 1.5]>
        (x, w, r) }""",
        [(3, 2, 3), (1, 8, 3), (1, 8, 2)],
    ),
    "sequences": (
        """(double[A] x, double[B] z) => (double[K] y) { i = Constant<value_int = -2>() s = SplitToSequence<axis = 1>(x)
        t = SequenceInsert(s, z, i) u = SequenceErase(t) a = SequenceAt(u, i) c = ConcatFromSequence<axis = -1>(u)
        y = Mul(c, a) }""",
        [(2, 3), (2, 1)],
    ),
    "Adam": (
        """(double[] r, int64[] t, double[A] x, double[A] g, double[A] v, double[A] h) => (double[A] y, double[A] w, double[A] k)
        { y, w, k = ai.onnx.preview.training.Adam<norm_coefficient = 0.1>(r, t, x, g, v, h) }""",
        [(), None, (4,), (4,), (4,), (4,)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_are_slopes(name: str) -> None:
    graph, shapes = GRADIENTS[name]
    domain = "ai.onnx.preview.training" if name == "Adam" else "ai.onnx.preview" if name == "FlexAttention" else ""
    net, rng = module(graph, domain=domain), np.random.default_rng(0)
    arrays = [np.asarray(3) if s is None else np.abs(rng.normal(size=s)) for s in shapes]
    ways = [a * 0 if a.dtype == np.int64 else rng.normal(size=a.shape) for a in arrays]
    weight = None

    def value(step: float):
        nonlocal weight
        xs = [weft.asarray(a + (step * w).astype(a.dtype)) for a, w in zip(arrays, ways)]
        xs = [x.requires_grad_() if x.dtype == np.float64 else x for x in xs]
        y = net(*xs)
        y = y[0] if isinstance(y, tuple) else y
        weight = np.random.default_rng(1).normal(size=y.shape) if weight is None else weight
        return (y * weft.asarray(weight)).sum(), xs

    loss, xs = value(0.0)
    loss.backward()
    slope = sum((x.grad.numpy() * w).sum() for x, w in zip(xs, ways) if x.requires_grad)
    found = (value(1e-6)[0].item() - value(-1e-6)[0].item()) / 2e-6
    assert abs(found - slope) < 1e-6 * max(1.0, abs(slope))


def test_windows_that_do_not_bend_are_convolution_and_a_whole_step_shifts() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 4, 6, 6)), rng.normal(size=(6, 2, 3, 3))
    options = "group = 2, pads = [1, 1, 1, 1], strides = [2, 1]"
    plain = module(f"(double[A] x, double[B] w) => (double[C] y) {{ y = Conv<{options}>(x, w) }}")(x, w).numpy()
    net = module(f"(double[A] x, double[B] w, double[D] o) => (double[C] y) {{ y = DeformConv<{options}>(x, w, o) }}")
    np.testing.assert_allclose(net(x, w, np.zeros((2, 18, 3, 6))).numpy(), plain, rtol=1e-10)
    right = np.zeros((2, 9, 2, 3, 6))
    right[:, :, 1] = 1  # one column further
    moved = net(x, w, right.reshape(2, 18, 3, 6)).numpy()
    np.testing.assert_allclose(moved[..., :-2], plain[..., 1:-1], rtol=1e-10)


UNIFORM = "(float[N] x) => (float[N] y) { y = RandomUniformLike<low = -1.0, high = 3.0SEED>(x) }"
NORMAL = "(float[N] x) => (float[N] y) { y = RandomNormalLike<mean = 2.0, scale = 3.0SEED>(x) }"
FLIPS = "(float[N] x) => (float[N] y) { h = Constant<value_float = 0.25>() p = Mul(x, h) y = BernoulliSEED(p) }"


@pytest.mark.parametrize(
    ("graph", "mean", "deviation"), [(UNIFORM, 1, 4 / 12**0.5), (NORMAL, 2, 3), (FLIPS, 0.25, (3 / 16) ** 0.5)]
)
def test_random_numbers_have_the_moments_that_they_should_and_follow_seeds(graph, mean, deviation) -> None:
    ones = np.ones(10000, np.float32)
    with_seed = graph.replace("SEED", "<seed = 5.0>" if "Bernoulli" in graph else ", seed = 5.0")
    plain, first, second = module(graph.replace("SEED", "")), module(with_seed), module(with_seed)
    weft.manual_seed(0)
    y = plain(ones).numpy()
    assert y.dtype == np.float32
    assert abs(y.mean() - mean) < 0.05 * max(1, deviation)
    assert abs(y.std() - deviation) < 0.05 * max(1, deviation)
    weft.manual_seed(0)
    np.testing.assert_array_equal(plain(ones).numpy(), y)
    np.testing.assert_array_equal(first(ones).numpy(), second(ones).numpy())
    assert (first(ones).numpy() != y).any()
    later = first(ones).numpy()
    assert (later != second(ones).numpy()).any()  # a node goes on where it was


def test_shapes_and_dtypes_of_random_numbers() -> None:
    net = module(
        """() => (double[2,3] y, float16[4] z)
        { y = RandomNormal<shape = [2, 3], dtype = 11>() z = RandomUniform<shape = [4], dtype = 10>() }"""
    )
    y, z = net()
    assert (y.shape, y.dtype, z.shape, z.dtype) == ((2, 3), np.float64, (4,), np.float16)


def test_classes_are_drawn_as_often_as_their_probability_says() -> None:
    weft.manual_seed(0)
    share = np.array([[0.5, 0.0, 0.3, 0.2], [0.0, 1.0, 0.0, 0.0]])
    with np.errstate(divide="ignore"):
        logits = np.log(share).astype(np.float32) + 7
    net = module("(float[2,4] x) => (int64[2,M] y) { y = Multinomial<sample_size = 20000, dtype = 7>(x) }")
    y = net(logits).numpy()
    assert (y.dtype, y.shape) == (np.int64, (2, 20000))
    np.testing.assert_allclose([np.bincount(row, minlength=4) / 20000 for row in y], share, atol=0.02)


def test_sequences_and_missing_values_come_in_and_go_out() -> None:
    tensor = onnx.helper.make_tensor_type_proto(1, None)
    several, perhaps = onnx.helper.make_sequence_type_proto(tensor), onnx.helper.make_optional_type_proto(tensor)
    node, info = onnx.helper.make_node, onnx.helper.make_value_info
    nodes = [node("SequenceErase", ["s", "i"], ["t"]), node("Identity", ["o"], ["p"]), node("SequenceLength", ["s"], ["n"]),
             node("OptionalHasElement", ["o"], ["h"])]  # fmt: skip
    values = [info("t", several), info("p", perhaps), info("n", onnx.helper.make_tensor_type_proto(7, [])),
              info("h", onnx.helper.make_tensor_type_proto(9, []))]  # fmt: skip
    inputs = [info("s", several), info("o", perhaps), info("i", onnx.helper.make_tensor_type_proto(7, []))]
    graph = onnx.helper.make_graph(nodes, "g", inputs, values)
    net = load(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)]))
    rows = [np.full(n, n, np.float32) for n in (1, 2, 3)]
    t, p, n, h = net(rows, None, np.asarray(-2))
    assert ([x.tolist() for x in t], p, n.item(), h.item()) == ([[1], [3, 3, 3]], None, 3, False)
    with pytest.raises(IndexError, match="must be in a sequence of 3 tensors, got 3"):
        net(rows, None, np.asarray(3))


OLD = "(float[2,3] x, float[2] z) => (float[2,3] y) { y = Add<broadcast = 1, axis = 0>(x, z) }"


def test_before_version_7_an_axis_says_where_the_second_input_lies() -> None:
    x, z = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([10, 20], np.float32)
    np.testing.assert_array_equal(module(OLD, opset=6)(x, z).numpy(), x + z[:, None])
    slopes = module(OLD.replace("Add<broadcast = 1, axis = 0>", "PRelu").replace("[2]", "[3]"), opset=6)
    np.testing.assert_array_equal(slopes(-x, np.arange(3, dtype=np.float32)).numpy(), -x * np.arange(3))
    with pytest.raises(NotImplementedError, match=r"Cast .* must be of opset 6 at least, got 5"):
        module('(float[N] x) => (int64[N] y) { y = Cast<to = "INT64">(x) }', opset=5)
    with pytest.raises(NotImplementedError, match=r"Dropout .*`is_test` must be 1"):
        module("(float[N] x) => (float[N] y) { y = Dropout(x) }", opset=6)(z)
