"""Who may do what: a table from roles to permissions. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache

from personalization.vocabulary import Permission, Role

PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.ADMIN: frozenset(Permission),
    Role.SERVICE: frozenset(
        {
            Permission.PERSONALIZE,
            Permission.RECORD_EVENTS,
            Permission.UPDATE_PREFERENCES,
            Permission.GENERATE_CONTENT,
            Permission.ANALYZE_BEHAVIOR,
        }
    ),
    Role.MARKETER: frozenset(
        {Permission.MANAGE_TEMPLATES, Permission.PERSONALIZE, Permission.GENERATE_CONTENT, Permission.READ_INSIGHTS}
    ),
    Role.ANALYST: frozenset({Permission.READ_INSIGHTS, Permission.ANALYZE_BEHAVIOR}),
    Role.PRIVACY: frozenset({Permission.MANAGE_PRIVACY, Permission.READ_AUDIT}),
}


@lru_cache(maxsize=64)
def permissions(roles: frozenset[Role]) -> frozenset[Permission]:
    """Everything that somebody with all these roles may do.

    >>> sorted(permissions(frozenset({Role.PRIVACY})))
    [<Permission.MANAGE_PRIVACY: 'manage_privacy'>, <Permission.READ_AUDIT: 'read_audit'>]
    """
    return frozenset().union(*(PERMISSIONS[role] for role in roles))


def allowed(roles: frozenset[Role], any_of: Collection[Permission]) -> bool:
    """Whether these roles hold one of the permissions; an empty `any_of` asks for none."""
    return not any_of or not permissions(roles).isdisjoint(any_of)
