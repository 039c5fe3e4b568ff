"""`torch.distributions` refuse parameters and values that may not be, where PyTorch 2.13 does, and nowhere else."""

from torch_program import run

PROGRAM = """
    import torch, torch.distributions as D
    T = torch.tensor
    nan = float("nan")
    n = lambda: D.Normal(T([0.0, 1.0]), 1.0)
    for i, f in enumerate([
        lambda: D.Normal(0.0, -1.0), lambda: D.Normal(nan, 1.0), lambda: D.Categorical(T([-1.0, 2.0])),
        lambda: D.Categorical(logits=T([nan, 2.0])), lambda: D.Categorical(T([[0.5, 0.5]])).log_prob(T([2])),
        lambda: D.Categorical(T([[0.2, 0.8]] * 3)).log_prob(T([0, 1])), lambda: D.Bernoulli(T([1.5])),
        lambda: D.Bernoulli(T([0.5, 0.2])).log_prob(T([0.5, 1.0])), lambda: D.Bernoulli(logits=T([nan])),
        lambda: D.Uniform(1.0, 0.0), lambda: D.Uniform(0.0, 1.0).log_prob(T(2.0)), lambda: D.Uniform(0.0, 1.0).cdf(T(2.0)),
        lambda: n().log_prob(T([1.0, 2.0, 3.0])), lambda: n().log_prob(T([1.0, nan])),
        lambda: D.MultivariateNormal(T([0.0, 1.0]), T([[1.0, 0.5], [0.2, 1.0]])),
        lambda: D.MultivariateNormal(T([0.0, 1.0]), scale_tril=T([[1.0, 0.5], [0.2, 1.0]])),
        lambda: D.MultivariateNormal(T([0.0, 1.0]), torch.eye(2)).log_prob(T([1.0, 2.0, 3.0])),
        lambda: D.Geometric(0.0), lambda: D.Geometric(1.5), lambda: D.Geometric(0.5).log_prob(T(-1.0)),
        lambda: D.Dirichlet(T([1.0, -1.0])), lambda: D.Dirichlet(T([1.0, 1.0])).log_prob(T([0.5, 0.6])),
        lambda: D.Independent(n(), 1).log_prob(T([1.0, nan])), lambda: D.LogNormal(0.0, 1.0).log_prob(T(-1.0)),
        lambda: D.LogNormal(0.0, -1.0), lambda: D.Exponential(1.0).log_prob(T(-1.0)), lambda: D.Exponential(0.0),
        lambda: D.Gamma(1.0, 0.0), lambda: D.Gamma(1.0, 1.0).log_prob(T(-1.0)), lambda: D.Beta(0.0, 1.0),
        lambda: D.Beta(1.0, 1.0).log_prob(T(1.5)), lambda: D.Poisson(-1.0), lambda: D.Poisson(1.0).log_prob(T(0.5)),
        lambda: D.Laplace(0.0, -1.0), lambda: D.Gumbel(0.0, -1.0), lambda: D.Cauchy(0.0, -1.0),
        lambda: D.RelaxedBernoulli(T(0.5), probs=T(0.3)).log_prob(T(1.5)),
        lambda: D.RelaxedOneHotCategorical(T(0.5), probs=T([0.3, -0.7])),
        lambda: D.OneHotCategorical(T([0.5, 0.5])).log_prob(T([1.0, 1.0])),
        lambda: D.TransformedDistribution(D.Normal(0.0, 1.0), D.TanhTransform()).log_prob(T(2.0)),
        # and those that may be
        lambda: D.Normal(0.0, -1.0, validate_args=False), lambda: D.Categorical(T([2.0, 3.0])), lambda: n().icdf(T([2.0, 0.5])),
        lambda: D.Gamma(1.0, 1.0).log_prob(T(0.0)), lambda: D.Poisson(0.0), lambda: n().log_prob(T([[1.0], [2.0]])),
        lambda: D.Categorical(T([0.5, 0.5])).log_prob(T([[0, 1], [1, 1]])), lambda: D.Uniform(0.0, 1.0).log_prob(T(1.0)),
        lambda: D.Bernoulli(T([0.0, 1.0])).log_prob(T([1.0, 0.0])),
        lambda: D.Uniform(0.0, 1.0, validate_args=False).log_prob(T(2.0)),
        lambda: D.Normal(T([0.0, float("inf")]), 1.0),
    ]):
        try:
            f()
            print(i, "fine")
        except ValueError as error:
            print(i, "ValueError")
"""
REFUSED = 40  # the first so many, by PyTorch 2.13; none of the others

OWN = """
    import torch, torch.distributions as D
    from torch.distributions import constraints

    class Even(constraints.Constraint):
        def check(self, value):
            return value.remainder(2).abs() < 1e-6

    class Half(D.Distribution):
        arg_constraints = {"width": constraints.positive}
        support = Even()

        def __init__(self, width, validate_args=None):
            self.width = width
            super().__init__(width.shape, torch.Size(), validate_args=validate_args)

        def log_prob(self, value):
            if self._validate_args:
                self._validate_sample(value)
            return -value / self.width

    half = Half(torch.tensor([1.0, 2.0]))
    print(half.batch_shape, half.log_prob(torch.tensor([2.0, 4.0])).tolist())
    for bad in (lambda: Half(torch.tensor([-1.0])), lambda: half.log_prob(torch.tensor(1.0)),
                lambda: half.log_prob(torch.zeros(3)), lambda: half.log_prob(2.0)):
        try:
            print(bad())
        except ValueError as error:
            print(str(error).splitlines()[0])
    D.Distribution.set_default_validate_args(False)
    print(half.log_prob(torch.tensor(1.0)).tolist(), D.Normal(0.0, -1.0).scale.item())
    D.Distribution.set_default_validate_args(True)
    x = torch.linspace(-1, 1, 4)
    each = torch.func.vmap(lambda x: D.Normal(0.0, 1.0).log_prob(x))(x)
    assert torch.allclose(each, D.Normal(0.0, 1.0).log_prob(x))
"""


def test_what_may_not_be_is_refused(tmp_path):
    """A policy whose scale became negative, or NaN, would go on with numbers that mean nothing."""
    done = run(tmp_path, PROGRAM)
    assert done.returncode == 0, done.stderr
    found = [line.split()[1] for line in done.stdout.splitlines()]
    assert found == ["ValueError"] * REFUSED + ["fine"] * (len(found) - REFUSED)


def test_a_programs_own_distribution(tmp_path):
    """With a constraint of its own; `set_default_validate_args` and `vmap` go without looking."""
    done = run(tmp_path, OWN)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "torch.Size([2]) [-2.0, -2.0]",
        "expected parameter width (Tensor of shape (1,)) of Half to satisfy the constraint GreaterThan(lower_bound=0.0), but "
        "found invalid values:",
        "expected the value of shape () for Half to be within its support Even, but found invalid values:",
        "a value must broadcast with the distribution's shape (2,), batch and event, got shape (3,)",
        "the value must be a Tensor, got float",
        "[-1.0, -0.5] -1.0",
    ]
