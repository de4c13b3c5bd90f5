"""Previews for people who translate: a row and a page for every language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from personalization.bootstrap import memory_house
from personalization.lab.population import samples
from personalization.service import PersonalizationService

Document = Mapping[str, Any]

_TENANT = "samples"
_STYLE = """
body { font: 16px/1.5 system-ui, "Noto Sans", sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem }
body { color: #1c2430; background: #fff }
h1 { font-size: 1.5rem }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .4rem; border-top: 1px solid #d8dee6; padding-top: 1rem }
h2 small, .said { color: #5b6675; font-weight: 400; font-size: .85rem }
nav a { display: inline-block; margin: 0 .8rem .2rem 0 }
.variants { display: grid; grid-template-columns: repeat(auto-fill, minmax(21rem, 1fr)); gap: .8rem }
article { border: 1px solid #d8dee6; border-radius: .4rem; padding: .6rem .8rem; min-width: 0 }
.elsewhere { color: #8a5a00; margin: .2rem 0 .5rem }
.subject { font-weight: 600; margin: .3rem 0 }
.text { white-space: pre-wrap; overflow-wrap: anywhere; margin: .3rem 0 }
.found { color: #a3261b; margin: .2rem 0 }
iframe { width: 100%; height: 14rem; border: 1px solid #d8dee6; background: #fff }
@media (prefers-color-scheme: dark) {
  body { color: #e6e9ee; background: #14181f }
  h2, article, iframe { border-color: #39424f }
  h2 small, .said { color: #98a3b3 }
  .found { color: #ff8d80 }
  .elsewhere { color: #e0b060 }
  a { color: #8fb0ff }
}
"""


def sample_service() -> PersonalizationService:
    """A tenant in memory that has the sample templates and nobody."""
    house = memory_house()
    house.storage.tenants.create(_TENANT, house.clock.now())
    service = house.service(_TENANT)
    for sample in samples():
        service.create_template(sample)
    return service


def rows(document: Document) -> list[tuple[str, ...]]:
    """For each locale: tag, its own name, script, direction, what falls back, what was found."""
    return [
        (
            locale["language"],
            locale["name"],
            locale["script"],
            locale["direction"],
            ", ".join(f"{v['variant_id']}→{v['falls_back_to']}" for v in locale["variants"] if v["falls_back_to"]),
            "; ".join(f"{v['variant_id']}: {said}" for v in locale["variants"] for said in problems(v)),
        )
        for locale in document["locales"]
    ]


def problems(variant: Document) -> list[str]:
    """What is to be mended, each in a sentence. A text of another language is judged where it is at home."""
    found = [] if variant["falls_back_to"] else [f"{f['part']} {f['message']}".strip() for f in variant["findings"]]
    missing = [f"has no value for {', '.join(variant['missing_variables'])}"] if variant["missing_variables"] else []
    return [*found, *missing, *([variant["failure"]] if variant["failure"] else [])]


def page(document: Document) -> str:
    """The preview as one file that needs nothing else."""
    title = f"{document['template_id']}, version {document['template_version']}"
    locales: Sequence[Document] = document["locales"]
    links = " ".join(
        f'<a href="#{escape(each["language"])}" lang="{escape(each["language"])}"><bdi>{escape(each["name"])}</bdi></a>'
        for each in locales
    )
    found = sum(len(problems(variant)) for each in locales for variant in each["variants"])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
        f"<h1>{escape(title)}</h1><p>{len(locales)} locales, {found} findings.</p>"
        f"<nav>{links}</nav>{''.join(map(_section, locales))}</html>\n"
    )


def _section(locale: Document) -> str:
    said = f"{locale['language']} · {locale['script']} · {locale['direction']}"
    own = [variant for variant in locale["variants"] if not variant["falls_back_to"]]
    return (
        f'<section id="{escape(locale["language"])}"><h2><bdi>{escape(locale["name"])}</bdi> <small>{escape(said)}</small></h2>'
        f'{_elsewhere(locale["variants"])}<div class="variants">{"".join(map(_article, own))}</div></section>'
    )


def _elsewhere(variants: Sequence[Document]) -> str:
    """What is missing, in a sentence for each language that steps in."""
    missing: dict[str, list[str]] = {}
    for variant in variants:
        if variant["falls_back_to"]:
            missing.setdefault(variant["falls_back_to"], []).append(variant["variant_id"])
    return "".join(
        f'<p class="elsewhere">Not translated, read in {escape(got)}: variant {escape(", ".join(ids))}</p>'
        for got, ids in missing.items()
    )


def _article(variant: Document) -> str:
    parts = "".join(_part(name, text, variant) for name, text in (variant["content"] or {}).items())
    found = "".join(f'<p class="found">{escape(said)}</p>' for said in problems(variant))
    return f'<article><div class="said">Variant {escape(variant["variant_id"])}</div>{parts}{found}</article>'


def _part(name: str, text: str, variant: Document) -> str:
    written = f'dir="{variant["direction"]}" lang="{escape(variant["language"])}"'
    if name == "html":
        frame = f'<iframe sandbox loading="lazy" srcdoc="{escape(text)}"></iframe>'
        return f'<details><summary class="said">html</summary>{frame}</details>'
    shape = "subject" if name in ("subject", "title") else "text"
    return f'<div class="{shape}" {written} title="{escape(name)}">{escape(text)}</div>'
