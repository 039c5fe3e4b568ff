"""Tensor as a container: what goes in and out, copies, text, numbers, and the other libraries' protocols."""

import copy
import pickle

import harness  # noqa: F401  (registers the device "strict")
import numpy as np
import pytest

import weft

X = np.arange(6.0).reshape(2, 3)


def tracked(*shape):
    return weft.ones(shape, requires_grad=True)


class TestNumpy:
    def test_shares_memory(self):
        t = weft.asarray(X)
        assert t.numpy() is X
        assert np.asarray(t) is X
        assert np.array(t) is not X
        assert np.asarray(t, dtype=np.float32).dtype == np.float32

    def test_would_lose_the_gradient(self):
        for convert in (lambda t: t.numpy(), np.asarray, lambda t: np.stack([t, t])):
            with pytest.raises(
                RuntimeError,
                match=r"would lose the gradient of a tensor that requires grad: call .detach\(\).numpy\(\)",
            ):
                convert(tracked(2) * 2)
        assert (tracked(2) * 2).detach().numpy().tolist() == [2, 2]

    def test_other_devices_copy(self):
        assert weft.asarray(X, device="strict").numpy().tolist() == X.tolist()

    def test_dlpack(self):
        t = weft.asarray(X)
        assert np.shares_memory(np.from_dlpack(t), X)
        assert np.shares_memory(weft.from_dlpack(X).data, X)
        assert t.__dlpack_device__() == (1, 0)
        with pytest.raises(BufferError, match=r"`__dlpack__` would lose the gradient .* call .detach\(\) first"):
            np.from_dlpack(tracked(2))


class TestNumbers:
    def test_one_element(self):
        for shape in ((), (1,), (1, 1)):
            t = weft.full(shape, 2.5)
            assert (t.item(), float(t), int(t), complex(t), bool(t)) == (2.5, 2.5, 2, 2.5 + 0j, True)
        assert type(weft.tensor(3).item()) is int
        assert type(weft.tensor(True).item()) is bool
        assert [10, 20, 30][weft.tensor(1)] == 20
        assert list(range(weft.tensor(2))) == [0, 1]
        assert (tracked() * 2).item() == 2  # reading a number is no conversion of an array

    def test_more_elements(self):
        t = weft.ones(3)
        with pytest.raises(ValueError, match=r"`item` needs exactly one element, got shape \(3,\)"):
            t.item()
        with pytest.raises(
            ValueError,
            match=r"the truth of a tensor needs exactly one element, got shape \(3,\); use .any\(\) or .all\(\)",
        ):
            bool(t == 1)
        for convert in (float, int, complex):
            with pytest.raises(TypeError, match=rf"`{convert.__name__}` needs exactly one element, got shape \(3,\)"):
                convert(t)
        with pytest.raises(TypeError, match="integer"):
            [1, 2][weft.tensor(1.0)]

    def test_as_an_index(self):
        assert [10, 11, 12][weft.tensor(1)] == [10, 11, 12][weft.tensor(1, device="strict")] == 11
        with pytest.raises(TypeError, match="float"):
            [1, 2][weft.tensor(1.0)]
        with pytest.raises(TypeError, match="`index` needs exactly one element, got shape"):
            [1, 2][weft.tensor([1, 0])]

    def test_tolist(self):
        assert weft.asarray(X).tolist() == X.tolist()
        assert weft.tensor([True, False]).tolist() == [True, False]
        assert weft.tensor(1.5).tolist() == 1.5
        assert weft.ones(2, dtype=weft.bfloat16).tolist() == [1, 1]


class TestSequence:
    def test_len_and_iteration(self):
        t = weft.asarray(X).requires_grad_()
        assert len(t) == 2
        first, second = t
        (first * 2 + second).sum().backward()
        assert t.grad.tolist() == [[2] * 3, [1] * 3]
        assert 5.0 in weft.asarray(X[1])

    def test_scalars_are_none(self):
        with pytest.raises(TypeError, match="`len` needs at least one axis, got a 0-d tensor"):
            len(weft.tensor(1.0))
        with pytest.raises(TypeError, match="a 0-d tensor cannot be iterated over"):
            iter(weft.tensor(1.0))


class TestAttributes:
    def test_shape_and_type(self):
        t = weft.asarray(X)
        assert (t.shape, t.ndim, t.size, t.numel(), t.dim(), t.dtype, t.device) == (
            (2, 3),
            2,
            6,
            6,
            2,
            weft.float64,
            "cpu",
        )
        assert t.is_leaf
        assert not t.requires_grad
        assert t.grad is None
        assert weft.asarray(X, device="strict").dtype == weft.float64

    def test_requires_grad(self):
        t = weft.ones(2)
        assert t.requires_grad_() is t
        assert t.requires_grad_(False).requires_grad is False
        with pytest.raises(TypeError, match="`requires_grad` needs a real floating-point dtype, got bool"):
            weft.tensor(True).requires_grad_()
        with pytest.raises(TypeError, match="got complex64"):
            weft.tensor(1j, requires_grad=True)
        with pytest.raises(ValueError, match="`requires_grad` can only be cleared on a leaf"):
            (tracked(2) * 2).requires_grad_(False)

    def test_namespace(self):
        assert weft.ones(2).__array_namespace__() is weft
        assert weft.ones(2).__array_namespace__(api_version="2024.12") is weft
        with pytest.raises(ValueError, match=r"`api_version` must be 2021.12 … 2024.12, got '2019.01'"):
            weft.ones(2).__array_namespace__(api_version="2019.01")

    def test_unknown_attributes_are_refused(self):
        with pytest.raises(AttributeError):
            weft.ones(2).no_such_thing = 1

    def test_hash_is_identity(self):
        a, b = weft.ones(2), weft.ones(2)
        assert {a: 1, b: 2}[b] == 2
        assert len({a, b, a}) == 2


