"""A directed graph without cycles, for Graphviz or as a picture: in layers, after Sugiyama, Tagawa and Toda (1981).

A node stands one layer below the lowest that it depends on, what depends on nothing right above what it is for. An arrow
that passes layers goes through a place in each of them. In each layer the order and then the positions follow the mean of
the neighbours, from the top down and from the bottom up in turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from ..device.markup import text

__all__ = ["Arrow", "Node", "to_dot", "to_svg"]

SWEEPS = 8
HEIGHT, ROW, GAP, LETTER, MARGIN = 26, 74, 22, 7.4, 16  # pixels


class Node(NamedTuple):
    """A box, or a rounded one for what no operation has made."""

    label: str
    is_operation: bool


class Arrow(NamedTuple):
    """From the name of one node to that of another."""

    source: str
    target: str
    label: str


Key = str | tuple[int, int]  # a node, or the place in a layer that an arrow passes: (arrow, layer)


def to_dot(nodes: Mapping[str, Node], arrows: Sequence[Arrow]) -> str:
    """The graph in Graphviz's language, each node followed by the arrows to it."""
    quoted = {name: name if node.is_operation else f'"{name}"' for name, node in nodes.items()}
    lines = ["digraph {", '  rankdir=TB; node [fontname="sans-serif"]']
    into: dict[str, list[str]] = {name: [] for name in nodes}
    for a, b, label in arrows:
        into[b].append(f'  {quoted[a]} -> {quoted[b]} [label="{label}"]')
    for name, node in nodes.items():
        shape = f'box, label="{node.label}"' if node.is_operation else "ellipse"
        lines += [f"  {quoted[name]} [shape={shape}]", *into[name]]
    return "\n".join([*lines, "}"])


def to_svg(nodes: Mapping[str, Node], arrows: Sequence[Arrow]) -> str:
    """The picture of a graph."""
    rank = _ranks(nodes, arrows)
    paths = [_path(i, arrow, rank) for i, arrow in enumerate(arrows)]
    layers: list[list[Key]] = [[] for _ in range(1 + max(rank.values(), default=0))]
    for name in nodes:
        layers[rank[name]].append(name)
    for path in paths:
        for key in path[1:-1]:
            assert isinstance(key, tuple)
            layers[key[1]].append(key)
    width: dict[Key, float] = {key: 10.0 for layer in layers for key in layer}
    width |= {name: 20 + LETTER * len(node.label) for name, node in nodes.items()}
    above: dict[Key, list[Key]] = {key: [] for layer in layers for key in layer}
    below: dict[Key, list[Key]] = {key: [] for layer in layers for key in layer}
    for path in paths:
        for a, b in pairwise(path):
            below[a].append(b)
            above[b].append(a)
    _order(layers, above, below)
    x = _positions(layers, above, below, width)
    left = min((x[key] - width[key] / 2 for key in x), default=0.0)
    right = max((x[key] + width[key] / 2 for key in x), default=0.0)
    at = {
        key: (x[key] - left + MARGIN, MARGIN + HEIGHT / 2 + ROW * i) for i, layer in enumerate(layers) for key in layer
    }
    drawn = [_curve([at[key] for key in path], arrow.label) for path, arrow in zip(paths, arrows)]
    drawn += [_box(node, at[name], width[name]) for name, node in nodes.items()]
    size = round(right - left + 2 * MARGIN), round(ROW * (len(layers) - 1) + HEIGHT + 2 * MARGIN)
    return _page(size, drawn)


def _ranks(nodes: Iterable[str], arrows: Sequence[Arrow]) -> dict[str, int]:
    """The layer of each node; arrows lead from nodes to later ones."""
    rank = dict.fromkeys(nodes, 0)
    into: dict[str, list[str]] = {name: [] for name in rank}
    out: dict[str, list[str]] = {name: [] for name in rank}
    for source, target, _ in arrows:
        into[target].append(source)
        out[source].append(target)
    order: list[str] = []
    waiting = {name: len(sources) for name, sources in into.items()}
    ready = [name for name, count in waiting.items() if not count]
    while ready:
        order.append(name := ready.pop())
        for target in out[name]:
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    for name in order:
        rank[name] = max((rank[source] + 1 for source in into[name]), default=0)
    for name in order:
        if not into[name] and out[name]:
            rank[name] = min(rank[target] for target in out[name]) - 1
    return rank


