"""Deep Personalization: a decision engine for notifications."""

from __future__ import annotations

from typing import Any

__all__ = ["create_app", "create_personalization_service"]


def __getattr__(name: str) -> Any:
    """The two doors, opened when asked for: the lower floors import this package without the house."""
    if name in __all__:
        from personalization import bootstrap

        return getattr(bootstrap, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
