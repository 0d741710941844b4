"""Counting: whatever order it is told in, and however often, the same is known of an account, a device, an address."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.risk.counting import (
    SIGNAL_OF,
    TAG_BITS,
    Tally,
    conduct,
    count_activity,
    count_sighting,
    forget,
    happening,
    milliseconds,
)
from shared.contracts import risk
from tests.deciders.scene import NOON

DEEDS = get_args(risk.Deed)
Told = risk.Activity | risk.Sighting


def after(seconds: float) -> datetime:
    """So long after noon."""
    return NOON + timedelta(seconds=seconds)


def acted(deed: risk.Deed, order: int = 0, at_s: float = 0) -> risk.Activity:
    """The account did that with this order."""
    return risk.Activity(account="a-1", order_id=f"o-{order}", deed=deed, at=after(at_s))


def seen(
    order: int = 0, at_s: float = 0, about: risk.About = "account", account: str = "a-1", total: int = 649
) -> risk.Sighting:
    """The account, the device or the address sees this order."""
    subject = {"account": account, "device": "d" * 24, "address": "a" * 24}[about]
    return risk.Sighting(
        about=about,
        subject=subject,
        account=account,
        order_id=f"o-{order}",
        at=after(at_s),
        total=total,
        device="d" * 24,
        address="a" * 24,
    )


def tell(tally: Tally, told: Told) -> bool:
    """One thing; whether anything is new."""
    return count_sighting(tally, told) if isinstance(told, risk.Sighting) else count_activity(tally, told)


def tallied(*told: Told) -> Tally:
    """What is known after all this."""
    tally = Tally()
    for one in told:
        tell(tally, one)
    return tally


def known(told: list[Told], about: risk.About = "account") -> risk.Conduct:
    """What is told of the subject after all this; nothing was told twice, and something was told."""
    return conduct(about, "a-1", tallied(*told))


# -- what counts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deed", DEEDS)
def test_each_deed_is_counted_once_under_its_signal(deed: risk.Deed) -> None:
    """At its moment, with the order's tag; what was no doing of the account's is counted nowhere."""
    tally = Tally()
    if deed == "ended":
        assert not count_activity(tally, acted(deed))
        assert tally == Tally()
        return
    assert count_activity(tally, acted(deed, order=7, at_s=1.5))
    at = milliseconds(after(1.5))
    assert tally.happenings == {SIGNAL_OF[deed]: [happening(at, "o-7")]}
    assert (tally.happenings[SIGNAL_OF[deed]][0] >> TAG_BITS, tally.at) == (at, at)


def test_every_deed_but_one_has_a_signal() -> None:
    """Each its own."""
    assert set(DEEDS) - set(SIGNAL_OF) == {"ended"}
    assert len(set(SIGNAL_OF.values())) == len(SIGNAL_OF)


@pytest.mark.parametrize("about", get_args(risk.About))
def test_an_order_is_counted_for_each_that_sees_it(about: risk.About) -> None:
    """Of an account the order itself is known; of a device and an address, whose it was."""
    tally = tallied(seen(about=about))
    number = happening(milliseconds(NOON), "o-0")
    if about == "account":
        assert tally.happenings == {"orders": [number]}
        (order,) = conduct(about, "a-1", tally).earlier
        assert (order.order_id, order.at, order.total, order.delivered) == ("o-0", NOON, 649, False)
        assert (order.device, order.address) == ("d" * 24, "a" * 24)
    else:
        accounts = [happening(milliseconds(NOON), "a-1")]
        assert tally.happenings == {f"{about}_orders": [number], f"{about}_accounts": accounts}
        assert conduct(about, "d" * 24, tally).earlier == ()


@pytest.mark.parametrize("about", ["device", "address"])
def test_accounts_are_distinct_and_stand_where_they_were_seen_last(about: risk.About) -> None:
    """Ten orders of two accounts are two accounts; a late word of one does not make it older."""
    told = [seen(order=n, at_s=n, about=about, account=f"a-{n % 2}") for n in range(10)]
    late = seen(order=99, at_s=-5, about=about, account="a-0")
    tally = tallied(*told, late)
    assert len(tally.happenings[f"{about}_orders"]) == 11
    assert tally.happenings[f"{about}_accounts"] == [
        happening(milliseconds(after(8)), "a-0"),
        happening(milliseconds(after(9)), "a-1"),
    ]


@pytest.mark.parametrize("delivered_first", [False, True])
def test_a_delivered_order_is_known_as_delivered(delivered_first: bool) -> None:
    """Whichever is told first; the others are not."""
    told: list[Told] = [seen(0), acted("delivered", 0, 60)]
    told = [*(reversed(told) if delivered_first else told), seen(1, 1), acted("expired", 1, 60)]
    assert {o.order_id: o.delivered for o in known(told).earlier} == {"o-0": True, "o-1": False}


# -- in any order, and again -------------------------------------------------------------------------------------------

moments = st.integers(0, 40).map(lambda n: n / 8)
"""Often the same: all orders of a batch are screened at one moment."""
of_account = st.lists(
    st.builds(acted, st.sampled_from(DEEDS), st.integers(0, 30), moments)
    | st.builds(seen, st.integers(0, 30), moments, total=st.just(649)),
    min_size=1,
    max_size=60,
)
of_device = st.lists(
    st.builds(seen, st.integers(0, 30), moments, st.just("device"), st.integers(0, 4).map("a-{}".format)),
    min_size=1,
    max_size=risk.HAPPENINGS_MAX,
)


def each_once(told: list[Told]) -> list[Told]:
    """An order is screened once, so it is seen once."""
    orders = {(one.order_id, one.deed if isinstance(one, risk.Activity) else "seen"): one for one in told}
    return list(orders.values())


@given(st.data())
def test_the_order_of_telling_does_not_matter(data: st.DataObject) -> None:
    """Of an account, a device: any order of the same facts comes to the same conduct."""
    about: risk.About = data.draw(st.sampled_from(["account", "device"]))
    of_it: st.SearchStrategy[Any] = of_account if about == "account" else of_device
    told = each_once(data.draw(of_it))
    shuffled = data.draw(st.permutations(told))
    one, other = tallied(*told), tallied(*shuffled)
    assert one.happenings == other.happenings
    if one.happenings:
        assert conduct(about, "s", one) == conduct(about, "s", other)


@given(of_account | of_device)
def test_told_again_nothing_changes(told: list[Told]) -> None:
    """All of it, at the end: nothing is new."""
    told = each_once(told)
    tally = tallied(*told)
    before = tallied(*told)
    assert not any(tell(tally, one) for one in told)
    assert tally == before


@given(st.permutations(range(risk.HAPPENINGS_MAX + 20)))
def test_the_newest_are_kept(order: list[int]) -> None:
    """In whatever order they are told: no signal holds more than its bound, and no account more orders than its own."""
    tally = tallied(*(acted("cancelled", n, n) for n in order), *(seen(n, n) for n in order))
    last = range(20, risk.HAPPENINGS_MAX + 20)
    expected = [happening(milliseconds(after(n)), f"o-{n}") for n in last]
    assert tally.happenings == {"cancels": expected, "orders": expected}
    assert [o.order_id for o in conduct("account", "a-1", tally).earlier] == [
        f"o-{n}" for n in last[-risk.EARLIER_MAX :]
    ]


def test_older_than_all_that_is_kept_is_nothing_new() -> None:
    """However often it comes."""
    tally = tallied(*(seen(n, n, "device", f"a-{n}") for n in range(risk.HAPPENINGS_MAX)))
    before = tallied(*(seen(n, n, "device", f"a-{n}") for n in range(risk.HAPPENINGS_MAX)))
    assert not count_sighting(tally, seen(99, -1, "device", "a-99"))
    assert tally == before


# -- forgetting --------------------------------------------------------------------------------------------------------


def test_what_is_too_old_is_forgotten() -> None:
    """Happenings and orders before the moment go, those at it stay; who has nothing left is told from who has."""
    tally = tallied(*(seen(n, n) for n in range(4)), acted("cancelled", 0, 1), acted("expired", 3, 3))
    assert forget(tally, milliseconds(after(2)))
    assert sorted(tally.happenings) == ["expiries", "orders"]
    assert [o.order_id for o in conduct("account", "a-1", tally).earlier] == ["o-2", "o-3"]
    assert not forget(tally, milliseconds(after(3)) + 1)
    assert (tally.happenings, tally.earlier) == ({}, [])


@given(of_account, moments)
def test_forgetting_leaves_what_would_have_been_told_since(told: list[Told], since_s: float) -> None:
    """As if what happened before had never been told."""
    told = [one for one in each_once(told) if not (isinstance(one, risk.Activity) and one.deed == "delivered")]
    tally = tallied(*told)
    forget(tally, milliseconds(after(since_s)))
    later = tallied(*(one for one in told if one.at >= after(since_s)))
    assert (tally.happenings, tally.earlier) == (later.happenings, later.earlier)


# -- told --------------------------------------------------------------------------------------------------------------


@given(of_account | of_device, st.sampled_from(["a-1", "auth0|123", "Jörg Müller", "名前" * 64]))
def test_a_conduct_is_what_the_contract_says(told: list[Told], subject: str) -> None:
    """Written, read again, and the same."""
    tally = tallied(*told)
    if not tally.happenings:
        return
    about: risk.About = "device" if "device_orders" in tally.happenings else "account"
    pack = risk.SignalsTold(shard=0, as_of=after(60), entries=(conduct(about, subject, tally),))
    assert risk.SignalsTold.from_json(pack.to_json()) == pack
    (read,) = pack.entries
    assert {count.signal: list(count.happenings) for count in read.counts} == tally.happenings
    assert milliseconds(read.at) == tally.at


@given(st.datetimes(datetime(2000, 1, 1), datetime(2199, 12, 31), timezones=st.just(UTC)))
def test_moments_are_exact(moment: datetime) -> None:
    """Milliseconds and back, whatever the year: no moment becomes another one on its way through a tally."""
    at = milliseconds(moment)
    assert at == (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    tally = tallied(risk.Activity(account="a-1", order_id="o-1", deed="cancelled", at=moment))
    assert milliseconds(conduct("account", "a-1", tally).at) == at
    assert happening(at, "o-1") < 2**63
