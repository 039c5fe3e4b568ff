"""`weft translate`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...backend.device.devices import canonical, select
from ...backend.device.parallel import set_num_threads
from ...data import tokenizer_from_config
from ...data.files import named, read_bytes
from ...data.pairs import normalised
from ...layers.models import EncoderDecoder
from ..attention_map import plot_attention
from ..checkpoint import CheckpointError
from ..saved_model import load_model
from ..translating import attention_of, translate
from .folder import model_in
from .parser import Parser, UsageError, complain, number, report

__all__ = ["main"]

DESCRIPTION = """Translate sentences with a model that weft train --task translate has trained: those of the command line, or
a file's or the standard input's, one a line. Each translation is a line; an empty line stays one. Words that the model does
not know are named on standard error.
"""
EPILOG = """examples:
  weft translate runs/fra-eng-transformer "I am cold." "Where is the station?"
  weft translate runs/fra-eng-lstm "I am cold." --plot attention.png
  weft translate runs/fra-eng-lstm --file sentences.txt --beam 1 > translations.txt
  echo "Come in." | weft translate runs/fra-eng-transformer --beam 8 --length-penalty 1
"""


def _parser() -> Parser:
    parser = Parser(prog="weft translate", description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    add("model", metavar="RUN", help="folder of a run, or a file of it")
    add("sentences", metavar="SENTENCE", nargs="*", default=[], help="what to translate; none: the standard input")
    add("--file", metavar="PATH", help="translate the lines of this file")
    add("--beam", type=number(int, 1), metavar="N", help="prefixes that the search keeps; 1 is greedy (4)")
    add("--length-penalty", type=number(float, 0), metavar="X", help="greater ones favour longer translations (0.6)")
    add("--plot", metavar="PNG", help="draw what the model looks at in the first sentence")
    add("--device", help="cpu, cuda, cuda:1 …, emulator; default: $WEFT_DEVICE, or cpu")
    add("--threads", type=number(int, 1, 1025), metavar="N", help="CPU threads (all cores)")
    add("--debug", action="store_true", help="show the traceback of errors")
    return parser


def main(argv: Sequence[str]) -> int:
    """Translate as the arguments say.

    Parameters
    ----------
    argv : sequence of str
        Arguments of `weft translate`.

    Returns
    -------
    int
        The exit status, see `report`.

    Examples
    --------
    >>> main(["nowhere", "Hello."])
    2
    """
    given = vars(_parser().parse_args(argv))
    return report("weft translate", lambda: _translate(given), debug=given.pop("debug", False))


def _translate(given: dict[str, Any]) -> int:
    if "threads" in given:
        set_num_threads(given["threads"])
    device = select(given["device"]) if "device" in given else canonical(None)
    model, source, target = _load(named(given["model"]), device)
    lines = [normalised(line) for line in _lines(given)]
    sentences = [line for line in lines if line.strip()]
    if not sentences:
        raise UsageError("a sentence must be given, got none; name it after the run, or --file")
    unknown = dict.fromkeys(word for sentence in sentences for word in source.unknown(sentence))
    if unknown:
        complain(f"weft translate: words that the model does not know: {', '.join(unknown)}")
    options = {name: given[name] for name in ("beam", "length_penalty") if name in given}
    try:
        translations = iter(translate(model, source, target, sentences, **options))
    except ValueError as error:
        raise UsageError(str(error)) from error
    for line in lines:
        print(next(translations) if line.strip() else "")
    if "plot" in given:
        words, written, weights = attention_of(model, source, target, sentences[0], **options)
        plot_attention(weights, given["plot"], source=words, target=written, title=sentences[0])
    return 0


def _lines(given: dict[str, Any]) -> list[str]:
    if "file" in given and given["sentences"]:
        raise UsageError("--file must come without sentences, got both; leave one out")
    try:
        if "file" in given:
            return _split(read_bytes(named(given["file"])))
        if given["sentences"]:
            if blank := [s for s in given["sentences"] if not s.strip()]:
                raise UsageError(f"a sentence must have at least one word, got {blank[0]!r}; leave it out")
            return [" ".join(sentence.split()) for sentence in given["sentences"]]
        if sys.stdin is None:
            return []
        return _split(sys.stdin.buffer.read())
    except UnicodeDecodeError as error:
        where = f"--file {given['file']}" if "file" in given else "standard input"
        raise UsageError(f"{where}: must be text in UTF-8, got other bytes ({error.reason}); convert it") from None


def _split(content: bytes) -> list[str]:
    """Lines, and no others than those that end in a line break."""
    lines = content.decode("utf-8-sig").split("\n")
    return [line.rstrip("\r") for line in (lines if lines[-1] else lines[:-1])]


def _load(path: Path, device: str) -> tuple[EncoderDecoder, Any, Any]:
    """The model, on the device, and the tokenizers of the two languages."""
    found = model_in(path)
    saved = load_model(found, device=device)
    model: Any = saved.model
    if not isinstance(model, EncoderDecoder):
        what = type(model).__name__
        raise CheckpointError(f"`{found}`: expected a translator, found {what}; see weft train --task translate")
    tokenizers = []
    for name, size in (("source", model.source_size), ("target", model.target_size)):
        try:
            tokenizer: Any = tokenizer_from_config(saved.info[name])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            reason = f"no entry {error}" if isinstance(error, KeyError) else str(error)
            raise CheckpointError(f"`{found}`: expected the vocabulary of the {name}, found {reason}") from error
        if tokenizer.vocab_size != size:
            raise CheckpointError(
                f"`{found}`: expected the {size} words of the model's {name}, found a vocabulary of {tokenizer.vocab_size}, of "
                "another run"
            )
        tokenizers.append(tokenizer)
    return model, tokenizers[0], tokenizers[1]
