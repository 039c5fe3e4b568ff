"""Writes `docs/catalogue.md`: each concept with its name, formula, source and test. `python tests/catalogue.py`.

The concepts stand in the table below. Formula, source and test are looked up: the formula in the docstring (where it has
none, what it says first), the test the one that mirrors the source, if it knows the name, or else the one that speaks of it most.
"""

import functools
import importlib
import inspect
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch_departures import LEFT_OUT

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
PAGE = ROOT / "docs" / "catalogue.md"

# Section → rows of (concept, names; none where it is still to be built). A name begins at weft, in the short forms of SHORT.
CONCEPTS: dict[str, list[tuple[str, str]]] = {
    "Neurons and layers": [
        ("perceptron and its learning rule", "nn.Perceptron"),
        ("dense layer", "nn.Linear"),
        ("multi-layer perceptron", "nn.Sequential nn.models.mlp"),
        ("convolution: cross-correlation with stride, padding, dilation, groups", "nn.Conv1d nn.Conv2d"),
        ("transposed convolution", "nn.ConvTranspose1d nn.ConvTranspose2d"),
        ("pooling", "nn.MaxPool1d nn.MaxPool2d nn.AvgPool1d nn.AvgPool2d nn.AdaptiveAvgPool2d"),
        ("flattening", "nn.Flatten"),
        ("residual connection", "nn.Residual"),
        ("batch normalisation", "nn.BatchNorm1d nn.BatchNorm2d"),
        ("layer, group, instance and RMS normalisation", "nn.LayerNorm nn.GroupNorm nn.InstanceNorm2d nn.RMSNorm"),
        ("embedding", "nn.Embedding"),
        ("recurrent networks", "nn.RNN nn.LSTM nn.GRU nn.RNNCell nn.LSTMCell nn.GRUCell"),
        ("sequences of several lengths", "nn.utils.rnn.pack_padded_sequence nn.utils.rnn.pad_packed_sequence"),
        ("scaled dot-product attention", "F.scaled_dot_product_attention"),
        ("multi-head attention", "nn.MultiheadAttention"),
        ("positional encodings", "nn.SinusoidalPositionalEncoding nn.LearnedPositionalEncoding nn.RotaryEmbedding"),
        ("encoder and decoder layers", "nn.TransformerEncoderLayer nn.TransformerDecoderLayer"),
        ("transformer", "nn.TransformerEncoder nn.TransformerDecoder nn.Transformer"),
        ("dropout", "nn.Dropout nn.Dropout1d nn.Dropout2d nn.DropConnect nn.StochasticDepth"),
    ],
    "Activations": [
        ("step", "nn.Heaviside"),
        ("identity", "nn.Identity"),
        ("sigmoid and its relatives", "nn.Sigmoid nn.Hardsigmoid nn.LogSigmoid"),
        ("tanh and its relatives", "nn.Tanh nn.Hardtanh nn.Softsign"),
        ("rectifiers", "nn.ReLU nn.LeakyReLU nn.PReLU nn.ReLU6 nn.Softplus"),
        ("exponential units", "nn.ELU nn.SELU nn.CELU"),
        ("smooth gates", "nn.SiLU nn.GELU nn.Mish nn.Hardswish"),
        ("softmax", "nn.Softmax nn.LogSoftmax"),
        ("gated linear units", "nn.GLU nn.SwiGLU"),
    ],
    "Losses": [
        ("squared and absolute error", "nn.MSELoss nn.L1Loss nn.HuberLoss nn.SmoothL1Loss"),
        ("binary cross-entropy, logistic regression", "nn.BCELoss nn.BCEWithLogitsLoss"),
        ("cross-entropy, softmax regression, label smoothing", "nn.CrossEntropyLoss nn.NLLLoss"),
        ("Kullback–Leibler divergence", "nn.KLDivLoss"),
        ("margins", "nn.HingeLoss nn.HingeEmbeddingLoss nn.MultiMarginLoss nn.SoftMarginLoss"),
    ],
    "Initialisation": [
        ("constants", "nn.init.zeros_ nn.init.ones_ nn.init.constant_ nn.init.eye_ nn.init.dirac_"),
        ("simple distributions", "nn.init.uniform_ nn.init.normal_ nn.init.trunc_normal_ nn.init.sparse_"),
        ("Xavier (Glorot)", "nn.init.xavier_uniform_ nn.init.xavier_normal_"),
        ("Kaiming (He)", "nn.init.kaiming_uniform_ nn.init.kaiming_normal_"),
        ("LeCun", "nn.init.lecun_normal_"),
        ("orthogonal", "nn.init.orthogonal_"),
    ],
    "Optimizers": [
        ("gradient descent, momentum, Nesterov", "optim.SGD"),
        ("batches: whole, one by one, small", "data.DataLoader"),
        ("step sizes from squared gradients", "optim.Adagrad optim.RMSprop optim.Adadelta optim.Adafactor"),
        ("Adam and its relatives", "optim.Adam optim.AdamW optim.NAdam optim.RAdam optim.Adamax optim.SparseAdam"),
        ("AdaBound, Lion, Muon", "optim.AdaBound optim.Lion optim.Muon"),
        ("averaged gradient descent", "optim.ASGD"),
        ("signs of gradients", "optim.Rprop"),
        ("quasi-Newton, line search", "optim.LBFGS"),
        ("averages of weights", "optim.EMA optim.swa_utils.AveragedModel optim.swa_utils.update_bn"),
        ("options by group; no decay of biases and gains", "optim.Optimizer optim.decay_groups"),
        ("freezing; groups by name, rates by layer", "optim.freeze optim.parameter_groups"),
        ("learning-rate finder", "optim.lr_find training.plot_lr_find"),
    ],
    "Schedules": [
        ("steps", "schedulers.StepLR schedulers.MultiStepLR schedulers.ConstantLR"),
        ("curves", "schedulers.ExponentialLR schedulers.PolynomialLR schedulers.LinearLR schedulers.InverseTimeLR"),
        ("cosines", "schedulers.CosineAnnealingLR schedulers.CosineAnnealingWarmRestarts schedulers.WarmupCosineLR"),
        ("cycles", "schedulers.OneCycleLR schedulers.CyclicLR"),
        ("Noam", "schedulers.NoamLR"),
        ("on a plateau", "schedulers.ReduceLROnPlateau"),
        ("own functions", "schedulers.LambdaLR schedulers.MultiplicativeLR"),
        ("schedules of schedules", "schedulers.SequentialLR schedulers.ChainedScheduler"),
        ("to a constant for averaging", "optim.swa_utils.SWALR"),
    ],
    "Gradients under control": [
        ("clipping by norm", "optim.clip_grad_norm_ optim.clip_grad_norm_per_layer_"),
        ("clipping by value", "optim.clip_grad_value_"),
        ("adaptive clipping", "optim.adaptive_clip_grad_"),
        ("checkpointing", "weft.checkpoint"),
        (
            "Jacobians, Hessians and their products with vectors",
            "weft.jacrev weft.jacfwd weft.hessian weft.vjp weft.jvp weft.hvp",
        ),
        ("One example's function on many at once; gradients of each sample", "weft.vmap"),
        ("computation graph, drawn", "weft.traced"),
        ("loss scaling", "weft.GradScaler"),
        ("half precision", "weft.autocast"),
    ],
    "Regularisation": [
        ("penalties", "optim.l1_penalty optim.l2_penalty"),
        ("early stopping", "training.EarlyStopping"),
        (
            "flip, rotation, translation, zoom, shear",
            "data.augment.RandomHorizontalFlip data.augment.RandomVerticalFlip"
            " data.augment.RandomRotation data.augment.RandomAffine",
        ),
        (
            "crop, resize",
            "data.augment.RandomCrop data.augment.CenterCrop data.augment.RandomResizedCrop data.augment.Resize",
        ),
        ("brightness, contrast, saturation, hue", "data.augment.ColorJitter data.augment.RandomGrayscale"),
        ("noise, cutout", "data.augment.GaussianNoise data.augment.RandomErasing"),
        ("mixtures of samples", "data.augment.MixUp data.augment.CutMix"),
        ("policies of augmentation", "data.augment.RandAugment data.augment.AugMix"),
        (
            "words swapped, inserted, deleted, replaced",
            "data.augment.RandomSwap data.augment.RandomInsertion data.augment.RandomDeletion data.augment.SynonymReplacement",
        ),
        (
            "noise and interpolation in tables, SMOTE",
            "data.augment.FeatureNoise data.augment.Interpolation data.augment.smote",
        ),
        (
            "sound stretched, shifted, with noise",
            "data.augment.TimeStretch data.augment.TimeShift data.augment.AddNoise",
        ),
        ("masked spectrograms", "data.augment.FrequencyMasking data.augment.TimeMasking"),
    ],
    "Data": [
        ("folders of images, tables of samples", "data.load_images data.load_table"),
        ("arrays", "data.ArrayDataset"),
        ("series", "data.TimeSeries data.SlidingWindows"),
        ("pairs of sentences", "data.SentencePairs data.read_pairs"),
        ("images", "data.load_mnist data.load_cifar data.load_digits data.load_npz"),
        ("text", "data.CharTokenizer data.WordTokenizer data.BytePairTokenizer data.TokenBlocks"),
        ("loader", "data.DataLoader"),
        ("classes of unequal size", "data.WeightedRandomSampler data.balanced_weights"),
        ("normalisation", "data.MinMax data.Standardize data.Robust data.PerChannel"),
        ("splits", "data.train_dev_test_split data.k_fold data.stratified_k_fold data.time_series_split"),
    ],
    "Training": [
        ("the loop, gradient accumulation", "training.Trainer"),
        (
            "callbacks",
            "training.Checkpoint training.Plateau training.StopOnNaN training.CSVLogger training.GradientNorm",
        ),
        ("loggers", "training.TensorBoard training.WandB training.MLflow"),
        (
            "metrics of classes",
            "training.Accuracy training.Precision training.Recall training.F1 training.ConfusionMatrix",
        ),
        ("metrics of numbers", "training.MSE training.MAE training.RMSE training.R2"),
        ("perplexity, top-k", "training.Perplexity training.TopKAccuracy"),
        ("summary", "nn.summary"),
        ("hyper-parameter search by scikit-learn and Optuna", "training.Classifier training.Regressor"),
        ("saved models", "training.save_model training.load_model"),
        ("score of translations", "training.bleu"),
        ("learning curves", "training.plot_history training.bias_variance training.plot_learning_curve"),
        ("diagnostics of gradients and activations", "training.LayerStatistics training.plot_layers"),
        ("confusion matrix, calibration", "training.plot_confusion training.calibration training.plot_calibration"),
        ("filters, feature maps", "training.plot_filters training.plot_feature_maps"),
        ("loss landscape", "training.loss_landscape training.plot_landscape"),
    ],
    "Inference": [
        ("language models", "nn.models.gpt2 nn.models.llama"),
        ("text: greedy, temperature, top-k, top-p, key/value cache", "nn.models.LanguageModel.generate"),
        ("sequence to sequence", "nn.models.TransformerTranslator nn.models.LSTMTranslator"),
        ("beam search", "nn.beam_search"),
        ("forecasts", "nn.models.Forecaster"),
        ("classes, probabilities, thresholds", "training.Predictor"),
    ],
}
SHORT = {"nn": "weft.layers", "F": "weft.layers.functional", "optim": "weft.optimizers", "data": "weft.data"}
SHORT |= {"schedulers": "weft.optimizers.schedulers", "training": "weft.training", "weft": "weft"}


