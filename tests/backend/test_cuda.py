"""device="cuda" from end to end without a GPU, on the stand-in for CuPy: the emulator's bits, one stream's order, no race."""

import copy
import gc
import inspect
import re
import types
import weakref

import numpy as np
import pytest
from captured_trainer import CHANGES, losses
from captured_world import BETWEEN, lived

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.backend.device import faults
from weft.data import ArrayDataset, DataLoader
from weft.kernels.toolchain import cublas
from weft.layers.utils.rnn import pack_padded_sequence
from weft.training import Trainer, load_checkpoint, save_checkpoint

F = nn.functional


# --- the stand-in is no more than the truth -------------------------------------------------------------------------------
def parameters(of):
    """Names of parameters; those of a function in C from the first line of its documentation."""
    try:
        return [p for p in inspect.signature(of).parameters if p not in ("self", "args", "kwargs")]
    except (TypeError, ValueError):
        text = re.search(r"\((.*)\)", (of.__doc__ or "()").splitlines()[0])[1]
        names = [p.split("=")[0].split()[-1] for p in text.split(",") if p.strip() not in ("", "*")]
        return [n for n in names if n not in ("self", "*args", "**kwargs")]


def test_every_name_is_cupys(stand_in):
    real, modules = stand_in.real, stand_in.modules()
    for name, module in modules.items():
        of = real
        for part in name.split(".")[1:]:
            of = getattr(of, part)
        for key in (k for k in vars(module) if not k.startswith("__")):
            assert hasattr(of, key), f"{name}.{key}"
    pairs = [
        (getattr(stand_in, n), getattr(real.cuda, n))
        for n in ("Stream", "Event", "Memory", "MemoryPointer", "MemoryPool", "Device")
    ]
    pairs += [(stand_in.Graph, real.cuda.Graph), (stand_in.ndarray, real.ndarray), (stand_in.RawModule, real.RawModule)]
    functions = [(getattr(stand_in, n), getattr(real, n)) for n in ("array", "asarray", "empty")]
    functions += [
        (getattr(stand_in, n), getattr(real.cuda, n))
        for n in ("using_allocator", "get_current_stream", "alloc_pinned_memory")
    ]
    for ours, theirs in pairs:
        public = [k for k in vars(ours) if not k.startswith("_") and k not in PRIVATE]
        for key in public:
            assert hasattr(theirs, key), f"{theirs.__name__}.{key}"
            if inspect.isfunction(getattr(ours, key)) and callable(getattr(theirs, key)):
                functions.append((getattr(ours, key), getattr(theirs, key)))
    for ours, theirs in functions:
        extra = set(parameters(ours)) - set(parameters(theirs)) - {"options", "name", "_method"}
        assert not extra, f"{theirs}: {extra}"


# what the stand-in's classes keep for themselves
PRIVATE = {"is_known",
           "now", "do", "refuse_in_capture", "every", "blocking", "numbers", "clock", "graph", "operations", "memory", "is_broken",
           "at", "access", "limit", "taken", "everywhere", "view_of", "chunks"}  # fmt: skip


