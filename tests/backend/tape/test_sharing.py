"""Memory that is shared and written to: every gradient is that of what was computed, or an error; every write arrives.

Expected values are worked out by hand, or by the same program with copies in place of views.
"""

import functools
import gc
import operator
import weakref

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.backend.device import devices
from weft.layers import functional as F

ERROR = r"needs for its gradient what has been changed in place since: .*\.clone\(\)"


@pytest.fixture(params=["cpu", "emulator"])
def device(request):
    if request.param not in weft.devices():
        pytest.skip("the emulator needs a C++ compiler")
    with weft.device(request.param):
        yield request.param


# name → (view of a matrix h of shape (2, 2), which elements of h it has, as an index of its flattened form)
VIEWS = {
    "item": (lambda h: h[0], [0, 1]),
    "column": (lambda h: h[:, 1], [1, 3]),
    "slice": (lambda h: h[:, ::-1], [[1, 0], [3, 2]]),
    "new axis": (lambda h: h[None, 1], [[2, 3]]),
    "element": (lambda h: h[0, 1], 1),
    "element of item": (lambda h: h[1][0], 2),
    "element of element": (lambda h: h[1, 1][()], 3),
    "element of unsqueeze": (lambda h: h.unsqueeze(0)[0, 1, 0], 2),
    "item of item": (lambda h: h[0][1:], [1]),
    "T": (lambda h: h.T, [[0, 2], [1, 3]]),
    "mT": (lambda h: h.mT, [[0, 2], [1, 3]]),
    "row of T": (lambda h: h.T[0], [0, 2]),
    "transpose": (lambda h: h.transpose(0, 1), [[0, 2], [1, 3]]),
    "swapaxes": (lambda h: h.swapaxes(0, 1), [[0, 2], [1, 3]]),
    "permute": (lambda h: h.permute(1, 0), [[0, 2], [1, 3]]),
    "reshape": (lambda h: h.reshape(-1), [0, 1, 2, 3]),
    "view": (lambda h: h.view(4), [0, 1, 2, 3]),
    "view_as": (lambda h: h.view_as(weft.zeros(4)), [0, 1, 2, 3]),
    "flatten": (lambda h: h.flatten(), [0, 1, 2, 3]),
    "part of flatten": (lambda h: h.flatten()[1:3], [1, 2]),
    "unsqueeze": (lambda h: h.unsqueeze(0), [[[0, 1], [2, 3]]]),
    "squeeze": (lambda h: h[:1].squeeze(0), [0, 1]),
    "expand_dims": (lambda h: weft.expand_dims(h, axis=1), [[[0, 1]], [[2, 3]]]),
    "moveaxis": (lambda h: weft.moveaxis(h, 0, 1), [[0, 2], [1, 3]]),
    "flip": (lambda h: weft.flip(h, axis=0), [[2, 3], [0, 1]]),
    "split": (lambda h: h.split(1)[1], [[2, 3]]),
    "chunk": (lambda h: h.chunk(2, 1)[0], [[0], [2]]),
    "unstack": (lambda h: weft.unstack(h)[1], [2, 3]),
    "iteration": (lambda h: list(h)[1], [2, 3]),
    "linalg": (lambda h: weft.linalg.matrix_transpose(h), [[0, 2], [1, 3]]),
    "diagonal": (lambda h: weft.linalg.diagonal(h), [0, 3]),
    "other diagonal": (lambda h: weft.linalg.diagonal(h, offset=1), [1]),
    "real": (lambda h: weft.real(h), [[0, 1], [2, 3]]),
    "positive part of real": (lambda h: weft.real(h.T)[1], [1, 3]),
}


def _set(v, p):
    v[...] = p


