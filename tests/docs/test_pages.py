"""The pages say what is true: their code runs, their commands take these options, their links lead somewhere."""

import contextlib
import functools
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

import weft
from weft.__main__ import main
from weft.kernels.toolchain import launch

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if not {"_build", "_generated"} & set(path.parts))
TEXTS = [*PAGES, *ROOT.glob("*.md")]
LINK = re.compile(r"!?\[[^\]]*\]\((?!https?:|mailto:|#)([^)\s#]+)(?:#[^)\s]*)?\)")
CODE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(?:    |\$ )(weft [^#\n]*(?:\\\n[^#\n]*)*)", re.MULTILINE)
SLOW = {"own-images", "search", "tables-texts-series"}  # those that train for seconds


def name(path):
    return path.relative_to(ROOT).with_suffix("").as_posix()


def code(path):
    """The Python of a page, each line where it stands there."""
    text = path.read_text(encoding="utf-8")
    result = [""] * (text.count("\n") + 1)
    for found in CODE.finditer(text):
        if found[1] == "python":
            start = text.count("\n", 0, found.start(2))
            lines = found[2].splitlines()
            result[start : start + len(lines)] = lines
    return "\n".join(result)


RUN = [
    pytest.param(path, id=name(path), marks=[pytest.mark.slow] * (path.stem in SLOW))
    for path in PAGES
    if "project" not in path.parts and path.stem != "start" and code(path).strip()
]


@pytest.mark.parametrize("path", RUN)
def test_code_runs(path, tmp_path, monkeypatch):
    for module in ("sklearn", "matplotlib", "PIL", "onnx"):
        pytest.importorskip(module)
    if path.stem == "own-kernel" and sys.platform != "linux":
        pytest.skip("the emulator and NVRTC are for Linux")
    monkeypatch.setattr(launch, "KERNELS", [*launch.KERNELS])  # a page's own are nobody else's
    monkeypatch.chdir(tmp_path)
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(code(path), str(path), "exec"), {"__name__": "page"})


@pytest.mark.slow
def test_the_guide_to_pictures_as_it_is_typed(tmp_path, monkeypatch):
    """Each command of it that is about the pictures that `weft data get` brings, in order."""
    for module in ("sklearn", "PIL", "onnx", "matplotlib"):
        pytest.importorskip(module)
    monkeypatch.chdir(tmp_path)
    text = (DOCS / "guides" / "own-images.md").read_text(encoding="utf-8")
    lines = [line for line in COMMAND.findall("$ weft data get digits\n" + text) if "pets" not in line]
    assert [line.split()[1] for line in lines] == ["data", "train", "train", "export"]
    for line in lines:
        words = line.split()[1:]
        if "--epochs" in words:
            words[words.index("--epochs") + 1] = "1"
        if "--resume" in words:
            words += ["--epochs", "2"]
        if words[0] == "train":
            words += ["--schedule", "none", "--quiet", "--threads", "1"]
        assert main(words) == 0, line
    assert Path("model.onnx").is_file()
    assert Path("runs/digits-cnn/model.safetensors").is_file()


@functools.cache
def known_options(command, task):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main([command, *(("--task", task) if task else ()), "--help"])
    return set(re.findall(r"--[a-z][a-z-]*", out.getvalue()))


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_commands_take_these_options(path):
    for found in COMMAND.finditer(path.read_text(encoding="utf-8")):
        line = found[1].replace("\\\n", " ").split("|")[0]
        command, *words = line.split()[1:]
        if command.startswith("-"):
            continue
        task = words[words.index("--task") + 1] if "--task" in words else ""
        task = "" if task in ("images", "regression") else task
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert options <= known_options(command, task), line


def test_what_a_profile_takes():
    """More than "weft[cuda]": the disassembler."""
    paragraphs = (ROOT / "README.md").read_text().split("\n\n")
    (about,) = (text for text in paragraphs if "`weft info --kernels --profile" in text)
    assert 'pip install "weft[profile]"' in about


@pytest.mark.parametrize("path", [ROOT / "README.md", DOCS / "start.md"], ids=name)
def test_a_clone_stays_what_is_run(path):
    """Where extras are explained: an installation without `-e` would replace that of `make train`."""
    assert 'pip install -e ".[cuda]"' in path.read_text()


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_links_lead_to_files(path):
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in LINK.findall(text):
        if "_generated/" not in target:
            assert (path.parent / target).exists(), f"{path.name} points at {target}"


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_no_path_is_one_that_only_its_author_has(path):
    if path.name != "CHANGELOG.md":
        assert not re.search(r"\.\./shared|/home/|/work/|/tmp/", path.read_text(encoding="utf-8"))


class TestReference:
    @pytest.fixture
    def public(self, monkeypatch):
        monkeypatch.syspath_prepend(str(DOCS / "_ext"))
        import public

        yield public
        for module in ("public", "reference", "families"):
            sys.modules.pop(module, None)

    def test_every_public_name_is_on_a_page(self, public):
        for module in public.MODULES:
            found = public.module(module)
            shown = {name.key for names in public.pages(module).values() for name in names}
            wanted = {key for key in getattr(found, "__all__", ()) if not hasattr(getattr(found, key), "__path__")}
            assert wanted - shown <= {key for key in wanted if type(getattr(found, key)).__name__ == "module"}
        assert {"exp", "Tensor", "float32", "grad"} <= {name.key for name in public.names("weft")}
        assert "Classifier" in {name.key for name in public.names("weft.training")}

    def test_every_package_that_a_user_imports_is_told_of(self, public):
        pytest.importorskip("numpydoc", reason="the list is the docstring check's, which needs numpydoc")
        import lint_docstrings

        assert set(lint_docstrings.MODULES) <= set(public.MODULES)

    def test_docstrings_become_markup(self, public):
        from reference import escaped, markup

        assert escaped("h_t = W_ih x_{t−1} of `x_t`, 2^{−i}") == (
            r"h\ :sub:`t`\  = W\ :sub:`ih`\  x\ :sub:`t−1`\  of `x_t`, 2\ :sup:`−i`\ "
        )
        assert escaped(
            "a * b, |x|, kaiming_normal_ in in_features"
        ) == r"a \* b, \|x\|, kaiming\_normal\_ in in_features".replace(r"kaiming\_normal\_", r"kaiming_normal\_")
        assert escaped("- a * b") == r"- a \* b"
        text = [
            "Summary.",
            "",
            "    p ← p − lr g    (1)",
            "    m ← g",
            "",
            "Parameters",
            "----------",
            "*x : int",
            "    A*b.",
        ]
        assert markup(text) == [
            "Summary.", "", "", ".. parsed-literal::", "   :class: formula", "", "    p ← p − lr g    (1)", "    m ← g", "", "",
            "Parameters", "----------", "*x : int", r"    A\*b.",
        ]  # fmt: skip

    def test_kernels_and_their_predictions(self, public):
        import families

        rows = families.predictions()
        assert "" not in rows, "a kernel of bench/results/kernels.json is defined in no source"
        assert set(rows) <= set(families.families())
        for stem, formula in (
            ("normalization", "rstd = 1/√(var + eps)"),
            ("normalization_backward", "rstd (ĝ − mean(ĝ) − x̂ mean(ĝ x̂))"),
        ):
            text = families.page(stem, rows[stem], True)
            assert "``layer_norm: " in text
            assert formula in text
            assert f"literalinclude:: ../../../kernels/{stem}.cu" in text


class TestNotebooks:
    NOTEBOOKS = sorted((DOCS / "tutorials").glob("*.ipynb"))

    def test_there_are_ten_with_outputs(self):
        import json

        assert len(self.NOTEBOOKS) == 10
        for path in self.NOTEBOOKS:
            cells = [
                cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"
            ]
            assert all(cell["execution_count"] for cell in cells), path.name
            assert any(cell["outputs"] for cell in cells), path.name
            assert "Traceback" not in path.read_text(encoding="utf-8")

    @pytest.mark.slow
    @pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
    def test_they_run(self, path, tmp_path):
        for module in ("sklearn", "matplotlib"):
            pytest.importorskip(module)
        if path.stem == "08-own-kernel" and "emulator" not in weft.devices():
            pytest.skip("the emulator needs a C++ compiler")
        runner = DOCS / "run_notebooks.py"
        done = subprocess.run((sys.executable, runner, path), cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
