#!/bin/sh
# torch 2.13.0, CPU: the gradient of F.interpolate(..., mode="nearest", scale_factor=s) on sequences and volumes is that of
# another map than its values, where the length stays as it was (or doubles) though the factor is not 1 (or 2): values are
# read at floor(i / s), gradients go to i (or i // 2). On images both are alike.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet torch==2.13.0 numpy
"$folder/env/bin/python" - <<'PY'
import torch
from torch.autograd.functional import jacobian
from torch.nn.functional import interpolate

print("torch", torch.__version__)


def places(axes, length, factor):
    """Which elements along the last axis the values come from, and to which the gradients go."""
    shape = (1, 1, *(1,) * (axes - 1), length)
    factors = (1.0,) * (axes - 1) + (factor,)
    x = torch.arange(length, dtype=torch.float64).reshape(shape)

    def f(x):
        return interpolate(x, scale_factor=factors, mode="nearest").flatten()

    slopes = jacobian(f, x).reshape(-1, length)
    return f(x).int().tolist(), slopes.argmax(dim=1).tolist()


for length, factor in ((3, 1.3), (3, 2.2)):
    for axes in (1, 2, 3):
        read, given = places(axes, length, factor)
        print(f"{axes} axes, length {length}, factor {factor}: values from {read}, gradients to {given}")
        assert (read == given) == (axes == 2), "this has changed"
PY
