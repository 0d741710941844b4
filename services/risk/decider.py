"""Risk's look at an order, and at what became of it, as tables.

Theory of operation. `ScreenOrder` is held against the switch, the blocklist and the rules, which are facts, loaded for
each batch, as is the conduct of its account, device and address. What is found (nothing, a restriction, a referral, a
refusal) is the message that the table decides: the strongest treatment wins, whoever names it. Only a referral waits,
for a person (who may claim it for a while, and whose `DecideReview` is read into one message per verdict) or for the
deadline, after which the order is restricted. The reason of a verdict is a code, such as `address_restricted`: why
somebody is on the blocklist is told to nobody outside. What the verdict saw is kept with it.

Each screening is told to risk's stream application, once for each subject that sees it (`Sighting`). What accounts did
is heard from the services (`AccountsActed`), so that it is known what became of each order; how their conduct is to be
counted is heard from the stream application (`SignalsTold`), and a conduct is only replaced by a later one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

from msgspec.structs import replace

from services.risk import inner
from services.risk.counting import milliseconds
from services.risk.rules import DELIVERED, RuleSet, judge
from services.risk.state import (
    STRENGTH,
    Age,
    Blocked,
    EarlierOrder,
    Ending,
    EndingPhase,
    Entered,
    Facts,
    Kind,
    Known,
    Phase,
    Review,
    Screening,
    Seen,
    Treatment,
)
from shared.contracts import risk
from shared.contracts.texts import normal_form
from shared.runtime.decider import Context, Decider, Look
from shared.runtime.said import CancelTimer, SetTimer
from shared.runtime.table import IGNORE, Cell, Change, Ignored, Key, Moved, NoCell, Outcome, Refused, Table, refuse, to

REVIEW = "review"
"""The timer that ends a review."""
SWITCH: Key = ("switch",)
"""The fact that is False while risk is switched off by its operator."""
RULES: Key = ("rules",)
"""The fact that is the newest RuleSet; None while nobody changed the delivered one."""
PSEUDONYMS: Key = ("pseudonyms",)
"""The fact that is the key of the hashes of devices and addresses: it leaves risk's database only for its worker."""
SWITCHED_OFF = "risk_switched_off"
AHEAD_MAX_S = 300
"""So far may another's clock be ahead of ours."""
WORDS = {Treatment.REFUSE: "blocked", Treatment.REFER: "referred", Treatment.RESTRICT: "restricted"}
"""The second half of a reason, as in `account_blocked`."""

# What is said on the way. ---------------------------------------------------------------------------------------------


def clear(state: Screening, found: inner.FoundNothing, context: Context) -> Change:
    """Nothing speaks against the order."""
    return {"seen": found.seen}, (risk.OrderCleared(order_id=state.order_id), *_sightings(state, found.seen))


def restrict(state: Screening, found: inner.FoundRestriction, context: Context) -> Change:
    """It may go on, but first paid is first served."""
    return _found(state, found, risk.OrderRestricted(**_why(found)))


def turn_away(state: Screening, found: inner.FoundRefusal, context: Context) -> Change:
    """It may not go on."""
    return _found(state, found, risk.OrderRefused(**_why(found)))


def ask_a_person(state: Screening, found: inner.FoundReferral, context: Context) -> Change:
    """A person looks, until the deadline."""
    due_at = context.now + timedelta(seconds=context.windows.review_window_s)
    total = found.seen.facts.total
    review = Review(total, found.device, found.address, found.reason, context.now, due_at)
    changes, said = _found(state, found, risk.OrderReferred(**_why(found)))
    return {**changes, "review": review}, (*said, SetTimer(state.order_id, REVIEW, due_at))


def _why(found: inner.Found) -> dict[str, Any]:
    return {
        "order_id": found.order_id,
        "reason": found.reason,
        "rules": tuple(spoke.name for spoke in found.seen.spoke),
    }


def _found(state: Screening, found: inner.Found, said: risk.Verdict) -> Change:
    return {"reason": found.reason, "seen": found.seen}, (said, *_sightings(state, found.seen))


