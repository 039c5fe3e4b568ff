"""Programs in the idioms of PyTorch's examples, run as they are; the numbers are PyTorch 2.13's."""

import json
import subprocess
import sys

import pytest
from torch_program import run

CLASSIFIER = """
    import argparse
    import torch, torch.nn as nn, torch.nn.functional as F, torch.optim as optim
    from torch.optim.lr_scheduler import StepLR
    from torch.utils.data import DataLoader, TensorDataset, random_split
    from helper import halved

    class Net(nn.Module):
        def __init__(self):
            super(Net, self).__init__()
            self.conv, self.fc = nn.Conv2d(1, 4, 3, 1), nn.Linear(4 * 9, 3)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.conv(x)), 2)
            return F.log_softmax(self.fc(torch.flatten(x, 1)), dim=1)

    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int)
    args = parser.parse_args()
    torch.manual_seed(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    assert device.type == "cpu"
    y = torch.randint(0, 3, (120,))
    x = torch.randn(120, 1, 8, 8) * 0.1 + y.view(-1, 1, 1, 1).float() * torch.linspace(-1, 1, 8)
    train, test = random_split(TensorDataset(x, y), [100, 20])
    model = Net().to(device)
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.9)
    for epoch in range(args.epochs):
        for data, target in DataLoader(train, batch_size=20, shuffle=True, num_workers=2):
            data, target = data.to(device), target.to(device)
            optimizer.zero_grad()
            loss = F.nll_loss(model(data), target)
            loss.backward()
            optimizer.step()
        scheduler.step()
    correct = 0
    with torch.no_grad():
        for data, target in DataLoader(test, batch_size=7):
            values, indices = model(data).max(1)
            correct += indices.eq(target.view_as(indices)).sum().item()
            assert model(data).argmax(dim=1, keepdim=True).size() == torch.Size([len(target), 1])
    before = model.fc.bias.data.clone()
    model.fc.bias.data *= 2
    assert torch.equal(halved(model.fc.bias.data), before)
    print("correct", correct)
"""


def test_classifier_with_a_module_beside_it(tmp_path):
    (tmp_path / "helper.py").write_text("def halved(x):\n    return x.data / 2\n")
    done = run(tmp_path, CLASSIFIER, "--epochs", "6")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) >= 18


# (expression, what PyTorch 2.13 gives for it as nested lists), with x = torch.tensor([[1., 5., 2.], [4., 0., 6.]])
MEANINGS = [
    ("x.max(1)[0]", [5.0, 6.0]),
    ("x.max(1).indices", [1, 2]),
    ("torch.max(x, 1)[1]", [1, 2]),
    ("torch.max(x, 1, keepdim=True)[1]", [[1], [2]]),
    ("torch.min(x, x.flip(1))", [[1.0, 5.0, 1.0], [4.0, 0.0, 4.0]]),
    ("x.max()", 6.0),
    ("x.std(1)", [2.081665999466133, 3.055050463303893]),
    ("x.std()", 2.3664319132398464),
    ("x.var(0, unbiased=False)", [2.25, 6.25, 4.0]),
    ("x.std(False)", 2.160246899469287),
    ("x.sum(1, True)", [[8.0], [10.0]]),
    ("x.sum([0, 1])", 18.0),
    ("x.mean(0)", [2.5, 2.5, 4.0]),
    ("x.sort(1, descending=True)[1]", [[1, 2, 0], [2, 0, 1]]),
    ("x.repeat(1, 2).shape", [2, 6]),
    ("x[0].repeat(2)", [1.0, 5.0, 2.0, 1.0, 5.0, 2.0]),
    ("(x > 3).nonzero()", [[0, 1], [1, 0], [1, 2]]),
    ("x.size()", [2, 3]),
    ("x.size(-1)", 3),
    ("torch.cat((x, x), dim=1).size(1)", 6),
    ("torch.norm(x)", 9.05538513813742),
    ("torch.arange(1, 4) / 2", [0.5, 1.0, 1.5]),
    ("torch.zeros(2, 1) + torch.ones((1, 2), dtype=torch.long)", [[1.0, 1.0], [1.0, 1.0]]),
    ("torch.add(x[0], x[1], out=torch.empty(3))", [5.0, 5.0, 8.0]),
    ("torch.add(x[0], x[1], alpha=2)", [9.0, 5.0, 14.0]),
    ("x.type()", "torch.FloatTensor"),
    ("torch.LongTensor([1, 2]) * 2", [2, 4]),
    ("torch.Tensor([1, 2]).type()", "torch.FloatTensor"),
    ("isinstance(torch.Tensor(2, 3), torch.Tensor) and torch.Tensor(2, 3).size()", [2, 3]),
    ("x.take(torch.tensor([3, 1]))", [4.0, 5.0]),
    ("torch.var_mean(x)[1]", 3.0),
    ("torch.std_mean(x, False)[0]", 2.160246899469287),
    ("torch.vstack([x, x]).size()", [4, 3]),
    ("torch.hstack([x[0], x[1]]).size()", [6]),
    ("torch.equal(x, x)", True),
    ("torch.multinomial(torch.tensor([0.0, 1.0, 0.0]), 3, replacement=True)", [1, 1, 1]),
    ("torch.multinomial(torch.tensor([0.5, 0.0, 0.5]), 2).sort()[0]", [0, 2]),
]  # fmt: skip