class TestRules:
    """What CuPy and CUDA would not let pass, the stand-in does not."""

    def test_arrays_do_not_mix(self, cupy):
        x = cupy.asarray(np.ones(3, "f"))
        for wrong in (lambda: x + np.ones(3, "f"), lambda: np.asarray(x), lambda: x.__setitem__(..., np.zeros(3, "f"))):
            with pytest.raises(TypeError):
                wrong()
        assert isinstance(x.sum(), cupy.ndarray)
        assert x.sum().item() == 3

    def test_a_missing_wait_is_a_race(self, cupy, machine):
        x, side = cupy.zeros(3), cupy.cuda.Stream(non_blocking=True)
        with pytest.raises(machine.Race, match=r"stream \d+ reads 512 bytes that stream 0 uses"), side:
            x + 1
        side.wait_event(cupy.cuda.get_current_stream().record())
        with side:
            y = x + 1
        with pytest.raises(machine.Race):
            x += 1
        side.synchronize()
        x += 1
        assert y.tolist() == [1, 1, 1]

    def test_memory_of_a_pool_is_its_streams(self, cupy, machine):
        side, x = cupy.cuda.Stream(non_blocking=True), cupy.zeros(3)
        with side:
            side.wait_event(cupy.cuda.Stream.null.record())
            y = x + 1
        del x  # while y is being computed
        with pytest.raises(machine.Race):
            cupy.zeros(3)
        assert y.ndim == 1

    def test_captures_do_nothing(self, cupy):
        x, side = cupy.zeros(3), cupy.cuda.Stream(non_blocking=True)
        with pytest.raises(RuntimeError, match="cannot capture on the default"):
            cupy.cuda.Stream.null.begin_capture()
        with side:
            side.begin_capture()
            x += 1
            for wrong in (
                x.get,
                lambda: bool(x[0]),
                lambda: cupy.asarray([1.0, 2.0]),
                lambda: x[x > 0],
                lambda: cupy.nonzero(x),
            ):
                with pytest.raises(RuntimeError, match="the current stream is capturing"):
                    wrong()
            graph = side.end_capture()
        assert x.tolist() == [0, 0, 0]
        graph.launch()
        graph.launch()
        assert x.tolist() == [2, 2, 2]

    def test_a_graph_keeps_no_memory(self, cupy):
        side, pool = cupy.cuda.Stream(non_blocking=True), cupy.cuda.MemoryPool()
        x = cupy.zeros(3)
        with side, cupy.cuda.using_allocator(pool.malloc):
            side.begin_capture()
            x += (x + 1) * 2
            graph = side.end_capture()
        graph.launch()
        assert x.tolist() == [2, 2, 2]
        pool.free_all_blocks()
        with pytest.raises(AssertionError, match="memory that was freed"):
            graph.launch()

    def test_host_memory_must_last_until_it_is_copied(self, cupy):
        memory, side = np.zeros(4), cupy.cuda.Stream(non_blocking=True)
        with side:
            cupy.empty(4).set(memory, stream=side)
        memory[0] = 1
        with pytest.raises(AssertionError, match="filled again while it was copied from"):
            side.synchronize()


# --- the library on it ----------------------------------------------------------------------------------------------------
def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 4)
    )


def mlp():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 16), nn.LayerNorm(16), nn.GELU(), nn.Dropout(0.3), nn.Linear(16, 4)
    )