def _sightings(state: Screening, seen: Seen) -> Iterator[risk.Sighting]:
    """The order as its account, its device and its address see it."""
    device, address = seen.facts.device, seen.facts.address
    for about, subject in (("account", state.account), ("device", device), ("address", address)):
        if subject is not None:
            yield risk.Sighting(
                about=about,  # type: ignore[arg-type]
                subject=subject,
                account=state.account,
                order_id=state.order_id,
                at=seen.at,
                total=seen.facts.total,
                device=device,
                address=address,
            )


def clear_reviewed(state: Screening, decision: inner.ReviewCleared, context: Context) -> Change:
    """The person found nothing."""
    return _decided(
        state, "clear", risk.OrderCleared(order_id=state.order_id, reason="review_cleared"), decision, context
    )


def restrict_reviewed(state: Screening, decision: inner.ReviewRestricted, context: Context) -> Change:
    """The person is careful."""
    said = risk.OrderRestricted(order_id=state.order_id, reason="review_restricted")
    return _decided(state, "restrict", said, decision, context)


def refuse_reviewed(state: Screening, decision: inner.ReviewRefused, context: Context) -> Change:
    """The person says no."""
    return _decided(
        state, "refuse", risk.OrderRefused(order_id=state.order_id, reason="review_refused"), decision, context
    )


def _decided(
    state: Screening, verdict: str, said: risk.Verdict, decision: inner.ReviewDecision, context: Context
) -> Change:
    review = _closed(state, verdict, context, note=decision.note, decided_by=context.actor)
    entries = _entries(state, review, decision, context)
    return {"reason": said.reason, "review": review}, (said, CancelTimer(state.order_id, REVIEW), *entries)


def _entries(state: Screening, review: Review, decision: inner.ReviewDecision, context: Context) -> Iterator[Entered]:
    values = {Kind.ACCOUNT: state.account, Kind.DEVICE: review.device, Kind.ADDRESS: review.address}
    reason = decision.note or f"review of order {state.order_id}"
    for kind in decision.block:
        if form := normal_form(values[kind] or ""):
            yield Entered(kind, form, decision.treatment, reason, decision.until, context.actor)


def claim_review(state: Screening, m: risk.ClaimReview, context: Context) -> Change:
    """For a while it is this person's; claiming again prolongs it."""
    until = context.now + timedelta(seconds=context.windows.claim_s)
    return {"review": replace(_review(state), claimed_by=context.actor, claimed_until=until)}, ()


def release_review(state: Screening, m: risk.ReleaseReview, context: Context) -> Change:
    """Anybody may take it."""
    return {"review": replace(_review(state), claimed_by="", claimed_until=None)}, ()


def restrict_overdue(state: Screening, overdue: inner.ReviewOverdue, context: Context) -> Change:
    """Nobody decided: the order must neither wait for ever nor pass as if it had been cleared."""
    said = risk.OrderRestricted(order_id=state.order_id, reason="review_overdue")
    return {"reason": said.reason, "review": _closed(state, "restrict", context)}, (said,)


def withdraw(state: Screening, message: risk.WithdrawScreening, context: Context) -> Change:
    """The order ended: nobody needs to look any more, and nobody waits for a verdict."""
    return {"review": _closed(state, "withdrawn", context)}, (CancelTimer(state.order_id, REVIEW),)


def note_ending(state: Ending, m: inner.EndingTold, context: Context) -> Change:
    """The order is over, or delivered."""
    return {"deed": m.deed, "at": m.at}, ()


def _closed(state: Screening, verdict: str, context: Context, **by: str) -> Review:
    """The review with its verdict; nobody's claim outlives it."""
    return replace(_review(state), verdict=verdict, decided_at=context.now, claimed_by="", claimed_until=None, **by)


def _review(state: Screening) -> Review:
    if state.review is None:
        raise ValueError(f"order {state.order_id} is in review, but its review is missing from the table `reviews`")
    return state.review


# The table. -----------------------------------------------------------------------------------------------------------

