"""One order's life, as each of the books tells it. Lists travel as JSON text and are read when a rule asks for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from operator import mul
from typing import Any, NamedTuple, get_args, get_type_hints

import msgspec

from larder.audit.catalogue import NOTHING, Catalogue

# -- phases of an order, by what must be true in them ------------------------------------------------------------------

_UNSURE = frozenset({"reserving_slot", "screening", "in_review", "holding"})
HOLDING = frozenset({"awaiting_payment", "verifying", "paying", "paying_cancel_wanted"})
"""The order has a hold on stock that is neither deducted nor given back."""
UNPAID = _UNSURE | HOLDING
"""No money is this order's."""
DEDUCTING = frozenset({"deducting", "deducting_cancel_wanted"})
"""The money is in, the goods are being taken off the stock."""
IN_THE_STORE = frozenset({"awaiting_picking", "picking", "short", "substituting", "awaiting_shipment", "stopping"})
"""Paid and issued, and the goods have not left the store."""
ON_THE_ROAD = frozenset({"in_delivery", "intercepting", "returning"})
"""Paid and issued, and the goods are on the way to the customer, or back."""
DEDUCTED = IN_THE_STORE | ON_THE_ROAD | {"delivered", "closed"}
"""Paid, and the goods are the customer's."""
GOING_BACK = frozenset({"releasing", "reversing", "refunding"})
"""Something is being given back."""
BROUGHT_BACK = frozenset({"returning", "returned", "inspected"})
"""Phases of a fulfilment whose goods come back, or should have."""
TICKET_ENDS = frozenset({"resolved", "rejected"})
"""Nothing happens to a ticket any more."""
CALLED_OFF = frozenset({"cancelled", "rejected"})
"""Ended, and nothing of it is left."""
ENDS = CALLED_OFF | {"closed"}
"""Nothing but stray money happens any more."""
WAITS_FOR_A_SERVICE = (
    (UNPAID - {"in_review", "awaiting_payment"}) | DEDUCTING | GOING_BACK | {"substituting", "stopping", "intercepting"}
)
"""Somebody else has to answer before the order goes on."""
KNOWN = UNPAID | DEDUCTING | DEDUCTED | GOING_BACK | ENDS
"""Every phase that the auditor can judge."""


# -- what each book says. The first field is always the order, the fields are the columns of `gather`'s queries --------


class Order(NamedTuple):
    """The order service: the order, its lines, and what of them is to be delivered. Money in minor units.

    `lots` are [[spu, quantity, price, instead of, list price], ...], empty or None where nothing was amended;
    `given_back` is how much of the total was asked back; `owed` are refunds that were refused,
    [[number, ticket, amount, capture, reason, liable], ...]. `swept`: it is over, and so old that its timeline may be
    gone. `timers` are the names of those that run for it, with spaces between, here and in other books. Of a
    replacement order, `replacement` is [sales order, about, ticket, kind, ...], and `master_phase` the phase of the
    sales order since `master_since`. Of a sales order, `compensated` is what its page and those of its replacements say
    was given for goods, `pieces_compensated` for how many that were to be replaced, and `pieces_dropped` how many its
    replacements were to bring and did not. `prices` are ordinary ones; `discounts` are [[[promotion, revision, kind,
    [off each line], units, limit], ...], coupons, refused promotions, claimed promotions, priced at], None where there
    were none; `presale` the SPUs that could not be had yet.
    """

    order_id: str
    kind: str
    phase: str
    account: str
    store: str
    total: int
    hold_mode: str | None
    paid: int
    refunded: int
    spus: str | None
    quantities: str | None
    slot_start: datetime | None
    prices: str | None = None
    given_back: int = 0
    reason: str = ""
    lots: str | None = None
    closing_refund: int = 0
    owed: str | None = None
    overdue: bool = False
    payable_until: datetime | None = None
    phase_since: datetime | None = None
    ended: bool = False
    swept: bool = False
    timers: str = ""
    replacement: str | None = None
    master_phase: str | None = None
    master_since: datetime | None = None
    compensated: int = 0
    pieces_compensated: int = 0
    pieces_dropped: int = 0
    placed_at: datetime | None = None
    discounts: str | None = None
    presale: str | None = None


class Timeline(NamedTuple):
    """The order service: [[phase, message], ...] as they came; when the order was last asked to pay for good, when its
    time to pay was over, and when it asked for its stock."""

    order_id: str
    entries: str
    paying_at: datetime | None = None
    expired_at: datetime | None = None
    holding_at: datetime | None = None


class Accepted(NamedTuple):
    """The order service: one of the commands that it accepted for this order (some are about promotions)."""

    order_id: str
    command: str


class Papers(NamedTuple):
    """The order service: what the order's page shows, [[kind, body], ...]."""

    order_id: str
    papers: str


class Claims(NamedTuple):
    """The order service: what the order's account has counted for it, [[account, promotion, units], ...]."""

    order_id: str
    claims: str


