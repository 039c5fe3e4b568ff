"""What every primitive must pass: the checks are here, the test modules hold tables of cases.

    CASES = [Case(weft.exp, (x,), np.exp), ...]
    test_primitive = harness.over(CASES)

Each case runs in float32 and float64, on NumPy and on array_api_strict, in the generic form and in each replacement
that this machine can run (CUDA kernels in the emulator), with contiguous and scattered inputs, against an independent
float64 reference; inputs must
come out as they went in. The float64 gradient of the generic form is compared with central differences along a random
direction, all other gradients with that one, element by element: also those computed one at a time, and those written
to an optimizer's arena. The gradient of the gradient is compared with central differences of the gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import array_api_strict
import numpy as np
import pytest

import weft
from weft.backend.tape.autograd import PRIMITIVES

weft.register_device("strict", array_api_strict)
EMULATOR = "emulator" in weft.devices()  # there is a C++ compiler; asking has registered the kernels
CUDA = next((device for device in weft.devices() if device.startswith("cuda")), None)

TOLERANCE = {"float32": 2e-6, "float64": 1e-12}  # relative to the largest magnitude of the reference
GRADIENT = 20  # times TOLERANCE: gradients add up what values round once
DIFFERENCES = 1e-6  # central differences in float64, relative


@dataclass
class Case:
    """One primitive (or function composed of primitives) on one input.

    `args` are float64 or integer NumPy arrays, numbers or None; `grad` the positions differentiated (all float arrays
    unless given); `tolerance` multiplies the table's; `strict=False` and `nested=False` leave out array_api_strict and
    second derivatives, and want a reason beside them.
    """

    primitive: Callable
    args: tuple
    reference: Callable
    static: dict[str, Any] = field(default_factory=dict)
    grad: tuple[int, ...] | None = None
    tolerance: float = 1.0
    strict: bool = True
    nested: bool = True
    label: str = ""

    @property
    def name(self) -> str:
        name = next((name for name, p in PRIMITIVES.items() if p is self.primitive), self.primitive.__name__)
        return ".".join(name.split(".")[-2:]) if name.startswith("weft.") else self.primitive.__name__

    @property
    def positions(self) -> tuple[int, ...]:
        if self.grad is not None:
            return self.grad
        return tuple(i for i, a in enumerate(self.args) if isinstance(a, np.ndarray) and a.dtype.kind == "f")


def over(cases: list[Case]) -> Callable:
    """A test function that runs every case."""

    def name(case: Case) -> str:
        shapes = "-".join("x".join(map(str, a.shape)) for a in case.args if isinstance(a, np.ndarray))
        return f"{case.name}[{shapes}]{case.label}"

    every = [pytest.param(case, None, id=name(case)) for case in cases]
    if CUDA:
        every += [pytest.param(case, CUDA, id=f"{name(case)}-cuda", marks=pytest.mark.gpu) for case in cases]

    @pytest.mark.parametrize(("case", "device"), every)
    def test_primitive(case: Case, device: str | None) -> None:
        check(case, device)

    return test_primitive


def check(case: Case, device: str | None = None) -> None:
    """Run all checks on one case; or, on a GPU, that values and gradients are right there."""
    expected = _tuple(case.reference(*case.args, **case.static))
    slopes = _check_gradients(case) if case.positions else None
    if device is not None:
        for dtype in ("float32", "float64"):
            for layout in (np.ascontiguousarray, scattered):
                _check_values(case, expected, slopes, dtype, device, layout, f"{case.name} {dtype} on {device}")
        return
    for dtype in ("float32", "float64"):
        for device in _devices(case, dtype):
            for layout in (np.ascontiguousarray,) if device == "strict" else (np.ascontiguousarray, scattered):
                where = f"{case.name} {dtype} on {device}"
                _check_values(case, expected, slopes, dtype, device, layout, where)
        if slopes:
            _check_arena(case, slopes, dtype)
    if slopes and len(slopes) > 1:
        _check_one_at_a_time(case, slopes)


def _devices(case: Case, dtype: str) -> list[str]:
    """Where to run it: a kernel, which is for float32 and less, beside the forms for NumPy."""
    has_kernel = EMULATOR and dtype == "float32" and "emulator" in getattr(case.primitive, "impls", ())
    return ["cpu", *(["strict"] if case.strict else []), *(["emulator"] if has_kernel else [])]


def scattered(a: np.ndarray) -> np.ndarray:
    """The same values, none next to the other in memory."""
    wide = np.zeros([2 * n + 1 for n in a.shape], a.dtype)
    view = wide[tuple(slice(1, None, 2) for _ in a.shape)]
    view[...] = a
    return view


def _tuple(x: Any) -> tuple:
    return tuple(x) if isinstance(x, tuple) else (x,)


def _tensors(case: Case, args: Any, dtype: str, device: str, layout: Callable, *, track: bool = False) -> list:
    out = []
    for i, a in enumerate(args):
        if isinstance(a, np.ndarray):
            a = a.astype(np.result_type(dtype, "c8") if a.dtype.kind == "c" else dtype) if a.dtype.kind in "fc" else a
            raw = layout(a) if a.ndim else np.asarray(a)
            a = weft.asarray(raw, device=device)
            if track and i in case.positions:
                a.requires_grad_()
        out.append(a)
    return out


def _check_values(
    case: Case, expected: tuple, slopes: Any, dtype: str, device: str, layout: Callable, where: str
) -> None:
    tensors = _tensors(case, case.args, dtype, device, layout, track=True)
    before = [t.detach().numpy().copy() if isinstance(t, weft.Tensor) else t for t in tensors]
    got = _tuple(case.primitive(*tensors, **case.static))
    assert len(got) == len(expected)
    for g, e in zip(got, expected):
        assert g.shape == np.shape(e), where
        assert g.device == device
        e = np.asarray(e)
        if e.dtype.kind == "f":
            assert str(g.dtype) == dtype, where
        close(g.detach().numpy(), e, TOLERANCE[dtype] * case.tolerance, where)
    if slopes and any(g.requires_grad for g in got):
        _functional(got, device).backward()
        _check_grads(case, tensors, slopes, dtype, where)
    for t, b in zip(tensors, before):
        if isinstance(t, weft.Tensor):
            np.testing.assert_array_equal(t.detach().numpy(), b, err_msg=f"{case.name} changed its input")


def _check_grads(case: Case, tensors: list, slopes: dict[int, np.ndarray], dtype: str, where: str) -> None:
    for i, slope in slopes.items():
        grad = tensors[i].grad
        if grad is None:
            assert not slope.any(), f"no gradient for argument {i} of {where}"
            continue
        assert grad.shape == tensors[i].shape, where
        assert str(grad.dtype) == dtype, where
        close(grad.numpy(), slope, TOLERANCE[dtype] * case.tolerance * GRADIENT, f"gradient {i} of {where}")


def _check_arena(case: Case, slopes: dict[int, np.ndarray], dtype: str) -> None:
    """Gradients written to where an optimizer wants them: all of that memory, and nothing but that."""
    tensors = _tensors(case, case.args, dtype, "cpu", np.ascontiguousarray)
    for i in slopes:
        tensors[i] = weft.Parameter(tensors[i])
        tensors[i]._grad_view = np.full(tensors[i].shape, np.nan, dtype)
    got = _tuple(case.primitive(*tensors, **case.static))
    if any(g.requires_grad for g in got):
        _functional(got).backward()
        _check_grads(case, tensors, slopes, dtype, f"{case.name} {dtype} into the arena")
        assert all(tensors[i].grad is None or tensors[i].grad.data is tensors[i]._grad_view for i in slopes)


def _check_one_at_a_time(case: Case, slopes: dict[int, np.ndarray]) -> None:
    for i in slopes:
        tensors = _tensors(case, case.args, "float64", "cpu", np.ascontiguousarray)
        tensors[i].requires_grad_()
        got = _tuple(case.primitive(*tensors, **case.static))
        if any(g.requires_grad for g in got):
            _functional(got).backward()
        _check_grads(case, tensors, {i: slopes[i]}, "float64", f"{case.name} with only argument {i} tracked")


def close(got: Any, expected: Any, tolerance: float, where: str = "") -> None:
    """|got − expected| ≤ tolerance · (max |expected| or 1), with NaN and infinities in the same places."""
    got, expected = np.asarray(got), np.asarray(expected)
    finite = np.abs(expected[np.isfinite(expected)]) if expected.dtype.kind in "fc" else np.abs(expected.astype(float))
    scale = max(1.0, float(finite.max(initial=0.0)))
    np.testing.assert_allclose(
        got, expected, rtol=0 if tolerance < 1 else tolerance, atol=tolerance * scale, err_msg=where
    )


def _weights(shape: tuple, seed: int) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape))


def _functional(outs: tuple, device: str = "cpu") -> Any:
    """A random linear functional of the outputs, so that every output's gradient is exercised."""
    floats = [o for o in outs if "float" in str(o.dtype)]
    weights = [weft.asarray(_weights(o.shape, 7 + i).astype(o.dtype), device=device) for i, o in enumerate(floats)]
    return sum(((o * w).sum() for o, w in zip(floats, weights)), 0.0)


