"""Small programs in the idioms of published ones; what they must reach follows from what they train."""

from torch_program import run

PROGRAM = """
    import torch, torch.nn as nn, torch.nn.functional as F
    from torch.autograd import Function, Variable, grad
    from torch.func import functional_call
    from torch.nn.parallel import DistributedDataParallel
    from torch.optim import Optimizer
    from torch.profiler import ProfilerActivity, profile, record_function

    class Momentum(Optimizer):
        def __init__(self, params, lr, momentum=0.9):
            super().__init__(params, dict(lr=lr, momentum=momentum))

        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    state = self.state[p]
                    if len(state) == 0:
                        state["m"] = torch.zeros_like(p, memory_format=torch.preserve_format)
                    state["m"].mul_(group["momentum"]).add_(p.grad)
                    p.add_(state["m"], alpha=-group["lr"])

    def own_optimizer():
        x = torch.randn(32, 3)
        net, y = nn.Linear(3, 1), x.sum(1, keepdim=True)
        optimizer = Momentum(net.parameters(), 0.05)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.999)
        for _ in range(80):
            optimizer.zero_grad()
            loss = F.mse_loss(net(x), y)
            loss.backward()
            optimizer.step()
            schedule.step()
        saved = optimizer.state_dict()
        other = Momentum(net.parameters(), 1.0)
        other.load_state_dict(saved)
        assert torch.equal(other.state[net.weight]["m"], optimizer.state[net.weight]["m"])
        assert isinstance(torch.optim.Adam(net.parameters()), Optimizer) and not isinstance(optimizer, torch.optim.Adam)
        return loss.item() < 0.01 and other.param_groups[0]["lr"] == saved["param_groups"][0]["lr"]

    def differential_equation():  # u'' = −u, u(0) = 0, u'(0) = 1: the sine
        net = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))
        optimizer = torch.optim.LBFGS(net.parameters(), max_iter=150, line_search_fn="strong_wolfe")
        x, zero = torch.linspace(0, 2, 21).view(-1, 1).requires_grad_(), torch.zeros(1, 1, requires_grad=True)

        def loss():
            optimizer.zero_grad()
            u = net(x)
            u_x = grad(u, x, torch.ones_like(u), create_graph=True)[0]
            u_xx = grad(u_x, x, torch.ones_like(u), create_graph=True)[0]
            start = net(zero)
            slope = grad(start, zero, create_graph=True)[0]
            found = ((u_xx + u) ** 2).mean() + (start**2 + (slope - 1) ** 2).sum()
            found.backward()
            return found

        optimizer.step(loss)
        return (net(x) - x.sin()).abs().max().item() < 0.02

    def penalty_through_a_function_of_its_own():
        class Cube(Function):
            @staticmethod
            def forward(ctx, x):
                y = x**3
                ctx.save_for_backward(x, y)
                return y

            @staticmethod
            def backward(ctx, g):
                x, y = ctx.saved_tensors
                return g * 3 * y / x  # the output, which depends on x

        x = Variable(torch.tensor([2.0]), requires_grad=True)
        (slope,) = grad(Cube.apply(x).sum(), x, create_graph=True)
        slope.sum().backward()
        return slope.item() == 12 and abs(x.grad.item() - 12) < 1e-5

    def meta_learning():
        net, x, y = nn.Linear(2, 1), torch.randn(5, 2), torch.randn(5, 1)
        inner = grad(F.mse_loss(net(x), y), net.parameters(), create_graph=True)
        fast = [p - 0.1 * g for p, g in zip(net.parameters(), inner)]
        F.mse_loss(F.linear(x, *fast), y).backward()
        first = net.weight.grad.clone()
        net.zero_grad()
        names = dict(net.named_parameters())
        again = torch.func.grad(lambda p: F.mse_loss(functional_call(net, p, (x,)), y))(names)
        F.mse_loss(functional_call(net, {k: names[k] - 0.1 * again[k] for k in names}, (x,)), y).backward()
        return torch.allclose(first, net.weight.grad, atol=1e-5)

    def class_activation():
        kept = {}
        net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
        net[0].register_forward_hook(lambda module, args, output: kept.update(a=output.detach()))
        net[0].register_full_backward_hook(lambda module, grad_input, grad_output: kept.update(g=grad_output[0]))
        out = net(torch.randn(1, 1, 8, 8))
        out.retain_grad()
        out[0, 1].backward()
        return kept["a"].shape == kept["g"].shape == (1, 4, 6, 6) and out.grad.tolist() == [[0, 1, 0]]

    def wrapped():
        net = DistributedDataParallel(nn.Linear(2, 2), device_ids=[0])
        with net.no_sync():
            net(torch.ones(1, 2)).sum().backward()
        return list(net.state_dict()) == ["module.weight", "module.bias"] and net.module.weight.grad is not None

    def profiled():
        with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as p:
            with record_function("forward"):
                nn.Linear(2, 2)(torch.ones(1, 2))
            p.step()
        return "linear" in p.key_averages().table(sort_by="cpu_time_total", row_limit=5)

    def grid():
        rows, columns = torch.meshgrid([torch.arange(2), torch.arange(3)], indexing="ij")
        return rows.shape == (2, 3) and columns[1].tolist() == [0, 1, 2]

    torch.manual_seed(0)
    for case in (own_optimizer, differential_equation, penalty_through_a_function_of_its_own, meta_learning,
                 class_activation, wrapped, profiled, grid):
        print(case.__name__, bool(case()))
"""


def test_all(tmp_path):
    done = run(tmp_path, PROGRAM)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 8
    assert [line for line in lines if not line.endswith(" True")] == []
