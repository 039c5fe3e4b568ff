"""Worker processes: the batches of one process, whatever number of them; what they are told, and how they end."""

import copy
import json
import multiprocessing
import os
import pickle
import random
import re
import subprocess
import sys
import threading

import numpy as np
import pytest

import weft
from weft.data import ArrayDataset, DataLoader, Standardize, get_worker_info

N, B = 11, 3


class Noisy:
    """Augments with all the random numbers that there are."""

    def __len__(self):
        return N

    def __getitem__(self, i):
        return {
            "i": i,
            "noise": np.random.standard_normal(2),  # noqa: NPY002
            "crop": random.random(),
            "drop": weft.rand(2),
            "again": weft.randn(1),
        }


class Told(Noisy):
    """Says who made a sample."""

    suffix = 0

    def __getitem__(self, i):
        info = get_worker_info()
        return (
            (i, os.getpid(), self.suffix) if info is None else (i, os.getpid(), self.suffix, info.id, info.num_workers)
        )


def rows(loader):
    return [{key: value.tolist() for key, value in batch.items()} for batch in loader]


def children():
    return {process.pid for process in multiprocessing.active_children()}


@pytest.fixture(autouse=True)
def nobody_is_left():
    before = children()
    yield
    assert children() <= before


class TestTheSameBatches:
    @pytest.mark.parametrize("device", ["cpu", "emulator"])
    @pytest.mark.parametrize("shuffle", [False, True])
    @pytest.mark.parametrize("num_workers", [1, 2, 3])
    def test_whatever_num_workers(self, num_workers, shuffle, device):
        here = DataLoader(Noisy(), B, shuffle, seed=5)
        there = DataLoader(Noisy(), B, shuffle, seed=5, num_workers=num_workers, device=device)
        epochs = [(rows(here), rows(there)) for _ in range(2)]
        assert all(mine == theirs for mine, theirs in epochs)
        first, second = epochs[0][0], epochs[1][0]
        assert len({row["crop"][0] for epoch in (first, second) for row in epoch}) == 8  # none twice
        assert rows(DataLoader(Noisy(), B, shuffle, seed=6)) != first

    def test_of_arrays_with_a_transform(self, rng):
        data = ArrayDataset(rng.integers(0, 256, (N, 3), dtype=np.uint8), np.arange(N))
        options = {"shuffle": True, "seed": 1, "transform": Standardize().fit(data.x)}
        for (x, y), (u, v) in zip(
            DataLoader(data, B, **options), DataLoader(data, B, num_workers=2, **options), strict=True
        ):
            assert x.dtype == u.dtype == np.float32
            assert (x.tolist(), y.tolist()) == (u.tolist(), v.tolist())

    def test_of_arrays_with_a_transform_that_draws(self):
        def noisy(x):
            return x + np.random.standard_normal(x.shape)  # noqa: NPY002

        data = ArrayDataset(np.zeros(N))
        here, there = (DataLoader(data, B, seed=1, transform=noisy, prefetch=0, num_workers=n) for n in (0, 2))
        assert [x.tolist() for (x,) in here] == [x.tolist() for (x,) in there]

    def test_resumed_in_mid_epoch(self):
        whole = DataLoader(Noisy(), B, True, seed=3)
        epochs = [rows(whole) for _ in range(3)]
        broken = DataLoader(Noisy(), B, True, seed=3, num_workers=2)
        list(broken)
        passing = iter(broken)
        got = rows(next(passing) for _ in range(2))
        state = json.loads(json.dumps(broken.state_dict()))
        passing.close()
        assert (state["epoch"], state["batch"]) == (1, 2)
        for num_workers in (0, 2):
            resumed = DataLoader(Noisy(), B, True, seed=0, num_workers=num_workers)
            resumed.load_state_dict(state)
            assert got + rows(resumed) == epochs[1]
            assert rows(resumed) == epochs[2]

    @pytest.mark.parametrize("num_workers", [0, 1])
    def test_nobody_elses_random_numbers_move(self, num_workers):
        def state():
            return random.getstate(), np.random.get_state()[1].tolist(), weft.default_generator.get_state()  # noqa: NPY002

        loader = DataLoader(Noisy(), B, seed=0, num_workers=num_workers)
        before = state()
        list(loader)
        assert state() == before

    def test_the_seed_comes_from_the_generator(self):
        weft.manual_seed(1)
        first = rows(DataLoader(Noisy(), B))
        assert rows(DataLoader(Noisy(), B)) != first
        weft.manual_seed(1)
        assert rows(DataLoader(Noisy(), B, num_workers=1)) == first
        one, other = (rows(DataLoader(Noisy(), B, generator=weft.Generator(4))) for _ in range(2))
        assert one == other

    def test_spawned(self):
        data = ArrayDataset(np.arange(4.0), np.arange(4))
        loader = DataLoader(data, 2, num_workers=1, multiprocessing_context="spawn")
        assert [y.tolist() for _, y in loader] == [[0, 1], [2, 3]]


