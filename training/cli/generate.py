"""`weft generate`."""

from __future__ import annotations

import secrets
from argparse import ArgumentTypeError
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...backend.device.devices import canonical, select
from ...backend.device.parallel import set_num_threads
from ...data import BytePairTokenizer, tokenizer_from_config
from ...data.files import named
from ...layers.models import LanguageModel, PretrainedError, load_pretrained
from ..checkpoint import CheckpointError
from ..saved_model import load_model
from .folder import model_in
from .parser import Parser, UsageError, number, report

__all__ = ["main"]

DESCRIPTION = """Go on from a prompt with a language model that weft train --task text has trained, or with weights of GPT-2 or
Llama as Hugging Face saves them (--tokenizer then names their vocabulary). The text appears as it comes.
"""
EPILOG = """examples:
  weft generate runs/tinyshakespeare-gpt2
  weft generate runs/tinyshakespeare-gpt2 --prompt "ROMEO:" --tokens 300 --temperature 0.8 --seed 1
  weft generate runs/tinyshakespeare-gpt2 --prompt "ROMEO:" --stop "JULIET:" --samples 3
  weft generate gpt2-folder --tokenizer gpt2-bpe --prompt "The meaning of life is"
"""


def _parser() -> Parser:
    parser = Parser(prog="weft generate", description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    positive, above = number(int, 1), number(float, 0, above=True)
    add("model", metavar="MODEL", help="folder of a run, a file of it, or a folder as save_pretrained writes it")
    add("--prompt", metavar="TEXT", help="what it goes on from (a line break)")
    add("--tokens", type=number(int, 0), metavar="N", help="how many to add at most (500)")
    add("--temperature", type=number(float, 0), metavar="X", help="divides the logits; 0 takes the likeliest token (1)")
    add("--top-k", type=positive, metavar="N", help="choose among the N likeliest tokens only")
    add("--top-p", type=above, metavar="X", help="choose among the likeliest that reach this probability only")
    add(
        "--repetition-penalty",
        type=above,
        metavar="X",
        help="above 1: tokens that are there already are less likely (1)",
    )
    add("--stop", type=_not_empty, metavar="TEXT", help="end before this text")
    add("--samples", type=positive, metavar="N", help="how many continuations, apart by a line of dashes (1)")
    add(
        "--seed",
        type=number(int, 0, 2**62),
        metavar="N",
        help="the same seed, the same text; without one, another each time",
    )
    add("--tokenizer", metavar="DIR", help="folder with encoder.json and vocab.bpe; default: that of the run")
    add("--device", help="cpu, cuda, cuda:1 …, emulator; default: $WEFT_DEVICE, or cpu")
    add("--threads", type=number(int, 1, 1025), metavar="N", help="CPU threads (all cores)")
    add("--debug", action="store_true", help="show the traceback of errors")
    return parser


def _not_empty(text: str) -> str:
    if not text:
        raise ArgumentTypeError("must be a text of at least one character, got ''")
    return text


def main(argv: Sequence[str]) -> int:
    """Generate as the arguments say.

    Parameters
    ----------
    argv : sequence of str
        Arguments of `weft generate`.

    Returns
    -------
    int
        The exit status, see `report`.

    Examples
    --------
    >>> main(["nowhere"])
    2
    """
    given = vars(_parser().parse_args(argv))
    return report("weft generate", lambda: _generate(given), debug=given.pop("debug", False))


def _generate(given: dict[str, Any]) -> int:
    if "threads" in given:
        set_num_threads(given["threads"])
    device = select(given["device"]) if "device" in given else canonical(None)
    model, tokenizer = _load(named(given["model"]), given.get("tokenizer"), device)
    prompt = given.get("prompt", "\n")
    try:
        tokens = tokenizer.encode(prompt).tolist()
    except ValueError as error:
        raise UsageError(f"--prompt: {error}") from error
    names = ("temperature", "top_k", "top_p", "repetition_penalty")
    options = {name: given[name] for name in names if name in given}
    seed = given.get("seed", secrets.randbits(61))
    for i in range(given.get("samples", 1)):
        if i:
            print("\n" + "-" * 72)
        try:
            stream = model.generate_steps(tokens, given.get("tokens", 500), seed=seed + i, **options)
        except (ValueError, IndexError) as error:
            option = next((name for name in names if f"`{name}`" in str(error)), None)
            what = f"--prompt of {len(tokens)} tokens" if option is None else f"--{option.replace('_', '-')}"
            raise UsageError(f"{what}: {error}") from error
        print(prompt, end="")
        for piece in _text(stream, tokenizer, given.get("stop")):
            print(piece, end="", flush=True)
    print(flush=True)
    return 0


def _text(stream: Iterator[Any], tokenizer: Any, stop: str | None) -> Iterator[str]:
    """Text as it comes: no half character, and nothing that may yet become the text to stop at."""
    tokens: list[int] = []
    shown, text = 0, ""
    for step in stream:
        tokens.append(int(step[0]))
        text = tokenizer.decode(tokens)
        if stop and stop in text:
            text = text[: text.index(stop)]
            break
        sure = len(text) - _pending(text, stop)
        if sure > shown:
            yield text[shown:sure]
            shown = sure
    if shown < len(text):
        yield text[shown:]


def _pending(text: str, stop: str | None) -> int:
    """How many characters at the end may change."""
    cut = len(text) - len(text.rstrip("\ufffd"))
    starts = [n for n in range(1, len(stop or "")) if text.endswith((stop or "")[:n])]
    return max([min(cut, 3), *starts])


def _load(path: Path, vocabulary: str | None, device: str) -> tuple[LanguageModel, Any]:
    """The model, on the device, and its tokenizer."""
    found = model_in(path)
    tokenizer: Any = None if vocabulary is None else BytePairTokenizer(vocabulary)
    try:
        if (path / "config.json").is_file() or (path / "model.safetensors.index.json").is_file():
            model: Any = load_pretrained(path, device=device)
            config = None
        else:
            saved = load_model(found, device=device)
            model, config = saved.model, saved.info.get("tokenizer")
    except PretrainedError as error:
        raise UsageError(str(error)) from error
    if not isinstance(model, LanguageModel):
        raise CheckpointError(
            f"`{found}`: expected a language model, found {type(model).__name__}; see weft train --task text"
        )
    if tokenizer is None:
        if config is None:
            raise UsageError(f"{path}: --tokenizer must name the folder of its vocabulary: it came without one")
        tokenizer = tokenizer_from_config(config)
    if tokenizer.vocab_size < model.vocab_size:
        raise UsageError(
            f"--tokenizer must have the {model.vocab_size} tokens of the model, got {tokenizer.vocab_size}"
        )
    return model, tokenizer