def found(name: str) -> Any:
    """What a name stands for."""
    first, *rest = name.split(".")
    value = importlib.import_module(SHORT[first])
    for part in rest:
        value = getattr(value, part)
    return value


RELATION = re.compile(r"\S\s+(=|←|~|∝)\s+\S")
SYMBOLS = re.compile(r"[=←√Σ½²³·⌊∘|→ᵀᵖ⁻∈ₙ]|\d[ )]*[/−]|[xyab)] ?[/−]|\b(max|min|ln|exp|tanh|U|N)\(|\[n\]")


def formula(value: Any) -> str:
    """What a docstring says by symbols: its summary after a colon, or the first block of equations, or all of the summary."""
    text = inspect.cleandoc(value.__doc__ or "")
    text = re.split(r"\n(?:Parameters|Attributes|Returns|Examples|Notes)\n-", text)[0]
    summary, _, body = text.partition("\n")
    after = summary.partition(": ")[2]
    lines = [re.split(r"\s{2,}", line.strip())[0] for line in body.splitlines()]
    block = itertools.takewhile(_goes_on, itertools.dropwhile(lambda line: not _is_equation(line), lines))
    equations = "; ".join(line.removesuffix(",").removesuffix(".") for line in block)
    is_shape = "→" in after  # what goes in and comes out, which says less than an equation
    if SYMBOLS.search(after) and not (is_shape and equations):
        return after.removesuffix(".")
    return equations or summary.removesuffix(".")


