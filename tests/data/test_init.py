"""What `weft.data` offers, and that asking for it imports neither scikit-learn nor a GPU's library."""

import importlib
import pkgutil
import subprocess
import sys

import weft.data


def test_all_is_what_the_modules_offer():
    modules = [importlib.import_module(f"weft.data.{m.name}") for m in pkgutil.iter_modules(weft.data.__path__)]
    assert set(weft.data.__all__) == {name for module in modules for name in module.__all__}
    assert all(hasattr(weft.data, name) for name in weft.data.__all__)


def test_import_is_cheap():
    heavy = "{'sklearn', 'scipy', 'cupy', 'matplotlib', 'rich', 'safetensors'}"
    code = f"import sys, weft.data; loaded = {heavy} & sys.modules.keys(); sys.exit(str(loaded) if loaded else 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
