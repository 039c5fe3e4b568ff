"""What PyTorch refuses, or leaves undefined, where several elements of a tensor lie in one place is an error with a way out."""

from torch_program import run

PROGRAM = """
    import torch
    from torch import nn

    def broadcast():
        return torch.zeros(1, 3).expand(2, 3)

    def add(x):
        x += 1

    def row(x):
        x[0] = 1

    writes = {
        "zero_": lambda x: x.zero_(), "fill_": lambda x: x.fill_(1.0), "add_": lambda x: x.add_(1.0), "+=": add, "[0] =": row,
        "copy_": lambda x: x.copy_(torch.ones(2, 3)), "clamp_": lambda x: x.clamp_(min=1.0), "normal_": lambda x: x.normal_(),
        "masked_fill_": lambda x: x.masked_fill_(x == 0, 1.0), "out=": lambda x: torch.add(torch.ones(2, 3), 1.0, out=x),
        "index_add_": lambda x: x.index_add_(0, torch.tensor([0]), torch.ones(1, 3)), "row": lambda x: x[0].zero_(),
        "relu": lambda x: nn.functional.relu(x, inplace=True), "ones_": nn.init.ones_, "init": nn.init.normal_,
        "xavier": nn.init.xavier_uniform_,
    }
    windows = {"unfold": lambda: torch.zeros(4).unfold(0, 2, 1), "as_strided": lambda: torch.zeros(4).as_strided((3, 2), (1, 1))}
    changes = {"add_": writes["add_"], "+=": add, "exp_": lambda x: x.exp_()}
    tried = [(f"expand {n}", broadcast, f) for n, f in writes.items()]
    tried += [(f"{n} {how}", make, f) for n, make in windows.items() for how, f in changes.items()]
    for name, make, write in tried:
        try:
            write(make())
            print(name, "went on")
        except RuntimeError as error:
            if not str(error).endswith("use .clone()"):
                print(name, error)
    apart = torch.zeros(6)
    apart.unfold(0, 2, 2).add_(1.0)  # windows that do not overlap
    apart.as_strided((2, 2), (3, 2))[:] += 1
    windows["unfold"]().zero_()  # whose order does not matter
    print(apart.tolist(), torch.zeros(4, 3).t().add_(1).sum().item(), torch.zeros(5)[::2].mul_(2).sum().item())
"""


def test_writes(tmp_path):
    done = run(tmp_path, PROGRAM)
    assert done.stdout == "[2.0, 1.0, 2.0, 2.0, 1.0, 2.0] 12.0 0.0\n", done.stderr
