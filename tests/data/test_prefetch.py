"""Working ahead: against `map`; threads are counted, and events (no clocks) decide who waits for whom."""

import threading

import pytest

from weft.data.prefetch import one_ahead, prefetch


def background():
    return [t for t in threading.enumerate() if t.name.startswith("weft-prefetch")]


@pytest.mark.parametrize("depth", [0, 1, 2, 7])
@pytest.mark.parametrize("n", [0, 1, 5])
def test_is_map(depth, n):
    assert list(prefetch(lambda i: i * i, range(n), depth)) == [i * i for i in range(n)]
    assert not background()


def test_one_background_thread_computes_all():
    seen = set(prefetch(lambda _: threading.current_thread().name, range(9), 3))
    assert len(seen) == 1
    assert threading.current_thread().name not in seen
    assert set(prefetch(lambda _: threading.current_thread().name, range(9), 0)) == {threading.current_thread().name}


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_works_ahead_so_far_and_no_further(depth):
    asked, reached = [], threading.Event()

    def work(i):
        asked.append(i)
        if i == depth:
            reached.set()
        return i

    results = prefetch(work, range(100), depth)
    assert next(results) == 0
    assert reached.wait(120)  # item 0 is out, so items 1 … depth are prepared with nobody asking
    results.close()
    assert max(asked) == depth


@pytest.mark.parametrize("depth", [0, 2])
def test_an_exception_comes_where_its_result_is_due(depth):
    def work(i):
        if i == 3:
            raise OSError(f"item {i}")
        return i

    results = prefetch(work, range(9), depth)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="item 3"):
        next(results)
    assert list(results) == []
    assert not background()


@pytest.mark.parametrize("drop", [lambda results: results.close(), lambda results: None], ids=["closed", "dropped"])
def test_abandoned(drop):
    done = []
    results = prefetch(done.append, range(1000), 5)
    next(results)
    assert len(background()) == 1
    drop(results)
    del results
    assert not background()
    assert len(done) <= 6


class TestOneAhead:
    @pytest.mark.parametrize("n", [0, 1, 2, 5])
    def test_order(self, n):
        taken = []
        given = [(item, len(taken)) for item in one_ahead(taken.append(i) or i for i in range(n))]
        assert given == [(i, min(i + 2, n)) for i in range(n)]

    @pytest.mark.parametrize("bad", [0, 1, 3])
    def test_an_exception_comes_where_its_item_is_due(self, bad):
        def items():
            yield from range(bad)
            raise OSError(f"item {bad}")

        passing = one_ahead(items())
        assert [next(passing) for _ in range(bad)] == list(range(bad))
        with pytest.raises(OSError, match=f"item {bad}"):
            next(passing)
        assert list(passing) == []
