"""A language model of characters: a small GPT that learns a rhyme by heart, and goes on from its first word."""

import weft
from weft import optimizers as optim
from weft.data import CharTokenizer, DataLoader, RandomBlocks
from weft.layers import models

TEXT = """Twinkle, twinkle, little star,
How I wonder what you are!
Up above the world so high,
Like a diamond in the sky.
"""


def main() -> float:
    weft.manual_seed(0)
    tokenizer = CharTokenizer.of(TEXT)
    blocks = RandomBlocks(tokenizer.encode(TEXT), 32, samples=8 * 150)
    model = models.gpt2(vocab_size=tokenizer.vocab_size, context=32, width=64, layers=2, heads=2, bias=False)
    optimizer = optim.AdamW(model.parameters(), lr=3e-3)
    for step, (x, y) in enumerate(DataLoader(blocks, batch_size=8, seed=0)):
        optimizer.zero_grad()
        loss = model.loss(x, y)
        loss.backward()
        optimizer.step()
        if step % 50 == 49:
            print(f"step {step + 1:3d}  loss {loss.item():.4f}")
    print("Twinkle", end="")
    for token in model.generate_steps(tokenizer.encode("Twinkle"), 100, temperature=0):
        print(tokenizer.decode(token), end="", flush=True)
    print()
    return loss.item()


if __name__ == "__main__":
    main()
