"""Risk's look at an order, and at how it ended, as two tables.

Theory of operation. `ScreenOrder` is held against the switch and the blocklist, which are facts, loaded for each
batch: what is found (nothing, a restriction, a referral, a refusal) is the message that the table decides. Only a
referral waits, for a person (`DecideReview`, read into one message per verdict) or for the deadline, after which the
order is restricted. The reason of a verdict is a code, such as `address_restricted`: why somebody is on the blocklist
is told to nobody outside.

An order that its customer cancelled, or could not be reached for, counts against the account, once. Nothing follows
of it by itself: analysts see it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from services.risk.state import (
    STRENGTH,
    Blocked,
    Cancel,
    CancelPhase,
    FoundNothing,
    FoundReferral,
    FoundRefusal,
    FoundRestriction,
    Kind,
    Phase,
    Review,
    ReviewCleared,
    ReviewDecision,
    ReviewOverdue,
    ReviewRefused,
    ReviewRestricted,
    Screening,
    Treatment,
)
from shared.contracts.risk import (
    CustomerCancelled,
    DecideReview,
    OrderCleared,
    OrderReferred,
    OrderRefused,
    OrderRestricted,
    ScreenOrder,
    Verdict,
    WithdrawScreening,
)
from shared.contracts.texts import normal_form
from shared.runtime.decider import Context, Decider, Look
from shared.runtime.said import CancelTimer, SetTimer
from shared.runtime.table import IGNORE, Cell, Change, Ignored, Key, Moved, Outcome, Refused, Table, refuse, to

REVIEW = "review"
"""The timer that ends a review."""
SWITCH: Key = ("switch",)
"""The fact that is False while risk is switched off by its operator."""
SWITCHED_OFF = "risk_switched_off"
WORDS = {Treatment.REFUSE: "blocked", Treatment.REFER: "referred", Treatment.RESTRICT: "restricted"}
"""The second half of a reason, as in `account_blocked`."""

Found = FoundNothing | FoundRestriction | FoundReferral | FoundRefusal


# What is said on the way. ---------------------------------------------------------------------------------------------


def clear(state: Screening, found: FoundNothing, context: Context) -> Change:
    """Nothing speaks against the order."""
    return {}, (OrderCleared(order_id=state.order_id),)


def restrict(state: Screening, found: FoundRestriction, context: Context) -> Change:
    """It may go on, but first paid is first served."""
    return {"reason": found.reason}, (OrderRestricted(order_id=state.order_id, reason=found.reason),)


def turn_away(state: Screening, found: FoundRefusal, context: Context) -> Change:
    """It may not go on."""
    return {"reason": found.reason}, (OrderRefused(order_id=state.order_id, reason=found.reason),)


def ask_a_person(state: Screening, found: FoundReferral, context: Context) -> Change:
    """A person looks, until the deadline."""
    due_at = context.now + timedelta(seconds=context.windows.review_window_s)
    review = Review(found.total, found.device, found.address, found.reason, context.now, due_at)
    said = (OrderReferred(order_id=state.order_id, reason=found.reason), SetTimer(state.order_id, REVIEW, due_at))
    return {"reason": found.reason, "review": review}, said


def clear_reviewed(state: Screening, decision: ReviewCleared, context: Context) -> Change:
    """The person found nothing."""
    return _decided(state, "clear", OrderCleared(order_id=state.order_id, reason="review_cleared"), decision, context)


def restrict_reviewed(state: Screening, decision: ReviewRestricted, context: Context) -> Change:
    """The person is careful."""
    said = OrderRestricted(order_id=state.order_id, reason="review_restricted")
    return _decided(state, "restrict", said, decision, context)


def refuse_reviewed(state: Screening, decision: ReviewRefused, context: Context) -> Change:
    """The person says no."""
    return _decided(state, "refuse", OrderRefused(order_id=state.order_id, reason="review_refused"), decision, context)


def _decided(state: Screening, verdict: str, said: Verdict, decision: ReviewDecision, context: Context) -> Change:
    review = replace(
        _review(state), verdict=verdict, note=decision.note, decided_by=context.actor, decided_at=context.now
    )
    return {"reason": said.reason, "review": review}, (said, CancelTimer(state.order_id, REVIEW))


def restrict_overdue(state: Screening, overdue: ReviewOverdue, context: Context) -> Change:
    """Nobody decided: the order must neither wait for ever nor pass as if it had been cleared."""
    said = OrderRestricted(order_id=state.order_id, reason="review_overdue")
    review = replace(_review(state), verdict="restrict", decided_at=context.now)
    return {"reason": said.reason, "review": review}, (said,)


def withdraw(state: Screening, message: WithdrawScreening, context: Context) -> Change:
    """The order ended: nobody needs to look any more, and nobody waits for a verdict."""
    review = replace(_review(state), verdict="withdrawn", decided_at=context.now)
    return {"review": review}, (CancelTimer(state.order_id, REVIEW),)


def count(state: Cancel, m: CustomerCancelled, context: Context) -> Change:
    """One more of the account's."""
    return {"reason": m.reason, "at": m.at}, ()


def _review(state: Screening) -> Review:
    if state.review is None:
        raise ValueError(f"order {state.order_id} is in review, but its review is missing from the table `reviews`")
    return state.review


# The table. -----------------------------------------------------------------------------------------------------------

