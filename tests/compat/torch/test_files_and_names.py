"""Saving and loading, and names that published programs look up."""

import subprocess
import sys

import pytest
from torch_program import run


def output(tmp_path, program):
    found = run(tmp_path, program)
    assert not found.returncode, found.stderr
    return found.stdout


def test_saved_and_loaded(tmp_path):
    """State dicts, checkpoints in a dict, buffers in memory; a whole module within the process that saved it."""
    program = """
        import io, torch, torch.nn as nn
        model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        optimizer = torch.optim.Adam(model.parameters())
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "whole": model, "epoch": 3}, "a.pt")
        found = torch.load("a.pt", map_location=torch.device("cpu"))
        model.load_state_dict(found["model"])
        optimizer.load_state_dict(found["optimizer"])
        print(found["epoch"], torch.equal(found["whole"][0].weight, model[0].weight), found["whole"][0].weight is model[0].weight)
        torch.save([model, {"deep": (model,)}], "b.pt")
        first, rest = torch.load("b.pt")
        print(type(first).__name__, type(rest["deep"][0]).__name__)
        buffer = io.BytesIO()
        torch.save([torch.arange(3)], buffer)
        buffer.seek(0)
        print(torch.load(buffer)[0].tolist())
    """
    assert output(tmp_path, program) == "3 True False\nSequential Sequential\n[0, 1, 2]\n"
    again = "import torch; print(type(torch.load('a.pt', weights_only=False)['whole']).__name__)"
    assert output(tmp_path, again) == "Sequential\n"
    refused = run(tmp_path, "import torch; torch.load('a.pt', weights_only=True)")
    assert "the file holds a whole module, weft.layers.containers:Sequential, got weights_only=True" in refused.stderr


def test_a_module_of_the_programs_own_in_another_process(tmp_path):
    """As word_language_model's generate.py reads what main.py has written."""
    (tmp_path / "model.py").write_text(
        "import torch, torch.nn as nn, torch.nn.functional as F\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.body = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))\n"
        "        self.tied, self.act, self.sizes, self.kind = self.body[0], F.relu, {'a': (1, 2)}, torch.float32\n"
        "    def forward(self, x):\n"
        "        return self.act(self.body(x)) * (self.tied is self.body[0])\n"
    )
    write = """
        import torch
        from model import Net
        net = Net()
        net(torch.ones(4, 2) * torch.arange(4.0)[:, None])
        torch.save(net.eval(), "net.pt")
        print(net(torch.ones(1, 2)).tolist())
    """
    read = """
        import torch
        net = torch.load("net.pt", weights_only=False)
        assert not net.training and net.sizes == {"a": (1, 2)}
        net.tied.weight.data.add_(0)
        print(net(torch.ones(1, 2)).tolist())
    """
    assert output(tmp_path, write) == output(tmp_path, read)
    hooked = """
        import torch, torch.nn as nn
        from torch.nn.utils import weight_norm
        net = nn.Sequential(weight_norm(nn.Linear(2, 3)), nn.ReLU())
        net[1].register_forward_hook(lambda module, args, output: output + 1)
        torch.save(net, "hooked.pt")
        x, found = torch.ones(1, 2), torch.load("hooked.pt", weights_only=False)
        wanted = net(x)
        net[0].weight_g.data.zero_()
        print(torch.equal(found(x), wanted))
    """
    assert output(tmp_path, hooked) == "True\n"
    elsewhere = run(tmp_path, "import torch; torch.load('hooked.pt', weights_only=False)")
    assert (
        "Sequential, with hooks or computed attributes, which the process that saved it can read alone"
        in elsewhere.stderr
    )
    refused = run(tmp_path, "import torch; torch.load('net.pt')")
    assert "with 'Net' of 'model', which this program has not imported: import it first" in refused.stderr
    forged = """
        import torch
        torch.save({"weft: a module": "os:system", "attributes": {}}, "f.pt")
        torch.load("f.pt", weights_only=False)
    """
    assert "which this program has not imported" in run(tmp_path, forged).stderr
    forged = forged.replace("os:system", "weft.layers.module:sys.exit")
    assert "a whole module with 'sys.exit', which 'weft.layers.module' does not have" in run(tmp_path, forged).stderr


def test_names(tmp_path):
    program = """
        import torch, torch.nn as nn, torch.distributed as dist, torch.multiprocessing, torch.utils.data.distributed
        x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        print("{:.1f}|{}".format(x.mean(), x.sum()), x.device.type, dist.is_available())
        print(nn.Linear(2, 3, False, None, torch.float64).weight.dtype == torch.float64, nn.Linear(2, 3, True).bias.shape)
        print(torch.randint(3, (2,)).shape, torch.randint(low=1, high=3, size=(2,)).shape, torch.linalg.norm(x).item() ** 2)
        print(issubclass(torch.nn.modules.activation.MultiheadAttention, nn.Module), torch.nn.modules.rnn.LSTM is nn.LSTM)
        print(torch.func.grad(lambda w: (w**2).sum())(torch.ones(2)).tolist())
    """
    shown = output(tmp_path, program).splitlines()
    assert shown[0] == "2.5|10.0 cpu False"
    assert shown[1].startswith("True")
    assert float(shown[2].split()[-1]) == pytest.approx(30)
    assert shown[3:] == ["True True", "[2.0, 2.0]"]


