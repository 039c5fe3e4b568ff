"""Where PyTorch's results require grad, weft's do, or say that there is no gradient; values found by PyTorch 2.13."""

from torch_program import run

PROGRAM = """
    import torch
    import torch.nn.functional as F
    from torch import nn

    M = torch.tensor([[0.2, -1.3, 0.5], [0.9, 0.1, 0.4], [-0.3, 0.6, -0.8]], dtype=torch.float64)

    def near(x, values):
        return torch.allclose(x.reshape(-1), torch.tensor(values, dtype=x.dtype), rtol=1e-3, atol=2e-3)

    def refused(error, words, f):
        try:
            f()
        except error as found:
            return words in str(found)

    def second(f, x):
        x = x.clone().requires_grad_()
        (g,) = torch.autograd.grad((f(x) ** 3).sum(), x, create_graph=True)
        return torch.autograd.grad((g**2).sum(), x)[0]

    def differences(f, x, step=1e-6):
        slopes = torch.zeros(x.numel(), dtype=x.dtype)
        for i in range(x.numel()):
            d = torch.zeros(x.numel(), dtype=x.dtype)
            d[i] = step
            slopes[i] = (f(x + d.reshape(x.shape)) - f(x - d.reshape(x.shape))) / (2 * step)
        return slopes

    def eigenvalues():
        a = torch.tensor([[2.0, 1.0], [0.0, 3.0]], requires_grad=True)
        torch.linalg.eigvals(a).abs().max().backward()
        return near(a.grad, [0, 0, 1, 1])

    def eigenvectors():
        def loss(x):
            w, v = torch.linalg.eig(x)
            return (v.abs() ** 3).sum() + (w.abs() ** 2).sum()

        a = M.clone().requires_grad_()
        loss(a).backward()
        return near(a.grad, differences(loss, M).tolist())

    def phases_of_eigenvectors():
        a = M.clone().requires_grad_()
        return refused(RuntimeError, "phases", lambda: torch.linalg.eig(a).eigenvectors.real.sum().backward())

    def eigenvalues_twice():
        a = torch.stack([M, M.t() + 0.1])
        return near(second(lambda x: torch.linalg.eigvals(x).abs(), a), [
            -1.747, -46.329, -3.995, 50.779, 12.369, -3.747, -5.797, -6.66, -16.64, 8.98, 48.447, 10.023, -40.046, 22.878,
            -3.908, -10.189, 5.132, -24.68,
        ])

    def mantissas():
        x = torch.tensor([3.0, -0.2, 10.0], requires_grad=True)
        m, e = torch.frexp(x)
        (m * m).sum().backward()
        return near(x.grad, [0.375, -6.4, 0.078]) and e.tolist() == [2, -2, 4]

    def neighbours():
        x, y = (torch.tensor(v, requires_grad=True) for v in ([3.0, 1.0], [4.0, 1.0]))
        torch.nextafter(x, y).sum().backward()
        return x.grad.tolist() == [1, 0] and y.grad.tolist() == [0, 0]

    def values_that_occur():
        x = torch.tensor([3.0, -0.2, 3.0], requires_grad=True)
        found, counts = torch.unique(x, return_counts=True)
        assert counts.tolist() == [1, 2] and x.unique_consecutive().requires_grad
        return refused(NotImplementedError, "`unique` has no gradient", lambda: (found.sum() + x.sum()).backward())

    def division_by_zero():
        a = torch.tensor([2.0, -1.0], requires_grad=True)
        (a / 0).sum().backward()
        return a.grad.tolist() == [float("inf")] * 2

    def polygamma():
        a = torch.tensor([2.0, 0.3, -1.4], dtype=torch.float64, requires_grad=True)
        torch.polygamma(1, a).sum().backward()
        return near(a.grad, [-0.404, -75.273, 22.016]) and near(torch.polygamma(3, a), [0.494, 743.142, 283.344])

    def second_derivatives():
        x = torch.arange(8.0).reshape(1, 2, 4) * 0.37 + 0.1
        reflected = second(lambda x: F.pad(x, (2, 1), mode="reflect"), x)
        pooled = second(lambda x: F.max_pool1d(x, 2), x)
        spectrum = second(lambda x: torch.fft.rfft(x**2).abs(), M)
        assert near(reflected, [0.036, 14.951, 192.036, 63.776, 141.995, 1067.742, 4045.842, 700.744])
        assert near(pooled, [0.0, 3.738, 0.0, 63.776, 0.0, 266.936, 0.0, 700.744])
        return near(spectrum, [876.334, -18246.664, 2627.358, 702.237, 25.678, 131.691, -129.507, 322.195, -530.54])

    def complex_parameters():
        z = torch.zeros(2, dtype=torch.complex64)
        p = nn.Parameter(torch.zeros(2))
        def assign():
            p.data = z
        assert refused(TypeError, "keep their real and their imaginary part", assign) and p.dtype == torch.float32
        return refused(TypeError, "keep its real and its imaginary part", lambda: nn.Parameter(z))

    V = torch.tensor([1 + 2j, 3 - 1j])
    G = torch.tensor([1 + 1j, 2 - 1j])
    GRADIENT = [-6 - 8j, 16 + 12j]  # with respect to z, of this

    def loss(z):
        return (z * z * V).real.sum()

    def numbers():
        a, b = (torch.tensor(x, requires_grad=True) for x in ([1.0, 3.0], [2.0, -1.0]))
        return a, b, torch.complex(a, b)

    def complex_results():
        a, b, z = numbers()
        seen = []
        z.retain_grad()
        z.register_hook(lambda g: seen.append(g.tolist()))
        loss(z).backward()
        assert z.grad.tolist() == GRADIENT and seen == [GRADIENT]
        assert a.grad.tolist() == [-6, 16] and b.grad.tolist() == [-8, 12]
        a, b, z = numbers()
        assert [g.tolist() for g in torch.autograd.grad(loss(z), [z, a, b])] == [GRADIENT, [-6, 16], [-8, 12]]
        a, b, z = numbers()
        z.register_hook(lambda g: g * 1j)
        loss(z).backward()
        return a.grad.tolist() == [8, -12] and b.grad.tolist() == [-6, 16]

    def gradients_of_complex_results():
        found = []
        a, b, z = numbers()
        (z * z).backward(G)
        found.append((a.grad, b.grad))
        a, b, z = numbers()
        found.append(torch.autograd.grad(z * z, [a, b], G))
        a, b, z = numbers()
        (z * z).backward(G, inputs=[a, b])
        found.append((a.grad, b.grad))
        a, b, z = numbers()
        torch.autograd.backward([z * z], [G])
        found.append((a.grad, b.grad))
        assert all(x.tolist() == [6, 14] and y.tolist() == [-2, -2] for x, y in found)
        f, x = lambda x: torch.complex(x, 2 * x) ** 2, torch.tensor([1.0, 2.0])
        return torch.func.vjp(f, x)[1](G)[0].tolist() == torch.autograd.functional.vjp(f, x, G)[1].tolist() == [2, -40]

    def complex_operations_of_ones_own():
        class Square(torch.autograd.Function):
            @staticmethod
            def forward(ctx, z):
                ctx.save_for_backward(z)
                return z * z

            @staticmethod
            def backward(ctx, g):
                (z,) = ctx.saved_tensors
                return g * (2 * z).conj()

        for square in (Square.apply, lambda z: z * z):
            a, b, z = numbers()
            (square(z) * V).real.sum().backward()
            assert a.grad.tolist() == [-6, 16] and b.grad.tolist() == [-8, 12]
            a, b, z = numbers()
            (g,) = torch.autograd.grad((square(z) * V).real.sum(), z, create_graph=True)
            (g.abs() ** 2).sum().backward()
            assert g.tolist() == GRADIENT and near(a.grad, [40, 240]) and near(b.grad, [80, -80])
        return True

    def modules_of_complex_numbers():
        class Square(nn.Module):
            def forward(self, z):
                return z * z

        square, seen = Square(), []
        square.register_full_backward_hook(lambda m, inputs, outputs: seen.append((inputs[0].tolist(), outputs[0].tolist())))
        a, b, z = numbers()
        (square(z) * V).real.sum().backward()
        return seen == [(GRADIENT, [1 - 2j, 3 + 1j])] and a.grad.tolist() == [-6, 16]

    cases = (eigenvalues, eigenvectors, phases_of_eigenvectors, eigenvalues_twice, mantissas, neighbours, values_that_occur,
             division_by_zero, polygamma, second_derivatives, complex_parameters, complex_results, gradients_of_complex_results,
             complex_operations_of_ones_own, modules_of_complex_numbers)
    for case in cases:
        assert case(), case.__name__
    print("as PyTorch")
"""


def test_gradients(tmp_path):
    done = run(tmp_path, PROGRAM)
    assert done.stdout.splitlines() == ["as PyTorch"], done.stderr
