"""Mixed precision: which operations run in which dtype, and that training in it follows training in float32."""

import contextlib
import copy
import gc
import importlib
import sys
import threading
import weakref

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.backend.tape.autograd import PRIMITIVES
from weft.kernels import emulator

HALVES = ("bfloat16", "float16")
halves = pytest.mark.parametrize("dtype", HALVES)


@contextlib.contextmanager
def operations(device):
    """What the emulated device is asked to do within the block (and does not do)."""
    if device != "emulator":
        pytest.skip("operations are counted in the emulator")
    done = []
    with emulator.capture() as graph:
        yield done
    done += graph.operations


# Which operations `torch.autocast` runs in half precision and in float32, and ours of the same kinds.
LOW = [
    "array.products.matmul", "array.products.tensordot", "array.products.vecdot", "nn.linear.linear",
    "nn.convolution.conv", "nn.convolution.conv_transpose", "nn.activation.prelu",
    "nn.attention.attention_up_to", "nn.attention.scaled_dot_product_attention",
    "nn.linear_cross_entropy.linear_cross_entropy", "nn.recurrent.gru", "nn.recurrent.lstm", "nn.recurrent.rnn",
]  # fmt: skip
FULL = [
    "nn.activation.log_softmax", "nn.activation.softmax", "nn.activation.softplus", "nn.activation.log_sigmoid",
    "array.elementwise.exp", "array.elementwise.expm1", "array.elementwise.log", "array.elementwise.log10",
    "array.elementwise.log1p", "array.elementwise.log2", "array.elementwise.logaddexp", "array.elementwise.pow",
    "array.elementwise.reciprocal", "array.elementwise.acos", "array.elementwise.asin", "array.elementwise.cosh",
    "array.elementwise.sinh", "array.elementwise.tan", "array.linalg.vector_norm", "nn.loss.binary_cross_entropy",
    "nn.loss.binary_cross_entropy_with_logits", "nn.loss.hinge_embedding_loss", "nn.loss.hinge_loss",
    "nn.loss.huber_loss", "nn.loss.kl_div", "nn.loss.l1_loss", "nn.loss.mse_loss", "nn.loss.multi_margin_loss",
    "nn.loss.nll_loss", "nn.loss.smooth_l1_loss", "nn.loss.soft_margin_loss", "nn.loss.softmax_cross_entropy",
    "nn.normalization.batch_norm", "nn.normalization.batch_norm_inference", "nn.normalization.group_norm",
    "nn.normalization.layer_norm", "nn.normalization.rms_norm", "nn.normalization.sync_batch_norm",
    "array.reductions.cumulative_prod",
    "array.reductions.cumulative_sum", "array.reductions.logsumexp", "array.reductions.mean", "array.reductions.prod",
    "array.reductions.std", "array.reductions.sum", "array.reductions.var",
    "nn.ctc.ctc_loss", "nn.distance.euclidean", "nn.likelihood_loss.gaussian_nll_loss",
    "nn.likelihood_loss.poisson_nll_loss", "nn.margin_loss.margin_ranking_loss",
    "nn.margin_loss.multilabel_margin_loss",
]  # fmt: skip


def test_what_runs_in_which_precision():
    stated = {
        name: p.precision for name, p in PRIMITIVES.items() if name.startswith("weft.") and p.precision is not None
    }
    expected = dict.fromkeys(LOW, "low") | dict.fromkeys(FULL, "full")
    assert stated == {f"weft.backend.{name}": precision for name, precision in expected.items()}


