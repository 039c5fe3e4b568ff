"""Hooks of an optimizer's steps, against what PyTorch's documentation says of them."""

import copy

import pytest

import weft
from weft import optimizers as optim


def test_before_and_after_each_step():
    p, seen = weft.Parameter([1.0]), []
    optimizer = optim.SGD([p], lr=0.5)
    before = optimizer.register_step_pre_hook(lambda o, args, kwargs: seen.append(("before", p.item())))
    optimizer.register_step_post_hook(lambda o, args, kwargs: seen.append(("after", p.item(), o is optimizer)))
    p.grad = weft.tensor([1.0])
    optimizer.step()
    before.remove()
    optimizer.step()
    assert seen == [("before", 1.0), ("after", 0.5, True), ("after", 0.0, True)]


def test_a_pre_hook_replaces_the_arguments():
    p = weft.Parameter([1.0])
    optimizer = optim.SGD([p], lr=0.5)
    p.grad = weft.tensor([1.0])
    optimizer.register_step_pre_hook(lambda o, args, kwargs: (args, {"multiplier": weft.tensor(0.5)}))
    optimizer.step()
    assert p.item() == 0.75
    optimizer.register_step_pre_hook(lambda o, args, kwargs: 3)
    with pytest.raises(RuntimeError, match=r"must return None or \(args, kwargs\), got 3"):
        optimizer.step()
    with pytest.raises(TypeError, match="`hook` must be a function, got 3"):
        optimizer.register_step_post_hook(3)


def test_a_copy_has_none():
    p, seen = weft.Parameter([1.0]), []
    optimizer = optim.Adam([p])
    optimizer.register_step_post_hook(lambda *_: seen.append(1))
    other = copy.deepcopy(optimizer)
    other.step()
    assert not seen


def test_of_lbfgs():
    p, seen = weft.Parameter([1.0]), []
    optimizer = optim.LBFGS([p])

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    optimizer.register_step_post_hook(lambda o, args, kwargs: seen.append(args == (closure,)))
    optimizer.step(closure)
    assert seen == [True]
