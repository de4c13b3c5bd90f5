"""The leader's part in budgets: from what was decided lately, what a send by each scarce channel would bring to others.

Bid-price control (Talluri and van Ryzin 1998): the last period's decisions stand for those that are still to come in the running
one, the sends that are left are shared out among them as well as can be (`learning.shadow_prices`), and the prices of that
optimum steer single decisions until it is solved again for what is left then.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import ceil, inf
from typing import Any

import numpy as np

from personalization.clock import HOUR, MINUTE, Clock, duration, rfc3339, utc_offset, zone
from personalization.deciding.demand import steerable, worths
from personalization.deciding.paths import PolicyOf
from personalization.deciding.record import Record, decode_record
from personalization.learning.audience import Audience, Limits
from personalization.learning.policy import Policy
from personalization.learning.shadow_prices import Dual
from personalization.models.prices import MICRO, MOST, PRICES, Price, encode_pricing
from personalization.models.registry import PolicyBook
from personalization.profile import DECIDED
from personalization.storage.base import LogStore, Storage
from personalization.tenant import Budget, TenantConfig
from personalization.vocabulary import ServiceLevel

#: Solved once an hour, for periods of less than a day so many times a period.
_TIMES = 24
#: Rows of the log that are looked at, in so many pieces from all over the last period, and decisions taken of them.
_ROWS, _PIECES, _DECISIONS = 8_192, 32, 2_048
#: Hours that are counted at a look.
_HOURS = 64
#: Rows among which a tenant's first decision is looked for.
_FIRST = 1_000
#: Of the period before, this share is added to both when the running one is compared with it.
_STEADY = 0.1


class Budgets:
    """Publishes prices for tenants that have budgets, at the level that steers by them. Owned by the followers' thread."""

    def __init__(self, storage: Storage, book: PolicyBook, clock: Clock) -> None:
        self._storage, self._book, self._clock = storage, book, clock
        self._solved: dict[str, tuple[int, int, int]] = {}
        self._tallies: dict[str, Tallies] = {}

    def step(self, tenant_id: str) -> None:
        """Solve where it is due, some tenths of a second: after a while, when a period ends, when the configuration changed."""
        config, now = self._storage.tenants.config(tenant_id), self._clock.now()
        if config.service_level != ServiceLevel.QUANTUM or not config.budgets:
            return
        version, since, until = self._solved.get(tenant_id, (-1, 0, 0))
        tallies = self._tallies.setdefault(tenant_id, Tallies(self._storage.log, tenant_id))
        stale = version != config.version or not since <= now < until
        if stale and tallies.reach(now - 2 * max(budget.period for budget in config.budgets), now):
            self._solved[tenant_id] = (config.version, now, due(config, now))
            self._publish(tenant_id, config, tallies, now)

    def forget(self) -> None:
        """Another process leads now."""
        self._solved.clear()
        self._tallies.clear()

    def _publish(self, tenant_id: str, config: TenantConfig, tallies: Tallies, now: int) -> None:
        def newest(model_id: str, _: int) -> Policy:
            return self._book.current(tenant_id, model_id)

        found = solved(self._storage.log, tenant_id, config, tallies, newest, now)
        if found != self._book.pricing(tenant_id).channels:
            seq = self._storage.log.heads().get(tenant_id, 0)
            self._book.put(self._storage.snapshots.publish(tenant_id, PRICES, seq, now, encode_pricing(found)))


