"""Risk: given the switch and the blocklist, when an order is to be screened, then this is the verdict."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, get_args

import pytest

from services.risk import inner
from services.risk.decider import DECIDER, REVIEW, SCREENING, suspects
from services.risk.state import Blocked, Ending, EndingPhase, Kind, Phase, Screening, Treatment
from shared.contracts import risk
from shared.runtime.decider import Windows
from shared.runtime.said import CancelTimer, SetTimer
from shared.runtime.table import IGNORED, Key, Moved, NoCell, Refused
from tests.deciders.scene import NOON, Scene

ORDER = risk.ScreenOrder(order_id="o-1", account="a-1", device="d-1", address="12 Mill Lane", total=649)
ON_LIST: dict[Kind, Key] = {
    Kind.ACCOUNT: ("blocked", "account", "a-1"),
    Kind.DEVICE: ("blocked", "device", "d-1"),
    Kind.ADDRESS: ("blocked", "address", "12 mill lane"),
}
VERDICTS = {
    Treatment.REFUSE: risk.OrderRefused,
    Treatment.REFER: risk.OrderReferred,
    Treatment.RESTRICT: risk.OrderRestricted,
}
ANALYST = "risk_analyst:r-1"


def scene(*entries: tuple[Kind, Treatment]) -> Scene:
    """A shop whose blocklist has these entries for the order's own account, device or address."""
    facts: dict[Key, Any] = {ON_LIST[kind]: Blocked(treatment, "for an analyst's eyes") for kind, treatment in entries}
    return Scene(DECIDER, {("switch",): True, **facts})


def in_review() -> Scene:
    """A shop in which the order waits for a person."""
    stage = scene((Kind.DEVICE, Treatment.REFER))
    stage.when(ORDER)
    return stage


def decision(verdict: Any, account: str = "a-1", note: str = "known to me") -> risk.DecideReview:
    """A person's verdict."""
    return risk.DecideReview(order_id="o-1", account=account, verdict=verdict, note=note)


def told(said: list[object]) -> list[object]:
    """What is said beside the sightings of an order: those are in `test_risk_rules`."""
    return [m for m in said if not isinstance(m, risk.Sighting)]


def screening(stage: Scene) -> Screening:
    """What risk knows of the order by now."""
    state = stage.states["screening", "o-1"]
    assert isinstance(state, Screening)
    return state


def test_cleared_when_nothing_is_known() -> None:
    """Somebody who is on no list, and of whom nothing is known, gets the order cleared."""
    stage = scene()
    assert told(stage.says(ORDER)) == [risk.OrderCleared(order_id="o-1")]
    after = screening(stage)
    assert after.seen is not None
    assert after == Screening("o-1", "a-1", Phase.CLEARED, seen=after.seen)
    assert (after.seen.at, after.seen.verdict, after.seen.spoke, after.seen.score) == (NOON, "clear", (), 0)
    assert (dict(after.seen.facts.counts), after.seen.facts.earlier) == ({}, ())


def test_cleared_when_nobody_ever_touched_the_switch() -> None:
    """A switch that was never set is on."""
    stage = Scene(DECIDER)
    assert told(stage.says(ORDER)) == [risk.OrderCleared(order_id="o-1")]


def test_cleared_without_device_and_address() -> None:
    """An order that names neither device nor address is judged by its account."""
    order = risk.ScreenOrder(order_id="o-1", account="a-1", total=649)
    assert scene((Kind.DEVICE, Treatment.REFUSE)).says(order)[0] == risk.OrderCleared(order_id="o-1")


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("treatment", Treatment)
def test_treated_as_the_blocklist_says(kind: Kind, treatment: Treatment) -> None:
    """An entry for account, device or address decides; the reason is a code and never tells the entry's own."""
    said = scene((kind, treatment)).says(ORDER)[0]
    word = {"refuse": "blocked", "refer": "referred", "restrict": "restricted"}[treatment]
    assert said == VERDICTS[treatment](order_id="o-1", reason=f"{kind}_{word}")


