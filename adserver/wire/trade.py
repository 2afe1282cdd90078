"""Money and deals as callers state them, in US dollars from here on.

Floors are rounded up. What is stated in a currency without a rate is not taken for anything else:
a floor makes its slot unsellable, a deal is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from msgspec import Meta, Struct

from adserver.catalogue.currency import USD, Rates
from adserver.request import OfferedDeal
from adserver.wire import names
from adserver.wire.fields import Cpm, Flag, Id, Key, Text, micros

MOST_DEALS = 100
"""On one slot."""
_FIXED_PRICE = 3
Seats = Annotated[list[Key], Meta(max_length=200)]


class WireDeal(Struct, gc=False):
    """OpenRTB's Deal; of the floor's currency the impression's own says nothing."""

    id: Id
    bidfloor: Cpm | None = None
    bidfloorcur: Key | None = None
    at: int | None = None
    wseat: Seats | None = None
    wadomain: Annotated[list[Text], Meta(max_length=200)] | None = None


Deals = Annotated[list[WireDeal], Meta(max_length=MOST_DEALS)]


class Pmp(Struct, gc=False):
    private_auction: Flag | None = None
    deals: Deals | None = None


def floor_in_usd(cpm: float | None, currency: str | None, rates: Rates) -> int | None:
    """Micros, rounded up; None where there is a floor in a currency without a rate."""
    if not cpm:
        return 0
    code = currency or USD
    return rates.floor_to_usd(micros(cpm), code) if rates.knows(code) else None


def answer_currency(accepted: Sequence[str] | None, rates: Rates) -> str | None:
    """The first that we can pay in; US dollars where all the same; None where none."""
    return next(filter(rates.knows, accepted), None) if accepted else USD


def offered_deals(listed: Sequence[WireDeal] | None, rates: Rates) -> tuple[OfferedDeal, ...]:
    return tuple(_offered(listed or (), rates))


def _offered(listed: Sequence[WireDeal], rates: Rates) -> Iterator[OfferedDeal]:
    for deal in listed:
        floor = floor_in_usd(deal.bidfloor, deal.bidfloorcur, rates)
        if floor is not None:
            yield OfferedDeal(
                deal.id,
                floor,
                deal.at == _FIXED_PRICE,
                tuple(deal.wseat or ()),
                names.domains(deal.wadomain),
            )
