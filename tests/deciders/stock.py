"""A store's stock for tests: the scene that knows who holds what, and the same behind a real shard, batch by batch."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from services.inventory.decider import DECIDER
from services.inventory.state import (
    EMPTY,
    LOCK,
    Allotment,
    Cell,
    Document,
    Hold,
    Holders,
    Movement,
    Phase,
    incoming_cell,
    owed_cell,
    sale_cell,
)
from shared.contracts import inventory
from shared.contracts.base import Message
from shared.runtime.envelope import Delivery
from shared.runtime.progress import Progress
from shared.runtime.shard import Shard
from shared.runtime.table import Key, Moved, Outcome
from shared.runtime.turn import AskKnown, Known, Question, Share, answered, decided
from tests.deciders.scene import NOON, Scene

STORE = "s-1"


def of(order: str) -> dict[str, str]:
    return {"order_id": order, "store": STORE}


def hold(order: str, mode: Any = "lock", **lines: int) -> inventory.HoldStock:
    quantities = tuple(lines.values())
    return inventory.HoldStock(order_id=order, store=STORE, mode=mode, spus=tuple(lines), quantities=quantities)


def buy(
    order: str, sale: Mapping[str, str] | None = None, presale: Collection[str] = (), /, **lines: int
) -> inventory.HoldStock:
    """A hold with lines on sale (promotions by SPU), and lines that may come from what is to come."""
    return inventory.HoldStock(
        **of(order),
        mode="on_payment",
        spus=tuple(lines),
        quantities=tuple(lines.values()),
        on_sale=on_sale(sale or {}),
        presale=tuple(presale) or None,
    )


def on_sale(sale: Mapping[str, str]) -> inventory.OnSale | None:
    return inventory.OnSale(spus=tuple(sale), promotions=tuple(sale.values())) if sale else None


def verify(order: str = "o-1", sale: Mapping[str, str] | None = None) -> inventory.VerifyStock:
    return inventory.VerifyStock(**of(order), on_sale=on_sale(sale or {}))


def deduct(order: str = "o-1") -> inventory.DeductStock:
    return inventory.DeductStock(**of(order))


def release(order: str = "o-1") -> inventory.ReleaseStock:
    return inventory.ReleaseStock(**of(order))


def reverse(order: str = "o-1", **short: int) -> inventory.ReverseIssue:
    return inventory.ReverseIssue(**of(order), short_spus=tuple(short), short=tuple(short.values()))


def drop(order: str = "o-1", **missing: int) -> inventory.DropShort:
    return inventory.DropShort(**of(order), spus=tuple(missing), missing=tuple(missing.values()))


def substitute(
    missing: Mapping[str, int], substitutes: Mapping[str, int], order: str = "o-1"
) -> inventory.SubstituteStock:
    return inventory.SubstituteStock(
        **of(order),
        spus=tuple(missing),
        missing=tuple(missing.values()),
        substitute_spus=tuple(substitutes),
        substitutes=tuple(substitutes.values()),
    )


def take_back(
    order: str = "o-1",
    resellable: Mapping[str, int] | None = None,
    damaged: Mapping[str, int] | None = None,
    missing: Mapping[str, int] | None = None,
    reason: str = "",
) -> inventory.TakeBack:
    good, bad, gone = resellable or {}, damaged or {}, missing or {}
    return inventory.TakeBack(
        **of(order),
        resellable_spus=tuple(good),
        resellable=tuple(good.values()),
        damaged_spus=tuple(bad),
        damaged=tuple(bad.values()),
        missing_spus=tuple(gone),
        missing=tuple(gone.values()),
        reason=reason,
    )


def take_return(
    order: str = "o-1",
    resellable: Mapping[str, int] | None = None,
    damaged: Mapping[str, int] | None = None,
    missing: Mapping[str, int] | None = None,
    reason: str = "",
) -> inventory.TakeReturn:
    return inventory.TakeReturn(**take_back(order, resellable, damaged, missing, reason).model_dump())


def count(request: str = "r-1", /, **deltas: int) -> inventory.AdjustStock:
    return inventory.AdjustStock(
        request_id=request, store=STORE, spus=tuple(deltas), deltas=tuple(deltas.values()), reason="counted"
    )


def receive(request: str = "r-1", /, **pieces: int) -> inventory.ReceiveGoods:
    return inventory.ReceiveGoods(
        request_id=request, store=STORE, spus=tuple(pieces), quantities=tuple(pieces.values())
    )


def expect(**pieces: int) -> inventory.ExpectGoods:
    return inventory.ExpectGoods(request_id="r-1", store=STORE, spus=tuple(pieces), quantities=tuple(pieces.values()))


def allot(quantity: int, spu: str = "milk", promotion: str = "tenth") -> inventory.SetAllotment:
    return inventory.SetAllotment(request_id="r-1", store=STORE, promotion=promotion, spu=spu, quantity=quantity)


def announce(ends_at: datetime, promotion: str = "tenth") -> inventory.AnnounceSale:
    return inventory.AnnounceSale(store=STORE, promotion=promotion, ends_at=ends_at)


def holders(states: Mapping[Key, Any], movements: Iterable[Movement], spu: str) -> Holders:
    """The fact that the database tells, from what is in memory."""
    locks = [m for m in movements if m.kind == LOCK and spu in m.spus and m.order_id]
    live = [m for m in reversed(locks) if states["hold", str(m.order_id)].phase is Phase.LOCKED]
    return tuple(str(m.order_id) for m in live)


class Stock(Scene):
    """A scene in one store, with (on hand, locked by nobody here) of some SPUs, that knows who holds what."""

    def __init__(self, **on_hand: int) -> None:
        super().__init__(DECIDER, {("cell", STORE, spu): Cell(pieces, 0) for spu, pieces in on_hand.items()})
        self.said: list[object] = []

    def when(self, message: Any, actor: str = "") -> Outcome:
        """A message comes, and whoever holds what is loaded for it."""
        movements = [item for item in self.said if isinstance(item, Movement)]
        for spu in message.spus if isinstance(message, inventory.AdjustStock) else ():
            self.states["holders", STORE, spu] = holders(self.states, movements, spu)
            self.states["holders", STORE, spu, "again"] = ()
        outcome = super().when(message, actor)
        if isinstance(outcome, Moved):
            self.said += outcome.said
        return outcome

    def given(self, *messages: Any) -> Stock:
        """These have come before."""
        for message in messages:
            self.says(message)
        return self

    def cell(self, spu: str) -> Cell:
        """What is on the shelf."""
        return self.states.get(("cell", STORE, spu)) or EMPTY

    def set_aside(self, spu: str = "milk", promotion: str = "tenth") -> int:
        """What is in the cell of a sale."""
        return self.cell(sale_cell(spu, promotion)).on_hand

    def to_come(self, spu: str = "milk") -> tuple[int, int]:
        """What is to come and may be promised, and what was sold of it and has not come."""
        return self.cell(incoming_cell(spu)).on_hand, self.cell(owed_cell(spu)).on_hand

    def allotment(self, promotion: str = "tenth") -> Allotment:
        """What has become of a sale."""
        state: Allotment = self.states["allotment", STORE, promotion]
        return state

    def phase(self, order: str = "o-1") -> Phase:
        """What has become of a hold."""
        state: Hold = self.states["hold", order]
        return state.phase

    @property
    def documents(self) -> list[Document]:
        """All that were written, in order."""
        return [item for item in self.said if isinstance(item, Document)]


class Shelves:
    """Inventory's shard over a database in memory: batches as its owner runs them."""

    def __init__(self, **on_hand: int) -> None:
        self.states: dict[Key, Any] = {("cell", STORE, spu): Cell(pieces, 0) for spu, pieces in on_hand.items()}
        self.movements: list[Movement] = []
        self.documents: list[Document] = []
        self.said: list[str] = []
        """Types and subjects of what was said, in order."""
        self.parked: list[str] = []
        self.batches = 0
        self._links = itertools.count(1)
        self._shard = Shard(DECIDER, Progress(0, epoch=1), shards=1)

    def play(self, *messages: Message, at: datetime = NOON) -> list[str]:
        """One batch, or as many as it is cut into; answers with what was said."""
        before = len(self.said)
        deliveries = [
            Delivery(m.TOPIC, 0, n - 1, m.key.encode(), m.to_json(), type=m.TYPE, subject=m.subject, source="o", link=n)
            for m, n in zip(messages, self._links, strict=False)
        ]
        # The counter is one ahead: zip took a number for the message that was not there.
        self._links = itertools.count(deliveries[-1].link + 1)
        works = self._shard.read(deliveries)
        while works:
            [commit] = answered(decided([Share(self._shard, works)], at), self._answer)
            self.states.update(commit.states)
            self.movements += commit.records.get(Movement, [])
            self.documents += commit.records.get(Document, [])
            self.parked += [parked.reason for parked in commit.parked]
            # What is told of parked messages travels on a link of its own: its place among the others means nothing.
            for row in (r for r in commit.outbox if not r.topic.endswith(".parked")):
                for _, _, headers in row.records:
                    told = dict(headers)
                    self.said.append(f"{told['ce_type'].decode()} {told['ce_subject'].decode()}")
            self._shard.committed(commit)
            self.batches += 1
            works = works[commit.decided :]
        return self.said[before:]

    def _answer(self, question: Question) -> Any:
        if isinstance(question, AskKnown):
            return Known((), 0)
        return {
            key: holders(self.states, self.movements, key[2]) if key[0] == "holders" else self.states.get(key)
            for key in question.keys
        }
