"""What a package index shows: README.md without pictures of the repository and with links to its files as plain text.

All else about the package is in pyproject.toml. An index resolves no relative link, and has only this one file.
"""

import re
from pathlib import Path

from setuptools import setup

FILE = r"\((?![a-z]+:|#)[^)\s]+\)"  # the target of a link that is neither an address nor a place in the text

text = Path("README.md").read_text(encoding="utf-8")
text = re.sub(rf"^!\[[^\]]*\]{FILE}\n+", "", text, flags=re.MULTILINE)
text = re.sub(rf"\[([^\]]+)\]{FILE}", r"\1", text)

# The script's name, because the root is a package and this file is none of its modules.
setup(script_name="setup.py", long_description=text, long_description_content_type="text/markdown")
