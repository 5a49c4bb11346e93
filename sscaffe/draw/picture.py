"""Graphs of nets as PNG, SVG or PDF, by matplotlib, or as text for Graphviz."""

import html
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sscaffe.draw.graph import Box, NetGraph
from sscaffe.draw.layout import Layout, place
from sscaffe.errors import SscaffeError, UnsupportedError
from sscaffe.files import write_atomically

FORMATS = ("png", "svg", "pdf", "dot")
DIRECTIONS = ("TB", "BT", "LR", "RL")

_COLOURS = {
    "data": "#d6e6f7",
    "convolution": "#fbe3c4",
    "product": "#f7d0d6",
    "pooling": "#d5efd6",
    "normalization": "#e6def3",
    "result": "#f3f0c0",
    "other": "#ececec",
}
_ZEROS = ["#ffffff", "#e1f0ec", "#c0e0d8", "#96cbbe", "#62b0a0", "#2f8f80"]  # 0, 20 ... 100 %
_PLAIN = "#f4f4f4"
_LINE = "#555555"
_HEAD, _TEXT, _SMALL = 9.0, 7.5, 6.5  # points
_WIDTH = 0.62  # of a letter, in its size; a little more than most are
_LEAD = 1.3
_MARGIN = 12.0
_DPI = 110
_MOST_PIXELS = 30_000  # of a side; image viewers give up beyond


def draw(graph: NetGraph, path: Path, direction: str = "TB") -> None:
    """Draw a net.

    Parameters
    ----------
    graph : NetGraph
        The net.
    path : Path
        Its name ends in one of `FORMATS`; what is there is replaced.
    direction : str
        TB, BT, LR or RL: from the top to the bottom, and so on.

    Raises
    ------
    UnsupportedError
        If the file is of another format, or matplotlib is needed and not installed.
    SscaffeError
        If the file cannot be written.
    """
    kind = path.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise UnsupportedError(f"{path}: expected a name that ends in .{', .'.join(FORMATS)}")
    if direction not in DIRECTIONS:
        raise UnsupportedError(f"rankdir: expected {', '.join(DIRECTIONS)}, got {direction!r}")
    if not graph.boxes:
        raise SscaffeError(f"{path}: expected a net with layers to draw, got none")
    if kind == "dot":
        write_atomically(path, _dot(graph, direction).encode())
        return
    content = io.BytesIO()
    figure, dpi = _figure(graph, direction)
    figure.savefig(content, format=kind, dpi=dpi)
    write_atomically(path, content.getvalue())


def _lines(box: Box) -> list[tuple[str, float]]:
    """Return the lines of a box and the sizes of their letters."""
    head = [(box.name, _HEAD), (box.type, _TEXT)]
    return head + [(line, _TEXT) for line in box.lines] + [(f"+ {s}", _SMALL) for s in box.in_place]


def _size(box: Box) -> tuple[float, float]:
    """Return width and height, in points."""
    lines = _lines(box)
    width = max(len(text) * size * _WIDTH for text, size in lines)
    return max(width + 12, 60), sum(size * _LEAD for _, size in lines) + 8


def _colour(graph: NetGraph, box: Box) -> str:
    if not graph.has_weights:
        return _COLOURS[box.part]
    return _PLAIN if box.zeros is None else _ZEROS[min(5, round(box.zeros / 20))]


def _figure(graph: NetGraph, direction: str) -> tuple[Any, float]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UnsupportedError(
            "draw: pictures need matplotlib: pip install 'sscaffe[plot]'; or draw to a .dot file"
        ) from error
    sizes = [_size(box) for box in graph.boxes]
    sideways = direction in ("LR", "RL")
    layout = place(
        [size[::-1] if sideways else size for size in sizes],
        [(edge.source, edge.target) for edge in graph.edges],
        rank_gap=40.0 if sideways else 26.0,
    )
    legend = 34.0 if graph.has_weights else 0.0
    width, height = (layout.length, layout.width) if sideways else (layout.width, layout.length)
    width, height = max(width, 150.0) + 2 * _MARGIN, height + 2 * _MARGIN + legend
    figure = Figure(figsize=(width / 72, height / 72))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-_MARGIN, width - _MARGIN), ylim=(height - _MARGIN, -_MARGIN))
    axes.set_axis_off()

    def turn(across: float, along: float) -> tuple[float, float]:
        if direction in ("BT", "RL"):
            along = layout.length - along
        return (along, across) if sideways else (across, along)

    _draw_edges(axes, graph, layout, turn, sideways=sideways)
    for i, box in enumerate(graph.boxes):
        middle = turn(layout.across[i], layout.along[i])
        _draw_box(axes, box, middle, sizes[i], _colour(graph, box))
    if legend:
        _draw_legend(axes, height - legend - _MARGIN)
    return figure, min(_DPI, 72 * _MOST_PIXELS / max(width, height))


