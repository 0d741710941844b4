"""What is counted of an account, a device, an address: pure, whoever drives it.

Theory of operation. A *tally* is what is known of one subject: for each signal the newest happenings, and of an account
also its newest orders. A happening is a number (see `Happening` in the contract): its moment, and a hash of whose it
was. So a happening that is told twice is counted once, and how many fall into a window is asked later, by whoever has
a window. Late happenings take their place in time. Of accounts on a device, or at an address, each has one happening:
when it was seen there last.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from zlib import crc32

from msgspec import Struct, field

from shared.contracts import risk

_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)  # floats would move moments
TAG_BITS = 20
TAG = (1 << TAG_BITS) - 1
SIGNAL_OF: Mapping[str, risk.Signal] = {
    "delivered": "deliveries",
    "cancelled": "cancels",
    "cancelled_after_payment": "cancels_after_payment",
    "expired": "expiries",
    "unreachable": "unreachables",
    "declined": "declines",
    "rated_low": "low_ratings",
}
"""What is counted of a deed. `ended` is missing: what was no doing of the account's counts for nobody."""
SEEN: Mapping[str, tuple[risk.Signal, risk.Signal | None]] = {
    "account": ("orders", None),
    "device": ("device_orders", "device_accounts"),
    "address": ("address_orders", "address_accounts"),
}
"""What is counted of an order that a subject sees: orders, and the accounts that they are of."""

ACCOUNTS = frozenset(accounts for _, accounts in SEEN.values() if accounts)
"""The signals that have one happening for each account."""


class Tally(Struct):
    """What is known of one subject, until `at` (milliseconds since 1970): happenings by signal, the newest last, and an
    account's earlier orders."""

    at: int = 0
    happenings: dict[str, list[int]] = field(default_factory=dict)
    earlier: list[tuple[str, int, int, str | None, str | None]] = field(default_factory=list)


def milliseconds(moment: datetime) -> int:
    """Since 1970."""
    return (moment - _EPOCH) // _MILLISECOND


def happening(at_ms: int, whose: str) -> int:
    """The number of a happening at this moment, of an order or an account."""
    return at_ms << TAG_BITS | _tag(whose)


def _tag(whose: str) -> int:
    return crc32(whose.encode()) & TAG


def _when(order: tuple[str, int, int, str | None, str | None]) -> tuple[int, str]:
    return order[1], order[0]  # orders of one batch are screened at one moment


def count_activity(tally: Tally, activity: risk.Activity) -> bool:
    """One thing that an account did; whether anything is new."""
    signal = SIGNAL_OF.get(activity.deed)
    if signal is None:
        return False
    at = milliseconds(activity.at)
    if not _add(tally, signal, happening(at, activity.order_id)):
        return False
    tally.at = max(tally.at, at)
    return True


def count_sighting(tally: Tally, sighting: risk.Sighting) -> bool:
    """An order that an account made, or that came from a device, or goes to an address; whether anything is new."""
    at = milliseconds(sighting.at)
    orders, accounts = SEEN[sighting.about]
    if not _add(tally, orders, happening(at, sighting.order_id)):
        return False
    if accounts is not None:
        _see_account(tally, accounts, happening(at, sighting.account))
    else:
        insort(
            tally.earlier,
            (sighting.order_id, at, sighting.total, sighting.device, sighting.address),
            key=_when,
        )
        del tally.earlier[: -risk.EARLIER_MAX]
    tally.at = max(tally.at, at)
    return True


def _add(tally: Tally, signal: risk.Signal, number: int) -> bool:
    known = tally.happenings.setdefault(signal, [])
    place = bisect_left(known, number)
    if place < len(known) and known[place] == number:
        return False
    if place == 0 and len(known) == risk.HAPPENINGS_MAX:
        return False  # older than all that is kept
    known.insert(place, number)
    del known[: -risk.HAPPENINGS_MAX]
    return True


def _see_account(tally: Tally, signal: risk.Signal, number: int) -> None:
    """An account has one happening, its newest."""
    known = tally.happenings.setdefault(signal, [])
    before = next((one for one in known if one & TAG == number & TAG), None)
    if before is not None:
        known.remove(before)
        number = max(number, before)
    insort(known, number)
    del known[: -risk.HAPPENINGS_MAX]


def merged(one: Tally, other: Tally) -> Tally:
    """What both know of a subject, as if one tally had counted all of it; neither is changed."""
    whole = Tally(
        max(one.at, other.at),
        {signal: list(known) for signal, known in one.happenings.items()},
        sorted({*one.earlier, *other.earlier}, key=_when)[-risk.EARLIER_MAX :],
    )
    for signal, known in other.happenings.items():
        add = _see_account if signal in ACCOUNTS else _add
        for number in known:
            add(whole, signal, number)  # type: ignore[arg-type]
    return whole


def forget(tally: Tally, before_ms: int) -> bool:
    """Lets go of what happened before that; whether anything is left."""
    before = before_ms << TAG_BITS
    for signal, known in list(tally.happenings.items()):
        del known[: bisect_left(known, before)]
        if not known:
            del tally.happenings[signal]
    tally.earlier = [order for order in tally.earlier if order[1] >= before_ms]
    return bool(tally.happenings)


def conduct(about: str, subject: str, tally: Tally) -> risk.Conduct:
    """What is told of a subject. An order counts as delivered by its delivery's tag, whichever was told first."""
    delivered = {number & TAG for number in tally.happenings.get("deliveries", ())}
    return risk.Conduct(
        about=about,  # type: ignore[arg-type]
        subject=subject,
        at=_moment(tally.at),
        counts=tuple(
            risk.Count(signal=signal, happenings=tuple(known))  # type: ignore[arg-type]
            for signal, known in sorted(tally.happenings.items())
        ),
        earlier=tuple(
            risk.Earlier(
                order_id=order_id,
                at=_moment(at),
                total=total,
                device=device,
                address=address,
                delivered=_tag(order_id) in delivered,
            )
            for order_id, at, total, device, address in tally.earlier
        ),
    )


def _moment(at_ms: int) -> datetime:
    return _EPOCH + at_ms * _MILLISECOND
