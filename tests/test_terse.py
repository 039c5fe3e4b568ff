"""What a worker tells of a test, and what the garbage collector no longer looks at."""

import gc
import weakref

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


def test_what_a_file_leaves_is_no_garbage():
    """Nor is it looked at any more; what is garbage goes."""

    class Kept: ...

    class Item:
        path = "test_a.py"

    class Next:
        path = "test_b.py"

    kept, garbage = Kept(), Kept()
    garbage.itself = garbage
    gone = weakref.ref(garbage)
    del garbage
    looked_at = lambda: any(each is kept for each in gc.get_objects())
    for following, is_last in ((Item, False), (None, False), (Next, True)):
        hook = terse.pytest_runtest_protocol(Item, following)
        next(hook)
        with pytest.raises(StopIteration) as ended:
            hook.send("outcome")
        assert ended.value.value == "outcome"
        assert looked_at() != is_last
        assert gone() is None or not is_last
