"""Compiling ahead tells what went wrong; without a GPU, that."""

from weft.backend.device import devices
from weft.bench import attention_hopper, precompile


def test_one_kernel(monkeypatch):
    seen = []
    monkeypatch.setattr(precompile.compiler, "build", lambda *args, **options: seen.append((args, options)))
    assert precompile._build("a.cu", "f<float>", ("-o",), "sm_90a") is None
    assert seen == [(("a.cu", ("f<float>",), ("-o",)), {"arch": "sm_90a"})]


def test_what_is_compiled():
    """All that ships, and for Hopper the candidates that are timed there: nothing is left to compile on a GPU."""
    ship = precompile.compiler.families()
    assert precompile.families("sm_80") == ship
    hopper = precompile.families("sm_90a")
    assert hopper.keys() - ship.keys() == {kernel.source for kernel in attention_hopper.KERNELS}
    for kernel in attention_hopper.KERNELS:
        assert hopper[kernel.source] == ([each.expression for each in kernel.instances.values()], kernel.options)


def test_what_does_not_compile_is_named(monkeypatch):
    def build(*args, **options):
        raise ValueError("no")

    monkeypatch.setattr(precompile.compiler, "build", build)
    assert precompile._build("a.cu", "f<float>", (), "sm_90a") == "f<float> of a.cu: ValueError: no"


def test_without_a_gpu(monkeypatch, capsys):
    def canonical(name):
        raise devices.DeviceError("`cuda` needs a GPU")

    monkeypatch.setattr(devices, "canonical", canonical)
    assert precompile.main([]) == 2
    assert capsys.readouterr().err == "python -m weft.bench.precompile: `cuda` needs a GPU\n"


def test_for_another_machine(monkeypatch, capsys):
    monkeypatch.setattr(precompile, "compile_all", lambda arch: [f"not for {arch}"] if arch == "sm_1" else [])
    assert precompile.main(["--arch", "sm_90a"]) == 0
    assert precompile.main(["--arch", "sm_1"]) == 1
    assert capsys.readouterr().out == "all kernels compile\nnot for sm_1\n"