@pytest.mark.parametrize(
    ("account", "device", "address", "strongest"),
    [
        ("restrict", "refer", "refuse", "refuse"),
        ("refuse", "refer", "restrict", "refuse"),
        ("refer", "restrict", "restrict", "refer"),
        ("restrict", "restrict", "refer", "refer"),
    ],
)
def test_strongest_treatment_wins(account: str, device: str, address: str, strongest: str) -> None:
    """Of several entries the strongest decides, whatever it is about."""
    entries = zip(Kind, (account, device, address), strict=True)
    stage = scene(*((kind, Treatment(treatment)) for kind, treatment in entries))
    assert isinstance(stage.says(ORDER)[0], VERDICTS[Treatment(strongest)])


@pytest.mark.parametrize(
    ("seconds_left", "verdict"), [(1, risk.OrderRefused), (0, risk.OrderCleared), (-1, risk.OrderCleared)]
)
def test_entry_counts_until_its_end(seconds_left: int, verdict: type) -> None:
    """An entry with an end counts before it, and no more from then on."""
    stage = scene()
    until = NOON + timedelta(seconds=seconds_left)
    stage.states[ON_LIST[Kind.ACCOUNT]] = Blocked(Treatment.REFUSE, "", until)
    assert isinstance(stage.says(ORDER)[0], verdict)


@pytest.mark.parametrize("written", ["12 MILL LANE", "  12 mill lane ", "12  Mill\tLane", "12 Mill Lane\n"])
def test_address_matches_whatever_its_case_and_spacing(written: str) -> None:
    """The same address written another way is the same address."""
    order = risk.ScreenOrder(order_id="o-1", account="a-1", address=written, total=649)
    assert isinstance(scene((Kind.ADDRESS, Treatment.REFUSE)).says(order)[0], risk.OrderRefused)


@pytest.mark.parametrize("written", ["{}-1", "{}-\uff11", "{}-1\ufe0f"], ids=ascii)
@pytest.mark.parametrize("kind", [Kind.ACCOUNT, Kind.DEVICE])
@pytest.mark.parametrize("capital", [str.lower, str.upper])
def test_accounts_and_devices_are_matched_by_their_normal_form(
    kind: Kind, written: str, capital: Callable[[str], str]
) -> None:
    """Nobody leaves the blocklist by writing a letter or a digit of an account or a device another way."""
    named = {"account": "b-2", "device": "b-2", kind.value: written.format(capital(kind.value[0]))}
    order = risk.ScreenOrder(order_id="o-1", total=649, **named)
    assert isinstance(scene((kind, Treatment.REFUSE)).says(order)[0], risk.OrderRefused)


def test_what_shows_nothing_is_on_no_list() -> None:
    """An address of invisible characters is looked up under no key."""
    order = risk.ScreenOrder(order_id="o-1", account="a-2", address=" \u200b", total=649)
    assert [kind for kind, _ in suspects(order)] == [Kind.ACCOUNT]


@pytest.mark.parametrize("treatment", [None, *Treatment])
def test_restricted_while_risk_is_switched_off(treatment: Treatment | None) -> None:
    """Switched off means deduct on payment for everybody: neither an open door nor a closed one."""
    stage = scene(*([(Kind.ACCOUNT, treatment)] if treatment else []))
    stage.states["switch",] = False
    assert told(stage.says(ORDER)) == [risk.OrderRestricted(order_id="o-1", reason="risk_switched_off")]


def test_ignored_when_screened_again() -> None:
    """One order, one verdict: a repeat says nothing, even if the blocklist has changed since."""
    stage = scene()
    stage.says(ORDER)
    stage.states[ON_LIST[Kind.ACCOUNT]] = Blocked(Treatment.REFUSE, "")
    assert stage.when(ORDER) == IGNORED
    assert in_review().when(ORDER) == IGNORED


