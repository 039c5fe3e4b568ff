"""Shared by all tests: the harness is importable as `harness`, and every test starts from the same seed, device and dtype."""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

os.environ.pop("WEFT_DEVICE", None)
sys.path.insert(0, str(Path(__file__).parent))

import weft

pytest_plugins = ["precompile", "terse"]

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"


class _RootIsAFolder:
    """To pytest the root is a folder of tests/, not a package: it would import `__init__.py` again, as a package of the
    folder's name, and fail in a folder called `weft-0.1.0`."""

    @staticmethod
    def pytest_collect_directory(path, parent):
        return pytest.Dir.from_parent(parent, path=path) if path.samefile(ROOT) else None


def pytest_configure(config):
    # A plugin, as hooks of this file itself are asked only about what lies below it.
    config.pluginmanager.register(_RootIsAFolder())


@pytest.fixture(autouse=True)
def _same_start(request):
    weft.manual_seed(0)
    yield
    _note_launches(request.node)
    assert weft.is_grad_enabled()
    assert weft.get_default_device() == "cpu"
    assert weft.get_default_dtype() == weft.float32


@pytest.fixture
def heard():
    """Signals are not ignored, as `nohup` and a shell's `&` leave them to the tests, and these to the processes they start."""
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    ignored = [
        n for n in (getattr(signal, name, None) for name in names) if n and signal.getsignal(n) is signal.SIG_IGN
    ]
    for number in ignored:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(params=["emulator", pytest.param("cuda", marks=pytest.mark.gpu)])
def accelerator(request):
    """Each device that runs our kernels; skips where it is not."""
    try:
        weft.backend.device.devices.canonical(request.param)
    except weft.DeviceError as error:
        pytest.skip(str(error))
    return weft.backend.device.devices.canonical(request.param)


@pytest.fixture
def data_dir():
    """Where the real data sets are; skips where they are not."""
    if not DATA.is_dir():
        pytest.skip(f"the data sets are not at {DATA}")
    return DATA


# --- kernels: what they take, and that none was left out ----------------------------------------------------------------
# These hooks stand here because with pytest-xdist the process that reports collects no tests, and loads this file alone.
_launched: set[str] = set()


def _note_launches(item):
    """Which instantiations have run in the emulator, for `pytest_sessionfinish`."""
    emulator = sys.modules.get("weft.kernels.emulator")
    if emulator and (new := emulator.launched - _launched):
        _launched.update(new)
        item.user_properties.append(("launched", sorted(new)))


def _properties(reporter, name):
    reports = [r for outcome in reporter.stats.values() for r in outcome if getattr(r, "when", None) == "teardown"]
    return [value for report in reports for key, value in report.user_properties if key == name]


def pytest_sessionfinish(session):
    """A run of all tests fails if there is an instantiation of a kernel that none of them has launched."""
    config, reporter = session.config, session.config.pluginmanager.get_plugin("terminalreporter")
    is_whole = not config.option.keyword and config.option.markexpr in ("", "not slow") and config.args == ["tests"]
    if hasattr(config, "workerinput") or not is_whole or config.option.collectonly or config.option.maxfail:
        return
    from weft.kernels.toolchain.compiler import families

    there = {expression for expressions, _ in families().values() for expression in expressions}
    idle = there - {name for names in _properties(reporter, "launched") for name in names}
    if idle and "emulator" in weft.devices():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        # the last words of the run, below its summary, which says "passed"
        config.add_cleanup(
            lambda: reporter.write_line(f"FAILED: no test has launched {', '.join(sorted(idle))}", red=True)
        )


def pytest_terminal_summary(terminalreporter):
    """Registers, shared memory and spills of all CUDA kernels, as toolchain/test_compiler.py records them."""
    records = _properties(terminalreporter, "kernels")
    if any(records):
        from weft.kernels.toolchain.compiler import Resources
        from weft.kernels.toolchain.report import table

        terminalreporter.section("CUDA kernels")
        rows = [(source, arch, Resources(**taken)) for record in records for source, arch, taken in record]
        terminalreporter.write_line(table(rows))


@pytest.fixture
def disassembler():
    """What counts instructions of kernels; the test is skipped where it is missing."""
    if "emulator" not in weft.devices():
        pytest.skip("the emulator needs a C++ compiler")
    from weft.kernels.toolchain import machine_code
    from weft.kernels.toolchain.compiler import ToolkitError

    try:
        machine_code.tool()
    except ToolkitError as error:
        pytest.skip(str(error))