# The same text in five modules, one of them named as nobody here names one, the others as modules of the library.
OWN = """
from weft import primitive

@primitive
def half_of(xp, x, /):
    return 0.5 * x, (lambda g: 0.5 * g,)
"""


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("inside", [False, True], ids=["outside", "inside"])
def test_a_primitive_does_not_depend_on_where_it_stands(tmp_path, monkeypatch, dtype, inside):
    monkeypatch.syspath_prepend(tmp_path)
    found, before = [], dict(PRIMITIVES)
    for name in ("maths", "embedding", "indexing", "manipulation", "creation", "loss", "normalization"):
        (tmp_path / f"{name}.py").write_text(OWN)
        monkeypatch.delitem(sys.modules, name, raising=False)
        half_of = importlib.import_module(name).half_of
        monkeypatch.delitem(sys.modules, name)
        x = weft.tensor([0.1, 3.0, -7.3]).to(dtype).requires_grad_()
        with weft.autocast(enabled=inside):
            y = half_of(x)
        y.backward(weft.ones_like(y))
        found.append([(str(t.dtype), t.detach().numpy().tobytes()) for t in (y, x.grad)])
    PRIMITIVES.clear()
    PRIMITIVES.update(before)
    assert found == found[:1] * len(found)
    assert found[0][0][0] == dtype


def test_two_primitives_of_one_name_are_both_on_the_list(tmp_path, monkeypatch):
    """A user's `loss.py:mse_loss` must not take the place of ours."""
    ours, before = PRIMITIVES["weft.backend.nn.loss.mse_loss"], dict(PRIMITIVES)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "loss.py").write_text(OWN.replace("half_of", "mse_loss"))
    monkeypatch.delitem(sys.modules, "loss", raising=False)
    theirs = importlib.import_module("loss").mse_loss
    monkeypatch.delitem(sys.modules, "loss")
    assert PRIMITIVES["weft.backend.nn.loss.mse_loss"] is ours
    assert PRIMITIVES["loss.mse_loss"] is theirs
    PRIMITIVES.clear()
    PRIMITIVES.update(before)


def test_an_unknown_precision():
    with pytest.raises(ValueError, match="`precision` must be None, 'low' or 'full', got 'half'"):
        weft.primitive(precision="half")


