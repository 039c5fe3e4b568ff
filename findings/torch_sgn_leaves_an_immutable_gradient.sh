#!/bin/sh
# torch 2.13.0, CPU: backward through `torch.sgn` leaves in `.grad` a tensor without memory that nobody may write to (a
# "ZeroTensor", an inside of forward mode). It prints as zeros; but a second backward, which would add to it, gradient clipping,
# `.tolist()` and `.numpy()` raise RuntimeError. `torch.sign`, equal for real numbers, leaves zeros. The same comes of
# `x.abs()` differentiated twice, so of penalties on gradients of L1 losses whose gradients are accumulated.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet torch==2.13.0 numpy
"$folder/env/bin/python" - <<'PY'
import torch

print("torch", torch.__version__)


def penalty(x):
    """Σ of the gradient of Σ |x|."""
    (slope,) = torch.autograd.grad(x.abs().sum(), x, create_graph=True)
    return slope.sum()


def outcome(f):
    try:
        f()
    except RuntimeError as error:
        return f"RuntimeError: {str(error)[:60]}"
    return "fine"


def after(loss, then):
    x = torch.ones(2, requires_grad=True)
    loss(x).backward()
    return outcome(lambda: then(x))


LOSSES = {"sign": lambda x: torch.sign(x).sum(), "sgn": lambda x: torch.sgn(x).sum(), "abs, twice": penalty}
USES = {
    "print": lambda x: repr(x.grad),
    "second backward": lambda x: x.square().sum().backward(),
    "clip_grad_norm_": lambda x: torch.nn.utils.clip_grad_norm_([x], 1.0),
    "tolist": lambda x: x.grad.tolist(),
}
for name, loss in LOSSES.items():
    for use, then in USES.items():
        found = after(loss, then)
        print(f"{name}: {use}: {found}")
        assert (found == "fine") == (name == "sign" or use == "print"), "this has changed"
PY
