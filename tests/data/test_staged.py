"""A loader's batches on their way to a GPU: on a model of one that misses no forgotten wait, and on devices that exist."""

import gc
import threading

import numpy as np
import pytest
from cupy_fixtures import POLICIES

import weft
from weft.backend.device import transfer
from weft.data import ArrayDataset, DataLoader, Standardize, staged
from weft.kernels import emulator

N, B = 23, 5


@pytest.fixture
def data(rng):
    return ArrayDataset(rng.integers(0, 256, (N, 2, 3), dtype=np.uint8), np.arange(N))


class Pairs:
    """A data set of one's own that gives batches: lists, numbers in another byte order, Tensors."""

    def __len__(self):
        return N

    def __getitem__(self, i):
        raise AssertionError("batches are asked for")

    def __getitems__(self, index):
        index = np.arange(N)[index]
        return ((index / 4).tolist(), index.astype(">i4"), weft.asarray(index.astype(np.float64)))


class Rows(Pairs):
    def __getitems__(self, index):
        return np.arange(N * 3).reshape(N, 3)[index]


def train(loader, passes):
    """Whole passes and some that are left early; a step reads each batch. What the steps made of it: (2x, 2y)."""
    found = []
    for stop in passes:
        for i, (x, y) in enumerate(loader):
            assert (x.device, y.device) == ("cuda:0", "cuda:0")
            found.append((2 * x, 2 * y))
            del x, y
            if i + 1 == stop:
                break
    return found


class TestOnAModelGpu:
    """One that says where a wait was forgotten, and where memory was used again too early."""

    @pytest.mark.parametrize("prefetch", [0, 1, 2, 5])
    @pytest.mark.parametrize("policy", POLICIES)
    def test_bits_and_positions(self, machine, data, policy, prefetch):
        machine.behave(policy)
        passes = [None, 2, 1, None]
        normalizer = Standardize().fit(data.x)
        loader = DataLoader(data, B, True, seed=3, prefetch=prefetch, device="cuda", transform=normalizer)
        found = train(loader, passes)
        others = [weft.full((B, 2, 3), 7, dtype=weft.uint8, device="cuda") for _ in range(4)]
        assert (loader.state_dict()["epoch"], loader.state_dict()["batch"]) == (4, 0)
        del loader
        gc.collect()
        machine.finish()
        host = DataLoader(data, B, True, seed=3, transform=normalizer)
        expected = [batch for stop in passes for _, batch in zip(range(stop or 99), host)]
        assert len(found) == len(expected)
        for got, wanted in zip(found, expected):
            for a, b in zip(got, wanted):
                np.testing.assert_array_equal(a.numpy(), 2 * b.numpy())
        for other in others:
            np.testing.assert_array_equal(other.numpy(), np.full((B, 2, 3), 7))

    @pytest.mark.parametrize("options", [{}, {"prefetch": 2}, {"num_workers": 2}])
    @pytest.mark.parametrize("policy", POLICIES)
    def test_samples_of_ones_own(self, machine, policy, options):
        """By way of workers, too; nested, with text; some batches are left, and their memory used again."""
        machine.behave(policy)
        samples = [{"x": (np.full((2, 3), i, np.uint8), i / 2), "name": str(i)} for i in range(N)]
        loader = DataLoader(samples, B, True, seed=3, device="cuda", **options)
        found = []
        for stop in (1, None, 2, None):
            for _, batch in zip(range(stop or 99), loader):
                found.append((2 * batch["x"][0], 2 * batch["x"][1], batch["name"]))
                del batch
        machine.finish()
        host = DataLoader(samples, B, True, seed=3)
        expected = [batch for stop in (1, None, 2, None) for _, batch in zip(range(stop or 99), host)]
        for (x, half, names), batch in zip(found, expected, strict=True):
            assert (x.device, x.dtype, half.dtype) == ("cuda:0", np.uint8, np.float32)
            np.testing.assert_array_equal(x.numpy(), 2 * batch["x"][0].numpy())
            np.testing.assert_array_equal(half.numpy(), 2 * batch["x"][1].numpy())
            assert names == batch["name"]

    @pytest.mark.parametrize("policy", POLICIES)
    @pytest.mark.parametrize("prefetch", [1, 3])
    def test_only_the_background_thread_waits(self, machine, data, policy, prefetch):
        machine.behave(policy)
        loader = DataLoader(data, 2, prefetch=prefetch, device="cuda")
        train(loader, [None] * 3)
        assert threading.current_thread().name not in machine.waits
        assert len(machine.pinned) <= prefetch + 1 + transfer._UNDER_WAY

    def test_memory_is_used_again_by_the_next_pass(self, machine, data):
        machine.behave("eager")
        loader = DataLoader(data, B, device="cuda")
        train(loader, [None])
        asked = len(machine.pinned)
        train(loader, [None] * 5)
        assert len(machine.pinned) <= asked + 1

    def test_two_passes_at_the_same_time(self, machine, data):
        machine.behave(0)
        loader = DataLoader(data, B, prefetch=1, device="cuda")
        found = [(2 * y, 2 * v) for _, y in loader for _, v in loader]
        machine.finish()
        parts = [np.arange(N)[i : i + B] for i in range(0, N, B)]
        for (y, v), (a, b) in zip(found, ((a, b) for a in parts for b in parts), strict=True):
            np.testing.assert_array_equal(y.numpy(), 2 * a)
            np.testing.assert_array_equal(v.numpy(), 2 * b)

    def test_the_narrow_dtype_travels(self, machine, data):
        machine.behave("eager")
        train(DataLoader(data, B, device="cuda", transform=lambda x: x.astype(weft.float64)), [None])
        (parcel_bytes,) = {m.nbytes for m in machine.pinned}
        assert parcel_bytes == 1024  # 5 × 6 bytes of uint8, from byte 512 on 5 × 8 of int64

    def test_one_batch_is_sent_ahead(self, machine, monkeypatch, data):
        machine.behave("eager")
        sent = []
        original = transfer.Staging.send
        monkeypatch.setattr(transfer.Staging, "send", lambda self, p: sent.append(p) or original(self, p))
        counts = [len(sent) for _ in DataLoader(data, B, device="cuda")]
        assert counts == [2, 3, 4, 5, 5]
        sent.clear()
        assert [len(sent) for _ in DataLoader(data, B, prefetch=0, device="cuda")] == [1, 2, 3, 4, 5]
        sent.clear()
        list(DataLoader(data, B, pin_memory=False, device="cuda"))
        assert not sent


