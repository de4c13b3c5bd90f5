"""A bounded memory of what was used recently, shared by every room that keeps one."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """At least the `size` keys used last, at most twice as many, in two generations: a full young one becomes the old one.

    Any thread may call it and nothing ever waits: every step is one dict operation, which the interpreter makes atomic
    (so a fork in mid-step leaves no lock behind). A lost race costs a value being looked up again. None is not a value.

    >>> names = Recent(2)
    >>> names.put(1, "a"); names.put(2, "b"); names.put(3, "c")
    >>> names.get(1), names.get(4)
    ('a', None)
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: K, value: V) -> None:
        if len(self._young) >= self._size:
            self._old, self._young = self._young, {}
        self._young[key] = value

    def drop(self, key: K) -> None:
        self._young.pop(key, None)
        self._old.pop(key, None)

    def clear(self) -> None:
        self._young, self._old = {}, {}
