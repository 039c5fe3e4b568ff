"""`torch.distributions` in programs; log-probabilities, entropies and divergences are PyTorch 2.13's, moments those drawn."""

import json

import pytest
from torch_program import run

PROGRAM = """
    import json, torch
    import torch.distributions as D
    torch.manual_seed(0)
    x, a, b = torch.tensor([0.3, 0.6]), torch.tensor([1.5, 2.5]), torch.tensor([0.7, 3.0])
    S = torch.tensor([[2.0, 0.5], [0.5, 1.0]])
    tanh = D.TransformedDistribution(D.Normal(a, b), [D.TanhTransform()])
    pairs = [
        (D.Uniform(a * 0, a), None), (D.Exponential(a), D.Exponential(b)), (D.Laplace(a, b), None), (D.Gumbel(a, b), None),
        (D.LogNormal(a, b / 6), None), (D.Gamma(a, b), D.Gamma(b, a)), (D.Beta(a, b), D.Beta(b, a)),
        (D.Geometric(x), None), (D.Independent(D.Normal(a, b), 1), D.Independent(D.Normal(b, a), 1)), (tanh, None),
        (D.MultivariateNormal(a, S), D.MultivariateNormal(b, torch.eye(2))), (D.Poisson(a), None),
        (D.Normal(a, b), D.Normal(b, a)), (D.Bernoulli(x), D.Bernoulli(x * x)),
    ]
    def numbers(f):
        try:
            return f().tolist()
        except NotImplementedError:
            return None
    for p, q in pairs:
        at = torch.tensor([0.0, 1.0]) if isinstance(p, (D.Geometric, D.Bernoulli, D.Poisson)) else x
        found = [numbers(lambda: p.log_prob(at)), numbers(p.entropy), numbers(lambda: D.kl_divergence(p, q))]
        print(json.dumps([type(p).__name__, found]))
        if p is not tanh:
            drawn = p.sample((4000,))
            assert ((drawn.mean(0) - p.mean).abs() < 0.1 * p.stddev).all(), type(p)
            assert ((drawn.std(0) / p.stddev).log().abs() < 0.15).all(), type(p)
    d = D.Dirichlet(torch.tensor([1.0, 2.0, 3.0]))
    print(json.dumps(["Dirichlet", [d.log_prob(torch.tensor([0.2, 0.3, 0.5])).item(), d.entropy().item(), None]]))
    one = D.OneHotCategorical(torch.tensor([0.2, 0.8]))
    assert one.sample((5,)).sum(-1).tolist() == [1.0] * 5 and abs(one.log_prob(torch.tensor([0.0, 1.0])).exp() - 0.8) < 1e-6
    for soft in (D.RelaxedOneHotCategorical(0.5, logits=torch.zeros(3, requires_grad=True)),):
        drawn = soft.rsample((4,))
        assert drawn.requires_grad and torch.allclose(drawn.sum(-1), torch.ones(4))
    assert 0 < D.RelaxedBernoulli(0.5, probs=torch.tensor(0.3)).rsample().item() < 1
    assert d.batch_shape == () and d.event_shape == (3,) and D.Independent(D.Normal(a, b), 1).event_shape == (2,)
    assert D.Normal(torch.zeros(1, requires_grad=True), 1.0).rsample((3,)).requires_grad
    for bad in (lambda: D.kl_divergence(D.Normal(a, b), one), lambda: D.Geometric(x).rsample(), lambda: D.MultivariateNormal(a)):
        try:
            bad()
        except (NotImplementedError, ValueError) as error:
            print(error)
"""

EDGES = """
    import json, torch, torch.distributions as D
    p = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]], requires_grad=True)
    c = D.Categorical(p)
    (c.log_prob(torch.tensor([2, 0])).sum() + c.entropy().sum()).backward()
    b = D.Bernoulli(torch.tensor([0.0, 0.3, 1.0]))
    print(json.dumps([c.log_prob(torch.tensor([2, 0])).tolist(), c.entropy().tolist(), p.grad.flatten().tolist()]))
    print(json.dumps([b.log_prob(torch.tensor([0.0, 1.0, 0.0])).tolist(), b.probs.tolist()]))
"""

CLASSES = [[-15.9423847, -1.192093e-07], [0.69314718, 1.192093e-07], [0.0, 0.0, 16.249237, 0.0, 15.9423847, 15.9423847]]
TWO = [[0.0, -1.2039728, -15.9423847], [0.0, 0.3, 1.0]]


def test_probabilities_of_zero_and_one(tmp_path):
    """PyTorch computes logits of what is clamped to [ε, 1 − ε], without a gradient beyond."""
    done = run(tmp_path, EDGES)
    assert done.returncode == 0, done.stderr
    classes, two = map(json.loads, done.stdout.splitlines())
    for found, wanted in zip(classes, CLASSES, strict=True):
        assert found == pytest.approx(wanted, rel=1e-5, abs=2e-7)
    for found, wanted in zip(two, TWO, strict=True):
        assert found == pytest.approx(wanted, rel=1e-5, abs=2e-7)


WANTED = {
    "Uniform": [[-0.4054651, -0.9162908], [0.4054651, 0.9162908], None],
    "Exponential": [[-0.0445349, -0.5837092], [0.5945349, 0.0837092], [0.2288067, 0.0176785]],
    "Laplace": [[-2.0507581, -2.4250927], [1.3364723, 2.7917595], None],
    "Gumbel": [[-3.4817479, -2.3491588], [1.2205408, 2.675828], None],
    "LogNormal": [[-266.151123, -17.8451061], [0.7705041, 3.2257915], None],
    "Gamma": [[-1.2262167, -0.1043905], [1.7176477, 0.6313354], [1.5916291, 0.1871841]],
    "Beta": [[-0.5381215, 0.381164], [-0.2322557, -0.2414615], [1.0052108, 0.1098137]],
    "Geometric": [[-1.2039728, -1.4271164], [2.0362144, 1.1216861], None],
    "Independent": [-4.2497578, 3.5798144, 0.5709296],
    "TransformedDistribution": [[-1.9141198, -1.7526369], None, None],
    "MultivariateNormal": [-3.9405415, 3.1176848, 0.665192],
    "Poisson": [[-1.5, -1.5837092], None, None],
    "Normal": [[-2.0316515, -2.2181063], [1.0622635, 2.5175509], [0.5132512, 0.0576784]],
    "Bernoulli": [[-0.356675, -0.5108256], [0.6108643, 0.6730117], [0.1775369, 0.1184939]],
    "Dirichlet": [1.5040774, -1.2443442, None],
}


def test_log_probabilities_entropies_divergences_and_draws(tmp_path):
    done = run(tmp_path, PROGRAM)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    found = dict(map(json.loads, lines[:-3]))
    assert len(found) == 15
    for name, wanted in WANTED.items():
        for got, value in zip(found[name], wanted, strict=True):
            if value is not None and got is not None:
                assert got == pytest.approx(value, rel=2e-5), name
    assert lines[-3:] == [
        "`kl_divergence` has no rule for Normal and OneHotCategorical; register_kl adds one",
        "`Geometric` has no rsample; use sample",
        "one of `covariance_matrix`, `precision_matrix` and `scale_tril` must be given, and no other",
    ]
