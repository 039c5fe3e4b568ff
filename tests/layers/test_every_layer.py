"""What holds for every public layer, by a table that must name them all: on every device the same numbers, gradients
equal to finite differences, a state_dict that restores the layer, copies that stand alone.

What a layer computes is tested in the module of its family.
"""

import copy
import functools
import warnings

import harness  # registers the device "strict"
import numpy as np
import pytest

import weft
from weft import layers as nn

LABELS, SIGNS, LOGITS = np.array([0, 2, 1]), np.array([[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]]), (3, 4)
UNIT = np.array([[0.2, 0.7], [0.9, 0.4], [0.5, 0.1]])


class Attending(nn.MultiheadAttention):
    """Attention to itself, of one Tensor that gives one."""

    def forward(self, x):
        return super().forward(x, x, x)[0]


class Aligning(nn.CTCLoss):
    """Of logits, so that its gradient is the derivative."""

    def forward(self, logits, *args):
        return super().forward(nn.functional.log_softmax(logits, 2), *args)


def silently(make):
    """What makes a layer of a deprecated name without its warning."""

    def quiet():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make()

    return quiet


SIZED = {"dim_feedforward": 6, "dropout": 0.1, "batch_first": True}  # what Transformers have in common

# name: (constructor, inputs: a shape means normal random numbers, output's shape)
LAYERS = {
    # --- maps
    "Linear": (lambda: nn.Linear(3, 4), [(5, 3)], (5, 4)),
    "Bilinear": (lambda: nn.Bilinear(3, 4, 2), [(5, 3), (5, 4)], (5, 2)),
    "DropConnect": (lambda: nn.DropConnect(3, 4).eval(), [(5, 3)], (5, 4)),
    "Embedding": (lambda: nn.Embedding(6, 3), [np.array([[0, 5], [5, 2]])], (2, 2, 3)),
    "EmbeddingBag": (lambda: nn.EmbeddingBag(6, 3), [np.array([[0, 5], [5, 2]])], (2, 3)),
    "Conv1d": (lambda: nn.Conv1d(2, 4, 3, stride=2), [(2, 2, 9)], (2, 4, 4)),
    "Conv2d": (lambda: nn.Conv2d(2, 4, 3, padding=1, groups=2), [(2, 2, 5, 4)], (2, 4, 5, 4)),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(4, 2, 2, stride=2), [(2, 4, 5)], (2, 2, 10)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 2, 3, stride=2, output_padding=1), [(1, 4, 3, 2)], (1, 2, 8, 6)),
    "Conv3d": (lambda: nn.Conv3d(2, 3, (2, 3, 1), padding=(1, 1, 0)), [(1, 2, 3, 4, 2)], (1, 3, 4, 4, 2)),
    "ConvTranspose3d": (lambda: nn.ConvTranspose3d(2, 2, 2, stride=(1, 2, 1)), [(1, 2, 2, 2, 2)], (1, 2, 3, 4, 3)),
    # --- recurrent
    "RNN": (lambda: nn.RNN(3, 4, 2), [(5, 2, 3)], (5, 2, 4)),
    "LSTM": (lambda: nn.LSTM(3, 4, bidirectional=True), [(5, 2, 3)], (5, 2, 8)),
    "GRU": (lambda: nn.GRU(3, 4, batch_first=True), [(2, 5, 3)], (2, 5, 4)),
    "RNNCell": (lambda: nn.RNNCell(3, 4), [(5, 3)], (5, 4)),
    "LSTMCell": (lambda: nn.LSTMCell(3, 4), [(5, 3)], (5, 4)),
    "GRUCell": (lambda: nn.GRUCell(3, 4), [(5, 3)], (5, 4)),
    # --- pooling
    "MaxPool1d": (lambda: nn.MaxPool1d(3, 2), [(2, 2, 9)], (2, 2, 4)),
    "MaxPool2d": (lambda: nn.MaxPool2d(2, ceil_mode=True), [(2, 2, 5, 4)], (2, 2, 3, 2)),
    "AvgPool1d": (lambda: nn.AvgPool1d(3, 2, 1), [(2, 2, 9)], (2, 2, 5)),
    "AvgPool2d": (lambda: nn.AvgPool2d((2, 3)), [(2, 2, 5, 6)], (2, 2, 2, 2)),
    "AdaptiveAvgPool1d": (lambda: nn.AdaptiveAvgPool1d(4), [(2, 2, 9)], (2, 2, 4)),
    "AdaptiveAvgPool2d": (lambda: nn.AdaptiveAvgPool2d((2, None)), [(2, 2, 5, 4)], (2, 2, 2, 4)),
    "MaxPool3d": (lambda: nn.MaxPool3d(2, (1, 2, 2)), [(1, 2, 3, 4, 4)], (1, 2, 2, 2, 2)),
    "AvgPool3d": (lambda: nn.AvgPool3d((2, 3, 2), 1, (1, 0, 1)), [(1, 2, 2, 4, 3)], (1, 2, 3, 2, 4)),
    "AdaptiveAvgPool3d": (lambda: nn.AdaptiveAvgPool3d((2, None, 1)), [(1, 2, 3, 2, 4)], (1, 2, 2, 2, 1)),
    "AdaptiveMaxPool1d": (lambda: nn.AdaptiveMaxPool1d(4), [(2, 2, 9)], (2, 2, 4)),
    "AdaptiveMaxPool2d": (lambda: nn.AdaptiveMaxPool2d((2, None)), [(2, 2, 5, 4)], (2, 2, 2, 4)),
    "AdaptiveMaxPool3d": (lambda: nn.AdaptiveMaxPool3d((2, 1, 2)), [(1, 2, 3, 2, 4)], (1, 2, 2, 1, 2)),
    "FractionalMaxPool2d": (
        lambda: nn.FractionalMaxPool2d(2, 3, _random_samples=weft.tensor([[[0.3, 0.9], [0.7, 0.1]]])),
        [(1, 2, 7, 6)], (1, 2, 3, 3),
    ),
    "FractionalMaxPool3d": (
        lambda: nn.FractionalMaxPool3d(2, (1, 2, 2), _random_samples=weft.tensor([[[0.3, 0.9, 0.5]]])),
        [(1, 1, 3, 5, 4)], (1, 1, 1, 2, 2),
    ),
    "LPPool1d": (lambda: nn.LPPool1d(2, 3, 2), [(2, 2, 9)], (2, 2, 4)),
    "LPPool2d": (lambda: nn.LPPool2d(4, 2, ceil_mode=True), [(2, 2, 5, 4)], (2, 2, 3, 2)),
    "LPPool3d": (lambda: nn.LPPool3d(2, 2), [(1, 2, 4, 4, 2)], (1, 2, 2, 2, 1)),
    "MaxUnpool1d": (lambda: nn.MaxUnpool1d(2), [(1, 2, 3), np.array([[[0, 3, 5], [1, 2, 4]]])], (1, 2, 6)),
    "MaxUnpool2d": (lambda: nn.MaxUnpool2d((1, 2)), [(1, 1, 2, 2), np.array([[[[0, 3], [5, 6]]]])], (1, 1, 2, 4)),
    "MaxUnpool3d": (lambda: nn.MaxUnpool3d(2), [(1, 1, 1, 1, 2), np.array([[[[[1, 15]]]]])], (1, 1, 2, 2, 4)),
    # --- padding
    **{
        f"{kind}Pad{n}d": (
            functools.partial(getattr(nn, f"{kind}Pad{n}d"), 1, *([0.5] if kind == "Constant" else [])),
            [(1, 2, 3, 2, 3)[: n + 2]], (1, 2, 5, 4, 5)[: n + 2],
        )
        for kind in ("Circular", "Constant", "Reflection", "Replication", "Zero") for n in (1, 2, 3)
    },
    # --- normalisation
    "BatchNorm1d": (lambda: nn.BatchNorm1d(3), [(5, 3)], (5, 3)),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(3), [(2, 3, 4, 2)], (2, 3, 4, 2)),
    "InstanceNorm1d": (lambda: nn.InstanceNorm1d(3, affine=True), [(2, 3, 5)], (2, 3, 5)),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(3, track_running_stats=True), [(2, 3, 4, 2)], (2, 3, 4, 2)),
    "BatchNorm3d": (lambda: nn.BatchNorm3d(3), [(2, 3, 2, 2, 2)], (2, 3, 2, 2, 2)),
    "SyncBatchNorm": (lambda: nn.SyncBatchNorm(3), [(2, 3, 4)], (2, 3, 4)),
    "InstanceNorm3d": (lambda: nn.InstanceNorm3d(3), [(2, 3, 2, 2, 3)], (2, 3, 2, 2, 3)),
    "LocalResponseNorm": (lambda: nn.LocalResponseNorm(3, 2.0), [(2, 4, 3)], (2, 4, 3)),
    "CrossMapLRN2d": (lambda: nn.CrossMapLRN2d(3, 2.0), [(2, 4, 3, 2)], (2, 4, 3, 2)),
    "LayerNorm": (lambda: nn.LayerNorm((3, 2)), [(4, 3, 2)], (4, 3, 2)),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), [(2, 4, 3)], (2, 4, 3)),
    "RMSNorm": (lambda: nn.RMSNorm(3), [(4, 3)], (4, 3)),
    # --- at random, here in evaluation; their own module has the masks
    "Dropout": (lambda: nn.Dropout().eval(), [(4, 3)], (4, 3)),
    "Dropout1d": (lambda: nn.Dropout1d().eval(), [(4, 3, 2)], (4, 3, 2)),
    "Dropout2d": (lambda: nn.Dropout2d().eval(), [(4, 3, 2, 2)], (4, 3, 2, 2)),
    "AlphaDropout": (lambda: nn.AlphaDropout().eval(), [(4, 3)], (4, 3)),
    "FeatureAlphaDropout": (lambda: nn.FeatureAlphaDropout().eval(), [(4, 3, 2)], (4, 3, 2)),
    "Dropout3d": (lambda: nn.Dropout3d().eval(), [(2, 3, 2, 2, 2)], (2, 3, 2, 2, 2)),
    "StochasticDepth": (lambda: nn.StochasticDepth(0.5).eval(), [(4, 3)], (4, 3)),
    "RReLU": (lambda: nn.RReLU().eval(), [(4, 3)], (4, 3)),
    # --- activations; those of the harness's rows come below
    "GELU": (nn.GELU, [(5, 4)], (5, 4)),  # of small numbers: its float16 is in the harness's KNOWN
    "Identity": (nn.Identity, [(5, 4)], (5, 4)),
    "PReLU": (nn.PReLU, [(5, 4)], (5, 4)),
    "Softmin": (lambda: nn.Softmin(-1), [(5, 4)], (5, 4)),
    "Softmax2d": (nn.Softmax2d, [(2, 3, 4, 2)], (2, 3, 4, 2)),
    "Swish": (nn.Swish, [(5, 4)], (5, 4)),
    "SwiGLU": (nn.SwiGLU, [(5, 4)], (5, 2)),
    "Tanh": (nn.Tanh, [(5, 4)], (5, 4)),
    # --- containers
    "Sequential": (lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh()), [(5, 3)], (5, 4)),
    "Residual": (lambda: nn.Residual(nn.Linear(3, 3), nn.Linear(3, 3)), [(5, 3)], (5, 3)),
    "Flatten": (nn.Flatten, [(2, 3, 4)], (2, 12)),
    "Unflatten": (lambda: nn.Unflatten(1, (2, 3)), [(4, 6)], (4, 2, 3)),
    # --- channels and space
    "PixelShuffle": (lambda: nn.PixelShuffle(2), [(1, 8, 3, 2)], (1, 2, 6, 4)),
    "PixelUnshuffle": (lambda: nn.PixelUnshuffle(2), [(1, 2, 6, 4)], (1, 8, 3, 2)),
    "ChannelShuffle": (lambda: nn.ChannelShuffle(2), [(2, 6, 3)], (2, 6, 3)),
    "Upsample": (lambda: nn.Upsample(scale_factor=1.5, mode="bicubic"), [(1, 2, 4, 3)], (1, 2, 6, 4)),
    "UpsamplingNearest2d": (lambda: nn.UpsamplingNearest2d((5, 2)), [(1, 2, 4, 3)], (1, 2, 5, 2)),
    "UpsamplingBilinear2d": (lambda: nn.UpsamplingBilinear2d((5, 2)), [(1, 2, 4, 3)], (1, 2, 5, 2)),
    "Unfold": (lambda: nn.Unfold(2, padding=1, stride=2), [(2, 2, 4, 3)], (2, 8, 6)),
    "Fold": (lambda: nn.Fold((4, 3), 2, padding=1, stride=2), [(2, 8, 6)], (2, 2, 4, 3)),
    # --- attention
    "MultiheadAttention": (lambda: Attending(4, 2, 0.1, add_bias_kv=True, batch_first=True).eval(), [(3, 5, 4)], (3, 5, 4)),
    # (few heads: the emulator takes its time for each)
    "TransformerEncoderLayer": (lambda: nn.TransformerEncoderLayer(4, 2, **SIZED).eval(), [(1, 5, 4)], (1, 5, 4)),
    "TransformerDecoderLayer": (
        lambda: nn.TransformerDecoderLayer(4, 1, norm_first=True, **SIZED).eval(), [(1, 5, 4), (1, 2, 4)], (1, 5, 4),
    ),
    "TransformerEncoder": (
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 1, activation="gelu", **SIZED), 2).eval(),
        [(1, 5, 4)], (1, 5, 4),
    ),
    "TransformerDecoder": (
        lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(4, 1, **SIZED), 1, nn.LayerNorm(4)).eval(),
        [(1, 5, 4), (1, 2, 4)], (1, 5, 4),
    ),
    "Transformer": (lambda: nn.Transformer(4, 1, 1, 1, **SIZED).eval(), [(1, 5, 4), (1, 2, 4)], (1, 2, 4)),
    "SwiGLUBlock": (lambda: nn.SwiGLUBlock(4, 6, 3, bias=True), [(3, 5, 4)], (3, 5, 3)),
    "SinusoidalPositionalEncoding": (lambda: nn.SinusoidalPositionalEncoding(4), [(5, 3, 4)], (5, 3, 4)),
    "LearnedPositionalEncoding": (lambda: nn.LearnedPositionalEncoding(6, 4), [(5, 3, 4)], (5, 3, 4)),
    "RotaryEmbedding": (lambda: nn.RotaryEmbedding(4), [(3, 2, 5, 6)], (3, 2, 5, 6)),
    # --- of two inputs
    "CosineSimilarity": (nn.CosineSimilarity, [(5, 4), (5, 4)], (5,)),
    "PairwiseDistance": (lambda: nn.PairwiseDistance(3.0), [(5, 4), (5, 4)], (5,)),
    # --- losses
    **{
        name: (getattr(nn, name), [(3, 2), SIGNS], ())
        for name in [
            "MSELoss", "L1Loss", "HuberLoss", "SmoothL1Loss", "HingeEmbeddingLoss", "SoftMarginLoss", "HingeLoss",
        ]
    },
    "BCELoss": (nn.BCELoss, [UNIT, UNIT[::-1].copy()], ()),
    "BCEWithLogitsLoss": (lambda: nn.BCEWithLogitsLoss(pos_weight=weft.tensor([2.0, 3.0])), [(3, 2), UNIT], ()),
    "CrossEntropyLoss": (lambda: nn.CrossEntropyLoss(weft.ones(4)), [LOGITS, LABELS], ()),
    "LinearCrossEntropyLoss": (lambda: nn.LinearCrossEntropyLoss(4, 5, bias=True), [LOGITS, LABELS], ()),
    "AdaptiveLogSoftmaxWithLoss": (lambda: nn.AdaptiveLogSoftmaxWithLoss(4, 5, [1, 2]), [LOGITS, LABELS], (3,)),
    "NLLLoss": (nn.NLLLoss, [LOGITS, LABELS], ()),
    "KLDivLoss": (lambda: nn.KLDivLoss(reduction="batchmean"), [(3, 2), UNIT], ()),
    "MultiMarginLoss": (nn.MultiMarginLoss, [LOGITS, LABELS], ()),
    "MarginRankingLoss": (lambda: nn.MarginRankingLoss(0.3), [(3, 2), (3, 2), SIGNS], ()),
    "CosineEmbeddingLoss": (lambda: nn.CosineEmbeddingLoss(-0.9), [(3, 2), (3, 2), SIGNS[:, 0].copy()], ()),
    "TripletMarginLoss": (lambda: nn.TripletMarginLoss(3.0), [(3, 2)] * 3, ()),
    "TripletMarginWithDistanceLoss": (lambda: nn.TripletMarginWithDistanceLoss(margin=3.0, swap=True), [(3, 2)] * 3, ()),
    "GaussianNLLLoss": (lambda: nn.GaussianNLLLoss(full=True), [(3, 2), (3, 2), UNIT], ()),
    "PoissonNLLLoss": (lambda: nn.PoissonNLLLoss(full=True), [(3, 2), 3 * UNIT], ()),
    "MultiLabelMarginLoss": (nn.MultiLabelMarginLoss, [LOGITS, np.array([[0, -1, 1, 2], [2, 1, -1, 0], [3, 0, 1, -1]])], ()),
    "MultiLabelSoftMarginLoss": (nn.MultiLabelSoftMarginLoss, [(3, 2), np.round(UNIT)], ()),
    "CTCLoss": (Aligning, [(4, 3, 3), np.array([[1, 2], [1, 1], [2, 0]]), np.array([4, 3, 3]), np.array([2, 2, 1])], ()),
    "NLLLoss2d": (silently(nn.NLLLoss2d), [LOGITS, LABELS], ()),
}  # fmt: skip
for name, (case, *_) in harness.public("layer").items():
    (output,) = case.expected("float64")
    LAYERS.setdefault(name, (functools.partial(case.layer, **case.face), list(case.args), np.shape(output)))
