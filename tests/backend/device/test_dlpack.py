"""DLPack: bfloat16 by its bits, both ways; what a consumer cannot take is copied."""

import numpy as np
import pytest

import weft


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
