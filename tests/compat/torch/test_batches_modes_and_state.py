"""Batches, gradient modes, optimizers' state, Functions and copies: programs whose output on PyTorch 2.13 stands beside them."""

from pathlib import Path

from torch_program import run

PREAMBLE = """
import copy
import io
from collections import defaultdict, namedtuple

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, default_collate, default_convert

"""

BATCHES = """
P = namedtuple("P", "x y")

class Stream(IterableDataset):
    def __init__(self, samples): self.samples = samples
    def __iter__(self): return iter(self.samples)

class Numbered(Dataset):
    def __init__(self, samples): self.samples = samples
    def __len__(self): return len(self.samples)
    def __getitem__(self, i): return self.samples[i]

def shown(x):
    if isinstance(x, torch.Tensor): return f"{x.dtype}{x.tolist()}".removeprefix("torch.")
    if isinstance(x, np.ndarray): return f"array{x.tolist()}"
    if isinstance(x, dict): return "{" + " ".join(f"{k}={shown(v)}" for k, v in x.items()) + "}"
    if isinstance(x, (list, tuple)): return f"{type(x).__name__}({' '.join(map(shown, x))})"
    return repr(x)

one = np.ones(1, np.float32)
for samples in ([1, 2], [0.5, 1.5], [True, False], [one, one], [np.float64(1)] * 2, ["a", "b"], [(one, 1), (one, 2)],
                [P(one, "a")] * 2, [{"x": 0.5, "y": (1, [2])}] * 2):
    for batches in (Stream, Numbered):
        print(shown(list(DataLoader(batches(samples), 2))))
    print(shown(default_collate(samples)), shown(default_convert(samples)), shown(list(DataLoader(Stream(samples), None))))
def arrays(batch):
    return {"a": np.array(batch), "t": torch.ones(1), "l": batch}
print(shown(list(DataLoader(Stream([1, 2]), 2, collate_fn=arrays))))
print(shown(list(DataLoader(Numbered([1, 2]), 2, False, None, None, 0, arrays))))
print(shown(list(DataLoader(TensorDataset(torch.arange(2)), 2))))
print(float(next(iter(DataLoader(Stream([one, 3 * one]), 2))).std().round(decimals=4)))
"""

MODES = """
x = torch.ones(1, requires_grad=True)
def on(): return int((x * 2).requires_grad)
out = []
torch.set_grad_enabled(False); out.append(on()); x.mul_(3)
with torch.enable_grad():
    out.append(on()); torch.set_grad_enabled(False); out.append(on()); torch.set_grad_enabled(True); out.append(on())
out.append(on())
torch.autograd.set_grad_enabled(True); out.append(on())
with torch.no_grad():
    torch.set_grad_enabled(True); out.append(on())
with torch.set_grad_enabled(False): out.append(on())
@torch.set_grad_enabled(False)
def off(): return on()
out += [on(), off(), on()]
@torch.no_grad()
def steps(n):
    for _ in range(n):
        got = yield on()
        out.append((got, on()))
    return 7
@torch.no_grad
def caught():
    try:
        yield on()
    except KeyError:
        yield "caught", on()
    finally:
        out.append(("closed", on()))
def outer():
    out.append((yield from steps(1)))
for value in outer(): out.append((value, on()))
g = caught(); next(g); out.append(g.throw(KeyError())); g.close(); out.append(on())
g = caught(); next(g)
try: g.throw(ValueError("passed on"))
except ValueError as e: out.append(str(e))
with torch.inference_mode(): out.append(int(torch.is_grad_enabled()))
with torch.inference_mode(False): out.append(int(torch.is_grad_enabled()))
print(*out)
"""

