"""rotary_embedding: what its primitive's rows do not have."""

import pytest

import weft
from weft.layers import functional as F


class TestErrors:
    def test_dtypes(self):
        x, whole = weft.ones((3, 4)), weft.tensor([[1, 1]])
        with pytest.raises(TypeError, match="`cos` must have a real floating-point dtype, got int64"):
            F.rotary_embedding(x, whole, whole)

    @pytest.mark.parametrize("shape", [(3, 3), (2, 2), (2, 3, 2), (3,), ()])
    def test_shapes(self, shape):
        table = weft.ones(shape)
        with pytest.raises(ValueError, match=r"`cos` must broadcast to \(…, L, R/2\), .* got \(.*\) for \(3, 4\)"):
            F.rotary_embedding(weft.ones((3, 4)), table, table)

    def test_sines(self):
        with pytest.raises(ValueError, match=r"`sin` must have shape \(3, 2\), got \(3, 1\)"):
            F.rotary_embedding(weft.ones((3, 4)), weft.ones((3, 2)), weft.ones((3, 1)))
