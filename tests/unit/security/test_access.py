from __future__ import annotations

from personalization.security.access import PERMISSIONS, allowed
from personalization.vocabulary import Permission, Role


def test_every_role_has_permissions_and_every_permission_a_role() -> None:
    assert PERMISSIONS.keys() == set(Role)
    assert frozenset().union(*PERMISSIONS.values()) == set(Permission)


def test_only_an_admin_administers() -> None:
    may = [role for role in Role if allowed(frozenset({role}), {Permission.ADMINISTER})]
    assert may == [Role.ADMIN]


def test_roles_add_up() -> None:
    both = frozenset({Role.ANALYST, Role.PRIVACY})
    assert allowed(both, {Permission.READ_AUDIT})
    assert allowed(both, {Permission.READ_INSIGHTS})
    assert not allowed(both, {Permission.PERSONALIZE})


def test_asking_for_nothing_is_granted_to_anyone() -> None:
    assert allowed(frozenset({Role.PRIVACY}), ())
