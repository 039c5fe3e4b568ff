"""A plugin of pytest for short visits to a GPU: of all tests of kernels, as few as launch every instantiation once.

pytest -p one_per_kernel --write-cover cover.json tests/kernels     here, in the emulator: which test launches what
pytest -p one_per_kernel --read-cover cover.json -m gpu tests/kernels     there: only those, the longest lists first
"""

import json
import re
import sys
from pathlib import Path

import pytest

launched: dict[str, list[str]] = {}


def pytest_addoption(parser):
    parser.addoption("--write-cover", metavar="FILE", help="write which tests launch every kernel once")
    parser.addoption("--read-cover", metavar="FILE", help="run those tests alone")


@pytest.fixture(autouse=True)
def _note_every_launch(record_property):
    emulator = sys.modules.get("weft.kernels.emulator")
    before = set(emulator.launched) if emulator else set()
    if emulator:
        emulator.launched.clear()
    yield
    if emulator := sys.modules.get("weft.kernels.emulator"):
        record_property("launches", sorted(emulator.launched))
        emulator.launched |= before


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


def pytest_sessionfinish(session):
    if (path := session.config.option.write_cover) and not hasattr(session.config, "workerinput"):
        Path(path).write_text(json.dumps({test: launched[test] for test in cover(launched)}, indent=1) + "\n")


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
