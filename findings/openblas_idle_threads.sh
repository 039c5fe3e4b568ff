#!/bin/sh
# After one product of matrices over two threads, OpenBLAS (0.3.31, in NumPy 2.4.6's wheel for x86-64) keeps the second thread at
# full speed for a tenth of a second before it sleeps: 2^28 ticks of the clock. So a program that sleeps uses a core, and work
# that Python's own threads do between two products has one core less: on two cores, steps of alternate products and elementwise
# work were no faster than on one. OPENBLAS_THREAD_TIMEOUT, a binary logarithm that is read when the library loads, changes that.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet numpy==2.4.6 threadpoolctl==3.7.0
cat > "$folder/idle.py" <<'PY'
import sys
import time

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

(blas,) = [found for found in threadpool_info() if found["user_api"] == "blas"]
a = np.ones((512, 512), np.float32)


def used_while_asleep(threads):
    """Milliseconds of processor time in 200 ms of sleep after a product: the median of nine."""
    found = []
    for _ in range(9):
        time.sleep(0.2)
        with threadpool_limits(threads):
            a @ a
        before = time.process_time()
        time.sleep(0.2)
        found.append(1e3 * (time.process_time() - before))
    return sorted(found)[4]


one, two = used_while_asleep(1), used_while_asleep(2)
print(f"{blas['internal_api']} {blas['version']}, NumPy {np.__version__}, {sys.argv[1]}:", end=" ")
print(f"asleep for 200 ms, the process computes for {one:.1f} ms after a product in one thread, {two:.1f} ms after one in two")
assert one < 3, "this has changed"
assert two > 30 if sys.argv[1] == "as it is" else two < 3, "this has changed"
PY
export OPENBLAS_NUM_THREADS=2
"$folder/env/bin/python" "$folder/idle.py" "as it is"
OPENBLAS_THREAD_TIMEOUT=16 "$folder/env/bin/python" "$folder/idle.py" "OPENBLAS_THREAD_TIMEOUT=16"
