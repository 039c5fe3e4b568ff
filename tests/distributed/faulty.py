"""A process that goes wrong in the way it is told, in the middle of training, and others that do not."""

import os
import signal
import sys
import time

import weft
from weft import distributed as dist
from weft import layers as nn

how, who = sys.argv[1], int(sys.argv[2])
dist.init(timeout=float(sys.argv[3]))
os.write(1, f"pid {os.getpid()}\n".encode())  # in one piece
model = dist.DistributedDataParallel(nn.Linear(4, 4))
for step in range(2000):
    model(weft.ones((2, 4))).sum().backward()
    if step == 20 and dist.rank() == who:
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif how == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif how == "raise":
            raise ValueError("the loss is a banana")
        elif how == "hang":
            time.sleep(600)
        elif how == "leave":
            sys.exit(0)
    time.sleep(0.002)