def _check_gradients(case: Case) -> dict[int, np.ndarray]:
    """The gradient for each position, in float64, after comparison with central differences."""
    at = [np.asarray(case.args[i], dtype=np.float64) for i in case.positions]
    directions = [_weights(a.shape, 100 + i) for i, a in enumerate(at)]

    def function(f: Callable, device: str = "cpu") -> Callable:
        def of(*xs: Any) -> Any:
            values = [weft.asarray(a, device=device) if isinstance(a, np.ndarray) else a for a in case.args]
            for i, x in zip(case.positions, xs):
                values[i] = x
            return _functional(_tuple(f(*values, **case.static)), device)

        return of

    def slope(f: Callable, eps: float = 1e-6) -> float:
        up = f(*[weft.asarray(a + eps * d) for a, d in zip(at, directions)])
        down = f(*[weft.asarray(a - eps * d) for a, d in zip(at, directions)])
        return (up.item() - down.item()) / (2 * eps)

    def gradient(f: Callable, device: str = "cpu") -> list[np.ndarray]:
        return [g.numpy() for g in weft.grad(f, range(len(at)))(*[weft.asarray(a, device=device) for a in at])]

    def along(gradients: list[np.ndarray]) -> float:
        return sum(float((g * d).sum()) for g, d in zip(gradients, directions))

    tolerance = DIFFERENCES * case.tolerance
    generic = generic_only(case.primitive) if getattr(case.primitive, "impls", None) else case.primitive
    found = gradient(function(generic))
    close(along(found), slope(function(generic)), tolerance, f"gradient of {case.name}")
    if case.nested:
        f = function(case.primitive)

        def first(*xs: Any) -> Any:
            gs = weft.grad(f, range(len(at)))(*xs)
            return sum(((g * weft.asarray(_weights(g.shape, 31 + i))).sum() for i, g in enumerate(gs)), 0.0)

        close(along(gradient(first)), slope(first), 10 * tolerance, f"second derivative of {case.name}")
    return dict(zip(case.positions, found))


def generic_only(p: Callable) -> Callable:
    """The primitive without its replacements."""

    def call(*args: Any, **static: Any) -> Any:
        kept = dict(p.impls)
        p.impls.clear()
        try:
            return p(*args, **static)
        finally:
            p.impls.update(kept)

    return call
