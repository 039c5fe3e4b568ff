"""Every public name of PyTorch's `nn`, `optim` and what is in them is here, with its signature; exceptions have a reason.

`torch_names.json` has the names of PyTorch, as `torch_names.py` wrote them.
"""

import ast
import importlib
import inspect
import json
from pathlib import Path

import pytest
from torch_names import shown

DATA = json.loads(Path(__file__).with_name("torch_names.json").read_text(encoding="utf-8"))
NAMES = DATA["names"]
HERE = {
    "torch.nn": "weft.layers",
    "torch.nn.functional": "weft.layers.functional",
    "torch.nn.init": "weft.layers.init",
    "torch.nn.utils": "weft.layers.utils",
    "torch.nn.utils.parametrizations": "weft.layers.utils.parametrizations",
    "torch.nn.utils.parametrize": "weft.layers.utils.parametrize",
    "torch.nn.utils.rnn": "weft.layers.utils.rnn",
    "torch.nn.utils.stateless": "weft.layers.utils.stateless",
    "torch.optim": "weft.optimizers",
    "torch.optim.lr_scheduler": "weft.optimizers.schedulers",
    "torch.optim.swa_utils": "weft.optimizers.swa_utils",
}

DEPRECATED = "PyTorch's own name for what it has deprecated"
HALF_KERNELS = "a front of one cuBLAS call for scaled 8-bit or grouped products, without a gradient of its own"
MEMORY = "PyTorch's memory formats; order of memory follows the data here"
WITHOUT_UNDERSCORE = [
    *("constant", "dirac", "eye", "kaiming_normal", "kaiming_uniform", "normal", "orthogonal", "sparse"),
    *("uniform", "xavier_normal", "xavier_uniform"),
]
LEFT_OUT = {
    "torch.nn": {
        "Container": DEPRECATED,
        "CrossMapLRN2d": "PyTorch's own relic of Lua; LocalResponseNorm is the same",
        "DataParallel": "several devices in one process; data parallel here is a process each",
        "NLLLoss2d": DEPRECATED,
        "SyncBatchNorm": "statistics over several processes",
    },
    "torch.nn.functional": {
        "conv_tbc": "a layout of fairseq; conv1d is the same with axes moved",
        "grouped_mm": HALF_KERNELS,
        "scaled_grouped_mm": HALF_KERNELS,
        "scaled_mm": HALF_KERNELS,
        "native_channel_shuffle": "channel_shuffle, by the name of a backend",
    },
    "torch.nn.init": dict.fromkeys(WITHOUT_UNDERSCORE, DEPRECATED),
    "torch.nn.utils": {
        "clip_grad_norm": DEPRECATED,
        "convert_conv2d_weight_memory_format": MEMORY,
        "convert_conv3d_weight_memory_format": MEMORY,
        "remove_weight_norm": DEPRECATED,
        "remove_spectral_norm": DEPRECATED,
        "spectral_norm": DEPRECATED,
        "weight_norm": DEPRECATED,
    },
    "torch.optim": {"swap_in_optimizer_params_and_state": "PyTorch's tool for tracing a step functionally"},
}

