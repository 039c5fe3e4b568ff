"""Programs with weights and data of NumPy's: the losses, step by step, are those that PyTorch 2.13 has printed for them."""

import json

import pytest
from torch_program import run

START = """
    import json, math, numpy as np, torch, torch.nn as nn, torch.nn.functional as F, torch.optim as optim
    numbers = np.random.RandomState(0)

    def drawn(*shape):
        return torch.from_numpy(numbers.standard_normal(shape).astype(np.float32))

    def fixed(model):
        with torch.no_grad():
            for p in model.parameters():
                p.copy_(drawn(*p.shape) * 0.4)
        return model

    def losses(model, optimizer, loss, steps=4):
        found = []
        for _ in range(steps):
            model.train()
            optimizer.zero_grad()
            value = loss(model)
            value.backward()
            optimizer.step()
            found.append(value.item())
        print(json.dumps(found))
"""

GRAPHS = """
    class Attention(nn.Module):
        def __init__(self, inputs, outputs, alpha=0.2):
            super().__init__()
            self.W = nn.Parameter(torch.empty(size=(inputs, outputs)))
            nn.init.xavier_uniform_(self.W.data, gain=1.414)
            self.a = nn.Parameter(torch.empty(size=(2 * outputs, 1)))
            nn.init.xavier_uniform_(self.a.data, gain=1.414)
            self.outputs, self.leakyrelu = outputs, nn.LeakyReLU(alpha)

        def forward(self, h, adj):
            Wh = torch.mm(h, self.W)
            e = self.leakyrelu(torch.matmul(Wh, self.a[:self.outputs]) + torch.matmul(Wh, self.a[self.outputs:]).T)
            attention = F.softmax(torch.where(adj > 0, e, -9e15 * torch.ones_like(e)), dim=1)
            return F.elu(torch.matmul(F.dropout(attention, 0.0, training=self.training), Wh))

    class GAT(nn.Module):
        def __init__(self):
            super().__init__()
            self.heads = [Attention(6, 4) for _ in range(2)]
            for i, head in enumerate(self.heads):
                self.add_module("head_{}".format(i), head)
            self.out = Attention(8, 3)

        def forward(self, x, adj):
            return F.log_softmax(self.out(torch.cat([head(x, adj) for head in self.heads], dim=1), adj), dim=1)

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, indices, values, shape, b):
            a = torch.sparse_coo_tensor(indices, values, shape)
            ctx.save_for_backward(a, b)
            ctx.N = shape[0]
            return torch.matmul(a, b)

        @staticmethod
        def backward(ctx, grad_output):
            a, b = ctx.saved_tensors
            edge = a._indices()[0, :] * ctx.N + a._indices()[1, :]
            return None, grad_output.matmul(b.t()).view(-1)[edge], None, a.t().matmul(grad_output)

    class GCN(nn.Module):
        def __init__(self):
            super().__init__()
            self.W = nn.Parameter(torch.FloatTensor(6, 3))
            stdv = 1. / math.sqrt(self.W.size(1))
            self.W.data.uniform_(-stdv, stdv)
            self.score = nn.Parameter(torch.zeros(size=(1, 6)))

        def forward(self, x, adj):
            edge = adj.nonzero().t()
            h = torch.mm(x, self.W)
            weight = torch.exp(-F.leaky_relu(self.score.mm(torch.cat((h[edge[0]], h[edge[1]]), dim=1).t()).squeeze(), 0.2))
            total = Product.apply(edge, weight, torch.Size([10, 10]), torch.ones(size=(10, 1)))
            h = Product.apply(edge, weight, torch.Size([10, 10]), h).div(total)
            return F.log_softmax(torch.spmm(adj.to_sparse(), F.relu(h)), dim=1)

    x, labels = drawn(10, 6), torch.LongTensor(numbers.randint(0, 3, 10))
    adj = torch.FloatTensor(numbers.random_sample((10, 10)) < 0.3) + torch.eye(10)
    seen = torch.LongTensor(range(7))
    for kind in (GAT, GCN):
        model = fixed(kind())
        optimizer = optim.Adam(model.parameters(), lr=0.05, weight_decay=5e-4)
        losses(model, optimizer, lambda model: F.nll_loss(model(x, adj)[seen], labels[seen]))
"""

ROTARY = """
    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.k, self.v = (nn.Linear(8, 8, bias=False) for _ in "qkv")
            frequencies = 1.0 / 100 ** (torch.arange(0, 4, 2).float() / 4)
            angles = torch.outer(torch.arange(5), frequencies)
            self.turn = torch.polar(torch.ones_like(angles), angles)

        def forward(self, x):
            q, k, v = (f(x).view(2, 5, 2, 4) for f in (self.q, self.k, self.v))
            q, k = (torch.view_as_complex(t.float().reshape(*t.shape[:-1], -1, 2)) for t in (q, k))
            q, k = (torch.view_as_real(t * self.turn[None, :, None]).flatten(3).transpose(1, 2) for t in (q, k))
            return F.scaled_dot_product_attention(q, k, v.transpose(1, 2), is_causal=True).transpose(1, 2).reshape(2, 5, 8)

    model, x, y = fixed(Turned()), drawn(2, 5, 8), drawn(2, 5, 8)
    losses(model, optim.AdamW(model.parameters(), lr=0.05), lambda model: F.mse_loss(model(x), y))
"""

POLICY = """
    from torch.distributions import Categorical
    model = fixed(nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3), nn.Softmax(dim=1)))
    states, actions, rewards = drawn(6, 4), torch.LongTensor(numbers.randint(0, 3, 6)), numbers.random_sample(6).tolist()

    def loss(model):
        R, returns, kept = 0, [], []
        for r in rewards[::-1]:
            R = r + 0.99 * R
            returns.insert(0, R)
        returns = torch.tensor(returns)
        returns = (returns - returns.mean()) / (returns.std() + np.finfo(np.float32).eps.item())
        for state, action in zip(states, actions):
            kept.append(Categorical(model(state.unsqueeze(0))).log_prob(action))
        return torch.cat([-p * R for p, R in zip(kept, returns)]).sum()

    losses(model, optim.Adam(model.parameters(), lr=1e-2), loss)
"""

WANTED = {
    GRAPHS: [[1.328453, 1.063277, 0.8762904, 0.7288827], [1.817357, 1.578805, 1.359372, 1.178293]],
    ROTARY: [[1.866153, 1.497798, 1.240079, 1.05307]],
    POLICY: [[-2.135883, -2.819983, -3.487815, -4.156589]],
}


@pytest.mark.parametrize("program", list(WANTED), ids=["graphs", "rotary", "policy"])
def test_losses(tmp_path, program):
    done = run(tmp_path, START + program)
    assert done.returncode == 0, done.stderr
    for found, wanted in zip(map(json.loads, done.stdout.splitlines()), WANTED[program], strict=True):
        assert found == pytest.approx(wanted, rel=2e-5)
