#!/bin/sh
# torch 2.13.0, CPU: batch_norm's backward is wrong where the channels have been permuted to lie together in memory and height or
# width is 1, as signals of shape (N, W, C) that are seen as (N, C, 1, W): values are right, the bias's gradient is not the sum
# of the output's gradient over everything but the channels, and the weight's and the input's are wrong as well. In training
# and in evaluation, for any batch size. The same numbers in contiguous memory, in torch.channels_last, or with two rows: right.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet torch==2.13.0 numpy
"$folder/env/bin/python" - <<'PY'
import torch
from torch.nn.functional import batch_norm

print("torch", torch.__version__)
torch.manual_seed(0)
C = 3


def gradients(x, grad, training):
    """Values, and the gradients of input, weight and bias."""
    x = x.detach().requires_grad_()
    weight, bias = torch.ones(C, dtype=x.dtype, requires_grad=True), torch.zeros(C, dtype=x.dtype, requires_grad=True)
    y = batch_norm(x, torch.zeros(C, dtype=x.dtype), torch.ones(C, dtype=x.dtype), weight, bias, training=training)
    return y.detach(), *torch.autograd.grad(y, (x, weight, bias), grad)


for shape in ((4, C, 1, 5), (4, C, 5, 1), (1, C, 1, 5), (4, C, 2, 5)):
    n, c, h, w = shape
    # rows of channels, seen with the channels in front: what x.permute does after a layer on sequences
    signal = torch.randn(n, w, c, h, dtype=torch.float64).permute(0, 2, 3, 1) if h == 1 else torch.randn(n, w, h, c, dtype=torch.float64).permute(0, 3, 2, 1)
    grad = torch.randn(shape, dtype=torch.float64)
    for training in (True, False):
        plain = gradients(signal.contiguous(), grad, training)
        last = gradients(signal.contiguous().contiguous(memory_format=torch.channels_last), grad, training)
        seen = gradients(signal, grad, training)
        total = grad.sum((0, 2, 3))
        names = ("values", "input", "weight", "bias")
        off = [name for name, a, b in zip(names, seen, plain) if not torch.allclose(a, b)]
        print(f"{shape}, strides {signal.stride()}, {'training' if training else 'evaluation'}: wrong {off or 'nothing'};",
              f"bias {[round(v, 3) for v in seen[3].tolist()]}, the sum is {[round(v, 3) for v in total.tolist()]}")
        assert all(torch.allclose(a, b) for a, b in zip(plain, last)) and torch.allclose(plain[3], total)
        assert "values" not in off and ("bias" in off) == (1 in (h, w)), "this has changed"
PY
