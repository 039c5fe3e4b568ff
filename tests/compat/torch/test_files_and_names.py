"""Saving and loading, and names that published programs look up."""

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
    again = run(tmp_path, "import torch; torch.load('a.pt')")
    assert "the file holds a whole module, Sequential, which the process that saved it can read alone" in again.stderr


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
