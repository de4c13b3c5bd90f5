"""What a run of a scenario is made of: something that decides, and readings of what it was worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from personalization.lab.product import Choice, Event

#: Messages in an hour.
AN_HOUR = 250

#: Told the number of a message when it is done.
Step = Callable[[int], None]


class Door(Protocol):
    """What decides: the product, or whatever it is compared with."""

    def people(self, segments: Sequence[int | None]) -> None:
        """Called once: what is told of users 0, 1, …"""
        ...

    def clock(self, now: int) -> None: ...

    def decide(self, users: Sequence[int]) -> list[Choice]: ...

    def learn(self, events: Sequence[Event]) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a run was worth in one window, beside what others would have earned there.

    complete : whether the run was long enough for the window to be judged
    refused  : whether the product would not tell; such a run counts neither way
    """

    window: str
    policy: float
    random: float
    best_fixed: float
    oracle: float
    must: float | None = None
    stretch: float | None = None
    complete: bool = True
    refused: bool = False


@dataclass(frozen=True, kw_only=True)
class Run:
    """readings, and the policy's value over time: (x, value)."""

    readings: tuple[Reading, ...]
    curve: tuple[tuple[float, float], ...] = ()
