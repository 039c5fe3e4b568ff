"""Nothing is left out: every primitive has a case, every module a test file, every public name a place in `__all__`."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import harness
import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.backend.tape.autograd import PRIMITIVES

TESTS = Path(__file__).parent
ROOT = Path(weft.__file__).parent

for info in pkgutil.walk_packages(weft.backend.__path__, "weft.backend."):
    importlib.import_module(info.name)
# Before any test defines one of its own; those of PyTorch's front are made by one function, and tested beside it.
NAMES = sorted(name for name in PRIMITIVES if not name.startswith("weft.compat."))

# Primitives whose behaviour no table of values can state, and where it is tested
OTHERWISE_TESTED = {
    "weft.backend.array.methods._move": "test_devices.py: what moves between devices must change device"
}

# Modules tested under another file's name, and why
TESTED_IN = {
    "__init__": "test_package.py",
    "__main__": "test_cli.py",
    # tools of the replacements for NumPy: the harness runs these, block edges and layouts included
    "backend/cpu/blocks": "backend/nn/test_activation.py",
    "backend/cpu/lowering": "backend/nn/test_convolution.py",
    "backend/cpu/recurrent_products": "backend/nn/test_recurrent.py",
    "backend/cpu/window_products": "backend/nn/test_convolution.py",
    "backend/cpu/small_normalization": "backend/nn/test_normalization.py",
    "backend/cpu/winograd": "backend/nn/test_convolution.py",
    "backend/tape/handle": "backend/tape/test_hooks.py",
    "layers/packed_sequence": "layers/utils/test_rnn.py",
    "layers/utils/computed": "layers/utils/test_parametrize.py",
    "layers/utils/orthogonal": "layers/utils/test_parametrizations.py",
    "backend/array/einops": "test_einops.py",
    # parts of `vmap`
    "backend/modes/batching_lookups": "backend/modes/test_batching.py",
    "backend/modes/batching_rules": "backend/modes/test_batching.py",
    "backend/modes/lanes": "backend/modes/test_batching.py",
    # parts of a captured step
    "backend/modes/arguments": "backend/modes/test_capture.py",
    "backend/modes/recorded_step": "backend/modes/test_capture.py",
    "backend/modes/recorders": "backend/modes/test_capture.py",
    "backend/modes/forks": "backend/modes/test_host.py",
    "backend/modes/guard": "backend/modes/test_host.py",
    "backend/modes/host_step": "backend/modes/test_host.py",
    "backend/modes/log": "backend/modes/test_host.py",
    "backend/modes/noted": "backend/modes/test_host.py",
    "backend/modes/plan": "backend/modes/test_host.py",
    "backend/modes/program": "backend/modes/test_host.py",
    "backend/modes/schedule": "backend/modes/test_host.py",
    # what all kernels are launched with and tested by
    "kernels/toolchain/launch": "kernels/test_emulator.py",
    "kernels/emulator/build": "kernels/test_emulator.py",
    "kernels/emulator/cublas_numpy": "kernels/test_gemm.py",
    "kernels/emulator/requests": "kernels/emulator/test_executions.py",
    "kernels/strip": "kernels/test_pooling_2x2.py",
    "kernels/columns": "kernels/test_pooling_small.py",
    "training/cli/case_makers": "training/cli/test_instance_cases.py",
    "training/cli/general_cases": "training/cli/test_instance_cases.py",
    "training/cli/window_cases": "training/cli/test_instance_cases.py",
    # words that the rules and the metrics are written in
    "optimizers/rule": "optimizers/test_optimizer.py",
    "training/metrics/metric": "training/test_metrics.py",
    "training/metrics/classification": "training/test_metrics.py",
    "training/metrics/regression": "training/test_metrics.py",
    # what augmentations are made of
    "data/augment/affine": "data/augment/test_geometry.py",
    "data/augment/batch": "data/augment/test_transform.py",
    "data/augment/checks": "data/augment/test_transform.py",
    "data/augment/crop": "data/augment/test_geometry.py",
    "data/augment/spectrogram": "data/augment/test_audio.py",
    "data/augment/tokens": "data/augment/test_text.py",
    # one module that gathers names, and one that has a single import in it
    "data/extras": "data/test_digits.py",
    # parts of the trainer and of the commands, which are run as a user runs them
    "training/atomic": "training/test_checkpoint.py",
    "training/predict": "training/test_trainer.py",
    "training/running": "training/test_trainer.py",
    "training/usage": "test_cli.py",
    "training/recipe": "test_cli.py",
    "training/cli/parser": "test_cli.py",
    "training/cli/info": "test_cli.py",
    "training/cli/kernel_profile": "test_cli_profile.py",
    "training/cli/step_profile": "test_cli_step.py",
    "training/cli/kernel_cases": "bench/test_kernels.py",
    "training/cli/export": "test_cli_export.py",
    # what the first hour needs, as a user types it
    "data/sources": "test_cli_first_hour.py",
    "training/cli/data": "test_cli_first_hour.py",
    "training/cli/info_check": "test_cli_first_hour.py",
    "training/cli/listing": "test_cli_first_hour.py",
    "training/cli/new": "test_cli_first_hour.py",
    "training/cli/train": "test_cli.py",
    "training/cli/train_text": "test_cli_text.py",
    "training/cli/run": "test_cli_text.py",
    "training/cli/forecast": "test_cli_forecast.py",
    "training/cli/train_forecast": "test_cli_forecast.py",
    "training/cli/tasks": "test_cli_text.py",
    "training/shown": "backend/device/test_markup.py",
    "training/saved_options": "test_cli_text.py",
    "training/cli/train_translate": "test_cli_translate.py",
    "training/cli/translate": "test_cli_translate.py",
    "training/translation": "test_cli_translate.py",
    "training/translating": "test_cli_translate.py",
    "training/attention_map": "training/test_plots.py",
    "data/check": "data/test_tokenizer.py",
    "layers/pretrained_options": "layers/test_pretrained.py",
    # translators, tested side by side
    "layers/lstm_translator": "layers/test_encoder_decoder.py",
    "layers/transformer_translator": "layers/test_encoder_decoder.py",
    "training/cli/generate": "test_cli_text.py",
    "training/cli/folder": "test_cli_runs.py",
    "training/signals": "training/test_checkpoint_callback.py",
    "training/processes": "distributed/test_train.py",
    # what only several processes do
    "backend/device/ranks": "distributed/test_collectives.py",
    "distributed/agreement": "distributed/test_collectives.py",
    "distributed/group": "distributed/test_collectives.py",
    "distributed/sums": "distributed/test_collectives.py",
    "distributed/bucket": "distributed/test_data_parallel.py",
    "distributed/start": "distributed/test_collectives.py",
    "distributed/watch": "distributed/test_faults.py",
    "distributed/buckets": "distributed/test_data_parallel.py",
    "kernels/toolchain/array_calls": "kernels/emulator/test_array.py",
    "layers/utils/pruned": "layers/utils/test_prune.py",
    "layers/utils/pruning_methods": "layers/utils/test_prune.py",
}


@pytest.mark.parametrize("name", NAMES)
def test_primitive_has_a_case(name):
    tables = harness.tables()
    primitive, module = PRIMITIVES[name], name.split(".")[-2]
    mine = [case for cases in tables.values() for case in cases if case.primitive is primitive]
    if name in OTHERWISE_TESTED:
        assert not mine, f"{name} has a case now: take it off the list"
        return
    if not mine:  # perhaps inside a function composed of primitives
        mine = [case for case in tables.get(module, []) if name.split(".")[-1] in recorded(case)]
    assert mine, f"add a row for {name} to CASES in tests/backend/test_{module}.py"
    if not any(case.positions for case in mine):
        assert not any(has_derivative(primitive, case) for case in mine), (
            f"{name} has a derivative, and no case differentiates it"
        )


@pytest.mark.skipif(not harness.EMULATOR, reason="some of these runs are the emulator's")
def test_known_failures_are_of_cases():
    """Each entry of KNOWN still names a run."""
    cases = [case for table in harness.tables().values() for case in table]
    names = [f"{harness.case_id(case)}-{what}" for case in cases for what in harness.runs(case)]
    assert not [rows for rows in harness.KNOWN if not any(re.fullmatch(rows, name) for name in names)]


def recorded(case):
    """Names of the operations that a case puts on the tape."""
    if case.primitive in PRIMITIVES.values():
        return set()
    args = [
        weft.asarray(a.copy()).requires_grad_(i in case.positions) if isinstance(a, np.ndarray) else a
        for i, a in enumerate(case.args)
    ]
    outs = case.primitive(*args, **case.static)
    nodes, names = [out._node for out in (outs if isinstance(outs, tuple) else (outs,))], set()
    while nodes:
        node = nodes.pop()
        if node is not None and not isinstance(node, weft.Tensor):
            names.add(node.name)
            nodes.extend(node.parents)
    return names


def has_derivative(primitive, case):
    """Whether it has one with respect to floating-point arrays of this case, which the case leaves out."""
    floats = any(isinstance(a, np.ndarray) and a.dtype.kind == "f" for a in case.args)
    args = [np.array(a) if isinstance(a, np.ndarray) else a for a in case.args]
    return floats and primitive.generic(np, *args, **case.static)[1] is not None


def modules():
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[0] in (
            "kernels",
            "backend",
            "layers",
            "optimizers",
            "data",
            "training",
            "distributed",
            "__init__",
            "__main__",
        ):
            yield parts


@pytest.mark.parametrize("parts", list(modules()), ids="/".join)
def test_module_has_a_test_file(parts):
    """tests/ mirrors the tree; packages' `__init__` and private helpers (`_check`) are tested through the rest."""
    name = "/".join(parts)
    if name in TESTED_IN:
        assert (TESTS / TESTED_IN[name]).is_file()
        return
    if parts[-1].startswith("_"):
        return
    family = parts[-1].split("_")[0]  # metrics_regression may be tested with the other metrics
    mirrored = [TESTS.joinpath(*parts[:-1], f"test_{stem}.py") for stem in (parts[-1], family)]
    if parts[:2] in (
        ("backend", "cpu"),
        ("backend", "cuda"),
    ):  # the harness runs every replacement beside its generic form
        mirrored += [TESTS / "backend" / room / f"test_{parts[-1]}.py" for room in ("array", "nn")]
    assert any(path.is_file() for path in mirrored), f"{mirrored[0].relative_to(TESTS)} is missing"