def loader(device=None, n=56):
    """Batches of 16, the last one of 8; for a device they are copied while it computes, by a stream of their own."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((n, 1, 8, 8)).astype("f"), rng.integers(0, 4, n)
    return DataLoader(ArrayDataset(x, y), 16, shuffle=True, seed=5, device=device)


def make(device, model, **options):
    weft.manual_seed(1)
    model = model().to(device)
    return Trainer(model, F.cross_entropy, optim.AdamW(model.parameters(), lr=1e-2), metrics=["accuracy"], **options)


def results(trainer):
    """Losses, metrics, parameters and buffers."""
    rows = [{k: v for k, v in row.items() if "second" not in k} for row in trainer.history]
    return rows, [t.cpu().detach().numpy() for t in (*trainer.model.parameters(), *trainer.model.buffers())]


def assert_same(found, expected):
    assert found[0] == expected[0]
    for a, b in zip(found[1], expected[1], strict=True):
        np.testing.assert_array_equal(a, b)


class TestTraining:
    @pytest.mark.parametrize(("model", "precision"), [(cnn, None), (cnn, "bfloat16"), (mlp, None), (mlp, "float16")])
    def test_the_emulators_bits_captured_or_not(self, cupy, stand_in, monkeypatch, model, precision):
        runs, launched, launch = [], [], stand_in.Graph.launch
        monkeypatch.setattr(stand_in.Graph, "launch", lambda graph: launched.append(graph) or launch(graph))
        for device, capture in (("emulator", False), ("cuda", False), ("cuda", True)):
            trainer = make(device, model, capture=capture, precision=precision, clip_grad_norm=0.5)
            trainer.fit(loader(device), epochs=3)
            runs.append(results(trainer))
        assert (len(launched), len(set(launched))) == (7 + 1, 2), "all but two steps with 16, and but two with 8"
        assert_same(runs[1], runs[0])
        assert_same(runs[2], runs[1])

    def test_batches_are_waited_for(self, cupy, machine, monkeypatch):
        """The copies race with the step, if nobody waits: so the runs above have shown that somebody does."""
        monkeypatch.setattr(machine.Stream, "wait_event", lambda self, event: None)
        with pytest.raises(machine.Race):
            make("cuda", mlp).fit(loader("cuda"))

    def test_a_resumed_run_has_the_bits_of_one_that_never_stopped(self, cupy, tmp_path):
        whole = make("cuda", mlp)
        whole.fit(loader(), epochs=4)
        first = make("cuda", mlp)
        first.fit(loader(), epochs=2)
        save_checkpoint(tmp_path / "checkpoint", first.state_dict())
        second = make("cuda", mlp)
        second.load_state_dict(load_checkpoint(tmp_path / "checkpoint"))
        second.fit(loader(), epochs=4)
        assert_same(results(second), results(whole))


class TestDevice:
    def test_there_and_back(self, cupy):
        assert weft.devices()[:3] == ["cpu", "cuda:0", "emulator"]
        x = np.arange(6, dtype="f").reshape(2, 3)
        t = weft.asarray(x, device="cuda")
        assert (t.device, type(t.data)) == ("cuda:0", cupy.ndarray)
        for back in (t.numpy(), t.cpu().numpy(), np.array(t.tolist(), "f"), t.T.T.numpy()):
            np.testing.assert_array_equal(back, x)
        assert (t[1, 2].item(), float(t[0, 1]), int(t[1, 0]), bool(t[0, 1])) == (5, 1, 3, True)
        assert [10, 11, 12][t[0, 1].astype(weft.int64)] == 11
        assert t.to("emulator").tolist() == x.tolist()
        assert repr(weft.ones(2, device="cuda")) == "tensor([1., 1.], device='cuda:0')"
        assert weft.tensor(x.astype(weft.bfloat16), device="cuda").dtype == weft.bfloat16

    def test_arrays_of_cupys_own(self, cupy):
        t = weft.ones(3, device="cuda")
        assert isinstance((t + cupy.ones(3, "f")).data, cupy.ndarray)
        assert weft.asarray(cupy.arange(3)).device == "cuda:0"
        assert t[[0, 2]].tolist() == t[np.array([0, 2])].tolist() == [1, 1]

    def test_memory_and_synchronize(self, cupy):
        x = weft.zeros(1 << 18, device="cuda")
        assert weft.memory_allocated("cuda") >= x.size * 4
        assert re.match(r"cuda:0: 1\.. MiB in tensors", weft.memory_summary("cuda"))
        side = cupy.cuda.Stream(non_blocking=True)
        with side:
            event = side.record()
        weft.synchronize("cuda")
        assert event.done

    def test_synchronize_waits_for_every_stream(self, cupy):
        side = cupy.cuda.Stream(non_blocking=True)
        with side:
            cupy.zeros(3)
        event = side.record()
        assert not event.done
        weft.synchronize("cuda")
        assert event.done


class TestCapture:
    def test_two_captured_functions_and_the_rest_of_the_program(self, cupy):
        """Each has memory of its own: what runs between two replays changes nothing in them."""
        first = weft.capture(lambda x: ((x @ x.T).exp() * 2 + x @ x.T).sum(), warmup=1)
        second = weft.capture(lambda x: F.softmax(x @ x.T, -1) @ x, warmup=1)
        for i in range(5):
            x = weft.full((8, 8), 0.1 * i, device="cuda")
            between = [weft.full((8, 8), 7.0, device="cuda") for _ in range(4)]
            a, b = first(x), second(x)
            assert all(t.tolist() == [[7.0] * 8] * 8 for t in between)
            np.testing.assert_array_equal(a.numpy(), first.step(x).numpy())
            np.testing.assert_array_equal(b.numpy(), second.step(x).numpy())

    def test_on_the_stream_of_whoever_calls(self, cupy, machine):
        run, side = weft.capture(lambda x: x * 2 + 1, warmup=1), cupy.cuda.Stream(non_blocking=True)
        x = weft.ones(3, device="cuda")
        run(x), run(x)
        weft.synchronize("cuda")
        with side:
            y = run(x)
            assert y.tolist() == [3, 3, 3]
        weft.synchronize("cuda")
        run(x)
        with pytest.raises(machine.Race), side:  # as of any other work: who changes streams has them wait
            run(x)

    def test_products_on_several_streams_at_once(self, cupy):
        """Two recordings that are replayed, and a product that is not, each on a stream of its own: they share no workspace."""
        runs = [weft.capture(lambda x: x @ x.T, warmup=1) for _ in range(2)]
        x = weft.ones((8, 8), device="cuda")
        for run in runs:
            run(x), run(x)
        weft.synchronize("cuda")
        sides = [cupy.cuda.Stream(non_blocking=True) for _ in range(3)]
        found = []
        for side, step in zip(sides, (*runs, lambda x: x @ x.T)):
            with side:  # nobody waits for another
                found.append(step(x))
        weft.synchronize("cuda")
        assert all(y.tolist() == [[8.0] * 8] * 8 for y in found)

    def test_a_recording_gives_its_workspace_back(self, cupy):
        run, x = weft.capture(lambda x: x @ x.T, warmup=1), weft.ones((8, 8), device="cuda")
        run(x), run(x)
        before = len(cublas.cublas().places)
        del run
        gc.collect()
        assert len(cublas.cublas().places) == before - 1

    def test_what_is_returned_is_made_anew(self, cupy):
        run = weft.capture(lambda x: types.SimpleNamespace(y=[x * 2]), strict=True)
        found = [run(weft.full((2,), float(i), device="cuda")) for i in range(6)]
        assert [space.y[0].tolist() for space in found] == [[2.0 * i] * 2 for i in range(6)]

    def test_what_is_read_of_views_is_kept(self, cupy):
        held = types.ModuleType("weft.elsewhere")  # where nobody looks
        run, x = weft.capture(lambda x: x + held.t.detach(), strict=True), weft.ones(1, device="cuda")
        for i in range(5):
            if i < 3:
                held.t = weft.full((1,), float(i), device="cuda")
            found = run(x).item()
        (step,) = run._steps.values()
        assert len(step.recording.kept) == 1
        del held.t
        junk = [weft.full((1,), 1e6, device="cuda") for _ in range(8)]
        assert found == run(x).item() == 3.0
        del junk

    @pytest.mark.parametrize(
        ("step", "reason"),
        [
            (lambda x: x * x.sum().item(), "the current stream is capturing, so D2H transfers"),
            (lambda x: x * 2 if x.sum() > 0 else x, "the current stream is capturing, so D2H transfers"),
            (
                lambda x: x + weft.asarray(np.ones(3, np.float32), device="cuda"),
                "the current stream is capturing, so H2D",
            ),
            (lambda x: x[x > 0] * 3, "the current stream is capturing"),
            (lambda x: weft.repeat(x, weft.astype(x, weft.int64)), "the current stream is capturing"),
            (lambda x: (x * 2).data, "it returns an array .`ndarray`."),
            (lambda x: weft.synchronize("cuda") or x * 3, "cudaErrorStreamCaptureUnsupported"),
        ],
    )
    def test_a_step_that_cannot_be_captured(self, cupy, step, reason):
        run, x = weft.capture(step, warmup=1), weft.ones(3, device="cuda")
        expected = step(x).tolist()
        assert run(x).tolist() == expected
        with pytest.warns(RuntimeWarning, match=f"cannot be captured and runs as usual: {reason}"):
            assert run(x).tolist() == expected
        assert run(x).tolist() == expected
        assert not any(s.is_capturing() for s in cupy.cuda.Stream.every)
        again = weft.capture(lambda x: x + 1, warmup=1)
        assert [again(x).tolist() for _ in range(3)] == [[2, 2, 2]] * 3

    def test_an_exception_of_its_own(self, cupy):
        fails = [0]  # a number, at whose change the step is recorded at once

        def step(x):
            y = x * 2
            if fails[0]:
                raise KeyError("of its own")
            return y

        run, x = weft.capture(step, warmup=1, strict=True), weft.ones(3, device="cuda")
        run(x)
        fails[0] = 1
        with pytest.raises(KeyError, match="of its own"):
            run(x)
        fails[0] = 0
        assert run(x).tolist() == run(x).tolist() == [2, 2, 2]

    def test_memory_runs_out(self, cupy, stand_in, monkeypatch):
        """A pool that finds no room gives back what is free. Here a graph writes there: the recording must fail instead."""

        def step(x):
            recording = weft.backend.tape.recording.active()
            room = (4 << 18) if recording is not None and recording.is_recording else 1 << 30
            monkeypatch.setattr(stand_in.Memory, "limit", stand_in.Memory.taken + room)
            total = weft.concat([x, x]).sum()  # 2 << 18 bytes, and free again
            return total + x * 2 + x * 3

        run, x = weft.capture(step, warmup=1), weft.ones(1 << 16, device="cuda")
        expected = run(x).tolist()
        reason = "cannot be captured and runs as usual: cuda:0 has no 256.0 KiB left"
        with pytest.warns(RuntimeWarning, match=reason):
            assert run(x).tolist() == expected
        assert run._steps.popitem()[1].recorder is None

    def test_its_memory_goes_with_it(self, cupy, stand_in):
        run, x = weft.capture(lambda x: (x + 1) * 2, warmup=1), weft.ones(1 << 16, device="cuda")
        before = stand_in.Memory.taken
        result = [run(x) for _ in range(3)][-1]
        graph = weakref.ref(next(iter(run._steps.values())).graph)
        assert stand_in.Memory.taken > before
        del run
        gc.collect()
        cupy.get_default_memory_pool().free_all_blocks()
        assert graph() is None
        assert stand_in.Memory.taken <= before + (3 << 18)
        assert result[0].item() == 4


@pytest.mark.parametrize("name", BETWEEN)
def test_what_changes_between_captured_calls_has_its_eager_effect(cupy, name):
    """Here the graph holds addresses: it would read what was freed, and is somebody else's by now."""
    step, between = BETWEEN[name]
    (expected, _), (found, run) = (lived("cuda:0", captured, step, between) for captured in (False, True))
    assert found == expected
    assert any(s.graph is not None for s in run._steps.values())