class TestDtypes:
    @halves
    def test_products_run_low(self, dtype):
        x, w = weft.ones((2, 3)), weft.ones((3, 4))
        with weft.autocast(dtype):
            assert str((x @ w).dtype) == dtype
            assert str(nn.Linear(3, 4)(x).dtype) == dtype
            assert str(nn.Conv2d(1, 2, 3)(weft.ones((1, 1, 5, 5))).dtype) == dtype
        assert (x @ w).dtype == weft.float32

    @halves
    def test_sums_and_losses_run_in_float32(self, dtype):
        x = weft.ones((2, 3)).to(dtype)
        with weft.autocast(dtype):
            for f in (weft.exp, weft.sum, weft.mean, nn.Softmax(-1), nn.LayerNorm(3), nn.BatchNorm1d(3, affine=False)):
                assert f(x).dtype == weft.float32
            assert nn.functional.cross_entropy(x, weft.asarray([0, 1])).dtype == weft.float32

    @halves
    @pytest.mark.parametrize("training", [True, False])
    def test_batch_norm_returns_what_it_is_given(self, dtype, training, accelerator, rng):
        """Statistics, parameters and their gradients are float32 all the same."""
        x, g = (rng.standard_normal((8, 3, 4, 4)).astype("f") for _ in range(2))
        for device in ("cpu", accelerator):
            layer, exact = (nn.BatchNorm2d(3, device=device).train(training) for _ in range(2))
            low = weft.asarray(x, device=device).to(dtype).requires_grad_()
            high = low.detach().to(weft.float32).requires_grad_()
            with weft.autocast(dtype):
                y = layer(low)
                assert layer(high).dtype == weft.float32
            assert str(y.dtype) == dtype
            y.backward(weft.asarray(g, device=device).to(dtype))
            exact(high).backward(weft.asarray(g, device=device).to(dtype).to(weft.float32))
            assert str(low.grad.dtype) == dtype
            np.testing.assert_allclose(low.grad.numpy().astype("f"), high.grad.numpy(), rtol=0.01, atol=0.01)
            for p, q in zip(layer.parameters(), exact.parameters()):
                assert p.grad.dtype == weft.float32
                np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-4, atol=1e-4)

    @halves
    def test_others_follow_their_arguments(self, dtype):
        low, full = weft.ones((2, 3)).to(dtype), weft.ones((2, 3))
        with weft.autocast(dtype):
            assert str(nn.functional.relu(low).dtype) == dtype
            assert nn.functional.relu(full).dtype == weft.float32
            assert (low + full).dtype == weft.float32

    def test_float64_and_integers_are_left_alone(self):
        with weft.autocast("bfloat16"):
            assert (weft.ones((2, 2), dtype=weft.float64) @ weft.ones((2, 2), dtype=weft.float64)).dtype == weft.float64
            assert weft.sum(weft.ones(3, dtype=weft.int64)).dtype == weft.int64

    def test_nesting_and_switching_off(self):
        x = weft.ones((2, 2))
        with weft.autocast("bfloat16"):
            with weft.autocast(enabled=False):
                assert (x @ x).dtype == weft.float32
            with weft.autocast(weft.float16):
                assert (x @ x).dtype == weft.float16
            assert str((x @ x).dtype) == "bfloat16"
            assert weft.is_autocast_enabled()
        assert (x @ x).dtype == weft.float32
        assert not weft.is_autocast_enabled()

    def test_layers_take_what_their_weights_do_not_have(self):
        layers = nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(18, 4), nn.Tanh(), nn.Linear(4, 2), nn.PReLU()
        )
        x = weft.ones((2, 1, 5, 5))
        with weft.autocast("float16"):
            assert layers(x).dtype == weft.float16
        with pytest.raises(TypeError, match="`input` must have the dtype of `weight`, float32, got float16"):
            layers(x.to(weft.float16))

    def test_decorator(self):
        @weft.autocast("float16")
        def product(x):
            """Its documentation."""
            return x @ x

        assert product(weft.ones((2, 2))).dtype == weft.float16
        assert product.__doc__ == "Its documentation."

    def test_left_by_an_error(self):
        with pytest.raises(KeyError), weft.autocast("bfloat16"):
            raise KeyError
        assert (weft.ones((2, 2)) @ weft.ones((2, 2))).dtype == weft.float32

    def test_other_dtypes(self):
        with pytest.raises(ValueError, match="`dtype` must be bfloat16 or float16, got float64"):
            weft.autocast(weft.float64)


class TestParameters:
    @pytest.mark.parametrize("in_arena", [False, True])
    def test_rounded_once_in_a_block(self, in_arena, accelerator):
        """However often they are used; those of an optimizer by one operation, in one place."""
        x = weft.ones((2, 2), device=accelerator)
        params = [weft.Parameter(weft.ones((2, 2), device=accelerator)) for _ in range(3)]
        optimizer = optim.SGD(params) if in_arena else None

        def count(f):
            with operations(accelerator) as done, weft.autocast("float16"):
                f(x.to(weft.float16))
            return len(done)

        first = count(lambda x: x @ params[0])  # allocates
        assert count(lambda x: x @ params[0]) <= first
        once = count(lambda x: x @ params[0])
        assert count(lambda x: (x @ params[0]) @ params[0]) == once + 1
        assert count(lambda x: ((x @ params[0]) @ params[1]) @ params[2]) == once + (2 if in_arena else 4)
        del optimizer

    def test_the_tape_holds_the_parameter_itself(self):
        w = weft.Parameter(weft.ones((2, 2)))
        with weft.autocast("float16"):
            assert all(parent is w for parent in (w @ w)._node.parents)
        assert w.dtype == weft.float32

    @halves
    def test_gradients_are_float32_and_rounded_once(self, dtype, rng):
        x, a = rng.standard_normal((4, 3)).astype("f"), rng.standard_normal((3, 5)).astype("f")
        w = weft.Parameter(weft.asarray(a))
        with weft.autocast(dtype):
            y = weft.asarray(x) @ w
            loss = y.sum() + (weft.asarray(x) @ w).sum()
        loss.backward()
        assert w.grad.dtype == weft.float32
        expected = 2 * np.repeat(x.sum(0)[:, None], 5, 1)
        np.testing.assert_allclose(w.grad.numpy(), expected, rtol=0.02, atol=0.05)

    def test_a_changed_parameter_is_seen_by_the_next_block(self):
        w = weft.Parameter(weft.ones((2, 2)))
        for value in (1.0, 2.0):
            nn.init.constant_(w, value)
            with weft.autocast("float16"):
                assert (w @ weft.eye(2)).detach().numpy()[0, 0] == value

    @halves
    def test_checkpoint_computes_again_in_the_same_dtype(self, dtype, rng):
        x, a = (weft.asarray(rng.standard_normal(shape).astype("f")) for shape in ((4, 3), (3, 3)))

        def gradient(through):
            w = weft.Parameter(a)
            with weft.autocast(dtype):
                y = through(lambda t: weft.tanh(t @ w), x)
                loss = (y @ w).sum()  # the parameter's copy is used inside and outside
            loss.backward()
            return w.grad.numpy()

        # not the same bits: here gradients are rounded where `f` ends
        np.testing.assert_allclose(gradient(weft.checkpoint), gradient(lambda f, t: f(t)), rtol=0.02, atol=0.05)


