"""The site as it is built: without a warning, every public name in its inventory, no dead link, nothing from a network."""

import functools
import posixpath
import re
import shutil
import subprocess
import sys
import urllib.parse
from html.parser import HTMLParser
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
LIMIT = 300  # seconds that a build may take of a processor

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Built anew, from a copy: what an earlier build has generated does not help."""
    for module in ("sphinx", "furo", "myst_nb", "numpydoc", "sphinx_copybutton"):
        pytest.importorskip(module, reason="needs the extra `docs`")
    root = tmp_path_factory.mktemp("site") / "weft"
    ignore = shutil.ignore_patterns(".git", ".venv", "_build", "_generated", "__pycache__", "runs", "*.egg-info")
    shutil.copytree(DOCS.parent, root, ignore=ignore, symlinks=True)
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = (
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-d",
        root / "trees",
        root / "docs",
        root / "html",
    )
    done = subprocess.run(command, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr[-5000:]
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < LIMIT
    return root / "html"


class Page(HTMLParser):
    """The places of a page that can be pointed at, and what it points at."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.ids, self.links, self.loaded = set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids |= {found[key] for key in ("id", "name") if found.get(key)}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        for key in ("src", "href"):
            if found.get(key) and tag in ("script", "img", "link", "source", "iframe"):
                self.loaded.append(found[key])


@functools.cache
def page(path):
    return Page(path.read_text(encoding="utf-8"))


def pages(site):
    return sorted(site.rglob("*.html"))


def test_every_public_name_is_in_the_inventory(site, monkeypatch):
    from sphinx.util.inventory import InventoryFile

    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    import public

    with (site / "objects.inv").open("rb") as file:
        found = InventoryFile.load(file, "", posixpath.join)
    known = {name for kind, names in found.items() if kind.startswith("py:") for name in names}
    wanted = {name.full for module in public.MODULES for name in public.names(module)}
    assert not wanted - known, sorted(wanted - known)[:20]


def test_no_link_is_dead(site):
    dead = []
    for path in pages(site):
        for link in page(path).links + page(path).loaded:
            target, _, fragment = urllib.parse.unquote(link).partition("#")
            if re.match(r"[a-z]+:", target) or target.startswith("//"):
                continue
            at = (path.parent / target.partition("?")[0]).resolve() if target else path
            if not at.exists() or (fragment and at.suffix == ".html" and fragment not in page(at).ids):
                dead.append(f"{path.relative_to(site)}: {link}")
    assert not dead, f"{len(dead)}: {dead[:20]}"


def test_nothing_is_loaded_from_a_network(site):
    loaded = {link for path in pages(site) for link in page(path).loaded if re.match(r"(https?:)?//", link)}
    assert not loaded
    for path in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?https?:|@import ['\"]https?:", path.read_text(encoding="utf-8")), path


def test_formulas_are_drawn_by_the_browser(site):
    text = (site / "tutorials" / "01-neuron.html").read_text(encoding="utf-8")
    assert text.count("<math") >= 5
    assert "$$" not in text
    adam = (site / "_generated" / "reference" / "weft.optimizers" / "adam.html").read_text(encoding="utf-8")
    assert re.search(r'class="formula[^>]*>.{0,60}g ← g \+ λ p', adam, re.DOTALL)
    recurrent = (site / "_generated" / "reference" / "weft.layers" / "recurrent.html").read_text(encoding="utf-8")
    assert "h<sub>t−1</sub>" in recurrent


def test_sources_and_pictures_are_there(site):
    kernel = (site / "_generated" / "kernels" / "normalization.html").read_text(encoding="utf-8")
    assert "__global__" in kernel
    assert 'alt="shares of a copy' in kernel
    assert "[source]" in (site / "_generated" / "reference" / "weft.layers" / "linear.html").read_text(encoding="utf-8")
    catalogue = (site / "_generated" / "catalogue.html").read_text(encoding="utf-8")
    assert catalogue.count("<img") >= 6
    assert "../_modules/weft/layers/linear.html" in catalogue


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra `docs`")
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("needs Chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


class TestBrowser:
    SOME = ("index", "start", "tutorials/01-neuron", "tutorials/03-cnn", "guides/own-images", "from-pytorch")
    MADE = ("catalogue", "results", "kernels/normalization", "reference/weft.layers/recurrent", "reference/weft/tensor")

    def visit(self, browser, site, names, width):
        """Open pages; what the console complains of, and which are wider than the screen."""
        complaints, wide = [], []
        view = browser.new_page(viewport={"width": width, "height": 800})
        view.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        view.on("pageerror", lambda error: complaints.append(str(error)))
        for name in names:
            view.goto((site / f"{name}.html").as_uri())
            if view.evaluate("document.documentElement.scrollWidth") > width + 1:
                wide.append(name)
        view.close()
        return complaints, wide

    @pytest.mark.parametrize("width", [390, 1280])
    def test_pages_fit_and_nothing_complains(self, browser, site, width):
        names = [*self.SOME, *(f"_generated/{name}" for name in self.MADE)]
        assert self.visit(browser, site, names, width) == ([], [])

    def test_search_finds(self, browser, site):
        view = browser.new_page()
        view.goto((site / "search.html").as_uri() + "?q=LayerNorm")
        view.wait_for_selector("ul.search li", timeout=60_000)
        assert "LayerNorm" in view.inner_text("ul.search")
        view.close()
