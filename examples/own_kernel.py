"""A CUDA kernel of your own: written, differentiated, run, checked and compiled on a machine without a GPU."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import weft
from weft.backend.cuda import replaces
from weft.backend.tape.autograd import primitive
from weft.kernels import emulator
from weft.kernels.toolchain import compiler
from weft.kernels.toolchain.launch import FLOATS, Kernel, contiguous, empty

SOURCE = Path(__file__).with_name("own_kernel.cu").resolve()
forward = Kernel(SOURCE, "lerp", FLOATS)
backward = Kernel(SOURCE, "lerp_backward", FLOATS)


@primitive
def lerp(xp, a, b, /, *, w):
    """y = a + w (b − a) for any array library: what the kernel is tested against."""
    return a + w * (b - a), (lambda g: (1 - w) * g, lambda g: w * g)


@replaces(lerp)
def lerp_on_gpu(a, b, /, *, w):
    """The same on "cuda" and in the emulator: the launcher owns grid, block, contiguity and the outputs."""
    if a.dtype not in FLOATS or a.dtype != b.dtype or a.shape != b.shape:
        return NotImplemented
    grid, n, weight = -(-a.size // 256), np.int64(a.size), np.float32(w)
    y = empty(a.shape, a.dtype, like=a)
    forward[a.dtype](grid, 256, contiguous(a), contiguous(b), y, weight, n)

    def vjp(g, need, into):
        grad_a, grad_b = empty(a.shape, a.dtype, like=a), empty(a.shape, a.dtype, like=a)
        backward[a.dtype](grid, 256, contiguous(g), grad_a, grad_b, weight, n)
        return grad_a, grad_b

    return y, vjp


def run(device: str, a: np.ndarray, b: np.ndarray) -> list[np.ndarray]:
    """The result and both gradients on a device."""
    x, y = (weft.asarray(v, device=device).requires_grad_() for v in (a, b))
    z = lerp(x, y, w=0.25)
    (z * z).sum().backward()
    return [t.cpu().numpy() for t in (z.detach(), x.grad, y.grad)]


def main(arguments: Sequence[str] = ()) -> float:
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)

    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 33, 31)).astype(np.float32)
    expected, worst = run("cpu", a, b), 0.0
    for order in ("forward", "reverse", "random"):
        with emulator.schedule(order):
            found = run("emulator", a, b)
        worst = max(worst, *(float(abs(x - y).max()) for x, y in zip(found, expected)))
        print(f"{order:8} schedule: at most {worst:.1e} from the generic form")
    names = [each.expression for kernel in (forward, backward) for each in kernel.instances.values()]
    try:
        for each in compiler.build(str(SOURCE), names, arch="sm_90a").resources:
            print(f"{each.kernel:30} {each.registers} registers, {each.spill_stores} bytes spilled")
    except compiler.ToolkitError as error:  # the emulator needs no CUDA at all
        print(error)
    return worst


if __name__ == "__main__":
    main(sys.argv[1:])
