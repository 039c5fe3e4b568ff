"""ONNX export against onnxruntime: the graph computes what the model does, at sizes it was not written at."""

import importlib.util
import pathlib

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.backend.tape.autograd import PRIMITIVES
from weft.compat.onnx.export_layers import HANDLERS
from weft.compat.onnx.export_trace import can_be_taken_apart
from weft.compat.onnx.exporting import ExportError, export
from weft.layers import models
from weft.layers.utils import rnn

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")


def numbers(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def flat(result):
    return [result.numpy()] if isinstance(result, weft.Tensor) else [x for r in result for x in flat(r)]


def agree(model, at, then, path, axes=None, atol=1e-5, **options):
    """Written at the inputs `at`, run at `then`."""
    names = [f"input_{i}" for i in range(len(at))]
    export(model, tuple(map(weft.asarray, at)), path, dynamic_axes=axes, **options)
    got = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, dict(zip(names, then)))
    with weft.no_grad():
        expected = flat(model.eval()(*map(weft.asarray, then)))
    assert len(got) == len(expected)
    for a, b in zip(got, expected):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=atol)


BATCH = {"input_0": {0: "batch"}}
FIRST = {
    "mlp": (lambda: models.mlp((1, 6, 6), 3), (1, 6, 6)),
    "cnn": (lambda: models.cnn((1, 12, 12), 3), (1, 12, 12)),
    "resnet18": (lambda: models.resnet18((3, 16, 16), 4), (3, 16, 16)),
    "lstm": (lambda: nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True), (5, 3)),
    "gru": (lambda: nn.GRU(3, 4, 2, batch_first=True, bidirectional=True), (5, 3)),
    "rnn": (lambda: nn.RNN(3, 4, nonlinearity="relu", batch_first=True, bias=False), (5, 3)),
    "transformer": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (5, 8)),
}


@pytest.mark.parametrize("name", FIRST)
def test_written_at_batch_2_run_at_batch_3(name, tmp_path):
    make, shape = FIRST[name]
    weft.manual_seed(0)
    agree(make(), [numbers(2, *shape)], [numbers(3, *shape)], tmp_path / "m.onnx", BATCH)


# Primitives without nodes of their own
UNMAPPED = {
    "ONNX has no such operator, and no complex numbers": (
        "cholesky conj eigh eigvalsh fft fftn fftshift hfft ifft ifftn ifftshift ihfft imag inv irfft irfftn nextafter pinv qr "
        "real rfft rfftn solve svd svdvals"
    ),
    "of training alone": "dropout",
    "of several processes": "sync_batch_norm",
    "how many they give depends on the numbers": "nonzero",
}
TAKEN_APART = {  # written as the array operations that they are made of
    "attention_up_to", "ctc_loss", "euclidean", "fold", "grid_sample", "largest", "multilabel_margin_loss", "unfold",
    "window_argmax",
}  # fmt: skip


# Before any test or example defines one of its own.
OURS = {name.rsplit(".", 1)[1].lstrip("_"): p for name, p in PRIMITIVES.items() if name.startswith("weft.backend.")}


def test_every_primitive_is_mapped_or_listed():
    names = OURS
    listed = " ".join(UNMAPPED.values()).split()
    assert len(set(listed)) == len(listed)
    assert not (set(listed) | TAKEN_APART) & set(HANDLERS)
    assert {name for name in names if name not in HANDLERS} == set(listed) | TAKEN_APART
    assert all(can_be_taken_apart(names[name]) for name in TAKEN_APART)


