#!/bin/sh
# In a * (1 - b), of a in C's and b in Fortran's order, NumPy (2.4.6) writes the product over the temporary 1 - b, if nobody else
# has that and it is at least 256 KiB: so the result lies in Fortran's order for matrices of 512 × 512 numbers, and in C's for ones of
# 128 × 128, for `numpy.multiply(a, 1 - b)`, and if the temporary has a name. Sums follow the order of memory: to give an
# intermediate result a name changes last bits of a sum behind it, and so does the size of the batch or a debugger that holds on to it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet numpy==2.4.6
"$folder/env/bin/python" - <<'PY'
import numpy as np


def orders(n):
    """The memory order of the same product, written in three ways, and whether its sums over rows have the same bits."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, n, n), np.float32)
    b = np.asfortranarray(b)
    unnamed = a * (1 - b)
    temporary = 1 - b
    named, called = a * temporary, np.multiply(a, 1 - b)
    assert np.array_equal(unnamed, named)
    assert np.array_equal(unnamed, called)
    same = np.array_equal(unnamed.sum(0), named.sum(0))
    return ["C" if x.flags.c_contiguous else "Fortran" for x in (unnamed, named, called)], same


for n, expected in ((128, (["C", "C", "C"], True)), (512, (["Fortran", "C", "C"], False))):
    found, same = orders(n)
    print(f"NumPy {np.__version__}, {n} × {n}: a * (1 - b) lies in {found[0]}'s order, with a name for 1 - b in {found[1]}'s,")
    print(f"    numpy.multiply(a, 1 - b) in {found[2]}'s; sums over rows of the first two have {'the same' if same else 'other'} bits")
    assert (found, same) == expected, "this has changed"
PY
