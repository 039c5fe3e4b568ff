"""The arena: what is a view of what, and what happens when somebody takes a parameter away."""

import gc

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.optimizers.arena import (
    ALIGNMENT,
    BLOCK_BYTES,
    Arena,
    Layout,
    Segment,
    by_device_and_dtype,
    contiguous,
    gathered,
)


def arena_of(optimizer, k=0):
    return optimizer._arenas[k][0]


def step_all(*params):
    sum((p * p).sum() for p in params).backward()


class TestArena:
    def test_parameters_and_gradients_are_aligned_views(self, tools, rng):
        params = tools.parameters(rng, dtype="float32")
        values = [tools.numbers(p) for p in params]
        optimizer = optim.SGD(params, lr=0.0)
        arena = arena_of(optimizer)
        step_all(*params)
        for p, value in zip(params, values):
            np.testing.assert_array_equal(tools.numbers(p), value)
            if p.size:
                assert np.shares_memory(p.data, arena.values)
                assert np.shares_memory(p.grad.data, arena.grads)
                assert p.data.ctypes.data % ALIGNMENT == 0
                assert p.grad.data.ctypes.data % ALIGNMENT == 0
            assert p.grad.data is p._grad_view
        assert arena.ready()

    def test_one_arena_for_each_dtype_and_device(self):
        params = [
            weft.Parameter(np.ones(3, np.float32)), weft.Parameter(np.ones(3)), weft.Parameter(np.ones(2, np.float32)),
            weft.Parameter(weft.asarray(np.ones(2, np.float32), device="strict")),
        ]  # fmt: skip
        assert by_device_and_dtype(params) == [[0, 2], [1], [3]]
        optimizer = optim.Adam(params, lr=0.5)
        for p in params:
            p.grad = weft.ones_like(p)
        optimizer.step()
        for p in params:
            np.testing.assert_allclose(p.detach().numpy(), 0.5, rtol=1e-6)
        assert list(optimizer.state_dict()["state"]) == [0, 1, 2, 3]

    def test_usually_there_is_one_segment(self):
        params = [weft.Parameter(np.ones(3, np.float32)) for _ in range(4)]
        optimizer = optim.SGD(params)
        arena = arena_of(optimizer)
        step_all(*params)
        assert arena.ready()
        assert [(segment.start, segment.stop) for segment, _ in arena.segments()] == [(0, 4)]

    def test_segments_are_split_by_gradients_and_by_history_and_merge_again(self):
        params = [weft.Parameter([1.0]) for _ in range(4)]
        optimizer = optim.SGD(params, lr=0.1)
        arena = arena_of(optimizer)

        def runs(*used):
            optimizer.zero_grad()
            step_all(*[params[i] for i in used])
            arena.ready()
            found = [(segment.start, segment.stop) for segment, _ in arena.segments()]
            optimizer.step()
            return found

        assert runs(0, 1, 3) == [(0, 2), (3, 4)]
        assert runs(0, 1, 2, 3) == [(0, 2), (2, 3), (3, 4)]
        assert runs(2) == [(2, 3)]
        assert [clock["step"] for clock in arena.clocks] == [2, 2, 2, 2]
        assert runs(0, 1, 2, 3) == [(0, 4)]
        assert arena.is_uniform

    def test_new_data_is_taken_in(self):
        p = weft.Parameter([1.0, 2.0])
        optimizer = optim.SGD([p], lr=1.0)
        p.data = np.array([5.0, 6.0], np.float32)
        p.grad = weft.tensor([1.0, 1.0])
        optimizer.step()
        assert p.tolist() == [4.0, 5.0]
        assert np.shares_memory(p.data, arena_of(optimizer).values)

    def test_gradient_set_by_hand(self):
        p = weft.Parameter([1.0, 2.0])
        optimizer = optim.SGD([p], lr=1.0)
        with pytest.raises(TypeError, match="`grad` must have the tensor's dtype float32, got float64"):
            p.grad = weft.asarray(np.array([1.0, -1.0]))
        mine = p.grad = weft.tensor([1.0, -1.0])
        optimizer.step()
        assert p.tolist() == [0.0, 3.0]
        assert p.grad is mine

    def test_a_model_that_changes_its_dtype_takes_its_state_along(self):
        p, reference = weft.Parameter([1.0, 2.0]), weft.Parameter(np.array([1.0, 2.0]))
        optimizer, other = optim.Adam([p], lr=0.1), optim.Adam([reference], lr=0.1)
        for k in range(4):
            if k == 2:
                p.data, p._grad_view = p.data.astype(np.float64), None
            optimizer.zero_grad()
            other.zero_grad()
            step_all(p, reference)
            optimizer.step()
            other.step()
        assert p.dtype == weft.float64
        assert optimizer.state[p]["exp_avg"].dtype == np.float64
        assert optimizer.state[p]["step"] == 4
        np.testing.assert_allclose(p.data, reference.data, rtol=1e-6)

    def test_a_model_that_moves_to_another_device(self):
        p = weft.Parameter([1.0, 2.0])
        optimizer = optim.SGD([p], lr=1.0, momentum=0.5)
        for device in ("cpu", "strict", "cpu"):
            moved = p.detach().to(device)
            p.data, p.device, p._grad_view, p.grad = moved.data, moved.device, None, None
            p.grad = weft.asarray(np.ones(2, np.float32), device=device)
            optimizer.step()
        assert p.tolist() == [1 - (1 + 1.5 + 1.75), 2 - (1 + 1.5 + 1.75)]

    def test_a_changed_shape_is_an_error(self):
        p = weft.Parameter([1.0, 2.0])
        optimizer = optim.SGD([p])
        p.data = np.zeros(3, np.float32)
        p.grad = weft.zeros(3)
        with pytest.raises(
            ValueError, match=r"`params\[0\]` must keep its shape \(2,\).* \(3,\); build a new optimizer"
        ):
            optimizer.step()

    def test_two_optimizers_over_one_parameter_take_turns(self):
        p, q = weft.Parameter([1.0]), weft.Parameter([1.0])
        first, second = optim.SGD([p, q], lr=0.5), optim.SGD([p], lr=0.25, momentum=0.5)
        expected, buffer = 1.0, 0.0
        for _ in range(3):
            first.zero_grad()
            step_all(p, q)
            g = 2 * expected
            first.step()
            second.step()
            buffer = 0.5 * buffer + g
            expected = expected - 0.5 * g - 0.25 * buffer
            assert p.item() == expected

    def test_a_model_outlives_its_optimizer(self):
        p = weft.Parameter([1.0, 2.0])
        optimizer = optim.SGD([p], lr=1.0)
        step_all(p)
        grad = p.grad.data
        assert contiguous([grad])[0] is not grad
        del optimizer
        gc.collect()
        assert p.tolist() == [1.0, 2.0]
        assert contiguous([grad])[0] is grad
        replacement = optim.SGD([p], lr=1.0)
        replacement.step()
        assert p.tolist() == [-1.0, -2.0]

    def test_numbers_are_published_once_per_change(self):
        arena = arena_of(optim.SGD([weft.Parameter([1.0])]))
        segment = Segment(arena, 0, 1)
        arena.publish(segment, {"eta": 0.5, "decay": 2.0})
        c = segment.scalars
        assert (float(c.eta), float(c.decay), c.eta.dtype, c.eta.shape) == (0.5, 2.0, np.float32, ())
        arena.publish(segment, {"eta": 0.25, "decay": 2.0})
        assert segment.scalars is c
        assert float(c.eta) == 0.25
        assert segment.coefficients.tolist() == [0.25, 2.0]

    def test_segments_with_different_histories_have_numbers_of_their_own(self):
        params = [weft.Parameter([1.0]) for _ in range(2)]
        optimizer = optim.Adam(params, lr=0.1)
        step_all(params[0])
        optimizer.step()
        step_all(params[1])
        first, second = (c.eta.item() for _, _, _, c in optimizer.advance())
        assert first != second
        assert [clock["step"] for clock in arena_of(optimizer).clocks] == [2, 1]


