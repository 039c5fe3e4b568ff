"""Keys of integers, slices and arrays mixed: PyTorch's rule, whose axes NumPy has in another order."""

from torch_program import run

PROGRAM = """
    import torch

    f = torch.arange(96.0).reshape(2, 3, 4, 4)
    ys = torch.tensor([0, 1])
    xs = torch.tensor([2, 3])
    print(f[0, :, ys, xs].tolist())
    i = torch.tensor([0, 2])
    print(f[:, i, :, 0].tolist(), f[:, i, :, 0].shape)
    sq = torch.arange(9.0).reshape(1, 3, 3)
    print(sq[0, :, torch.tensor([2, 0, 1])].tolist())
    z = torch.zeros(1, 2, 2)
    z[0, :, torch.tensor([0, 1])] = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    print(z.tolist())
    m = torch.tensor([True, False, True, True])
    for part in (f[0, ..., i], f[:, 0, :, i], f[0, :, [1, 0]], f[torch.tensor(0), :, i], f[0, None, :, i]):
        print(tuple(part.shape))
    for part in (f[0, :, m, 1], f[1, :, :, m]):
        print(tuple(part.shape))
    g = f.clone().requires_grad_()
    (g[0, :, ys, xs] * torch.arange(6.0).reshape(3, 2)).sum().backward()
    print(g.grad.nonzero().tolist(), g.grad.sum().item())
    h = f.clone().requires_grad_()
    y = h * 1
    y[1, :, ys, xs] = torch.ones(3, 2)
    (y * y).sum().backward()
    print(h.grad[1].sum().item())
"""
PRINTED = """\
[[2.0, 7.0], [18.0, 23.0], [34.0, 39.0]]
[[[0.0, 4.0, 8.0, 12.0], [32.0, 36.0, 40.0, 44.0]], [[48.0, 52.0, 56.0, 60.0], [80.0, 84.0, 88.0, 92.0]]] torch.Size([2, 2, 4])
[[2.0, 0.0, 1.0], [5.0, 3.0, 4.0], [8.0, 6.0, 7.0]]
[[[1.0, 2.0], [3.0, 4.0]]]
(3, 4, 2)
(2, 4, 2)
(3, 2, 4)
(3, 2, 4)
(1, 3, 2, 4)
(3, 3)
(3, 4, 3)
[[0, 0, 1, 3], [0, 1, 0, 2], [0, 1, 1, 3], [0, 2, 0, 2], [0, 2, 1, 3]] 15.0
6042.0
"""  # by PyTorch 2.13


def test_integers_come_before_arrays(tmp_path):
    """Also in writing, and in gradients of both."""
    done = run(tmp_path, PROGRAM)
    assert done.returncode == 0, done.stderr
    assert done.stdout == PRINTED
