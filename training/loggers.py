"""Callbacks that hand the history to TensorBoard, Weights & Biases, MLflow, each by that program's own library."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..backend.array.manipulation import astype
from ..backend.device.devices import to_numpy
from ..backend.device.dtypes import is_real_floating
from ..backend.device.options import integer
from ..backend.modes.trace import traced
from ..backend.tape.autograd import no_grad
from ..backend.tape.tensor import Tensor, innermost
from ..layers.evaluating import evaluating
from . import check
from .callbacks import Callback
from .running import Running

__all__ = ["MLflow", "TensorBoard", "WandB"]


def _numbers(row: Mapping[str, float]) -> dict[str, float]:
    """What an epoch's row of the history has to show over the count of updates."""
    return {name: value for name, value in row.items() if name not in ("epoch", "step")}


def imported(module: str, extra: str, purpose: str) -> Any:
    """A module, or an ImportError that says for what it is needed and how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f'`{purpose}` needs {module} ({error}): pip install "weft[{extra}]"') from None


class TensorBoard(Callback):
    """Gives every number of the history to a SummaryWriter after each epoch, the step being the count of updates.

    Parameters
    ----------
    writer : SummaryWriter
        Of `tensorboardX` or of `torch.utils.tensorboard`; weft depends on neither.
    histograms : bool, default False
        Whether the distribution of each parameter goes there, too.
    images : int, default 0
        So many images of the first epoch's last batch, stretched to [0, 1].
    graph : bool, default False
        Whether to draw what the model does with one sample, operation by operation.
    hparams : dict, optional
        Numbers and words that the run is told apart by; written at the end with the last row.

    Raises
    ------
    TypeError
        If `writer` is no such object, or `hparams` no dict.

    Examples
    --------
    >>> class Writer:
    ...     def add_scalar(self, name, value, step):
    ...         print(step, name) if name == "loss" else None
    ...
    ...     def flush(self): ...
    >>> model = nn.Linear(1, 1)
    >>> optimizer = optim.SGD(model.parameters(), lr=0.1)
    >>> trainer = weft.training.Trainer(model, nn.MSELoss(), optimizer, callbacks=[weft.training.TensorBoard(Writer())])
    >>> history = trainer.fit([(weft.ones((2, 1)), weft.ones((2, 1)))] * 3)
    3 loss
    """

    order = 1
    writes = first_alone = True

    def __init__(
        self,
        writer: Any,
        *,
        histograms: bool = False,
        images: int = 0,
        graph: bool = False,
        hparams: dict[str, Any] | None = None,
    ):
        check.has_methods("writer", writer, ("add_scalar", "flush"), "SummaryWriter('logs')")
        integer("images", images, 0)
        if not isinstance(hparams, dict | None):
            raise TypeError(f"`hparams` must be a dict or None, got {hparams!r:.80}")
        self.writer, self.histograms, self.images, self.graph, self.hparams = writer, histograms, images, graph, hparams
        self._is_first = True

    def on_epoch_end(self, trainer: Running) -> None:
        for name, value in _numbers(trainer.row).items():
            self.writer.add_scalar(name, value, trainer.step)
        for name, p in trainer.model.named_parameters() if self.histograms else ():
            self.writer.add_histogram(name, _on_host(p), trainer.step)
        if self._is_first:
            x, self._is_first = trainer.current_batch[0], False
            if self.images and x.ndim == 4 and x.shape[1] in (1, 3):
                shown = _on_host(x[: self.images])
                low, high = float(shown.min()), float(shown.max())
                self.writer.add_images("batch", (shown - low) / (high - low or 1.0), trainer.step)
            if self.graph:
                self._draw(trainer)

    def _draw(self, trainer: Running) -> None:
        """A GraphDef of the trace of one sample: what TensorFlow called a node is an operation here."""
        is_x = type(self.writer).__module__.startswith("tensorboardX")
        package = "tensorboardX.proto" if is_x else "tensorboard.compat.proto"
        graphs, events = (
            imported(f"{package}.{file}_pb2", "log", "TensorBoard(graph=True)") for file in ("graph", "event")
        )
        model, graph = trainer.model, graphs.GraphDef()
        with evaluating(model), no_grad():
            trace = traced(model, *[x[:1] for x in trainer.current_batch[:-1]])
        made: dict[str, str] = {}
        for i, op in enumerate(trace):
            for name in filter(None, op.input_names):
                if name not in made:
                    made[name] = name.replace(".", "/")
                    graph.node.add(name=made[name], op="Parameter" if "." in name else "Input")
            node = f"{i} {op.name}".replace(" ", "_")
            graph.node.add(name=node, op=op.name, input=[made[name] for name in op.input_names if name])
            made.update(dict.fromkeys(filter(None, op.output_names), node))
        self.writer.file_writer.add_event(events.Event(graph_def=graph.SerializeToString()))

    def on_fit_end(self, trainer: Running) -> None:
        if self.hparams is not None and trainer.history:
            metrics = {f"hparam/{name}": value for name, value in _numbers(trainer.history[-1]).items()}
            self.writer.add_hparams(self.hparams, metrics)
        self.writer.flush()


def _on_host(x: Tensor) -> np.ndarray:
    wide = astype(x.detach(), np.dtype(np.float32)) if is_real_floating(x.dtype) and x.dtype.itemsize < 4 else x
    return np.asarray(to_numpy(innermost(wide)))


class WandB(Callback):
    """Logs every number of the history to Weights & Biases, by the library `wandb`, after each epoch.

    Parameters
    ----------
    project : str, optional
        What the run belongs to.
    config : dict, optional
        What the run is told apart by.
    mode : {"offline", "online", "disabled"}, default "offline"
        Offline writes files alone, which `wandb sync` sends on.
    **options : object
        Whatever else `wandb.init` takes: `name`, `dir`, `tags`.

    Raises
    ------
    ValueError
        If `mode` is none of these.
    ImportError
        When the training begins, if wandb is not installed.

    Examples
    --------
    >>> logger = weft.training.WandB("digits", config={"lr": 0.1}, name="first")
    >>> logger.options["mode"]
    'offline'
    """

    order = 1
    writes = first_alone = True

    def __init__(
        self, project: str | None = None, config: dict[str, Any] | None = None, *, mode: str = "offline", **options: Any
    ):
        if mode not in ("offline", "online", "disabled"):
            raise ValueError(f"`mode` must be 'offline', 'online' or 'disabled', got {mode!r}")
        self.options = {"project": project, "config": config, "mode": mode, **options}
        self.run: Any = None

    def on_fit_begin(self, trainer: Running) -> None:
        self.run = imported("wandb", "log", "WandB").init(**self.options)

    def on_epoch_end(self, trainer: Running) -> None:
        self.run.log({"epoch": trainer.epoch, **_numbers(trainer.row)}, step=trainer.step)

    def on_fit_end(self, trainer: Running) -> None:
        if self.run is not None:
            self.run.finish()


class MLflow(Callback):
    """Logs every number of the history to MLflow, by the library `mlflow`, after each epoch.

    Parameters
    ----------
    experiment : str, optional
        What the run belongs to.
    params : dict, optional
        What the run is told apart by.
    tracking_uri : str, optional
        Where to: a server, or a folder or SQLite file, as MLflow takes them. MLflow's own default if None.
    run_name : str, optional
        What the run is called.

    Raises
    ------
    ImportError
        When the training begins, if mlflow is not installed.

    Examples
    --------
    >>> logger = weft.training.MLflow("digits", params={"lr": 0.1}, tracking_uri="sqlite:///runs.db")
    >>> logger.experiment
    'digits'
    """

    order = 1
    writes = first_alone = True

    def __init__(
        self,
        experiment: str | None = None,
        params: dict[str, Any] | None = None,
        *,
        tracking_uri: str | None = None,
        run_name: str | None = None,
    ):
        self.experiment, self.params, self.tracking_uri, self.run_name = (
            experiment,
            params or {},
            tracking_uri,
            run_name,
        )
        self.client: Any = None
        self.run: Any = None

    def on_fit_begin(self, trainer: Running) -> None:
        self.client = imported("mlflow", "log", "MLflow").MlflowClient(tracking_uri=self.tracking_uri)
        name = self.experiment or "Default"
        found = self.client.get_experiment_by_name(name)
        number = found.experiment_id if found is not None else self.client.create_experiment(name)
        self.run = self.client.create_run(number, run_name=self.run_name).info.run_id
        for key, value in self.params.items():
            self.client.log_param(self.run, key, value)

    def on_epoch_end(self, trainer: Running) -> None:
        for name, value in _numbers(trainer.row).items():
            self.client.log_metric(self.run, name, value, step=trainer.step)

    def on_fit_end(self, trainer: Running) -> None:
        if self.run is not None:
            is_done = trainer.stopping is not None or trainer.epoch >= trainer.epochs
            self.client.set_terminated(self.run, "FINISHED" if is_done else "FAILED")