WORK = (
    inner.ReviewCleared,
    inner.ReviewRestricted,
    inner.ReviewRefused,
    risk.ClaimReview,
    risk.ReleaseReview,
    inner.ReviewClaimedByOther,
    inner.NobodysReview,
)
"""What a person's command about a review may be read as."""
NOT_OPEN: dict[type, Cell] = dict.fromkeys(WORK, refuse("review_not_open"))
SCREENED: dict[type, Cell] = {
    # asked again about an order that has its answer (or waits for it): one screening, one verdict
    inner.FoundNothing: IGNORE,
    inner.FoundRestriction: IGNORE,
    inner.FoundReferral: IGNORE,
    inner.FoundRefusal: IGNORE,
}
SETTLED: dict[type, Cell] = {
    **SCREENED,
    **NOT_OPEN,
    risk.WithdrawScreening: IGNORE,  # the order ended while the verdict was on its way
    inner.ReviewOverdue: IGNORE,  # parked behind the decision, and replayed after it
}

SCREENING = Table(
    "screening",
    {
        Phase.NEW: {
            inner.FoundNothing: to(Phase.CLEARED, clear),
            inner.FoundRestriction: to(Phase.RESTRICTED, restrict),
            inner.FoundReferral: to(Phase.IN_REVIEW, ask_a_person),
            inner.FoundRefusal: to(Phase.REFUSED, turn_away),
            **dict.fromkeys(WORK, refuse("review_unknown")),
        },
        Phase.IN_REVIEW: {
            **SCREENED,
            inner.ReviewCleared: to(Phase.CLEARED, clear_reviewed),
            inner.ReviewRestricted: to(Phase.RESTRICTED, restrict_reviewed),
            inner.ReviewRefused: to(Phase.REFUSED, refuse_reviewed),
            inner.ReviewOverdue: to(Phase.RESTRICTED, restrict_overdue),
            risk.WithdrawScreening: to(Phase.WITHDRAWN, withdraw),
            risk.ClaimReview: to(Phase.IN_REVIEW, claim_review),
            risk.ReleaseReview: to(Phase.IN_REVIEW, release_review),
            inner.ReviewClaimedByOther: refuse("review_claimed"),
            inner.NobodysReview: refuse("review_not_claimed"),
        },
        Phase.CLEARED: SETTLED,
        Phase.RESTRICTED: SETTLED,
        Phase.REFUSED: SETTLED,
        Phase.WITHDRAWN: SETTLED,
    },
)


ENDING = Table(
    "ending",
    {
        EndingPhase.NEW: {inner.EndingTold: to(EndingPhase.KNOWN, note_ending)},
        EndingPhase.KNOWN: {inner.EndingTold: IGNORE},  # one order, one outcome
    },
)
ENDINGS = frozenset({"delivered", "cancelled", "cancelled_after_payment", "expired", "unreachable", "ended"})
"""The deeds that an order ends with."""


# Reading: which of the table's messages is it? ------------------------------------------------------------------------


def suspects(message: risk.ScreenOrder) -> Iterator[tuple[Kind, Key]]:
    """What the blocklist may know of this order, and the facts that tell it."""
    said = ((Kind.ACCOUNT, message.account), (Kind.DEVICE, message.device), (Kind.ADDRESS, message.address))
    for kind, value in said:
        if value and (form := normal_form(value)):
            yield kind, ("blocked", kind, form)


def pseudonym(kind: Kind, value: str | None, key: bytes | None) -> str | None:
    """The keyed hash of a device or an address, the same for all of its spellings; None for nothing."""
    form = normal_form(value) if value else ""
    return blake2b(form.encode(), digest_size=12, key=key or b"", person=kind.encode()).hexdigest() if form else None


def subjects(message: risk.ScreenOrder, key: bytes | None) -> Iterator[Key]:
    """Whose conduct speaks for or against this order, as facts."""
    yield "conduct", "account", message.account
    for kind, value in ((Kind.DEVICE, message.device), (Kind.ADDRESS, message.address)):
        if hashed := pseudonym(kind, value, key):
            yield "conduct", kind, hashed


