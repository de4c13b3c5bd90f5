"""All models of a tenant as callers see them: policies, which learn by themselves, and predictive models, which have versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from personalization.errors import Conflict, NotFound
from personalization.models.base import Family
from personalization.operations.cards import card, policy_card
from personalization.operations.model_life import ModelLife
from personalization.operations.paging import key_of, page
from personalization.operations.policies import Policies
from personalization.vocabulary import ModelStatus

Document = dict[str, Any]


class Models:
    """Raises NotFound for a model that neither learned anything nor belongs to a family."""

    def __init__(self, life: ModelLife, policies: Policies, families: Mapping[str, Family]) -> None:
        self._life, self._policies, self._families = life, policies, families

    def listed(self, limit: int, cursor: str | None) -> Document:
        """Policies in order of model_id, then the families of which a version was ever asked for."""
        after = key_of(cursor)
        places = sorted([*(f"0{name}" for name in self._policies.names()), *(f"1{name}" for name in self._life.begun_ever())])
        wanted = [place for place in places if place > after][: limit + 1]
        return page([self.found(place[1:]) for place in wanted[:limit]], wanted, limit, str)

    def found(self, model_id: str) -> Document:
        return self._life.document(model_id) if model_id in self._families else self._policies.document(model_id)

    def versions(self, model_id: str, limit: int, cursor: str | None) -> Document:
        if model_id in self._families:
            return self._life.versions(model_id, limit, cursor)
        return self._policies.versions(model_id, limit, cursor)

    def card(self, model_id: str) -> Document:
        if model_id in self._families:
            return card(self._life.document(model_id), self._families[model_id])
        return policy_card(self._policies.document(model_id))

    def evaluate(self, model_id: str, version: int | None = None) -> Document:
        if model_id in self._families:
            return self._life.evaluate(model_id, version)
        return self._policies.evaluate(model_id)

    def train(self, model_id: str) -> Document:
        self._expect_trainable(model_id)
        return self._life.train(model_id)

    def promote(self, model_id: str, version: int | None, status: ModelStatus) -> Document:
        self._expect_trainable(model_id)
        return self._life.promote(model_id, version, status)

    def rollback(self, model_id: str) -> Document:
        self._expect_trainable(model_id)
        return self._life.rollback(model_id)

    def _expect_trainable(self, model_id: str) -> None:
        if model_id in self._families:
            return
        if model_id not in self._policies.names():
            raise NotFound("model")
        raise Conflict(
            f"{model_id} is a policy: it learns from every event by itself and serves what it learned a second later. "
            "Hold it with learning_mode, judge it with POST …/evaluate."
        )
