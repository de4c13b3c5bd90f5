"""On which days something was done: what models of rhythm and of purchases read, kept in seven numbers.

Days are whole local days since 1970 of the person's zone. The newest nine weeks are remembered day by day, which is where late
rows find their exact place; one from before is taken for known, unless it lies before the first day of all.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

from personalization.clock import DAY, MINUTE

#: Days that are remembered one by one, the last one among them.
REMEMBERED = 63

_ALL = (1 << REMEMBERED) - 1
_LOGS = (0.0, *map(math.log, range(1, REMEMBERED + 1)))


class Burst(NamedTuple):
    """The newest gaps between days, together: how many days they span, and the sum of their logarithms."""

    span: int
    log_gaps: float


class DayBook(msgspec.Struct, frozen=True, array_like=True):
    """Distinct days; nothing was done yet where `days` is 0.

    first, last, before : the first day, the last one and the last but one (the first, where it is the only one)
    recent   : bit k is set for the day `last` - k
    log_gaps : sum of the logarithms of the gaps between days, in days
    opening, again : amounts of the first day, and of all others together
    """

    days: int = 0
    first: int = 0
    last: int = 0
    before: int = 0
    recent: int = 0
    log_gaps: float = 0.0
    opening: float = 0.0
    again: float = 0.0

    def after(self, day: int, amount: float = 0.0) -> DayBook:
        """The same with something done on that day."""
        ago = self.last - day
        if not self.days:
            return DayBook(1, day, day, day, 1, 0.0, amount, 0.0)
        if ago < 0:
            return self._later(-ago, amount)
        if day < self.first:
            return self._before_all(ago, amount)
        if ago >= REMEMBERED or self.recent >> ago & 1:
            return self._known(day, amount) if amount else self
        return self._between(ago, amount)

    def burst(self, gaps: int) -> Burst | None:
        """The last `gaps` gaps; None where they are not all remembered. O(gaps)."""
        rest, span, log_gaps = self.recent >> 1, 0, 0.0
        for _ in range(gaps):
            if not rest:
                return None
            gap = (rest & -rest).bit_length()
            rest, span, log_gaps = rest >> gap, span + gap, log_gaps + _LOGS[gap]
        return Burst(span, log_gaps)

    def _later(self, gap: int, amount: float) -> DayBook:
        recent = (self.recent << gap | 1) & _ALL if gap < REMEMBERED else 1
        log_gaps, again = self.log_gaps + math.log(gap), self.again + amount
        return DayBook(self.days + 1, self.first, self.last + gap, self.last, recent, log_gaps, self.opening, again)

    def _before_all(self, ago: int, amount: float) -> DayBook:
        day = self.last - ago
        recent = self.recent | 1 << ago if ago < REMEMBERED else self.recent
        log_gaps, again = self.log_gaps + math.log(self.first - day), self.again + self.opening
        before = day if self.days == 1 else self.before
        return DayBook(self.days + 1, day, self.last, before, recent, log_gaps, amount, again)

    def _known(self, day: int, amount: float) -> DayBook:
        first = day == self.first
        return msgspec.structs.replace(
            self, opening=self.opening + amount * first, again=self.again if first else self.again + amount
        )

    def _between(self, ago: int, amount: float) -> DayBook:
        """The gap it falls into becomes two. Where the older end is no longer remembered, the gap is taken to stay as it was."""
        to_newer = ago - ((self.recent & ((1 << ago) - 1)).bit_length() - 1)
        older = self.recent >> ago + 1
        to_older = (older & -older).bit_length()
        split = _LOGS[to_older] - _LOGS[to_newer + to_older] if to_older else 0.0
        return msgspec.structs.replace(
            self,
            days=self.days + 1,
            before=max(self.before, self.last - ago),
            recent=self.recent | 1 << ago,
            log_gaps=self.log_gaps + _LOGS[to_newer] + split,
            again=self.again + amount,
        )


def day_of(at: int, zone_offset: int) -> int:
    """The local day of an instant; zone_offset: minutes to add to UTC."""
    return (at + zone_offset * MINUTE) // DAY
