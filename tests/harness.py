"""What every primitive must pass: the checks are here, the test modules hold tables of cases.

    CASES = [Case(weft.exp, (x,), np.exp), Case(A.elu, (x,), elu, {"alpha": 2.0}, functional=F.elu, layer=nn.ELU), ...]
    test_primitive = harness.over(CASES)

A case is a row, and each of its runs a test of its own, named after what it checks:

- `derivatives`: in float64, the gradient of the generic form against central differences along a random direction, the
  gradient of the gradient likewise, and each argument's gradient computed alone.
- `float32-cpu-scattered` …: in one dtype, on one device, in one layout: values against an independent float64 reference,
  every gradient against the generic form's in float64, element by element; inputs come out as they went in. On
  "cpu" the replacement for NumPy runs, if there is one; array_api_strict has what the standard has and nothing else, and
  the emulator runs the CUDA kernel, in a schedule of its own for each layout.
- `float32-arena`: gradients written to where an optimizer wants them.
- `float32-captured`: recorded on the emulator and replayed, with the bits of a run that is not, whatever the schedule.
- `functional`, `layer`: the public faces that the row names: the primitive's bits, from options by name and by place.

In half precision the reference has the rounded inputs, and errors are measured in roundings of the dtype.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import array_api_strict
import ml_dtypes  # noqa: F401  (NumPy knows bfloat16 by name)
import numpy as np
import pytest

import weft
from weft.backend.tape.autograd import PRIMITIVES
from weft.kernels import emulator

weft.register_device("strict", array_api_strict)
EMULATOR = "emulator" in weft.devices()  # there is a C++ compiler; asking has registered the kernels
CUDA = next((device for device in weft.devices() if device.startswith("cuda")), None)

# relative to the largest magnitude of the reference; in half precision, four roundings
TOLERANCE = {"float16": 4 * 2.0**-11, "bfloat16": 4 * 2.0**-8, "float32": 2e-6, "float64": 1e-12}
GRADIENT = {
    "float16": 2,
    "bfloat16": 2,
    "float32": 20,
    "float64": 20,
}  # times TOLERANCE: they add up what values round once
DIFFERENCES = 1e-6  # central differences in float64, relative

HALVES, FLOATS = ("float16", "bfloat16"), ("float32", "float64", "float16", "bfloat16")


# Runs that fail because the library is wrong, by a regular expression for their names. Once mended, they pass, and this fails.
KNOWN = {
    r"dropout\.dropout\[2x3-3?\]-.*captured|.*\] (scattered mask|dropout, additive)-.*captured": (
        "masks that no kernel draws come from the host, which a recording refuses"
    )
}


# Primitives whose form on a CPU reads numbers in some cases, so that a step with them runs as usual there.
AS_USUAL = {"linear_cross_entropy.linear_cross_entropy", "manipulation.repeat", "indexing._nonzero"}


@dataclass(eq=False)
class Case:
    """One primitive (or function composed of primitives) on one input.

    `args` are float64 or integer NumPy arrays, numbers or None; `grad` the positions differentiated (all float arrays
    unless given); `tolerance` multiplies the table's; `strict=False`, `nested=False` and `halves=False` leave out
    array_api_strict, second derivatives and half precision, and want a reason beside them. `functional` and `layer` are
    the function of `layers.functional` and the class of `layers` that stand on the primitive, `options` what they take
    besides the arrays, in the order of their parameters (`static` unless given).
    """

    primitive: Callable
    args: tuple
    reference: Callable
    static: dict[str, Any] = field(default_factory=dict)
    grad: tuple[int, ...] | None = None
    tolerance: float = 1.0
    strict: bool = True
    nested: bool = True
    halves: bool = True
    label: str = ""
    functional: Callable | None = None
    layer: type | None = None
    options: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        name = next((name for name, p in PRIMITIVES.items() if p is self.primitive), self.primitive.__name__)
        return ".".join(name.split(".")[-2:]) if name.startswith("weft.") else self.primitive.__name__

    @property
    def positions(self) -> tuple[int, ...]:
        if self.grad is not None:
            return self.grad
        return tuple(i for i, a in enumerate(self.args) if isinstance(a, np.ndarray) and a.dtype.kind == "f")

    @property
    def arrays(self) -> list[np.ndarray]:
        return [a for a in self.args if isinstance(a, np.ndarray)]

    @property
    def face(self) -> dict[str, Any]:
        """The options of the functional form and of the layer."""
        return self.static if self.options is None else self.options

    @functools.cached_property
    def expected(self) -> Callable[[str], tuple]:
        return functools.cache(lambda dtype: _tuple(self.reference(*_rounded(self.args, dtype), **self.static)))

    @functools.cached_property
    def slopes(self) -> Callable[[str], dict[int, np.ndarray]]:
        return functools.cache(lambda dtype: _gradients(self, dtype) if self.positions else {})


def _rounded(args: tuple, dtype: str) -> tuple:
    """The arguments as a computation in that dtype gets them, in float64. (float32's rounding is in its tolerance.)"""
    if dtype not in HALVES:
        return args
    return tuple(
        a.astype(dtype).astype(a.dtype) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in args
    )


def over(cases: list[Case]) -> Callable:
    """A test function that makes every run of every case."""
    every, recorded = [], set()
    for case in cases:
        of = case_id(case)
        for what, run in runs(case).items():
            name = f"{of}-{what}"
            marks = [pytest.mark.gpu] if "cuda" in what else []
            if what.endswith(
                "cpu-recorded"
            ):  # the first of each that has a form of its own there; the others in `make test-all`
                marks += (
                    [pytest.mark.slow]
                    if case.name in recorded or "cpu" not in getattr(case.primitive, "impls", ())
                    else []
                )
                recorded.add(case.name)
            marks += [pytest.mark.xfail(reason=reason) for rows, reason in KNOWN.items() if re.fullmatch(rows, name)]
            every.append(pytest.param(run, id=name, marks=marks))

    @pytest.mark.parametrize("run", every)
    def test_primitive(run: Callable[[], None]) -> None:
        run()

    return test_primitive


def case_id(case: Case) -> str:
    shapes = "-".join("x".join(map(str, a.shape)) for a in case.arrays)
    return f"{case.name}[{shapes}]{case.label}"


def check(case: Case) -> None:
    """All runs of one case, one after the other."""
    for run in runs(case).values():
        run()


def runs(case: Case) -> dict[str, Callable[[], None]]:
    """What is checked of a case, by name."""
    found: dict[str, Callable[[], None]] = {}
    if case.positions:
        found["derivatives"] = functools.partial(_check_derivatives, case)
    for dtype in _dtypes(case):
        for device in _devices(case, dtype):
            for layout in _layouts(case, dtype, device):
                found[f"{dtype}-{device}-{layout}"] = functools.partial(_check_values, case, dtype, device, layout)
        if case.positions and dtype not in HALVES:
            found[f"{dtype}-arena"] = functools.partial(_check_arena, case, dtype)
        if dtype == "float32" and _has_kernel(case, dtype) and _is_small(case):
            found[f"{dtype}-captured"] = functools.partial(_check_captured, case, dtype, "emulator")
        if dtype == "float32" and _is_small(case):
            found[f"{dtype}-cpu-recorded"] = functools.partial(_check_captured, case, dtype, "cpu")
    if case.functional:
        found["functional"] = functools.partial(_check_functional, case)
    if case.layer:
        found["layer"] = functools.partial(_check_layer, case)
    return found


def _dtypes(case: Case) -> tuple[str, ...]:
    kinds = {a.dtype.kind for a in case.arrays}
    return FLOATS if case.halves and "f" in kinds and "c" not in kinds else ("float32", "float64")


def _devices(case: Case, dtype: str) -> list[str]:
    """Where to run it: a kernel, which is for float32 and less, beside the forms for NumPy."""
    has_strict, has_kernel = case.strict and dtype not in HALVES, _has_kernel(case, dtype)
    return [
        "cpu",
        *(["strict"] if has_strict else []),
        *(["emulator"] if has_kernel and (dtype == "float32" or _is_small(case)) else []),
        *([CUDA] if CUDA else []),
    ]


def _has_kernel(case: Case, dtype: str) -> bool:
    return EMULATOR and dtype != "float64" and "emulator" in getattr(case.primitive, "impls", ())


def _is_small(case: Case) -> bool:
    """Whether the emulator, which takes a microsecond for each access to memory, is to run it more than twice."""
    return sum(a.size for a in case.arrays) <= 1 << 12


def _layouts(case: Case, dtype: str, device: str) -> tuple[str, ...]:
    """How it lies in memory is independent of how it is rounded: one layout in half precision, both on a GPU."""
    has_two = device != "strict" and any(a.ndim for a in case.arrays)
    return tuple(LAYOUTS) if has_two and (dtype not in HALVES or device == CUDA) else ("contiguous",)


def scattered(a: np.ndarray) -> np.ndarray:
    """The same values, none next to the other in memory."""
    wide = np.zeros([2 * n + 1 for n in a.shape], a.dtype)
    view = wide[tuple(slice(1, None, 2) for _ in a.shape)]
    view[...] = a
    return view


LAYOUTS = {"contiguous": np.ascontiguousarray, "scattered": scattered}
SCHEDULES = {"contiguous": "forward", "scattered": "reverse"}


def _tuple(x: Any) -> tuple:
    return tuple(x) if isinstance(x, tuple) else (x,)


def _tensors(case: Case, dtype: str, device: str = "cpu", layout: str = "contiguous", track: Any = ()) -> list:
    """The arguments in a dtype, on a device; those at the positions `track` are to be differentiated."""
    out = []
    for i, a in enumerate(case.args):
        if isinstance(a, np.ndarray):
            a = a.astype(np.result_type(dtype, "c8") if a.dtype.kind == "c" else dtype) if a.dtype.kind in "fc" else a
            raw = LAYOUTS[layout](a) if a.ndim else np.asarray(a)
            a = weft.asarray(raw, device=device)
            if i in track:
                a.requires_grad_()
        out.append(a)
    return out


# --- values and gradients -----------------------------------------------------------------------------------------------
def _check_values(case: Case, dtype: str, device: str, layout: str) -> None:
    expected, where = case.expected(dtype), f"{case.name} {dtype} on {device}"
    tensors = _tensors(case, dtype, device, layout, case.positions)
    before = [t.detach().numpy().copy() if isinstance(t, weft.Tensor) else t for t in tensors]
    with emulator.schedule(SCHEDULES[layout]):
        got = _tuple(case.primitive(*tensors, **case.static))
        assert len(got) == len(expected)
        for g, e in zip(got, expected):
            assert g.shape == np.shape(e), where
            assert g.device == device
            e = np.asarray(e)
            if e.dtype.kind == "f":
                assert str(g.dtype) == dtype, where
            close(g.detach().numpy(), e, TOLERANCE[dtype] * _factor(case, dtype), where)
        if any(g.requires_grad for g in got):
            _functional(got, device).backward()
            _check_grads(case, tensors, case.positions, dtype, where)
    for t, b in zip(tensors, before):
        if isinstance(t, weft.Tensor):
            assert t.detach().numpy().tobytes() == b.tobytes(), f"{case.name} changed its input"


def _factor(case: Case, dtype: str) -> float:
    return min(case.tolerance, 10) if dtype in HALVES else case.tolerance


def _check_grads(case: Case, tensors: list, positions: tuple[int, ...], dtype: str, where: str) -> None:
    slopes, tolerance = case.slopes(dtype), TOLERANCE[dtype] * GRADIENT[dtype] * _factor(case, dtype)
    for i in positions:
        grad = tensors[i].grad
        if grad is None:
            assert not slopes[i].any(), f"no gradient for argument {i} of {where}"
            continue
        assert grad.shape == tensors[i].shape, where
        assert str(grad.dtype) == dtype, where
        close(grad.numpy(), slopes[i], tolerance, f"gradient {i} of {where}")


def _check_arena(case: Case, dtype: str) -> None:
    """Gradients written to where an optimizer wants them: all of that memory, and nothing but that."""
    tensors = _tensors(case, dtype)
    for i in case.positions:
        tensors[i] = weft.Parameter(tensors[i])
        tensors[i]._grad_view = np.full(tensors[i].shape, np.nan, dtype)
    got = _tuple(case.primitive(*tensors, **case.static))
    if any(g.requires_grad for g in got):
        _functional(got).backward()
        _check_grads(case, tensors, case.positions, dtype, f"{case.name} {dtype} into the arena")
        assert all(tensors[i].grad is None or tensors[i].grad.data is tensors[i]._grad_view for i in case.positions)


def _check_captured(case: Case, dtype: str, device: str) -> None:
    """Warmed up, recorded, replayed with other numbers and with the first again: each has the bits of a run not recorded."""
    tensors = _tensors(case, dtype, device)
    given = [i for i, t in enumerate(tensors) if isinstance(t, weft.Tensor)]
    weights = [weft.asarray(_weights(np.shape(e), 7 + i), device=device) for i, e in enumerate(case.expected(dtype))]

    def step(*arrays: Any) -> tuple:
        values = list(tensors)
        for i, a in zip(given, arrays):
            values[i] = a.detach().requires_grad_(i in case.positions)
        got = _tuple(case.primitive(*values, **case.static))
        terms = [(o * w.astype(o.dtype)).sum() for o, w in zip(got, weights) if o.requires_grad]
        if terms:
            sum(terms[1:], terms[0]).backward()
        return (*got, *(values[i].grad for i in case.positions if values[i].grad is not None))

    def bits(run: Callable, arrays: list[Any]) -> list[bytes]:
        return [t.detach().numpy().tobytes() for t in run(*arrays)]

    arrays = [tensors[i] for i in given]
    others = [a * 0.875 if weft.isdtype(a.dtype, "real floating") else a for a in arrays]
    is_strict = device != "cpu" or case.name not in AS_USUAL
    captured = weft.capture(step, warmup=1, strict=is_strict)
    captured.is_silent = not is_strict
    with emulator.schedule("random"):
        expected, changed = bits(step, arrays), bits(step, others)
    for given_now, wanted in ((arrays, expected), (arrays, expected), (others, changed), (arrays, expected)):
        assert bits(captured, given_now) == wanted, f"{case.name} {dtype} captured"


# --- what stands on it --------------------------------------------------------------------------------------------------
def _check_functional(case: Case) -> None:
    for dtype in ("float64", "float32"):
        tensors = _tensors(case, dtype)
        wanted = _tuple(case.primitive(*tensors, **case.static))
        for got in (case.functional(*tensors, **case.face), case.functional(*tensors, *case.face.values())):
            _same(_tuple(got), wanted)


def _check_layer(case: Case) -> None:
    for layer in (case.layer(**case.face), case.layer(*case.face.values())):
        for option, value in case.face.items():
            named = f"{option}={value!r}" in repr(layer)
            alone = len(case.face) == 1 and repr(layer).endswith(f"({value!r})")  # PyTorch's Hardshrink(0.5)
            assert named or alone, f"{layer!r} does not show {option}={value!r}"
        for dtype in ("float64", "float32"):
            tensors = _tensors(case, dtype)
            _same(_tuple(layer(*tensors)), _tuple(case.primitive(*tensors, **case.static)))


def _same(got: tuple, wanted: tuple) -> None:
    assert len(got) == len(wanted)
    for g, w in zip(got, wanted):
        assert g.dtype == w.dtype
        np.testing.assert_array_equal(g.detach().numpy(), w.detach().numpy())


@functools.cache
def tables() -> dict[str, list[Case]]:
    """The cases of each test module of the backend, by the name of the module that it is for."""
    global over
    found: dict[str, list[Case]] = {}
    really = over
    try:
        for path in sorted((Path(__file__).parent / "backend").rglob("test_*.py")):
            mine = found.setdefault(path.stem.removeprefix("test_"), [])
            over = lambda cases, mine=mine: (mine.extend(cases), lambda: None)[1]
            if "harness.over" in path.read_text(encoding="utf-8"):
                spec = importlib.util.spec_from_file_location(f"_cases_{path.stem}", path)
                spec.loader.exec_module(importlib.util.module_from_spec(spec))
    finally:
        over = really
    return found


def public(face: str) -> dict[str, list[Case]]:
    """The rows that name a `functional`, or a `layer`, by that name."""
    found: dict[str, list[Case]] = {}
    for case in (case for cases in tables().values() for case in cases):
        if (of := getattr(case, face)) is not None:
            found.setdefault(of.__name__, []).append(case)
    return found


# --- numbers ------------------------------------------------------------------------------------------------------------
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
    parts = [(weft.real(o), weft.imag(o)) if "complex" in str(o.dtype) else (o,) for o in outs]
    floats = [part for both in parts for part in both if "float" in str(part.dtype)]
    weights = [weft.asarray(_weights(o.shape, 7 + i).astype(o.dtype), device=device) for i, o in enumerate(floats)]
    return sum(((o * w).sum() for o, w in zip(floats, weights)), 0.0)


# --- derivatives --------------------------------------------------------------------------------------------------------
def _function(case: Case, f: Callable, dtype: str = "float64") -> Callable:
    """The functional of what `f` makes of the case, as a function of the arrays that are differentiated."""

    def of(*xs: Any) -> Any:
        values = [weft.asarray(a) if isinstance(a, np.ndarray) else a for a in _rounded(case.args, dtype)]
        for i, x in zip(case.positions, xs):
            values[i] = x
        return _functional(_tuple(f(*values, **case.static)))

    return of


def _gradients(case: Case, dtype: str) -> dict[int, np.ndarray]:
    """The gradient for each position, of the generic form in float64, at arguments rounded to the dtype."""
    args = _rounded(case.args, dtype)
    at = [np.asarray(args[i], dtype=np.float64) for i in case.positions]
    return dict(zip(case.positions, _gradient(_function(case, _generic(case), dtype), at)))


def _gradient(f: Callable, at: list[np.ndarray]) -> list[np.ndarray]:
    return [g.numpy() for g in weft.grad(f, range(len(at)))(*[weft.asarray(a) for a in at])]


def _check_derivatives(case: Case) -> None:
    at = [np.asarray(case.args[i], dtype=np.float64) for i in case.positions]
    directions = [_weights(a.shape, 100 + i) for i, a in enumerate(at)]

    def slope(f: Callable, eps: float = 1e-6) -> float:
        up = f(*[weft.asarray(a + eps * d) for a, d in zip(at, directions)])
        down = f(*[weft.asarray(a - eps * d) for a, d in zip(at, directions)])
        return (up.item() - down.item()) / (2 * eps)

    def along(gradients: Any) -> float:
        return sum(float((g * d).sum()) for g, d in zip(gradients, directions))

    tolerance = DIFFERENCES * case.tolerance
    found = along(case.slopes("float64").values())
    close(found, slope(_function(case, _generic(case))), tolerance, f"gradient of {case.name}")
    if case.nested:
        f = _function(case, case.primitive)

        def first(*xs: Any) -> Any:
            gs = weft.grad(f, range(len(at)))(*xs)
            return sum(((g * weft.asarray(_weights(g.shape, 31 + i))).sum() for i, g in enumerate(gs)), 0.0)

        close(along(_gradient(first, at)), slope(first), 10 * tolerance, f"second derivative of {case.name}")
    for i in case.positions if len(case.positions) > 1 else ():
        tensors = _tensors(case, "float64", track=(i,))
        got = _tuple(case.primitive(*tensors, **case.static))
        if any(g.requires_grad for g in got):
            _functional(got).backward()
        _check_grads(case, tensors, (i,), "float64", f"{case.name} with only argument {i} tracked")


def _generic(case: Case) -> Callable:
    return generic_only(case.primitive) if getattr(case.primitive, "impls", None) else case.primitive


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
