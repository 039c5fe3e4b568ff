"""What `weft.layers` offers, and that importing it is cheap."""

import importlib
import pkgutil
import subprocess
import sys

from weft import layers as nn

# not in the package's own namespace; language models are in that of `models`
APART = {
    "functional",
    "init",
    "models",
    "hooks",
    "packed_sequence",
    "state",
    "utils",
    "forecasting",
    "beam_search",
    "encoder_decoder",
    "lstm_translator",
    "transformer_translator",
    "bert",
    "gpt2",
    "generation",
    "language_model",
    "llama",
    "pretrained",
    "pretrained_options",
    "recurrent_language_model",
}


def test_all_is_what_the_modules_offer():
    names = [m.name for m in pkgutil.iter_modules(nn.__path__) if m.name not in APART]
    offered = {name for module in names for name in importlib.import_module(f"weft.layers.{module}").__all__}
    assert set(nn.__all__) - {"functional", "init", "models", "utils"} == offered - {"mult_adds"}
    assert all(hasattr(nn, name) for name in nn.__all__)


def test_import_is_cheap():
    heavy = "{'torch', 'cupy', 'sklearn', 'scipy', 'matplotlib', 'rich', 'safetensors', 'threadpoolctl', 'ml_dtypes'}"
    code = f"import sys, weft.layers; loaded = {heavy} & sys.modules.keys(); sys.exit(str(loaded) if loaded else 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
