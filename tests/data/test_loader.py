"""DataLoader: against slicing and gathering by hand; the positions against runs that were never interrupted."""

import inspect
import json
import os
import re
import signal
import threading
from collections import namedtuple
from itertools import chain

import array_api_strict
import numpy as np
import pytest

import weft
from weft.data import ArrayDataset, DataLoader, Standardize

weft.register_device("strict", array_api_strict)

N = 23


@pytest.fixture
def data(rng):
    return ArrayDataset(rng.integers(0, 256, (N, 3), dtype=np.uint8), np.arange(N))


def ids(batches):
    return [y.tolist() for _, y in batches]


def background():
    return [t for t in threading.enumerate() if t.name.startswith("weft-prefetch")]


class TestBatches:
    @pytest.mark.parametrize("prefetch", [0, 1, 2, 50])
    @pytest.mark.parametrize("drop_last", [False, True])
    @pytest.mark.parametrize("batch_size", [1, 5, 23, 64])
    def test_in_order(self, data, batch_size, drop_last, prefetch):
        loader = DataLoader(data, batch_size, prefetch=prefetch, drop_last=drop_last)
        expected = [list(range(N))[i : i + batch_size] for i in range(0, N, batch_size)]
        expected = [e for e in expected if len(e) == batch_size or not drop_last]
        assert ids(loader) == expected
        assert len(loader) == len(expected)
        for x, y in loader:
            assert isinstance(x, weft.Tensor)
            assert isinstance(y, weft.Tensor)
            assert x.dtype == np.uint8
            np.testing.assert_array_equal(x.numpy(), data.x[y.numpy()])

    def test_shuffled(self, data):
        loader = DataLoader(data, 5, shuffle=True, seed=3)
        first, second = ids(loader), ids(loader)
        for epoch in (first, second):
            assert sorted(chain(*epoch)) == list(range(N))
            assert [len(batch) for batch in epoch] == [5, 5, 5, 5, 3]
        assert first != second
        for x, y in loader:
            np.testing.assert_array_equal(x.numpy(), data.x[y.numpy()])

    def test_empty(self):
        empty = ArrayDataset(np.zeros((0, 3)))
        assert list(DataLoader(empty, 4)) == list(DataLoader(empty, 4, shuffle=True, seed=0)) == []

    @pytest.mark.parametrize("shuffle", [False, True])
    def test_batches_do_not_alias_the_data(self, data, shuffle):
        before = data.x.copy(), data.y.copy()
        for transform in (None, lambda x: x.reshape(len(x), -1)):
            for x, y in DataLoader(data, 5, shuffle, seed=0, transform=transform):
                x.data[:] = 0
                y[:] = 0
        np.testing.assert_array_equal(data.x, before[0])
        np.testing.assert_array_equal(data.y, before[1])

    @pytest.mark.parametrize("method", ["__getitem__", "__getitems__"])
    def test_a_data_set_of_ones_own(self, method):
        kind = type("Squares", (), {"__len__": lambda self: 7, "__getitem__": lambda self, i: 1 / 0})
        setattr(kind, method, lambda self, index: np.arange(7)[index] ** 2)
        loader = DataLoader(kind(), 3, transform=lambda x: x + 1)
        assert [batch.tolist() for batch in loader] == [[1, 2, 5], [10, 17, 26], [37]]

    @pytest.mark.parametrize("device", ["cpu", "strict", "emulator"])
    def test_structure(self, device):
        Pair = namedtuple("Pair", "x y")
        samples = [Pair(np.full(2, i, np.uint8), {"y": i, "name": f"sample {i}", "w": [i / 2]}) for i in range(3)]
        (batch,) = DataLoader(samples, 3, device=device, transform=lambda x: x + 1)
        assert type(batch) is Pair
        assert (batch.x.device, batch.y["y"].device, batch.y["w"][0].device) == (device,) * 3
        assert batch.x.tolist() == [[1, 1], [2, 2], [3, 3]]
        assert batch.y["y"].tolist() == [0, 1, 2]
        assert batch.y["name"] == ["sample 0", "sample 1", "sample 2"]
        assert (batch.y["w"][0].dtype, batch.y["w"][0].tolist()) == (np.float32, [0, 0.5, 1])

    @pytest.mark.parametrize("shuffle", [False, True])
    def test_single_samples(self, data, shuffle):
        loader = DataLoader(data, None, shuffle, seed=3)
        order = [int(y) for _, y in loader]
        assert len(loader) == N
        assert sorted(order) == list(range(N))
        assert (order == list(range(N))) is not shuffle
        x, y = next(iter(loader))
        assert (x.shape, y.shape) == ((3,), ())


