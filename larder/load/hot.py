"""How fast one hot SPU is: the store's shard alone, from bytes to what would be written, without a database.

A crowd of orders wants the few pieces of a flash sale. Each step of theirs comes in batches as large as a worker takes
under load; the shard reads, decides and is told that it was committed, and what the statement would take is made too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from time import process_time
from typing import Any, NamedTuple

from services.inventory.decider import DECIDER
from services.inventory.store import InventoryStore
from shared.contracts import inventory
from shared.contracts.base import Message
from shared.runtime.envelope import Delivery
from shared.runtime.progress import Progress
from shared.runtime.shard import Shard
from shared.runtime.table import Key
from shared.runtime.turn import AskKnown, Known, Question, Share, answered, decided

BATCH = 1_000
"""Messages of a batch: what a worker takes under load."""
STORE, SPU, PROMOTION = "s-hot", "milk", "tenth"
BEGIN = datetime(2026, 11, 22, 18, tzinfo=UTC)


class Hot(NamedTuple):
    """Decisions per second of CPU on the one SPU: to hold, to verify, and to deduct or refuse; and how many of the
    crowd got their piece."""

    holds: float
    verifications: float
    deductions: float
    sold: int


def decisions_per_second(pieces: int, crowd: int) -> Hot:
    """Lets a crowd of orders want one piece each of so many. All of it in this process, on one core."""
    store = _Store()
    on_sale = inventory.OnSale(spus=(SPU,), promotions=(PROMOTION,))
    store.play(inventory.ReceiveGoods(request_id="r-1", store=STORE, spus=(SPU,), quantities=(pieces,)))
    store.play(inventory.SetAllotment(request_id="r-2", store=STORE, promotion=PROMOTION, spu=SPU, quantity=pieces))
    store.play(inventory.AnnounceSale(store=STORE, promotion=PROMOTION, ends_at=BEGIN + timedelta(hours=1)))

    def rate(make: Callable[[str], Message]) -> float:
        deliveries = [store.delivery(make(f"o-{n}")) for n in range(crowd)]
        began = process_time()
        for first in range(0, crowd, BATCH):
            store.batch(deliveries[first : first + BATCH])
        return crowd / (process_time() - began)

    def hold(order: str) -> Message:
        return inventory.HoldStock(
            order_id=order, store=STORE, mode="on_payment", spus=(SPU,), quantities=(1,), on_sale=on_sale
        )

    return Hot(
        holds=rate(hold),
        verifications=rate(lambda order: inventory.VerifyStock(order_id=order, store=STORE, on_sale=on_sale)),
        deductions=rate(lambda order: inventory.DeductStock(order_id=order, store=STORE)),
        sold=store.said["StockDeducted"],
    )


class _Store:
    """Inventory's shard, and all that it would have written."""

    def __init__(self) -> None:
        self.said: dict[str, int] = {"StockDeducted": 0}
        self._shard = Shard(DECIDER, Progress(0, epoch=1), shards=1)
        self._tables = InventoryStore()
        self._states: dict[Key, Any] = {}
        self._offset = 0

    def delivery(self, message: Message) -> Delivery:
        """As it comes from the order service's shard."""
        offset, self._offset = self._offset, self._offset + 1
        body, key = message.to_json(), message.key.encode()
        link = offset + 1
        return Delivery(message.TOPIC, 0, offset, key, body, "", message.TYPE, "order/0", message.subject, link)

    def play(self, message: Message) -> None:
        """A batch of one."""
        self.batch([self.delivery(message)])

    def batch(self, deliveries: Iterable[Delivery]) -> None:
        """What the shard's owner does with a batch, but for the database's part."""
        shard = self._shard
        [commit] = answered(decided([Share(shard, shard.read(deliveries))], BEGIN), self._answer)
        self._tables.save_many(commit)
        self._states.update(commit.states)
        shard.committed(commit)
        for row in commit.outbox:
            for _, kind, *_ in row.payloads:
                if kind in self.said:
                    self.said[kind] += 1

    def _answer(self, question: Question) -> Any:
        if isinstance(question, AskKnown):
            return Known((), 0)
        return {key: self._states.get(key) for key in question.keys}
