"""Packing and padding, against slices taken by hand; errors are PyTorch's."""

import re

import numpy as np
import pytest

import weft
from weft.layers.utils import rnn


def numbers(*shape):
    return weft.asarray(np.arange(1.0, 1 + np.prod(shape)).reshape(shape))


class TestPack:
    def test_rows_of_each_step(self):
        x = numbers(3, 2, 2)
        packed = rnn.pack_padded_sequence(x, [3, 1])
        assert packed.batch_sizes.tolist() == [2, 1, 1]
        assert packed.data.tolist() == [[1, 2], [3, 4], [5, 6], [9, 10]]
        assert packed.sorted_indices is packed.unsorted_indices is None
        first = rnn.pack_padded_sequence(x.swapaxes(0, 1), [3, 1], batch_first=True)
        assert first.data.tolist() == packed.data.tolist()

    @pytest.mark.parametrize("trailing", [(), (2,), (2, 3)], ids=str)
    @pytest.mark.parametrize("lengths", [[4, 4], [4, 2, 2, 1], [1, 4, 3, 4], [1]], ids=str)
    @pytest.mark.parametrize("batch_first", [False, True])
    def test_there_and_back(self, lengths, trailing, batch_first):
        """Also of lengths in any order; what was beyond an end is the padding then, and gets no gradient."""
        x = numbers(4, len(lengths), *trailing).requires_grad_()
        given = x.swapaxes(0, 1) if batch_first else x
        packed = rnn.pack_padded_sequence(given, lengths, batch_first, enforce_sorted=False)
        padded, found = rnn.pad_packed_sequence(packed, batch_first, padding_value=-1, total_length=5)
        assert found.tolist() == lengths
        assert (found.dtype, found.device) == (np.int64, "cpu")
        there = np.arange(5)[:, None] < np.array(lengths)
        whole = np.concatenate([x.detach().numpy(), np.zeros((1, *x.shape[1:]))])
        expected = np.where(there.reshape(*there.shape, *(1,) * len(trailing)), whole, -1)
        np.testing.assert_array_equal(padded.detach().numpy(), expected.swapaxes(0, 1) if batch_first else expected)
        padded.sum().backward()
        assert (x.grad.numpy() == np.broadcast_to(expected[:4] != -1, x.shape)).all()

    def test_cut_to_the_longest(self):
        padded, _ = rnn.pad_packed_sequence(rnn.pack_padded_sequence(numbers(5, 2, 1), [3, 2]))
        assert padded.shape == (3, 2, 1)
        assert padded[2, 1].item() == 0.0

    def test_many_equal_lengths(self):
        x = numbers(3, 40)
        padded, _ = rnn.pad_packed_sequence(rnn.pack_padded_sequence(x, [3] * 40, enforce_sorted=False))
        assert (padded == x).all()

    @pytest.mark.parametrize(
        "lengths", [[2.0, 1.0], np.array([2, 1]), (2, 1), weft.tensor([2, 1]), weft.tensor([2.0, 1.0])], ids=str
    )
    def test_lengths_of_any_kind(self, lengths):
        assert rnn.pack_padded_sequence(numbers(2, 2), lengths).batch_sizes.tolist() == [2, 1]

    @pytest.mark.parametrize(
        ("lengths", "message"),
        [
            ([3, 0], "`lengths` must be in 1 … 3, the length of `input`, got [3, 0]"),
            ([3, -1], "`lengths` must be in 1 … 3"),
            ([4, 1], "`lengths` must be in 1 … 3, the length of `input`, got [4, 1]"),
            ([3], "`lengths` must be as many as sequences, 2, got 1"),
            ([2.5, 1], "`lengths` must be whole numbers, got [2.5, 1.0]"),
            ([float("nan"), 1], "`lengths` must be whole numbers"),
            ([[3, 1]], "`lengths` must have one axis, got shape (1, 2)"),
            (3, "`lengths` must have one axis, got shape ()"),
            ([1, 3], "`lengths` must be sorted, longest first, with enforce_sorted=True, got [1, 3]"),
        ],
    )
    def test_bad_lengths(self, lengths, message):
        with pytest.raises(RuntimeError, match=re.escape(message)):
            rnn.pack_padded_sequence(numbers(3, 2), lengths)

    def test_nothing_to_pack(self):
        with pytest.raises(RuntimeError, match="`input` must have sequences to pack, got none"):
            rnn.pack_padded_sequence(numbers(3, 0), [])
        with pytest.raises(IndexError, match=re.escape("`input` must have shape (T, N, …) or (N, T, …), got (3,)")):
            rnn.pack_padded_sequence(numbers(3), [3])

    def test_padding_errors(self):
        packed = rnn.pack_padded_sequence(numbers(3, 2), [3, 1])
        with pytest.raises(ValueError, match="`total_length` must be at least the longest length, 3, got 2"):
            rnn.pad_packed_sequence(packed, total_length=2)
        with pytest.raises(TypeError, match="`sequence` must be a PackedSequence, got Tensor"):
            rnn.pad_packed_sequence(packed.data)

    def test_lengths_are_no_part_of_a_captured_step(self, accelerator):
        """A replay could not look at them."""
        lengths = weft.tensor([3, 1])
        step = weft.capture(lambda x: rnn.pack_padded_sequence(x, lengths).data * 2, strict=True)
        x = weft.asarray(np.ones((3, 2)), device=accelerator)
        with pytest.raises(RuntimeError, match="it computes on cpu with a tensor"):
            [step(x) for _ in range(3)]


