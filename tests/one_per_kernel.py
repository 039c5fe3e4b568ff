"""A plugin of pytest for short visits to a GPU: of all tests of kernels, as few as launch every instantiation once.

pytest -p one_per_kernel --write-cover cover.json tests/kernels     here: which test launches what
pytest -p one_per_kernel --read-cover cover.json -m gpu tests/kernels     there: only those, the longest lists first

Here no kernel is run, so that a minute is enough: results are zeros, which the harness lets pass. Tests that look themselves fail;
what they launch until then is what counts.
Fails if that leaves an instantiation of the files' sources out.
"""

import json
import re
import warnings
from pathlib import Path

import kernel_harness
import numpy as np
import pytest

launched: dict[str, list[str]] = {}


def pytest_addoption(parser):
    parser.addoption("--write-cover", metavar="FILE", help="write which tests launch every kernel once")
    parser.addoption("--read-cover", metavar="FILE", help="run those tests alone")


def pytest_configure(config):
    if config.option.write_cover:  # tests import these by name, later
        for compare in ("close", "no_worse", "same_numbers"):
            setattr(kernel_harness, compare, lambda *arrays, **options: None)


@pytest.fixture(autouse=True)
def _note_every_launch(request, record_property):
    if not request.config.option.write_cover:
        yield
        return
    from weft.kernels.emulator import counters

    with counters.listing() as instances, np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    record_property("launches", sorted({instance.expression for instance in instances}))


def plain(nodeid):
    """The test's name without the device that it runs on, which the two machines do not have in common."""
    name, _, parameters = nodeid.partition("[")
    kept = [p for p in re.split(r"[-\]]", parameters) if p not in ("emulator", "cuda", "")]
    return f"{name.partition('tests/')[2] or name}[{'-'.join(kept)}]"


def cover(launched):
    """Tests that launch all that any of them does: again and again the one that adds most."""
    left, chosen = set().union(*launched.values()), []
    while left:
        best = max(launched, key=lambda test: len(left.intersection(launched[test])))
        chosen.append(best)
        left -= set(launched[best])
    return chosen


def pytest_runtest_logreport(report):
    if report.when == "teardown":
        for name, value in report.user_properties:
            if name == "launches" and value:
                launched[plain(report.nodeid)] = sorted(value)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    if (path := session.config.option.write_cover) and not hasattr(session.config, "workerinput"):
        Path(path).write_text(json.dumps({test: launched[test] for test in cover(launched)}, indent=1) + "\n")
        session.exitstatus = 1 if missing() else 0


def pytest_terminal_summary(terminalreporter, config):
    if config.option.write_cover:
        kernels = {kernel for found in launched.values() for kernel in found}
        terminalreporter.write_line(
            f"{len(cover(launched))} tests launch {len(kernels)} kernels; that tests fail here means nothing"
        )
        if missing():
            terminalreporter.write_line(f"FAILED: no test launches {', '.join(missing())}", red=True)


def missing():
    """Of the sources whose kernels are launched at all, and of weft's own, what no test launches."""
    from weft.kernels.toolchain.compiler import families

    kernels = {kernel for found in launched.values() for kernel in found}
    return sorted(e for every, _ in families().values() if kernels & set(every) for e in every if e not in kernels)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    if path := config.option.read_cover:
        order = list(json.loads(Path(path).read_text()))
        chosen = {name: [] for name in order}
        for item in items:
            if (name := plain(item.nodeid)) in chosen:
                chosen[name].append(item)
        kept = [item for found in chosen.values() for item in found]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept
