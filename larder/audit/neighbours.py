"""What other services hold of one order agrees with its phase: the store's work, slot, window and verdict."""

from __future__ import annotations

from larder.audit.life import BROUGHT_BACK, CALLED_OFF, DEDUCTED, ENDS, GOING_BACK, Life, in_words, lines
from larder.audit.phases import course

FULFILMENT_OF = {
    "awaiting_picking": ("waiting_for_slot", "queued"),
    "picking": ("picking", "picked"),
    "short": ("short",),
    "substituting": ("short",),
    "awaiting_shipment": ("packed",),
    "stopping": (),
    "in_delivery": ("on_the_road",),
    "intercepting": (),
    "returning": ("returning", "returned"),
    "delivered": ("delivered",),
    "closed": ("delivered",),
}
"""How far the store's work is, by the order's phase."""
CALLED_OFF_WORK = ("stopped", *sorted(BROUGHT_BACK))
"""How far it may have come with an order that goes back; in every other phase the store does not know the order."""
WINDOW_OF = {"delivered": ("open", "passed"), "closed": ("shut",)}
"""Where the after-sales window stands; in every other phase there is none, or one in `new`, for its tickets only."""
DEED_OF = {
    "delivered": ("delivered",),
    "closed": ("delivered",),
    "rejected": ("ended",),
    "cancelled": ("ended",),
    "payment_expired": ("expired",),
    "slot_over": ("expired", "ended"),
    "not_reachable": ("unreachable",),
    "cancelled_by_customer": ("cancelled", "cancelled_after_payment"),
}
"""What risk knows of an order in this phase; of a cancelled one, by its reason where that names the customer."""
COUNTED = ("payment_expired", "not_reachable", "cancelled_by_customer")
"""Reasons of a cancelled order that speak against its account."""
VERDICTS_OF = {"lock": ("cleared",), "on_payment": ("restricted", "cleared")}
"""What risk must have said for a hold of this mode; a rush, which is not kept once it is taken back, asks nobody."""


def fulfilment_agrees(life: Life) -> str | None:
    """The store is as far with the order as the order says, in its store and with its lines."""
    order, fulfilment = life.order, life.fulfilment
    if life.phase in ("stopping", "intercepting"):
        return None  # the answer is under way; `somebody_answers` sees to it that it is
    expected = FULFILMENT_OF.get(life.phase, ())
    if life.phase == "cancelled" or life.phase in GOING_BACK:
        expected = CALLED_OFF_WORK if fulfilment else ()
    if not fulfilment:
        return f"the order is {life.phase}, and the store knows nothing of it" if expected else None
    if order is None or fulfilment.phase not in expected:
        return f"the order is {life.phase or 'known to nobody'}, its fulfilment is {fulfilment.phase}"
    if fulfilment.store != order.store:
        return f"store {fulfilment.store} fulfils an order of store {order.store}"
    if not order.lots and (fulfilment.spus, fulfilment.quantities) == (order.spus, order.quantities):
        return ""
    picked = lines(fulfilment.spus, fulfilment.quantities)
    if picked is None or picked != life.wanted:
        return f"the store picks {in_words(picked)}, the order is for {in_words(life.wanted)}"
    return ""


def steps_in_order(life: Life) -> str | None:
    """The store did one step after the other, none before the slot, and what is delivered all of them."""
    work = life.fulfilment
    if work is None:
        return None
    times = (work.queued_at, work.picking_at, work.picked_at, work.packed_at, work.handed_over_at, work.delivered_at)
    done = [time for time in times if time is not None]
    is_delivered = work.phase == "delivered"
    if (
        done != sorted(done)
        or (work.delivered_at is not None) != is_delivered
        or (is_delivered and len(done) < len(times))
        or (work.slot_start and done and done[0] < work.slot_start)
    ):
        return f"{work.phase}: {', '.join(map(str, times))}; slot {work.slot_start}"
    return ""


def slot_agrees(life: Life) -> str | None:
    """An order with a slot has its place in it, and one that was called off, has no slot, or is known to nobody has
    none."""
    order, reservation = life.order, life.reservation
    has_place = reservation is not None and reservation.phase == "reserved"
    starts_at = order.slot_start if order else None
    if reservation is None and starts_at is None:
        return None
    went_out = life.fulfilment is not None and life.fulfilment.phase in BROUGHT_BACK  # then the place was used
    if order is None or starts_at is None or (order.phase in CALLED_OFF and not went_out):
        if not has_place:
            return ""
        known = f"is {order.phase}" if order else "is known to nobody"
        slot = "" if order is None or starts_at else " and has no slot"
        return f"the order {known}{slot}, but keeps a place in the slot of {reservation and reservation.starts_at}"
    if order.phase == "reserving_slot" or order.phase in GOING_BACK:
        return None
    if not has_place or reservation is None:
        return f"the order is {order.phase} for the slot of {starts_at}, without a place in it"
    if (reservation.starts_at, reservation.store) != (starts_at, order.store):
        return (
            f"the order is for the slot of {starts_at} in {order.store}, its place is in the one of "
            f"{reservation.starts_at} in {reservation.store}"
        )
    return ""