PACKAGES = [
    "weft",
    *(
        m.name
        for m in pkgutil.walk_packages(weft.__path__, "weft.")
        if m.name.split(".")[1] in (*weft._LAZY, "backend", "kernels")
    ),
]


@pytest.mark.parametrize("name", PACKAGES)
def test_all_is_true(name):
    module = importlib.import_module(name)
    listed = list(getattr(module, "__all__", []))
    assert len(set(listed)) == len(listed), "names listed twice"
    missing = [n for n in listed if not hasattr(module, n)]
    assert not missing, f"{name}.__all__ names what does not exist: {missing}"


@pytest.mark.parametrize(
    "name",
    ["layers", "layers.functional", "optimizers", "optimizers.schedulers", "optimizers.swa_utils", "data", "training"],
)
def test_all_is_complete(name):
    """Every class and function of the package that its namespace shows."""
    package = importlib.import_module(f"weft.{name}")
    top = name.split(".")[0]
    shown = {
        n
        for n, v in vars(package).items()
        if not n.startswith("_")
        and (inspect.isclass(v) or inspect.isroutine(v))
        and v.__module__.startswith(f"weft.{top}")
    }
    assert shown - set(package.__all__) == set()


def test_namespace_shows_everything_the_backend_exports():
    """What a module of the array API lists in `__all__` is in `weft` itself, as the same object."""
    from weft.backend.array import creation, elementwise, indexing, manipulation, reductions
    from weft.backend.modes import transforms

    for module in (creation, elementwise, indexing, manipulation, reductions, transforms):
        for n in module.__all__:
            assert getattr(weft, n) is getattr(module, n), n


