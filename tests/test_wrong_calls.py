"""Wrong calls: each is refused when it is made, in words that name what was required and what came; or there is a reason."""

import re
import warnings
from math import inf, nan

import numpy as np
import pytest

import weft
from tests.wrong_calls import ACCEPTED, CALLS, PYTHONS
from weft import data as D
from weft import layers as nn
from weft import optimizers as optim
from weft import training as T
from weft.layers import functional as F
from weft.layers import init
from weft.optimizers import schedulers as S

LINES = [(part, line) for part, lines in CALLS.items() for line in lines.split("\n") if line]
REFUSALS = (TypeError, ValueError, LookupError, AttributeError, RuntimeError, OverflowError, MemoryError)
WORDS = re.compile(r"`|\bgot\b|has no attribute '|missing \d required positional|unexpected keyword argument '")


def names():
    """What the calls speak of, made anew for each."""
    weft.manual_seed(0)
    model, square, other = nn.Linear(3, 2), nn.Linear(3, 3), nn.Linear(3, 2)
    g = weft.Parameter([1.0])
    g.grad = weft.tensor([1.0])
    loss = nn.MSELoss()
    return {
        "np": np,
        "weft": weft,
        "nn": nn,
        "optim": optim,
        "F": F,
        "init": init,
        "S": S,
        "D": D,
        "T": T,
        "nan": nan,
        "inf": inf,
        "model": model,
        "o": optim.SGD(model.parameters(), lr=0.1),
        "loss": loss,
        "g": g,
        "other": optim.SGD(other.parameters()),
        "X": np.ones((4, 3), np.float32),
        "p": weft.Parameter([1.0, 2.0]),
        "w": weft.Parameter(np.ones((2, 3), np.float32)),
        "x": weft.ones((4, 3)) * 0.5,
        "y": weft.tensor([0, 1, 2, 0]),
        "data": D.ArrayDataset(np.ones((4, 3)), np.arange(4) % 2),
        "trainer": T.Trainer(square, loss, optim.SGD(square.parameters())),
    }


@pytest.fixture(autouse=True)
def _as_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    threads, device, dtype = weft.num_threads(), weft.get_default_device(), weft.get_default_dtype()
    yield
    weft.set_num_threads(threads)
    weft.set_default_device(device)
    weft.set_default_dtype(dtype)


@pytest.mark.parametrize(("part", "line"), LINES, ids=[line for _, line in LINES])
def test_is_refused(part, line):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if line in ACCEPTED:
            eval(line, names())
            return
        with pytest.raises(REFUSALS) as caught:
            eval(line, names())
    text = str(caught.value)
    assert type(caught.value).__module__ in ("builtins", "numpy.exceptions", "numpy.linalg") or "weft" in repr(
        type(caught.value)
    )
    assert WORDS.search(text) or line in PYTHONS, text
    assert not isinstance(caught.value, NameError | NotImplementedError), text


def test_the_lists_are_what_they_say():
    lines = [line for _, line in LINES]
    assert len(lines) == len(set(lines)) >= 900
    assert set(ACCEPTED) | set(PYTHONS) <= set(lines)
    assert len(ACCEPTED) + len(PYTHONS) < 40
