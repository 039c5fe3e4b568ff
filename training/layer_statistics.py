"""What flows through the layers while a model is trained: activations forward, gradients backward."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..backend.device.devices import namespace_of, waiting_is_meant
from ..backend.device.dtypes import is_real_floating
from ..backend.device.options import integer
from ..backend.tape.tensor import Tensor, innermost
from ..layers.containers import Flatten, Identity, Unflatten
from ..layers.hooks import RemovableHandle
from ..layers.module import Module
from .callbacks import Callback
from .running import Running

__all__ = ["LayerRecord", "LayerStatistics"]

STEEP = 1e3  # by how much gradients of layers may differ
DEAD = 0.5  # which part of the units may be
PASSING = Flatten, Identity, Unflatten  # layers that change no number


class LayerRecord(NamedTuple):
    """One layer at one update. NaN stands for what it has not.

    Parameters
    ----------
    mean : float
        Of the outputs x of the batch.
    std : float
        √(mean x² − (mean x)²).
    dead : float
        Which part of the units gives 0 for every sample of the batch. Units are along axis 1 of (N, C) and of images
        (N, C, H, W), along the last axis of sequences (N, T, E), but of (N, C, L) after a convolution along axis 1.
    gradient : float
        √(mean g²) of the gradient of its own parameters, as the update uses it.
    weight : float
        √(mean w²) of the parameters.

    Examples
    --------
    >>> LayerRecord(mean=0.0, std=1.0, dead=0.0, gradient=0.01, weight=0.1).gradient
    0.01
    """

    mean: float
    std: float
    dead: float
    gradient: float
    weight: float


class LayerStatistics(Callback):
    """Records the statistics of every layer once in a while and reads them; `plot_layers` draws them.

    Layers are the modules without modules inside, or with parameters of their own, in the order in which they run; one
    that runs several times counts with its last call, one that only reshapes not at all. Only batches that are recorded
    cost anything, some reductions for each layer; steps are not captured.

    Parameters
    ----------
    every : int, default 50
        Updates from one record to the next; the first is recorded.

    Attributes
    ----------
    names : list of str
        Of the layers, with their kinds.
    steps : list of int
        How many updates were done before each record.
    records : list of list of LayerRecord
        For each of the steps one for each layer.

    Raises
    ------
    ValueError
        If `every` is less than 1.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(1, 4), nn.ReLU(), nn.Linear(4, 1))
    >>> optimizer, statistics = optim.SGD(model.parameters(), lr=0.1), LayerStatistics(every=2)
    >>> trainer = weft.training.Trainer(model, nn.MSELoss(), optimizer, callbacks=[statistics])
    >>> history = trainer.fit([(weft.ones((2, 1)), weft.ones((2, 1)))] * 3)
    >>> statistics.names, statistics.steps
    (['0 Linear', '1 ReLU', '2 Linear'], [0, 2])
    """

    def __init__(self, every: int = 50):
        integer("every", every, 1)
        self.every = every
        self.names: list[str] = []
        self.steps: list[int] = []
        self.records: list[list[LayerRecord]] = []
        self._seen: dict[str, tuple[Module, Any]] = {}  # by name, in the order of the calls: mean, std, dead
        self._handles: list[RemovableHandle] = []
        self._is_spatial = False

    # --- recording ----------------------------------------------------------------------------------------------------
    def on_batch_begin(self, trainer: Running) -> None:
        if trainer.step % self.every or trainer.step in self.steps[-1:] or self._handles:
            return
        self._seen, self._is_spatial = {}, False
        for name, module in trainer.model.named_modules():
            is_leaf = next(module.children(), None) is None and not isinstance(module, PASSING)
            if is_leaf or next(module.parameters(recurse=False), None) is not None:
                label = f"{name} {type(module).__name__}".strip()
                self._handles.append(module.register_forward_hook(self._watch(label)))

    def _watch(self, label: str) -> Callable[..., None]:
        def hook(module: Module, args: Any, output: Any) -> None:
            outputs = output if isinstance(output, tuple | list) else (output,)
            y = next((o for o in outputs if isinstance(o, Tensor) and is_real_floating(o.dtype) and o.size), None)
            weight = getattr(module, "weight", None)
            if isinstance(weight, Tensor) and weight.ndim > 1:
                self._is_spatial = weight.ndim > 2
            if y is not None:
                self._seen[label] = module, _of_output(innermost(y), 1 if y.ndim != 3 or self._is_spatial else 2)

        return hook

    def on_gradients(self, trainer: Running) -> None:
        if not self._handles:
            return
        self._take_off()
        with waiting_is_meant():
            record = [_record(module, *map(float, output)) for module, output in self._seen.values()]
        names = list(self._seen)
        if self.names and self.names != names:
            self.steps, self.records = [], []  # another model, or another way through it
        self.names = names
        self.steps.append(trainer.step)
        self.records.append(record)
        self._seen = {}

    def on_fit_end(self, trainer: Running) -> None:
        self._take_off()

    def _take_off(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def state_dict(self) -> dict[str, Any]:
        return {"names": self.names, "steps": self.steps, "records": np.array(self.records, dtype=np.float64)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.names, self.steps = list(state["names"]), list(state["steps"])
        self.records = [[LayerRecord(*layer) for layer in record] for record in state["records"].tolist()]

    # --- reading ------------------------------------------------------------------------------------------------------
    def reading(self) -> str:
        """One line on the last record: dead units, gradients that vanish or explode on their way back, or none of these.

        Rules of thumb: gradients vanish where those of the first layer are more than 1,000 times smaller than those of
        the last, explode where they are as much larger, or not finite; units are reported where more than half of a
        layer's are dead.

        Returns
        -------
        str
            Without a line break.
        """
        if not self.records:
            return "nothing was recorded"
        has_gradients = [(n, r.gradient) for n, r in zip(self.names, self.records[-1]) if not math.isnan(r.weight)]
        for name, gradient in has_gradients:
            if not math.isfinite(gradient):
                return f"exploding gradients: that of {name} is not finite. Clip gradients or lower the learning rate"
        dead = [(r.dead, n) for n, r in zip(self.names, self.records[-1]) if r.dead > DEAD]
        if dead:
            part, name = max(dead)
            return f"dead units: {100 * part:.0f} % of {name}. Lower the learning rate, or let them leak"
        (first, g), (last, h) = (has_gradients or [("", 1.0)])[0], (has_gradients or [("", 1.0)])[-1]
        if g == h == 0:
            return "no gradients: they are 0 in the first and the last layer"
        if g * STEEP < h:
            advice = "He initialisation, normalisation, residual connections or other activations would help"
            return f"vanishing gradients: {g:.1e} in {first}, {h:.1e} in {last}. {advice}"
        if g > h * STEEP:
            return f"exploding gradients: {g:.1e} in {first}, {h:.1e} in {last}. Clip them, or start with less"
        return "gradients reach all layers, and units are alive"


def _of_output(x: Any, axis: int) -> tuple[Any, Any, Any]:
    """Mean, standard deviation, and the part of the units that are 0 throughout: of 0-d arrays, which nobody waits for."""
    xp = namespace_of(x)
    if x.ndim < 2:
        x, axis = xp.reshape(x, (-1, 1)), 1
    silent = xp.all(x == 0, axis=tuple(i for i in range(x.ndim) if i != axis))
    x = xp.astype(x, xp.float64)
    return xp.mean(x), xp.std(x), xp.mean(xp.astype(silent, xp.float64))


def _record(module: Module, mean: float, std: float, dead: float) -> LayerRecord:
    gradient, weight = _of_parameters(module)
    return LayerRecord(mean, std, dead, gradient, weight)


def _of_parameters(module: Module) -> tuple[float, float]:
    """√(mean g²) and √(mean w²) over the parameters that a module has itself; NaN without."""
    own = [p for p in module.parameters(recurse=False) if p.grad is not None]
    size = sum(p.size for p in own)
    if not size:
        return math.nan, math.nan
    squares = [sum(float(_square_sum(a)) for a in arrays) for arrays in ([p.grad for p in own], own)]
    return math.sqrt(squares[0] / size), math.sqrt(squares[1] / size)


def _square_sum(tensor: Any) -> Any:
    x = innermost(tensor)
    xp = namespace_of(x)
    x = xp.astype(x, xp.float64)  # squares of exploding gradients overflow float32
    return xp.sum(x * x)
