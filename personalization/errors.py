"""Every error the house raises on purpose, one tree. Each builds its own sentence and says what to do next.

PersonalizationError
├── Invalid                     the caller's input, well-formed but wrong (422)
│   ├── Unparsable              not JSON as RFC 8259 wants it (400)
│   ├── TooLarge                more bytes or items than allowed (413)
│   ├── UnsupportedMedia        not application/json (415)
│   ├── ArrayInvalid            numbers a policy cannot work with; a ValueError too (422)
│   ├── TemplateInvalid         a Liquid template that does not compile
│   └── MissingVariables        no variant has all its variables
├── NotFound                    unknown id, or another tenant's (404)
├── Conflict                    version conflict, or an id used for something else (409)
│   ├── StillRunning            the first request of an Idempotency-Key is under way (409)
│   └── PromotionRefused        a version of a model that its gate does not let serve (409)
├── Erased                      the person was erased; only a new profile starts them afresh (409)
├── KeyReused                   an Idempotency-Key with another body (422)
├── SupportThin                 a log that says too little of a candidate policy (422)
├── Unauthenticated             no or bad credential (401)
├── Forbidden                   a good credential without the permission (403)
├── RateLimited                 too many requests of one principal (429)
├── Overloaded                  the service cannot take more now (503)
├── StorageUnavailable          the database does not answer (503)
├── OutboundFailed              something fetched from elsewhere did not come (503)
├── RenderingFailed             a template failed at render time; the baseline answers instead
├── SealBroken                  a sealed value does not open: wrong key or altered bytes
├── ArtifactRefused             a model's bytes are cut, altered, foreign or pickled; the version before goes on (409)
└── MisconfiguredError          settings that must not start (doctor says how to mend them)
    └── ExtraMissing            something asked for needs an optional dependency
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class FieldError:
    """One thing to change: `field` is a dotted path into the body, "" for the whole of it."""

    field: str
    message: str


class PersonalizationError(Exception):
    """Root of the tree. `status` is the HTTP status an edge answers with, `title` its short name."""

    status = 500
    title = "Internal error"
    retry_after: int | None = None

    def __init__(self, detail: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)


class Invalid(PersonalizationError):
    status, title = 422, "Invalid input"

    @classmethod
    def field(cls, field: str, message: str) -> Invalid:
        return cls(f"{field}: {message}" if field else message, [FieldError(field, message)])

    @classmethod
    def fields(cls, errors: Iterable[FieldError]) -> Invalid:
        listed = list(errors)
        return cls("; ".join(f"{e.field}: {e.message}" for e in listed), listed)


class Unparsable(Invalid):
    status, title = 400, "Unparsable body"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The body is not acceptable JSON: {reason}.")


class TooLarge(Invalid):
    status, title = 413, "Too large"

    def __init__(self, what: str, limit: int, unit: str) -> None:
        super().__init__(f"{what} may hold at most {limit:,} {unit}; send it in smaller parts.")


class UnsupportedMedia(Invalid):
    status, title = 415, "Unsupported media type"

    def __init__(self, sent: str | None) -> None:
        super().__init__(f"Content-Type {sent or '(none)'} is not supported; send application/json.")


class ArrayInvalid(Invalid, ValueError):
    """`name` is the argument, `problem` what is wrong with it, `change` what to do about it."""

    title = "Invalid numbers"

    def __init__(self, name: str, problem: str, change: str) -> None:
        super().__init__(f"{name}: {problem}; {change}.", [FieldError(name, problem)])


class TemplateInvalid(Invalid):
    """A template part that does not compile; `part` is its dotted path, such as "variants.0.content.en.subject"."""

    title = "Invalid template"

    def __init__(self, part: str, reason: str) -> None:
        super().__init__(f"{part}: {reason}", [FieldError(part, reason)])


class MissingVariables(Invalid):
    title = "Missing variables"

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(sorted(names))
        listed = ", ".join(self.names)
        super().__init__(
            f"No variant can be filled: {listed} has no value. Put it in the profile or the context, "
            "or give the template a `default` filter.",
            [FieldError(name, "has no value") for name in self.names],
        )


class NotFound(PersonalizationError):
    status, title = 404, "Not found"

    def __init__(self, what: str) -> None:
        super().__init__(f"There is no {what} of that id.")


class Conflict(PersonalizationError):
    status, title = 409, "Conflict"


class StillRunning(Conflict):
    title = "Still running"
    retry_after = 1

    def __init__(self) -> None:
        super().__init__("The first request with this Idempotency-Key is still running; repeat it in 1 s for its answer.")


class PromotionRefused(Conflict):
    title = "Promotion refused"

    def __init__(self, model_id: str, version: int, why: str) -> None:
        super().__init__(f"Version {version} of {model_id} does not serve. {why}")


class Erased(PersonalizationError):
    status, title = 409, "Erased"

    def __init__(self) -> None:
        super().__init__(
            "This person was erased; only a PUT of the profile, PUT /personalization/profiles/{user_id}, starts afresh."
        )


class KeyReused(PersonalizationError):
    status, title = 422, "Idempotency key reused"

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key came with another body before; use a new key for a new request.")


class SupportThin(PersonalizationError):
    status, title = 422, "Support too thin"

    def __init__(self, missing: str) -> None:
        super().__init__(
            f"The log cannot judge this policy: {missing}. Log more decisions, or with more exploration, "
            "or judge a candidate closer to the policy that chose."
        )


class Unauthenticated(PersonalizationError):
    status, title = 401, "Unauthenticated"

    def __init__(self, reason: str = "send a Bearer token or an X-API-Key") -> None:
        super().__init__(f"Not authenticated: {reason}.")


class Forbidden(PersonalizationError):
    status, title = 403, "Forbidden"

    def __init__(self, permission: str) -> None:
        super().__init__(f"This credential lacks the permission {permission}; ask an admin for a key whose role has it.")


class RateLimited(PersonalizationError):
    status, title = 429, "Too many requests"

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"Too many requests; try again in {retry_after} s.")
        self.retry_after = retry_after


class Overloaded(PersonalizationError):
    status, title = 503, "Overloaded"

    def __init__(self, queue: str, depth: int, retry_after: int = 1) -> None:
        super().__init__(f"The {queue} queue holds {depth:,} requests and takes no more; try again in {retry_after} s.")
        self.retry_after = retry_after


class StorageUnavailable(PersonalizationError):
    status, title = 503, "Storage unavailable"

    def __init__(self, reason: str, retry_after: int = 2) -> None:
        super().__init__(f"The database does not answer ({reason}); nothing was stored, try again in {retry_after} s.")
        self.retry_after = retry_after


class OutboundFailed(PersonalizationError):
    status, title = 503, "Not reached"

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url.partition('?')[0]} {reason}.")


class RenderingFailed(PersonalizationError):
    title = "Rendering failed"


class SealBroken(PersonalizationError):
    title = "Seal broken"

    def __init__(self, field: str) -> None:
        super().__init__(f"The sealed value of {field} does not open: the key is another one, or the bytes were altered.")


class MisconfiguredError(PersonalizationError):
    title = "Misconfigured"


class ExtraMissing(MisconfiguredError):
    title = "Optional dependency missing"

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed; pip install 'deep-personalization[{extra}]'.")


class ArtifactRefused(PersonalizationError):
    status, title = 409, "Artifact refused"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The model artifact is not used: {reason}. The version before it goes on serving; train it again.")
