"""A search of hyper-parameters with Optuna, which gives up early what does no good: `pip install "weft[train,tune]"`."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import optuna

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.data import DataLoader, Standardize, load_digits, train_dev_test_split
from weft.training import Callback, Trainer

SPLITS = train_dev_test_split(load_digits().train, test=0.3, seed=0)
NORMALIZE = Standardize().fit(SPLITS.train.x)


class Report(Callback):
    """Tells Optuna the accuracy after each epoch, and ends the trial where others were better by then."""

    def __init__(self, trial: optuna.Trial):
        self.trial = trial

    def on_epoch_end(self, trainer: Any) -> None:
        self.trial.report(trainer.row["val_accuracy"], trainer.epoch)
        if self.trial.should_prune():
            raise optuna.TrialPruned


def objective(trial: optuna.Trial) -> float:
    weft.manual_seed(0)
    lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    width = trial.suggest_int("width", 8, 128, log=True)
    dropout = trial.suggest_float("dropout", 0, 0.5)
    hidden = [nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Dropout(dropout)]
    model = nn.Sequential(*hidden, nn.Linear(width, 10))
    trainer = Trainer(
        model,
        nn.CrossEntropyLoss(),
        optim.AdamW(model.parameters(), lr=lr),
        metrics=["accuracy"],
        callbacks=[Report(trial)],
    )
    train, dev = (
        DataLoader(part, 64, shuffle=shuffle, seed=0, transform=NORMALIZE)
        for part, shuffle in ((SPLITS.train, True), (SPLITS.test, False))
    )
    return trainer.fit(train, dev, epochs=8)[-1]["val_accuracy"]


def main(arguments: Sequence[str] = ()) -> tuple[float, int]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20, help="how many settings to try (%(default)s)")
    options = parser.parse_args(arguments)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler, pruner = optuna.samplers.TPESampler(seed=0), optuna.pruners.MedianPruner(n_startup_trials=4)
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
    study.optimize(objective, n_trials=options.trials)
    pruned = sum(trial.state == optuna.trial.TrialState.PRUNED for trial in study.trials)
    for trial in study.trials:
        values = ", ".join(f"{name} {value:.3g}" for name, value in trial.params.items())
        last = max(trial.intermediate_values)
        print(f"{trial.number:2}  {values:<38}  {100 * trial.intermediate_values[last]:5.1f} % after {last} epochs")
    print(
        f"best: {100 * study.best_value:.1f} % with {study.best_params}; {pruned} of {len(study.trials)} given up early"
    )
    return study.best_value, pruned


if __name__ == "__main__":
    main(sys.argv[1:])
