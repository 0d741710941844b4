"""A delivered order and what comes after it: aftersales and the order service pass each other their messages, and a
canned store answers for inventory, logistics and payment."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from services.aftersales import inner as aftersales_inner
from services.aftersales.decider import DECIDER as AFTERSALES
from services.aftersales.goods import summed
from services.aftersales.state import Good, Ticket, Window
from services.order import inner as order_inner
from services.order.decider import DECIDER as ORDER
from services.order.state import Order
from shared.contracts import aftersales, inventory, logistics, payment
from shared.contracts.base import Message
from shared.runtime.table import Moved, Outcome, Refused
from tests.deciders.orders import (
    BASKET,
    CLEARED,
    CLICK,
    DEDUCTED,
    DELIVERED,
    HELD,
    OAT,
    ON_THE_ROAD,
    ONE_SHORT,
    PACKED,
    PICKING,
    SUBSTITUTED,
    TAKEN,
    VERIFIED,
    Shop,
    shop,
)
from tests.deciders.scene import NOON, Scene
from tests.deciders.tickets import AGENT

TOTAL = 887
"""Paid for milk, bread and two cartons of oat milk; a third oat milk came for a milk that was short."""
GOODS = (Good("milk", 1, 129), Good("bread", 1, 349), Good("oat", 2, 140), Good("oat", 1, 129))
"""What the customer has, and paid: oat milk at two prices."""
FIRST, SECOND = "o-1~r1", "o-1~r2"
"""The replacement orders."""
M = TypeVar("M")
Lines = tuple[tuple[str, int], ...]


def delivered_sale() -> Shop:
    """An order on the road."""
    basket = BASKET.model_copy(update={"spus": ("milk", "bread", "oat"), "quantities": (2, 1, 2)})
    click = CLICK.model_copy(update={"expected_total": TOTAL})
    return shop(
        *(basket, CLEARED, HELD, click, VERIFIED, TAKEN, DEDUCTED),
        *(PICKING, ONE_SHORT, OAT, SUBSTITUTED, PACKED, ON_THE_ROAD),
    )


class Chain:
    """A delivered order, its tickets and its replacement orders.

    `shelf`: are the new goods `there`? `road`: what becomes of a replacement order, `delivered`, `undeliverable`,
    `short` of one piece that nobody calls about, `short, undeliverable`, or nothing yet. `back`: what comes back of old
    goods, `all`, `some` (a piece is missing), `none`, `lost` by the courier, or nothing yet.
    """

    def __init__(self, sale: Shop | None = None) -> None:
        self.sale, self.desk = sale or delivered_sale(), Scene(AFTERSALES)
        self.shelf, self.road, self.back = "there", "delivered", "all"
        self.slow = False
        self.heard: list[Message] = []
        self.under_way: dict[tuple[str, str], deque[Any]] = defaultdict(deque)
        if sale is None:
            self.hears(DELIVERED)

    def hears(self, message: Any, actor: str = "") -> Outcome:
        """A message comes, and, unless everybody is `slow`, all that comes of it; answers with what was made of it."""
        outcome = self._decides(message, actor)
        if not self.slow:
            self.rests()
        return outcome

    def rests(self) -> None:
        """Everything that is under way arrives."""
        while links := self.links():
            self.arrives(links[0])

    def links(self) -> list[tuple[str, str]]:
        """Who has said something, to whom, that did not arrive yet."""
        return sorted(link for link, messages in self.under_way.items() if messages)

    def arrives(self, link: tuple[str, str]) -> None:
        """The next message of a link arrives: each is in order, and none waits for another."""
        message = self.under_way[link].popleft()
        if link[1] == "store":
            self._send("store", self._store(message))
            return
        outcome = self._decides(message)
        assert not isinstance(outcome, Refused), (message, outcome)

    def _decides(self, message: Any, actor: str = "") -> Outcome:
        service = _listener(message)
        outcome = (self.desk if service == "desk" else self.sale).when(message, actor)
        said = [m for m in outcome.said if isinstance(m, Message)] if isinstance(outcome, Moved) else []
        self.heard += said
        self._send(service, said)
        return outcome

    def _send(self, sender: str, said: Iterable[Any]) -> None:
        for message in said:
            self.under_way[sender, _listener(message)].append(message)

    # -- people --------------------------------------------------------------------------------------------------------

    def opens(
        self, kind: aftersales.GoodsKind, lines: Lines, ticket_id: str = "t-1", about: str = "o-1", **more: Any
    ) -> str:
        """Customer service opens a ticket; answers with the code when it is refused."""
        return _code(self.hears(opening(kind, lines, ticket_id, about, **more), AGENT))

    def approves(self, ticket_id: str = "t-1", about: str = "o-1", lines: Lines = (), **more: Any) -> str:
        """Customer service decides; answers with the code when it is refused."""
        return _code(self.hears(approval(ticket_id, about, lines, **more), AGENT))

    # -- the store -----------------------------------------------------------------------------------------------------

    def _store(self, m: Message) -> Iterable[Any]:
        """What inventory, logistics and payment make of a command."""
        order_id = m.subject
        about: dict[str, Any] = {"order_id": order_id, "store": "s-1"}
        if isinstance(m, inventory.HoldStock):
            if self.shelf == "there":
                return [inventory.StockHeld(order_id=order_id, mode=m.mode)]
            return [inventory.StockShort(order_id=order_id, spus=m.spus, missing=m.quantities)]
        if isinstance(m, inventory.DeductStock):
            new = self.order(order_id)
            return [inventory.StockDeducted(order_id=order_id, document="RI", spus=new.spus, quantities=new.quantities)]
        if isinstance(m, inventory.ReleaseStock):
            return [inventory.StockReleased(order_id=order_id)]
        if isinstance(m, logistics.FulfilOrder):
            return self._fulfil(m, about)
        if isinstance(m, logistics.AmendFulfilment):
            return self._deliver(about, m.spus, m.quantities)
        if isinstance(m, logistics.StopFulfilment):
            return [logistics.FulfilmentStopped(**about)]
        if isinstance(m, inventory.ReverseIssue):
            return [inventory.IssueReversed(order_id=order_id, documents=())]
        if isinstance(m, logistics.AnnounceReturn):
            return self._come_back(m.ticket_id, order_id, m.spus, m.quantities, exchange=False)
        if isinstance(m, payment.RefundPayment):
            fields = m.model_dump(include={"order_id", "refund", "amount", "reference", "reason", "liable"})
            return [payment.PaymentRefunded(**fields, at=NOON)]
        return []

    def _fulfil(self, m: logistics.FulfilOrder, about: dict[str, Any]) -> Iterable[Any]:
        if not self.road:
            return []
        if self.road.startswith("short"):
            short = logistics.PiecesShort(**about, spus=m.spus[:1], missing=(1,))
            return [logistics.PickingStarted(**about), short, order_inner.ShortageUnanswered(m.order_id)]
        return [logistics.PickingStarted(**about), *self._deliver(about, m.spus, m.quantities)]

    def _deliver(self, about: dict[str, Any], spus: tuple[str, ...], pieces: tuple[int, ...]) -> Iterator[Any]:
        yield from (logistics.FulfilmentPacked(**about), handed_over(**about))
        if self.road.endswith("undeliverable"):
            yield logistics.DeliveryFailed(**about, reason="nobody at home")
            nothing: dict[str, Any] = dict.fromkeys(("damaged_spus", "damaged", "missing_spus", "missing"), ())
            yield logistics.GoodsInspected(**about, resellable_spus=spus, resellable=pieces, **nothing)
            return
        yield logistics.FulfilmentDelivered(**about)
        mine = self.order(about["order_id"]).replacement
        if mine and mine.kind == "exchange":
            yield from self._come_back(mine.ticket_id, mine.about, mine.back_spus, mine.back, exchange=True)

    def _come_back(
        self, ticket_id: str, order_id: str, spus: tuple[str, ...], pieces: tuple[int, ...], *, exchange: bool
    ) -> list[Any]:
        if not self.back:
            return []
        about: dict[str, Any] = {"order_id": order_id, "store": "s-1", "ticket_id": ticket_id, "exchange": exchange}
        if self.back in ("none", "lost"):
            return [logistics.ReturnOverdue(**about, collected=self.back == "lost", spus=spus, quantities=pieces)]
        return [inspected(about, summed(spus, pieces), 1 if self.back == "some" else 0)]

    # -- what is known -------------------------------------------------------------------------------------------------

    def order(self, order_id: str = "o-1") -> Order:
        """An order as it is now."""
        state = self.sale.states["order", order_id]
        assert isinstance(state, Order)
        return state

    def window(self, order_id: str = "o-1") -> Window:
        """An order's window as it is now."""
        state = self.desk.states["window", order_id]
        assert isinstance(state, Window)
        return state

    def ticket(self, ticket_id: str = "t-1") -> Ticket:
        """A ticket as it is now."""
        state = self.desk.states["ticket", ticket_id]
        assert isinstance(state, Ticket)
        return state

    def stands(self, ticket_id: str = "t-1") -> tuple[str, str]:
        """A ticket's phase and note."""
        ticket = self.ticket(ticket_id)
        return str(ticket.phase), ticket.note

    def all(self, kind: type[M]) -> list[M]:
        """All of this kind that was said so far."""
        return [m for m in self.heard if isinstance(m, kind)]

    def tickets(self) -> list[Ticket]:
        """Every ticket there is."""
        return [s for s in self.desk.states.values() if isinstance(s, Ticket)]

    def windows(self) -> list[Window]:
        """Every window of an order that was delivered."""
        return [s for s in self.desk.states.values() if isinstance(s, Window) and s.shuts_at]