STATE = """
MAKE = {"sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9), "plain": lambda p: torch.optim.SGD(p, 0.1),
        "adam": lambda p: torch.optim.Adam(p, 0.1), "nadam": lambda p: torch.optim.NAdam(p, 0.1)}
def P(*v): return nn.Parameter(torch.tensor(v))
def step(o, *ps, g=1.0):
    for i, p in enumerate(ps): p.grad = torch.full_like(p, g + i)
    o.step()
def r(*ps): return " ".join(f"{v:.4f}" for p in ps for v in p.reshape(-1).tolist())
def popped(o, p, q):
    o.state.pop(p, None)
def cleared(o, p, q):
    o.state.clear()
def zeroed(o, p, q):
    for s in o.state.values():
        for v in s.values(): v.zero_()
def assigned(o, p, q):
    o.state = defaultdict(dict)
def written(o, p, q):
    for k, v in list(o.state[p].items()): o.state[p][k] = torch.full_like(v, 4.0)
def loaded(o, p, q):
    len(o.state)
    f = io.BytesIO(); torch.save(o.state_dict(), f); f.seek(0); step(o, p, q); o.load_state_dict(torch.load(f))
for name, make in MAKE.items():
    for edit in (popped, cleared, zeroed, assigned, written, loaded):
        p, q = P(0.0, 1.0), P(2.0); o = make([p, q]); step(o, p, q); edit(o, p, q); step(o, p, q, g=3.0); step(o, p, q)
        print(name, edit.__name__, r(p, q), len(o.state))
    p, q, t = P(0.0, 1.0), P(2.0), P(5.0); o = make([p, q]); len(o.state); step(o, p, q)
    params = o.param_groups[0]["params"]
    params.append(t); step(o, p, q, t); o.param_groups[0]["params"] = [t, p]; step(o, p, q, t)
    print(name, "lists", r(p, q, t), len(o.state))
    p, q, t = P(0.0, 1.0), P(2.0), P(3.0); o = make([{"params": [p]}, {"params": [q], "lr": 0.5}]); step(o, p, q)
    o.param_groups.pop(0); step(o, p, q); o.add_param_group({"params": [t]}); step(o, p, q, t)
    o.param_groups[0]["params"].clear(); step(o, p, q, t); print(name, "groups", r(p, q, t))
    p, q = P(0.0, 1.0), P(2.0); o = make([{"params": [p]}, {"params": [q]}]); step(o, p, q); g = o.param_groups[0]
    s = o.state.get(p, None); longer = nn.Parameter(torch.cat([p.data, torch.ones(2)]))  # densified, as Gaussians are
    if s:
        for k in s: s[k] = torch.cat((s[k], torch.zeros(2))) if s[k].ndim else s[k]
        del o.state[p]
        o.state[longer] = s
    g["params"][0] = longer; step(o, longer, q, g=2.0); step(o, longer, q); print(name, "longer", r(p, longer, q))
    p, q = P(0.0, 1.0), P(2.0); o = make([p, q]); step(o, p, q); o.state.pop(q, None); c = copy.deepcopy(o)
    step(c, *c.param_groups[0]["params"], g=2.0); print(name, "copied", r(p, q, *c.param_groups[0]["params"]))
p = P(0.0, 1.0); o = MAKE["adam"]([p]); step(o, p); s = o.state[p]; m, n = s["exp_avg"], s["step"]; step(o, p)
print(r(m, n), s is o.state[p], n is s["step"], n.dtype, type(o.state_dict()["state"][0]["exp_avg"]).__name__)
class Slow(torch.optim.Adam):
    def step(self, closure=None):
        super().step(closure)
        for p in self.param_groups[0]["params"]:
            s = self.state[p]
            if "slow" not in s: s["slow"] = p.detach().clone()
            s["slow"].mul_(0.5).add_(p.data, alpha=0.5)
class Own(torch.optim.Adam):
    @torch.no_grad()
    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            s = self.state[p]
            if len(s) == 0: s["step"], s["exp_avg"] = 0, torch.zeros_like(p)
            s["step"] += 1; s["exp_avg"].mul_(0.5).add_(p.grad); p.add_(s["exp_avg"], alpha=-0.1 / s["step"])
for kind in (Slow, Own):
    p = P(0.0, 1.0); o = kind([p], lr=0.1); step(o, p); step(o, p, g=2.0); d = copy.deepcopy(o.state_dict()); step(o, p)
    o.load_state_dict(d)
    print(kind.__name__, r(p), sorted(n for n in o.state[p] if n != "exp_avg_sq"), r(o.state[p].get("slow", p)))
"""

FUNCTIONS = """
class Trailing(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b=True): return a * 2
    @staticmethod
    def backward(ctx, g): return g * 2, None, None
class Mixed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a): return 5, a * 2, None, a * 3
    @staticmethod
    def backward(ctx, n, g, none, h): return g * 2 + h * 3 if n is none is None else None
class Few(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b): return a * b
    @staticmethod
    def backward(ctx, g): return g
for f in (Trailing, Mixed):
    p = torch.ones(1, requires_grad=True); found = f.apply(p); found = found if isinstance(found, tuple) else (found,)
    total = sum(t.sum() for t in found if isinstance(t, torch.Tensor))
    (slope,) = torch.autograd.grad(total, p, create_graph=True); total.backward()
    print([type(t).__name__ for t in found], slope.item(), p.grad.item())
try:
    Few.apply(torch.ones(1, requires_grad=True), torch.ones(1)).backward()
except RuntimeError as e:
    print("expected 2, got 1" in str(e) or "`Few.backward` must give 2 gradients, one for each argument, got 1" in str(e))
for write in (lambda: torch.ones(2).long().add_(1.5), lambda: torch.ones(2).long().__itruediv__(2), lambda: torch.ones(1) .add_(1j),
              lambda: torch.tensor([True]).__iadd__(1), lambda: torch.ones(2).byte().divide_(2)):
    try: print(write())
    except RuntimeError as e: print("can't be cast to the desired output type" in str(e))
m = nn.Linear(1, 1); m(torch.ones(1, 1)).backward(); c, leaf = copy.deepcopy(m), torch.ones(1, requires_grad=True)
(leaf * 2).backward()
print(c.weight.grad, c.weight.requires_grad, m.weight.grad is None, copy.deepcopy([m.weight])[0].grad, copy.deepcopy(leaf).grad)
"""

WANTED = Path(__file__).with_name("batches_modes_and_state.txt")


def test_all(tmp_path):
    parts = {"BATCHES": BATCHES, "MODES": MODES, "STATE": STATE, "FUNCTIONS": FUNCTIONS}
    done = run(tmp_path, PREAMBLE + "".join(f"print('## {name}')\n{part}" for name, part in parts.items()))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == WANTED.read_text().splitlines()