class TestOrder:
    def test_depends_on_seed_and_epoch_alone(self, data):
        epochs = [ids(loader) for loader in [DataLoader(data, 5, shuffle=True, seed=3)] for _ in range(3)]
        weft.manual_seed(99)
        again = DataLoader(data, 5, shuffle=True, seed=3, prefetch=0)
        next(iter(again))  # an epoch that is broken off counts
        assert [ids(again), ids(again)] == epochs[1:]
        assert ids(DataLoader(data, 5, shuffle=True, seed=4)) != epochs[0]

    def test_is_pinned(self):
        """These numbers may never change: a run that is resumed after an upgrade must see the same batches."""
        loader = DataLoader(ArrayDataset(np.arange(10)), 10, shuffle=True, seed=0)
        assert [batch.tolist() for (batch,) in loader] == [[5, 3, 7, 8, 2, 4, 1, 0, 6, 9]]
        assert [batch.tolist() for (batch,) in loader] == [[6, 7, 2, 9, 1, 3, 5, 0, 4, 8]]

    def test_is_uniform(self):
        loader = DataLoader(ArrayDataset(np.arange(4)), 4, shuffle=True, seed=1, prefetch=0)
        counts = np.zeros((4, 4))
        for _ in range(600):
            ((batch,),) = list(loader)
            counts[np.arange(4), batch.numpy()] += 1
        assert abs(counts - 150).max() < 5 * np.sqrt(150)

    def test_seed_comes_from_a_generator(self, data):
        seeds = [DataLoader(data, shuffle=True, generator=weft.Generator(5)).seed for _ in range(2)]
        assert seeds[0] == seeds[1]
        weft.manual_seed(1)
        first = DataLoader(data, shuffle=True).seed
        assert first != DataLoader(data, shuffle=True).seed
        weft.manual_seed(1)
        before = weft.default_generator.get_state()
        assert DataLoader(data).seed == 0
        assert weft.default_generator.get_state() == before  # no order, nothing drawn
        assert DataLoader(data, shuffle=True).seed == first


class Epochs:
    """A sampler, or a sampler of batches, that has an order of its own each time; perhaps it says how long."""

    def __init__(self, *orders):
        self.orders = list(orders)

    def __iter__(self):
        self.orders.append(self.orders.pop(0))
        return iter(self.orders[-1])


class Sized(Epochs):
    def __len__(self):
        return len(self.orders[0])


