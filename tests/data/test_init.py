"""What `weft.data` offers, and that asking for it imports neither scikit-learn nor a GPU's library."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import weft.data


@pytest.mark.parametrize("package", [weft.data, weft.data.augment], ids=lambda package: package.__name__)
def test_all_is_what_the_modules_offer(package):
    inner = list(pkgutil.iter_modules(package.__path__, package.__name__ + "."))
    modules = [importlib.import_module(m.name) for m in inner if not m.ispkg]
    folders = {m.name.rpartition(".")[2] for m in inner if m.ispkg}
    assert set(package.__all__) == folders | {name for module in modules for name in module.__all__}
    assert all(hasattr(package, name) for name in package.__all__)


def test_import_is_cheap():
    heavy = "{'sklearn', 'scipy', 'cupy', 'matplotlib', 'rich', 'safetensors'}"
    code = f"import sys, weft.data; loaded = {heavy} & sys.modules.keys(); sys.exit(str(loaded) if loaded else 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
