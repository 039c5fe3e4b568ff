"""`docs/catalogue.md` is what the sources say now."""

import catalogue
import pytest

import weft


def test_page_is_up_to_date():
    assert catalogue.PAGE.read_text(encoding="utf-8") == catalogue.page(), "run: python tests/catalogue.py"


@pytest.mark.parametrize(
    ("doc", "expected"),
    [
        ("Affine map: y = x Wᵀ + b.\n\nMore.", "y = x Wᵀ + b"),
        ("Summary.\n\n    p ← p − lr g        (1)\n\nParameters\n----------\nx = 3", "p ← p − lr g"),
        ("Summary.\n\n    m ← m + g  (1)\n    p ← p − m  (2)\n\nwith y = 3.", "m ← m + g; p ← p − m"),
        ("Words alone: no more.\n\nParameters\n----------\nx : int, default = 3", "Words alone: no more"),
        (None, ""),
    ],
)
def test_formula(doc, expected):
    assert catalogue.formula(type("Documented", (), {"__doc__": doc})) == expected


def test_a_row():
    row = catalogue.row("dense layer", "nn.Linear")
    assert (
        "| [layers/linear.py](../layers/linear.py) | [layers/test_linear.py](../tests/layers/test_linear.py) |" in row
    )
    assert catalogue.found("nn.Linear") is weft.layers.Linear


def test_every_optimizer_and_schedule_has_a_concept():
    names = {n.rpartition(".")[2] for rows in catalogue.CONCEPTS.values() for _, some in rows for n in some.split()}
    from weft.optimizers import schedulers

    wanted = {n for n in weft.optimizers.__all__ if isinstance(getattr(weft.optimizers, n), type)}
    wanted |= {n for n in schedulers.__all__ if isinstance(getattr(schedulers, n), type)}
    assert wanted - names == {"GradScaler", "LRFinderResult", "LRScheduler"} - names