# Names that are still to be built. The test wants exactly what is missing: a name that has come is taken out here.
NOT_YET: dict[str, str] = {
    "torch.nn": """
        AdaptiveAvgPool3d AdaptiveLogSoftmaxWithLoss AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d
        AlphaDropout AvgPool3d BatchNorm3d CTCLoss ChannelShuffle CircularPad1d CircularPad2d CircularPad3d
        ConstantPad1d ConstantPad2d ConstantPad3d Conv3d ConvTranspose3d CosineEmbeddingLoss CosineSimilarity
        Dropout3d EmbeddingBag FeatureAlphaDropout Fold FractionalMaxPool2d FractionalMaxPool3d GaussianNLLLoss
        Hardshrink InstanceNorm3d LPPool1d LPPool2d LPPool3d LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d
        LazyConv1d LazyConv2d LazyConv3d LazyConvTranspose1d LazyConvTranspose2d LazyConvTranspose3d
        LazyInstanceNorm1d LazyInstanceNorm2d LazyInstanceNorm3d LazyLinear LocalResponseNorm MarginRankingLoss
        MaxPool3d MaxUnpool1d MaxUnpool2d MaxUnpool3d MultiLabelMarginLoss MultiLabelSoftMarginLoss PairwiseDistance
        ParameterDict ParameterList PixelShuffle PixelUnshuffle PoissonNLLLoss RReLU ReflectionPad1d ReflectionPad2d
        ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d Softmax2d Softmin Softshrink Tanhshrink
        TripletMarginLoss TripletMarginWithDistanceLoss Unfold UninitializedBuffer UninitializedParameter Upsample
        UpsamplingBilinear2d UpsamplingNearest2d ZeroPad1d ZeroPad2d ZeroPad3d
    """,
    "torch.nn.functional": """
        adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool1d_with_indices adaptive_max_pool2d
        adaptive_max_pool2d_with_indices adaptive_max_pool3d adaptive_max_pool3d_with_indices affine_grid
        alpha_dropout avg_pool3d celu_ channel_shuffle conv3d conv_transpose3d cosine_embedding_loss ctc_loss
        dropout3d elu_ embedding_bag feature_alpha_dropout fold fractional_max_pool2d
        fractional_max_pool2d_with_indices fractional_max_pool3d fractional_max_pool3d_with_indices gaussian_nll_loss
        grid_sample gumbel_softmax hardshrink hardtanh_ interpolate leaky_relu_ local_response_norm lp_pool1d
        lp_pool2d lp_pool3d margin_ranking_loss max_pool1d_with_indices max_pool2d_with_indices max_pool3d
        max_pool3d_with_indices max_unpool1d max_unpool2d max_unpool3d multilabel_margin_loss
        multilabel_soft_margin_loss pairwise_distance pdist pixel_shuffle pixel_unshuffle poisson_nll_loss relu_ rrelu
        rrelu_ selu_ softmin softshrink tanhshrink threshold_ triplet_margin_loss triplet_margin_with_distance_loss
        unfold upsample upsample_bilinear upsample_nearest
    """,
    "torch.nn.utils": """
        clip_grad_norm_ clip_grad_value_ clip_grads_with_norm_ fuse_conv_bn_eval fuse_conv_bn_weights
        fuse_linear_bn_eval fuse_linear_bn_weights get_total_norm parameters_to_vector skip_init vector_to_parameters
    """,
    "torch.nn.utils.parametrizations": """
        orthogonal spectral_norm weight_norm
    """,
    "torch.nn.utils.parametrize": """
        ParametrizationList cached is_parametrized register_parametrization remove_parametrizations
        transfer_parametrizations_and_params type_before_parametrizations
    """,
    "torch.nn.utils.stateless": """
        functional_call
    """,
}

# (namespace, name): how the signature differs, and why
DIFFERENT = {
    ("torch.nn.functional", "normalize"): ({"out"}, "results are not written to given memory"),
    ("torch.nn", "Parameter"): (
        {"data"},
        "a parameter has a value: a Tensor without one is lazy, `UninitializedParameter`",
    ),
}


def space(name):
    try:
        return importlib.import_module(HERE[name])
    except ModuleNotFoundError:
        return None


def missing(name):
    return {n for n in NAMES[name] if not hasattr(space(name), n)}


@pytest.mark.parametrize("name", HERE)
def test_what_is_missing_is_said(name):
    assert missing(name) - LEFT_OUT.get(name, {}).keys() == set(NOT_YET.get(name, "").split())


def test_tables_name_what_pytorch_has():
    for table in (LEFT_OUT, NOT_YET):
        for name, names in table.items():
            listed = names.split() if isinstance(names, str) else names
            assert set(listed) <= NAMES[name].keys(), name
    assert all(name in NAMES[module] for module, name in DIFFERENT)
    assert HERE.keys() == NAMES.keys()


def test_nothing_is_left_out_that_is_there():
    assert {n: sorted(names.keys() - missing(n)) for n, names in LEFT_OUT.items() if names.keys() - missing(n)} == {}


def value(text):
    """A default, so that 0 and 0.0 are one."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text.rpartition(".")[2]


def signature(rows, without=()):
    return [
        (n, kind, None if d is None else (value(d),)) for n, kind, d in rows if n not in {"device", "dtype", *without}
    ]


def ours(function):
    rows = inspect.signature(function).parameters.values()
    return [(p.name, p.kind.name, None if p.default is p.empty else shown(p.default)) for p in rows]


COMPARED = [
    (s, n) for s, names in NAMES.items() for n, rows in names.items() if rows is not None and hasattr(space(s), n)
]


@pytest.mark.parametrize(("module", "name"), COMPARED, ids=".".join)
def test_signature(module, name):
    """PyTorch's parameters, in order, of the same kinds and defaults; more of ours follow, by keyword alone."""
    without, _ = DIFFERENT.get((module, name), ((), ""))
    theirs = signature(NAMES[module][name], without)
    found = signature(ours(getattr(space(module), name)), without)
    assert found[: len(theirs)] == theirs
    assert all(kind in ("KEYWORD_ONLY", "VAR_KEYWORD") for _, kind, _ in found[len(theirs) :])
