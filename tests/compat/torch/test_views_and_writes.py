"""What is written through a view, `.data` and `.detach()` arrives, and gradients are right; values found by PyTorch 2.13."""

from torch_program import run

WRITES = """
    import torch
    from torch import nn

    def leaf(n=3):
        return torch.arange(1.0, n + 1, requires_grad=True)

    def windows():
        a = torch.zeros(6)
        a.unfold(0, 3, 3)[1] = 1
        b = torch.arange(12.0).reshape(3, 4)
        b.t().unfold(0, 2, 1)[0] = 9
        h = leaf(6) * 2
        u = h.unfold(0, 3, 3)
        u[0] *= 3
        assert u.tolist() == [[6, 12, 18], [8, 10, 12]]
        return a.tolist() == [0, 0, 0, 1, 1, 1] and b[:, :3].tolist() == [[9, 9, 2], [9, 9, 6], [9, 9, 10]] and h[0] == 6

    def strides():
        a, w = torch.zeros(4), leaf(6)
        a.as_strided((2,), (3,)).fill_(1)
        h = w * 1
        h.as_strided((2,), (3,)).mul_(5)
        (h**2).sum().backward()
        b = torch.arange(12.0).reshape(3, 4)[1:]
        assert b.as_strided((2, 2), (1, 4)).tolist() == [[4, 8], [5, 9]]
        assert b.as_strided((2, 2), (1, 4), 0).tolist() == [[0, 4], [1, 5]]
        return a.tolist() == [1, 0, 0, 1] and w.grad.tolist() == [50, 4, 6, 200, 10, 12]

    def strides_beyond_the_memory():
        try:
            torch.zeros(4).as_strided((2,), (4,))
        except RuntimeError as error:
            return "stay within the 4 elements" in str(error)

    def overlapping_windows_that_are_recorded():
        try:
            (leaf() * 1).unfold(0, 2, 1).mul_(2)
        except RuntimeError as error:
            return "share one place" in str(error)

    def memory_that_backward_needs():
        h = leaf() * 2
        s = h.sin().sum()
        with torch.no_grad():
            h.as_strided((2,), (2,)).fill_(1)
        try:
            s.backward()
        except RuntimeError as error:
            return "changed in place" in str(error)

    def complex_numbers():
        z, pairs = torch.zeros(2, dtype=torch.complex64), torch.zeros(2, 2)
        torch.view_as_real(z)[0, 0] = 7
        torch.view_as_real(z.reshape(2, 1).t())[0, 1, 1] = 2
        torch.view_as_complex(pairs)[0] = 1 + 2j
        w = torch.arange(4.0, requires_grad=True).reshape(2, 2)
        v = torch.view_as_real(torch.view_as_complex(w) * (1 + 2j))
        (g,) = torch.autograd.grad((v**3).sum(), w)
        return z.tolist() == [7, 2j] and pairs.tolist() == [[1, 2], [0, 0]] and g.tolist() == [[18, -21], [342, 51]]

    def data_of_what_was_computed():
        x = torch.tensor([0.9, 0.1], requires_grad=True)
        (x * torch.tensor([1.0, -1.0])).sum().backward()
        attacked, y = x + 0.3 * x.grad.sign(), leaf() * 2
        attacked.data.clamp_(0, 1)
        part = y[1:]
        y.data[0] = 5
        part.detach()[0] = 7
        y.detach().clamp_(max=6)
        return attacked.tolist() == [1, 0] and y.tolist() == [5, 6, 6] and part.tolist() == [6, 6]

    def what_is_detached_follows():
        h, w = leaf() * 2, leaf()
        seen = h.detach()
        h.mul_(w)
        return seen.tolist() == [2, 8, 18]

    def data_between_forward_and_backward():
        w = leaf()
        y, square = (w * 2).sum(), (w * w).sum()
        w.data.mul_(3)
        y.backward()
        square.backward()
        return w.grad.tolist() == [8, 14, 20]  # 2 + 2 · 3 w

    def detached_between_forward_and_backward():
        w = leaf()
        square = (w * w).sum()
        w.detach().mul_(3)
        try:
            square.backward()
        except RuntimeError as error:
            return "changed in place" in str(error)

    def losses_that_are_no_number():
        a = torch.tensor([4.0, -1.0], requires_grad=True)
        (g,) = torch.autograd.grad(a.sqrt().sum(), a)
        b = torch.tensor([2.0, 0.0], requires_grad=True)
        (h,) = torch.autograd.grad((1 / b).sum(), b)
        return g[0] == 0.25 and bool(g[1].isnan()) and h.tolist() == [-0.25, -float("inf")]

    def gradients_of_a_result_keep_its_record():
        w = leaf(4).reshape(2, 2)
        first = torch.autograd.grad((w**2).sum(), w)[0]
        return torch.equal(first, torch.autograd.grad((w**2).sum(), w)[0])

    cases = [v for v in list(globals().values()) if callable(v) and getattr(v, "__module__", None) == __name__ and v is not leaf]
    assert len(cases) == 12
    for case in cases:
        assert case(), case.__name__
    print("as PyTorch")
"""


def test_writes(tmp_path):
    done = run(tmp_path, WRITES)
    assert done.stdout.splitlines() == ["as PyTorch"], done.stderr