class TestSamplers:
    @pytest.mark.parametrize("num_workers", [0, 2])
    @pytest.mark.parametrize("own", [False, True])
    def test_sampler(self, data, own, num_workers):
        source = [data[i] for i in range(N)] if own else data
        sampler = Sized([5, 0, -1, 5, 2], [1, 2, 3, 4, 6])
        loader = DataLoader(source, 2, sampler=sampler, num_workers=num_workers)
        assert len(loader) == 3
        assert ids(loader) == [[5, 0], [22, 5], [2]]
        assert ids(loader) == [[1, 2], [3, 4], [6]]
        loader = DataLoader(source, 2, False, sampler, drop_last=True)
        assert len(loader) == 2
        assert ids(loader) == [[5, 0], [22, 5]]
        assert [int(y) for _, y in DataLoader(source, None, sampler=sampler)] == [1, 2, 3, 4, 6]

    @pytest.mark.parametrize("own", [False, True])
    def test_batch_sampler(self, data, own):
        source = [data[i] for i in range(N)] if own else data
        batches = [[3], [1, 2], np.array([4, 5, 6])]
        loader = DataLoader(source, batch_sampler=batches)
        assert len(loader) == 3
        assert ids(loader) == ids(loader) == [[3], [1, 2], [4, 5, 6]]

    @pytest.mark.parametrize("kind", [Epochs, Sized])
    def test_positions(self, data, kind):
        for options in (
            {"batch_size": 2, "sampler": kind([5, 0, 1], [1, 2, 3])},
            {"batch_sampler": kind([[5, 0], [1]], [[1, 2], [3]])},
        ):
            loader = DataLoader(data, **options)
            assert ids(loader) == [[5, 0], [1]]
            passing = iter(loader)
            assert ids([next(passing)]) == [[1, 2]]
            state = json.loads(json.dumps(loader.state_dict()))
            assert (state["epoch"], state["batch"]) == (1, 1)
            loader.load_state_dict(state)
            list(
                options.get("sampler", options.get("batch_sampler"))
            )  # the sampler's business: its first order is gone
            assert ids(loader) == [[3]]

    @pytest.mark.parametrize("bad", [[0, N], [-N - 1], [[0, 1]]])
    def test_indices_are_checked(self, data, bad):
        with pytest.raises(IndexError, match=re.escape(f"a sampler must give indices of the 23 samples, got {bad}")):
            list(DataLoader(data, 4, sampler=bad, device="emulator"))

    def test_indices_are_integers(self, data):
        with pytest.raises(
            TypeError, match="`index` must be an int, a slice or an array of integers, got dtype float64"
        ):
            list(DataLoader(data, 4, sampler=[0.5]))

    def test_keys_of_another_sort(self):
        class Files:
            def __len__(self):
                return 2

            def __getitem__(self, name):
                return name, len(name)

        ((names, lengths),) = DataLoader(Files(), 2, sampler=["a.png", "bcd.png"])
        assert (names, lengths.tolist()) == (["a.png", "bcd.png"], [5, 7])


