"""Translation: a Transformer that learns a small grammar, and a sentence that it has not seen."""

import argparse
import itertools
import sys
from collections.abc import Sequence

import weft
from weft import optimizers as optim
from weft.data import BucketSampler, DataLoader, SentencePairs, WordTokenizer, pad_pairs, split_pairs
from weft.layers import models
from weft.optimizers.schedulers import NoamLR
from weft.training.translating import translate

PEOPLE = {"I": "je", "you": "tu", "we": "nous", "they": "elles"}
VERBS = {"see": ["vois", "vois", "voyons", "voient"], "want": ["veux", "veux", "voulons", "veulent"]}
COLOURS = {"red": "rouge", "black": "noir", "green": "vert"}
THINGS = {"book": "livre", "cat": "chat", "boat": "bateau", "hat": "chapeau"}


def sentences() -> list[tuple[str, str]]:
    """In French the verb agrees with the person, and the colour follows the thing."""
    pairs = []
    for (i, person), verb, colour, thing in itertools.product(enumerate(PEOPLE), VERBS, COLOURS, THINGS):
        french = f"{PEOPLE[person]} {VERBS[verb][i]} le {THINGS[thing]} {COLOURS[colour]}."
        pairs.append((f"{person} {verb} the {colour} {thing}.", french))
    return pairs


def main(arguments: Sequence[str] = ()) -> float:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=40, help="passes over the sentences (%(default)s)")
    options = parser.parse_args(arguments)

    weft.manual_seed(0)
    train, held_out = split_pairs(sentences(), 0.2)
    source, target = (WordTokenizer.of(part) for part in zip(*train))
    data = SentencePairs(train, source, target)
    batches = BucketSampler(data.lengths, batch_size=16)
    loader = DataLoader(data, batch_sampler=batches, collate_fn=pad_pairs)
    sizes = {"source_size": source.vocab_size, "target_size": target.vocab_size, "width": 32, "layers": 1}
    model = models.transformer_translator(**sizes)
    optimizer = optim.Adam(model.parameters(), lr=1.0, betas=(0.9, 0.98), eps=1e-9)
    schedule = NoamLR(optimizer, d_model=32, warmup_steps=60)
    for epoch in range(options.epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss = model.loss(x, y, label_smoothing=0.1)
            loss.backward()
            optimizer.step()
            schedule.step()
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1}  loss {loss.item():.4f}")
    found = translate(model, source, target, [english for english, _ in held_out])
    right = [text.casefold() == french.casefold() for text, (_, french) in zip(found, held_out)]
    print(f"{held_out[0][0]} → {found[0]}")
    print(f"{sum(right)} of {len(right)} sentences held out are right")
    return sum(right) / len(right)


if __name__ == "__main__":
    main(sys.argv[1:])