class Hold(NamedTuple):
    """Inventory: what the order has on stock."""

    order_id: str
    store: str
    phase: str
    mode: str
    spus: str
    quantities: str


class Moves(NamedTuple):
    """Inventory: how often the ledger moved something for the order, by kind; issues of both kinds. `beside` are its
    issues that took pieces from elsewhere than the shelf, [[cells, on hand], ...]; when the first one was written."""

    order_id: str
    locks: int
    unlocks: int
    issues: int
    reversals: int
    beside: str | None = None
    issued_at: datetime | None = None


class Documents(NamedTuple):
    """Inventory: [[number, kind, store, reverses, spus, quantities, reason], ...], in the order of their numbers."""

    order_id: str
    documents: str


class Payment(NamedTuple):
    """Payment: captures are [[reference, amount, at, given back, key], ...]; the key is empty or missing in rows of
    an earlier version. Attempts are [[number, amount, method, outcome, code], ...]."""

    order_id: str
    phase: str
    captures: str
    attempts: str = "[]"


class Refunds(NamedTuple):
    """Payment: [[number, phase, amount, capture, reason, code, liable], ...]."""

    order_id: str
    refunds: str


class Reports(NamedTuple):
    """Payment: what others told of money, [[reference, phase], ...]."""

    order_id: str
    reports: str


class Journal(NamedTuple):
    """Payment: the money journal, [[kind, reference, amount], ...]."""

    order_id: str
    entries: str


class Captured(NamedTuple):
    """The gateway: money taken, [[reference, amount, key], ...]."""

    order_id: str
    captures: str


class GivenBack(NamedTuple):
    """The gateway: money given back, [[reference, amount, capture], ...]."""

    order_id: str
    refunds: str


class Fulfilment(NamedTuple):
    """Logistics: the store's work, what to pick, and when each step was done."""

    order_id: str
    store: str
    phase: str
    spus: str | None
    quantities: str | None
    slot_start: datetime | None = None
    queued_at: datetime | None = None
    picking_at: datetime | None = None
    picked_at: datetime | None = None
    packed_at: datetime | None = None
    handed_over_at: datetime | None = None
    delivered_at: datetime | None = None
    called_off_at: datetime | None = None
    timers: str = ""


class StepsBack(NamedTuple):
    """Logistics: [[phase entered, spus, quantities, found], ...] as they came."""

    order_id: str
    steps: str


class Returns(NamedTuple):
    """Logistics: goods that came with the order and that the customer gives back, [[ticket, phase, exchange, a courier
    had them, spus, quantities, [[spu, pieces, found], ...]], ...]."""

    order_id: str
    returns: str


class Reservation(NamedTuple):
    """Logistics: the order's place in a slot."""

    order_id: str
    store: str
    phase: str
    starts_at: datetime | None


class Window(NamedTuple):
    """Aftersales: the window for complaints; `open_tickets` is its count of them, and of the windows of replacement
    orders that are open, which are `replacing`. `goods` are [[spu, pieces, paid per piece], ...] in no ticket."""

    order_id: str
    phase: str
    store: str
    account: str
    open_tickets: int = 0
    shuts_at: datetime | None = None
    timers: str = ""
    goods: str = "[]"
    replacing: int = 0


class Tickets(NamedTuple):
    """Aftersales: [[ticket, kind, phase, note, opened by, has an end, claims, settled, refunded, spus, quantities],
    ...]; claims and settled are goods as in `Window`, spus and quantities what was decided about last."""

    order_id: str
    tickets: str


class Ending(NamedTuple):
    """Risk: what became of the order, as a deed of its account's."""

    order_id: str
    account: str
    deed: str


class Screening(NamedTuple):
    """Risk: what it said of the order. Of one that a person had to look at: by when, when it was decided (None: not
    yet), as what, by whom (nobody: the time was over), and who has claimed it, until when.

    `said` is the verdict that was made first, for `reason`, and by a sum (`score`) of what rules that spoke added:
    `spoke` is [[rule, value, threshold, points], ...], None when none did or when it is purged, as of `swept` ones.
    `rules` are those of that version, {rules: {name: {treatment, enabled, ...}}, levels: {treatment: sum}}; None where
    no rule spoke, and of the ones that a larder comes with: those are in no table. An earlier version said nothing.
    """

    order_id: str
    phase: str
    account: str
    due_at: datetime | None = None
    decided_at: datetime | None = None
    verdict: str | None = None
    decided_by: str | None = None
    timers: str = ""
    claimed_by: str | None = None
    claimed_until: datetime | None = None
    said: str | None = None
    reason: str = ""
    score: float | None = None
    spoke: str | None = None
    rules: str | None = None
    swept: bool = False

    @property
    def review_open(self) -> bool:
        """A person still has to decide."""
        return self.due_at is not None and self.decided_at is None