WITHOUT_FORWARD = {
    "Container",
    "LazyModuleMixin",
    "Module",
    "ModuleDict",
    "ModuleList",
    "ParameterDict",
    "ParameterList",
    "RNNBase",
    "RNNCellBase",
}
TESTED_ELSEWHERE = {
    "Buffer",
    "Parameter",
    "UninitializedBuffer",
    "UninitializedParameter",
    *(name for name in nn.__all__ if name.startswith("Lazy") and name != "LazyModuleMixin"),  # test_lazy.py
    "KeyValueCache",
    "LayerCache",
    "Perceptron",
    "LayerSummary",
    "StateCache",
    "LinearCrossEntropyOptions",
    "Summary",
    "summary",
    "functional",
    "init",
    "models",
    "utils",
}

each = pytest.mark.parametrize("name", LAYERS)


def test_the_table_names_every_layer():
    assert set(nn.__all__) == LAYERS.keys() | WITHOUT_FORWARD | TESTED_ELSEWHERE
    assert len(nn.__all__) == len(set(nn.__all__))


def arrays(name):
    rng = np.random.default_rng(1)
    return [rng.standard_normal(a) if isinstance(a, tuple) else a for a in LAYERS[name][1]]


def make(name, device="cpu"):
    weft.manual_seed(2)
    return LAYERS[name][0]().double().to(device)