@pytest.fixture(params=[None, True, False])
def pin_memory(request):
    return request.param


class TestOnDevices:
    @pytest.mark.parametrize("prefetch", [0, 2])
    @pytest.mark.parametrize("shuffle", [False, True])
    def test_the_same_bits_whichever_way(self, accelerator, data, shuffle, prefetch, pin_memory):
        """Streamed, with or without page-locked memory, and resident; resumed in mid-epoch."""
        normalizer = Standardize().fit(data.x)
        options = {"shuffle": shuffle, "seed": 4, "prefetch": prefetch, "transform": normalizer}
        streamed = DataLoader(data, B, device=accelerator, pin_memory=pin_memory, **options)
        resident = DataLoader(data.to(accelerator), B, **options)
        next(iter(streamed))
        next(iter(resident))
        state = DataLoader(data, B, **options).state_dict() | {"epoch": 1, "batch": 2}
        host = DataLoader(data, B, **options)
        for loader in (host, streamed, resident):
            loader.load_state_dict(state)
        for h, s, r in zip(
            list(host) + list(host), list(streamed) + list(streamed), list(resident) + list(resident), strict=True
        ):
            for a, b, c in zip(h, s, r, strict=True):
                assert (b.device, c.device, b.dtype, c.dtype) == (accelerator, accelerator, a.dtype, a.dtype)
                np.testing.assert_array_equal(b.numpy(), c.numpy())
                if a.dtype == np.int64:
                    np.testing.assert_array_equal(b.numpy(), a.numpy())
                else:  # computed where the batch is
                    np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=1e-6, atol=1e-6)

    @pytest.mark.parametrize("shuffle", [False, True])
    def test_resident_data_are_gathered_by_the_device_alone(self, monkeypatch, data, shuffle):
        """One operation per array and batch; from the host comes the order, once for each epoch."""
        loader = DataLoader(data.to("emulator"), B, shuffle, seed=0)
        calls = []
        for name, original in [(n, getattr(emulator.namespace, n)) for n in ("take", "asarray")]:

            def count(a, *args, name=name, original=original, **options):
                if not isinstance(a, emulator.Array):
                    calls.append("upload")
                elif name == "take" or options.get("copy"):
                    calls.append("gather")
                return original(a, *args, **options)

            monkeypatch.setattr(emulator.namespace, name, count)
        weft.set_sync_debug_mode("error")
        try:
            assert len([batch for _ in range(2) for batch in loader]) == 10
        finally:
            weft.set_sync_debug_mode("default")
        assert calls.count("gather") == 2 * 2 * 5
        assert calls.count("upload") == 2 * shuffle

    def test_data_sets_of_ones_own(self, accelerator, pin_memory):
        for n, (x, y, z) in enumerate(DataLoader(Pairs(), B, device=accelerator, pin_memory=pin_memory)):
            index = np.arange(N)[n * B : (n + 1) * B]
            assert (x.dtype, y.dtype.newbyteorder("="), z.dtype) == (np.float32, np.int32, np.float64)
            np.testing.assert_array_equal(x.numpy(), (index / 4).astype(np.float32))
            np.testing.assert_array_equal(y.numpy(), index)
            np.testing.assert_array_equal(z.numpy(), index)
        rows = DataLoader(Rows(), B, device=accelerator, pin_memory=pin_memory)
        np.testing.assert_array_equal(np.concatenate([x.numpy() for x in rows]), np.arange(N * 3).reshape(N, 3))

    def test_batches_that_are_there_already(self, accelerator):
        class There(Pairs):
            def __getitems__(self, index):
                return weft.asarray(np.arange(N)[index], device=accelerator), np.arange(N)[index]

        for x, y in DataLoader(There(), B, device=accelerator):
            assert (x.device, y.device) == (accelerator, accelerator)
            np.testing.assert_array_equal(x.numpy(), y.numpy())

    @pytest.mark.parametrize("prefetch", [0, 2])
    def test_errors_come_when_due_and_are_survived(self, accelerator, prefetch):
        class Breaks(Rows):
            broken = True

            def __getitems__(self, index):
                if self.broken and index[0] == 10:
                    raise OSError("disk")
                return super().__getitems__(index)

        dataset = Breaks()
        loader = DataLoader(dataset, B, prefetch=prefetch, device=accelerator)
        passing = iter(loader)
        assert len([next(passing), next(passing)]) == 2
        with pytest.raises(OSError, match="disk"):
            next(passing)
        assert loader.state_dict()["batch"] == 2
        dataset.broken = False
        np.testing.assert_array_equal(np.concatenate([x.numpy() for x in loader]), np.arange(N * 3).reshape(N, 3))

    def test_batches_may_be_kept(self, accelerator, data):
        batches = list(DataLoader(data, B, device=accelerator))
        np.testing.assert_array_equal(np.concatenate([x.numpy() for x, _ in batches]), data.x)

    def test_a_captured_step_reads_each_batch(self, accelerator, data):
        total = weft.capture(lambda x: weft.sum(x, dtype=weft.int64), warmup=1)
        loader = DataLoader(data, B, device=accelerator, drop_last=True)
        found = [total(x) for _ in range(3) for x, _ in loader]
        assert [t.item() for t in found] == [data.x[i : i + B].sum() for i in range(0, 20, B)] * 3

    def test_no_thread_is_left(self, accelerator, data):
        for _ in DataLoader(data, B, device=accelerator):
            break
        assert not [t for t in threading.enumerate() if t.name.startswith("weft-prefetch")]


def test_subclasses_gather_as_they_say(accelerator):
    class Doubled(ArrayDataset):
        def __getitem__(self, index):
            return tuple(2 * a for a in super().__getitem__(index))

    ((x,),) = DataLoader(Doubled(np.arange(4)), 4, device=accelerator)
    assert x.tolist() == [0, 2, 4, 6]


@pytest.mark.parametrize(
    ("device", "serves"), [("cpu", False), ("emulator", True), ("cuda:1", True), ("strict", False)]
)
def test_which_devices_it_serves(device, serves):
    assert staged.Staged.serves(device) is serves
