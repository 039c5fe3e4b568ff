"""The drawn graph, read back as XML: what is there, and that nothing covers anything else."""

import re
from xml.etree import ElementTree

import pytest

import weft
from weft import layers as nn
from weft.backend.modes.drawing import Arrow, Node, to_svg
from weft.layers import models


def read(svg):
    """(boxes (x, y, width, height), the texts in them, arrows ((x, y) of both ends), their labels)."""
    root = ElementTree.fromstring(svg)
    tag = "{http://www.w3.org/2000/svg}"
    boxes = [
        tuple(float(r.get(k)) for k in ("x", "y", "width", "height")) for r in root.iter(f"{tag}rect") if r.get("x")
    ]
    numbers = [
        list(map(float, re.findall(r"-?[\d.]+", p.get("d")))) for p in root.iter(f"{tag}path") if p.get("marker-end")
    ]
    arrows = [((n[0], n[1]), (n[-2], n[-1])) for n in numbers]
    texts = [(t.get("class"), t.text) for t in root.iter(f"{tag}text")]
    return boxes, [t for c, t in texts if c is None], arrows, [t for c, t in texts if c]


MODELS = {
    "residual": (
        lambda: nn.Sequential(nn.Residual(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4)))),
        (1, 4),
    ),
    "transformer": (lambda: nn.TransformerEncoderLayer(8, 2), (3, 1, 8)),
    "resnet": (lambda: models.resnet18(num_classes=10).eval(), (1, 3, 32, 32)),
}


@pytest.mark.parametrize("name", MODELS)
def test_models(name):
    make, shape = MODELS[name]
    trace = weft.traced(make(), weft.ones(shape))
    boxes, labels, arrows, shapes = read(trace.to_svg())
    dot = trace.to_dot()
    assert len(boxes) == len(labels) == dot.count("[shape=")
    assert len(arrows) == len(shapes) == dot.count("->")
    assert sorted(labels) == sorted(
        re.findall(r'label="([^(]\w+)"', dot) + re.findall(r'"([^"]*)" \[shape=ellipse', dot)
    )
    for i, (x, y, w, h) in enumerate(boxes):
        for x2, y2, w2, h2 in boxes[:i]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y
    for (_, y), (_, to_y) in arrows:
        assert y < to_y
    starts = {(round(x + w / 2), round(y + h)) for x, y, w, h in boxes}
    assert all(any(abs(x - a) <= 1 and abs(y - b) <= 1 for a, b in starts) for (x, y), _ in arrows)


def test_an_arrow_goes_around_what_it_passes():
    """Of a skip connection over three boxes, which stand below each other."""
    nodes = {name: Node(name, True) for name in "abcd"}
    arrows = [Arrow(*pair, "") for pair in ("ab", "bc", "cd", "ad")]
    boxes, *_ = read(svg := to_svg(nodes, arrows))
    (around,) = [d for d in re.findall(r'd="(M[^"]*)"', svg) if d.count("C") == 3]
    places = re.findall(r"([\d.]+) ([\d.]+)(?= C|$)", around)[1:-1]
    for (x, _), (left, _, width, _) in zip(places, boxes[1:3], strict=True):
        assert not left <= float(x) <= left + width


def test_text_is_escaped():
    _, labels, _, shapes = read(to_svg({"a": Node("<&>", True), "b": Node("b", False)}, [Arrow("b", "a", "(1 < 2)")]))
    assert (labels, shapes) == (["<&>", "b"], ["(1 < 2)"])


def test_nothing():
    assert read(weft.traced(lambda: 1).to_svg()) == ([], [], [], [])
