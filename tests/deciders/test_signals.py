"""What is counted of a subject, and how it is told: without a broker, without a clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.risk.counting import Tally, conduct, count_activity, count_sighting, forget, merged, milliseconds
from services.risk.telling import AHEAD_MS, BODY_MAX, Unusable, check_time, packs, subject_of, unpack
from shared.contracts import risk
from shared.contracts.base import PACKED_MAX
from shared.runtime.envelope import Delivery

T0 = datetime(2026, 11, 22, 18, tzinfo=UTC)
T0_MS = milliseconds(T0)
DEEDS = (
    "delivered",
    "cancelled",
    "cancelled_after_payment",
    "expired",
    "unreachable",
    "declined",
    "rated_low",
    "ended",
)


def deed(order: int, what: str = "cancelled", minute: int = 0) -> risk.Activity:
    return risk.Activity(account="ann", order_id=f"o-{order}", deed=what, at=T0 + timedelta(minutes=minute))  # type: ignore[arg-type]


def sighting(order: int, about: str = "account", account: str = "ann", minute: int = 0) -> risk.Sighting:
    at = T0 + timedelta(minutes=minute)
    subject = {"account": account, "device": "d" * 24, "address": "e" * 24}[about]
    return risk.Sighting(about=about, subject=subject, account=account, order_id=f"o-{order}", at=at, total=order)  # type: ignore[arg-type]


def count(tally: Tally, *entries: risk.Activity | risk.Sighting) -> Tally:
    for entry in entries:
        if isinstance(entry, risk.Activity):
            count_activity(tally, entry)
        else:
            count_sighting(tally, entry)
    return tally


happened = st.lists(
    st.one_of(
        st.builds(deed, st.integers(0, 8), st.sampled_from(DEEDS), st.integers(0, 100)),
        st.builds(lambda order: sighting(order, minute=order), st.integers(0, 12)),
    ),
    max_size=30,
)


@given(happened, st.randoms(use_true_random=False))
def test_order_and_repeats_change_nothing(entries: list[risk.Activity | risk.Sighting], chance: Any) -> None:
    """Late, doubled and replayed entries come to the same conduct."""
    again = entries + [entry for entry in entries if chance.random() < 0.5]
    chance.shuffle(again)
    assert conduct("account", "ann", count(Tally(at=T0_MS), *again)) == conduct(
        "account", "ann", count(Tally(at=T0_MS), *entries)
    )


@given(happened, st.integers(0, 100))
def test_two_windows_know_what_one_tally_would(entries: list[risk.Activity | risk.Sighting], minute: int) -> None:
    """Wherever the border of the windows lies."""
    border = T0 + timedelta(minutes=minute)
    before, after = ([e for e in entries if (e.at < border) is early] for early in (True, False))
    both = merged(count(Tally(at=T0_MS), *before), count(Tally(at=T0_MS), *after))
    assert conduct("account", "ann", both) == conduct("account", "ann", count(Tally(at=T0_MS), *entries))


@given(
    st.lists(st.tuples(st.sampled_from(("ann", "bob", "cat")), st.integers(0, 100)), max_size=20), st.integers(0, 100)
)
def test_an_account_is_seen_once_on_a_device(seen: list[tuple[str, int]], minute: int) -> None:
    """In however many windows: when it was there last."""
    entries = [sighting(n, "device", account, at) for n, (account, at) in enumerate(seen)]
    border = T0 + timedelta(minutes=minute)
    before, after = ([e for e in entries if (e.at < border) is early] for early in (True, False))
    both = merged(count(Tally(), *before), count(Tally(), *after))
    assert both == merged(count(Tally(), *entries), Tally())
    assert len(both.happenings.get("device_accounts", ())) == len({account for account, _ in seen})


def test_merging_changes_neither() -> None:
    """Both are in a store, and may be merged again."""
    one, other = count(Tally(), deed(1), sighting(1)), count(Tally(), deed(2), sighting(2))
    kept = conduct("account", "ann", one), conduct("account", "ann", other)
    forget(merged(one, other), T0_MS + 1)
    assert (conduct("account", "ann", one), conduct("account", "ann", other)) == kept


def test_delivered_before_it_was_seen() -> None:
    """Order and risk tell on their own: the delivery may be known first, or have its own window."""
    first = count(Tally(), deed(1, "delivered", 9), sighting(1), sighting(2))
    apart = merged(count(Tally(), sighting(1), sighting(2)), count(Tally(), deed(1, "delivered", 9)))
    for tally in (first, apart):
        told = conduct("account", "ann", tally)
        assert [(order.order_id, order.delivered) for order in told.earlier] == [("o-1", True), ("o-2", False)]


@pytest.mark.parametrize(
    ("ahead_ms", "code"), [(AHEAD_MS + 1, "future"), (-1001, "too_old"), (AHEAD_MS, ""), (-1000, "")]
)
def test_when_something_counts(ahead_ms: int, code: str) -> None:
    """From the memory's end until a minute from now."""
    if code:
        with pytest.raises(Unusable, match=code):
            check_time(T0_MS + ahead_ms, T0_MS, 1000)
    else:
        check_time(T0_MS + ahead_ms, T0_MS, 1000)


