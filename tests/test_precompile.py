"""What is compiled before the tests start: what those selected need, and no more."""

from types import SimpleNamespace

import precompile
import pytest
from precompile import Job

from weft.kernels.toolchain import cache, compiler

COMPILES = "tests/kernels/toolchain/test_compiler.py::TestEveryKernel::test_compiles_without_spills[{}-{}]"


@pytest.mark.parametrize(
    ("names", "jobs"),
    [
        (["tests/data/test_loader.py::test_order", "tests/layers/test_pooling.py::test_sizes[1]"], set()),
        (["tests/kernels/test_dropout.py::test_sizes[1]"] * 2, {Job("dropout.cu", "emulator")}),
        (
            ["tests/backend/nn/test_attention.py::test_primitive[a-float32-cpu-contiguous]"],
            {Job(f"attention{part}.cu", "emulator") for part in ("", "_backward", "_step")},
        ),
        ([COMPILES.format("pooling.cu", "sm_80")], {Job("pooling.cu", "sm_80")}),
        (["tests/bench/test_kernel_requests.py::test_no_more_than_recorded[dropout]"], {Job("dropout.cu", "emulator")}),
        (["tests/test_emulator_training.py::test_layer[Linear]"], {Job(s, "emulator") for s in compiler.families()}),
    ],
)
def test_wanted(names, jobs):
    assert set(precompile.wanted(names)) == jobs


def test_the_longest_come_first():
    work = [job.work for job in precompile.wanted(["tests/test_emulator_training.py::test_layer[Linear]"])]
    assert work == sorted(work, reverse=True)


def test_every_source_is_somebodys():
    """Whether all tests are selected or those of the kernels alone."""
    tests = [f"tests/kernels/{path.name}" for path in (precompile.HERE / "kernels").glob("test_*.py")]
    assert {job.source for job in precompile.wanted(tests)} == set(compiler.families())


def test_once_for_all_workers(monkeypatch):
    done = []
    monkeypatch.setattr(precompile, "compile_all", done.append)
    config = SimpleNamespace(option=SimpleNamespace(collectonly=False))
    plugin = precompile.Precompile(config)
    for node in ("gw0", "gw1"):
        plugin.pytest_xdist_node_collection_finished(node, ["tests/kernels/test_attention.py::test_one"])
    assert [[job.target for job in jobs] for jobs in done] == [["emulator"] * 3]
    precompile.Precompile(config).prepare(["tests/kernels/test_dropout.py::test_one"])
    config.option.collectonly = True
    precompile.Precompile(config).prepare(["tests/kernels/test_attention.py::test_one"])
    assert len(done) == 1


def test_leaves_it_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WEFT_CACHE_DIR", str(tmp_path))
    jobs = [Job("channel_last.cu", "emulator"), Job("channel_last.cu", "sm_80"), Job("nothing.cu", "sm_80")]
    precompile.compile_all(jobs, processes=1)
    targets = {path.name.split("-")[1] for path in tmp_path.glob("channel_last-*")}
    assert targets <= {"emulator", "sm_80"}
    try:
        compiler._nvrtc()
    except compiler.ToolkitError:
        return
    assert "sm_80" in targets
    assert all(cache.read(path.name) for path in tmp_path.glob("*.cubin"))