def first(y):
    """The output, of a layer that returns states beside it."""
    return y[0] if isinstance(y, tuple) else y


def run(layer, inputs, device="cpu", *, grad=False):
    """The weighted sum of the output, its gradients, and the output."""
    tensors = [weft.asarray(a, device=device) for a in inputs]
    if grad and tensors[0].dtype == weft.float64:
        tensors[0].requires_grad_()
    y = first(layer(*tensors))
    weights = np.random.default_rng(3).standard_normal(y.shape)
    loss = (y * weft.asarray(weights, device=device)).sum()
    if grad and loss.requires_grad:
        layer.zero_grad()
        loss.backward()
    leaves = [t for t in [tensors[0], *layer.parameters()] if t.requires_grad]
    return loss.item(), [t.grad.cpu().numpy() for t in leaves if t.grad is not None], y


@each
def test_output(name):
    _, _, y = run(make(name), arrays(name))
    assert y.shape == LAYERS[name][2]
    assert y.dtype == weft.float64


@each
def test_summary(name):
    """It runs, names every parameter once, and has the layer's output and the products in it."""
    layer, inputs = make(name), arrays(name)
    shapes = [a.shape if name == "CTCLoss" else a.shape[1:] for a in inputs]
    report = nn.summary(layer, shapes, dtype=[weft.int64 if a.dtype.kind == "i" else None for a in inputs])
    assert (
        sum(row.parameters for row in report.layers)
        == report.total_parameters
        == sum(p.size for p in layer.parameters())
    )
    rows = [row for row in report.layers if not row.name]
    if rows and len(inputs) == 1:
        assert rows[-1].output_shape == LAYERS[name][2][1:]
    products = nn.Linear | nn.Bilinear | nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.RNNBase | nn.RNNCellBase
    assert report.mult_adds > 0 or not any(isinstance(module, products) for module in layer.modules())