def record(value: bytes | None, type_: str = "AccountsActed") -> Delivery:
    return Delivery("risk.activity", 0, 1, b"0", value, type=type_)


def test_both_packs_are_unpacked() -> None:
    """Each entry with its subject: an account's deed is its own, a sighting may be a device's."""
    assert unpack(record(risk.AccountsActed(shard=0, entries=(deed(1),)).to_json())) == (deed(1),)
    seen = risk.OrdersSeen(shard=0, entries=(sighting(1, "device"),))
    (entry,) = unpack(record(seen.to_json(), "OrdersSeen"))
    assert (subject_of(entry), subject_of(deed(1))) == (("device", "d" * 24), ("account", "ann"))


@pytest.mark.parametrize(
    ("value", "type_", "code"),
    [
        (None, "AccountsActed", "tombstone"),
        (b"{}", "OrderPlaced", "unknown_type"),
        (b"{}", "", "unknown_type"),
        (b"{", "AccountsActed", "malformed"),
        (b"\xff\xfe", "OrdersSeen", "malformed"),
        (b'{"shard":0,"entries":[{}]}', "OrdersSeen", "malformed"),
        (risk.AccountsActed(shard=1, entries=()).to_json(), "AccountsActed", "wrong_partition"),
    ],
)
def test_other_records_are_not(value: bytes | None, type_: str, code: str) -> None:
    """Each with a word for the metric."""
    with pytest.raises(Unusable, match=code):
        unpack(record(value, type_))


def large(number: int) -> risk.Conduct:
    """As large as a conduct of an account becomes."""
    happenings = tuple((T0_MS + n) << 20 for n in range(risk.HAPPENINGS_MAX))
    signals = ("orders", "deliveries", "cancels", "expiries", "declines")
    return risk.Conduct(
        about="account",
        subject=f"{number:0128}",
        at=T0,
        counts=tuple(risk.Count(signal=signal, happenings=happenings) for signal in signals),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("number", [0, 1, PACKED_MAX, PACKED_MAX + 1, 2 * PACKED_MAX])
@pytest.mark.parametrize("kind", [large, lambda n: risk.Conduct(about="account", subject=str(n), at=T0)])
def test_packs_are_bounded(number: int, kind: Any) -> None:
    """In entries and in bytes; nothing is left out, and nothing to say is said once."""
    conducts = [kind(n) for n in range(number)]
    told = list(packs(3, T0_MS, conducts))
    assert [one for pack in told for one in pack.entries] == conducts
    assert len(told) >= max(1, -(-number // PACKED_MAX))
    for pack in told:
        body = pack.to_json()
        assert len(body) < BODY_MAX + 1000
        assert risk.SignalsTold.from_json(body) == pack
        assert (pack.shard, pack.as_of) == (3, T0)
        assert pack.entries or not number
