"""`p.data = t` and what shares a parameter's memory, around an optimizer, which moves parameters into memory of its own."""

from torch_program import run

PROGRAM = """
    import torch, torch.nn as nn, copy

    w = nn.Parameter(torch.zeros(1))
    backup = w.data
    w.data = torch.ones(1)
    w.data = backup
    print(w.item())
    a, b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.ones(1))
    a.data, b.data = b.data, a.data
    print(a.item(), b.item())
    d, e = nn.Linear(3, 3), nn.Linear(3, 3)
    d.weight.data = e.weight.data.t()
    nn.init.zeros_(e.weight)
    print(d.weight.abs().sum().item())


    def fresh():
        m = nn.Linear(1, 1, bias=False)
        nn.init.ones_(m.weight)
        return m


    def step(m, o):
        o.zero_grad()
        m(torch.ones(1, 1)).backward()
        o.step()


    m = fresh()
    sd = m.state_dict()
    o = torch.optim.SGD(m.parameters(), lr=0.5)
    step(m, o)
    print(sd["weight"].item())
    m = fresh()
    l = [p.data for p in m.parameters()]
    q = m.weight.detach()
    s = m.weight.data[0]
    o = torch.optim.SGD(m.parameters(), lr=0.5)
    step(m, o)
    print(l[0].item(), q.item(), s.item())
    o2 = torch.optim.SGD(m.parameters(), lr=0.25)
    step(m, o2)
    print(l[0].item(), q.item(), s.item(), m.weight.item())
    step(m, o)
    print(l[0].item(), q.item(), s.item(), m.weight.item())


    # EMA class
    class EMA:
        def __init__(s, m, d):
            s.m, s.d = m, d
            s.shadow = {n: p.data.clone() for n, p in m.named_parameters()}
            s.backup = {}

        def update(s):
            for n, p in s.m.named_parameters():
                s.shadow[n] = ((1 - s.d) * p.data + s.d * s.shadow[n]).clone()

        def apply(s):
            for n, p in s.m.named_parameters():
                s.backup[n] = p.data
                p.data = s.shadow[n]

        def restore(s):
            for n, p in s.m.named_parameters():
                p.data = s.backup[n]
            s.backup = {}


    torch.manual_seed(0)
    m = fresh()
    o = torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9)
    ema = EMA(m, 0.9)
    for t in range(5):
        step(m, o)
        ema.update()
        ema.apply()
        v = m.weight.item()
        ema.restore()
        print(round(v, 6), round(m.weight.item(), 6))
    # a step while swapped
    m = fresh()
    o = torch.optim.SGD(m.parameters(), lr=0.5)
    step(m, o)
    back = m.weight.data
    m.weight.data = torch.full((1, 1), 7.0)
    step(m, o)
    print(m.weight.item(), back.item())
    m.weight.data = back
    step(m, o)
    print(m.weight.item(), back.item())
    # SAM
    m = fresh()
    o = torch.optim.SGD(m.parameters(), lr=0.5)
    old = m.weight.data.clone()
    m.weight.data.add_(1)
    m.weight.data = old
    step(m, o)
    print(m.weight.item())
    # clip
    for p in m.parameters():
        p.data = p.data.clamp(-0.01, 0.01)
    step(m, o)
    print(round(m.weight.item(), 5))
    t = torch.tensor([1.0, 2.0])
    x = torch.tensor([0.0, 0.0], requires_grad=True)
    x.data = t
    t[0] = 5
    print(x.tolist())
    x.data.mul_(2)
    print(t.tolist())
    x.data = torch.zeros(3)
    print(x.shape)
    n = copy.deepcopy(m)
    o3 = torch.optim.Adam(n.parameters())
    step(n, o3)
    print(round(m.weight.item(), 5))
"""
PRINTED = """\
0.0
1.0 0.0
0.0
0.5
0.5 0.5 0.5
0.25 0.25 0.25 0.25
-0.25 -0.25 -0.25 -0.25
0.99 0.9
0.962 0.71
0.9097 0.439
0.82824 0.0951
0.713975 -0.31441
6.5 0.5
0.0 0.0
0.5
-0.49
[5.0, 2.0]
[10.0, 4.0]
torch.Size([3])
-0.49
"""  # by PyTorch 2.13


def test_memory_is_shared_as_in_pytorch(tmp_path):
    """Backup and swap, exponential moving averages, SAM, a state_dict taken before the optimizer was made."""
    done = run(tmp_path, PROGRAM)
    assert done.returncode == 0, done.stderr
    assert done.stdout == PRINTED
