"""The routes as the app's own url map has them, each with an answerable example."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from flask import Flask

from personalization.rest.guards import Guard

PREFIX = "/api/v1"
LOCALES = {"variant_id": "a", "content": {"en": {"subject": "Hi {{ user.first_name }}"}}}
EVENT = {"event_id": "e", "type": "clicked", "user_id": "u", "occurred_at": "2026-11-23T10:00:00Z"}

#: A good body for every route that takes one.
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/personalization/personalize"): {"user_id": "u", "template_id": "t"},
    ("POST", "/personalization/batch"): {"requests": [{"user_id": "u", "template_id": "t"}]},
    ("POST", "/personalization/events"): {"events": [EVENT]},
    ("POST", "/personalization/profiles"): {"profiles": [{"user_id": "u", "traits": {"plan": "pro"}}]},
    ("PUT", "/personalization/profiles/<id:user_id>"): {"traits": {"plan": "pro"}},
    ("PATCH", "/personalization/profiles/<id:user_id>"): {"traits": {"plan": None}},
    ("POST", "/personalization/templates"): {"template_id": "t", "name": "T", "variants": [LOCALES]},
    ("PUT", "/personalization/templates/<id:template_id>"): {"name": "T", "variants": [LOCALES]},
    ("POST", "/personalization/templates/<id:template_id>/preview"): {"context": {"first_name": "Ada"}},
    ("PUT", "/insights/users/<id:user_id>/preferences"): {"trigger": "context_shift", "content_preferences": {"tone": "dry"}},
    ("POST", "/ai/analyze-behavior"): {"user_id": "u"},
    ("POST", "/ai/analyze-sentiment"): {"texts": ["Lovely!", "Schade."]},
    ("POST", "/management/tokens/revoke"): {"jti": "j"},
    ("POST", "/management/api-keys"): {"role": "service", "name": "n"},
    ("PATCH", "/management/config"): {"exploration": 0.2, "reward": {"wait_time": "PT1H"}},
    ("PUT", "/management/users/<id:user_id>/consent"): {"marketing": False, "channels": {"sms": False}},
}


class Route(NamedTuple):
    method: str
    rule: str
    guard: Guard | None

    @property
    def path(self) -> str:
        filled = self.rule
        for name, value in (
            ("user_id", "u"),
            ("template_id", "t"),
            ("decision_id", "d1"),
            ("model_id", "m1"),
            ("key_id", "k"),
            ("erasure_id", "x"),
        ):
            filled = filled.replace(f"<id:{name}>", value)
        return PREFIX + filled

    def with_id(self, encoded: str) -> Iterator[str]:
        """The path once for each of its ids, which stands there as given."""
        for found in re.finditer(r"<id:\w+>", self.rule):
            yield PREFIX + re.sub(r"<id:\w+>", "u", self.rule[: found.start()]) + encoded + self.rule[found.end() :]

    @property
    def body(self) -> Any:
        return BODIES.get((self.method, self.rule))


def routes(app: Flask) -> Iterator[Route]:
    """Every method of every namespace's resource."""
    for rule in app.url_map.iter_rules():
        resource = getattr(app.view_functions[rule.endpoint], "view_class", None)
        if resource is None or rule.endpoint == "specs":
            continue
        for method in sorted(rule.methods & resource.methods):
            handler = getattr(resource, method.lower())
            yield Route(method, rule.rule.removeprefix(PREFIX), getattr(handler, "__guard__", None))
