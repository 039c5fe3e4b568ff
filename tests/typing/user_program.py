"""What a user writes, with the type that each expression must have; `test_typing.py` hands it to mypy and pyright.

Lines that end in `# wrong` must be refused, all others pass.
"""

from typing import Any, assert_type

import numpy as np

import weft
from weft import Parameter, Tensor
from weft import layers as nn
from weft import optimizers as optim
from weft.layers import functional as F

x = weft.ones((2, 3), requires_grad=True)
y = weft.asarray([0, 1])

# operators
assert_type(x + x, Tensor)
assert_type(2 * x - 1.5, Tensor)
assert_type(1 / x, Tensor)
assert_type(-x, Tensor)
assert_type(x**2, Tensor)
assert_type(x @ x.T, Tensor)
assert_type(x > 0, Tensor)
assert_type(x == x, Tensor)
assert_type(x + np.ones(3), Tensor)
assert_type(x[0, 1:], Tensor)
assert_type(x[x > 0], Tensor)
assert_type(x.mT, Tensor)
x += 1
assert_type(x, Tensor)
x[0] = 2.0

# methods
assert_type(x.sum(), Tensor)
assert_type(x.sum(0, keepdims=True), Tensor)
assert_type(x.max(axis=(0, 1)), Tensor)
assert_type(x.std(correction=1), Tensor)
assert_type(x.sum(dim=1), Tensor)
assert_type(x.exp().log(), Tensor)
assert_type(x.reshape(-1, 2), Tensor)
assert_type(x.reshape((3, 2)), Tensor)
assert_type(x.transpose(0, 1), Tensor)
assert_type(x.float(), Tensor)
assert_type(x.to("cpu"), Tensor)
assert_type(x.to(weft.float64), Tensor)
assert_type(x.detach(), Tensor)
assert_type(x.split(1), tuple[Tensor, ...])
assert_type(x.shape, tuple[int, ...])
assert_type(x.numpy(), np.ndarray)

# the namespace
assert_type(weft.exp(x), Tensor)
assert_type(weft.add(x, 1), Tensor)
assert_type(weft.sum(x, axis=0), Tensor)
assert_type(weft.where(x > 0, x, -x), Tensor)
assert_type(weft.concat([x, x], axis=1), Tensor)
assert_type(weft.linalg.eigh(x @ x.T).eigenvalues, Tensor)
assert_type(weft.linalg.inv(x @ x.T), Tensor)
assert_type(weft.matmul(x, x.T), Tensor)
assert_type(weft.randn(2, 3), Tensor)
assert_type(weft.tensor([1.0, 2.0]), Tensor)

# layers, losses and a model of one's own
assert_type(nn.Linear(3, 4)(x), Tensor)
assert_type(nn.Sequential(nn.Linear(3, 4), nn.ReLU())(x), Tensor)
assert_type(nn.CrossEntropyLoss()(x, y), Tensor)
assert_type(F.cross_entropy(x, y), Tensor)
assert_type(F.relu(x), Tensor)


class Model(nn.Module):
    def __init__(self) -> None:
        self.scale = Parameter(weft.ones(3))
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x * self.scale)


model = Model().train()
assert_type(model, Model)
loss = nn.CrossEntropyLoss()(model(x), y)
assert_type(loss, Tensor)
optimizer = optim.Adam(model.parameters(), lr=1e-3)
optimizer.zero_grad()
loss.backward()
optimizer.step()


@weft.no_grad()
def accuracy(scores: Tensor, target: Tensor) -> float:
    return (scores.argmax(1) == target).float().mean().item()


@weft.autocast("bfloat16")
def forward(x: Tensor) -> Tensor:
    return F.relu(x)


@weft.no_grad
def frozen(x: Tensor) -> Tensor:
    return 2 * x


assert_type(accuracy(x, y), float)
assert_type(forward(x), Tensor)
assert_type(frozen(x), Tensor)
accuracy(x)  # wrong


@weft.primitive
def lerp(xp: Any, a: Any, b: Any, /, *, w: float) -> Any:
    return a + w * (b - a), (lambda g: (1 - w) * g, lambda g: w * g)


assert_type(lerp(x, x, w=0.5), Tensor)

x.summ()  # wrong
weft.exp(x, 3)  # wrong
weft.exp(x, nonsense=1)  # wrong
x.sum(axes=1)  # wrong
lerp(x, x, weight=0.5)  # wrong
nn.Linear(3, 4)(x, x)  # wrong
