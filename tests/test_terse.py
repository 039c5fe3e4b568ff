"""What a worker tells of a test, and what the garbage collector no longer looks at."""

import gc

import pytest
import terse


def report(when="setup", outcome="passed", duration=0.001, sections=(), **properties):
    return pytest.TestReport(
        "test_a.py::test_b", ("test_a.py", 1, "test_b"), {}, outcome, None, when, sections, duration,
        user_properties=list(properties.items()),
    )  # fmt: skip


@pytest.mark.parametrize("when", ["setup", "call", "teardown"])
@pytest.mark.parametrize(
    "told",
    [
        {"outcome": "failed"},
        {"outcome": "skipped"},
        {"duration": 0.1},
        {"sections": [("stdout", "a")]},
        {"launched": "a"},
    ],
    ids=str,
)
def test_is_news(when, told):
    assert terse.is_news(report(when, **told))


def test_is_none():
    assert terse.is_news(report("call"))
    assert not terse.is_news(report("setup"))
    assert not terse.is_news(report("teardown"))


def test_each_part_that_fails_is_told(monkeypatch):
    """The hook of a worker, on reports as pytest makes them."""
    told = []
    reports = [report("setup"), report("call", "failed"), report("teardown", "failed")]
    monkeypatch.setattr(terse, "runtestprotocol", lambda item, log, nextitem: reports)

    class Item:
        nodeid, location = "test_a.py::test_b", ("test_a.py", 1, "test_b")

        class ihook:
            pytest_runtest_logreport = staticmethod(lambda report: told.append(report))
            pytest_runtest_logfinish = staticmethod(lambda nodeid, location: told.append("finish"))

    assert terse.Terse().pytest_runtest_protocol(Item, Item)
    assert told == reports[1:]
    assert terse.Terse().pytest_runtest_protocol(Item, None)
    assert told == [*reports[1:], *reports[1:], "finish"]


def test_collected_tests_are_no_garbage():
    assert gc.isenabled()
    assert gc.get_freeze_count() > 10_000