def layers():
    """The table that names every layer."""
    path = pathlib.Path(__file__).parents[2] / "layers" / "test_every_layer.py"
    spec = importlib.util.spec_from_file_location("every_layer_of_export", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.LAYERS


LAYERS = layers()
# Layers that are taken apart to constants that depend on the batch: they are written for one size
SINGLE = {"FractionalMaxPool2d", "FractionalMaxPool3d"}  # the table's have random numbers for one batch
OF_ONE_SIZE = {"MultiLabelMarginLoss"}


def in_float32(x):
    return numbers(*x) if isinstance(x, tuple) else x.astype(np.float32) if x.dtype == np.float64 else x


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_agrees(name, tmp_path):
    weft.manual_seed(0)
    make, inputs, _ = LAYERS[name]
    at = [in_float32(x) for x in inputs]
    axis = 1 if name in ("RNN", "LSTM") else 0
    larger = [np.take(x, np.arange(x.shape[axis] + 1) % x.shape[axis], axis=axis) if x.ndim > axis else x for x in at]
    axes: dict | None = {f"input_{i}": {axis: "batch"} for i in range(len(at))}
    if name in OF_ONE_SIZE:
        with pytest.raises(ExportError, match=r"made of array operations, .*(keep that axis fixed|no dynamic axis)"):
            export(make(), tuple(map(weft.asarray, at)), tmp_path / "n.onnx", dynamic_axes=axes)
    if name in OF_ONE_SIZE | SINGLE or any(x.ndim <= axis or x.shape[axis] != at[0].shape[axis] for x in at):
        larger, axes = at, None
    others = [
        x * np.float32(0.875) if x.dtype.kind == "f" else x for x in larger
    ]  # what was read would be a constant now
    weft.manual_seed(0)
    agree(make(), at, others, tmp_path / "m.onnx", axes)


class Written(nn.Module):
    """What a function does, as a module."""

    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, x):
        return self.f(x)


def elsewhere(loss, targets, **options):
    """A loss of x against constants."""
    return Written(lambda x: loss(x, *map(weft.asarray, targets), **options))


F = nn.functional
ONES = np.where(numbers(4, 3) > 0, 1, -1).astype(np.float32)
SHARE = np.abs(numbers(4, 3)).astype(np.float32) * np.array([0.0, 0.4, 0.2], np.float32)
CRITERIA = {
    "bce at 0 and 1": lambda: Written(
        lambda x: F.binary_cross_entropy(x.clip(0, 1), weft.asarray(np.clip(SHARE, 0, 1)), weft.asarray(SHARE))
    ),
    "huber": lambda: elsewhere(F.huber_loss, [ONES], delta=0.3, reduction="sum"),
    "smooth": lambda: elsewhere(F.smooth_l1_loss, [ONES], beta=0.3, reduction="none"),
    "smooth, beta 0": lambda: elsewhere(F.smooth_l1_loss, [ONES], beta=0.0),
    "kl with zeros": lambda: elsewhere(F.kl_div, [SHARE], reduction="batchmean"),
    "kl of logarithms": lambda: elsewhere(F.kl_div, [-SHARE], log_target=True, reduction="sum"),
    "hinge embedding": lambda: elsewhere(F.hinge_embedding_loss, [ONES], margin=0.5, reduction="none"),
    "soft margin": lambda: elsewhere(F.soft_margin_loss, [200 * ONES], reduction="none"),
    "ranking": lambda: elsewhere(F.margin_ranking_loss, [SHARE, ONES], margin=0.2, reduction="none"),
    "gaussian": lambda: elsewhere(F.gaussian_nll_loss, [ONES, SHARE], full=True, eps=1e-3),
    "poisson": lambda: elsewhere(F.poisson_nll_loss, [SHARE]),
    "poisson, full": lambda: elsewhere(F.poisson_nll_loss, [9 * SHARE], full=True, reduction="none"),
    "poisson of rates": lambda: Written(
        lambda x: F.poisson_nll_loss(weft.exp(x), weft.asarray(SHARE), log_input=False, reduction="sum")
    ),
    "multi margin": lambda: elsewhere(
        F.multi_margin_loss, [np.array([0, 2, 1, 1])], p=2, margin=0.7, weight=weft.asarray(SHARE[0]), reduction="none"
    ),
}


@pytest.mark.parametrize("name", CRITERIA)
def test_losses_with_their_options(name, tmp_path):
    agree(CRITERIA[name](), [numbers(4, 3)], [numbers(4, 3) * 2], tmp_path / "m.onnx")


def whole(x):
    return (x * 4).astype(weft.int32)


def in_place(x):
    """Reads before, between and after writes."""
    y = weft.zeros((4, 3))
    before = y.sum()
    y[1:3, ::2] = x[1:3, ::2]
    view = y[2]
    view += 1.0
    between = y.clone()
    y[3, :] = 7.0
    y *= 2.0
    return before, between, y, view, x