class TestPackedSequence:
    def test_moves(self, accelerator):
        packed = rnn.pack_padded_sequence(numbers(3, 2), [1, 3], enforce_sorted=False)
        assert packed.to("cpu") is packed.double() is packed
        for moved, dtype in ((packed.float(), "float32"), (packed.half(), "float16")):
            assert (moved.data.dtype, moved.batch_sizes, moved.sorted_indices.dtype) == (
                dtype,
                packed.batch_sizes,
                np.int64,
            )
        there = packed.to(accelerator)
        assert {t.device for t in (there.data, there.sorted_indices, there.unsorted_indices)} == {accelerator}
        assert there.batch_sizes.device == "cpu"
        assert not packed.is_cuda
        assert there.cpu().data.tolist() == packed.data.tolist()

    def test_parts(self):
        packed = rnn.pack_padded_sequence(numbers(3, 2), [1, 3], enforce_sorted=False)
        data, batch_sizes, order, back = packed
        assert order.tolist() == back.tolist() == [1, 0]
        assert rnn.PackedSequence(data, batch_sizes, weft.tensor([2, 0, 1])).unsorted_indices.tolist() == [1, 2, 0]
        with pytest.raises(ValueError, match="`batch_sizes` must be a tensor on the CPU, got None"):
            rnn.PackedSequence(data)


class TestPad:
    @pytest.mark.parametrize("side", ["right", "left"])
    @pytest.mark.parametrize("batch_first", [False, True])
    def test_sequences(self, side, batch_first):
        given = [numbers(2, 3), numbers(0, 3), numbers(4, 3)]
        found = rnn.pad_sequence(given, batch_first, padding_value=0.5, padding_side=side).numpy()
        for row, s in zip(found if batch_first else found.swapaxes(0, 1), given, strict=True):
            n = 4 - len(s)
            pads = [(0, n), (0, 0)] if side == "right" else [(n, 0), (0, 0)]
            np.testing.assert_array_equal(row, np.pad(s.numpy(), pads, constant_values=0.5))

    @pytest.mark.parametrize(
        ("given", "side", "message"),
        [
            ([], "right", "`sequences` must be at least one tensor, got none"),
            (3, "right", "`sequences` must be an iterable of tensors, got int"),
            ([numbers(2)], "x", "`padding_side` must be 'left' or 'right', got 'x'"),
            ([numbers(2, 3), numbers(3, 4)], "right", "`sequences` must have shapes (length, …) that agree"),
            ([numbers()], "right", "`sequences` must have shapes (length, …) that agree"),
        ],
    )  # fmt: skip
    def test_errors(self, given, side, message):
        with pytest.raises(RuntimeError, match=re.escape(message)):
            rnn.pad_sequence(given, padding_side=side)

    def test_of_a_tensor(self):
        assert rnn.pad_sequence(numbers(3, 4, 2)).shape == (4, 3, 2)

    @pytest.mark.parametrize("batch_first", [False, True])
    def test_unpad(self, batch_first):
        x = numbers(3, 2)
        found = rnn.unpad_sequence(x.swapaxes(0, 1) if batch_first else x, weft.tensor([1, 3]), batch_first)
        assert [s.tolist() for s in found] == [[1], [2, 4, 6]]
        with pytest.raises(ValueError, match="`lengths` must be as many as sequences, 2, got 3"):
            rnn.unpad_sequence(x, [1, 1, 1])

    def test_pack_and_unpack(self):
        given = [numbers(1), numbers(3), numbers(2)]
        packed = rnn.pack_sequence(given, enforce_sorted=False)
        assert [s.tolist() for s in rnn.unpack_sequence(packed)] == [s.tolist() for s in given]
        with pytest.raises(RuntimeError, match="`lengths` must be sorted"):
            rnn.pack_sequence(given)
