"""What `import weft` costs and loads, and which way imports point inside the package."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import weft

ROOT = Path(weft.__file__).parent
OPTIONAL = ("cupy", "torch", "scipy", "sklearn", "matplotlib", "rich")
DEFERRED = (
    "ml_dtypes",
    "array_api_compat",
    "threadpoolctl",
    "safetensors",
    "numpy.random",
    "inspect",
    "concurrent.futures",
)

# kernels ← backend ← layers ← optimizers ← training; data needs the backend alone; the root knows the backend
MAY_IMPORT = {
    "kernels": set(),
    "backend": {"kernels"},
    "data": {"backend"},
    "layers": {"backend"},
    "optimizers": {"kernels", "backend", "layers"},
    "training": {"kernels", "backend", "layers", "optimizers", "data", "weft"},
    "bench": {"kernels", "backend", "layers", "optimizers", "data", "training", "weft"},
    "__init__": {"backend"},
    "__main__": {"training", "bench", "weft"},
}


def python(code, **environment):
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


class TestImport:
    def test_loads_no_optional_library(self):
        loaded = python("import sys, weft; print(*sys.modules)").split()
        assert not [name for name in OPTIONAL if name in loaded]

    def test_defers_what_is_rarely_needed(self):
        loaded = python(
            "import sys, numpy; before = set(sys.modules); import weft; print(*set(sys.modules) - before)"
        ).split()
        assert not [name for name in (*OPTIONAL, *DEFERRED) if name in loaded]

    def test_costs_little_more_than_numpy(self, tmp_path):
        """A tenth of a second at most (15 ms where this was written), with byte code cached as it is once installed."""
        code = "import numpy, time; start = time.perf_counter(); import weft; print(time.perf_counter() - start)"
        cached = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}
        python(code, **cached)
        assert min(float(python(code, **cached)) for _ in range(5)) < 0.1  # the least: other programs only add to it

    def test_subpackages_are_loaded_when_asked_for(self):
        code = "import sys, weft; assert 'weft.data' not in sys.modules; weft.data; assert 'weft.data' in sys.modules"
        python(code)
        assert {"layers", "optimizers", "data", "training", "bfloat16", "exp", "Tensor"} <= set(dir(weft))
        with pytest.raises(AttributeError, match="module 'weft' has no attribute 'nothing'"):
            _ = weft.nothing

    def test_everything_is_importable_without_cupy_and_torch(self):
        python(
            "import sys, weft\nsys.modules['cupy'] = sys.modules['torch'] = None\nfor n in weft._LAZY: getattr(weft, n)"
        )


def sources():
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).parts
        if (parts[0] in MAY_IMPORT or len(parts) == 1) and not parts[-1].startswith("test_"):
            yield path, parts


def imported(path, parts):
    """Top-level parts of weft that a module imports, anywhere in its text; "weft" for names of the root itself."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            if any(alias.name.split(".")[0] == "weft" for alias in node.names):
                yield node.lineno, "weft"
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0:
                if node.module.split(".")[0] == "weft":
                    yield node.lineno, "weft"
                continue
            package = parts[: len(parts) - node.level]
            full = [*package, *(node.module.split(".") if node.module else [])]
            for name in [full[0]] if full else [alias.name for alias in node.names]:
                yield node.lineno, name if name in MAY_IMPORT else "weft"


def test_imports_point_one_way():
    wrong = []
    for path, parts in sources():
        here = parts[0].removesuffix(".py")
        for line, there in imported(path, parts):
            if there != here and there not in MAY_IMPORT.get(here, ()):
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {there}")
    assert not wrong, "\n".join(wrong)


def test_the_check_sees_what_it_should():
    """Against a check that passes because it looks at nothing."""
    found = {(parts[0], there) for path, parts in sources() for _, there in imported(path, parts)}
    assert {("layers", "backend"), ("training", "optimizers"), ("data", "backend"), ("backend", "kernels")} <= found


def test_version():
    from importlib.metadata import version

    assert weft.__version__ == version("weft")
    assert weft.__array_api_version__ == "2024.12"
