"""One bench: what is wrong is not timed, what fails is told and stops nothing, and time that is up is up."""

import math
import warnings

import pytest

import weft
from weft.bench.case import Bench, Case
from weft.bench.machine import Emulator
from weft.bench.measure import guarded, measure
from weft.bench.results import text_of

pytestmark = pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")


@pytest.fixture(scope="module")
def machine():
    return Emulator()


def case(machine, run, **options):
    options = {
        "compare": lambda y: [(y, machine.xp.ones(3, dtype="float64"))],
        "work": 24.0,
        "ceiling": "copy",
    } | options
    makers = {"weft": lambda: run, "torch": lambda: lambda: (machine.xp.ones(3),)}
    return Case("three ones", makers, **options)


def good(machine):
    return case(machine, lambda: (machine.xp.ones(3, dtype="float32"),))


def wrong(machine):
    return case(machine, lambda: (machine.xp.full(3, 1.1, dtype="float32"),))


def nan(machine):
    return case(machine, lambda: (machine.xp.full(3, math.nan, dtype="float32"),))


def failing(machine):
    return case(machine, lambda: 1 / 0)


def impossible(machine):
    raise ValueError("cannot even begin")


def slow(machine):
    while True:
        pass


def warning(machine):
    return case(
        machine, lambda: warnings.warn("runs as usual", RuntimeWarning) or (machine.xp.ones(3, dtype="float32"),)
    )


def measured(machine, make, **options):
    return measure(Bench("copy", make), machine, **{"seconds": 0.0, "most": 3, "limit": 600.0} | options)


@pytest.mark.parametrize("make", [wrong, nan])
def test_what_is_wrong_is_not_timed(machine, make):
    entry = measured(machine, make)
    assert entry["status"] == "wrong"
    assert "seconds" not in entry["runs"]["weft"]
    assert entry["runs"]["torch"]["seconds"] > 0
    assert "weft                 WRONG, error" in text_of(entry, {})


def test_a_failure_keeps_its_traceback_and_the_others_run(machine):
    entry = measured(machine, failing)
    assert entry["status"] == "failed"
    assert "ZeroDivisionError" in entry["runs"]["weft"]["problem"]
    assert entry["runs"]["torch"]["samples"] == 3
    entry = measured(machine, impossible)
    assert (entry["status"], entry["runs"]) == ("failed", {})
    assert "cannot even begin" in entry["problem"]


def test_time_that_is_up(machine):
    entry = measured(machine, slow, limit=0.05)
    assert entry["status"] == "failed"
    assert "more than 0 s" in entry["problem"]


def test_warnings_are_kept(machine):
    assert measured(machine, warning)["runs"]["weft"]["warnings"] == ["runs as usual"]


def test_guarded():
    assert guarded(lambda: {"seconds": 1.0}, 5.0) == {"seconds": 1.0}
    assert "more than 0 s" in guarded(lambda: slow(None), 0.05)["problem"]
