"""Distribution functions, modes, gradients and events of `torch.distributions`: PyTorch 2.13's numbers for the same program."""

import json

import pytest
from torch_program import run

INF = float("inf")
PROGRAM = """
    import json, torch
    import torch.distributions as D
    torch.set_default_dtype(torch.float64)
    def T(*v): return torch.tensor(v, requires_grad=True)
    a, b = T(0.3, -0.7, 1.1), T(0.5, 1.4, 0.8)
    at, u = torch.tensor([0.4, 0.9, 0.15]), torch.tensor([0.2, 0.5, 0.93])
    tanh = D.transforms.TanhTransform
    falls = [D.transforms.AffineTransform(1.0, -2.0), D.transforms.ExpTransform()]
    row = torch.tensor([[0.2, -0.4, 0.6]])
    L = torch.tensor([[1.2, 0.0], [0.5, 0.7]], requires_grad=True)
    S = torch.tensor([[2.0, 0.5], [0.5, 1.0]], requires_grad=True)
    v2 = torch.tensor([0.3, -0.2])
    p = T(0.2, 0.5, 0.3)
    hot = D.OneHotCategorical(p)
    soft, yes = D.RelaxedOneHotCategorical(torch.tensor(0.7), p), D.RelaxedBernoulli(torch.tensor(0.7), logits=a)
    def each():
        ln = D.LogNormal(a, b)
        yield "LogNormal", [ln.cdf(at), ln.icdf(u), ln.mode, ln.log_prob(at)]
        squashed = D.TransformedDistribution(D.Independent(D.Normal(a, b), 1), [tanh()])
        yield "Independent, tanh", [squashed.log_prob(row)]
        yield "tanh, Independent", [D.Independent(D.TransformedDistribution(D.Normal(a, b), tanh()), 1).log_prob(row)]
        affine = D.TransformedDistribution(D.Normal(a, b), D.transforms.AffineTransform(a, b, event_dim=1))
        yield "event of a transform", [affine.log_prob(row)]
        both = D.transforms.ComposeTransform([D.transforms.AffineTransform(a, b, event_dim=1), tanh()])
        yield "two transforms", [D.TransformedDistribution(D.Normal(a, b), both).log_prob(row)]
        turned = D.TransformedDistribution(D.Normal(a, b), falls)
        yield "falling", [turned.cdf(at), turned.icdf(u)]
        yield "lower triangle", [D.MultivariateNormal(v2 * 0, scale_tril=L).log_prob(v2)]
        lower = D.MultivariateNormal(v2 * 0, scale_tril=L)
        yield "divergence of triangles", [D.kl_divergence(D.MultivariateNormal(v2, torch.eye(2)), lower)]
        yield "covariance", [D.MultivariateNormal(v2, S).covariance_matrix, D.MultivariateNormal(v2, S).precision_matrix]
        yield "relaxed", [soft.log_prob(torch.tensor([0.1, 0.6, 0.3])), yes.log_prob(at)]
        for d in (D.Uniform(a - 1, b + 1), D.Exponential(b), D.Laplace(a, b), D.Gumbel(a, b), D.Cauchy(a, b)):
            yield type(d).__name__, [d.cdf(at), d.icdf(u)]
        kinds = (D.Laplace(a, b), D.Gumbel(a, b), D.Gamma(b, b), D.Poisson(b + 2), D.Bernoulli(at), D.Exponential(b))
        yield "modes", [d.mode for d in kinds]
        yield "one-hot", [hot.mode, D.OneHotCategorical(p).log_prob(torch.tensor([0.0, 0.0, 1.0]))]
    for name, values in each():
        for x in (a, b, L, S, p):
            x.grad = None
        total = sum((v * torch.arange(1.0, 1 + v.numel()).reshape(v.shape)).sum() for v in values)
        if total.requires_grad:
            total.backward()
        grads = [x.grad for x in (a, b, L, S, p) if x.grad is not None]
        print(json.dumps([name, [[round(float(x), 9) for x in v.detach().flatten()] for v in (*values, *grads)]]))
    torch.manual_seed(0)
    t, x = tanh(cache_size=1), torch.tensor([30.0])
    small = D.Gamma(torch.tensor([1e-3]).float(), torch.tensor([1.0]).float())
    kinds = (small, D.Beta(small.concentration, small.concentration), D.Dirichlet(torch.tensor([1e-2, 1e-2]).float()))
    few = [d.sample((500,)) for d in kinds]
    print(json.dumps([
        t.inv(t(x)) is x, bool(tanh().inv(t(x)).isinf()), isinstance(hot, D.Categorical), isinstance(D.LogNormal(a, b), D.Normal),
        [bool((y > 0).all()) for y in few], bool((few[1] < 1).all()),
        list(hot.event_shape), list(soft.event_shape), list(soft.batch_shape),
        D.Cauchy(a, b).variance.tolist(),
        D.Normal(a, b).has_rsample, D.Poisson(b).has_rsample,
        list(D.TransformedDistribution(D.Independent(D.Normal(a, b), 1), tanh()).event_shape),
        list(D.TransformedDistribution(D.Normal(a, b), D.transforms.AffineTransform(a, b, event_dim=1)).event_shape)]))
    normal = D.Normal(a, b)
    for wrong in (
        lambda: D.kl_divergence(D.Independent(normal, 1), D.Independent(normal, 0)),
        lambda: D.kl_divergence(hot, D.Categorical(p)), lambda: D.Independent(normal, 2),
    ):
        try:
            print(wrong())
        except (NotImplementedError, ValueError) as error:
            print(json.dumps(type(error).__name__))
"""