def find(message: risk.ScreenOrder, look: Look, context: Context) -> inner.Found:
    """Holds an order against the switch, the blocklist and the rules."""
    facts = gather(message, look)
    rules: RuleSet = look(RULES) or DELIVERED
    if look(SWITCH) is False:
        seen = Seen(context.now, "restrict", facts, rules.version)
        return inner.FoundRestriction(message.order_id, seen, SWITCHED_OFF)
    strongest, reason = -1, ""
    for kind, key in suspects(message):
        entry: Blocked | None = look(key)
        if entry is not None and entry.counts(context.now) and STRENGTH[entry.treatment] > strongest:
            strongest, reason = STRENGTH[entry.treatment], f"{kind}_{WORDS[entry.treatment]}"
    judged = judge(rules, facts, context.now)
    if judged.treatment is not None and STRENGTH[judged.treatment] > strongest:
        strongest, reason = STRENGTH[judged.treatment], f"rules_{WORDS[judged.treatment]}"
    verdict = tuple(Treatment)[strongest] if strongest >= 0 else "clear"
    seen = Seen(context.now, verdict, facts, rules.version, judged.score, judged.spoke)
    if verdict == Treatment.REFER:
        return inner.FoundReferral(message.order_id, seen, reason, message.device, message.address)
    return FOUND[verdict](message.order_id, seen, reason)


FOUND = {"clear": inner.FoundNothing, Treatment.RESTRICT: inner.FoundRestriction, Treatment.REFUSE: inner.FoundRefusal}


def gather(message: risk.ScreenOrder, look: Look) -> Facts:
    """What is known of an order's account, device and address."""
    counts: dict[str, tuple[int, ...]] = {}
    earlier: tuple[EarlierOrder, ...] = ()
    named: dict[str, str] = {}
    for key in subjects(message, look(PSEUDONYMS)):
        named[key[1]] = key[2]
        known: Known | None = look(key)
        if known is not None:
            counts.update(known.counts)
            earlier = earlier or known.earlier
    return Facts(message.total, named.get(Kind.DEVICE), named.get(Kind.ADDRESS), counts, earlier)


DECISIONS: dict[str, type[inner.ReviewCleared] | type[inner.ReviewRestricted] | type[inner.ReviewRefused]] = {
    "clear": inner.ReviewCleared,
    "restrict": inner.ReviewRestricted,
    "refuse": inner.ReviewRefused,
}


ReviewWork = risk.DecideReview | risk.ClaimReview | risk.ReleaseReview


def _read_work(m: ReviewWork, state: Screening, context: Context) -> Any:
    """A person's command about a review: somebody else may be at work on it."""
    review = state.review
    claimed = review is not None and review.claimed_until is not None and review.claimed_until > context.now
    if claimed and review is not None and review.claimed_by != context.actor:
        return inner.ReviewClaimedByOther(
            m.order_id, f"{review.claimed_by} has it until {review.claimed_until:%Y-%m-%dT%H:%M:%SZ}"
        )
    if type(m) is risk.DecideReview:
        block = tuple(Kind(about) for about in m.block)
        return DECISIONS[m.verdict](m.order_id, m.note, block, Treatment(m.treatment), m.until)
    return inner.NobodysReview(m.order_id) if type(m) is risk.ReleaseReview and not claimed else m


def needs(message: Any, look: Look) -> Iterator[Key]:
    """The screening; for a new one also the switch, the rules, and what blocklist and signals say of its account,
    device and address. Of what accounts did, what became of their orders; of signals, the conducts as they were."""
    if type(message) is risk.AccountsActed:
        for activity in message.entries:
            if activity.deed in ENDINGS:
                yield "ending", activity.order_id
        return
    if type(message) is risk.SignalsTold:
        yield "age", str(message.shard)
        for one in message.entries:
            yield "conduct", one.about, one.subject
        return
    yield ("screening", message.order_id)
    if type(message) is risk.ScreenOrder:
        yield SWITCH
        yield RULES
        for _, key in suspects(message):
            yield key
        yield from subjects(message, look(PSEUDONYMS))