def window_agrees(life: Life) -> str | None:
    """The after-sales window is open from the delivery on, and shut when the order is closed."""
    order, window = life.order, life.window
    expected = WINDOW_OF.get(life.phase, ())
    if not expected and (window is None or window.phase == "new"):
        return None
    if window is None or window.phase not in expected:
        return f"the order is {life.phase or 'known to nobody'}, its window is {window.phase if window else 'missing'}"
    if window.phase == "passed" and not window.open_tickets:
        return "the window has passed, no ticket is open, and it is not shut"
    if (
        life.phase == "closed"
        and order
        and order.phase_since
        and window.shuts_at
        and order.phase_since < window.shuts_at
    ):
        return f"closed at {order.phase_since}, before {window.shuts_at}"
    if order and (window.store, window.account) != (order.store, order.account):
        return f"the window names {window.account} in {window.store}, the order {order.account} in {order.store}"
    return ""


def ending_is_known(life: Life) -> str | None:
    """Risk knows what became of an order that is over or delivered, and counts against the account what was its
    customer's own doing: an order that nobody paid, or cancelled, or was at home for. It need not know of what counts
    for nobody."""
    order, ending = life.order, life.ending
    if order is None or life.is_replacement or life.phase not in DEED_OF:
        return None if ending is None else f"the order is {life.phase or 'known to nobody'}, and risk knows its end"
    is_counted = life.phase == "cancelled" and order.reason in COUNTED
    if ending is None:
        # An earlier version did not hear of orders that nobody paid; its screenings did not say what they saw.
        is_old = order.reason == "payment_expired" and (life.screening is None or life.screening.said is None)
        return f"{life.phase} ({order.reason}), and risk does not know it" if is_counted and not is_old else None
    expected = DEED_OF[order.reason if life.phase == "cancelled" and order.reason in DEED_OF else life.phase]
    if ending.account != order.account or ending.deed not in expected:
        told = f"{ending.deed} of {ending.account}"
        return f"risk knows {told}, the order is {life.phase} ({order.reason}) of {order.account}"
    return ""


def short_is_our_fault(life: Life) -> str | None:
    """Whoever wants out of an order that is short does so because of us, and so its reason says; no other does."""
    order, went = life.order, course(life)
    if order is None or went is None or life.phase not in CALLED_OFF:
        return None
    gone_short = ("short", "stopping") in went.steps
    return (
        "" if gone_short == (order.reason == "short" and life.phase == "cancelled") else f"{life.phase}: {order.reason}"
    )


def screening_agrees(life: Life) -> str | None:
    """Risk has said what the order's way of holding stock follows from; a person looks at the order as long as it is in
    review, and no longer."""
    order, screening = life.order, life.screening
    if order is None and screening is None:
        return None
    in_review = screening is not None and (screening.phase == "in_review" or screening.review_open)
    if in_review != (life.phase == "in_review") and life.phase != "screening":
        return f"the order is {life.phase or 'known to nobody'}, its review is {'open' if in_review else 'not open'}"
    if order is None:
        return "risk screened an order that nobody knows"
    if life.is_replacement:
        return f"a replacement order was screened: {screening.phase}" if screening else ""
    if screening is None:
        passed = order.hold_mode or order.reason == "refused_by_risk"
        return f"{order.hold_mode or order.reason}, and risk never screened the order" if passed else ""
    if screening.account != order.account:
        return f"risk screened account {screening.account}, the order is of {order.account}"
    if order.hold_mode and screening.phase not in VERDICTS_OF.get(order.hold_mode, ()):
        return f"the order holds stock in mode {order.hold_mode}, but its screening is {screening.phase}"
    if screening.phase == "refused" and life.phase not in ENDS and life.phase != "screening":
        return f"risk refused the order, and it is {life.phase}"
    # Its slot may have begun before risk's word came.
    is_refused = screening.phase == "refused" and life.phase == "rejected" and order.reason != "slot_over"
    if is_refused != (order.reason == "refused_by_risk"):
        return f"its screening is {screening.phase}, and the order {life.phase} ({order.reason})"
    return ""


assert set(FULFILMENT_OF) == DEDUCTED
