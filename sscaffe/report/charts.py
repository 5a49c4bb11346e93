"""Charts as SVG. Their colours are variables of the page's style, so that they suit any theme."""

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

WIDTH, HEIGHT = 560, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 28, 42
_MOST_POINTS = 500
COLOURS = 6


@dataclass(frozen=True)
class Series:
    """A line, or dots, with a name."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    dots: bool = False
    labels: Sequence[str] = ()  # of dots: what is shown when the pointer is on them


class _Scale:
    """Numbers to pixels."""

    def __init__(
        self, values: Iterable[float], pixels: tuple[float, float], *, log: bool = False
    ) -> None:
        known = [v for v in values if math.isfinite(v) and (v > 0 or not log)] or [1.0]
        self.log, self._pixels = log, pixels
        low, high = min(known), max(known)
        if log:
            low, high = math.log10(low), math.log10(high)
        if high - low < 1e-12 * max(1, abs(high)):
            low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
        self.low, self.high = low, high

    def __call__(self, value: float) -> float:
        place = math.log10(value) if self.log else value
        start, end = self._pixels
        return start + (end - start) * (place - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        if not self.log:
            return _round_steps(self.low, self.high, 5)
        exponents = range(math.floor(self.low), math.ceil(self.high) + 1)
        few = (1,) if len(exponents) > 4 else (1, 2, 5)
        every = 1 + (len(exponents) - 1) // 7
        values = [m * 10.0**e for e in exponents if e % every == 0 for m in few]
        return [v for v in values if self.low - 1e-9 <= math.log10(v) <= self.high + 1e-9]


def _round_steps(low: float, high: float, count: int) -> list[float]:
    rough = (high - low) / count
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(m * unit for m in (1, 2, 5, 10) if m * unit >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def chart(
    series: Sequence[Series], *, label: str, x_label: str = "iteration", log: bool = False
) -> str:
    """Draw lines and dots over two axes, with a legend above if there are several.

    Parameters
    ----------
    series : sequence of Series
        What to draw; values that are not finite leave gaps.
    label, x_label : str
        Of the two axes.
    log : bool
        Let the values rise by ratios.
    """
    thin = [_thinned(s) for s in series]
    x = _Scale((v for s in thin for v in s.x), (_LEFT, WIDTH - _RIGHT))
    y = _Scale((v for s in thin for v in s.y), (HEIGHT - _BOTTOM, _TOP), log=log)
    parts = [_grid(x, y), _titles(label, x_label)]
    for number, one in enumerate(thin):
        parts.append((_dots if one.dots else _line)(one, x, y, number % COLOURS))
    drawing = _svg(HEIGHT, "".join(parts), f"{label} over {x_label}")
    return (legend([s.name for s in series]) if len(series) > 1 else "") + drawing


def legend(names: Sequence[str]) -> str:
    """Return a line that tells which colour is which."""
    keys = (
        f'<span><i class="k{i % COLOURS}"></i>{html.escape(name)}</span>'
        for i, name in enumerate(names)
    )
    return f'<div class="legend">{"".join(keys)}</div>'


def strips(rows: Sequence[tuple[str, Sequence[float]]], iterations: Sequence[float]) -> str:
    """Draw per cents over time: a strip for each row, dark where much is zero.

    Parameters
    ----------
    rows : sequence of (str, sequence of float)
        Name and values.
    iterations : sequence of float
        When the values were seen; one for each.
    """
    longest = max(len(name) for name, _ in rows)
    left, right, step = min(210, 14 + 7.5 * longest), 54, 24
    count = min(len(iterations), 160)
    places = np.linspace(0, len(iterations) - 1, count).round().astype(int)
    width = (WIDTH - left - right) / count
    parts = []
    for number, (name, values) in enumerate(rows):
        top = number * step + 4
        parts.append(_text(left - 8, top + 13, _shortened(name), "end", "strong"))
        parts.append(_rectangle(left, top, WIDTH - left - right, step - 6, "strip"))
        for i, place in enumerate(places):
            share = values[place]
            if math.isfinite(share) and share > 0:
                opacity = f' fill-opacity="{0.08 + 0.92 * min(share, 100) / 100:.2f}"'
                edge = left + i * width
                parts.append(_rectangle(edge, top, width + 0.3, step - 6, "ink", opacity))
        parts.append(_text(WIDTH - right + 8, top + 13, f"{values[-1]:.1f} %", "start", "strong"))
    bottom = len(rows) * step + 18
    parts.append(_text(left, bottom, f"iteration {iterations[0]:g}", "start", "axis"))
    parts.append(_text(WIDTH - right, bottom, f"{iterations[-1]:g}", "end", "axis"))
    return _svg(bottom + 8, "".join(parts), "per cent zero over iterations")


def _shortened(name: str, width: int = 26) -> str:
    return name if len(name) <= width else f"{name[: width - 2]}.."


def _thinned(one: Series) -> Series:
    """Return a series with no more points than can be seen: means of neighbours."""
    pairs = [(a, b) for a, b in zip(one.x, one.y, strict=True) if a is not None and b is not None]
    if one.dots or len(pairs) <= _MOST_POINTS:
        x, y = zip(*pairs, strict=True) if pairs else ((), ())
        return Series(one.name, x, y, one.dots, one.labels)
    parts = np.array_split(np.array(pairs, np.float64), _MOST_POINTS)
    means = [part.mean(axis=0) for part in parts]
    return Series(one.name, [float(m[0]) for m in means], [float(m[1]) for m in means])


def _grid(x: _Scale, y: _Scale) -> str:
    parts = []
    for value in y.ticks():
        place = y(value)
        parts.append(f'<path class="grid" d="M{_LEFT} {place:.1f}H{WIDTH - _RIGHT}"/>')
        parts.append(_text(_LEFT - 7, place + 4, f"{value:.4g}", "end", "axis"))
    for value in x.ticks():
        parts.append(_text(x(value), HEIGHT - _BOTTOM + 17, f"{value:.6g}", "middle", "axis"))
    return "".join(parts)


def _titles(label: str, x_label: str) -> str:
    return _text(0, 11, label, "start", "title") + _text(
        WIDTH - _RIGHT, HEIGHT - 6, x_label, "end", "title"
    )


def _line(one: Series, x: _Scale, y: _Scale, colour: int) -> str:
    path, pen = [], "M"
    for a, b in zip(one.x, one.y, strict=True):
        if not math.isfinite(b) or (y.log and b <= 0):
            pen = "M"
            continue
        path.append(f"{pen}{x(a):.1f} {y(b):.1f}")
        pen = "L"
    if len(path) == 1:
        path.append(path[0].replace("M", "L"))
    return f'<path class="line s{colour}" d="{"".join(path)}"/>'


def _dots(one: Series, x: _Scale, y: _Scale, colour: int) -> str:
    parts = []
    for i, (a, b) in enumerate(zip(one.x, one.y, strict=True)):
        if math.isfinite(b) and (b > 0 or not y.log):
            label = html.escape(one.labels[i]) if i < len(one.labels) else ""
            place = f'cx="{x(a):.1f}" cy="{y(b):.1f}" r="5"'
            parts.append(f'<circle class="f{colour}" {place}><title>{label}</title></circle>')
    return "".join(parts)


def _rectangle(x: float, y: float, width: float, height: float, kind: str, more: str = "") -> str:
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.2f}" height="{height}"'
        f"{more}/>"
    )


def _text(x: float, y: float, text: str, anchor: str, kind: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text class="{kind}" {place}>{html.escape(text)}</text>'


def _svg(height: float, inside: str, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{html.escape(title)}">'
        f"{inside}</svg>"
    )
