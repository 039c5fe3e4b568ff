"""A pytest plugin: what the selected tests will need compiled is compiled before they start, on all cores, longest first.

Otherwise each source is compiled by the first test that needs it, while the other workers wait for its lock. Tests find
the results in the cache, and compile by themselves what is missing there; so nothing here can fail a test.
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from weft.kernels.toolchain import compiler, launch, sources

HERE = Path(__file__).parent


class Job(NamedTuple):
    """A source with all its instantiations, for the emulator or for an architecture."""

    source: str
    target: str

    def run(self) -> None:
        expressions, options = compiler.families()[self.source]
        if self.target == "emulator":
            from weft.kernels.emulator import build

            build.library(self.source, launch.expressions(self.source))
        else:
            compiler.build(self.source, expressions, options, arch=self.target)

    @property
    def work(self) -> int:
        """What its time is roughly proportional to."""
        return len(sources.expand(self.source)) * len(compiler.families()[self.source][0])


def wanted(ids: Iterable[str]) -> list[Job]:
    """The jobs for the tests of these names, longest first.

    A test file wants the sources that its name is a part of, the training tests all of them, and the tests of the compiler,
    or of what cases of kernels ask of memory, those that their parameters say.
    """
    families, jobs = compiler.families(), set()
    for file in {name.partition("::")[0] for name in ids}:
        stem = os.path.basename(file).removeprefix("test_").removesuffix(".py")
        if re.search(r"\b(kernels|backend/nn)/test_", file) or stem == "emulator_training":
            jobs |= {Job(source, "emulator") for source in families if stem in source or stem == "emulator_training"}
    for name in ids:
        if found := re.search(r"::test_compiles_without_spills\[(\w+\.cu)-(\w+)\]", name):
            jobs.add(Job(*found.groups()))
        if found := re.search(r"bench/test_kernel_requests\.py::\w+\[(\w+)\]", name):
            from weft.training.cli.kernel_profile import listed

            jobs |= {Job(instance.source, "emulator") for instance in listed(found[1])}
    return sorted(jobs, key=lambda job: (-job.work, job))


def compile_all(jobs: list[Job], processes: int | None = None) -> None:
    """Each in a process of its own, as compilers of one process wait for each other."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(processes or os.cpu_count(), mp_context=context) as pool:
        concurrent.futures.wait([pool.submit(job.run) for job in jobs])


class Precompile:
    """The hooks of the one process that all tests belong to."""

    def __init__(self, config: pytest.Config):
        self.config, self.is_done = config, config.option.collectonly

    def prepare(self, ids: list[str]) -> None:
        if self.is_done:
            return
        self.is_done, jobs = True, wanted(ids)
        if len(jobs) > 1:  # one alone is compiled as fast by its test
            compile_all(jobs)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.prepare([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        """With pytest-xdist workers collect, and this comes before any of them is given a test."""
        self.prepare(ids)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Precompile(config), "precompiling")
