"""Writes `torch_names.json`: PyTorch's public names with their signatures. Run by a Python that has PyTorch.

    python tests/torch_names.py

Each signature is a list of (name, kind, default as `repr` or null); null for what has none that can be read.
"""

import ast
import importlib
import inspect
import json
from pathlib import Path
from types import ModuleType
from typing import Any, get_overloads

SPACES = (
    "torch.nn",
    "torch.nn.functional",
    "torch.nn.init",
    "torch.nn.utils",
    "torch.nn.utils.parametrizations",
    "torch.nn.utils.parametrize",
    "torch.nn.utils.prune",
    "torch.nn.utils.rnn",
    "torch.nn.utils.stateless",
    "torch.optim",
    "torch.optim.lr_scheduler",
    "torch.optim.swa_utils",
)
# Where a namespace has functions from that are tools of its own, not part of it.
TOOLS = ("torch.overrides", "torch._jit_internal", "torch._torch_docs", "typing", "importlib")
SKIPPED = {"assert_int_or_pair", "boolean_dispatch", "factory_kwargs", "handle_torch_function"}
SKIPPED |= {"has_torch_function", "has_torch_function_unary", "has_torch_function_variadic"}


def public(module: ModuleType) -> list[str]:
    """The names of `__all__`, and where there is none, of the classes and functions that are the module's own."""
    listed = getattr(module, "__all__", None)
    names = listed or [name for name in dir(module) if not name.startswith("_")]
    found = []
    for name in names:
        value = getattr(module, name)
        home = getattr(value, "__module__", None) or "torch"
        is_own = listed is not None or (callable(value) and home.startswith("torch") and not home.startswith(TOOLS))
        if is_own and name not in SKIPPED and not isinstance(value, ModuleType) and not _is_type(module, value):
            found.append(name)
    return sorted(found)


def _is_type(module: ModuleType, value: Any) -> bool:
    return module.__name__.endswith("functional") and inspect.isclass(value)


def parameters(module: ModuleType, name: str) -> list[tuple[str, str, str | None]] | None:
    value = getattr(module, name)
    try:
        found = _signature(value)
    except ValueError:
        return documented(value.__doc__ or "", name)
    if [parameter for parameter, *_ in found] != ["args", "kwargs"]:
        return found
    if hasattr(module, f"_{name}"):  # of two between which `return_indices` chooses, the one without
        return _signature(getattr(module, f"_{name}"))
    overloads = get_overloads(value.__init__) if inspect.isclass(value) and "__init__" in vars(value) else []
    return [row for row in _signature(overloads[0]) if row[0] != "self"] if overloads else None


def _signature(value: Any) -> list[tuple[str, str, str | None]]:
    parameters = inspect.signature(value).parameters.values()
    return [(p.name, p.kind.name, None if p.default is p.empty else shown(p.default)) for p in parameters]


def shown(default: Any) -> str:
    """The default as text, the same in every process."""
    return default.__name__ if inspect.isfunction(default) else repr(default)


def documented(text: str, name: str) -> list[tuple[str, str, str | None]] | None:
    """The signature that a docstring begins with: "conv1d(input, weight, bias=None, …) -> Tensor"."""
    line = text.strip().partition("->")[0].strip()
    if not line.startswith(f"{name}("):
        return None
    arguments = ast.parse(f"def {line}: ...").body[0].args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + [ast.unparse(d) for d in arguments.defaults]
    found = [(a.arg, "POSITIONAL_OR_KEYWORD", d) for a, d in zip(positional, defaults)]
    keywords = zip(arguments.kwonlyargs, arguments.kw_defaults)
    return found + [(a.arg, "KEYWORD_ONLY", None if d is None else ast.unparse(d)) for a, d in keywords]


def main() -> None:
    import torch

    names = {}
    for space in SPACES:
        module = importlib.import_module(space)
        names[space] = {name: parameters(module, name) for name in public(module)}
    Path(__file__).with_suffix(".json").write_text(_compact(names, torch.__version__), encoding="utf-8")


def _compact(names: dict[str, Any], version: str) -> str:
    """One name a line."""
    spaces = []
    for space, entries in names.items():
        rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items())
        spaces.append(f"{json.dumps(space)}: {{\n{rows}\n }}")
    return f'{{"version": {json.dumps(version)}, "names": {{\n ' + ",\n ".join(spaces) + "\n}}\n"


if __name__ == "__main__":
    main()
