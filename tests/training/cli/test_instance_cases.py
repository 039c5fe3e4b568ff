"""Every instantiation of every kernel has a case that launches it: counted, not run."""

import numpy as np
import pytest

import weft
from weft.backend.device.devices import canonical
from weft.kernels.emulator import counters
from weft.kernels.toolchain import compiler
from weft.kernels.toolchain.settings import multiprocessors
from weft.training.cli import instance_cases, kernel_profile

pytestmark = pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")


def test_no_instantiation_lacks_a_case():
    canonical("emulator")
    every = instance_cases.instances()
    assert sorted(every) == sorted(e for expressions, _ in compiler.families().values() for e in expressions)
    lacking = []
    for expression, instance in every.items():
        with np.errstate(all="ignore"), multiprocessors(kernel_profile.FEW), counters.listing() as launched:
            instance_cases.launch(instance)
        if instance not in launched:
            lacking.append(expression)
    assert not lacking, "another instantiation is launched in the place of these: " + ", ".join(lacking)


def test_all_are_chosen():
    """By cases, or each by its own; none twice."""
    names = kernel_profile.chosen("")
    covered = [i.expression for name in names for i in set(kernel_profile.listed(name))]
    assert set(covered) == set(instance_cases.instances())
    alone = [name for name in names if name not in kernel_profile.CASES]
    assert len(set(names)) == len(names)
    assert not set(alone) & {i.expression for name in kernel_profile.CASES for i in kernel_profile.listed(name)}


def test_there_is_something_to_join():
    """A block of `embedding_join` that finds no index that goes on in the next chunk writes nothing."""
    canonical("emulator")
    launches = kernel_profile.asked("embedding")
    every = [i for i in instance_cases.instances().values() if i.kernel.name == "embedding_join"]
    for instance in every:
        with multiprocessors(kernel_profile.FEW), counters.counting(code=False) as launched:
            instance_cases.launch(instance)
        launches += launched
    joins = [launch for launch in launches if launch.instance.kernel.name == "embedding_join"]
    assert len(joins) == 2 + len(every)
    assert all(launch.written for launch in joins)
