"""Runs the tutorials: `python docs/run_notebooks.py [NOTEBOOK …]`, each in a process and an empty folder of its own.

With `--keep` Jupyter runs them, and what their cells show is kept in the files, as the site shows it. Without, plain Python
does, which is all that the tests need: a cell that raises ends it with exit status 1.
"""

from __future__ import annotations

import ast
import base64
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a second thread of BLAS costs these small sizes more than it gives
FOLDER = Path(__file__).resolve().parent / "tutorials"


def cells(path: Path) -> list[str]:
    """The code of a notebook, cell by cell."""
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == "code"]


def run(path: Path) -> None:
    """Run the cells of a notebook in this process, and what its last lines show, as a notebook would."""
    names: dict[str, object] = {"__name__": "__main__"}
    for number, source in enumerate(cells(path), 1):
        tree = ast.parse(source, f"{path.name}, cell {number}")
        shown = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, f"{path.name}, cell {number}", "exec"), names)
        if shown is not None:
            value = eval(compile(ast.Expression(shown.value), f"{path.name}, cell {number}", "eval"), names)
            for form in ("_repr_html_", "_repr_png_", "_repr_svg_", "__repr__"):
                getattr(value, form, str)()


def smaller(png: str) -> str:
    """A picture of 64 colours instead of millions: a third of the bytes, and the eye sees no difference in a plot."""
    from PIL import Image

    picture, file = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB"), io.BytesIO()
    picture.quantize(64, dither=Image.Dither.NONE).save(file, format="PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def keep(path: Path) -> None:
    """Run a notebook by Jupyter; the outputs are kept, without what differs from run to run in any case."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": folder}}).execute()
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output["data"]["image/png"] = smaller(output["data"]["image/png"])
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    nbformat.write(notebook, path)


def main(arguments: list[str]) -> int:
    """Run what is named, or all; the exit status."""
    paths = [Path(name).resolve() for name in arguments if name != "--keep"] or sorted(FOLDER.glob("*.ipynb"))
    if "--keep" in arguments:
        for path in paths:
            keep(path)
        return 0
    if len(paths) == 1:
        run(paths[0])
        return 0
    status = 0
    for path in paths:
        with tempfile.TemporaryDirectory() as folder:
            status |= subprocess.run((sys.executable, __file__, path), cwd=folder).returncode
        print(f"{path.name}: {'ok' if not status else 'failed'}")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