def test_referred_to_a_person_with_a_deadline() -> None:
    """A referral shows the person what there is to see, and does not wait for ever."""
    stage = scene((Kind.DEVICE, Treatment.REFER))
    stage.windows = Windows(review_window_s=60)
    due_at = NOON + timedelta(seconds=60)
    assert told(stage.says(ORDER)) == [
        risk.OrderReferred(order_id="o-1", reason="device_referred"),
        SetTimer("o-1", REVIEW, due_at),
    ]
    review = screening(stage).review
    assert review is not None
    assert (review.total, review.device, review.address, review.due_at) == (649, "d-1", "12 Mill Lane", due_at)
    assert review.decided_at is None


@pytest.mark.parametrize(
    ("verdict", "said", "phase"),
    [
        ("clear", risk.OrderCleared(order_id="o-1", reason="review_cleared"), Phase.CLEARED),
        ("restrict", risk.OrderRestricted(order_id="o-1", reason="review_restricted"), Phase.RESTRICTED),
        ("refuse", risk.OrderRefused(order_id="o-1", reason="review_refused"), Phase.REFUSED),
    ],
)
def test_decided_by_a_person(verdict: str, said: object, phase: Phase) -> None:
    """The person's verdict is the verdict, the deadline is called off, and who decided and why is kept."""
    stage = in_review()
    decided_at = stage.later(30)
    assert stage.says(decision(verdict), ANALYST) == [said, CancelTimer("o-1", REVIEW)]
    after = screening(stage)
    assert after.phase is phase
    assert after.review is not None
    assert (after.review.verdict, after.review.note, after.review.decided_by, after.review.decided_at) == (
        verdict,
        "known to me",
        ANALYST,
        decided_at,
    )


def test_restricted_when_nobody_decides() -> None:
    """The deadline decides: restricted, since neither waiting for ever nor clearing would be right."""
    stage = in_review()
    stage.later(900)
    assert stage.says(inner.ReviewOverdue("o-1")) == [risk.OrderRestricted(order_id="o-1", reason="review_overdue")]
    review = screening(stage).review
    assert review is not None
    assert (review.verdict, review.decided_by) == ("restrict", "")


def test_withdrawn_when_the_order_ended() -> None:
    """Nobody needs to look at an order that has ended: the review is off the list and says nothing."""
    stage = in_review()
    assert stage.says(risk.WithdrawScreening(order_id="o-1", account="a-1")) == [CancelTimer("o-1", REVIEW)]
    review = screening(stage).review
    assert review is not None
    assert review.verdict == "withdrawn"
    assert stage.when(decision("clear")) == Refused("review_not_open")


def test_ignored_when_withdrawn_after_the_verdict() -> None:
    """The order's end and the verdict may cross on their way: that is expected, and changes nothing."""
    withdrawal = risk.WithdrawScreening(order_id="o-1", account="a-1")
    for stage in (scene(), scene((Kind.ACCOUNT, Treatment.RESTRICT)), scene((Kind.ACCOUNT, Treatment.REFUSE))):
        stage.when(ORDER)
        assert stage.when(withdrawal) == IGNORED
    stage = in_review()
    stage.when(withdrawal)
    assert stage.when(withdrawal) == IGNORED


def test_ignored_when_the_deadline_comes_after_the_decision() -> None:
    """A deadline that was parked and is replayed later finds the decision made."""
    stage = in_review()
    stage.when(decision("clear"), ANALYST)
    assert stage.when(inner.ReviewOverdue("o-1")) == IGNORED


def test_second_decision_refused() -> None:
    """A review is decided once; whoever comes second is told so."""
    stage = in_review()
    stage.when(decision("clear"), ANALYST)
    assert stage.when(decision("refuse"), ANALYST) == Refused("review_not_open")
    assert screening(stage).phase is Phase.CLEARED


def test_decision_on_an_order_that_was_never_in_review_refused() -> None:
    """An order that was cleared at once has no review to decide."""
    stage = scene()
    stage.when(ORDER)
    assert stage.when(decision("refuse")) == Refused("review_not_open")


def test_decision_on_an_unknown_order_refused() -> None:
    """There is nothing to decide about an order that nobody has heard of."""
    assert scene().when(decision("clear")) == Refused("review_unknown")


