"""The rooms of the package, and what each knows: one table, which tests enforce and ARCHITECTURE.md's map is made from.

A room is a folder. It imports from rooms that it knows and from itself; the `__init__` of a folder, its face, from the rooms
inside it, too. `python tests/rooms.py` rewrites the map.
"""

import ast
import functools
import re
from collections.abc import Collection, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
MARKED = re.compile(r"(<!-- rooms -->\n).*?(<!-- /rooms -->)", re.DOTALL)


class Room(NamedTuple):
    """What it knows, what is in it, and where to start reading."""

    knows: str
    about: str
    start: str


# fmt: off
ROOMS = {
    "_signals": Room("", "how the command `weft` ends at a signal", "_signals.py"),
    "_openblas": Room("", "how soon OpenBLAS's idle threads sleep", "_openblas.py"),
    "kernels/toolchain": Room("", "the compiler and its cache, launches, cuBLAS", "launch.py"),
    "kernels/emulator": Room("kernels/toolchain", "the same CUDA sources on a CPU, every access checked", "runtime.cpp"),
    "kernels": Room("kernels/toolchain", "every CUDA source with its launcher, of the same stem", "normalization.cu"),
    "backend/device": Room("_openblas kernels kernels/toolchain", "dtypes, devices, memory, transfers, threads", "devices.py"),
    "backend/tape": Room("backend/device", "the tensor, the tape, what takes part in a recording", "autograd.py"),
    "backend/array": Room("backend/device backend/tape", "the array API's functions, methods, random numbers", "elementwise.py"),
    "backend/nn": Room("backend/device backend/tape backend/array", "the operations of neural networks", "activation.py"),
    "backend/modes": Room(
        "kernels/toolchain kernels/emulator backend/device backend/tape backend/array",
        "grad, checkpoint, autocast, capture, profile: what changes how operations run", "transforms.py"),
    "backend/cpu": Room(
        "backend/device backend/tape backend/array backend/nn",
        "NumPy replacements of primitives, where measurement asked for one", "convolution.py"),
    "backend/cuda": Room(
        "kernels kernels/toolchain kernels/emulator backend/device backend/tape backend/array backend/nn backend/modes",
        "CUDA kernels in the place of primitives, on a GPU and in the emulator", "loss.py"),
    "backend": Room(
        "backend/device backend/tape backend/array backend/nn backend/modes backend/cpu backend/cuda",
        "the face of these", "__init__.py"),
    "weft": Room(
        "_openblas _signals backend backend/device backend/tape backend/array backend/modes", "the face of all", "__init__.py"),
    "layers/functional": Room(
        "backend/device backend/tape backend/array backend/nn backend/modes",
        "layers as functions, which check what a user passes", "activation.py"),
    "layers": Room(
        "backend/device backend/tape backend/array backend/nn backend/modes layers/functional",
        "modules, `init`, `summary`, the model zoo", "module.py"),
    "optimizers": Room(
        "kernels kernels/toolchain backend/device backend/tape backend/array backend/cpu backend/modes",
        "the flat arena, update rules, clipping", "arena.py"),
    "layers/utils": Room(
        "backend/device backend/tape backend/array backend/modes layers layers/functional optimizers",
        "tools beside the layers: parametrisations, fusion, packed sequences", "parametrize.py"),
    "optimizers/schedulers": Room(
        "backend/device backend/tape optimizers", "schedules of learning rates and momenta", "schedule.py"
    ),
    "optimizers/swa_utils": Room(
        "backend/device backend/tape layers optimizers optimizers/schedulers", "averages of weights", "averaged_model.py"
    ),
    "data/augment": Room(
        "backend/device backend/tape backend/array", "augmentation of batches, one sampling for all geometry", "affine.py"),
    "data": Room(
        "backend/device backend/tape backend/array data/augment", "readers, loader, normalisation, splits", "loader.py"),
    "training/metrics": Room("backend/device backend/tape", "accuracy and its kin, streamed over batches", "metric.py"),
    "training": Room(
        "_signals backend/device backend/tape backend/array backend/modes layers optimizers optimizers/schedulers data"
        " data/augment training/metrics",
        "`Trainer`, callbacks, checkpoints, plots", "trainer.py"),
    "training/cli": Room(
        "_signals kernels kernels/toolchain kernels/emulator backend/device backend/tape backend/array backend/nn backend/modes"
        " layers layers/functional optimizers data data/augment training compat/onnx weft",
        "`weft new`, `weft data`, `weft train`, `weft generate`, `weft translate`, `weft forecast`, …, `weft info`", "train.py"),
    "distributed": Room(
        "_signals kernels/emulator backend/device backend/tape layers optimizers training",
        "one model in many processes, on MPI and NCCL", "group.py"),
    "bench": Room(
        "_signals kernels kernels/toolchain kernels/emulator backend/device backend/tape backend/array backend/nn backend/modes"
        " backend/cuda layers layers/functional optimizers optimizers/schedulers data data/augment training training/cli"
        " distributed weft",
        "what `weft bench` measures, beside PyTorch; results that README's tables are made from", "command.py"),
    "compat": Room(
        "backend/device backend/tape data training", "PyTorch's checkpoints, read and written without pickle", "checkpoint.py"),
    "compat/torch": Room(
        "backend backend/device backend/tape backend/array backend/modes layers layers/functional layers/utils optimizers"
        " optimizers/swa_utils"
        " data compat compat/onnx",
        "PyTorch's names with PyTorch's meaning, for programs as they are", "namespace.py"),
    "compat/onnx": Room(
        "backend/device backend/tape backend/modes layers compat/onnx/operators weft",
        "models to ONNX graphs, and graphs to modules", "load.py"),
    "compat/onnx/operators": Room(
        "backend/nn layers/functional weft", "ONNX's operators as functions of tensors", "elementwise.py"),
    "__main__": Room("training/cli bench weft", "the command `weft`", "__main__.py"),
}
# fmt: on

