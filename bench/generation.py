"""`python -m weft.bench.generation`: how much faster generation is with the cache of keys and values than without.

    taskset -c 1 python -m weft.bench.generation
    taskset -c 1 python -m weft.bench.generation --width 256 --prompts 4 --turns 5

A GPT of the given width, 4 layers and 4 heads goes on from a prompt of 4 tokens until the text has `--length` tokens; several
prompts are of different lengths, padded. With and without the cache by turns, in one thread, by the processor's time: that of all
tokens, recording the step included, and that of the last ones. The tokens must be the same.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence

import numpy as np

from ..backend.array import random
from ..backend.device.parallel import set_num_threads
from ..layers import models

__all__ = ["main"]

PROMPT, LAST = 4, 16  # tokens: of the longest prompt, and of the end that is timed on its own
VOCABULARY = 65


def _timed(
    model: models.LanguageModel, prompts: list[list[int]], new: int, use_cache: bool
) -> tuple[list, list[float]]:
    """The new tokens, and the seconds that each step took."""
    tokens, seconds = [], []
    stream = model.generate_steps(prompts, new, seed=0, use_cache=use_cache)
    start = time.process_time()
    for step in stream:
        seconds.append(time.process_time() - start)
        tokens.append(step.tolist())
        start = time.process_time()
    return tokens, seconds


def main(argv: Sequence[str] | None = None) -> int:
    """Print milliseconds for each token of both, and their ratio.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; by default the program's.

    Returns
    -------
    int
        The exit status: 1 if the tokens differ.
    """
    parser = argparse.ArgumentParser(
        prog="python -m weft.bench.generation", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--width", type=int, default=128, help="of the model, a multiple of 4 (128)")
    parser.add_argument("--length", type=int, default=256, help="tokens in the end, prompt included (256)")
    parser.add_argument("--prompts", type=int, default=1, help="how many at once (1)")
    parser.add_argument("--turns", type=int, default=5, help="how often each is timed (5)")
    given = parser.parse_args(argv)
    if given.width < 4 or given.width % 4 or given.length <= PROMPT + LAST or min(given.prompts, given.turns) < 1:
        parser.error(
            f"--width must be a multiple of 4, --length above {PROMPT + LAST}, --prompts and --turns at least 1, got "
            f"{given.width}, {given.length}, {given.prompts} and {given.turns}"
        )
    set_num_threads(1)
    random.manual_seed(0)
    model = models.gpt2(vocab_size=VOCABULARY, context=given.length, width=given.width, layers=4, heads=4).eval()
    prompts = [list(range(1, PROMPT + 1 - i % PROMPT)) for i in range(given.prompts)]
    new, seconds = given.length - PROMPT, np.empty((2, given.turns, given.length - PROMPT))
    for use_cache in (True, False):
        model.generate(prompts, LAST, use_cache=use_cache)
    for turn in range(given.turns):
        found = []
        for side, use_cache in enumerate((True, False)):
            tokens, seconds[side, turn] = _timed(model, prompts, new, use_cache)
            found.append(tokens)
        if found[0] != found[1]:
            print("the tokens with the cache are not those without")
            return 1
    for name, times in ("all tokens", seconds), (f"the last {LAST}", seconds[..., -LAST:]):
        cached, plain = (times[side].mean(-1) for side in (0, 1))
        ratios = sorted(plain / cached)
        took = [f"{1e3 * statistics.median(side):.3f} ms" for side in (cached, plain)]
        print(
            f"{name:12} with the cache {took[0]} a token, without {took[1]}: "
            f"{statistics.median(ratios):.1f} times as fast, {ratios[0]:.1f} to {ratios[-1]:.1f}"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