def test_decision_under_another_account_refused() -> None:
    """Commands are keyed by account: a wrong one would bring a second writer to this screening."""
    stage = in_review()
    assert stage.when(decision("clear", account="a-2")) == Refused("review_unknown")
    assert screening(stage).phase is Phase.IN_REVIEW


def test_parked_when_a_screening_is_withdrawn_that_nobody_asked_for() -> None:
    """That cannot be, so nobody thought of it: the message parks for a person to look at."""
    with pytest.raises(NoCell, match="WithdrawScreening in phase new"):
        scene().when(risk.WithdrawScreening(order_id="o-9", account="a-1"))


def test_a_person_may_decide_in_review_only() -> None:
    """What a person may do is read from the table."""
    decisions = {"clear": inner.ReviewCleared, "restrict": inner.ReviewRestricted, "refuse": inner.ReviewRefused}
    allowed = {phase: SCREENING.allowed(phase, decisions) for phase in Phase}
    assert {phase: actions for phase, actions in allowed.items() if actions} == {Phase.IN_REVIEW: list(decisions)}


def acted(*activities: tuple[str, risk.Deed], account: str = "a-1", at: datetime = NOON) -> risk.AccountsActed:
    """What became of these orders, as the services tell it."""
    entries = tuple(
        risk.Activity(account=account, order_id=order_id, deed=deed, at=at) for order_id, deed in activities
    )
    return risk.AccountsActed(shard=0, entries=entries)


def ending(order_id: str, deed: risk.Deed, at: datetime = NOON) -> Ending:
    """What is known of an order that is over."""
    return Ending(order_id, "a-1", EndingPhase.KNOWN, deed, at)


def test_endings_are_known_once() -> None:
    """One for each order, whatever its screening came to; hearing of it again, or of another end, changes nothing."""
    stage = scene()
    stage.when(ORDER)
    assert stage.says(acted(("o-1", "cancelled"), ("o-2", "unreachable"))) == []
    later = stage.later(60)
    assert stage.when(acted(("o-1", "cancelled"), at=later)) == Moved((), ())
    assert stage.when(acted(("o-2", "delivered"), at=later)) == Moved((), ())
    assert stage.states["ending", "o-1"] == ending("o-1", "cancelled")
    assert stage.states["ending", "o-2"] == ending("o-2", "unreachable")
    assert screening(stage).phase is Phase.CLEARED


def test_first_end_of_two_in_one_pack_counts() -> None:
    """As of two in two packs."""
    stage = scene()
    stage.says(acted(("o-1", "delivered"), ("o-2", "ended"), ("o-1", "cancelled")))
    assert stage.states["ending", "o-1"].deed == "delivered"
    assert stage.states["ending", "o-2"].deed == "ended"


@pytest.mark.parametrize("deed", get_args(risk.Deed))
def test_what_ends_an_order_is_kept_and_nothing_else(deed: risk.Deed) -> None:
    """A declined card and a bad word are no end: the order goes on, or is over already."""
    stage = scene()
    pack = acted(("o-1", deed))
    stage.says(pack)
    is_end = deed not in ("declined", "rated_low")
    assert stage.states.get(("ending", "o-1")) == (ending("o-1", deed) if is_end else None)
    assert list(DECIDER.needs(pack, stage.states.get)) == ([("ending", "o-1")] if is_end else [])


def test_a_declined_card_before_the_end_hides_nothing() -> None:
    """In one pack."""
    stage = scene()
    stage.says(acted(("o-1", "declined"), ("o-1", "expired"), ("o-1", "rated_low")))
    assert stage.states["ending", "o-1"].deed == "expired"


def test_endings_alone_decide_nothing() -> None:
    """The account's next order is screened by its signals: what became of its orders is kept for people."""
    stage = scene()
    stage.says(acted(*((f"o-{number}", "unreachable") for number in range(2, 12))))
    assert stage.says(ORDER)[0] == risk.OrderCleared(order_id="o-1")
