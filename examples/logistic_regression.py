"""Logistic regression twice: by the formula everyone knows for its gradient, (ŷ − y) x, and by the tape. They agree."""

import argparse
import sys
from collections.abc import Sequence

import weft


def main(arguments: Sequence[str] = ()) -> float:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200, help="steps downhill (%(default)s)")
    options = parser.parse_args(arguments)

    generator = weft.Generator(0)
    x = weft.randn(200, 2, generator=generator)
    y = weft.astype(x @ weft.tensor([2.0, -1.0]) + 0.3 * weft.randn(200, generator=generator) > 0, weft.float32)

    def loss(w, b):
        """Binary cross-entropy ln(1 + exp z) − y z of z = x w + b, in a form that cannot overflow."""
        z = x @ w + b
        return weft.mean(weft.logaddexp(z, 0.0 * z) - y * z)

    w, b = weft.zeros(2), weft.tensor(0.0)
    for _ in range(options.steps):
        slope_w, slope_b = weft.grad(loss, (0, 1))(w, b)
        y_hat = 1 / (1 + weft.exp(-(x @ w + b)))
        by_hand = (y_hat - y) @ x / 200
        assert weft.max(weft.abs(slope_w - by_hand)).item() < 1e-6
        w, b = w - slope_w, b - slope_b
    accuracy = weft.mean(weft.astype((x @ w + b > 0) == (y > 0.5), weft.float32)).item()
    print(f"w = {w.tolist()}, b = {b.item():.3f}, loss {loss(w, b).item():.4f}, accuracy {accuracy:.1%}")
    return accuracy


if __name__ == "__main__":
    main(sys.argv[1:])
