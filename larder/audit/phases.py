"""The way that one order went: phase after phase as they may follow each other, to one end, and nothing before its
time. What DESIGN §3 tells is said here once more, apart from the table that decides."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from larder.audit.life import ENDS, KNOWN, WAITS_FOR_A_SERVICE, Life

NEWS = frozenset(
    {"MoneyUnasked", "PaymentRefunded", "PaymentRefundRefused", "TicketOpened", "TicketEnded", "InterceptAsked"}
    | {"ShortDropped", "GoodsTakenBack", "GoodsInspected", "RefundApproved", "TicketAsked"}
)
"""What may happen to an order anywhere, also when it has ended, without moving it: stray money, tickets, and papers and
goods that come late."""
STAYS: Mapping[str, frozenset[str]] = {
    "verifying": frozenset({"StockVerified"}),
    "short": frozenset({"SubstituteChosen"}),
    "stopping": frozenset({"PickingStarted", "FulfilmentPacked", "PiecesShort"}),
    "delivered": frozenset({"GoodsRefunded", "GoodsKept", "ReturnApproved", "ReturnInspected", "ReturnOverdue"}),
}
"""What may happen in one phase without moving the order."""
SORTED_OUT = ("refunding", "cancelled")
"""The phases in which the goods may be inspected that came back."""


def _nexts(told: Mapping[str, str]) -> dict[str, frozenset[str]]:
    return {phase: frozenset(nexts.split()) for phase, nexts in told.items()}


NEXT = _nexts(
    {
        "new": "screening reserving_slot",
        "reserving_slot": "screening rejected cancelled",
        "screening": "holding in_review rejected cancelled",
        "in_review": "holding rejected cancelled",
        "holding": "awaiting_payment rejected releasing",
        "awaiting_payment": "verifying releasing",
        "verifying": "paying awaiting_payment releasing",
        "paying": "deducting awaiting_payment paying_cancel_wanted",
        "paying_cancel_wanted": "refunding releasing",
        "deducting": "awaiting_picking refunding deducting_cancel_wanted",
        "deducting_cancel_wanted": "reversing refunding",
        "awaiting_picking": "picking stopping",
        "picking": "awaiting_shipment short stopping",
        "short": "picking substituting stopping",
        "substituting": "picking short",
        "awaiting_shipment": "in_delivery stopping",
        "stopping": "reversing in_delivery",
        "in_delivery": "delivered intercepting returning",
        "intercepting": "returning delivered",
        "returning": "refunding",
        "delivered": "closed",
        "releasing": "cancelled",
        "reversing": "refunding",
        "refunding": "cancelled",
    }
)
"""How one order's life may go on; of an end it does not."""
NEXT_OF_REPLACEMENT = NEXT | _nexts(
    {
        "new": "holding",
        "holding": "deducting rejected releasing",
        "deducting": "awaiting_picking cancelled deducting_cancel_wanted",
        "deducting_cancel_wanted": "reversing cancelled",
        "returning": "cancelled",
        "reversing": "cancelled",
    }
)
"""The same of a replacement order, which nobody screens or pays for."""
COURSES = 2_048
"""Most orders have gone one of a few ways: that many are kept as they were read."""


class Course(NamedTuple):
    """A timeline, read: where it ends, what is wrong with its steps before and after the first end, which messages
    came, which phases followed which, and how often pieces were short and goods overdue."""

    last: str
    wrong_step: str
    wrong_end: str
    messages: frozenset[str]
    steps: frozenset[tuple[str, str]]
    shortages: int
    overdue: int