def test_meanings(tmp_path):
    lines = ["import json, torch", "x = torch.tensor([[1., 5., 2.], [4., 0., 6.]])"]
    lines += ["plain = lambda v: v.tolist() if torch.is_tensor(v) else v"]
    lines += [f"print(json.dumps(plain({expression})))" for expression, _ in MEANINGS]
    done = run(tmp_path, "\n".join(lines))
    assert done.returncode == 0, done.stderr
    for (expression, wanted), found in zip(MEANINGS, map(json.loads, done.stdout.splitlines()), strict=True):
        assert found == (pytest.approx(wanted, rel=1e-6) if isinstance(wanted, float) else wanted) or (
            expression == "x.std(1)" and found == pytest.approx(wanted, rel=1e-6)
        ), expression


OWN_FUNCTION = """
    import torch

    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x ** 3

        @staticmethod
        def backward(ctx, grad):
            x, = ctx.saved_tensors
            return grad * 3 * x ** 2

    x = torch.tensor([1., 2.], requires_grad=True)
    Cube.apply(x).sum().backward()
    print(x.grad.tolist())
"""


def test_autograd_function(tmp_path):
    done = run(tmp_path, OWN_FUNCTION)
    assert (done.returncode, done.stdout.strip()) == (0, "[3.0, 12.0]"), done.stderr


OWN_FUNCTIONS = """
    import torch
    from torch.autograd import Function, gradcheck, gradgradcheck

    class Cube(Function):
        @staticmethod
        def forward(x):
            return x ** 3, 3 * x ** 2

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.mark_non_differentiable(output[1])
            ctx.save_for_backward(inputs[0])

        @staticmethod
        def backward(ctx, grad, of_constant):
            return grad * 3 * ctx.saved_tensors[0] ** 2

    class Twice(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x.mul_(2)

        @staticmethod
        def backward(ctx, grad):
            return grad * 2

    class Wrong(Cube):
        @staticmethod
        def backward(ctx, grad, of_constant):
            return grad

    class Lost(Twice):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x * 2

    x = torch.tensor([1., -2.], dtype=torch.float64, requires_grad=True)
    y, slope = Cube.apply(x)
    print(y.requires_grad, slope.requires_grad, torch.autograd.grad(y.sum(), x)[0].tolist())
    z = x * 1
    Twice.apply(z)  # z itself is the result
    (z ** 2).sum().backward()
    print(z.tolist(), x.grad.tolist())
    print(gradcheck(lambda v: Cube.apply(v)[0], x), gradgradcheck(lambda v: Cube.apply(v)[0], (x,)))
    print(gradcheck(lambda v: Wrong.apply(v)[0], (x,), raise_exception=False))
    for f in (
        lambda: Twice.apply(x), lambda: Lost.apply(x * 1), lambda: gradcheck(torch.sin, x.detach()),
        lambda: gradcheck(lambda v: Wrong.apply(v)[0], x),
    ):
        try:
            f()
        except (RuntimeError, ValueError) as e:
            print(e)
"""


def test_functions_that_write_to_arguments_and_constants(tmp_path):
    done = run(tmp_path, OWN_FUNCTIONS)
    assert done.stdout.splitlines() == [
        "True False [3.0, 12.0]",
        "[2.0, -4.0] [8.0, -16.0]",
        "True True",
        "False",
        "`mark_dirty` must not get a leaf that requires grad, got one; give a copy: x.clone()",
        "`Lost.forward` must return what is marked as dirty, got others",
        "`inputs` must have one that requires grad, got none; make it with requires_grad=True",
        "Jacobian mismatch for output 0 with respect to input 0: `backward` gives 1, differences 12 at element 1 of the "
        "output, 1 of the input",
    ], done.stderr


DRAWS = """
    import random
    import numpy as np, torch
    from torch.utils.data import DataLoader, Dataset

    class Augmented(Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):
            return torch.tensor([random.random(), np.random.rand()])

    def drawn(workers):
        random.seed(5), np.random.seed(5), torch.manual_seed(5)
        return [b.tolist() for b in DataLoader(Augmented(), 2, num_workers=workers)]

    mine = drawn(0)
    random.seed(5), np.random.seed(5)
    print(mine == [torch.tensor([[random.random(), np.random.rand()] for _ in "ab"]).tolist() for _ in "ab"])
    print(drawn(2) == drawn(2), drawn(2) != drawn(0))
    print(torch.fft.fft2(torch.ones(2, 3, 4)).real[:, 0, 0].tolist(), torch.fft.irfft2(torch.fft.rfft2(torch.eye(2))).tolist())
"""