WANTED = {
    "LogNormal": [
        [0.007495809, 0.664487797, 8.9695e-05],
        [0.886201775, 0.496585304, 9.782869271],
        [1.051271096, 0.069948222, 1.584073985],
        [-2.26822691, -1.240253345, -5.816431406],
        [-2.969088265, 1.219082391, 20.050489643],
        [8.138492345, -1.783747101, 84.597050954],
    ],
    "Independent, tanh": [
        [-1.683258354],
        [-0.389069784, 0.140995444, -0.63570753],
        [-1.924312352, -0.686454113, -0.926700749],
    ],
    "tanh, Independent": [
        [-1.683258354],
        [-0.389069784, 0.140995444, -0.63570753],
        [-1.924312352, -0.686454113, -0.926700749],
    ],
    "event of a transform": [[-4.635130122], [-6.0, 0.799666805, -6.064453125], [-1.2, -1.052537633, 5.417480469]],
    "two transforms": [
        [-3.651755609],
        [-5.934418703, 0.78489238, -5.655114929],
        [-1.273847592, -1.07053386, 4.151458364],
    ],
    "falling": [
        [0.09403824, 0.185454594, 0.331527206],
        [0.642993134, 11.023176381, 3.193973155],
        [-0.950475758, -43.71079606, -17.803273918],
        [-0.640683974, 0.341721745, 28.874619727],
    ],
    "lower triangle": [[-1.802554292], [-0.712159864, 0.0, -0.165816327, -1.120626822]],
    "divergence of triangles": [[0.509461806], [-0.161800831, 0.0, 0.874433107, -2.300979916]],
    "covariance": [
        [2.0, 0.5, 0.5, 1.0],
        [0.571428571, -0.285714286, -0.285714286, 1.142857143],
        [1.163265306, 1.632653061, 2.632653061, 0.326530612],
    ],
    "relaxed": [
        [0.65874865],
        [-0.399882622, -0.389489478, -0.79977271],
        [-0.283894391, 1.614461535, -2.460287798],
        [-1.228118475, 0.223149086, 0.446830507],
    ],
    "Uniform": [
        [0.5, 0.634146341, 0.029411765],
        [-0.26, 0.35, 1.681],
        [0.572727273, 0.821534801, -1.502802768],
        [-0.027272727, 0.690660321, 2.738096886],
    ],
    "Exponential": [
        [0.181269247, 0.716345974, 0.113079563],
        [0.446287103, 0.495105129, 3.324075046],
        [-0.565081904, -0.196715794, -12.066167227],
    ],
    "Laplace": [
        [0.590634623, 0.840546721, 0.152491384],
        [-0.158145366, -0.7, 2.672890285],
        [0.181269247, 1.772209602, 2.428157309],
        [-1.080036882, -0.260331884, 6.577401765],
    ],
    "Gumbel": [
        [0.440991026, 0.726943474, 0.037670659],
        [0.062057502, -0.186881911, 3.198555295],
        [0.27789417, 1.668818513, 2.536809994],
        [-0.620306161, 0.354532714, 8.419620489],
    ],
    "Cauchy": [
        [0.562832958, 0.771189305, 0.22278282],
        [-0.38819096, -0.7, 4.678994263],
        [0.387865603, 1.802816885, 2.504736644],
        [-1.4988088, -0.225352132, 14.009353723],
    ],
    "modes": [
        [0.3, -0.7, 1.1],
        [0.3, -0.7, 1.1],
        [0.0, 0.285714286, 0.0],
        [2.0, 3.0, 2.0],
        [0.0, 1.0, 0.0],
        [0.0, 0.0, 0.0],
        [2.0, 4.0, 6.0],
        [0.0, 1.020408163, 0.0],
    ],
    "one-hot": [[0.0, 1.0, 0.0], [-1.203972804], [-1.0, -1.0, 2.333333333]],
}
FACTS = [True, True, False, False, [True, True, True], True, [3], [3], [], [INF, INF, INF], True, False, [3], [3]]


def test_values_and_gradients_are_those_of_pytorch(tmp_path):
    done = run(tmp_path, PROGRAM)
    assert done.returncode == 0, done.stderr
    *values, facts, first, second, third = map(json.loads, done.stdout.splitlines())
    assert dict(values).keys() == WANTED.keys()
    for name, found in values:
        assert len(found) == len(WANTED[name]), name
        for got, wanted in zip(found, WANTED[name], strict=True):
            assert got == pytest.approx(wanted, rel=1e-7, abs=2e-9), name
    assert facts == FACTS
    assert [first, second, third] == ["NotImplementedError", "NotImplementedError", "ValueError"]
