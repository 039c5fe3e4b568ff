"""Small models for the command line, examples and tests: classifiers (input_shape, num_classes) → Module, and for text."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..backend.device.options import UnknownName, integer
from ..backend.tape.tensor import DType, Tensor
from . import init
from .activation import ReLU
from .beam_search import Hypothesis, beam_search
from .bert import BERT, BERTOutput, load_bert
from .containers import Flatten, Sequential
from .convolution import Conv2d
from .encoder_decoder import EncoderDecoder
from .forecasting import Forecaster, forecaster_shapes
from .gpt2 import GPT2
from .language_model import LanguageModel
from .linear import Linear
from .llama import Llama
from .lstm_translator import LSTMTranslator
from .module import Layer, Module
from .normalization import BatchNorm2d
from .pooling import AdaptiveAvgPool2d, MaxPool2d
from .pretrained import PretrainedError, load_pretrained
from .recurrent_language_model import RecurrentLM
from .transformer_translator import TransformerTranslator

__all__ = [
    "FORECASTERS",
    "BERT",
    "BERTOutput",
    "GPT2",
    "LANGUAGE_MODELS",
    "MODELS",
    "TRANSLATORS",
    "BasicBlock",
    "EncoderDecoder",
    "Hypothesis",
    "LSTMTranslator",
    "Forecaster",
    "LanguageModel",
    "Llama",
    "PretrainedError",
    "RecurrentLM",
    "ResNet",
    "TransformerTranslator",
    "beam_search",
    "cnn",
    "gpt2",
    "gru",
    "llama",
    "load_bert",
    "load_pretrained",
    "lstm",
    "lstm_translator",
    "mlp",
    "resnet18",
    "transformer_translator",
]


def mlp(
    input_shape: Sequence[int] = (1, 28, 28),
    num_classes: int = 10,
    *,
    hidden: Sequence[int] = (128, 64),
    activation: Callable[[], Module] = ReLU,
    device: str | None = None,
    dtype: DType = None,
) -> Sequential:
    """A multilayer perceptron: flatten, then dense layers with an activation between them; logits come out.

    Parameters
    ----------
    input_shape : sequence of int, default (1, 28, 28)
        Of one example, without the batch axis.
    num_classes : int, default 10
        How many logits.
    hidden : sequence of int, default (128, 64)
        Widths of the hidden layers.
    activation : callable, default ReLU
        Makes the module that follows each hidden layer.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Returns
    -------
    Sequential
        (N, *input_shape) → (N, num_classes).

    Examples
    --------
    >>> from weft.layers import models
    >>> models.mlp((784,), 10, hidden=(32,))(weft.zeros((2, 784))).shape
    (2, 10)
    """
    _check_sizes(input_shape, num_classes)
    if not isinstance(hidden, list | tuple):
        raise TypeError(f"`hidden` must be a sequence of widths, such as (256, 128), got {hidden!r}")
    for width in hidden:
        integer("hidden", width, 1)
    widths = [math.prod(input_shape), *hidden, num_classes]
    layers: list[Module] = [Flatten()]
    for i, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
        layers += [activation()] if i else []
        layers.append(Linear(n_in, n_out, device=device, dtype=dtype))
    return Sequential(*layers)


def _check_sizes(input_shape: Any, num_classes: Any) -> None:
    if not isinstance(input_shape, list | tuple):
        raise TypeError(f"`input_shape` must be a sequence of lengths, such as (3, 32, 32), got {input_shape!r}")
    for length in input_shape:
        integer("input_shape", length, 0)
    integer("num_classes", num_classes, 1)


def cnn(
    input_shape: Sequence[int] = (3, 32, 32), num_classes: int = 10, *, device: str | None = None, dtype: DType = None
) -> Sequential:
    """The textbook's network: twice (3×3 convolution, ReLU, 2×2 max-pooling), 16 and 32 channels; 128 units; logits.

    On 3×32×32 that is 448 + 4,640 + 262,272 + 1,290 = 268,650 parameters.

    Parameters
    ----------
    input_shape : sequence of int, default (3, 32, 32)
        (C, H, W), with H and W at least 4.
    num_classes : int, default 10
        How many logits.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Returns
    -------
    Sequential
        (N, C, H, W) → (N, num_classes).

    Raises
    ------
    ValueError
        If `input_shape` is another.

    Examples
    --------
    >>> from weft.layers import models
    >>> sum(p.size for p in models.cnn().parameters())
    268650
    """
    _check_sizes(input_shape, num_classes)
    if len(input_shape) != 3 or min(input_shape[1:]) < 4:
        raise ValueError(f"`input_shape` must be (C, H, W) with H and W at least 4, got {tuple(input_shape)}")
    channels, height, width = input_shape
    place: dict[str, Any] = {"device": device, "dtype": dtype}
    return Sequential(
        Conv2d(channels, 16, 3, padding=1, **place),
        ReLU(),
        MaxPool2d(2),
        Conv2d(16, 32, 3, padding=1, **place),
        ReLU(),
        MaxPool2d(2),
        Flatten(),
        Linear(32 * (height // 4) * (width // 4), 128, **place),
        ReLU(),
        Linear(128, num_classes, **place),
    )


class BasicBlock(Layer):
    """Two 3×3 convolutions and a shortcut: y = relu(f(x) + s(x)), s being the identity or a 1×1 convolution.

    f is convolution, batch normalisation, ReLU, convolution, batch normalisation; s is a convolution, with batch
    normalisation, where f changes the shape.

    Parameters
    ----------
    in_channels : int
        Channels of x.
    channels : int
        Channels of y.
    stride : int, default 1
        That of the first convolution, which divides height and width.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Examples
    --------
    >>> from weft.layers import models
    >>> models.BasicBlock(4, 8, stride=2)(weft.ones((2, 4, 6, 6))).shape
    (2, 8, 3, 3)
    """

    def __init__(
        self, in_channels: int, channels: int, stride: int = 1, *, device: str | None = None, dtype: DType = None
    ):
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        self.conv1 = Conv2d(in_channels, channels, 3, stride, padding=1, bias=False, **place)
        self.bn1 = BatchNorm2d(channels, **place)
        self.relu = ReLU()
        self.conv2 = Conv2d(channels, channels, 3, padding=1, bias=False, **place)
        self.bn2 = BatchNorm2d(channels, **place)
        self.downsample = None
        if stride != 1 or in_channels != channels:
            self.downsample = Sequential(
                Conv2d(in_channels, channels, 1, stride, bias=False, **place), BatchNorm2d(channels, **place)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + shortcut)


class ResNet(Layer):
    """A residual network, one stage of `BasicBlock`s for each entry of `blocks`; torchvision's state_dicts load.

    A 7×7 convolution to 64 channels and a 3×3 max-pooling, both of stride 2; stages, each but the first with twice the
    channels and half the height and width; the mean over all positions; logits. Convolutions start as Kaiming normal
    (fan_out).

    Parameters
    ----------
    blocks : sequence of int
        How many blocks each stage has.
    num_classes : int, default 1000
        How many logits.
    in_channels : int, default 3
        Channels of the images (N, C, H, W).
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    References
    ----------
    He et al., "Deep Residual Learning for Image Recognition" (2016).

    Examples
    --------
    >>> from weft.layers import models
    >>> models.ResNet((1, 1), num_classes=10)(weft.zeros((2, 3, 32, 32))).shape
    (2, 10)
    """

    def __init__(
        self,
        blocks: Sequence[int],
        num_classes: int = 1000,
        *,
        in_channels: int = 3,
        device: str | None = None,
        dtype: DType = None,
    ):
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        self.conv1 = Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False, **place)
        self.bn1 = BatchNorm2d(64, **place)
        self.relu = ReLU()
        self.maxpool = MaxPool2d(3, stride=2, padding=1)
        width = 64
        for stage, count in enumerate(blocks):
            channels, stride = 64 << stage, 1 if stage == 0 else 2
            first = BasicBlock(width, channels, stride, **place)
            rest = [BasicBlock(channels, channels, **place) for _ in range(count - 1)]
            self.add_module(f"layer{stage + 1}", Sequential(first, *rest))
            width = channels
        self.avgpool = AdaptiveAvgPool2d((1, 1))
        self.fc = Linear(width, num_classes, **place)
        self.stages = len(blocks)
        for module in self.modules():
            if isinstance(module, Conv2d):
                init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in range(1, self.stages + 1):
            x = getattr(self, f"layer{stage}")(x)
        return self.fc(self.avgpool(x).flatten(1))


def resnet18(
    input_shape: Sequence[int] = (3, 224, 224),
    num_classes: int = 1000,
    *,
    device: str | None = None,
    dtype: DType = None,
) -> ResNet:
    """ResNet-18: 11,689,512 parameters for 3 channels and 1000 classes.

    Parameters
    ----------
    input_shape : sequence of int, default (3, 224, 224)
        (C, H, W), of which only C matters.
    num_classes : int, default 1000
        How many logits.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Returns
    -------
    ResNet
        (N, C, H, W) → (N, num_classes), with four stages of two blocks.

    Raises
    ------
    ValueError
        If `input_shape` is another.

    Examples
    --------
    >>> from weft.layers import models
    >>> sum(p.size for p in models.resnet18().parameters())
    11689512
    """
    if len(input_shape) != 3:
        raise ValueError(f"`input_shape` must be (C, H, W), got {tuple(input_shape)}")
    return ResNet((2, 2, 2, 2), num_classes, in_channels=input_shape[0], device=device, dtype=dtype)


# width, layers and heads of GPT-2's sizes
SIZES = {"small": (768, 12, 12), "medium": (1024, 24, 16), "large": (1280, 36, 20), "xl": (1600, 48, 25)}


def gpt2(
    size: str = "small",
    *,
    vocab_size: int = 50257,
    context: int = 1024,
    width: int | None = None,
    layers: int | None = None,
    heads: int | None = None,
    bias: bool = True,
    dropout: float = 0.0,
    device: str | None = None,
    dtype: DType = None,
) -> GPT2:
    """GPT-2 in one of its sizes, 124, 355, 774 or 1558 million parameters, or in sizes of your own.

    Parameters
    ----------
    size : {"small", "medium", "large", "xl"}, default "small"
        Decides width, layers and heads where they are not given.
    vocab_size : int, default 50257
        How many tokens there are.
    context : int, default 1024
        The greatest length.
    width : int, optional
        Of embeddings and features.
    layers : int, optional
        Blocks.
    heads : int, optional
        Of attention; a divisor of width.
    bias : bool, default True
        Whether linear layers and norms have biases.
    dropout : float, default 0.0
        Of embeddings, attention weights and branches, in training.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Returns
    -------
    GPT2
        Tokens (N, L) → logits (N, L, vocab_size).

    Raises
    ------
    ValueError
        If there is no such size, or `heads` does not divide `width`.

    Examples
    --------
    >>> from weft.layers import models
    >>> model = models.gpt2(vocab_size=65, context=64, width=128, layers=4, heads=4, bias=False)
    >>> sum(p.size for p in model.parameters())
    804096
    """
    if size not in SIZES:
        raise ValueError(f"`size` must be one of {', '.join(map(repr, SIZES))}, got {size!r}")
    sizes = (own if given is None else given for own, given in zip(SIZES[size], (width, layers, heads)))
    return GPT2(vocab_size, context, *sizes, bias=bias, dropout=dropout, device=device, dtype=dtype)


def llama(
    *,
    vocab_size: int = 32000,
    context: int = 2048,
    width: int = 768,
    layers: int = 12,
    heads: int = 12,
    kv_heads: int | None = None,
    device: str | None = None,
    dtype: DType = None,
) -> Llama:
    """A model of Llama's kind.

    Parameters
    ----------
    vocab_size : int, default 32000
        How many tokens there are.
    context : int, default 2048
        The greatest length.
    width : int, default 768
        Of embeddings and features.
    layers : int, default 12
        Blocks.
    heads : int, default 12
        Of queries; a divisor of width.
    kv_heads : int, optional
        Of keys and values, a divisor of heads; as many as these unless given.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Returns
    -------
    Llama
        Tokens (N, L) → logits (N, L, vocab_size).

    Examples
    --------
    >>> from weft.layers import models
    >>> models.llama(vocab_size=65, width=32, layers=1, heads=4, kv_heads=2)(weft.tensor([[1, 2]])).shape
    (1, 2, 65)
    """
    return Llama(vocab_size, context, width, layers, heads, kv_heads, device=device, dtype=dtype)


def lstm(
    *,
    vocab_size: int,
    width: int = 256,
    layers: int = 2,
    dropout: float = 0.0,
    device: str | None = None,
    dtype: DType = None,
) -> RecurrentLM:
    """A language model of LSTM layers.

    Parameters
    ----------
    vocab_size : int
        How many tokens there are.
    width : int, default 256
        Of embeddings, states and features.
    layers : int, default 2
        How many.
    dropout : float, default 0.0
        Of embeddings, of outputs between layers, and of features, in training.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Returns
    -------
    RecurrentLM
        Tokens (N, L) → logits (N, L, vocab_size).

    Examples
    --------
    >>> from weft.layers import models
    >>> sum(p.size for p in models.lstm(vocab_size=65, width=128).parameters())
    280832
    """
    return RecurrentLM("lstm", vocab_size, width, layers, dropout=dropout, device=device, dtype=dtype)


def gru(
    *,
    vocab_size: int,
    width: int = 256,
    layers: int = 2,
    dropout: float = 0.0,
    device: str | None = None,
    dtype: DType = None,
) -> RecurrentLM:
    """A language model of GRU layers.

    Parameters
    ----------
    vocab_size : int
        How many tokens there are.
    width : int, default 256
        Of embeddings, states and features.
    layers : int, default 2
        How many.
    dropout : float, default 0.0
        Of embeddings, of outputs between layers, and of features, in training.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Returns
    -------
    RecurrentLM
        Tokens (N, L) → logits (N, L, vocab_size).

    Examples
    --------
    >>> from weft.layers import models
    >>> sum(p.size for p in models.gru(vocab_size=65, width=128).parameters())
    214784
    """
    return RecurrentLM("gru", vocab_size, width, layers, dropout=dropout, device=device, dtype=dtype)


def transformer_translator(
    *,
    source_size: int,
    target_size: int,
    width: int = 256,
    layers: int = 3,
    heads: int = 4,
    dropout: float = 0.1,
    context: int = 256,
    device: str | None = None,
    dtype: DType = None,
) -> TransformerTranslator:
    """A Transformer that translates.

    Parameters
    ----------
    source_size, target_size : int
        Of the vocabularies, `<pad>`, `<bos>`, `<eos>`, `<unk>` included.
    width : int, default 256
        Of embeddings and features.
    layers : int, default 3
        Of encoder and decoder each.
    heads : int, default 4
        Of attention; a divisor of width.
    dropout : float, default 0.1
        Of embeddings, attention weights and branches, in training.
    context : int, default 256
        The greatest length of source and target.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Returns
    -------
    TransformerTranslator
        Tokens (N, S) and (N, T) → logits (N, T, target_size).

    Examples
    --------
    >>> from weft.layers import models
    >>> model = models.transformer_translator(source_size=9, target_size=7, width=8, layers=1, heads=2)
    >>> model(weft.tensor([[4, 2]]), weft.tensor([[1, 4, 5]])).shape
    (1, 3, 7)
    """
    options: dict[str, Any] = {"dropout": dropout, "context": context, "device": device, "dtype": dtype}
    return TransformerTranslator(source_size, target_size, width, layers, heads, **options)


def lstm_translator(
    *,
    source_size: int,
    target_size: int,
    width: int = 256,
    layers: int = 1,
    dropout: float = 0.2,
    context: int = 256,
    device: str | None = None,
    dtype: DType = None,
) -> LSTMTranslator:
    """An LSTM encoder and decoder with Luong's attention.

    Parameters
    ----------
    source_size, target_size : int
        Of the vocabularies, `<pad>`, `<bos>`, `<eos>`, `<unk>` included.
    width : int, default 256
        Of embeddings, states and features; even.
    layers : int, default 1
        Of encoder and decoder each.
    dropout : float, default 0.2
        Of embeddings, between layers, and of features, in training.
    context : int, default 256
        The greatest length of source and target.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Returns
    -------
    LSTMTranslator
        Tokens (N, S) and (N, T) → logits (N, T, target_size).

    Examples
    --------
    >>> from weft.layers import models
    >>> models.lstm_translator(source_size=9, target_size=7, width=8)(weft.tensor([[4, 2]]), weft.tensor([[1, 4]])).shape
    (1, 2, 7)
    """
    options: dict[str, Any] = {"dropout": dropout, "context": context, "device": device, "dtype": dtype}
    return LSTMTranslator(source_size, target_size, width, layers, **options)


MODELS: dict[str, Callable[..., Module]] = {"mlp": mlp, "cnn": cnn, "resnet18": resnet18}
LANGUAGE_MODELS: dict[str, Callable[..., LanguageModel]] = {"gpt2": gpt2, "gru": gru, "llama": llama, "lstm": lstm}
TRANSLATORS: dict[str, Callable[..., EncoderDecoder]] = {
    "transformer_translator": transformer_translator,
    "lstm_translator": lstm_translator,
}
FORECASTERS: dict[str, Callable[..., Forecaster]] = {"forecaster": Forecaster}


def _mlp_shapes(
    input_shape: Sequence[int] = (1, 28, 28),
    num_classes: int = 10,
    *,
    hidden: Sequence[int] = (128, 64),
    dtype: Any = None,
) -> dict[str, tuple[int, ...]]:
    widths = [math.prod(input_shape), *hidden, num_classes]
    return {f"{2 * i + 1}.weight": (n_out, n_in) for i, (n_in, n_out) in enumerate(itertools.pairwise(widths))}


def _cnn_shapes(
    input_shape: Sequence[int] = (3, 32, 32), num_classes: int = 10, *, dtype: Any = None
) -> dict[str, tuple[int, ...]]:
    channels, height, width = input_shape
    features = 32 * (height // 4) * (width // 4)
    return {"0.weight": (16, channels, 3, 3), "7.weight": (128, features), "9.weight": (num_classes, 128)}


def _resnet_shapes(
    input_shape: Sequence[int] = (3, 224, 224), num_classes: int = 1000, *, dtype: Any = None
) -> dict[str, tuple[int, ...]]:
    return {"conv1.weight": (64, input_shape[0], 7, 7), "fc.weight": (num_classes, 512)}


def _blocks(name: str, layers: int, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """One weight of each block; of a number that no model has, some and the last."""
    return {name.format(i): shape for i in (*range(min(layers, 1000)), layers - 1)}


def _gpt2_shapes(
    size: str = "small",
    *,
    vocab_size: int = 50257,
    context: int = 1024,
    width: int | None = None,
    layers: int | None = None,
    heads: int | None = None,
    bias: bool = True,
    dropout: float = 0.0,
    dtype: Any = None,
) -> dict[str, tuple[int, ...]]:
    own = SIZES.get(size, SIZES["small"])
    width, layers = own[0] if width is None else width, own[1] if layers is None else layers
    tables = {"wte.weight": (vocab_size, width), "wpe.weight": (context, width)}
    return tables | _blocks("h.{}.attn.c_attn.weight", layers, (3 * width, width))


def _llama_shapes(
    *,
    vocab_size: int = 32000,
    context: int = 2048,
    width: int = 768,
    layers: int = 12,
    heads: int = 12,
    kv_heads: int | None = None,
    dtype: Any = None,
) -> dict[str, tuple[int, ...]]:
    tables = {"embed_tokens.weight": (vocab_size, width), "lm_head.weight": (vocab_size, width)}
    return tables | _blocks("layers.{}.self_attn.q_proj.weight", layers, (width, width))


def _recurrent_shapes(
    gates: int, *, vocab_size: int, width: int = 256, layers: int = 2, dropout: float = 0.0, dtype: Any = None
) -> dict[str, tuple[int, ...]]:
    """The shapes that the arguments of `lstm` (4 gates) or `gru` (3) decide; of a number of layers that no model has, some."""
    shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (vocab_size, width), "head.weight": (vocab_size, width)}
    return shapes | {f"rnn.weight_hh_l{i}": (gates * width, width) for i in (*range(min(layers, 1000)), layers - 1)}


def _transformer_translator_shapes(
    *,
    source_size: int,
    target_size: int,
    width: int = 256,
    layers: int = 3,
    heads: int = 4,
    dropout: float = 0.1,
    context: int = 256,
    dtype: Any = None,
) -> dict[str, tuple[int, ...]]:
    tables = {"source_embedding.weight": (source_size, width), "target_embedding.weight": (target_size, width)}
    return tables | _blocks("transformer.decoder.layers.{}.linear1.weight", layers, (4 * width, width))


def _lstm_translator_shapes(
    *,
    source_size: int,
    target_size: int,
    width: int = 256,
    layers: int = 1,
    dropout: float = 0.2,
    context: int = 256,
    dtype: Any = None,
) -> dict[str, tuple[int, ...]]:
    tables = {"source_embedding.weight": (source_size, width), "target_embedding.weight": (target_size, width)}
    return tables | _blocks("decoder.weight_hh_l{}", layers, (4 * width, width))


# The shapes that a model's arguments decide, by parameter: to know what it would take before it is built.
SHAPES: dict[str, Callable[..., dict[str, tuple[int, ...]]]] = {
    "mlp": _mlp_shapes,
    "cnn": _cnn_shapes,
    "resnet18": _resnet_shapes,
    "gpt2": _gpt2_shapes,
    "gru": partial(_recurrent_shapes, 3),
    "llama": _llama_shapes,
    "lstm": partial(_recurrent_shapes, 4),
    "transformer_translator": _transformer_translator_shapes,
    "lstm_translator": _lstm_translator_shapes,
    "forecaster": forecaster_shapes,
}


if not TYPE_CHECKING:

    def __getattr__(name):
        raise UnknownName(__name__, name, __all__)
