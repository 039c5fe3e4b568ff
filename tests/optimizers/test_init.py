"""The public names exist, are sorted, and each has a test class of its name."""

import inspect
import re
from pathlib import Path

import pytest

from weft import optimizers
from weft.optimizers import schedulers, swa_utils

TESTS = "\n".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.rglob("test_*.py"))


@pytest.mark.parametrize("package", [optimizers, schedulers, swa_utils], ids=["optimizers", "schedulers", "swa_utils"])
class TestAll:
    def test_names_exist_once(self, package):
        assert len(set(package.__all__)) == len(package.__all__)
        assert all(hasattr(package, name) for name in package.__all__)

    def test_every_name_has_a_test(self, package):
        classes = {name.lower() for name in re.findall(r"^class Test(\w+)", TESTS, re.MULTILINE)}
        missing = [
            n
            for n in package.__all__
            if not inspect.ismodule(getattr(package, n))
            and n.replace("_", "").lower() not in {c.replace("_", "") for c in classes}
        ]
        assert not missing


def test_pytorchs_other_names():
    assert optimizers.lr_scheduler is schedulers
    assert schedulers._LRScheduler is schedulers.LRScheduler


def test_every_optimizer_is_exported():
    found = {c.__name__ for c in optimizers.Optimizer.__subclasses__() if c.__module__.startswith("weft.optimizers.")}
    assert found <= set(optimizers.__all__)
