"""Networks in which something is made not to be finite at a known place: that place must be named."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.backend.nn import loss
from weft.training import NonFiniteError, StopOnNaN, Trainer


class Log(nn.Module):
    def forward(self, x):
        return weft.log(x)


class Root(nn.Module):
    """√(x − x): the value is 0, the derivative infinite."""

    def forward(self, x):
        return x + weft.sqrt(x - x.detach())


def fit(model, x, y=None, *, lr=0.01, epochs=2, loss=None, callback=None):
    y = np.zeros((len(x), 1), np.float32) if y is None else y
    trainer = Trainer(
        model, loss or nn.MSELoss(), optim.SGD(model.parameters(), lr=lr), callbacks=[callback or StopOnNaN()]
    )
    with np.errstate(all="ignore"):
        trainer.fit([(x, y)], epochs=epochs)
    return trainer


X = np.ones((4, 2), np.float32)


class TestWhere:
    def test_output_of_a_layer(self):
        model = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(), Log()), nn.Linear(3, 1))
        model[0].weight.data[...] = -1
        with pytest.raises(
            NonFiniteError, match=r"the loss is (nan|inf) at epoch 1, batch 1: it began in the output of `1\.1` \(Log\)"
        ):
            fit(model, X)

    def test_model_without_layers(self):
        class Model(nn.Module):
            def __init__(self):
                self.w = weft.Parameter([1.0])

            def forward(self, x):
                return weft.log(-self.w * x)

        with pytest.raises(NonFiniteError, match=r"in the output of the model \(Model\)"):
            fit(Model(), X, X)

    def test_loss_itself(self):
        with pytest.raises(NonFiniteError, match=r"all layers gave finite outputs, so it began in the loss itself"):
            fit(nn.Linear(2, 1), X, loss=lambda output, target: weft.log(output * 0).mean())

    def test_gradient(self):
        """The loss of the first batch is finite; its gradient is not; that shows at the second."""
        model = nn.Sequential(nn.Linear(2, 3), Root(), nn.Linear(3, 1))
        with pytest.raises(
            NonFiniteError, match=r"at epoch 2, batch 1: the gradient of `0\.bias` was not finite at the last"
        ):
            fit(model, X)

    def test_update(self):
        model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
        with pytest.raises(
            NonFiniteError, match=r"the last update made `.*` overflow; lower the learning rate|in the output of"
        ):
            fit(model, X, lr=1e30, epochs=5)

    def test_data(self):
        bad = X.copy()
        bad[2, 1] = np.nan
        with pytest.raises(NonFiniteError, match=r"the input of this batch is not finite; check the data"):
            fit(nn.Linear(2, 1), bad)
        with pytest.raises(NonFiniteError, match=r"the target of this batch is not finite"):
            fit(nn.Linear(2, 1), X, np.full((4, 1), np.inf, np.float32))

    def test_same_random_numbers(self):
        """A dropout that makes a layer fail makes it fail again when the batch is run again."""

        class Reciprocal(nn.Module):
            def forward(self, x):
                return 1 / x

        torn = nn.Sequential(nn.Dropout(0.5), Reciprocal(), nn.Linear(2, 1))
        with pytest.raises(NonFiniteError, match=r"in the output of `1` \(Reciprocal\)"):
            fit(torn, np.ones((64, 2), np.float32))


class TestWhileAllIsWell:
    def test_changes_nothing(self):
        results = []
        for callbacks in ([], [StopOnNaN()]):
            weft.manual_seed(0)
            model = nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5), nn.Linear(8, 1))
            trainer = Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1), callbacks=callbacks)
            trainer.fit([(X, X[:, :1])] * 3, epochs=2)
            results.append([p.tolist() for p in model.parameters()])
        assert results[0] == results[1]
        assert all(module._hooks is None for module in model.modules())

    def test_looks_at_every_nth_batch_only(self):
        trainer = fit(nn.Linear(2, 1), np.full((4, 2), np.nan, np.float32), epochs=0, callback=StopOnNaN(every=2))
        batches = [(X, X[:, :1]), (X * np.float32(np.nan), X[:, :1]), (X, X[:, :1])]
        with pytest.raises(NonFiniteError, match=r"at epoch 1, batch 3"):
            trainer.fit(batches, epochs=1)

    def test_error(self):
        with pytest.raises(ValueError, match=r"`every` must be at least 1, got 0"):
            StopOnNaN(0)


class TestNoClass:
    """What losses and embeddings answer with NaN where a look would have to wait: it is the data, not the loss."""

    @pytest.mark.parametrize("capture", [None, False])
    def test_target(self, capture):
        model = nn.Linear(2, 3).to("emulator")
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        ours = Trainer(model, nn.CrossEntropyLoss(), optimizer, callbacks=[StopOnNaN(every=1)], capture=capture)
        batches = [(X, np.array([0, 1, 2, label])) for label in (0, 1, 2, -100, 0, 7)]
        error, message = (IndexError, "at position 3, got 7") if capture is False else (
            NonFiniteError,
            "at epoch 1, batch 6: the target holds 7 at position 3, which is no class: they are 0 … 2; check the data",
        )  # fmt: skip
        with pytest.raises(error, match=message):
            ours.fit(batches)

    @pytest.mark.parametrize("can_look", [False, True])
    def test_index(self, monkeypatch, can_look):
        weft.zeros(1, device="emulator")
        if not can_look:  # as on a GPU
            monkeypatch.setattr(loss, "readable", {np.ndarray: lambda x: x})
        model = nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(6, 1)).to("emulator")
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        ours = Trainer(model, nn.MSELoss(), optimizer, callbacks=[StopOnNaN(every=1)])
        batches = [(np.array([[0, 1], [2, last]]), np.ones((2, 1), np.float32)) for last in (0, 1, 2, 3, 4, 5)]
        message = r"batch 6: `0` \(Embedding\) was given the index 5 at position 3, and has rows 0 … 4; check the data"
        message = r"batch 6: `indices` must be in \[0, 5\), .* at position 3, got 5; check" if can_look else message
        with pytest.raises(NonFiniteError, match=message):
            ours.fit(batches)