class TestLayout:
    def test_views_of_a_vector(self):
        layout = Layout([weft.Parameter(np.ones((2, 3), np.float32)), weft.Parameter(np.float32(1.0))])
        vector = layout.vector(np.float32, 7.0)
        assert vector.shape == (17,)  # 6 and 1, each from a multiple of 16
        assert layout.view(vector, 0).shape == (2, 3)
        layout.view(vector, 1)[...] = 5.0
        assert vector[16] == 5.0


class TestSegment:
    @pytest.mark.parametrize("n", [1, BLOCK_BYTES // 4, BLOCK_BYTES // 4 + 1, 100_000])
    def test_blocks_cover_everything_once(self, n):
        arena = arena_of(optim.SGD([weft.Parameter(np.zeros(n, np.float32))], momentum=0.9))
        arena.require({"momentum_buffer": 0.0})
        blocks = Segment(arena, 0, 1).blocks
        assert len(blocks) == -(-n * 4 // BLOCK_BYTES)
        for p, _, state in blocks:
            p += 1.0
            assert state["momentum_buffer"].shape == p.shape
        assert (arena.values == 1.0).all()


class TestContiguous:
    def test_neighbours_become_one(self):
        params = [weft.Parameter(np.full(3, i, np.float32)) for i in range(5)]
        arena = Arena(params, range(5), {"step": 0})
        stranger = np.zeros(2)
        views = [p.data for p in params]
        found = contiguous([views[0], views[1], stranger, views[3], views[4], views[2]])
        assert [len(v) for v in found] == [19, 2, 19, 3]
        assert found[1] is stranger
        assert all(np.shares_memory(found[i], arena.values) for i in (0, 2, 3))

    def test_in_any_order(self):
        """Each part once for each time that it is given, by vectors; strangers stay as they are."""
        params = [weft.Parameter(np.full(3, i, np.float32)) for i in range(6)]
        even, odd = (Arena(params[k::2], range(3), {"step": 0}) for k in (0, 1))
        views, stranger = [p.data for p in params], np.zeros(2)
        found = gathered([*views[::-1], stranger])
        assert [len(v) for v in found] == [35, 35, 2]
        assert [np.shares_memory(found[i], arena.values) for i, arena in ((0, odd), (1, even))] == [True, True]
        assert found[2] is stranger
        twice = gathered([views[0], stranger, views[2], views[0], views[4], stranger])
        assert sorted(len(v) for v in twice) == [2, 2, 3, 35]
        assert sum(v.sum() for v in gathered([*views, stranger])) == 3 * sum(range(6))

    def test_values_and_gradients_do_not_mix(self):
        params = [weft.Parameter([1.0]), weft.Parameter([2.0])]
        arena = Arena(params, range(2), {"step": 0})
        assert len(contiguous([params[0].data, params[1]._grad_view])) == 2
        assert len(contiguous([params[0]._grad_view, params[1]._grad_view])) == 1
        del arena


def _clips(f, *args):
    return lambda p, optimizer: f([p], *args)


def _backward_again(p, optimizer):
    optimizer.zero_grad()
    (p * 3).sum().backward()
    p.grad = None


def _unscale(p, optimizer):
    weft.GradScaler(init_scale=8.0).unscale_(optimizer)


def _by_hand(p, optimizer):
    p.grad = weft.tensor([7.0, 7.0])
    optimizer.step()


WRITES_TO_GRADIENTS = {
    "clip_grad_norm_": _clips(optim.clip_grad_norm_, 0.1),
    "clip_grad_value_": _clips(optim.clip_grad_value_, 0.1),
    "clip_grads_with_norm_": lambda p, optimizer: optim.clip_grads_with_norm_([p], 0.1, weft.tensor(5.0)),
    "clip_grad_norm_per_layer_": lambda p, optimizer: optim.clip_grad_norm_per_layer_([[p]], 0.1),
    "adaptive_clip_grad_": _clips(optim.adaptive_clip_grad_),
    "zero_grad": lambda p, optimizer: optimizer.zero_grad(set_to_none=False),
    "unscale_": _unscale,
    "accumulating": lambda p, optimizer: (p * 3).sum().backward(),
    "the next backward": _backward_again,
    "a gradient set by hand": _by_hand,
}


@pytest.mark.parametrize("device", ["cpu", "emulator"])
class TestGradientsThatAreHeld:
    """The memory of gradients is used again: what was recorded with it is right or an error, who holds one keeps it."""

    @pytest.mark.parametrize("drops", [False, True])
    @pytest.mark.parametrize("take", [lambda g: g, lambda g: g.detach(), lambda g: g.detach()[:]])
    @pytest.mark.parametrize("name", WRITES_TO_GRADIENTS)
    def test_written_to_after_they_were_used(self, name, take, drops, device):
        with weft.device(device):
            p, q = weft.Parameter(weft.ones(2)), weft.Parameter(weft.full(2, 2.0))
            optimizer = optim.SGD([p], lr=0.1)
            optimizer.step()
            (p * 1).sum().backward()
            g = take(p.grad)
            n = (g * q).sum()
            if drops:
                del g
            WRITES_TO_GRADIENTS[name](p, optimizer)
            with pytest.raises(RuntimeError, match="`multiply` needs for its gradient what has been changed in place"):
                n.backward()

    @pytest.mark.parametrize("clear", ["optimizer", "module", "None"])
    def test_keep_their_numbers(self, clear, device):
        """Whether backward writes them to the arena itself (a Linear's) or copies them there."""
        model = nn.Linear(2, 1).to(device)
        model.extra = weft.Parameter(weft.ones(2, device=device))
        optimizer = optim.SGD(model.parameters(), lr=0.0)
        held: list = []
        for i in range(1, 4):
            (model(weft.full((1, 2), float(i), device=device)) + i * model.extra.sum()).sum().backward()
            held += [
                model.weight.grad,
                model.extra.grad.detach(),
                model.extra.grad[:1].detach(),
                model.weight.grad.T[0],
            ]
            optimizer.step()
            if clear == "None":
                model.weight.grad = model.bias.grad = model.extra.grad = None
            else:
                {"optimizer": optimizer, "module": model}[clear].zero_grad()
        for j, g in enumerate(held):
            assert set(g.flatten().tolist()) == {1.0 + j // 4}

    @pytest.mark.parametrize(
        "alias",
        [
            lambda g: g.detach(),
            lambda g: g.detach()[:1],
            lambda g: g[:1].detach(),
            lambda g: g.detach().reshape(1, 2),
            lambda g: weft.broadcast_to(g.detach(), (3, 2)),
            nn.Buffer,
        ],
    )
    def test_by_another_name(self, device, alias):
        """Though the Tensor that was asked for is gone."""
        p = weft.Parameter(weft.ones(2, device=device))
        optimizer, held = optim.SGD([p], lr=0.1), []
        for i in range(1, 4):
            (p * i).sum().backward()
            held.append(alias(p.grad))
            optimizer.zero_grad()
        assert [set(g.flatten().tolist()) for g in held] == [{1.0}, {2.0}, {3.0}]

    def test_a_gradient_that_nobody_holds_stays_where_it_is(self, device):
        p = weft.Parameter(weft.ones(2, device=device))
        optimizer = optim.SGD([p], lr=0.1)
        optimizer.step()
        for _ in range(3):
            (p * 2).sum().backward()
            tensor = id(p.grad)
            assert p.grad.data is p._grad_view
            optimizer.zero_grad()
        (p * 2).sum().backward()
        assert id(p.grad) == tensor


def test_aliases_follow_a_parameter_into_the_arena():
    """A state_dict, a view: what shares the parameter's memory goes on doing so."""
    layer = nn.Linear(2, 1, bias=False)
    alias, part, state = layer.weight.detach(), layer.weight.detach()[0, 1:], layer.state_dict()
    for optimizer in (optim.SGD(layer.parameters(), lr=0.5), optim.SGD(layer.parameters(), lr=0.25)):
        layer(weft.ones((1, 2))).sum().backward()
        optimizer.step()
        for x in (alias, state["weight"]):
            np.testing.assert_array_equal(x.numpy(), layer.weight.detach().numpy())
        assert part.tolist() == layer.weight[0, 1:].tolist()


def test_what_was_left_behind_keeps_its_numbers():
    """Of a parameter that was given other memory, an alias has the old, which the next step must not write the new numbers to."""
    layer = nn.Linear(2, 1, bias=False)
    optimizer = optim.SGD(layer.parameters(), lr=0.5)
    old = layer.weight.detach()
    kept = old.tolist()
    layer.weight.data = np.zeros((1, 2), np.float32)
    layer(weft.ones((1, 2))).sum().backward()
    optimizer.step()
    assert layer.weight.tolist() == [[-0.5, -0.5]]
    assert old.tolist() == kept
