"""Sharded checkpoints in one process; in several, see `checks.py`."""

import json

import pytest

import weft
from weft import distributed as dist
from weft import layers as nn
from weft import optimizers as optim
from weft.training import CheckpointError


@pytest.fixture
def trained():
    model = nn.Linear(3, 2)
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    model(weft.ones((4, 3))).sum().backward()
    optimizer.step()
    return model, optimizer


def test_round_trip(tmp_path, trained):
    model, optimizer = trained
    dist.save_sharded(tmp_path / "last.json", model, optimizer, epoch=4)
    found = dist.load_sharded(tmp_path / "last.json")
    assert found["epoch"] == 4
    assert found["model"]["weight"].tolist() == model.weight.tolist()
    other = optim.Adam(model.parameters(), lr=0.5)
    other.load_state_dict(found["optimizer"])
    assert other.param_groups[0]["lr"] == 0.1
    assert other.state[model.bias]["exp_avg"].tolist() == optimizer.state[model.bias]["exp_avg"].tolist()


def test_what_is_missing_or_damaged_is_named(tmp_path, trained):
    path = tmp_path / "last.json"
    with pytest.raises(ValueError, match=r"must end in \.json, the index, got '.*last\.safetensors'"):
        dist.save_sharded(tmp_path / "last.safetensors", *trained)
    with pytest.raises(CheckpointError, match=r"last\.json`: expected the index of a checkpoint, found nothing"):
        dist.load_sharded(path)
    dist.save_sharded(path, *trained)
    index = json.loads(path.read_text())
    for wrong in ("[]", "{", '{"format": "weft shards", "files": ["../a"]}', '{"format": "x", "files": ["a"]}'):
        path.write_text(wrong)
        with pytest.raises(CheckpointError, match=r"last\.json`: expected the index of a checkpoint"):
            dist.load_sharded(path)
    path.write_text(json.dumps(index))
    shard = tmp_path / index["files"][0]
    shard.write_bytes(shard.read_bytes()[:-5])
    with pytest.raises(CheckpointError, match=shard.name):
        dist.load_sharded(path)
    shard.unlink()
    with pytest.raises(CheckpointError, match=f"{shard.name}`: expected a checkpoint, found nothing of that name"):
        dist.load_sharded(path)


def test_state_of_other_shapes(tmp_path):
    p = weft.Parameter(weft.ones((3, 4)))
    optimizer = optim.Adafactor([p])
    p.grad = weft.ones((3, 4))
    optimizer.step()
    model = nn.Linear(1, 1)
    with pytest.raises(ValueError, match=r"state in the shape of its parameters, got Adafactor"):
        dist.save_sharded(tmp_path / "a.json", model, optimizer)