def _goes_on(line: str) -> bool:
    return bool(RELATION.search(line)) and not line.startswith("`")


def _is_equation(line: str) -> bool:
    """Whether a line begins with a symbol and its definition, and is no sentence."""
    return bool(re.match(r"[^\s,]+(, [^\s,]+)* (=|←|~|∝) \S", line)) and not line.endswith((" of", " the", " a"))


@functools.cache
def _tests() -> dict[str, str]:
    paths = sorted(TESTS.rglob("test_*.py"))
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def test_of(source: str, name: str) -> str:
    """The test file of a name that is defined in a source file."""
    word, folder, stem = re.compile(rf"\b{re.escape(name)}\b"), *source.rpartition("/")[::2]
    mirrored = f"tests/{folder}/test_{stem.removesuffix('.py')}.py"
    if word.search(_tests().get(mirrored, "")):
        return mirrored
    counts = {path: len(word.findall(text)) for path, text in _tests().items()}
    best = max(counts.values())
    return next(path for path, count in counts.items() if count == best) if best else ""


def row(concept: str, name: str) -> str:
    value = found(name)
    source = Path(inspect.getsourcefile(inspect.unwrap(value)) or "").resolve().relative_to(ROOT).as_posix()
    short = name.rpartition(".")[2]
    shown = formula(value).replace("|", r"\|")
    links = [f"[{path.removeprefix('tests/')}](../{path})" if path else "" for path in (source, test_of(source, short))]
    return f"| {concept} | `{name.removeprefix('weft.')}` | {shown} | {links[0]} | {links[1]} |"


HEAD = "| concept | name | formula | source | test |\n|---|---|---|---|---|"


def rows(concepts: list[tuple[str, str]]) -> Iterator[str]:
    for concept, names in concepts:
        if not names:
            yield f"| {concept} | to be built | | | |"
        for k, name in enumerate(names.split()):
            yield row("" if k else concept, name)


def pytorch() -> Iterator[str]:
    """A row for each class of torch.nn, in the order of the alphabet."""
    names = json.loads((TESTS / "torch_names.json").read_text(encoding="utf-8"))["names"]["torch.nn"]
    for name in names:
        if reason := LEFT_OUT["torch.nn"].get(name):
            yield f"| {name} | left out | {reason} | | |"
        else:
            yield row(name, f"nn.{name}")


def page() -> str:
    """The whole page."""
    parts = ["# Catalogue", "Generated by `python tests/catalogue.py` from docstrings, sources and tests."]
    for section, concepts in CONCEPTS.items():
        parts += [f"## {section}", "\n".join([HEAD, *rows(concepts)])]
    parts += ["## The classes of torch.nn", "\n".join([HEAD, *pytorch()])]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
