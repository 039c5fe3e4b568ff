"""Names inside PyTorch that programs reach for: dictionaries of modules, fans, pairs, trees, streams, groups of one.

The expected lines are what PyTorch 2.13 prints for the same programs.
"""

import pytest
from torch_program import run

from weft.compat.torch.importing import _is_of_a_program

DICTIONARIES = """
    import collections, torch, torch.nn as nn
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    print(list(net._modules), list(net[0]._parameters), {k: tuple(v.shape) for k, v in net[1]._buffers.items()})
    net._modules["1"] = nn.ReLU()
    print(net[1], "0" in net._modules, len(net._modules), net._get_name())
    net[0]._parameters["weight"] = nn.Parameter(torch.ones(2, 1, 3, 3))
    del net._modules["1"]
    print(net[0].weight.sum().item(), len(net))
    norm = nn.BatchNorm1d(2)
    norm._buffers["running_mean"] = torch.tensor([1.0, 2.0])
    print(norm.running_mean.tolist(), "running_mean" in norm.state_dict())
    for hooks, register in (("_forward_hooks", "register_forward_hook"), ("_forward_pre_hooks", "register_forward_pre_hook")):
        seen, layer = [], nn.Linear(2, 2)
        first = getattr(layer, register)(lambda *_: seen.append(1))
        getattr(layer, register)(lambda *_: seen.append(2))
        layer(torch.ones(1, 2))
        first.remove()
        print(seen, len(getattr(layer, hooks)))
        key, hook = next(iter(getattr(layer, hooks).items()))
        getattr(layer, hooks)[key] = lambda *_: seen.append(3)
        layer(torch.ones(1, 2))
        getattr(layer, hooks).clear()
        layer(torch.ones(1, 2))
        print(seen, len(getattr(layer, hooks)))
        setattr(layer, hooks, collections.OrderedDict({7: hook}))
        layer(torch.ones(1, 2))
        print(seen)
    class Other:
        _buffers = 5
    print(Other()._buffers)
    try:
        net._modules["9"]
    except KeyError as error:
        print("KeyError", error)
"""
PRINTED = """\
['0', '1'] ['weight', 'bias'] {'running_mean': (2,), 'running_var': (2,), 'num_batches_tracked': ()}
ReLU() True 2 Sequential
18.0 1
[1.0, 2.0] True
[1, 2] 1
[1, 2, 3] 0
[1, 2, 3, 2]
[1, 2] 1
[1, 2, 3] 0
[1, 2, 3, 2]
5
KeyError '9'
"""

PARTS = """
    import collections, torch, torch.nn as nn
    from torch.nn.modules.batchnorm import _BatchNorm
    from torch.nn.modules.conv import _ConvNd
    from torch.nn.modules.loss import _Loss
    from torch.nn.modules.utils import _ntuple, _pair, _triple
    from torch.utils import _pytree as trees
    weight = torch.empty(2, 3, 5, 5)
    print(nn.init._calculate_fan_in_and_fan_out(weight), nn.init._calculate_correct_fan(weight, "fan_out"))
    print(_pair(3), _pair([1, 2]), _triple(1), _ntuple(4)(0))
    print(issubclass(nn.BatchNorm2d, _BatchNorm), issubclass(nn.Conv1d, _ConvNd), issubclass(nn.MSELoss, _Loss))
    class Standardised(nn.Conv2d):
        def forward(self, x):
            return self._conv_forward(x, self.weight - self.weight.mean((1, 2, 3), keepdim=True), self.bias)
    layer = Standardised(1, 2, 3, padding=1, padding_mode="reflect")
    y = layer(torch.ones(1, 1, 4, 4))
    y.square().sum().backward()
    print(torch.allclose(y, layer.bias.view(1, 2, 1, 1).expand_as(y), atol=1e-6), layer.weight.grad.shape)
    Point = collections.namedtuple("Point", "x y")
    leaves, spec = trees.tree_flatten({"a": [1, (2, None)], "b": Point(3, [])})
    print(leaves, trees.tree_unflatten("wxyz", spec), spec.num_leaves)
    print(trees.tree_map(lambda a, b: a + b, [1, (2,)], [3, (4,)]), trees.tree_map_only(int, str, [1, 2.5]))
    print(trees.tree_leaves([(1, 2), 3], is_leaf=lambda x: isinstance(x, tuple)), trees.tree_any(lambda x: x > 2, {"a": 1}))
    try:
        trees.tree_unflatten([1], spec)
    except ValueError:
        print("ValueError")
"""
OF_PARTS = """\
(75, 50) 50
(3, 3) (1, 2) (1, 1, 1) (0, 0, 0, 0)
True True True
True torch.Size([2, 1, 3, 3])
[1, 2, None, 3] {'a': ['w', ('x', 'y')], 'b': Point(x='z', y=[])} 4
[4, (6,)] ['1', 2.5]
[(1, 2), 3] False
ValueError
"""

