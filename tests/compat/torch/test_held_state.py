"""Tensors that are held from `optimizer.state`, or put into it: each sees what PyTorch 2.13 lets it see, printed beside it."""

from torch_program import run

PROGRAM = """
    import copy
    import torch
    from torch import nn

    def rounded(x):
        return [round(a, 4) for a in x.flatten().tolist()]

    def trained(kind=torch.optim.Adam, like=2, **options):
        w, v = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(like))
        optimizer = kind([w, v], lr=0.1, **options)
        def step():
            optimizer.zero_grad()
            (w * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
            v.sum().backward()
            optimizer.step()
        step()
        return w, v, optimizer, step

    def assigned():
        w, v, o, step = trained()
        t = o.state[w]["exp_avg"] = torch.zeros(3)
        step()
        first = rounded(t)
        step()
        return first, rounded(t), rounded(o.state[w]["exp_avg"]), rounded(w)

    def assigned_and_written():
        w, v, o, step = trained()
        t = torch.zeros(3)
        part = t[:2]
        o.state[w]["exp_avg"] = t
        step()
        part.zero_()
        step()
        return rounded(t), rounded(part), rounded(w)

    def momentum():
        w, v, o, step = trained(torch.optim.SGD, momentum=0.9)
        t = o.state[w]["momentum_buffer"] = torch.zeros(3)
        step()
        step()
        return rounded(t), rounded(w)

    def replaced():
        w, v, o, step = trained()
        h = o.state[w]["exp_avg"]
        n = o.state[w]["exp_avg"] = h * 0
        step()
        return rounded(h), rounded(n), rounded(o.state[w]["exp_avg"])

    def swapped():
        w, v, o, step = trained(like=3)
        a, b = o.state[w]["exp_avg"], o.state[v]["exp_avg"]
        o.state[w]["exp_avg"], o.state[v]["exp_avg"] = b, a
        step()
        return rounded(a), rounded(b), rounded(w), rounded(v)

    def restored():
        w, v, o, step = trained()
        saved = {name: x.clone() for name, x in o.state[w].items()}
        step()
        step()
        o.state[w] = saved
        step()
        return rounded(w), {name: rounded(x) for name, x in saved.items()}

    def other_groups():
        found = []
        for change in (lambda p: p.append(nn.Parameter(torch.ones(2))), lambda p: p.pop()):
            w, v, o, step = trained()
            h, count = o.state[w]["exp_avg"], o.state[w]["step"]
            change(o.param_groups[0]["params"])
            step()
            found.append((rounded(h), h is o.state[w]["exp_avg"], float(count)))
        return found

    def forgotten():
        w, v, o, step = trained()
        h = o.state[w]["exp_avg"]
        o.state.clear()
        step()
        return rounded(h), rounded(o.state[w]["exp_avg"])

    def loaded():
        w, v, o, step = trained()
        saved, h = copy.deepcopy(o.state_dict()), o.state[w]["exp_avg"]
        step()
        o.load_state_dict(saved)
        first = rounded(h)
        step()
        return first, rounded(h), rounded(o.state[w]["exp_avg"])

    for case in (assigned, assigned_and_written, momentum, replaced, swapped, restored, other_groups, forgotten, loaded):
        print(case.__name__, case())
"""
EXPECTED = """\
assigned ([0.1, 0.2, 0.3], [0.19, 0.38, 0.57], [0.19, 0.38, 0.57], [0.7773, 0.7773, 0.7773])
assigned_and_written ([0.1, 0.2, 0.57], [0.1, 0.2], [0.8105, 0.8105, 0.7773])
momentum ([1.9, 3.8, 5.7], [0.61, 0.22, -0.17])
replaced ([0.1, 0.2, 0.3], [0.1, 0.2, 0.3], [0.1, 0.2, 0.3])
swapped ([0.19, 0.28, 0.37], [0.19, 0.29, 0.39], [0.8, 0.8237, 0.8316], [0.8, 0.7526, 0.7053])
restored ([0.6, 0.6, 0.6], {'step': [2.0], 'exp_avg': [0.19, 0.38, 0.57], 'exp_avg_sq': [0.002, 0.008, 0.018]})
other_groups [([0.19, 0.38, 0.57], True, 2.0), ([0.19, 0.38, 0.57], True, 2.0)]
forgotten ([0.1, 0.2, 0.3], [0.1, 0.2, 0.3])
loaded ([0.19, 0.38, 0.57], [0.19, 0.38, 0.57], [0.19, 0.38, 0.57])
"""


def test_held(tmp_path):
    done = run(tmp_path, PROGRAM)
    assert done.stdout == EXPECTED, done.stderr