@pytest.mark.parametrize("name", ["dropout", "layer", "parameter", "tensor"])
def test_what_a_callback_changes_has_its_eager_effect(cupy, name):
    eager, captured = (losses("cuda:0", capture, CHANGES[name]) for capture in (False, None))
    assert captured == eager
    assert not captured[1]


def test_memory_that_a_graph_reads_lives_as_long_as_it(cupy):
    """Though nobody else has it any more: what the step reads comes from where nothing can be seen."""
    values = iter(([weft.full((4,), 3.0, device="cuda")] * 2).pop, None)
    run, x = weft.capture(lambda x: x * next(values), warmup=1), weft.ones(4, device="cuda")
    assert run(x).tolist() == run(x).tolist() == [3.0] * 4
    gc.collect()
    others = [weft.full((4,), 1e9, device="cuda") for _ in range(16)]
    assert run(x).tolist() == [3.0] * 4
    assert all(other.tolist() == [1e9] * 4 for other in others)


def test_a_copied_optimizer_has_an_arena_of_its_own(cupy):
    p = weft.Parameter(weft.zeros((2, 3), device="cuda"))
    optimizer = optim.AdamW([p], lr=0.1)

    def go_on(p, optimizer):
        for _ in range(2):
            optimizer.zero_grad()
            ((p - 1) ** 2).sum().backward()
            optimizer.step()
        return p.tolist()

    go_on(p, optimizer)
    q, other = copy.deepcopy((p, optimizer))
    before = p.tolist()
    went_on = go_on(q, other)
    assert p.tolist() == before
    assert go_on(p, optimizer) == went_on


