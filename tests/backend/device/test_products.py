"""Products that are spread over weft's threads against NumPy's own, and when BLAS's threads are left asleep."""

import os
import subprocess
import sys

import numpy as np
import pytest

import weft
from weft import layers, optimizers
from weft.backend.device import parallel, products
from weft.layers import functional as F


@pytest.fixture(params=[1, 2, 3])
def threads(request, monkeypatch):
    """So many threads, where BLAS's do not sleep soon; puts back what was."""
    monkeypatch.setattr(products, "sleeps_soon", False)
    n, blas = weft.num_threads(), [library.get_num_threads() for library in parallel._blas_libraries()]
    weft.set_num_threads(request.param)
    yield request.param
    weft.set_num_threads(n)
    for library, count in zip(parallel._blas_libraries(), blas):
        library.set_num_threads(count)


def matrices(rng, dtype, m, k, n, transposed):
    a, b = rng.standard_normal((m, k)), rng.standard_normal((k, n))
    if transposed:
        a, b = a.T.copy().T, b.T.copy().T
    return a.astype(dtype, order="K"), b.astype(dtype, order="K")


SHAPES = [(4, 5, 6), (64, 128, 64), (700, 120, 65), (65, 120, 701), (1, 3000, 1000), (1000, 3000, 1), (17, 9000, 17)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_dot(rng, threads, dtype, transposed, shape):
    a, b = matrices(rng, dtype, *shape, transposed)
    expected = a.astype(np.float64) @ b.astype(np.float64)
    atol = 40 * np.finfo(dtype).eps * np.sqrt(shape[1])
    out = np.full(expected.shape, np.nan, dtype)
    assert products.dot(a, b, out) is out
    for got in (products.dot(a, b), products.matmul(a, b), out, products.matmul(a, b, np.empty_like(out))):
        assert got.dtype == dtype
        np.testing.assert_allclose(got, expected, rtol=0, atol=atol)


@pytest.mark.parametrize(("one", "other"), [
    ((5, 60, 90), (5, 90, 70)), ((5, 60, 90), (90, 70)), ((60, 90), (5, 90, 70)), ((1, 60, 900), (4, 900, 70)),
    ((4, 1, 60, 90), (3, 90, 70)), ((1, 3, 60, 90), (1, 3, 90, 70)), ((0, 300, 300), (0, 300, 300)), ((900,), (3, 900, 900)),
])  # fmt: skip
def test_stacks(rng, threads, one, other):
    a, b = rng.standard_normal(one), rng.standard_normal(other)
    np.testing.assert_allclose(products.matmul(a, b), np.matmul(a, b), rtol=0, atol=1e-11)


def test_the_pieces_do_not_depend_on_who_computes_them(rng, threads):
    a, b = matrices(rng, np.float32, 300, 257, 300, False)
    inside = [None, None]

    def work(start, stop):
        for i in range(start, stop):
            inside[i] = products.dot(a, b)  # the pool is busy: by this thread alone

    parallel.parallel_for(work, 2)
    for got in inside:
        np.testing.assert_array_equal(got, products.dot(a, b))


def test_blas_wakes_no_thread_of_its_own(rng, threads, monkeypatch):
    seen = []

    class Watched(np.ndarray):
        def dot(self, *args):
            seen.append({library.get_num_threads() for library in parallel._blas_libraries()})
            return np.ndarray.dot(self, *args)

    a, b = matrices(rng, np.float32, 96, 96, 96, False)  # worth no second thread of weft's
    products.dot(a.view(Watched), b)
    assert seen == [{1}]
    of_blas = min(threads, parallel._available_cores())
    assert {library.get_num_threads() for library in parallel._blas_libraries()} == {of_blas}
    monkeypatch.setattr(products, "sleeps_soon", True)
    products.dot(a.view(Watched), b)
    assert seen[1:] == [{of_blas}]


def test_a_captured_step_has_the_bits_of_an_eager_one(rng, threads):
    x, y = weft.asarray(rng.standard_normal((130, 300)).astype("f")), weft.asarray(rng.integers(0, 10, 130))

    def losses(wrapped):
        weft.manual_seed(0)
        model = layers.Sequential(layers.Linear(300, 200), layers.ReLU(), layers.Linear(200, 10))
        optimizer = optimizers.Adam(model.parameters())

        def step(x, y):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        step = wrapped(step)
        return [step(x, y).item() for _ in range(12)]

    assert losses(weft.capture) == losses(lambda step: step)


def test_blas_wakes_no_thread_in_a_replay_either(rng, threads):
    w = weft.asarray(rng.standard_normal((100, 100)).astype("f"))
    step = weft.capture(lambda x: F.linear(x, w))
    for _ in range(8):
        step(weft.ones((100, 100)))
    (graph,) = [recorded.graph for recorded in step._steps.values()]
    assert ("spread(branch0)" in graph.source) == (threads > 1)


ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "OPENBLAS_THREAD_TIMEOUT"}


@pytest.mark.parametrize(("first", "told", "expected"), [
    ("weft", None, (True, None)), ("numpy", None, (False, None)), ("weft", "26", (False, "26")), ("numpy", "4", (True, "4")),
    ("weft", "soon", (False, "soon")), ("weft", "0", (False, "0")),
])  # fmt: skip
def test_openblas_is_told_in_time(first, told, expected):
    code = f"import {first}, weft, os; print((weft._openblas.sleeps_soon, os.environ.get('OPENBLAS_THREAD_TIMEOUT')))"
    environment = ENVIRONMENT if told is None else ENVIRONMENT | {"OPENBLAS_THREAD_TIMEOUT": told}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(expected)
