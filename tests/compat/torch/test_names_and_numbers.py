"""PyTorch's methods and functions in one program; the numbers are PyTorch 2.13's, unless they follow from the definition."""

import json

import pytest
from torch_program import run

START = """
    import json, math, torch
    import numpy as np
    f = torch.tensor([[1.0, -2.0, 0.5], [4.0, 0.0, -1.5]])
    i = torch.tensor([[1, -2, 3], [0, 5, -6]])
    u = torch.tensor([[200, 100, 7]], dtype=torch.uint8)
    b = torch.tensor([[True, False, True], [False, False, True]])
    def plain(x):
        if isinstance(x, torch.Tensor):
            return [str(x.dtype), x.tolist()]
        if isinstance(x, (tuple, list)):
            return [plain(y) for y in x]
        return repr(x) if isinstance(x, (torch.dtype, torch.Size)) else x
"""

F32, I64, BOOL = "torch.float32", "torch.int64", "torch.bool"
CASES = {
    # reductions: `axis` is `dim`, small integers are counted in int64
    "f.std(axis=1)": [F32, [1.6072751, 2.8431203]],
    "torch.max(f, axis=1)": [[F32, [1.0, 4.0]], [I64, [0, 0]]],
    "u.sum()": [I64, 307],
    "u.cumsum(1)": [I64, [[200, 300, 307]]],
    "b.any(keepdim=True)": [BOOL, [[True]]],
    "torch.std_mean(f, 1, True, True)": [[F32, [[1.6072751], [2.8431203]]], [F32, [[-0.16666667], [0.8333333]]]],
    "f.aminmax()": [[F32, -2.0], [F32, 4.0]],
    "torch.tensor([[3.0, 1.0], [2.0, 5.0]]).cummax(0)": [[F32, [[3.0, 1.0], [3.0, 5.0]]], [I64, [[0, 0], [0, 1]]]],
    "torch.tensor([1, 2, 2, 3, 3]).mode()": [[I64, 2], [I64, 2]],
    "torch.tensor([1.0, float('nan'), 3.0]).nanmedian()": [F32, 1.0],
    "torch.tensor(0.5).sort()": [[F32, 0.5], [I64, 0]],
    "torch.histc(f, 3, -3, 3)": [F32, [2.0, 2.0, 1.0]],
    # shapes and parts
    "f.squeeze(0).shape": [2, 3],
    "f[None].squeeze(0).shape[1:]": [3],
    "[t.shape[1] for t in torch.tensor_split(f, 2, dim=1)]": [2, 1],
    "f.rot90().tolist()": [[0.5, -1.5], [-2.0, 0.0], [1.0, 4.0]],
    "torch.zeros(2, 3).index_put((torch.tensor([0, 0]), torch.tensor([1, 1])), torch.tensor([1.0, 2.0]), accumulate=True)":
        [F32, [[0.0, 3.0, 0.0], [0.0, 0.0, 0.0]]],
    "torch.zeros(3).scatter_reduce(0, torch.tensor([0, 0, 2]), torch.tensor([1.0, 5.0, 2.0]), 'amax', include_self=False)":
        [F32, [5.0, 0.0, 2.0]],
    "torch.ones(3).scatter_reduce(0, torch.tensor([0, 0, 2]), torch.tensor([1.0, 5.0, 2.0]), 'mean')":
        [F32, [2.3333333, 1.0, 1.5]],
    "torch.zeros(2, 2).scatter_(1, torch.tensor([[1], [0]]), 3, reduce='add')": [F32, [[0.0, 3.0], [3.0, 0.0]]],
    "f.masked_scatter(b, torch.arange(3.0))": [F32, [[0.0, -2.0, 1.0], [4.0, 0.0, 2.0]]],
    "torch.unique(torch.tensor([[1, 2], [1, 2], [0, 3]]), dim=0, return_counts=True)": [[I64, [[0, 3], [1, 2]]], [I64, [1, 2]]],
    "torch.unique_consecutive(torch.tensor([1, 1, 2, 1]), return_counts=True)": [[I64, [1, 2, 1]], [I64, [2, 1, 1]]],
    "torch.block_diag(f[:1, :1], f[1:, :2])": [F32, [[1.0, 0.0, 0.0], [0.0, 4.0, 0.0]]],
    "torch.cartesian_prod(i[0, :2], i[1, :1])": [I64, [[1, 0], [-2, 0]]],
    "torch.combinations(i[0])": [I64, [[1, -2], [1, 3], [-2, 3]]],
    "torch.triu_indices(2, 3, 1)": [I64, [[0, 0, 1], [1, 2, 2]]],
    "torch.as_strided(f, (2, 2), (1, 2))": [F32, [[1.0, 0.5], [-2.0, 4.0]]],
    # arithmetic
    "torch.tensor(2.0, dtype=torch.float64) * f[0]": [F32, [2.0, -4.0, 1.0]],
    "torch.tensor(2.0) * i[0]": [F32, [2.0, -4.0, 6.0]],
    "torch.tensor(2) + f[0]": [F32, [3.0, 0.0, 2.5]],
    "torch.lgamma(torch.tensor([0.5, 3.0, 10.5]))": [F32, [0.5723649, 0.6931472, 13.9406252]],
    "torch.digamma(torch.tensor([0.3, 2.0, -0.5]))": [F32, [-3.5025244, 0.4227843, 0.0364900]],
    "torch.polygamma(1, torch.tensor([0.3, 2.0]))": [F32, [12.2453642, 0.6449341]],
    "torch.erfinv(torch.tensor([0.0, 0.9421131, -0.3, 1.0]))": [F32, [0.0, 1.3410658, -0.2724627, float("inf")]],
    "torch.logit(torch.tensor([0.25]))": [F32, [-1.0986123]],
    "torch.xlogy(torch.tensor([0.0, 2.0]), torch.tensor([0.0, 3.0]))": [F32, [0.0, 2.1972246]],
    "torch.sinc(torch.tensor([0.0, 0.5]))": [F32, [1.0, 0.6366198]],
    "torch.fmax(torch.tensor([float('nan'), 1.0]), torch.tensor([2.0, float('nan')]))": [F32, [2.0, 1.0]],
    "torch.gcd(torch.tensor([12, 9]), torch.tensor([8, 6]))": [I64, [4, 3]],
    "torch.sign(torch.tensor([float('nan'), -2.0]))": [F32, [0.0, -1.0]],
    "torch.diff(f, dim=0)": [F32, [[3.0, 2.0, -2.0]]],
    "torch.trapezoid(torch.tensor([1.0, 2.0, 4.0]))": [F32, 4.5],
    "torch.cov(torch.tensor([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]))": [F32, [[1.0, -1.0], [-1.0, 1.0]]],
    "torch.kron(torch.eye(2), torch.ones(1, 2))": [F32, [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]],
    "torch.renorm(torch.tensor([[3.0, 4.0], [0.3, 0.4]]), 2, 0, 1)": [F32, [[0.6, 0.8], [0.3, 0.4]]],
    "torch.linalg.norm(torch.tensor([[1.0, -2.0], [3.0, 4.0]]), 1)": [F32, 6.0],
    "torch.linalg.solve_triangular(torch.tensor([[2.0, 9.0], [1.0, 4.0]]), torch.tensor([[2.0], [9.0]]), upper=False)":
        [F32, [[1.0], [2.0]]],
    "torch.matrix_exp(torch.zeros(2, 2))": [F32, [[1.0, 0.0], [0.0, 1.0]]],
    "torch.searchsorted(torch.tensor([1.0, 3.0]), torch.tensor([3.0, 0.0]), right=True)": [I64, [2, 0]],
    "torch.view_as_real(torch.complex(f[0, :1], f[1, :1]))": [F32, [[1.0, 4.0]]],
    # made, written, typed
    "torch.tensor([[torch.tensor([1.0])], [torch.tensor([2.0])]])": [F32, [[1.0], [2.0]]],
    "torch.FloatTensor([1, 2])": [F32, [1.0, 2.0]],
    "f.type(torch.LongTensor)[0]": [I64, [1, -2, 0]],
    "[isinstance(f, torch.FloatTensor), isinstance(i, torch.FloatTensor), f.type()]": [True, False, "torch.FloatTensor"],
    "[torch.float32, torch.int64.itemsize, torch.bfloat16.is_floating_point]": ["torch.float32", 8, True],
    "{torch.float32: 3}[torch.zeros(1).dtype]": 3,
    "torch.promote_types(torch.int32, torch.float16)": "torch.float16",
    "torch.zeros(2, 2).eq_(0)": [F32, [[1.0, 1.0], [1.0, 1.0]]],
    "torch.zeros(1, 3).squeeze_().unsqueeze_(1).shape": [3, 1],
    "torch.sum(f, dim=1, out=torch.zeros(2))": [F32, [-0.5, 2.5]],
    "torch.sparse_coo_tensor([[0, 1, 1], [1, 0, 0]], [1.0, 2.0, 3.0], (2, 2)).to_dense()": [F32, [[0.0, 1.0], [5.0, 0.0]]],
    "torch.distributions.Normal(torch.tensor([0.0, 1.0]), 2.0).icdf(torch.tensor([0.2, 0.7]))": [F32, [-1.6832424, 2.0488010]],
    "torch.distributions.Cauchy(torch.tensor(1.0), 2.0).log_prob(torch.tensor(3.0))": [F32, -2.5310242],
    "torch.distributions.Cauchy(torch.tensor(1.0), 2.0).entropy()": [F32, 3.2241714],
    "torch.distributions.Categorical(torch.ones(4, 3)).param_shape": [4, 3],
    "[torch.testing.assert_close([f, f.double()], [f + 1e-6, f.double() * (1 + 1e-8)]) is None]": [True],
    "torch.nn.parallel.data_parallel(torch.nn.Identity(), f[0])": [F32, [1.0, -2.0, 0.5]],
    "[torch.accelerator.is_available(), torch.accelerator.current_accelerator() is None]": [False, True],
    "torch.vmap(torch.dot)(f, f)": [F32, [5.25, 18.25]],
    "torch.func.jacrev(lambda x: x**2)(torch.tensor([1.0, 3.0]))": [F32, [[2.0, 0.0], [0.0, 6.0]]],
    "torch.autograd.functional.hessian(lambda x: (x**3).sum(), torch.tensor([1.0, 2.0]))": [F32, [[6.0, 0.0], [0.0, 12.0]]],
}  # fmt: skip


