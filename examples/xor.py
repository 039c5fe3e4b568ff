"""The exclusive or: what one neuron cannot learn, and two layers can."""

import weft
from weft import layers as nn
from weft import optimizers as optim


def main() -> float:
    weft.manual_seed(0)
    x = weft.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = weft.tensor([[0.0], [1.0], [1.0], [0.0]])
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
    loss, optimizer = nn.BCEWithLogitsLoss(), optim.Adam(model.parameters(), lr=0.05)
    for step in range(200):
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        if step % 50 == 49:
            print(f"step {step + 1:3d}  loss {value.item():.4f}")
    print("x       ", x.tolist())
    print("x₁ ≠ x₂ ", (model(x) > 0).tolist())
    return value.item()


if __name__ == "__main__":
    main()
