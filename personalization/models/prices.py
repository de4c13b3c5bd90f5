"""The shadow prices a process decides with: what a send by each channel that has a budget takes from others."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

#: Prices are published like a model of this id; no policy has it.
PRICES = "prices"
#: Prices are whole millionths of a reward; what is gone costs more than any reward may be.
MICRO = 1_000_000
MOST = 1_000_000 * MICRO


class Price(msgspec.Struct, array_like=True, frozen=True):
    """micros : of a reward, a send     until : end of the budget's period, after which it is no price any more"""

    micros: int
    until: int


class Pricing(msgspec.Struct, array_like=True, frozen=True):
    """Immutable. channels : those whose budget binds"""

    channels: Mapping[str, Price] = {}
    snapshot_id: int = 0

    def of(self, channel: str, at: int) -> int:
        """Millionths of a reward a send; 0 where nothing is in short supply, and where nobody has solved the new period yet."""
        price = self.channels.get(channel)
        return price.micros if price is not None and at < price.until else 0


NO_PRICES = Pricing()


def encode_pricing(channels: Mapping[str, Price]) -> bytes:
    """A snapshot's body."""
    return msgspec.msgpack.encode(channels)


def decode_pricing(body: bytes, snapshot_id: int) -> Pricing:
    """Raises msgspec.ValidationError on bytes that are none."""
    return Pricing(msgspec.msgpack.decode(body, type=dict[str, Price]), snapshot_id)
