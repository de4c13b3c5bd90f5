"""A report as one HTML file that needs nothing else: sentences, bars, lines, a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }
body { color: #1c2430; background: #fff }
h1 { font-size: 1.5rem }
h2 { font-size: 1.1rem; margin-top: 2rem }
li.missed { color: #a3261b; font-weight: 600 }
li.met { color: #1d6b3a }
table { border-collapse: collapse; width: 100% }
td, th { padding: .3rem .6rem; border-bottom: 1px solid #d8dee6; text-align: right }
td:first-child, th:first-child { text-align: left }
svg text { font-size: 12px; fill: currentColor }
svg .grid { stroke: #8a94a3; stroke-opacity: .35 }
svg .asked { stroke: #a3261b; stroke-width: 3 }
.bar { display: grid; grid-template-columns: 14rem 1fr 5rem; gap: .8rem; align-items: center; margin: .25rem 0 }
.track { background: #eef1f5; height: 1.2rem; position: relative }
.fill { background: #3867d6; height: 100% }
.mark { position: absolute; top: -.2rem; bottom: -.2rem; width: 2px; background: #a3261b }
@media (prefers-color-scheme: dark) {
  body { color: #e6e9ee; background: #14181f }
  .track { background: #2a313c }
  td, th { border-color: #39424f }
  li.missed { color: #ff8d80 }
  li.met { color: #7bd59b }
}
"""


@dataclass(frozen=True)
class Bar:
    """must: where the value should reach, None where nothing is asked."""

    name: str
    value: float
    said: str
    must: float | None = None


@dataclass(frozen=True)
class Chart:
    title: str
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Line:
    """points: (x, y), x ascending. dashed: what the others are compared with."""

    name: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


@dataclass(frozen=True)
class LineChart:
    """across: what x counts. asked: (from x, to x, y) that should be reached there. bottom: where y begins, or below it."""

    title: str
    across: str
    lines: Sequence[Line]
    asked: Sequence[tuple[float, float, float]] = ()
    bottom: float = 0.0


def page(
    title: str, sentences: Sequence[str], charts: Sequence[Chart | LineChart], columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> str:
    """Sentences that end in "met" or "MISSED" are marked so."""
    said = "".join(f'<li class="{_verdict(sentence)}">{escape(sentence)}</li>' for sentence in sentences)
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)}</h1><ul>{said}</ul>"
        f"{''.join(map(_chart, charts))}<h2>Figures</h2><table><tr>{head}</tr>{body}</table></html>\n"
    )


def _verdict(sentence: str) -> str:
    return "missed" if sentence.endswith("MISSED") else "met" if sentence.endswith("met") else ""


def _chart(chart: Chart | LineChart) -> str:
    return _lines(chart) if isinstance(chart, LineChart) else _bars(chart)


def _bars(chart: Chart) -> str:
    whole = max((max(bar.value, bar.must or 0.0) for bar in chart.bars), default=0.0) or 1.0
    return f"<h2>{escape(chart.title)}</h2>{''.join(_bar(bar, whole) for bar in chart.bars)}"


def _bar(bar: Bar, whole: float) -> str:
    mark = "" if bar.must is None else f'<div class="mark" style="left:{100 * bar.must / whole:.2f}%" title="must"></div>'
    return (
        f'<div class="bar"><span>{escape(bar.name)}</span><div class="track">'
        f'<div class="fill" style="width:{100 * bar.value / whole:.2f}%"></div>{mark}</div>'
        f"<span>{escape(bar.said)}</span></div>"
    )


# -- lines -----------------------------------------------------------------------------------------------------------

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _KEY = 900, 360, 50, 46, 12, 190
_COLORS = ("#3867d6", "#d9480f", "#2b8a3e", "#862e9c", "#0b7285", "#868e96")


@dataclass(frozen=True)
class _Scale:
    """From values to places of the drawing."""

    low_x: float
    high_x: float
    low_y: float
    high_y: float

    def x(self, value: float) -> float:
        return _LEFT + (value - self.low_x) / ((self.high_x - self.low_x) or 1.0) * (_WIDTH - _LEFT - _KEY)

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - (value - self.low_y) / ((self.high_y - self.low_y) or 1.0) * (_HEIGHT - _BOTTOM - _TOP)


def _lines(chart: LineChart) -> str:
    scale = _scale(chart)
    parts = [_grid(scale, chart.across)]
    parts += [
        f'<line class="asked" x1="{scale.x(a):.1f}" x2="{scale.x(b):.1f}" y1="{scale.y(y):.1f}" y2="{scale.y(y):.1f}">'
        f"<title>asked: {y:.3g}</title></line>"
        for a, b, y in chart.asked
    ]
    parts += [_line(line, i, scale) for i, line in enumerate(chart.lines)]
    described = escape(f"{chart.title}, over {chart.across}")
    return (
        f"<h2>{escape(chart.title)}</h2>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{described}">{"".join(parts)}</svg>'
    )


def _scale(chart: LineChart) -> _Scale:
    xs = [x for line in chart.lines for x, _ in line.points] + [x for a, b, _ in chart.asked for x in (a, b)]
    ys = [y for line in chart.lines for _, y in line.points] + [y for _, _, y in chart.asked]
    return _Scale(min(xs, default=0.0), max(xs, default=1.0), min([chart.bottom, *ys]), max([chart.bottom, *ys]))


def _grid(scale: _Scale, across: str) -> str:
    bottom, middle = _HEIGHT - _BOTTOM, (_LEFT + _WIDTH - _KEY) / 2
    levels = [(scale.y(y), y) for y in _ticks(scale.low_y, scale.high_y)]
    parts = [
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _KEY}" y1="{at:.1f}" y2="{at:.1f}"/>'
        f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{y:g}</text>'
        for at, y in levels
    ]
    parts += [
        f'<text x="{scale.x(x):.1f}" y="{bottom + 18}" text-anchor="middle">{x:,.10g}</text>'
        for x in _ticks(scale.low_x, scale.high_x)
    ]
    return "".join(parts) + f'<text x="{middle}" y="{bottom + 38}" text-anchor="middle">{escape(across)}</text>'


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers from low to high.

    >>> _ticks(0.0, 1.0), _ticks(25.0, 1975.0)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [500.0, 1000.0, 1500.0])
    """
    rough = (high - low) / 5 or 1.0
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * k for k in (1, 2, 5, 10) if unit * k >= rough * 0.999)
    return [round(k * step, 10) for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _line(line: Line, number: int, scale: _Scale) -> str:
    """The line and its entry in the key."""
    color, dash = _COLORS[number % len(_COLORS)], ' stroke-dasharray="6 4"' if line.dashed else ""
    points = " ".join(f"{scale.x(x):.1f},{scale.y(y):.1f}" for x, y in line.points)
    left, top = _WIDTH - _KEY + 12, _TOP + 14 + 22 * number
    return (
        f'<polyline fill="none" stroke="{color}" stroke-width="2"{dash} points="{points}"/>'
        f'<line x1="{left}" x2="{left + 24}" y1="{top - 4}" y2="{top - 4}" stroke="{color}" stroke-width="2"{dash}/>'
        f'<text x="{left + 30}" y="{top}">{escape(line.name)}</text>'
    )