@lru_cache(maxsize=COURSES)
def read_course(entries: str, is_replacement: bool = False) -> Course:
    """Reads `Timeline.entries`."""
    nexts_of = NEXT_OF_REPLACEMENT if is_replacement else NEXT
    before, ended, wrong_step, wrong_end = "new", False, "", ""
    messages, steps, shortages, overdue = set(), set(), 0, 0
    for entry in entries.split(","):
        phase, _, message = entry.partition(" ")
        messages.add(message)
        steps.add((before, phase))
        shortages += (phase, message) == ("short", "PiecesShort")
        overdue += message == "GoodsOverdue"
        is_news = phase == before != "new" and (message in NEWS or message in STAYS.get(phase, ()))
        if message == "GoodsInspected" and phase not in SORTED_OUT:
            is_news = False
        told = f"{message} moved it from {before} to {phase}"
        if ended and not is_news:
            wrong_end = wrong_end or told
        elif not is_news and phase not in nexts_of.get(before, ()):
            wrong_step = wrong_step or told
        before, ended = phase, ended or phase in ENDS
    return Course(before, wrong_step, wrong_end, frozenset(messages), frozenset(steps), shortages, overdue)


def course(life: Life) -> Course | None:
    """How the order went; None where nobody knows any more."""
    return read_course(life.timeline.entries, "~" in life.order_id) if life.timeline else None


def phase_is_known(life: Life) -> str | None:
    """The auditor knows what must be true in the order's phase."""
    if life.order is None:
        return None
    return "" if life.phase in KNOWN else f"the auditor knows no phase {life.phase!r}: it cannot judge this order"


def somebody_answers(life: Life) -> str | None:
    """An order that waits for a service is waited for by that service: nothing of it is on its way, so nothing would
    ever move it again."""
    if life.phase not in WAITS_FOR_A_SERVICE:
        return None
    return f"the order is {life.phase}, and nothing is on its way to it"


def every_order_ends(life: Life) -> str | None:
    """Once all has come to rest, and people and timers have had their time, an order has ended."""
    if life.order is None:
        return None
    # Goods that nobody looks for hold an order open for as long as that takes.
    waits_for_people = life.phase == "delivered" and life.window is not None and life.window.open_tickets > 0
    return "" if life.phase in ENDS or waits_for_people else f"at rest in {life.phase}"


def timeline_is_phase(life: Life) -> str | None:
    """The last entry of the timeline is the phase, and an order that has ended is marked so. One that is over has no
    timeline any more once the sweep has passed its age."""
    order, went = life.order, course(life)
    if order is None and went is None:
        return None
    if (went.last if went else "") != life.phase and not (order and order.swept and went is None):
        return f"the order is {life.phase or 'missing'}, its timeline ends in {went.last if went else 'nothing'}"
    if order and order.ended != (life.phase in ENDS):
        return f"the order is {life.phase}, and marked as ended: {order.ended}"
    return ""


def life_in_order(life: Life) -> str | None:
    """Every step of the timeline is one that may follow the one before it."""
    went = course(life)
    return went and went.wrong_step


def one_end(life: Life) -> str | None:
    """Once ended, an order stays where it is: nothing but news for its page is written after the first end."""
    went = course(life)
    return went and went.wrong_end


def end_has_reason(life: Life) -> str | None:
    """An order that came to nothing says why."""
    if life.order is None or life.phase not in ("cancelled", "rejected"):
        return None
    return "" if life.order.reason else f"{life.phase} without a reason"


def slot_is_kept(life: Life) -> str | None:
    """Nobody was asked for money for a slot that had begun: it could not be kept any more."""
    if life.order is None or life.order.slot_start is None or life.timeline is None:
        return None
    at, start = life.timeline.paying_at, life.order.slot_start
    return f"asked for money at {at:%H:%M:%S}, slot {start:%H:%M:%S}" if at and at >= start else ""


def never_early(life: Life) -> str | None:
    """No time runs out before it is over: not the customer's to pay, not the analyst's to decide."""
    expired_at = life.timeline.expired_at if life.timeline else None
    until = life.order.payable_until if life.order else None
    review = life.screening if life.screening and life.screening.decided_at else None
    if expired_at and until and expired_at < until:
        return f"expired at {expired_at}, payable until {until}"
    if review and review.decided_at and review.due_at and (review.verdict, review.decided_by) == ("restrict", ""):
        return f"overdue before {review.due_at}" if review.decided_at < review.due_at else ""
    return "" if expired_at or review else None


def accepted_is_there(life: Life) -> str | None:
    """The order of every command that the order service accepted exists."""
    if life.accepted is None:
        return None
    return "" if life.order else f"command {life.accepted.command} was accepted, and the order does not exist"
