"""A forecaster: a GRU learns how a season and its trend go on, and is measured against the season before."""

import argparse
import sys
from collections.abc import Sequence

import numpy as np

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.data import DataLoader, SlidingWindows, Standardize
from weft.layers import models
from weft.training import Predictor

SEASON, HORIZON, CONTEXT, TEST = 12, 12, 12, 48


def main(arguments: Sequence[str] = ()) -> float:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=30, help="passes over the windows (%(default)s)")
    options = parser.parse_args(arguments)

    weft.manual_seed(0)
    t = np.arange(240)
    noise = np.random.default_rng(0).normal(scale=0.02, size=240)
    series = np.exp(0.01 * t + 0.2 * np.sin(2 * np.pi * t / SEASON) + noise)  # grows by a share of itself
    logs = np.log(series)[:, None]
    normalizer = Standardize().fit(logs[:-TEST])  # of the training part alone
    x, window = normalizer(logs), SEASON + CONTEXT
    train = SlidingWindows(x, window, HORIZON, stop=len(x) - TEST)
    test = SlidingWindows(x, window, HORIZON, start=len(x) - TEST)

    model = models.Forecaster(window, HORIZON, "gru", "season", SEASON, hidden_size=16)
    optimizer, loss_of = optim.AdamW(model.parameters(), lr=1e-2), nn.MSELoss()
    loader = DataLoader(train, batch_size=32, shuffle=True, seed=0)
    for epoch in range(options.epochs):
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = loss_of(model(inputs), targets)
            loss.backward()
            optimizer.step()
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1:2d}  loss {loss.item():.4f}")

    forecast = np.exp(normalizer.inverse(Predictor(model).predict(DataLoader(test, 64))[..., None])[..., 0])
    at = np.array(test.origins)[:, None] + np.arange(HORIZON)
    error, baseline = (np.abs(f - series[at]).mean() for f in (forecast, series[at - SEASON]))
    print(f"mean absolute error {error:.3f}, of the season before {baseline:.3f}")
    return float(error / baseline)


if __name__ == "__main__":
    main(sys.argv[1:])
