"""Processes started as a user starts them: every check of `checks.py`, in 2, 3 and 4 of them; and what one process does alone."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from mpi_launch import ended_well, launcher, start

import weft
from weft import distributed as dist
from weft.backend.device import ranks
from weft.distributed.start import own_gpu


@pytest.mark.parametrize("n", [2, pytest.param(3, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.slow)])
def test_together(n):
    ended_well(start(n, "worker.py"))


def test_three_equal_one():
    ended_well(start(3, "worker.py", "check_sums_in_the_order_of_ranks", "check_equals_one_process"))


class TestAlone:
    def test_nothing_is_done(self):
        x = np.ones(3)
        dist.init()
        dist.barrier()
        assert (dist.rank(), dist.size(), dist.is_initialized()) == (0, 1, False)
        assert dist.all_reduce(x) is x
        assert dist.broadcast(x) is x
        assert dist.all_gather(x).tolist() == dist.reduce_scatter(x).tolist() == [1, 1, 1]
        with pytest.raises(ValueError, match=r"must be a rank in \[0, 1\), got 1"):
            dist.broadcast(x, 1)
        with pytest.raises(ValueError, match="must have an axis to gather along"):
            dist.all_gather(np.array(1.0))

    def test_timeout(self):
        with pytest.raises(ValueError, match="a positive number of seconds, got 0"):
            dist.init(timeout=0)

    def test_launcher_of_another_library(self):
        """As torchrun starts processes, and as another MPI's mpiexec does: MPI knows of one."""
        launcher()
        run = subprocess.run(
            [sys.executable, "-c", "import weft; weft.distributed.init()"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "RANK": "0", "WORLD_SIZE": "2"},
        )
        assert "RuntimeError: the launcher has started 2 processes, and MPI knows of 1" in run.stderr

    def test_who_is_launched(self):
        for names in (
            ("PMI_RANK", "PMI_SIZE"),
            ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
            ("RANK", "WORLD_SIZE"),
        ):
            assert ranks.launched(dict(zip(names, ("2", "4")))) == (2, 4)
        assert ranks.launched({"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "8"}) == (3, 8)
        assert ranks.launched({"SLURM_PROCID": "0", "SLURM_JOB_ID": "5"}) == (0, 1)  # of a batch script, outside srun
        assert ranks.launched({"RANK": "x", "WORLD_SIZE": "2"}) == (0, 1)

    def test_each_has_a_gpu(self):
        assert own_gpu(None, 3, 8) == "3"
        assert own_gpu("4,5,6,7", 1, 4) == "5"
        assert own_gpu("GPU-8f2a", 1, 4) is None  # one of its own, as Slurm binds them
        assert own_gpu("", 1, 4) is None

    def test_a_run_alone_knows_nothing_of_it(self):
        code = """
            import sys, weft
            from weft import layers as nn, optimizers as optim
            model = nn.Linear(2, 1)
            trainer = weft.training.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1))
            trainer.fit([(weft.ones((4, 2)), weft.ones((4, 1)))])
            assert not {"mpi4py", "weft.distributed"} & set(sys.modules), sorted(sys.modules)
        """
        subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)

    def test_mpi_is_missing(self, monkeypatch):
        monkeypatch.setenv("PMI_RANK", "0")
        monkeypatch.setenv("PMI_SIZE", "2")
        monkeypatch.setitem(__import__("sys").modules, "mpi4py", None)
        with pytest.raises(ImportError, match=r"2 processes need mpi4py and an MPI library .*weft\[distributed\]"):
            weft.distributed.init()
