"""Values and gradients against loops over bags; options, empty bags and errors."""

import harness  # noqa: F401  (registers the device "strict")
import numpy as np
import pytest

import weft
from weft.layers import functional as F

V, D = 7, 3
INDICES = np.array([1, 4, 4, 0, 6, 2, 4, 1, 6])
OFFSETS = np.array([0, 3, 3, 8])


def bags(indices, offsets, include_last_offset):
    if offsets is None:
        return [list(row) for row in np.arange(indices.size).reshape(indices.shape)]
    ends = list(offsets[1:]) if include_last_offset else [*offsets[1:], len(indices)]
    return [list(range(a, b)) for a, b in zip(offsets, ends)]


def reference(
    indices, table, g, offsets, mode, weights=None, include_last_offset=False, padding_idx=None, by_frequency=False
):
    """y, and the gradients of Σ g y in table and weights."""
    flat = indices.reshape(-1)
    w = np.ones(flat.size) if weights is None else weights.reshape(-1)
    y, grad, grad_w = [], np.zeros(table.shape), np.zeros(flat.size)
    for b, bag in enumerate(bags(indices, offsets, include_last_offset)):
        bag = [i for i in bag if flat[i] != padding_idx]
        if mode == "max":
            chosen = [max(bag, key=lambda i: (table[flat[i], d], -i)) for d in range(D)] if bag else []
            y.append([table[flat[i], d] for d, i in enumerate(chosen)] or np.zeros(D))
            for d, i in enumerate(chosen):
                grad[flat[i], d] += g[b, d]
            continue
        share = 1 / max(len(bag), 1) if mode == "mean" else 1
        y.append(sum((share * w[i] * table[flat[i]] for i in bag), np.zeros(D)))
        for i in bag:
            grad[flat[i]] += share * w[i] * g[b] / (np.sum(flat == flat[i]) if by_frequency else 1)
            grad_w[i] = g[b] @ table[flat[i]]
    return np.reshape(y, (-1, D)), grad, grad_w.reshape(indices.shape)


@pytest.mark.parametrize("device", ["cpu", "strict"])
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding_idx", [None, 4, -1])
@pytest.mark.parametrize("layout", ["rows", "offsets", "last offset", "cut", "no bags", "no indices"])
def test_values_and_gradients(layout, padding_idx, mode, device, rng):
    indices, offsets, last = {
        "rows": (INDICES.reshape(3, 3), None, False),
        "offsets": (INDICES, OFFSETS, False),
        "last offset": (INDICES, np.append(OFFSETS, 9), True),
        "cut": (INDICES, OFFSETS, True),  # what lies behind the last offset is in no bag
        "no bags": (INDICES, OFFSETS[:1], True),
        "no indices": (INDICES[:0], np.zeros(2, int), False),
    }[layout]
    table = np.round(rng.standard_normal((V, D)), 1)  # so that some are equal
    weights = rng.standard_normal(indices.shape) if mode == "sum" else None
    padding = None if padding_idx is None else padding_idx % V
    n = len(bags(indices, offsets, last))
    g = rng.standard_normal((n, D))
    expected, *slopes = reference(indices, table, g, offsets, mode, weights, last, padding)
    tensors = [None if a is None else weft.asarray(a, device=device) for a in (indices, table, offsets, weights)]
    for t in (tensors[1], tensors[3]):
        if t is not None:
            t.requires_grad_()
    y = F.embedding_bag(
        *tensors[:3], mode=mode, per_sample_weights=tensors[3], include_last_offset=last, padding_idx=padding_idx
    )
    assert y.shape == (n, D)
    np.testing.assert_allclose(y.detach().numpy(), expected, atol=1e-12)
    y.backward(weft.asarray(g, device=device))
    for t, slope in zip((tensors[1], tensors[3]), slopes):
        if t is not None:
            np.testing.assert_allclose(t.grad.numpy(), slope, atol=1e-12)


@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_scaled_by_frequency(mode, rng):
    """As the documentation of PyTorch has it: its CPU form (2.13) divides by the frequency of another index."""
    table, g = weft.tensor(rng.standard_normal((V, D)), requires_grad=True), rng.standard_normal((4, D))
    indices, offsets = weft.tensor(INDICES), weft.tensor(OFFSETS)
    F.embedding_bag(indices, table, offsets, scale_grad_by_freq=True, mode=mode).backward(weft.tensor(g))
    _, expected, _ = reference(INDICES, table.detach().numpy(), g, OFFSETS, mode, by_frequency=True)
    np.testing.assert_allclose(table.grad.numpy(), expected, atol=1e-12)


def test_rows_in_use_are_shrunk(rng):
    table = weft.tensor(rng.standard_normal((V, D)) * 3)
    alone = weft.tensor(table.numpy().copy())
    F.embedding(weft.tensor(INDICES), alone, max_norm=1.0, norm_type=1.0)
    F.embedding_bag(weft.tensor(INDICES), table, weft.tensor(OFFSETS), 1.0, 1.0)
    np.testing.assert_array_equal(table.numpy(), alone.numpy())


def test_what_padding_holds_does_not_matter():
    table = weft.tensor([[1.0], [float("nan")]])
    for mode in ("sum", "mean", "max"):
        assert F.embedding_bag(weft.tensor([[0, 1]]), table, mode=mode, padding_idx=1).tolist() == [[1]]


TABLE, ROWS, LINE = "weft.ones((7, 3))", "weft.tensor([[1, 2]])", "weft.tensor([1, 2])"


@pytest.mark.parametrize(("call", "error", "message"), [
    (f"{ROWS}, {TABLE}, mode='min'", ValueError, r"`mode` must be one of 'sum', 'mean', 'max', got 'min'"),
    (f"{ROWS}, {TABLE}, mode='max', sparse=True", ValueError, r"`mode`='max' goes with neither .*, got False and True"),
    (f"{ROWS}, {TABLE}, per_sample_weights=weft.ones((1, 2))", ValueError, r"goes with mode='sum', got mode='mean'"),
    (f"{ROWS}, {TABLE}, mode='sum', per_sample_weights=weft.ones(2)", ValueError, r"must have shape \(1, 2\), got \(2,\)"),
    (f"{ROWS}, {TABLE}, weft.tensor([0])", ValueError, r"`offsets` goes with `input` \(L,\), got `input` \(1, 2\)"),
    (f"{LINE}, {TABLE}", ValueError, r"`offsets` must say where the bags of `input` \(2,\) begin, got None"),
    (f"weft.tensor([[[1]]]), {TABLE}", ValueError, r"`input` must have shape \(B, K\), .*, got \(1, 1, 1\)"),
    (f"{LINE}, {TABLE}, weft.tensor([[0]])", ValueError, r"`offsets` must have shape \(B,\), .*, got \(1, 1\)"),
    (f"{LINE}, {TABLE}, weft.tensor([1])", ValueError, r"`offsets` must ascend from 0 to at most 2, .* got array\(\[1\]\)"),
    (f"{LINE}, {TABLE}, weft.tensor([0, 2, 1])", ValueError, r"`offsets` must ascend .*, got array\(\[0, 2, 1\]\)"),
    (f"{LINE}, {TABLE}, weft.tensor([0, 3])", ValueError, r"`offsets` must ascend .*, got array\(\[0, 3\]\)"),
    (f"{LINE}, {TABLE}, weft.tensor([0.0])", TypeError, r"`offsets` must have an integer dtype, got float32"),
    (f"weft.tensor([[7]]), {TABLE}", IndexError, r"`indices` must be in \[0, 7\), .*, got 7"),
])  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        eval(f"F.embedding_bag({call})", {"F": F, "weft": weft})