class TestWorkers:
    def test_know_who_they_are(self):
        (batch,) = DataLoader(Told(), N, num_workers=1)
        assert set(batch[3].tolist()) == {0}
        assert set(batch[4].tolist()) == {1}
        assert os.getpid() not in batch[1].tolist()
        (batch,) = DataLoader(Told(), N)
        assert len(batch) == 3
        assert set(batch[1].tolist()) == {os.getpid()}

    def test_init_fn(self):
        def init(number):
            info = get_worker_info()
            assert info.id == number < info.num_workers == 2
            info.dataset.suffix = 7

        batches = list(DataLoader(Told(), 1, num_workers=2, worker_init_fn=init))
        assert {batch[2].item() for batch in batches} == {7}

    def test_init_fn_is_seeded_by_worker_and_epoch(self):
        def init(number):
            get_worker_info().dataset.suffix = random.randrange(1 << 60)

        def drawn(seed):
            loader = DataLoader(Told(), 1, num_workers=1, worker_init_fn=init, seed=seed)
            return [{batch[2].item() for batch in loader} for _ in range(2)]

        one, two, again = drawn(1), drawn(2), drawn(1)
        assert one == again
        assert len(set.union(*one, *two)) == 4

    @pytest.mark.parametrize("persistent", [False, True])
    def test_persistent(self, persistent):
        data = Told()
        loader = DataLoader(data, 1, num_workers=2, persistent_workers=persistent)
        next(iter(loader))  # broken off
        first = {batch[1].item() for batch in loader}
        data.suffix = 5
        second = list(loader)
        assert ({batch[1].item() for batch in second} <= first | children()) is persistent
        assert {batch[2].item() for batch in second} == {0 if persistent else 5}
        assert len(children()) == (2 if persistent else 0)
        other = copy.deepcopy(loader)
        assert pickle.loads(pickle.dumps(loader)).num_workers == 2
        assert [batch[0].item() for batch in other] == list(range(N))
        for l in (loader, other):
            if l._workers is not None:
                l._workers.stop()

    def test_two_passes_at_the_same_time(self):
        loader = DataLoader(Told(), 4, num_workers=1, persistent_workers=True)
        pairs = [(a[0].tolist()[0], b[0].tolist()[0]) for a in loader for b in loader]
        assert pairs == [(a, b) for a in (0, 4, 8) for b in (0, 4, 8)]
        loader._workers.stop()

    @pytest.mark.parametrize("prefetch_factor", [1, 4])
    def test_work_ahead_so_far_and_no_further(self, tmp_path, prefetch_factor):
        class Marks(Noisy):
            def __getitem__(self, i):
                (tmp_path / str(i)).touch()
                return i

        passing = iter(DataLoader(Marks(), 1, num_workers=1, prefetch_factor=prefetch_factor))
        next(passing)
        passing.close()
        assert max(int(p.name) for p in tmp_path.iterdir()) <= prefetch_factor

    def test_tensors_and_arrays_of_a_collate_fn(self):
        def collate(samples):
            return {
                "x": weft.stack([s["drop"] for s in samples]),
                "n": len(samples),
                "ids": [str(s["i"]) for s in samples],
            }

        for num_workers in (0, 2):
            first, *_, last = DataLoader(Noisy(), B, num_workers=num_workers, collate_fn=collate)
            assert isinstance(first["x"], weft.Tensor)
            assert (first["x"].shape, first["n"], last["ids"]) == ((B, 2), B, ["9", "10"])


class Odd(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")


ALONE = """
import os, sys
from weft.data import DataLoader
loader = DataLoader(range(100), 2, **eval(sys.argv[2]))
passing = iter(loader)
print(next(passing).tolist(), flush=True)
if sys.argv[1] == "killed":
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize(
    "options", ["{'num_workers': 3, 'persistent_workers': True}", "{'num_workers': 2}", "{'prefetch': 2}"]
)
@pytest.mark.parametrize(("end", "status"), [("killed", -9), ("over", 0)])
def test_all_ends_with_the_process(tmp_path, end, status, options):
    """Workers hold its output open: `run` waits for the last of them. Threads cannot be joined when it is over."""
    (tmp_path / "alone.py").write_text(ALONE)
    command = [sys.executable, "-W", "error", "alone.py", end, options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (status, "[0, 1]\n", "")


class TestFaults:
    def faulty(self, fault, **options):
        class Faulty(Noisy):
            def __getitem__(self, i):
                if i == 4:
                    fault()
                return i

        return DataLoader(Faulty(), 2, **{"num_workers": 2, **options})

    @pytest.mark.parametrize("persistent_workers", [False, True])
    @pytest.mark.parametrize(
        ("error", "expected", "message"),
        [
            (KeyError("town"), KeyError, "town"),
            (TimeoutError("disk"), TimeoutError, "disk"),
            (Odd(1, 2), RuntimeError, "1 and 2"),  # cannot be unpickled
        ],
    )
    def test_errors_come_when_due(self, error, expected, message, persistent_workers):
        def fault():
            raise error

        loader = self.faulty(fault, persistent_workers=persistent_workers)
        passing = iter(loader)
        assert [next(passing).tolist(), next(passing).tolist()] == [[0, 1], [2, 3]]
        with pytest.raises(expected, match=message) as caught:
            next(passing)
        assert "in fault" in str(caught.value.__cause__ or caught.value)  # the worker's own traceback
        assert loader.state_dict()["batch"] == 2
        assert loader._workers is None

    def test_a_death_is_told(self):
        loader = self.faulty(lambda: os._exit(3), persistent_workers=True)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="a worker process of the DataLoader ended without a word"):
                list(loader)

    def test_timeout(self):
        with pytest.raises(
            RuntimeError, match=re.escape("`timeout` must leave a worker the time for a batch, got 0.5 s")
        ):
            list(self.faulty(lambda: threading.Event().wait(), timeout=0.5))

    def test_init_fn(self):
        def init(number):
            raise OSError("no disk")

        with pytest.raises(OSError, match="no disk"):
            list(DataLoader(Noisy(), worker_init_fn=init, num_workers=2))
