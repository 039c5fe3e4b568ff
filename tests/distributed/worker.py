"""What each of several processes runs: every check of `checks.py`, or those named. Started by mpiexec."""

import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import checks

import weft
from weft.backend.device import ranks


def main(names):
    weft.distributed.init(timeout=240)
    names = names or [name for name in vars(checks) if name.startswith("check_")]
    run(names)
    weft.distributed.buckets.WORTH_SHARING = 1  # the same with gradients in memory that all see
    run([name for name in names if name not in checks.WITHOUT_GRADIENTS])


def run(names):
    for name in names:
        weft.manual_seed(0)
        start = time.perf_counter()
        try:
            getattr(checks, name)()
        except BaseException:
            print(f"{name} failed in process {weft.distributed.rank()}\n{traceback.format_exc()}", flush=True)
            ranks.group.comm.Abort(1)
        weft.distributed.barrier()
        if weft.distributed.rank() == 0:
            print(f"{name} {time.perf_counter() - start:.2f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
