"""Arrays of other libraries: SciPy and scikit-learn under array-API dispatch; PyTorch and JAX, both ways, where installed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import weft

A = np.arange(6.0).reshape(2, 3)
# fmt: off
DTYPES = [
    "float32", "float64", "float16", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool",
    "complex64", "complex128",
]
VIEWS = {
    "plain": lambda x: x, "backwards": lambda x: weft.flip(x, axis=1), "transposed": lambda x: x.T, "broken": lambda x: x[:, ::2],
    "broadcast": lambda x: weft.broadcast_to(x[:1], (2, 3)), "empty": lambda x: x[:0],
}
# fmt: on


@pytest.fixture(scope="module")
def found():
    pytest.importorskip("sklearn")
    program = Path(__file__).with_name("dispatched.py")
    run = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


class TestDispatch:
    def test_results_are_tensors_with_numpy_s_numbers(self, found):
        numbers = {name for name, (kind, _) in found["values"].items() if kind == "float"}
        assert numbers == {f"metrics.{n}" for n in ("accuracy_score", "f1_score", "mean_squared_error", "r2_score")}
        assert {kind for kind, _ in found["values"].values()} == {"Tensor", "float"}
        assert len(found["values"]) > 50
        assert not {name: by for name, (_, by) in found["values"].items() if not by < 1e-6}

    def test_gradients_pass_through(self, found):
        assert len(found["gradients"]) == 3
        assert max(found["gradients"].values()) < 1e-4


def torch():
    library = pytest.importorskip("torch")
    return library.from_dlpack, lambda a, dtype: library.tensor(a).to(getattr(library, dtype))


def jax():
    library = pytest.importorskip("jax")
    library.config.update("jax_enable_x64", True)
    return library.numpy.from_dlpack, lambda a, dtype: library.numpy.asarray(a).astype(dtype)


@pytest.mark.parametrize("library", [torch, jax])
@pytest.mark.parametrize("dtype", DTYPES)
class TestOtherLibraries:
    @pytest.mark.parametrize("read", [weft.asarray, weft.from_dlpack, weft.tensor])
    def test_they_come(self, library, dtype, read):
        _, make = library()
        got = read(make(A, dtype))
        assert str(got.dtype) == dtype
        assert got.tolist() == weft.asarray(A).astype(getattr(weft, dtype)).tolist()

    @pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
    def test_they_go(self, library, dtype, view):
        take, _ = library()
        x = view(weft.asarray(A).astype(getattr(weft, dtype)))
        if library is jax and view is VIEWS["broken"]:  # of which JAX says itself that it wants it without gaps
            x = weft.asarray(x, copy=True)
        got = take(x)
        assert str(got.dtype).rpartition(".")[2] == dtype
        assert got.tolist() == x.tolist()


class TestWhatCannotBe:
    def test_a_gradient_is_not_lost_on_the_way(self):
        with pytest.raises(BufferError, match=r"`__dlpack__` would lose the gradient .*: call .detach\(\) first"):
            np.from_dlpack(weft.ones(2, requires_grad=True))
