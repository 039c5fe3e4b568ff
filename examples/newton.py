"""Newton's method: gradients of gradients, on a function that knows nothing of weft, only the array API standard."""

import argparse
import sys
from collections.abc import Sequence

import weft


def rosenbrock(x):
    """(1 − x₀)² + 100 (x₁ − x₀²)², written for any array library."""
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def softmax_entropy(x):
    """H(softmax x), as someone else's library might have it: the namespace comes from the array."""
    xp = x.__array_namespace__()
    p = xp.exp(x - xp.max(x))
    p = p / xp.sum(p)
    return -xp.sum(p * xp.log(p))


def hessian(f, x):
    """Row i is the gradient of the i-th component of the gradient."""
    gradient = weft.grad(f)
    return weft.stack([weft.grad(lambda x, i=i: gradient(x)[i])(x) for i in range(x.size)])


def main(arguments: Sequence[str] = ()) -> float:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=8, help="Newton's steps (%(default)s)")
    options = parser.parse_args(arguments)

    x = weft.tensor([-1.2, 1.0], dtype=weft.float64)
    for step in range(options.steps):
        x = x - weft.linalg.solve(hessian(rosenbrock, x), weft.grad(rosenbrock)(x))
        print(f"step {step + 1}  x = {x.tolist()}  f = {rosenbrock(x).item():.3e}")
    print("slope of the entropy:", weft.grad(softmax_entropy)(weft.tensor([1.0, 2.0, 3.0])).tolist())
    return rosenbrock(x).item()


if __name__ == "__main__":
    main(sys.argv[1:])