def _path(i: int, arrow: Arrow, rank: Mapping[str, int]) -> list[Key]:
    between: list[Key] = [(i, k) for k in range(rank[arrow.source] + 1, rank[arrow.target])]
    return [arrow.source, *between, arrow.target]


def _order(layers: list[list[Key]], above: Mapping[Key, list[Key]], below: Mapping[Key, list[Key]]) -> None:
    """Sort each layer by the mean place of the neighbours, which leaves few arrows crossing."""
    for sweep in range(SWEEPS):
        neighbours, turn = (above, layers) if sweep % 2 == 0 else (below, layers[::-1])
        place = {key: i / max(1, len(layer) - 1) for layer in layers for i, key in enumerate(layer)}
        for layer in turn:
            means = {key: _mean([place[n] for n in neighbours[key]], place[key]) for key in layer}
            layer.sort(key=means.__getitem__)
            place |= {key: i / max(1, len(layer) - 1) for i, key in enumerate(layer)}


def _positions(
    layers: list[list[Key]], above: Mapping[Key, list[Key]], below: Mapping[Key, list[Key]], width: Mapping[Key, float]
) -> dict[Key, float]:
    """Each node as near to the mean of its neighbours as its layer allows."""
    x = {key: 0.0 for layer in layers for key in layer}
    for sweep in range(SWEEPS):
        turn = layers if sweep % 2 == 0 else layers[::-1]
        for layer in turn:
            wanted = [_mean([x[n] for n in (above if sweep % 2 == 0 else below)[key]], x[key]) for key in layer]
            found: list[float] = []
            for i, (key, at) in enumerate(zip(layer, wanted)):
                if i:
                    at = max(at, found[-1] + (width[layer[i - 1]] + width[key]) / 2 + GAP)
                found.append(at)
            shift = _mean([a - b for a, b in zip(wanted, found)], 0.0)
            x |= {key: at + shift for key, at in zip(layer, found)}
    return x


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default


def _box(node: Node, at: tuple[float, float], width: float) -> str:
    x, y = at
    radius, fill = (4, "#dbe9fb") if node.is_operation else (HEIGHT / 2, "#f4f4f4")
    return (
        f'<rect x="{x - width / 2:.1f}" y="{y - HEIGHT / 2:.1f}" width="{width:.1f}" height="{HEIGHT}" rx="{radius:g}"'
        f' fill="{fill}" stroke="#777"/><text x="{x:.1f}" y="{y + 4:.1f}">{text(node.label)}</text>'
    )


def _curve(points: Sequence[tuple[float, float]], label: str) -> str:
    """Through the places that an arrow passes, upright at each; its label stands where it leaves."""
    x, y = points[0][0], points[0][1] + HEIGHT / 2
    end = points[-1][0], points[-1][1] - HEIGHT / 2 - 3
    route = [f"M{x:.1f} {y:.1f}"]
    label_at = x, y
    for i, (to_x, to_y) in enumerate([*points[1:-1], end]):
        middle = (y + to_y) / 2
        route.append(f"C{x:.1f} {middle:.1f} {to_x:.1f} {middle:.1f} {to_x:.1f} {to_y:.1f}")
        label_at = ((x + to_x) / 2, middle + 3) if i == 0 else label_at
        x, y = to_x, to_y
    return (
        f'<path d="{" ".join(route)}" fill="none" stroke="#777" marker-end="url(#head)"/>'
        f'<text class="label" x="{label_at[0]:.1f}" y="{label_at[1]:.1f}">{text(label)}</text>'
    )


def _page(size: tuple[int, int], drawn: Sequence[str]) -> str:
    width, height = size
    head = '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    style = "text{font-family:sans-serif;font-size:12px;text-anchor:middle;fill:#222}"
    style += ".label{font-size:9px;fill:#555;paint-order:stroke;stroke:#fff;stroke-width:6px}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
            f'<style>{style}</style><defs>{head}<path d="M0 0L8 4L0 8z" fill="#777"/></marker></defs>',
            '<rect width="100%" height="100%" fill="#fff"/>',
            *drawn,
            "</svg>",
        ]
    )