PLACES = """
    import torch, torch.nn as nn
    from torch.optim.optimizer import required
    nn.Linear(2, 2).to("cpu", non_blocking=True).to(memory_format=torch.channels_last).to(torch.device("cpu"), torch.float64, True)
    x = torch.zeros(1, 2, 3, 4).to("cpu", non_blocking=True, memory_format=torch.channels_last)
    print(tuple(x.shape), torch.fill(x, 2.0).mean().item(), (torch.zeros(50).random_(0, to=3).max() < 3).item())
    x = torch.zeros(2, 3)
    print(x.storage().size(), x[1:].untyped_storage().data_ptr() == x.untyped_storage().data_ptr(), x.untyped_storage().nbytes())
    try:
        raise torch.cuda.OutOfMemoryError("full")
    except RuntimeError as error:
        print(error, torch.OutOfMemoryError is torch.cuda.OutOfMemoryError)
    print(torch.jit.annotate(int, 3), required)
    with torch.backends.cudnn.flags(enabled=False):
        print(torch.xpu.is_available(), torch.backends.mps.is_built(), torch.hub.get_dir().endswith("hub"))
"""
OF_PLACES = """\
(1, 2, 3, 4) 2.0 True
6 True 24
full True
3 <required parameter>
False False True
"""


@pytest.mark.parametrize(("program", "printed"), [(DICTIONARIES, PRINTED), (PARTS, OF_PARTS), (PLACES, OF_PLACES)])
def test_inside(tmp_path, program, printed):
    done = run(tmp_path, program)
    assert done.returncode == 0, done.stderr
    assert done.stdout == printed


def test_a_group_of_one_and_moments(tmp_path):
    """What PyTorch needs a group of processes, or a GPU, for."""
    program = """
        import torch, torch.distributed as dist
        gathered, part = [torch.zeros(2)], torch.zeros(2)
        dist.all_gather(gathered, torch.ones(2))
        dist.scatter(part, [torch.full((2,), 3.0)])
        dist.reduce(part, 0)
        names = [None]
        dist.all_gather_object(names, "it")
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        end.record()
        torch.cuda.current_stream().synchronize()
        print(gathered[0].tolist(), part.tolist(), names, 0 <= start.elapsed_time(end) < 1e4)
        try:
            torch.cuda.Event().elapsed_time(end)
        except RuntimeError as error:
            print(error)
    """
    done = run(tmp_path, program)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "[1.0, 1.0] [3.0, 3.0] ['it'] True\nboth events must be recorded before their times are asked for\n"
    )


def test_runtime_errors_are_caught(tmp_path):
    """A program that catches PyTorch's RuntimeError of shapes that do not fit; other errors, and other classes, are its own."""
    program = """
        import numpy as np, torch, torch.nn as nn
        cases = [
            lambda: torch.zeros(2, 3) + torch.zeros(4), lambda: torch.zeros(6).view(4), lambda: nn.Linear(2, 3)(torch.zeros(1, 3)),
            lambda: torch.cat([torch.zeros(2, 2), torch.zeros(3, 3)]),
            lambda: torch.zeros(2, 2).gather(1, torch.tensor([[9]])),
        ]
        for case in cases:
            try:
                case()
            except (KeyError, RuntimeError):
                print("caught", end=" ")
        for case in (lambda: int("a"), lambda: [][1], lambda: np.zeros(2) + np.zeros(3)):
            try:
                case()
            except RuntimeError:
                print("wrong")
            except (ValueError, IndexError) as error:
                print(type(error).__name__, end=" ")
        try:
            torch.zeros(2, 3) + torch.zeros(4)
        except KeyError:
            print("wrong")
        except ValueError:
            print("kept")
    """
    done = run(tmp_path, program)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "caught caught caught caught caught ValueError IndexError ValueError kept\n"


@pytest.mark.parametrize(("folder", "kept"), [("site-packages", False), ("dist-packages", False), ("lib", True)])
def test_what_is_installed_elsewhere_is_not_compiled_anew(tmp_path, folder, kept):
    """A library on the path, in whichever folder of packages, keeps its compiled files."""
    assert _is_of_a_program(str(tmp_path / folder / "library.py")) is kept


PATCHED = """
    import torch
    torch.Tensor.doubled = lambda self: self * 2
    backward, calls = torch.Tensor.backward, []
    def counted(self, *args, **options):
        calls.append(self.item())
        return backward(self, *args, **options)
    torch.Tensor.backward = counted
    x = torch.ones(3, requires_grad=True)
    x.doubled().sum().backward()
    print(calls, x.grad.tolist())
    try:
        torch.LongTensor.doubled = None
    except TypeError as error:
        print(error)
"""


def test_a_program_gives_tensors_a_method_and_replaces_one(tmp_path):
    done = run(tmp_path, PATCHED)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "[6.0] [2.0, 2.0, 2.0]",
        "`doubled` must be set on torch.Tensor, got torch.LongTensor",
    ]
