"""A table of what a model is made of and what it costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import singledispatch
from typing import Any, NamedTuple

from ..backend.array import products
from ..backend.array.creation import zeros
from ..backend.device import markup
from ..backend.device.dtypes import is_real_floating
from ..backend.device.memory import size
from ..backend.device.options import integer
from ..backend.nn import attention, convolution, linear, linear_cross_entropy, recurrent
from ..backend.tape.autograd import no_grad
from ..backend.tape.tensor import Parameter, Tensor
from ..backend.tape.watching import Operation, watching
from .containers import Flatten, Unflatten
from .convolution import _Conv
from .functional._check import several
from .linear import Bilinear, Linear
from .module import Module
from .pooling import AvgPool1d, _AdaptiveAvgPool, _AvgPool, _LPPool, _MaxPool
from .pooling_maxima import _AdaptiveMaxPool, _FractionalMaxPool

__all__ = ["LayerSummary", "Summary", "mult_adds", "summary"]


# --- what an operation costs, and a layer -----------------------------------------------------------------------------
def _of_tensordot(inputs: tuple, output: Tensor) -> int:
    x1, x2 = inputs
    return math.isqrt(x1.size * x2.size * output.size)  # (m k)(k n)(m n) = (m k n)²


def _of_recurrent(inputs: tuple, output: Any) -> int:
    """Each row of x, or the state that goes with it, is multiplied with each of the weights."""
    return inputs[0].shape[0] * sum(x.size for x in inputs if isinstance(x, Parameter) and x.ndim == 2)


# Multiplications with an addition, from the inputs and the output of each product.
COSTS: dict[Any, Callable[[tuple, Any], int]] = {
    linear.linear: lambda inputs, output: output.size * inputs[0].shape[-1],
    products.matmul: lambda inputs, output: output.size * inputs[0].shape[-1],
    products.vecdot: lambda inputs, output: max(x.size for x in inputs),
    products.tensordot: _of_tensordot,
    convolution.conv: lambda inputs, output: output.size * math.prod(inputs[1].shape[1:]),
    convolution.conv_transpose: lambda inputs, output: inputs[0].size * math.prod(inputs[1].shape[1:]),
    linear_cross_entropy.linear_cross_entropy: lambda inputs, output: inputs[0].size * inputs[1].shape[0],
    attention.scaled_dot_product_attention: lambda inputs, output: (
        inputs[1].shape[-2] * (math.prod(inputs[0].shape) + output.size)
    ),
    recurrent.rnn: _of_recurrent,
    recurrent.gru: _of_recurrent,
    recurrent.lstm: _of_recurrent,
}


@singledispatch
def mult_adds(module: Any, input: Any, output: Any) -> int | None:
    """Multiplications with an addition in the products of a layer; work linear in input and output is left out.

    None stands for those of the operations that ran in it, see `COSTS`. Register a form for a layer of your own that
    knows better: `@mult_adds.register`.
    """
    return None


@mult_adds.register
def _of_bilinear(module: Bilinear, input: Any, output: Any) -> int:
    return output.size * (module.in1_features * module.in2_features + module.in2_features)


# --- what a layer sees ------------------------------------------------------------------------------------------------
class Field(NamedTuple):
    """The part of the input that one value depends on: its size along each axis, and how far neighbours are apart."""

    size: tuple[int, ...]
    jump: tuple[int, ...]

    def through(self, kernel: tuple, stride: tuple, dilation: tuple) -> Field:
        """The field after a window: size ← size + dilation·(kernel − 1)·jump, jump ← jump·stride."""
        size = tuple(s + d * (k - 1) * j for s, j, k, d in zip(self.size, self.jump, kernel, dilation))
        return Field(size, tuple(j * s for j, s in zip(self.jump, stride)))


def _is_windowed(module: Module) -> bool:
    pools = _MaxPool | AvgPool1d | _AvgPool | _LPPool | _AdaptiveAvgPool | _AdaptiveMaxPool | _FractionalMaxPool
    return isinstance(module, pools) or (isinstance(module, _Conv) and not module.transposed)


def _window(module: Any, x: Tensor, y: Tensor) -> tuple[tuple, tuple, tuple]:
    """Kernel, stride and dilation of a layer that looks through windows."""
    n = x.ndim - 2
    if isinstance(module, _AdaptiveAvgPool | _AdaptiveMaxPool):
        lengths = tuple(-(-a // b) for a, b in zip(x.shape[2:], y.shape[2:]))
        return lengths, lengths, (1,) * n
    kernel = several("kernel_size", module.kernel_size, n)
    if isinstance(module, _FractionalMaxPool):  # whose windows are (in − kernel) / (out − 1) apart on average
        steps = zip(x.shape[2:], y.shape[2:], kernel)
        return kernel, tuple(max(1, round((a - k) / max(1, b - 1))) for a, b, k in steps), (1,) * n
    stride = kernel if module.stride is None else several("stride", module.stride, n)
    return kernel, stride, several("dilation", getattr(module, "dilation", 1), n)


def _sees_all(module: Module, y: Tensor) -> bool:
    """Whether each output depends on every position: dense layers after flattening, global pooling."""
    if isinstance(module, _AdaptiveAvgPool | _AdaptiveMaxPool):
        return math.prod(y.shape[2:]) == 1
    return isinstance(module, Linear) and y.ndim == 2


HEADER = ("layer", "output", "parameters", "mult-adds", "sees", "memory")


# --- the summary ------------------------------------------------------------------------------------------------------
class LayerSummary(NamedTuple):
    """One call of a module without modules inside, or with parameters of its own. Shapes leave out the batch axis.

    Parameters
    ----------
    name : str
        Path of the module, as `named_modules` gives it.
    kind : str
        Name of its class.
    input_shape : tuple of int
        Of one example.
    output_shape : tuple of int
        Of one example.
    parameters : int
        0 at a second call, and where another layer has them already.
    mult_adds : int
        Multiplications with an addition, per example.
    receptive_field : tuple of int or None
        Along the spatial axes; None where there are none.
    memory : int
        Bytes of the output, per example.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.summary(nn.Linear(2, 3), (2,)).layers[0].output_shape
    (3,)
    """

    name: str
    kind: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    parameters: int  # 0 at a second call, and where another layer has them already
    mult_adds: int  # per example
    receptive_field: tuple[int, ...] | None  # along the spatial axes; None where there are none
    memory: int  # bytes of the output, per example


class Summary:
    """What `summary` returns; `print` shows it as a table.

    Parameters
    ----------
    layers : list of LayerSummary
        Every call of a layer, in order.
    parameters : sequence of Tensor
        Those of the model, each once.

    Attributes
    ----------
    total_parameters : int
        How many numbers they hold.
    trainable_parameters : int
        How many of these are learned.
    parameter_memory : int
        Their bytes.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.summary(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), (2,)).total_parameters
    9
    """

    def __init__(self, layers: list[LayerSummary], parameters: Sequence[Tensor]):
        self.layers = layers
        self.total_parameters = sum(p.size for p in parameters)
        self.trainable_parameters = sum(p.size for p in parameters if p.requires_grad)
        self.parameter_memory = sum(p.size * p.dtype.itemsize for p in parameters)

    @property
    def mult_adds(self) -> int:
        """Multiplications with an addition, per example."""
        return sum(layer.mult_adds for layer in self.layers)

    @property
    def activation_memory(self) -> int:
        """Bytes of all outputs, per example: what the backward pass holds on to, at most."""
        return sum(layer.memory for layer in self.layers)

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (
                f"{x.name} {x.kind}".strip(),
                _times(x.output_shape),
                f"{x.parameters:,}",
                f"{x.mult_adds:,}",
                _times(x.receptive_field or ()),
                size(x.memory),
            )
            for x in self.layers
        ]

    def _totals(self) -> list[str]:
        fixed = self.total_parameters - self.trainable_parameters
        return [
            f"parameters: {self.total_parameters:,}" + (f" ({fixed:,} of them not trained)" if fixed else ""),
            f"mult-adds:  {self.mult_adds:,}",
            f"memory:     {size(self.parameter_memory)} for parameters, {size(self.activation_memory)} for outputs",
        ]

    def __str__(self) -> str:
        rows = self._rows()
        widths = [max(map(len, column)) for column in zip(HEADER, *rows)]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:]))]).rstrip()
            for row in (HEADER, *rows)
        ]
        rule = "─" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:], rule, *self._totals()])

    def _repr_html_(self) -> str:
        return markup.table(HEADER, self._rows(), self._totals())

    __repr__ = __str__


def _times(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape)) or "–"


def summary(model: Module, input_shape: Sequence[int] | Sequence[Sequence[int]], *, dtype: Any = None) -> Summary:
    """Run one example of zeros through a model, in evaluation mode, and report every layer that it passes.

    The receptive field ("sees") is the part of the input that one output value depends on, padding included: through a
    window it grows by dilation · (kernel − 1) times the product of all strides so far. Normalisation does not count.
    After a sum of branches it is the largest so far.

    Parameters
    ----------
    model : Module
        Left as it was.
    input_shape : sequence of int, or several of these
        That of one example, (3, 32, 32), or one for each of several inputs, [(5, 8), (3, 8)]; shapes that include the
        batch axis are understood if the model takes no others.
    dtype : data-type, or several, optional
        The inputs', that of the parameters unless given: `weft.int64` for a model that starts with an embedding,
        (None, weft.int64) for a loss of scores and classes.

    Returns
    -------
    Summary
        The calls and their sums; `print` shows a table.

    Raises
    ------
    TypeError, ValueError or IndexError
        If `input_shape` is no shape, or not for as many inputs as `dtype`; and what the model raises for such an input.

    Examples
    --------
    >>> from weft import layers as nn
    >>> net = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.Flatten(), nn.Linear(4096, 10))
    >>> print(nn.summary(net, (3, 16, 16)))
    layer        output  parameters  mult-adds   sees    memory
    ───────────────────────────────────────────────────────────
    0 Conv2d   16×16×16         448    110,592    3×3  16.0 KiB
    1 Flatten      4096           0          0    3×3       0 B
    2 Linear         10      40,970     40,960  16×16      40 B
    ───────────────────────────────────────────────────────────
    parameters: 41,418
    mult-adds:  151,552
    memory:     161.8 KiB for parameters, 16.0 KiB for outputs
    """
    if not isinstance(model, Module):
        raise TypeError(f"`model` must be a Module, such as nn.Linear(2, 1), got {model!r:.80}")
    shapes = _shapes(input_shape)
    parameters = list(model.parameters())
    first = next((t for t in (*parameters, *model.buffers()) if is_real_floating(t.dtype)), None)
    device = None if first is None else first.device
    dtypes = list(dtype) if isinstance(dtype, list | tuple) else [dtype] * len(shapes)
    if len(dtypes) != len(shapes):
        raise ValueError(f"`dtype` must be one, or one for each of {len(shapes)} inputs, got {len(dtypes)}")
    if first is not None:
        dtypes = [first.dtype if d is None else d for d in dtypes]

    def inputs(*batch: int) -> list[Tensor]:
        return [zeros((*batch, *shape), dtype=d, device=device) for shape, d in zip(shapes, dtypes)]

    try:
        layers = _observe(model, inputs(1))
    except (TypeError, ValueError, IndexError) as error:
        try:
            layers = _observe(model, inputs())
        except (TypeError, ValueError, IndexError):
            raise error from None
    return Summary(layers, parameters)


def _shapes(input_shape: Any) -> list[tuple[int, ...]]:
    """One shape for each input."""
    several = isinstance(input_shape, list | tuple) and any(isinstance(s, list | tuple) for s in input_shape)
    shapes = input_shape if several else [input_shape]
    for shape in shapes:
        for length in shape if isinstance(shape, list | tuple) else (shape,):
            integer("input_shape", length, 0)
    return [tuple(shape) if isinstance(shape, list | tuple) else (shape,) for shape in shapes]


class _Observer:
    """Sees every call of every layer, in order, and follows the receptive field from tensor to tensor."""

    def __init__(self, x: Tensor, windowed: bool):
        self.layers: list[LayerSummary] = []
        self.costs: list[int] = []  # of the layers that are being run, so far, the innermost last
        self.counted: set[int] = set()
        self.spatial = x.shape[2:] if windowed else ()
        point = (1,) * len(self.spatial)
        # By id, with the tensor itself: as long as it lives, no other tensor has its id.
        self.fields: dict[int, tuple[Tensor, Field]] = {id(x): (x, Field(point, point))}

    def begin(self, module: Module, args: tuple) -> None:
        self.costs.append(0)

    def end(self, name: str, is_leaf: bool) -> Callable:
        """A hook that reports a layer; a module of modules too, if it has products or parameters besides those of its layers.

        That are parameters of layers which it has not called: it may read them itself, as attention does.
        """

        def end(module: Module, args: tuple, output: Any) -> None:
            cost = self.costs.pop()
            if is_leaf or cost or not self.counted.issuperset(map(id, module.parameters())):
                self.see(name, module, args, output, cost)

        return end

    def add(self, operation: Operation) -> Callable[[Any], None]:
        """What a watcher is asked: the costs of an operation go to the innermost layer that it runs in."""

        def end(output: Any) -> None:
            if self.costs and operation.primitive in COSTS:
                self.costs[-1] += COSTS[operation.primitive](operation.inputs, output)

        return end

    def see(self, name: str, module: Module, args: tuple, output: Any, cost: int) -> None:
        x = next((a for a in args if isinstance(a, Tensor)), None)
        y = next((o for o in (output if isinstance(output, tuple) else (output,)) if isinstance(o, Tensor)), None)
        if x is None or y is None:
            return
        is_known = id(y) in self.fields and next(module.children(), None) is not None  # a layer inside has returned it
        field = self.after(module, x, y)
        self.fields[id(y)] = y, field
        batch = max(1, x.shape[0]) if x.ndim else 1
        new = [p for p in module.parameters() if id(p) not in self.counted]
        self.counted |= {id(p) for p in new}
        is_counted = y is x or is_known or isinstance(module, Flatten | Unflatten)
        memory = 0 if is_counted else y.size * y.dtype.itemsize
        known = mult_adds(module, x, y)
        self.layers.append(
            LayerSummary(
                name,
                type(module).__name__,
                tuple(x.shape[1:]),
                tuple(y.shape[1:]),
                sum(p.size for p in new),
                (cost if known is None else known) // batch,
                field.size or None,
                memory // batch,
            )
        )

    def after(self, module: Module, x: Tensor, y: Tensor) -> Field:
        """The field of y: it may be known, from x or from a module inside this one."""
        known = self.fields.get(id(y)) or self.fields.get(id(x))
        field = known[1] if known else max((f for _, f in self.fields.values()), key=lambda f: f.size)
        if _sees_all(module, y):
            return Field(tuple(self.spatial), field.jump)
        if _is_windowed(module) and x.ndim == len(self.spatial) + 2:
            return field.through(*_window(module, x, y))
        return field


@no_grad()
def _observe(model: Module, inputs: list[Tensor]) -> list[LayerSummary]:
    observer = _Observer(inputs[0], any(map(_is_windowed, model.modules())))
    modes = [(module, module.training) for module in model.modules()]
    handles = []
    for name, module in model.named_modules():
        is_leaf = next(module.children(), None) is None or next(module.parameters(recurse=False), None) is not None
        handles.append(module.register_forward_pre_hook(observer.begin, prepend=True))
        handles.append(module.register_forward_hook(observer.end(name, is_leaf)))
    model.eval()
    try:
        with watching(observer.add):
            model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode
    return observer.layers