def test_numbers(tmp_path):
    """All in one process: a start takes longer than what they compute."""
    lines = [f"print(json.dumps(plain({expression})))" for expression in CASES]
    done = run(tmp_path, START + "".join(f"    {line}\n" for line in lines))
    assert done.returncode == 0, done.stderr
    found = dict(zip(CASES, map(json.loads, done.stdout.splitlines()), strict=True))
    for expression, wanted in CASES.items():
        assert flat(found[expression]) == [
            w if isinstance(w, str) else pytest.approx(w, rel=2e-5) for w in flat(wanted)
        ], expression


def flat(x):
    return [z for y in x for z in flat(y)] if isinstance(x, list) else [x]


PRINTED = {
    "torch.tensor([1.0, 2.0])": "tensor([1., 2.])",
    "torch.tensor([0.5, 100.0])": "tensor([  0.5000, 100.0000])",
    "torch.tensor([1e-5, 1.0])": "tensor([1.0000e-05, 1.0000e+00])",
    "torch.tensor([[1, 20], [3, 4]])": "tensor([[ 1, 20],\n        [ 3,  4]])",
    "torch.tensor([True, False])": "tensor([ True, False])",
    "torch.tensor(0.5, dtype=torch.float64)": "tensor(0.5000, dtype=torch.float64)",
    "torch.tensor([float('nan'), 1.5])": "tensor([   nan, 1.5000])",
    "torch.zeros(0, 3)": "tensor([], size=(0, 3))",
    "torch.ones(1, requires_grad=True)": "tensor([1.], requires_grad=True)",
    "torch.ones(1, requires_grad=True) * 2": "tensor([2.], grad_fn=<MulBackward0>)",
    "torch.arange(2000)": "tensor([   0,    1,    2,  ..., 1997, 1998, 1999])",
    "torch.zeros(2, 3).shape": "torch.Size([2, 3])",
    "torch.zeros(2).dtype": "torch.float32",
    "torch.nn.Parameter(torch.zeros(1))": "Parameter containing:\ntensor([0.], requires_grad=True)",
}