def test_what_samples_draw_is_the_programs(tmp_path):
    done = run(tmp_path, DRAWS)
    assert done.stdout.splitlines() == ["True", "True True", "[12.0, 12.0] [[1.0, 0.0], [0.0, 1.0]]"], done.stderr


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import torch\ntorch.nosuch", "`torch.nosuch` is not in weft.compat.torch"),
        ("import torch\ntorch.nn.NoSuch", "`torch.nn.NoSuch` is not in weft.compat.torch; there is "),
        ("import torch.nosuch", "`torch.nosuch` is not in weft.compat.torch; there is "),
        (
            "from torch.distributions import VonMises",
            "`torch.distributions.VonMises` is not in weft.compat.torch; there is ",
        ),
        (
            "from torch.distributions import VonMises",
            ", StudentT, TanhTransform, Transform, TransformedDistribution, Uniform, W",
        ),
        ("from torch.optim import Addam", "`torch.optim.Addam` is not in weft.compat.torch; did you mean Adam"),
        (
            "from torch.distributions.von_mises import VonMises",
            "`torch.distributions.von_mises` is not in weft.compat.torch; there is ",
        ),
        (
            "from torchvision import datasets\ndatasets.MNIST('nowhere', download=True)",
            "`root` must hold the files of MNIST",
        ),
        ("import torch\ntorch.multinomial(torch.tensor([0.0, 1.0]), 2)", "must be at most 1, the weights > 0, got 2"),
    ],
)
def test_what_is_missing_is_named(tmp_path, program, message):
    done = run(tmp_path, program)
    assert done.returncode == 1
    assert message in done.stderr


def test_wrong_use(tmp_path):
    command = [sys.executable, "-m", "weft.compat.torch", "nosuch.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "`SCRIPT` must be a Python file, got 'nosuch.py'" in done.stderr


GRID = """
    import torch
    from torchvision.utils import make_grid, save_image

    images = torch.arange(8).float().view(2, 1, 2, 2) / 8
    grid = make_grid(images, nrow=2, padding=1)
    assert grid.size() == torch.Size([3, 4, 7])
    print(grid[0, 1:3, 1:6].tolist())
    save_image(images, "grid.png")
"""


def test_grid_of_images(tmp_path):
    done = run(tmp_path, GRID)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[[0.0, 0.125, 0.0, 0.5, 0.625], [0.25, 0.375, 0.0, 0.75, 0.875]]"
    assert (tmp_path / "grid.png").stat().st_size


POLICY = """
    import torch
    from torch.distributions import Bernoulli, Categorical, Normal

    torch.manual_seed(0)
    policy = Categorical(torch.tensor([[0.2, 0.8], [0.5, 0.5]]))
    drawn = policy.sample((4000,)).float().mean(0)
    assert (drawn - torch.tensor([0.8, 0.5])).abs().max().item() < 0.04
    print(policy.log_prob(torch.tensor([1, 0])).tolist(), policy.entropy().tolist())
    one, coin = torch.tensor([1.0]), Bernoulli(torch.tensor([0.3]))
    print(Normal(1.0, 2.0).log_prob(one - 1).tolist(), coin.log_prob(one).tolist())
"""


def test_distributions(tmp_path):
    done = run(tmp_path, POLICY)
    assert done.returncode == 0, done.stderr
    found = json.loads("[" + done.stdout.replace("] [", "],[").replace("\n", ",").rstrip(",") + "]")
    wanted = [[-0.22314355, -0.69314718], [0.50040242, 0.69314718], [-1.7370857], [-1.2039728]]
    for a, b in zip(found, wanted, strict=True):
        assert a == pytest.approx(b, rel=1e-5)


GRADIENTS = """
    import torch
    from torch.utils.data import RandomSampler

    a, b = (torch.tensor([2.0, 3.0], requires_grad=True) for _ in range(2))
    print(*(g.tolist() for g in torch.autograd.grad((a * a * b).sum(), (a, b))), a.grad)
    assert len(list(RandomSampler(range(5), replacement=True, num_samples=2000))) == 2000
    assert sorted(RandomSampler(range(5))) == [0, 1, 2, 3, 4]
    (slope,) = torch.autograd.grad((a**3 * b).sum(), a, create_graph=True)
    print(*(g.tolist() for g in torch.autograd.grad(slope.sum(), (a, b))))
"""


def test_gradients_that_go_to_nobody(tmp_path):
    done = run(tmp_path, GRADIENTS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "[8.0, 18.0] [4.0, 9.0] None"
    assert done.stdout.splitlines()[1] == "[24.0, 54.0] [12.0, 27.0]"
