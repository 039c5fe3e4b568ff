"""Random programs of views, writes in place, `no_grad`, `checkpoint` and several backwards: PyTorch's values and gradients.

Where PyTorch raises, weft may raise, or be right. What is right a second program tells, which has copies in the place of views
and of writes. Needs PyTorch, which is in no extra: skipped without it.
"""

import random

import numpy as np
import pytest

import weft

PROGRAMS, SEED = 400, 7
VIEWS = {
    "x[0]": lambda x: x[0],
    "x[:, 1]": lambda x: x[:, 1],
    "x[1:]": lambda x: x[1:],
    "x.T": lambda x: x.transpose(0, 1),
    "x.reshape(-1)": lambda x: x.reshape(-1),
    "x.unsqueeze(0)": lambda x: x.unsqueeze(0),
}
VALUES = {
    "x * y": lambda x, y: x * y,
    "x + y": lambda x, y: x + y,
    "x / (y² + 1)": lambda x, y: x / (y * y + 1),
    "tanh x": lambda x, y: x.tanh(),
    "x²": lambda x, y: x**2,
    "2 x": lambda x, y: x * 2,
    "x − mean y": lambda x, y: x - y.mean(),
}


def _iadd(x, y):
    x += y


def _imul(x, y):
    x *= y


def _put_first(x, y):
    x[0] = y[0]


WRITES = {
    "x += y": _iadd,
    "x *= y": _imul,
    "x *= 0.5": lambda x, y: _imul(x, 0.5),
    "x.copy_(y)": lambda x, y: x.copy_(y),
    "x.fill_(0.5)": lambda x, y: x.fill_(0.5),
    "x[0] = y[0]": _put_first,
}


def _program(rng):
    """Instructions (kind, name, i, j): i and j choose among the tensors that there are, whatever their number."""
    kinds = rng.choices(
        ["value", "view", "write", "write under no_grad", "checkpoint", "backward"],
        [5, 4, 4, 1, 1, 1],
        k=rng.randint(4, 14),
    )
    names = {
        "value": VALUES, "view": VIEWS, "write": WRITES, "write under no_grad": WRITES, "checkpoint": VALUES, "backward": [""],
    }  # fmt: skip
    return [
        *((kind, rng.choice(list(names[kind])), rng.random(), rng.random()) for kind in kinds),
        ("backward", "", 1.0, 1.0),
    ]


class Library:
    """Does what an instruction says with the tensors of weft or PyTorch."""

    def __init__(self, tensor, no_grad, checkpoint):
        self.tensor, self.no_grad, self.checkpoint = tensor, no_grad, checkpoint

    def value(self, name, x, y):
        return VALUES[name](x, y)

    def view(self, name, x):
        return VIEWS[name](x)

    def write(self, name, x, y):
        WRITES[name](x, y)

    def write_under_no_grad(self, name, x, y):
        with self.no_grad():
            WRITES[name](x, y)

    def raw(self, x):
        return x


class Copies:
    """The reference: the same with PyTorch, but nothing in place. A view is a function of its root's present value."""

    def __init__(self, torch, tensor):
        self.torch, self.leaf = torch, tensor

    def tensor(self, start, requires_grad):
        return [self.leaf(start, requires_grad)], ()

    def raw(self, x):
        root, path = x
        value = root[0]
        for name in path:
            value = VIEWS[name](value)
        return value

    def value(self, name, x, y):
        return [VALUES[name](self.raw(x), self.raw(y))], ()

    def checkpoint(self, f, x, y):
        return [f(self.raw(x), self.raw(y))], ()

    def view(self, name, x):
        return x[0], (*x[1], name)

    def write(self, name, x, y):
        root, path = x
        new = self.raw(x).clone()
        WRITES[name](new, self.raw(y))
        where = self.raw(([self.torch.arange(root[0].numel()).reshape(root[0].shape)], path))
        whole = root[0].reshape(-1).clone()
        whole[where.reshape(-1)] = new.reshape(-1)
        root[0] = whole.reshape(root[0].shape)

    def write_under_no_grad(self, name, x, y):
        before = x[0][0]
        self.write(name, x, y)
        x[0][0] = before + (x[0][0] - before).detach()  # other numbers, the same derivative


def _run(program, library):
    """(the leaves' gradients, all values: in the end, or at the first error; that error)."""
    start, raw = np.linspace(-1, 1, 18).reshape(3, 3, 2), library.raw
    tensors = [library.tensor(start[0], True), library.tensor(start[1], True), library.tensor(start[2], False)]
    leaves = [raw(t) for t in tensors[:2]]
    is_plain = [True] * 3  # row-major in every library, so that `reshape` gives a view
    error = None
    try:
        for kind, name, i, j in program:
            n = min(int(i * len(tensors)), len(tensors) - 1)
            x = tensors[n]
            alike = [m for m, t in enumerate(tensors) if raw(t).shape == raw(x).shape]
            m = alike[min(int(j * len(alike)), len(alike) - 1)]
            y, plain = tensors[m], is_plain[n] and is_plain[m]
            if kind == "value":
                tensors.append(library.value(name, x, y))
            elif kind == "view":
                if raw(x).ndim == 2 and (is_plain[n] or name != "x.reshape(-1)"):
                    tensors.append(library.view(name, x))
                    plain = is_plain[n] and name not in ("x.T", "x[:, 1]")
            elif kind == "write":
                library.write(name, x, y)
            elif kind == "write under no_grad":
                library.write_under_no_grad(name, x, y)
            elif kind == "checkpoint":
                if raw(x).requires_grad:
                    tensors.append(library.checkpoint(VALUES[name], x, y))
            elif (loss := sum((raw(t) * raw(t)).sum() for t in tensors[-3:])).requires_grad:
                loss.backward(retain_graph=True)
            is_plain += [plain] * (len(tensors) - len(is_plain))
    except RuntimeError as caught:
        error = f"{kind} {name}: {caught}"
    gradients = [0 if t.grad is None else t.grad.tolist() for t in leaves]
    return gradients, [raw(t).detach().tolist() for t in tensors], error


@pytest.mark.slow
def test_equal_or_both_raise():
    torch = pytest.importorskip("torch")
    from torch.utils.checkpoint import checkpoint

    def leaf(start, requires_grad):
        return torch.tensor(start.copy(), requires_grad=requires_grad)

    ours = Library(lambda a, r: weft.tensor(a.copy(), requires_grad=r), weft.no_grad, weft.checkpoint)
    theirs = Library(leaf, torch.no_grad, lambda f, *args: checkpoint(f, *args, use_reentrant=True))
    rng, outcomes = random.Random(SEED), {"equal": 0, "both raise": 0, "right where PyTorch raises": 0}
    for n in range(PROGRAMS):
        program = _program(rng)
        found, pytorch = _run(program, ours), _run(program, theirs)
        if found[2] and pytorch[2]:
            outcomes["both raise"] += 1
            continue
        assert not found[2], f"program {n} {program} raises {found[2]}, PyTorch gives {pytorch[0]}"
        wanted = _run(program, Copies(torch, leaf))
        assert not wanted[2], f"the reference of program {n} {program} raises {wanted[2]}"
        for ours_, wanted_ in zip(found[:2], wanted[:2]):
            for a, b in zip(ours_, wanted_, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12, err_msg=f"program {n} {program}")
        outcomes["right where PyTorch raises" if pytorch[2] else "equal"] += 1
    assert min(outcomes.values()) > PROGRAMS / 50, outcomes