def decide(message: Any, look: Look, context: Context) -> Outcome:
    """Decides one message: about one order, or what many accounts did."""
    if type(message) is risk.AccountsActed:
        return _note_endings(message, look, context)
    if type(message) is risk.SignalsTold:
        return _take_signals(message, look, context)
    key: Key = ("screening", message.order_id)
    state: Screening | None = look(key)
    if type(message) is risk.ScreenOrder:
        state = state or Screening(message.order_id, message.account)
        message = find(message, look, context)
    elif state is None or (type(message) is not inner.ReviewOverdue and message.account != state.account):
        # Another account's name on it means that another shard's writer would touch this screening: nobody may.
        state = Screening(message.order_id, getattr(message, "account", ""))
    if isinstance(message, ReviewWork):
        message = _read_work(message, state, context)
    outcome = SCREENING.move(state, message, context)
    if isinstance(outcome, Refused | Ignored):
        return outcome
    moved, said = outcome
    return Moved(((key, moved),), said)


def _refuse_future(latest: datetime, what: str, context: Context) -> None:
    """What comes from the future would be newer than anything that comes for years, so it parks, alone."""
    if latest > context.now + timedelta(seconds=AHEAD_MAX_S):
        raise NoCell(what, "future", f"{latest:%Y-%m-%dT%H:%M:%SZ}")


def _note_endings(m: risk.AccountsActed, look: Look, context: Context) -> Outcome:
    _refuse_future(max((one.at for one in m.entries), default=context.now), "endings", context)
    states: dict[Key, Any] = {}
    for activity in m.entries:
        if activity.deed not in ENDINGS:
            continue
        key: Key = ("ending", activity.order_id)
        state = states.get(key) or look(key) or Ending(activity.order_id, activity.account)
        outcome = ENDING.move(state, inner.EndingTold(activity.order_id, activity.deed, activity.at), context)
        if not isinstance(outcome, Refused | Ignored):
            states[key], _ = outcome
    return Moved(tuple(states.items()), ())


def _how_new(known: Known) -> tuple[int, int]:
    """A happening that came late does not change until when a conduct is told, and is one more."""
    return known.at, sum(map(len, known.counts.values()))


def _take_signals(m: risk.SignalsTold, look: Look, context: Context) -> Outcome:
    """A conduct is told whole, so a later one replaces an earlier one, and one that is late or told twice changes
    nothing."""
    _refuse_future(max((m.as_of, *(one.at for one in m.entries))), "signals", context)
    states: dict[Key, Any] = {}
    for one in m.entries:
        key: Key = ("conduct", one.about, one.subject)
        before: Known | None = states.get(key) or look(key)
        told = Known(
            one.about,
            one.subject,
            milliseconds(one.at),
            {count.signal: count.happenings for count in one.counts},
            tuple(
                EarlierOrder(o.order_id, milliseconds(o.at), o.total, o.device, o.address, o.delivered)
                for o in one.earlier
            ),
        )
        if before is None or _how_new(told) >= _how_new(before):
            states[key] = told
    shard = str(m.shard)
    age: Age | None = look(("age", shard))
    if age is None or m.as_of > age.as_of:
        states["age", shard] = Age(shard, m.as_of)
    return Moved(tuple(states.items()), ())


DECIDER = Decider(
    service="risk",
    listens=(
        risk.ScreenOrder,
        risk.WithdrawScreening,
        risk.DecideReview,
        risk.ClaimReview,
        risk.ReleaseReview,
        risk.AccountsActed,
        risk.SignalsTold,
    ),
    needs=needs,
    decide=decide,
    timers={REVIEW: inner.ReviewOverdue},
    facts=frozenset({"switch", "blocked", "rules", "pseudonyms", "conduct"}),
    master_data=frozenset({"switch", "blocked", "rules", "pseudonyms"}),
)