def train_step(model, optimizer, x, y, dtype):
    optimizer.zero_grad()
    with weft.autocast(dtype or "float16", enabled=dtype is not None):
        loss = nn.functional.cross_entropy(model(x), y)
    loss.backward()
    return loss


class TestArena:
    """Parameters of an optimizer: rounded by one operation, gradients written to where it reads them, in float32."""

    CHANGES = {
        "step": lambda model, optimizer: optimizer.step(),
        "data": lambda model, optimizer: model.weight.data.__setitem__(..., 3),
        "init": lambda model, optimizer: nn.init.constant_(model.weight, 3.0),
        "state_dict": lambda model, optimizer: model.load_state_dict(nn.Linear(4, 2, bias=False).state_dict()),
        "pointer": lambda model, optimizer: setattr(model.weight, "data", model.weight.data * 2),
        "optimizer": lambda model, optimizer: optim.SGD(model.parameters(), lr=1.0).step(),
        "device": lambda model, optimizer: model.to("cpu").to(model.device),
    }

    @pytest.mark.parametrize("change", CHANGES)
    @pytest.mark.parametrize("in_both", [False, True])
    def test_never_stale(self, change, in_both, accelerator):
        """What the next block multiplies by is what the parameter is then."""
        for device in ("cpu", accelerator):
            model = nn.Linear(4, 2, bias=False, device=device)
            model.device = device
            optimizer = optim.SGD(model.parameters(), lr=1.0)
            x = weft.eye(4, device=device)
            for _ in range(3):
                with weft.autocast("bfloat16"):
                    y = model(x)
                y.sum().backward()
                expected = model.weight.detach().to(weft.bfloat16).mT
                np.testing.assert_array_equal(y.detach().numpy(), expected.numpy())
                self.CHANGES[change](model, optimizer)
                if in_both:
                    optimizer.step()

    def test_a_step_has_two_operations_more_than_in_float32(self, accelerator):
        """The batch and all parameters are rounded; gradients and cross-entropy need no conversion."""
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3))
        model = model.to(accelerator)
        optimizer = optim.SGD(model.parameters())
        x, y = weft.ones((4, 8), device=accelerator), weft.zeros(4, dtype=weft.int64, device=accelerator)
        found = {}
        for dtype in (None, "bfloat16"):
            train_step(model, optimizer, x, y, dtype)
            with operations(accelerator) as done:
                train_step(model, optimizer, x, y, dtype)
            found[dtype] = len(done)
        assert found["bfloat16"] == found[None] + 2

    @halves
    @pytest.mark.parametrize("product", ["linear", "linear3", "matmul", "matmul3", "conv2d"])
    def test_gradients_are_not_rounded(self, product, dtype, accelerator, rng):
        """Against the same products of rounded factors in float64."""
        shape, of_weight = {
            "linear": ((33, 17), (5, 17)),
            "linear3": ((3, 4, 17), (5, 17)),
            "matmul": ((33, 17), (17, 5)),
            "matmul3": ((3, 4, 17), (17, 5)),
            "conv2d": ((2, 3, 6, 6), (4, 3, 3, 3)),
        }[product]
        function = {"matmul": weft.matmul, "conv2d": nn.functional.conv2d}.get(product.strip("3"), nn.functional.linear)
        x, w = rng.standard_normal(shape), rng.standard_normal(of_weight)
        for device in ("cpu", accelerator):
            p = weft.Parameter(weft.asarray(w.astype("f"), device=device))
            optimizer = optim.SGD([p])
            with weft.autocast(dtype):
                y = function(weft.asarray(x.astype("f"), device=device), p)
            g = rng.standard_normal(y.shape)
            low = [weft.asarray(a.astype("f")).to(dtype) for a in (x, w, g)]
            y.backward(low[2].to(device))
            exact = [a.to(weft.float64) for a in low]
            exact[1].requires_grad_()
            function(exact[0], exact[1]).backward(exact[2])
            assert p.grad.data is p._grad_view
            error = np.abs(p.grad.numpy() - exact[1].grad.numpy()).max() / np.abs(exact[1].grad.numpy()).max()
            assert error < 2e-6, (device, error)  # float16 would make it 2e-4
            del optimizer

    @halves
    def test_further_gradients_are_added_in_float32(self, dtype, accelerator, rng):
        """Of a parameter used twice, and of a second backward."""
        for device in ("cpu", accelerator):
            p = weft.Parameter(weft.asarray(rng.standard_normal((4, 4)).astype("f"), device=device))
            optimizer = optim.SGD([p])
            x = weft.asarray(rng.standard_normal((3, 4)).astype("f"), device=device)
            exact = p.detach().clone().requires_grad_()
            for _ in range(2):
                with weft.autocast(dtype):
                    (nn.functional.linear(x, p) @ p).sum().backward()
                (nn.functional.linear(x, exact) @ exact).sum().backward()
            assert p.grad.data is p._grad_view
            assert p.grad.dtype == weft.float32
            scale = np.abs(exact.grad.numpy()).max()
            np.testing.assert_allclose(p.grad.numpy(), exact.grad.numpy(), rtol=0, atol=0.02 * scale)
            del optimizer

    @pytest.mark.parametrize("captured", [False, True])
    def test_a_step_inside_a_block(self, captured, accelerator):
        """One block around many steps trains as one for each does."""

        def losses(around, within):
            weft.manual_seed(0)
            model = nn.Linear(4, 3).to(accelerator)
            optimizer = optim.SGD(model.parameters(), lr=0.5)
            x, y = weft.eye(4, device=accelerator), weft.asarray([0, 1, 2, 0], device=accelerator)

            def step(x, y):
                optimizer.zero_grad()
                with within:
                    loss = nn.functional.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
                return loss

            run = weft.capture(step, strict=True) if captured else step
            with around:
                return [run(x, y).item() for _ in range(6)]

        expected = losses(contextlib.nullcontext(), weft.autocast("bfloat16"))
        assert losses(weft.autocast("bfloat16"), contextlib.nullcontext()) == expected
        assert expected[-1] < expected[0]

    def test_memory_is_reused(self):
        """A captured step relies on it."""
        p = weft.Parameter(weft.ones((4, 4)))
        optimizer = optim.SGD([p])
        rounding, i = p._place
        assert rounding.to(weft.bfloat16)[i] is rounding.to(weft.bfloat16)[i]
        assert rounding.to(weft.bfloat16)[i] is not rounding.to(weft.float16)[i]
        del optimizer

    def test_a_copy_has_left_the_arena(self):
        model = nn.Linear(2, 2)
        optimizer = optim.SGD(model.parameters(), lr=1.0)
        other = copy.deepcopy(model)
        assert other.weight._place is None
        other.weight.data[...] = 7
        with weft.autocast("bfloat16"):
            assert other(weft.eye(2)).detach().numpy().max() > 6
            assert model(weft.eye(2)).detach().numpy().max() < 6
        del optimizer

    def test_an_optimizer_that_is_gone_leaves_its_memory(self):
        """Nothing but the parameters' values and gradients outlives it."""
        p = weft.Parameter(weft.ones(3))
        optimizer = optim.Adam([p])
        arena = weakref.ref(optimizer._arenas[0][0])
        del optimizer
        gc.collect()
        assert arena() is None

    def test_threads_and_nesting(self):
        """Blocks in other threads and of other dtypes do not disturb each other."""
        model = nn.Linear(4, 4, bias=False)
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        x, found = weft.eye(4), []

        def run(dtype):
            for _ in range(20):
                with weft.autocast(dtype):
                    y = model(x)
                    with weft.autocast("float16"):
                        z = model(x)
                    found.append((str(y.dtype), str(z.dtype), y.detach().to("float64").numpy(), model(x).dtype))

        threads = [threading.Thread(target=run, args=(dtype,)) for dtype in HALVES]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 40
        for dtype, inner, y, after in found:
            expected = model.weight.detach().to(dtype).to("float64").mT
            assert (inner, str(after)) == ("float16", dtype)
            np.testing.assert_array_equal(y, expected.numpy())
        del optimizer

    def test_functions_of_functions(self, rng):
        """`weft.grad`, nested too, through parameters in an arena and of them."""
        w = weft.Parameter(weft.asarray(rng.standard_normal((3, 3)).astype("f")))
        optimizer = optim.SGD([w])
        x = weft.asarray(rng.standard_normal((2, 3)).astype("f"))

        def penalty(dtype):
            w.grad = None
            with weft.autocast(dtype or "float16", enabled=dtype is not None):
                slope = weft.grad(lambda x: weft.tanh(x @ w).sum())(x)
                loss = (slope * slope).sum()
            loss.backward()
            return loss.item(), w.grad.numpy().copy()

        expected_loss, expected = penalty(None)
        for dtype in HALVES:
            loss, gradient = penalty(dtype)
            assert loss == pytest.approx(expected_loss, rel=0.05)
            np.testing.assert_allclose(gradient, expected, rtol=0.1, atol=0.1 * np.abs(expected).max())
        del optimizer


def _train(device, dtype):
    """Losses of 50 steps of a small convolutional network on images of two kinds."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((16, 1, 8, 8)).astype("f"), rng.integers(0, 4, 16)
    x[np.arange(16), 0, y] += 1
    weft.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 16),
        nn.LayerNorm(16),
        nn.GELU(),
        nn.Linear(16, 4),
    ).to(device)
    optimizer = optim.AdamW(model.parameters(), lr=3e-3)
    images, labels, losses = weft.asarray(x, device=device), weft.asarray(y, device=device), []
    for _ in range(50):
        optimizer.zero_grad()
        with weft.autocast(dtype or "float16", enabled=dtype is not None):
            loss = nn.functional.cross_entropy(model(images), labels, label_smoothing=0.1)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses)


@halves
def test_training_follows_float32(dtype):
    """Within 2 % of the loss, at each of 50 steps."""
    expected = _train("cpu", None)
    assert expected[-1] < 0.6 * expected[0]
    np.testing.assert_allclose(_train("cpu", dtype), expected, rtol=0.02)


@halves
def test_training_with_kernels_follows_float32(dtype, accelerator):
    np.testing.assert_allclose(_train(accelerator, dtype), _train("cpu", None), rtol=0.02)
