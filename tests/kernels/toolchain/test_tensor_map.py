"""Tensor maps: what the driver is asked, as cuda.h has it, and what is refused before."""

import ctypes

import numpy as np
import pytest

from weft.kernels.toolchain import tensor_map
from weft.kernels.toolchain.launch import HALVES
from weft.kernels.toolchain.tensor_map import TensorMap

U32, U64, POINTER = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_void_p
ENCODE = ctypes.CFUNCTYPE(
    ctypes.c_int, POINTER, ctypes.c_int, U32, POINTER, ctypes.POINTER(U64), ctypes.POINTER(U64), ctypes.POINTER(U32),
    ctypes.POINTER(U32), *[ctypes.c_int] * 4,
)  # fmt: skip


@pytest.fixture
def asked(monkeypatch):
    """What a driver is asked, one that writes 1 … 128 as the map and answers `status`."""

    class Driver:
        status = 0

        def __init__(self):
            self.cuTensorMapEncodeTiled = ENCODE(self.encode)

        def encode(self, place, kind, rank, address, sizes, strides, box, steps, *modes):
            self.got = {"kind": kind, "address": address, "sizes": sizes[:rank], "strides": strides[: rank - 1],
                        "box": box[:rank], "steps": steps[:rank], "modes": modes, "aligned": place % 128}  # fmt: skip
            ctypes.memmove(place, bytes(range(1, 129)), 128)
            return self.status

    driver = Driver()
    monkeypatch.setattr(tensor_map, "_driver", lambda: driver)
    return driver


@pytest.mark.parametrize(("dtype", "kind"), [*zip(HALVES, (6, 9))])
def test_the_driver_is_asked(asked, dtype, kind):
    heads = np.zeros((2, 40, 3, 72), dtype).swapaxes(1, 2)  # (B, H, L, D) as a view of (B, L, H, D)
    found = tensor_map.encode(TensorMap(heads, 128), 1 << 40)
    assert found.tobytes() == bytes(range(1, 129))
    assert found.size == 1
    assert asked.got == {
        "kind": kind, "address": 1 << 40, "sizes": [72, 40, 3, 2], "strides": [3 * 144, 144, 40 * 3 * 144],
        "box": [64, 128, 1, 1], "steps": [1] * 4, "modes": (0, 3, 3, 0), "aligned": 0,
    }  # fmt: skip


def test_the_driver_refuses(asked):
    asked.status = 1
    with pytest.raises(RuntimeError, match=r"refuses the tensor map of \(64, 8, 1, 1\) elements .* with error 1"):
        tensor_map.encode(TensorMap(np.zeros((1, 1, 8, 64), np.float16), 8), 256)


def test_strides_along_axes_of_one_do_not_matter():
    x = np.lib.stride_tricks.as_strided(np.zeros(512, np.float16), (1, 1, 8, 64), (6, 2, 128, 2))
    assert TensorMap(x, 8).strides == (128, 16, 16)


@pytest.mark.parametrize(
    ("array", "rows", "message"),
    [
        (np.zeros((8, 64), np.float16), 8, r"four axes .* got float16 \(8, 64\)"),
        (np.zeros((1, 1, 8, 64), np.float32), 8, "float16 or bfloat16 .* got float32"),
        (np.zeros((1, 1, 0, 64), np.float16), 8, "not empty"),
        (np.zeros((1, 1, 8, 64), np.float16), 257, "boxes of 1 to 256 rows, got .* 257"),
        (np.zeros((1, 1, 8, 65), np.float16), 8, r"multiples of 16 bytes, got strides of \(1040, 1040, 130, 2\)"),
        (np.zeros((1, 1, 8, 128), np.float16)[..., ::2], 8, "rows without gaps"),
        (np.broadcast_to(np.zeros((1, 1, 8, 64), np.float16), (2, 1, 8, 64)), 8, "copy the array"),
    ],
)
def test_refused(array, rows, message):
    with pytest.raises(ValueError, match=message):
        TensorMap(array, rows)