@dataclass(slots=True)
class Life:
    """All that the books say of one order; None where a book does not know it. `catalogue` is the same for all."""

    order_id: str
    order: Order | None = None
    timeline: Timeline | None = None
    papers: Papers | None = None
    accepted: Accepted | None = None
    claims: Claims | None = None
    hold: Hold | None = None
    moves: Moves | None = None
    documents: Documents | None = None
    payment: Payment | None = None
    refunds: Refunds | None = None
    reports: Reports | None = None
    journal: Journal | None = None
    captured: Captured | None = None
    given_back: GivenBack | None = None
    fulfilment: Fulfilment | None = None
    steps_back: StepsBack | None = None
    returns: Returns | None = None
    reservation: Reservation | None = None
    window: Window | None = None
    tickets: Tickets | None = None
    screening: Screening | None = None
    ending: Ending | None = None
    catalogue: Catalogue = field(default=NOTHING, compare=False)

    @property
    def phase(self) -> str:
        """The order's phase; empty for an order that the order service does not know."""
        return self.order.phase if self.order else ""

    @property
    def is_replacement(self) -> bool:
        """It goes out for goods of another order, and moves no money."""
        return self.order is not None and self.order.kind == "replacement"

    @property
    def lots(self) -> list[tuple[str, int, int]]:
        """SPU, pieces and the price that was paid for each of what is to be delivered: the lines, unless amended."""
        order = self.order
        if order is None:
            return []
        if amended := listed(order.lots):
            return [(lot[0], lot[1], lot[2]) for lot in amended]
        return self.paid_pieces

    @property
    def totals(self) -> list[int]:
        """What each line costs less what was taken off it."""
        if self.order is None:
            return []
        totals = list(map(mul, listed(self.order.quantities), listed(self.order.prices)))
        for _, _, _, off, *_ in listed(self.order.discounts)[0] if self.order.discounts else ():
            totals = [total - taken for total, taken in zip(totals, off, strict=True)]
        return totals

    @property
    def paid_pieces(self) -> list[tuple[str, int, int]]:
        """SPU, pieces and price as ordered: what a line costs is spread over its pieces to the unit, the dearer ones
        first."""
        order = self.order
        if order is None:
            return []
        if not order.discounts:
            return list(zip(listed(order.spus), listed(order.quantities), listed(order.prices), strict=True))
        lots = []
        for spu, quantity, total in zip(listed(order.spus), listed(order.quantities), self.totals, strict=True):
            price, dearer = divmod(total, quantity)
            lots += [(spu, n, p) for n, p in ((dearer, price + 1), (quantity - dearer, price)) if n]
        return lots

    @property
    def wanted(self) -> Mapping[str, int]:
        """Pieces per SPU of the lots."""
        if self.order and not listed(self.order.lots):
            return lines(self.order.spus, self.order.quantities) or {}
        pieces: dict[str, int] = {}
        for spu, quantity, _ in self.lots:
            pieces[spu] = pieces.get(spu, 0) + quantity
        return pieces

    @property
    def dropped(self) -> int:
        """What was paid for pieces that are not to be delivered any more (minor units)."""
        if self.order is None or self.is_replacement or not listed(self.order.lots):
            return 0
        return sum(self.totals) - sum(quantity * price for _, quantity, price in self.lots)


BOOKS: dict[str, Any] = {book: get_args(kind)[0] for book, kind in get_type_hints(Life).items() if get_args(kind)}
"""What a row of each book becomes, by the field of a life."""


# -- lines and lists ---------------------------------------------------------------------------------------------------

# Several rules ask for the same columns of one life, one after the other: what was read just now is remembered.
REMEMBERED = 64
_read = msgspec.json.Decoder().decode


@lru_cache(maxsize=REMEMBERED)
def listed(text: str | None) -> Any:
    """What a column of JSON holds, not to be changed; an empty list where there is none."""
    return _read(text) if text else []


@lru_cache(maxsize=REMEMBERED)
def lines(spus: str | None, quantities: str | None) -> Mapping[str, int] | None:
    """Pieces per SPU of two parallel columns; None where they are missing or do not fit together."""
    return None if spus is None or quantities is None else summed(listed(spus), listed(quantities))


def summed(spus: Sequence[str], quantities: Sequence[int]) -> Mapping[str, int] | None:
    """Pieces per SPU; None where the lists do not fit together."""
    if len(spus) != len(quantities):
        return None
    found = dict(zip(spus, quantities, strict=True))
    if len(found) < len(spus):
        found = dict.fromkeys(spus, 0)
        for spu, quantity in zip(spus, quantities, strict=True):
            found[spu] += quantity
    return found


def in_words(found: Mapping[str, int] | None) -> str:
    """Lines, for a reader."""
    if found is None:
        return "no lines"
    shown = ", ".join(f"{quantity} {spu}" for spu, quantity in sorted(found.items())[:5])
    return f"{shown} and {len(found) - 5} more" if len(found) > 5 else shown or "no lines"
