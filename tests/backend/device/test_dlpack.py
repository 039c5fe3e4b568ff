"""DLPack: bfloat16 by its bits, both ways; what a consumer cannot take is copied."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.backend.device.dlpack import _code


class Foreign:
    """Another library's array: NumPy can read its numbers by DLPack alone."""

    dtype = "torch.bfloat16"

    def __init__(self, array):
        self.array, self.asked = weft.asarray(array), []

    def __dlpack__(self, **options):
        self.asked.append(options)
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


@pytest.fixture(params=["whole", "transposed", "every other"])
def half(request):
    x = weft.asarray(np.arange(12).reshape(3, 4), dtype=weft.bfloat16).data
    return {"whole": x, "transposed": x.T, "every other": x[:, ::2]}[request.param]


class TestBfloat16:
    @pytest.mark.parametrize("read", [weft.from_dlpack, weft.asarray, weft.tensor])
    def test_comes(self, half, read):
        got = read(Foreign(half))
        assert got.dtype == weft.bfloat16
        assert got.tolist() == half.tolist()
        assert np.shares_memory(got.data, half) == (read is not weft.tensor)

    def test_comes_in_another_dtype(self, half):
        got = weft.asarray(Foreign(half), dtype=weft.float32)
        assert (got.dtype, got.tolist()) == (weft.float32, half.tolist())

    def test_goes(self, half):
        """Type code 4, which NumPy refuses, and would not be bfloat16's as integers."""
        with pytest.raises((RuntimeError, BufferError)):
            np.from_dlpack(weft.asarray(half))
        assert weft.from_dlpack(Foreign(half)).tolist() == half.tolist()

    def test_versions(self, half):
        """With a header before the tensor and without."""
        for options in ({}, {"max_version": (1, 0)}):
            name = str(weft.asarray(half).__dlpack__(**options))
            assert ("dltensor_versioned" in name) == bool(options)

    def test_to_the_emulator(self, half):
        if "emulator" not in weft.devices():
            pytest.skip("no emulator here")
        got = weft.asarray(Foreign(half), device="emulator")
        assert (got.device, got.dtype, got.tolist()) == ("emulator", weft.bfloat16, half.tolist())


class TestExport:
    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_steps_backwards_are_copied(self, dtype):
        x = weft.asarray(np.arange(4)[::-1].copy(), dtype=dtype).data[::-1]
        got = weft.from_dlpack(Foreign(x)) if dtype == "bfloat16" else weft.asarray(np.from_dlpack(weft.asarray(x)))
        assert got.tolist() == [0, 1, 2, 3]
        assert not np.shares_memory(got.data, x)

    def test_read_only_memory_is_copied_where_it_cannot_be_marked(self):
        x = np.arange(4.0)
        x.flags.writeable = False
        assert weft.asarray(x).__dlpack__() is not None
        assert weft.asarray(np.broadcast_to(np.float32(1), (3,))).__dlpack__() is not None

    def test_memory_is_shared_otherwise(self):
        x = weft.arange(4.0)
        assert np.shares_memory(np.from_dlpack(x), x.data)


EVERY_DEVICE = ["cpu", pytest.param("emulator", marks=pytest.mark.skipif("emulator" not in weft.devices(), reason="-"))]
BOTH = pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
WRITES = {
    "x[0] =": lambda x: x.__setitem__(0, 9), "fill_": lambda x: x.fill_(9), "+=": lambda x: x.__iadd__(9),
    "copy_": lambda x: x.copy_(weft.ones(3)), "zero_": lambda x: x.zero_(), "init": lambda x: nn.init.ones_(x),
    "a view": lambda x: x.reshape(3, 1)[0].fill_(9), "without grad": weft.no_grad()(lambda x: x.fill_(9)),
}  # fmt: skip


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
class TestMemoryThatIsNotWrittenThrough:
    @BOTH
    def test_elements_in_one_place(self, write, dtype):
        base = np.ones(1, getattr(weft, dtype))
        x = weft.from_dlpack(Shared(base))
        assert x.shape == (3,)
        with pytest.raises((RuntimeError, ValueError), match=r"share one place in memory|read-only"):
            write(x)
        assert base[0] == 1

    @pytest.mark.parametrize("read", [weft.from_dlpack, weft.asarray])
    def test_read_only(self, write, read):
        base = np.ones(3, np.float32)
        base.flags.writeable = False
        with pytest.raises((RuntimeError, ValueError), match="read-only"):
            write(read(base))
        assert base.tolist() == [1, 1, 1]

    def test_of_numpy(self, write):
        """Without its help: `as_strided` is writeable."""
        base = np.ones(1, np.float32)
        x = weft.asarray(np.lib.stride_tricks.as_strided(base, (3,), (0,)))
        if write is not WRITES["a view"] and write is not WRITES["init"]:
            with pytest.raises(RuntimeError, match=r"several elements of this view of shape \(3,\) share one place"):
                write(x)
            assert base[0] == 1


class Shared:
    """Three elements in one place, exported as PyTorch exports `expand`: writeable."""

    def __init__(self, base):
        bits = base.view(np.uint16) if base.dtype == weft.bfloat16 else base
        self.array, self.code = np.lib.stride_tricks.as_strided(bits, (3,), (0,)), 4 if bits is not base else None

    def __dlpack__(self, **options):
        capsule = self.array.__dlpack__(**options)
        if self.code:
            _code(capsule).value = self.code
        return capsule

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


@pytest.mark.parametrize("device", EVERY_DEVICE)
@BOTH
class TestWhatIsCopiedFirst:
    def exported(self, x):
        return weft.from_dlpack(Foreign(x)).data

    def test_steps_backwards(self, device, dtype):
        x = weft.flip(weft.arange(3.0, device=device).to(getattr(weft, dtype)))
        got = self.exported(x)
        assert (got.tolist(), min(got.strides) > 0) == ([2, 1, 0], True)
        with pytest.raises(BufferError, match=r"`copy=False` cannot be kept: the tensor has steps backwards .*\(-"):
            x.__dlpack__(copy=False)

    def test_elements_in_one_place(self, device, dtype):
        x = weft.ones(1, device=device).to(getattr(weft, dtype)).expand(3)
        got = self.exported(x)
        got[0] = 9
        assert (got.tolist(), x.tolist()) == ([9, 1, 1], [1, 1, 1])

    def test_everything_else_is_shared(self, device, dtype):
        x = weft.ones((2, 3), device=device).to(getattr(weft, dtype))
        for y in (x, x.T, x[:, ::2], x[1:], x[:0]):
            assert np.shares_memory(self.exported(y), x.data.view(np.ndarray)) == (y.size > 0)


@BOTH
def test_read_only_memory_is_not_handed_on(dtype):
    """PyTorch writes to it, though the capsule says that it must not."""
    base = np.ones(3, getattr(weft, dtype))
    base.flags.writeable = False
    got = weft.from_dlpack(Foreign(weft.asarray(base))).data
    assert not np.shares_memory(got, base)


@pytest.mark.parametrize("device", EVERY_DEVICE)
class TestForeignBfloat16WithoutDLPack:
    """Where its numbers are written, or stand in a list."""

    def foreign(self, values):
        return Foreign(weft.asarray(values).to(weft.bfloat16))

    def test_lists(self, device):
        for values in ([1.5, 2.5], [[1.5], [2.5]]):
            got = weft.asarray([self.foreign(v) for v in values], device=device)
            assert (got.dtype, got.tolist()) == (weft.float32, values)
