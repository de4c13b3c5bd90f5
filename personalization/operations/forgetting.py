"""What this process has in memory of people, dropped when they leave."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable

from personalization.cache import CachedProfiles
from personalization.content import formats, languages, locales
from personalization.core import DeepPersonalizationEngine
from personalization.deciding import features, preferences


class Forgetting:
    """Profiles are dropped one by one. What is kept by content rather than by person (plans of inline messages, hashes of
    traits and context values, language tags, figures as written) is dropped whole: it cannot be told whose it was, and is soon
    made again. Stores drop what they keep themselves."""

    def __init__(self, profiles: CachedProfiles, engine: DeepPersonalizationEngine) -> None:
        self._profiles, self._engine = profiles, engine

    def __call__(self, tenant_id: str, user_refs: Iterable[bytes]) -> None:
        self._profiles.forget(tenant_id, user_refs)
        self._engine.forget()
        features.forget()
        preferences.forget()
        for remembering in (formats, languages, locales):
            remembering.forget()
        _forget_paths()


def _forget_paths() -> None:
    """The web server splits paths with a function that remembers them, and ids stand in paths."""
    urllib.parse.clear_cache()  # type: ignore[attr-defined]
