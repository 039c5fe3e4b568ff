"""What is beyond the limits has a reason that the record bears out, and no reason is left over."""

import json

import pytest

from weft.bench import kernel_exceptions as exceptions
from weft.bench.kernels import RECORD

FINE = {"issue": 0.5, "lanes": 0.9, "sectors": 1.0, "cycles": 1.0, "share": 1.0}


def record(**changed):
    return {f"case: kernel<{dtype}>": FINE | changed for dtype in ("float", "half")}


@pytest.fixture(params=["hidden", "product", "work"])
def kind(request, monkeypatch):
    reason = exceptions.Reason("issue", request.param, "for this reason", ("*: kernel<*",))
    monkeypatch.setattr(exceptions, "EXCEPTIONS", (reason,))
    return request.param


def test_the_record():
    assert exceptions.unexplained(json.loads(RECORD.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(("limit", "value"), [("issue", 0.61), ("lanes", 1.01), ("sectors", 1.11), ("cycles", 1.01)])
def test_what_is_beyond_a_limit_is_named(limit, value, monkeypatch):
    monkeypatch.setattr(exceptions, "EXCEPTIONS", ())
    found = exceptions.unexplained({"case: other": FINE | {limit: value}})
    assert found == [f"case: other: {limit} {value}, at most {exceptions.LIMITS[limit]}"]


def test_lanes_behind_instructions_need_no_reason_of_their_own(kind):
    found = exceptions.unexplained(record(issue=1.2, lanes=1.1, share=0.8))
    told = [f"case: kernel<{dtype}>: issue is not hidden: 80% of a copy" for dtype in ("float", "half")]
    assert found == (told if kind == "hidden" else [])


def test_a_reason_is_for_one_limit(kind):
    found = exceptions.unexplained(record(issue=0.7, sectors=2.0))
    assert found == [f"case: kernel<{dtype}>: sectors 2.0, at most 1.1" for dtype in ("float", "half")]


def test_a_reason_that_nothing_needs_is_named(kind):
    assert exceptions.unexplained(record(issue=0.7)) == []
    assert exceptions.unexplained(record()) == ["*: kernel<*: nothing is beyond issue, yet it has a reason"]


def test_what_is_hidden_is_as_fast_as_a_copy(kind):
    found = exceptions.unexplained(record(issue=0.7, share=0.99))
    told = [f"case: kernel<{dtype}>: issue is not hidden: 99% of a copy" for dtype in ("float", "half")]
    assert found == (told if kind == "hidden" else [])


@pytest.mark.parametrize(("share", "holds"), [(0.5, False), (0.49, True), (1.0, True)])
def test_the_limit_of_a_product_is_not_its_instructions(kind, share, holds):
    found = exceptions.unexplained(record(issue=2.0, share=share))
    told = [f"case: kernel<{dtype}>: issue is not {kind}: {share:.0%} of a copy" for dtype in ("float", "half")]
    wrong = {"hidden": share < 1, "product": not holds}
    assert found == (told if wrong.get(kind) else [])


def test_table(kind):
    rows = exceptions.table(record(issue=0.7)).splitlines()
    assert rows[-2:] == [
        f"| `case: kernel<{dtype}>` | issue | 70% | 100% | {kind} | for this reason |" for dtype in ("float", "half")
    ]
