"""Captured work of the emulator: nothing is done before the launch, and a graph holds addresses, as on a GPU."""

import gc

import numpy as np
import pytest

from weft.kernels import activation, emulator
from weft.kernels.emulator import FreedMemory
from weft.kernels.emulator import namespace as xp
from weft.kernels.emulator.graph import CaptureError, capture
from weft.kernels.gemm import gemm


@pytest.fixture
def x():
    return xp.ones((2, 3), dtype=np.float32)


class TestCapture:
    def test_nothing_is_done_until_the_launch(self, x):
        out = xp.zeros((2, 3), dtype=np.float32)
        with capture() as graph:
            y = x * 2
            y += 1
            out[0] = y[0]
            out[1] = y.sum()
        assert not out.get().any()
        for value in (1.0, 2.0):
            x[...] = value
            graph.launch()
            assert out.get().tolist() == [[2 * value + 1] * 3, [6 * (2 * value + 1)] * 3]

    def test_views_share_memory(self, x):
        with capture() as graph:
            column = x.T[1]
            column += 10
        before = x.get()
        graph.launch()
        graph.launch()
        before[:, 1] += 20
        np.testing.assert_array_equal(x.get(), before)

    @pytest.mark.parametrize(
        "f",
        [
            lambda a: a.sum().item(),
            lambda a: bool(a[0, 0]),
            lambda a: float(a[0, 0]),
            lambda a: a.get(),
            lambda a: a.tolist(),
            lambda a: a[a > 1],
            lambda a: a.__setitem__(a > 1, a[0]),
            lambda a: a.nonzero(),
            lambda a: xp.nonzero(a),
            lambda a: xp.unique(a),
            lambda a: xp.repeat(a, a[0].astype(xp.int64), axis=1),
            lambda a: xp.repeat(a, repeats=a[0].astype(xp.int64), axis=1),
            lambda a: a.repeat(a[0].astype(xp.int64), axis=1),
        ],
    )
    def test_waiting_is_refused(self, x, f):
        with pytest.raises(CaptureError, match="it reads a value on the host"), capture():
            f(x)
        assert not emulator.is_capturing()

    def test_repeating_by_numbers_of_the_host(self, x):
        with capture() as graph:
            y = xp.repeat(x, 2, axis=0)
        graph.launch()
        np.testing.assert_array_equal(y.get(), np.repeat(x.get(), 2, axis=0))

    @pytest.mark.parametrize("value", [np.ones(3), 1.0, [1.0, 2.0]])
    def test_copies_from_the_host_are_refused(self, value):
        with pytest.raises(CaptureError, match="it copies from the host"), capture():
            xp.asarray(value)

    def test_one_at_a_time(self):
        with capture(), pytest.raises(CaptureError, match="under way already"), capture():
            pass


class TestMemory:
    """A graph keeps what was made during the capture, and nothing else: what it reads must be kept by whoever captures."""

    @pytest.mark.parametrize(
        "use",
        [
            lambda out, a: xp.add(out, a, out=out),
            lambda out, a: out.__setitem__(..., a),
            lambda out, a: out.__setitem__(slice(0, 1), a.T[::-1, 1][None]),
            lambda out, a: out.__iadd__(xp.concatenate([a[:1], a[1:]]) * 2),
            lambda out, a: a.fill(3),
            lambda out, a: xp.copyto(a[0], out[0]),
        ],
        ids=["ufunc", "set", "view", "copies", "written", "copyto"],
    )
    @pytest.mark.parametrize("is_view", [False, True])
    def test_what_was_freed_is_not_worked_on(self, use, is_view):
        out, whole = xp.zeros((3, 3), dtype=np.float32), xp.ones((3 + is_view, 3), dtype=np.float32)
        a = whole[is_view:]
        with capture() as graph:
            use(out, a)
        graph.launch()
        before = out.get()
        del a, whole
        gc.collect()
        others = [xp.full((3, 3), 1e9, dtype=np.float32) for _ in range(4)]
        with pytest.raises(
            FreedMemory, match=r"a recorded step works on (36|48) bytes that were freed after the recording"
        ):
            graph.launch()
        np.testing.assert_array_equal(out.get(), before)
        assert all((o.get() == 1e9).all() for o in others)

    def test_what_is_kept_is_worked_on(self, x):
        out = xp.zeros((2,), dtype=np.float32)
        with capture() as graph:
            out += x.T[::-1, 1][:2]  # neither view lives on
        gc.collect()
        for value in (1.0, 2.0):
            x[1, 1:] = value
            graph.launch()
        assert out.get().tolist() == [3, 3]

    def test_freed_before_the_capture_is_over(self, x):
        with capture() as graph:
            for _ in range(3):  # the next may have its identity
                y = np.ones(3, np.float32).view(emulator.Array)
                x += y
                del y
        with pytest.raises(FreedMemory):
            graph.launch()

    def test_a_product(self):
        a, b = xp.ones((2, 3), dtype=np.float32), xp.ones((3, 2), dtype=np.float32)
        with capture() as graph:
            c = gemm(a, b)
        graph.launch()
        assert c.get().tolist() == [[3, 3], [3, 3]]
        del b
        with pytest.raises(FreedMemory, match="24 bytes"):
            graph.launch()

    def test_a_kernel(self):
        """It finds memory as it lay: what is misaligned is so in a replay."""
        x, y = xp.ones(4097, dtype=np.float32), xp.zeros(4097, dtype=np.float32)
        grid, sizes = activation._geometry(x[:4096], None, 2, True)
        kernel = activation.activation_forward[x.dtype, "Relu"]
        with capture() as aligned:
            kernel(grid, activation.THREADS, x[:4096], None, y[:4096], *sizes)
        with capture() as misaligned:
            kernel(grid, activation.THREADS, x[1:], None, y[1:], *sizes)
        aligned.launch()
        assert y.get().tolist() == [1] * 4096 + [0]
        with pytest.raises(emulator.KernelFault, match="misaligned access"):
            misaligned.launch()
        del x
        with pytest.raises(FreedMemory):
            aligned.launch()

    def test_empty_arrays_have_no_memory(self):
        with capture() as graph:
            y = xp.concatenate([xp.zeros((0, 3), dtype=np.float32), xp.ones((1, 3), dtype=np.float32)])
        graph.launch()
        assert y.get().tolist() == [[1, 1, 1]]