def test_pytorchs_words(cupy):
    a = np.array([[1.0, 5.0, 5.0], [4.0, 2.0, 3.0]], np.float32)
    x = weft.asarray(a, device="cuda").requires_grad_()
    values, indices = x.max(dim=1)
    assert (values.tolist(), indices.tolist()) == ([5, 4], [1, 0])
    values.sum().backward()
    assert x.grad.tolist() == [[0, 1, 0], [1, 0, 0]]
    assert x.std(dim=1).tolist() == pytest.approx(a.std(1, ddof=1).tolist())
    assert x.norm(1).item() == 20
    values, indices = x.sort(dim=1, descending=True)
    assert (values.tolist(), indices.tolist()) == ([[5, 5, 1], [4, 3, 2]], [[1, 2, 0], [0, 2, 1]])
    assert x.clip(max=weft.full((3,), 3.0, device="cuda")).tolist() == np.minimum(a, 3).tolist()
    assert x.sum(dim=0, keepdim=True).tolist() == [[5, 7, 8]]
    with pytest.raises(TypeError, match="nothing to unpack"):
        _, _ = x.max(1)


def test_windows_larger_than_the_input_and_outputs_of_size_0(cupy):
    x = weft.asarray(np.arange(4.0, dtype=np.float32).reshape(1, 1, 2, 2), device="cuda")
    assert F.max_pool2d(x, 3, 2, ceil_mode=True).tolist() == [[[[3.0]]]]
    assert F.avg_pool2d(x, 3, 2, ceil_mode=True).tolist() == [[[[1.5]]]]
    assert F.conv_transpose2d(x[..., :1, :1], weft.ones((1, 1, 2, 2), device="cuda"), padding=1).shape == (1, 1, 0, 0)


