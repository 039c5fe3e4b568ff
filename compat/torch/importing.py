"""`import torch` and `import torchvision`, served by weft for the rest of the process; and programs whose `x.data` is a Tensor.

weft's `Tensor.data` is the raw array, PyTorch's a tensor of the same memory. So a program's `x.data` is compiled as
`__at__(x).data`, which is PyTorch's where x is a Tensor and leaves everything else alone.
"""

from __future__ import annotations

import ast
import difflib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Sequence
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from ...backend.device import gemm
from ...backend.modes.twice import keep_operations
from ...backend.tape.tensor import Tensor
from ...layers import Module
from . import dtypes, functions, namespace, submodules, vision
from .absent import absent
from .choosing import attach_choosing
from .insides import attach_insides, buffers_of
from .memory import sharing
from .methods import attach
from .optimizer_state import attach_state
from .positions import accept_positions
from .processes import share_memory, share_tensor
from .sizes import Size

__all__ = ["compiled", "install"]

PACKAGES = {"torch", "torchvision"}
INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
OURS = str(Path(__file__).resolve().parents[2])


class _At:
    """A Tensor, whose `data`, `device`, `dtype` and `shape` are PyTorch's."""

    __slots__ = ("tensor",)

    def __init__(self, tensor: Tensor):
        self.tensor = tensor

    @property
    def data(self) -> Tensor:
        return sharing(self.tensor, tells=False)

    @data.setter
    def data(self, value: Tensor) -> None:
        x = self.tensor
        if x.requires_grad and value.dtype.kind == "c":
            raise TypeError(
                f"`data` of a tensor that requires grad must be real floating-point numbers, got {value.dtype}; keep their real "
                "and their imaginary part"
            )
        x.data, x.device = value.data, value.device  # an optimizer's arena takes it back at the next step

    @property
    def dtype(self) -> dtypes.dtype:
        return dtypes.named(self.tensor.dtype)

    @property
    def shape(self) -> Size:
        return Size(self.tensor.shape)

    @property
    def device(self) -> functions.device:
        return functions.device(self.tensor.device)


def _at(x: Any) -> Any:
    return _At(x) if isinstance(x, Tensor) else x


def _caught(kinds: Any) -> Any:
    """What `except RuntimeError` of a program catches: weft's ValueErrors and IndexErrors too, of shapes that do not fit."""
    kind, _, trace = sys.exc_info()
    if kind is None or not issubclass(kind, ValueError | IndexError):
        return kinds
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.startswith(OURS):
            return (*(kinds if isinstance(kinds, tuple) else (kinds,)), kind)
        trace = trace.tb_next
    return kinds


class _Rewrite(ast.NodeTransformer):
    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if node.attr in ("data", "device", "dtype", "shape") and not isinstance(node.value, ast.Constant):
            at = ast.Call(ast.Name("__at__", ast.Load()), [node.value], [])
            node.value = ast.copy_location(at, node.value)
        elif node.attr == "_buffers" and isinstance(node.ctx, ast.Load):  # weft's holds no tensors
            return ast.copy_location(ast.Call(ast.Name("__buffers__", ast.Load()), [node.value], []), node)
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        self.generic_visit(node)
        if node.type is not None and any(
            isinstance(n, ast.Name) and n.id == "RuntimeError" for n in ast.walk(node.type)
        ):
            caught = ast.Call(ast.Name("__caught__", ast.Load()), [node.type], [])
            node.type = ast.copy_location(caught, node.type)
        return node

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        if node.arg == "create_graph":
            keep_operations()  # before anything runs that it is wanted for
        return self.generic_visit(node)


def compiled(source: str | bytes, path: str) -> CodeType:
    """A program with PyTorch's `x.data`.

    Parameters
    ----------
    source : str or bytes
        Its text.
    path : str
        Its file, for tracebacks.

    Returns
    -------
    code
        For `exec`, in a namespace where `__at__` is found among the builtins.
    """
    return compile(ast.fix_missing_locations(_Rewrite().visit(ast.parse(source, path))), path, "exec")


class _Program(importlib.machinery.SourceFileLoader):
    """The modules beside the program, compiled as it is."""

    is_of_a_program = True

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return compiled(self.get_data(path), path)


def _is_of_a_program(path: str) -> bool:
    if not path.endswith(".py") or path.startswith((*INSTALLED, OURS)):
        return False
    elsewhere = {"site-packages", "dist-packages"}  # on PYTHONPATH, or a user's own
    return elsewhere.isdisjoint(Path(path).parts)