# Files that import against the arrows, each with the room that it should not know: to be mended, never to be added to
AGAINST: dict[str, str] = {}
# Imports, for types alone, that close a circle: who is called names its caller. To be mended, never to be added to
MUTUAL: set[tuple[str, str]] = set()


def sources(root: Path = ROOT) -> dict[str, Path]:
    """The package's files, by module: those of the folders in the table, and the root's own."""
    tops = {room.partition("/")[0] for room in ROOMS}
    paths = [root / "__init__.py", root / "__main__.py", *(root / f"{name}.py" for name in ("_openblas", "_signals"))]
    paths += [path for top in sorted(tops) for path in sorted((root / top).rglob("*.py"))]
    return {
        ".".join(("weft", *path.relative_to(root).with_suffix("").parts)).removesuffix(".__init__"): path
        for path in paths
    }


@functools.cache
def _statements(text: str) -> list[tuple[int, int, str, list[str]]]:
    """Line, level, module and names of each import in a file, at the top, in a function or for types alone."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, 0, alias.name, [""]) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [(node.lineno, node.level, node.module or "", [alias.name for alias in node.names])]
    return found


def imports(module: str, path: Path, modules: dict[str, Path]) -> Iterator[tuple[int, str]]:
    """Line and module of each import of ours; not what `importlib` is asked for by name."""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for line, level, source, names in _statements(path.read_text(encoding="utf-8")):
        above = package[: len(package) + 1 - level] if level else []
        for name in names:
            full = ".".join(filter(None, [*above, source, name]))
            while full and full not in modules:  # a name in a module, not a module of its own
                full = full.rpartition(".")[0]
            if full:
                yield line, full


def circle(root: Path = ROOT, but: Collection[tuple[str, str]] = MUTUAL) -> list[str]:
    """The files, first one repeated, of a circle of imports; none if there is none `but` those with these imports."""
    modules = sources(root)
    files = {module: path.relative_to(root).as_posix() for module, path in modules.items()}
    graph = {
        files[m]: {files[to] for _, to in imports(m, path, modules) if to != m and (files[m], files[to]) not in but}
        for m, path in modules.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1][::-1]
    return []


def room(path: Path, root: Path = ROOT) -> str:
    """The room of a file."""
    relative = path.relative_to(root)
    return relative.parent.as_posix() if len(relative.parts) > 1 else {"__init__": "weft"}.get(path.stem, path.stem)


def arrows(root: Path = ROOT) -> Iterator[tuple[str, int, str, str]]:
    """File, line, the file's room, and another room that it imports from."""
    modules = sources(root)
    for module, path in modules.items():
        here = room(path, root)
        for line, to in imports(module, path, modules):
            if (there := room(modules[to], root)) != here:
                yield path.relative_to(root).as_posix(), line, here, there


