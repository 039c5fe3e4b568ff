"""How Sphinx makes the site: `make docs`, or `sphinx-build -W docs docs/_build/html`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import weft

for part in ("linalg", "fft", "nvtx"):  # attributes that Sphinx looks for as modules
    sys.modules[f"weft.{part}"] = getattr(weft, part)

project, author = "weft", "the developers of weft"
html_show_copyright = False  # the licence says it
version = release = weft.__version__
html_title = f"weft {version}"

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_nb",
    "sphinx_copybutton",
    "mathml",
    "reference",
    "generated",
]
exclude_patterns = ["_build", "_ext", "catalogue.md"]
default_role = "py:obj"  # a name in backticks is a link where there is such a name, and code where not
add_module_names = False
toc_object_entries = False
python_display_short_literal_types = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say more
numpydoc_show_class_members = False

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # notebooks keep their outputs; tests run them
html_math_renderer = "mathml"

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["weft.css"]
html_copy_source = False
html_show_sourcelink = False
pygments_style, pygments_dark_style = "tango", "github-dark"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
