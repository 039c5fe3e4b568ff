"""Transforms and constraints of distributions; the expected lines are what PyTorch 2.13 prints for the same program."""

from torch_program import run

PROGRAM = """
    import torch
    from torch.distributions import TransformedDistribution, Uniform, Normal, constraints, AffineTransform, SigmoidTransform
    from torch.distributions.transforms import ExpTransform, SoftplusTransform, PowerTransform, ComposeTransform, Transform
    uniform = Uniform(torch.tensor(0.0), torch.tensor(1.0))
    logistic = TransformedDistribution(uniform, [SigmoidTransform().inv, AffineTransform(loc=1.0, scale=2.0)])
    x = torch.tensor([-1.0, 0.5, 3.0], requires_grad=True)
    logistic.log_prob(x).sum().backward()
    print([round(v, 5) for v in logistic.log_prob(x).tolist()], [round(v, 5) for v in x.grad.tolist()])
    print(logistic.sample((4,)).shape)
    y = torch.tensor([0.3, 0.7])
    rounded = lambda x: [round(v, 4) for v in x.tolist()]
    chain = ComposeTransform([ExpTransform(), AffineTransform(0.0, 2.0)])
    square = PowerTransform(torch.tensor(2.0))
    for t in (ExpTransform(), SoftplusTransform(), SigmoidTransform(), square, AffineTransform(1.0, -3.0), chain):
        for m in (t, t.inv):
            z = m(y)
            if z.isfinite().all():
                print(type(t).__name__, rounded(z), rounded(m.log_abs_det_jacobian(y, z)), torch.allclose(m.inv(z), y, atol=1e-5))
    print(round(TransformedDistribution(Normal(0.0, 1.0), ExpTransform()).log_prob(torch.tensor(2.0)).item(), 5))
    print(AffineTransform(0.0, torch.tensor([2.0, 3.0]), event_dim=1).log_abs_det_jacobian(y, y).shape)
    class Twice(Transform):
        domain = codomain = constraints.real
        bijective = True
        def _call(self, x):
            return 2 * x
        def _inverse(self, y):
            return y / 2
        def log_abs_det_jacobian(self, x, y):
            return torch.full_like(x, 2.0).log()
    print(rounded(TransformedDistribution(Normal(torch.zeros(2), 1.0), [Twice()]).log_prob(y)))
    print(constraints.positive.check(y).tolist(), constraints.unit_interval.check(y * 2).tolist())
    print(constraints.simplex.check(y).item())
    print(constraints.greater_than(0.5).check(y).tolist(), constraints.interval(0.5, 1).check(y).tolist())
"""
PRINTED = """\
[-2.31967, -2.09503, -2.31967] [0.23106, 0.06218, -0.23106]
torch.Size([4])
ExpTransform [1.3499, 2.0138] [0.3, 0.7] True
ExpTransform [-1.204, -0.3567] [1.204, 0.3567] True
SoftplusTransform [0.8544, 1.1032] [-0.5544, -0.4032] True
SoftplusTransform [-1.0502, 0.0137] [1.3502, 0.6863] True
SigmoidTransform [0.5744, 0.6682] [-1.4087, -1.5064] True
SigmoidTransform [-0.8473, 0.8473] [1.5606, 1.5606] True
PowerTransform [0.09, 0.49] [-0.5108, 0.3365] True
PowerTransform [0.5477, 0.8367] [-0.0912, -0.5148] True
AffineTransform [0.1, -1.1] [1.0986, 1.0986] True
AffineTransform [0.2333, 0.1] [-1.0986, -1.0986] True
ComposeTransform [2.6997, 4.0275] [0.9931, 1.3931] True
ComposeTransform [-1.8971, -1.0498] [1.204, 0.3567] True
-1.85231
torch.Size([])
[-1.6233, -1.6733]
[True, True] [True, False]
True
[False, True] [False, True]
"""


def test_transforms(tmp_path):
    done = run(tmp_path, PROGRAM)
    assert done.returncode == 0, done.stderr
    assert done.stdout == PRINTED
