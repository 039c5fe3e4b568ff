"""The time to an accuracy, on the digits."""

import numpy as np
import pytest

from weft.bench.machine import Machine
from weft.bench.mnist import mnist


def test_time_to_an_accuracy():
    pytest.importorskip("sklearn")
    machine = Machine("cpu", np)
    found = mnist(machine, "digits", epochs=2, goal=0.5)
    assert found["reached"]
    assert found["accuracies"][-1] >= 0.5
    assert found["seconds"] > 0
    assert not mnist(machine, "digits", epochs=1, goal=1.1)["reached"]