@each
def test_gradients_are_finite_differences(name):
    """Of the loss along one random direction of the first input and all parameters."""
    layer, inputs = make(name), arrays(name)
    _, gradients, _ = run(layer, inputs, grad=True)
    rng = np.random.default_rng(4)
    moved = ([inputs[0]] if inputs[0].dtype == float else []) + [p.data for p in layer.parameters()]
    directions = [rng.standard_normal(a.shape) for a in moved]
    assert len(gradients) == len(moved)

    def at(step):
        for a, d in zip(moved, directions):
            a += step * d
        value = run(layer, inputs)[0]
        for a, d in zip(moved, directions):
            a -= step * d
        return value

    expected = (at(1e-6) - at(-1e-6)) / 2e-6
    assert sum((g * d).sum() for g, d in zip(gradients, directions)) == pytest.approx(expected, rel=1e-6, abs=1e-7)


@each
def test_any_array_library_gives_the_same(name):
    here, there = (run(make(name, device), arrays(name), device, grad=True) for device in ("cpu", "strict"))
    assert there[2].device == "strict"
    assert there[0] == pytest.approx(here[0], rel=1e-12, abs=1e-12)
    for a, b in zip(here[1], there[1]):
        np.testing.assert_allclose(b, a, rtol=1e-10, atol=1e-12)