def due(config: TenantConfig, now: int) -> int:
    """When prices are to be solved again."""
    return min(min(now + HOUR, now + budget.period // _TIMES, running(budget, config, now)[1]) for budget in config.budgets)


def running(budget: Budget, config: TenantConfig, now: int) -> tuple[int, int]:
    return budget.running(now, utc_offset(now, zone(config.timezone)))


def standings(log: LogStore, book: PolicyBook, tenant_id: str, config: TenantConfig, now: int) -> list[dict[str, Any]]:
    """Each budget in its running period: what was sent, and what a send is said to cost others."""
    pricing, place = book.pricing(tenant_id), zone(config.timezone)
    found = []
    for budget in config.budgets:
        start, end = running(budget, config, now)
        found.append(
            {
                "channel": budget.channel,
                "limit": budget.limit,
                "period": duration(budget.period),
                "since": rfc3339(start, place),
                "until": rfc3339(end, place),
                "sent": log.tally(tenant_id, start, end).get(budget.channel, 0),
                "price": pricing.of(budget.channel, now) / MICRO,
            }
        )
    return found


# -- one solve -------------------------------------------------------------------------------------------------------


def solved(
    log: LogStore, tenant_id: str, config: TenantConfig, tallies: Tallies, policy_of: PolicyOf, now: int
) -> dict[str, Price]:
    """Channel -> its price, of those whose budget binds. policy_of : those of today"""
    records = sampled(log, tenant_id, now - max(budget.period for budget in config.budgets))
    steered = [record for record in records if steerable(record)]
    fixed = Counter(_sent_by(record) for record in records if not steerable(record))
    rooms: dict[str, float] = {}
    began = _began(log, tenant_id, now)
    for budget in config.budgets:
        period = running(budget, config, now)
        left = max(budget.limit - tallies.of(period[0], now)[budget.channel], 0)
        more = coming(lambda since, until: tallies.of(since, until).total(), period, now, began)
        room = left * len(records) / more if more else inf
        room = max(max(room, 1.0) - fixed[budget.channel], 0.0) if left else 0.0
        rooms[budget.channel] = min(room, rooms.get(budget.channel, inf))
    until = {budget.channel: running(budget, config, now)[1] for budget in sorted(config.budgets, key=lambda b: -b.period)}
    prices = {name: min(round(price * MICRO), MOST) for name, price in shadow_prices(worths(steered, policy_of), rooms).items()}
    return {name: Price(price, until[name]) for name, price in sorted(prices.items()) if price > 0}


def shadow_prices(worth: Sequence[Mapping[str, float]], rooms: Mapping[str, float]) -> dict[str, float]:
    """Channel -> price. worth : of a send by each channel, of each decision     rooms : sends there may be of them

    Exactly 0 where there is room for all that want it at that price, MOST where there is none at all.
    """
    names = sorted({*rooms, *(name for one in worth for name in one)})
    values = np.array([[one.get(name, -np.inf) for name in names] for one in worth]).reshape(len(worth), len(names))
    limits = np.array([rooms.get(name, np.inf) for name in names])
    audience = Audience(values[:, :, None], Limits(budgets=limits))
    prices = np.where(limits < 1.0, MOST / MICRO, np.nan_to_num(Dual(audience).prices().channels, posinf=0.0))
    for at in np.flatnonzero((prices > 0.0) & (limits >= 1.0)):
        free = values - np.where(np.arange(len(names)) == at, 0.0, prices)
        wanted = (free.argmax(axis=1) == at) & (free.max(axis=1) > 0.0)
        prices[at] *= wanted.sum() > limits[at]
    return dict(zip(names, prices.tolist(), strict=True))


def coming(count: Callable[[int, int], int], period: tuple[int, int], now: int, began: int) -> float:
    """Decisions until the period ends: as many as in that part of the one before, by how this one compares with it so far;
    at the rate so far where there was none before.

    count : decisions in [since, until)     began : when the first was made
    """
    start, end = period
    length = end - start
    if began > start - length:
        since = max(began, now - length)
        return count(since, now) * (end - now) / max(now - since, min(HOUR, length // _TIMES))
    before, rest, so_far = count(start - length, now - length), count(now - length, start), count(start, now)
    steady = _STEADY * (before + rest)
    return rest * (so_far + steady) / (before + steady) if steady else float(so_far)


class Tallies:
    """A tenant's decisions by channel. Those of an hour that is over are counted once; what is discarded later still counts."""

    def __init__(self, log: LogStore, tenant_id: str) -> None:
        self._log, self._tenant_id = log, tenant_id
        self._hours: dict[int, Counter[str | None]] = {}

    def reach(self, since: int, now: int) -> bool:
        """Count the hours that are over since then and forget those before, some at a look; whether all are counted."""
        wanted = range(since // HOUR, (now - MINUTE) // HOUR)  # a decision may be committed a moment after it was made
        self._hours = {hour: found for hour, found in self._hours.items() if hour in wanted}
        missing = [hour for hour in wanted if hour not in self._hours]
        for hour in missing[:_HOURS]:
            self._hours[hour] = self._counted(hour * HOUR, (hour + 1) * HOUR)
        return len(missing) <= _HOURS

    def of(self, since: int, until: int) -> Counter[str | None]:
        """Decided in [since, until). What `reach` has not counted is counted now."""
        hours = [hour for hour in range(-(-since // HOUR), until // HOUR) if hour in self._hours]
        if not hours:
            return self._counted(since, until)
        found = self._counted(since, hours[0] * HOUR) + self._counted((hours[-1] + 1) * HOUR, until)
        for hour in hours:
            found.update(self._hours[hour])
        return found

    def _counted(self, since: int, until: int) -> Counter[str | None]:
        return Counter(self._log.tally(self._tenant_id, since, until) if since < until else {})


def _began(log: LogStore, tenant_id: str, now: int) -> int:
    """When the first decision was made, or so."""
    rows = log.read(tenant_id, 0, _FIRST)
    return next((row.recorded_at for row in rows if row.type == DECIDED), rows[-1].recorded_at if rows else now)


def _sent_by(record: Record) -> str | None:
    chosen = record.outcome.chosen
    return None if chosen is None else record.inputs.channels[chosen.channel].name


def sampled(log: LogStore, tenant_id: str, since: int) -> list[Record]:
    """Decisions from all over the time since then, in the log's order. Reads _ROWS rows and a few."""
    head = log.heads().get(tenant_id, 0)
    first = bisect_left(range(head), since, key=lambda seq: log.read(tenant_id, seq, 1)[0].recorded_at)
    piece = _ROWS // _PIECES
    stride = max((head - first) / _PIECES, piece)
    starts = [first + int(k * stride) for k in range(ceil((head - first) / stride))]
    rows = [row for start in starts for row in log.read(tenant_id, start, piece)]
    found = [row.record for row in rows if row.type == DECIDED and row.record]
    return [decode_record(record) for record in found[:: ceil(len(found) / _DECISIONS) or 1]]