class TestPosition:
    @pytest.mark.parametrize("prefetch", [0, 3])
    @pytest.mark.parametrize("shuffle", [False, True])
    @pytest.mark.parametrize("stop", [0, 1, 3, 5])
    def test_resumes_in_mid_epoch(self, data, shuffle, prefetch, stop):
        whole = DataLoader(data, 5, shuffle, seed=8)
        epochs = [ids(whole) for _ in range(3)]
        broken = DataLoader(data, 5, shuffle, seed=8, prefetch=prefetch)
        list(broken)
        passing = iter(broken)
        received = ids([next(passing) for _ in range(stop)])
        state = json.loads(json.dumps(broken.state_dict()))
        assert (state["epoch"], state["batch"]) == (1, stop)
        resumed = DataLoader(data, 5, shuffle, seed=0, prefetch=prefetch)
        resumed.load_state_dict(state)
        assert received + ids(resumed) == epochs[1]
        assert ids(resumed) == epochs[2]
        assert resumed.state_dict()["epoch"] == 3

    def test_counts_what_the_consumer_has(self, data):
        loader = DataLoader(data, 5, prefetch=4)
        positions = [(loader.state_dict()["epoch"], loader.state_dict()["batch"]) for _ in loader]
        assert positions == [(0, 1), (0, 2), (0, 3), (0, 4), (0, 5)]
        assert (loader.state_dict()["epoch"], loader.state_dict()["batch"]) == (1, 0)

    def test_a_state_can_be_loaded_twice(self, data):
        loader = DataLoader(data, 5, shuffle=True, seed=2)
        state = loader.state_dict()
        first = ids(loader)
        loader.load_state_dict(state)
        assert ids(loader) == first

    def test_the_position_is_that_of_the_latest_pass(self, data):
        loader = DataLoader(data, 5, prefetch=0)
        old, new = iter(loader), iter(loader)
        next(new)
        assert ids(old) == ids(DataLoader(data, 5))
        assert (loader.state_dict()["epoch"], loader.state_dict()["batch"]) == (1, 1)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"batch_size": 4}, "`state` was saved with batch_size=4, this loader has batch_size=5; resume with"),
            ({"samples": 7}, "`state` was saved with samples=7, this loader has samples=23"),
            ({"shuffle": True}, "`state` was saved with shuffle=True, this loader has shuffle=False"),
            ({"drop_last": True}, "`state` was saved with drop_last=True, this loader has drop_last=False"),
            ({"epoch": None}, "`state` must have the entries of DataLoader.state_dict, lacks ['epoch']"),
            ({"batch": 6}, "`batch` must be an integer in [0, 6), got 6"),
            ({"epoch": -1}, "`epoch` must be an integer at least 0, got -1"),
            ({"seed": 0.5}, "`seed` must be an integer in [0, 18446744073709551616), got 0.5"),
        ],
    )
    def test_a_state_that_does_not_fit_changes_nothing(self, data, change, message):
        loader = DataLoader(data, 5)
        before = loader.state_dict()
        state = {key: value for key, value in {**before, "batch": 2, "seed": 9, **change}.items() if value is not None}
        with pytest.raises(ValueError, match=re.escape(message)):
            loader.load_state_dict(state)
        assert loader.state_dict() == before


class TestTransform:
    @pytest.mark.parametrize("device", ["cpu", "strict"])
    @pytest.mark.parametrize("resident", [False, True])
    def test_inputs_alone_per_batch(self, data, device, resident):
        normalizer = Standardize().fit(data.x)
        source = data.to(device) if resident else data
        for x, y in DataLoader(source, 5, shuffle=True, seed=0, device=device, transform=normalizer):
            assert (x.device, x.dtype, y.dtype) == (device, np.float32, np.int64)
            np.testing.assert_allclose(x.numpy(), normalizer(data.x)[y.numpy()], rtol=1e-6, atol=1e-6)

    def test_a_narrow_batch_travels(self, data):
        seen = []
        list(DataLoader(data, 5, device="strict", transform=lambda x: seen.append(x) or x))
        assert {(type(x), x.dtype) for x in seen} == {(array_api_strict._array_object.Array, array_api_strict.uint8)}

    @pytest.mark.parametrize("prefetch", [0, 2])
    def test_errors_come_when_due(self, data, prefetch):
        def transform(x):
            if np.array_equal(x, data.x[10:15]):
                raise ArithmeticError("batch 2")
            return x

        passing = iter(DataLoader(data, 5, prefetch=prefetch, transform=transform))
        assert len([next(passing), next(passing)]) == 2
        with pytest.raises(ArithmeticError, match="batch 2"):
            next(passing)
        assert not background()


class TestThreads:
    def test_end_with_the_epoch_or_when_abandoned(self, data):
        loader = DataLoader(data, 2)
        list(loader)
        assert not background()
        for _ in loader:
            assert len(background()) == 1
            break
        assert not background()
        for _ in zip(range(2), loader):
            pass
        assert not background()

    def test_none_without_prefetch_or_when_resident(self, data):
        for loader in (DataLoader(data, 2, prefetch=0), DataLoader(data.to("strict"), 2)):
            assert all(not background() for _ in loader)