def _located(name: str, location: Any = None, *, loader: Any = None, **options: Any) -> Any:
    """`importlib.util.spec_from_file_location`, by which programs load files of theirs, configurations above all."""
    if loader is None and location is not None and _is_of_a_program(path := os.path.abspath(location)):
        loader = _Program(name, path)
    return spec_from_file_location(name, location, loader=loader, **options)


class _Matmul(ModuleType):
    """`torch.backends.cuda.matmul`, whose `allow_tf32` is the precision of products of float32."""

    @property
    def allow_tf32(self) -> bool:
        return gemm.get_float32_matmul_precision() != "highest"

    @allow_tf32.setter
    def allow_tf32(self, value: bool) -> None:
        gemm.set_float32_matmul_precision("high" if value else "highest")


def _absent_module(name: str, table: dict) -> str:
    """What is said of a module that is none, or of a name that a module does not have."""
    package, _, last = name.rpartition(".")
    if (parent := sys.modules.get(package)) is not None and "." in package:
        try:
            getattr(parent, last)
        except AttributeError as error:
            return str(error)
    near = difflib.get_close_matches(name.partition(".")[2], table, 3) or [n for n in table if n and "." not in n]
    return f"`{name}` is not in weft.compat.torch; there is {', '.join(near)}"


class _Served(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds torch and torchvision, and compiles the modules of programs."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> Any:
        package, _, rest = name.partition(".")
        if package in PACKAGES:
            table = submodules.SUBMODULES if package == "torch" else vision.SUBMODULES
            if rest and rest not in table:
                # not named `name`: that of `from torch.nn import NAME` would be dropped, and nothing said of what there is
                raise ModuleNotFoundError(_absent_module(name, table), name=rest)
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        origin = spec.origin if spec is not None else None
        if spec is None or origin is None or not _is_of_a_program(origin):
            return None
        return spec_from_file_location(
            name, origin, loader=_Program(name, origin), submodule_search_locations=spec.submodule_search_locations
        )

    def create_module(self, spec: Any) -> ModuleType:
        return (_Matmul if spec.name == "torch.backends.cuda.matmul" else ModuleType)(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        package, _, rest = module.__name__.partition(".")
        if module.__name__ == "torch":
            module.__dict__.update(functions.TABLE, __version__="2.13.0+weft", __getattr__=namespace.lookup)
            for name in (name for name in submodules.SUBMODULES if "." not in name):
                importlib.import_module(f"torch.{name}")
            return
        table = (submodules.SUBMODULES if package == "torch" else vision.SUBMODULES).get(rest, {})
        source = table.get("__from__")
        module.__dict__.update({k: v for k, v in table.items() if k != "__from__"})

        def missing(name: str) -> Any:
            if source is not None and not name.startswith("__") and hasattr(source, name):
                return getattr(source, name)
            there = {*table, *(getattr(source, "__all__", None) or ())} - {"__from__"}
            raise AttributeError(absent(f"{module.__name__}.{name}", name, there))

        module.__dict__["__getattr__"] = missing
        if source is not None:
            module.__dict__["__all__"] = [
                *(getattr(source, "__all__", None) or ()),
                *(k for k in table if k != "__from__"),
            ]
        sys.modules[module.__name__] = module
        children = submodules.SUBMODULES if package == "torch" else vision.SUBMODULES
        for child in children:
            parent, _, last = child.rpartition(".")
            if parent == rest and last:
                importlib.import_module(f"{package}.{child}")


class _Aliases(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds `weft.compat.torch.nn` and its like, which are `torch.nn` once that is served."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> Any:
        rest = name.removeprefix(f"{__package__}.")
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if rest in submodules.SUBMODULES else None

    def create_module(self, spec: Any) -> ModuleType:
        install()
        return importlib.import_module(f"torch.{spec.name.removeprefix(f'{__package__}.')}")

    def exec_module(self, module: ModuleType) -> None:
        """It is there already."""


def install() -> None:
    """Serve `import torch` and `import torchvision`, with PyTorch's meaning of methods, for the rest of the process."""
    if any(isinstance(finder, _Served) for finder in sys.meta_path):
        return
    if there := PACKAGES & sys.modules.keys():
        raise RuntimeError(f"`install` must come before {', '.join(sorted(there))} is imported; call it first")
    attach()
    attach_choosing()
    accept_positions()
    Module.share_memory, Tensor.share_memory_ = share_memory, share_tensor  # type: ignore[attr-defined]
    attach_insides()
    attach_state()
    __builtins__.update(__at__=_at, __buffers__=buffers_of, __caught__=_caught)  # type: ignore[attr-defined]
    importlib.util.spec_from_file_location = _located
    sys.meta_path.insert(0, _Served())


sys.meta_path.append(_Aliases())
