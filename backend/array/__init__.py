"""The array API, differentiable: what `weft.exp`, `weft.sum`, `weft.linalg` … are."""