class TestText:
    @pytest.mark.parametrize(
        ("t", "text"),
        [
            (lambda: weft.tensor([1.0, 2.5]), "tensor([1. , 2.5])"),
            (lambda: weft.tensor([1, 2]), "tensor([1, 2])"),
            (lambda: weft.tensor(1.0, dtype=weft.float64), "tensor(1., dtype=float64)"),
            (lambda: weft.ones(2, device="strict"), "tensor([1., 1.], device='strict')"),
            (lambda: tracked(1), "tensor([1.], requires_grad=True)"),
            (lambda: tracked(1) * 2, "tensor([2.], grad_fn=multiply)"),
            (lambda: weft.zeros((0, 2)), "tensor([], shape=(0, 2))"),
            (lambda: weft.ones((2, 2)), "tensor([[1., 1.],\n        [1., 1.]])"),
            (lambda: weft.Parameter(weft.ones(1)), "Parameter containing:\ntensor([1.], requires_grad=True)"),
            (lambda: weft.ones(1, dtype=weft.bfloat16), "tensor([1], dtype=bfloat16)"),
        ],
    )
    def test_repr(self, t, text):
        assert repr(t()) == text

    def test_long_ones_are_shortened(self):
        assert len(repr(weft.zeros(10_000))) < 200

    def test_format(self):
        assert f"{weft.tensor(1.23456):.2f}" == "1.23"
        assert f"{tracked():.0f}" == "1"
        assert f"{weft.tensor([1, 2])}" == "tensor([1, 2])"
        with pytest.raises(ValueError, match="exactly one element"):
            f"{weft.ones(2):.2f}"


class TestCopies:
    @pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy, lambda t: pickle.loads(pickle.dumps(t))])
    def test_leaves(self, duplicate):
        t = weft.Parameter(weft.ones(3))
        (t * 2).sum().backward()
        t._grad_view = t.grad.data
        other = duplicate(t)
        assert type(other) is weft.Parameter
        assert other._grad_view is None
        assert other.requires_grad
        other.data[:] = 7
        (other * 5).sum().backward()
        assert other.grad.tolist() == [7] * 3
        assert t.tolist() == [1] * 3
        assert t.grad.tolist() == [2] * 3

    def test_shared_ones_stay_shared(self):
        t = weft.ones(2)
        a, b = copy.deepcopy([t, t])
        assert a is b

    @pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy, pickle.dumps])
    def test_results_are_refused(self, duplicate):
        with pytest.raises(RuntimeError, match=r"only leaves can be copied or pickled; call .detach\(\) first"):
            duplicate(tracked(2) * 2)

    def test_other_devices(self):
        t = copy.deepcopy(weft.ones(2, device="strict"))
        assert (t.device, t.tolist()) == ("strict", [1, 1])


class TestConstructor:
    def test_of_anything(self):
        assert weft.Tensor(X).data is X
        assert weft.Tensor([1.0, 2.0]).dtype == weft.float32
        assert weft.Tensor(weft.ones(2, device="strict")).device == "strict"
        assert weft.Tensor(3).ndim == 0
        assert weft.Tensor(X, requires_grad=True).requires_grad

    def test_parameter(self):
        p = weft.Parameter(X)
        assert isinstance(p, weft.Tensor)
        assert p.is_leaf
        assert p.requires_grad
        assert not weft.Parameter(X, requires_grad=False).requires_grad
        assert type(p * 2) is weft.Tensor

    def test_of_a_tracked_tensor_is_a_leaf(self):
        y = tracked(2) * 2
        assert weft.Parameter(y).is_leaf
        assert weft.Tensor(y).is_leaf


# --- what is assigned -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", [weft.Parameter, lambda v: weft.tensor(v, requires_grad=True)])
class TestAssignedGradients:
    @pytest.mark.parametrize(
        ("grad", "error", "message"),
        [
            (weft.ones(3), ValueError, r"shape \(2,\), got \(3,\)"),
            (weft.ones(1), ValueError, r"shape \(2,\), got \(1,\)"),
            (weft.ones((2, 1)), ValueError, r"shape \(2,\), got \(2, 1\)"),
            (weft.ones(2, dtype=weft.float64), TypeError, "dtype float32, got float64"),
            (np.ones(2, np.float32), TypeError, "be a Tensor .* or None, got ndarray"),
            ([1.0, 2.0], TypeError, "be a Tensor .* or None, got list"),
        ],
    )
    def test_that_do_not_fit(self, kind, grad, error, message):
        w = kind([1.0, 2.0])
        with pytest.raises(error, match=f"`grad` must .*{message}"):
            w.grad = grad
        assert w.grad is None

    def test_that_are_elsewhere(self, kind):
        if "emulator" not in weft.devices():
            pytest.skip("no compiler")
        with pytest.raises(ValueError, match="`grad` must have the tensor's device cpu, got emulator"):
            kind([1.0, 2.0]).grad = weft.ones(2, device="emulator")

    def test_that_fit(self, kind):
        w = kind([1.0, 2.0])
        w.grad = given = weft.tensor([3.0, 4.0])
        assert w.grad is given
        (w * 2).sum().backward()
        assert w.grad.tolist() == [5, 6]
        w.grad = None
        assert w.grad is None
