"""The reference: a page for each file that defines public names, made of its docstrings; these as reStructuredText.

Docstrings say formulas in Unicode, on lines of their own that stand further in. Here these become blocks that keep their
lines, and what reStructuredText would read as markup in the text is escaped.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import public

FOLDER = "_generated/reference"
SECTION = re.compile(r"(-{3,}|={3,})$")
CODE = re.compile(r"(``[^`]+``|`[^`]+`(?:_+)?)")
MARKUP = re.compile(r"[*|\\]|(?<=\w)_(?!\w)")
# x_t, h_{t−1}, 2^{−i}: a single letter, and what hangs below or above it
HANGING = re.compile(r"(?<![\w.])([^\W\d_][\u0300-\u036f]?|[Σ∏√)\]\d])([_^])(\{[^{}`]*\}|\([^()`]*\)(?<=\))|\w+)")
AMBIGUOUS = ("`grad`", "`.")  # an attribute of several classes, and a function
TABULAR = {
    "Parameters",
    "Other Parameters",
    "Returns",
    "Yields",
    "Raises",
    "Warns",
    "Attributes",
    "Receives",
    "See Also",
}


def markup(lines: list[str]) -> list[str]:
    """A docstring as reStructuredText: formulas set apart, text escaped; examples and code as they are."""
    result: list[str] = []
    section, i = "", 0
    while i < len(lines):
        line = lines[i]
        indent = len(line) - len(line.lstrip())
        if i + 1 < len(lines) and SECTION.fullmatch(lines[i + 1]):
            section = line.strip()
            result += lines[i : i + 2]
            i += 2
            continue
        stands_alone = not result or not result[-1].strip()
        if section == "Examples" or not line.strip():
            result.append(line)
        elif section in TABULAR and indent == 0:
            result.append(line)  # a name and its type, which numpydoc reads
        elif (
            section not in TABULAR
            and indent >= 4
            and stands_alone
            and not line.lstrip().startswith(("- ", "* ", ">>>"))
        ):
            end = next(
                (j for j in range(i, len(lines)) if lines[j].strip() and not lines[j].startswith(" " * 4)), len(lines)
            )
            block = lines[i:end]
            while block and not block[-1].strip():
                block.pop()
            result += ["", ".. parsed-literal::", "   :class: formula", "", *map(escaped, block), ""]
            i += len(block)
            continue
        else:
            result.append(escaped(line))
        i += 1
    return result


def escaped(line: str) -> str:
    """Text outside backticks in which nothing is markup."""
    bullet = re.match(r"\s*[*-] ", line)
    start = bullet.end() if bullet else 0
    parts = CODE.split(line[start:])
    return line[:start] + "".join(_code(part) if i % 2 else _text(part) for i, part in enumerate(parts))


def _code(part: str) -> str:
    return f"`{part}`" if part.startswith(AMBIGUOUS) else part


def _text(part: str) -> str:
    """With indices and exponents below and above the line."""
    result, last = "", 0
    for found in HANGING.finditer(part):
        base, sign, what = found.groups()
        if sign == "^" and what[0] not in "{(" and len(what) > 3:
            continue
        role = "sub" if sign == "_" else "sup"
        inner = MARKUP.sub(r"\\\g<0>", what[1:-1] if what[0] in "{(" else what)
        result += MARKUP.sub(r"\\\g<0>", part[last : found.start()]) + f"{base}\\ :{role}:`{inner}`\\ "
        last = found.end()
    return result + MARKUP.sub(r"\\\g<0>", part[last:])


def _process(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = markup(lines)


def homes() -> dict[int, str]:
    """Where each object is told of, by identity: the module that is nearest to its file. Other names of it point there."""
    found: dict[int, public.Name] = {}
    for name in (name for module in public.MODULES for name in public.names(module) if name.is_ours):
        before = found.get(id(name.value))
        if before is None or _nearness(name) > _nearness(before):
            found[id(name.value)] = name
    return {key: name.full for key, name in found.items()}


def _nearness(name: public.Name) -> int:
    return len(name.module) if f"{name.value.__module__}.".startswith(f"{name.module}.") else 0


# --- the pages -------------------------------------------------------------------------------------------------------
def write(folder: Path) -> None:
    """All pages of the reference, those that changed alone: Sphinx reads no others again."""
    first = homes()
    texts = {"index": _index()}
    for module in public.MODULES:
        pages = public.pages(module)
        texts[f"{module}/index"] = _module(module, pages)
        for page, names in pages.items():
            texts[f"{module}/{page}"] = "\n".join(_page(module, page, names, first)) + "\n"
    for name, text in texts.items():
        path = folder / f"{name}.rst"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in folder.rglob("*.rst"):
        if path.relative_to(folder).with_suffix("").as_posix() not in texts:
            path.unlink()


def _heading(text: str, sign: str = "=") -> list[str]:
    return [text, sign * len(text), ""]


def _title(module: str) -> str:
    return f"{module} · {public.MODULES[module]}"


def _index() -> str:
    rows = [f"   {_title(module)} <{module}/index>" for module in public.MODULES]
    about = (
        "Every public name, from its docstring: signature, shapes, errors, an example that the tests run, its source."
    )
    return "\n".join([*_heading("Reference"), about, "", ".. toctree::", "   :maxdepth: 1", "", *rows, ""])


def _module(module: str, pages: dict[str, list[public.Name]]) -> str:
    said = inspect.cleandoc(public.module(module).__doc__ or "").split("\n\n")[0].split("\n")
    lines = [*_heading(_title(module)), *map(escaped, said), "", ".. toctree::", "   :hidden:", ""]
    lines += [f"   {page.replace('_', ' ')} <{page}>" for page in pages] + [""]
    for page, names in pages.items():
        links = " · ".join(f":obj:`{name.key} <{name.full}>`" for name in names)
        lines += [f":doc:`{page}`", f"    {links}", ""]
    return "\n".join(lines)


def _page(module: str, page: str, names: list[public.Name], first: dict[int, str]) -> Iterator[str]:
    yield from _heading(f"{module} · {page.replace('_', ' ')}")
    yield from (f".. currentmodule:: {module}", "")
    ours = [name for name in names if name.is_ours]
    if ours:
        said = (
            inspect.cleandoc(inspect.getmodule(inspect.unwrap(ours[0].value)).__doc__ or "")
            if _has_module(ours[0])
            else ""
        )
        yield from (*map(escaped, said.split("\n\n")[0].split("\n")), "")
    for name in names:
        if not name.is_ours:
            yield from (f".. data:: {name.key}", f"   :value: {_shown(name.value)}", "")
        elif first[id(name.value)] != name.full:
            kind = "class" if inspect.isclass(name.value) else "function"
            yield from (f".. {kind}:: {name.key}", "", f"   The same as :obj:`{first[id(name.value)]}`.", "")
        elif module == "weft.linalg" and not hasattr(public.weft, name.key):
            anchor = f'   <span id="weft.{name.key}"></span>'  # where Sphinx's copy of the source leads back to
            yield from (".. raw:: html", "", anchor, "", f".. autofunction:: {name.full}", "")
        elif inspect.isclass(name.value):
            yield from (f".. autoclass:: {name.full}", "   :members:", "")
        else:
            yield from (f".. autofunction:: {name.full}", "")


def _has_module(name: public.Name) -> bool:
    return inspect.getmodule(inspect.unwrap(name.value)) is not None


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(map(repr, value)) + "}"
    text = repr(value)
    return text if len(text) < 60 and "\n" not in text and " at 0x" not in text else f"a {type(value).__name__}"


def _skip(app: Any, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Methods that other libraries have put into our classes are told of by these."""
    return True if getattr(obj, "__module__", None) and obj.__module__.startswith("sklearn") else None


def _write(app: Any) -> None:
    write(Path(app.srcdir) / FOLDER)


def setup(app: Any) -> dict[str, Any]:
    """Tell Sphinx."""
    app.connect("builder-inited", _write, priority=400)
    app.connect("autodoc-skip-member", _skip)
    app.connect("autodoc-process-docstring", _process, priority=400)  # before numpydoc
    return {"parallel_read_safe": True, "parallel_write_safe": True}