def test_a_device_is_a_checked_name(cupy):
    device = weft.device("cuda")
    assert weft.ones(2).to(device).device == nn.Linear(2, 2).to(device).weight.device == "cuda:0"


def test_an_index_that_is_none_is_told_at_the_end_of_the_epoch(cupy):
    """Nobody waits for it: loss and gradient are NaN, and the device remembers the first."""
    x, model = np.zeros((4, 2), np.float32), nn.Linear(2, 3).to("cuda")
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.0))
    batches = [(x, np.array([0, 1, last, -100])) for last in (0, 1, 2, 2, 3, 0)]
    with pytest.raises(IndexError, match=r"`target` must hold classes .* at position 2, got 3$"):
        trainer.fit(batches)
    assert trainer.batch == 6
    table, indices = weft.ones((3, 2), device="cuda"), weft.asarray(np.array([0, 7]), device="cuda")
    y = F.embedding(indices, table)
    with pytest.raises(IndexError, match=r"`indices` must hold rows .* at position 1, got 7$"):
        y.numpy()
    assert np.isnan(y.numpy()[1]).all()
    F.embedding(indices, table)
    with pytest.raises(IndexError, match=r"`indices` must hold rows .* at position 1, got 7$"):
        weft.synchronize("cuda")
    faults.tell()


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_sequences_of_many_lengths_captured_or_not(cupy, kind):
    """More than eight arrays are joined for them."""
    x, lengths = np.random.default_rng(0).standard_normal((12, 10, 3)).astype("f"), list(range(12, 2, -1))

    def gradients(device, wrap):
        weft.manual_seed(0)
        layer = getattr(weft.layers, kind)(3, 5, bidirectional=True).to(device)

        def step(x):
            layer.zero_grad()
            y, _ = layer(pack_padded_sequence(x, lengths))
            (y.data**2).sum().backward()

        run, given = wrap(step), weft.asarray(x, device=device)
        for _ in range(4):
            run(given)
        return [p.grad.numpy() for p in layer.parameters()]

    plain, captured = (gradients("cuda", wrap) for wrap in (lambda f: f, lambda f: weft.capture(f, strict=True)))
    for a, b, c in zip(plain, captured, gradients("cpu", lambda f: f), strict=True):
        assert a.tobytes() == b.tobytes()
        np.testing.assert_allclose(a, c, atol=1e-5 * abs(c).max())


