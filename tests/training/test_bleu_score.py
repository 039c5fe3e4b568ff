"""BLEU against its definition, and the word-for-word baseline against counting."""

import builtins
import math
from collections import Counter

import numpy as np
import pytest

from weft.training.bleu_score import bleu, word_for_word

TRANSLATIONS = ["the cat sat on the mat today", "there is a dog in the old house", "we go home now my friend"]
REFERENCES = [
    ["the cat sat on the mat", "a cat sat on a mat today"],
    ["a dog is in the old house"],
    ["we go home right now my friend", "we will go home", "let us go home now my friend"],
]


def reference_bleu(translations, references):
    """exp(mean ln p_n) · brevity penalty, of Papineni et al., for words apart by spaces."""
    right, total, length, wanted = np.zeros(4), np.zeros(4), 0, 0
    for text, refs in zip(translations, references):
        words, others = text.split(), [r.split() for r in refs]
        length += len(words)
        wanted += min((abs(len(o) - len(words)), len(o)) for o in others)[1]
        for n in range(1, 5):
            grams = [Counter(tuple(w[i : i + n]) for i in range(len(w) - n + 1)) for w in (words, *others)]
            most = {g: max(o[g] for o in grams[1:]) for g in grams[0]}
            right[n - 1] += sum(min(c, most[g]) for g, c in grams[0].items())
            total[n - 1] += sum(grams[0].values())
    return 100 * math.exp(np.log(right / total).mean() + min(0, 1 - wanted / length))


def test_bleu():
    """Several references, and not equally many of each."""
    pytest.importorskip("sacrebleu")
    assert bleu(TRANSLATIONS, REFERENCES) == pytest.approx(reference_bleu(TRANSLATIONS, REFERENCES), abs=1e-8)
    assert bleu([r[0] for r in REFERENCES], REFERENCES) == 100
    assert bleu(["x y z w v", "q"], [["a b c d e"], ["b"]]) < 10
    assert bleu(["a b c"], [["a b c"]]) == 0  # no four words anywhere
    assert bleu(TRANSLATIONS, [r[::-1] for r in REFERENCES]) == pytest.approx(bleu(TRANSLATIONS, REFERENCES))


def test_bleu_that_cannot_be(monkeypatch):
    with pytest.raises(ValueError, match="`translations` must have at least one, got none"):
        bleu([], [])
    with pytest.raises(ValueError, match="an entry for each of the 2 translations, got 1"):
        bleu(["a", "b"], [["a"]])
    with pytest.raises(ValueError, match="a list of at least one for each, got 'b' in number 1"):
        bleu(["a", "b"], [["a"], "b"])
    actual = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "sacrebleu":
            raise ImportError("No module named 'sacrebleu'")
        return actual(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'`bleu` needs sacrebleu .*: pip install "weft\[translate\]"'):
        bleu(["a"], [["a"]])


def test_word_for_word():
    random = np.random.default_rng(0)
    sources = [random.integers(4, 9, random.integers(1, 6)) for _ in range(50)]
    targets = [np.append(s[::-1] + 3, 4) for s in sources]
    table = word_for_word(sources, targets, 10)
    assert table.tolist() == [-1] * 4 + [7, 8, 9, 10, 11] + [-1]
    for s in range(4, 9):  # by counting
        scores = {}
        for t in range(12):
            both = sum(s in a and t in b for a, b in zip(sources, targets))
            n_s, n_t = sum(s in a for a in sources), sum(t in b for b in targets)
            scores[t] = both**2 / (n_s * n_t) if n_t else 0
        assert table[s] == max(scores, key=scores.get)


def test_what_is_no_list_of_texts():
    for translations, references, name in (
        ("abc", [["a"], ["b"], ["c"]], "translations"),
        ([3], [["a"]], "translations"),
        (["a"], [[None]], r"references\[0\]"),
    ):
        with pytest.raises(TypeError, match=f"`{name}` must be a list of str, got"):
            bleu(translations, references)
