"""The candidates for attention on Hopper, against the definition in float64, in the emulator and on such a GPU."""

import subprocess

import numpy as np
import pytest
from kernel_harness import close, every_schedule, halves, no_worse, rounded

import weft
from weft.bench import attention_hopper as candidate
from weft.bench import gpu_layers
from weft.bench.machine import Emulator
from weft.bench.measure import measure
from weft.kernels.toolchain import compiler
from weft.kernels.toolchain.launch import HALVES
from weft.kernels.toolchain.machine_code import disassemble
from weft.kernels.toolchain.spills import spills

pytestmark = pytest.mark.slow  # to compile: what ships is in `kernels`

# queries, keys, head size, causal: parts of tiles, one tile and several, fewer keys than queries
SHAPES = [(130, 300, 128, False), (257, 259, 64, True), (130, 129, 72, True), (1, 1, 128, True), (400, 140, 128, True)]
shapes = pytest.mark.parametrize(("length", "keys", "width", "causal"), SHAPES)


def inputs(length, keys, width, dtype):
    """Two heads of queries for one of keys and values, and the gradient of the output."""
    rng = np.random.default_rng(0)
    sizes = [(1, 2, length, width), (1, 1, keys, width), (1, 1, keys, width), (1, 2, length, width)]
    return zip(*(rounded(rng.standard_normal(s), dtype) for s in sizes))


def attention(q, k, v, g, causal):
    """(out, lse, gradients of q, k and v), each operation rounded to the dtype of the arrays."""

    def product(a, b):
        return np.matmul(a, b).astype(q.dtype)

    scale = np.asarray(q.shape[-1] ** -0.5, q.dtype)
    scores = product(q, k.mT) * scale
    if causal:
        scores = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, np.asarray(-np.inf, q.dtype))
    top = scores.max(axis=-1, keepdims=True)
    p = np.exp(scores - top)
    total = p.sum(axis=-1, keepdims=True, dtype=q.dtype)
    p = p / total
    out = product(p, v)
    grad_p = product(g, v.mT)
    grad_s = p * (grad_p - (g * out).sum(axis=-1, keepdims=True, dtype=q.dtype)) * scale
    shared = [product(a.mT, b).sum(axis=1, keepdims=True, dtype=q.dtype) for a, b in ((grad_s, q), (p, g))]
    return out, (top + np.log(total))[..., 0], product(grad_s, k), *shared


def check(found, length, plain, exact):
    (out, lse, *gradients), (_, exact_lse, *_) = found, exact
    close(lse[..., :length], exact_lse)
    assert np.all(np.isposinf(lse[..., length:]))
    for ours, ordinary, true in zip((out, *gradients), (plain[0], *plain[2:]), (exact[0], *exact[2:])):
        no_worse(ours, ordinary, true)


def both_ways(q, k, v, g, **options):
    out, lse = candidate.forward(q, k, v, **options)
    return out, lse, *candidate.backward(g, q, k, v, out, lse, **options)


@shapes
@halves
def test_matches_the_definition(length, keys, width, causal, dtype):
    if "emulator" not in weft.devices():
        pytest.skip("the emulator needs a C++ compiler")
    low, exact = map(tuple, inputs(length, keys, width, dtype))
    found = every_schedule(lambda: both_ways(*low, scale=width**-0.5, is_causal=causal))
    check(found, length, attention(*low, causal), attention(*exact, causal))


@pytest.mark.gpu
@shapes
@halves
def test_matches_the_definition_on_hopper(length, keys, width, causal, dtype):
    if "cuda" not in weft.devices():
        pytest.skip("needs a GPU")
    import cupy

    if cupy.cuda.Device().compute_capability != "90":
        pytest.skip("needs a Hopper GPU")
    low, exact = map(tuple, inputs(length, keys, width, dtype))
    found = both_ways(*map(cupy.asarray, low), scale=width**-0.5, is_causal=causal)
    check([a.get() for a in found], length, attention(*low, causal), attention(*exact, causal))


def test_no_keys():
    if "emulator" not in weft.devices():
        pytest.skip("the emulator needs a C++ compiler")
    (q, k, v, g), _ = inputs(3, 0, 64, np.dtype(np.float16))
    out, lse, grad_q, grad_k, grad_v = both_ways(q, k, v, g, scale=1.0, is_causal=False)
    assert not out.any()
    assert not grad_q.any()
    assert grad_k.size == grad_v.size == 0
    assert np.all(np.isposinf(lse))


@pytest.mark.parametrize("kernel", candidate.KERNELS, ids=lambda kernel: kernel.name)
def test_compiles_without_spilling_or_waiting(kernel):
    names = [each.expression for each in kernel.instances.values()]
    try:
        program = compiler.build(kernel.source, names, kernel.options, arch="sm_90a")
    except compiler.ToolkitError as error:
        pytest.skip(str(error))
    assert spills(program) == []
    assert not program.messages, "ptxas says here that it made the products wait for each other"


@pytest.mark.parametrize("kernel", candidate.KERNELS, ids=lambda kernel: kernel.name)
def test_machine_code(kernel, disassembler):
    """Products of warpgroups alone, of tiles that tensor maps bring; registers pass from the producer to the others."""
    instance = kernel[HALVES[1], 128]
    program = compiler.build(kernel.source, [instance.expression], kernel.options, arch="sm_90a")
    operations = {i.opcode.partition(".")[0] for i in disassemble(program)[instance.expression]}
    assert {"HGMMA", "UTMALDG", "USETMAXREG"} <= operations
    assert not operations & {"HMMA", "LDGSTS", "LDSM", "LDL", "STL"}


def test_is_timed_beside_what_ships(monkeypatch):
    if "emulator" not in weft.devices():
        pytest.skip("the emulator needs a C++ compiler")
    monkeypatch.setattr(Emulator, "runs_wgmma", True)
    for bench in gpu_layers.BENCHES:
        if bench.name.startswith("attention"):
            entry = measure(bench, Emulator(), tiny=True, seconds=0.0, most=1, limit=600.0)
            assert entry["status"] == "ok", entry
            assert {"weft", "alternative, wgmma"} <= entry["runs"].keys()


class TestFirstUse:
    def test_agrees(self, monkeypatch):
        if "emulator" not in weft.devices():
            pytest.skip("the emulator needs a C++ compiler")
        assert candidate.agrees(np)
        right = candidate.forward
        monkeypatch.setattr(candidate, "forward", lambda *args, **options: [0.97 * x for x in right(*args, **options)])
        assert not candidate.agrees(np)

    @pytest.mark.parametrize(("ends", "expected"), [(0, True), (1, False), (None, False)])
    def test_works(self, monkeypatch, ends, expected):
        def run(command, timeout, check):
            assert command[1:] == ["-m", "weft.bench.attention_hopper"]
            if ends is None:
                raise subprocess.TimeoutExpired(command, timeout)
            return subprocess.CompletedProcess(command, ends)

        monkeypatch.setattr(subprocess, "run", run)
        assert candidate.works.__wrapped__() is expected


def test_suits():
    half, wide = np.zeros((1, 1, 1, 128), np.float16), np.zeros((1, 1, 1, 136), np.float16)
    assert candidate.suits(half, half)
    assert not candidate.suits(half, wide)
    assert not candidate.suits(half.astype(np.float32), half)
