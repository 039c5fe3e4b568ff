"""Against the definition with whole matrices, in float64; half precision also against the same in that precision."""

import tracemalloc
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
from kernel_harness import close, every_schedule, no_worse, rounded

import weft
from weft.backend.tape import autograd
from weft.kernels import attention as kernels
from weft.kernels import emulator
from weft.kernels.toolchain.launch import FLOATS, HALVES
from weft.layers import functional as F

SEED, COUNTER, P = 5, 9, 0.3
DROPOUT = {"threshold": round((1 - P) * 2**16), "rescale": 1 / (1 - P), "stream": (SEED, COUNTER, None)}


@dataclass
class Case:
    """Shapes (B, H, L, E), (B, G, S, E), (B, G, S, Eᵥ), and a mask: "causal", or an array's shape."""

    b: int = 1
    h: int = 1
    g: int = 1
    length: int = 5
    keys: int = 7
    width: int = 8
    value_width: int = 8
    causal: bool = False
    boolean: tuple | None = None
    additive: tuple | None = None
    dropout: bool = False
    scale: float | None = None

    def arrays(self, rng, dtype):
        """(query, key, value, grad_out) with their exact values, and the mask with its."""
        shapes = [
            (self.b, self.h, self.length, self.width),
            (self.b, self.g, self.keys, self.width),
            (self.b, self.g, self.keys, self.value_width),
            (self.b, self.h, self.length, self.value_width),
        ]
        low, exact = zip(*(rounded(rng.standard_normal(s), dtype) for s in shapes))
        mask = exact_mask = None
        if self.boolean is not None:
            mask = exact_mask = rng.random(self.boolean) < 0.6
            mask[..., :1, :] = False  # the first query has no key, if queries have masks of their own
        if self.additive is not None:
            mask, exact_mask = rounded(rng.standard_normal(self.additive), dtype)
        return low, exact, mask, exact_mask

    @property
    def options(self):
        scale = self.width**-0.5 if self.scale is None else self.scale
        return kernels.Options(scale, self.causal, **(DROPOUT if self.dropout else {}))


def ids(case):
    return "-".join(f"{k}{v}" for k, v in vars(case).items() if v != getattr(Case(), k)) or "plain"


