"""The model zoo in PyTorch: the same models with the same parameters, prepared as PyTorch runs them best."""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..layers import models
from .machine import Machine

__all__ = ["Graphed", "prepared", "torch_zoo"]


def prepared(machine: Machine, build: Callable[[Any], Any], state: dict, dtype: str) -> tuple[Any, Callable, Callable]:
    """The model, what makes its inputs of NumPy's arrays, and its precision; in half precision, images lie channels last."""
    torch, is_half = machine.torch, dtype != "float32"
    net = build(torch_zoo(torch))
    net.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in state.items()})
    last = {"memory_format": torch.channels_last} if is_half else {}

    def put(array: np.ndarray) -> Any:
        return torch.from_numpy(array).to(machine.torch_device, **(last if array.ndim == 4 else {}))

    device = torch.device(machine.torch_device).type
    cast = functools.partial(torch.autocast, device, getattr(torch, dtype), enabled=is_half)
    return net.to(machine.torch_device, **last), put, cast if is_half else contextlib.nullcontext


@functools.cache
def torch_zoo(torch: Any) -> Any:
    """The zoo's own source, run on `torch.nn`: the names are PyTorch's, so its layers can take the place of ours."""

    class Module(torch.nn.Module):
        def __new__(cls, *args: Any, **options: Any) -> Any:
            module = super().__new__(cls)
            torch.nn.Module.__init__(module)  # which modules of weft need not call
            return module

    tree = ast.parse(inspect.getsource(models))
    tree.body = [node for node in tree.body if not (isinstance(node, ast.ImportFrom) and node.level)]
    own = {"Tensor": torch.Tensor, "Module": Module, "Layer": Module, "__name__": "torch_zoo"}
    names = {**vars(models), **vars(torch.nn), **own}  # what checks arguments, and PyTorch lacks, is ours
    exec(compile(tree, models.__file__, "exec"), names)
    return SimpleNamespace(**names)


class Graphed:
    """What `weft.capture` is to weft: three calls as usual, on a stream aside, as PyTorch asks for; then one recorded."""

    def __init__(self, torch: Any, step: Callable):
        self.torch, self.step = torch, step
        self.stream = torch.cuda.Stream()
        self.calls: dict[int, int] = {}
        self.graphs: dict[int, tuple[Any, Any]] = {}

    def __call__(self, *args: Any) -> Any:
        torch, key = self.torch, id(args[0])
        self.calls[key] = self.calls.get(key, 0) + 1
        if self.calls[key] <= 3:
            self.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.stream):
                result = self.step(*args)
            torch.cuda.current_stream().wait_stream(self.stream)
            return result
        if key not in self.graphs:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                result = self.step(*args)
            self.graphs[key] = graph, result
        graph, result = self.graphs[key]
        graph.replay()
        return result