def test_the_default_device(cupy, monkeypatch):
    monkeypatch.setattr(weft.backend.device.devices, "_process_default", ["cpu"])
    weft.set_default_device("cuda")
    assert weft.ones(2).device == "cuda:0"


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_sums_of_halves(cupy, dtype):
    """An embedding's means, and gradients that meet."""
    w = weft.ones((3, 2), dtype=getattr(weft, dtype), device="cuda").requires_grad_()
    indices = weft.asarray([1] * 300, device="cuda")
    weft.layers.functional.embedding(indices, w, scale_grad_by_freq=True).sum().backward()
    assert w.grad.tolist() == [[0, 0], [1, 1], [0, 0]]
    v = weft.ones((), dtype=getattr(weft, dtype), device="cuda").requires_grad_()
    weft.stack([v] * 600).sum().backward()
    assert v.grad.item() == 600
    assert weft.grad(lambda v: weft.stack([v * 1] * 600).sum())(v.detach()).item() == 600


def of_generic_forms(x, grid, weight, other):
    """Functions whose generic forms a GPU runs."""
    indices, offsets = (weft.asarray(np.array(i), device=x.device) for i in ([0, 2, 1, 1, 3], [0, 2]))
    return [
        F.interpolate(x, size=(5, 3), mode="bicubic"),
        F.interpolate(x, scale_factor=1.5),
        F.interpolate(x, size=2, mode="bilinear", antialias=True),
        F.grid_sample(x, grid, "bicubic", "reflection", align_corners=False),
        F.grid_sample(x, F.affine_grid(weight[:1, :].reshape(1, 2, 3), x.shape, True), align_corners=True),
        F.fold(F.unfold(x, 2, padding=1), (4, 3), 2, padding=1),
        F.pixel_shuffle(x, 2),
        F.embedding_bag(indices, weight, offsets, padding_idx=1),
        F.embedding_bag(indices, weight, offsets, mode="max"),
        F.cdist(weight, other),
        F.cdist(weight, other, compute_mode="use_mm_for_euclid_dist"),
        F.pairwise_distance(weight, other),
        F.pdist(weight, 3.0),
        F.softshrink(x) + F.hardshrink(x) + F.tanhshrink(x),
    ]


def test_generic_forms_use_what_cupy_has(cupy, rng):
    arrays = [rng.uniform(-1, 1, s).astype(np.float32) for s in [(1, 4, 4, 3), (1, 2, 2, 2), (5, 6), (5, 6)]]
    found = []
    for device in ("cpu", "cuda"):
        leaves = [weft.asarray(a.copy(), device=device).requires_grad_() for a in arrays]
        results = of_generic_forms(*leaves)
        sum(((y * y).sum() for y in results), 0.0).backward()
        found.append([t.detach().cpu().numpy() for t in (*results, *(leaf.grad for leaf in leaves))])
    for here, there in zip(*found):
        np.testing.assert_allclose(there, here, rtol=2e-5, atol=2e-5)
