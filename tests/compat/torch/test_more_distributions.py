"""More of `torch.distributions`: PyTorch 2.13's numbers for the same program, and draws whose moments and slopes are right."""

import json
from pathlib import Path

import numpy as np
import pytest
from torch_program import run

PROGRAM = """
    import json, torch
    import torch.distributions as D
    torch.set_default_dtype(torch.float64)
    def T(*v): return torch.tensor(v, requires_grad=True)
    a, b = T(0.3, 1.7, 2.6), T(0.5, 1.4, 3.8)
    p = T(0.2, 0.5, 0.3)
    at, u, n = torch.tensor([0.4, 1.9, 4.15]), torch.tensor([0.2, 0.5, 0.93]), torch.tensor([3.0, 5.0, 7.0])
    counts = torch.tensor([0.0, 2.0, 7.0])
    two = D.Categorical(torch.tensor([[0.3, 0.7], [0.9, 0.1]]))
    mixed = D.MixtureSameFamily(D.Categorical(p), D.Normal(a, b))
    rows = D.MixtureSameFamily(two, D.Independent(D.Normal(torch.arange(12.0).reshape(2, 2, 3), 1.5), 1))
    def each():
        for d in (D.HalfNormal(a), D.HalfCauchy(a), D.Weibull(a, b + 1), D.Pareto(a, b)):
            yield d, [d.log_prob(at), d.cdf(at), d.icdf(u), d.entropy(), d.mean, d.variance, d.mode]
        for d in (D.Chi2(a), D.StudentT(b, a, b), D.StudentT(3.0)):
            yield d, [d.log_prob(at), d.entropy(), d.mean, d.variance, d.mode]
        for d in (D.Binomial(n, p), D.Binomial(n, logits=a), D.NegativeBinomial(n, p), D.NegativeBinomial(b, logits=a)):
            yield d, [d.log_prob(counts), d.mean, d.variance, d.mode, d.probs, d.logits]
        yield D.Binomial(4, p), [D.Binomial(4, p).entropy()]
        m = D.Multinomial(4, p)
        yield m, [m.log_prob(torch.tensor([1.0, 2.0, 1.0])), m.mean, m.variance]
        yield mixed, [mixed.log_prob(at), mixed.cdf(at), mixed.mean, mixed.variance]
        yield rows, [rows.log_prob(torch.ones(2, 3)), rows.mean, rows.variance]
    for d, values in each():
        for x in (a, b, p):
            x.grad = None
        total = sum((v * torch.arange(1.0, 1 + v.numel()).reshape(v.shape))[v.isfinite()].sum() for v in values)
        if total.requires_grad:
            total.backward()
        grads = [x.grad for x in (a, b, p) if x.grad is not None]
        shown = [[float(f"{float(x):.6g}") for x in v.detach().flatten()] for v in (*values, *grads)]
        print(json.dumps([type(d).__name__, list(d.batch_shape), list(d.event_shape), d.has_rsample, shown]))
"""

# PyTorch's lines: name, batch, event, whether draws are differentiable, and for each value and gradient its numbers
WANTED = Path(__file__).with_name("more_distributions.jsonl")

DRAWN = """
    import torch
    import torch.distributions as D
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    a, b = torch.tensor([2.5, 5.0]), torch.tensor([3.5, 6.0])
    p = torch.tensor([0.2, 0.5, 0.3])
    kinds = [
        D.HalfNormal(a), D.Weibull(a, b), D.Pareto(a, b + 6), D.Chi2(a), D.StudentT(b + 5, a, b), D.Binomial(7, p),
        D.NegativeBinomial(a, torch.tensor([0.3, 0.6])), D.Multinomial(9, p),
        D.MixtureSameFamily(D.Categorical(p), D.Normal(torch.tensor([-4.0, 0.0, 6.0]), 1.0)),
        D.MixtureSameFamily(D.Categorical(p), D.Independent(D.Normal(torch.arange(6.0).reshape(3, 2), 1.0), 1)),
        D.Gamma(a, b), D.Beta(a, b), D.Dirichlet(a),
    ]
    for d in kinds:
        drawn = d.sample((20000,))
        assert drawn.shape == (20000, *d.batch_shape, *d.event_shape), type(d)
        assert ((drawn.mean(0) - d.mean).abs() < 0.04 * d.stddev).all(), (type(d), drawn.mean(0), d.mean)
        assert ((drawn.std(0) / d.stddev).log().abs() < 0.06).all(), (type(d), drawn.std(0), d.stddev)
    # the mean slope of draws is that of the mean
    a.requires_grad_(), b.requires_grad_()
    for d in (D.Gamma(a, b), D.Beta(a, b), D.Dirichlet(a), D.StudentT(b + 5, a, b)):
        drawn = (d.rsample((40000,)) ** 2).mean(0)
        found = torch.autograd.grad((drawn * torch.tensor([1.0, -2.0])).sum(), [a, b], retain_graph=True, allow_unused=True)
        wanted = ((d.variance + d.mean**2) * torch.tensor([1.0, -2.0])).sum()
        for x, y in zip(found, torch.autograd.grad(wanted, [a, b], allow_unused=True)):
            assert (x is None) == (y is None), type(d)
            assert x is None or ((x - y).abs() < 0.06 * y.abs().max()).all(), (type(d), x, y)
    for bad in (lambda: D.Binomial(-1, p), lambda: D.Binomial(3, p).log_prob(torch.tensor(4.0)),
                lambda: D.Multinomial(3, p).log_prob(torch.tensor([1.0, 1.0, 0.0])), lambda: D.NegativeBinomial(2, 1.0 + p),
                lambda: D.Pareto(2.0, 1.0).log_prob(torch.tensor(1.0)), lambda: D.HalfNormal(-1.0),
                lambda: D.MixtureSameFamily(D.Categorical(p), D.Normal(a, b))):
        try:
            bad()
        except ValueError as error:
            print("refused")
    print(D.Normal(0.0, 1.0).log_prob(torch.tensor(0.0)).dtype)
"""


def test_values_and_gradients(tmp_path):
    done = run(tmp_path, PROGRAM)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    lines = WANTED.read_text(encoding="utf-8").splitlines()
    for (*head, values), (*expected_head, expected) in zip(found, map(json.loads, lines), strict=True):
        assert head == expected_head
        for value, wanted in zip(values, expected, strict=True):
            assert value == pytest.approx(wanted, rel=1e-5, abs=1e-6, nan_ok=True), head


def test_draws(tmp_path):
    done = run(tmp_path, DRAWN)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["refused"] * 7 + ["torch.float64"]


@pytest.mark.parametrize("quantile", [1e-6, 0.01, 0.5, 0.9, 1 - 1e-7])
def test_slope_of_a_quantile(quantile):
    """∂x/∂a of Γ, against central differences of SciPy's inverse."""
    special = pytest.importorskip("scipy.special")
    from weft.compat.torch.special import gamma_slope

    a = np.array([0.5, 1.0, 2.0, 5.0, 20.0, 100.0, 1e4])
    x, h = special.gammaincinv(a, quantile), 1e-4 * a
    wanted = (special.gammaincinv(a + h, quantile) - special.gammaincinv(a - h, quantile)) / (2 * h)
    np.testing.assert_allclose(gamma_slope(a, x), wanted, rtol=3e-6)