# name → (what is done to a view v with p of its shape, the values that v has then, from NumPy's v and p)
WRITES = {
    "=": (_set, lambda v, p: p),
    "copy_": (lambda v, p: v.copy_(p), lambda v, p: p),
    "+=": (operator.iadd, operator.add),
    "-=": (operator.isub, operator.sub),
    "*=": (operator.imul, operator.mul),
    "/=": (operator.itruediv, operator.truediv),
    "**=": (operator.ipow, operator.pow),
    "fill_": (lambda v, p: v.fill_(p.reshape(-1)[0]), lambda v, p: v * 0 + p.reshape(-1)[0]),
}
SLOPES = {  # of those, d/dv and d/dp
    "=": lambda v, p: (0 * v, 0 * p + 1),
    "copy_": lambda v, p: (0 * v, 0 * p + 1),
    "+=": lambda v, p: (0 * v + 1, 0 * p + 1),
    "-=": lambda v, p: (0 * v + 1, 0 * p - 1),
    "*=": lambda v, p: (p, v),
    "/=": lambda v, p: (1 / p, -v / p**2),
    "**=": lambda v, p: (p * v ** (p - 1), v**p * np.log(v)),
}
H = np.array([[2.0, 3.0], [4.0, 5.0]])
W = np.array([[1.0, -2.0], [3.0, 0.5]])


def _values(where):
    return np.arange(1.0, 1 + np.size(where)).reshape(np.shape(where)) / 2


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("view", VIEWS)
class TestWrites:
    def test_a_constant_arrives(self, device, view, write):
        (take, where), (change, result) = VIEWS[view], WRITES[write]
        h, p = weft.tensor(H), _values(where)
        change(take(h), weft.tensor(p))
        expected = H.copy().reshape(-1)
        expected[where] = result(expected[where], p)
        np.testing.assert_allclose(h.cpu().numpy(), expected.reshape(2, 2))

    def test_a_recorded_value_arrives_with_its_gradient(self, device, view, write):
        (take, where), (change, result) = VIEWS[view], WRITES[write]
        for base_is_recorded in (False, True):
            h0 = weft.tensor(H, requires_grad=base_is_recorded)
            h, p = h0 * 1 if base_is_recorded else h0, weft.tensor(_values(where), requires_grad=True)
            other, v = h.T, take(h)  # another view, which must see it
            change(v, p)
            expected = H.copy().reshape(-1)
            expected[where] = result(expected[where], p.detach().cpu().numpy())
            for found in (h, other.T):
                np.testing.assert_allclose(found.detach().cpu().numpy(), expected.reshape(2, 2))
            np.testing.assert_allclose(v.detach().cpu().numpy(), expected[where])
            (other.T * weft.tensor(W)).sum().backward()
            g = W.reshape(-1)[where]
            if write == "fill_":
                grad_v, grad_p = 0 * g, np.zeros(g.size)
                grad_p[0] = g.sum()
            else:
                slope_v, slope_p = SLOPES[write](H.reshape(-1)[where], p.detach().cpu().numpy())
                grad_v, grad_p = g * slope_v, g * slope_p
            np.testing.assert_allclose(p.grad.cpu().numpy(), grad_p.reshape(p.shape))
            if base_is_recorded:
                grad_h = W.copy().reshape(-1)
                grad_h[where] = grad_v
                np.testing.assert_allclose(h0.grad.cpu().numpy(), grad_h.reshape(2, 2))

    def test_what_was_saved_stays_or_backward_raises(self, device, view, write):
        (take, where), (change, _) = VIEWS[view], WRITES[write]
        p = weft.tensor(_values(where))
        w, h = weft.tensor(W, requires_grad=True), weft.tensor(H)
        y = (h * w).sum()
        change(take(h), p)  # gradients are recorded: what was saved stays
        y.backward()
        np.testing.assert_allclose(w.grad.cpu().numpy(), H)
        w, h = weft.tensor(W, requires_grad=True), weft.tensor(H)
        y = (h * w).sum()
        with weft.no_grad():
            change(take(h), p)
        with pytest.raises(RuntimeError, match="`multiply` " + ERROR):
            y.backward()

    def test_a_leaf_is_refused(self, device, view, write):
        (take, where), (change, _) = VIEWS[view], WRITES[write]
        h = weft.tensor(H, requires_grad=True)
        with pytest.raises(RuntimeError, match="a view of a leaf that requires grad cannot be changed in place"):
            change(take(h), weft.tensor(_values(where)))
        assert h.tolist() == H.tolist()