@each
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_stays(name, dtype, accelerator):
    """Outputs and gradients have the dtype, on a CPU and with kernels, and are those of float64 but for some roundings."""
    inputs = [np.asarray(a).astype(dtype).astype(float) if np.asarray(a).dtype == float else a for a in arrays(name)]
    reference = make(name)
    for p in reference.parameters():
        p.data[...] = p.data.astype(dtype)
    expected = run(reference, inputs)[2].detach().numpy()
    for device in ("cpu", accelerator):
        layer = make(name).to(getattr(weft, dtype)).to(device)
        tensors = [weft.asarray(a, device=device) for a in inputs]
        tensors = [t.to(getattr(weft, dtype)) if t.dtype == weft.float64 else t for t in tensors]
        if inputs[0].dtype == float:
            tensors[0].requires_grad_()
        y = first(layer(*tensors))
        assert str(y.dtype) == dtype
        scale = max(1.0, np.abs(expected).max())
        got = y.detach().cpu().numpy().astype(float)
        np.testing.assert_allclose(got, expected, rtol=0, atol=scale * (2e-3 if dtype == "float16" else 2e-2))
        if y.requires_grad:
            y.sum().backward()
        grads = [t.grad for t in (tensors[0], *layer.parameters()) if t.requires_grad and t.grad is not None]
        assert {str(g.dtype) for g in grads} <= {dtype}


