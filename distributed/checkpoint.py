"""Checkpoints of which each process writes what it keeps, with an index that one process can read all of it by.

    last.json                          the index: written last, in one step
    last-3f2a91c0-0-of-2.safetensors   model, options, and the part of the optimizer's state of process 0
    last-3f2a91c0-1-of-2.safetensors   the part of process 1

The files of a checkpoint have a name of their own, so those of the one before are whole until the index names the new ones.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..backend.device import ranks
from ..backend.device.devices import to_numpy
from ..layers.module import Module
from ..optimizers.optimizer import Optimizer
from ..training.atomic import write_atomically
from ..training.checkpoint import load_checkpoint, save_checkpoint
from ..training.tensor_file import CheckpointError, fault

__all__ = ["load_sharded", "save_sharded"]


def save_sharded(path: str | Path, model: Module, optimizer: Optimizer, **extra: Any) -> None:
    """Write a checkpoint, each process its own part: all have to call this.

    Parameters
    ----------
    path : str or path
        Of the index, `runs/a/last.json` say; the other files are beside it.
    model : Module
        Process 0 writes it.
    optimizer : Optimizer
        Of a `ZeroRedundancyOptimizer` each process writes its part of the state; of others, process 0 all.
    **extra : object
        What else is to be saved, as `save_checkpoint` takes it.

    Raises
    ------
    ValueError
        If `path` does not end in `.json`.
    WriteError
        If a file cannot be written; the checkpoint before is intact.
    FileNotFoundError
        If process 0 does not find what the others have written.

    Examples
    --------
    >>> import tempfile
    >>> model = nn.Linear(2, 1)
    >>> optimizer = optim.SGD(model.parameters(), lr=0.5)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_sharded(folder + "/last.json", model, optimizer, epoch=3)
    ...     found = load_sharded(folder + "/last.json")
    >>> found["epoch"], found["optimizer"]["param_groups"][0]["lr"]
    (3, 0.5)
    """
    path = Path(path)
    ranks.require_met()
    _together(lambda: _check(path))
    group = ranks.group
    rank, size = (0, 1) if group is None else (group.rank, group.size)
    token = secrets.token_hex(4)
    token = token if group is None else group.object_of(token)
    names = [f"{path.stem}-{token}-{r}-of-{size}.safetensors" for r in range(size)]
    tree: dict[str, Any] = {"arenas": [_parts(optimizer, k, rank) for k in range(len(optimizer.param_groups))]}
    if rank == 0:
        groups = [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]
        tree |= {"model": model.state_dict(), "param_groups": groups, "extra": extra}
    _together(lambda: save_checkpoint(path.with_name(names[rank]), tree, kind="shard"))
    _together(lambda: _publish(path, names) if rank == 0 else None)


def _together(do: Callable[[], None]) -> None:
    """Do what each process has to; if one of them raises, all do."""
    error = None
    try:
        do()
    except Exception as raised:
        if ranks.group is None:
            raise
        error = raised
    if ranks.group is not None:
        for found in ranks.group.objects(error):
            if found is not None:
                raise found


def _check(path: Path) -> None:
    if path.suffix != ".json":
        raise ValueError(f"`path` must end in .json, the index, got {str(path)!r}")


def _publish(path: Path, names: list[str]) -> None:
    """Name the files in the index, and remove those of the one before."""
    lost = [name for name in names if not path.with_name(name).exists()]
    if lost:
        raise FileNotFoundError(
            f"`{path}`: process 0 finds {len(names) - len(lost)} of the {len(names)} files that processes have written, "
            f"and not {lost[0]}; give all processes one path, on a disk that they share"
        )
    write_atomically(path, json.dumps({"format": "weft shards", "files": names}).encode())
    for old in path.parent.glob(f"{path.stem}-*-of-*.safetensors"):
        if old.name not in names and re.fullmatch(rf"{re.escape(path.stem)}-[0-9a-f]{{8}}-\d+-of-\d+", old.stem):
            old.unlink(missing_ok=True)


def _parts(optimizer: Optimizer, k: int, rank: int) -> list[dict[str, Any]]:
    """What this process keeps of the k-th group: vectors with their place, and where parameters lie."""
    found = []
    for arena in optimizer._arenas[k]:
        arena.require(optimizer.slots(optimizer.param_groups[k]))
        if any(arena.layout(name) is not arena for name in arena.state):
            raise ValueError(
                f"`optimizer` must have state in the shape of its parameters, got {type(optimizer).__name__}; save its "
                "state_dict by `save_checkpoint`"
            )
        is_mine = arena.cuts is not None or rank == 0
        found.append(
            {
                "indices": arena.indices,
                "shapes": [list(shape) for shape in arena.shapes],
                "offsets": arena.offsets,
                "clocks": [dict(clock) for clock in arena.clocks],
                "start": arena.own[0],
                "state": {name: to_numpy(v) for name, v in arena.state.items()} if is_mine else {},
            }
        )
    return found


def load_sharded(path: str | Path) -> dict[str, Any]:
    """A checkpoint that any number of processes wrote, in one process, or in each.

    Parameters
    ----------
    path : str or path
        Of the index.

    Returns
    -------
    dict
        "model" and "optimizer", for their `load_state_dict`, and what else was saved.

    Raises
    ------
    CheckpointError
        If the index or a file that it names is missing, damaged or of another kind.

    Examples
    --------
    >>> load_sharded("nowhere.json")
    Traceback (most recent call last):
        ...
    weft.training.tensor_file.CheckpointError: `nowhere.json`: expected the index of a checkpoint, found nothing of that name; ...
    """
    path = Path(path)
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        names = [str(name) for name in index["files"]]
        if index["format"] != "weft shards" or not names or any(Path(name).name != name for name in names):
            raise ValueError("another format")
    except FileNotFoundError:
        raise _fault(path, "nothing of that name") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _fault(path, f"{error or type(error).__name__}") from None
    trees = [load_checkpoint(path.with_name(name), kind="shard") for name in names]
    first = trees[0]
    state: dict[int, dict[str, Any]] = {}
    groups, before = [], 0
    for k, options in enumerate(first["param_groups"]):
        count = 0
        for parts in zip(*(tree["arenas"][k] for tree in trees)):
            count += len(parts[0]["indices"])
            state |= {before + i: entry for i, entry in _entries(parts).items()}
        groups.append({**options, "params": list(range(before, before + count))})
        before += count
    return {"model": first["model"], "optimizer": {"state": state, "param_groups": groups}, **first["extra"]}


def _entries(parts: tuple[dict[str, Any], ...]) -> dict[int, dict[str, Any]]:
    """Of each parameter in an arena, by its place in the group, what was counted and kept."""
    whole = {
        name: np.concatenate([p["state"][name] for p in parts if name in p["state"]]) for name in parts[0]["state"]
    }
    found = {}
    arena = parts[0]
    for i, shape, at, clock in zip(arena["indices"], arena["shapes"], arena["offsets"], arena["clocks"]):
        size = int(np.prod(shape))
        arrays = {name: vector[at : at + size].reshape(shape) for name, vector in whole.items()}
        if clock.get("step"):
            found[i] = {**clock, **arrays}
    return found


def _fault(path: Path, found: str) -> CheckpointError:
    return fault(path, "the index of a checkpoint", found, "name the .json file that `save_sharded` wrote")