def opening(
    kind: aftersales.GoodsKind, lines: Lines, ticket_id: str = "t-1", about: str = "o-1", **more: Any
) -> aftersales.OpenTicket:
    """A ticket about these pieces."""
    return aftersales.OpenTicket(order_id=about, ticket_id=ticket_id, kind=kind, **_parallel(lines), **_instead(more))


def approval(ticket_id: str = "t-1", about: str = "o-1", lines: Lines = (), **more: Any) -> aftersales.ApproveTicket:
    """A decision about these pieces; none: about the ticket's."""
    return aftersales.ApproveTicket(order_id=about, ticket_id=ticket_id, **_parallel(lines), **_instead(more))


def inspected(about: dict[str, Any], pieces: dict[str, int], missing: int) -> logistics.ReturnInspected:
    """So many pieces of the first line did not come; the rest of it is spoilt, the others are not."""
    first = next(iter(pieces))
    damaged = pieces[first] - missing
    others = {spu: n for spu, n in pieces.items() if spu != first}
    return logistics.ReturnInspected(
        **about,
        resellable_spus=tuple(others),
        resellable=tuple(others.values()),
        damaged_spus=(first,) if damaged else (),
        damaged=(damaged,) if damaged else (),
        missing_spus=(first,) if missing else (),
        missing=(missing,) if missing else (),
    )


def handed_over(**about: Any) -> logistics.FulfilmentHandedOver:
    """The courier has them."""
    return logistics.FulfilmentHandedOver(**about, courier="c-1")


def _parallel(lines: Lines) -> dict[str, Any]:
    return {"spus": tuple(spu for spu, _ in lines), "quantities": tuple(pieces for _, pieces in lines)}


def _instead(more: dict[str, Any]) -> dict[str, Any]:
    """`new` goods are (SPU, pieces, instead of what)."""
    new = more.pop("new", ())
    return {
        **more,
        "replacement_spus": tuple(spu for spu, _, _ in new),
        "replacements": tuple(pieces for _, pieces, _ in new),
        "instead_of": tuple(old for _, _, old in new),
    }


def _listener(message: Any) -> str:
    if type(message) in AFTERSALES.listens or isinstance(message, aftersales_inner.WindowPassed):
        return "desk"
    return "sale" if type(message) in ORDER.listens or isinstance(message, order_inner.ShortageUnanswered) else "store"


def _code(outcome: Outcome) -> str:
    return outcome.code if isinstance(outcome, Refused) else ""
