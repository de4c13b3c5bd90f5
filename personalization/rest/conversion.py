"""From the structs of the edge to the values of the house."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from personalization.clock import from_datetime, length_of
from personalization.errors import FieldError, Invalid, TooLarge
from personalization.messages import EngagementEvent, PersonalizationRequest, SendWindow
from personalization.rest.schemas import (
    DECLARED_SECTIONS,
    Event,
    InlineVariant,
    NewTemplate,
    Personalize,
    Preferences,
    Profile,
    ProfilePatch,
    ProfileRow,
    SendWindowBody,
    TemplateBody,
    microseconds_of,
    read,
)
from personalization.template import ANY_LOCALE, Variant
from personalization.vocabulary import PersonalizationTrigger

MAXIMUM_ITEMS = 1000
_IGNORED_OF_TEMPLATES = ("version", "created_at", "updated_at")


def items(document: Any, name: str) -> list[Any]:
    """The list that a body `{name: […]}` consists of. Raises Invalid or TooLarge."""
    if not isinstance(document, dict):
        raise Invalid.field("", f"must be an object with the list {name}")
    if unknown := [key for key in document if key != name]:
        raise Invalid.fields(FieldError(key, "is not a known field") for key in unknown[:20])
    listed = document.get(name)
    if not isinstance(listed, list):
        raise Invalid.field(name, "must be a list" if name in document else "is required")
    expect_few(document, name)
    return listed


def expect_few(document: Any, name: str) -> None:
    """Raises TooLarge where the document holds a list `name` that is longer than may be sent at once."""
    if isinstance(document, dict) and isinstance(listed := document.get(name), list) and len(listed) > MAXIMUM_ITEMS:
        raise TooLarge(name, MAXIMUM_ITEMS, "items")


def request_of(tenant_id: str, document: Any, idempotency_key: str | None = None) -> PersonalizationRequest:
    """Raises Invalid."""
    body = read(Personalize, document)
    return PersonalizationRequest(
        tenant_id=tenant_id,
        user_id=body.user_id,
        template_id=body.template_id,
        content=body.content,
        variants=tuple(map(_variant, body.variants)) if body.variants else None,
        context=body.context,
        channels=tuple(dict.fromkeys(body.channels)) if body.channels else (),
        strategies=tuple(dict.fromkeys(body.strategies)) if body.strategies else (),
        category=body.category,
        priority=body.priority,
        send_window=_window(body.send_window) if body.send_window else None,
        min_quality_score=body.min_quality_score,
        require_real_time=body.require_real_time,
        deadline_ms=body.deadline_ms,
        language=body.language,
        render=body.render,
        explain=body.explain,
        activate=body.activate,
        decision_id=body.decision_id,
        idempotency_key=idempotency_key,
        message_id=body.message_id,
        escalate_after=length_of(body.escalate_after) if body.escalate_after is not None else None,
    )


def request_or_refusal(tenant_id: str, document: Any, idempotency_key: str | None = None) -> PersonalizationRequest | Invalid:
    try:
        return request_of(tenant_id, document, idempotency_key)
    except Invalid as refusal:
        return refusal


def event_of(document: Any) -> EngagementEvent:
    """Raises Invalid."""
    body = read(Event, document)
    return EngagementEvent(
        event_id=body.event_id,
        type=body.type,
        user_id=body.user_id,
        occurred_at=from_datetime(body.occurred_at),
        decision_id=body.decision_id,
        template_id=body.template_id,
        channel=body.channel,
        name=body.name,
        value=body.value,
        currency=body.currency,
        text=body.text,
        metadata=body.metadata or {},
    )


def event_or_refusal(document: Any) -> EngagementEvent | Invalid:
    try:
        return event_of(document)
    except Invalid as refusal:
        return refusal


def profile_sections(user_id: str, document: Any) -> dict[str, Any]:
    """The declared sections of a PUT; learned ones and nulls are left out. Raises Invalid."""
    body = read(Profile, document)
    if body.user_id is not None and body.user_id != user_id:
        raise Invalid.field("user_id", "is another one than the path's")
    return _declared(document)


def profile_row(document: Any) -> tuple[str, dict[str, Any] | Invalid]:
    """(user_id, sections), the id "" where none can be read."""
    try:
        return read(ProfileRow, document).user_id, _declared(document)
    except Invalid as refusal:
        named = document.get("user_id") if isinstance(document, dict) else None
        return (named if isinstance(named, str) else ""), refusal


def profile_patch(document: Any) -> dict[str, Any]:
    """Raises Invalid."""
    read(ProfilePatch, document)
    return dict(document)


def preferences_of(document: Any) -> tuple[dict[str, Any], PersonalizationTrigger]:
    """Raises Invalid."""
    body = read(Preferences, document)
    return _declared(document), body.trigger


def new_template(document: Any) -> dict[str, Any]:
    """Raises Invalid."""
    read(NewTemplate, document)
    return _kept(document)


def template_of(template_id: str, document: Any) -> dict[str, Any]:
    """Raises Invalid."""
    body = read(TemplateBody, document)
    if body.template_id is not None and body.template_id != template_id:
        raise Invalid.field("template_id", "is another one than the path's")
    return {**_kept(document), "template_id": template_id}


def _declared(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: document[name] for name in DECLARED_SECTIONS if document.get(name) is not None}


def _kept(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in _IGNORED_OF_TEMPLATES and value is not None}


def _window(body: SendWindowBody) -> SendWindow:
    return SendWindow(earliest=microseconds_of(body.earliest), latest=microseconds_of(body.latest))


def _variant(body: InlineVariant) -> Variant:
    return Variant(variant_id=body.variant_id, content=_by_locale(body.content), features=body.features)


def _by_locale(content: Mapping[str, str | dict[str, str]]) -> Mapping[str, Mapping[str, str]]:
    locales = {locale: parts for locale, parts in content.items() if isinstance(parts, dict)}
    return locales or {ANY_LOCALE: {part: text for part, text in content.items() if isinstance(text, str)}}