def _draw_edges(axes: Any, graph: NetGraph, layout: Layout, turn: Any, *, sideways: bool) -> None:
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Curve

    for edge, points in zip(graph.edges, layout.paths, strict=True):
        ends: list[tuple[float, float]] = [points[0]]
        for i in range(0, len(points) - 1, 2):
            (across, along), (to_across, to_along) = points[i], points[i + 1]
            bend = (along + to_along) / 2
            ends += [(across, bend), (to_across, bend), (to_across, to_along)]
            if i + 2 < len(points):
                straight = points[i + 2]
                third = (straight[1] - to_along) / 3
                ends += [(to_across, to_along + third), (to_across, straight[1] - third), straight]
        codes = [Curve.MOVETO, *[Curve.CURVE4] * (len(ends) - 1)]
        curve = Curve([turn(*end) for end in ends], codes)
        axes.add_patch(
            FancyArrowPatch(
                path=curve, arrowstyle="-|>", mutation_scale=7, color=_LINE, linewidth=0.8, zorder=1
            )
        )
        if edge.blob != graph.boxes[edge.source].name:
            x, y = turn(*_label_place(points))
            shift = (0, -3) if sideways else (4, 0)
            axes.annotate(
                edge.blob,
                (x, y),
                shift,
                textcoords="offset points",
                fontsize=_SMALL,
                color=_LINE,
                ha="center" if sideways else "left",
                va="bottom" if sideways else "center",
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5},
            )


def _label_place(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the middle of the last bend, near the box that reads the blob."""
    (across, along), (to_across, to_along) = points[-2:]
    return (across + to_across) / 2, (along + to_along) / 2


def _draw_box(
    axes: Any, box: Box, middle: tuple[float, float], size: tuple[float, float], colour: str
) -> None:
    from matplotlib.patches import FancyBboxPatch

    x, y, (width, height) = *middle, size
    corner = (x - width / 2 + 3, y - height / 2 + 3)
    axes.add_patch(
        FancyBboxPatch(
            corner,
            width - 6,
            height - 6,
            boxstyle="round,pad=3",
            facecolor=colour,
            edgecolor=_LINE,
            linewidth=0.8,
            zorder=2,
        )
    )
    dark = colour == _ZEROS[-1]
    top = y - height / 2 + 4
    for number, (text, letters) in enumerate(_lines(box)):
        weight = "bold" if number == 0 else "normal"
        place = (x, top + letters * _LEAD / 2)
        style = {"fontsize": letters, "fontweight": weight, "color": "white" if dark else "black"}
        # A dollar sign in a name is no formula.
        axes.text(*place, text, ha="center", va="center", zorder=3, parse_math=False, **style)
        top += letters * _LEAD


def _draw_legend(axes: Any, top: float) -> None:
    axes.text(0, top + 20, "zero weights, %", fontsize=_SMALL, va="center")
    for i, colour in enumerate(_ZEROS):
        x = 58 + 15 * i
        axes.add_patch(_square(x, top + 14, colour))
        axes.text(x + 7, top + 32, str(20 * i), fontsize=_SMALL, ha="center", va="center")


def _square(x: float, y: float, colour: str) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), 14, 12, facecolor=colour, edgecolor=_LINE, linewidth=0.5)


def _dot(graph: NetGraph, direction: str) -> str:
    """Return a graph in the language of Graphviz."""
    lines = [f"digraph {json.dumps(graph.name or 'net')} {{", f"  rankdir={direction};"]
    lines.append('  node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=10];')
    for number, box in enumerate(graph.boxes):
        head, *rest = [html.escape(text) for text, _ in _lines(box)]
        label = "<br/>".join([f"<b>{head}</b>", *rest])
        lines.append(f'  n{number} [label=<{label}>, fillcolor="{_colour(graph, box)}"];')
    for edge in graph.edges:
        own = edge.blob == graph.boxes[edge.source].name
        label = "" if own else f" [label={json.dumps(edge.blob)}]"
        lines.append(f"  n{edge.source} -> n{edge.target}{label};")
    return "\n".join([*lines, "}"]) + "\n"