# name → what has the memory of h, or of a part of it, and not its history; which elements those are
ALIASES = {
    "detach": (lambda h: h.detach(), [[0, 1], [2, 3]]),
    "detach of detach": (lambda h: h.detach().detach(), [[0, 1], [2, 3]]),
    "row of detach": (lambda h: h.detach()[1], [2, 3]),
    "element of detach": (lambda h: h.detach()[1, 0], 2),
    "detach of a column": (lambda h: h[:, 1].detach(), [1, 3]),
    "T of detach of T": (lambda h: h.T.detach().T, [[0, 1], [2, 3]]),
    "Buffer": (nn.Buffer, [[0, 1], [2, 3]]),
    "Tensor": (weft.Tensor, [[0, 1], [2, 3]]),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("alias", ALIASES)
class TestAliases:
    """As in PyTorch: the memory is one, and what is written to it has its history in the one that it was written to."""

    def test_a_constant_arrives(self, device, alias, write):
        (take, where), (change, result) = ALIASES[alias], WRITES[write]
        for leaf in (False, True):
            h, p = weft.tensor(H, requires_grad=leaf), _values(where)
            d = take(h) if not leaf or ("column" not in alias and "of T" not in alias) else take(h.detach())
            if not leaf or not d.requires_grad:
                (d * weft.ones(2, requires_grad=True)).sum()  # the tape may need it
                change(d, weft.tensor(p))
                expected = H.copy().reshape(-1)
                expected[where] = result(expected[where], p)
                np.testing.assert_allclose(h.detach().cpu().numpy(), expected.reshape(2, 2))

    def test_a_recorded_value_arrives(self, device, alias, write):
        (take, where), (change, result) = ALIASES[alias], WRITES[write]
        h, p = weft.tensor(H), weft.tensor(_values(where), requires_grad=True)
        d = take(h)
        expected = H.copy().reshape(-1)
        for _ in range(2):  # what is recorded already is written to once more
            change(d, p)
            expected[where] = result(expected[where], p.detach().cpu().numpy())
            np.testing.assert_allclose(h.cpu().numpy(), expected.reshape(2, 2))
            np.testing.assert_allclose(d.detach().cpu().numpy(), expected[where])
        assert not h.requires_grad
        h, d = weft.tensor(H), take(weft.tensor(H))
        change(d, p)
        d.sum().backward()
        slope = SLOPES.get(write, lambda v, p: (0, np.eye(p.size)[0].reshape(p.shape) * p.size))
        grad_p = slope(H.reshape(-1)[where], p.detach().cpu().numpy())[1]
        np.testing.assert_allclose(p.grad.cpu().numpy(), grad_p)

    def test_what_was_saved_makes_backward_raise(self, device, alias, write):
        (take, where), (change, _) = ALIASES[alias], WRITES[write]
        w, h = weft.tensor(W, requires_grad=True), weft.tensor(H)
        y = (h * w).sum()
        change(take(h), weft.tensor(_values(where)))
        with pytest.raises(RuntimeError, match="`multiply` " + ERROR):
            y.backward()


def test_what_is_detached_keeps_no_graph(device):
    x = weft.ones(2, requires_grad=True)
    y = x * 2
    node, d = weakref.ref(y), y.detach()
    del y
    gc.collect()
    assert node() is None
    d.fill_(3)
    assert x.tolist() == [1, 1]


def test_parts_of_complex_numbers(device):
    z, p = weft.asarray([1 + 2j, 3 + 4j]), weft.ones(2, requires_grad=True)
    weft.real(z).fill_(5)
    assert z.tolist() == [5 + 2j, 5 + 4j]
    for part in (weft.real, weft.imag):
        with pytest.raises(RuntimeError, match="cannot be written into a part of complex64 numbers"):
            part(z).copy_(p)
    assert z.tolist() == [5 + 2j, 5 + 4j]


@pytest.fixture
def stand_in_by_default(cupy, monkeypatch):
    monkeypatch.setattr(devices._default, "name", "cuda:0", raising=False)


@pytest.mark.usefixtures("stand_in_by_default")
class TestStandInForCuPy:
    def test_every_view_and_write(self):
        for view in VIEWS:
            for write in WRITES:
                TestWrites().test_a_constant_arrives("cuda", view, write)
                TestWrites().test_a_recorded_value_arrives_with_its_gradient("cuda", view, write)
                TestWrites().test_what_was_saved_stays_or_backward_raises("cuda", view, write)

    def test_every_alias(self):
        for alias in ALIASES:
            for write in WRITES:
                TestAliases().test_a_constant_arrives("cuda", alias, write)
                TestAliases().test_a_recorded_value_arrives("cuda", alias, write)
                TestAliases().test_what_was_saved_makes_backward_raise("cuda", alias, write)

    def test_every_change(self):
        assert weft.ones(2).device == "cuda:0"
        for name in CHANGES:
            TestSavedValues().test_changed_before_backward("cuda", name)
        for rule in RULES:
            TestSavedValues().test_step_between_two_backwards("cuda", rule)
        TestSavedValues().test_what_no_pullback_reads_may_change("cuda")
        TestSavedValues().test_autocast("cuda")


class TestViews:
    def test_the_lines_of_everyday(self, device):
        p = weft.tensor([5.0, 6.0], requires_grad=True)
        h = weft.zeros((2, 2))
        h[0][1] = p[0]
        row = h[1]
        row += p
        h.T[0] *= 2
        assert h.tolist() == [[0, 5], [10, 6]]
        (h**2).sum().backward()
        assert p.grad.tolist() == [2 * 5 + 2 * 10 * 2, 2 * 6]

    def test_of_what_is_gone(self):
        h, p = weft.zeros((2, 2)), weft.tensor([1.0, 2.0], requires_grad=True)
        a, b = h[0], h.reshape(-1)
        del h
        a += p
        assert b.tolist() == [1, 2, 0, 0]
        (b * 3).sum().backward()
        assert p.grad.tolist() == [3, 3]

    def test_inside_grad_and_grad_of_grad(self):
        def f(p):
            h = weft.zeros((2, 2))
            h[0].copy_(p**2)
            h.T[1] *= p
            return (h**2).sum()  # p₀⁴ + p₀² p₁⁴

        p = weft.tensor([2.0, 3.0])
        np.testing.assert_allclose(weft.grad(f)(p).numpy(), [4 * 8 + 2 * 2 * 81, 4 * 4 * 27])
        second = weft.grad(lambda p: weft.grad(f)(p).sum())(p)
        np.testing.assert_allclose(second.numpy(), [12 * 4 + 2 * 81 + 8 * 2 * 27, 8 * 2 * 27 + 12 * 4 * 9])

    def test_that_were_broadcast_are_refused(self, device):
        for change in (lambda v: v.fill_(1), lambda v: operator.iadd(v, 1)):
            for recorded in (False, True):
                h = weft.tensor([[1.0], [2.0]], requires_grad=recorded) * 1
                with pytest.raises(
                    RuntimeError, match=r"this view of shape \(2, 3\) share one place .* use .clone\(\)"
                ):
                    change(h.expand(-1, 3))

    def test_taken_under_no_grad_of_what_is_recorded(self):
        h = weft.tensor([1.0, 2.0], requires_grad=True) * 1
        with weft.no_grad():
            v = h[:1]
        with pytest.raises(RuntimeError, match="a view that was taken under no_grad cannot be changed in place"):
            v += 1

    def test_whose_root_was_given_other_memory(self):
        h = weft.zeros((2, 2))
        v = h[0]
        h.data = np.ones((2, 2))
        v += weft.tensor([1.0, 1.0], requires_grad=True)
        assert v.tolist() == [1, 1]
        assert h.tolist() == [[1, 1], [1, 1]]

    def test_are_forgotten(self):
        h = weft.zeros(3)
        for _ in range(100):
            h[0]
        assert len(h._kin) < 10


def _embedding(w):
    F.embedding(weft.tensor([0]), w, max_norm=1e-3)


def _no_grad(change):
    def changed(w):
        with weft.no_grad():
            change(w)

    return changed


def _load(w):
    layer = nn.Linear(2, 2, bias=False)
    layer.weight = w
    layer.load_state_dict({"weight": np.ones((2, 2))})


def _step(make):
    def step(w):
        w.grad = weft.ones((2, 2), dtype=w.dtype)
        make(w).step()

    return step


def _ema(w):
    average = optim.EMA([w], decay=0.5)
    average.update()
    average.copy_to()


def _averaged(w):
    average = optim.EMA([w], decay=0.5)
    average.update()
    with average.averaged():
        pass


CHANGES = {
    "iadd": _no_grad(lambda w: operator.iadd(w, 5)),
    "setitem": _no_grad(lambda w: operator.setitem(w, 0, 1)),
    "detach": lambda w: w.detach().fill_(7),
    "view of detach": lambda w: w.detach().T[0].fill_(7),
    "copy_": _no_grad(lambda w: w.copy_(weft.ones((2, 2)))),
    "reshape": _no_grad(lambda w: w.reshape(-1).fill_(7)),
    "constant_": lambda w: nn.init.constant_(w, 3),
    "normal_": nn.init.normal_,
    "xavier_uniform_": nn.init.xavier_uniform_,
    "orthogonal_": nn.init.orthogonal_,
    "zeros_": nn.init.zeros_,
    "load_state_dict": _load,
    "EMA": _ema,
    "EMA averaged": _averaged,
    "max_norm": _embedding,
}
RULES = ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Lion", "Muon"]
RULES += ["ASGD", "Rprop", "Adafactor", "SparseAdam"]


class TestSavedValues:
    @pytest.mark.parametrize("name", CHANGES)
    def test_changed_before_backward(self, device, name):
        w = weft.Parameter(weft.tensor(W, dtype=weft.float32))
        x = weft.tensor(H, dtype=weft.float32, requires_grad=True)
        for f in (
            lambda: (w * x).sum(),
            lambda: (x @ w).sum(),
            lambda: F.linear(x, w).sum(),
            lambda: weft.exp(w).sum(),
        ):
            y = f()
            CHANGES[name](w)
            if y._node.parents[0].name == "exp":  # which reads what came out
                y.backward()
            else:
                with pytest.raises(RuntimeError, match=ERROR):
                    y.backward()

    @pytest.mark.parametrize("rule", RULES)
    def test_step_between_two_backwards(self, device, rule):
        w = weft.Parameter(weft.tensor(W, dtype=weft.float32))
        x = weft.tensor(H, dtype=weft.float32, requires_grad=True)
        optimizer = getattr(optim, rule)([w], lr=0.1)
        for _ in range(2):  # the arena is built in the first
            w.grad = None
            y = (w @ x).sum()
            y.backward(retain_graph=True)
            y.backward(retain_graph=True)
            optimizer.step()
        with pytest.raises(RuntimeError, match="`matmul` " + ERROR):
            y.backward()

    def test_the_other_of_two_optimizers_may_step(self):
        a, b = weft.Parameter([1.0, 2.0]), weft.Parameter([3.0, 4.0])
        first, second = optim.SGD([a], lr=1.0), optim.SGD([b], lr=1.0)
        x = weft.tensor([1.0, 1.0], requires_grad=True)
        for _ in range(2):
            (a * x).sum().backward()
            (b * x).sum().backward()
            y = (a * x).sum()
            second.step()
            x.grad = None
            y.backward()
            assert x.grad.tolist() == a.tolist()
            first.zero_grad()
            second.zero_grad()

    def test_what_no_pullback_reads_may_change(self, device):
        x = weft.tensor([[1.0], [2.0]], requires_grad=True)
        for f in (
            lambda w, x: w + x,
            lambda w, x: w - x * 1,
            lambda w, x: x + weft.ones((1, 2)) * w,
            lambda w, x: w.sum() + x,
            lambda w, x: w.mean(axis=0, keepdims=True) * 2 + x,
            lambda w, x: w.T + x.T,
            lambda w, x: w[0] + x[0],
            lambda w, x: weft.concat([w, w]),
            lambda w, x: weft.where(weft.ones((1, 2)) > 0, w, x),
            lambda w, x: w.expand(3, 2),
            lambda w, x: F.softmax(w * 1, dim=-1) + x,
            lambda w, x: F.softmax(w * 1, dim=0) + x,
            lambda w, x: F.log_softmax(w * 1, dim=-1) + x,
            lambda w, x: F.dropout(w, 0.5) + x,
            lambda w, x: F.dropout1d(w[:, :, None], 0.5)[..., 0] + x,
            lambda w, x: weft.tanh(w * 1) + F.sigmoid(w * 1) + F.relu(w * 1) + weft.exp(w * 1) + weft.sqrt(w * 1) + x,
        ):
            w = weft.ones((1, 2), requires_grad=True)
            y = f(w, x).sum()
            with weft.no_grad():
                w += 1
                x += 1
            y.backward()

    @pytest.mark.parametrize("f", [F.softmax, F.log_softmax, weft.tanh, F.sigmoid, F.relu, weft.exp, weft.sqrt])
    def test_of_whom_the_output_alone_is_kept(self, device, f):
        f = functools.partial(f, dim=-1) if f in (F.softmax, F.log_softmax) else f
        grads = []
        for writes in ("", "to the input", "to the output"):
            leaf = weft.tensor([[0.1, 0.2, 0.4]], requires_grad=True)
            x = leaf * 1
            y = f(x)
            with weft.no_grad():
                if writes == "to the input":
                    x.fill_(9)
                if writes == "to the output":
                    y.fill_(9)
            z = (y * weft.tensor([1.0, 2.0, 3.0])).sum()
            if writes == "to the output" and (device, f) != ("cpu", F.sigmoid):  # which keeps a slope instead
                with pytest.raises(RuntimeError, match=ERROR):
                    z.backward()
                continue
            z.backward()
            grads.append(leaf.grad.tolist())
        assert all(g == grads[0] for g in grads)

    def test_weights_are_read_for_the_inputs_gradient_only(self, device):
        layer, x = nn.Linear(2, 2), weft.tensor(H, dtype=weft.float32)
        optimizer = optim.SGD(layer.parameters(), lr=0.1)
        for f, expected in (layer, [[6, 8], [6, 8]]), (lambda x: x @ layer.weight, [[6, 6], [8, 8]]):
            for _ in range(2):  # the arena is built in the first
                y = f(x).sum()
                y.backward(retain_graph=True)
                optimizer.step()
                optimizer.zero_grad()
            y.backward()
            assert layer.weight.grad.tolist() == expected
            optimizer.zero_grad()

    def test_disjoint_parts_are_told_apart(self):
        table, w = weft.zeros((4, 2)), weft.ones(2, requires_grad=True)
        y = (table[0] * w).sum()
        with weft.no_grad():
            table[1] = 7.0
        y.backward()
        y = (table[0] * w).sum()
        with weft.no_grad():
            table[0, 1] = 7.0
        with pytest.raises(RuntimeError, match=ERROR):
            y.backward()

    def test_results_without_axes(self, device):
        """Which NumPy gives as numbers: backward looks at what was kept of them once anything was written to."""
        functions = [
            weft.sqrt,
            weft.exp,
            weft.tanh,
            weft.max,
            weft.std,
            weft.prod,
            weft.linalg.vector_norm,
            weft.logsumexp,
        ]
        for f in [*functions, lambda x: weft.linalg.det(x.reshape(2, 2)), lambda x: F.mse_loss(x, 0 * x).sqrt()]:
            grads = []
            for writes in (False, True):
                x = weft.tensor(
                    [1.0, 2.0, 3.0, 5.0] if f not in (weft.sqrt, weft.exp, weft.tanh) else 2.0, requires_grad=True
                )
                y, total = f(x), weft.tensor(0.0)
                if writes:
                    total += y.detach()
                y.backward()
                grads.append(x.grad.tolist())
            assert grads[0] == grads[1]

    def test_indices(self):
        w, i = weft.tensor([1.0, 2.0, 3.0], requires_grad=True), weft.tensor([0, 1])
        y = weft.take(w, i).sum()
        with weft.no_grad():
            i += 1
        with pytest.raises(RuntimeError, match="`take` " + ERROR):
            y.backward()

    def test_results(self):
        w = weft.tensor([1.0, 2.0], requires_grad=True)
        h = weft.exp(w)
        y = h.sum()
        with weft.no_grad():
            h *= 2
        with pytest.raises(RuntimeError, match="`exp` " + ERROR):
            y.backward()

    def test_running_statistics(self):
        layer, x = nn.BatchNorm1d(2), weft.ones((3, 2), requires_grad=True)
        y = layer.eval()(x).sum()
        layer.train()(x)
        y.backward()  # what it reads is made of them, once
        np.testing.assert_allclose(x.grad.numpy(), 1, rtol=1e-5)
        layer(layer(x)).sum().backward()

    def test_arguments_and_weights_of_checkpoint(self):
        for changed in range(2):
            x, w = weft.tensor([1.0, 2.0], requires_grad=True), weft.tensor([3.0, 4.0], requires_grad=True)
            y = weft.checkpoint(lambda x, w=w: (x * w).sum(), x)
            with weft.no_grad():
                (x, w)[changed].fill_(7)
            with pytest.raises(RuntimeError, match="`computed again` " + ERROR):
                y.backward()

    def test_autocast(self, device):
        w = weft.Parameter(weft.ones((2, 2)))
        optimizer, x = optim.SGD([w], lr=0.5), weft.ones((1, 2), requires_grad=True)
        for _ in range(2):
            with weft.autocast(weft.bfloat16):
                y = (x @ w).sum()
            y.backward()
            optimizer.step()
            optimizer.zero_grad()
        weights = w.detach().sum(axis=1).tolist()
        with weft.autocast(weft.bfloat16):
            y = (x @ w).sum()
        with weft.autocast(weft.bfloat16):
            (x @ w).sum()  # rounded again, to the same
        x.grad = None
        y.backward(retain_graph=True)
        assert x.grad.tolist() == [weights]
        optimizer.step()
        x.grad = None
        y.backward(retain_graph=True)  # the rounded weights are as they were
        assert x.grad.tolist() == [weights]
        optimizer.step()
        with weft.autocast(weft.bfloat16):
            (x @ w).sum()
        x.grad = None
        if device == "cpu":  # its pullback has read them already, to compute in float32
            y.backward()
            assert x.grad.tolist() == [weights]
        else:
            with pytest.raises(RuntimeError, match=ERROR):
                y.backward()

    def test_memory_that_is_used_again_is_not_confused(self):
        for _ in range(200):
            scratch = weft.ones(50)
            scratch += 1
            del scratch
            w = weft.ones(50, requires_grad=True)
            y = (w * weft.ones(50)).sum()
            other = weft.ones(50)
            other += 1
            y.backward()

    def test_many_parts_of_one_memory(self):
        table, w = weft.zeros(300), weft.ones((), requires_grad=True)
        y = table[299] * w
        with weft.no_grad():
            for i in range(300):
                table[i] = 1.0
        with pytest.raises(RuntimeError, match=ERROR):
            y.backward()

    def test_memory_in_strides_of_ones_own(self):
        table, w = np.zeros(4, np.float32), weft.ones(2, requires_grad=True)
        part = weft.Tensor(np.lib.stride_tricks.as_strided(table, (2,), (8,)))
        y = (w * part).sum()
        with weft.no_grad():
            weft.Tensor(table)[2] = 1.0
        with pytest.raises(RuntimeError, match=ERROR):
            y.backward()


class TestDetached:
    def test_it_follows_what_is_recorded(self):
        x, w = weft.zeros(3), weft.ones(3, requires_grad=True)
        seen, of_a_part = x.detach(), x[1:].detach()
        part = seen[:2]
        x += w
        assert not seen.requires_grad
        assert seen.tolist() == [1, 1, 1]
        assert of_a_part.tolist() == part.tolist() == [1, 1]
        seen[1] = 5
        assert x.tolist() == [1, 5, 1]
        assert part.tolist() == [1, 5]
        assert of_a_part.tolist() == [5, 1]
