#!/bin/sh
# torch 2.13.0, CPU: F.interpolate(..., antialias=True) to an output one column wide and of another height than the image
# gives every row the value of the first one, in all three antialiased modes and every dtype that they take. The gradient
# is that of the right map, so training goes on against values that are wrong. Two columns, or no antialias: right.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet torch==2.13.0 numpy
"$folder/env/bin/python" - <<'PY'
import torch
from torch.nn.functional import interpolate

print("torch", torch.__version__)
x = torch.arange(1.0, 7.0, dtype=torch.float64).reshape(1, 1, 6, 1).expand(1, 1, 6, 4).contiguous()  # rows 1 to 6
for mode in ("bilinear", "bicubic", "lanczos"):
    one, two = (interpolate(x, size=(3, columns), mode=mode, antialias=True) for columns in (1, 2))
    print(mode, "one column:", one.flatten().tolist(), " two columns, the first:", two[..., 0].flatten().tolist())
    assert torch.equal(one, one[:, :, :1].expand_as(one)), "the rows differ now"
    assert (two[0, 0, 2, 0] - two[0, 0, 0, 0]) > 3

x.requires_grad_()
y = interpolate(x, size=(3, 1), mode="bilinear", antialias=True)
slopes = torch.stack([torch.autograd.grad(y[0, 0, row, 0], x, retain_graph=True)[0] for row in range(3)])
linear = (slopes * x.detach()).sum(dim=(1, 2, 3, 4))  # a linear map's value is its gradient times the input
print("values:", y.flatten().tolist(), " gradient times input:", linear.tolist())
assert (linear - y.detach().flatten()).abs().max() > 3, "values and gradient agree now"
PY
