"""Consent: what a person allows, now and in history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from personalization.operations.profiles import Profiles, consent_document
from personalization.profile import Consent


class Consents:
    """One tenant's consents. A change is effective for the next decision and kept in the history."""

    def __init__(self, profiles: Profiles) -> None:
        self._profiles = profiles

    def document(self, user_id: str) -> dict[str, Any]:
        """Raises NotFound for a user without a profile."""
        return {
            "user_id": user_id,
            **consent_document(self._profiles.find(user_id).consent),
            "history": self._profiles.consents(user_id),
        }

    def put(self, user_id: str, said: Mapping[str, Any]) -> dict[str, Any]:
        """Replace the consent; what is not said falls back to the tenant's default. Makes a bare profile for a new user."""
        consent = Consent(
            personalization=said.get("personalization"),
            learning=said.get("learning"),
            marketing=said.get("marketing"),
            channels=dict(said.get("channels") or {}),
            marketing_channels=dict(said.get("marketing_channels") or {}),
        )
        self._profiles.set_consent(user_id, consent, "api")
        return self.document(user_id)