def test_printed_as_pytorch_prints(tmp_path):
    done = run(tmp_path, "import torch\n" + "".join(f"print({e}, end='|')\n" for e in PRINTED))
    assert done.stdout.split("|")[:-1] == list(PRINTED.values()), done.stderr
    options = "import torch; torch.set_printoptions(precision=2, sci_mode=False); print(torch.tensor([0.00125, 10.0]))"
    assert run(tmp_path, options).stdout == "tensor([ 0.00, 10.00])\n"


ERRORS = {
    "torch.zeros(2).scatter_reduce(0, torch.tensor([0]), torch.ones(1), 'median')": "`reduce` must be sum, mean, prod, amax",
    "torch.stft(torch.ones(9), 4)": "`return_complex` must be given for real inputs",
    "torch.istft(torch.ones(3, 9), 4)": "`input` of istft must be complex, got float32",
    "torch.istft(torch.ones(3, 9) + 0j, 4, window=torch.zeros(4))": "`window` must overlap everywhere",
    "torch.stft(torch.ones(9), 4, window=torch.ones(3), return_complex=True)": "`window` must have win_length = 4 elements",
    "torch.complex(torch.ones(1), torch.ones(1).long())": "`real` and `imag` must both be float32 or float64",
    "torch.view_as_complex(torch.ones(3))": "`view_as_complex` needs a last axis of 2, got the shape (3,)",
    "torch.testing.assert_close(torch.ones(3), torch.tensor([1.0, 1.01, 1.0]))": "got 1 of 3 apart, by up to 0.01",
    "torch.testing.assert_close(torch.ones(3), torch.ones(3).double())": "`actual` must have the dtype float64, got float32",
    "torch.testing.assert_close(torch.ones(3), torch.ones(1))": "`actual` must have the shape (1,), got (3,)",
    "torch.testing.assert_close([1], [1, 2])": "`actual` must have the parts [0, 1], got [0]",
    "torch.testing.assert_close(torch.tensor(float('nan')), torch.tensor(float('nan')))": "got 1 of 1 apart",
    "torch.zeros(3).put_(torch.tensor([0]), torch.ones(2))": "`index` must have as many elements as `source`, 2, got 1",
    "torch.sparse_coo_tensor([[3]], [1.0], (2,))": "`indices` must lie within the size (2,), got up to [3]",
    "torch.set_rng_state(torch.zeros(4, dtype=torch.uint8))": "`new_state` must be from this library's get_rng_state()",
    "torch.vmap(torch.add)(torch.ones(2), torch.ones(3))": "`vmap` needs arguments of one length along `in_dims`, got [2, 3]",
    "torch.polygamma(-1, torch.ones(1))": "`n` of polygamma must be 0 or more, got -1",
    "torch.hub.load('a', 'b')": "nothing is downloaded, got ('a', 'b')",
    "torch.distributed.init_process_group('gloo', world_size=2)": "`world_size` must be 1, got 2",
    "torch.autograd.grad(torch.ones(1), torch.ones(1))": "`inputs` must require grad",
}  # fmt: skip


def test_what_is_refused(tmp_path):
    lines = [f"    lambda: {expression}," for expression in ERRORS]
    program = [
        "import torch, torch.distributed, torch.hub, torch.testing",
        "calls = [",
        *lines,
        "]",
        "for call in calls:",
        "    try:",
        "        call()",
        "        print('nothing')",
        "    except Exception as error:",
        "        print(error)",
    ]
    done = run(tmp_path, "\n".join(program))
    for message, shown in zip(ERRORS.values(), done.stdout.splitlines(), strict=True):
        assert message in shown