@each
def test_state_dict_restores(name):
    layer, inputs = make(name), arrays(name)
    run(layer, inputs)  # running statistics move
    other = make(name)
    for p in other.parameters():
        nn.init.normal_(p)
    other.load_state_dict(layer.state_dict())
    assert run(other, inputs)[0] == run(layer, inputs)[0]


@each
def test_copies_stand_alone(name):
    layer, inputs = make(name), arrays(name)
    other = copy.deepcopy(layer)
    before = run(other, inputs)[0]
    for p in layer.parameters():
        nn.init.constant_(p, 0.1)
    other = copy.deepcopy(other)
    assert run(other.train(layer.training), inputs)[0] == pytest.approx(before, rel=1e-12)


@each
def test_says_what_it_is(name):
    layer = make(name)
    assert repr(layer).startswith(type(layer).__name__ + "(")
    assert type(layer).__doc__


SIZES = {
    "Linear": (2, 3), "Bilinear": (2, 3, 4), "DropConnect": (2, 3), "Embedding": (2, 3), "EmbeddingBag": (2, 3), "Perceptron": (2,),
    "PReLU": (3,), "Conv1d": (2, 4, 3), "Conv2d": (2, 4, 3), "ConvTranspose1d": (2, 4, 3), "ConvTranspose2d": (2, 4, 3),
    "Conv3d": (2, 4, 3), "ConvTranspose3d": (2, 4, 3), "BatchNorm1d": (3,), "BatchNorm2d": (3,), "BatchNorm3d": (3,),
    "InstanceNorm1d": (3,), "InstanceNorm2d": (3,), "InstanceNorm3d": (3,), "SyncBatchNorm": (3,), "LayerNorm": (3,),
    "GroupNorm": (2, 4), "RMSNorm": (3,), "RNN": (2, 3), "LSTM": (2, 3), "GRU": (2, 3), "RNNCell": (2, 3), "LSTMCell": (2, 3),
    "GRUCell": (2, 3), "MultiheadAttention": (4, 2), "TransformerEncoderLayer": (4, 2, 3),
    "TransformerDecoderLayer": (4, 2, 3), "Transformer": (4, 2, 1, 1, 3), "SwiGLUBlock": (3, 4),
    "LearnedPositionalEncoding": (3, 4), "AdaptiveLogSoftmaxWithLoss": (8, 5, [2]),
}  # fmt: skip


@pytest.mark.parametrize(("name", "sizes"), SIZES.items())
def test_device_and_dtype_are_keywords(name, sizes):
    layer = getattr(nn, name)(*sizes, device="strict", dtype=weft.float64)
    tensors = [*layer.parameters(), *layer.buffers()]
    assert {t.device for t in tensors} <= {"strict"}
    assert {str(t.dtype) for t in tensors} <= {"float64", "int64"}
    with weft.device("strict"):
        assert all(p.device == "strict" for p in getattr(nn, name)(*sizes).parameters())