X = np.array([[-2.5, -0.0, 3.5], [0.0, 1.5, -7.0], [2.0, 2.0, -1.0], [1e30, -1e30, 0.5]], np.float32)
Y = np.array([[2.0, 3.0, -2.0], [1.0, -1.5, 2.0], [-2.0, 0.7, -0.3], [1e30, 1e30, -0.5]], np.float32)
ARRAYS = {
    "trunc": weft.trunc,
    "isfinite": lambda x: weft.isfinite(x / 0.0),
    "logaddexp": lambda x: weft.logaddexp(x, weft.asarray(Y)),
    "logaddexp of infinities": lambda x: weft.logaddexp(x / 0.0, x / 0.0)[2:, :2],
    "hypot": lambda x: weft.hypot(x, weft.asarray(Y)),
    "atan2": lambda x: weft.atan2(x, weft.asarray(Y)),
    "atan2 on the axes": lambda x: weft.atan2(weft.asarray(Y), x * 0.0 + 0.0),
    "atan2 of infinities": lambda x: weft.atan2(x / 0.0, weft.asarray(Y) / 0.0),
    "sort with NaN": lambda x: weft.sort(x + 0.0 * (x / 0.0), axis=0),
    "remainder": lambda x: weft.remainder(x[:3], weft.asarray(Y[:3])),
    "remainder of integers": lambda x: weft.remainder(whole(x[:3]), 3),
    "remainder by infinity": lambda x: weft.remainder(x[:3], float("inf")),
    "sort": lambda x: weft.sort(x, axis=0),
    "argsort, descending": lambda x: weft.argsort(x, axis=0, descending=True),
    "argsort": lambda x: weft.argsort(x),
    "roll": lambda x: weft.roll(x, (1, -1), axis=(0, 1)),
    "roll, flat": lambda x: weft.roll(x, 5),
    "repeat": lambda x: weft.repeat(x, 2, axis=1),
    "repeat, flat": lambda x: weft.repeat(x, 3),
    "tensordot": lambda x: weft.tensordot(x[:3], weft.asarray(Y[:3]), axes=1),
    "tensordot of pairs": lambda x: weft.tensordot(x[:3], weft.asarray(Y[:3]), axes=([0], [1])),
    "vecdot": lambda x: weft.vecdot(x[:3], weft.asarray(Y[:3]), axis=0),
    "count_nonzero": lambda x: weft.count_nonzero(x, axis=1),
    "bitwise": lambda x: (whole(x[:3]) & 3) | (whole(x[:3]) ^ ~whole(x[:3] * 2)),
    "bitwise of bools": lambda x: ~(x > 0) ^ (x < 2),
    "shifts": lambda x: (whole(x[:3]) << 2) + (whole(x[:3]) >> 1),
    "signs": lambda x: weft.copysign(x, weft.asarray(Y)) * weft.signbit(x / 0.0).float(),
    "isin": lambda x: weft.isin(x, weft.asarray(Y)),
    "searchsorted": lambda x: weft.searchsorted(weft.asarray(np.sort(Y[:, 0])), x[0], side="right"),
    "cross": lambda x: weft.linalg.cross(x[:3], weft.asarray(Y[:3]), axis=0),
    "diagonal": lambda x: weft.linalg.diagonal(x, offset=-1),
    "det": lambda x: weft.linalg.det(x[:3]),
    "slogdet": lambda x: tuple(weft.linalg.slogdet(x[:3])),
    "lists": lambda x: x[:, [2, 0, 0]] + x[[0, 1, 2, 2]],
    "pairs of lists": lambda x: x[[0, -1, 2], [1, 0, 2]],
    "lists apart": lambda x: x[:, :, None][[0, 1], :, [0, 0]],
    "an index that was computed": lambda x: x[weft.argmax(x, axis=0)],
    "two indices that were computed": lambda x: x[weft.argmax(x, axis=0), weft.asarray([2, 0, 1])],
    "gather and scatter": lambda x: x.scatter_add(1, weft.asarray(np.array([[0, 2]] * 4)), x[:, :2]).gather(
        0, weft.asarray(np.array([[3, 0, 1]]))
    ),
    "scatter_reduce": lambda x: x[:3].scatter_reduce(0, weft.asarray(np.array([[0, 0, 1]])), x[3:], "amax"),
    "written in place": in_place,
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_functions_of_arrays(name, tmp_path):
    agree(Written(ARRAYS[name]), [X], [X], tmp_path / "m.onnx")


def test_sorted_axes_are_of_fixed_length(tmp_path):
    axes = {"input_0": {0: "batch", 1: "time"}}
    with pytest.raises(ExportError, match=r"`sort`.*needs axis -1 of fixed length, got 3 and 6"):
        export(Written(weft.sort), weft.asarray(X), tmp_path / "m.onnx", dynamic_axes=axes)


# Layers' options without a node, as the operations that they are made of
APART = {
    "places of maxima": (lambda: nn.MaxPool2d(2, return_indices=True), (2, 3, 6, 4)),
    "a divisor of its own": (lambda: nn.AvgPool2d(2, divisor_override=3), (2, 3, 6, 4)),
    "windows": (lambda: nn.Unfold(3, padding=1, stride=2), (2, 3, 6, 5)),
    "a finer picture, filtered": (
        lambda: Written(lambda x: F.interpolate(x, size=(4, 3), mode="bilinear", antialias=True)), (2, 3, 9, 7),
    ),
    "areas": (lambda: Written(lambda x: F.interpolate(x, size=(4, 3), mode="area")), (2, 3, 9, 7)),
    "a grid": (
        lambda: Written(lambda x: F.grid_sample(x, weft.tanh(x[:, :2].permute(0, 2, 3, 1)), align_corners=False)), (2, 3, 5, 4),
    ),
    "smoothed labels": (
        lambda: Written(lambda x: F.cross_entropy(x, weft.asarray([0, 2]), label_smoothing=0.1)), (2, 3),
    ),
    "sequences of several lengths": (
        lambda: Packed(nn.LSTM(3, 4, batch_first=True, bidirectional=True)), (3, 5, 3),
    ),
}  # fmt: skip


class Packed(nn.Module):
    """A recurrent layer on packed sequences."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        packed = rnn.pack_padded_sequence(x, [5, 4, 2], batch_first=True)
        return rnn.pad_packed_sequence(self.layer(packed)[0], batch_first=True)[0]


@pytest.mark.parametrize("name", APART)
def test_options_without_a_node(name, tmp_path):
    weft.manual_seed(0)
    make, shape = APART[name]
    agree(make(), [numbers(*shape)], [numbers(*shape) * 0.5], tmp_path / "m.onnx")


def test_targets_and_lengths_of_ctc_are_inputs(tmp_path):
    make, inputs, _ = LAYERS["CTCLoss"]
    x, targets, times, lengths = (in_float32(i) for i in inputs)
    then = [x * np.float32(0.5), np.roll(targets, 1, axis=0) % 2 + 1, times - 1, np.array([1, 2, 1])]
    agree(make(), [x, targets, times, lengths], then, tmp_path / "m.onnx")


def test_primitives_of_ones_own_are_taken_apart(tmp_path):
    before = dict(PRIMITIVES)

    @weft.primitive
    def cube(xp, x, /):
        return xp.exp(x) * x**3, (lambda g: g,)

    PRIMITIVES.clear()
    PRIMITIVES.update(before)
    agree(Written(cube), [numbers(4, 3)], [numbers(5, 3)], tmp_path / "m.onnx", BATCH)


SMALL = {"vocab_size": 20, "context": 16, "width": 16}
TEXT = {
    "gpt2": lambda: models.gpt2(layers=2, heads=2, **SMALL),
    "llama": lambda: models.llama(layers=2, heads=2, **SMALL),
    "lstm": lambda: models.lstm(vocab_size=20),
    "gru": lambda: models.gru(vocab_size=20),
}


def tokens(*shape):
    return np.random.default_rng(0).integers(1, 20, shape)


@pytest.mark.parametrize("name", TEXT)
def test_text_models_at_another_batch_and_length(name, tmp_path):
    axes = {"input_0": {0: "batch", 1: "time"}}
    agree(TEXT[name](), [tokens(2, 6)], [tokens(3, 9)], tmp_path / "m.onnx", axes)


def test_a_translator_has_two_lengths(tmp_path):
    model = models.transformer_translator(source_size=20, target_size=20, width=16)
    axes = {"input_0": {0: "batch", 1: "source"}, "input_1": {0: "batch", 1: "target"}}
    agree(model, [tokens(2, 6), tokens(2, 5)], [tokens(3, 7), tokens(3, 8)], tmp_path / "m.onnx", axes)


def test_weights_have_their_names_and_tied_ones_are_written_once(tmp_path):
    model = TEXT["gpt2"]()
    export(model, weft.asarray(tokens(1, 4)), tmp_path / "m.onnx")
    names = [x.name for x in onnx.load(tmp_path / "m.onnx").graph.initializer]
    state = model.state_dict(keep_vars=True)
    assert {id(x) for x in state.values()} == {id(state[n]) for n in names if n in state}
    assert len({id(state[n]) for n in names if n in state}) == sum(n in state for n in names)


def test_large_weights_lie_beside_the_file(tmp_path):
    agree(nn.Linear(64, 64), [numbers(2, 64)], [numbers(3, 64)], tmp_path / "m.onnx", BATCH, external_above=1000)
    assert sorted(x.name for x in tmp_path.iterdir()) == ["m.onnx", "m.onnx.data"]


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: nn.functional.dropout(x, 0.5), "`dropout` in module `0` is not covered"),
        (lambda x: x + weft.randn(3), "same in every run"),
        (lambda x: x * x.shape[0], "needs numbers that no dynamic axis changes, got .2. and then .4."),
        (lambda x: x + weft.tensor(np.random.default_rng(0).random((x.shape[0], 3))), "values of their own"),
    ],
)
def test_what_a_graph_would_not_do_is_refused(f, message, tmp_path):
    with pytest.raises(ExportError, match=message):
        export(nn.Sequential(Written(f)), weft.ones((2, 3)), tmp_path / "m.onnx", dynamic_axes=BATCH)
    assert not [*tmp_path.iterdir()]


def test_the_model_goes_on_in_its_mode(tmp_path):
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5))
    export(model, weft.ones((2, 3)), tmp_path / "m.onnx")
    assert model.training
    assert model[1].training
    assert [n.op_type for n in onnx.load(tmp_path / "m.onnx").graph.node] == ["Gemm"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"opset": 3}, ValueError, "`opset` must be from 24 to .*, got 3"),
        ({"dynamic_axes": {"x": [0]}}, ValueError, "must name inputs out of .*, got 'x'"),
        ({"dynamic_axes": {"input_0": [5]}}, ValueError, "with shape .2, 3., got 5"),
        ({"dynamic_axes": BATCH, "dynamic_shapes": [None]}, TypeError, "got both"),
        ({"dynamic_shapes": [None, None]}, ValueError, "an entry for each of 1 inputs, got 2"),
        ({"dynamic_shapes": [{0: 5}]}, ValueError, "a name, a Dim or None, got 5 for 'input_0'"),
        ({"input_names": ["a", "b"]}, ValueError, "`input_names` must be 1 different names"),
    ],
)
def test_wrong_options(options, error, message, tmp_path):
    with pytest.raises(error, match=message):
        export(nn.Linear(3, 3), weft.ones((2, 3)), tmp_path / "m.onnx", **options)


class Dim:
    """As torch.export has them."""

    def __init__(self, name):
        self.__name__ = name


@pytest.mark.parametrize(
    "shapes", [{"x": {0: Dim("batch")}}, [{0: "batch"}], ((Dim("batch"), None),), {"x": {0: Dim("batch"), 1: None}}]
)
def test_dynamic_shapes(shapes, tmp_path):
    export(nn.Linear(3, 2), weft.ones((2, 3)), tmp_path / "m.onnx", input_names=["x"], dynamic_shapes=shapes)
    (x,) = onnx.load(tmp_path / "m.onnx").graph.input
    assert [d.dim_param or d.dim_value for d in x.type.tensor_type.shape.dim] == ["batch", 3]


@pytest.mark.parametrize("reset_after", [True, False])
def test_gru_cells_reset_where_weft_does(reset_after, tmp_path):
    weft.manual_seed(0)
    layer = nn.GRU(3, 4, batch_first=True, reset_after=reset_after)
    agree(layer, [numbers(2, 5, 3)], [numbers(3, 7, 3)], tmp_path / "m.onnx", {"input_0": {0: "batch", 1: "time"}})


def test_nodes_have_the_names_of_their_modules(tmp_path):
    export(nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Tanh())), weft.ones((2, 3)), tmp_path / "m.onnx")
    assert [n.name for n in onnx.load(tmp_path / "m.onnx").graph.node] == ["0.Gemm", "1.0.Tanh"]
