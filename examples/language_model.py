"""A language model of characters: a small GPT that learns a rhyme by heart, and goes on from its first word."""

import argparse
import sys
from collections.abc import Sequence

import weft
from weft import optimizers as optim
from weft.data import CharTokenizer, DataLoader, RandomBlocks
from weft.layers import models

TEXT = """Twinkle, twinkle, little star,
How I wonder what you are!
Up above the world so high,
Like a diamond in the sky.
"""


def main(arguments: Sequence[str] = ()) -> float:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=150, help="steps of training (%(default)s)")
    options = parser.parse_args(arguments)

    weft.manual_seed(0)
    tokenizer = CharTokenizer.of(TEXT)
    blocks = RandomBlocks(tokenizer.encode(TEXT), 32, samples=8 * options.steps)
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
    main(sys.argv[1:])