def knows(name: str) -> set[str]:
    """The rooms that a room may import from."""
    return set(ROOMS[name].knows.split()) if name in ROOMS else set()


def against(root: Path = ROOT) -> list[str]:
    """The imports that the table does not allow."""
    return [
        f"{file}:{line} imports {there}"
        for file, line, here, there in arrows(root)
        if there not in knows(here)
        and not (file == f"{here}/__init__.py" and there.startswith(f"{here}/"))
        and AGAINST.get(file) != there
    ]


def unused(root: Path = ROOT) -> list[str]:
    """What the table allows and nothing needs."""
    found = list(arrows(root))
    pairs, files = {(here, there) for _, _, here, there in found}, {(file, there) for file, _, _, there in found}
    allowed = [(name, there) for name in ROOMS for there in sorted(knows(name))]
    return (
        [f"{a} knows {b}" for a, b in allowed if (a, b) not in pairs]
        + [f"{a} imports {b}" for a, b in AGAINST.items() if (a, b) not in files]
        + [f"{a} imports {b}" for a, b in MUTUAL if not circle(root, MUTUAL - {(a, b)})]
    )


def floors() -> list[list[str]]:
    """The rooms, by the longest way down: each knows rooms of lower floors alone."""
    height: dict[str, int] = {}
    for name in TopologicalSorter({name: knows(name) for name in ROOMS}).static_order():
        height[name] = 1 + max((height[other] for other in knows(name)), default=-1)
    return [[name for name in ROOMS if height[name] == floor] for floor in range(max(height.values()) + 1)]


def listed(names: set[str]) -> str:
    """`kernels, backend/{device, tape}`: in the table's order, a folder's rooms together."""
    inside: dict[str, list[str]] = {}
    for name in (name for name in ROOMS if name in names):
        folder, _, last = name.rpartition("/")
        inside.setdefault(folder or name, []).append(last if folder else "")
    parts = []
    for folder, rooms in inside.items():
        parts += [folder] * ("" in rooms)
        rooms = [room for room in rooms if room]
        parts += [f"{folder}/{rooms[0]}" if len(rooms) == 1 else f"{folder}/{{{', '.join(rooms)}}}"] * bool(rooms)
    return ", ".join(parts)


def render(text: str) -> str:
    """`text` with the map between its markers as the table has it."""
    levels = [f"    {i:2}  {listed(set(names))}" for i, names in enumerate(floors())]
    rows = [f"| `{name}` | {about} | {listed(knows(name))} | `{start}` |" for name, (_, about, start) in ROOMS.items()]
    head = ["| room | what is in it | knows | start reading at |", "|---|---|---|---|"]
    left = [f"`{file}` still knows `{there}`." for file, there in (*AGAINST.items(), *sorted(MUTUAL))]
    lines = ["Floors, each knowing some of those below it:", "", *levels, "", *left, "", *head, *rows]
    return MARKED.sub(lambda found: found[1] + "\n".join(lines) + "\n" + found[2], text)


if __name__ == "__main__":
    architecture = ROOT / "ARCHITECTURE.md"
    architecture.write_text(render(architecture.read_text(encoding="utf-8")), encoding="utf-8")