def test_a_file_loaded_by_its_path(tmp_path):
    """As configurations are: `x.data` is PyTorch's there, too."""
    (tmp_path / "settings.py").write_text(
        "import torch\n\ndef halved(p):\n    p.data.mul_(0.5)\n    return p.data.tolist()\n"
    )
    program = """
        import importlib.util, torch
        spec = importlib.util.spec_from_file_location("settings", "settings.py")
        settings = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(settings)
        print(settings.halved(torch.nn.Parameter(torch.ones(2))))
    """
    assert output(tmp_path, program) == "[0.5, 0.5]\n"


def test_settings_of_a_gpu_and_what_pytorch_took_out(tmp_path):
    """`allow_tf32` is the precision of products; without a GPU, its properties are refused in words."""
    program = """
        import torch
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        print(torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32)
        torch.set_float32_matmul_precision("highest")
        print(torch.backends.cuda.matmul.allow_tf32)
        calls = [lambda: torch.symeig(torch.eye(2)), lambda: torch.nn.Lineer(2, 2), lambda: torch.optim.AdmaW]
        if not torch.cuda.is_available():
            calls.append(lambda: torch.cuda.get_device_properties(0))
        for call in calls:
            try:
                call()
            except (RuntimeError, AttributeError) as error:
                print(str(error)[:110])
    """
    shown = output(tmp_path, program).splitlines()
    assert shown[:2] == ["high True", "False"]
    assert "removed: use torch.linalg.eigh" in shown[2]
    assert "`torch.nn.Lineer` is not in weft.compat.torch; did you mean Linear" in shown[3]
    assert "did you mean AdamW" in shown[4]
    assert len(shown) == 5 or "needs an NVIDIA GPU" in shown[5]


def test_onnx_export(tmp_path):
    """In PyTorch's words; an older opset is not written, which is said."""
    onnx = pytest.importorskip("onnx")
    program = """
        import torch, warnings
        model = torch.nn.Linear(3, 2)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            torch.onnx.export(model, torch.randn(2, 3), "m.onnx", opset_version=11, input_names=["x"],
                              output_names=["y"], dynamic_axes={"x": {0: "n"}})
        print(any("opset_version=11" in str(w.message) for w in told))
    """
    assert output(tmp_path, program) == "True\n"
    graph = onnx.load(tmp_path / "m.onnx").graph
    assert [graph.input[0].name, graph.output[0].name] == ["x", "y"]


def test_draws_of_a_categorical(tmp_path):
    """Never what has probability 0, at the end either; what is no weight is refused; logits are made when asked for."""
    program = """
        import torch
        m = torch.distributions.Categorical(probs=torch.tensor([[0.0, 1.0, 3.0, 0.0], [2.0, 0.0, 0.0, 0.0]]))
        drawn = m.sample((4000,))
        print(sorted(set(drawn[:, 0].tolist())), sorted(set(drawn[:, 1].tolist())))
        print(abs((drawn[:, 0] == 2).float().mean().item() - 0.75) < 0.03)
        print(m.log_prob(torch.tensor([2, 0])).exp())
        for bad in (-1.0, float("inf"), float("nan")):
            try:
                torch.multinomial(torch.tensor([1.0, bad]), 1)
            except RuntimeError:
                print("refused")
    """
    shown = output(tmp_path, program).splitlines()
    assert shown[:3] == ["[1, 2] [0]", "True", "tensor([0.7500, 1.0000])"]
    assert shown[3:] == ["refused"] * 3


@pytest.mark.parametrize("first", [
    "from weft.compat import torch; nn, functional = torch.nn, torch.nn.functional",
    "from weft.compat.torch import nn; from weft.compat.torch.nn import functional; from weft.compat import torch",
    "import weft.compat.torch.nn.functional as functional; from weft.compat import torch; nn = torch.nn",
])  # fmt: skip
def test_under_its_own_name(first):
    """Submodules come with PyTorch's meaning of methods, however a program of weft's asks for them first."""
    code = f"{first}; print(torch.tensor([[1.0, 3.0]]).max(1).indices, nn.functional is functional, functional.relu.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["tensor([1])", "True", "relu"]
    wrong = subprocess.run([sys.executable, "-c", "import weft.compat.torch.nnn"], capture_output=True, text=True)
    assert "No module named 'weft.compat.torch.nnn'" in wrong.stderr
