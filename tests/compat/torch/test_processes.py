"""Processes that train one model in shared memory, in the idiom of PyTorch's Hogwild example."""

import multiprocessing

import pytest
from torch_program import run

pytestmark = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")

PROGRAM = """
    import os
    import torch, torch.nn as nn, torch.optim as optim, torch.multiprocessing as mp

    def train(rank, model, x, y):
        torch.manual_seed(rank)
        optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.5)
        for _ in range(150):
            optimizer.zero_grad()
            loss = ((model(x) - y) ** 2).mean()
            loss.backward()
            optimizer.step()
        assert os.getpid() != PARENT

    def fails(rank):
        raise SystemExit(rank + 3)

    PARENT = os.getpid()
    if __name__ == "__main__":
        mp.set_start_method("spawn", force=True)
        torch.manual_seed(0)
        x = torch.randn(64, 3)
        y = x @ torch.tensor([[1.0], [2.0], [-1.0]])
        model = nn.Linear(3, 1)
        model.share_memory()
        before = ((model(x) - y) ** 2).mean().item()
        processes = [mp.Process(target=train, args=(rank, model, x, y)) for rank in range(2)]
        for p in processes:
            p.start()
        for p in processes:
            p.join()
        print(before > 1, ((model(x) - y) ** 2).mean().item() < 0.01)
        counts = torch.zeros(2).share_memory_()
        mp.spawn(lambda rank: counts[rank : rank + 1].fill_(rank + 1.0), nprocs=2)
        print(counts.tolist())
        try:
            mp.spawn(fails, nprocs=1)
        except RuntimeError as error:
            print(error)
"""


def test_hogwild(tmp_path):
    done = run(tmp_path, PROGRAM)
    assert done.stdout.splitlines() == [
        "True True",
        "[1.0, 2.0]",
        "process 0 of `spawn` has ended with 3; what it printed says why",
    ], done.stderr
