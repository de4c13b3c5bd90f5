"""A report as one HTML file that needs nothing else: sentences, bars, a table."""

from __future__ import annotations

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


def page(
    title: str, sentences: Sequence[str], charts: Sequence[Chart], columns: Sequence[str], rows: Sequence[Sequence[str]]
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


def _chart(chart: Chart) -> str:
    whole = max((max(bar.value, bar.must or 0.0) for bar in chart.bars), default=0.0) or 1.0
    return f"<h2>{escape(chart.title)}</h2>{''.join(_bar(bar, whole) for bar in chart.bars)}"


def _bar(bar: Bar, whole: float) -> str:
    mark = "" if bar.must is None else f'<div class="mark" style="left:{100 * bar.must / whole:.2f}%" title="must"></div>'
    return (
        f'<div class="bar"><span>{escape(bar.name)}</span><div class="track">'
        f'<div class="fill" style="width:{100 * bar.value / whole:.2f}%"></div>{mark}</div>'
        f"<span>{escape(bar.said)}</span></div>"
    )
