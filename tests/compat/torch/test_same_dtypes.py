"""Dtypes, shapes and values of expressions: what PyTorch 2.13 printed for the same program, kept in same_dtypes.jsonl."""

import json
from pathlib import Path

from torch_program import run

PREAMBLE = """
import torch, numpy as np, warnings
import torch.nn.functional as F
from torch import nn
warnings.simplefilter("ignore")
f32 = torch.tensor([1.5, 2.5]); f64, f16, bf = f32.double(), f32.half(), f32.bfloat16()
i64 = torch.tensor([3, 4]); i32, b = i64.int(), torch.tensor([True, False])
i8, u8 = torch.tensor([1, 2], dtype=torch.int8), torch.tensor([1, 200], dtype=torch.uint8)
s32 = torch.tensor(2.5); s64, si, sb, sc = s32.double(), torch.tensor(3), torch.tensor(True), torch.tensor(1j)
si8, su8, si32 = (torch.tensor(n, dtype=d) for n, d in ((3, torch.int8), (7, torch.uint8), (3, torch.int32)))
def ip(x, f):
    x = x.clone()
    f(x)
    return x
def shown(v):
    if isinstance(v, tuple):
        return " and ".join(map(shown, v))
    if isinstance(v, torch.dtype):
        return str(v).removeprefix("torch.")
    values = [f"{t:.4g}" if isinstance(t, float) else str(t) for t in v.reshape(-1).tolist()]
    return " ".join([str(v.dtype).removeprefix("torch."), "x".join(map(str, v.shape)) or "-", *values])
"""
ROWS = [json.loads(line) for line in Path(__file__).with_name("same_dtypes.jsonl").read_text().splitlines()]


def test_all(tmp_path):
    done = run(tmp_path, PREAMBLE + "".join(f"print(shown({expression}))\n" for expression, _ in ROWS))
    found = done.stdout.splitlines()
    assert len(found) == len(ROWS), done.stderr
    assert [(e, f, e_) for (e, e_), f in zip(ROWS, found) if f != e_] == []
