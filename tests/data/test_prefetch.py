"""Working ahead: against `map`; threads are counted, and events (no clocks) decide who waits for whom."""

import threading

import pytest

from weft.data.prefetch import prefetch


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
    assert reached.wait(10)  # item 0 is out, so items 1 … depth are prepared with nobody asking
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