def test_harness_finds_mistakes():
    """Wrong values, wrong gradients, changed inputs, wasted arena: each makes the harness complain."""
    x = np.array([1.0, 2.0, 3.0])

    def reject(generic, match, cpu=None, reference=lambda x: 2 * x, **faces):
        before = dict(PRIMITIVES)
        try:
            p = weft.backend.tape.autograd.primitive(generic)
            if cpu is not None:
                p.on("cpu")(cpu)
            with pytest.raises(AssertionError, match=match):
                harness.check(harness.Case(p, (x,), reference, **faces))
        finally:
            PRIMITIVES.clear()
            PRIMITIVES.update(before)

    def right(xp, x, /):
        return x * 2, (lambda g: g * 2,)

    def wrong_gradient(xp, x, /):
        return x * 2, (lambda g: g * 3,)

    def changes_input(xp, x, /):
        y = x * 2
        if xp is np:
            x *= 1.5
        return y, (lambda g: g * 2,)

    def wrong_dtype(xp, x, /):
        return xp.astype(x * 2, xp.float64), (lambda g: xp.astype(g * 2, x.dtype),)

    def coarse(x, /):
        return x * (2.05 if str(x.dtype) == "float16" else 2), (lambda g: g * 2,)

    class Twice(nn.Module):
        def __init__(self, factor=2):
            self.factor = factor

        def forward(self, x):
            return x * self.factor

        def extra_repr(self):
            return "factor=2"

    reject(right, "Not equal to tolerance", reference=lambda x: 2.001 * x)
    reject(wrong_gradient, "gradient of")
    reject(changes_input, "changes_input")
    reject(wrong_dtype, "float32")
    reject(right, "gradient 0 of right float32 on cpu", cpu=lambda x: (x * 2, (lambda g: g * 3,)))
    reject(
        right,
        "gradient 0 of right float32 into the arena",
        cpu=lambda x: (x * 2, lambda g, need, into: (g * 2 if into[0] is None else into[0],)),
    )
    reject(right, "right float16 on cpu", cpu=coarse)
    reject(right, "Arrays are not equal", functional=lambda x: x * 3)
    reject(right, "Arrays are not equal", layer=lambda: Twice(3))
    reject(right, "does not show", layer=Twice, options={"factor": 2.0})


def test_status_lists_every_cuda_source():
    """bench/results/STATUS.md says of each family whether it has run on a GPU."""
    listed = set(re.findall(r"`(\w+\.cu)`", (ROOT / "bench" / "results" / "STATUS.md").read_text()))
    assert listed == {path.name for folder in ("kernels", "bench") for path in (ROOT / folder).glob("*.cu")}