NOT_OPEN: dict[type, Cell] = {
    ReviewCleared: refuse("review_not_open"),
    ReviewRestricted: refuse("review_not_open"),
    ReviewRefused: refuse("review_not_open"),
}
SCREENED: dict[type, Cell] = {
    # asked again about an order that has its answer (or waits for it): one screening, one verdict
    FoundNothing: IGNORE,
    FoundRestriction: IGNORE,
    FoundReferral: IGNORE,
    FoundRefusal: IGNORE,
}
SETTLED: dict[type, Cell] = {
    **SCREENED,
    **NOT_OPEN,
    WithdrawScreening: IGNORE,  # the order ended while the verdict was on its way
    ReviewOverdue: IGNORE,  # parked behind the decision, and replayed after it
}

SCREENING = Table(
    "screening",
    {
        Phase.NEW: {
            FoundNothing: to(Phase.CLEARED, clear),
            FoundRestriction: to(Phase.RESTRICTED, restrict),
            FoundReferral: to(Phase.IN_REVIEW, ask_a_person),
            FoundRefusal: to(Phase.REFUSED, turn_away),
            ReviewCleared: refuse("review_unknown"),
            ReviewRestricted: refuse("review_unknown"),
            ReviewRefused: refuse("review_unknown"),
        },
        Phase.IN_REVIEW: {
            **SCREENED,
            ReviewCleared: to(Phase.CLEARED, clear_reviewed),
            ReviewRestricted: to(Phase.RESTRICTED, restrict_reviewed),
            ReviewRefused: to(Phase.REFUSED, refuse_reviewed),
            ReviewOverdue: to(Phase.RESTRICTED, restrict_overdue),
            WithdrawScreening: to(Phase.WITHDRAWN, withdraw),
        },
        Phase.CLEARED: SETTLED,
        Phase.RESTRICTED: SETTLED,
        Phase.REFUSED: SETTLED,
        Phase.WITHDRAWN: SETTLED,
    },
)


CANCEL = Table(
    "customer's cancel",
    {
        CancelPhase.NEW: {CustomerCancelled: to(CancelPhase.COUNTED, count)},
        CancelPhase.COUNTED: {CustomerCancelled: IGNORE},  # one order, one cancel
    },
)


# Reading: which of the table's messages is it? ------------------------------------------------------------------------


def suspects(message: ScreenOrder) -> Iterator[tuple[Kind, Key]]:
    """What the blocklist may know of this order, and the facts that tell it."""
    said = ((Kind.ACCOUNT, message.account), (Kind.DEVICE, message.device), (Kind.ADDRESS, message.address))
    for kind, value in said:
        if value and (form := normal_form(value)):
            yield kind, ("blocked", kind, form)


def find(message: ScreenOrder, look: Look, context: Context) -> Found:
    """Holds an order against the switch and the blocklist."""
    order_id = message.order_id
    if look(SWITCH) is False:
        return FoundRestriction(order_id, SWITCHED_OFF)
    strongest, reason = -1, ""
    treatment = None
    for kind, key in suspects(message):
        entry: Blocked | None = look(key)
        if entry is not None and entry.counts(context.now) and STRENGTH[entry.treatment] > strongest:
            strongest, treatment = STRENGTH[entry.treatment], entry.treatment
            reason = f"{kind}_{WORDS[treatment]}"
    if treatment is None:
        return FoundNothing(order_id)
    if treatment is Treatment.REFUSE:
        return FoundRefusal(order_id, reason)
    if treatment is Treatment.REFER:
        return FoundReferral(order_id, reason, message.total, message.device, message.address)
    return FoundRestriction(order_id, reason)


DECISIONS: dict[str, type[ReviewCleared] | type[ReviewRestricted] | type[ReviewRefused]] = {
    "clear": ReviewCleared,
    "restrict": ReviewRestricted,
    "refuse": ReviewRefused,
}


def needs(message: Any, look: Look) -> Iterator[Key]:
    """The screening; for a new one also the switch and what the blocklist says of account, device and address. Of an
    order that was cancelled, the cancel."""
    if type(message) is CustomerCancelled:
        yield ("cancel", message.order_id)
        return
    yield ("screening", message.order_id)
    if type(message) is ScreenOrder:
        yield SWITCH
        for _, key in suspects(message):
            yield key


def decide(message: Any, look: Look, context: Context) -> Outcome:
    """Decides one message about one order."""
    if type(message) is CustomerCancelled:
        return _decide_cancel(message, look, context)
    key: Key = ("screening", message.order_id)
    state: Screening | None = look(key)
    if type(message) is ScreenOrder:
        state = state or Screening(message.order_id, message.account)
        message = find(message, look, context)
    elif state is None or (type(message) is not ReviewOverdue and message.account != state.account):
        # Another account's name on it means that another shard's writer would touch this screening: nobody may.
        state = Screening(message.order_id, getattr(message, "account", ""))
    if type(message) is DecideReview:
        message = DECISIONS[message.verdict](message.order_id, message.note)
    outcome = SCREENING.move(state, message, context)
    if isinstance(outcome, Refused | Ignored):
        return outcome
    moved, said = outcome
    return Moved(((key, moved),), said)


def _decide_cancel(m: CustomerCancelled, look: Look, context: Context) -> Outcome:
    key: Key = ("cancel", m.order_id)
    outcome = CANCEL.move(look(key) or Cancel(m.order_id, m.account), m, context)
    if isinstance(outcome, Refused | Ignored):
        return outcome
    moved, said = outcome
    return Moved(((key, moved),), said)


DECIDER = Decider(
    service="risk",
    listens=(ScreenOrder, WithdrawScreening, DecideReview, CustomerCancelled),
    needs=needs,
    decide=decide,
    timers={REVIEW: ReviewOverdue},
    facts=frozenset({"switch", "blocked"}),
    master_data=frozenset({"switch", "blocked"}),
)
