"""Which dtypes hold numbers: NumPy's and ml_dtypes', one by one. (What is refused, and how: array/test_creation.py.)"""

import ml_dtypes
import numpy as np
import pytest

from weft.backend.device.numeric import check_dtype, is_numeric

NUMBERS = ["?", "b", "B", "i2", "u2", "i4", "u4", "i8", "u8", "e", "f", "d", "F", "D", ">f4", ">i8", ml_dtypes.bfloat16]
OTHERS = ["U", "U5", "S", "O", "V", "V3", "M8", "M8[ns]", "m8", [("a", "f4")], "2f4", np.dtypes.StringDType()]


@pytest.mark.parametrize("dtype", NUMBERS)
def test_numbers(dtype):
    assert is_numeric(np.dtype(dtype))
    check_dtype(dtype)


@pytest.mark.parametrize("dtype", OTHERS, ids=str)
def test_others(dtype):
    assert not is_numeric(np.dtype(dtype))
    with pytest.raises(TypeError, match="`dtype` must be one of weft's, such as float32 or int64, got"):
        check_dtype(np.dtype(dtype))
