"""What other programs are told of a training: read back from TensorBoard's files, from W&B and MLflow where they are installed."""

import struct
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.training import MLflow, TensorBoard, Trainer, WandB

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(16, 3, 4, 4)).astype(np.float32), RNG.integers(0, 2, 16)
BATCHES = [(X[:8], Y[:8]), (X[8:], Y[8:])]


def fit(*callbacks, epochs=2, **options):
    weft.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2), nn.Dropout(0.5))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, callbacks=callbacks, **options)
    trainer.fit(BATCHES, BATCHES, epochs=epochs)
    return trainer


def events(folder):
    """The events in a folder's files: records of (length, crc, data, crc)."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    found = []
    for path in sorted(Path(folder).rglob("*tfevents*")):
        raw, at = path.read_bytes(), 0
        while at < len(raw):
            (n,) = struct.unpack_from("<Q", raw, at)
            found.append(event_pb2.Event.FromString(raw[at + 12 : at + 12 + n]))
            at += n + 16
    return found


class TestTensorBoard:
    def test_every_number_by_step(self):
        class Writer:
            def __init__(self):
                self.calls, self.flushed = [], False

            def add_scalar(self, name, value, step):
                self.calls.append((name, value, step))

            def flush(self):
                self.flushed = True

        writer = Writer()
        history = fit(TensorBoard(writer)).history
        assert ("val_loss", history[1]["val_loss"], 4) in writer.calls
        assert {name for name, _, _ in writer.calls} == set(history[0]) - {"epoch", "step"}
        assert writer.flushed

    def test_files(self, tmp_path):
        tensorboard = pytest.importorskip("tensorboardX")
        with tensorboard.SummaryWriter(str(tmp_path)) as writer:
            logger = TensorBoard(writer, histograms=True, images=4, graph=True, hparams={"lr": 0.1, "model": "cnn"})
            trainer = fit(logger)
        found = events(tmp_path)
        values = {(v.tag, e.step): v for e in found for v in e.summary.value}
        assert values["loss", 4].simple_value == pytest.approx(trainer.history[1]["loss"])
        weight = trainer.model[0].weight.detach().numpy()
        assert values["0.weight", 4].histo.max == pytest.approx(weight.max())
        assert values["0.weight", 4].histo.num == weight.size
        assert values["batch", 2].image.height == 4
        assert ("batch", 4) not in values
        assert any(tag == "_hparams_/experiment" for tag, _ in values)
        (graph,) = [self.graph(e.graph_def) for e in found if e.graph_def]
        assert next(op for op in graph.values() if op[0] not in ("Parameter", "Input")) == (
            "conv",
            ["x0", "0/weight", "0/bias"],
        )
        assert {name for name, (op, _) in graph.items() if op == "Parameter"} == {
            "0/weight",
            "0/bias",
            "3/weight",
            "3/bias",
        }
        assert {source for _, sources in graph.values() for source in sources} <= set(graph)

    @staticmethod
    def graph(raw):
        graph_pb2 = pytest.importorskip("tensorboardX.proto.graph_pb2")
        return {node.name: (node.op, list(node.input)) for node in graph_pb2.GraphDef.FromString(raw).node}

    def test_the_training_is_what_it_is_without(self, tmp_path):
        tensorboard = pytest.importorskip("tensorboardX")
        with tensorboard.SummaryWriter(str(tmp_path)) as writer:
            watched = fit(TensorBoard(writer, histograms=True, images=1, graph=True))
        assert [row["loss"] for row in watched.history] == [row["loss"] for row in fit().history]
        assert watched.model.training

    def test_errors(self):
        with pytest.raises(TypeError, match="`hparams` must be a dict or None, got 3"):
            TensorBoard(types.SimpleNamespace(add_scalar=print, flush=print), hparams=3)


class TestWandB:
    def test_calls(self, monkeypatch):
        calls = []
        run = types.SimpleNamespace(
            log=lambda row, step: calls.append((step, row)), finish=lambda: calls.append("finished")
        )
        module = types.SimpleNamespace(init=lambda **options: calls.append(options) or run)
        monkeypatch.setitem(sys.modules, "wandb", module)
        history = fit(WandB("digits", {"lr": 0.1}, name="first")).history
        assert calls[0] == {"project": "digits", "config": {"lr": 0.1}, "mode": "offline", "name": "first"}
        assert calls[2] == (4, {"epoch": 2, **{k: v for k, v in history[1].items() if k not in ("epoch", "step")}})
        assert calls[-1] == "finished"

    @pytest.mark.filterwarnings("ignore")  # of what that library itself calls
    def test_library(self, tmp_path, monkeypatch):
        wandb = pytest.importorskip("wandb")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("WANDB_SILENT", "true")
        fit(WandB("digits", {"lr": 0.1}, dir=str(tmp_path)))
        wandb.teardown()  # its service has written all by then
        (path,) = (path for path in tmp_path.rglob("*.wandb") if not path.is_symlink() and "latest" not in str(path))
        assert b"val_loss" in path.read_bytes()

    def test_errors(self, monkeypatch):
        with pytest.raises(ValueError, match="`mode` must be 'offline', 'online' or 'disabled', got 'on'"):
            WandB(mode="on")
        monkeypatch.setitem(sys.modules, "wandb", None)
        with pytest.raises(ImportError, match=r'`WandB` needs wandb .*: pip install "weft\[log\]"'):
            fit(WandB())


class TestMLflow:
    @pytest.mark.filterwarnings("ignore")  # of what that library itself calls
    def test_library(self, tmp_path):
        mlflow = pytest.importorskip("mlflow")
        address = f"sqlite:///{tmp_path}/runs.db"  # its files in folders are no longer written to
        history = fit(MLflow("digits", {"lr": 0.1}, tracking_uri=address, run_name="first")).history
        client = mlflow.MlflowClient(tracking_uri=address)
        (run,) = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
        assert (run.data.params, run.info.status, run.info.run_name) == ({"lr": "0.1"}, "FINISHED", "first")
        assert [m.step for m in client.get_metric_history(run.info.run_id, "loss")] == [2, 4]
        assert run.data.metrics["val_loss"] == pytest.approx(history[1]["val_loss"])

    def test_calls(self, monkeypatch):
        calls = []

        class Client:
            def __init__(self, tracking_uri):
                calls.append(tracking_uri)

            def get_experiment_by_name(self, name):
                return None

            def create_experiment(self, name):
                return f"number of {name}"

            def create_run(self, number, run_name):
                calls.append((number, run_name))
                return types.SimpleNamespace(info=types.SimpleNamespace(run_id="id"))

            def __getattr__(self, name):
                return lambda *args, **kwargs: calls.append((name, *args, *kwargs.values()))

        monkeypatch.setitem(sys.modules, "mlflow", types.SimpleNamespace(MlflowClient=Client))
        history = fit(MLflow(params={"lr": 0.1}, tracking_uri="here", run_name="first")).history
        assert calls[:3] == ["here", ("number of Default", "first"), ("log_param", "id", "lr", 0.1)]
        assert ("log_metric", "id", "loss", history[1]["loss"], 4) in calls
        assert calls[-1] == ("set_terminated", "id", "FINISHED")

    def test_without_it(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "mlflow", None)
        with pytest.raises(ImportError, match=r'`MLflow` needs mlflow .*: pip install "weft\[log\]"'):
            fit(MLflow())


def test_a_trial_tells_nobody():
    logger = WandB("digits")
    fit(logger, fast_dev_run=True)
    assert logger.run is None
