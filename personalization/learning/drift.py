"""Whether the world is still the one a model was taught in: how its columns are spread now, and what the model loses now.

Population stability index of a column with b bins, p of m rows then and q of n rows now (Siddiqi 2006, "Credit risk scorecards"):

    PSI = sum over bins of (q - p) ln(q / p),   shares of counts + 1/2, without the bins that are empty then and now

Half a row a bin keeps an empty bin finite, and the index of small samples in what follows. Where nothing changed, PSI is about
(1/n + 1/m) times chi-square with b - 1 degrees of freedom (Yurdakul and Naranjo 2020, "Statistical properties of the population
stability index"); its 99.9 % point, shared by all columns (Bonferroni), is what chance alone may give in one look. Beyond it a
column is shifting from 0.1 on and drifted from 0.25 on. Rows are one a person: several of one person are less than they seem.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri

from personalization.errors import ArrayInvalid
from personalization.learning.evaluation import Array, IntArray
from personalization.learning.reference import Column, Reference
from personalization.learning.tables import Table, rows_of
from personalization.learning.worsening import Level, Worsening, worsening

SHIFTING, DRIFTED = 0.1, 0.25
#: Looks at unchanged tables that find any column beyond chance.
CHANCE = 0.001


@dataclass(frozen=True, kw_only=True)
class Shift:
    """A column now against then. chance : what PSI may be by chance    bin, then, now : the bin that moved most, its shares"""

    name: str
    psi: float
    chance: float
    bin: str
    then: float
    now: float

    @property
    def level(self) -> Level:
        if self.psi <= max(SHIFTING, self.chance):
            return "steady"
        return "drifted" if self.psi > max(DRIFTED, self.chance) else "shifting"

    @property
    def sentence(self) -> str:
        found = f"{self.name} is {self.level}: PSI {self.psi:.2f}, by chance at most {self.chance:.2f}"
        moved = f"{self.bin}: {self.then:.1%} of rows then, {self.now:.1%} now"
        return f"{found} ({moved}). {_ADVICE[self.level]}"


_ADVICE: dict[Level, str] = {
    "steady": "Nothing to do.",
    "shifting": "Look at it again with more rows.",
    "drifted": "Look at where the column comes from, then retrain.",
}


@dataclass(frozen=True)
class Drift:
    """shifts : of each column of the reference    loss : None where none was held out, or none is known yet"""

    shifts: tuple[Shift, ...]
    loss: Worsening | None

    @property
    def alarm(self) -> bool:
        return any(shift.level == "drifted" for shift in self.shifts) or (self.loss is not None and self.loss.alarm)

    @property
    def sentences(self) -> tuple[str, ...]:
        """What to do, the loss first, then the columns that are not steady, the worst first."""
        moved = sorted((shift for shift in self.shifts if shift.level != "steady"), key=lambda shift: -shift.psi)
        columns = [shift.sentence for shift in moved] or ["All columns are steady. Nothing to do."]
        return (*([] if self.loss is None else [self.loss.sentence]), *columns)


def drift(reference: Reference, table: Table, losses: Array | None = None, clusters: IntArray | None = None) -> Drift:
    """table : newer rows, one a person    losses, clusters (n,) of all rows since the model was taught, in order of time

    Raises ArrayInvalid on no rows, and on a column that is absent or of another type.
    """
    if not rows_of(table):
        raise ArrayInvalid("table", "has no rows", "give the rows met since the model was taught")
    if absent := [column.name for column in reference.columns if column.name not in table]:
        raise ArrayInvalid(absent[0], "is not in the table", "give every column that was learned from")
    rate = CHANCE / max(len(reference.columns), 1)
    shifts = tuple(_shift(column, column.count(table[column.name]), rate) for column in reference.columns)
    if reference.loss is None or losses is None or not len(losses):
        return Drift(shifts, None)
    return Drift(shifts, worsening(reference.loss, losses, clusters))


def psi(then: IntArray, now: IntArray) -> Array:
    """(b,) what each bin adds to PSI, from rows by bin; 0 where it is empty then and now.

    >>> psi(np.array([50, 50, 0]), np.array([20, 80, 0])).round(3).tolist()
    [0.268, 0.139, 0.0]
    """
    there = then + now > 0
    p, q = ((counts + 0.5) * there / (counts.sum() + 0.5 * there.sum()) for counts in (then, now))
    return np.where(there, (q - p) * np.log(np.where(there, q, 1.0) / np.where(there, p, 1.0)), 0.0)


def chance(then: IntArray, now: IntArray, rate: float) -> float:
    """What PSI exceeds with probability `rate` where nothing changed."""
    freedom = int((then + now > 0).sum()) - 1
    return (1.0 / then.sum() + 1.0 / now.sum()) * float(chdtri(freedom, rate)) if freedom else 0.0


def _shift(column: Column, now: IntArray, rate: float) -> Shift:
    then = np.array(column.counts)
    parts = psi(then, now)
    most = int(np.argmax(parts))
    shares = {"then": float(then[most] / then.sum()), "now": float(now[most] / now.sum())}
    return Shift(name=column.name, psi=float(parts.sum()), chance=chance(then, now, rate), bin=column.label(most), **shares)