class TestDevices:
    @pytest.mark.parametrize("shuffle", [False, True])
    def test_resident_data_give_the_same_batches(self, data, shuffle):
        host, resident = (DataLoader(d, 5, shuffle, seed=6) for d in (data, data.to("strict")))
        assert resident.device == "strict"
        for (x, y), (x_there, y_there) in zip(host, resident):
            assert (x_there.device, y_there.device) == ("strict", "strict")
            np.testing.assert_array_equal(x.numpy(), x_there.numpy())
            np.testing.assert_array_equal(y.numpy(), y_there.numpy())

    def test_default_device(self, data):
        with weft.device("strict"):
            loader = DataLoader(data, 5)
        assert loader.device == "strict"
        assert all(x.device == "strict" for x, _ in loader)
        assert DataLoader(data.to("strict"), 5, device="cpu").device == "cpu"
        assert ids(DataLoader(data.to("strict"), 5, device="cpu")) == ids(DataLoader(data, 5))

    @pytest.mark.parametrize("pin_memory", [None, True, False])
    def test_pinning_does_not_concern_a_cpu(self, data, pin_memory):
        loader = DataLoader(data, 5, True, seed=1, pin_memory=pin_memory)
        assert loader.pin_memory is pin_memory
        assert ids(loader) == ids(DataLoader(data, 5, True, seed=1))

    def test_unknown_device(self, data):
        with pytest.raises(weft.DeviceError, match="'tpu'"):
            DataLoader(data, device="tpu")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be an integer at least 1, got 0"),
        ({"batch_size": 2.0}, "`batch_size` must be an integer at least 1, got 2.0"),
        ({"batch_size": True}, "`batch_size` must be an integer at least 1, got True"),
        ({"num_workers": -1}, "`num_workers` must be an integer at least 0, got -1"),
        ({"sampler": [1], "shuffle": True}, "`sampler` must come without `shuffle`, got shuffle=True"),
        (
            {"batch_sampler": [[1]], "batch_size": 2},
            "`batch_sampler` must come without `batch_size`, `shuffle`, `sampler`",
        ),
        ({"batch_sampler": [[1]], "sampler": [1]}, "got batch_size=1, shuffle=False, sampler=[1], drop_last=False"),
        ({"batch_sampler": [[1]], "shuffle": True}, "got batch_size=1, shuffle=True"),
        ({"batch_sampler": [[1]], "drop_last": True}, "drop_last=True"),
        ({"batch_size": None, "drop_last": True}, "`drop_last` must be False where `batch_size` is None"),
        (
            {"persistent_workers": True},
            "`persistent_workers` must come with num_workers ≥ 1, got persistent_workers=True",
        ),
        ({"prefetch_factor": 2}, "`prefetch_factor` must come with num_workers ≥ 1, got prefetch_factor=2"),
        ({"prefetch_factor": 0, "num_workers": 1}, "`prefetch_factor` must be an integer at least 1, got 0"),
        ({"timeout": 2}, "`timeout` must come with num_workers ≥ 1, got timeout=2"),
        ({"timeout": -1, "num_workers": 1}, "`timeout` must be at least 0 seconds, got -1"),
        ({"multiprocessing_context": "fork"}, "`multiprocessing_context` must come with num_workers ≥ 1"),
        ({"prefetch": -1}, "`prefetch` must be an integer at least 0, got -1"),
        ({"pin_memory": 1}, "`pin_memory` must be True, False or None, got 1"),
        ({"seed": -3}, "`seed` must be an integer in [0, 18446744073709551616), got -3"),
        ({"seed": 1 << 64}, "`seed` must be an integer in [0, 18446744073709551616), got 18446744073709551616"),
    ],
)
def test_arguments(data, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        DataLoader(data, **arguments)


def test_workers_do_without_a_device(data):
    with pytest.raises(ValueError, match="`num_workers` must be 0 for data that are resident on strict, got 2"):
        DataLoader(data.to("strict"), num_workers=2)


@pytest.mark.parametrize("name", ["collate_fn", "worker_init_fn", "transform"])
def test_functions(data, name):
    with pytest.raises(TypeError, match=f"`{name}` must be a function or None, got 'stack'"):
        DataLoader(data, **{name: "stack"})


@pytest.mark.parametrize(
    ("dataset", "lacks"), [((i for i in range(3)), "__getitem__"), ({1, 2}, "__getitem__"), (1, "__getitem__")]
)
def test_no_data_set(dataset, lacks):
    with pytest.raises(
        TypeError, match=f"`dataset` must have `__getitem__` and `__len__`, {type(dataset).__name__} has no"
    ):
        DataLoader(dataset)


def test_positional_arguments_stand_where_pytorch_has_them():
    order = """dataset batch_size shuffle sampler batch_sampler num_workers collate_fn pin_memory drop_last timeout
        worker_init_fn multiprocessing_context generator"""
    assert " ".join(list(inspect.signature(DataLoader).parameters)[:13]) == " ".join(order.split())


class TestRepr:
    def test_of_arrays(self, data):
        arrays = "ArrayDataset((23, 3) uint8, (23,) int64)"
        assert repr(DataLoader(data, 4)) == f"DataLoader({arrays}, batch_size=4, device='cpu')"
        assert repr(DataLoader(data, 4, shuffle=True, seed=3, drop_last=True)) == (
            f"DataLoader({arrays}, batch_size=4, shuffle=True, seed=3, drop_last=True, device='cpu')"
        )
        loader = DataLoader(data, transform=Standardize(), collate_fn=tuple, num_workers=2, seed=0)
        assert repr(loader).endswith(
            "batch_size=1, num_workers=2, collate_fn=tuple, transform=Standardize, device='cpu')"
        )

    def test_is_short_whatever_the_data_and_the_sampler(self):
        numbers = list(range(10_000))
        assert repr(DataLoader(numbers, None, sampler=np.arange(10_000), seed=0)) == (
            "DataLoader(list of 10,000 samples, batch_size=None, sampler=ndarray, device='cpu')"
        )
        assert repr(DataLoader(numbers, batch_sampler=[[1, 2]], seed=0)) == (
            "DataLoader(list of 10,000 samples, batch_sampler=list, device='cpu')"
        )


class Squares:
    def __len__(self):
        return 12

    def __getitem__(self, i):
        return np.float32(i * i), i


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
class TestForkedWithinAPass:
    """The child has neither the thread nor the workers that prepare batches: it says so, and may begin a pass."""

    def in_a_child(self, function):
        """What it returns there; the test hangs in `read` no longer than the alarm."""
        read, write = os.pipe()
        if (child := os.fork()) == 0:
            signal.alarm(300)
            try:
                answer = function()
            except BaseException as error:
                answer = f"{type(error).__name__}: {error}"
            os.write(write, str(answer).encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as file:
            answer = file.read()
        assert os.waitpid(child, 0)[1] == 0
        return answer

    @pytest.mark.parametrize(
        "options", [{"prefetch": 2}, {"num_workers": 2}, {"num_workers": 2, "persistent_workers": True}], ids=str
    )
    def test_says_so(self, options):
        loader = DataLoader(Squares(), 4, **options)
        batches = iter(loader)
        next(batches)
        said = self.in_a_child(lambda: next(batches))
        assert said.startswith(
            f"RuntimeError: `DataLoader`: a pass must go on in the process that began it, {os.getpid()}"
        )
        assert self.in_a_child(lambda: len(list(loader))) == "3"
        assert len(list(batches)) == 2
        assert len(list(loader)) == 3

    def test_goes_on_without_help(self):
        batches = iter(DataLoader(Squares(), 4))
        next(batches)
        assert self.in_a_child(lambda: [y.tolist() for _, y in batches]) == "[[4, 5, 6, 7], [8, 9, 10, 11]]"

    def test_between_passes_of_persistent_workers(self):
        loader = DataLoader(Squares(), 4, num_workers=1, persistent_workers=True)
        list(loader)
        assert self.in_a_child(lambda: len(list(loader))) == "3"
        assert len(list(loader)) == 3