def dropped(shape):
    """0 or 1/(1 − P) for each probability: blocks of the stream, 16 keys of a query each, rows starting with a new one."""
    blocks = -(-shape[-1] // 16)
    words = np.random.Philox(key=SEED, counter=COUNTER).random_raw(int(np.prod(shape[:-1])) * blocks * 4)
    draws = np.stack([words >> np.uint64(16 * k) & np.uint64(0xFFFF) for k in range(4)], -1)
    draws = draws.reshape(*shape[:-1], 16 * blocks)[..., : shape[-1]]
    return (draws < DROPOUT["threshold"]) * DROPOUT["rescale"]


def plain(case, query, key, value, grad, mask, rounding=lambda x: x):
    """(out, grad_query, grad_key, grad_value), each step rounded: what is done without a kernel."""
    r, (b, g, s) = rounding, key.shape[:3]
    query, grad = (x.astype(np.float64) for x in (query, grad))
    key, value = (np.repeat(x.astype(np.float64), case.h // g, axis=1) for x in (key, value))
    scores = r(r(query @ key.swapaxes(-1, -2)) * case.options.scale)
    if case.causal:
        scores = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -np.inf)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else r(scores + mask.astype(np.float64))
    top = np.maximum(scores.max(-1, keepdims=True, initial=-np.inf), -1e30)
    e = r(np.exp(r(scores - top)))
    total = r(e.sum(-1, keepdims=True))
    p = r(e / np.where(total > 0, total, 1))
    drop = r(dropped(p.shape)) if case.dropout else np.ones(p.shape)
    out = r(r(p * drop) @ value)
    grad_p = r(r(grad @ value.swapaxes(-1, -2)) * drop)
    grad_scores = r(p * r(grad_p - r(r(grad_p * p).sum(-1, keepdims=True))))
    shared = lambda x: r(x.reshape(b, g, case.h // g, s, x.shape[-1]).sum(2))
    grad_query = r(r(grad_scores @ key) * case.options.scale)
    grad_key = shared(r(r(grad_scores.swapaxes(-1, -2) @ query) * case.options.scale))
    return out, grad_query, grad_key, shared(r(r(p * drop).swapaxes(-1, -2) @ grad))


def run(case, low, mask):
    query, key, value, grad = low
    out, statistics = kernels.forward(query, key, value, mask, case.options)
    gradients = kernels.backward(grad, query, key, value, mask, out, statistics, case.options, need=(True, True, True))
    return out, *gradients


def check(case, got, low, exact, mask, exact_mask):
    dtype = low[0].dtype
    expected = plain(case, *exact, exact_mask)
    if dtype == np.float32:
        for x, e, tolerance in zip(got, expected, (1, 5, 5, 5)):
            close(x, e, tolerance)
        return
    half = plain(case, *low, mask, lambda x: np.asarray(x, np.float32).astype(dtype).astype(np.float64))
    for x, h, e, factor in zip(got, half, expected, (2, 3, 3, 3)):
        no_worse(x, h.astype(dtype), e, factor)


CASES = [
    Case(),
    *[Case(length=n, keys=n, causal=True) for n in (0, 1, 31, 32, 33)],
    Case(length=3, keys=0), Case(length=0, keys=3), Case(b=2, h=2, g=2, length=1, keys=33),
    *[Case(h=2, g=2, length=20, keys=18, width=n, value_width=n, causal=True) for n in (40, 64, 128, 256)],
    Case(length=9, keys=12, width=20, value_width=13), Case(width=72, value_width=8),
    Case(h=4, g=2, length=17, keys=35), Case(h=3, length=33, keys=20, causal=True),
    Case(length=66, keys=100, width=128, value_width=128, causal=True), Case(length=20, keys=70, width=256),
    Case(h=2, length=66, keys=34, width=256),
    Case(length=20, keys=70, width=128, dropout=True, additive=(20, 70)),
    Case(h=2, length=140, keys=150, causal=True), Case(length=130, keys=20, causal=True),
    Case(length=20, keys=130, causal=True, dropout=True),
    *[Case(b=2, h=2, length=18, keys=21, boolean=m) for m in [(2, 2, 18, 21), (2, 1, 1, 21), (18, 1)]],
    *[Case(b=2, h=2, length=18, keys=21, additive=m, causal=True) for m in [(2, 2, 18, 21), (2, 1, 21), (2, 1, 1, 1)]],
    Case(h=2, g=1, length=35, keys=50, dropout=True), Case(length=17, keys=33, width=128, dropout=True),
    Case(length=17, keys=33, width=256, dropout=True, boolean=(17, 33)),
    Case(scale=-0.7, causal=True), Case(scale=0.0, boolean=(5, 7)), Case(length=40, keys=40, scale=3.0),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=ids)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_values_and_gradients(rng, case, dtype):
    low, exact, mask, exact_mask = case.arrays(rng, dtype)
    check(case, every_schedule(lambda: run(case, low, mask)), low, exact, mask, exact_mask)


@pytest.mark.parametrize("case", [
    Case(), Case(h=2, length=140, keys=150, causal=True), Case(length=70, keys=20, width=40, value_width=128),
], ids=ids)  # fmt: skip
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_sums_in_any_order(rng, monkeypatch, case, dtype):
    low, exact, *_ = case.arrays(rng, dtype)
    query, key, value, grad = low
    out, statistics = kernels.forward(query, key, value, None, case.options)
    monkeypatch.setattr(kernels, "_query", {})  # the pass that is saved
    for order in ("forward", "random"):
        with emulator.schedule(order, 1):
            gradients = kernels.backward(
                grad,
                query,
                key,
                value,
                None,
                out,
                statistics,
                case.options,
                need=(True, True, True),
                deterministic=False,
            )
        check(case, (out, *gradients), low, exact, None, None)


@pytest.mark.parametrize(("case", "need"), [
    (Case(), (True, False, False)), (Case(dropout=True), (True, True, True)), (Case(boolean=(5, 7)), (True, True, True)),
    (Case(width=256), (True, True, True)),
])  # fmt: skip
def test_sums_in_any_order_only_where_that_is_faster(rng, case, need):
    (query, key, value, grad), _, mask, _ = case.arrays(rng, HALVES[0])
    args = (grad, query, key, value, mask, *kernels.forward(query, key, value, mask, case.options), case.options)
    fixed = kernels.backward(*args, need=need)
    for x, y in zip(kernels.backward(*args, need=need, deterministic=False), fixed):
        assert (x is None and y is None) or x.tobytes() == y.tobytes()


@pytest.mark.parametrize("case", [Case(length=1025, keys=3), Case(length=3, keys=1025)], ids=ids)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_long(rng, case, dtype):
    low, exact, mask, exact_mask = case.arrays(rng, dtype)
    check(case, run(case, low, mask), low, exact, mask, exact_mask)


VIEWS = {
    "rows of heads": lambda a: np.ascontiguousarray(a.swapaxes(1, 2)).swapaxes(1, 2),
    "parts of one array": lambda a: np.concatenate([a, a], -1)[..., : a.shape[-1]],
    "not aligned": lambda a: np.concatenate([a[..., :1], a], -1)[..., 1:],
    "columns": lambda a: np.ascontiguousarray(a.swapaxes(-1, -2)).swapaxes(-1, -2),
    "backwards": lambda a: np.ascontiguousarray(a[:, :, ::-1])[:, :, ::-1],
    "one for all": lambda a: np.broadcast_to(a[:, :, :1], a.shape),
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("dtype", HALVES[:1], ids=str)
def test_views(rng, dtype, view):
    case = Case(b=2, h=2, g=2, length=6, keys=9, width=16, additive=(2, 1, 6, 9))
    low, _, mask, _ = case.arrays(rng, dtype)
    low, mask = [VIEWS[view](x) for x in low], VIEWS[view](mask)
    exact = [x.astype(np.float64) for x in low]
    check(case, run(case, low, mask), low, exact, mask, mask.astype(np.float64))


def test_views_are_not_copied(rng, monkeypatch):
    copies = []
    monkeypatch.setattr(kernels, "_loadable", lambda x, f=kernels._loadable: copies.append(f(x) is not x) or f(x))
    case = Case(b=2, h=2, g=2)
    low, _, mask, _ = case.arrays(rng, HALVES[0])
    run(case, [VIEWS["rows of heads"](x) for x in low], mask)
    assert not any(copies)
    out, *gradients = run(case, [VIEWS["columns"](x) for x in low], mask)
    assert any(copies)
    for x in (out, *gradients):
        assert x.swapaxes(1, 2).flags.c_contiguous


def test_only_what_is_needed(rng):
    case = Case(length=6, keys=9)
    (query, key, value, grad), _, mask, _ = case.arrays(rng, np.dtype(np.float32))
    args = (grad, query, key, value, mask, *kernels.forward(query, key, value, mask, case.options), case.options)
    both = kernels.backward(*args, need=(True, True, True))
    for need in [(True, False, False), (False, True, True)]:
        for x, y, wanted in zip(kernels.backward(*args, need=need), both, need):
            assert x is None if not wanted else x.tobytes() == y.tobytes()


def test_lse_of_rows_without_keys(rng):
    case = Case(length=5, keys=7, boolean=(5, 7))
    (query, key, value, _), _, mask, _ = case.arrays(rng, np.dtype(np.float32))
    mask[2] = False
    out, statistics = kernels.forward(query, key, value, mask, case.options)
    lse = case.options.scale * statistics[..., 0] + np.log(2) * statistics[..., 1]
    assert not out[:, :, [0, 2]].any()
    assert np.isposinf(lse[:, :, [0, 2]]).all()
    scores = np.where(mask, query @ key.swapaxes(-1, -2) * case.options.scale, -np.inf)[:, :, [1, 3, 4]]
    np.testing.assert_allclose(lse[:, :, [1, 3, 4]], np.log(np.exp(scores).sum(-1)), rtol=1e-5)


def test_dropout_advances_with_the_graph_that_replays_it(rng):
    case = Case(length=6, keys=20, dropout=True)
    (query, key, value, _), *_ = case.arrays(rng, np.dtype(np.float32))
    expected, _ = kernels.forward(query, key, value, None, case.options)
    later = case.options._replace(stream=(SEED, COUNTER - 4, np.array([4], np.uint64)))
    out, _ = kernels.forward(query, key, value, None, later)
    np.testing.assert_array_equal(out, expected)


def test_nan_is_not_hidden(rng):
    case = Case(length=5, keys=7)
    low, _, mask, _ = case.arrays(rng, np.dtype(np.float32))
    low[0][0, 0, 2, 3] = np.nan
    out, grad_query, grad_key, _ = run(case, low, mask)
    np.testing.assert_array_equal(np.isnan(out[0, 0]).all(-1), np.arange(5) == 2)
    np.testing.assert_array_equal(np.isnan(grad_query[0, 0]).all(-1), np.arange(5) == 2)
    assert np.isnan(grad_key).any()


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("width", kernels.WIDTHS)
def test_memory_grows_with_the_length_alone(rng, monkeypatch, dtype, width):
    """Bytes at the worst moment of forward and backward, the launches left out."""
    for name in ("_forward", "_delta", "_query", "_key"):
        kernel = getattr(kernels, name)
        idle = dict.fromkeys(
            [*kernel.instances, *(k[0] for k in kernel.instances if len(k) == 1)], lambda *_, **__: None
        )
        monkeypatch.setattr(kernels, name, idle)

    def peak(n):
        case = Case(length=n, keys=n, width=width, value_width=width, causal=True, dropout=True)
        low = [np.zeros((1, 1, n, width), dtype)] * 4
        tracemalloc.start()
        kept = run(case, low, np.zeros((1, 1, 1, n), bool))
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(kept) == 4
        return used

    short, long = peak(2048), peak(4096)
    assert 1.9 < long / short < 2.1
    assert long < 4096 * (4 * width * dtype.itemsize + 2 * 4) * 1.1


# What masks of numbers hold for keys that are not to take part: the dtype's least number, and what is written by hand.
LOW = [
    ("float32", None), ("float32", -1e20), ("float32", -1e9), ("float32", -1e4),
    ("bfloat16", None), ("bfloat16", -1e20), ("bfloat16", -1e9), ("float16", None), ("float16", -1e4),
]  # fmt: skip


def masked(dtype, low, which, length, keys):
    """A mask of numbers that pads on the left or right, all keys of some queries or of all, or what is to come."""
    low = weft.finfo(dtype).min if low is None else low
    mask = np.zeros((length, keys))
    if which == "left":
        mask[:, : keys // 2] = low
    elif which == "right":
        mask[:, keys // 3 :] = low
    elif which == "future":  # and the first query sees nothing
        mask[np.triu(np.ones(mask.shape, bool))] = low
    else:
        mask[[0, -1] if which == "some rows" else slice(None)] = low
    return mask.astype(dtype)


def reference_scores(case, query, key, mask):
    """Scores in float64, rounded to float32 where the mask is added: what is added to 10⁹ may be lost, to any dtype."""
    key = np.repeat(key, case.h // case.g, axis=1)
    scores = np.asarray(query @ key.swapaxes(-1, -2) * case.options.scale, np.float32)
    with np.errstate(over="ignore"):
        return (scores + mask.astype(np.float32)).astype(np.float64)


@pytest.mark.parametrize("which", ["left", "right", "future", "some rows", "all"])
@pytest.mark.parametrize(("dtype", "low"), LOW, ids=str)
class TestMasksOfLowNumbers:
    """Left padding and its kin: rows in which such a number stands for every key are softmax(scores + number) too."""

    def case(self, which):
        return Case(
            h=2, length=66 if which == "future" else 4, keys=67 if which == "future" else 200, width=16, value_width=16
        )

    def expected(self, case, exact, mask):
        """(out, gradients) in float64, of the sums that float32 forms."""
        query, key, value, grad = exact
        repeat = lambda x: np.repeat(x, case.h // case.g, axis=1)
        scores = reference_scores(case, query, key, mask)
        p = np.exp(scores - scores.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        grad_p = grad @ repeat(value).swapaxes(-1, -2)
        grad_scores = p * (grad_p - (p * grad_p).sum(-1, keepdims=True)) * case.options.scale
        shared = lambda x: x.reshape(case.b, case.g, case.h // case.g, case.keys, -1).sum(2)
        out, grad_query = p @ repeat(value), grad_scores @ repeat(key)
        return out, grad_query, shared(grad_scores.swapaxes(-1, -2) @ query), shared(p.swapaxes(-1, -2) @ grad)

    def compare(self, got, expected, dtype, tolerance):
        eps = {"float32": 2e-6, "bfloat16": 2.0**-7, "float16": 2.0**-9}[dtype]
        for x, e in zip(got, expected):
            scale = max(np.abs(e).max(), 1e-2)
            np.testing.assert_allclose(np.asarray(x, np.float64), e, rtol=0, atol=tolerance * eps * scale)

    def test_kernels(self, rng, dtype, low, which):
        case = self.case(which)
        arrays, exact, *_ = case.arrays(rng, getattr(weft, dtype))
        mask = masked(arrays[0].dtype, low, which, case.length, case.keys)
        got = every_schedule(lambda: run(case, arrays, mask))
        self.compare(got, self.expected(case, exact, mask), dtype, 8)

    def test_every_device(self, rng, dtype, low, which):
        case = self.case(which)
        arrays, exact, *_ = case.arrays(rng, getattr(weft, dtype))
        mask = masked(arrays[0].dtype, low, which, case.length, case.keys)
        for device in ("cpu", "emulator"):
            q, k, v, g = (weft.asarray(a, device=device) for a in arrays)
            qkv = [x.requires_grad_() for x in (q, k, v)]
            out = F.scaled_dot_product_attention(*qkv, weft.asarray(mask, device=device), enable_gqa=True)
            out.backward(g)
            got = [x.numpy() for x in (out.detach(), *(x.grad for x in qkv))]
            self.compare(got, self.expected(case, exact, mask), dtype, 16)


def tensors(arrays, device, dtype=np.float32):
    return [weft.asarray(np.asarray(x, dtype), device=device).requires_grad_() for x in arrays]


@pytest.fixture
def fallbacks():
    """Fallbacks raise, as all warnings do, inside the test."""
    autograd.report_fallbacks = True
    yield
    autograd.report_fallbacks = False


@pytest.mark.usefixtures("fallbacks")
class TestPrimitive:
    @pytest.mark.parametrize("static", [
        {}, {"is_causal": True}, {"dropout_p": 0.4}, {"dropout_p": 1.0}, {"dropout_p": 0.2, "is_causal": True, "scale": 0.3},
    ], ids=str)  # fmt: skip
    def test_agrees_with_the_cpu(self, rng, static):
        arrays = [rng.standard_normal(s) for s in [(2, 4, 9, 16), (2, 2, 35, 16), (2, 2, 35, 8)]]
        results = []
        for device in ("cpu", "emulator"):
            weft.manual_seed(3)
            qkv = tensors(arrays, device)
            out = F.scaled_dot_product_attention(*qkv, enable_gqa=True, **static)
            (out * out).sum().backward()
            results.append([x.numpy() for x in (out.detach(), *(t.grad for t in qkv))])
        for ours, theirs in zip(*results):
            np.testing.assert_allclose(ours, theirs, atol=2e-5)

    def test_sums_in_any_order_on_demand(self, rng, monkeypatch):
        qkv = [weft.asarray(rng.standard_normal((1, 2, 9, 8)).astype(np.float16), device="emulator") for _ in range(3)]
        asked = []
        monkeypatch.setattr(
            kernels, "backward", lambda *a, f=kernels.backward, **k: asked.append(k["deterministic"]) or f(*a, **k)
        )
        grads = []
        for mode in (True, False):
            weft.use_deterministic_algorithms(mode)
            try:
                query = weft.tensor(qkv[0], requires_grad=True)
                F.scaled_dot_product_attention(query, *qkv[1:]).sum().backward()
            finally:
                weft.use_deterministic_algorithms(True)
            grads.append(query.grad.numpy())
        assert asked == [True, False]
        np.testing.assert_allclose(*grads, atol=1e-3)

    def test_masks(self, rng):
        arrays = [rng.standard_normal((2, 3, n, 8)) for n in (9, 5, 5)]
        for mask in (rng.random((2, 1, 1, 5)) < 0.6, rng.standard_normal((9, 5)).astype(np.float32)):
            outs = []
            for device in ("cpu", "emulator"):
                out = F.scaled_dot_product_attention(*tensors(arrays, device), weft.asarray(mask, device=device))
                outs.append(out.detach().numpy())
            np.testing.assert_allclose(*outs, atol=2e-6)

    def test_a_float32_mask_is_rounded_for_half_precision(self, rng):
        qkv = [weft.asarray(rng.standard_normal((1, 1, 4, 8)).astype(np.float16), device="emulator") for _ in range(3)]
        mask = weft.asarray(np.float32([[0, -np.inf, 1 / 3, 0.1]]), device="emulator")
        out = F.scaled_dot_product_attention(*qkv, mask)
        rounded_mask = np.float32([[0, -np.inf, 1 / 3, 0.1]]).astype(np.float16)
        same = F.scaled_dot_product_attention(*qkv, weft.asarray(rounded_mask, device="emulator"))
        assert out.dtype == weft.float16
        np.testing.assert_array_equal(out.numpy(), same.numpy())

    def test_a_mask_that_requires_grad(self, rng):
        grads = []
        for device in ("cpu", "emulator"):
            *qkv, mask = tensors(([np.random.default_rng(n).standard_normal((1, 1, 4, 4)) for n in range(4)]), device)
            F.scaled_dot_product_attention(*qkv, mask).sum().backward()
            grads.append([t.grad.numpy() for t in (*qkv, mask)])
        for ours, theirs in zip(*grads):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)

    @pytest.mark.parametrize(("width", "dtype"), [(264, np.float32), (8, np.float64)])
    def test_what_no_kernel_can_do(self, rng, width, dtype):
        x = weft.asarray(rng.standard_normal((1, 1, 2, width)).astype(dtype), device="emulator")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(UserWarning, match="`scaled_dot_product_attention` on emulator fell back"):
                F.scaled_dot_product_attention(x, x, x)

    def test_a_stream_beyond_the_kernels_counters(self):
        x = weft.ones((1, 1, 2, 8), device="emulator")
        weft.default_generator.set_state({"seed": 1, "counter": 2**64 - 1})
        with pytest.raises(UserWarning, match="fell back"):
            F.scaled_dot_product_attention(x, x, x, dropout_p=0.5)
        weft.manual_seed(0)


@pytest.mark.parametrize("low", [-1e9, float(np.finfo(np.float32).min), -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("by_autocast", [False, True])
def test_a_float32_mask_beyond_half_precision_stays_finite(rng, low, dtype, by_autocast):
    """Only −∞ says that a key takes no part: a row of other numbers has a mean, and gradients."""
    arrays = [rng.standard_normal((1, 1, 3, 8)).astype(getattr(weft, dtype)) for _ in range(3)]
    mask = np.zeros((3, 3), np.float32)
    mask[0], mask[1, :2] = low, low
    weights = np.float32([[1 / 3] * 3, [0, 0, 1]])
    for device in ("cpu", "emulator"):
        qkv = [weft.asarray(a, device=device).requires_grad_() for a in arrays]
        q, k, v = (x.float() for x in qkv) if by_autocast else qkv
        with weft.autocast(dtype, enabled=by_autocast):
            out = F.scaled_dot_product_attention(q * 0, k, v, weft.asarray(mask, device=device))
        out.sum().backward()
        got = out.detach().numpy()[0, 0, :2].astype("f")
        expected = weights @ arrays[2][0, 0].astype("f")
        expected[0] *= low > -np.inf
        np.testing.assert_allclose(got, expected, atol=0.02)
        assert all(np.isfinite(x.grad.numpy().astype("f")).all() for x in qkv)


def test_sums_do_not_drift_from_tile_to_tile(rng):
    """The largest score, 10⁴, is that of all keys: their weights are equal to the last bits, those of the first tile too."""
    query = np.full((1, 1, 1, 64), 30.0, np.float32) + rng.random((1, 1, 1, 64), np.float32)
    key = np.ascontiguousarray(np.broadcast_to(query, (1, 1, 4096, 64)))
    value = np.zeros((1, 1, 4096, 8), np.float32)
    value[:, :, 2048:] = 1
    out, _ = kernels.forward(query, key, value, None, kernels.Options(0.2))
    np.testing.assert_allclose(out, 0.5, rtol=1e-6)
