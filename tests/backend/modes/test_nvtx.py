"""Ranges, as a double of CuPy's bindings sees them."""

import sys
import types

import pytest

import weft
from weft.backend.device import devices
from weft.backend.modes import nvtx


@pytest.fixture
def calls(monkeypatch):
    """What NVTX is told, once a GPU is in use."""
    found = []
    library = types.SimpleNamespace(
        Mark=lambda name: found.append(f"mark {name}"),
        RangePush=lambda name: found.append(f"push {name}"),
        RangePop=lambda: found.append("pop"),
    )
    cupy = types.SimpleNamespace(cuda=types.SimpleNamespace(nvtx=library))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(devices._opened, "cuda", cupy)
    return found


def test_without_a_gpu_nothing_happens(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with weft.nvtx.range("a"), weft.nvtx.emit():
        weft.nvtx.mark("b")
        weft.exp(weft.ones(1))
        assert list(nvtx.each("step", [1, 2])) == [1, 2]


def test_marks_and_ranges(calls):
    weft.nvtx.mark("a")
    weft.nvtx.range_push("b")
    with weft.nvtx.range("c {} {x}", 1, x=2), pytest.raises(ZeroDivisionError), weft.nvtx.range("{d}"):
        _ = 1 / 0
    weft.nvtx.range_pop()
    assert calls == ["mark a", "push b", "push c 1 2", "push {d}", "pop", "pop", "pop"]


def test_decorator(calls):
    @weft.nvtx.range("f")
    def f(x):
        """Its documentation."""
        return x + 1

    assert (f(1), f(2)) == (2, 3)
    assert f.__doc__ == "Its documentation."
    assert calls == ["push f", "pop"] * 2


def test_emit(calls):
    x = weft.ones(2, requires_grad=True)
    with weft.nvtx.emit():
        weft.sum(weft.exp(x)).backward()
    weft.exp(x)
    assert calls == ["push exp", "pop", "push sum", "pop", "push sum.backward", "pop", "push exp.backward", "pop"]


def test_items_have_ranges_while_emitting(calls):
    items = [5, 6]
    assert nvtx.each("step", items) is items
    with weft.nvtx.emit():
        for x in nvtx.each("step", items):
            calls.append(x)
    assert calls == ["push step 0", 5, "pop", "push step 1", 6, "pop"]
